"""The markers by which the database recognises its storages."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

SHORT = sa.Text().with_variant(sa.VARBINARY(32), "mariadb")
MARIADB = {"mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4", "mariadb_collate": "utf8mb4_nopad_bin"}


def upgrade() -> None:
    op.create_table(
        "storages",
        sa.Column("backend", SHORT, nullable=False),
        sa.Column("identity", SHORT, nullable=False),
        sa.Column("epoch", SHORT, nullable=False),
        sa.Column("next_epoch", SHORT),
        sa.Column("former", SHORT),
        sa.Column("advanced_at", sa.BigInteger, nullable=False),
        sa.Column("interval", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("backend", name="pk_storages"),
        sqlite_with_rowid=False,
        if_not_exists=True,
        **MARIADB,
    )


def downgrade() -> None:
    op.drop_table("storages")
