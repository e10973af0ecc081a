"""However much is stored, verifying it takes the same memory."""

import tracemalloc
from collections.abc import AsyncIterator, Iterator, Sequence, Set

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.storage.memory import MemoryBlobStore
from application.ports.blob_store import Stored
from application.ports.metadata import BlobReader
from application.stores import Stores
from application.verification.report import Finding, VerificationListener, VerifyOptions
from application.verification.verify import Verify
from domain.blob import Blob, BlobId, Content, Digest, Location, ObjectKey
from domain.properties import Properties
from tests.contracts.metadata import blob

COUNT = 30_000
STEP = 16**32 // COUNT
ALLOWED = 2 * 1024 * 1024  # bytes: a page of rows and one of keys; all keys alone would be twice that
EVERY = 10  # is an orphan, and another tenth is missing
SAMPLE = blob()


def key(number: int) -> ObjectKey:
    return ObjectKey(f"{number * STEP:032x}")


class Rows(BlobReader):
    """A row for each number that is no orphan's, made when it is asked for."""

    async def find(self, blob_id: BlobId) -> Blob:
        return self.row(int(blob_id.value))

    async def between(self, start: str, stop: str | None, limit: int) -> Sequence[Blob]:
        raise AssertionError

    async def rolled_up(
        self, start: str, stop: str | None, limit: int, prefix: str, delimiter: str
    ) -> Sequence[Blob | str]:
        raise AssertionError

    async def count(self, start: str, stop: str | None, limit: int) -> int:
        raise AssertionError

    async def by_content(self, after: tuple[ObjectKey, str] | None, limit: int) -> Sequence[Blob]:
        first = 0 if after is None else int(after[0].value, 16) // STEP + 1
        numbers = (number for number in range(first, COUNT) if number % EVERY)
        return [self.row(number) for number, _ in zip(numbers, range(limit), strict=False)]

    def row(self, number: int) -> Blob:
        content = Content(Location("memory", key(number)), 1, Digest(bytes(32)))
        return Blob(BlobId(f"{number}"), content, Properties(""), SAMPLE.created_at)


class Objects(MemoryBlobStore):
    async def list(self, after: ObjectKey | None = None) -> AsyncIterator[ObjectKey]:
        for number in range(COUNT):
            if number % EVERY != 1:
                yield key(number)

    async def stat(self, object_key: ObjectKey) -> Stored:
        if (int(object_key.value, 16) // STEP) % EVERY == 1:
            self._get(object_key)
        return Stored(1)


async def named(backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
    return {each for each in keys if (int(each.value, 16) // STEP) % EVERY}


class Count(VerificationListener):
    findings = 0

    def found(self, finding: Finding) -> None:
        self.findings += 1

    def reached(self, step: str, key: ObjectKey) -> None:
        pass


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.timeout(300)
async def test_it_does_not_grow_with_what_is_stored(traced: None) -> None:
    metadata = MemoryMetadata()
    verify = Verify(
        metadata, Rows(), metadata.contents, named, metadata.backlog, Stores("memory", {"memory": Objects()})
    )
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    count = Count()
    result = await verify(VerifyOptions(), count)
    _, peak = tracemalloc.get_traced_memory()
    [tally] = result.counts
    assert (tally.blobs, tally.objects) == (COUNT * 9 // 10, COUNT * 9 // 10)
    assert count.findings == result.wrong == COUNT * 2 // 10
    assert peak - before < ALLOWED, f"{peak - before:,} bytes"
