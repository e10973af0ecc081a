"""What clients of resumable uploads have in common: a server, a file to upload, and a look at the blob."""

import hashlib
import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.conformance.environments import environment, node_modules
from tests.conformance.s3.endpoint import Client, Endpoint
from tests.contracts.blob_store import MIB, pattern
from tests.http.wire import TOKEN

SCRIPTS = Path(__file__).parent / "scripts"
SIZE = 9 * MIB + 1
CHUNK = MIB
CONTENT_TYPE = "image/x-of-the-tests"


@dataclass(frozen=True)
class Uploaded:
    """What the client in Node reports: the URL of the upload, and each request with its status and its offset."""

    url: str
    requests: list[tuple[str, int, int | None]]
    paused: bool

    def offsets(self, method: str) -> list[int | None]:
        """Return the offsets in the responses to requests of one method."""
        return [offset for each, _, offset in self.requests if each == method]


class Uploads(Client):
    """Programs that upload one file as one blob."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        super().__init__(endpoint, folder)
        self.id = f"{self.bucket}/a b ü.bin"
        self.tus = f"{endpoint.url}/v1/tus"
        self.blob = f"{endpoint.url}/v1/blobs/{quote(self.id, safe='')}"
        self.variables |= {"TOKEN": TOKEN, "TUS": self.tus, "ID": self.id, "CONTENT_TYPE": CONTENT_TYPE}
        if endpoint.certificate:
            for name in ("NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
                self.variables[name] = str(endpoint.certificate)

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of an upload through tus: the id, the content type, and more that is the user's."""
        return {"filename": self.id, "filetype": CONTENT_TYPE, "color": "blue"}

    def file(self, size: int = SIZE) -> Path:
        """Make the file that is uploaded."""
        (path := self.folder / "file").write_bytes(pattern(size))
        self._sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return path

    def is_stored(self) -> bool:
        """Return whether the blob is there. Fails if it differs from the file or from the metadata."""
        found = self._found()
        if found.status_code == httpx.codes.NOT_FOUND:
            return False
        assert found.status_code == httpx.codes.OK, found.text
        assert hashlib.sha256(found.content).hexdigest() == self._sha256
        assert found.headers["Content-Type"] == CONTENT_TYPE
        return True

    def user_metadata(self) -> dict[str, str]:
        """Return the metadata of the blob."""
        headers = self._found().headers.items()
        return {name.removeprefix("x-meta-"): value for name, value in headers if name.startswith("x-meta-")}

    def _found(self) -> httpx.Response:
        with self.endpoint.server.client() as client:
            return client.get(f"{self.blob}?alt=media")

    def with_node(self, *, codes: tuple[int, ...] = (0,), given: bytes = b"", **arguments: Any) -> Uploaded | None:
        """Upload with tus-js-client. Return what it reports; None if it did not end with 0. See scripts/upload.cjs."""
        self.variables["NODE_PATH"] = str(node_modules("tus_js"))
        arguments["options"] = {"endpoint": self.tus, "metadata": self.metadata} | arguments.get("options", {})
        output = self.run("node", str(SCRIPTS / "upload.cjs"), json.dumps(arguments), given=given, codes=codes)
        return Uploaded(**json.loads(output)) if output else None

    def killed_with_node(self, **arguments: Any) -> None:
        """Upload with tus-js-client, which kills itself at `dieAt`."""
        assert self.with_node(codes=(-signal.SIGKILL,), **arguments) is None
        assert not self.is_stored()

    def with_python(self, library: str, function: str, codes: tuple[int, ...] = (0,)) -> None:
        """Run a function of a script in the environment of the clients in Python."""
        python = str(environment("tus") / "python")
        self.run(python, str(SCRIPTS / f"with_{library}.py"), function, codes=codes)

    def killed_with_python(self, library: str, function: str) -> None:
        """Run such a function, which kills itself in the middle of the upload."""
        self.with_python(library, function, codes=(-signal.SIGKILL,))
        assert not self.is_stored()
