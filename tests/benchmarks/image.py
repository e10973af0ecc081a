"""The image: what it adds to its base, how soon a container answers, and what an idle worker takes of memory."""

import http.client
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tests.backends.containers import engine
from tests.benchmarks.figures import Figures
from tests.http.server import free_port

ROOT = Path(__file__).parents[2]
BASE = "debian:trixie-slim"
MB = 1_000_000
ADDED = 200  # MB
FIRST_ANSWER = 2.0  # seconds
A_WORKER = 120  # MB
STARTS = 5
WORKERS = 4
SETTLED = 3  # seconds
POLLS = 3000
# The share of memory of each process of Drivebay, in kB (proc(5), smaps_rollup). The first is the parent.
SHARES = """
for each in $(ls -v /proc | grep '^[0-9]'); do
  grep -qs 'bin/drivebay' /proc/$each/cmdline && sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$each/smaps_rollup
done; true
"""


def measure(figures: Figures) -> None:
    """Print the figures, and what they are to be."""
    command = ["docker", "build", "--quiet", "--file", "docker/Dockerfile", "."]
    image = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    with engine() as client:
        added = client.images.get(image).attrs["Size"] - client.images.get(BASE).attrs["Size"]
        figures.megabytes(f"image: added to {BASE}", added / MB, ADDED)
        first = median(_seconds_to_the_first_answer(client, image) for _ in range(STARTS))
        figures.seconds(f"image: from docker run to the first answer, median of {STARTS}", first, FIRST_ANSWER)
        for workers in (1, WORKERS):
            with _container(client, image, workers) as container:
                _, *of_workers = _shares(container, workers)
            what = f"image: memory of an idle worker, the largest of {workers}"
            figures.megabytes(what, max(of_workers) * 1024 / MB, A_WORKER)


def _seconds_to_the_first_answer(client: Any, image: str) -> float:
    began = time.perf_counter()
    with _container(client, image, workers=1):
        return time.perf_counter() - began


@contextmanager
def _container(client: Any, image: str, workers: int) -> Iterator[Any]:
    """One that has answered."""
    port = free_port()
    container = client.containers.run(
        image,
        detach=True,
        read_only=True,
        tmpfs={"/tmp": ""},  # noqa: S108 - its own
        ports={"8000/tcp": ("127.0.0.1", port)},
        environment={"WORKERS": f"{workers}"},
    )
    try:
        _wait_for_an_answer(port)
        yield container
    finally:
        container.remove(force=True, v=True)


def _wait_for_an_answer(port: int) -> None:
    for _ in range(POLLS):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/health/live")
            assert connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            time.sleep(0.01)
        else:
            return
        finally:
            connection.close()
    raise TimeoutError("the container does not answer")


def _shares(container: Any, workers: int) -> list[int]:
    """In kB, when all workers are there and have come to rest."""
    for _ in range(POLLS):
        listening = container.exec_run(["sh", "-c", "grep -c ':1F40 .* 0A ' /proc/net/tcp"]).output
        if int(listening) >= workers:
            break
        time.sleep(0.1)
    time.sleep(SETTLED)
    shares = [int(line) for line in container.exec_run(["sh", "-c", SHARES]).output.split()]
    assert len(shares) >= 1 + workers, shares
    return shares
