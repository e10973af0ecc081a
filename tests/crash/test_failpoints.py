"""What is acknowledged is there and whole, and nothing else is left, wherever a server dies.

Here is a part of the scenarios, always the same; `make crash` runs them all.
"""

import pytest

from tests.crash.conftest import on
from tests.crash.failpoints import CRASH, DIE, RAISE
from tests.crash.scenarios import Point, points_of
from tests.crash.suite import Scenario, run

DEATHS = (f"{DIE} replace ", f"{CRASH} replace ")


@on("fs")
@pytest.mark.asyncio(loop_scope="class")
@pytest.mark.timeout(600)
class TestFiles:
    async def test_a_death_at_each_point_of_a_replacement(self, planned: list[Scenario]) -> None:
        deaths = [scenario for scenario in planned if scenario.name.startswith(DEATHS)]
        small = [scenario for scenario in deaths if "large" not in scenario.name]
        assert len(small) > 70
        assert await run(small) == []

    async def test_deaths_in_changes_of_several_rows(self, planned: list[Scenario]) -> None:
        kinds = (
            "publish over",
            "part over",
            "copy",
            "move",
            "delete prefix",
            "commit",
            "restore",
            "release",
            "relocate",
        )
        changes = tuple(f"{DIE} {kind} " for kind in kinds)
        deaths = [scenario for scenario in planned if scenario.name.startswith(changes)]
        assert len(deaths) > 200
        assert await run(deaths[::12]) == []

    async def test_some_of_all_else(self, planned: list[Scenario]) -> None:
        faults = [scenario for scenario in planned if scenario.name.startswith(f"{RAISE} ")]
        others = [scenario for scenario in planned if not scenario.name.startswith((f"{RAISE} ", *DEATHS))]
        assert await run(others[:3] + others[3::55] + faults[::22]) == []


@on("small")
@pytest.mark.asyncio(loop_scope="class")
@pytest.mark.timeout(600)
class TestSmallBlobs:
    async def test_a_death_at_each_point_of_a_replacement(self, planned: list[Scenario]) -> None:
        deaths = [scenario for scenario in planned if scenario.name.startswith(DEATHS)]
        small = [scenario for scenario in deaths if "large" not in scenario.name]
        assert len(small) > 15
        assert await run(small) == []

    async def test_some_of_all_else(self, planned: list[Scenario]) -> None:
        others = [scenario for scenario in planned if not scenario.name.startswith(DEATHS)]
        assert await run(others[:3] + others[3::60]) == []


@on("database", "postgresql", "s3", "ftp")
@pytest.mark.asyncio(loop_scope="class")
@pytest.mark.timeout(600)
class TestOtherStorages:
    async def test_some_of_all(self, planned: list[Scenario]) -> None:
        assert len(planned) > 250
        assert await run(planned[:2] + planned[2::60]) == []


def test_the_first_the_second_and_the_last_time_of_a_point() -> None:
    passed = ["a", "b", "a", "c", "a", "b", "a"]
    assert points_of(passed) == [
        Point("a", 1),
        Point("a", 2),
        Point("a", 4),
        Point("b", 1),
        Point("b", 2),
        Point("c", 1),
    ]
    assert points_of(passed, known=["a", "a", "c", "b", "b"]) == [Point("a", 1), Point("a", 2), Point("a", 4)]
