"""MariaDB."""

import asyncio
import secrets
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import make_url

from adapters.sql.servers.mariadb import connect
from tests.backends.containers import Containers
from tests.http import certificates

TRUST_ANYBODY = ssl.create_default_context()
TRUST_ANYBODY.check_hostname = False
TRUST_ANYBODY.verify_mode = ssl.CERT_NONE


def start(containers: Containers, disk: int | None = None) -> str:
    """Its URL, up to and without the name of a database. With `disk`, its database `small` has so many bytes."""
    tmpfs = {"/small": f"size={disk}"} if disk else None
    container = containers.start("mariadb", 3306, "port: 3306", tmpfs=tmpfs, MARIADB_ROOT_PASSWORD="of the tests")
    server = f"mariadb://root:of%20the%20tests@127.0.0.1:{container.get_exposed_port(3306)}"
    asyncio.run(on_mariadb(server, "CREATE DATABASE drivebay"))
    if disk:
        container.exec("sh -c 'mkdir /small/tables && ln -s /small/tables /data/mariadb/small'")
    return server


def start_in_memory(containers: Containers, command: str = "") -> str:
    """Start a server for tests, which never lose power: its data is in memory. Return the same."""
    container = containers.start(
        "mariadb",
        3306,
        "port: 3306",
        tmpfs={"/memory": ""},
        command=command,
        MARIADB_ROOT_PASSWORD="of the tests",
        MARIADB_DATA="/memory/mariadb",
    )
    server = f"mariadb://root:of%20the%20tests@127.0.0.1:{container.get_exposed_port(3306)}"
    asyncio.run(on_mariadb(server, "CREATE DATABASE drivebay"))
    return server


def start_with_binary_log(containers: Containers) -> str:
    """Start one that refuses triggers of users without SUPER. Return the same."""
    return start_in_memory(containers, "/start.sh --log-bin=/memory/log --server-id=1")


@dataclass(frozen=True)
class MariadbWithTls:
    """The URL of a server that demands TLS, up to and without the name of a database.

    Its certificate is for `localhost` only. `authority`: the path of the PEM file to trust.
    """

    url: str
    authority: str


def start_with_tls(containers: Containers) -> MariadbWithTls:
    certificate, key = certificates.make(containers.folder, "mariadb", places=["localhost"])
    container = containers.start(
        "mariadb",
        3306,
        "port: 3306",
        MARIADB_ROOT_PASSWORD="of the tests",
        MARIADB_TLS_PEM=certificate.read_text() + key.read_text(),
    )
    server = f"mariadb://root:of%20the%20tests@127.0.0.1:{container.get_exposed_port(3306)}"
    asyncio.run(on_mariadb(server, "SELECT 1"))
    return MariadbWithTls(server, str(certificate))


def settings(server: str) -> dict[str, str]:
    return {"DATABASE_URL": f"{server}/drivebay"}


@contextmanager
def database(server: str) -> Iterator[str]:
    """The URL of an empty database, removed at the end."""
    name = f"drivebay_{secrets.token_hex(8)}"
    # A collation that folds what it can, so that a comparison by bytes is seen to be the tables' doing.
    create = f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
    asyncio.run(on_mariadb(server, create))
    yield f"{server}/{name}"
    asyncio.run(on_mariadb(server, f"DROP DATABASE {name}"))


async def on_mariadb(server: str, *statements: str) -> list[tuple[Any, ...]]:
    """What the last of the statements returns, made as MariaDB's superuser, beside all databases of the tests."""
    url = make_url(server)
    connection = await connect(
        host=url.host, port=url.port, user=url.username, password=url.password, ssl=TRUST_ANYBODY
    )
    try:
        async with connection.cursor() as cursor:
            for statement in statements:
                await cursor.execute(statement)
            rows: list[tuple[Any, ...]] = list(await cursor.fetchall())
            return rows
    finally:
        await connection.ensure_closed()
