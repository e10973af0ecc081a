"""Changes of quotas in a unit of work: applied at its end, so that units do not wait for each other in a circle."""

from collections import Counter

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.statement import Statement
from adapters.sql.tables import KEYS
from domain.errors import QuotaExceeded

Balance = Counter[str]
"""The bytes that a unit stores, minus the bytes that it gives back, by key."""


_BYTES = sa.bindparam("bytes", type_=sa.BigInteger)
_STORED = KEYS.c.stored_bytes + _BYTES
_OF_KEY = KEYS.c.id == sa.bindparam("key_id")
_CHARGE = Statement(
    sa.update(KEYS).where(_OF_KEY, KEYS.c.quota_bytes >= _STORED).values({KEYS.c.stored_bytes: _STORED})
)
_GIVE_BACK = Statement(sa.update(KEYS).where(_OF_KEY).values({KEYS.c.stored_bytes: _STORED}))


def settle(connection: Connection, balance: Balance) -> None:
    """Apply the changes, key by key in one order: the last statements of a unit. Raises QUOTA_EXCEEDED.

    The row of a key is locked from then on. A unit that locked blobs, or another key, after it could wait for one that
    waits for it: two keys that replace each other's blobs.
    """
    for key_id, size in sorted(balance.items()):
        values = {"key_id": key_id, "bytes": size}
        if size < 0:
            _GIVE_BACK.count(connection, values)
        elif size > 0 and _CHARGE.count(connection, values) == 0:
            raise QuotaExceeded
