"""Chunks of any sizes in pieces of one size."""

import gc
import tracemalloc
from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.storage.chunking import PeekableChunks, rechunk

MIB = 1024 * 1024


async def each(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@given(st.lists(st.binary(max_size=70), max_size=12), st.sampled_from([1, 2, 16, 33, 64]))
async def test_the_bytes_are_the_same_and_the_pieces_of_one_size(chunks: list[bytes], size: int) -> None:
    pieces = [piece async for piece in rechunk(each(chunks), size)]
    assert b"".join(pieces) == b"".join(chunks)
    assert all(len(piece) == size for piece in pieces[:-1])
    assert len(pieces) == max(1, -(-sum(map(len, chunks)) // size))


async def test_pieces_of_one_size_after_the_other() -> None:
    assert [piece async for piece in rechunk(each([b"abcdefghi"]), [1, 2, 3, 4])] == [b"a", b"bc", b"def", b"ghi"]
    assert [piece async for piece in rechunk(each([b"ab", b"c"]), [1, 2])] == [b"a", b"bc"], (
        "no size is taken for nothing"
    )


async def test_a_piece_stays_as_it_was() -> None:
    cut = rechunk(each([b"a" * 40, b"b" * 40, b"c" * 7]), 40)
    first = await anext(cut)
    assert [piece async for piece in cut] == [b"b" * 40, b"c" * 7]
    assert first == b"a" * 40


async def test_the_first_can_be_waited_for_and_is_not_lost() -> None:
    pieces = PeekableChunks(each([b"ab", b"cd", b"e"]), 2)
    assert await pieces.first_size() == 2
    assert [piece async for piece in pieces] == [b"ab", b"cd", b"e"]


async def test_one_piece_is_held_at_a_time() -> None:
    async def generated() -> AsyncIterator[bytes]:
        for _ in range(12 * 16):
            yield bytes(MIB // 16)

    gc.collect()
    tracemalloc.start()
    try:
        pieces = PeekableChunks(generated(), 4 * MIB)
        await pieces.first_size()
        async for piece in pieces:
            assert len(piece) == 4 * MIB
            del piece
        assert tracemalloc.get_traced_memory()[1] < 5 * MIB
    finally:
        tracemalloc.stop()


async def test_a_little_of_a_large_piece_takes_little() -> None:
    """On S3, a part may have hundreds of MiB."""
    gc.collect()
    tracemalloc.start()
    try:
        [piece] = [piece async for piece in rechunk(each([bytes(MIB)] * 8), 100 * MIB)]
        assert len(piece) == 8 * MIB
        assert tracemalloc.get_traced_memory()[1] < 24 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [1, 1000, 4096])
async def test_nothing_at_all_is_one_empty_piece(size: int) -> None:
    assert [piece async for piece in rechunk(each([]), size)] == [b""]
    assert [piece async for piece in rechunk(each([b"", b""]), size)] == [b""]
