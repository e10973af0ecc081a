"""PostgreSQL."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.backends.containers import Containers
from tests.http import certificates

PASSWORD = "of the tests"
STANDBY = """
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
pg_basebackup --host=/tmp --username=postgres --pgdata=/data/standby --write-recovery-conf --checkpoint=fast
pg_ctl --pgdata=/data/standby --options="-p 5433 -c listen_addresses=* -c unix_socket_directories=/tmp" \
  --log=/tmp/standby.log --wait start
"""


@dataclass(frozen=True)
class Pair:
    """The URLs of a server and of its hot standby, up to and without the name of a database.

    Both have TLS too, with a certificate for `localhost` only. `authority`: the path of the PEM file to trust.
    """

    primary: str
    standby: str
    authority: str


def start(containers: Containers, disk: int | None = None) -> str:
    """Its URL, up to and without the name of a database. With `disk`, its database `small` has so many bytes."""
    tmpfs = {"/small": f"size={disk}"} if disk else None
    container = containers.start(
        "postgres", 5432, "ready to accept connections", tmpfs=tmpfs, POSTGRES_PASSWORD=PASSWORD
    )
    server = _url(container, 5432)
    asyncio.run(as_operator(server, "SELECT 1"))
    if disk:
        container.exec("mkdir /small/tables")
        for statement in ("TABLESPACE small LOCATION '/small/tables'", "DATABASE small TABLESPACE small"):
            asyncio.run(as_operator(server, f"CREATE {statement}"))
    return server


def start_without_syncs(containers: Containers) -> str:
    """Start a server for tests, which never lose power: it waits for no disk. Return the same."""
    server = start(containers)
    _leave_syncs_out(server)
    return server


def _leave_syncs_out(server: str) -> None:
    # Reloaded by all processes, new and old.
    for statement in ("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off"):
        asyncio.run(as_operator(server, statement))
    asyncio.run(as_operator(server, "SELECT pg_reload_conf()"))


def start_for_others(containers: Containers) -> tuple[str, str]:
    """Start a server. Return its URL, without the name of a database, and its address for other containers."""
    container = containers.start("postgres", 5432, "ready to accept connections", POSTGRES_PASSWORD=PASSWORD)
    server = _url(container, 5432)
    _leave_syncs_out(server)
    wrapped = container.get_wrapped_container()
    wrapped.reload()
    [network] = wrapped.attrs["NetworkSettings"]["Networks"].values()
    return server, network["IPAddress"]


def start_pair(containers: Containers) -> Pair:
    """A server that a standby follows, both in one container."""
    certificate, key = certificates.make(containers.folder, "postgresql", places=["localhost"])
    container = containers.start(
        "postgres", 5432, "ready to accept connections", elsewhere=[5433], POSTGRES_PASSWORD=PASSWORD
    )
    primary = _url(container, 5432)
    for name, pem in (("server.crt", certificate), ("server.key", key)):
        _run(container, f"umask 077 && echo '{pem.read_text()}' > $PGDATA/{name}")
    for statement in ("ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"):
        asyncio.run(as_operator(primary, statement))
    _run(container, STANDBY)
    return Pair(primary, _url(container, 5433), str(certificate))


def _url(container: Any, port: int) -> str:
    return f"postgresql://postgres:of%20the%20tests@127.0.0.1:{container.get_exposed_port(port)}"


def _run(container: Any, script: str) -> None:
    ended = container.get_wrapped_container().exec_run(
        ["sh", "-euc", script], environment={"PGPASSWORD": PASSWORD}, user="postgres"
    )
    assert ended.exit_code == 0, ended.output.decode()


def settings(server: str) -> dict[str, str]:
    return {"DATABASE_URL": f"{server}/postgres"}


@contextmanager
def database(server: str, locale: str = "en-US") -> Iterator[str]:
    """The URL of an empty database, removed at the end."""
    name = f"drivebay_{secrets.token_hex(8)}"
    # A language's own order, so that an order by bytes is seen to be the tables' doing.
    create = f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE '{locale}'"
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


async def held(server: str, name: str, *, idle: bool) -> list[tuple[Any, ...]]:
    """Return the sessions that clients have in a database, without or with the idle ones, and the locks of clients.

    The server's own workers come and go there: an autovacuum holds locks too.
    """
    clients = f"FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = '{name}'"
    sessions = f"SELECT state, query {clients}" + ("" if idle else " AND state <> 'idle'")
    locks = f"SELECT mode, '' FROM pg_locks WHERE pid IN (SELECT pid {clients})"  # noqa: S608 - our own name
    return [tuple(row) for row in await as_operator(server, f"{sessions} UNION ALL {locks}")]
