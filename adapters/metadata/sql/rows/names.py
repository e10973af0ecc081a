"""The numbers of names that contents and objects have, where there are several, and what has none left."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.metadata.sql.rows.batches import batches
from adapters.sql.tables import CONTENTS, GARBAGE, DatabaseNow

Object = tuple[str, str]  # its key and its backend


def add_name(connection: Connection, key: str, *, is_shared: bool) -> None:
    """Count one more name. The row of one that is there, which says whether it `is_shared`, is locked."""
    if is_shared:
        one_more = sa.update(CONTENTS).where(CONTENTS.c.content_key == key)
        connection.execute(one_more.values({"versions": CONTENTS.c.versions + 1}))
    else:
        connection.execute(sa.insert(CONTENTS).values(content_key=key, versions=2))


def remove_names(connection: Connection, keys: Iterable[str]) -> set[str]:
    """Count one name less for each time that a key is given. Return the keys that have no name left."""
    counts, left = Counter(keys), set[str]()
    for some in batches(sorted(counts)):
        of_keys = CONTENTS.c.content_key.in_(some)
        # In the order of the keys, so that two units never wait for each other.
        locked = sa.select(CONTENTS.c.content_key).where(of_keys).order_by(CONTENTS.c.content_key).with_for_update()
        connection.execute(locked).all()
        for count in {counts[key] for key in some}:
            fewer = sa.update(CONTENTS).where(CONTENTS.c.content_key.in_([key for key in some if counts[key] == count]))
            connection.execute(fewer.values({"versions": CONTENTS.c.versions - count}))
        unused = (of_keys, CONTENTS.c.versions == 0)
        if found := connection.scalars(sa.select(CONTENTS.c.content_key).where(*unused)).all():
            connection.execute(sa.delete(CONTENTS).where(*unused))
            left.update(found)
    return left


def release(connection: Connection, objects: Sequence[Object]) -> None:
    """Count one name less for each time that a shared object is given. Objects without a name become garbage."""
    backends = dict(objects)
    add_garbage(connection, {key: backends[key] for key in remove_names(connection, [key for key, _ in objects])})


def release_unshared(connection: Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> Sequence[Object]:
    """Let the objects of segments or parts be garbage, but return the shared ones. The rows are kept."""
    columns = ["object_key", "backend", "due_at", "deletes", "claims"]
    unshared = sa.select(table.c.object_key, table.c.backend, DatabaseNow(), sa.literal(1), sa.literal(0)).where(
        condition, table.c.shared.is_(None)
    )
    connection.execute(sa.insert(GARBAGE).from_select(columns, unshared))
    shared = sa.select(table.c.object_key, table.c.backend).where(condition, table.c.shared.is_not(None))
    return [(row.object_key, row.backend) for row in connection.execute(shared)]


def add_garbage(connection: Connection, objects: Mapping[str, str]) -> None:
    """Let objects be garbage, due now. They are given as their keys, each with its backend."""
    if objects:
        # The driver of MariaDB sends many rows in one statement only if all values are parameters.
        usual = {"due_at": connection.scalar(sa.select(DatabaseNow())), "deletes": 1, "claims": 0}
        rows = [{"object_key": key, "backend": backend, **usual} for key, backend in objects.items()]
        connection.execute(sa.insert(GARBAGE), rows)
