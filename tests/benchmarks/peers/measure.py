"""The rounds: each measures Drivebay and its peers in turn, so that a noisy moment is shared."""

import base64
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count, product
from pathlib import Path
from typing import Any

import httpx

from tests.backends import ftp, postgresql
from tests.backends.run import a_run
from tests.benchmarks.figures import Figures
from tests.benchmarks.peers import flushes, rows, servers
from tests.benchmarks.peers.load import CONNECTIONS, LoadGenerators
from tests.benchmarks.peers.revision import check_out
from tests.benchmarks.peers.rows import Round
from tests.benchmarks.serving import EMPTY_HANDLER
from tests.http.server import Server
from tests.http.wire import TOKEN

NOT_READ = {"ftp", "ftp small"}
MIB = 1024 * 1024
ROUNDS = 5
SIZES = {"1k": 1024, "64k": 64 * 1024, "256m": 256 * MIB}
SMALL, MEDIUM, LARGE = SIZES
LONGER = 2  # seconds of a round, not one: for what varies more
DATA = base64.b64encode(os.urandom(1024)).decode()


@dataclass
class Contest:
    """All servers of a run: `peers` are URLs by name, `drivebays` are servers by name."""

    folder: Path
    generators: LoadGenerators
    peers: dict[str, str]
    drivebays: dict[str, Server]
    _numbers: Iterator[int] = field(default_factory=count)
    _pauses: dict[str, float] = field(default_factory=dict)

    def round(self) -> Round:
        """Measure everything once."""
        number = next(self._numbers)
        return {**self._reads(), **self._downloads(), **self._uploads(number), **self._writes(number)}

    def _reads(self) -> Round:
        """Measure what is compared with each other one after another."""
        found = {"empty": self._rate(f"{self.peers['empty']}/health/live", 0)}
        found["json"] = self._rate(self._json, SIZES[SMALL])
        for name in self.drivebays.keys() - NOT_READ:
            found[f"{name} get"] = self._rate(self._raw(name, SMALL), SIZES[SMALL])
        found["new get of 64k"] = self._rate(self._raw("new", MEDIUM), SIZES[MEDIUM])
        for size, peer in product((MEDIUM, SMALL), ("rclone", "nginx")):
            found[f"{peer} get of {size}"] = self._rate(f"{self.peers[peer]}/{size}", SIZES[size])
        found |= self._at_half("json", self._json, found["json"])
        return found | self._at_half("new get", self._raw("new", SMALL), found["new get"])

    def _at_half(self, name: str, url: str, top: float) -> Round:
        """Measure latencies at half of the top rate.

        Then a connection makes a request in twice the time that it takes at the top: that is one to two of these
        times of pause, and the rest of latency. How many is corrected from round to round.
        """
        pauses = self._pauses.get(name, 1.5)
        pause = pauses * CONNECTIONS / top * 1000
        sample = self.generators.wrk(url, least=SIZES[SMALL], pause=pause, seconds=LONGER)
        self._pauses[name] = min(2, max(1, pauses * sample.rate / (top / 2)))
        return {f"{name} p99": sample.p99, f"{name} median": sample.median}

    def _downloads(self) -> Round:
        urls = {"download": self._raw("new", LARGE)}
        urls |= {f"{name} download": f"{self.peers[name]}/{LARGE}" for name in ("nginx", "rclone")}
        return {name: _speed(self.generators.download(url, SIZES[LARGE])) for name, url in urls.items()}

    def _uploads(self, number: int) -> Round:
        source, name = self.folder / "files" / LARGE, f"uploaded-{number}"
        found = {"upload": _speed(self.generators.upload(f"{self._blobs('new')}/{name}", source))}
        for peer, folder in (("nginx", "files"), ("webdav", "uploads")):
            found[f"{peer} upload"] = _speed(self.generators.upload(f"{self.peers[peer]}/{name}", source))
            received = self.folder / folder / name
            assert received.stat().st_size == SIZES[LARGE]
            received.unlink()  # its unwritten pages would burden the next flush
        return found

    def _writes(self, number: int) -> Round:
        sets = flushes.sets_per_second(self.folder / f"flushes-{number}", seconds=1)
        found = {"flush sets": sets, "flushes": sets * flushes.FLUSHES}
        found["lone post"] = self._post("new", f"alone-{number}-", connections=1)
        for name in self.drivebays:
            found[f"{name} post"] = self._post(name, f"many-{number}-")
        return found

    def _post(self, name: str, prefix: str, connections: int = CONNECTIONS) -> float:
        post = (prefix, DATA)
        return self.generators.wrk(self._blobs(name), connections=connections, seconds=LONGER, post=post).rate

    def _rate(self, url: str, least: int) -> float:
        return self.generators.wrk(url, least=least).rate

    def _blobs(self, name: str) -> str:
        return f"{self.drivebays[name].url}/v1/blobs"

    @property
    def _json(self) -> str:
        return f"{self._blobs('new')}/{SMALL}"

    def _raw(self, name: str, blob: str) -> str:
        return f"{self._blobs(name)}/{blob}?alt=media"

    def fill(self) -> None:
        """Store the files as blobs, and check that all servers serve them."""
        with httpx.Client(headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as client:
            for size in SIZES:
                data = (self.folder / "files" / size).read_bytes()
                for name in ["new"] if size == LARGE else self.drivebays:
                    client.put(f"{self._blobs(name)}/{size}", content=data).raise_for_status()
                    assert client.get(self._raw(name, size)).content == data
                for peer in ("nginx", "rclone"):
                    assert client.get(f"{self.peers[peer]}/{size}").content == data


def measure(folder: Path, figures: Figures, against: str | None = None) -> None:
    """Record the medians. `against`: an old revision of Drivebay that is measured too."""
    with _contest(folder, against) as contest:
        contest.round()  # caches, connections and compiled code become warm
        rounds = [contest.round() for _ in range(ROUNDS)]
    rows.record([*rows.ROWS, *(rows.of_old(against) if against else [])], rounds, figures)


@contextmanager
def _contest(folder: Path, against: str | None) -> Iterator[Contest]:
    """Start all servers."""
    source = check_out(against, folder / "source") if against else None
    for name in ("files", "uploads", "empty"):
        (folder / name).mkdir()
    for name, size in SIZES.items():
        (folder / "files" / name).write_bytes(os.urandom(size))
    with a_run() as backends, ExitStack() as stack:
        generators = stack.enter_context(servers.load_generators(backends, folder))
        peers = {
            "nginx": servers.nginx(generators),
            "rclone": stack.enter_context(servers.rclone("http", folder / "files")),
            "webdav": stack.enter_context(servers.rclone("webdav", folder / "uploads")),
            "empty": stack.enter_context(Server(folder / "empty", command=EMPTY_HANDLER)).url,
        }
        drivebays = {
            "new": servers.drivebay(folder / "new"),
            "workers": servers.drivebay(folder / "workers", WORKERS="2"),
            "small": servers.drivebay(folder / "small", SMALL_BLOBS="database"),
        }
        on_ftp: dict[str, Any] = {**ftp.settings(backends.address(ftp.start_vsftpd))}
        for name, place in (("ftp", "storage"), ("ftp small", "database")):
            drivebays[name] = servers.drivebay(folder / name, **on_ftp, SMALL_BLOBS=place, FTP_BASE_DIR=place)
        if source:
            drivebays["old"] = servers.drivebay(folder / "old", source)
            for name, version in (("postgresql", None), ("old postgresql", source)):
                url = stack.enter_context(postgresql.database(backends.address(postgresql.start)))
                drivebays[name] = servers.drivebay(folder / name, version, DATABASE_URL=url)
        for server in drivebays.values():
            stack.enter_context(server).wait_until_all_serve()
        contest = Contest(folder, generators, peers, drivebays)
        contest.fill()
        yield contest


def _speed(seconds: float) -> float:
    return SIZES[LARGE] / MIB / seconds
