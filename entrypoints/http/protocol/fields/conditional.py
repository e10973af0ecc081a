"""Conditional requests (RFC 9110, section 13)."""

from collections.abc import Callable, Mapping
from datetime import datetime

from domain.blob import Blob
from domain.errors import BlobError, PreconditionFailed
from domain.precondition import ANY, Precondition
from entrypoints.http.protocol.fields.header_values import MAX_SIZE, entity_tags, format_date, http_date
from entrypoints.http.protocol.problems import HttpProblem

JSON_SUFFIX = "-json"
CONDITIONS = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since"})


class NotModified(Exception):
    """The client has this blob already."""

    def __init__(self, blob: Blob) -> None:
        super().__init__(blob.id)
        self.blob = blob


def etag(blob: Blob) -> str:
    """Return the validator of the bytes."""
    return f'"{blob.etag}"'


def json_etag(blob: Blob) -> str:
    """Return the validator of the JSON form, which differs because its bytes do (RFC 9110, section 8.8.3).

    It also has the seconds of `created_at`, which is in the body, and changes when the same bytes are stored again.
    """
    return f'"{blob.etag}.{int(blob.created_at.timestamp())}{JSON_SUFFIX}"'


def last_modified(blob: Blob) -> str:
    """Return the time of the blob, which is a validator only if it is strong: see `Blob.last_modified`."""
    return format_date(blob.last_modified)


def precondition(headers: Mapping[str, str]) -> Precondition:
    """Return the precondition of a change. Raises HttpProblem 400 for invalid tags: a change must not depend on them.

    A date counts only if there are no tags to match, and what is not a date is ignored (sections 13.1.4 and 13.2.2).
    """
    if CONDITIONS.isdisjoint(headers):
        return ANY
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    return Precondition(
        absent=none_match == "*",
        not_etags=frozenset() if none_match in (None, "*") else _versions("If-None-Match", none_match, weak=True),
        present=match == "*",
        etags=None if match in (None, "*") else _versions("If-Match", match, weak=False),
        unmodified_since=_date(headers.get("if-unmodified-since")) if match is None else None,
    )


def check_reading(headers: Mapping[str, str], blob: Blob, validator: Callable[[Blob], str]) -> None:
    """Raise PRECONDITION_FAILED or NotModified where a reading depends on that (section 13.2.2 has the order).

    `validator` is `etag` or `json_etag`, that of the form that is read. If-None-Match compares only its tag (section
    13.1.2), because a browser may ask with the tag of the other form, and would use the body of that one after a 304.
    If-Match takes both tags, which name the same version.
    """
    if CONDITIONS.isdisjoint(headers):
        return
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is not None:
        if match != "*" and blob.etag not in _versions("If-Match", match, weak=False):
            raise _failed(blob)
    elif (since := _date(headers.get("if-unmodified-since"))) and blob.unchanged_since > since:
        raise _failed(blob)
    if none_match is not None:
        if none_match == "*" or validator(blob).strip('"') in _tags("If-None-Match", none_match, weak=True):
            raise NotModified(blob)
    elif (since := _date(headers.get("if-modified-since"))) and blob.unchanged_since <= since:
        raise NotModified(blob)


def is_current(headers: Mapping[str, str], tag: str | None) -> bool:
    """Return whether the client has this representation, which is not that of a blob, by its entity tag if it has one.

    Raises HttpProblem 412 if the client names other versions only. Dates are ignored, because it has none.
    """
    if CONDITIONS.isdisjoint(headers):
        return False
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match not in (None, "*") and tag not in _tags("If-Match", match, weak=False):
        raise HttpProblem("precondition_failed", "It has changed (ETag mismatch). Fetch it again before you retry.")
    return none_match == "*" or (none_match is not None and tag in _tags("If-None-Match", none_match, weak=True))


def range_still_holds(headers: Mapping[str, str], blob: Blob) -> bool:
    """Return whether this is the version of which the client has a part: If-Range names it by tag or by date.

    A date that is not strong names none (section 13.1.5), so that two versions are never joined.
    """
    validator = headers.get("if-range")
    if validator is None or validator == etag(blob):
        return True
    return blob.has_strong_date and _date(validator) == blob.unchanged_since


def _tags(name: str, value: str, *, weak: bool) -> frozenset[str]:
    """Return the tags in a list, without quotes. Weak ones count only if `weak`."""
    tags = entity_tags(value)
    if tags is None:
        detail = f'{name} is not a list of entity tags of up to {MAX_SIZE:,} characters: "...", "...", or *.'
        raise HttpProblem("invalid_header", detail)
    return frozenset(tag.opaque for tag in tags if weak or not tag.is_weak)


def _versions(name: str, value: str, *, weak: bool) -> frozenset[str]:
    """Return the tags in a list, each in the form that `Blob.etag` has."""
    return frozenset(map(_version, _tags(name, value, weak=weak)))


def _version(tag: str) -> str:
    """Return the tag of the version that a tag of either form names. In that of the JSON form, a time may follow it."""
    return tag.removesuffix(JSON_SUFFIX).partition(".")[0] if tag.endswith(JSON_SUFFIX) else tag


def _date(value: str | None) -> datetime | None:
    """Return None if there is no date: then ignore the header."""
    return None if value is None else http_date(value)


def _failed(blob: Blob) -> BlobError:
    return PreconditionFailed(subject=blob.id)
