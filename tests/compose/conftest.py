"""Projects of compose, one for each module."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.backends.run import Backends
from tests.compose.project import Project


@pytest.fixture(scope="module")
def start_project(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Project]]:
    """Makes a project: `start_project("first", env="DB_HOST=db")`. It is removed at the end of the module."""
    with ExitStack() as stack:

        def start(name: str, env: str = "") -> Project:
            return stack.enter_context(Project(backends.folder, name, tmp_path_factory.mktemp(name), env))

        yield start
