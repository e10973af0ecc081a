"""`drivebay` on a disk that fails: `python -m tests.faults.failing_flushes serve`.

The next flush of SQLite's log fails once there is a file `fail` in its folder, which is removed: Linux reports a failed
write once. It never writes markers of its own accord, so that flush is the one of a request.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from adapters.sql.sqlite.database import SqliteDatabase
from entrypoints.cli import main as cli
from entrypoints.composition.background import Markers
from tests.contracts.sqlite_flushes import Flushes
from tests.faults.short_leases import keep_nothing

FLAG = "fail"
enter = SqliteDatabase.__aenter__
failures = ExitStack()  # they last as long as the process


class FlaggedFlushes(Flushes):
    def fails(self) -> bool:
        try:
            Path(FLAG).unlink()
        except FileNotFoundError:
            return False
        return True


async def enter_and_fail(database: SqliteDatabase) -> Any:
    entered = await enter(database)
    failures.enter_context(FlaggedFlushes().of(database))
    return entered


if __name__ == "__main__":
    Markers.keep = keep_nothing  # type: ignore[assignment,method-assign]
    SqliteDatabase.__aenter__ = enter_and_fail  # type: ignore[assignment,method-assign]
    cli.main()
