"""The status: what is still to be done."""

from datetime import timedelta
from typing import Any

import pytest

from domain.blob import Digest, Location, ObjectKey, Segment
from tests.integration.drive import Drive

PAUSE = timedelta(minutes=1)


@pytest.mark.parametrize("is_hashed", [True, False])
async def test_contents_to_hash_are_counted(any_drive: Drive, is_hashed: bool) -> None:
    metadata: Any = any_drive.metadata
    key, digest = ObjectKey.random(), Digest(bytes(32))
    async with metadata() as work:
        await work.contents.add(key, [Segment(Location("fs", ObjectKey.random()), 0, 1, digest)])
        await work.commit()
    if is_hashed:
        async with metadata() as work:
            await work.contents.set_digest(key, digest, PAUSE)
            await work.commit()
    assert await metadata.undigested() == (not is_hashed)
