"""Bodies of uploads to S3: every way to send one, cut anywhere, and damaged anywhere."""

import asyncio
import base64
import hashlib
import hmac
import io
import random
import re
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, Crc32Checksum
from hypothesis import given
from hypothesis import strategies as st

from domain.checksums import Checksums
from entrypoints.http.s3.auth.payloads import STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER
from entrypoints.http.s3.auth.signatures import SignedRequest
from entrypoints.http.s3.auth.signing_keys import signing_key
from entrypoints.http.s3.bodies import checksums
from entrypoints.http.s3.bodies.aws_chunked import FREE_CHUNKS, MAX_TRAILERS, Decoder
from entrypoints.http.s3.bodies.body import Body, without_aws_chunked
from entrypoints.http.s3.errors import S3Error

KEY = signing_key(b"secret", "20130524", "us-east-1")
SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
EMPTY = hashlib.sha256().hexdigest()
DATA = b"Some bytes\r\n0\r\n\r\nof a body."
MD5 = base64.b64encode(hashlib.md5(DATA).digest()).decode()  # noqa: S324
SHA256 = hashlib.sha256(DATA)
CRC32C = checksums.encode(checksums.checksum_of("CRC32C", DATA))


def request_with(payload: str, seed: str = SEED) -> SignedRequest:
    then = datetime(2013, 5, 24, tzinfo=UTC)
    return SignedRequest("AKIA", "20130524", "us-east-1", then, None, seed, (b"",), payload, False, b"")


@dataclass(frozen=True)
class Sent:
    """A body as a client sends it. `raw` are the bytes on the wire, which decode to `data`."""

    data: bytes
    raw: bytes
    headers: Mapping[str, str]
    payload: str
    seed: str = SEED
    compute: str = field(default="", kw_only=True)

    def body(self, pieces: Iterable[bytes] | None = None) -> Body:
        pieces = [self.raw] if pieces is None else pieces
        return Body(self.headers, request_with(self.payload, self.seed), KEY, chunks_of(pieces), compute=self.compute)

    async def received(self, pieces: Iterable[bytes] | None = None) -> tuple[bytes, Checksums]:
        """Return the bytes and the checksums, as a consumer gets them that verifies the SHA-256 as well."""
        body = self.body(pieces)
        data = await body.read(1 << 30)
        return data, body.checksums

    async def refusal(self, raw: bytes | None = None) -> S3Error:
        with pytest.raises(S3Error) as caught:
            await self.received([self.raw if raw is None else raw])
        return caught.value


async def chunks_of(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def signed(text: str) -> str:
    return hmac.new(KEY, text.encode(), "sha256").hexdigest()


def signed_chunks(data: bytes, sizes: Iterable[int], trailer: tuple[str, str] | None = None, seed: str = SEED) -> bytes:
    """Return data in signed chunks, written by the documentation and not by the decoder."""
    raw, previous, position = b"", seed, 0
    for size in (*sizes, 0):
        chunk, position = data[position : position + size], position + size
        digest = hashlib.sha256(chunk).hexdigest()
        scope = "20130524T000000Z\n20130524/us-east-1/s3/aws4_request"
        previous = signed(f"AWS4-HMAC-SHA256-PAYLOAD\n{scope}\n{previous}\n{EMPTY}\n{digest}")
        raw += f"{size:x};chunk-signature={previous}\r\n".encode() + chunk
        raw += b"" if trailer and not size else b"\r\n"
    if trailer:
        line = ":".join(trailer)
        digest = hashlib.sha256(f"{line}\n".encode()).hexdigest()
        signature = signed(f"AWS4-HMAC-SHA256-TRAILER\n{scope}\n{previous}\n{digest}")
        raw += f"{line}\r\nx-amz-trailer-signature:{signature}\r\n\r\n".encode()
    return raw


def unsigned_chunks(data: bytes, sizes: Iterable[int], trailer: tuple[str, str]) -> bytes:
    raw, position = b"", 0
    for size in sizes:
        raw += f"{size:X}\r\n".encode() + data[position : position + size] + b"\r\n"
        position += size
    return raw + f"0\r\n{':'.join(trailer)}\r\n\r\n".encode()


TRAILER = ("x-amz-checksum-crc32c", CRC32C)
LENGTH = {"content-length": str(len(DATA))}
STREAMED = {"x-amz-decoded-content-length": str(len(DATA)), "content-encoding": "aws-chunked"}
WITH_TRAILER = STREAMED | {"x-amz-trailer": TRAILER[0]}
SIZES = (10, 1, len(DATA) - 11)
CRC = {"algorithm": "CRC32C", "checksum": base64.b64decode(CRC32C)}
BODIES = {
    "sha256": Sent(DATA, DATA, LENGTH, SHA256.hexdigest()),
    "md5": Sent(DATA, DATA, LENGTH | {"content-md5": MD5}, "UNSIGNED-PAYLOAD"),
    "checksum": Sent(DATA, DATA, LENGTH | {TRAILER[0]: TRAILER[1]}, "UNSIGNED-PAYLOAD"),
    "sha256 as a checksum": Sent(
        DATA, DATA, LENGTH | {"x-amz-checksum-sha256": checksums.encode(SHA256.digest())}, "UNSIGNED-PAYLOAD"
    ),
    "signed chunks": Sent(DATA, signed_chunks(DATA, SIZES), STREAMED, STREAMING_SIGNED),
    "signed trailer": Sent(DATA, signed_chunks(DATA, SIZES, TRAILER), WITH_TRAILER, STREAMING_SIGNED_TRAILER),
    "unsigned trailer": Sent(DATA, unsigned_chunks(DATA, SIZES, TRAILER), WITH_TRAILER, STREAMING_UNSIGNED_TRAILER),
}
# The documentation's examples: 66,560 times the letter a.
LETTERS = b"a" * 66_560
EXAMPLE_HEADERS = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": "66560"}
EXAMPLES = {
    "signed chunks": Sent(
        LETTERS,
        b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n"
        + LETTERS[:65_536]
        + b"\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n"
        + LETTERS[65_536:]
        + b"\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n",
        EXAMPLE_HEADERS,
        STREAMING_SIGNED,
    ),
    "signed trailer": Sent(
        LETTERS,
        b"10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n"
        + LETTERS[:65_536]
        + b"\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n"
        + LETTERS[65_536:]
        + b"\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n"
        + b"x-amz-checksum-crc32c:sOO8/Q==\r\n"
        + b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
        EXAMPLE_HEADERS | {"x-amz-trailer": "x-amz-checksum-crc32c"},
        STREAMING_SIGNED_TRAILER,
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    ),
}


@pytest.mark.parametrize("sent", EXAMPLES.values(), ids=list(EXAMPLES))
async def test_the_examples_of_the_documentation_are_valid(sent: Sent) -> None:
    key = signing_key(b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1")
    for size in (len(sent.raw), 1_000):
        pieces = [sent.raw[start : start + size] for start in range(0, len(sent.raw), size)]
        body = Body(sent.headers, request_with(sent.payload, sent.seed), key, chunks_of(pieces))
        assert await body.read(100_000) == LETTERS
        assert body.checksums.md5 == hashlib.md5(LETTERS).digest()  # noqa: S324
    assert body.checksums.algorithm == ("CRC32C" if "trailer" in sent.payload.lower() else "")


@pytest.mark.parametrize("sent", BODIES.values(), ids=list(BODIES))
async def test_bodies_may_be_cut_anywhere(sent: Sent) -> None:
    expected = await sent.received()
    assert expected[0] == DATA
    assert expected[1].md5 == hashlib.md5(DATA).digest()  # noqa: S324
    for position in range(len(sent.raw) + 1):
        assert await sent.received([sent.raw[:position], b"", sent.raw[position:]]) == expected
    assert await sent.received(sent.raw[i : i + 1] for i in range(len(sent.raw))) == expected


@pytest.mark.parametrize("sent", BODIES.values(), ids=list(BODIES))
async def test_bodies_damaged_anywhere_are_refused(sent: Sent) -> None:
    for position in range(len(sent.raw)):
        for bit in (0x01, 0x80):
            damaged = bytearray(sent.raw)
            damaged[position] ^= bit
            await sent.refusal(bytes(damaged))
        await sent.refusal(sent.raw[:position] + b"!" + sent.raw[position:])


@pytest.mark.parametrize("name", ["signed chunks", "signed trailer", "unsigned trailer"])
async def test_damage_of_any_kind_never_changes_the_bytes(name: str) -> None:
    sent = BODIES[name]
    chance = random.Random(5)  # noqa: S311
    expected = await sent.received()
    for _ in range(5_000):
        damaged = bytearray(sent.raw)
        for _ in range(chance.choice([1, 1, 2, 3])):
            position = chance.randrange(len(damaged))
            damaged[position : position + chance.randrange(2)] = bytes([chance.randrange(256)]) * chance.randrange(3)
        try:
            received = await sent.received([bytes(damaged)])
        except S3Error:
            continue
        assert received == expected
        # The letter case of numbers and names, zeros before a number, and spaces and ends of lines of trailers.
        assert tolerated(bytes(damaged)) == tolerated(sent.raw)


def tolerated(raw: bytes) -> bytes:
    start, end, trailers = raw.rpartition(b"\r\n0")
    last, _, lines = trailers.partition(b"\n")
    plain = re.sub(rb"[ \t\r\n]", b"", lines).lower()
    return re.sub(rb"(^|\n)0+(?=[0-9a-f])", rb"\1", start.lower()) + end + last.lstrip(b"0") + plain


@pytest.mark.parametrize("name", ["signed chunks", "signed trailer", "unsigned trailer"])
async def test_chunks_in_another_order_are_refused(name: str) -> None:
    sent, data = BODIES[name], b"aabb"
    for first, second in ((b"aa", b"bb"), (b"bb", b"aa")):
        trailer = ("x-amz-checksum-crc32c", checksums.encode(checksums.checksum_of("CRC32C", data)))
        raw = {
            "signed chunks": signed_chunks(data, (2, 2)),
            "signed trailer": signed_chunks(data, (2, 2), trailer),
            "unsigned trailer": unsigned_chunks(data, (2, 2), trailer),
        }[name]
        headers = {**sent.headers, "x-amz-decoded-content-length": "4"}
        other = Sent(
            data, raw.replace(b"aa", b"__").replace(b"bb", second).replace(b"__", first), headers, sent.payload
        )
        if first == b"aa":
            assert (await other.received())[0] == data
        else:
            await other.refusal()


@given(st.binary(max_size=300), st.integers(1, 70), st.integers(1, 50), st.booleans())
def test_bodies_of_botocore_are_decoded(data: bytes, chunk_size: int, cut: int, is_announced: bool) -> None:
    checksum = Crc32Checksum if is_announced else None
    wrapper = AwsChunkedWrapper(
        io.BytesIO(data), checksum_cls=checksum, checksum_name="x-amz-checksum-crc32", chunk_size=chunk_size
    )
    raw = wrapper.read()
    headers = {"x-amz-decoded-content-length": str(len(data)), "transfer-encoding": "chunked"}
    headers |= (
        {"x-amz-trailer": "x-amz-checksum-crc32", "x-amz-sdk-checksum-algorithm": "CRC32"} if is_announced else {}
    )
    sent = Sent(data, raw, headers, STREAMING_UNSIGNED_TRAILER)
    received, found = asyncio.run(sent.received(raw[i : i + cut] for i in range(0, len(raw), cut)))
    assert received == data
    assert found.algorithm == ("CRC32" if is_announced else "")


async def test_trailers_as_minio_sends_them() -> None:
    # minio-go ends its trailers with a line feed, and sends an empty line before the signature.
    sent = BODIES["signed trailer"]
    raw = sent.raw.replace(f"{CRC32C}\r\n".encode(), f"{CRC32C}\n\r\n".encode())
    assert raw != sent.raw
    for position in range(len(raw)):
        assert (await sent.received([raw[:position], raw[position:]]))[0] == DATA


@pytest.mark.parametrize("name", ["signed trailer", "unsigned trailer"])
async def test_the_last_empty_line_may_be_missing(name: str) -> None:
    sent = BODIES[name]
    assert (await sent.received([sent.raw.removesuffix(b"\r\n")]))[0] == DATA
    assert (await sent.refusal(sent.raw.removesuffix(b"\r\n\r\n"))).code == "IncompleteBody"
    assert (await sent.refusal(sent.raw + b"\r\n")).code == "InvalidRequest"


async def test_empty_bodies() -> None:
    headers = {"x-amz-decoded-content-length": "0"}
    crc = checksums.encode(bytes(4))
    trailer = {"x-amz-trailer": TRAILER[0]}
    for sent in (
        Sent(b"", b"", {"content-length": "0"}, EMPTY),
        Sent(b"", signed_chunks(b"", ()), headers, STREAMING_SIGNED),
        Sent(b"", signed_chunks(b"", (), (TRAILER[0], crc)), headers | trailer, STREAMING_SIGNED_TRAILER),
        Sent(b"", unsigned_chunks(b"", (), (TRAILER[0], crc)), headers | trailer, STREAMING_UNSIGNED_TRAILER),
    ):
        assert (await sent.received())[0] == b""
        assert (await sent.received([]))[0] == b"" if sent.payload == EMPTY else await sent.refusal(b"")


# --- What the body says of itself


async def test_the_size_is_that_of_the_decoded_bytes() -> None:
    for sent in BODIES.values():
        assert sent.body().size == len(DATA)
    sent = Sent(DATA, DATA, {"transfer-encoding": "chunked"}, "UNSIGNED-PAYLOAD")
    assert sent.body().size is None
    assert (await sent.received())[0] == DATA


def test_the_declared_sha256_is_left_to_the_consumer() -> None:
    expected = {"sha256", "sha256 as a checksum"}
    assert {name for name, sent in BODIES.items() if sent.body().sha256 == SHA256.digest()} == expected
    assert {name for name, sent in BODIES.items() if sent.body().sha256 is None} == BODIES.keys() - expected
    assert BODIES["sha256"].body().sha256_mismatch().code == "XAmzContentSHA256Mismatch"
    assert BODIES["sha256 as a checksum"].body().sha256_mismatch().code == "BadDigest"


async def test_the_iteration_does_not_compute_a_declared_sha256_again() -> None:
    for name in ("sha256", "sha256 as a checksum"):
        body = BODIES[name].body([b"x" * len(DATA)])
        assert [chunk async for chunk in body] == [b"x" * len(DATA)]
        error = await BODIES[name].refusal(b"x" * len(DATA))
        assert error.code == body.sha256_mismatch().code


async def test_the_checksums_are_known_after_the_end() -> None:
    body = BODIES["checksum"].body()
    with pytest.raises(RuntimeError):
        _ = body.checksums
    assert (await BODIES["md5"].received())[1] == Checksums(hashlib.md5(DATA).digest())  # noqa: S324
    for name in ("checksum", "signed trailer", "unsigned trailer"):
        found = (await BODIES[name].received())[1]
        assert (found.algorithm, found.checksum) == ("CRC32C", base64.b64decode(CRC32C))
    found = (await BODIES["sha256 as a checksum"].received())[1]
    assert (found.algorithm, found.checksum) == ("SHA256", SHA256.digest())


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
async def test_a_checksum_is_computed_for_parts(algorithm: str) -> None:
    expected = checksums.checksum_of(algorithm, DATA)
    header = {checksums.header_of(algorithm): checksums.encode(expected)}
    for name in ("sha256", "md5", "signed chunks"):
        sent = BODIES[name]
        part = Sent(DATA, sent.raw, sent.headers, sent.payload, compute=algorithm)
        found = (await part.received())[1]
        assert (found.algorithm, found.checksum) == (algorithm, expected)
        part = Sent(DATA, sent.raw, {**sent.headers, **header}, sent.payload, compute=algorithm)
        assert (await part.received())[1] == found
        wrong = header | {next(iter(header)): checksums.encode(bytes(len(expected)))}
        assert (await Sent(DATA, sent.raw, {**sent.headers, **wrong}, sent.payload).refusal()).code == "BadDigest"


@pytest.mark.parametrize(
    ("given_value", "expected"),
    [
        ("", ""),
        ("gzip", "gzip"),
        ("gzip, br", "gzip, br"),
        ("aws-chunked", ""),
        ("AWS-chunked", ""),
        ("aws-chunked,gzip", "gzip"),
        ("gzip, aws-chunked", "gzip"),
        ("aws-chunked, gzip ,br", "gzip,br"),
        ("aws-chunked,", ""),
    ],
)
def test_the_content_encoding_is_without_aws_chunked(given_value: str, expected: str) -> None:
    assert without_aws_chunked(given_value) == expected


def test_the_body_has_the_content_encoding_of_the_object() -> None:
    assert BODIES["signed chunks"].body().content_encoding == ""
    sent = Sent(DATA, DATA, LENGTH | {"content-encoding": "gzip"}, "UNSIGNED-PAYLOAD")
    assert sent.body().content_encoding == "gzip"


# --- Refusals


def early(headers: Mapping[str, str], payload: str = "UNSIGNED-PAYLOAD", compute: str = "") -> S3Error:
    with pytest.raises(S3Error) as caught:
        Sent(DATA, DATA, headers, payload, compute=compute).body()
    return caught.value


CHECKSUM = {TRAILER[0]: TRAILER[1]}


@pytest.mark.parametrize(
    ("headers", "payload", "code"),
    [
        ({}, "UNSIGNED-PAYLOAD", "MissingContentLength"),
        ({}, SHA256.hexdigest(), "MissingContentLength"),
        (LENGTH, STREAMING_SIGNED, "MissingContentLength"),
        (LENGTH | {"transfer-encoding": "chunked"}, STREAMING_UNSIGNED_TRAILER, "MissingContentLength"),
        ({"content-length": "-1"}, "UNSIGNED-PAYLOAD", "InvalidArgument"),
        ({"content-length": "1, 1"}, "UNSIGNED-PAYLOAD", "InvalidArgument"),
        ({"content-length": "\u0661"}, "UNSIGNED-PAYLOAD", "InvalidArgument"),
        ({"x-amz-decoded-content-length": "0x1"}, STREAMING_SIGNED, "InvalidArgument"),
        ({"x-amz-decoded-content-length": "1" * 30}, STREAMING_SIGNED, "InvalidArgument"),
        (LENGTH, "", "InvalidArgument"),
        (LENGTH, "STREAMING", "InvalidArgument"),
        (LENGTH, SHA256.hexdigest()[:-1], "InvalidArgument"),
        (LENGTH, SHA256.hexdigest() + "0", "InvalidArgument"),
        (LENGTH | {"content-md5": ""}, "UNSIGNED-PAYLOAD", "InvalidDigest"),
        (LENGTH | {"content-md5": "AWS HAHAHA"}, "UNSIGNED-PAYLOAD", "InvalidDigest"),
        (LENGTH | {"content-md5": MD5[:-4]}, "UNSIGNED-PAYLOAD", "InvalidDigest"),
        (LENGTH | {"content-md5": f"{MD5}, {MD5}"}, "UNSIGNED-PAYLOAD", "InvalidDigest"),
        (LENGTH | {"content-md5": hashlib.md5(DATA).hexdigest()}, "UNSIGNED-PAYLOAD", "InvalidDigest"),  # noqa: S324
        (LENGTH | CHECKSUM | {"x-amz-checksum-crc32": "AAAAAA=="}, "UNSIGNED-PAYLOAD", "InvalidRequest"),
        (LENGTH | {"x-amz-checksum-crc32": "AAAA"}, "UNSIGNED-PAYLOAD", "BadDigest"),
        (LENGTH | {"x-amz-checksum-md4": "AAAA"}, "UNSIGNED-PAYLOAD", "InvalidRequest"),
        (WITH_TRAILER | CHECKSUM, STREAMING_UNSIGNED_TRAILER, "InvalidRequest"),
        (WITH_TRAILER | {"x-amz-trailer": "x-amz-checksum-md4"}, STREAMING_UNSIGNED_TRAILER, "InvalidRequest"),
        (WITH_TRAILER | {"x-amz-trailer": "x-amz-meta-a"}, STREAMING_SIGNED_TRAILER, "InvalidRequest"),
        (
            WITH_TRAILER | {"x-amz-trailer": "x-amz-checksum-crc32, x-amz-checksum-sha1"},
            STREAMING_SIGNED_TRAILER,
            "InvalidRequest",
        ),
        (WITH_TRAILER, STREAMING_SIGNED, "InvalidRequest"),
        (WITH_TRAILER | LENGTH, "UNSIGNED-PAYLOAD", "InvalidRequest"),
        (LENGTH | CHECKSUM | {"x-amz-sdk-checksum-algorithm": "CRC32"}, "UNSIGNED-PAYLOAD", "InvalidRequest"),
        (WITH_TRAILER | {"x-amz-sdk-checksum-algorithm": "SHA1"}, STREAMING_SIGNED_TRAILER, "InvalidRequest"),
        (LENGTH | {"x-amz-sdk-checksum-algorithm": "CRC32"}, "UNSIGNED-PAYLOAD", "InvalidRequest"),
        (
            LENGTH | {"x-amz-checksum-sha256": checksums.encode(SHA256.digest())},
            hashlib.sha256(b"other").hexdigest(),
            "BadDigest",
        ),
    ],
)
def test_malformed_headers_are_refused_at_once(headers: Mapping[str, str], payload: str, code: str) -> None:
    assert early(headers, payload).code == code


def test_the_algorithm_of_an_upload_binds_its_parts() -> None:
    assert early(LENGTH | CHECKSUM, compute="SHA1").code == "InvalidRequest"
    assert early(WITH_TRAILER, STREAMING_UNSIGNED_TRAILER, compute="CRC32").code == "InvalidRequest"


async def test_anonymous_bodies() -> None:
    body = Body(LENGTH, None, b"", chunks_of([DATA]))
    assert await body.read(100) == DATA
    with pytest.raises(S3Error, match="x-amz-content-sha256"):
        Body(LENGTH | {"x-amz-content-sha256": "x"}, None, b"", chunks_of([DATA]))
    with pytest.raises(S3Error) as caught:
        Body(STREAMED | {"x-amz-content-sha256": STREAMING_SIGNED}, None, b"", chunks_of([]))
    assert caught.value.code == "AccessDenied"
    with pytest.raises(S3Error) as caught:
        await Body(LENGTH | {"x-amz-content-sha256": EMPTY}, None, b"", chunks_of([DATA])).read(100)
    assert caught.value.code == "XAmzContentSHA256Mismatch"


def with_the_signature_first(raw: bytes) -> bytes:
    start, trailer, signature = raw.removesuffix(b"\r\n\r\n").rsplit(b"\r\n", 2)
    return b"\r\n".join((start, signature, trailer, b"", b""))


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("sha256", lambda raw: raw[:-1] + b"x", "XAmzContentSHA256Mismatch"),
        ("sha256", lambda raw: raw[:-1], "IncompleteBody"),
        ("sha256", lambda raw: raw + b"x", "IncompleteBody"),
        ("md5", lambda raw: raw[:-1] + b"x", "BadDigest"),
        ("checksum", lambda raw: raw[:-1] + b"x", "BadDigest"),
        ("sha256 as a checksum", lambda raw: raw[:-1] + b"x", "BadDigest"),
        ("signed chunks", lambda raw: raw.replace(b"Some", b"some"), "SignatureDoesNotMatch"),
        ("signed chunks", lambda raw: raw[:-2], "IncompleteBody"),
        ("signed chunks", lambda raw: raw[: raw.rindex(b"0;chunk")], "IncompleteBody"),
        ("signed chunks", lambda raw: raw.replace(b";chunk-signature", b";chunk-signatures"), "InvalidRequest"),
        ("signed chunks", lambda raw: unsigned_chunks(DATA, SIZES, TRAILER), "InvalidRequest"),
        ("signed chunks", lambda raw: signed_chunks(DATA[1:], [len(DATA) - 1]), "IncompleteBody"),
        ("signed chunks", lambda raw: signed_chunks(DATA + b"x", [len(DATA) + 1]), "IncompleteBody"),
        ("signed chunks", lambda raw: signed_chunks(DATA, SIZES, TRAILER), "InvalidRequest"),
        ("signed trailer", lambda raw: raw.replace(CRC32C.encode(), b"AAAAAA=="), "SignatureDoesNotMatch"),
        ("signed trailer", lambda raw: signed_chunks(DATA, SIZES, (TRAILER[0], "AAAAAA==")), "BadDigest"),
        ("signed trailer", lambda raw: signed_chunks(DATA, SIZES, (TRAILER[0], "AAAA")), "InvalidRequest"),
        ("signed trailer", lambda raw: signed_chunks(DATA, SIZES), "MalformedTrailerError"),
        ("signed trailer", with_the_signature_first, "MalformedTrailerError"),
        ("signed trailer", lambda raw: raw[: raw.index(b"x-amz-trailer-signature")], "MalformedTrailerError"),
        ("unsigned trailer", lambda raw: raw.replace(b"Some", b"some"), "BadDigest"),
        ("unsigned trailer", lambda raw: raw.replace(CRC32C.encode(), b"AAAAAA=="), "BadDigest"),
        ("unsigned trailer", lambda raw: raw.replace(CRC32C.encode(), b"AAAA"), "InvalidRequest"),
        ("unsigned trailer", lambda raw: raw[: raw.index(b"x-amz")] + b"\r\n", "MalformedTrailerError"),
        ("unsigned trailer", lambda raw: raw.replace(b"crc32c:", b"crc32:"), "MalformedTrailerError"),
        (
            "unsigned trailer",
            lambda raw: raw[:-2] + b"x-amz-checksum-crc32c:AAAAAA==\r\n\r\n",
            "MalformedTrailerError",
        ),
        ("unsigned trailer", lambda raw: raw[:-2] + b"x-amz-meta-a:b\r\n\r\n", "MalformedTrailerError"),
        ("unsigned trailer", lambda raw: unsigned_chunks(DATA[1:], [len(DATA) - 1], TRAILER), "IncompleteBody"),
    ],
)
async def test_wrong_bodies_are_refused(name: str, change: Callable[[bytes], bytes], code: str) -> None:
    sent = BODIES[name]
    raw = change(sent.raw)
    assert raw != sent.raw
    assert (await sent.refusal(raw)).code == code


async def test_a_later_wrong_signature_is_found_as_well() -> None:
    sent = BODIES["signed chunks"]
    other = Sent(DATA, sent.raw, sent.headers, sent.payload, seed="0" * 64)
    assert (await other.refusal()).code == "SignatureDoesNotMatch"
    last = sent.raw.rindex(b"=") + 1
    raw = sent.raw[:last] + b"0" * 64 + b"\r\n\r\n"
    assert (await sent.refusal(raw)).code == "SignatureDoesNotMatch"


def test_heads_and_trailers_are_bounded() -> None:
    for text in (b"1" * 200, b"0" * 200 + b"1\r\n", b"1;chunk-signature=" + b"0" * 200):
        with pytest.raises(S3Error):
            [*Decoder(is_signed=True).feed(text)]
    announced = frozenset({"x-amz-checksum-crc32c"})
    for text in (b"0\r\n" + b"x" * 2000, b"0\r\n" + b"\r\n" * 2000, b"0\r\nx-amz-checksum-crc32c:" + b"A" * 2000):
        decoder = Decoder(is_signed=False, announced=announced)
        pieces = (text[position : position + 1] for position in range(len(text)))
        with pytest.raises(S3Error):
            [*map(list, map(decoder.feed, pieces))]
        assert len(decoder._line) <= MAX_TRAILERS + 1


def test_a_body_has_few_small_chunks() -> None:
    small, large = b"1\r\na\r\n", b"2000\r\n" + bytes(8192) + b"\r\n"
    few = Decoder(is_signed=False, announced=frozenset())
    assert sum(len(each) for each in few.feed(small * FREE_CHUNKS) if isinstance(each, bytes)) == FREE_CHUNKS
    assert [*Decoder(is_signed=False, announced=frozenset()).feed(large * 3 * FREE_CHUNKS)]
    with pytest.raises(S3Error):
        [*few.feed(small)]


async def test_reading_is_bounded() -> None:
    sent = Sent(DATA, DATA, {"transfer-encoding": "chunked"}, "UNSIGNED-PAYLOAD")
    assert await sent.body().read(len(DATA)) == DATA
    for body in (sent.body(), BODIES["md5"].body(), sent.body(DATA[i : i + 1] for i in range(len(DATA)))):
        with pytest.raises(S3Error) as caught:
            await body.read(len(DATA) - 1)
        assert caught.value.code == "MaxMessageLengthExceeded"
    chunks = chunks_of([DATA])
    with pytest.raises(S3Error):
        await Body(LENGTH, None, b"", chunks).read(len(DATA) - 1)
    assert await anext(chunks) == DATA  # it was not begun: the declared size is too large


# --- Large bodies


SIZE, PIECE = 96 * 2**20, 64 * 1024


async def large(payload: str, chunk_size: int) -> AsyncIterator[bytes]:
    """Yield a large body of zeros, without keeping any of it."""
    zeros, left, previous = bytes(PIECE), SIZE, SEED
    scope = "20130524T000000Z\n20130524/us-east-1/s3/aws4_request"
    digest = hashlib.sha256(bytes(chunk_size)).hexdigest()
    while left and payload == STREAMING_SIGNED:
        previous = signed(f"AWS4-HMAC-SHA256-PAYLOAD\n{scope}\n{previous}\n{EMPTY}\n{digest}")
        yield f"{chunk_size:x};chunk-signature={previous}\r\n".encode()
        for _ in range(chunk_size // PIECE):
            yield zeros
        yield b"\r\n"
        left -= chunk_size
    for _ in range(left // PIECE):
        yield zeros
    if payload == STREAMING_SIGNED:
        last = signed(f"AWS4-HMAC-SHA256-PAYLOAD\n{scope}\n{previous}\n{EMPTY}\n{EMPTY}")
        yield f"0;chunk-signature={last}\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("payload", "chunk_size"), [("UNSIGNED-PAYLOAD", SIZE), (STREAMING_SIGNED, SIZE), (STREAMING_SIGNED, PIECE)]
)
async def test_large_bodies_take_little_memory(payload: str, chunk_size: int) -> None:
    headers = {"content-length": str(SIZE), "x-amz-decoded-content-length": str(SIZE)}
    body = Body(headers, request_with(payload), KEY, large(payload, chunk_size), compute="CRC64NVME")
    received = peak = 0
    async for chunk in body:
        if not received:
            tracemalloc.start()
        received += len(chunk)
        peak = max(peak, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert received == SIZE
    assert body.checksums.algorithm == "CRC64NVME"
    assert peak < 6 * 2**20


async def test_a_consumer_may_stop_in_the_middle() -> None:
    headers = {"content-length": str(SIZE), "x-amz-decoded-content-length": str(SIZE)}
    body = Body(headers, request_with(STREAMING_SIGNED), KEY, large(STREAMING_SIGNED, PIECE))
    chunks = aiter(body)
    for _ in range(50):
        await anext(chunks)
    await chunks.aclose()
    with pytest.raises(RuntimeError):
        _ = body.checksums


async def test_the_errors_of_the_connection_pass() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield DATA[:5]
        raise ConnectionResetError

    body = Body(LENGTH, request_with("UNSIGNED-PAYLOAD"), KEY, broken())
    with pytest.raises(ConnectionResetError):
        await body.read(100)
