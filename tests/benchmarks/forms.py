"""How fast a blob moves in the JSON form, beside the raw form, on files: counted by its bytes, not by its text."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from tests.benchmarks.figures import Figures
from tests.benchmarks.transfers import MIB, fetch, post, put
from tests.http.server import Server

SIZE = 256 * MIB
ROUNDS = 5
BOUND = 0.5
ROOM = 2 * (2 * ROUNDS + 1) * SIZE  # what is replaced or deleted stays for a while
MEMORY = Path("/dev/shm")  # noqa: S108 - only a folder is made there


def measure(figures: Figures) -> None:
    """Print the medians' ratios, both ways."""
    with tempfile.TemporaryDirectory(dir=_in_memory()) as folder, Server(Path(folder)) as server:
        ways: dict[str, tuple[Callable[[str], object], Callable[[str], object]]] = {
            "stored": (
                lambda name: post(server, f'{{"id":"json {name}","data":"'.encode(), SIZE, b'"}'),
                lambda name: put(server, f"raw%20{name}", SIZE),
            ),
            "fetched": (
                lambda name: fetch(server, f"/v1/blobs/json%20{name}"),
                lambda name: fetch(server, f"/v1/blobs/raw%20{name}?alt=media"),
            ),
        }
        for way, (in_json, raw) in ways.items():
            # By turns, so that a noisy moment is shared.
            times = [(_seconds(in_json, f"{turn}"), _seconds(raw, f"{turn}")) for turn in range(ROUNDS)]
            json_rate, raw_rate = (SIZE / MIB / median(column) for column in zip(*times, strict=True))
            what = f"256 MiB {way} as JSON: {json_rate:,.0f} MiB/s, as bytes {raw_rate:,.0f} MiB/s, ratio"
            figures.at_least(what, json_rate / raw_rate, BOUND)


def _in_memory() -> Path | None:
    """A folder in memory, for a disk would be all that is measured. None if there is none with enough room."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    return MEMORY if [str(MEMORY), "tmpfs"] in mounts and shutil.disk_usage(MEMORY).free > ROOM else None


def _seconds(move: Callable[[str], object], name: str) -> float:
    started = time.perf_counter()
    move(name)
    return time.perf_counter() - started
