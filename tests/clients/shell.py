"""Commands in the container that has the clients."""

import hashlib
import io
import tarfile
from dataclasses import dataclass
from typing import Any

from tests.contracts.blob_store import MIB, pattern
from tests.http.server import Server
from tests.http.wire import TOKEN

FILM = pattern(9 * MIB + 1)


@dataclass(frozen=True)
class Done:
    """What a command came to. `output`: of both kinds, as it came."""

    code: int
    output: str


class Shell:
    """A shell in a folder of its own. $BLOBS is the URL of the server's blobs, $AUTH the header it wants."""

    def __init__(self, container: Any, server: Server) -> None:
        self._container = container
        self._environment = {"BLOBS": f"{server.url}/v1/blobs", "AUTH": f"Authorization: Bearer {TOKEN}"}
        self._folder = container.exec_run(["mktemp", "--directory"]).output.decode().strip()

    def run(self, command: str) -> Done:
        code, output = self._container.exec_run(
            ["timeout", "50", "sh", "-c", command], workdir=self._folder, environment=self._environment
        )
        return Done(code, output.decode())

    def write(self, name: str, data: bytes) -> None:
        """Make a file."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o666
            archive.addfile(entry, io.BytesIO(data))
        self._container.put_archive(self._folder, packed.getvalue())

    def has(self, name: str, data: bytes) -> bool:
        """Whether the file is there, with these bytes."""
        return self.run(f"sha256sum < {name}").output.split()[0] == hashlib.sha256(data).hexdigest()
