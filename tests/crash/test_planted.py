"""Faults that are planted in the protocol are found: so the scenarios can fail."""

from collections.abc import Awaitable, Callable

import pytest

from tests.crash.conftest import on
from tests.crash.planted import PLANTED
from tests.crash.scenarios import Operation, Point, Scenarios

Run = Callable[[Scenarios], Awaitable[list[str]]]
CREATE, REPLACE, RELOCATE = Operation("create"), Operation("replace"), Operation("relocate")
WRITING, WRITTEN = Point("store.put:before", 1), Point("store.put:after", 1)
PUBLISHING, PUBLISHED = Point("commit:before", 3), Point("commit:after", 3)
RECORDING, RECORDED = Point("commit:before", 2), Point("commit:after", 2)
FLUSHING = Point("sql.COMMIT:before", 3)

# What finds each of them, and how the finding begins.
FOUND_BY: dict[str, tuple[Run, str]] = {
    "publishing_without_the_fence": (lambda on: on.stand_still(CREATE, WRITTEN), "torn"),
    "uploads_that_are_not_reserved": (lambda on: on.die(CREATE, WRITTEN), "left"),
    "garbage_deleted_before_the_commit": (lambda on: on.die(REPLACE, PUBLISHING), "torn"),
    "leases_that_are_not_renewed": (lambda on: on.flow(), "refused"),
    "folders_that_are_not_synced": (lambda on: on.sync(), "not synced"),
    "an_answer_before_the_commit": (lambda on: on.die(CREATE, PUBLISHING), "lost"),
    "acknowledgements_before_the_flush": (lambda on: on.die(CREATE, FLUSHING), "lost"),
    "epochs_that_are_not_deleted": (lambda on: on.go_well(Operation("advance")), "left"),
    "cleaning_up_by_the_blobs_id": (lambda on: on.fail(REPLACE, WRITTEN), "lost"),
    "objects_deleted_whatever_became_of_the_commit": (lambda on: on.fail(CREATE, PUBLISHED), "torn"),
    "puts_repeated_under_one_key": (lambda on: on.refuse(CREATE, WRITING), "repeated"),
    "copies_that_are_not_counted": (lambda on: on.go_well(Operation("release")), "torn"),
    "every_release_taken_for_the_last": (lambda on: on.go_well(Operation("release")), "torn"),
    "copied_parts_that_are_not_counted": (lambda on: on.go_well(Operation("copy part")), "torn"),
    "replaced_parts_whose_names_are_still_counted": (lambda on: on.go_well(Operation("copy part over")), "torn"),
    "shared_segments_released_as_if_they_were_not": (lambda on: on.go_well(Operation("release")), "torn"),
    "publications_that_miss_a_segment": (lambda on: on.go_well(Operation("publish")), "torn"),
    "publications_that_keep_the_upload": (lambda on: on.go_well(Operation("publish")), "torn"),
    "parts_acknowledged_before_they_are_recorded": (lambda on: on.die(Operation("part"), RECORDING), "lost"),
    "finished_uploads_that_keep_their_parts": (lambda on: on.go_well(Operation("append")), "torn"),
    "joins_that_miss_a_partial_upload": (lambda on: on.go_well(Operation("join")), "torn"),
    "bytes_recorded_before_they_are_written": (lambda on: on.die(Operation("append"), RECORDED), "torn"),
    "versions_left_out_of_the_trash": (lambda on: on.go_well(Operation("delete")), "left"),
    "charges_in_a_transaction_of_their_own": (lambda on: on.die(CREATE, PUBLISHED), "torn: stored_bytes"),
    "bytes_given_back_in_a_transaction_of_their_own": (lambda on: on.die(REPLACE, PUBLISHED), "torn: stored_bytes"),
    "copies_that_are_not_charged": (lambda on: on.go_well(Operation("copy")), "torn: stored_bytes"),
    "copies_to_another_storage_that_are_not_reserved": (lambda on: on.die(RELOCATE, WRITTEN), "left"),
    "objects_deleted_once_they_are_copied": (lambda on: on.die(RELOCATE, Point("commit:before", 2)), "torn"),
    "switches_without_a_compare": (lambda on: on.overtake(RELOCATE, WRITTEN), "torn"),
    "switches_that_leave_the_count_behind": (lambda on: on.go_well(Operation("relocate shared")), "torn"),
    "switches_of_versions_only": (lambda on: on.go_well(Operation("relocate shared")), "torn"),
}

FOUND_IN_SMALL_BLOBS: dict[str, tuple[Run, str]] = {
    "small_objects_added_after_the_commit": (lambda on: on.die(CREATE, Point("commit:after", 1)), "torn"),
    "acknowledgements_before_the_flush": (lambda on: on.die(CREATE, Point("sql.COMMIT:before", 1)), "lost"),
}

# These are planted in a server that is started next to the service.
FOUND_NEXT_TO_IT: dict[str, tuple[Callable[[Scenarios, str], Awaitable[list[str]]], str]] = {
    "a_copy_that_deletes": (Scenarios.copied, "torn"),
    "storages_that_are_not_recognised": (Scenarios.mistaken, "left"),
}


@on("fs")
@pytest.mark.asyncio(loop_scope="class")
@pytest.mark.timeout(300)
class TestPlanted:
    @pytest.mark.parametrize("fault", FOUND_BY)
    async def test_it_is_found(self, scenarios: Scenarios, fault: str) -> None:
        await expect_found(scenarios, fault, *FOUND_BY[fault])

    @pytest.mark.parametrize("fault", FOUND_NEXT_TO_IT)
    async def test_it_is_found_in_another_server(self, scenarios: Scenarios, fault: str) -> None:
        run, finding = FOUND_NEXT_TO_IT[fault]
        assert await run(scenarios, "") == []
        try:
            wrong = await run(scenarios, fault)
        finally:
            await scenarios.service.inspection.clear()
        assert any(each.startswith(finding) for each in wrong), wrong


@on("small")
@pytest.mark.asyncio(loop_scope="class")
@pytest.mark.timeout(300)
class TestPlantedInSmallBlobs:
    @pytest.mark.parametrize("fault", FOUND_IN_SMALL_BLOBS)
    async def test_it_is_found(self, scenarios: Scenarios, fault: str) -> None:
        await expect_found(scenarios, fault, *FOUND_IN_SMALL_BLOBS[fault])


async def expect_found(scenarios: Scenarios, fault: str, run: Run, finding: str) -> None:
    assert await run(scenarios) == []
    await scenarios.service.plant(fault)
    try:
        wrong = await run(scenarios)
    finally:
        await scenarios.service.kill_worker()
        await scenarios.service.inspection.clear()
    assert any(each.startswith(finding) for each in wrong), wrong


def test_there_is_a_scenario_for_each() -> None:
    assert FOUND_BY.keys() | FOUND_IN_SMALL_BLOBS.keys() | FOUND_NEXT_TO_IT.keys() == PLANTED.keys()
