"""Versions of blobs as rows: the columns that the tables of blobs and of the trash have in common."""

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Row

from adapters.metadata.sql.rows.checksums import checksums_of, text_of
from adapters.sql.tables import BLOBS, microseconds_of, time_of
from domain.blob import Blob, BlobId, Content, Digest, Draft, Location, ObjectKey
from domain.properties import Properties

BlobRow = Row[*tuple[Any, ...]]  # has the columns of the table, by name
COLUMNS = [column.name for column in BLOBS.columns]
"""The names of all columns of a version, its id included."""
REMEMBERED = 128  # clients send few different properties
RARE = ("content_language", "content_disposition", "cache_control", "metadata", "tags", "expires", "acl")


def blob_of(row: BlobRow, read_at: datetime | None = None) -> Blob:
    """Return the version in a row."""
    location = Location(row.backend, ObjectKey(row.object_key))
    digest = None if row.sha256 is None else Digest(bytes(row.sha256))
    if row.segments is None and row.shared is None:
        content = Content(location, row.size, digest)
    else:
        composite = None if row.composite is None else Digest(bytes(row.composite))
        content = Content(location, row.size, digest, row.segments or 0, composite, bool(row.shared))
    return Blob(
        BlobId(row.id),
        content,
        properties_of(row.content_type, row.content_encoding, row.properties),
        time_of(row.created_at),
        bool(row.sole),
        read_at,
        expires_at=None if row.expires_at is None else time_of(row.expires_at),
        changed_at=None if row.changed_at is None else time_of(row.changed_at),
        owner=row.owner or "",
        checksums=checksums_of(row.checksums, row.object_key),
    )


def values_of(version: Draft | Blob) -> dict[str, Any]:
    """Return the values of the columns, without times other than the one of expiry."""
    content, properties = version.content, version.properties
    return {
        "id": version.id.value,
        "backend": content.location.backend,
        "object_key": content.location.key.value,
        "size": content.size,
        "sha256": None if content.digest is None else content.digest.sha256,
        "content_type": properties.content_type,
        "content_encoding": properties.content_encoding or None,
        "segments": content.segments or None,
        "composite": None if content.composite is None else content.composite.sha256,
        "shared": content.is_shared or None,
        "properties": rare_properties(properties),
        "expires_at": None if version.expires_at is None else microseconds_of(version.expires_at),
        "owner": version.owner or None,
        "checksums": text_of(version.checksums, content.key),
    }


def times_of(blob: Blob) -> dict[str, Any]:
    """Return the values of the columns for the times of a published version."""
    changed_at = None if blob.changed_at is None else microseconds_of(blob.changed_at)
    return {"created_at": microseconds_of(blob.created_at), "sole": blob.sole, "changed_at": changed_at}


def rare_properties(properties: Properties) -> str | None:
    """Return the properties that have no column, as JSON; None if there are none."""
    found = {name: value for name in RARE if (value := getattr(properties, name))}
    return json.dumps(found, default=dict, ensure_ascii=False) if found else None


@lru_cache(maxsize=REMEMBERED)
def properties_of(content_type: str, content_encoding: str | None, rare: str | None) -> Properties:
    more: Mapping[str, Any] = {} if rare is None else json.loads(rare)
    return Properties(content_type, content_encoding or "", **more)
