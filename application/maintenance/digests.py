"""Digests of contents of several segments: computed after the contents were published, at a limited rate.

One replica at a time works on a content: it claims the job, and renews the claim. If a replica dies, its claim expires,
and another one goes on from the last state of the hash that was kept.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from application.ports.contents import ContentReader, DigestJob
from application.ports.hashing import HashFactory
from application.ports.metadata import UnitOfWork, UnitOfWorkFactory
from application.renewals import Renewals
from application.repeat import repeated
from application.stores import Stores
from domain.blob import Digest, Segment
from domain.errors import IntegrityError

T = TypeVar("T")

PAGE = 100  # segments in memory
CLAIM = timedelta(minutes=10)
KEPT_EVERY = 64 * 1024 * 1024  # bytes, at the end of a segment
# Units that were open when the digest was recorded have ended by then.
AGAIN = timedelta(hours=1)
BREATH = 0.05  # seconds: shorter pauses are saved up


@dataclass(frozen=True, slots=True)
class ComputeDigests:
    """Compute the SHA-256 of one content, at up to `rate` bytes per second. Return whether there was one to compute.

    Each segment is compared with its own SHA-256. Raises INTEGRITY if one differs, and what the storage raises: then
    the content is due again once the claim has expired.
    """

    units: UnitOfWorkFactory
    contents: ContentReader
    stores: Stores
    new_hash: HashFactory
    rate: int
    claim: timedelta = CLAIM
    again: timedelta = AGAIN
    kept_every: int = KEPT_EVERY
    monotonic: Callable[[], float] = time.monotonic

    async def __call__(self) -> bool:
        job = await self._claim()
        if job is None:
            return False
        if job.digest is not None:
            await self._set(job, job.digest, timedelta(0))
            return True
        digest = await self._compute(job)
        if digest is not None:
            await self._set(job, digest, self.again)
        return True

    async def _claim(self) -> DigestJob | None:
        async with self.units() as work:
            job = await work.contents.claim_digest(self.claim)
            if job is not None:
                await work.commit()
            return job

    async def _compute(self, job: DigestJob) -> Digest | None:
        """Return the digest, or None if the content was reclaimed."""
        found = None if job.state is None else self.new_hash(job.state)
        if found is None:
            found, job = self.new_hash(None), replace(job, hashed=0, state=None)
        assert found is not None, "a new hash needs no state"
        kept, began, first = job, self.monotonic(), job.hashed
        async with Renewals(lambda: self._keep(kept), self.claim / 3) as renewals:
            renewals.start()
            while page := await self.contents.segments(job.content, job.hashed, PAGE):
                for segment in page:
                    async for chunk in self._chunks(segment):
                        await asyncio.to_thread(found.update, chunk)
                        job = replace(job, hashed=job.hashed + len(chunk))
                        await self._slow_down(began, job.hashed - first)
                    if job.hashed - kept.hashed >= self.kept_every:
                        kept = replace(job, state=found.state())
                        if not await self._keep(kept):
                            return None
        return Digest(found.digest())

    async def _chunks(self, segment: Segment) -> AsyncGenerator[bytes]:
        """Yield the bytes of a segment. Raises INTEGRITY after the last one if they are not those that were stored.

        The digest of the whole must not vouch for bytes that have changed since.
        """
        location, size, hashed = segment.location, 0, hashlib.sha256()
        async with self.stores.holding(location).read(location.key) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                await asyncio.to_thread(hashed.update, chunk)
                yield chunk
        if (size, hashed.digest()) != (segment.size, segment.digest.sha256):
            detail = "A segment has other bytes than those that were stored. Run `drivebay verify --deep`."
            raise IntegrityError(detail, backend=location.backend, subject=location.key)

    async def _slow_down(self, began: float, done: int) -> None:
        ahead = done / self.rate - (self.monotonic() - began)
        if ahead > BREATH:
            await asyncio.sleep(ahead)

    async def _keep(self, job: DigestJob) -> bool:
        return await self._commit(lambda work: work.contents.keep_digest(job, self.claim))

    async def _set(self, job: DigestJob, digest: Digest, again_after: timedelta) -> None:
        await self._commit(lambda work: work.contents.set_digest(job.content, digest, again_after))

    async def _commit(self, change: Callable[[UnitOfWork], Awaitable[T]]) -> T:
        async def unit() -> T:
            async with self.units() as work:
                result = await change(work)
                await work.commit()
                return result

        return await repeated(unit)
