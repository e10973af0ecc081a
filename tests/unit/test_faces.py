"""The faces, each mounted in an application without anything else."""

import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import Litestar, Router
from litestar.routes import HTTPRoute

from application.access.keys import NewKey
from application.access.shares import NewShare
from application.blobs.multipart.uploads import NewUpload
from application.blobs.store import IdentifiedBytes, NewBlob
from domain.access import EVERYTHING, Action, Grant
from domain.blob import BlobId
from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from entrypoints.config.values import hashed
from entrypoints.http.middleware.routes.load_shedding import RequestSlots
from entrypoints.http.operations import face as operations
from entrypoints.http.rest import face as rest
from entrypoints.server.shutdown import GracefulShutdown
from tests.asgi import exchange

HARDENING = Path(__file__).parents[2] / "entrypoints" / "HARDENING.md"
SETTINGS = Settings(storage="memory")
HEADERS = {"authorization": "Bearer token", "content-type": "application/json"}


def rest_face(grant: Grant) -> Router:
    """The REST interface for one token with this grant."""
    return rest.create(SETTINGS, container_for(grant), RequestSlots(10))


def container_for(grant: Grant) -> Container:
    container = Container(settings=SETTINGS)
    container.token_grants.override({hashed("token"): grant})
    return container


def faces() -> dict[str, Router]:
    container = Container(settings=SETTINGS)
    return {
        "/v1/blobs": rest_face(EVERYTHING),
        "/health/live": operations.create(container, GracefulShutdown(), None, RequestSlots(10)),
    }


@pytest.mark.parametrize("path", faces())
async def test_a_face_brings_its_own_error_format(path: str) -> None:
    """So another face can have another format: the application's is for unknown routes."""
    app: Any = Litestar([faces()[path]], openapi_config=None)
    status, headers, body = await exchange(app, "GET", path, query=b"unknown=1", headers=HEADERS)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert msgspec.json.decode(body)["code"] == "invalid_parameter"


def rest_operations() -> list[tuple[str, str]]:
    routes = [
        route for route in Litestar([rest_face(EVERYTHING)], openapi_config=None).routes if isinstance(route, HTTPRoute)
    ]
    return sorted((method, route.path) for route in routes for method in route.methods if method != "OPTIONS")


FILMS = BlobId("films/a")
BODIES: dict[str, Any] = {
    "/v1/blobs": {"id": "films/b", "data": ""},
    "/v1/copy": {"from": "films/a", "to": "films/b"},
    "/v1/move": {"from": "films/a", "to": "films/b"},
    "/v1/delete": {"prefix": "films/"},
    "/v1/zip": {"ids": ["films/a"]},
    "/v1/commits": {"operations": [{"delete": {"id": "films/a"}}]},
    "/v1/uploads": {"id": "films/a"},
    "/v1/trash/{key:str}/restore": {"replace": True},
    "/v1/sign": {"method": "GET", "id": "films/a", "expires_in": 60},
    "/v1/shares": {"id": "films/a"},
    "/v1/keys": {"name": "ci", "actions": ["read"], "prefixes": ["films/"]},
}


DEPENDING = {
    ("POST", "/v1/commits"): "the actions of its operations",
    ("POST", "/v1/keys"): "admin, and all that the key allows",
    ("POST", "/v1/keys/{key:str}/rotate"): "admin, and all that the key allows",
    ("POST", "/v1/sign"): "the one that is signed",
    ("POST", "/v1/shares"): "read for a blob, write for a prefix",
    ("GET", "/v1/blobs"): "list; with `format=zip` also read",
    ("POST", "/v1/zip"): "read; for prefixes also list",
}
"""Operations that need other actions for other bodies."""


async def needed(method: str, path: str) -> set[Action]:
    """Return the actions without any of which an operation is refused."""
    found = set()
    for action in Action:
        status, _ = await Drive(Grant(frozenset(Action) - {action})).respond(method, path)
        if status == 403:
            found.add(action)
    return found


async def test_the_table_of_actions_is_that_of_the_routes() -> None:
    """Each operation needs the actions in the table of HARDENING.md, and no others. The failure shows the new table."""
    lines = ["| operation | actions |", "|---|---|"]
    for method, path in sorted(rest_operations(), key=lambda each: (each[1], each[0])):
        actions = await needed(method, path)
        assert actions, f"{method} {path} needs no right"
        status, _ = await Drive(Grant(frozenset(actions))).respond(method, path)
        assert status < 300, f"{method} {path} needs more than {actions}"
        shown = re.sub(r":str}", "}", path)
        listed = ", ".join(each.value for each in Action if each in actions)
        lines.append(f"| `{method} {shown}` | {DEPENDING.get((method, path), listed)} |")
    table = "\n".join(lines)
    assert table in HARDENING.read_text(), f"put this into HARDENING.md:\n{table}"


LISTS = {("GET", "/v1/blobs"), ("GET", "/v1/uploads"), ("GET", "/v1/trash"), ("GET", "/v1/keys"), ("GET", "/v1/shares")}


class Drive:
    """An application on memory for one token, with a blob, an upload and a version in the trash."""

    def __init__(self, grant: Grant) -> None:
        self.container = container_for(grant)
        face = rest.create(SETTINGS, self.container, RequestSlots(10))
        self.app: Any = Litestar([face], openapi_config=None)

    async def prepare(self) -> dict[str, str]:
        """Return the values of the parameters of paths."""
        for _ in range(2):
            await self.container.store_blob()(EVERYTHING, NewBlob(IdentifiedBytes(FILMS, nothing())))
        upload = await self.container.multipart_uploads().begin(EVERYTHING, NewUpload(FILMS))
        [version] = await self.container.trash().list(EVERYTHING, "", None, 9)
        return {"id": "films%2Fa", "upload": upload.key.value, "n": "1", "key": str(version.key)}

    async def share(self) -> str:
        shares, token = self.container.shares(), hashed("token")
        master = self.container.master_key()
        assert master is not None
        grant = replace(EVERYTHING, key_id=master.token_id(token))
        return (await shares.create(grant, NewShare(FILMS, timedelta(hours=1)))).share.id

    async def access_key(self) -> str:
        new = NewKey("ci", frozenset({Action.READ}), ("films/",))
        return (await self.container.keys().create(EVERYTHING, new)).key.id

    async def respond(self, method: str, path: str) -> tuple[int, bytes]:
        values = await self.prepare()
        if path.startswith("/v1/shares/"):
            values["share"] = await self.share()
        if path.startswith("/v1/keys"):
            values["key"] = await self.access_key()
        body = msgspec.json.encode(BODIES.get(path, {})) if method in ("POST", "PATCH") else b""
        headers = HEADERS | {"content-length": str(len(body)), "upload-offset": "0"}
        target = re.sub(r"\{(\w+):str\}", lambda found: values[found[1]], path)
        status, _, sent = await exchange(self.app, method, target, headers=headers, body=body)
        return status, sent


async def nothing() -> AsyncGenerator[bytes]:
    return
    yield


@pytest.mark.parametrize(("method", "path"), rest_operations())
async def test_no_operation_exceeds_the_actions_of_its_token(method: str, path: str) -> None:
    """A new handler that does not pass the grant of the request on fails here."""
    status, body = await Drive(Grant(frozenset())).respond(method, path)
    assert status == 403
    if method != "HEAD":
        problem = msgspec.json.decode(body)
        assert problem["code"] == "forbidden"
        assert problem["required"]["action"] in {action.value for action in Action}
    assert (await Drive(EVERYTHING).respond(method, path))[0] < 300


@pytest.mark.parametrize(("method", "path"), rest_operations())
async def test_no_operation_exceeds_the_prefix_of_its_token(method: str, path: str) -> None:
    """What has a key of its own is not found, lists leave it out, and all else is refused."""
    status, body = await Drive(Grant(frozenset(Action), prefixes=("music/",))).respond(method, path)
    if (method, path) in LISTS:
        assert status == 200
        assert b"films" not in body
    else:
        assert status == (404 if re.search("{(upload|key|share):", path) else 403)
