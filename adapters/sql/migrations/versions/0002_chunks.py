"""Chunks of objects."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMBLOB

revision = "0002"
down_revision = "0001"

BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql").with_variant(sa.VARBINARY(1024), "mariadb")
CHUNK = sa.LargeBinary().with_variant(MEDIUMBLOB(), "mariadb")
MARIADB = {"mariadb_engine": "InnoDB", "mariadb_charset": "utf8mb4", "mariadb_collate": "utf8mb4_nopad_bin"}


def upgrade() -> None:
    op.create_table(
        "chunks",
        sa.Column("object_key", BYTEWISE, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("data", CHUNK, nullable=False),
        sa.PrimaryKeyConstraint("object_key", "seq", name="pk_chunks"),
        if_not_exists=True,
        **MARIADB,
    )
    if op.get_context().dialect.name == "postgresql":
        # Not compressed: most blobs are already, and a part of a chunk is read without the rest.
        op.execute("ALTER TABLE chunks ALTER COLUMN data SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.drop_table("chunks")
