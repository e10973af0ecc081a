"""Blobs, uploads, garbage."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql").with_variant(sa.VARBINARY(1024), "mariadb")
OBJECT_KEY = sa.Text().with_variant(sa.VARBINARY(32), "mariadb")
MARIADB = {"mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4", "mariadb_collate": "utf8mb4_nopad_bin"}


def upgrade() -> None:
    op.create_table(
        "blobs",
        sa.Column("id", BYTEWISE, nullable=False),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("object_key", OBJECT_KEY, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_blobs"),
        sa.UniqueConstraint("object_key", name="uq_blobs_object_key"),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **MARIADB,
    )
    op.create_table(
        "uploads",
        sa.Column("object_key", OBJECT_KEY, nullable=False),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("object_key", name="pk_uploads"),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **MARIADB,
    )
    op.create_index("ix_uploads_expires_at", "uploads", ["expires_at"], if_not_exists=True)
    op.create_table(
        "garbage",
        sa.Column("object_key", OBJECT_KEY, nullable=False),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("deletes", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("object_key", name="pk_garbage"),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **MARIADB,
    )
    op.create_index("ix_garbage_due_at", "garbage", ["due_at"], if_not_exists=True)


def downgrade() -> None:
    op.drop_table("garbage")
    op.drop_table("uploads")
    op.drop_table("blobs")
