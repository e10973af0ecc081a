"""A hold on a content: the reaper keeps it while it is read, however long that takes."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from application.ports.metadata import UnitOfWorkFactory
from application.renewals import Renewals
from domain.blob import ObjectKey

RENEWALS = 3  # per grace, so two may fail


@dataclass(slots=True)
class Hold:
    """A reader's hold on a content: a context, entered right after the blob's row was read.

    The content of a blob that is replaced or deleted now is kept for `grace`, and an object that is moved to another
    storage too: `reading` says which segment's object is read. A longer read renews that, `renewals`
    times per grace, also while its client stalls; a shorter one costs only a timer. The hold is lost if the database is
    down, or the process frozen, for a whole grace.
    """

    units: UnitOfWorkFactory
    key: ObjectKey
    grace: timedelta
    renewals: int = RENEWALS
    _object: ObjectKey | None = None
    _renewals: Renewals = field(init=False)

    def __post_init__(self) -> None:
        self._renewals = Renewals(self._renew, self.grace / self.renewals)

    async def __aenter__(self) -> Self:
        if self.grace:
            self._renewals.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._renewals.__aexit__(*exc)

    def reading(self, key: ObjectKey) -> None:
        """Hold the object of a segment, too, and no longer the one before it."""
        self._object = key

    async def _renew(self) -> None:
        async with self.units() as work:
            held = await work.trash.hold(self.key, self.grace)
            if self._object is not None:
                held |= await work.trash.hold(self._object, self.grace)
            if held:
                await work.commit()
