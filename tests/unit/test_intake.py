"""The bytes on their way in: measured and checked."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.uploads.hashing import BATCH, HASH_IN_THREAD, Hashing
from application.uploads.intake import Intake
from domain.blob import Digest
from domain.errors import BlobError, Kind
from tests.contracts.blob_store import each, pattern


def digest(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).digest())


async def consume(intake: Intake) -> list[bytes]:
    return [chunk async for chunk in intake]


async def refused(intake: Intake) -> tuple[Kind, int]:
    """The kind of the error, and how many bytes passed before it."""
    passed: list[bytes] = []

    async def pass_on() -> None:
        async for chunk in intake:
            passed.append(chunk)  # noqa: PERF401 - what passed before the error counts

    with pytest.raises(BlobError) as caught:
        await pass_on()
    return caught.value.kind, sum(map(len, passed))


@given(st.lists(st.integers(0, 10) | st.sampled_from([HASH_IN_THREAD - 1, HASH_IN_THREAD, BATCH]), max_size=6))
async def test_measures_what_passes(sizes: list[int]) -> None:
    chunks = [pattern(size) for size in sizes]
    whole = b"".join(chunks)
    intake = Intake(each(chunks), max_bytes=len(whole), declared_size=len(whole), declared_digest=digest(whole))
    assert await consume(intake) == chunks
    assert (intake.size, intake.digest) == (len(whole), digest(whole))


async def test_chunks_pass_while_a_batch_is_hashed_but_only_for_one_more_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    continues = threading.Event()
    update = Hashing._update

    def wait_and_update(hashing: Hashing, batch: Sequence[bytes]) -> None:
        assert continues.wait(30)
        update(hashing, batch)

    monkeypatch.setattr(Hashing, "_update", wait_and_update)
    whole = pattern(BATCH) * 5
    intake = Intake(each([pattern(BATCH)] * 5), max_bytes=len(whole), declared_digest=digest(whole))
    passed: list[bytes] = []

    async def pass_on() -> None:
        async for chunk in intake:
            passed.append(chunk)  # noqa: PERF401 - counted as they pass

    passing = asyncio.create_task(pass_on())
    for _ in range(100):
        await asyncio.sleep(0)
    assert len(passed) == 1
    continues.set()
    await passing
    assert len(passed) == 5


async def test_too_large_comes_with_the_byte_that_is_one_too_many() -> None:
    assert await consume(Intake(each([b"12345", b"67890"]), max_bytes=10))
    assert await refused(Intake(each([b"12345", b"67890", b"x"]), max_bytes=10)) == (Kind.TOO_LARGE, 10)


async def test_too_large_comes_at_once_if_it_was_declared() -> None:
    asked = False

    async def source() -> AsyncIterator[bytes]:
        nonlocal asked
        asked = True
        yield b""

    assert await refused(Intake(source(), max_bytes=10, declared_size=11)) == (Kind.TOO_LARGE, 0)
    assert not asked


@pytest.mark.parametrize("declared", [4, 6])
async def test_another_size_than_declared(declared: int) -> None:
    kind, _ = await refused(Intake(each([b"123", b"45"]), max_bytes=10, declared_size=declared))
    assert kind is Kind.SIZE_MISMATCH


async def test_another_digest_than_declared() -> None:
    intake = Intake(each([b"12345"]), max_bytes=10, declared_digest=digest(b"12346"))
    assert await refused(intake) == (Kind.DIGEST_MISMATCH, 5)
