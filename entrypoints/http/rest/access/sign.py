"""Signed URLs: for a limited time, one request to one blob needs no other credential."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, ClassVar, Literal

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency

from application.access.sign import LONGEST, Signatures
from domain.access import Conditions, Grant
from domain.blob import BlobId, Digest
from domain.errors import InvalidPrefix
from entrypoints.http.openapi.bodies import documented, json_request
from entrypoints.http.openapi.components import ID, MAX_FILENAME, NO_CONTROL_CHARACTERS, json_of, response
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.addresses import origin
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.fields.media_types import media_type
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.protocol.urls.signed_urls import ACTIONS, parameters_of, unsigned_url
from entrypoints.http.rest.described import CREATED_AT, EVERYWHERE, MALFORMED, HttpRequest
from entrypoints.http.rest.json_bodies import json_body
from entrypoints.http.rest.members import Id, MediaType, Prefix
from entrypoints.http.rest.negotiation import is_filename

MAX_SECONDS = 10**9  # more is as wrong
Method = Literal["GET", "HEAD", "PUT", "DELETE"]
Seconds = Annotated[int, documented(minimum=1, maximum=int(LONGEST.total_seconds()))]
MaxBytes = Annotated[int, documented(minimum=0, maximum=2**63 - 1, description="Of the body of a PUT.")]
Sha256Hex = Annotated[str, documented(pattern="^[0-9a-f]{64}$", description="Of the body of a PUT.")]
Filename = Annotated[
    str,
    documented(
        minLength=1,
        maxLength=MAX_FILENAME,
        pattern=NO_CONTROL_CHARACTERS,
        description="The name of the file that a browser saves.",
    ),
]
_NULL = {"type": "null"}
_CONDITIONS = {"content_type": _NULL, "max_bytes": _NULL, "sha256": _NULL, "create_only": {"const": False}}
_OF_ID = {"id": {"type": "string"}, "prefix": _NULL}
_OF_PREFIX = {"prefix": {"type": "string", "minLength": 1}, "id": _NULL}
_ONE_OF: dict[str, object] = {
    "oneOf": [
        {"required": ["id"], "properties": {**_OF_ID, "method": {"const": "GET"}, **_CONDITIONS}},
        {
            "required": ["id"],
            "properties": {**_OF_ID, "method": {"enum": ["HEAD", "DELETE"]}, **_CONDITIONS, "filename": _NULL},
        },
        {"required": ["id"], "properties": {**_OF_ID, "method": {"const": "PUT"}, "filename": _NULL}},
        {"required": ["prefix"], "properties": {**_OF_PREFIX, "method": {"const": "PUT"}, "filename": _NULL}},
    ]
}


class SignBody(msgspec.Struct, forbid_unknown_fields=True):
    """A URL to sign: of one blob, or for PUT of all blobs with a prefix. Conditions are for PUT, `filename` for GET.

    `create_only`: the URL replaces no blob.
    """

    SCHEMA: ClassVar = _ONE_OF

    method: Method
    expires_in: Seconds = 3600
    id: Id | None = None
    prefix: Prefix | None = None
    content_type: MediaType | None = None
    max_bytes: MaxBytes | None = None
    sha256: Sha256Hex | None = None
    create_only: bool = False
    filename: Filename | None = None

    def blobs(self) -> BlobId | str:
        """Return the id or the prefix. Raises HttpProblem 400, INVALID_ID and INVALID_PREFIX."""
        if self.id is not None and self.prefix is None:
            return BlobId(self.id)
        if self.prefix is None or self.id is not None:
            raise HttpProblem("invalid_body", "Give the id of a blob, or a prefix, and not both.")
        if self.method != "PUT":
            raise HttpProblem("invalid_body", "A URL for a prefix is for PUT.")
        if not self.prefix:
            raise InvalidPrefix("The empty prefix stands for all ids. Choose a longer one.")
        return BlobId(self.prefix).value

    def conditions(self) -> Conditions:
        """Return the conditions of a PUT. Raises HttpProblem 400."""
        conditions = Conditions(
            self.max_bytes,
            None if self.content_type is None else media_type(self.content_type),
            None if self.sha256 is None else _digest(self.sha256),
            self.create_only,
        )
        if self.method != "PUT" and conditions != Conditions():
            raise HttpProblem("invalid_body", "content_type, max_bytes, sha256 and create_only are for PUT.")
        if not 0 <= (self.max_bytes or 0) < 2**63:
            raise HttpProblem("invalid_body", "max_bytes is a number of bytes.")
        return conditions

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the URL. Raises HttpProblem 400."""
        conditions = parameters_of(self.conditions())
        if self.filename is None:
            return {"alt": "media"} if self.method in ("GET", "HEAD") else conditions
        if self.method != "GET":
            raise HttpProblem("invalid_body", "filename is for GET.")
        if not is_filename(self.filename):
            raise HttpProblem("invalid_body", f"filename has 1 to {MAX_FILENAME} characters, no control characters.")
        return {"alt": "media", "filename": self.filename}


class SignedUrlBody(msgspec.Struct):
    """A signed URL, valid until `expires_at`. For a prefix, replace `{name}` by the rest of an id, percent-encoded."""

    url: str
    expires_at: datetime


def _digest(text: str) -> Digest:
    try:
        return Digest(bytes.fromhex(text))
    except ValueError:
        raise HttpProblem("invalid_body", "sha256 is a SHA-256 in 64 hexadecimal digits.") from None


_URL = (
    f"https://files.example.com/v1/blobs/{ID}?alt=media&key=ab2cd3ef4gh5ij6k&expires=1698404400&signature={'0a' * 32}"
)
SIGN = operation(
    body=json_request(SignBody, example={"method": "GET", "id": ID, "expires_in": 3600, "filename": "film.mp4"}),
    responses={"201": response("Signed.", json_of("SignedUrlBody", {"url": _URL, "expires_at": CREATED_AT}))}
    | problems(
        *("invalid_id", "invalid_prefix", "invalid_header", "invalid_expiry", "no_master_key", *MALFORMED),
        *EVERYWHERE,
        path="/v1/sign",
    ),
)


@post("/sign", operation_id="sign", summary="Sign a URL", operation_class=SIGN)
async def sign(
    request: HttpRequest, signatures: NamedDependency[Signatures], pace: NamedDependency[Pace]
) -> Response[SignedUrlBody]:
    """Sign a URL for one of your rights. It ends at its time, or before that with your key."""
    body = await json_body(request, pace, SignBody)
    made = await signed_url(signatures, request.auth, body, origin(request.scope))
    return Response(made, status_code=HTTPStatus.CREATED, headers={"Cache-Control": "no-store"})


async def signed_url(signatures: Signatures, grant: Grant, body: SignBody, origin: str) -> SignedUrlBody:
    """Return a signed URL that begins with `origin`. Raises HttpProblem 400, and what `signer` raises."""
    blobs, parameters = body.blobs(), body.parameters()
    lifetime = timedelta(seconds=max(-1, min(body.expires_in, MAX_SECONDS)))
    signer = await signatures.signer(grant, ACTIONS[body.method], blobs, lifetime)
    unsigned = unsigned_url(body.method, blobs, parameters, signer.key_id, signer.expires_at)
    return SignedUrlBody(origin + unsigned.signed(signer.sign(unsigned.message)), signer.expires_at.astimezone(UTC))
