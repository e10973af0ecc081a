"""The reaper's work is found by backend, and what can't be deleted is tried more and more seldom."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # Only MariaDB may find half of this done: elsewhere a migration is one transaction.
    again = op.get_context().dialect.name != "sqlite"
    claims = sa.Column("claims", sa.Integer, nullable=False, server_default="0")
    op.add_column("garbage", claims, if_not_exists=again)
    for table, time in (("uploads", "expires_at"), ("garbage", "due_at")):
        op.create_index(
            f"ix_{table}_backend", table, ["backend", time], if_not_exists=True, mariadb_length={"backend": 32}
        )
        op.drop_index(f"ix_{table}_{time}", table, if_exists=True)


def downgrade() -> None:
    for table, time in (("uploads", "expires_at"), ("garbage", "due_at")):
        op.create_index(f"ix_{table}_{time}", table, [time])
        op.drop_index(f"ix_{table}_backend", table)
    op.drop_column("garbage", "claims")
