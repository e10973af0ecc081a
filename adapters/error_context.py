"""The context of errors: the backend, the operation and the object key."""

from dataclasses import dataclass

from domain.errors import BlobError


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """A context manager that adds itself to each BlobError, where the error lacks it. Thread-safe."""

    backend: str
    operation: str = ""
    subject: object = None

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BlobError):
            error.locate(self.backend, self.operation, self.subject)
