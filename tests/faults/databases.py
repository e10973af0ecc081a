"""The database servers behind a proxy, and a look past it at what they hold for their clients."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from adapters.sql.servers.engine import EngineDatabase
from adapters.sql.servers.mariadb import MariadbConfig, MariadbDatabase
from adapters.sql.servers.postgresql import PostgresqlConfig, PostgresqlDatabase
from tests.backends import postgresql
from tests.backends.mariadb import on_mariadb
from tests.backends.postgresql import as_operator
from tests.proxy import Proxy

PATIENCE = 40  # seconds
DEADLINE = 15  # seconds: less than a deadline that is not set, and more than those of the impatient
IMPATIENT: dict[str, Any] = {"connect_timeout": 2, "pool_timeout": 2, "command_timeout": 2}


@dataclass(frozen=True)
class Server(ABC):
    """A database on a server. `url` is its own, not the proxy's."""

    url: str
    commit: ClassVar[bytes]
    """What the driver sends to commit."""
    ping: ClassVar[bytes]
    """What the driver sends to find out whether a connection works."""
    requests_of_a_write: ClassVar[int]
    """How many it sends to end an upload and to publish a new blob, in one transaction."""

    @abstractmethod
    def database(self, url: str, **config: Any) -> EngineDatabase:
        """An adapter of it by way of `url`, not entered."""

    @abstractmethod
    async def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Ask as the operator, beside the proxy."""

    @abstractmethod
    async def held(self) -> list[tuple[Any, ...]]:
        """The sessions in the database, and the locks in it, that are not the operator's."""

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def address(self) -> str:
        return self.url.rpartition("/")[0]

    @asynccontextmanager
    async def behind_a_proxy(self, **config: Any) -> AsyncIterator[tuple[Proxy, EngineDatabase]]:
        """Nothing may be held there when it is left. The tables are there, so one connection is open, and was made."""
        async with self.database(self.url):
            pass
        async with Proxy(self.url) as proxy:
            async with self.database(proxy.url, **config) as database:
                yield proxy, database
                proxy.go_on()
            for _ in range(int(PATIENCE / 0.05)):  # the server takes a moment to notice that one was closed
                if not (held := await self.held()):
                    break
                await asyncio.sleep(0.05)
            assert held == []


class Postgresql(Server):
    commit = b"COMMIT;"
    ping = b";\0"
    requests_of_a_write = 4

    def database(self, url: str, **config: Any) -> EngineDatabase:
        return PostgresqlDatabase(PostgresqlConfig(url, **config))

    async def ask(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await as_operator(self.address, query)]

    async def held(self) -> list[tuple[Any, ...]]:
        return await postgresql.held(self.address, self.name, idle=True)


class Mariadb(Server):
    commit = b"\x03COMMIT"
    ping = b"\x01\0\0\0\x0e"
    requests_of_a_write = 5  # it asks for the time of the insert

    def database(self, url: str, **config: Any) -> EngineDatabase:
        return MariadbDatabase(MariadbConfig(url, **config))

    async def ask(self, query: str) -> list[tuple[Any, ...]]:
        return await on_mariadb(self.address, query)

    async def held(self) -> list[tuple[Any, ...]]:
        sessions = f"SELECT command, info FROM information_schema.processlist WHERE db = '{self.name}'"  # noqa: S608
        locks = (
            f"SELECT lock_mode, lock_table FROM information_schema.innodb_locks WHERE lock_table LIKE '%{self.name}%'"  # noqa: S608
        )
        return await self.ask(f"{sessions} UNION ALL {locks}")
