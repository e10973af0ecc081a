"""Uploads that are joined from many others."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    # Only MariaDB limits a text, to 65,535 bytes. The names of 1,000 uploads take more.
    if op.get_context().dialect.name == "mariadb":
        op.alter_column("multipart_uploads", "attributes", type_=MEDIUMTEXT(), existing_type=sa.Text(), nullable=False)


def downgrade() -> None:
    """Leave the column, which an older Drivebay uses as well: a long text would not fit into the former one."""
