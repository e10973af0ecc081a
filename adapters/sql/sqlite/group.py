"""A group of SQLite's transactions that share one COMMIT."""

import asyncio
from copy import copy

from domain.errors import BlobError, CommitUnknown, RolledBack, Unavailable


class Group:
    """Units that share a transaction: `size` of them wait for its COMMIT, and so many `places` are left."""

    def __init__(self) -> None:
        self.size = 0
        self.places = 0
        self.is_in_doubt = False
        self.error: BaseException | None = Unavailable("The transaction was not committed.")
        self._is_over = False
        self._waiting: list[asyncio.Future[None]] = []

    def end(self, error: BaseException | None) -> None:
        self.error = error
        self._is_over = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def over(self) -> None:
        """Wait for the outcome. A cancellation is raised afterwards."""
        cancelled = None
        while not self._is_over:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            try:
                await waiting
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled

    @property
    def unknown(self) -> Unavailable | None:
        """The error of the COMMIT, if it failed and may be in the log all the same.

        It is not there if the disk was full: then its last frame, which completes it, was not written.
        """
        return self.error if self.is_in_doubt and isinstance(self.error, Unavailable) else None

    def raise_error(self) -> None:
        """Raise the error of the COMMIT, if it failed: COMMIT_UNKNOWN if it may be in the log all the same."""
        if self.error is None:
            return
        if (error := self.unknown) is not None:
            raise CommitUnknown(error.detail) from error
        raise copy(self.error) if isinstance(self.error, BlobError) else self.error

    def raise_rolled_back(self) -> None:
        """Raise ROLLED_BACK if the COMMIT failed."""
        if self.error is not None:
            raise RolledBack("SQLite could not commit the changes that this one depends on.") from self.error
