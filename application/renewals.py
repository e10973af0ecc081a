"""Renewals in the background, for leases and the like."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from domain.errors import BlobError


@dataclass(slots=True)
class Renewals:
    """Calls `renew` every `interval`, from one interval after `start` until `stop`, or until the context is left.

    A failed renewal is not repeated, because the next one may succeed. An error other than a BlobError, which is a bug,
    goes to the event loop's exception handler, which logs it. Until the first renewal is due, the cost is a timer.
    """

    renew: Callable[[], Awaitable[object]]
    interval: timedelta
    _timer: asyncio.TimerHandle | None = None
    _renewing: "asyncio.Task[None] | None" = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    def start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self.interval.total_seconds(), self._begin)

    async def stop(self) -> None:
        """Stop, and cancel a renewal in progress. Renewals can be started again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
            self._renewing = None

    def _begin(self) -> None:
        self._renewing = asyncio.create_task(self._renew_forever())

    async def _renew_forever(self) -> None:
        while True:
            try:
                await self.renew()
            except BlobError:
                pass
            except Exception as error:  # noqa: BLE001 - logged, and the next renewal may succeed
                # The body goes on: whoever publishes or reads finds out whether the lease was lost.
                asyncio.get_running_loop().call_exception_handler({"message": "a renewal failed", "exception": error})
            await asyncio.sleep(self.interval.total_seconds())
