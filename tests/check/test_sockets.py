"""Databases that are reached by a Unix socket."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.check.command import check
from tests.check.output import fault, prepare
from tests.unix_relay import relay

pytestmark = pytest.mark.docker


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose path is short: that of a socket may have 107 bytes."""
    return tmp_path_factory.mktemp("s")


def by_socket(url: str, parameters: str) -> tuple[str, int, str]:
    """Return the URL by way of a socket, the server's port, and the name of the database."""
    parsed = make_url(url)
    assert parsed.port
    assert parsed.database
    login = url.partition("://")[2].rpartition("@")[0]
    return f"{parsed.drivername}://{login}@/{parsed.database}?{parameters}", parsed.port, parsed.database


def expect_use(folder: Path, url: str, place: str) -> None:
    prepare(folder, {"DATABASE_URL": url})
    result = check(folder, {"DATABASE_URL": url})
    assert result.states["database"] == "ok"
    assert place in result.parts["database"]["detail"]


@pytest.mark.parametrize("port", [5432, 6000])
def test_postgresql(tmp_path: Path, folder: Path, postgresql_url: str, port: int) -> None:
    parameters = f"host={folder}" if port == 5432 else f"host={folder}&port={port}"
    url, server, name = by_socket(postgresql_url, parameters)
    with relay(folder / f".s.PGSQL.{port}", server):
        expect_use(tmp_path, url, f"PostgreSQL at {folder}, {name}")
    detail, _ = fault(check(tmp_path, {"DATABASE_URL": url}), "database", "connect")
    assert "PostgreSQL can't be reached" in detail


def test_mariadb(tmp_path: Path, folder: Path, mariadb_url: str) -> None:
    path = folder / "mariadb.sock"
    url, server, name = by_socket(mariadb_url, f"unix_socket={path}")
    with relay(path, server):
        expect_use(tmp_path, url, f"MariaDB at {path}, {name}")
    detail, _ = fault(check(tmp_path, {"DATABASE_URL": url}), "database", "connect")
    assert "MariaDB can't be reached" in detail
