"""Writes that are repeated when the storage fails: each attempt with a key and a reservation of its own."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from adapters.storage.memory import MemoryBlobStore
from application.maintenance.reap import AGAIN
from application.ports.blob_store import Stored
from application.ports.observer import Unobserved
from application.stores import Stores
from application.uploads.replay import KEPT
from application.uploads.retry import Retry
from domain.access import EVERYTHING
from domain.blob import ObjectKey
from domain.errors import BlobError, Kind, Unavailable, error_class
from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from tests.contracts.blob_store import Fault, chunked, each, pattern, refused
from tests.integration.drive import ID, Drive, new_blob

DATA = pattern(KEPT)


class Flaky(MemoryBlobStore):
    """A store that fails so many puts after `taken` chunks, and in each case leaves an object."""

    def __init__(self, failures: int, kind: Kind = Kind.UNAVAILABLE, taken: int | None = None) -> None:
        super().__init__()
        self.put_keys: list[ObjectKey] = []
        self._failures = failures
        self._kind = kind
        self._taken = taken

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        self.put_keys.append(key)
        if len(self.put_keys) > self._failures:
            return await super().put(key, chunks)
        if self._taken is None:
            await super().put(key, chunks)
        else:
            await super().put(key, each([await anext(aiter(chunks)) for _ in range(self._taken)]))
        raise error_class(self._kind)("not now", backend="flaky", subject=key)


class Reports:
    """The retries that were reported."""

    def __init__(self) -> None:
        self.made: list[tuple[str, Kind]] = []

    def __call__(self, backend: str, error: BlobError, seconds: float) -> None:
        self.made.append((backend, error.kind))


def on(drive: Drive, flaky: Flaky, attempts: int = 3) -> tuple[Drive, Reports]:
    """A drive with this storage, and the reports of its retries."""
    changed = Drive(drive.metadata, Stores("flaky", {"flaky": flaky}), drive.time)
    reports = Reports()
    changed.store = replace(changed.store, retry=Retry(attempts, reports, first_wait=0))
    return changed, reports


async def test_each_attempt_has_a_key_and_a_reservation_of_its_own(drive: Drive) -> None:
    flaky = Flaky(2)
    flaky_drive, reports = on(drive, flaky)
    stored = await flaky_drive.store(EVERYTHING, new_blob(ID, chunked(DATA, 1000)))
    assert len(set(flaky.put_keys)) == 3
    assert stored.blob.location.key == flaky.put_keys[-1]
    assert reports.made == [("flaky", Kind.UNAVAILABLE)] * 2
    assert await flaky_drive.get() == DATA


async def test_the_objects_of_failed_attempts_are_deleted_twice(drive: Drive) -> None:
    flaky_drive, _ = on(drive, flaky := Flaky(2))
    stored = await flaky_drive.store(EVERYTHING, new_blob(ID, each([b"x"])))
    for _ in range(2):
        assert (await flaky_drive.reap()).deleted == 2
        assert await flaky_drive.objects() == {stored.blob.location.key}
        for late in flaky.put_keys[:2]:
            await MemoryBlobStore.put(flaky, late, each([b"lands late"]))
        flaky_drive.time.pass_by(AGAIN)
    assert await flaky_drive.metadata.backlog() == []


async def test_no_more_attempts_than_are_set(drive: Drive) -> None:
    flaky_drive, reports = on(drive, flaky := Flaky(3))
    with refused(Kind.UNAVAILABLE):
        await flaky_drive.put(b"x")
    assert (len(flaky.put_keys), len(reports.made)) == (3, 2)
    await flaky_drive.reap()
    assert await flaky_drive.objects() == set()


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.UNAVAILABLE, Kind.ALREADY_EXISTS)])
async def test_only_what_is_unavailable_is_repeated(drive: Drive, kind: Kind) -> None:
    flaky_drive, reports = on(drive, flaky := Flaky(1, kind))
    with refused(kind):
        await flaky_drive.put(b"x")
    assert (len(flaky.put_keys), reports.made) == (1, [])


async def test_a_key_that_is_taken_is_not_used_again(drive: Drive) -> None:
    """As by a request to the backend whose answer was lost, and that its client has repeated."""
    flaky_drive, _ = on(drive, flaky := Flaky(1, Kind.ALREADY_EXISTS))
    await flaky_drive.put(b"x")
    assert len(set(flaky.put_keys)) == 2


async def test_a_body_that_is_too_long_to_be_kept_is_not_sent_again(drive: Drive) -> None:
    flaky_drive, _ = on(drive, flaky := Flaky(1))
    with refused(Kind.UNAVAILABLE):
        await flaky_drive.store(EVERYTHING, new_blob(ID, chunked(pattern(KEPT + 1), 1000)))
    assert len(flaky.put_keys) == 1


async def test_a_long_body_is_sent_again_if_little_was_taken(drive: Drive) -> None:
    flaky_drive, _ = on(drive, Flaky(2, taken=2))
    await flaky_drive.store(EVERYTHING, new_blob(ID, chunked(data := pattern(3 * KEPT), 1000)))
    assert await flaky_drive.get() == data


async def test_the_fault_of_a_source_that_is_taken_for_the_storages_is_not_repeated(drive: Drive) -> None:
    class Misread(Flaky):
        async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
            try:
                return await super().put(key, chunks)
            except Fault:
                raise Unavailable("taken for a fault of its own") from None

    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise Fault

    flaky_drive, _ = on(drive, flaky := Misread(0))
    with refused(Kind.UNAVAILABLE):
        await flaky_drive.store(EVERYTHING, new_blob(ID, failing()))
    assert len(flaky.put_keys) == 1


def test_waits_grow_up_to_a_bound_and_differ() -> None:
    waits = list(Retry(2000).waits())
    assert len(waits) == 1999
    assert waits[0] < waits[2] < waits[4] <= max(waits) <= 2
    assert len(set(waits)) > 1000


class Recorder(Unobserved):
    def __init__(self) -> None:
        self.retries: list[tuple[str, str]] = []

    def retried(self, backend: str, operation: str) -> None:
        self.retries.append((backend, operation))


@pytest.mark.parametrize(
    ("given", "attempts"),
    [
        (Settings(storage="ftp", storage_attempts=5), 5),
        (Settings(storage="database", database_url="postgresql://h/d", storage_attempts=5), 5),
        (Settings(storage="database", storage_attempts=5), 1),
        (Settings(storage="fs", storage_attempts=5), 1),
        (Settings(storage="memory", storage_attempts=5), 1),
        (Settings(storage="s3", storage_attempts=5), 1),
    ],
    ids=["ftp", "PostgreSQL", "SQLite", "fs", "memory", "s3"],
)
def test_attempts_are_those_of_the_settings_where_there_is_a_network(given: Settings, attempts: int) -> None:
    recorder = Recorder()
    retry = Container(settings=given, observer=recorder).store_blob().retry
    assert retry.attempts == attempts
    with capture_logs() as lines:
        retry.report(given.storage, Unavailable("not now"), 0.123)
    assert recorder.retries == [(given.storage, "put")]
    assert lines == [
        {"event": "trying again", "fault": "unavailable: not now", "seconds": 0.12, "log_level": "warning"}
    ]
