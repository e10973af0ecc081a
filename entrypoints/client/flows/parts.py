"""Uploads of several parts, which a commit publishes: for bytes that are pushed, and for transactions."""

import hashlib
from typing import Any

from entrypoints.client.flows.blobs import given, json_of, post
from entrypoints.client.flows.commands import Call, Flow
from entrypoints.client.flows.retrying import Retries, send
from entrypoints.client.models import digest_field


def begin(retries: Retries, blob_id: str | None, **properties: Any) -> Flow[str]:
    """Begin an upload, and return its key. One that is begun twice leaves one behind, which expires."""
    reply = yield from post(retries, "/v1/uploads", given(id=blob_id, **properties))
    key: str = json_of(reply)["upload"]
    return key


def put_part(retries: Retries, upload: str, number: int, data: bytes) -> Flow[None]:
    """Store a part. It may be sent again, and is compared by its digest."""
    digest = digest_field(hashlib.sha256(data).digest())
    yield from send(Call("PUT", f"/v1/uploads/{upload}/{number}", {"content-digest": digest}, data), retries)


def discard(retries: Retries, upload: str) -> Flow[None]:
    """Discard an upload and its parts."""
    yield from send(Call("DELETE", f"/v1/uploads/{upload}"), retries)
