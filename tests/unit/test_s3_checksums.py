"""The checksums of S3: known values, combinations, and hashing concurrently with the caller."""

import asyncio
import hashlib
import random
import threading
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.checksums import ALGORITHMS, Checksums
from entrypoints.http.protocol.hashing import BATCH, HASH_IN_THREAD, ConcurrentHashing
from entrypoints.http.s3.bodies import checksums
from entrypoints.http.s3.bodies.checksums import FULL_OBJECT
from entrypoints.http.s3.errors import S3Error

# The check values of the catalogue of CRCs (reveng), and of FIPS 180-4.
KNOWN = {"CRC32": "cbf43926", "CRC32C": "e3069283", "CRC64NVME": "ae8b14860a799888"}
PARTS = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


def bitwise(data: bytes, polynomial: int, width: int) -> int:
    """A CRC by its definition: reflected, all bits inverted at the start and at the end."""
    ones = (1 << width) - 1
    value = ones
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
    return value ^ ones


@pytest.mark.parametrize("algorithm", KNOWN)
def test_known_values(algorithm: str) -> None:
    assert checksums.checksum_of(algorithm, b"123456789").hex() == KNOWN[algorithm]


@given(st.binary(max_size=100))
def test_crcs_are_as_defined(data: bytes) -> None:
    definitions = {"CRC32": (0xEDB88320, 32), "CRC32C": (0x82F63B78, 32), "CRC64NVME": (0x9A6C9329AC4BC9B5, 64)}
    for algorithm, (polynomial, width) in definitions.items():
        assert int.from_bytes(checksums.checksum_of(algorithm, data), "big") == bitwise(data, polynomial, width)
    assert checksums.checksum_of("CRC32", data) == zlib.crc32(data).to_bytes(4, "big")
    assert checksums.checksum_of("SHA1", data) == hashlib.sha1(data).digest()  # noqa: S324
    assert checksums.checksum_of("SHA256", data) == hashlib.sha256(data).digest()


@given(st.sampled_from([*ALGORITHMS]), PARTS)
def test_checksums_grow_with_the_bytes(algorithm: str, parts: list[bytes]) -> None:
    found = checksums.new_hash(algorithm)
    for part in parts:
        found.update(part)
        found.digest()
    assert found.digest() == checksums.checksum_of(algorithm, b"".join(parts))
    assert len(found.digest()) == ALGORITHMS[algorithm]


@given(st.sampled_from(sorted(FULL_OBJECT)), PARTS)
def test_crcs_combine(algorithm: str, parts: list[bytes]) -> None:
    given_parts = ((len(part), checksums.checksum_of(algorithm, part)) for part in parts)
    assert checksums.combine(algorithm, given_parts) == checksums.checksum_of(algorithm, b"".join(parts))


@pytest.mark.parametrize("algorithm", sorted(FULL_OBJECT))
def test_crcs_of_large_parts_combine(algorithm: str) -> None:
    # The CRC of 5 TiB of zeros after a byte, combined by doubling, against the same in one step.
    zero = checksums.checksum_of(algorithm, bytes(1 << 20))
    size = 1 << 20
    while size < 5 << 40:
        zero, size = checksums.combine(algorithm, [(size, zero), (size, zero)]), size * 2
    start = checksums.checksum_of(algorithm, b"x")
    halves = checksums.combine(algorithm, [(1, start), (size, zero), (size, zero)])
    whole = checksums.combine(algorithm, [(1, start), (2 * size, checksums.combine(algorithm, [(size, zero)] * 2))])
    assert halves == whole


def part_of(data: bytes, algorithm: str = "") -> tuple[int, Checksums]:
    checksum = checksums.checksum_of(algorithm, data) if algorithm else b""
    return len(data), Checksums(hashlib.md5(data).digest(), algorithm=algorithm, checksum=checksum)  # noqa: S324


def test_the_checksums_of_a_blob_in_parts() -> None:
    data = [b"one", b"two!", b""]
    md5s = b"".join(hashlib.md5(each).digest() for each in data)  # noqa: S324
    plain = checksums.of_parts([part_of(each) for each in data], "", is_composite=False, upload_key="u")
    assert plain.etag == f"{hashlib.md5(md5s).hexdigest()}-3"  # noqa: S324
    assert (plain.algorithm, plain.upload) == ("", "u")
    for algorithm in ALGORITHMS:
        parts = [part_of(each, algorithm) for each in data]
        composite = checksums.of_parts(parts, algorithm, is_composite=True, upload_key="u")
        results = b"".join(part.checksum for _, part in parts)
        assert composite.checksum == checksums.checksum_of(algorithm, results)
        assert (composite.is_composite, composite.etag) == (True, plain.etag)
        if algorithm in FULL_OBJECT:
            full = checksums.of_parts(parts, algorithm, is_composite=False, upload_key="u")
            assert full.checksum == checksums.checksum_of(algorithm, b"".join(data))
            assert not full.is_composite
        else:
            with pytest.raises(ValueError, match="do not combine"):
                checksums.of_parts(parts, algorithm, is_composite=False, upload_key="u")
        with pytest.raises(ValueError, match="a part has no"):
            checksums.of_parts([part_of(b"x"), *parts], algorithm, is_composite=True, upload_key="u")


def test_checksums_in_headers() -> None:
    headers = [("content-md5", "x"), ("x-amz-checksum-mode", "ENABLED"), ("x-amz-checksum-crc32c", " sOO8/Q== ")]
    assert checksums.declared(headers) == ("CRC32C", b"\xb0\xe3\xbc\xfd")
    assert checksums.encode(b"\xb0\xe3\xbc\xfd") == "sOO8/Q=="
    assert checksums.declared([("x-amz-checksum-type", "COMPOSITE"), ("x-amz-checksum-algorithm", "CRC32")]) is None
    assert checksums.header_of("CRC64NVME") == "x-amz-checksum-crc64nvme"
    assert checksums.HEADERS["x-amz-checksum-crc64nvme"] == "CRC64NVME"


@pytest.mark.parametrize(
    "text", ["", "sOO8/Q", "sOO8/R==", "sOO8/Q==, sOO8/Q==", "sOO8_Q==", "sOO8/QA=", "rosUhgp5mIg=", "\u0661"]
)
def test_malformed_checksums_are_refused(text: str) -> None:
    with pytest.raises(S3Error) as caught:
        checksums.declared([("x-amz-checksum-crc32", text)])
    assert caught.value.code == "BadDigest"


@pytest.mark.parametrize(
    "headers",
    [
        [("x-amz-checksum-sha512", "sOO8/Q==")],
        [("x-amz-checksum-crc32", "sOO8/Q=="), ("x-amz-checksum-crc32c", "sOO8/Q==")],
    ],
)
def test_unknown_and_several_checksums_are_refused(headers: list[tuple[str, str]]) -> None:
    with pytest.raises(S3Error) as caught:
        checksums.declared(headers)
    assert caught.value.code == "InvalidRequest"


class Recorder:
    """An update that records its items and threads, and that a test can stop."""

    def __init__(self) -> None:
        self.items: list[bytes] = []
        self.threads: set[int] = set()
        self.may_run = threading.Event()
        self.may_run.set()

    def update(self, item: bytes) -> None:
        assert self.may_run.wait(60)
        self.items.append(item)
        self.threads.add(threading.get_ident())


async def test_small_items_are_hashed_without_a_thread() -> None:
    recorder = Recorder()
    hashing = ConcurrentHashing(recorder.update)
    for _ in range(3):
        await hashing.add(b"x", 1)
    await hashing.finish()
    assert recorder.items == [b"x"] * 3
    assert recorder.threads == {threading.get_ident()}


async def test_large_items_are_hashed_in_a_thread_in_their_order() -> None:
    recorder = Recorder()
    hashing = ConcurrentHashing(recorder.update)
    chance = random.Random(3)  # noqa: S311
    items = [chance.randbytes(chance.choice([1, 1000, HASH_IN_THREAD, BATCH])) for _ in range(60)]
    for item in [*items, bytes(HASH_IN_THREAD)]:
        await hashing.add(item, len(item))
    await hashing.finish()
    assert recorder.items[:-1] == items
    assert threading.get_ident() not in recorder.threads


async def test_the_caller_goes_on_while_a_batch_is_hashed_but_keeps_only_two() -> None:
    recorder = Recorder()
    hashing = ConcurrentHashing(recorder.update)
    recorder.may_run.clear()
    await hashing.add(b"a", BATCH)  # returns, although nothing is hashed
    await hashing.add(b"b", 1)
    assert recorder.items == []
    third = asyncio.create_task(hashing.add(b"c", BATCH))
    await asyncio.sleep(0.05)
    assert not third.done()
    recorder.may_run.set()
    await third
    await hashing.finish()
    assert recorder.items == [b"a", b"b", b"c"]


async def test_many_tiny_items_make_a_batch() -> None:
    recorder = Recorder()
    hashing = ConcurrentHashing(recorder.update)
    for _ in range(BATCH // 256 + 1):
        await hashing.add(b"", 0)
    await hashing.wait()
    assert len(recorder.items) > 1000
