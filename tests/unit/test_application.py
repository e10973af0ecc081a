"""The application as a server sees it: one ASGI callable."""

from collections.abc import Iterator
from contextlib import contextmanager

from litestar import Litestar

from entrypoints.config.settings import Settings
from entrypoints.http.app import create_asgi
from tests.asgi import serving


async def test_the_context_around_serving_is_entered_at_startup_and_left_at_shutdown() -> None:
    seen = []

    @contextmanager
    def recorded() -> Iterator[None]:
        seen.append("entered")
        yield
        seen.append("left")

    async with serving(create_asgi(Settings(storage="memory"), serving=recorded())):
        assert seen == ["entered"]
    assert seen == ["entered", "left"]


def test_the_middleware_is_around_the_framework_not_inside_it() -> None:
    app = create_asgi(Settings(storage="memory"))
    assert not isinstance(app, Litestar)
