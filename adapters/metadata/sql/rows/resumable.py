"""The state of resumable uploads, as JSON."""

from collections.abc import Mapping
from typing import Any

from adapters.sql.tables import microseconds_of, time_of
from application.ports.contents import Resumable
from domain.blob import Digest, ObjectKey
from domain.precondition import Precondition


def attributes_of(resumable: Resumable) -> Mapping[str, Any]:
    """Return a form for JSON."""
    condition = resumable.precondition
    since = condition.unmodified_since
    precondition = {
        "new": condition.new,
        "absent": condition.absent,
        "present": condition.present,
        "etags": None if condition.etags is None else sorted(condition.etags),
        "not_etags": sorted(condition.not_etags),
        "unmodified_since": None if since is None else microseconds_of(since),
    }
    return {
        "precondition": {name: value for name, value in precondition.items() if value not in (None, False)},
        "digest": None if resumable.digest is None else resumable.digest.hex,
        "max_bytes": resumable.max_bytes,
        "metadata": resumable.metadata,
        "is_partial": resumable.is_partial,
        "final": None if resumable.final is None else resumable.final.value,
        "partials": [key.value for key in resumable.partials],
        "joins": resumable.joins,
    }


def resumable_of(attributes: Mapping[str, Any]) -> Resumable:
    """Return what `attributes_of` has kept."""
    condition = attributes["precondition"]
    etags, since = condition.get("etags"), condition.get("unmodified_since")
    precondition = Precondition(
        condition.get("new", False),
        condition.get("absent", False),
        condition.get("present", False),
        None if etags is None else frozenset(etags),
        frozenset(condition.get("not_etags", ())),
        None if since is None else time_of(since),
    )
    digest, final = attributes["digest"], attributes["final"]
    return Resumable(
        precondition,
        None if digest is None else Digest(bytes.fromhex(digest)),
        attributes["max_bytes"],
        attributes["metadata"],
        attributes["is_partial"],
        None if final is None else ObjectKey(final),
        tuple(ObjectKey(key) for key in attributes["partials"]),
        attributes["joins"],
    )
