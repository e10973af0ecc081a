"""When a chunk was written, so that an object without a row is known to be old. Of older chunks it is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    # Only MariaDB may find it done: elsewhere a migration is one transaction.
    again = op.get_context().dialect.name != "sqlite"
    op.add_column("chunks", sa.Column("written_at", sa.BigInteger), if_not_exists=again)


def downgrade() -> None:
    op.drop_column("chunks", "written_at")
