"""`python -m tests.backends up`: backends for a developer, and the settings that use them; `down` removes them."""

import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.backends import ceph, ftp, mariadb, postgresql
from tests.backends.containers import Containers, engine, labelled, remove

FOLDER = Path.cwd() / "data" / "backends"
LABEL = ("drivebay.up", str(FOLDER))

SERVERS: dict[str, tuple[Callable[[Containers], Any], Callable[[Any], dict[str, str]]]] = {
    "PostgreSQL": (postgresql.start, postgresql.settings),
    "MariaDB": (mariadb.start, mariadb.settings),
    "S3, on Ceph": (ceph.start, ceph.settings),
    "FTP, on vsftpd": (ftp.start_vsftpd, ftp.settings),
}


def up() -> None:
    """Start new ones of all, at the same time, and print the lines for a .env."""
    down()
    FOLDER.mkdir(parents=True)
    with ThreadPoolExecutor() as threads:
        started = {name: threads.submit(start, Containers(LABEL, FOLDER)) for name, (start, _) in SERVERS.items()}
    for name, (_, settings) in SERVERS.items():
        print(f"\n# {name}")
        for setting, value in settings(started[name].result()).items():
            print(f"{setting}={value}")


def down() -> None:
    """Remove them with all that is in them."""
    with engine() as client:
        remove(*labelled(client, "=".join(LABEL)))
    shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    {"up": up, "down": down}[sys.argv[1]]()
