"""Checksums of S3 clients, buckets, and ids of up to 2,048 bytes."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

revision = "0010"
down_revision = "0009"

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
MARIADB = {"mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4", "mariadb_collate": "utf8mb4_nopad_bin"}
TABLES = ("blobs", "trash", "segments", "parts")  # with checksums
IDS = {"blobs": "id", "trash": "id", "multipart_uploads": "blob_id", "shares": "blob_ids"}


def upgrade() -> None:
    # Only MariaDB may find it done: elsewhere a migration is one transaction.
    again = op.get_context().dialect.name != "sqlite"
    for table in TABLES:
        op.add_column(table, sa.Column("checksums", sa.Text), if_not_exists=again)
    op.add_column("parts", sa.Column("written_at", sa.BigInteger), if_not_exists=again)
    op.create_table(
        "buckets",
        sa.Column("name", BYTEWISE.with_variant(sa.VARBINARY(63), "mariadb"), nullable=False),
        sa.Column("prefix", BYTEWISE.with_variant(sa.VARBINARY(2048), "mariadb"), nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("settings", sa.Text().with_variant(MEDIUMTEXT, "mariadb")),
        sa.PrimaryKeyConstraint("name", name="pk_buckets"),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **MARIADB,
    )
    _resize(2048)


def downgrade() -> None:
    _resize(1024)
    op.drop_table("buckets")
    op.drop_column("parts", "written_at")
    for table in TABLES:
        op.drop_column(table, "checksums")


def _resize(size: int) -> None:
    """Set the size of ids in bytes, which only MariaDB limits.

    The size of keys changes, so it writes the table of blobs and two indexes again, while clients read and write.
    """
    if op.get_context().dialect.name == "mariadb":
        for table, column in IDS.items():
            op.alter_column(table, column, type_=sa.VARBINARY(size), nullable=False)
