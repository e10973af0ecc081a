"""Uploads that clients resume, and that are kept for a while once they are finished."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    # Only MariaDB may find it done: elsewhere a migration is one transaction.
    again = op.get_context().dialect.name != "sqlite"
    interruptions = sa.Column("interruptions", sa.Integer, nullable=False, server_default="0")
    op.add_column("multipart_uploads", interruptions, if_not_exists=again)
    op.add_column("multipart_uploads", sa.Column("etag", sa.Text), if_not_exists=again)


def downgrade() -> None:
    # Finished uploads have no parts, and an older Drivebay would take them for uploads in progress.
    op.execute("DELETE FROM multipart_uploads WHERE etag IS NOT NULL")
    for name in ("interruptions", "etag"):
        op.drop_column("multipart_uploads", name)
