"""Objects that segments and parts share with other blobs."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

OBJECT_KEY = sa.Text().with_variant(sa.VARBINARY(32), "mariadb")
# Older servers that are still running ignore what is shared, so they must not find these: see adapters/sql/tables.py.
RENAMED = {"garbage_objects": "unused_objects", "parts": "upload_parts"}
OLD_COLUMNS = {
    "segments": ["content_key", "start", "backend", "object_key", "size", "sha256", "checksums"],
    "parts": ["upload_key", "number", "backend", "object_key", "size", "sha256", "checksums", "written_at"],
}


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.rename_table("garbage_objects", "unused_objects")
        _copy("segments", "segments", _shared(), unique=False)
        _copy("parts", "upload_parts", _shared(), unique=False)
        return
    for old, new in RENAMED.items():
        _rename(old, new)
    for table, old in {"segments": "segments", "upload_parts": "parts"}.items():
        op.add_column(table, _shared(), if_not_exists=True)
        op.create_index(f"ix_{table}_object_key", table, ["object_key"], if_not_exists=True)
        if op.get_context().dialect.name == "postgresql":
            op.drop_constraint(f"uq_{old}_object_key", table, type_="unique")
        else:
            op.drop_index(f"uq_{old}_object_key", table, if_exists=True)


def downgrade() -> None:
    """Raise ValueError, and change nothing, if an object is shared: older servers would delete it too early."""
    for table in ("segments", "upload_parts"):
        if op.get_bind().scalar(sa.text(f"SELECT COUNT(*) FROM {table} WHERE shared IS NOT NULL")):  # noqa: S608
            raise ValueError(f"objects are shared in {table}")
    if op.get_context().dialect.name == "sqlite":
        _copy("upload_parts", "parts", unique=True)
        _copy("segments", "segments", unique=True)
        op.rename_table("unused_objects", "garbage_objects")
        return
    for table, old in {"upload_parts": "parts", "segments": "segments"}.items():
        op.create_unique_constraint(f"uq_{old}_object_key", table, ["object_key"])
        op.drop_index(f"ix_{table}_object_key", table)
        op.drop_column(table, "shared")
    for old, new in RENAMED.items():
        _rename(new, old)


def _shared() -> sa.Column[Any]:
    return sa.Column("shared", sa.Boolean)


def _rename(old: str, new: str) -> None:
    if op.get_context().dialect.name == "mariadb":
        op.execute(f"RENAME TABLE IF EXISTS {old} TO {new}")
    else:
        op.rename_table(old, new)


def _copy(old: str, new: str, *more: sa.Column[Any], unique: bool) -> None:
    """Copy a table of segments or parts: SQLite can't drop a constraint."""
    name = "segments" if "segments" in old else "parts"
    keys, columns = OLD_COLUMNS[name][:2], OLD_COLUMNS[name]
    objects = [sa.UniqueConstraint("object_key", name=f"uq_{name}_object_key")] if unique else []
    op.create_table(
        f"new_{name}",
        sa.Column(keys[0], OBJECT_KEY, nullable=False),
        sa.Column(keys[1], sa.BigInteger if keys[1] == "start" else sa.Integer, nullable=False, autoincrement=False),
        sa.Column("backend", sa.Text, nullable=False),
        sa.Column("object_key", OBJECT_KEY, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.LargeBinary, nullable=False),
        sa.Column("checksums", sa.Text),
        *([sa.Column("written_at", sa.BigInteger)] if "written_at" in columns else []),
        *more,
        *objects,
        sa.PrimaryKeyConstraint(*keys, name=f"pk_{name}"),
        sqlite_with_rowid=False,
    )
    listed = ", ".join(columns)
    order = ", ".join(keys)
    op.execute(f"INSERT INTO new_{name} ({listed}) SELECT {listed} FROM {old} ORDER BY {order}")  # noqa: S608 - constants
    op.drop_table(old)
    op.rename_table(f"new_{name}", new)
    if not unique:
        op.create_index(f"ix_{new}_object_key", new, ["object_key"])
