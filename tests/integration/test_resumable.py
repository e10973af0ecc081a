"""Uploads that clients resume, from their beginning to the blob, with clients that vanish and replicas that compete."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from adapters.storage.layers.base import BlobStoreLayer
from adapters.storage.memory import MemoryBlobStore
from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.operations import Changed, Operation, Put, Rules
from application.blobs.multipart.copy_part import CopiedPart, CopyPart
from application.blobs.multipart.parts import LIFETIME
from application.blobs.multipart.uploads import MultipartUploads, NewPart, NewUpload
from application.blobs.resumable.finish import Progress
from application.blobs.resumable.uploads import NewBytes, ResumableUploads
from application.concurrency import SharedCalls
from application.ports.contents import MultipartReader, Part, Resumable
from application.stores import Stores
from application.uploads.committer import Committer
from application.uploads.lifecycle import Uploads
from domain.access import EVERYTHING, Conditions, Grant
from domain.blob import BlobId, Digest, Location, ObjectKey
from domain.checksums import Checksums
from domain.errors import BlobError, InvalidParts, Kind, NotFound, ReadOnly
from domain.precondition import CREATE_ONLY, Precondition
from tests.contracts.blob_store import each, refused
from tests.integration.drive import ID, Drive
from tests.integration.losing import WithoutAStandby
from tests.integration.renewing import Renewing
from tests.integration.test_contents import RETENTION, SHORT, come_to_rest, passing

PATIENCE = 30  # seconds
Body = Callable[[], AsyncIterator[bytes]]


def resumable(drive: Drive, **more: Any) -> ResumableUploads:
    """Return the use case as one replica has it."""
    uploads = Uploads(drive.metadata, drive.stores, monotonic=drive.time.monotonic)
    multipart = MultipartUploads(uploads, drive.metadata.multipart, ObjectKey.random, 10**9)
    committer = Committer(drive.metadata, ObjectKey.random)
    return ResumableUploads(multipart, CommitOperations(committer, committer, Rules(RETENTION)), **more)


async def begin(uploads: ResumableUploads, *, size: int | None = None, **more: Any) -> ObjectKey:
    begun = await uploads.begin(EVERYTHING, NewUpload(ID, size=size, resumable=Resumable(**more)))
    return begun.upload.key


async def append(uploads: ResumableUploads, key: ObjectKey, offset: int, *chunks: bytes, **more: Any) -> Progress:
    return await uploads.append(EVERYTHING, key, NewBytes(offset, each(chunks), **more))


async def is_recorded(uploads: ResumableUploads, key: ObjectKey, size: int) -> None:
    """Wait until an upload has so many bytes."""
    for _ in range(PATIENCE * 1000):
        if (await uploads.multipart.find(EVERYTHING, key)).received >= size:
            return
        await asyncio.sleep(0.001)
    raise TimeoutError


class Gone(Exception):
    """The client has gone."""


async def breaking(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    raise Gone


class Hanging:
    """Chunks after which no more come, and no end."""

    def __init__(self, *chunks: bytes) -> None:
        self.hangs = asyncio.Event()
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        self.hangs.set()
        await asyncio.Event().wait()


class Cut(Hanging):
    """Chunks after which the client hangs, until the connection is cut."""

    def __init__(self, *chunks: bytes) -> None:
        super().__init__(*chunks)
        self.is_cut = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        self.hangs.set()
        await self.is_cut.wait()
        raise Gone


class EndsMeanwhile:
    """A reader of uploads. The request with a body that is cut ends when somebody asks which are in progress."""

    def __init__(self, reader: MultipartReader, body: Cut, request: "asyncio.Task[Progress]") -> None:
        self._reader = reader
        self._body = body
        self._request = request

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    async def in_progress(self, key: ObjectKey) -> frozenset[int]:
        self._body.is_cut.set()
        await asyncio.wait({self._request})
        return await self._reader.in_progress(key)


class OvertakenReader:
    """A reader of uploads. When `method` is called for the `number`th time, another request finishes the upload."""

    def __init__(self, reader: MultipartReader, method: str, number: int, finish: Callable[[], Awaitable[Any]]) -> None:
        self._reader = reader
        self._method = method
        self._number = number
        self._finish = finish

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._reader, name)
        return partial(self._late, method) if name == self._method else method

    async def _late(self, method: Callable[..., Awaitable[Any]], *arguments: Any) -> Any:
        self._number -= 1
        if self._number == 0:
            await self._finish()
        return await method(*arguments)


def late(uploads: ResumableUploads, method: str, number: int, finish: Callable[[], Awaitable[Any]]) -> ResumableUploads:
    """Return the use case of a replica that sees what `finish` has done from a certain read on."""
    reader: Any = OvertakenReader(uploads.multipart.reader, method, number, finish)
    return replace(uploads, multipart=replace(uploads.multipart, reader=reader))


class TestAppending:
    async def test_an_upload_is_finished_with_its_last_byte(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        key = await begin(uploads, size=6)
        assert (await append(uploads, key, 0, b"ab", b"c")).upload.received == 3
        with refused(Kind.NOT_FOUND):
            await any_drive.get()
        finished = await append(uploads, key, 3, b"def")
        assert finished.blob is not None
        assert finished.upload.etag == finished.blob.etag
        assert await any_drive.get() == b"abcdef"
        again = await uploads.progress(EVERYTHING, key)
        assert again.is_finished
        assert again.upload.received == 6

    async def test_pieces_of_a_bounded_size(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive, piece_bytes=10)
        key = await begin(uploads, size=35)
        await append(uploads, key, 0, *([b"12345"] * 7))
        assert await any_drive.get() == b"12345" * 7
        assert len(await any_drive.objects()) == 4

    async def test_a_body_that_breaks_keeps_what_arrived(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive, piece_bytes=4)
        key = await begin(uploads, size=9)
        with pytest.raises(Gone):
            await uploads.append(EVERYTHING, key, NewBytes(0, breaking(b"abcd", b"ef", b"g")))
        assert (await uploads.progress(EVERYTHING, key)).upload.received == 7
        await append(uploads, key, 7, b"hi")
        assert await any_drive.get() == b"abcdefghi"

    async def test_a_body_that_is_whole_or_nothing(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive, piece_bytes=4)
        key = await begin(uploads, size=9)
        with pytest.raises(Gone):
            await uploads.append(EVERYTHING, key, NewBytes(0, breaking(b"abcd", b"ef"), is_whole=True))
        assert (await uploads.progress(EVERYTHING, key)).upload.received == 0
        await come_to_rest(any_drive)
        assert await any_drive.objects() == set()

    @pytest.mark.parametrize("offset", [0, 2, 4])
    async def test_the_offset_is_where_the_bytes_end(self, any_drive: Drive, offset: int) -> None:
        uploads = resumable(any_drive)
        key = await begin(uploads, size=9)
        await append(uploads, key, 0, b"abc")
        with refused(Kind.OFFSET_MISMATCH):
            await append(uploads, key, offset, b"x")

    @pytest.mark.parametrize("size", [None, 4])
    async def test_more_bytes_than_declared(self, any_drive: Drive, size: int | None) -> None:
        uploads = resumable(any_drive)
        key = await begin(uploads, size=3)
        with refused(Kind.TOO_LARGE):
            await append(uploads, key, 0, b"abcd", size=size)
        await append(uploads, key, 0, b"abc")
        assert await any_drive.get() == b"abc"

    async def test_a_length_that_comes_later(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        key = await begin(uploads)
        await append(uploads, key, 0, b"ab", length=4)
        with refused(Kind.INCONSISTENT_LENGTH):
            await append(uploads, key, 2, b"c", length=5)
        await append(uploads, key, 2, b"cd")
        assert await any_drive.get() == b"abcd"

    async def test_the_last_bytes_say_so(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        key = await begin(uploads)
        await append(uploads, key, 0, b"ab")
        with refused(Kind.INCONSISTENT_LENGTH):
            await append(uploads, key, 2, b"c", length=7, size=1, is_last=True)
        await append(uploads, key, 2, is_last=True)
        assert await any_drive.get() == b"ab"

    async def test_an_upload_without_bytes(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        progress = await uploads.begin(EVERYTHING, NewUpload(ID, size=0, resumable=Resumable()))
        assert progress.is_finished
        assert await any_drive.get() == b""

    async def test_an_upload_without_an_id_gets_one(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        grant = Grant(EVERYTHING.actions, ("films/", "x"))
        progress = await uploads.begin(grant, NewUpload(size=0))
        assert progress.blob is not None
        assert progress.blob.id == BlobId(f"films/{progress.upload.key}")


class TestFinishing:
    async def test_a_condition_is_checked_early_and_at_the_end(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        key = await begin(uploads, size=3, precondition=CREATE_ONLY)
        blob = await any_drive.put(b"other")
        with refused(Kind.ALREADY_EXISTS):
            await begin(uploads, precondition=CREATE_ONLY)
        with refused(Kind.ALREADY_EXISTS):
            await append(uploads, key, 0, b"abc")
        assert await any_drive.get() == b"other"
        replacing = await begin(uploads, size=3, precondition=Precondition(etags=frozenset({blob.etag})))
        await append(uploads, replacing, 0, b"abc")
        assert await any_drive.get() == b"abc"

    async def test_the_next_request_finishes_what_a_killed_server_has_left(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        key = await begin(uploads, size=3, precondition=CREATE_ONLY)
        blob = await any_drive.put(b"other")
        with refused(Kind.ALREADY_EXISTS):
            await append(uploads, key, 0, b"abc")  # complete, and not published, as after a kill
        with refused(Kind.ALREADY_EXISTS):
            await uploads.progress(EVERYTHING, key)
        async with any_drive.metadata() as work:
            await work.blobs.remove(blob.id, Precondition())
            await work.commit()
        assert (await uploads.progress(EVERYTHING, key)).is_finished
        assert await any_drive.get() == b"abc"

    @pytest.mark.parametrize("piece_bytes", [2, 100])
    async def test_the_digest_of_all_bytes(self, any_drive: Drive, piece_bytes: int) -> None:
        uploads = resumable(any_drive, piece_bytes=piece_bytes)
        digest = Digest(hashlib.sha256(b"abcde").digest())
        wrong = await begin(uploads, size=5, digest=digest)
        with refused(Kind.DIGEST_MISMATCH):
            await append(uploads, wrong, 0, b"ab", b"cd", b"x")
        right = await begin(uploads, size=5, digest=digest)
        await append(uploads, right, 0, b"ab", b"cd", b"e")
        assert await any_drive.get() == b"abcde"
        assert (await any_drive.metadata.blobs.get(ID)).content.digest == digest, "which needs no job then"
        async with any_drive.metadata() as work:
            assert await work.contents.claim_digest(timedelta(0)) is None

    @pytest.mark.parametrize(("has_digest", "number"), [(False, 1), (True, 1), (True, 2), (True, 3)])
    async def test_another_request_finishes_it_first(self, any_drive: Drive, has_digest: bool, number: int) -> None:
        """Another replica publishes the parts, which removes them, before this request has read them."""
        uploads, other = resumable(any_drive, piece_bytes=2), resumable(any_drive)
        key = await begin(uploads, size=5, digest=Digest(hashlib.sha256(b"abcde").digest()) if has_digest else None)
        overtaken = late(uploads, "parts", number, lambda: other.progress(EVERYTHING, key))
        progress = await append(overtaken, key, 0, b"ab", b"cd", b"e")
        assert progress.is_finished
        assert progress.upload.received == 5
        assert await any_drive.get() == b"abcde"

    @pytest.mark.parametrize("number", [1, 2, 3])
    async def test_another_request_discards_it_first(self, any_drive: Drive, number: int) -> None:
        uploads, other = resumable(any_drive, piece_bytes=2), resumable(any_drive)
        key = await begin(uploads, size=5, digest=Digest(hashlib.sha256(b"abcde").digest()))
        overtaken = late(uploads, "parts", number, lambda: other.discard(EVERYTHING, key))
        with refused(Kind.UPLOAD_NOT_FOUND):
            await append(overtaken, key, 0, b"ab", b"cd", b"e")

    @pytest.mark.parametrize("is_sized", [False, True])
    @pytest.mark.parametrize("has_bytes", [False, True])
    async def test_another_request_appends_the_same_and_finishes_it(
        self, any_drive: Drive, has_bytes: bool, is_sized: bool
    ) -> None:
        uploads, other = resumable(any_drive), resumable(any_drive)
        key = await begin(uploads)
        await append(uploads, key, 0, b"ab")
        last = [b"cd"] if has_bytes else []
        end: dict[str, Any] = {"size": 2 * len(last) if is_sized else None, "is_last": True}
        overtaken = late(uploads, "in_progress", 1, lambda: append(other, key, 2, *last, **end))
        appending = append(overtaken, key, 2, *last, **end)
        if has_bytes:
            with refused(Kind.OFFSET_MISMATCH):  # so the client asks for the offset, and learns that all is there
                await appending
        else:
            assert (await appending).is_finished
        assert (await uploads.progress(EVERYTHING, key)).is_finished
        assert await any_drive.get() == b"ab" + b"".join(last)

    @pytest.mark.parametrize("has_digest", [False, True])
    async def test_no_bytes_come_after_the_last_ones(self, any_drive: Drive, has_digest: bool) -> None:
        """Another client appends, once the digest was compared and before the bytes are published."""
        uploads, other = resumable(any_drive), resumable(any_drive)
        key = await begin(uploads, digest=Digest(hashlib.sha256(b"abc").digest()) if has_digest else None)

        class LateCommit(CommitOperations):
            async def one(self, grant: Grant, operation: Operation) -> Changed:
                with refused(Kind.TOO_LARGE):
                    await append(other, key, 3, b"def")
                return await super().one(grant, operation)

        commit = uploads.commit
        late_commit = LateCommit(commit.commit, commit.commit_one, commit.rules)
        assert (await append(replace(uploads, commit=late_commit), key, 0, b"abc", is_last=True)).is_finished
        assert await any_drive.get() == b"abc"

    async def test_bytes_that_come_before_the_length_is_recorded(self, any_drive: Drive) -> None:
        uploads, other = resumable(any_drive), resumable(any_drive)
        key = await begin(uploads)
        overtaken = late(uploads, "find_any", 2, lambda: append(other, key, 3, b"def"))
        with refused(Kind.OFFSET_MISMATCH):
            await append(overtaken, key, 0, b"abc", is_last=True)
        assert not (await uploads.progress(EVERYTHING, key)).is_finished
        await append(uploads, key, 6, b"g", is_last=True)
        assert await any_drive.get() == b"abcdefg"

    async def test_bytes_for_an_upload_that_another_request_has_finished(self, any_drive: Drive) -> None:
        """They are refused, although they come where it ends: their client must not take them for stored."""
        uploads, other = resumable(any_drive), resumable(any_drive)
        key = await begin(uploads)
        await append(uploads, key, 0, b"ab")
        overtaken = late(uploads, "in_progress", 1, lambda: append(other, key, 2, is_last=True))
        with refused(Kind.TOO_LARGE):
            await append(overtaken, key, 2, b"cd", is_last=True)
        with refused(Kind.TOO_LARGE):
            await append(uploads, key, 2, b"", b"cd", is_last=True)
        assert (await append(uploads, key, 2, b"", is_last=True)).is_finished
        assert await any_drive.get() == b"ab"

    async def test_fewer_bytes_than_declared(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        key = await begin(uploads, size=4)
        with refused(Kind.INCONSISTENT_LENGTH):
            await append(uploads, key, 0, b"abc", is_last=True)
        await append(uploads, key, 3, b"d", is_last=True)
        assert await any_drive.get() == b"abcd"

    async def test_it_is_forgotten_after_a_while_and_its_blob_stays(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        key = await begin(uploads, size=3)
        await append(uploads, key, 0, b"abc")
        await uploads.discard(EVERYTHING, key)
        with refused(Kind.UPLOAD_NOT_FOUND):
            await uploads.progress(EVERYTHING, key)
        assert await any_drive.get() == b"abc"

    async def test_an_upload_that_is_discarded_leaves_nothing(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        key = await begin(uploads, size=30)
        await append(uploads, key, 0, b"abc")
        body = Hanging(b"def")
        task = asyncio.create_task(uploads.append(EVERYTHING, key, NewBytes(3, body)))
        await body.hangs.wait()
        await uploads.discard(EVERYTHING, key)
        with refused(Kind.UPLOAD_NOT_FOUND):
            await task
        await come_to_rest(any_drive)
        assert await any_drive.objects() == set()


class TestDigestsOfParts:
    """The bytes of several parts are read again, and each part is compared with what had arrived."""

    DIGEST = Digest(hashlib.sha256(b"abcdef").digest())

    @pytest.mark.parametrize("bytes_lost", [1, 2])
    async def test_damage_is_not_the_fault_of_the_client(self, drive: Drive, bytes_lost: int) -> None:
        class Damaged(BlobStoreLayer):
            @asynccontextmanager
            async def read(self, *arguments: Any) -> AsyncIterator[AsyncIterator[bytes]]:
                async with super().read(*arguments) as chunks:
                    data = b"".join([chunk async for chunk in chunks])
                yield each([data[bytes_lost:]])

        drive.stores = Stores("memory", {"memory": Damaged(drive.active)})
        uploads = resumable(drive, piece_bytes=2)
        key = await begin(uploads, size=6, digest=self.DIGEST)
        with refused(Kind.INTEGRITY):
            await append(uploads, key, 0, b"ab", b"cd", b"ef")

    async def test_an_object_that_is_gone(self, drive: Drive) -> None:
        class Lost(BlobStoreLayer):
            def read(self, key: ObjectKey, *arguments: Any) -> Any:
                raise NotFound(subject=key)

        drive.stores = Stores("memory", {"memory": Lost(drive.active)})
        uploads = resumable(drive, piece_bytes=2)
        key = await begin(uploads, size=6, digest=self.DIGEST)
        with refused(Kind.INTEGRITY):
            await append(uploads, key, 0, b"ab", b"cd", b"ef")

    async def test_requests_share_one_check(self, drive: Drive) -> None:
        """The server was killed before it published, and the client gives up, and asks again."""
        reads, held, may_go_on = list[ObjectKey](), asyncio.Event(), asyncio.Event()
        waiting = asyncio.Semaphore(0)

        class Counted(SharedCalls[Any, Any]):
            async def __call__(self, *arguments: Any) -> Any:
                waiting.release()
                return await super().__call__(*arguments)

        class Held(BlobStoreLayer):
            @asynccontextmanager
            async def read(self, key: ObjectKey, *arguments: Any) -> AsyncIterator[AsyncIterator[bytes]]:
                reads.append(key)
                held.set()
                await may_go_on.wait()
                async with super().read(key, *arguments) as chunks:
                    yield chunks

        drive.stores = Stores("memory", {"memory": Held(drive.active)})
        uploads = resumable(drive, piece_bytes=2, checks=Counted())
        key = await begin(uploads, size=6, digest=self.DIGEST)
        new = NewBytes(0, each([b"ab", b"cd", b"ef"]))
        gone = asyncio.create_task(uploads.append(EVERYTHING, key, new))
        await held.wait()
        asking = [asyncio.create_task(uploads.progress(EVERYTHING, key)) for _ in range(2)]
        async with asyncio.timeout(PATIENCE):
            for _ in (gone, *asking):
                await waiting.acquire()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        may_go_on.set()
        assert all(each.is_finished for each in await asyncio.gather(*asking))
        assert len(reads) == 3, "each part is read once"
        assert await drive.get() == b"abcdef"

    async def test_a_part_that_is_moved_while_it_is_read(self, drive: Drive) -> None:
        class Moving(BlobStoreLayer):
            @asynccontextmanager
            async def read(self, key: ObjectKey, *arguments: Any) -> AsyncIterator[AsyncIterator[bytes]]:
                async with super().read(key, *arguments) as chunks:
                    data = b"".join([chunk async for chunk in chunks])

                async def half() -> AsyncIterator[bytes]:
                    yield data[:1]
                    new = Location("new", ObjectKey.random())
                    await drive.stores.by_name["new"].put(new.key, each([data]))
                    async with drive.metadata() as work:
                        assert await work.moves.switch(Location("memory", key), new, timedelta(0))
                        await work.commit()
                    raise NotFound(subject=key)

                yield half()

        drive.stores = Stores("memory", {"memory": Moving(drive.active), "new": MemoryBlobStore()})
        uploads = resumable(drive, piece_bytes=2)
        key = await begin(uploads, size=6, digest=self.DIGEST)
        assert (await append(uploads, key, 0, b"ab", b"cd", b"ef")).is_finished
        drive.fetch = replace(drive.fetch, stores=drive.stores)
        assert await drive.get() == b"abcdef"


class TestOtherWays:
    """The conditions of a resumable upload are checked only where it is finished."""

    @pytest.mark.parametrize("has_all", [False, True])
    async def test_a_commit_does_not_publish_it(self, any_drive: Drive, has_all: bool) -> None:
        uploads = resumable(any_drive)
        wrong = Digest(hashlib.sha256(b"other").digest())
        key = await begin(uploads, size=3, precondition=CREATE_ONLY, digest=wrong)
        if has_all:
            with refused(Kind.DIGEST_MISMATCH):
                await append(uploads, key, 0, b"abc")
        else:
            await append(uploads, key, 0, b"a")
        for put in (Put(ID, key), Put(ID, key, [1]), Put(ID, key, ends_writers=True)):
            with refused(Kind.INVALID_PARTS):
                await uploads.commit(EVERYTHING, [put])
        assert (await uploads.multipart.find(EVERYTHING, key)).received == (3 if has_all else 1)
        with refused(Kind.NOT_FOUND):
            await any_drive.get()

    async def test_parts_by_number_and_plain_appends_are_refused(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        key = await begin(uploads, size=6)
        await append(uploads, key, 0, b"abc")
        with refused(Kind.INVALID_PARTS):
            await uploads.multipart.append(EVERYTHING, key, 3, NewPart(each([b"XYZ"])))
        for number in (1, 2):
            with refused(Kind.INVALID_PARTS):
                await uploads.multipart.write(EVERYTHING, key, number, NewPart(each([b"XYZ"])))
        await append(uploads, key, 3, b"def")
        assert await any_drive.get() == b"abcdef"

    async def test_a_part_is_not_copied_into_it(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        source = await any_drive.put(b"XYZ")
        key = await begin(uploads, size=3)
        copied = CopiedPart(ID, None, Precondition(), lambda _: Checksums(bytes(16)))
        with refused(Kind.INVALID_PARTS):
            await CopyPart(uploads.multipart, any_drive.metadata.contents)(EVERYTHING, key, 1, copied, source)
        await append(uploads, key, 0, b"abc")
        assert await any_drive.get() == b"abc"


class TestWriters:
    @pytest.mark.parametrize("replicas", [1, 2])
    async def test_asking_for_the_offset_ends_the_request_of_a_dead_connection(
        self, any_drive: Drive, replicas: int
    ) -> None:
        uploads, other = resumable(any_drive, watch=0.01), resumable(any_drive)
        other = uploads if replicas == 1 else other
        key = await begin(uploads, size=9)
        body = Hanging(b"abc", b"de")
        task = asyncio.create_task(uploads.append(EVERYTHING, key, NewBytes(0, body)))
        await body.hangs.wait()
        assert (await other.progress(EVERYTHING, key)).upload.received == 5
        with refused(Kind.INTERRUPTED):
            await task
        await append(other, key, 5, b"fghi")
        assert await any_drive.get() == b"abcdefghi"

    @pytest.mark.parametrize("appends", [False, True])
    async def test_a_request_that_ends_just_then_is_counted(self, any_drive: Drive, appends: bool) -> None:
        """Another replica reads the upload, the bytes are recorded, and then it sees nothing in progress."""
        uploads, other = resumable(any_drive), resumable(any_drive)
        key = await begin(uploads, size=9)
        body = Cut(b"abc", b"de")
        task = asyncio.create_task(uploads.append(EVERYTHING, key, NewBytes(0, body)))
        await body.hangs.wait()
        reader: Any = EndsMeanwhile(any_drive.metadata.multipart, body, task)
        other = replace(other, multipart=replace(other.multipart, reader=reader))
        if appends:
            await append(other, key, 5, b"fghi")
            assert await any_drive.get() == b"abcdefghi"
        else:
            assert (await other.progress(EVERYTHING, key)).upload.received == 5
        with pytest.raises(Gone):
            await task

    async def test_a_replica_that_does_not_react_loses_its_last_piece_only(self, any_drive: Drive) -> None:
        dead, other = resumable(any_drive, watch=3600, piece_bytes=3), resumable(any_drive, patience=0.0)
        key = await begin(dead, size=9)
        body = Hanging(b"abc", b"de")
        task = asyncio.create_task(dead.append(EVERYTHING, key, NewBytes(0, body)))
        await body.hangs.wait()
        await is_recorded(dead, key, 3)  # the piece before the last one
        assert (await other.progress(EVERYTHING, key)).upload.received == 3
        await append(other, key, 3, b"DEFGHI")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await any_drive.get() == b"abcDEFGHI"
        await come_to_rest(any_drive)
        assert len(await any_drive.objects()) == 2

    async def test_a_request_whose_bytes_were_discarded_is_interrupted(self, any_drive: Drive) -> None:
        slow, other = resumable(any_drive, watch=3600), resumable(any_drive, patience=0.0)
        key = await begin(slow, size=5)
        pauses, goes_on = asyncio.Event(), asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            yield b"abc"
            pauses.set()
            await goes_on.wait()
            yield b"de"

        task = asyncio.create_task(slow.append(EVERYTHING, key, NewBytes(0, body())))
        await pauses.wait()
        assert (await other.progress(EVERYTHING, key)).upload.received == 0
        goes_on.set()
        with refused(Kind.INTERRUPTED):
            await task
        await append(other, key, 0, b"ABCDE")
        assert await any_drive.get() == b"ABCDE"

    async def test_two_requests_at_one_offset(self, any_drive: Drive) -> None:
        replicas = [resumable(any_drive, watch=0.01) for _ in range(4)]
        key = await begin(replicas[0], size=5)
        outcomes = await asyncio.gather(
            *(append(each, key, 0, bytes([65 + n]) * 5) for n, each in enumerate(replicas)), return_exceptions=True
        )
        assert sum(isinstance(each, Progress) for each in outcomes) >= 1
        assert all(isinstance(each, Progress | BlobError) for each in outcomes), outcomes
        assert await any_drive.get() in [bytes([65 + n]) * 5 for n in range(4)]

    async def test_a_cancellation_is_not_taken_for_an_interruption(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        key = await begin(uploads, size=9)
        body = Hanging(b"abc")
        task = asyncio.create_task(uploads.append(EVERYTHING, key, NewBytes(0, body)))
        await body.hangs.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await come_to_rest(any_drive)
        assert await any_drive.objects() == set()


class TestJoining:
    async def partial(self, uploads: ResumableUploads, size: int) -> ObjectKey:
        new = NewUpload(size=size, resumable=Resumable(is_partial=True))
        return (await uploads.begin(EVERYTHING, new)).upload.key

    async def test_partial_uploads_become_one_blob(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive, piece_bytes=2)
        first, second = await self.partial(uploads, 3), await self.partial(uploads, 4)
        await append(uploads, second, 0, b"de", b"fg")
        assert not (await append(uploads, first, 0, b"ab", b"c")).is_finished
        final = await uploads.begin(EVERYTHING, NewUpload(ID), [first, second])
        assert final.is_finished
        assert (final.upload.received, final.upload.size) == (7, 7)
        assert await any_drive.get() == b"abcdefg"
        partial = (await uploads.progress(EVERYTHING, first)).upload
        assert partial.received == 3
        for offset in (0, 7):
            with refused(Kind.INVALID_PARTS):
                await append(uploads, final.upload.key, offset, b"x")

    async def test_partial_uploads_that_are_not_complete_yet(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        first, second = await self.partial(uploads, 3), await self.partial(uploads, 4)
        await append(uploads, first, 0, b"abc")
        key = (await uploads.begin(EVERYTHING, NewUpload(ID), [second, first])).upload.key
        progress = await uploads.progress(EVERYTHING, key)
        assert (progress.upload.received, progress.upload.size, progress.is_finished) == (3, 7, False)
        with refused(Kind.INVALID_PARTS):
            await append(uploads, key, 3, b"x")
        with refused(Kind.INVALID_PARTS):
            await uploads.multipart.append(EVERYTHING, key, 0, NewPart(each([b"x"])))
        for number in (1, 2):
            with refused(Kind.INVALID_PARTS):
                await uploads.multipart.write(EVERYTHING, key, number, NewPart(each([b"x"])))
        await append(uploads, second, 0, b"defg")
        assert (await uploads.progress(EVERYTHING, key)).is_finished
        assert await any_drive.get() == b"defgabc"

    async def test_what_can_not_be_joined(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        first, whole = await self.partial(uploads, 3), await begin(uploads, size=3)
        for partials in ([first, first], [whole]):
            with refused(Kind.INVALID_PARTS):
                await uploads.begin(EVERYTHING, NewUpload(ID), partials)
        with refused(Kind.UPLOAD_NOT_FOUND):
            await uploads.begin(EVERYTHING, NewUpload(ID), [ObjectKey.random()])

    async def test_a_client_repeats_the_request_that_joins(self, any_drive: Drive) -> None:
        """Because the response was lost: before the bytes were published, or after it."""
        uploads = resumable(any_drive)
        first, second = await self.partial(uploads, 3), await self.partial(uploads, 3)
        await append(uploads, first, 0, b"abc")
        lost = await uploads.begin(EVERYTHING, NewUpload(ID), [first, second])
        final = await uploads.begin(EVERYTHING, NewUpload(ID), [first, second])
        assert final.upload.key == lost.upload.key
        assert not final.is_finished
        await append(uploads, second, 0, b"def")
        assert (await uploads.progress(EVERYTHING, final.upload.key)).is_finished
        again = await uploads.begin(EVERYTHING, NewUpload(ID), [first, second])
        assert again.upload.key == final.upload.key
        assert again.is_finished
        for others in ([first], [second, first]):
            with refused(Kind.UPLOAD_NOT_FOUND):
                await uploads.begin(EVERYTHING, NewUpload(ID), others)
        assert await any_drive.get() == b"abcdef"

    async def test_the_same_request_several_times_at_once(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        parts = [await self.partial(uploads, 3) for _ in range(3)]
        for n, key in enumerate(parts):
            await append(uploads, key, 0, bytes([97 + n]) * 3)
        replicas = [resumable(any_drive) for _ in range(6)]
        finals = await asyncio.gather(*(each.begin(EVERYTHING, NewUpload(ID), parts) for each in replicas))
        assert len({final.upload.key for final in finals}) == 1
        assert all([(await uploads.progress(EVERYTHING, final.upload.key)).is_finished for final in finals])
        assert await any_drive.get() == b"aaabbbccc"

    async def test_a_partial_upload_belongs_to_one_final_upload(self, any_drive: Drive) -> None:
        uploads = resumable(any_drive)
        first, second = await self.partial(uploads, 3), await self.partial(uploads, 3)
        await append(uploads, first, 0, b"abc")
        final = (await uploads.begin(EVERYTHING, NewUpload(ID), [first, second])).upload.key
        for other, partials in ((ID, [second, first]), (ID, [first]), (BlobId("other"), [first, second])):
            with refused(Kind.INVALID_PARTS):
                await uploads.begin(EVERYTHING, NewUpload(other), partials)
        await uploads.discard(EVERYTHING, final)
        final = (await uploads.begin(EVERYTHING, NewUpload(ID), [second, first])).upload.key
        await append(uploads, second, 0, b"def")
        assert (await uploads.progress(EVERYTHING, final)).is_finished
        assert await any_drive.get() == b"defabc"

    async def test_partial_uploads_with_too_many_parts(self, any_drive: Drive) -> None:
        """Together they have more than one upload may have."""
        uploads = resumable(any_drive)
        partials = [await self.partial(uploads, 3) for _ in range(2)]
        for key in partials:
            last = Part(60_000, Location("memory", ObjectKey.random()), 3, Digest(bytes(32)))
            async with any_drive.metadata() as work:
                await work.multipart.lock(key, LIFETIME)
                await work.multipart.put_part(key, last)
                await work.commit()
        with pytest.raises(InvalidParts, match="120,000 parts, more than 100,000"):
            await uploads.begin(EVERYTHING, NewUpload(ID), partials)


class TestExpiry:
    """An upload expires a lifetime after the last request to it, whether that brought bytes or not."""

    async def passing(self, drive: Drive, uploads: ResumableUploads, key: ObjectKey) -> None:
        """Let three lifetimes pass, with two requests for the offset in each."""
        for _ in range(6):
            drive.time.pass_by(LIFETIME / 2)
            await uploads.progress(EVERYTHING, key)
            await drive.reap()

    async def test_asking_for_the_offset_renews_it(self, drive: Drive) -> None:
        uploads = resumable(drive)
        key = await begin(uploads, size=6)
        await append(uploads, key, 0, b"abc")
        await self.passing(drive, uploads, key)
        assert (await uploads.progress(EVERYTHING, key)).upload.expires_at == drive.time.now + LIFETIME
        await append(uploads, key, 3, b"def")
        assert await drive.get() == b"abcdef"

    @pytest.mark.parametrize("asks_final", [False, True])
    async def test_complete_partial_uploads_wait_for_the_others(self, drive: Drive, asks_final: bool) -> None:
        uploads, is_partial = resumable(drive), Resumable(is_partial=True)
        new = NewUpload(size=3, resumable=is_partial)
        first, second = [(await uploads.begin(EVERYTHING, new)).upload.key for _ in range(2)]
        await append(uploads, first, 0, b"abc")
        final = (await uploads.begin(EVERYTHING, NewUpload(ID), [first, second])).upload.key
        await self.passing(drive, uploads, final if asks_final else second)
        expires_at = (await uploads.progress(EVERYTHING, final)).upload.expires_at
        assert expires_at == drive.time.now + LIFETIME
        await append(uploads, second, 0, b"def")
        assert (await uploads.progress(EVERYTHING, final)).is_finished
        assert await drive.get() == b"abcdef"

    async def test_a_server_that_is_read_only_still_knows_the_offset(self, drive: Drive) -> None:
        uploads = resumable(drive)
        finished = await begin(uploads, size=3)
        await append(uploads, finished, 0, b"abc")
        key = await begin(uploads, size=6)
        await append(uploads, key, 0, b"abc")
        new = NewUpload(size=3, resumable=Resumable(is_partial=True))
        partial = (await uploads.begin(EVERYTHING, new)).upload.key
        final = (await uploads.begin(EVERYTHING, NewUpload(ID), [partial])).upload.key

        def read_only() -> Any:
            raise ReadOnly

        lifecycle: Any = replace(uploads.multipart.uploads, units=read_only)
        committer = Committer(read_only, ObjectKey.random)
        reads = replace(uploads, multipart=replace(uploads.multipart, uploads=lifecycle))
        reads = replace(reads, commit=replace(reads.commit, commit_one=committer))
        assert (await reads.progress(EVERYTHING, finished)).is_finished
        assert (await reads.progress(EVERYTHING, key)).upload.received == 3
        assert (await reads.progress(EVERYTHING, final)).upload.received == 0


async def test_an_upload_whose_end_a_standby_may_lack_is_not_reported_as_finished(drive: Drive) -> None:
    assert isinstance(drive.metadata, MemoryMetadata)
    uploads = resumable(drive)
    key = await begin(uploads, size=3)
    await append(uploads, key, 0, b"ab")
    units = WithoutAStandby(drive.metadata, 1, 100)
    committer = Committer(units, ObjectKey.random, waits=[])
    finishing = replace(uploads, commit=replace(uploads.commit, commit_one=committer))
    with refused(Kind.COMMIT_UNKNOWN):
        await append(finishing, key, 2, b"c", is_last=True)
    assert await drive.get() == b"abc", "others see it"
    with refused(Kind.COMMIT_UNKNOWN):
        await finishing.progress(EVERYTHING, key)
    with refused(Kind.COMMIT_UNKNOWN):
        await append(finishing, key, 3)
    with refused(Kind.COMMIT_UNKNOWN):
        await append(finishing, key, 3, is_last=True, size=0)
    units.losses = 0
    assert (await finishing.progress(EVERYTHING, key)).is_finished
    assert (await append(finishing, key, 3)).is_finished


async def test_the_conditions_of_a_signature_are_kept(any_drive: Drive) -> None:
    uploads = resumable(any_drive)
    conditions = Conditions(max_bytes=4, create_only=True, digest=Digest(hashlib.sha256(b"abcd").digest()))
    signed = Grant(EVERYTHING.actions, conditions=conditions)
    with refused(Kind.TOO_LARGE):
        await uploads.begin(signed, NewUpload(ID, size=5))
    keys = [(await uploads.begin(signed, NewUpload(ID))).upload.key for _ in range(2)]
    with refused(Kind.TOO_LARGE):
        await append(uploads, keys[0], 0, b"abcde")
    for write in (uploads.multipart.append, uploads.multipart.write):  # another way to the same upload
        with refused(Kind.INVALID_PARTS):
            await write(EVERYTHING, keys[0], 0 if write == uploads.multipart.append else 1, NewPart(each([b"abcde"])))
    await append(uploads, keys[0], 0, b"abcd", is_last=True)
    with refused(Kind.ALREADY_EXISTS):
        await append(uploads, keys[1], 0, b"abcd", is_last=True)


class TestLongRequests:
    """Requests that take longer than the lifetime of their upload."""

    def short(self, drive: Drive, renewing: Renewing, **more: Any) -> ResumableUploads:
        uploads = resumable(drive, **more)
        lifecycle = replace(uploads.multipart.uploads, units=renewing)
        return replace(uploads, multipart=replace(uploads.multipart, uploads=lifecycle, lifetime=SHORT))

    @pytest.mark.parametrize("is_whole", [False, True])
    async def test_an_upload_is_kept_while_bytes_arrive(self, drive: Drive, is_whole: bool) -> None:
        renewing = Renewing(drive.metadata)
        uploads = self.short(drive, renewing, watch=0.001)
        key = await begin(uploads, size=5)
        new = NewBytes(0, passing(drive, renewing), is_whole=is_whole)
        assert (await uploads.append(EVERYTHING, key, new)).is_finished
        assert await drive.get() == b"x" * 5

    async def test_an_upload_is_kept_while_its_digest_is_computed(self, drive: Drive) -> None:
        renewing = Renewing(drive.metadata)

        class SlowReads(BlobStoreLayer):
            @asynccontextmanager
            async def read(self, *arguments: Any) -> AsyncIterator[AsyncIterator[bytes]]:
                drive.time.pass_by(SHORT * 2 / 3)
                await renewing.one()
                async with super().read(*arguments) as chunks:
                    yield chunks

        drive.stores = Stores("memory", {"memory": SlowReads(drive.active)})
        uploads = self.short(drive, renewing, piece_bytes=2)
        key = await begin(uploads, size=6, digest=Digest(hashlib.sha256(b"abcdef").digest()))
        assert (await append(uploads, key, 0, b"ab", b"cd", b"ef")).is_finished


async def test_an_upload_expires_without_progress(any_drive: Drive) -> None:
    uploads = resumable(any_drive)
    if any_drive.stores.active == "fs":
        uploads = ResumableUploads(
            MultipartUploads(
                uploads.multipart.uploads, any_drive.metadata.multipart, ObjectKey.random, 10, timedelta(seconds=-1)
            ),
            uploads.commit,
        )
    key = await begin(uploads, size=9)
    any_drive.time.pass_by(timedelta(days=2))
    with refused(Kind.UPLOAD_NOT_FOUND):
        await uploads.progress(EVERYTHING, key)
