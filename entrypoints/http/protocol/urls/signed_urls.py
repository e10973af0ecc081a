"""Signed URLs: the usual URLs, with parameters that say what is allowed, and a signature over all of it.

The signature covers the method, the path as it is sent, and the query up to the signature, byte for byte. With
`prefix`, the path may go on after the prefix.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes, urlencode

from domain.access import UNCONDITIONAL, Action, Conditions
from domain.blob import BlobId, Digest
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.urls.blob_paths import PREFIX, blob_id

ACTIONS = {"GET": Action.READ, "HEAD": Action.READ, "PUT": Action.WRITE, "DELETE": Action.DELETE}
MARK = b"&signature="
NAME = "{name}"
"""The place in a URL for a prefix at which the rest of the id goes, percent-encoded."""
_END = re.compile(rb"key=([a-z2-7]{16})&expires=([0-9]{1,11}+)&signature=([0-9a-f]{64})")
_SIGNED_ONLY = ("prefix", "content_type", "max_bytes", "sha256", "create_only")


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request that claims to be signed: by which key, until when, for which ids, and under which conditions.

    `rest` is the query that the route takes.
    """

    key_id: str
    expires_at: datetime
    signature: str
    message: bytes
    action: Action
    prefix: str
    conditions: Conditions
    rest: bytes


def is_signed(query: bytes) -> bool:
    """Return whether a query has a signature, valid or not."""
    return query.startswith(b"signature=") or b"&signature=" in query


def signed_request(method: str, raw_path: bytes, query: bytes) -> SignedRequest:
    """Return what a request was signed for, if its signature is valid. Raises HttpProblem 401, and INVALID_ID."""
    *parameters, end = _split(query)
    found = _END.fullmatch(end)
    action = ACTIONS.get(method)
    if found is None or action is None or not raw_path.startswith(PREFIX):
        raise invalid_signature()
    values, rest = dict[str, str](), list[bytes]()
    for each in parameters:
        name, _, value = each.partition(b"=")
        if name.decode("latin-1") in _SIGNED_ONLY:
            if name.decode() in values:
                raise invalid_signature()
            values[name.decode()] = _text(value)
        else:
            rest.append(each)
    signed = query[: query.rindex(MARK)]
    addressed = blob_id(raw_path).value
    prefix = values.get("prefix")
    if prefix is not None and not raw_path.startswith(_path(prefix)):
        raise invalid_signature()
    return SignedRequest(
        found[1].decode(),
        datetime.fromtimestamp(int(found[2]), UTC),
        found[3].decode(),
        message(method, raw_path if prefix is None else _path(prefix) + NAME.encode(), signed),
        action,
        addressed if prefix is None else prefix,
        _conditions(values),
        b"&".join(rest),
    )


def _text(value: bytes) -> str:
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError:
        raise invalid_signature() from None


def _split(query: bytes) -> list[bytes]:
    """Return the parameters before `key`, each by itself, and the rest."""
    start = query.rfind(b"key=")
    if start < 0 or (start and query[start - 1 : start] != b"&"):
        raise invalid_signature()
    before = query[: max(start - 1, 0)]
    return [*(before.split(b"&") if before else []), query[start:]]


def _conditions(values: dict[str, str]) -> Conditions:
    if values.keys() <= {"prefix"}:
        return UNCONDITIONAL
    try:
        return Conditions(
            int(values["max_bytes"]) if "max_bytes" in values else None,
            values.get("content_type"),
            Digest(bytes.fromhex(values["sha256"])) if "sha256" in values else None,
            values.get("create_only") == "true",
        )
    except ValueError:
        raise invalid_signature() from None


def invalid_signature() -> HttpProblem:
    """Return the refusal of a request whose signature is not valid, for whatever reason."""
    return HttpProblem("invalid_signature", headers={"WWW-Authenticate": "Bearer"})


@dataclass(frozen=True, slots=True)
class UnsignedUrl:
    """A URL to be signed: the method, the path, and the query, which names the key and the expiry."""

    method: str
    path: str
    query: str

    @property
    def message(self) -> bytes:
        """The text that is signed."""
        return message(self.method, self.path.encode(), self.query.encode())

    def signed(self, signature: str) -> str:
        """Return path and query with the signature."""
        return f"{self.path}?{self.query}{MARK.decode()}{signature}"


def unsigned_url(
    method: str, blobs: BlobId | str, parameters: dict[str, str], key_id: str, expires_at: datetime
) -> UnsignedUrl:
    """Return the URL of a blob, or of all blobs with a prefix, with `NAME` as the rest of their ids."""
    path = _path(blobs.value) if isinstance(blobs, BlobId) else _path(blobs) + NAME.encode()
    prefix = {} if isinstance(blobs, BlobId) else {"prefix": blobs}
    ends = {"key": key_id, "expires": str(int(expires_at.timestamp()))}
    query = urlencode({**parameters, **prefix, **ends}, quote_via=quote, safe="")
    return UnsignedUrl(method, path.decode(), query)


def parameters_of(conditions: Conditions) -> dict[str, str]:
    """Return conditions as parameters of a URL."""
    found = {
        "content_type": conditions.content_type,
        "max_bytes": None if conditions.max_bytes is None else str(conditions.max_bytes),
        "sha256": None if conditions.digest is None else conditions.digest.hex,
        "create_only": "true" if conditions.create_only else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _path(ids: str) -> bytes:
    return PREFIX + quote(ids, safe="").encode()


def message(method: str, path: bytes, query: bytes) -> bytes:
    """Return the text that is signed."""
    return b"\n".join((b"drivebay-1", method.encode(), path, query))
