"""Features that some S3 servers lack. Each is tried first, and left out once the server has said that it lacks it."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from application.ports.features import FeatureReport, MissingFeature

T = TypeVar("T")

CONDITIONAL_WRITES = MissingFeature(
    "conditional writes (If-None-Match)",
    "Objects are written without a condition. That is safe, because each key is random and used once.",
)
UPLOAD_LISTS = MissingFeature(
    "ListMultipartUploads",
    "Objects are deleted, but multipart uploads that a killed process left open are not found."
    " Let a lifecycle rule of the bucket abort incomplete uploads.",
)
EMPTY_UPLOAD_LISTS = MissingFeature(
    "an empty response to ListMultipartUploads",
    "The server responds 404 NoSuchUpload where no upload is open. That counts as an empty list.",
)
# HEAD has no body, and some servers send none with this status.
NOT_IMPLEMENTED = {"NotImplemented", "501"}


class S3Features:
    """Features of one server, as far as they are known. `report` is called once for each that is missing."""

    def __init__(self, report: FeatureReport) -> None:
        self._report = report
        self._missing: set[MissingFeature] = set()

    def may_have(self, feature: MissingFeature) -> bool:
        """Whether the server has not said that it lacks the feature."""
        return feature not in self._missing

    async def write(self, send: Callable[..., Coroutine[Any, Any, T]]) -> T:
        """Send a write that fails if something is under its key, where the server knows such a condition.

        `send` is called with the condition as a keyword argument, or without one.
        """
        if not self.may_have(CONDITIONAL_WRITES):
            return await send()
        try:
            return await send(IfNoneMatch="*")
        except ClientError as error:
            if code(error) not in NOT_IMPLEMENTED:
                raise
        response = await send()  # raises the error again if the server lacks something else
        self._note(CONDITIONAL_WRITES)
        return response

    def accept_missing_list(self, error: ClientError) -> None:
        """Note what the failure of ListMultipartUploads says of the server. Raise `error` if it is another failure."""
        if code(error) in NOT_IMPLEMENTED:
            self._note(UPLOAD_LISTS)
        elif code(error) == "NoSuchUpload":
            self._note(EMPTY_UPLOAD_LISTS)
        else:
            raise error

    def _note(self, feature: MissingFeature) -> None:
        if feature not in self._missing:
            self._missing.add(feature)
            self._report(feature)


def code(error: ClientError) -> str:
    """Return the code that S3 gave to an error, or an empty string."""
    return str(error.response.get("Error", {}).get("Code", ""))
