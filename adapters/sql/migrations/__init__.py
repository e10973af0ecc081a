"""Migrations of the tables, as Alembic revisions.

MariaDB commits each change of a table separately. So every statement of a revision can be repeated (IF NOT EXISTS), in
case the process was killed between two.
"""

from io import StringIO
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection

from application.ports.schema import Revision, Revisions
from domain.errors import Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0014"
UNFINISHED = f"{HEAD}-unfinished"
"""The revision of tables that do not have all their rows yet, because they are moved from another database."""


def upgrade(connection: Connection, to: str = HEAD) -> None:
    """Migrate the tables to a revision, in the caller's transaction. The caller holds a lock against other processes.

    Raises UNAVAILABLE if the tables belong to a newer Drivebay.
    """
    if revision(connection) == to:
        return
    revisions(connection)
    # Imported only where it is used: it takes longer than the rest of a start.
    from alembic import command

    command.upgrade(_config(connection=connection), to)


def require(connection: Connection) -> None:
    """Raise UNAVAILABLE unless the tables have the revision HEAD."""
    if revision(connection) == HEAD:
        return
    found = revisions(connection).current
    detail = (
        f"The database has {'no tables' if found is None else f'tables of revision {found}'}, not those of revision"
        f" {HEAD}. If it was replaced, put it back. Otherwise run `drivebay migrations upgrade`."
    )
    raise Unavailable(detail)


def revision(connection: Connection) -> str | None:
    """Return the revision of the tables, or None if there are none."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def stamp(connection: Connection, revision: str) -> None:
    """Give tables that exist another revision."""
    connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})


def revisions(connection: Connection) -> Revisions:
    """Return the revision of the tables, and all revisions. Raises UNAVAILABLE if a newer Drivebay made the tables."""
    found = Revisions(revision(connection), _known())
    if found.current is not None and found.current.endswith("-unfinished"):
        detail = "The rows of another database are being moved to this one. Run `drivebay move-metadata` to end that."
        raise Unavailable(detail)
    if found.current not in (None, *(each.name for each in found.known)):
        detail = (
            f"The tables are of revision {found.current}, and this Drivebay knows them up to {HEAD}."
            " Install the newer one."
        )
        raise Unavailable(detail)
    return found


def sql(dialect: str, after: str | None) -> str:
    """Return the statements from the revision `after`, or from nothing, to HEAD. Raises ValueError if it is unknown."""
    names = [each.name for each in _known()]
    if after not in (None, *names):
        raise ValueError(f"{after!r} is not a revision. Choose one of: {', '.join(names)}.")
    from alembic import command

    written = StringIO()
    command.upgrade(_config(dialect=dialect, written=written), f"{after or 'base'}:{HEAD}", sql=True)
    return written.getvalue()


def _known() -> tuple[Revision, ...]:
    from alembic.script import ScriptDirectory

    scripts = [*ScriptDirectory.from_config(_config()).walk_revisions()]
    return tuple(Revision(script.revision, script.doc) for script in reversed(scripts))


def _config(**attributes: Any) -> "Config":
    """Return the configuration of Alembic, with attributes for env.py."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "adapters.sql:migrations")
    config.attributes.update(attributes)
    return config
