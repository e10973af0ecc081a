"""Completions of S3's uploads that are repeated, because the response to the first one was lost."""

from types import SimpleNamespace
from typing import Any

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from application.blobs.changes.commit import CommitOperations
from application.blobs.changes.operations import Rules
from application.blobs.multipart.uploads import MultipartUploads, NewPart, NewUpload
from application.uploads.committer import Committer
from domain.access import EVERYTHING
from domain.blob import ObjectKey
from domain.checksums import Checksums
from domain.errors import Kind
from entrypoints.http.s3.multipart import uploads as s3_uploads
from tests.contracts.blob_store import each, refused
from tests.integration.drive import ID, Drive
from tests.integration.losing import WithoutAStandby


async def test_one_that_a_standby_may_lack_is_not_a_success(drive: Drive) -> None:
    assert isinstance(drive.metadata, MemoryMetadata)
    uploads = MultipartUploads(drive.store.uploads, drive.metadata.multipart, ObjectKey.random, 10**9)
    key = (await uploads.begin(EVERYTHING, NewUpload(ID))).key
    await uploads.write(EVERYTHING, key, 1, NewPart(each([b"abc"]), checksums=lambda: Checksums(bytes(16))))
    units = WithoutAStandby(drive.metadata, 1, 100)
    committer = Committer(units, ObjectKey.random, waits=[])
    commit = CommitOperations(committer, committer, Rules())
    cases = SimpleNamespace(uploads=uploads, commit=commit, fetch=drive.fetch)
    request: Any = SimpleNamespace(use_cases=cases, grant=EVERYTHING, headers={}, url="", bucket="", key="")
    named = [s3_uploads.NamedPart(1, bytes(16).hex(), {})]
    for _ in range(2):
        with refused(Kind.COMMIT_UNKNOWN):
            await s3_uploads._completed(request, ID, key, named)
        assert await drive.get() == b"abc", "others see it"
    units.losses = 0
    assert (await s3_uploads._completed(request, ID, key, named))[0] == "CompleteMultipartUploadResult"
