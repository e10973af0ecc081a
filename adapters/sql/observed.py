"""Reports on the operations of a database."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self, TypeVar, TypeVarTuple

from sqlalchemy import Connection

from adapters.operation_timer import OperationTimer, WholeOperationTimer, error_label
from adapters.sql.database import Database, Transaction
from adapters.sql.statement import Statement
from application.ports.observer import Observer

T = TypeVar("T")
Args = TypeVarTuple("Args")


class ObservedDatabase(Database):
    """Reports each read and each transaction to `observer`, under the database's name."""

    def __init__(self, database: Database, name: str, observer: Observer) -> None:
        self._database = database
        self.concurrency = database.concurrency
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

    async def first(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        with WholeOperationTimer(self._observer, self._name, "read"):
            return await self._database.first(statement, values)

    @asynccontextmanager
    async def transaction(self, *, quick: bool = False, durable: bool = True) -> AsyncIterator[Transaction]:
        timer = OperationTimer(self._observer, self._name, "transaction")
        timer.outcome = "rolled_back"
        try:
            with timer:
                async with self._database.transaction(quick=quick, durable=durable) as transaction:
                    yield _Transaction(transaction, timer)
        except BaseException as error:
            timer.outcome = "failed" if error_label(error) else timer.outcome
            raise
        finally:
            timer.end()


class _Transaction(Transaction):
    def __init__(self, transaction: Transaction, timer: OperationTimer) -> None:
        self._transaction = transaction
        self._timer = timer

    async def run(self, function: Callable[[Connection, *Args], T], *args: *Args) -> T:
        return await self._transaction.run(function, *args)

    async def first(self, statement: Statement, values: Mapping[str, Any]) -> Any:
        return await self._transaction.first(statement, values)

    async def defer(self, statement: Statement, values: Mapping[str, Any]) -> None:
        await self._transaction.defer(statement, values)

    async def commit(self) -> None:
        await self._transaction.commit()
        self._timer.outcome = "committed"
