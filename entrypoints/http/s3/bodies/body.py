"""The body of a request that stores an object or a part: decoded, verified and measured as it is iterated."""

import re
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from hmac import compare_digest
from typing import NamedTuple

from domain.checksums import ALGORITHMS, Checksums
from entrypoints.http.protocol.hashing import OVERHEAD, ConcurrentHashing
from entrypoints.http.s3.auth.payloads import (
    STREAMING,
    STREAMING_SIGNED,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED,
    invalid_payload,
    is_payload,
)
from entrypoints.http.s3.auth.signatures import SignedRequest
from entrypoints.http.s3.bodies import checksums
from entrypoints.http.s3.bodies.aws_chunked import ChunkSignatures, Decoder, Event
from entrypoints.http.s3.errors import S3Error

MD5_SIZE = 16
_SIZE = re.compile(r"[0-9]{1,18}+")
_SDK_ALGORITHM = "x-amz-sdk-checksum-algorithm"


class _Declared(NamedTuple):
    """Checks that headers ask for.

    `trailers` are the names of the trailers that come, None if the encoding has none. `algorithm` is the algorithm of
    the checksum that results, and `checksum` its value, if that is in a header.
    """

    payload: str
    size: int | None
    md5: bytes | None
    trailers: frozenset[str] | None
    algorithm: str
    checksum: bytes | None

    @property
    def payload_sha256(self) -> bytes | None:
        return None if self.payload == UNSIGNED or self.payload in STREAMING else bytes.fromhex(self.payload)

    @property
    def sha256(self) -> bytes | None:
        return self.payload_sha256 or (self.checksum if self.algorithm == "SHA256" else None)


class _Piece(NamedTuple):
    """Decoded bytes, with all that the decoder has found in them."""

    data: bytes
    events: list[Event]


class Body:
    """A body, iterated once. The iteration raises S3Error if a check fails, at the latest at its end.

    So its consumer must not publish anything before the end. One check is left to the consumer: where `sha256` is not
    None, it must compare this with the SHA-256 of the bytes, which it computes anyway, and raise `sha256_mismatch()` if
    they differ. `read` does that itself.

    `size` is the declared size of the decoded bytes, None if there is none. `content_encoding` is the value of the
    header without `aws-chunked`.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        request: SignedRequest | None,
        key: bytes,
        chunks: AsyncIterable[bytes],
        *,
        compute: str = "",
    ) -> None:
        """Check the headers. Raises S3Error if they are malformed or contradict each other.

        `headers` have names in lower case; the values of repeated ones are joined by `, `. `key` is the signing key of
        the `request`, whose own signature is verified already; without a request it is not used. `compute` is the
        algorithm of an upload in parts: its parts get a checksum, whether the client sends one or not.
        """
        self._declared = declared = _declared(headers, request, compute)
        self.size = declared.size
        self.sha256 = declared.sha256
        self.content_encoding = without_aws_chunked(headers.get("content-encoding", ""))
        self._chunks = chunks
        self._received = 0
        self._checksums: Checksums | None = None
        self._decoder: Decoder | None = None
        self._signatures: ChunkSignatures | None = None
        if declared.payload in STREAMING:
            is_signed = declared.payload != STREAMING_UNSIGNED_TRAILER
            self._decoder = Decoder(is_signed=is_signed, announced=declared.trailers)
            if is_signed and request is None:
                raise S3Error("AccessDenied", "Only a signed request can have signed chunks.")
            if is_signed and request is not None:
                self._signatures = ChunkSignatures(request, key)
        self._md5 = checksums.new_md5()
        is_sha256_known = declared.algorithm == "SHA256" and declared.sha256 is not None
        is_computed = declared.algorithm and not is_sha256_known
        self._hash = checksums.new_hash(declared.algorithm) if is_computed else None
        self._hashing = ConcurrentHashing(self._update)

    @property
    def checksums(self) -> Checksums:
        """The checksums of the bytes, after the end."""
        if self._checksums is None:
            raise RuntimeError("the body is not complete")
        return self._checksums

    def sha256_mismatch(self) -> S3Error:
        """Return the error for bytes whose SHA-256 is not `sha256`."""
        declared = self._declared.payload_sha256
        if declared is None:
            return checksums.mismatch("SHA256")
        return S3Error("XAmzContentSHA256Mismatch", ClientComputedContentSHA256=declared.hex())

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        try:
            async for chunk in self._chunks:
                piece = self._decode(chunk)
                self._received += len(piece.data)
                self._check_progress()
                await self._hashing.add(piece, len(piece.data) + OVERHEAD * len(piece.events))
                if piece.data:
                    yield piece.data
            if self._decoder is not None:
                await self._hashing.add(_Piece(b"", [*self._decoder.end()]), 0)
            if self.size is not None and self._received < self.size:
                raise _incomplete()
            await self._hashing.finish()
        finally:
            await self._hashing.wait()
        self._check_progress()
        self._checksums = self._verified()

    async def read(self, max_bytes: int) -> bytes:
        """Return all bytes, verified. Raises S3Error, and so for more than `max_bytes`."""
        if self.size is not None and self.size > max_bytes:
            raise S3Error("MaxMessageLengthExceeded")
        received = bytearray()
        async for chunk in self:
            received += chunk
            if len(received) > max_bytes:
                raise S3Error("MaxMessageLengthExceeded")
        data = bytes(received)
        if self.sha256 is not None and checksums.checksum_of("SHA256", data) != self.sha256:
            raise self.sha256_mismatch()
        return data

    def _decode(self, chunk: bytes) -> _Piece:
        if self._decoder is None:
            return _Piece(chunk, [])
        events = [*self._decoder.feed(chunk)]
        return _Piece(b"".join(event for event in events if isinstance(event, bytes)), events)

    def _update(self, piece: _Piece) -> None:
        self._md5.update(piece.data)
        if self._hash is not None:
            self._hash.update(piece.data)
        if self._signatures is not None:
            for event in piece.events:
                self._signatures.take(event)

    def _check_progress(self) -> None:
        if self.size is not None and self._received > self.size:
            raise _incomplete()
        if self._signatures is not None and not self._signatures.is_valid:
            raise S3Error("SignatureDoesNotMatch", "The signature of a chunk does not match. Check your key.")

    def _verified(self) -> Checksums:
        """Return the checksums, which are as declared."""
        declared, md5 = self._declared, self._md5.digest()
        if declared.md5 is not None and not compare_digest(md5, declared.md5):
            raise S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.")
        if not declared.algorithm:
            return Checksums(md5)
        checksum = declared.sha256 if self._hash is None else self._hash.digest()
        assert checksum is not None
        expected = declared.checksum
        if declared.trailers:
            assert self._decoder is not None
            expected = _checksum_of_trailer(self._decoder.trailers)
        if expected is not None and not compare_digest(checksum, expected):
            raise checksums.mismatch(declared.algorithm)
        return Checksums(md5, algorithm=declared.algorithm, checksum=checksum)


def without_aws_chunked(content_encoding: str) -> str:
    """Return a Content-Encoding without `aws-chunked`, which is an encoding of the transfer."""
    given = [each.strip() for each in content_encoding.split(",")]
    kept = [each for each in given if each.lower() != "aws-chunked"]
    return content_encoding if len(kept) == len(given) else ",".join(each for each in kept if each)


def _declared(headers: Mapping[str, str], request: SignedRequest | None, compute: str) -> _Declared:
    payload = headers.get("x-amz-content-sha256", UNSIGNED) if request is None else request.payload
    if not is_payload(payload):
        raise invalid_payload()
    trailers = _trailers(headers, payload)
    algorithm, checksum = checksums.declared(headers.items()) or ("", None)
    if algorithm and "x-amz-trailer" in headers:
        raise S3Error("InvalidRequest", "A checksum comes in a header or in a trailer, not in both.")
    for name in trailers or ():
        algorithm = checksums.HEADERS[name]
    _check_sdk_algorithm(headers.get(_SDK_ALGORITHM), algorithm)
    if compute and algorithm not in ("", compute):
        text = f"Checksum Type mismatch occurred, expected checksum Type: {compute.lower()}, actual checksum Type: "
        raise S3Error("InvalidRequest", text + algorithm.lower())
    declared = _Declared(
        payload, _size(headers, payload), _content_md5(headers), trailers, algorithm or compute, checksum
    )
    if algorithm == "SHA256" and checksum is not None and declared.sha256 != checksum:
        # One of the two is wrong, whatever the bytes are.
        raise checksums.mismatch("SHA256")
    return declared


def _trailers(headers: Mapping[str, str], payload: str) -> frozenset[str] | None:
    has_trailers = payload in STREAMING and payload != STREAMING_SIGNED
    given = headers.get("x-amz-trailer")
    if given is None:
        return frozenset() if has_trailers else None
    if not has_trailers:
        raise S3Error("InvalidRequest", "x-amz-trailer needs an x-amz-content-sha256 that ends with -TRAILER.")
    names = [name for each in given.split(",") if (name := each.strip().lower())]
    for name in names:
        if name not in checksums.HEADERS:
            raise checksums.unknown(name)
    if len(names) > 1:
        raise checksums.several()
    return frozenset(names)


def _check_sdk_algorithm(given: str | None, algorithm: str) -> None:
    if given is None:
        return
    if not algorithm:
        text = (
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers "
            "were found."
        )
        raise S3Error("InvalidRequest", text)
    if given.strip().upper() != algorithm:
        raise S3Error("InvalidRequest", f"Value for {_SDK_ALGORITHM} header is invalid.")


def _size(headers: Mapping[str, str], payload: str) -> int | None:
    name = "x-amz-decoded-content-length" if payload in STREAMING else "content-length"
    given = headers.get(name)
    if given is None:
        if payload not in STREAMING and "transfer-encoding" in headers:
            return None
        raise S3Error("MissingContentLength", f"You must provide the {name} HTTP header.")
    if not _SIZE.fullmatch(given.strip()):
        raise S3Error("InvalidArgument", f"{name} must be a number of bytes.", ArgumentName=name)
    return int(given)


def _content_md5(headers: Mapping[str, str]) -> bytes | None:
    given = headers.get("content-md5")
    if given is None:
        return None
    md5 = checksums.decode(given.strip(), MD5_SIZE)
    if md5 is None:
        raise S3Error("InvalidDigest", "The Content-MD5 you specified is not valid.")
    return md5


def _checksum_of_trailer(trailers: Mapping[str, str]) -> bytes:
    [(name, text)] = trailers.items()
    checksum = checksums.decode(text, ALGORITHMS[checksums.HEADERS[name]])
    if checksum is None:
        raise S3Error("InvalidRequest", f"Value for {name} trailing header is invalid.")
    return checksum


def _incomplete() -> S3Error:
    return S3Error("IncompleteBody", "The body has another number of bytes than its headers declare.")
