"""Proof of the suite of verifications: each adapter that is broken on purpose is caught by the case named for it."""

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from tests.contracts import broken_verifications, test_verifications
from tests.contracts.leftovers import no_task_left
from tests.contracts.proof import CAUGHT, Case, arguments_of, broken, cases, cases_of
from tests.contracts.verifications import VerificationsContract


async def run(make: type[MemoryMetadata], case: Case) -> None:
    """Run a case as pytest does: with each of its parameters, on a new adapter."""
    for arguments in arguments_of(case):
        async with no_task_left():
            await case(test_verifications.TestMemory(), make(), **arguments)


@pytest.mark.parametrize(("make", "case"), broken(broken_verifications))
async def test_a_broken_one_is_caught(make: type[MemoryMetadata], case: Case) -> None:
    with pytest.raises(CAUGHT):
        await run(make, case)


@pytest.mark.parametrize("case", cases(broken_verifications))
async def test_an_intact_one_passes(case: Case) -> None:
    await run(broken_verifications.Tampered, case)


def test_each_case_catches_one() -> None:
    assert cases_of(VerificationsContract) == {case.id for case in cases(broken_verifications)}
