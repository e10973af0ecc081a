"""Load from wrk and curl, which run in a container on the network of this machine."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.http.wire import TOKEN

SCRIPT = Path(__file__).with_name("wrk.lua")
AUTHORIZATION = f"Authorization: Bearer {TOKEN}"
CONNECTIONS = 32
LONG = 10  # seconds


class LoadError(Exception):
    """A load that was not served as expected, so that its figures mean nothing."""


class Sample(msgspec.Struct, frozen=True):
    """Figures of one round of wrk. `median` and `p99` are latencies in milliseconds; `bytes` include the heads."""

    requests: int
    seconds: float
    bytes: int
    median: float
    p99: float
    failed: int

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def parse_wrk(output: str, least: int) -> Sample:
    """Parse the last line of wrk's output. Raises LoadError if a response was bad, or shorter than `least` bytes."""
    sample = msgspec.json.decode(output.splitlines()[-1], type=Sample)
    if sample.failed:
        raise LoadError(f"{sample.failed} of {sample.requests} requests of wrk failed")
    if sample.bytes < sample.requests * least:
        raise LoadError(f"wrk got {sample.bytes / sample.requests:.0f} bytes a response, expected {least}")
    return sample


def parse_curl(output: str, least: int) -> float:
    """Parse `status bytes seconds`, and return the seconds. Raises LoadError on another status than success."""
    status, size, seconds = output.split()
    if status not in ("200", "201", "204") or int(size) < least:
        raise LoadError(f"curl got status {status} and moved {size} bytes, expected {least}")
    return float(seconds)


@dataclass(frozen=True)
class LoadGenerators:
    """wrk and curl in `container`, an object of docker-py. A folder of this machine has the same path inside."""

    container: Any
    folder: Path

    def wrk(
        self,
        url: str,
        *,
        connections: int = CONNECTIONS,
        least: int = 0,
        seconds: int = 1,
        post: tuple[str, str] = ("", ""),
        pause: float = 0,
        step: int = 0,
    ) -> Sample:
        """Send requests on each connection, one after another, from one thread.

        If no response comes in `seconds`, which a busy machine may cause, they are sent for longer.

        `post`: the prefix of the ids, and the data in base64, of blobs to create. `pause`: milliseconds that each
        connection waits before a request, on average. `step`: requests go to 1,000 ids, each a number of eight digits
        so much greater than the one before; the ids of new blobs begin with one of them. `least`: the bytes that a
        response has.
        """
        command = ["wrk", "--threads", "1", "--connections", f"{connections}", "--timeout", "10s"]
        command += ["--header", AUTHORIZATION, "--script", f"{self.folder / SCRIPT.name}"]
        prefix, data = post
        for duration in (seconds, LONG):
            output = self.run(
                *command, "--duration", f"{duration}s", url, "--", prefix, data, f"{pause:.3f}", f"{step}"
            )
            if (sample := parse_wrk(output, least)).requests:
                return sample
            prefix = prefix and f"{prefix}more-"  # some of these blobs may exist by now
        raise LoadError(f"{url} did not respond in {LONG} seconds")

    def download(self, url: str, size: int) -> float:
        """Return the seconds that curl takes to receive `size` bytes."""
        return parse_curl(
            self._curl("--output", "/dev/null", "--write-out", "%{http_code} %{size_download} %{time_total}", url), size
        )

    def upload(self, url: str, file: Path) -> float:
        """Return the seconds that curl takes to send a file with PUT, response included."""
        # Without Expect, because only some servers make curl wait for them to agree.
        command = ["--upload-file", f"{file}", "--header", "Expect:", "--output", "/dev/null"]
        return parse_curl(
            self._curl(*command, "--write-out", "%{http_code} %{size_upload} %{time_total}", url), file.stat().st_size
        )

    def _curl(self, *arguments: str) -> str:
        return self.run("curl", "--silent", "--show-error", "--header", AUTHORIZATION, *arguments)

    def run(self, *command: str) -> str:
        """Run a command in the container, and return its output. Raises LoadError if it fails.

        Output goes through a file: the engine sometimes loses what a short command prints.
        """
        output = self.folder / f"{secrets.token_hex(8)}.out"
        code, _ = self.container.exec_run(["sh", "-c", f'exec "$@" > {output} 2>&1', "sh", *command])
        text = output.read_text()
        output.unlink()
        if code:
            raise LoadError(f"{command[0]} failed with {code}: {text[-1000:]}")
        return text
