"""Named credentials, the one that owns a version, and share links."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

revision = "0009"
down_revision = "0008"

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql").with_variant(sa.VARBINARY(1024), "mariadb")
SHORT = sa.Text().with_variant(sa.VARBINARY(32), "mariadb")
MARIADB = {"mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4", "mariadb_collate": "utf8mb4_nopad_bin"}


def upgrade() -> None:
    op.create_table(
        "access_keys",
        sa.Column("id", SHORT, nullable=False),
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
        sa.PrimaryKeyConstraint("id", name="pk_access_keys"),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **MARIADB,
    )
    op.create_table(
        "shares",
        sa.Column("id", SHORT, nullable=False),
        sa.Column("key_id", SHORT, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("blob_ids", BYTEWISE, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("password", sa.Text),
        sa.Column("max_uses", sa.BigInteger),
        sa.Column("uses", sa.BigInteger, nullable=False),
        sa.Column("filename", sa.Text),
        sa.Column("max_bytes", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_shares"),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **MARIADB,
    )
    op.create_index("ix_shares_expires_at", "shares", ["expires_at"], if_not_exists=True)
    op.create_index("ix_shares_key_id", "shares", ["key_id", "id"], if_not_exists=True)
    # Only MariaDB may find it done: elsewhere a migration is one transaction.
    again = op.get_context().dialect.name != "sqlite"
    for table in ("blobs", "trash"):
        op.add_column(table, sa.Column("owner", sa.Text), if_not_exists=again)


def downgrade() -> None:
    for table in ("trash", "blobs"):
        op.drop_column(table, "owner")
    op.drop_table("shares")
    op.drop_table("access_keys")
