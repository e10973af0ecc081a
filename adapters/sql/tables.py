"""The tables. Times are whole microseconds since 1970 in UTC, so that they mean the same in every dialect."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# Ids and keys compare and sort by their bytes in UTF-8. That is what SQLite does unasked.
BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

BLOBS = sa.Table(
    "blobs",
    METADATA,
    sa.Column("id", BYTEWISE, primary_key=True),
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("object_key", sa.Text, nullable=False, unique=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("content_type", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

UPLOADS = sa.Table(
    "uploads",
    METADATA,
    sa.Column("object_key", sa.Text, primary_key=True),
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

GARBAGE = sa.Table(
    "garbage",
    METADATA,
    sa.Column("object_key", sa.Text, primary_key=True),
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("deletes", sa.Integer, nullable=False),
    sqlite_with_rowid=False,
)


CHUNKS = sa.Table(
    "chunks",
    METADATA,
    sa.Column("object_key", BYTEWISE, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)


class DatabaseNow(FunctionElement[int]):
    """The time by the database's clock, which all replicas share."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(DatabaseNow, "sqlite")
def _now_in_sqlite(element: DatabaseNow, compiler: SQLCompiler, **_: Any) -> str:
    # 2440587.5 is the Julian day of 1970-01-01. The result is exact to a millisecond.
    return "CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) * 1000 AS INTEGER)"


@compiles(DatabaseNow, "postgresql")
def _now_in_postgresql(element: DatabaseNow, compiler: SQLCompiler, **_: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT)"
