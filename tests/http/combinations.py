"""Every database with every storage, as the settings of a server."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.backends import ceph, ftp, mariadb, postgresql
from tests.backends.run import Backends


@dataclass(frozen=True)
class Combination:
    database: str
    storage: str

    @property
    def needs_docker(self) -> bool:
        return self.database != "SQLite" or self.storage in ("s3", "ftp")

    @property
    def param(self) -> "pytest.ParameterSet":
        marks = [pytest.mark.docker] if self.needs_docker else []
        return pytest.param(self, id=f"{self.database} and {self.storage}", marks=marks)

    @property
    def next_storage(self) -> str:
        """Another one, that needs no Docker if this one does not."""
        among = STORAGES if self.needs_docker else STORAGES[:2]
        return among[(among.index(self.storage) + 1) % len(among)]

    @contextmanager
    def settings(self, backends: Backends) -> Iterator[dict[str, Any]]:
        """Those for a database and a storage that are empty. Every storage can be read, and `storage` is written."""
        with ExitStack() as stack:
            settings: dict[str, str] = {}
            if self.needs_docker:
                bucket = stack.enter_context(ceph.bucket(backends.address(ceph.start)))
                settings |= ceph.settings(bucket) | ftp.settings(backends.address(ftp.start_vsftpd))
                settings |= {"FTP_BASE_DIR": secrets.token_hex(8)}
            if self.database == "PostgreSQL":
                url = stack.enter_context(postgresql.database(backends.address(postgresql.start_without_syncs)))
                settings |= {"DATABASE_URL": url}
            if self.database == "MariaDB":
                url = stack.enter_context(mariadb.database(backends.address(mariadb.start_in_memory)))
                settings |= {"DATABASE_URL": url}
            yield settings | {"STORAGE": self.storage, "MASTER_KEY": "m" * 40}


DATABASES = ["SQLite", "PostgreSQL", "MariaDB"]
STORAGES = ["fs", "database", "s3", "ftp"]
ALL = [Combination(database, storage) for database in DATABASES for storage in STORAGES]
# Each database and each storage at least once.
DIAGONAL = [
    Combination("SQLite", "fs"),
    Combination("PostgreSQL", "s3"),
    Combination("MariaDB", "ftp"),
    Combination("PostgreSQL", "database"),
]
