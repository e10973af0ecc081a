"""Conditions on one version of a blob, in either form."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from domain.blob import Blob, BlobId, Content, Digest, Draft, Location, ObjectKey
from domain.errors import BlobError
from entrypoints.http.protocol.fields import conditional
from entrypoints.http.protocol.fields.conditional import NotModified
from entrypoints.http.rest.json_form.response import JSON
from entrypoints.http.rest.raw_form import RAW

STORED = datetime(2026, 1, 31, 12, tzinfo=UTC)


def stored(at: datetime, data: bytes = b"bytes") -> Blob:
    content = Content(Location("memory", ObjectKey.random()), len(data), Digest(hashlib.sha256(data).digest()))
    return Draft(BlobId("k5"), content).published(at)


class TestTheSameBytesStoredAgain:
    FIRST, SECOND = stored(STORED), stored(STORED + timedelta(seconds=1))

    def test_the_json_form_which_has_the_time_is_sent_again(self) -> None:
        assert JSON.whole(self.FIRST, None, b"bytes")[1] != JSON.whole(self.SECOND, None, b"bytes")[1]
        known = {"if-none-match": conditional.json_etag(self.FIRST)}
        with pytest.raises(NotModified):
            JSON.part(known, self.FIRST)
        JSON.part(known, self.SECOND)

    def test_the_bytes_are_not(self) -> None:
        with pytest.raises(NotModified):
            RAW.part({"if-none-match": conditional.etag(self.FIRST)}, self.SECOND)

    def test_within_a_second_the_json_form_is_the_same(self) -> None:
        later = stored(STORED + timedelta(microseconds=999_999))
        assert conditional.json_etag(later) == conditional.json_etag(self.FIRST)
        assert JSON.whole(later, None, b"bytes") == JSON.whole(self.FIRST, None, b"bytes")

    def test_each_tag_names_the_version(self) -> None:
        for tag in (conditional.etag(self.FIRST), conditional.json_etag(self.FIRST), f'"{self.FIRST.etag}-json"'):
            for form in (JSON, RAW):
                form.part({"if-match": tag}, self.SECOND)
            conditional.precondition({"if-match": tag}).check(self.SECOND.id, self.SECOND)
            with pytest.raises(BlobError):
                conditional.precondition({"if-none-match": tag}).check(self.SECOND.id, self.SECOND)
            with pytest.raises(BlobError):
                conditional.precondition({"if-match": tag}).check(self.SECOND.id, stored(STORED, b"others"))
