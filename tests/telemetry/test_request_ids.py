"""The id of a request: in its answer, and on every line that it leaves in the log."""

import json
import subprocess
import sys

import pytest

from tests.http.server import Server

# A storage that fails once, and a library that has something to say, here and in a thread.
SCRIPT = """
import asyncio, logging
from stamina.instrumentation import set_on_retry_hooks
from adapters.storage.layers.stack import LayerSettings, with_layers
from adapters.storage.memory import MemoryBlobStore
from domain.blob import ObjectKey
from domain.errors import Unavailable
from entrypoints.telemetry import logs
from entrypoints.telemetry.request_lines import REQUEST_ID

class Flaky(MemoryBlobStore):
    tries = 0
    async def delete(self, key):
        self.tries += 1
        if self.tries == 1:
            raise Unavailable("not now")

async def main():
    bound = REQUEST_ID.set("r1")
    logging.getLogger("library").warning("here")
    await asyncio.to_thread(logging.getLogger("library").warning, "in a thread")
    await asyncio.create_task(with_layers(Flaky(), LayerSettings(), "flaky").delete(ObjectKey.random()))
    REQUEST_ID.reset(bound)
    logging.getLogger("library").warning("outside")

logs.configure()
set_on_retry_hooks([logs.on_retry])
asyncio.run(main())
"""


def test_lines_of_adapters_and_libraries_have_it_too() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=50, check=True)
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [(line["event"], line.get("request_id")) for line in lines] == [
        ("here", "r1"),
        ("in a thread", "r1"),
        ("trying again", "r1"),
        ("outside", None),
    ]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("r-1/2:3+4=5._", True), ("", False), ("a b", False), ("x" * 129, False), ('"; rm', False), ("\u00e9", False)],
)
def test_one_that_is_harmless_is_kept_and_another_is_replaced(own_server: Server, given: str, kept: bool) -> None:
    with own_server.client() as client:
        answer = client.get("/health/live", headers=[(b"X-Request-ID", given.encode("latin-1"))])
    assert (answer.headers["X-Request-ID"] == given) == kept
    assert own_server.logged(answer.headers["X-Request-ID"])["route"] == "/health/live"


def test_a_fault_is_logged_under_it(own_server: Server) -> None:
    blobs = own_server.folder / "data" / "blobs"
    blobs.rename(blobs.with_name("away"))
    with own_server.client() as client:
        client.put("/v1/blobs/a", content=b"x", headers={"X-Request-ID": "r1"})
    of_it = [line["event"] for line in own_server.log() if line.get("request_id") == "r1"]
    assert "a request failed" in of_it
