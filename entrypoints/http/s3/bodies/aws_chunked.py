"""The content encoding `aws-chunked`: chunks with their sizes, with or without signatures and trailers.

Source: Amazon S3 API Reference, Signature Calculations for the Authorization Header: Transferring Payload in Multiple
Chunks, and the same with trailing headers. Both parts take constant memory: `Decoder` reads the encoding, for any
split of the incoming bytes, and `ChunkSignatures` verifies what the decoder has found.
"""

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from hashlib import sha256

from entrypoints.http.s3.auth.credentials import format_time
from entrypoints.http.s3.auth.signatures import SignedRequest
from entrypoints.http.s3.auth.signing_keys import signature_of
from entrypoints.http.s3.errors import S3Error

MAX_SIZE_DIGITS = 16
MAX_LINE = MAX_SIZE_DIGITS + len(";chunk-signature=") + 64 + 2
FREE_CHUNKS = 1000
MIN_MEAN = 4096
"""The bytes of all further chunks, on average: each one costs time and memory, whatever its size."""
MAX_TRAILERS = 1024
"""The bytes of all trailers together, with their signature: they are checksums only."""

_SIGNED_HEAD = re.compile(rb"([0-9a-fA-F]{1,16}+);chunk-signature=([0-9a-f]{64})\r\n")
_UNSIGNED_HEAD = re.compile(rb"([0-9a-fA-F]{1,16}+)\r\n")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]++):[ \t]*+([!-~]*+)[ \t]*+")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_TRAILER_SIGNATURE = "x-amz-trailer-signature"
_EMPTY_SHA256 = sha256().hexdigest()


@dataclass(frozen=True, slots=True)
class ChunkEnd:
    """The end of a chunk, with the signature that its head has announced."""

    signature: str


@dataclass(frozen=True, slots=True)
class TrailersEnd:
    """The end of the trailers, with the text that is signed, and its signature."""

    canonical: bytes
    signature: str


Event = bytes | ChunkEnd | TrailersEnd


class _State(Enum):
    HEAD = auto()
    DATA = auto()
    DATA_END = auto()
    LAST_END = auto()
    TRAILERS = auto()
    END = auto()


class Decoder:
    """Decodes a body, whatever its split. Call `feed` for all bytes, and then `end`.

    `announced` are the names of the trailers that must come, in lower case; None if the encoding has no trailers.
    `trailers` has their values in the end. The number of decoded bytes is for the caller to check.
    """

    def __init__(self, *, is_signed: bool, announced: frozenset[str] | None = None) -> None:
        self._head = _SIGNED_HEAD if is_signed else _UNSIGNED_HEAD
        self._is_signed = is_signed
        self._announced = announced
        self._state = _State.HEAD
        self._line = bytearray()
        self._left_in_chunk = 0
        self._signature = ""
        self._trailers_size = 0
        self._trailers_signature = ""
        self._chunks = 0
        self._decoded = 0  # bytes, including the current chunk
        self.trailers: dict[str, str] = {}

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the decoded bytes, and the ends of signed chunks and trailers. Raises S3Error for a malformed body.

        The bytes of a chunk come before its end, and so before its signature is verified.
        """
        position = 0
        while position < len(data):
            if self._state is _State.DATA:
                piece = data[position : position + self._left_in_chunk]
                position += len(piece)
                self._left_in_chunk -= len(piece)
                if not self._left_in_chunk:
                    self._state = _State.DATA_END
                yield piece
                if self._is_signed and not self._left_in_chunk:
                    yield ChunkEnd(self._signature)
                continue
            if self._state is _State.END:
                raise S3Error("InvalidRequest", "More bytes came after the last chunk.")
            line_end = data.find(b"\n", position) + 1 or len(data)
            self._line += data[position:line_end]
            position = line_end
            limit = MAX_TRAILERS if self._state is _State.TRAILERS else MAX_LINE
            if len(self._line) > limit:
                raise _malformed()
            if self._line.endswith(b"\n"):
                line = bytes(self._line)
                self._line.clear()
                yield from self._take(line)

    def end(self) -> Iterator[Event]:
        """Yield the end of the trailers if it is still due. Raises S3Error if the body is not complete."""
        if self._state is _State.TRAILERS and not self._line:
            # Some clients leave out the last empty line.
            if not self._has_all_trailers():
                raise S3Error("MalformedTrailerError", "A trailer that was announced, or its signature, is missing.")
            yield from self._end_trailers()
        if self._state is not _State.END:
            raise S3Error("IncompleteBody", "The body ended before its last chunk.")

    def _take(self, line: bytes) -> Iterator[Event]:
        if self._state is _State.HEAD:
            yield from self._take_head(line)
        elif self._state is _State.TRAILERS:
            yield from self._take_trailer(line)
        elif line != b"\r\n":
            raise _malformed()
        else:
            self._state = _State.HEAD if self._state is _State.DATA_END else _State.END

    def _take_head(self, line: bytes) -> Iterator[Event]:
        found = self._head.fullmatch(line)
        if found is None:
            raise _malformed()
        self._left_in_chunk = int(found[1], 16)
        if self._is_signed:
            self._signature = found[2].decode()
        if self._left_in_chunk:
            self._state = _State.DATA
            self._chunks += 1
            if self._chunks > FREE_CHUNKS + self._decoded // MIN_MEAN:
                raise S3Error(
                    "InvalidRequest", "The chunks are too small. Send 8,192 bytes or more in each but the last."
                )
            self._decoded += self._left_in_chunk
            return
        self._state = _State.LAST_END if self._announced is None else _State.TRAILERS
        if self._is_signed:
            yield ChunkEnd(self._signature)

    def _take_trailer(self, line: bytes) -> Iterator[Event]:
        """Take a line after the last chunk. An empty line ends the body, unless trailers are still due.

        Clients differ in their line ends here, and minio-go sends an empty line before the signature.
        """
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        self._trailers_size += len(line)
        if self._trailers_size > MAX_TRAILERS:
            raise _malformed_trailer()
        if not text:
            if self._has_all_trailers():
                yield from self._end_trailers()
            return
        found = _TRAILER.fullmatch(text)
        if found is None:
            raise _malformed_trailer()
        name, value = found[1].decode().lower(), found[2].decode()
        if self._trailers_signature:
            raise _malformed_trailer()
        if name == _TRAILER_SIGNATURE and self._is_signed and _SIGNATURE.fullmatch(value):
            self._trailers_signature = value
        elif name in (self._announced or ()) and name not in self.trailers:
            self.trailers[name] = value
        else:
            raise _malformed_trailer()

    def _has_all_trailers(self) -> bool:
        return self.trailers.keys() == self._announced and (bool(self._trailers_signature) or not self._is_signed)

    def _end_trailers(self) -> Iterator[Event]:
        self._state = _State.END
        if self._is_signed:
            canonical = "".join(f"{name}:{value}\n" for name, value in sorted(self.trailers.items()))
            yield TrailersEnd(canonical.encode(), self._trailers_signature)


class ChunkSignatures:
    """The chain of signatures of the chunks of a request, which begins with the signature of the request itself.

    `take` may run in a thread. After it has taken all events, `is_valid` says whether all signatures were right.
    """

    def __init__(self, request: SignedRequest, key: bytes) -> None:
        self._time = format_time(request.signed_at)
        self._scope = request.scope
        self._key = key
        self._previous = request.signature
        self._sha256 = sha256()
        self.is_valid = True

    def take(self, event: Event) -> None:
        """Hash bytes of a chunk, or verify the signature at its end."""
        if isinstance(event, bytes):
            self._sha256.update(event)
        elif isinstance(event, ChunkEnd):
            digest, self._sha256 = self._sha256.hexdigest(), sha256()
            self._verify(("AWS4-HMAC-SHA256-PAYLOAD", _EMPTY_SHA256, digest), event.signature)
        else:
            digest = sha256(event.canonical).hexdigest()
            self._verify(("AWS4-HMAC-SHA256-TRAILER", digest), event.signature)

    def _verify(self, text: tuple[str, ...], given: str) -> None:
        algorithm, *digests = text
        message = "\n".join((algorithm, self._time, self._scope, self._previous, *digests))
        self._previous = signature_of(message.encode(), self._key)
        if not hmac.compare_digest(self._previous, given):
            self.is_valid = False


def _malformed() -> S3Error:
    return S3Error("InvalidRequest", "The body is not encoded as aws-chunked, as x-amz-content-sha256 declares.")


def _malformed_trailer() -> S3Error:
    return S3Error("MalformedTrailerError")
