"""SHA-256 whose state can be kept, over OpenSSL's libcrypto: the standard library's hash can't be saved.

Where that library is not found, or has another form of the state, hashes work without a state.
"""

import ctypes
import hashlib
import sys
from ctypes.util import find_library
from functools import cache
from typing import Any

from application.ports.hashing import ResumableHash

CONTEXT_SIZE = 112  # bytes of SHA256_CTX: sha.h of OpenSSL, the same since version 0.9.8
TAG = b"openssl-sha256-" + sys.byteorder.encode() + b"\0"
KNOWN = hashlib.sha256(b"drivebay" * 100).digest()


class Sha256(ResumableHash):
    """SHA-256, from the start or from a `state`. Use `sha256` to make one."""

    def __init__(self, library: Any, state: bytes | None) -> None:
        self._library = library
        self._context = ctypes.create_string_buffer(CONTEXT_SIZE + 64)  # more than any version needs
        if state is None:
            library.SHA256_Init(self._context)
        else:
            ctypes.memmove(self._context, state[len(TAG) :], CONTEXT_SIZE)

    def update(self, data: bytes) -> None:
        self._library.SHA256_Update(self._context, data, ctypes.c_size_t(len(data)))

    def digest(self) -> bytes:
        copy = ctypes.create_string_buffer(self._context.raw)
        digest = ctypes.create_string_buffer(32)
        self._library.SHA256_Final(digest, copy)
        return digest.raw

    def state(self) -> bytes | None:
        return TAG + self._context.raw[:CONTEXT_SIZE]


class StatelessSha256(ResumableHash):
    """SHA-256 of the standard library, which starts from the beginning."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def digest(self) -> bytes:
        return self._hash.digest()

    def state(self) -> bytes | None:
        return None


def sha256(state: bytes | None = None) -> ResumableHash | None:
    """Return a hash that goes on from a `state`, or a new one. None if the state is of another machine or library."""
    library = _library()
    if state is not None and (library is None or not state.startswith(TAG) or len(state) != len(TAG) + CONTEXT_SIZE):
        return None
    return StatelessSha256() if library is None else Sha256(library, state)


@cache
def _library() -> Any:
    """Return libcrypto, if a hash that is kept in the middle gives the right digest."""
    name = find_library("crypto")
    try:
        library = ctypes.CDLL(name) if name else None
        if library is None:
            return None
        data, middle = b"drivebay" * 100, 333
        first = Sha256(library, None)
        first.update(data[:middle])
        second = Sha256(library, first.state())
        second.update(data[middle:])
    except (OSError, AttributeError):
        return None
    return library if second.digest() == KNOWN else None
