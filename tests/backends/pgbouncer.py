"""PgBouncer in front of a PostgreSQL of its own."""

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.backends import postgresql
from tests.backends.containers import Containers
from tests.backends.postgresql import PASSWORD, as_operator


@dataclass(frozen=True)
class Pgbouncer:
    """The URLs of a server and of its poolers, each up to and without the name of a database.

    `transaction` and `session` are the modes in which they pool. Their settings are the hardest for clients.
    """

    server: str
    transaction: str
    session: str

    async def held(self, name: str) -> list[tuple[Any, ...]]:
        """Return the busy sessions in a database, and the locks in it. Idle sessions are the pooler's, and remain."""
        busy = f"SELECT state, query FROM pg_stat_activity WHERE datname = '{name}' AND state <> 'idle'"  # noqa: S608
        locks = f"SELECT mode, '' FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE datname = '{name}'"  # noqa: S608
        return [tuple(row) for row in await as_operator(self.server, f"{busy} UNION ALL {locks}")]


def start(containers: Containers) -> Pgbouncer:
    server, address = postgresql.start_for_others(containers)
    container = containers.start(
        "pgbouncer",
        6432,
        "pgbouncer: started",
        elsewhere=[6433],
        PGBOUNCER_SERVER=address,
        PGBOUNCER_USER="postgres",
        PGBOUNCER_PASSWORD=PASSWORD,
    )
    transaction, session = (
        server.replace(f":{server.rpartition(':')[2]}", f":{container.get_exposed_port(port)}") for port in (6432, 6433)
    )
    for url in (transaction, session):
        asyncio.run(as_operator(url, "SELECT 1"))
    return Pgbouncer(server, transaction, session)
