"""Lists, compared with what a plain look at all ids gives."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.metadata.memory.rows import Tables
from adapters.metadata.memory.unit_of_work import MemoryMetadata, _Blobs
from application.blobs.list import ListBlobs, end_of
from domain.access import EVERYTHING
from domain.blob import LAST, Blob, BlobId
from tests.contracts.metadata import blob, put, remove

texts = st.text(st.sampled_from(f"ab/%_.- ~\ud7ff\ue000{LAST}"), max_size=6)
id_sets = st.sets(texts.filter(bool), max_size=30)


def entries(ids: set[str], prefix: str, delimiter: str) -> list[str]:
    """What is to be listed, in its order."""
    found = set()
    for blob_id in ids:
        if blob_id.startswith(prefix):
            before, mark, _ = blob_id[len(prefix) :].partition(delimiter) if delimiter else (blob_id, "", "")
            found.add(prefix + before + mark if mark else blob_id)
    return sorted(found)


async def stored(ids: set[str]) -> MemoryMetadata:
    metadata = MemoryMetadata()
    for blob_id in ids:
        await put(metadata, blob(blob_id))
    return metadata


@given(ids=id_sets, prefix=texts, delimiter=st.sampled_from(["", "/", "a", "//", "b/", LAST]), limit=st.integers(1, 12))
@settings(max_examples=400)
async def test_pages_are_what_is_there(ids: set[str], prefix: str, delimiter: str, limit: int) -> None:
    listing = ListBlobs((await stored(ids)).blobs)
    listed: list[str] = []
    following: str | None = ""
    for _ in range(len(ids) + 1):
        assert following is not None
        page = await listing(EVERYTHING, prefix, delimiter, limit, following)
        found = [*(blob.id.value for blob in page.blobs), *page.prefixes]
        assert len(found) <= limit
        assert len(found) == limit or page.following is None
        listed += sorted(found)
        following = page.following
        if following is None:
            break
    assert listed == entries(ids, prefix, delimiter)
    assert following is None


@given(ids=id_sets, others=id_sets, limit=st.integers(1, 5))
@settings(max_examples=200)
async def test_what_is_there_all_the_time_is_listed_once(ids: set[str], others: set[str], limit: int) -> None:
    metadata = await stored(ids)
    coming, going = others - ids, ids & others
    listed: list[str] = []
    following: str | None = ""
    while following is not None:
        page = await ListBlobs(metadata.blobs)(EVERYTHING, "", "", limit, following)
        listed += [blob.id.value for blob in page.blobs]
        following = page.following
        if coming:
            await put(metadata, blob(coming.pop()))
        if going:
            await remove(metadata, BlobId(going.pop()))
    assert set(listed) >= ids - others
    assert listed == sorted(set(listed))


async def test_a_page_reads_one_more_than_it_shows() -> None:
    read = []

    class Counting(_Blobs):
        async def between(self, *args: Any) -> Sequence[Blob]:
            read.append(len(found := await super().between(*args)))
            return found

        async def rolled_up(self, *args: Any) -> Sequence[Blob | str]:
            entries = await _Blobs(Tables(metadata.rows), self._now).rolled_up(*args)
            read.append(len(entries))
            return entries

    metadata = await stored({f"{number % 7}/{number}" for number in range(70)})
    listing = ListBlobs(Counting(Tables(metadata.rows), metadata.now))
    for prefix, delimiter, shown in (("", "", 5), ("", "/", 5), ("3/", "/", 5), ("3/", "", 5), ("3/3", "/", 3)):
        read.clear()
        page = await listing(EVERYTHING, prefix, delimiter, 5, "1")
        assert len(page.blobs) + len(page.prefixes) == shown
        assert sum(read) <= 6


@given(prefix=texts, other=texts)
def test_the_end_of_a_prefix(prefix: str, other: str) -> None:
    end = end_of(prefix)
    assert other.startswith(prefix) == (other >= prefix and (end is None or other < end))
