"""The pieces of one request: while one becomes durable, the next one comes in."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import replace

import pytest

from adapters.storage.layers.base import BlobStoreLayer
from application.blobs.resumable.uploads import NewBytes
from application.ports.blob_store import BlobStore, Stored
from application.stores import Stores
from application.uploads.lifecycle import Uploads
from domain.access import EVERYTHING
from domain.blob import Location, ObjectKey
from domain.errors import Kind, NoSpace
from tests.contracts.blob_store import each, refused
from tests.integration.drive import Drive
from tests.integration.renewing import PATIENCE
from tests.integration.test_contents import SHORT, come_to_rest
from tests.integration.test_resumable import begin, resumable

PIECE = b"0123456789"


class SlowFlushes(BlobStoreLayer):
    """Puts whose bytes have come wait until they may become durable; the put of the number `fails` then fails."""

    def __init__(self, store: BlobStore, fails: int | None = None) -> None:
        super().__init__(store)
        self.may_flush = [asyncio.Event() for _ in range(5)]
        self.came = [asyncio.Event() for _ in range(5)]
        self.puts = 0
        self._fails = fails

    async def put(self, key: ObjectKey, chunks: AsyncIterable[bytes]) -> Stored:
        number, self.puts = self.puts, self.puts + 1
        stored = await super().put(key, chunks)
        self.came[number].set()
        await self.may_flush[number].wait()
        if number == self._fails:
            raise NoSpace("The disk is full.")
        return stored


async def sent() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield PIECE


def slow(drive: Drive, fails: int | None = None) -> tuple[Drive, SlowFlushes]:
    store = SlowFlushes(drive.active, fails)
    return replace(drive, stores=Stores(drive.stores.active, {drive.stores.active: store})), store


async def test_a_piece_comes_in_while_the_one_before_becomes_durable(any_drive: Drive) -> None:
    drive, store = slow(any_drive)
    uploads = resumable(drive, piece_bytes=len(PIECE))
    key = await begin(uploads, size=3 * len(PIECE))
    appending = asyncio.create_task(uploads.append(EVERYTHING, key, NewBytes(0, sent())))
    await store.came[1].wait()
    store.may_flush[1].set()
    found = await drive.metadata.multipart.find(key)
    assert found is not None
    assert found.received == 0  # the second one is durable, but not recorded before the first one
    assert store.puts == 2  # and the third one waits, because no more than two are held
    for event in store.may_flush:
        event.set()
    assert (await appending).is_finished
    assert await drive.get() == 3 * PIECE
    await come_to_rest(any_drive)


async def test_a_piece_keeps_its_lease_while_it_waits_for_the_one_before(drive: Drive) -> None:
    slow_drive, store = slow(drive)
    renewed = asyncio.Queue[ObjectKey]()

    class Watched(Uploads):
        async def renew(self, location: Location) -> bool:
            is_there = await super().renew(location)
            renewed.put_nowait(location.key)
            return is_there

    async def both_are_renewed() -> None:
        """Wait for two renewals of each: the first may have begun before."""
        while not renewed.empty():
            renewed.get_nowait()
        counts = Counter[ObjectKey]()
        async with asyncio.timeout(PATIENCE):
            while len(counts) < 2 or min(counts.values()) < 2:
                counts[await renewed.get()] += 1

    uploads = resumable(slow_drive, piece_bytes=len(PIECE))
    watched = Watched(drive.metadata, slow_drive.stores, SHORT, monotonic=drive.time.monotonic)
    uploads = replace(uploads, multipart=replace(uploads.multipart, uploads=watched))
    key = await begin(uploads, size=2 * len(PIECE))
    appending = asyncio.create_task(uploads.append(EVERYTHING, key, NewBytes(0, each([PIECE, PIECE]))))
    store.may_flush[1].set()
    await store.came[1].wait()
    for _ in range(3):
        await both_are_renewed()
        drive.time.pass_by(SHORT * 2 / 3)
    store.may_flush[0].set()
    assert (await appending).is_finished
    assert await drive.get() == 2 * PIECE


@pytest.mark.parametrize(("fails", "kept"), [(0, 0), (1, 10)])
async def test_pieces_before_one_that_fails_are_kept_and_those_after_are_not(
    any_drive: Drive, fails: int, kept: int
) -> None:
    drive, store = slow(any_drive, fails)
    uploads = resumable(drive, piece_bytes=len(PIECE))
    key = await begin(uploads, size=3 * len(PIECE))
    appending = asyncio.create_task(uploads.append(EVERYTHING, key, NewBytes(0, sent())))
    await store.came[1].wait()
    for event in reversed(store.may_flush[: fails + 1]):
        event.set()
    with refused(Kind.NO_SPACE):
        await appending
    assert (await uploads.progress(EVERYTHING, key)).upload.received == kept
    await uploads.discard(EVERYTHING, key)
    await come_to_rest(any_drive)


async def test_a_piece_that_fails_ends_the_next_one_whose_bytes_do_not_come(any_drive: Drive) -> None:
    drive, store = slow(any_drive, fails=0)
    uploads = resumable(drive, piece_bytes=len(PIECE))
    key = await begin(uploads, size=3 * len(PIECE))
    stalls = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield PIECE
        yield PIECE[:1]
        stalls.set()
        await asyncio.Event().wait()

    appending = asyncio.create_task(uploads.append(EVERYTHING, key, NewBytes(0, stalling())))
    await stalls.wait()
    store.may_flush[0].set()
    async with asyncio.timeout(20):
        with refused(Kind.NO_SPACE):
            await appending
