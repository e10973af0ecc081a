"""Commands in the container that has the clients."""

import io
import secrets
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
    """A shell in a folder of its own. $BLOBS is the URL of the server's blobs, $AUTH the header it wants.

    Output goes through a file: the engine sometimes loses what a short command prints.
    """

    def __init__(self, container: Any, server: Server) -> None:
        self._container = container
        self._environment = {"BLOBS": f"{server.url}/v1/blobs", "AUTH": f"Authorization: Bearer {TOKEN}"}
        self._folder = f"/tmp/{secrets.token_hex(8)}"  # noqa: S108 - the container's
        folder = tarfile.TarInfo(self._folder)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o777
        self._unpack("/", folder, b"")

    def run(self, command: str) -> Done:
        output = f"/tmp/{secrets.token_hex(8)}"  # noqa: S108 - the container's
        code, _ = self._container.exec_run(
            ["timeout", "50", "sh", "-c", f"{{ {command}\n}} > {output} 2>&1"],
            workdir=self._folder,
            environment=self._environment,
        )
        return Done(code, self._read(output).decode())

    def write(self, name: str, data: bytes) -> None:
        """Make a file."""
        file = tarfile.TarInfo(name)
        file.size, file.mode = len(data), 0o666
        self._unpack(self._folder, file, data)

    def has(self, name: str, data: bytes) -> bool:
        """Whether the file is there, with these bytes."""
        return self._read(f"{self._folder}/{name}") == data

    def _unpack(self, folder: str, entry: tarfile.TarInfo, data: bytes) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            archive.addfile(entry, io.BytesIO(data))
        self._container.put_archive(folder, packed.getvalue())

    def _read(self, path: str) -> bytes:
        chunks, _ = self._container.get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            [file] = archive.getmembers()
            content = archive.extractfile(file)
            assert content
            return content.read()
