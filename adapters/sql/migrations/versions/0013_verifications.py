"""The last verification of each storage."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

BACKEND = sa.Text().with_variant(sa.Text(collation="C"), "postgresql").with_variant(sa.VARBINARY(32), "mariadb")
MARIADB = {"mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4", "mariadb_collate": "utf8mb4_nopad_bin"}
NUMBERS = ("blobs", "bytes", "objects", "missing", "damaged", "orphans", "unreadable", "repaired")


def upgrade() -> None:
    op.create_table(
        "verifications",
        sa.Column("backend", BACKEND, nullable=False),
        sa.Column("begun_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("deep", sa.Boolean, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in NUMBERS),
        sa.PrimaryKeyConstraint("backend", name="pk_verifications"),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **MARIADB,
    )


def downgrade() -> None:
    op.drop_table("verifications")
