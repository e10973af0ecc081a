"""What is done on each backend."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from tests.backends.run import Backends
from tests.crash.failpoints import CRASH, DIE
from tests.crash.scenarios import (
    BETWEEN_STORAGES,
    KINDS,
    Operation,
    Point,
    Scenarios,
    is_of_a_port,
    is_outside_units,
    points_of,
)
from tests.http.combinations import Combination

CRASHES = 25  # of so many deaths, one takes the parent along


@dataclass(frozen=True)
class Backend:
    """`large`: the size in bytes of an object that the storage has in several parts. `more`: further settings."""

    combination: Combination
    large: int
    more: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def settings(self, backends: Backends) -> Iterator[dict[str, str]]:
        with self.combination.settings(backends) as settings:
            yield settings | dict(self.more)


BACKENDS = {
    "fs": Backend(Combination("SQLite", "fs"), 2_500_000),
    "database": Backend(Combination("SQLite", "database"), 1_300_000),
    "small": Backend(Combination("SQLite", "database"), 1_300_000, {"SMALL_BLOBS": "database"}),
    "postgresql": Backend(Combination("PostgreSQL", "database"), 1_300_000),
    "s3": Backend(Combination("PostgreSQL", "s3"), 11_000_000),
    "ftp": Backend(Combination("MariaDB", "ftp"), 1_000_000),
}


@dataclass(frozen=True)
class Scenario:
    """`run` returns what is wrong afterwards."""

    name: str
    run: Callable[[], Awaitable[list[str]]]


async def plan(scenarios: Scenarios, backend: Backend) -> list[Scenario]:
    """All that can happen on this backend, each thing once. What is named in it is recorded first."""
    planned = [
        Scenario("an upload slower than its lease", scenarios.flow),
        Scenario(
            "a client that leaves",
            partial(scenarios.leave, Operation("replace", backend.large), Point("chunk:after", 2)),
        ),
    ]
    if backend.combination.storage == "fs":
        planned.append(Scenario("the order of the syncs", scenarios.sync))
    for kind in KINDS:
        if kind in BETWEEN_STORAGES and backend.combination.storage == "database":
            continue
        small, large = Operation(kind), Operation(kind, backend.large)
        passed = await _recorded(scenarios, small)
        planned += _at(scenarios, small, points_of(passed), backend)
        if large.has_content:
            planned += _at(scenarios, large, points_of(await _recorded(scenarios, large), passed), backend)
    return planned


async def _recorded(scenarios: Scenarios, operation: Operation) -> list[str]:
    """Return the points of an operation in a new process, as after each death, with nothing else stored."""
    await scenarios.service.inspection.clear()
    await scenarios.service.kill_worker()
    return await scenarios.record(operation)


def _at(scenarios: Scenarios, operation: Operation, points: Sequence[Point], backend: Backend) -> list[Scenario]:
    """A death at each of the points, and what else can happen there."""
    planned = []
    for number, point in enumerate(points):
        action = CRASH if number % CRASHES == CRASHES - 1 else DIE
        planned.append(Scenario(f"{action} {operation} {point}", partial(scenarios.die, operation, point, action)))
        if _may_fail(point, backend):
            planned.append(Scenario(f"raise {operation} {point}", partial(scenarios.fail, operation, point)))
        if point.name.startswith("store.put:"):
            planned.append(Scenario(f"refuse {operation} {point}", partial(scenarios.refuse, operation, point)))
        if operation.has_content and is_outside_units(point):
            planned.append(Scenario(f"hang {operation} {point}", partial(scenarios.stand_still, operation, point)))
    return planned


def _may_fail(point: Point, backend: Backend) -> bool:
    """Not in a dialogue with a server, for that has tests of its own.

    Nor in a rollback: what it leaves open ends with the next transaction of the process, and others wait for that.
    """
    return is_of_a_port(point) or not (backend.combination.needs_docker or "ROLLBACK" in point.name)


async def run(planned: Sequence[Scenario]) -> list[str]:
    """What is wrong: nothing."""
    return [f"{scenario.name}: {each}" for scenario in planned for each in await scenario.run()]
