"""Problems in the OpenAPI document."""

from collections import defaultdict
from http import HTTPStatus

import msgspec
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, Reference, Schema

from entrypoints.http.openapi.components import HEADERS, ID, always, answer, header
from entrypoints.http.protocol.catalogue import CATALOGUE
from entrypoints.http.protocol.problems import Problem

# What goes wrong, by status and code, with a detail as it may be told.
PROBLEMS: Mapping[HTTPStatus, Mapping[str, str]] = {
    HTTPStatus.BAD_REQUEST: {
        "invalid_id": "The blob id is 1,025 bytes long in UTF-8; an id is 1 to 1,024 bytes of UTF-8 text.",
        "invalid_parameter": (
            "The query parameter '.txt' is not known. This request takes no parameters. "
            "If the ? is part of the blob's id, write it as %3F."
        ),
        "invalid_header": "A header is not as it should be.",
        "invalid_json": "The body is not JSON in UTF-8.",
        "invalid_body": "The body has a member too many, twice, or of a wrong type, or lacks one.",
        "invalid_form": (
            "The body is not multipart/form-data with the fields id and file: it ends before its last boundary."
        ),
        "invalid_base64": "data is not standard base64 (RFC 4648, section 4), at offset 4.",
        "digest_mismatch": "The bytes that arrived have another SHA-256 than the one declared. Send them again.",
        "client_gone": "The request ended before its body did, or the body is not chunked as it should be.",
        "size_mismatch": "The body ended after 6 of the 12 bytes declared. Send it again.",
    },
    HTTPStatus.UNAUTHORIZED: {"unauthorized": "Send the header Authorization: Bearer <token>, once."},
    HTTPStatus.NOT_FOUND: {"not_found": "There is no blob with this id."},
    HTTPStatus.REQUEST_TIMEOUT: {
        "request_timeout": "The body came too slowly, and was given up. Send it again.",
        "lease_lost": "The upload stood still for too long and was given up. Send it again.",
    },
    HTTPStatus.CONFLICT: {
        "already_exists": "A blob with this id exists already. Choose another id, or delete that blob first."
    },
    HTTPStatus.LENGTH_REQUIRED: {
        "length_required": "Send the body with the header Content-Length, of 0 if it is empty, or in chunks."
    },
    HTTPStatus.PRECONDITION_FAILED: {
        "precondition_failed": "The blob has changed since the version that you named. Fetch it again before you retry."
    },
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: {"too_large": "A blob may have up to 5,368,709,120 bytes here."},
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: {
        "unsupported_media_type": (
            "Send the blob as application/json, or as multipart/form-data with the fields id and file."
        )
    },
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: {
        "range_not_satisfiable": "The range lies behind the end: there are 12 bytes."
    },
    HTTPStatus.INTERNAL_SERVER_ERROR: {
        "integrity": TOLD[Kind.INTEGRITY],
        "internal_error": "Drivebay has a fault here. Tell the operator; the log has the details.",
    },
    HTTPStatus.NOT_IMPLEMENTED: {"not_implemented": "No Transfer-Encoding but chunked is known here."},
    HTTPStatus.SERVICE_UNAVAILABLE: {
        "unavailable": TOLD[Kind.UNAVAILABLE],
        "timeout": TOLD[Kind.TIMEOUT],
        "commit_unknown": TOLD[Kind.COMMIT_UNKNOWN],
        "rolled_back": TOLD[Kind.ROLLED_BACK],
        "overloaded": OVERLOADED,
        "not_ready": "Not ready: the database (unavailable). The log has the details.",
    },
    HTTPStatus.INSUFFICIENT_STORAGE: {"no_space": TOLD[Kind.NO_SPACE]},
}
STATUS_OF = {code: status for status, told in PROBLEMS.items() for code in told}
HEADERS_OF = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": HEADERS["WWW-Authenticate"]},
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: {
        "Content-Range": header("How many bytes there are.", pattern=r"^bytes \*/\d+$", examples=["bytes */12"])
    },
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": HEADERS["Retry-After"]},
}


def problems(*codes: str, path: str = f"/v1/blobs/{ID}", body: bool = True) -> dict[str, OpenAPIResponse]:
    """The problems with these codes, by status, as examples at `path`. HEAD has no `body`."""
    by_status = defaultdict(list)
    for code in codes:
        by_status[CATALOGUE[code].status].append(code)
    return {str(int(status)): _problem(status, by_status[status], path, body=body) for status in sorted(by_status)}


def _problem(status: HTTPStatus, codes: list[str], path: str, *, body: bool) -> OpenAPIResponse:
    texts = {code: CATALOGUE[code].text for code in codes}
    described = answer("\n\n".join(f"`{code}`: {detail}" for code, detail in texts.items()))
    described.headers = (described.headers or {}) | {
        name: always(header) for name, header in HEADERS_OF.get(status, {}).items()
    }
    if body:
        these = Schema(properties={"status": Schema(const=int(status)), "code": Schema(enum=codes)})
        schema = Schema(all_of=[Reference("#/components/schemas/Problem"), these])
        examples: dict[str, Example | Reference] = {
            code: Example(
                value=msgspec.to_builtins(Problem("about:blank", status.phrase, int(status), detail, path, code))
            )
            for code, detail in texts.items()
        }
        described.content = {"application/problem+json": OpenAPIMediaType(schema, examples=examples)}
    return described
