"""Commit several operations on blobs: all of them or none, visible at once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from application.blobs.changes.operations import Changed, Operation, Rules
from application.ports.metadata import UnitOfWork
from application.uploads.committer import Committer
from domain.access import Grant
from domain.blob import BlobId
from domain.errors import BlobError, InvalidCommit

MAX_OPERATIONS = 1000


@dataclass(frozen=True, slots=True)
class CommitOperations:
    """Make up to 1,000 operations in one transaction, in their order, and return their outcomes.

    Each blob is changed by one operation at most, and no operation reads a blob that another one changes. Raises
    INVALID_COMMIT otherwise, FORBIDDEN, and what the operations raise, with `index` as the number of the operation.

    `commit_one` is for single changes of a few rows, and may hold up all requests of the process until it is done.
    """

    commit: Committer
    commit_one: Committer
    rules: Rules

    async def __call__(self, grant: Grant, operations: Sequence[Operation]) -> list[Changed]:
        if not 1 <= len(operations) <= MAX_OPERATIONS:
            detail = f"A commit has 1 to {MAX_OPERATIONS:,} operations, not {len(operations):,}."
            raise InvalidCommit(detail)
        for index, operation in enumerate(operations):
            with _numbered(index):
                operation.authorize(grant)
        _check_ids(operations)
        rules = self.rules.of(grant)
        return await self.commit(lambda work: _apply(work, operations, rules))

    async def one(self, grant: Grant, operation: Operation) -> Changed:
        """Make one operation. Errors have no `index`."""
        operation.authorize(grant)
        rules = self.rules.of(grant)
        commit = self.commit if operation.changes_many else self.commit_one
        return await commit(lambda work: operation.apply(work, rules))


async def _apply(work: UnitOfWork, operations: Sequence[Operation], rules: Rules) -> list[Changed]:
    changed = []
    for index, operation in enumerate(operations):
        with _numbered(index):
            changed.append(await operation.apply(work, rules))
    return changed


@contextmanager
def _numbered(index: int) -> Iterator[None]:
    """Let errors have the number of the operation."""
    try:
        yield
    except BlobError as error:
        error.index = index
        raise


def _check_ids(operations: Sequence[Operation]) -> None:
    changed: dict[BlobId, int] = {}
    for index, operation in enumerate(operations):
        for blob_id in operation.changes:
            if blob_id in changed:
                raise _clash(index, f"changes the blob that operation {changed[blob_id]} changes")
            changed[blob_id] = index
    for index, operation in enumerate(operations):
        for blob_id in operation.reads:
            if changed.get(blob_id, index) != index:
                raise _clash(index, f"reads the blob that operation {changed[blob_id]} changes")


def _clash(index: int, clash: str) -> BlobError:
    error = InvalidCommit(f"Operation {index} {clash}. Name each blob in one operation of a commit.")
    error.index = index
    return error
