"""All rows of a database, and their move from a database of each kind to one of another kind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql import migrations
from adapters.sql.database import Database
from adapters.sql.dialects import insert_or_ignore
from adapters.sql.rows import TABLES, SqlRows
from adapters.sql.tables import BACKEND, BLOBS, OBJECT_KEY, TRASH
from application.maintenance.move_rows import MovedRows, MoveRows, RowListener
from application.ports.rows import Row, RowMove, Rows, Summary
from application.ports.schema import Opening
from domain.blob import ObjectKey
from domain.errors import BlobError, Kind, ReadOnly, Unavailable
from tests.backends import mariadb, postgresql
from tests.backends.run import Backends
from tests.contracts.metadata import LONG, blob, in_a_unit, put, throw_away
from tests.verify.tampering import database_of

SERVERS = {"PostgreSQL": postgresql, "MariaDB": mariadb}
PAIRS = [
    ("SQLite", "SQLite"),
    *(
        pytest.param(*pair, marks=pytest.mark.docker)
        for pair in (("SQLite", "PostgreSQL"), ("PostgreSQL", "MariaDB"), ("MariaDB", "SQLite"))
    ),
]
KINDS = pytest.mark.parametrize(
    "source", ["SQLite", *(pytest.param(each, marks=pytest.mark.docker) for each in SERVERS)]
)
COUNT = 20  # rows of each table
PAGE = 7
# In the order of their bytes, which is not that of any language.
TEXTS = ["A", "Z", "a", "a b", "a.", "a0", "z", "é", "ü", "☺", "\U0001f600"]


def refused(kind: Kind, text: str | None = None) -> "pytest.RaisesExc[BlobError]":
    return pytest.raises(BlobError, match=text, check=lambda error: error.kind is kind)


class Silent(RowListener):
    def copied(self, table: str, rows: int) -> None:
        pass

    def comparing(self, table: str) -> None:
        pass


class Place:
    """A database that may be opened several times."""

    def __init__(self, settings: dict[str, str], folder: Path) -> None:
        self._settings = settings
        self._folder = folder

    @asynccontextmanager
    async def opened(self, opening: Opening = Opening.INSPECT) -> AsyncIterator[Database]:
        async with (database := database_of(self._settings, self._folder, opening)) as _:
            yield database


@pytest.fixture
def places(source: str, target: str, backends: Backends, tmp_path: Path) -> Iterator[list[Place]]:
    """Two empty databases, of the kinds that the test has as parameters."""
    with ExitStack() as stack:
        found = []
        for number, kind in enumerate([source, target]):
            (folder := tmp_path / str(number) / "data").mkdir(parents=True)
            server = SERVERS.get(kind)
            url = stack.enter_context(server.database(backends.address(server.start))) if server else ""
            found.append(Place({"DATABASE_URL": url} if url else {}, folder.parent))
        yield found


@pytest.fixture
def source() -> str:
    return "SQLite"


@pytest.fixture
def target() -> str:
    return "SQLite"


def value(column: sa.Column[Any], number: int) -> object:
    """Return a value that a column may have. Each column that may be NULL is, in some rows."""
    if column.nullable and number % 5 == 4:
        return None
    kind: Any = column.type.dialect_impl(sqlite.dialect())
    match kind.python_type:
        case type() as found if found is bool:
            return number % 2 == 0
        case type() as found if found is int:
            return number + 1 if column.primary_key or isinstance(kind, sa.Integer) else 2**62 + number
        case type() as found if found is float:
            return 0.1 + number
        case type() as found if found is bytes:
            return bytes(range(256)) + bytes([number])
        case _ if column.type in (OBJECT_KEY, BACKEND):
            return f"{'09az'[number % 4]}{number}"
        case _:
            return f"{TEXTS[number % len(TEXTS)]}{number // len(TEXTS)}"


def fill(connection: Connection) -> None:
    """Insert rows into all tables."""
    for table in TABLES.values():
        rows = [{column.name: value(column, number) for column in table.columns} for number in range(COUNT)]
        connection.execute(sa.insert(table), rows)
    connection.execute(sa.update(BLOBS).where(BLOBS.c.id == "A0").values(id="é" * 1024))


def contents(connection: Connection) -> dict[str, list[Any]]:
    return {
        name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
        for name, table in TABLES.items()
    }


async def change(database: Database, function: Any, *args: Any) -> None:
    async with database.transaction() as transaction:
        await transaction.run(function, *args)
        await transaction.commit()


@asynccontextmanager
async def filled(places: list[Place]) -> AsyncIterator[tuple[Database, Database]]:
    """Open the databases, with rows in the first one and none in the second."""
    async with AsyncExitStack() as stack:
        source, target = [await stack.enter_async_context(place.opened(Opening.MIGRATE)) for place in places]
        await change(source, fill)
        yield source, target


async def move(source: Database, target: Database) -> MovedRows:
    return await mover(SqlRows(source, PAGE), SqlRows(target, PAGE))(Silent())


def mover(source: Rows, target: Rows) -> MoveRows:
    return MoveRows(source, target, lambda: ObjectKey.random().value)


@pytest.mark.parametrize(("source", "target"), PAIRS)
async def test_all_rows_are_moved_and_the_new_database_is_used(places: list[Place]) -> None:
    async with filled(places) as (source, target):
        before = await source.read(contents)
        moved = await move(source, target)
        assert moved == MovedRows(dict.fromkeys(TABLES, COUNT), COUNT * len(TABLES))
        assert await target.read(contents) == before == await source.read(contents)
        assert await SqlRows(source).move() == RowMove((await SqlRows(target).move()).key, True, True)  # type: ignore[union-attr]
        assert (await move(source, target)).copied == 0
    async with SqlMetadata(database_of(places[1]._settings, places[1]._folder)) as metadata:
        await put(metadata, blob("new"))
        await throw_away(metadata, blob("old"), LONG)  # its number follows those of the others
        assert max([row.key for row in await metadata.trash.between("old", 0, None, 10)]) >= COUNT


@KINDS
async def test_the_old_database_refuses_changes_by_any_program(places: list[Place]) -> None:
    async with filled(places) as (source, target):
        rows = SqlRows(source)
        await rows.close("0" * 32)
        await rows.close("0" * 32)
        for table in TABLES.values():
            first, *_ = table.columns
            row = {column.name: value(column, COUNT) for column in table.columns}
            for statement in (sa.insert(table).values(row), sa.delete(table), sa.update(table).values({first: first})):
                with refused(Kind.READ_ONLY):
                    await change(source, lambda connection, each: connection.execute(each), statement)
        with refused(Kind.READ_ONLY):
            await change(source, insert_or_ignore, BLOBS, {column.name: value(column, 1) for column in BLOBS.columns})
        metadata = SqlMetadata(source)
        with refused(Kind.READ_ONLY):
            await in_a_unit(metadata, lambda work: work.uploads.add(blob().location, LONG))
        assert len(await source.read(lambda connection: [*connection.execute(sa.select(BLOBS))])) == COUNT
        await rows.reopen()
        await rows.reopen()
        await change(source, lambda connection: connection.execute(sa.delete(TRASH)))
        assert await rows.move() is None
        assert await rows.count("trash") == 0
        assert await SqlRows(target).filled() == []


@pytest.mark.docker
@pytest.mark.parametrize("target", ["PostgreSQL"])
async def test_rows_are_durable_before_they_are_compared(places: list[Place]) -> None:
    found: list[bool] = []

    class Looking(SqlRows):
        async def add(self, table: str, rows: Sequence[Row]) -> None:
            await super().add(table, rows)
            self.written = await self._ask("pg_current_wal_insert_lsn()::text")

        async def summary(self, table: str) -> Summary:
            found.append(await self._ask(f"pg_current_wal_flush_lsn() >= '{self.written}'"))
            return await super().summary(table)

        async def _ask(self, expression: str) -> Any:
            return await self._database.read(lambda connection: connection.scalar(sa.text(f"SELECT {expression}")))

    async with filled(places) as (source, target):
        await mover(SqlRows(source, PAGE), Looking(target, PAGE))(Silent())
    assert found == [True] * len(TABLES)


@pytest.fixture
def in_order_of(locale: str, backends: Backends, tmp_path: Path) -> Iterator[Place]:
    """A database of PostgreSQL that has the order of a language."""
    (folder := tmp_path / "language" / "data").mkdir(parents=True)
    with postgresql.database(backends.address(postgresql.start), locale) as url:
        yield Place({"DATABASE_URL": url}, folder.parent)


@pytest.mark.docker
@pytest.mark.parametrize("locale", ["da", "cs", "et", "hu", "en-US-u-kn"])  # aa after z, ch after h, z before t ...
@pytest.mark.parametrize("is_source", [True, False])
async def test_a_database_that_orders_keys_in_another_way_is_refused_before_anything_is_changed(
    places: list[Place], in_order_of: Place, is_source: bool
) -> None:
    pair = [in_order_of, places[1]] if is_source else [places[0], in_order_of]
    side, advice = ("old", "restore it by pg_dump") if is_source else ("other", "Create it with")
    async with filled(pair) as (source, target):
        with refused(Kind.UNAVAILABLE, f"The {side} database .*{advice}"):
            await mover(SqlRows(source), SqlRows(target)).look()
        with refused(Kind.UNAVAILABLE, f"The {side} database .*{advice}"):
            await move(source, target)
        assert await takes_changes(source)
        assert (await SqlRows(source).move(), await SqlRows(target).move()) == (None, None)


class Stop(Exception):
    """The command was killed."""


class Stopping:
    """Rows of a database. The process ends before, or right after, one of the calls."""

    def __init__(self, rows: Rows, calls: "Calls") -> None:
        self.tables = rows.tables
        self._rows = rows
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any) -> Any:
            self._calls.count()
            result = await getattr(self._rows, name)(*args)
            self._calls.count()
            return result

        return call


class Calls:
    def __init__(self, allowed: int) -> None:
        self._left = allowed

    def count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Stop


async def test_it_goes_on_wherever_it_was_killed(places: list[Place]) -> None:
    """Each attempt gets a bit further than the one before. No attempt leaves two databases that take changes."""
    async with filled(places) as (source, target):
        before = await source.read(contents)
        for allowed in range(1, 10_000, 3):
            calls = Calls(allowed)
            here, there = (Stopping(SqlRows(each, PAGE), calls) for each in (source, target))
            try:
                await mover(here, there)(Silent())
                break
            except Stop:
                # In the first attempts the move has not begun, and both are as they were.
                assert not await takes_changes(source) or not await is_used(places[1]) or allowed < 20
        assert allowed > 100
        assert await target.read(contents) == before
        assert not await takes_changes(source)
        assert await is_used(places[1])


async def takes_changes(database: Database) -> bool:
    try:
        await change(database, lambda connection: connection.execute(sa.update(BLOBS).values(size=BLOBS.c.size)))
    except ReadOnly:
        return False
    return True


async def is_used(place: Place) -> bool:
    """Whether a server starts."""
    try:
        async with place.opened(Opening.REQUIRE):
            return True
    except Unavailable:
        return False


async def test_a_database_with_rows_is_refused_and_nothing_changes(places: list[Place]) -> None:
    async with filled(places) as (source, target):
        await change(target, lambda connection: connection.execute(sa.insert(BLOBS).values(row_of_blobs())))
        with refused(Kind.UNAVAILABLE, "rows already, in blobs"):
            await move(source, target)
        assert await takes_changes(source)
        assert await is_used(places[1])


def row_of_blobs() -> dict[str, object]:
    return {column.name: value(column, 1) for column in BLOBS.columns}


@KINDS
@pytest.mark.parametrize("has_begun", [True, False])
async def test_a_database_is_not_moved_to_itself(places: list[Place], has_begun: bool) -> None:
    """It would refuse changes for good, and no other database would have its rows."""
    async with places[0].opened(Opening.MIGRATE) as source, places[0].opened() as same:
        if has_begun:
            await change(source, fill)
            await SqlRows(source).close("0" * 32)
        with refused(Kind.UNAVAILABLE, "Both are the same database"):
            await move(source, same)
        if has_begun:
            await mover(SqlRows(source), SqlRows(same)).cancel()
        assert await takes_changes(source)


async def test_a_difference_is_found_and_nothing_is_switched(places: list[Place]) -> None:
    class Wrong(SqlRows):
        async def add(self, table: str, rows: Any) -> None:
            wrong = [(*row[:-1], "x") if table == "trash" else row for row in rows]
            await super().add(table, wrong)

    async with filled(places) as (source, target):
        with refused(Kind.UNAVAILABLE, "The rows of the table trash differ: 20 here, 20 there"):
            await mover(SqlRows(source), Wrong(target))(Silent())
        assert not await is_used(places[1])
        await mover(SqlRows(source), SqlRows(target)).cancel()
        assert await takes_changes(source)
        with refused(Kind.UNAVAILABLE, "takes part in another move"):
            await move(source, target)


async def test_a_move_that_has_ended_is_not_cancelled(places: list[Place]) -> None:
    async with filled(places) as (source, target):
        await move(source, target)
        with refused(Kind.UNAVAILABLE, "Use that one"):
            await mover(SqlRows(source), SqlRows(target)).cancel()
        assert not await takes_changes(source)


class Meeting(SqlRows):
    """Rows of a database. Something else happens before one of its transactions."""

    def __init__(self, database: Database, number: int, happens: Callable[[], Awaitable[object]]) -> None:
        super().__init__(database, PAGE)
        self._left = number
        self._happens = happens

    async def _change(self, *args: Any) -> Any:
        self._left -= 1
        if self._left == -1:
            await self._happens()
        return await super()._change(*args)


class Ending(SqlRows):
    """Rows of a database. The move to elsewhere has compared them all, and waits to end."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, PAGE)
        self.at_end, self.may_end = asyncio.Event(), asyncio.Event()

    async def end(self, *args: Any) -> Any:
        self.at_end.set()
        await self.may_end.wait()
        return await super().end(*args)


async def fails(call: Awaitable[object], text: str) -> bool:
    """Return whether a call fails, which it may do only with an error that has this text."""
    try:
        await call
    except Unavailable as error:
        if text not in error.detail:
            raise
        return True
    return False


async def tables_that_take_changes(database: Database) -> list[str]:
    found = list[str]()
    for table in TABLES.values():
        first, *_ = table.columns
        with suppress(ReadOnly):
            await change(
                database, lambda connection, each: connection.execute(each), sa.update(table).values({first: first})
            )
            found.append(table.name)
    return found


@pytest.mark.parametrize("number", [0, 1, len(TABLES)])
@KINDS
async def test_of_a_cancel_and_an_end_one_happens(places: list[Place], number: int) -> None:
    """The move ends before one of the transactions of the cancel."""
    async with filled(places) as (source, target):
        ending = Ending(source)
        moving = asyncio.create_task(fails(mover(ending, SqlRows(target))(Silent()), "was cancelled"))
        await ending.at_end.wait()

        async def end() -> None:
            ending.may_end.set()
            await asyncio.wait({moving})

        cancelling = Meeting(source, number, end)
        is_refused = await fails(mover(cancelling, cancelling).cancel(), "Use that one")
        assert is_refused == (number == 0)
        assert await moving != is_refused
        assert await tables_that_take_changes(source) == ([] if is_refused else [*TABLES])
        assert await is_used(places[1]) == is_refused


@pytest.mark.parametrize("number", [1, 2, len(TABLES)])
@KINDS
async def test_a_cancel_that_was_killed_is_continued(places: list[Place], number: int) -> None:
    async def die() -> None:
        raise Stop

    async with filled(places) as (source, target):
        ending = Ending(source)
        moving = asyncio.create_task(fails(mover(ending, SqlRows(target))(Silent()), "was cancelled"))
        await ending.at_end.wait()
        with pytest.raises(Stop):
            await mover(cancelling := Meeting(source, number, die), cancelling).cancel()
        ending.may_end.set()
        assert await moving
        await mover(SqlRows(source), SqlRows(source)).cancel()
        assert await tables_that_take_changes(source) == [*TABLES]
        assert not await is_used(places[1])


@pytest.mark.parametrize("number", [1, 2, len(TABLES)])
@KINDS
async def test_a_move_that_is_cancelled_while_it_begins_fails(places: list[Place], number: int) -> None:
    async with filled(places) as (source, target):
        beginning = Meeting(source, number, mover(SqlRows(source), SqlRows(source)).cancel)
        with refused(Kind.UNAVAILABLE, "was cancelled"):
            await mover(beginning, SqlRows(target))(Silent())
        assert await tables_that_take_changes(source) == [*TABLES]
        assert await SqlRows(target).filled() == []


@pytest.mark.parametrize("number", [1, 2, len(TABLES)])
@KINDS
async def test_a_move_that_begins_during_a_cancel_is_not_opened(places: list[Place], number: int) -> None:
    async with filled(places) as (source, target):
        await SqlRows(source).close("0" * 32)
        cancelling = Meeting(source, number, lambda: move(source, target))
        with refused(Kind.UNAVAILABLE, "Another move has begun"):
            await mover(cancelling, cancelling).cancel()
        assert await tables_that_take_changes(source) == []
        assert await is_used(places[1])


@pytest.mark.parametrize("number", [1, 2, len(TABLES)])
@KINDS
async def test_a_move_that_another_one_overtakes_opens_nothing(
    places: list[Place], tmp_path: Path, number: int
) -> None:
    (tmp_path / "third" / "data").mkdir(parents=True)
    third = Place({}, tmp_path / "third")
    async with filled(places) as (source, target), third.opened(Opening.MIGRATE) as other:
        beginning = Meeting(source, number, lambda: move(source, other))
        with refused(Kind.UNAVAILABLE, "another one"):
            await mover(beginning, SqlRows(target))(Silent())
        assert await tables_that_take_changes(source) == []
        assert await is_used(third)
        assert await SqlRows(target).filled() == []


async def test_rows_that_changed_after_a_cancel_are_not_called_wrong(places: list[Place]) -> None:
    async with filled(places) as (source, target):

        async def cancel() -> None:
            await mover(SqlRows(source), SqlRows(source)).cancel()
            await change(source, lambda connection: connection.execute(sa.delete(TRASH)))

        class Cancelled(SqlRows):
            async def summary(self, table: str) -> Any:
                if table == TRASH.name:
                    await cancel()
                return await super().summary(table)

        with refused(Kind.UNAVAILABLE, "was cancelled"):
            await mover(Cancelled(source), SqlRows(target))(Silent())
        assert not await is_used(places[1])


async def test_of_moves_to_two_databases_the_later_one_ends(places: list[Place], tmp_path: Path) -> None:
    (tmp_path / "third" / "data").mkdir(parents=True)
    third = Place({}, tmp_path / "third")
    async with filled(places) as (source, target), third.opened(Opening.MIGRATE) as other:
        ending = Ending(source)
        moving = asyncio.create_task(fails(mover(ending, SqlRows(target))(Silent()), "another one"))
        await ending.at_end.wait()
        await move(source, other)
        ending.may_end.set()
        assert await moving
        with refused(Kind.UNAVAILABLE, "to another database already"):
            await move(source, target)
        assert await is_used(third)
        assert not await is_used(places[1])
        assert not await SqlRows(source).close("0" * 32), "the move that has ended would be forgotten"


async def test_rows_are_moved_on_to_a_third_database(places: list[Place], tmp_path: Path) -> None:
    (tmp_path / "third" / "data").mkdir(parents=True)
    third = Place({}, tmp_path / "third")
    async with filled(places) as (source, target), third.opened(Opening.MIGRATE) as last:
        before = await source.read(contents)
        await move(source, target)
        with refused(Kind.UNAVAILABLE, "to another database already"):
            await move(source, last)
        await move(target, last)
        assert await last.read(contents) == before
        assert not await takes_changes(target)
        assert await last.read(migrations.revision) == migrations.HEAD
