"""Whether a version is the only one of its second, so that its date names it. Of older rows it is not known."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # Only MariaDB may find it done: elsewhere a migration is one transaction.
    again = op.get_context().dialect.name != "sqlite"
    op.add_column("blobs", sa.Column("sole", sa.Boolean), if_not_exists=again)


def downgrade() -> None:
    op.drop_column("blobs", "sole")
