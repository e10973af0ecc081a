"""Features that some S3 servers lack. Each is tried first, and not used again after the server has rejected it."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from botocore.exceptions import ClientError

from adapters.storage.s3.part_sizes import PartSizes
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
GROWING_PARTS = MissingFeature(
    "uploads in parts of different sizes",
    "All parts of an upload have a 10,000th of MAX_BLOB_BYTES, or 5 MiB if that is more."
    " Each large upload holds one in memory.",
)
# HEAD has no body, and some servers send none with this status.
NOT_IMPLEMENTED = {"NotImplemented", "501"}


class S3Features:
    """The known features of one server. `report` is called once for each missing one."""

    def __init__(self, report: FeatureReport) -> None:
        self._report = report
        self._missing: set[MissingFeature] = set()

    def may_have(self, feature: MissingFeature) -> bool:
        """Whether the server has not rejected the feature yet."""
        return feature not in self._missing

    async def write(self, send: Callable[..., Coroutine[Any, Any, T]]) -> T:
        """Send a write that fails if the key is taken, where the server supports conditional writes.

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
        self._mark_missing(CONDITIONAL_WRITES)
        return response

    def accept_missing_list(self, error: ClientError) -> None:
        """Handle an error of ListMultipartUploads that means a missing feature. Raise any other `error` again."""
        if code(error) in NOT_IMPLEMENTED:
            self._mark_missing(UPLOAD_LISTS)
        elif code(error) == "NoSuchUpload":
            self._mark_missing(EMPTY_UPLOAD_LISTS)
        else:
            raise error

    def part_sizes(self, sizes: PartSizes) -> PartSizes:
        """Return the sizes of parts that the server takes."""
        return sizes if self.may_have(GROWING_PARTS) else sizes.in_equal_parts

    def require_equal_parts(self) -> None:
        """Note that the server takes only parts of one size."""
        self._mark_missing(GROWING_PARTS)

    def _mark_missing(self, feature: MissingFeature) -> None:
        if feature not in self._missing:
            self._missing.add(feature)
            self._report(feature)


def code(error: ClientError) -> str:
    """Return the S3 code of an error, or an empty string."""
    return str(error.response.get("Error", {}).get("Code", ""))
