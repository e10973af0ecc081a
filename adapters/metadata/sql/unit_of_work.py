"""Metadata in a SQL database: its units of work are transactions."""

from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Self

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


class SqlUnitOfWork(UnitOfWork):
    """A transaction, as the port's repositories."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.blobs = SqlBlobs(transaction.run, transaction.first)
        self.uploads = SqlUploads(transaction)
        self.garbage = SqlGarbage(transaction.run)
        self.storages = SqlStorages(transaction.run)
        self.objects = SqlObjects(transaction.run)
        self._balance = Balance()
        self.trash = SqlTrash(transaction.run, self._balance)
        self.contents = SqlContents(transaction.run, transaction.first)
        self.multipart = SqlMultipart(transaction.run, transaction.first)
        self.moves = SqlMoves(transaction.run)
        self.commits = SqlCommits(transaction.run)
        self.keys = SqlKeys(transaction.run, self._balance)
        self.shares = SqlShares(transaction.run)
        self.buckets = SqlBuckets(transaction.run)
        self.verifications = SqlVerifications(transaction.run)

    async def commit(self) -> None:
        if self._balance:
            await self._transaction.run(settle, self._balance)
        await self._transaction.commit()


class SqlUnits(UnitOfWorkFactory):
    """A factory of units of work. `quick`: each reads and writes few rows, see `Database.transaction`.

    A `read_only` one raises READ_ONLY at each call.
    """

    def __init__(self, database: Database, *, quick: bool, read_only: bool) -> None:
        self._database = database
        self._quick = quick
        self._read_only = read_only

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        if self._read_only:
            raise ReadOnly
        async with self._database.transaction(quick=self._quick) as transaction:
            yield SqlUnitOfWork(transaction)


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
