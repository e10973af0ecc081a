"""Small blobs: their bytes are stored in the transaction that publishes them.

So there is no upload, and nothing to clean up: a crash leaves the blob, or nothing.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from application.ports.metadata import UnitOfWorkFactory
from application.repeat import repeated
from application.uploads.lifecycle import Change
from application.uploads.unknown_commit import WAITS, require_published
from domain.blob import ObjectKey
from domain.errors import CommitUnknown, Unavailable

T = TypeVar("T")


async def unlimited(size: int) -> None:
    """Allow any number of bytes."""


@dataclass(frozen=True, slots=True)
class SmallBlobs:
    """Blobs of up to `max_bytes`, whose bytes go to the storage in the database of the rows.

    `grace`: for how long an object is kept at least once its blob was replaced or deleted. `require_space` raises
    NO_SPACE if there is none for so many bytes.
    """

    units: UnitOfWorkFactory
    max_bytes: int
    grace: timedelta
    require_space: Callable[[int], Awaitable[None]] = unlimited
    waits: Sequence[float] = WAITS
    monotonic: Callable[[], float] = time.monotonic

    async def publish(self, key: ObjectKey, data: bytes, change: Change[T], is_published: Change[bool]) -> T:
        """Add the object and make `change`, which names it, in one transaction. Return the result of `change`.

        Raises what `change` and `require_space` raise, and UNAVAILABLE and COMMIT_UNKNOWN as `Uploads.publish` does.
        """
        await self.require_space(len(data))
        return await repeated(lambda: self._publish(key, data, change, is_published))

    async def _publish(self, key: ObjectKey, data: bytes, change: Change[T], is_published: Change[bool]) -> T:
        began = self.monotonic()

        async def prevent() -> bool:
            """Wait for the commit, by adding the same object in a unit that is not committed."""
            async with self.units() as work:
                is_absent = await work.objects.add(key, data)
            # After the grace, it may be absent because it was published, replaced by another client, and reaped.
            return is_absent and self.monotonic() - began < self.grace.total_seconds()

        try:
            async with self.units() as work:
                result = await change(work)
                if not await work.objects.add(key, data):
                    raise Unavailable("The key of the object is in use. Store the blob again.", subject=key)
                await work.commit()
        except CommitUnknown as error:
            await require_published(self.units, prevent, is_published, error, self.waits, key)
        return result
