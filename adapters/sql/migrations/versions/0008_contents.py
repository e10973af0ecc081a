"""Contents of several segments, shared contents, properties, expiry, the trash, and uploads of several parts."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql").with_variant(sa.VARBINARY(1024), "mariadb")
OBJECT_KEY = sa.Text().with_variant(sa.VARBINARY(32), "mariadb")
MARIADB = {"mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4", "mariadb_collate": "utf8mb4_nopad_bin"}
OLD = [
    *("id", "backend", "object_key", "size", "sha256", "content_type", "created_at", "sole", "content_encoding"),
]


def _added_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("segments", sa.Integer),
        sa.Column("composite", sa.LargeBinary),
        sa.Column("shared", sa.Boolean),
        sa.Column("properties", sa.Text),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("changed_at", sa.BigInteger),
    ]


def _version_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("object_key", OBJECT_KEY, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("sole", sa.Boolean),
        sa.Column("content_encoding", sa.Text),
        *_added_columns(),
    ]


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        _rebuild_blobs()
    else:
        _alter_blobs()
    some = sa.text("expires_at IS NOT NULL")
    op.create_index(
        "ix_blobs_expires_at", "blobs", ["expires_at"], if_not_exists=True, sqlite_where=some, postgresql_where=some
    )
    _create_tables()
    _alter_uploads()
    _rename_garbage()


def _rebuild_blobs() -> None:
    """Copy the table: SQLite can neither drop a constraint nor allow NULL in a column."""
    op.create_table(
        "new_blobs",
        sa.Column("id", BYTEWISE, nullable=False),
        *_version_columns(),
        sa.PrimaryKeyConstraint("id", name="pk_blobs"),
        sqlite_with_rowid=False,
    )
    columns = ", ".join(OLD)
    op.execute(f"INSERT INTO new_blobs ({columns}) SELECT {columns} FROM blobs ORDER BY id")  # noqa: S608 - constants
    op.drop_table("blobs")
    op.rename_table("new_blobs", "blobs")
    op.create_index("ix_blobs_object_key", "blobs", ["object_key"])


def _alter_blobs() -> None:
    for column in _added_columns():
        op.add_column("blobs", column, if_not_exists=True)
    op.alter_column("blobs", "sha256", existing_type=sa.LargeBinary(), nullable=True)
    op.create_index("ix_blobs_object_key", "blobs", ["object_key"], if_not_exists=True)
    if op.get_context().dialect.name == "postgresql":
        op.drop_constraint("uq_blobs_object_key", "blobs", type_="unique")
    else:
        op.drop_index("uq_blobs_object_key", "blobs", if_exists=True)


def _create_tables() -> None:
    op.create_table(
        "trash",
        sa.Column("key", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("id", BYTEWISE, nullable=False),
        *_version_columns(),
        sa.Column("deleted_at", sa.BigInteger, nullable=False),
        sa.Column("retained_until", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_trash"),
        sqlite_autoincrement=True,
        if_not_exists=True,
        **MARIADB,
    )
    for name, columns in {"object_key": ["object_key"], "due_at": ["due_at"], "id": ["id", "key"]}.items():
        op.create_index(f"ix_trash_{name}", "trash", columns, if_not_exists=True)
    _create_table(
        "contents",
        sa.Column("content_key", OBJECT_KEY, nullable=False),
        sa.Column("versions", sa.BigInteger, nullable=False),
        keys=["content_key"],
    )
    _create_table(
        "segments",
        sa.Column("content_key", OBJECT_KEY, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("object_key", OBJECT_KEY, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("object_key", name="uq_segments_object_key"),
        keys=["content_key", "start"],
    )
    _create_table(
        "digests",
        sa.Column("content_key", OBJECT_KEY, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("hashed", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("state", sa.LargeBinary),
        sa.Column("sha256", sa.LargeBinary),
        keys=["content_key"],
    )
    op.create_index("ix_digests_due_at", "digests", ["due_at"], if_not_exists=True)
    _create_table(
        "multipart_uploads",
        sa.Column("upload_key", OBJECT_KEY, nullable=False),
        sa.Column("blob_id", BYTEWISE, nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        keys=["upload_key"],
    )
    for name, columns in {"expires_at": ["expires_at"], "blob_id": ["blob_id", "upload_key"]}.items():
        op.create_index(f"ix_multipart_uploads_{name}", "multipart_uploads", columns, if_not_exists=True)
    _create_table(
        "parts",
        sa.Column("upload_key", OBJECT_KEY, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("object_key", OBJECT_KEY, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("object_key", name="uq_parts_object_key"),
        keys=["upload_key", "number"],
    )
    _create_table(
        "commits",
        sa.Column("commit_key", OBJECT_KEY, nullable=False),
        sa.Column("committed_at", sa.BigInteger, nullable=False),
        keys=["commit_key"],
    )


def _create_table(name: str, *columns: sa.schema.SchemaItem, keys: list[str]) -> None:
    op.create_table(
        name,
        *columns,
        sa.PrimaryKeyConstraint(*keys, name=f"pk_{name}"),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **MARIADB,
    )


def _alter_uploads() -> None:
    again = op.get_context().dialect.name != "sqlite"
    op.add_column("uploads", sa.Column("upload_key", OBJECT_KEY), if_not_exists=again)
    op.add_column("uploads", sa.Column("number", sa.Integer), if_not_exists=again)
    some = sa.text("upload_key IS NOT NULL")
    op.create_index(
        "ix_uploads_upload_key", "uploads", ["upload_key"], if_not_exists=True, sqlite_where=some, postgresql_where=some
    )


def _rename_garbage() -> None:
    """Keep older servers, which don't count shared contents, from deleting: see adapters/sql/tables.py."""
    statements = {
        "sqlite": "ALTER TABLE garbage RENAME TO garbage_objects",
        "postgresql": "ALTER TABLE garbage RENAME TO garbage_objects",
    }
    again = "RENAME TABLE IF EXISTS garbage TO garbage_objects"
    op.execute(statements.get(op.get_context().dialect.name, again))
