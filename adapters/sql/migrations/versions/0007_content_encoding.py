"""The content codings of a blob's bytes. NULL where there are none, as in all older rows."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # Only MariaDB may find it done: elsewhere a migration is one transaction.
    again = op.get_context().dialect.name != "sqlite"
    op.add_column("blobs", sa.Column("content_encoding", sa.Text), if_not_exists=again)


def downgrade() -> None:
    op.drop_column("blobs", "content_encoding")
