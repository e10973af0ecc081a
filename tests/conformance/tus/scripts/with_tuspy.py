# mypy: disable-error-code="import-not-found"
"""tuspy: in one request and in several, with checksums, after errors, and resumed by another process."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import requests
from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage
from tusclient.uploader import Uploader

CHUNK = 1024 * 1024
FILE = Path("file")
METADATA = {"filename": os.environ["ID"], "filetype": os.environ["CONTENT_TYPE"], "color": "blue"}
# It says `verify=True` in each request, which overrides REQUESTS_CA_BUNDLE nowhere: requests reads the variable then.
CLIENT = TusClient(os.environ["TUS"], headers={"Authorization": f"Bearer {os.environ['TOKEN']}"})


def _uploader(**options: Any) -> Uploader:
    return CLIENT.uploader(str(FILE), metadata=METADATA, **options)


def _stored() -> dict[str, Any]:
    return {"chunk_size": CHUNK, "store_url": True, "url_storage": FileStorage("urls")}


def at_once() -> None:
    """Upload in one request."""
    _uploader().upload()


def in_chunks() -> None:
    """Upload in several requests, each with a checksum."""
    uploader = _uploader(chunk_size=CHUNK, upload_checksum=True)
    uploader.upload()
    assert uploader.get_offset() == FILE.stat().st_size


def in_coroutines() -> None:
    """Upload with the asynchronous part of the library, which reads SSL_CERT_FILE."""
    asyncio.run(CLIENT.async_uploader(str(FILE), metadata=METADATA, chunk_size=CHUNK).upload())


def empty() -> None:
    """Upload nothing: it is complete once it is created."""
    FILE.write_bytes(b"")
    _uploader().create_url()


def of_known_url() -> None:
    """Go on with an upload of which only the URL is known."""
    first = _uploader(chunk_size=CHUNK)
    first.upload(stop_at=3 * CHUNK)
    second = Uploader(str(FILE), url=first.url, client=CLIENT, chunk_size=CHUNK)
    assert second.offset == 3 * CHUNK
    second.upload()


def with_a_wrong_offset() -> None:
    """A server that has other bytes than the client believes refuses them, and the client asks for the offset."""
    uploader = _uploader(chunk_size=CHUNK, retries=1, retry_delay=0)
    uploader.upload(stop_at=3 * CHUNK)
    uploader.offset = 2 * CHUNK
    uploader.upload()


def killed() -> None:
    """End in the middle, after its URL was stored."""
    _uploader(**_stored()).upload(stop_at=3 * CHUNK)
    os.kill(os.getpid(), signal.SIGKILL)


def resumed() -> None:
    """Go on with the upload of a process that has ended."""
    uploader = _uploader(**_stored())
    assert uploader.offset == 3 * CHUNK, uploader.offset
    uploader.upload()


def terminated() -> None:
    """Discard an upload. The library has no function for that, so this is the request that it would send."""
    uploader = _uploader(chunk_size=CHUNK)
    uploader.upload(stop_at=CHUNK)
    assert requests.delete(uploader.url, headers=uploader.get_headers(), timeout=60).status_code == 204
    assert requests.head(uploader.url, headers=uploader.get_headers(), timeout=60).status_code in (404, 410)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
