"""Dependencies of handlers."""

from typing import Any

from litestar.di import Provide


def always(dependency: Any) -> Provide:
    """Provide the same object to each request."""
    return Provide(lambda: dependency, sync_to_thread=False)
