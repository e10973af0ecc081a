"""Services for the tests, one for each backend of a class."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.backends.run import Backends
from tests.crash.scenarios import Scenarios
from tests.crash.service import Service
from tests.crash.suite import BACKENDS, Backend, Scenario, plan


def on(*names: str) -> pytest.MarkDecorator:
    """Run the tests of a class on these backends."""
    rows = [pytest.param(BACKENDS[name], id=name, marks=_marks(BACKENDS[name])) for name in names]
    return pytest.mark.parametrize("backend", rows, scope="class")


def _marks(backend: Backend) -> list[pytest.MarkDecorator]:
    return [pytest.mark.docker] if backend.combination.needs_docker else []


@pytest.fixture(scope="class")
def settings(backend: Backend, backends: Backends) -> Iterator[dict[str, str]]:
    with backend.settings(backends) as settings:
        yield settings


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def scenarios(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scenarios]:
    async with Service(tmp_path_factory.mktemp("service"), settings) as service:
        yield Scenarios(service)


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def planned(scenarios: Scenarios, backend: Backend) -> list[Scenario]:
    return await plan(scenarios, backend)
