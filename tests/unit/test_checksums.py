"""Checksums of S3 clients, and the entity tags that follow from them."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from adapters.metadata.sql.rows.checksums import checksums_of, text_of
from domain.blob import Blob, BlobId, Content, Digest, Draft, Location, ObjectKey, Segment
from domain.checksums import ALGORITHMS, Checksums
from domain.errors import BlobError, Kind
from domain.precondition import Precondition

MD5 = hashlib.md5(b"Hello World!", usedforsecurity=False).digest()
AT = datetime(2023, 10, 27, 10, tzinfo=UTC)
KEY = ObjectKey("0123456789abcdef" * 2)
ID = BlobId("k5")
WHOLE, IN_PARTS = Checksums(MD5), Checksums(MD5, 3, upload=KEY.value)


def draft(checksums: Checksums | None) -> Draft:
    return Draft(ID, Content(Location("fs", KEY), 12, Digest(bytes(32))), checksums=checksums)


def blob(checksums: Checksums | None) -> Blob:
    return draft(checksums).published(AT)


class TestValues:
    @pytest.mark.parametrize("size", [0, 15, 17, 32])
    def test_an_md5_has_16_bytes(self, size: int) -> None:
        with pytest.raises(ValueError, match=f"16 bytes, not {size}"):
            Checksums(bytes(size))

    @pytest.mark.parametrize("name", [*ALGORITHMS])
    def test_a_checksum_has_the_size_of_its_algorithm(self, name: str) -> None:
        size = ALGORITHMS[name]
        assert Checksums(MD5, algorithm=name, checksum=bytes(size)).checksum == bytes(size)
        for other in (0, size - 1, size + 1):
            with pytest.raises(ValueError, match=f"{name} does not have {other} bytes"):
                Checksums(MD5, algorithm=name, checksum=bytes(other))

    @pytest.mark.parametrize("name", ["", "MD5", "crc32", "SHA512"])
    def test_other_algorithms_have_no_checksum(self, name: str) -> None:
        with pytest.raises(ValueError, match="does not have 4 bytes"):
            Checksums(MD5, algorithm=name, checksum=bytes(4))


class TestTags:
    def test_the_tag_of_one_object_is_its_md5(self) -> None:
        assert WHOLE.etag == "ed076287532e86365e841e92bfc50d8c"

    def test_the_tag_of_parts_has_their_number(self) -> None:
        assert IN_PARTS.etag == "ed076287532e86365e841e92bfc50d8c-3"
        assert replace(IN_PARTS, parts=10_000).etag.endswith("-10000")

    def test_a_blob_has_the_tag_of_its_checksums(self) -> None:
        assert blob(WHOLE).s3_etag == WHOLE.etag
        assert blob(IN_PARTS).s3_etag == IN_PARTS.etag
        assert blob(None).s3_etag == blob(None).etag

    def test_the_other_tag_does_not_depend_on_them(self) -> None:
        assert blob(WHOLE).etag == blob(IN_PARTS).etag == blob(None).etag

    @pytest.mark.parametrize("checksums", [WHOLE, IN_PARTS])
    def test_a_version_is_named_by_either_tag(self, checksums: Checksums) -> None:
        current = blob(checksums)
        for tag in (current.etag, current.s3_etag):
            Precondition(etags=frozenset({"x", tag})).check(ID, current)
            Precondition(not_etags=frozenset({"x"})).check(ID, current)
            with pytest.raises(BlobError) as caught:
                Precondition(not_etags=frozenset({"x", tag})).check(ID, current)
            assert caught.value.kind is Kind.PRECONDITION_FAILED
            with pytest.raises(BlobError) as caught:
                Precondition(etags=frozenset({current.etag}), not_etags=frozenset({tag})).check(ID, current)
            assert caught.value.kind is Kind.PRECONDITION_FAILED

    def test_the_tag_of_other_checksums_names_no_version(self) -> None:
        for current in (blob(WHOLE), blob(None)):
            with pytest.raises(BlobError) as caught:
                Precondition(etags=frozenset({IN_PARTS.etag})).check(ID, current)
            assert caught.value.kind is Kind.PRECONDITION_FAILED
        Precondition(not_etags=frozenset({WHOLE.etag})).check(ID, blob(None))


class TestVersions:
    def test_a_version_continues_with_its_checksums(self) -> None:
        assert blob(IN_PARTS).checksums == blob(IN_PARTS).draft().checksums == IN_PARTS
        assert blob(IN_PARTS).draft().published(AT, blob(None)).checksums == IN_PARTS

    def test_they_are_not_compared(self) -> None:
        assert blob(WHOLE) == blob(None)
        assert draft(WHOLE) == draft(None)
        place = (Location("fs", KEY), 0, 12, Digest(bytes(32)))
        assert Segment(*place, WHOLE) == Segment(*place)


class TestTexts:
    """As a column of a table has them."""

    def test_absent_values_have_no_member(self) -> None:
        assert text_of(WHOLE, KEY) == '{"m":"7Qdih1MuhjZehB6Sv8UNjA==","k":"01234567"}'
        assert text_of(None, KEY) is None
        assert checksums_of(None, KEY.value) is None

    def test_all_values(self) -> None:
        full = Checksums(MD5, 3, "CRC32C", b"\xfb\xff\x00\x01", True, KEY.value)
        text = text_of(full, KEY)
        assert text is not None
        assert json.loads(text) == {
            "m": "7Qdih1MuhjZehB6Sv8UNjA==",
            "n": 3,
            "a": "CRC32C",
            "c": "+/8AAQ==",
            "d": 1,
            "u": KEY.value,
            "k": "01234567",
        }
        assert checksums_of(text, KEY.value) == full

    def test_they_are_those_of_one_key(self) -> None:
        text = text_of(WHOLE, KEY)
        assert checksums_of(text, KEY.value) == WHOLE
        assert checksums_of(text, ObjectKey("1" + KEY.value[1:]).value) is None
