"""PgBouncer in front of a PostgreSQL of its own."""

import asyncio
from dataclasses import dataclass
from typing import Any

from tests.backends import postgresql
from tests.backends.containers import Containers
from tests.backends.postgresql import PASSWORD


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
        return await postgresql.held(self.server, name, idle=False)


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
        asyncio.run(postgresql.as_operator(url, "SELECT 1"))
    return Pgbouncer(server, transaction, session)
