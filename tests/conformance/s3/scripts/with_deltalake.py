# mypy: disable-error-code="import-not-found"
"""Delta tables, whose log is made of objects that are created conditionally."""

import multiprocessing
from typing import Any

from arro3.core import Array, DataType, Table
from deltalake import DeltaTable, write_deltalake
from shared import ACCESS_KEY, BUCKET, ENDPOINT, SECRET_KEY, digest, run

TABLE = f"s3://{BUCKET}/table"
OPTIONS = {
    "endpoint_url": ENDPOINT,
    "access_key_id": ACCESS_KEY,
    "secret_access_key": SECRET_KEY,
    "region": "us-east-1",
    "allow_http": "true",
    # It refuses a certificate that is its own authority, as that of the tests.
    "allow_invalid_certificates": "true",
}
WRITERS, COMMITS, ROWS = 2, 10, 1000


def table(writer: int, commit: int) -> Any:
    first = (writer * COMMITS + commit) * ROWS
    return Table.from_arrays([Array(range(first, first + ROWS), DataType.int64())], names=["number"])


def append(writer: int) -> None:
    for commit in range(COMMITS):
        write_deltalake(TABLE, table(writer, commit), mode="append", storage_options=OPTIONS)


def writers() -> None:
    """Two processes append to one table at the same time. Each commit of each is there, once."""
    write_deltalake(TABLE, table(WRITERS, 0), storage_options=OPTIONS)
    processes = [multiprocessing.get_context("spawn").Process(target=append, args=[each]) for each in range(WRITERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    written = DeltaTable(TABLE, storage_options=OPTIONS)
    assert written.version() == WRITERS * COMMITS
    numbers = sorted(number.as_py() for chunk in _read(written) for number in chunk)
    wanted = range((WRITERS * COMMITS + 1) * ROWS)
    assert digest(repr(numbers).encode()) == digest(repr([*wanted]).encode())
    written.create_checkpoint()
    assert DeltaTable(TABLE, storage_options=OPTIONS).version() == WRITERS * COMMITS


def _read(written: Any) -> Any:
    from deltalake import QueryBuilder

    found = QueryBuilder().register("written", written).execute("SELECT number FROM written").read_all()
    return found.column("number").chunks


if __name__ == "__main__":
    run(globals())
