"""A page of a list among 1,000,000 blobs, beside one with as many entries among 1,000, by turns.

The ids are numbers of six digits with a mark behind some: each mark is a delimiter, for folders of another size. The
few are each thousandth of the many.

Where folders are so large that each entry of a page is on a page of the index of its own, a seek has a level more to go
down, through memory that no cache of the processor holds: that is printed, and has no bound. The plan is the same.
"""

import base64
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlencode

import msgspec
import sqlalchemy as sa
import uvloop

from adapters.metadata.sql.unit_of_work import SqlMetadata
from adapters.sql.database import Database
from adapters.sql.servers.postgresql import PostgresqlConfig, PostgresqlDatabase
from adapters.sql.sqlite.database import SqliteConfig, SqliteDatabase
from application.blobs.list import ListBlobs
from domain.access import EVERYTHING
from tests import many_blobs
from tests.backends import postgresql
from tests.backends.containers import docker_answers
from tests.backends.run import a_run
from tests.benchmarks.figures import Figures
from tests.http.server import Server
from tests.http.wire import Connection, get

FEW, MANY = 1000, 1_000_000
BATCH = 10_000  # rows
ROUNDS = 61
ALLOWED = 1.3


@dataclass(frozen=True)
class Page:
    """`entries` below a prefix, from an id on; `of_few` are the prefix and the id where that is another one.

    They are `apart` if each is on a page of the index of its own.
    """

    what: str
    entries: int
    delimiter: str = ""
    prefix: str = ""
    start: str = ""
    of_few: tuple[str, str] | None = None
    apart: bool = False

    def among(self, size: int) -> tuple[str, str]:
        return self.of_few if self.of_few and size == FEW else (self.prefix, self.start)


PAGES = [
    Page("100 blobs at the start", 100),
    Page("100 blobs deep inside", 100, start="5/"),
    Page("1,000 blobs at the start", 1000),
    Page("1,000 blobs deep inside", 1000, start="5/", of_few=("", "")),
    Page("1,000 blobs below a prefix, with a delimiter that none has", 1000, "!", prefix="3/14,", of_few=("", "")),
    Page("10 folders of 100,000", 10, "/"),
    Page("100 folders of 10 at the start", 100, ";"),
    Page("100 folders of 10 deep inside", 100, ";", start="5/"),
    Page("1,000 folders of 10 at the start", 1000, ";"),
    Page("1,000 folders of 10 deep inside", 1000, ";", start="5/", of_few=("", "")),
    Page("100 folders of 1,000 below a prefix", 100, ",", prefix="3/", apart=True),
    Page("1,000 folders of 1,000", 1000, ",", apart=True),
]
OVER_HTTP = [PAGES[number] for number in (1, 3, 5, 9)]


def measure(folder: Path, figures: Figures) -> None:
    """Print what the page of many takes, as a ratio to that of few."""
    folders = {size: folder / str(size) for size in (FEW, MANY)}
    for path in folders.values():
        path.mkdir()
    files = {size: path / "rows.db" for size, path in folders.items()}
    sqlite = {size: SqliteDatabase(SqliteConfig(file)) for size, file in files.items()}
    with _on_one_processor():
        uvloop.run(_compare("SQLite", sqlite, figures))
    few, many = (Server(folders[size], DATABASE_URL=f"sqlite:///{files[size]}") for size in (FEW, MANY))
    with few, many:
        uvloop.run(_compare_over_http({FEW: few.port, MANY: many.port}, figures))
    if docker_answers():
        with a_run() as backends:
            server = backends.address(postgresql.start)
            with postgresql.database(server) as few_url, postgresql.database(server) as many_url:
                urls = {FEW: few_url, MANY: many_url}
                databases = {size: PostgresqlDatabase(PostgresqlConfig(url)) for size, url in urls.items()}
                uvloop.run(_compare("PostgreSQL", databases, figures, vacuum=True))  # as the server does of itself


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Each database has a thread of its own, and a page may take less time than it takes to wake another processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


async def _compare(
    name: str,
    databases: "dict[int, SqliteDatabase] | dict[int, PostgresqlDatabase]",
    figures: Figures,
    vacuum: bool = False,
) -> None:
    async with AsyncExitStack() as stack:
        lists = {}
        for size, database in databases.items():
            lists[size] = ListBlobs((await stack.enter_async_context(SqlMetadata(database))).blobs)
            await _fill(database, size, vacuum)

        async def entries(page: Page, size: int) -> int:
            prefix, start = page.among(size)
            found = await lists[size](EVERYTHING, prefix, page.delimiter, page.entries, start)
            return len(found.blobs) + len(found.prefixes)

        for page in PAGES:
            await _by_turns(name, page, entries, figures)


async def _compare_over_http(ports: dict[int, int], figures: Figures) -> None:
    async with AsyncExitStack() as stack:
        connections = {size: await stack.enter_async_context(Connection(port)) for size, port in ports.items()}

        async def entries(page: Page, size: int) -> int:
            prefix, start = page.among(size)
            cursor = base64.urlsafe_b64encode(start.encode()).decode()
            query = {"prefix": prefix, "delimiter": page.delimiter, "limit": page.entries, "cursor": cursor}
            status, body = await connections[size].ask(get(f"/v1/blobs?{urlencode(query)}"))
            assert status == 200, body
            found = msgspec.json.decode(body)
            return len(found["blobs"]) + len(found["prefixes"])

        for page in OVER_HTTP:
            await _by_turns("SQLite over HTTP", page, entries, figures)


async def _by_turns(name: str, page: Page, entries: Callable[[Page, int], Awaitable[int]], figures: Figures) -> None:
    times: dict[int, list[float]] = {FEW: [], MANY: []}
    for number in range(ROUNDS):  # by turns, so that a noisy moment is shared
        for size in (FEW, MANY) if number % 2 else (MANY, FEW):
            started = time.perf_counter()
            found = await entries(page, size)
            times[size].append((time.perf_counter() - started) * 1000)
            assert found == page.entries
    # The lower quartiles: a page may take less than the machine gives to others at a time, and half may be disturbed.
    few, many = (quantiles(times[size], n=4)[0] for size in (FEW, MANY))
    name_of_ratio = f"list on {name}, {page.what}: {many:.2f} ms, among {FEW:,} {few:.2f} ms, ratio"
    figures.at_most(name_of_ratio, many / few, None if page.apart else ALLOWED)


async def _fill(database: Database, size: int, vacuum: bool) -> None:
    numbers = list(range(0, MANY, MANY // size))
    random.Random(size).shuffle(numbers)  # noqa: S311 - blobs just do not come in the order of their ids
    for first in range(0, size, BATCH):
        async with database.transaction() as transaction:
            await transaction.run(many_blobs.insert, numbers[first : first + BATCH], _id)
            await transaction.commit()
    if vacuum:
        await database.read(lambda connection: connection.execute(sa.text("VACUUM ANALYZE blobs")))


def _id(number: int) -> str:
    digits = f"{number:06}"
    return f"{digits[0]}/{digits[1:3]},{digits[3:5]};{digits[5]}"
