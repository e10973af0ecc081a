"""Where the time of a small request goes: the code that holds the interpreter lock, sampled while a server is loaded.

A worker runs Python on one core, so what holds the lock is what limits its rate. The samples of py-spy are counted by
the innermost function of ours, or of the HTTP server. What that one calls in C, or in a library, counts as its own.
"""

import base64
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.backends.run import a_run
from tests.benchmarks.peers import servers
from tests.http.server import Server
from tests.http.wire import TOKEN

PY_SPY = Path(sys.executable).with_name("py-spy")
SAMPLES = 500  # a second
SECONDS = 10  # of sampling
AROUND = 2  # seconds that the load lasts longer than the sampling
SIZE = 1024
OTHER = "other"
# In this order: what comes first also counts if a later pattern fits.
PARTS: Mapping[str, str] = {
    "HTTP server and event loop": r"\((granian|uvloop|asyncio)/|entrypoints/server/|Exchange\.(send|receive) ",
    "log and metrics": r"entrypoints/telemetry/|(access_log|audit|tracing|operation_timer|observed?)\.py",
    "authentication and rights": r"application/access/|(authorize|authentication|signed_urls)\.py|domain/access",
    "middleware and routing": r"entrypoints/http/(middleware/|direct\.py|s3/|tus/|protocol/urls/blob_paths\.py)",
    "row in the database": r"adapters/(sql|metadata)/",
    "bytes in the storage": r"adapters/(storage|concurrency|hashing|error_context)",
    "heads and bodies": r"entrypoints/http/",
    "use case and domain": r"(application|domain)/",
}
KNOWN = re.compile(r"\((entrypoints|application|adapters|domain|granian|uvloop|asyncio)/")


def measure(folder: Path) -> None:
    """Print the shares for GET and POST of 1 KiB, on files and SQLite with one worker and 32 connections."""
    data = os.urandom(SIZE)
    post = ("profiled-", base64.b64encode(data).decode())
    with (
        a_run() as backends,
        servers.load_generators(backends, folder) as generators,
        servers.drivebay(folder / "drivebay") as server,
        ThreadPoolExecutor(1) as pool,
    ):
        blobs = f"{server.url}/v1/blobs"
        httpx.put(f"{blobs}/small", content=data, headers={"Authorization": f"Bearer {TOKEN}"}).raise_for_status()
        for work, url, posted in (
            ("GET of 1 KiB", f"{blobs}/small?alt=media", ("", "")),
            ("Durable POST of 1 KiB", blobs, post),
        ):
            load = pool.submit(generators.wrk, url, seconds=SECONDS + AROUND, post=posted)
            stacks = _sampled(server, folder / "stacks")
            print(f"{work}: {load.result().rate:,.0f} requests/s while it is sampled")
            for part, share in shares(stacks.splitlines()).items():
                print(f"  {part}: {share:.0%}", flush=True)


def shares(stacks: Iterable[str]) -> dict[str, float]:
    """Return the share of each part, from stacks as py-spy writes them: frames from the outermost, and a count."""
    found: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        innermost = next((frame for frame in reversed(frames) if KNOWN.search(frame)), "")
        found[_part(innermost)] += int(count)
    return {part: count / found.total() for part, count in found.most_common()}


def _part(frame: str) -> str:
    """Return the part of a frame, such as `Exchange.send (entrypoints/http/middleware/base/exchange.py:79)`."""
    return next((part for part, pattern in PARTS.items() if re.search(pattern, frame)), OTHER)


def _sampled(server: Server, file: Path) -> str:
    [worker] = server.workers()
    command = [f"{PY_SPY}", "record", "--pid", f"{worker}", "--gil", "--nonblocking", "--format", "raw"]
    command += ["--rate", f"{SAMPLES}", "--duration", f"{SECONDS}", "--output", f"{file}"]
    subprocess.run(command, check=True, capture_output=True)
    return file.read_text()
