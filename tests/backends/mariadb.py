"""MariaDB."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import aiomysql
from sqlalchemy import make_url

from tests.backends.containers import Containers


def start(containers: Containers, disk: int | None = None) -> str:
    """Its URL, up to and without the name of a database. With `disk`, its database `small` has so many bytes."""
    tmpfs = {"/small": f"size={disk}"} if disk else None
    container = containers.start("mariadb", 3306, "port: 3306", tmpfs=tmpfs, MARIADB_ROOT_PASSWORD="of the tests")
    server = f"mariadb://root:of%20the%20tests@127.0.0.1:{container.get_exposed_port(3306)}"
    asyncio.run(on_mariadb(server, "CREATE DATABASE drivebay"))
    if disk:
        container.exec("sh -c 'mkdir /small/tables && ln -s /small/tables /data/mariadb/small'")
    return server


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
    connection = await aiomysql.connect(host=url.host, port=url.port, user=url.username, password=url.password)
    try:
        async with connection.cursor() as cursor:
            for statement in statements:
                await cursor.execute(statement)
            rows: list[tuple[Any, ...]] = list(await cursor.fetchall())
            return rows
    finally:
        await connection.ensure_closed()
