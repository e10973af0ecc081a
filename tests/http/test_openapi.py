"""The document at /docs/openapi.json, against what a server does."""

import subprocess
import sys
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import msgspec
import pytest
from litestar.routes import HTTPRoute

from domain.errors import Kind
from entrypoints.http.openapi.bodies import schemas
from entrypoints.http.operations import health, status
from entrypoints.http.protocol.catalogue import STATUSES
from entrypoints.http.protocol.problems import Problem
from entrypoints.http.rest import descriptions
from entrypoints.http.rest.access import keys, session, shares, sign
from entrypoints.http.rest.blobs import changes, lists, trash
from entrypoints.http.rest.face import FORMS
from entrypoints.http.rest.json_form import response as json_form
from entrypoints.http.rest.uploads import descriptions as uploads
from tests.http.described import PROBLEM, codes, document, framework
from tests.http.schemathesis_hooks import HIDDEN
from tests.http.server import Server
from tests.http.wire import TOKEN

ROOT = Path(__file__).parents[2]
SHAPES = (
    *(json_form.BlobBody, json_form.StoredBody, lists.ListBody, health.Health, health.Ready),
    *(descriptions.BlobDescription, changes.CountBody, changes.CommitResults),
    *(uploads.UploadDescription, uploads.UploadParts, uploads.UploadList, uploads.PartDescription, trash.TrashPage),
    *(keys.KeyDescription, keys.IssuedKeyDescription, keys.KeyList, sign.SignedUrlBody),
    *(shares.ShareDescription, shares.ShareList, session.SessionDescription, status.StatusBody),
)
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "reveals_nothing"),
    *("response_headers_conformance", "response_schema_conformance"),
)
SILENCE = 300  # seconds: it computes for half a minute before it sends anything
SCHEMATHESIS = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", "tests/http/schemathesis.toml"]


@pytest.mark.timeout(1800)
class TestFullKey:
    def test_a_server_does_what_the_document_says(self, own_server: Server) -> None:
        """schemathesis asks whatever the document allows, and what it does not allow, and judges the answers by it."""
        ask(own_server, TOKEN)
        assert "error" not in {line["level"] for line in own_server.log()}


@pytest.mark.timeout(1800)
class TestLimitedKey:
    def test_it_finds_no_way_out(self, tmp_path: Path) -> None:
        """schemathesis asks whatever the document allows with a key for `open/`. It learns and changes nothing else."""
        with Server(tmp_path, TRASH_RETENTION="86400") as server:  # the trash is compared at the end
            self._ask_with_a_limited_key(server)
            assert "error" not in {line["level"] for line in server.log()}

    def _ask_with_a_limited_key(self, server: Server) -> None:
        with server.client() as client:
            for name in ("a", "b"):
                client.put(f"/v1/blobs/{HIDDEN}/{name}", content=HIDDEN.encode(), headers={"X-Meta-A": HIDDEN})
                client.put(f"/v1/blobs/open/{name}", content=b"open")
            client.delete(f"/v1/blobs/{HIDDEN}/b")
            client.post("/v1/uploads", json={"id": f"{HIDDEN}/c"})
            key = {"name": "limited", "actions": ["read", "list", "write", "delete"], "prefixes": ["open/"]}
            token = client.post("/v1/keys", json=key).json()["token"]
            before = _hidden(client)
            ask(server, token, "--checks", ",".join(CHECKS))
            assert _hidden(client) == before
            outside = client.get("/v1/blobs", params={"limit": 1000}).json()["blobs"]
            assert {blob["id"].partition("/")[0] for blob in outside} <= {"open", HIDDEN}
            assert [key["name"] for key in client.get("/v1/keys").json()["keys"]] == ["limited"]


def ask(server: Server, token: str, *options: str) -> None:
    """Run schemathesis, which sends thousands of requests. Fails if it finds something, or sends none for a while."""
    url, header = f"{server.url}/docs/openapi.json", f"Authorization: Bearer {token}"
    command = [*SCHEMATHESIS, "--no-color", "run", url, "--header", header, *options]
    report = server.folder / "schemathesis"
    with report.open("wb") as out, subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            before = -1
            while before != (before := len(server.log())):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(SILENCE)
                    break
        finally:
            process.kill()
    assert process.returncode == 0, report.read_text()
    assert "Tested: 42" in report.read_text()


def _hidden(client: httpx.Client) -> list[Any]:
    """Return all that is hidden from the key: blobs, versions in the trash, and uploads."""
    lists = [client.get(f"/v1/{name}", params={"prefix": HIDDEN}).json() for name in ("blobs", "trash", "uploads")]
    return [*lists, client.get(f"/v1/blobs/{HIDDEN}/a?alt=media").content]


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    items = document()["paths"].items()
    return [(method.upper(), path, operation) for path, item in items for method, operation in item.items()]


def contents() -> list[tuple[str, str, dict[str, Any]]]:
    """Each body that is answered: its status, media type, and what the document says of it."""
    return [
        (status, media_type, body)
        for _, _, operation in operations()
        for status, answer in operation["responses"].items()
        for media_type, body in answer.get("content", {}).items()
    ]


def test_the_document_is_served(client: httpx.Client) -> None:
    assert client.get("/docs/openapi.json").json() == document()


def test_every_route_is_described() -> None:
    routes = [route for route in framework().routes if isinstance(route, HTTPRoute)]
    there_are = {(method, route.path_format) for route in routes for method in route.methods}
    of_its_own = {
        (method, path)
        for method, path in there_are
        if method == "OPTIONS" or path.startswith(("/docs", "/ui/")) or path == "/"
    }
    assert {(method, path) for method, path, _ in operations()} == there_are - of_its_own


def test_the_parameters_in_the_document_are_those_that_a_request_may_have() -> None:
    taken = {
        (str(method), route.path_format): {*handler.opt.get("parameters", ())}
        for route in framework().routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items()
    }
    for method, path, operation in operations():
        described = {each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"}
        assert taken[method, path] == described


def test_every_operation_has_a_name_and_asks_for_a_token_where_one_is_needed() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names) == 42
    assert document()["security"] == [{"bearer": []}, {"session": []}]
    schemes = document()["components"]["securitySchemes"]
    assert (schemes["bearer"]["scheme"], schemes["session"]["in"]) == ("bearer", "cookie")
    open_to_all = {path for _, path, operation in operations() if operation.get("security") == [{}]}
    assert open_to_all == {"/health/live", "/health/ready", "/metrics", "/s/{link}", "/v1/session"}
    for method, path, operation in operations():
        is_open = (method, path) in {("DELETE", "/v1/session"), ("POST", "/s/{link}")}
        assert ("401" in operation["responses"]) == (path.startswith(("/v1/", "/s/")) and not is_open)


def test_every_kind_of_error_is_described_with_its_status() -> None:
    described = {
        (int(status), code)
        for status, media_type, body in contents()
        if media_type == PROBLEM
        for code in codes({media_type: body})
    }
    kinds = [kind for kind in Kind if "bucket" not in kind.value]  # those are of the S3 interface
    assert {(int(STATUSES[kind]), kind.value) for kind in kinds} <= described
    assert {code for _, code in described} > {kind.value for kind in kinds}


def test_examples_are_what_they_are_examples_of() -> None:
    shapes: dict[str, Any] = {shape.__name__: shape for shape in SHAPES}
    for status_code, media_type, body in contents():
        if media_type == PROBLEM:
            for code, example in body["examples"].items():
                problem = msgspec.convert(example["value"], Problem)
                assert (problem.code, problem.status, problem.title) == (
                    code,
                    int(status_code),
                    HTTPStatus(int(status_code)).phrase,
                )
            assert list(body["examples"]) == codes({media_type: body})
        elif media_type == "application/json":
            msgspec.convert(body["example"], shapes[first_form(body["schema"])])
            assert validator(body["schema"]).is_valid(body["example"])


def first_form(schema: dict[str, Any]) -> str:
    """The name of the schema, or of the first one to choose."""
    name: str = schema.get("oneOf", [schema])[0]["$ref"].rpartition("/")[2]
    return name


def validator(schema: dict[str, Any]) -> Any:
    """A validator by a schema that refers to others in the document."""
    return jsonschema_rs.validator_for({"components": document()["components"], **schema}, validate_formats=True)


def test_examples_of_bodies_are_accepted() -> None:
    """By the classes that decode them, and by their schemas."""
    classes = {form.__name__: form for form in FORMS}
    shown = set()
    for _, _, operation in operations():
        for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
            if media_type.endswith("json"):
                assert validator(body["schema"]).is_valid(body["example"])
                if body["schema"].get("type") != "object":  # that of a blob is read by a scanner
                    shown.add(first_form(body["schema"]))
                    msgspec.convert(body["example"], classes[first_form(body["schema"])])
    blobs = {"Transfer", "PrefixBody", "CommitBody", "PropertiesPatch", "UploadBody", "RestoreBody"}
    assert shown == blobs | {"KeyBody", "RotationBody", "SignBody", "ShareBody", "SessionBody", "ZipBody"}


def test_bodies_of_all_forms_are_described() -> None:
    for form in FORMS:
        assert document()["components"]["schemas"][form.__name__]["additionalProperties"] is False
    with pytest.raises(ValueError, match="OneOperation"):
        schemas([form for form in FORMS if form is not changes.OneOperation])


ACCEPTED: list[tuple[str, Any]] = [
    ("Transfer", {"from": "a", "to": "b", "if_match": "abc"}),
    ("Transfer", {"from": "a", "to": "b", "if_match": '"abc", W/"d"'}),
    ("MovePrefixBody", {"from_prefix": "", "to_prefix": "a", "all": True}),
    ("PropertiesPatch", {"metadata": {"a": None}, "expires_at": None, "content_type": ""}),
    ("PropertiesPatch", {"content_disposition": 'attachment; filename="a;b"; x=y;'}),
    ("UploadBody", {"expires_in": None, "expires_at": "2090-01-01T00:00:00Z"}),
    ("UploadBody", {"content_language": ",de-CH ,, en"}),
]
REFUSED: list[tuple[str, Any]] = [
    ("Transfer", {"from": "a"}),
    ("Transfer", {"from": "a", "to": ""}),
    ("Transfer", {"from": "a", "to": "b\n"}),
    ("Transfer", {"from": "a", "to": "b", "if_match": '"unclosed'}),
    ("MovePrefixBody", {"from_prefix": "", "to_prefix": "a"}),
    ("PrefixBody", {"prefix": "", "all": False}),
    ("CommitBody", {"operations": []}),
    ("OneOperation", {}),
    ("OneOperation", {"delete": {"id": "a"}, "copy": {"from": "b", "to": "c"}}),
    ("PutOperation", {"id": "a", "upload": "A" * 32}),
    ("PutOperation", {"id": "a", "upload": "a" * 32, "parts": [1, 1]}),
    ("PatchOperation", {"id": "a", "expires_in": 1, "expires_at": None}),
    ("PatchOperation", {"cache_control": None}),
    ("PropertiesPatch", {"expires_in": 1, "expires_at": None}),
    ("PropertiesPatch", {"metadata": {"A": "x"}}),
    ("PropertiesPatch", {"metadata": {"a": "x\r"}}),
    ("PropertiesPatch", {"content_disposition": "attachment; filename"}),
    ("PropertiesPatch", {"content_type": "no type"}),
    ("UploadBody", {"expires_in": 1, "expires_at": "2090-01-01T00:00:00Z"}),
    ("UploadBody", {"expires_in": 0}),
    ("UploadBody", {"size": -1}),
    ("UploadBody", {"content_language": "not a language"}),
    ("RestoreBody", {"to": ""}),
]


@pytest.mark.parametrize(
    ("name", "body", "is_accepted"), [(*each, True) for each in ACCEPTED] + [(*each, False) for each in REFUSED]
)
def test_schemas_of_bodies(name: str, body: Any, is_accepted: bool) -> None:
    assert validator({"$ref": f"#/components/schemas/{name}"}).is_valid(body) is is_accepted


def test_it_is_the_same_at_each_start() -> None:
    """The framework can invent examples."""
    assert framework().openapi_schema.to_schema() == document()
