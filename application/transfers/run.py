"""The run of a transfer: many files concurrently, with repeated attempts, findings and counts."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from application.concurrency import for_each
from application.maintenance.rate import Rate
from application.ports.file_tree import TreeError
from application.transfers.report import (
    Problem,
    TransferFinding,
    TransferListener,
    TransferOptions,
    TransferReport,
    problem_of,
)
from application.uploads.hashing import Hashing
from application.uploads.retry import ONCE, Retry
from domain.blob import Digest
from domain.errors import BlobError, NoSpace

T = TypeVar("T")
PATIENCE = 20  # errors in a row after which a storage, the database or the tree is considered down


class Gone(Exception):
    """The item was deleted since it was listed, so there is nothing to transfer."""


class _Stopped(Exception):
    """The transfer can't go on. The text says why."""


@dataclass(slots=True)
class Run(Generic[T]):
    """A transfer of many items of one kind. `path_of` returns the path of an item, for people.

    The work for an item raises Gone if its source is missing. What is missing in the target is a finding.
    """

    options: TransferOptions
    listener: TransferListener
    rate: Rate
    path_of: Callable[[T], str]
    retry: Retry = ONCE
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    report: TransferReport = field(default_factory=TransferReport)
    _errors_in_a_row: int = 0

    async def __call__(self, items: AsyncGenerator[T], work: Callable[[T], Awaitable[None]]) -> TransferReport:
        """Do the work for all items, and return the counts. Errors of one item are findings."""

        async def each(item: T) -> None:
            await self._attempt(item, work)
            self.listener.progressed(self.report)

        try:
            async with aclosing(items):
                await for_each(items, each, self.options.at_once)
        except _Stopped as stopped:
            self.report.stopped = str(stopped)
        except (BlobError, TreeError) as error:  # of the items
            self.report.stopped = detail_of(error)
        return self.report

    def count(self, size: int) -> None:
        """Count a file that was transferred, or would be."""
        self.report.files += 1
        self.report.bytes += size

    def find(self, problem: Problem, path: str, detail: str) -> None:
        """Report something that is not transferred."""
        self.report.found[problem] += 1
        self.listener.found(TransferFinding(problem, path, detail))

    async def _attempt(self, item: T, work: Callable[[T], Awaitable[None]]) -> None:
        for wait in (*self.retry.waits(), None):
            try:
                await work(item)
            except Gone:
                pass
            except (TreeError, BlobError) as error:
                if isinstance(error, BlobError) and error.temporary and wait is not None:
                    await self.sleep(wait)
                    continue
                problem = problem_of(error)
                self.find(problem, self.path_of(item), detail_of(error))
                if problem is Problem.FAILED:
                    self._fail(error)
                    return
            self._errors_in_a_row = 0
            return

    def _fail(self, error: TreeError | BlobError) -> None:
        self._errors_in_a_row += 1
        if isinstance(error, NoSpace) or self._errors_in_a_row >= PATIENCE:
            raise _Stopped(detail_of(error)) from error


def detail_of(error: TreeError | BlobError) -> str:
    """Return the text of an error for people."""
    return error.detail if isinstance(error, BlobError) else str(error)


async def digest_of(chunks: AsyncIterable[bytes]) -> Digest:
    """Return the SHA-256 of all chunks."""
    hashing = Hashing()
    try:
        async for chunk in chunks:
            await hashing.add(chunk)
    finally:
        await hashing.finish()
    return Digest(hashing.digest())
