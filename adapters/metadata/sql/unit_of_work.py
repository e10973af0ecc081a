"""Metadata in a SQL database: its units of work are transactions."""

from collections.abc import Callable, Coroutine, Sequence, Set
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import cached_property
from typing import Any, Self, TypeVar, cast

from adapters.metadata.sql import references
from adapters.metadata.sql import storages as sql_storages
from adapters.metadata.sql.access.balance import Balance, settle
from adapters.metadata.sql.access.keys import SqlKeys
from adapters.metadata.sql.access.shares import SqlShares
from adapters.metadata.sql.blobs.blobs import SqlBlobs
from adapters.metadata.sql.blobs.buckets import SqlBuckets
from adapters.metadata.sql.blobs.trash import SqlTrash
from adapters.metadata.sql.commits import SqlCommits
from adapters.metadata.sql.contents.contents import SqlContents
from adapters.metadata.sql.contents.garbage import SqlGarbage
from adapters.metadata.sql.contents.moves import SqlMoves
from adapters.metadata.sql.contents.multipart import SqlMultipart
from adapters.metadata.sql.contents.objects import SqlObjects
from adapters.metadata.sql.contents.uploads import SqlUploads
from adapters.metadata.sql.storages import SqlStorages
from adapters.metadata.sql.verifications import SqlVerifications
from adapters.sql.database import Database, Transaction
from application.ports.buckets import BucketReader
from application.ports.contents import ContentReader, MultipartReader, TrashReader
from application.ports.keys import KeyReader
from application.ports.metadata import (
    Backlog,
    BlobAndBytesReader,
    BlobReader,
    KnownStorage,
    UnitOfWork,
    UnitOfWorkFactory,
)
from application.ports.moves import MoveReader
from application.ports.shares import ShareReader
from application.ports.verifications import VerificationReader
from domain.blob import ObjectKey
from domain.errors import ReadOnly

T = TypeVar("T")


def _made_on_use(make: "Callable[[SqlUnitOfWork], T]") -> T:
    """Declare an attribute that is made when it is first used."""
    return cast("T", cached_property(make))


class SqlUnitOfWork(UnitOfWork):
    """A transaction, as the port's repositories, of which most units use two."""

    transaction: Transaction
    balance: Balance = _made_on_use(lambda _: Balance())
    blobs = _made_on_use(lambda work: SqlBlobs(work.transaction.run, work.transaction.first))
    uploads = _made_on_use(lambda work: SqlUploads(work.transaction))
    garbage = _made_on_use(lambda work: SqlGarbage(work.transaction.run))
    storages = _made_on_use(lambda work: SqlStorages(work.transaction.run))
    objects = _made_on_use(lambda work: SqlObjects(work.transaction.run))
    trash = _made_on_use(lambda work: SqlTrash(work.transaction.run, work.balance))
    contents = _made_on_use(lambda work: SqlContents(work.transaction.run, work.transaction.first))
    multipart = _made_on_use(lambda work: SqlMultipart(work.transaction.run, work.transaction.first))
    moves = _made_on_use(lambda work: SqlMoves(work.transaction.run))
    commits = _made_on_use(lambda work: SqlCommits(work.transaction.run))
    keys = _made_on_use(lambda work: SqlKeys(work.transaction.run, work.balance))
    shares = _made_on_use(lambda work: SqlShares(work.transaction.run))
    buckets = _made_on_use(lambda work: SqlBuckets(work.transaction.run))
    verifications = _made_on_use(lambda work: SqlVerifications(work.transaction.run))

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction

    async def commit(self) -> None:
        if vars(self).get("balance"):
            await self.transaction.run(settle, self.balance)
        await self.transaction.commit()


class _OpenUnit(AbstractAsyncContextManager[UnitOfWork]):
    """A unit of work that lasts as long as a transaction. Not a generator, because every request uses it."""

    def __init__(self, transaction: AbstractAsyncContextManager[Transaction]) -> None:
        self._transaction = transaction

    async def __aenter__(self) -> UnitOfWork:
        return SqlUnitOfWork(await self._transaction.__aenter__())

    def __aexit__(self, *exc: Any) -> Coroutine[Any, Any, bool | None]:
        return self._transaction.__aexit__(*exc)


class SqlUnits(UnitOfWorkFactory):
    """A factory of units of work. `quick`: each reads and writes few rows, see `Database.transaction`.

    A `read_only` one raises READ_ONLY at each call.
    """

    def __init__(self, database: Database, *, quick: bool, read_only: bool) -> None:
        self._database = database
        self._quick = quick
        self._read_only = read_only

    def __call__(self) -> AbstractAsyncContextManager[UnitOfWork]:
        if self._read_only:
            raise ReadOnly
        return _OpenUnit(self._database.transaction(quick=self._quick))


class SqlMetadata(SqlUnits):
    """The metadata in a database: readers, and a factory of units of work. Enter the context before use.

    `large_units` are for changes of many rows. With `read_only`, there are no units of work: READ_ONLY is raised.
    """

    def __init__(self, database: Database, *, read_only: bool = False) -> None:
        super().__init__(database, quick=True, read_only=read_only)
        self.large_units: UnitOfWorkFactory = SqlUnits(database, quick=False, read_only=read_only)
        blobs = SqlBlobs(database.read, database.first)
        self.blobs: BlobReader = blobs
        self.find_with_bytes: BlobAndBytesReader = blobs.find_with_bytes
        self.trash: TrashReader = SqlTrash(database.read, Balance())
        self.contents: ContentReader = SqlContents(database.read, database.first)
        self.multipart: MultipartReader = SqlMultipart(database.read, database.first)
        self.moves: MoveReader = SqlMoves(database.read)
        self.keys: KeyReader = SqlKeys(database.read, Balance())
        self.shares: ShareReader = SqlShares(database.read)
        self.buckets: BucketReader = SqlBuckets(database.read)
        self.verifications: VerificationReader = SqlVerifications(database.read)

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._database.__aexit__(*exc)

    async def backlog(self) -> Sequence[Backlog]:
        return await self._database.read(references.backlog)

    async def undigested(self) -> int:
        return await self._database.read(references.undigested)

    async def known_storage(self, backend: str) -> KnownStorage | None:
        return await self._database.read(sql_storages.known_storage, backend)

    async def has_expired(self, marks: timedelta) -> bool:
        return await self._database.read(references.has_expired, marks)

    async def named(self, backend: str, keys: Sequence[ObjectKey]) -> Set[ObjectKey]:
        return await self._database.read(references.named, backend, keys)
