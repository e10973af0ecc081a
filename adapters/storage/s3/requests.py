"""Requests to S3, with deadlines and translated errors."""

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError, SSLError
from botocore.parsers import ResponseParserError

from adapters.storage.progress import progress_deadline, silent_deadline
from adapters.storage.s3.body import Body
from adapters.storage.s3.features import S3Features, code
from adapters.storage.s3.responses import NotS3Error, Response, require, require_deletion
from application.ports.blob_store import ABSENT, TAKEN
from domain.errors import Kind, Reason, TimedOut, Unavailable, error_class

T = TypeVar("T", bound=Response)

# By the codes of S3's errors ("Error responses" in the API reference). HEAD has no body, so its codes are statuses.
KINDS = {
    "NoSuchKey": Kind.NOT_FOUND,
    "PreconditionFailed": Kind.ALREADY_EXISTS,
    "412": Kind.ALREADY_EXISTS,
    "InvalidRange": Kind.RANGE_NOT_SATISFIABLE,
    "416": Kind.RANGE_NOT_SATISFIABLE,
    "QuotaExceeded": Kind.NO_SPACE,
    "InsufficientStorage": Kind.NO_SPACE,
    "XMinioStorageFull": Kind.NO_SPACE,
    "507": Kind.NO_SPACE,
    "RequestTimeout": Kind.TIMEOUT,
}
DETAILS = {
    Kind.NOT_FOUND: ABSENT,
    Kind.ALREADY_EXISTS: TAKEN,
    Kind.RANGE_NOT_SATISFIABLE: "The range starts after the end of the object.",
    Kind.NO_SPACE: "The bucket's storage is full, or its quota is used up.",
}
REASONS = {
    "NoSuchBucket": Reason.ABSENT,
    "AccessDenied": Reason.DENIED,
    "403": Reason.DENIED,
    "InvalidAccessKeyId": Reason.LOGIN,
    "SignatureDoesNotMatch": Reason.LOGIN,
    "NotImplemented": Reason.UNSUPPORTED,
    "501": Reason.UNSUPPORTED,
    "MethodNotAllowed": Reason.UNSUPPORTED,
    "405": Reason.UNSUPPORTED,
}
# Advice, by the same codes.
HINTS = {
    "NoSuchBucket": "Create it, or set the name of another.",
    "AccessDenied": "Let the owner of this key list, read, write and delete there.",
    "InvalidAccessKeyId": "Check the access key.",
    "SignatureDoesNotMatch": "Check the secret key.",
    "AuthorizationHeaderMalformed": "Check the region.",
    "PermanentRedirect": "Check the region, and the endpoint.",
    "RequestTimeTooSkewed": "Set this machine's clock.",
}
CERTIFICATE = "Its certificate must be good by the authorities of this machine, or by those in the file AWS_CA_BUNDLE."

MIB = 1024 * 1024
HOUR = 3600  # seconds

PORTAL = "Check S3_ENDPOINT, and whether a login page or a proxy replies in its place."


@dataclass(frozen=True, slots=True)
class S3Requests:
    """Requests for one bucket. Each raises TIMEOUT after `timeout` seconds without progress."""

    bucket: str
    timeout: float
    features: S3Features

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Translate errors of the client library into BlobErrors."""
        try:
            yield
        except ClientError as error:
            kind = KINDS.get(code(error), Kind.UNAVAILABLE)
            hint = HINTS.get(code(error), "")
            detail = DETAILS.get(kind) or f"The bucket {self.bucket} can't be used: {error}. {hint}".rstrip()
            raise error_class(kind)(detail, reason=REASONS.get(code(error))) from error
        except (ConnectTimeoutError, ReadTimeoutError, TimeoutError) as error:
            raise TimedOut(f"S3 did not respond in time: {error}.") from error
        except SSLError as error:
            raise Unavailable(f"S3 can't be reached: {error}. {CERTIFICATE}") from error
        except NotS3Error as error:
            raise Unavailable(f"The server that should be S3 is not: {error}. {PORTAL}") from error
        except ResponseParserError as error:  # its text is the whole page
            raise Unavailable(f"The server that should be S3 is not: its response is not XML. {PORTAL}") from error
        except (BotoCoreError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"S3 can't be reached: {error}.", reason=Reason.UNREACHABLE) from error
        except ValueError as error:  # botocore's, for a number or a date
            raise Unavailable(f"The server that should be S3 is not: its response is malformed. {PORTAL}") from error

    async def timed(self, request: Coroutine[Any, Any, T], body: Body | None = None) -> T:
        """Send a request with a deadline, which is extended while its body moves.

        The client has timeouts for single steps only.
        """
        async with progress_deadline(self.timeout, body.progress if body is not None else lambda: None):
            return await request

    async def send_expecting(self, request: Coroutine[Any, Any, T], *members: str, body: Body | None = None) -> T:
        """Send a request, and return its response. Raises NotS3Error unless it has these members."""
        response = await self.timed(request, body)
        require(response, *members)
        return response

    async def complete(self, request: Coroutine[Any, Any, T], size: int, *members: str) -> T:
        """Send a CompleteMultipartUpload of `size` bytes, and return its response. Raises NotS3Error like the others.

        A server may take minutes to assemble the object, in which no byte moves.
        """
        async with silent_deadline(completion_limit(self.timeout, size)):
            response = await request
        require(response, *members)
        return response

    async def delete(self, request: Coroutine[Any, Any, T]) -> None:
        """Send a delete request. Raises NotS3Error unless S3 confirms it."""
        require_deletion(await self.timed(request))

    async def delete_object(self, request: Coroutine[Any, Any, T]) -> None:
        """Send a DeleteObject. Some servers, such as Google's, respond 404 NoSuchKey if there is no object."""
        try:
            await self.delete(request)
        except ClientError as error:
            if code(error) != "NoSuchKey":
                raise


def completion_limit(timeout: float, size: int) -> float:
    """Return how many seconds a server may take to assemble `size` bytes: a second more for each MiB, up to an hour.

    The reaper deletes an abandoned object for the last time an hour later, so what lands after that would stay.
    """
    return max(timeout, min(timeout + size / MIB, HOUR))
