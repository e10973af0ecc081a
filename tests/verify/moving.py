"""Prove that blobs can be moved through all storages while servers read and write, and commands are killed.

`python -m tests.verify.moving` starts containers, stores blobs of 0 B to 64 MiB, some of several segments, and moves
them from files to S3, FTP, the database and back to files, on PostgreSQL and on MariaDB. Two commands are killed on
each way. Every blob is compared with what was stored, by its bytes, and nothing may be left over.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.backends.run import a_run
from tests.http.combinations import Combination
from tests.http.server import DRIVEBAY, Server
from tests.verify.command import CommandResult

WAY = ["fs", "s3", "ftp", "database", "fs"]
MIB = 1024 * 1024
LARGE = [64 * MIB] * 5 + [0] * 5 + [8 * MIB] * 15 + [MIB] * 75
SEGMENTED = 50
WRITERS, READERS = 2, 2
KILLS = 2  # on each way
PATIENCE = 3600  # seconds
ROUNDS = 20  # of a command that waits for what a killed one has begun


@dataclass
class Kept:
    """What is stored: the SHA-256 of each blob. Clients change those whose ids begin with `live/`."""

    digests: dict[str, str] = field(default_factory=dict)
    reads: int = 0
    writes: int = 0


def bytes_of(chance: random.Random, size: int) -> bytes:
    return hashlib.shake_128(chance.randbytes(16)).digest(size)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(client: httpx.Client, kept: Kept, blob_id: str, data: bytes) -> None:
    client.put(f"/v1/blobs/{blob_id}", content=data).raise_for_status()
    kept.digests[blob_id] = digest_of(data)


def fill(client: httpx.Client, kept: Kept, count: int) -> None:
    chance = random.Random(1)  # noqa: S311
    sizes = [*LARGE[: count // 100], *(chance.randrange(64 * 1024) for _ in range(count))][:count]
    for number, size in enumerate(sizes):
        put(client, kept, f"still/{number}", bytes_of(chance, size))
    for number in range(SEGMENTED):
        parts = [bytes_of(chance, chance.randrange(1, 100_000)) for _ in range(3)]
        blob_id, data = f"parts/{number}", b"".join(parts)
        upload = client.post("/v1/uploads", json={"id": blob_id}).raise_for_status().json()["upload"]
        for position, part in enumerate(parts, 1):
            client.put(f"/v1/uploads/{upload}/{position}", content=part).raise_for_status()
        operation = {"put": {"id": blob_id, "upload": upload}}
        client.post("/v1/commits", json={"operations": [operation]}).raise_for_status()
        client.post("/v1/copy", json={"from": blob_id, "to": f"copies/{number}"}).raise_for_status()
        kept.digests |= dict.fromkeys([blob_id, f"copies/{number}"], digest_of(data))


@contextmanager
def at_work(server: Server, kept: Kept) -> Iterator[None]:
    """Read all blobs at random, and write some, until the block ends. Fails with the first error of a client."""
    ended, errors = threading.Event(), list[BaseException]()

    def work(change: bool, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311
        try:
            with server.client() as client:
                while not ended.is_set():
                    if change:
                        _change(client, kept, chance, f"live/{seed}/{chance.randrange(20)}")
                    else:
                        _read(client, kept, chance)
        except BaseException as error:  # noqa: BLE001 - the other thread raises it
            errors.append(error)

    threads = [
        threading.Thread(target=work, args=(change, seed)) for seed, change in enumerate([True, True, False, False])
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def _change(client: httpx.Client, kept: Kept, chance: random.Random, blob_id: str) -> None:
    if blob_id in kept.digests and chance.random() < 0.3:
        client.delete(f"/v1/blobs/{blob_id}").raise_for_status()
        del kept.digests[blob_id]
    else:
        put(client, kept, blob_id, bytes_of(chance, chance.randrange(200_000)))
    kept.writes += 1


def _read(client: httpx.Client, kept: Kept, chance: random.Random) -> None:
    blob_id = chance.choice([each for each in [*kept.digests] if not each.startswith("live/")])
    check(client, kept, blob_id)
    kept.reads += 1


def check(client: httpx.Client, kept: Kept, blob_id: str) -> None:
    response = client.get(f"/v1/blobs/{blob_id}?alt=media").raise_for_status()
    assert digest_of(response.content) == kept.digests[blob_id], blob_id


def move(folder: Path, settings: Mapping[str, Any], source: str, target: str) -> None:
    """Move, and kill the command `KILLS` times on the way."""
    command = [DRIVEBAY, "move", "--from", source, "--to", target, "--json"]
    environment = {"PATH": os.environ["PATH"], **settings}
    for number in range(KILLS):
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        time.sleep(4 + 3 * number)  # it has begun, and is at some object
        was_at_work = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"  {'killed' if was_at_work else 'had ended'}", flush=True)
    for _ in range(ROUNDS):
        ended = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        if ended.returncode == 0:
            break
        assert ended.returncode == 3, ended.stdout + ended.stderr
    summary = json.loads(ended.stdout.splitlines()[-1])["summary"]
    assert summary["complete"], summary
    print(f"  {summary['objects']:,} objects of {summary['bytes']:,} bytes by the last command", flush=True)


def prove(folder: Path, settings: Mapping[str, Any], count: int) -> None:
    kept = Kept()
    for source, target in zip([None, *WAY], WAY, strict=False):
        settings = {**settings, "STORAGE": target, "READERS_GRACE": "5", "REAP_INTERVAL": "1", "TRASH_RETENTION": "0"}
        with Server(folder, **settings) as server, server.client() as client:
            if source is None:
                fill(client, kept, count)
                continue
            print(f"{source} to {target}", flush=True)
            began, before = time.monotonic(), (kept.reads, kept.writes)
            with at_work(server, kept):
                move(folder, settings, source, target)
            for blob_id in kept.digests:
                check(client, kept, blob_id)
            wait_until_empty(folder, settings, source)
            print(
                f"  {len(kept.digests):,} blobs compared; {kept.reads - before[0]:,} reads and"
                f" {kept.writes - before[1]:,} writes meanwhile; {time.monotonic() - began:.0f} s",
                flush=True,
            )
    result = verified(folder, settings, "--deep")
    assert (result.code, result.faults) == (0, []), result.out
    assert all(
        each["blobs"] == 0 == each["objects"]
        for name, each in result.storages.items()
        if name not in ("fs", "database")
    )
    print(json.dumps(result.summary), flush=True)


def wait_until_empty(folder: Path, settings: Mapping[str, Any], storage: str) -> None:
    """Wait until the reaper has deleted all objects of a storage."""
    deadline = time.monotonic() + PATIENCE
    while verified(folder, settings).storages[storage]["objects"]:
        assert time.monotonic() < deadline
        time.sleep(1)


def verified(folder: Path, settings: Mapping[str, Any], *options: str) -> CommandResult:
    ended = subprocess.run(
        [DRIVEBAY, "verify", "--json", *options],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return CommandResult(ended.returncode, ended.stdout, ended.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.verify.moving", description=__doc__)
    parser.add_argument("--blobs", type=int, default=10_000)
    parser.add_argument("--databases", nargs="*", default=["PostgreSQL", "MariaDB"])
    options = parser.parse_args(sys.argv[1:])
    with a_run() as backends:
        for database in options.databases:
            print(database, flush=True)
            with Combination(database, "fs").settings(backends) as settings, tempfile.TemporaryDirectory() as folder:
                prove(Path(folder), settings, options.blobs)


if __name__ == "__main__":
    main()
