"""Whether an answer is one of those that the document at /docs/openapi.json describes."""

import re
from functools import cache
from threading import Lock
from typing import Any

import httpx
from litestar import Litestar

from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from entrypoints.http.app import create_litestar
from entrypoints.http.middleware.routes.load_shedding import RequestSlots
from entrypoints.server.shutdown import GracefulShutdown
from entrypoints.telemetry.telemetry import Telemetry

PROBLEM = "application/problem+json"
ONE_AT_A_TIME = Lock()  # clients in several threads may want it first, and the framework can't be set up twice at once


def document() -> dict[str, Any]:
    with ONE_AT_A_TIME:
        return _document()


@cache
def _document() -> dict[str, Any]:
    return framework().openapi_schema.to_schema()


def framework() -> Litestar:
    """A new application of the framework, with all routes."""
    settings = Settings(storage="memory")
    metrics = Telemetry(settings).metrics
    return create_litestar(settings, Container(settings=settings), GracefulShutdown(), metrics, RequestSlots(1))


def is_described(answer: httpx.Response) -> None:
    """Fail if the operation is described and that answer is not: its status, headers, media type, or code."""
    request = answer.request
    path = request.extensions.get("target", request.url.raw_path).partition(b"?")[0].decode("ascii", "replace")
    item = document()["paths"].get(template(path), {})
    if request.method.lower() not in item:
        return
    responses = item[request.method.lower()]["responses"]
    assert str(answer.status_code) in responses, f"{request.method} {path} may not be answered with {answer}"
    described = responses[str(answer.status_code)]
    required = {name for name, header in described["headers"].items() if header["required"]}
    assert {name for name in required if name not in answer.headers} == set(), f"headers of {answer}"
    content = described.get("content", {})
    media_type = answer.headers.get("content-type", "")
    assert not content or media_type in content or "*/*" in content, f"{media_type} of {answer}"
    if media_type == PROBLEM and content:
        answer.read()
        assert answer.json()["code"] in codes(content), f"{answer.json()} is not described for {request.method}"


def template(path: str) -> str:
    """The path of the document that a path matches."""
    if path.startswith("/v1/blobs/"):
        return "/v1/blobs/{id}"
    matches = (each for each in document()["paths"] if re.fullmatch(re.sub(r"\{\w+\}", r"[\\w-]+", each), path))
    return next(matches, path)


def codes(content: dict[str, Any]) -> list[str]:
    """The codes of a problem."""
    [_, these] = content[PROBLEM]["schema"]["allOf"]
    listed: list[str] = these["properties"]["code"]["enum"]
    return listed
