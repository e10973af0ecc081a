"""The context of errors: the backend, the operation and the object key."""

from domain.errors import BlobError


class ErrorContext:
    """Adds `backend`, `operation` and `subject` to each BlobError that lacks them. Threads may share it."""

    __slots__ = ("_backend", "_operation", "_subject")

    def __init__(self, backend: str, operation: str = "", subject: object = None) -> None:
        self._backend = backend
        self._operation = operation
        self._subject = subject

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BlobError):
            error.locate(self._backend, self._operation, self._subject)
