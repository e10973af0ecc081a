"""The document at /docs/openapi.json, against what a server does."""

import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from litestar.routes import HTTPRoute

from domain.errors import Kind
from entrypoints.http.operations import health
from entrypoints.http.protocol.catalogue import STATUSES
from entrypoints.http.protocol.problems import Problem
from entrypoints.http.rest import lists
from entrypoints.http.rest.json_form import response as json_form
from tests.http.described import PROBLEM, codes, document, framework
from tests.http.server import Server
from tests.http.wire import TOKEN

ROOT = Path(__file__).parents[2]
SCHEMATHESIS = [str(Path(sys.executable).parent / "schemathesis"), "--config-file", "tests/http/schemathesis.toml"]


@pytest.mark.timeout(240)
def test_a_server_does_what_the_document_says(own_server: Server) -> None:
    """schemathesis asks whatever the document allows, and what it does not allow, and judges the answers by it."""
    url, token = f"{own_server.url}/docs/openapi.json", f"Authorization: Bearer {TOKEN}"
    command = [*SCHEMATHESIS, "--no-color", "run", url, "--header", token]
    asked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "Tested: 9" in asked.stdout
    assert "error" not in {line["level"] for line in own_server.log()}


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    items = document()["paths"].items()
    return [(method.upper(), path, operation) for path, item in items for method, operation in item.items()]


def contents() -> list[tuple[str, str, dict[str, Any]]]:
    """Each body that is answered: its status, media type, and what is told of it."""
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
    of_its_own = {(method, path) for method, path in there_are if method == "OPTIONS" or path.startswith("/docs")}
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
    assert len(set(names)) == len(names) == 9
    assert document()["security"] == [{"bearer": []}]
    assert document()["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    open_to_all = {path for _, path, operation in operations() if operation.get("security") == [{}]}
    assert open_to_all == {"/health/live", "/health/ready", "/metrics"}
    for _, path, operation in operations():
        assert ("401" in operation["responses"]) == path.startswith("/v1/")


def test_every_kind_of_error_is_described_with_its_status() -> None:
    described = {
        (int(status), code)
        for status, media_type, body in contents()
        if media_type == PROBLEM
        for code in codes({media_type: body})
    }
    possible = set(Kind) - {Kind.FORBIDDEN}  # every token has all rights
    assert {(int(STATUSES[kind]), kind.value) for kind in possible} <= described
    assert {code for _, code in described} > {kind.value for kind in possible}


def test_examples_are_what_they_are_examples_of() -> None:
    shapes = {
        shape.__name__: shape
        for shape in (json_form.BlobBody, json_form.StoredBody, lists.ListBody, health.Health, health.Ready)
    }
    for status, media_type, body in contents():
        if media_type == PROBLEM:
            for code, example in body["examples"].items():
                told = msgspec.convert(example["value"], Problem)
                assert (told.code, told.status, told.title) == (code, int(status), HTTPStatus(int(status)).phrase)
            assert list(body["examples"]) == codes({media_type: body})
        elif media_type == "application/json":
            msgspec.convert(body["example"], shapes[body["schema"]["$ref"].rpartition("/")[2]])


def test_nothing_in_it_is_made_up_anew_at_each_start() -> None:
    """The framework can invent examples."""
    assert framework().openapi_schema.to_schema() == document()
