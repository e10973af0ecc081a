"""A short form, of one client, on other storages and databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backends.run import Backends
from tests.conformance.s3.endpoint import Endpoint, endpoint_of
from tests.conformance.tus.test_tus_js_client import BOTH, TUS, arguments, upload
from tests.conformance.tus.uploads import CHUNK, SIZE, Uploads
from tests.http.combinations import Combination
from tests.http.server import SELDOM, Server

OTHERS = [Combination("PostgreSQL", "ftp"), Combination("PostgreSQL", "s3")]


@pytest.fixture(scope="module", params=[combination.param for combination in OTHERS])
def endpoint(
    request: pytest.FixtureRequest, backends: Backends, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    combination: Combination = request.param
    with combination.settings(backends) as settings:
        server = Server(tmp_path_factory.mktemp("server"), **settings | SELDOM | {"WORKERS": "2"})
        with endpoint_of(server) as endpoint:
            yield endpoint


@pytest.fixture
def uploads(endpoint: Endpoint, tmp_path: Path) -> Uploads:
    return Uploads(endpoint, tmp_path)


@BOTH
def test_a_file_in_several_requests_and_paused(uploads: Uploads, protocol: str) -> None:
    # Two workers: one may read the first bytes of the ended request after the other one has responded to the HEAD. Then
    # the client gets 409 with another offset, and asks again.
    given = arguments(uploads, protocol, chunkSize=4 * CHUNK, retryDelays=[0, 100, 1000])
    uploaded = upload(uploads, file=str(uploads.file()), pauseAt=6 * CHUNK, **given)
    assert uploaded.paused
    assert uploaded.offsets("PATCH")[-1] == SIZE


def test_a_file_is_uploaded_in_parallel(uploads: Uploads) -> None:
    upload(uploads, file=str(uploads.file()), **arguments(uploads, TUS, chunkSize=4 * CHUNK, parallelUploads=3))
    assert uploads.user_metadata() == {"color": "blue"}


def test_an_upload_goes_on_after_its_process_was_killed(uploads: Uploads) -> None:
    uploads.file()
    uploads.killed_with_python("aiotus", "killed")
    uploads.with_python("aiotus", "resumed")
    assert uploads.is_stored()
