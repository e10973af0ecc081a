"""Drivebay next to `rclone serve s3` and moto's server: PutObject, GetObject, and large objects in parts, in one run.

Requests of 4 KiB are presigned and sent on eight connections that stay open, because the clients take most of the
time otherwise: these figures have a bound. The peers use all cores, so Drivebay is measured with one worker, which is
its default, and with one for each core, which has the goal. Then s5cmd and aws copy folders of files there and back,
from and to one worker.
"""

import filecmp
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle, islice
from pathlib import Path

import uvloop

from tests.benchmarks import s3_servers
from tests.benchmarks.figures import Figures
from tests.benchmarks.large import Measured
from tests.benchmarks.peers import rows
from tests.benchmarks.peers.rows import RATE, SPEED, Round, Row
from tests.benchmarks.s3_clients import Programs, presigned, rate
from tests.benchmarks.s3_servers import ALL_CORES, BUCKET, S3Server

KIB, MIB = 1024, 1024 * 1024
DRIVEBAY, RCLONE, MOTO = "Drivebay", "rclone serve s3", "moto"
SMALL, MEDIUM, LARGE = "4 KiB", "16 MiB", "1 GiB"
S5CMD, AWS = "s5cmd", "aws"
PARALLEL = 16  # parts
READ = [f"/read/{number}" for number in range(100)]
DURABILITY = (
    "Drivebay flushes what it stores to the disk before it responds. rclone serve s3 leaves that to the system, and "
    "moto keeps nothing when it ends. moto verifies no signature, and ends each connection after one response. "
    "Drivebay has one worker unless a line says otherwise; the others use all cores."
)


@dataclass(frozen=True)
class Amounts:
    """How much is measured. Of the large object, `large` are the MiB; each other object has the size in its name.

    `rounds` are those of single requests, `client_rounds` those of s5cmd and aws. `seconds` end the requests of one
    kind in a round, unless all `requests` are made before.
    """

    rounds: int = 5
    client_rounds: int = 3  # only the first is whole
    seconds: float = 1.0
    requests: int = 3000
    small: int = 500
    small_by_aws: int = 100
    medium: int = 8
    large: int = 1024
    parts: tuple[int, ...] = (8, 64)  # MiB


USUAL = Amounts()
QUICK = Amounts(1, 1, 0.3, 300, 100, 20, 2, 64, (8,))
WARM_UP = Amounts(1, 1, 0.3, 100, 20, 5, 1, 64)


@dataclass(frozen=True)
class Copied:
    """Files of one size in `folder`, that a client copies."""

    client: str
    size: str
    folder: Path
    files: int
    bytes: int

    def speed(self, seconds: float) -> float:
        """Return the objects per second, or the MiB per second of larger ones."""
        return (self.files if self.size == SMALL else self.files * self.bytes / MIB) / seconds


@dataclass
class Contest:
    """All servers of a run, each with a bucket."""

    folder: Path
    servers: list[S3Server]
    programs: Programs
    _numbers: Iterator[int] = field(default_factory=count)

    def fill(self) -> None:
        """Create the buckets, and the objects that single requests get."""
        for server in self.servers:
            for bucket in (BUCKET, "read"):
                self.programs.s5cmd(server, "mb", f"s3://{bucket}")
            uvloop.run(rate(server, presigned(server, "PUT", READ, os.urandom(4 * KIB)), math.inf))

    def requests(self, amounts: Amounts) -> Round:
        """Measure single requests once, on all servers by turns."""
        body, number, found = os.urandom(4 * KIB), next(self._numbers), Round()
        puts, gets = operations(SMALL)
        for server in self.servers:
            messages = islice(cycle(presigned(server, "GET", READ)), amounts.requests)
            found[f"{server.name} {gets}"] = uvloop.run(rate(server, messages, amounts.seconds, len(body)))
            new = presigned(server, "PUT", [f"/{BUCKET}/{number}-{each}" for each in range(amounts.requests)], body)
            found[f"{server.name} {puts}"] = uvloop.run(rate(server, new, amounts.seconds))
            self._empty(server)
        return found

    def copies(self, copied: Iterable[Copied], *, is_whole: bool, is_verified: bool = False) -> Round:
        """Measure the clients once, on all servers by turns. `is_verified`: each byte that comes back is compared.

        A round that is not whole leaves out what takes longest: moto, and the large object by aws.
        """
        found = Round()
        for each in copied:
            is_slow = each.client == AWS and each.size == LARGE
            if is_whole or not is_slow:
                up, down = operations(each.size, each.client)
                for server in self.servers:
                    if server.name == ALL_CORES:
                        continue
                    if server.name != MOTO or (is_whole and not is_slow):
                        speeds = self._there_and_back(server, each, is_verified=is_verified)
                        found[f"{server.name} {up}"], found[f"{server.name} {down}"] = speeds
        return found

    def _there_and_back(self, server: S3Server, copied: Copied, *, is_verified: bool) -> tuple[float, float]:
        there, back = f"s3://{BUCKET}", self.folder / "back"
        back.mkdir()
        up = self.programs.copy(copied.client, server, f"{copied.folder}", there)
        down = self.programs.copy(copied.client, server, there, f"{back}")
        for file in copied.folder.iterdir():
            received = back / file.name
            assert received.stat().st_size == copied.bytes
            assert not is_verified or filecmp.cmp(file, received, shallow=False)
        # Pages of either that are not on the disk yet would burden the next flush.
        shutil.rmtree(back)
        self._empty(server)
        return copied.speed(up), copied.speed(down)

    def _empty(self, server: S3Server) -> None:
        self.programs.s5cmd(server, "rm", f"s3://{BUCKET}/*")

    @contextmanager
    def files(self, amounts: Amounts) -> Iterator[list[Copied]]:
        """Make the files that are copied. Both clients have the same large ones."""
        sizes = [
            (S5CMD, SMALL, amounts.small, 4 * KIB),
            (AWS, SMALL, amounts.small_by_aws, 4 * KIB),
            (S5CMD, MEDIUM, amounts.medium, 16 * MIB),
            (AWS, MEDIUM, amounts.medium, 16 * MIB),
            (S5CMD, LARGE, 1, amounts.large * MIB),
            (AWS, LARGE, 1, amounts.large * MIB),
        ]
        copied = [
            Copied(client, size, self.folder / f"{files} of {size}", files, each) for client, size, files, each in sizes
        ]
        for folder, files, size in {(each.folder, each.files, each.bytes) for each in copied}:
            folder.mkdir()
            for number in range(files):
                make_file(folder / f"{number}", size)
        try:
            yield copied
        finally:
            for folder in {each.folder for each in copied}:
                shutil.rmtree(folder)


def operations(size: str, client: str = "") -> tuple[str, str]:
    """Return the names of a transfer there and of one back."""
    names = (
        ("Upload of {} in parts", "Download of {} in parts")
        if size == LARGE
        else ("PutObject of {}", "GetObject of {}")
    )
    up, down = (f"{name.format(size)}{client and f' by {client}'}" for name in names)
    return up, down


def make_file(path: Path, size: int) -> None:
    """Write a file of which no two MiB are alike."""
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - start)))


def measure(folder: Path, figures: Figures, amounts: Amounts) -> None:
    """Record the medians of the rounds, and print what many parts at once take of memory."""
    print(DURABILITY, flush=True)
    with _contest(folder) as contest:
        contest.requests(WARM_UP)  # connections, caches and compiled code become warm
        with contest.files(WARM_UP) as copied:
            contest.copies(copied, is_whole=True, is_verified=True)
        requests = [contest.requests(amounts) for _ in range(amounts.rounds)]
        rows.record(REQUESTS, requests, figures)
        with contest.files(amounts) as copied:
            copies = [contest.copies(copied, is_whole=not number) for number in range(amounts.client_rounds)]
        for row in COPIES:
            rows.record([row], [each for each in copies if row.compared in each], figures)
    for size in amounts.parts:
        _measure_memory(folder / f"parts of {size}", size, figures)


def _measure_memory(folder: Path, part: int, figures: Figures) -> None:
    """Print how far the memory of the worker rises while parts are stored and fetched at the same time."""
    folder.mkdir()
    (folder / "back").mkdir()
    make_file(folder / "file", PARALLEL * part * MIB)
    programs = Programs(folder / "home")
    with s3_servers.drivebay(folder / "drivebay") as server:
        assert server.server is not None
        programs.s5cmd(server, "mb", f"s3://{BUCKET}")
        measured = Measured(server.server, f"S3, {PARALLEL} parts of {part} MiB at once", figures)
        copy = ["cp", "--part-size", f"{part}", "--concurrency", f"{PARALLEL}"]
        with measured.rise("PUT", PARALLEL * part * MIB):
            programs.s5cmd(server, *copy, f"{folder / 'file'}", f"s3://{BUCKET}/file")
        with measured.rise("GET", PARALLEL * part * MIB):
            programs.s5cmd(server, *copy, f"s3://{BUCKET}/file", f"{folder / 'back' / 'file'}")
    shutil.rmtree(folder)


@contextmanager
def _contest(folder: Path) -> Iterator[Contest]:
    """Start all servers."""
    programs = Programs(folder / "home")
    with ExitStack() as stack:
        servers = [
            stack.enter_context(start(folder / start.__name__))
            for start in (
                s3_servers.drivebay,
                s3_servers.drivebay_on_all_cores,
                s3_servers.rclone,
                s3_servers.moto,
            )
        ]
        contest = Contest(folder, servers, programs)
        contest.fill()
        yield contest


def _rows(
    size: str,
    client: str = "",
    unit: str = SPEED,
    goal: float | None = None,
    bound: float | None = None,
    peers: Sequence[str] = (RCLONE, MOTO),
    drivebay: str = DRIVEBAY,
) -> list[Row]:
    """Return the rows of both directions. The goal and the bound are those of the ratio to rclone's."""
    return [
        Row(
            f"{name}{drivebay.removeprefix(DRIVEBAY)}",
            unit,
            f"{drivebay} {name}",
            peer,
            f"{peer} {name}",
            goal if peer == RCLONE else None,
            bound=bound if peer == RCLONE else None,
        )
        for name in operations(size, client)
        for peer in peers
    ]


OBJECTS = "objects/s"
REQUESTS = [
    *_rows(SMALL, unit=RATE, bound=0.03),
    *_rows(SMALL, unit=RATE, goal=1.5, bound=0.03, peers=[RCLONE], drivebay=ALL_CORES),
]
COPIES = [
    *_rows(SMALL, S5CMD, OBJECTS),
    *_rows(SMALL, AWS, OBJECTS),
    *_rows(MEDIUM, S5CMD, goal=1),
    *_rows(MEDIUM, AWS),
    *_rows(LARGE, S5CMD, goal=1),
    *_rows(LARGE, AWS, peers=[RCLONE]),
]
