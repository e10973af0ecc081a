"""Sessions and clients of the S3 client library."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from botocore.handlers import add_expect_header
from botocore.loaders import Loader, create_loader

from adapters.storage.s3.config import S3Config

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

NEVER = 24 * 3600.0  # seconds


@asynccontextmanager
async def new_client(config: S3Config) -> "AsyncIterator[S3Client]":
    """Open a client with the login, the timeouts and the connections of a config."""
    options = AioConfig(
        max_pool_connections=config.connections,
        connect_timeout=config.connect_timeout,
        read_timeout=config.read_timeout,
        retries={"mode": "standard", "total_max_attempts": config.attempts},
        # Many servers reject the trailers of the newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if config.path_style else "auto"},
    )
    async with new_session().create_client(
        "s3",
        region_name=config.region,
        endpoint_url=config.endpoint or None,
        aws_access_key_id=config.access_key or None,
        aws_secret_access_key=config.secret_key or None,
        config=options,
    ) as client:
        # Expect: 100-continue would cost one more round trip per small object, and has no timeout of its own.
        client.meta.events.unregister("before-call.s3", add_expect_header)
        for slow in ("PutObject", "UploadPart", "CompleteMultipartUpload"):
            client.meta.events.register(f"before-call.s3.{slow}", _disable_read_timeout)
        client.meta.events.register("before-call.s3.HeadBucket", _disable_redirects)
        yield client


def _disable_read_timeout(params: Any, **_: Any) -> None:
    """Disable aiohttp's read timeout, because S3Requests has better ones.

    It would start before a body has left the send buffer, and repeat a completion that the server is still working on.
    """
    params["context"]["read_timeout"] = NEVER


def _disable_redirects(params: Any, **_: Any) -> None:
    """Disable redirects of HeadBucket, which the client sends after a redirect without a region.

    It would send another one after each of them, without end.
    """
    params["context"]["s3_redirect"]["redirected"] = True


def new_session() -> AioSession:
    """Return a new session that shares the description of the S3 API with all sessions of the process.

    Loading the description takes most of the time to create a client. Workers inherit it from their parent.
    """
    session = get_session()
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@cache
def _loader(path: str | None) -> Loader:
    return create_loader(path)
