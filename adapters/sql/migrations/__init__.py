"""The history of the tables, as Alembic revisions, and the way to the newest.

MariaDB commits each change of a table by itself. So that a start that was killed between two can be repeated, so can
every statement of a revision: IF NOT EXISTS.
"""

import sqlalchemy as sa
from sqlalchemy import Connection

from domain.errors import DriveError, Kind

HEAD = "0004"


def upgrade(connection: Connection) -> None:
    """Bring the tables to HEAD, in the caller's transaction. The caller keeps other processes from doing the same.

    Raises UNAVAILABLE if the tables are those of a newer Drivebay.
    """
    current = revision(connection)
    if current == HEAD:
        return
    # Only now: it takes longer to import than all else that a start does.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "adapters.sql:migrations")
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if current is not None and current not in known:
        detail = (
            f"The tables are of revision {current}, and this Drivebay knows them up to {HEAD}. Install the newer one."
        )
        raise DriveError(Kind.UNAVAILABLE, detail)
    command.upgrade(config, HEAD)


def revision(connection: Connection) -> str | None:
    """The revision that the tables have, or None where there are no tables."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found
