"""Short request bodies in JSON, and their members that several operations have."""

import json
from collections.abc import Sequence, Set
from typing import Any, TypeVar

import msgspec

from domain.blob import BlobId
from domain.precondition import ANY, Precondition
from entrypoints.http.openapi.bodies import JSON
from entrypoints.http.protocol.client_pace import Meter, Pace
from entrypoints.http.protocol.fields import conditional
from entrypoints.http.protocol.fields.headers import check_framing, content_length, fields
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.described import HttpRequest
from entrypoints.http.rest.json_structure import JsonStructure

T = TypeVar("T")

FORM = "application/x-www-form-urlencoded"
MERGE_PATCH = "application/merge-patch+json"
MAX_BODY = 64 * 1024  # bytes: an id, properties and 8 KiB of metadata, escaped


async def json_body(
    request: HttpRequest,
    pace: Pace,
    form: type[T],
    *,
    limit: int = MAX_BODY,
    accepted: str = JSON,
    structure: JsonStructure | None = None,
) -> T:
    """Return the body of a request, of up to `limit` bytes, as an object of the class `form`.

    `structure` refuses a body before it is decoded, and before all of it is read. Raises HttpProblem 400, 408, 411,
    413, 415 or 501.
    """
    return decoded(await _text(request, pace, limit, (JSON, accepted), structure), form)


async def json_text(request: HttpRequest, pace: Pace) -> bytes:
    """Return the body of a request, of up to `MAX_BODY` bytes. Raises HttpProblem 400, 408, 411, 413, 415 or 501."""
    return await _text(request, pace, MAX_BODY, (JSON,))


async def form_text(request: HttpRequest, pace: Pace, *, limit: int) -> bytes:
    """Return the body of a form, of up to `limit` bytes. Raises HttpProblem 400, 408, 411, 413, 415 or 501."""
    return await _text(request, pace, limit, (FORM,))


async def _text(
    request: HttpRequest, pace: Pace, limit: int, accepted: Sequence[str], structure: JsonStructure | None = None
) -> bytes:
    headers = fields(request.scope)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in accepted or headers.get("content-encoding", "identity").strip().lower() != "identity":
        taken = " or ".join(dict.fromkeys(accepted))
        raise HttpProblem("unsupported_media_type", f"Send the body as {taken}, without Content-Encoding.")
    check_framing(request.scope, headers)
    if (content_length(headers) or 0) > limit:
        raise _too_long(limit)
    body = bytearray()
    async for chunk in Meter(pace).chunks(request.receive):
        body += chunk
        if len(body) > limit:
            raise _too_long(limit)
        if structure is not None:
            structure.feed(chunk)
    return bytes(body)


def decoded(body: bytes, form: type[T]) -> T:
    """Return a JSON text as an object of the class `form`, which takes no unknown members. Raises HttpProblem 400."""
    found = _parsed(body, form)
    _REPEATS.decode(body.decode())  # a body of another form never gets here, however deep it is
    return found


def members(body: bytes) -> Set[str]:
    """Return the names of the members of a JSON text. Raises HttpProblem 400."""
    return _parsed(body, dict[str, msgspec.Raw]).keys()


def _check_repeats(pairs: list[tuple[str, Any]]) -> None:
    """Refuse repeated members: RFC 8259 leaves their meaning open, and msgspec takes the last."""
    if len(dict(pairs)) < len(pairs):
        raise HttpProblem("invalid_body", "The body is not as it should be: it has a member more than once.")


_REPEATS = json.JSONDecoder(object_pairs_hook=_check_repeats)


def _parsed(body: bytes, form: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.ValidationError as error:
        raise HttpProblem("invalid_body", f"The body is not as it should be: {error}.") from None
    except msgspec.DecodeError as error:
        raise HttpProblem("invalid_json", f"The body is not JSON in UTF-8: {error}.") from None
    except RecursionError:
        raise HttpProblem("invalid_json", "The body is nested too deeply.") from None
    except UnicodeDecodeError as error:
        raise HttpProblem("invalid_json", f"The body is not JSON in UTF-8: {error.reason}.") from None


def _too_long(limit: int) -> HttpProblem:
    return HttpProblem("too_large", f"The body of this request may have up to {limit:,} bytes.")


def precondition(if_match: str | None = None, if_none_match: str | None = None) -> Precondition:
    """Return the precondition in the members `if_match` and `if_none_match`: entity tags, with or without quotes."""
    values: dict[str, str] = {}
    if if_match is not None:
        values["if-match"] = _quoted(if_match)
    if if_none_match is not None:
        values["if-none-match"] = _quoted(if_none_match)
    return conditional.precondition(values) if values else ANY


def _quoted(tag: str) -> str:
    return tag if tag == "*" or '"' in tag else f'"{tag}"'


def optional_id(value: str | None) -> BlobId | None:
    return None if value is None else BlobId(value)
