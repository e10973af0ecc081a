"""tus-js-client in Node, which speaks tus and version 6 of the IETF draft."""

from typing import Any

import pytest

from tests.conformance.tus.uploads import CHUNK, CONTENT_TYPE, SIZE, Uploaded, Uploads

TUS, DRAFT = "tus-v1", "ietf-draft-05"
BOTH = pytest.mark.parametrize("protocol", [TUS, DRAFT])
LARGE = 64 * CHUNK


def arguments(uploads: Uploads, protocol: str, **options: Any) -> dict[str, Any]:
    """Return what chooses the protocol. The id of a blob that is uploaded by the draft is in the URL."""
    if protocol == TUS:
        return {"options": options}
    headers = {"Content-Type": CONTENT_TYPE}
    return {"put": True, "options": options | {"protocol": protocol, "endpoint": uploads.blob, "headers": headers}}


def upload(uploads: Uploads, **given: Any) -> Uploaded:
    """Upload to completion, and look at the blob."""
    uploaded = uploads.with_node(**given)
    assert uploaded is not None
    assert uploads.is_stored()
    return uploaded


@BOTH
def test_a_file_in_one_request(uploads: Uploads, protocol: str) -> None:
    uploaded = upload(uploads, file=str(uploads.file()), **arguments(uploads, protocol))
    assert uploaded.offsets("PATCH") == [SIZE]


@BOTH
def test_a_file_in_several_requests(uploads: Uploads, protocol: str) -> None:
    uploaded = upload(uploads, file=str(uploads.file()), **arguments(uploads, protocol, chunkSize=CHUNK))
    assert uploaded.offsets("PATCH") == [*range(CHUNK, SIZE, CHUNK), SIZE]


def test_a_file_that_is_created_with_its_first_bytes(uploads: Uploads) -> None:
    given = arguments(uploads, TUS, chunkSize=CHUNK, uploadDataDuringCreation=True)
    uploaded = upload(uploads, file=str(uploads.file()), **given)
    assert uploaded.offsets("POST") == [CHUNK]
    assert uploads.user_metadata() == {"color": "blue"}


def test_an_empty_file(uploads: Uploads) -> None:
    upload(uploads, file=str(uploads.file(0)), **arguments(uploads, TUS))


def test_a_stream_of_unknown_length(uploads: Uploads) -> None:
    given = uploads.file().read_bytes()
    uploaded = upload(uploads, given=given, **arguments(uploads, TUS, chunkSize=CHUNK, uploadLengthDeferred=True))
    assert uploaded.offsets("PATCH")[-1] == SIZE


@BOTH
def test_an_upload_is_paused_and_goes_on(uploads: Uploads, protocol: str) -> None:
    """The client ends the connection, and the bytes that arrived before are kept."""
    given = arguments(uploads, protocol)
    uploaded = upload(uploads, file=str(uploads.file(LARGE)), pauseAt=LARGE // 2, **given)
    assert uploaded.paused
    [resumed] = uploaded.offsets("HEAD")
    assert resumed
    assert uploaded.offsets("PATCH") == [LARGE]


@BOTH
def test_an_upload_goes_on_that_another_request_has_ended(uploads: Uploads, protocol: str) -> None:
    """It may be a late one of the same client: then the one that is ended is the one that should go on."""
    given = arguments(uploads, protocol, retryDelays=[0, 100, 1000])
    uploaded = upload(uploads, file=str(uploads.file(LARGE)), askAt=LARGE // 2, **given)
    ended, *_ = [status for method, status, _ in uploaded.requests if method == "PATCH"]
    assert ended == (423 if protocol == TUS else 409)
    assert uploaded.offsets("HEAD") != []
    assert uploaded.offsets("PATCH")[-1] == LARGE


@BOTH
@pytest.mark.parametrize("chunk", [CHUNK, None], ids=["in several requests", "in one request"])
def test_an_upload_goes_on_after_its_process_was_killed(uploads: Uploads, protocol: str, chunk: int | None) -> None:
    given = arguments(uploads, protocol, **({"chunkSize": chunk} if chunk else {}))
    given |= {"file": str(uploads.file(LARGE)), "store": "urls"}
    uploads.killed_with_node(dieAt=LARGE // 2, **given)
    uploaded = upload(uploads, **given)
    [resumed] = uploaded.offsets("HEAD")
    assert resumed is not None
    assert resumed > LARGE // 4
    assert "POST" not in [method for method, *_ in uploaded.requests]


def test_a_file_is_uploaded_in_parallel(uploads: Uploads) -> None:
    """Each part is a partial upload, and the last request joins them."""
    upload(uploads, file=str(uploads.file()), **arguments(uploads, TUS, chunkSize=CHUNK, parallelUploads=3))
    assert uploads.user_metadata() == {"color": "blue"}


def test_a_parallel_upload_goes_on_after_its_process_was_killed(uploads: Uploads) -> None:
    given = arguments(uploads, TUS, chunkSize=CHUNK, parallelUploads=3)
    given |= {"file": str(uploads.file(LARGE)), "store": "urls"}
    uploads.killed_with_node(dieAt=LARGE // 2, **given)
    uploaded = upload(uploads, **given)
    assert len(uploaded.offsets("HEAD")) == 3
    assert uploaded.offsets("POST") == [LARGE]  # only the upload that the others are joined to is new
