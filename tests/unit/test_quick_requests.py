"""Small requests: how many calls the interface makes for each. The count depends on no other load of the machine."""

import gc
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import entrypoints
from entrypoints.config.settings import Settings
from entrypoints.config.values import hashed
from entrypoints.http.app import create_asgi
from tests.asgi import exchange, serving

OURS = str(Path(entrypoints.__file__).parent)
HEADERS = {"host": "h", "authorization": "Bearer token", "accept": "*/*", "user-agent": "test"}
DATA = b"x" * 768
JSON_BODY = b'{"id":"new","data":"%b"}' % (b"eHh4" * 256)


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "most"),
    [
        ("GET", "/v1/blobs/a", b"", {}, b"", 50),
        ("GET", "/v1/blobs/a", b"alt=media", {}, b"", 55),
        ("HEAD", "/v1/blobs/a", b"", {}, b"", 46),
        ("PUT", "/v1/blobs/b", b"", {"content-length": "768"}, DATA, 70),
        ("POST", "/v1/blobs", b"", {"content-length": str(len(JSON_BODY))}, JSON_BODY, 75),
    ],
)
async def test_a_small_request_makes_few_calls(
    method: str, path: str, query: bytes, headers: dict[str, str], body: bytes, most: int
) -> None:
    app = create_asgi(Settings(storage="memory", tokens=(hashed("token"),)))
    sent = HEADERS | {"content-type": "application/json"} | headers
    async with serving(app):
        await exchange(app, "PUT", "/v1/blobs/a", headers=HEADERS | {"content-length": "768"}, body=DATA)
        await exchange(app, method, path, query=query, headers=sent, body=body.replace(b'"new"', b'"old"'))
        with Calls() as calls:
            status, _, _ = await exchange(app, method, path, query=query, headers=sent, body=body)
    assert status in (200, 201)
    assert len(calls.made) <= most, "\n".join(calls.made)


class Calls:
    """The calls of functions of the interface, as a context. To go on after a wait is a call too."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __enter__(self) -> "Calls":
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(OURS):
            self.made.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_qualname}")


async def test_no_request_waits_for_the_garbage_collection() -> None:
    settings = Settings(
        storage="memory",
        tokens=(hashed("token"),),
        s3_api_buckets=(("films", "films/"),),
        s3_api_public=("films",),
    )
    app = create_asgi(settings)
    count = 100
    async with serving(app):
        await exchange(app, "PUT", "/v1/blobs/films%2Fa", headers=HEADERS | {"content-length": "768"}, body=DATA)
        for path, headers in (("/v1/blobs/films%2Fa", HEADERS), ("/films/a", {"host": "h"})):
            await exchange(app, "GET", path, headers=headers)
            gc.collect()
            gc.disable()
            try:
                for _ in range(count):
                    status, _, _ = await exchange(app, "GET", path, headers=headers)
                    assert status == 200
                assert gc.collect() < 8 * count
            finally:
                gc.enable()
