"""Contract tests for the rows of resumable uploads, against every adapter."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from application.ports.contents import MultipartUpload, Resumable
from application.ports.metadata import UnitOfWork
from domain.blob import Digest, Location, ObjectKey
from domain.precondition import CREATE_ONLY, Precondition
from tests.contracts.contents import (
    FULL,
    PAST,
    SOON,
    Contract,
    after_another,
    begin,
    garbage,
    lock,
    part,
    parts_in_progress,
    put_part,
    reserve,
    upload_to,
)
from tests.contracts.metadata import LONG, Metadata, in_a_unit, location

KEYS = tuple(ObjectKey(f"{number:032x}") for number in range(1000))
URLS = [f"https://drivebay.example.com/v1/tus/{key}" for key in KEYS]
PRECONDITIONS = [
    Precondition(),
    CREATE_ONLY,
    Precondition(absent=True),
    Precondition(present=True),
    Precondition(etags=frozenset()),
    Precondition(etags=frozenset({'"a"', '"☺ \\ \' 😀"'}), not_etags=frozenset({'"b"'})),
    Precondition(unmodified_since=PAST),
]
RESUMABLE = [
    *(Resumable(each) for each in PRECONDITIONS),
    Resumable(digest=Digest(bytes(range(32))), max_bytes=0),
    Resumable(max_bytes=2**62, metadata='filename d29ybGQ=,empty,"☺"'),
    Resumable(partials=KEYS, joins=f"final;{' '.join(URLS)}"),
    Resumable(is_partial=True, final=KEYS[3]),
    Resumable(partials=KEYS[:100], joins="final;/a /b"),
]


async def change(metadata: Metadata, key: ObjectKey, method: str, *arguments: object) -> Any:
    """Call a method on an upload that is locked in a unit."""

    async def unit(work: UnitOfWork) -> Any:
        assert await work.multipart.lock(key, LONG) is not None
        return await getattr(work.multipart, method)(*arguments)

    return await in_a_unit(metadata, unit)


async def finish(metadata: Metadata, key: ObjectKey, lifetime: timedelta = LONG) -> None:
    await change(metadata, key, "finish", key, '"etag"', lifetime)


async def join(metadata: Metadata, final: ObjectKey, partial: ObjectKey) -> None:
    async def unit(work: UnitOfWork) -> None:
        for key in sorted([final, partial]):
            assert await work.multipart.lock(key, LONG) is not None
        await work.multipart.join(final, partial)

    await in_a_unit(metadata, unit)


class ResumableContract(Contract):
    """Uploads whose bytes are appended, until they become blobs."""

    @pytest.mark.parametrize("resumable", RESUMABLE)
    async def test_it_is_found_as_it_was_added(self, metadata: Metadata, resumable: Resumable) -> None:
        added = await begin(metadata, upload_to(properties=FULL, resumable=resumable))
        assert added.resumable == resumable
        assert await metadata.multipart.find(added.key) == added
        assert await metadata.multipart.between("", None, None, 10) == [added]
        assert (await begin(metadata, upload_to())).resumable is None

    async def test_its_size_may_come_later(self, metadata: Metadata) -> None:
        added = await begin(metadata, upload_to(properties=FULL, resumable=RESUMABLE[0]))
        other = await begin(metadata, upload_to(resumable=RESUMABLE[0]))
        await put_part(metadata, added.key, part(1, 5))
        for size, resumable in ((2**62, RESUMABLE[0]), (2**62, RESUMABLE[-2])):
            await change(metadata, added.key, "update", replace(added, size=size, resumable=resumable))
            found = await metadata.multipart.find(added.key)
            assert found is not None
            expected = replace(added, size=size, resumable=resumable, received=5, expires_at=found.expires_at)
            assert found == expected
        assert await metadata.multipart.find(other.key) == other

    async def test_interruptions_are_counted(self, metadata: Metadata) -> None:
        added, other = await begin(metadata, upload_to()), await begin(metadata, upload_to())
        for count in (1, 2):
            await in_a_unit(metadata, lambda work: work.multipart.interrupt(added.key))
            assert await metadata.multipart.find(added.key) == replace(added, interruptions=count)
        await in_a_unit(metadata, lambda work: work.multipart.interrupt(ObjectKey.random()))
        assert await metadata.multipart.find(other.key) == other

    async def test_all_writers_of_an_upload_are_ended(self, metadata: Metadata) -> None:
        added, other = await begin(metadata, upload_to()), await begin(metadata, upload_to())
        writers = [location(backend) for backend in ("fs", "s3", "fs")]
        for number, each in enumerate(writers, 1):
            await reserve(metadata, added.key, number, each)
        kept = location()
        await reserve(metadata, other.key, 1, kept)
        plain = location()
        await in_a_unit(metadata, lambda work: work.uploads.add(plain, LONG))

        async def end(key: ObjectKey) -> Sequence[Location]:
            return await in_a_unit(metadata, lambda work: work.multipart.end_writers(key))

        assert sorted(await end(added.key), key=lambda each: each.key) == sorted(writers, key=lambda each: each.key)
        assert await end(added.key) == []
        assert await parts_in_progress(metadata, added.key) == frozenset()
        assert await metadata.multipart.in_progress(other.key) == {1}
        for each, is_there in (*((each, False) for each in writers), (kept, True), (plain, True)):
            assert await in_a_unit(metadata, lambda work, at=each: work.uploads.remove(at.key)) is is_there  # type: ignore[misc]

    async def test_the_last_number_of_a_part(self, metadata: Metadata) -> None:
        added, other = await begin(metadata, upload_to()), await begin(metadata, upload_to())
        await put_part(metadata, other.key, part(100_000))

        async def last() -> int:
            return await in_a_unit(metadata, lambda work: work.multipart.last_number(added.key))

        assert await last() == 0
        for number, expected in ((9, 9), (10, 10), (2, 10)):
            await put_part(metadata, added.key, part(number))
            assert await last() == expected

    async def test_the_parts_of_another_upload_are_appended(self, metadata: Metadata) -> None:
        final, first, second, empty = [await begin(metadata, upload_to()) for _ in range(4)]
        of_first = [part(1, 2**40, "s3"), part(2, 3)]
        of_second = [part(1, 0), part(2, 5), part(3, 7)]
        for upload, parts in ((first, of_first), (second, of_second)):
            for each in parts:
                await put_part(metadata, upload.key, each)
        for partial in (second, empty, first):
            await join(metadata, final.key, partial.key)
        joined = [replace(each, number=number) for number, each in enumerate([*of_second, *of_first], 1)]
        assert await metadata.multipart.parts(final.key, 0, 10) == joined
        assert await metadata.multipart.parts(first.key, 0, 10) == []
        found = [await metadata.multipart.find(each.key) for each in (final, first)]
        assert [each.received for each in found if each] == [2**40 + 15, 2**40 + 3]

    async def test_a_finished_upload_is_found_as_such_only(self, metadata: Metadata) -> None:
        added = await begin(metadata, upload_to(properties=FULL, size=5, resumable=RESUMABLE[1]))
        other = await begin(metadata, upload_to())
        await put_part(metadata, added.key, part(1, 5))
        for each in (added, other):
            assert await metadata.multipart.find_any(each.key) == await metadata.multipart.find(each.key)
        before = await self.now(metadata)
        await finish(metadata, added.key)
        async with metadata() as work:
            for reader in (metadata.multipart, work.multipart):
                found = await reader.find_any(added.key)
                assert found is not None
                assert before + LONG <= found.expires_at <= await self.now(metadata) + LONG
                assert found == replace(added, received=5, etag='"etag"', expires_at=found.expires_at)
                assert await reader.find(added.key) is None
                assert await reader.between("", None, None, 10) == [other]
                assert await reader.parts(added.key, 0, 10) == []
        assert await lock(metadata, added.key) is None
        assert await garbage(metadata) == []

    async def test_a_finished_upload_is_forgotten(self, metadata: Metadata) -> None:
        over, discarded, kept = [await begin(metadata, upload_to()) for _ in range(3)]
        for each, lifetime in ((over, SOON), (discarded, LONG), (kept, LONG)):
            await finish(metadata, each.key, lifetime)
        found = await metadata.multipart.find_any(over.key)
        assert found is not None
        await self.wait_until(metadata, found.expires_at)
        assert await metadata.multipart.find_any(over.key) is None
        assert await in_a_unit(metadata, lambda work: work.multipart.discard(discarded.key))
        assert await in_a_unit(metadata, lambda work: work.multipart.discard_expired(10)) == 1
        left = [await metadata.multipart.find_any(each.key) for each in (over, discarded, kept)]
        assert [each.key for each in left if each] == [kept.key]
        assert not await in_a_unit(metadata, lambda work: work.multipart.discard(over.key))

    async def test_it_is_finished_by_one(self, metadata: Metadata) -> None:
        added = await begin(metadata, upload_to())

        async def first(work: UnitOfWork) -> None:
            assert await work.multipart.lock(added.key, LONG) is not None
            await work.multipart.finish(added.key, '"etag"', LONG)

        async def second(work: UnitOfWork) -> MultipartUpload | None:
            return await work.multipart.lock(added.key, LONG)

        assert await after_another(metadata, first, second) is None

    @pytest.mark.parametrize("method", ["update", "interrupt", "end_writers", "join", "finish"])
    async def test_a_change_that_is_not_committed_is_not_made(self, metadata: Metadata, method: str) -> None:
        added = await begin(metadata, upload_to(resumable=RESUMABLE[0]))
        partial = await begin(metadata, upload_to())
        await put_part(metadata, added.key, part(1))
        await put_part(metadata, partial.key, part(1))
        await reserve(metadata, added.key, 2, location())
        arguments: dict[str, tuple[Any, ...]] = {
            "update": (replace(added, size=7),),
            "join": (added.key, partial.key),
            "finish": (added.key, '"etag"', LONG),
        }
        rows = await self.rows(metadata)
        async with metadata() as work:
            await getattr(work.multipart, method)(*arguments.get(method, (added.key,)))
        assert await self.rows(metadata) == rows
        await in_a_unit(metadata, lambda work: getattr(work.multipart, method)(*arguments.get(method, (added.key,))))
        assert await self.rows(metadata) != rows or not rows
