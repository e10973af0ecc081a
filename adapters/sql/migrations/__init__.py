"""The history of the tables, as Alembic revisions, and the way to the newest.

MariaDB commits each change of a table by itself. So that a start that was killed between two can be repeated, so can
every statement of a revision: IF NOT EXISTS.
"""

from io import StringIO
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import Connection

from application.ports.schema import Revision, Revisions
from domain.errors import Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0007"


def upgrade(connection: Connection) -> None:
    """Bring the tables to HEAD, in the caller's transaction. The caller keeps other processes from doing the same.

    Raises UNAVAILABLE if the tables are those of a newer Drivebay.
    """
    if revision(connection) == HEAD:
        return
    revisions(connection)
    # Only now: it takes longer to import than all else that a start does.
    from alembic import command

    command.upgrade(_config(connection=connection), HEAD)


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
    """The revision that the tables have, or None where there are no tables."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return found


def revisions(connection: Connection) -> Revisions:
    """The revision that the tables have, and all that are known. Raises UNAVAILABLE if they are a newer Drivebay's."""
    found = Revisions(revision(connection), _known())
    if found.current not in (None, *(each.name for each in found.known)):
        detail = (
            f"The tables are of revision {found.current}, and this Drivebay knows them up to {HEAD}."
            " Install the newer one."
        )
        raise Unavailable(detail)
    return found


def sql(dialect: str, after: str | None) -> str:
    """The statements from the revision `after`, or from nothing, to HEAD. Raises ValueError if there is none such."""
    names = [each.name for each in _known()]
    if after not in (None, *names):
        raise ValueError(f"{after!r} is no revision. Those that are: {', '.join(names)}.")
    from alembic import command

    written = StringIO()
    command.upgrade(_config(dialect=dialect, written=written), f"{after or 'base'}:{HEAD}", sql=True)
    return written.getvalue()


def _known() -> tuple[Revision, ...]:
    from alembic.script import ScriptDirectory

    scripts = [*ScriptDirectory.from_config(_config()).walk_revisions()]
    return tuple(Revision(script.revision, script.doc) for script in reversed(scripts))


def _config(**attributes: Any) -> "Config":
    """Alembic's, with what env.py needs."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "adapters.sql:migrations")
    config.attributes.update(attributes)
    return config
