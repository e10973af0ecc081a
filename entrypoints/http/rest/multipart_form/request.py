"""A request to store a blob as `multipart/form-data`: HTML forms and all HTTP libraries can send it."""

from collections.abc import AsyncIterator, Mapping

from litestar.types import Scope

from application.blobs.store import NewBlob
from application.uploads.intake import too_large
from domain.precondition import CREATE_ONLY
from entrypoints.http.protocol.fields.header_values import parameters
from entrypoints.http.protocol.fields.headers import check_framing, content_length
from entrypoints.http.protocol.fields.media_types import essence
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest import raw_form
from entrypoints.http.rest.json_form.request import check_not_encoded
from entrypoints.http.rest.multipart_form.scanner import MAX_FRAME, FormScanner
from entrypoints.http.rest.scanned_bodies import scanned_blob


def is_form(headers: Mapping[str, str]) -> bool:
    return essence(headers.get("content-type", "")) == raw_form.FORM


async def new_blob(scope: Scope, headers: Mapping[str, str], body: AsyncIterator[bytes], max_bytes: int) -> NewBlob:
    """Return the blob to store. The body is read up to the first bytes of the file, the rest with the blob's bytes.

    The headers Content-Type and Content-Encoding of the part `file` become the blob's. Before a byte is read, raises
    HttpProblem 411, 415 or 501, or TOO_LARGE if the body's length shows it. Raises what `body` and FormScanner raise,
    here or while the bytes are read.
    """
    check_not_encoded(headers)
    check_framing(scope, headers)
    length = content_length(headers)
    if length is not None and length - MAX_FRAME > max_bytes:
        raise too_large(max_bytes)
    scanner = FormScanner(_boundary(headers["content-type"]))
    source = await scanned_blob(scanner, body)
    assert scanner.file is not None
    return NewBlob(
        source,
        properties=raw_form.properties(scanner.file.headers),
        precondition=CREATE_ONLY,
    )


def _boundary(content_type: str) -> str:
    boundary = (parameters(content_type) or {}).get("boundary")
    if boundary is None:
        detail = "Content-Type has no valid boundary. Let your HTTP library set this header: it knows the boundary."
        raise HttpProblem("invalid_header", detail)
    return boundary
