"""Open files of fsspec, and transactions of several."""

from typing import Any

from fsspec.spec import AbstractBufferedFile
from fsspec.transaction import Transaction

from entrypoints.client.errors import AlreadyExists, DrivebayError, PreconditionFailed

MAX_COMMIT = 1000  # files
DOUBLING = 1000  # parts after which they become twice as large, because an upload has up to 10,000


class DrivebayFile(AbstractBufferedFile):  # type: ignore[misc] # fsspec has no types
    """A file that is read in ranges of one version, or written in parts.

    What is written appears at `close`, whole; and not at all if the `with` block of `open` ends by an exception.
    """

    def __init__(self, fs: Any, path: str, mode: str, block_size: int, **options: Any) -> None:
        if mode == "ab":
            raise NotImplementedError("Blobs can't be appended to. Read the blob, and write it again.")
        if mode == "xb" and fs.isfile(path):
            raise FileExistsError(path)
        self._upload: str | None = None
        self._count = 0
        super().__init__(fs, path, mode, block_size, **options)
        if mode == "rb" and "etag" not in self.kwargs:
            self.kwargs["etag"] = self.details["ETag"]  # and so a pickled file is of the same version

    def _fetch_range(self, start: int, end: int) -> bytes:
        data: bytes = self.fs.client.get_range(self.path, start=start, end=end, if_match=self.kwargs["etag"])
        return data

    def _upload_chunk(self, final: bool = False) -> bool:
        data = self.buffer.getvalue()
        if final and self.autocommit and self._upload is None:
            self._store(data)
            return True
        try:
            self._put_part(data)
        except BaseException:  # its bytes may not be there, so that it can't be published
            self.discard()
            raise
        if final and self.autocommit:
            self.commit()
        return True

    def _put_part(self, data: bytes) -> None:
        if self._upload is None:
            self._upload = self.fs.client.begin_upload(self.path)
        if data or not self._count:
            self.fs.client.put_part(self._upload, self._count + 1, data)
            self._count += 1
            if self._count % DOUBLING == 0:
                self.blocksize *= 2

    def _store(self, data: bytes) -> None:
        try:
            self.fs.client.put(self.path, data, create_only=self.mode == "xb")
        except AlreadyExists:
            raise FileExistsError(self.path) from None

    @property
    def is_written(self) -> bool:
        """Whether all parts are sent, and nothing is published yet."""
        return self._upload is not None

    def operation(self) -> dict[str, Any]:
        """Return the operation of a commit that publishes the file, which is closed."""
        condition = {"if_none_match": "*"} if self.mode == "xb" else {}
        return {"put": {"id": self.path, "upload": self._upload, **condition}}

    def commit(self) -> None:
        """Publish the file. Discards it if that fails."""
        try:
            self.fs.client.commit([self.operation()])
        except PreconditionFailed:
            self.discard()
            raise FileExistsError(self.path) from None
        except BaseException:
            self.discard()
            raise
        self._upload = None

    def discard(self) -> None:
        """Discard what was written."""
        upload, self._upload = self._upload, None
        self.closed = True
        if upload is not None:
            try:
                self.fs.client.discard_upload(upload)
            except DrivebayError:  # it expires
                return

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None and self.writable():
            self.discard()
        self.close()


class OneCommit(Transaction):  # type: ignore[misc] # fsspec has no types
    """A transaction: all files that were written in it appear at once, or none."""

    def complete(self, commit: bool = True) -> None:
        """Publish the files by one commit, or discard them. Raises ValueError for more than 1,000."""
        files = list(self.files)
        try:
            if commit and len(files) > MAX_COMMIT:
                raise ValueError(f"A transaction takes up to {MAX_COMMIT:,} files. Write fewer in each.")
            if commit and files:
                self._publish(files)
                files = []
        finally:
            for file in files:
                file.discard()
            self.files.clear()
            self.fs._intrans = False
            self.fs._transaction = None

    def _publish(self, files: list[DrivebayFile]) -> None:
        for file in files:
            file.close()
        # A file that was written twice is that of the last time.
        last = {file.path: file for file in files if file.is_written}
        self.fs.client.commit([file.operation() for file in last.values()])
        for file in files:
            if last.get(file.path) is not file:
                file.discard()
