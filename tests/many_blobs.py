"""Rows of blobs that have no bytes, by the thousand."""

from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from adapters.sql.tables import BLOBS
from domain.properties import DEFAULT_CONTENT_TYPE


def insert(connection: Connection, numbers: Iterable[int], id_of: Callable[[int], str]) -> None:
    """Insert a row for each number, which no row has yet."""
    connection.execute(sa.insert(BLOBS), [_row(number, id_of(number)) for number in numbers])


def _row(number: int, blob_id: str) -> dict[str, Any]:
    return {
        "id": blob_id,
        "backend": "fs",
        "object_key": f"{number:032x}",
        "size": number,
        "sha256": number.to_bytes(32, "big"),
        "content_type": DEFAULT_CONTENT_TYPE,
        "created_at": number,
    }
