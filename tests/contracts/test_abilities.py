"""The table of abilities, and those that observe them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.storage.memory import MemoryBlobStore
from application.ports.blob_store import BlobStore, Stored
from domain.blob import ByteRange, ObjectKey
from tests.contracts.abilities import OBSERVED, Ability, as_table
from tests.contracts.broken_stores import Overwrites

README = Path(__file__).with_name("README.md")


class LooksAgainForEachChunk(MemoryBlobStore):
    """Reads half, and then looks for the object once more."""

    @asynccontextmanager
    async def read(self, key: ObjectKey, byte_range: ByteRange | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        async def halves() -> AsyncIterator[bytes]:
            half = len(self._get(key)) // 2
            yield self._get(key)[:half]
            yield self._get(key)[half:]

        yield halves()


class TellsNoTimes(MemoryBlobStore):
    """`stat` returns the size, and no more."""

    async def stat(self, key: ObjectKey) -> Stored:
        return Stored((await super().stat(key)).size)


def test_the_readme_shows_the_table() -> None:
    assert as_table() in README.read_text()


@pytest.mark.parametrize(
    ("ability", "lacks_it"),
    [
        (Ability.EXCLUSIVE_CREATE, Overwrites()),
        (Ability.LARGE_EXCLUSIVE_CREATE, Overwrites()),
        (Ability.READS_OUTLIVE_DELETES, LooksAgainForEachChunk()),
        (Ability.KNOWS_TIMES, TellsNoTimes()),
        (Ability.LOCAL_FILES, MemoryBlobStore()),
    ],
)
async def test_an_ability_that_is_lost_is_missed(ability: Ability, lacks_it: BlobStore) -> None:
    assert not await OBSERVED[ability](lacks_it)
