"""The server, the bucket and the bytes of a script, and the function that it runs."""

import hashlib
import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MIB = 1024 * 1024
ENDPOINT = os.environ["AWS_ENDPOINT_URL"]
ACCESS_KEY = os.environ["AWS_ACCESS_KEY_ID"]
SECRET_KEY = os.environ["AWS_SECRET_ACCESS_KEY"]
CERTIFICATE = os.environ.get("AWS_CA_BUNDLE")
BUCKET = os.environ["BUCKET"]

# Characters that are encoded in paths or in XML, that a path library would take out, or that sort differently.
ODD_KEYS = [
    "a b",
    "a+b",
    "a%2Fb",
    "a//b",
    "a/./b",
    "a/../b",
    "a&<b>\"'c",
    "a?b=c#d",
    "folder/",
    "ä/日本/🎞",
    "~a*b'c(d)!",
]


def blob(size: int) -> bytes:
    """Bytes that are different at each place."""
    return hashlib.shake_128(size.to_bytes(8, "big")).digest(size)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file(name: str, size: int) -> Path:
    """A file of this size in the working directory."""
    path = Path(name)
    path.write_bytes(blob(size))
    return path


def same(given: bytes, size: int) -> bool:
    """Whether these are the bytes of `blob(size)`."""
    return digest(given) == digest(blob(size))


def request(method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """The status and the body of a response to a request that has no signature but that of the URL."""
    context = ssl.create_default_context(cafile=CERTIFICATE) if CERTIFICATE else None
    sent = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - the server of the tests
    try:
        with urllib.request.urlopen(sent, context=context) as response:  # noqa: S310 - the same
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def run(functions: Mapping[str, Any]) -> None:
    """Run the function that the command names."""
    functions[sys.argv[1]]()
