# mypy: disable-error-code="import-not-found,misc"
"""fsspec's suite for file systems, on s3fs. Run by pytest, in the environment of s3fs."""

from collections.abc import Iterator

import pytest
from fsspec.tests.abstract import AbstractFixtures
from fsspec.tests.abstract.copy import AbstractCopyTests
from fsspec.tests.abstract.get import AbstractGetTests
from fsspec.tests.abstract.open import AbstractOpenTests
from fsspec.tests.abstract.pipe import AbstractPipeTests
from fsspec.tests.abstract.put import AbstractPutTests
from s3fs import S3FileSystem
from shared import ACCESS_KEY, BUCKET, CERTIFICATE, ENDPOINT, SECRET_KEY


class S3fsFixtures(AbstractFixtures):
    @pytest.fixture
    def fs(self) -> S3FileSystem:
        options = {"verify": CERTIFICATE} if CERTIFICATE else {}
        fs = S3FileSystem(  # one for all tests: it keeps its instances
            key=ACCESS_KEY, secret=SECRET_KEY, endpoint_url=ENDPOINT, client_kwargs=options, use_listings_cache=False
        )
        if not fs.exists(BUCKET):
            fs.mkdir(BUCKET)
        return fs

    @pytest.fixture
    def fs_path(self, fs: S3FileSystem) -> Iterator[str]:
        yield BUCKET
        for path in fs.ls(BUCKET, detail=False):
            fs.rm(path, recursive=True)

    @pytest.fixture
    def supports_empty_directories(self) -> bool:
        return False


class TestCopy(AbstractCopyTests, S3fsFixtures):
    pass


class TestGet(AbstractGetTests, S3fsFixtures):
    pass


class TestOpen(AbstractOpenTests, S3fsFixtures):
    def test_open_exclusive(self, fs: S3FileSystem, fs_target: str) -> None:
        """The suite wants FileExistsError from `open`; s3fs asks the server at the end, and makes a 412 an EINVAL."""
        fs.pipe_file(fs_target, b"data")
        file = fs.open(fs_target, "xb")
        file.write(b"other")
        with pytest.raises(OSError, match="precondition"):
            file.close()
        assert fs.cat_file(fs_target) == b"data"


class TestPipe(AbstractPipeTests, S3fsFixtures):
    pass


class TestPut(AbstractPutTests, S3fsFixtures):
    pass
