"""Keep an object from being reaped while somebody reads it, however long that takes."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from application.ports.metadata import UnitOfWorkFactory
from domain.blob import ObjectKey
from domain.errors import DriveError

RENEWALS = 3  # in a grace, so two may fail


@dataclass(slots=True)
class Hold:
    """A reader's hold on an object. A context, to be entered as soon as the object's row was read.

    An object whose blob is replaced or deleted now is kept for `grace`. A reading that takes longer renews that, so
    many times in a grace, also while its client stalls; a shorter one costs a timer and nothing else. The hold is lost
    if the database can't be used, or the process stands still, for a whole grace.
    """

    units: UnitOfWorkFactory
    key: ObjectKey
    grace: timedelta
    renewals: int = RENEWALS
    _timer: asyncio.TimerHandle | None = None
    _renewing: "asyncio.Task[None] | None" = None

    async def __aenter__(self) -> Self:
        if self.grace:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._start_renewing)
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Stop, without a renewal in progress."""
        if self._timer is not None:
            self._timer.cancel()
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)

    @property
    def _interval(self) -> float:
        return self.grace.total_seconds() / self.renewals

    def _start_renewing(self) -> None:
        self._renewing = asyncio.create_task(self._renew_forever())

    async def _renew_forever(self) -> None:
        while True:
            with suppress(DriveError):  # the next one may succeed
                await self._renew()
            await asyncio.sleep(self._interval)

    async def _renew(self) -> None:
        async with self.units() as work:
            if await work.garbage.hold(self.key, self.grace):
                await work.commit()
