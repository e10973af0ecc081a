"""PostgreSQL."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

from tests.backends.containers import Containers


def start(containers: Containers, disk: int | None = None) -> str:
    """Its URL, up to and without the name of a database. With `disk`, its database `small` has so many bytes."""
    tmpfs = {"/small": f"size={disk}"} if disk else None
    container = containers.start(
        "postgres", 5432, "ready to accept connections", tmpfs=tmpfs, POSTGRES_PASSWORD="of the tests"
    )
    server = f"postgresql://postgres:of%20the%20tests@127.0.0.1:{container.get_exposed_port(5432)}"
    asyncio.run(as_operator(server, "SELECT 1"))
    if disk:
        container.exec("mkdir /small/tables")
        for statement in ("TABLESPACE small LOCATION '/small/tables'", "DATABASE small TABLESPACE small"):
            asyncio.run(as_operator(server, f"CREATE {statement}"))
    return server


def settings(server: str) -> dict[str, str]:
    return {"DATABASE_URL": f"{server}/postgres"}


@contextmanager
def database(server: str) -> Iterator[str]:
    """The URL of an empty database, removed at the end."""
    name = f"drivebay_{secrets.token_hex(8)}"
    # A language's own order, so that an order by bytes is seen to be the tables' doing.
    create = f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
    asyncio.run(as_operator(server, create))
    yield f"{server}/{name}"
    asyncio.run(as_operator(server, f"DROP DATABASE {name} WITH (FORCE)"))


async def as_operator(server: str, statement: str) -> list[asyncpg.Record]:
    """What a statement returns that is made as PostgreSQL's superuser, beside all databases of the tests."""
    connection = await asyncpg.connect(f"{server}/postgres")
    try:
        rows: list[asyncpg.Record] = await connection.fetch(statement)
        return rows
    finally:
        await connection.close()
