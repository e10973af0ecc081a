"""Retention: for how long the content of a removed version is kept."""

from dataclasses import dataclass
from datetime import timedelta

from application.ports.metadata import UnitOfWork
from domain.blob import Blob

GRACE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Retention:
    """A removed version can be restored for `trash`. Open readers have `grace` to finish."""

    grace: timedelta = GRACE
    trash: timedelta = GRACE

    async def keep(self, work: UnitOfWork, removed: Blob | None) -> None:
        """Put a version that was removed in this unit into the trash. None is ignored."""
        if removed is not None:
            await work.trash.add(removed, self.trash, self.grace)


USUAL = Retention()
