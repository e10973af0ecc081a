"""Reports on the operations of a database."""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
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

    def transaction(self, *, quick: bool = False, durable: bool = True) -> "_ObservedTransaction":
        timer = OperationTimer(self._observer, self._name, "transaction")
        return _ObservedTransaction(self._database.transaction(quick=quick, durable=durable), timer)


class _ObservedTransaction(Transaction, AbstractAsyncContextManager[Transaction]):
    """A transaction to be entered, which is reported when it is left. Not a generator: every request uses it."""

    def __init__(self, opening: AbstractAsyncContextManager[Transaction], timer: OperationTimer) -> None:
        self._opening = opening
        self._timer = timer
        self._is_committed = False

    async def __aenter__(self) -> Transaction:
        self._timer.__enter__()
        try:
            self._transaction = await self._opening.__aenter__()
        except BaseException as error:
            self._end(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._opening.__aexit__(kind, error, trace)
        except BaseException as other:
            self._end(other)
            raise
        self._end(error)

    def run(self, function: Callable[[Connection, *Args], T], *args: *Args) -> Coroutine[Any, Any, T]:
        return self._transaction.run(function, *args)

    def first(self, statement: Statement, values: Mapping[str, Any]) -> Coroutine[Any, Any, Any]:
        return self._transaction.first(statement, values)

    def defer(self, statement: Statement, values: Mapping[str, Any]) -> Coroutine[Any, Any, None]:
        return self._transaction.defer(statement, values)

    async def commit(self) -> None:
        await self._transaction.commit()
        self._is_committed = True

    def _end(self, error: BaseException | None) -> None:
        self._timer.__exit__(type(error), error, None)
        outcome = "committed" if self._is_committed else "rolled_back"
        self._timer.outcome = "failed" if error is not None and error_label(error) else outcome
        self._timer.end()
