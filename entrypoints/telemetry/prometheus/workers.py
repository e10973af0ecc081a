"""The shared folder for the metrics of several workers, any of which adds them up.

Set PROMETHEUS_MULTIPROC_DIR before the import of prometheus_client. Another process manager may set it too, to an empty
folder.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
LIVE_GAUGES = re.compile(r"gauge_livesum_(\d+)\.db")


@contextmanager
def shared_folder() -> Iterator[None]:
    """Create a folder for this process's children, and remove it at the end. Raises OSError."""
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
    """Return the folder of this process, or None if it is the only worker."""
    found = os.environ.get(VARIABLE)
    return Path(found) if found else None


def living(folder: Path) -> list[int]:
    """Return the ids of the live workers. Remove the gauges of dead ones."""
    found = {int(match[1]): path for path in folder.iterdir() if (match := LIVE_GAUGES.fullmatch(path.name))}
    for pid, path in found.items():
        if not _is_alive(pid):
            path.unlink(missing_ok=True)
    return sorted(pid for pid in found if _is_alive(pid))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
