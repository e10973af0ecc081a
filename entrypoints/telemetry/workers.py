"""The folder in which several processes that serve together keep their metrics, for any of them to add up.

prometheus_client looks at PROMETHEUS_MULTIPROC_DIR when it is imported, so that is to be set before. Another parent of
several processes may set it too, to an empty folder.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
OF_THE_LIVING = re.compile(r"gauge_livesum_(\d+)\.db")


@contextmanager
def shared_folder() -> Iterator[None]:
    """One for this process's children, that is removed at the end. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="drivebay-metrics-", ignore_cleanup_errors=True) as folder:
        before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before


def folder() -> Path | None:
    """That of this process. None if it serves alone."""
    found = os.environ.get(VARIABLE)
    return Path(found) if found else None


def living(folder: Path) -> list[int]:
    """The processes that serve. What the dead have left there is removed, as far as it is of the moment."""
    found = {int(match[1]): path for path in folder.iterdir() if (match := OF_THE_LIVING.fullmatch(path.name))}
    for pid, path in found.items():
        if not _lives(pid):
            path.unlink(missing_ok=True)
    return sorted(pid for pid in found if _lives(pid))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
