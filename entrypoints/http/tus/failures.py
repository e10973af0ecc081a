"""Errors of all kinds as tus clients understand them: a status, and a text that they show to people.

tus-js-client retries 409, 423, all 5xx, and requests without a response; it gives up at any other 4xx. So errors that
another attempt may overcome have one of these, and lasting ones have not.
"""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple

import structlog

from domain.errors import BlobError, Kind, QuotaExceeded, RateLimited, ReadOnly
from entrypoints.http.protocol.catalogue import CATALOGUE, STATUSES
from entrypoints.http.protocol.problems import RETRY_AFTER, ClientGone, HttpProblem

LOG = structlog.get_logger()
CHECKSUM_MISMATCH = 460  # of tus
OTHER_STATUSES: Mapping[Kind, int] = {
    Kind.ALREADY_EXISTS: HTTPStatus.PRECONDITION_FAILED,  # lasts, so it is not 409
    Kind.DIGEST_MISMATCH: CHECKSUM_MISMATCH,
    Kind.INTERRUPTED: HTTPStatus.LOCKED,
    Kind.PART_IN_PROGRESS: HTTPStatus.LOCKED,
}
TOO_SLOW = "The bytes came too slowly. Those that arrived are kept: ask for the offset, and go on from there."


class Refusal(NamedTuple):
    """The response to a request that failed."""

    status: int
    text: str
    headers: Mapping[str, str] = {}


def refusal_of(error: Exception) -> Refusal:
    """Return the response to an error. Details of one on the server's side go to the log only."""
    match error:
        case RateLimited():
            headers = {"Retry-After": str(math.ceil(error.retry_after))}
            return Refusal(STATUSES[error.kind], error.detail, headers)
        case ReadOnly():
            return Refusal(*CATALOGUE[error.kind.value], RETRY_AFTER)
        case BlobError():
            return _of_blob_error(error)
        case HttpProblem() if error.status == HTTPStatus.REQUEST_TIMEOUT:
            return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, TOO_SLOW)
        case HttpProblem():
            return Refusal(error.status, error.detail, error.headers)
        case ClientGone():
            return Refusal(*CATALOGUE["client_gone"])
        case _:
            LOG.error("a request hit a fault in Drivebay", exc_info=error)
            return Refusal(*CATALOGUE["internal_error"])


def _of_blob_error(error: BlobError) -> Refusal:
    status = OTHER_STATUSES.get(error.kind, STATUSES[error.kind])
    if status < HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, QuotaExceeded):
        return Refusal(status, error.detail)
    LOG.error("a request failed", fault=str(error), cause=error.__cause__)
    return Refusal(status, CATALOGUE[error.kind.value].text, RETRY_AFTER if error.temporary else {})
