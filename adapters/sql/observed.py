"""A database that is watched at work."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self, TypeVar, TypeVarTuple

from sqlalchemy import Connection

from adapters.operation_timer import OperationTimer, WholeOperationTimer, fault
from adapters.sql.database import Database, Transaction
from application.ports.observer import Observer

T = TypeVar("T")
Args = TypeVarTuple("Args")


class ObservedDatabase(Database):
    """Reports each read and each transaction to `observer`, under the database's name."""

    def __init__(self, database: Database, name: str, observer: Observer) -> None:
        self._database = database
        self._name = name
        self._observer = observer

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._database.__aexit__(*exc)

    async def read(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        with WholeOperationTimer(self._observer, self._name, "read"):
            return await self._database.read(function, *args)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        watch = OperationTimer(self._observer, self._name, "transaction")
        watch.outcome = "rolled_back"
        try:
            with watch:
                async with self._database.transaction() as transaction:
                    yield _Transaction(transaction, watch)
        except BaseException as error:
            watch.outcome = "failed" if fault(error) else watch.outcome
            raise
        finally:
            watch.end()


class _Transaction(Transaction):
    def __init__(self, transaction: Transaction, watch: OperationTimer) -> None:
        self._transaction = transaction
        self._watch = watch

    async def run(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        return await self._transaction.run(function, *args)

    async def commit(self) -> None:
        await self._transaction.commit()
        self._watch.outcome = "committed"
