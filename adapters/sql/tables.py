"""The tables. Times are whole microseconds since 1970 in UTC, in every dialect."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import MEDIUMBLOB, MEDIUMTEXT
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

REFUSAL = "Its rows are being moved, or were moved, to another database. Set DATABASE_URL to that one once this is done"
"""The text of errors of triggers that refuse changes: see rows.py."""
REFUSED = "MOVED"
"""The SQLSTATE of such errors in PostgreSQL."""
MICROSECOND = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class Utf8(sa.TypeDecorator[str]):
    """Text stored as UTF-8 bytes: MariaDB has no collation that allows a key of 2,048 characters."""

    impl = sa.VARBINARY
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> bytes | None:
        return None if value is None else value.encode()

    def process_result_value(self, value: bytes | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else value.decode()


class Hexadecimal(sa.TypeDecorator[bytes]):
    """Bytes sent as a hexadecimal literal, because MariaDB's driver is slow to escape binary data."""

    impl = MEDIUMBLOB
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:
        return None if value is None else value.hex().encode()

    def bind_expression(self, bindvalue: sa.BindParameter[bytes]) -> sa.ColumnElement[bytes]:
        return sa.func.unhex(bindvalue)


# Ids compare and sort by their bytes in UTF-8. This is SQLite's default.
BYTES = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
BYTEWISE = BYTES.with_variant(Utf8(2048), "mariadb")
OBJECT_KEY = sa.Text().with_variant(Utf8(32), "mariadb")
BACKEND = sa.Text().with_variant(Utf8(32), "mariadb")
CHUNK = sa.LargeBinary().with_variant(Hexadecimal(), "mariadb")
OPTIONS: dict[str, Any] = {
    "sqlite_with_rowid": False,
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
    "mariadb_collate": "utf8mb4_nopad_bin",
}


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


@compiles(DatabaseNow, "mariadb")
def _now_in_mariadb(element: DatabaseNow, compiler: SQLCompiler, **_: Any) -> str:
    # Both times are without a zone, so the session's does not matter.
    return "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"


class ClockTime(FunctionElement[int]):
    """The time when a row is returned, after all that the statement waited for, in PostgreSQL."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(ClockTime, "postgresql")
def _clock_in_postgresql(element: ClockTime, compiler: SQLCompiler, **_: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"


def time_of(microseconds: int) -> datetime:
    """Convert a time from the form of the tables."""
    return EPOCH + microseconds * MICROSECOND


def microseconds_of(time: datetime) -> int:
    """Convert a time to the form of the tables."""
    return (time - EPOCH) // MICROSECOND


def from_now(after: timedelta) -> sa.ColumnElement[int]:
    """Return the time by the database's clock, `after` from now."""
    return DatabaseNow() + after // MICROSECOND


def _version_columns() -> list[sa.Column[Any]]:
    """Return the columns of a version of a blob, current or in the trash.

    With `segments`, `object_key` is the key of their list, which no object has; `composite` is the digest of their
    digests, and `sha256` is NULL until it is known. `shared`: the content is counted in CONTENTS. `properties`: the
    rare ones, as JSON. `owner`: the key whose quota counts the current version, if it has one. `checksums`: of the
    bytes, as JSON, if they came through the S3 interface.
    """
    return [
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("object_key", OBJECT_KEY, nullable=False, index=True),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False, default=DatabaseNow()),
        sa.Column("sole", sa.Boolean),
        sa.Column("content_encoding", sa.Text),
        sa.Column("segments", sa.Integer),
        sa.Column("composite", sa.LargeBinary),
        sa.Column("shared", sa.Boolean),
        sa.Column("properties", sa.Text),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("changed_at", sa.BigInteger),
        sa.Column("owner", sa.Text),
        sa.Column("checksums", sa.Text),
    ]


BLOBS = sa.Table(
    "blobs",
    METADATA,
    sa.Column("id", BYTEWISE, primary_key=True),
    *_version_columns(),
    # Without the blobs that never expire, where a dialect can do that.
    sa.Index(
        "ix_blobs_expires_at",
        "expires_at",
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    ),
    **OPTIONS,
)

# Versions that were deleted or replaced. Their content is kept until `due_at`; until `retained_until` they can be
# restored.
TRASH = sa.Table(
    "trash",
    METADATA,
    sa.Column("key", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("id", BYTEWISE, nullable=False),
    *_version_columns(),
    sa.Column("deleted_at", sa.BigInteger, nullable=False),
    sa.Column("retained_until", sa.BigInteger, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False, index=True),
    sa.Index("ix_trash_id", "id", "key"),
    **(OPTIONS | {"sqlite_with_rowid": True, "sqlite_autoincrement": True}),
)

# The numbers of names of contents and objects that have several, or had. `versions`: the number of all names, which are
# versions, current or in the trash, and for an object also segments and parts. Each name has `shared` in its row.
CONTENTS = sa.Table(
    "contents",
    METADATA,
    sa.Column("content_key", OBJECT_KEY, primary_key=True),
    sa.Column("versions", sa.BigInteger, nullable=False),
    **OPTIONS,
)

SEGMENTS = sa.Table(
    "segments",
    METADATA,
    sa.Column("content_key", OBJECT_KEY, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("object_key", OBJECT_KEY, nullable=False, index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("checksums", sa.Text),
    sa.Column("shared", sa.Boolean),
    **OPTIONS,
)

# Contents whose SHA-256 is to be computed, or to be copied to versions that have missed it. `state`: that of the hash
# after `hashed` bytes.
DIGESTS = sa.Table(
    "digests",
    METADATA,
    sa.Column("content_key", OBJECT_KEY, primary_key=True),
    sa.Column("due_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("hashed", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("state", sa.LargeBinary),
    sa.Column("sha256", sa.LargeBinary),
    **OPTIONS,
)

# Uploads of several parts. `blob_id` is empty if it comes later. `attributes`: of the blob to be, as JSON. `etag`: that
# of the blob that the upload has become.
MULTIPART_UPLOADS = sa.Table(
    "multipart_uploads",
    METADATA,
    sa.Column("upload_key", OBJECT_KEY, primary_key=True),
    sa.Column("blob_id", BYTEWISE, nullable=False),
    sa.Column("attributes", sa.Text().with_variant(MEDIUMTEXT, "mariadb"), nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("interruptions", sa.Integer, nullable=False, server_default="0"),
    sa.Column("etag", sa.Text),
    sa.Index("ix_multipart_uploads_blob_id", "blob_id", "upload_key"),
    **OPTIONS,
)

# An older Drivebay that is still running would publish segments without `shared`, so it doesn't find this table.
PARTS = sa.Table(
    "upload_parts",
    METADATA,
    sa.Column("upload_key", OBJECT_KEY, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("object_key", OBJECT_KEY, nullable=False, index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.Column("checksums", sa.Text),
    sa.Column("written_at", sa.BigInteger),
    sa.Column("shared", sa.Boolean),
    **OPTIONS,
)

# Objects that are being written: `number` is that of the part of a multipart upload.
UPLOADS = sa.Table(
    "uploads",
    METADATA,
    sa.Column("object_key", OBJECT_KEY, primary_key=True),
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("upload_key", OBJECT_KEY),
    sa.Column("number", sa.Integer),
    sa.Index("ix_uploads_backend", "backend", "expires_at", mariadb_length={"backend": 32}),
    sa.Index(
        "ix_uploads_upload_key",
        "upload_key",
        sqlite_where=sa.text("upload_key IS NOT NULL"),
        postgresql_where=sa.text("upload_key IS NOT NULL"),
    ),
    **OPTIONS,
)

# Changes of several rows that were committed, for clients whose response was lost.
COMMITS = sa.Table(
    "commits",
    METADATA,
    sa.Column("commit_key", OBJECT_KEY, primary_key=True),
    sa.Column("committed_at", sa.BigInteger, nullable=False, default=DatabaseNow()),
    **OPTIONS,
)

# The name is not that of older revisions: an older Drivebay that is still running would let objects be deleted that
# have other names. It can't find its table now, and deletes nothing.
GARBAGE = sa.Table(
    "unused_objects",
    METADATA,
    sa.Column("object_key", OBJECT_KEY, primary_key=True),
    sa.Column("backend", sa.Text, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False),
    sa.Column("deletes", sa.Integer, nullable=False),
    sa.Column("claims", sa.Integer, nullable=False, server_default="0"),
    sa.Index("ix_garbage_backend", "backend", "due_at", mariadb_length={"backend": 32}),
    **OPTIONS,
)

# Named credentials. `actions` and `prefixes` (JSON) are their rights, `generation` the one of the secret.
KEYS = sa.Table(
    "access_keys",
    METADATA,
    sa.Column("id", OBJECT_KEY, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("actions", sa.Text, nullable=False),
    sa.Column("prefixes", sa.Text().with_variant(MEDIUMTEXT, "mariadb"), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("former_until", sa.BigInteger),
    sa.Column("used_at", sa.BigInteger),
    sa.Column("master", sa.Text, nullable=False),
    sa.Column("requests_per_second", sa.Double),
    sa.Column("max_blob_bytes", sa.BigInteger),
    sa.Column("quota_bytes", sa.BigInteger),
    sa.Column("stored_bytes", sa.BigInteger, nullable=False, server_default="0"),
    **OPTIONS,
)

# Links for people. `blob_ids` is the id of a blob, or a prefix if `action` is write.
SHARES = sa.Table(
    "shares",
    METADATA,
    sa.Column("id", OBJECT_KEY, primary_key=True),
    sa.Column("key_id", OBJECT_KEY, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("blob_ids", BYTEWISE, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("password", sa.Text),
    sa.Column("max_uses", sa.BigInteger),
    sa.Column("uses", sa.BigInteger, nullable=False),
    sa.Column("filename", sa.Text),
    sa.Column("max_bytes", sa.BigInteger),
    sa.Index("ix_shares_key_id", "key_id", "id"),
    **OPTIONS,
)

# The blobs of a bucket are those whose ids begin with `prefix`. `settings` is JSON, NULL if all are the defaults.
BUCKETS = sa.Table(
    "buckets",
    METADATA,
    sa.Column("name", BYTES.with_variant(Utf8(63), "mariadb"), primary_key=True),
    sa.Column("prefix", BYTEWISE, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False, default=DatabaseNow()),
    sa.Column("settings", sa.Text().with_variant(MEDIUMTEXT, "mariadb")),
    **OPTIONS,
)

STORAGES = sa.Table(
    "storages",
    METADATA,
    sa.Column("backend", BACKEND, primary_key=True),
    sa.Column("identity", OBJECT_KEY, nullable=False),
    sa.Column("epoch", OBJECT_KEY, nullable=False),
    sa.Column("next_epoch", OBJECT_KEY),
    sa.Column("former", OBJECT_KEY),
    sa.Column("advanced_at", sa.BigInteger, nullable=False),
    sa.Column("interval", sa.BigInteger, nullable=False),
    **OPTIONS,
)

# The last verification of each storage.
VERIFICATIONS = sa.Table(
    "verifications",
    METADATA,
    sa.Column("backend", BYTES.with_variant(Utf8(32), "mariadb"), primary_key=True),
    sa.Column("begun_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger, nullable=False),
    sa.Column("deep", sa.Boolean, nullable=False),
    sa.Column("complete", sa.Boolean, nullable=False),
    *(
        sa.Column(name, sa.BigInteger, nullable=False)
        for name in ("blobs", "bytes", "objects", "missing", "damaged", "orphans", "unreadable", "repaired")
    ),
    **OPTIONS,
)

CHUNKS = sa.Table(
    "chunks",
    METADATA,
    sa.Column("object_key", BYTES.with_variant(Utf8(1024), "mariadb"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("data", CHUNK, nullable=False),
    sa.Column("written_at", sa.BigInteger, default=DatabaseNow()),
    **(OPTIONS | {"sqlite_with_rowid": True}),
)
