"""The client of Drivebay's HTTP interface, for programs. It is installed as the package `drivebay`.

It uses nothing else of the project, and httpx of other libraries.
"""

from entrypoints.client.async_client import AsyncClient, AsyncGetResult
from entrypoints.client.client import Client, GetResult
from entrypoints.client.errors import (
    AlreadyExists,
    BadRequest,
    BlobChanged,
    Conflict,
    ConnectionFailed,
    DigestMismatch,
    DrivebayError,
    Forbidden,
    NoSpace,
    NotFound,
    PreconditionFailed,
    RangeNotSatisfiable,
    RateLimited,
    ServerError,
    TooLarge,
    Unauthorized,
)
from entrypoints.client.flows.retrying import Retries
from entrypoints.client.models import BlobMeta, ListResult, Progress, PutResult, Share, SignedUrl

__all__ = [
    "AlreadyExists",
    "AsyncClient",
    "AsyncGetResult",
    "BadRequest",
    "BlobChanged",
    "BlobMeta",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "DigestMismatch",
    "DrivebayError",
    "Forbidden",
    "GetResult",
    "ListResult",
    "NoSpace",
    "NotFound",
    "PreconditionFailed",
    "Progress",
    "PutResult",
    "RangeNotSatisfiable",
    "RateLimited",
    "Retries",
    "ServerError",
    "Share",
    "SignedUrl",
    "TooLarge",
    "Unauthorized",
]

for _name in __all__:  # programs see the name that they import
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = "drivebay"
