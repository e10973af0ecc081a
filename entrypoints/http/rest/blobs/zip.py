"""Download several blobs as one zip file."""

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, ClassVar
from urllib.parse import parse_qs

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIFormat, OpenAPIMediaType, OpenAPIType, RequestBody, Schema
from litestar.types import ASGIApp

from application.blobs.collect import CollectBlobs, Selection
from domain.blob import BlobId
from domain.text import CONTROL_CHARACTER
from entrypoints.http.openapi.bodies import documented, json_request
from entrypoints.http.openapi.components import (
    MAX_FILENAME,
    NO_CONTROL_CHARACTERS,
    id_schema,
    response,
    text,
)
from entrypoints.http.openapi.operation import operation
from entrypoints.http.openapi.problems import problems
from entrypoints.http.protocol.client_pace import Pace
from entrypoints.http.protocol.fields.headers import fields
from entrypoints.http.protocol.fields.media_types import essence
from entrypoints.http.protocol.problems import HttpProblem
from entrypoints.http.rest.blobs.zip_form.response import MEDIA_TYPE, ZipResponse, common_folder, folder_of
from entrypoints.http.rest.described import EVERYWHERE, MALFORMED, HttpRequest
from entrypoints.http.rest.json_bodies import FORM, form_text, json_body
from entrypoints.http.rest.json_structure import JsonStructure
from entrypoints.http.rest.members import Id, Prefix
from entrypoints.http.rest.negotiation import is_filename

MAX_ITEMS = 10_000
FIELDS = ("id", "prefix", "folder", "filename")
MAX_BODY = 8 * 1024 * 1024
Collect = NamedDependency[CollectBlobs]
Filename = Annotated[str, documented(minLength=1, maxLength=MAX_FILENAME, pattern=NO_CONTROL_CHARACTERS)]
MOST = f"Up to {MAX_ITEMS:,} ids and prefixes in all."
Ids = Annotated[list[Id], documented(description=MOST)]
Prefixes = Annotated[list[Prefix], documented(description=MOST)]


class ZipBody(msgspec.Struct, forbid_unknown_fields=True):
    """Blobs to download: those with these ids, and all whose ids begin with one of the prefixes.

    `folder` is left out of the names in the file: all ids begin with it, and it ends with a slash. Without it, that is
    the longest folder that all have in common. `filename` is that of the zip file.
    """

    SCHEMA: ClassVar = {
        "anyOf": [
            {"required": [name], "properties": {name: {"type": "array", "minItems": 1}}} for name in ("ids", "prefixes")
        ]
    }

    ids: Ids = []
    prefixes: Prefixes = []
    folder: Prefix | None = None
    filename: Filename | None = None

    def selection(self) -> Selection:
        """Return the blobs. Raises HttpProblem 400, and INVALID_ID."""
        if not 1 <= len(self.ids) + len(self.prefixes) <= MAX_ITEMS:
            raise _invalid(f"Name 1 to {MAX_ITEMS:,} ids and prefixes. The empty prefix stands for all blobs.")
        if any(CONTROL_CHARACTER.search(prefix) for prefix in self.prefixes):
            raise _invalid("A prefix has a control character in it; no id has.")
        return Selection([BlobId(each) for each in self.ids], self.prefixes)

    def checked_folder(self) -> str:
        """Return the folder. Raises HttpProblem 400."""
        if self.filename is not None and not is_filename(self.filename):
            raise _invalid(f"filename has 1 to {MAX_FILENAME} characters, no control characters.")
        if self.folder is None:
            return common_folder([*self.ids, *self.prefixes])
        if self.folder and not self.folder.endswith("/"):
            raise _invalid("folder is empty, or ends with a slash.")
        if not all(each.startswith(self.folder) for each in (*self.ids, *self.prefixes)):
            raise _invalid("folder is where all ids and prefixes begin, and one of them does not.")
        return self.folder


def _invalid(detail: str) -> HttpProblem:
    return HttpProblem("invalid_body", detail)


_IDS = Schema(type=OpenAPIType.ARRAY, items=id_schema(), min_items=1)
_PREFIXES = Schema(type=OpenAPIType.ARRAY, items=text(pattern=NO_CONTROL_CHARACTERS), min_items=1)
_FORM = Schema(
    type=OpenAPIType.OBJECT,
    properties={
        "id": _IDS,
        "prefix": _PREFIXES,
        "folder": text(pattern=NO_CONTROL_CHARACTERS),
        "filename": text(min_length=1, max_length=MAX_FILENAME, pattern=NO_CONTROL_CHARACTERS),
    },
    any_of=[Schema(required=["id"]), Schema(required=["prefix"])],
    additional_properties=False,
)
ZIPPED = OpenAPIMediaType(Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY), example="PK")


def _body() -> RequestBody:
    body = json_request(ZipBody, example={"ids": ["films/a.mp4"], "prefixes": ["films/new/"], "filename": "films.zip"})
    return replace(body, content={**body.content, FORM: OpenAPIMediaType(_FORM, example={"id": ["films/a.mp4"]})})


ZIP = operation(
    body=_body(),
    responses={"200": response("The zip file.", {MEDIA_TYPE: ZIPPED}, required=["Content-Length", "Cache-Control"])}
    | problems(
        *("invalid_id", "invalid_prefix", "not_found", "integrity", "no_space", *MALFORMED), *EVERYWHERE, path="/v1/zip"
    ),
)


@post(
    "/zip",
    operation_id="zipBlobs",
    summary="Download several blobs as a zip file",
    operation_class=ZIP,
    status_code=HTTPStatus.OK,
)
async def zip_blobs(request: HttpRequest, collect: Collect, pace: NamedDependency[Pace]) -> ASGIApp:
    """Send up to 1,000,000 blobs in one file, made while it is sent. They are not compressed.

    The versions are those of the start, also if they are replaced or deleted later. If one can't be read, the response
    breaks off. Names are ids without the folder, percent-encoded where they would not be safe as the name of a file.
    """
    body = await _body_of(request, pace)
    selection, folder = body.selection(), body.checked_folder()
    return ZipResponse(collect, request.auth, selection, folder, body.filename, pace)


def zip_structure() -> JsonStructure:
    """Return the bounds on what a selection may hold."""
    return JsonStructure(MAX_ITEMS, MAX_ITEMS + len(FIELDS), f"Name 1 to {MAX_ITEMS:,} ids and prefixes.")


async def _body_of(request: HttpRequest, pace: Pace) -> ZipBody:
    if essence(fields(request.scope).get("content-type", "")) != FORM:
        return await json_body(request, pace, ZipBody, limit=MAX_BODY, accepted=FORM, structure=zip_structure())
    content = await form_text(request, pace, limit=MAX_BODY)
    try:
        found = parse_qs(content.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_ITEMS + 2)
    except ValueError as error:
        raise _invalid(f"The form is not percent-encoded UTF-8 with up to {MAX_ITEMS:,} fields: {error}.") from None
    if unknown := found.keys() - FIELDS:
        raise _invalid(
            f"The form has fields that are not known. It takes {', '.join(FIELDS)}, and not {min(unknown)!r}."
        )
    if any(len(found.get(name, ())) > 1 for name in ("folder", "filename")):
        raise _invalid("folder and filename are given once.")
    single = {name: found.get(name, [""])[0] or None for name in ("folder", "filename")}
    return ZipBody(found.get("id", []), found.get("prefix", []), **single)


def zip_of_prefix(request: HttpRequest, collect: CollectBlobs, prefix: str, pace: Pace) -> ASGIApp:
    """Return the response with all blobs whose ids begin with a prefix."""
    return ZipResponse(collect, request.auth, Selection(prefixes=[prefix]), folder_of(prefix), None, pace)
