"""The block of public access to a bucket: GetPublicAccessBlock, PutPublicAccessBlock, DeletePublicAccessBlock.

Source: Amazon S3 User Guide, Blocking public access to your Amazon S3 storage. Two of its four parts are about
policies, which no bucket has: they are kept, and there is nothing that they could change.
"""

from http import HTTPStatus

from litestar.types import ASGIApp

from domain.buckets import BLOCKS
from entrypoints.http.s3.buckets.settings import change_settings
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.request import S3Request
from entrypoints.http.s3.responses import empty_response, xml_response

ROOT = "PublicAccessBlockConfiguration"
_VALUES = {"true": True, "false": False, None: False}


async def get_public_access_block(request: S3Request) -> ASGIApp:
    """Return which parts of the block are on."""
    blocked = (await request.current_bucket()).settings.blocked
    if blocked is None:
        raise S3Error("NoSuchPublicAccessBlockConfiguration")
    return xml_response(ROOT, [(name, "true" if name in blocked else "false") for name in BLOCKS])


async def put_public_access_block(request: S3Request) -> ASGIApp:
    """Replace the block. A part that is not named is off."""
    request.use_cases.buckets.authorize_change(request.grant, request.bucket)
    document = await request.document(ROOT)
    if document is None:
        raise S3Error("MissingRequestBodyError")
    texts = {name: document.value(name) for name in BLOCKS}
    if any(text not in _VALUES for text in texts.values()):
        raise S3Error("MalformedXML")
    await change_settings(request, blocked=tuple(name for name, text in texts.items() if _VALUES[text]))
    return empty_response()


async def delete_public_access_block(request: S3Request) -> ASGIApp:
    """Remove the block."""
    await change_settings(request, blocked=None)
    return empty_response(HTTPStatus.NO_CONTENT)
