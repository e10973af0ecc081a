"""Proof of the suite of trees: each one that is broken on purpose is caught by the case named for it."""

import pytest

from application.ports.file_tree import TreeError
from tests.contracts import broken_trees
from tests.contracts.file_tree import FileTreeContract
from tests.contracts.leftovers import no_task_left
from tests.contracts.memory_tree import MemoryTree
from tests.contracts.proof import CAUGHT, Case, arguments_of, broken, cases, cases_of


async def run(make: type[MemoryTree], case: Case) -> None:
    """Run a case as pytest does: with each of its parameters, on a new tree."""
    for arguments in arguments_of(case):
        async with no_task_left():
            await case(FileTreeContract(), make(), **arguments)


@pytest.mark.parametrize(("make", "case"), broken(broken_trees))
async def test_a_broken_one_is_caught(make: type[MemoryTree], case: Case) -> None:
    with pytest.raises((*CAUGHT, TreeError)):
        await run(make, case)


@pytest.mark.parametrize("case", cases(broken_trees))
async def test_an_intact_one_passes(case: Case) -> None:
    await run(MemoryTree, case)


def test_each_case_catches_one() -> None:
    assert cases_of(FileTreeContract) == {case.id for case in cases(broken_trees)}
