"""Problems in the OpenAPI document."""

from collections import defaultdict
from http import HTTPStatus

import msgspec
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, Reference, Schema

from entrypoints.http.openapi.components import HEADERS, ID, always, header, response
from entrypoints.http.protocol.catalogue import CATALOGUE
from entrypoints.http.protocol.problems import Problem

HEADERS_OF = {
    HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": HEADERS["WWW-Authenticate"]},
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: {
        "Content-Range": header("How many bytes there are.", pattern=r"^bytes \*/\d+$", examples=["bytes */12"])
    },
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": HEADERS["Retry-After"]},
}


def problems(*codes: str, path: str = f"/v1/blobs/{ID}", body: bool = True) -> dict[str, OpenAPIResponse]:
    """Return the problems with these codes, by status, as examples at `path`. HEAD has no `body`."""
    by_status = defaultdict(list)
    for code in codes:
        by_status[CATALOGUE[code].status].append(code)
    return {str(int(status)): _problem(status, by_status[status], path, body=body) for status in sorted(by_status)}


def _problem(status: HTTPStatus, codes: list[str], path: str, *, body: bool) -> OpenAPIResponse:
    texts = {code: CATALOGUE[code].text for code in codes}
    described = response("\n\n".join(f"`{code}`: {detail}" for code, detail in texts.items()))
    described.headers = (described.headers or {}) | {
        name: always(header) for name, header in HEADERS_OF.get(status, {}).items()
    }
    if body:
        constraints = Schema(properties={"status": Schema(const=int(status)), "code": Schema(enum=codes)})
        schema = Schema(all_of=[Reference("#/components/schemas/Problem"), constraints])
        examples: dict[str, Example | Reference] = {
            code: Example(
                value=msgspec.to_builtins(Problem("about:blank", status.phrase, int(status), detail, path, code))
            )
            for code, detail in texts.items()
        }
        described.content = {"application/problem+json": OpenAPIMediaType(schema, examples=examples)}
    return described
