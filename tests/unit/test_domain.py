"""What the domain's values accept and refuse."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.blob import Blob, BlobId, ByteRange, Content, Digest, Draft, Location, ObjectKey
from domain.errors import TEMPORARY, BlobError, Kind, NoSpace, Unavailable, error_class
from domain.precondition import ANY, CREATE_ONLY, Precondition
from domain.properties import Properties
from tests.ids import INVALID, NASTY, valid_ids

OLD_ETAGS = [
    "25e737f2231b49043de01195ec73bf93-1",
    "1811fe0f92b8f8e6f8de2f00b71cd607-1",
    "459f72f00f229220b465f8d0c7ef09f5-1",
]


def blob(content_type: str = "text/plain", sha256: bytes = bytes(32), backend: str = "fs") -> Blob:
    content = Content(Location(backend, ObjectKey.random()), 1, Digest(sha256))
    return Blob(BlobId("k5"), content, Properties(content_type), datetime(2023, 10, 27, 10, tzinfo=UTC))


def draft() -> Draft:
    return replace(blob().draft(), created_at=None)


class TestBlobId:
    @pytest.mark.parametrize("text", NASTY)
    def test_keeps_every_legal_id_as_it_is(self, text: str) -> None:
        assert BlobId(text).value == text

    def test_no_text_of_it_or_around_it_shows_it(self) -> None:
        hidden = BlobId("hidden")
        around = replace(blob(), id=hidden)
        assert "hidden" not in f"{hidden} {hidden!r} {around} {around.draft()} {KeyError(hidden)} {[hidden]}"

    def test_the_nasty_ids_are_all_different(self) -> None:
        assert len({BlobId(text) for text in NASTY}) == len(NASTY)

    @pytest.mark.parametrize(("text", "reason"), [*INVALID.items(), ("a\ud800", "surrogate"), ("\udfff", "surrogate")])
    def test_refuses_the_rest_and_says_why(self, text: str, reason: str) -> None:
        with pytest.raises(BlobError, match=reason.replace("+", r"\+")) as caught:
            BlobId(text)
        assert caught.value.kind is Kind.INVALID_ID

    @given(valid_ids)
    def test_any_valid_text_is_an_id(self, text: str) -> None:
        assert BlobId(text).value == text


class TestObjectKey:
    def test_random_keys_are_valid_and_different(self) -> None:
        keys = {ObjectKey.random() for _ in range(1000)}
        assert len(keys) == 1000
        assert all(ObjectKey(key.value) == key for key in keys)

    @pytest.mark.parametrize("text", ["", "0" * 31, "0" * 33, "A" * 32, "g" * 32, "../" + "0" * 29, "0" * 32 + "\n"])
    def test_nothing_else_is_one(self, text: str) -> None:
        with pytest.raises(ValueError, match="not an object key"):
            ObjectKey(text)


class TestBlob:
    def test_the_etag_follows_from_bytes_and_content_type_alone(self) -> None:
        assert blob().etag == blob(backend="s3").etag
        assert len({blob().etag, blob(content_type="text/html").etag, blob(sha256=b"\1" * 32).etag}) == 3

    def test_the_etag_differs_with_the_content_encoding(self) -> None:
        encoded = [replace(blob(), properties=Properties("text/plain", coding)) for coding in ("", "gzip", "br")]
        assert len({version.etag for version in encoded}) == 3
        assert encoded[0].etag == blob().etag
        published = encoded[1].draft().published(datetime.now(UTC))
        assert (published.properties.content_encoding, published.etag) == ("gzip", encoded[1].etag)

    def test_the_etag_differs_with_the_tags(self) -> None:
        base = Properties("text/plain", metadata={"a": "1"})
        tagged = [replace(base, tags=tags) for tags in ({}, {"a": "1"}, {"a": "2"}, {"a": "1", "b": ""}, {"": "a"})]
        assert len({replace(blob(), properties=properties).etag for properties in tagged}) == 5
        assert (
            replace(base, tags={"a": "1", "b": "2"}).canonical() == replace(base, tags={"b": "2", "a": "1"}).canonical()
        )

    def test_the_etag_differs_with_the_date_of_expiry_for_caches(self) -> None:
        base = Properties("text/plain")
        others = [replace(base, expires=each, tags=tags) for each in ("", "0", "a") for tags in ({}, {"a": "0"})]
        assert len({each.canonical() for each in [*others, Properties("text/plain", cache_control="0")]}) == 7

    def test_the_etag_differs_with_the_access_control_list(self) -> None:
        base = Properties("text/plain")
        others = [replace(base, acl=acl, expires=each) for acl in ("", "0", "a") for each in ("", "0")]
        assert len({each.canonical() for each in [*others, replace(base, tags={"0": ""})]}) == 7

    def test_etags_stay_as_they_are(self) -> None:
        """Clients have them from older versions of Drivebay."""
        full = Properties("text/plain", "gzip", "de", "inline", "no-store", {"b": "☺", "a": "1"})
        versions = [blob(), *(replace(blob(), properties=each) for each in (full, Properties(metadata={"a": ""})))]
        assert [version.etag for version in versions] == OLD_ETAGS

    def test_refuses_what_no_blob_can_have(self) -> None:
        where, digest, now = Location("fs", ObjectKey.random()), Digest(bytes(32)), datetime.now(UTC)
        with pytest.raises(ValueError, match="not negative"):
            Content(where, -1, digest)
        for time in (now.replace(tzinfo=None), now.astimezone(timezone(timedelta(hours=3)))):
            with pytest.raises(ValueError, match="in UTC"):
                Blob(BlobId("a"), Content(where, 1, digest), Properties(), time)
        with pytest.raises(ValueError, match="32 bytes"):
            Digest(b"short")


class TestTags:
    @pytest.mark.parametrize("tags", [{}, {"": ""}, {"a b": "é ☺ \U0010ffff"}, {"x" * 10_000: "y" * 10_000}])
    def test_are_any_text(self, tags: dict[str, str]) -> None:
        assert Properties(tags=tags).tags == tags

    @pytest.mark.parametrize(
        ("tags", "reason"),
        [
            ({"a": "b\n"}, r"value of the tag a has the control character U\+000A"),
            ({"a\x00": "b"}, r"name of a tag has the control character U\+0000"),
            ({"a": "\x7f"}, r"U\+007F"),
            ({"a": "\ud800"}, "value of the tag a has half of a surrogate pair"),
            ({"\udfff": ""}, "name of a tag has half of a surrogate pair"),
        ],
    )
    def test_have_no_control_characters(self, tags: dict[str, str], reason: str) -> None:
        with pytest.raises(BlobError, match=reason) as caught:
            Properties(tags=tags)
        assert caught.value.kind is Kind.INVALID_METADATA


SECOND = timedelta(seconds=1)


class TestDates:
    """What a client is given as the date of a version never holds for a later one."""

    def version(self, at: float, replaced: Blob | None = None) -> Blob:
        return draft().published(blob().created_at + timedelta(seconds=at), replaced)

    def read(self, version: Blob, at: float) -> Blob:
        return replace(version, read_at=blob().created_at + timedelta(seconds=at))

    @given(st.lists(st.floats(0, 10), min_size=2), st.floats(0, 20))
    def test_of_versions_that_replace_each_other(self, times: list[float], reading: float) -> None:
        """Whatever the clock does, and however late each is committed: until then the one before it is read."""
        current: Blob | None = None
        given: list[datetime] = []
        for time in times:
            newer = self.version(time, current)
            if current is not None:
                assert newer.created_at > current.created_at
                given.append(self.read(current, reading).last_modified)
            assert all(newer.unchanged_since > date for date in given)
            current = newer

    @given(st.floats(0, 10), st.floats(0, 3), st.floats(0, 3))
    def test_of_one_that_was_deleted_and_stored_again(self, stored: float, read_after: float, later: float) -> None:
        """By a clock that does not go back."""
        given = self.read(self.version(stored), stored + read_after).last_modified
        assert self.version(stored + read_after + later).unchanged_since > given

    def test_it_is_strong_once_its_second_is_over(self) -> None:
        version = self.version(0.3)
        for at, strong in ((0.3, False), (0.99, False), (1, True), (99, True)):
            read = self.read(version, at)
            assert read.has_strong_date == strong
            assert (read.last_modified - version.created_at > timedelta(0)) == strong
            assert read.read_at is not None
            assert read.last_modified <= read.read_at
        assert not version.has_strong_date

    def test_it_is_never_strong_where_two_share_a_second(self) -> None:
        first = self.version(0.3)
        for at, sole in ((0.4, False), (0.3, False), (0.1, False), (-100, False), (1.0, True)):
            second = self.version(at, first)
            assert (second.sole, self.read(second, 99).has_strong_date) == (sole, sole)


class TestByteRange:
    @given(st.integers(0, 100), st.integers(1, 100), st.integers(0, 100))
    def test_within_is_what_a_slice_is(self, start: int, length: int, size: int) -> None:
        data = bytes(range(size))
        if start < size:
            part = ByteRange(start, start + length).within(size)
            assert data[part.start : part.stop] == data[start : start + length]
            assert part.stop <= size
        else:
            with pytest.raises(BlobError) as caught:
                ByteRange(start, start + length).within(size)
            assert caught.value.kind is Kind.RANGE_NOT_SATISFIABLE

    @pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 5), (5, 4), (-1, 4)])
    def test_has_at_least_one_byte(self, start: int, stop: int) -> None:
        with pytest.raises(ValueError, match="no bytes"):
            ByteRange(start, stop)


class TestPrecondition:
    def test_any_version_or_none(self) -> None:
        ANY.check(BlobId("a"), None)
        ANY.check(BlobId("a"), blob())

    def test_create_only(self) -> None:
        CREATE_ONLY.check(BlobId("a"), None)
        with pytest.raises(BlobError) as caught:
            CREATE_ONLY.check(BlobId("a"), blob())
        assert caught.value.kind is Kind.ALREADY_EXISTS

    def test_unmodified_since(self) -> None:
        current = draft().published(blob().created_at)
        demanded = Precondition(unmodified_since=current.created_at + SECOND)
        demanded.check(BlobId("a"), current)
        for there in (draft().published(current.created_at + SECOND / 2, current), None):
            with pytest.raises(BlobError) as caught:
                demanded.check(BlobId("a"), there)
            assert caught.value.kind is Kind.PRECONDITION_FAILED

    def test_one_of_the_named_versions(self) -> None:
        current = blob()
        Precondition(etags=frozenset({"x", current.etag})).check(BlobId("a"), current)
        for named, there in ((frozenset({"x"}), current), (frozenset[str](), current), (frozenset({"x"}), None)):
            with pytest.raises(BlobError) as caught:
                Precondition(etags=named).check(BlobId("a"), there)
            assert caught.value.kind is Kind.PRECONDITION_FAILED


class TestBlobError:
    def test_says_what_where_and_whether_to_try_again(self) -> None:
        key = ObjectKey.random()
        error = NoSpace("The disk is full.", operation="put", backend="fs", subject=key)
        assert str(error) == f"no_space: The disk is full. (fs put {key})"
        assert not error.temporary
        assert all(error_class(kind)("").temporary == (kind in TEMPORARY) for kind in Kind)

    @pytest.mark.parametrize("subject", [BlobId("k5"), "k5", b"k5", None], ids=repr)
    def test_its_text_has_no_blob_id(self, subject: object) -> None:
        error = Unavailable("Store it again.", backend="postgresql", subject=subject)
        assert str(error) == "unavailable: Store it again. (postgresql)"
        assert error.subject == subject

    def test_it_has_no_password_of_a_url(self) -> None:
        error = Unavailable('Could not connect to "http://u:p@ss@h:1/b" or s3://key@h.')
        assert error.detail == 'Could not connect to "http://...@h:1/b" or s3://...@h.'
        assert error.args == (error.detail,)
