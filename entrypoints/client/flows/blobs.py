"""Operations without the bytes of blobs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

from entrypoints.client.errors import DrivebayError, NotFound
from entrypoints.client.flows.commands import Call, Flow, Reply
from entrypoints.client.flows.retrying import Attempts, Retries, has_changed_nothing, is_temporary, send
from entrypoints.client.models import BlobMeta, ListResult, Share, SignedUrl

PAGE = 1000
COMMIT = 1000  # operations


def path_of(blob_id: str) -> str:
    """Return the path of a blob. Raises ValueError for what is no id."""
    if not blob_id:
        raise ValueError("An id has 1 to 2,048 bytes. This one is empty.")
    try:
        path = quote(blob_id, safe="")
    except UnicodeEncodeError:
        raise ValueError(f"{blob_id!r} is not UTF-8, so it can't be an id. Choose another name.") from None
    # HTTP clients and proxies take segments of dots for folders.
    return "/v1/blobs/" + (path.replace(".", "%2E") if path in (".", "..") else path)


def head(retries: Retries, blob_id: str) -> Flow[BlobMeta]:
    reply = yield from send(Call("HEAD", f"{path_of(blob_id)}?alt=media"), retries)
    return BlobMeta.from_headers(blob_id, reply.headers)


def page(
    retries: Retries, prefix: str, cursor: str | None, *, delimiter: str = "", metadata: bool = False, limit: int = PAGE
) -> Flow[tuple[ListResult, str | None]]:
    """Return a page of a list, and the cursor of the next one."""
    wanted = {"prefix": prefix, "delimiter": delimiter, "limit": str(limit), "cursor": cursor or ""}
    query = urlencode(
        {name: value for name, value in wanted.items() if value} | ({"fields": "metadata"} if metadata else {})
    )
    reply = yield from send(Call("GET", f"/v1/blobs?{query}"), retries)
    found = json_of(reply)
    return ListResult([BlobMeta.from_json(each) for each in found["blobs"]], found["prefixes"]), found["next_cursor"]


def sees_all(retries: Retries, prefix: str) -> Flow[bool]:
    """Return whether lists have all blobs with a prefix: a list leaves out blobs that the token may not see."""
    found = json_of((yield from send(Call("GET", "/v1/session"), retries))).get("prefixes")
    return found is None or prefix.startswith(tuple(found))


def list_with_delimiter(retries: Retries, prefix: str, delimiter: str, *, metadata: bool) -> Flow[ListResult]:
    blobs, prefixes, cursor = list[BlobMeta](), list[str](), None
    while True:
        found, cursor = yield from page(retries, prefix, cursor, delimiter=delimiter, metadata=metadata)
        blobs += found.blobs
        prefixes += found.prefixes
        if cursor is None:
            return ListResult(blobs, prefixes)


def transfer(
    retries: Retries, operation: str, source: str, target: str, *, overwrite: bool, if_match: str | None
) -> Flow[BlobMeta]:
    """Copy or move a blob. A copy that replaces is the same when it is made twice; anything else is made once."""
    body = {"from": source, "to": target, "replace": overwrite}
    repeatable = operation == "copy" and overwrite
    reply = yield from post(retries, f"/v1/{operation}", _with(body, if_match=if_match), repeatable=repeatable)
    return BlobMeta.from_json(json_of(reply))


def delete(retries: Retries, blob_id: str, if_match: str | None = None) -> Flow[None]:
    """Delete a blob. After an attempt with an unknown outcome, a blob that is gone was deleted."""
    call = Call("DELETE", path_of(blob_id), {} if if_match is None else {"if-match": if_match})
    attempts, is_unknown = Attempts(retries), False
    while True:
        try:
            reply: Reply = yield call
            if reply.is_success:
                return
            raise reply.error()
        except NotFound:
            if is_unknown:
                return
            raise
        except DrivebayError as error:
            if not is_temporary(error):
                raise
            is_unknown = is_unknown or not has_changed_nothing(error)
            yield from attempts.wait(error)


def by_prefix(retries: Retries, operation: str, body: Mapping[str, Any]) -> Flow[int]:
    """Delete or move all blobs with a prefix. Return their number; after a lost response that of the last request."""
    repeatable = operation == "delete" or bool(body.get("dry_run"))
    reply = yield from post(retries, f"/v1/{operation}", body, repeatable=repeatable)
    return int(json_of(reply)["count"])


def commit(retries: Retries, operations: Sequence[Mapping[str, Any]]) -> Flow[list[BlobMeta | None]]:
    """Do up to 1,000 operations, all or nothing. Return the blobs that are current now, None for those deleted."""
    reply = yield from post(retries, "/v1/commits", {"operations": list(operations)}, repeatable=False)
    blobs = [each.get("blob") for each in json_of(reply)["results"]]
    return [None if blob is None else BlobMeta.from_json(blob) for blob in blobs]


def sign(retries: Retries, body: Mapping[str, Any]) -> Flow[SignedUrl]:
    reply = yield from post(retries, "/v1/sign", body)
    found = json_of(reply)
    return SignedUrl(found["url"], datetime.fromisoformat(found["expires_at"]))


def share(retries: Retries, body: Mapping[str, Any]) -> Flow[Share]:
    reply = yield from post(retries, "/v1/shares", body, repeatable=False)
    found = json_of(reply)
    return Share(found["share"], found["url"], datetime.fromisoformat(found["expires_at"]))


def revoke_share(retries: Retries, share_key: str) -> Flow[None]:
    yield from send(Call("DELETE", f"/v1/shares/{quote(share_key, safe='')}"), retries)


def post(retries: Retries, path: str, body: Mapping[str, Any], *, repeatable: bool = True) -> Flow[Reply]:
    """Send JSON."""
    call = Call("POST", path, {"content-type": "application/json"}, json.dumps(body).encode())
    return (yield from send(call, retries, repeatable=repeatable))


def _with(body: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {**body, **{name: value for name, value in more.items() if value is not None}}


def given(**members: Any) -> dict[str, Any]:
    """Return the members that are not None."""
    return _with({}, **members)


def batches(ids: Iterable[str]) -> Iterable[list[str]]:
    """Return ids in lists that fit into a commit each."""
    batch = list[str]()
    for each in ids:
        batch.append(each)
        if len(batch) == COMMIT:
            yield batch
            batch = []
    if batch:
        yield batch


def json_of(reply: Reply) -> Any:
    """Return the body of a response. Raises DrivebayError if it is not JSON."""
    try:
        return json.loads(reply.content)
    except ValueError:
        raise DrivebayError("The response is not JSON. Is this the URL of a Drivebay server?") from None
