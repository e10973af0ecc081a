# mypy: disable-error-code="import-not-found"
"""obstore: Rust's object_store, on which Delta tables, Polars and DataFusion are built."""

from datetime import timedelta

import obstore
from obstore.exceptions import AlreadyExistsError, NotFoundError, PreconditionError
from obstore.store import S3Store
from shared import ACCESS_KEY, BUCKET, ENDPOINT, MIB, SECRET_KEY, blob, request, run, same

SIZE = 11 * MIB + 1
store = S3Store(
    BUCKET,
    endpoint=ENDPOINT,
    access_key_id=ACCESS_KEY,
    secret_access_key=SECRET_KEY,
    region="us-east-1",
    virtual_hosted_style_request=False,
    # It refuses a certificate that is its own authority, as that of the tests.
    client_options={"allow_http": True, "allow_invalid_certificates": True},
    retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=60)},
)


def stored(key: str) -> bytes:
    return bytes(obstore.get(store, key).bytes())


def transfers() -> None:
    """Objects in one request and in parts, and parts of them."""
    obstore.put(store, "small", blob(1000))
    obstore.put(store, "large", blob(SIZE), use_multipart=True, chunk_size=5 * MIB, max_concurrency=3)
    obstore.put(store, "empty", b"")
    for key, size in (("small", 1000), ("large", SIZE), ("empty", 0)):
        assert obstore.head(store, key)["size"] == size
        assert same(stored(key), size), key
    assert bytes(obstore.get_range(store, "large", start=5 * MIB, end=5 * MIB + 10)) == blob(SIZE)[5 * MIB :][:10]
    parts = obstore.get_ranges(store, "large", starts=[0, SIZE - 5], lengths=[5, 5])
    assert [bytes(part) for part in parts] == [blob(SIZE)[:5], blob(SIZE)[-5:]]


def conditions() -> None:
    """Writes that create, and that replace only what the client knows."""
    first = obstore.put(store, "a", b"1", mode="create")
    try:
        obstore.put(store, "a", b"2", mode="create")
    except AlreadyExistsError:
        pass
    else:
        raise AssertionError("created twice")
    obstore.put(store, "a", b"3", mode={"e_tag": first["e_tag"]})
    try:
        obstore.put(store, "a", b"4", mode={"e_tag": first["e_tag"]})
    except PreconditionError:
        pass
    else:
        raise AssertionError("replaced what had changed")
    assert stored("a") == b"3"


def lists() -> None:
    """Lists in pages, after a key, and of folders; and deletes of many at once."""
    wanted = [f"{folder}/{number} ü" for folder in "ab" for number in range(5)]
    for key in wanted:
        obstore.put(store, key, key.encode())
    listed = [found["path"] for page in obstore.list(store, chunk_size=3) for found in page]
    assert listed == wanted
    assert [found["path"] for page in obstore.list(store, offset=wanted[6]) for found in page] == wanted[7:]
    assert obstore.list_with_delimiter(store)["common_prefixes"] == ["a", "b"]
    obstore.delete(store, wanted[:-1])
    assert [found["path"] for page in obstore.list(store) for found in page] == wanted[-1:]


def moves() -> None:
    """Copies, moves, and URLs that need no key."""
    obstore.put(store, "a ü", blob(1000), attributes={"Content-Type": "text/plain"})
    obstore.copy(store, "a ü", "b")
    obstore.rename(store, "b", "c")
    assert same(stored("c"), 1000)
    assert obstore.get(store, "c").attributes["Content-Type"] == "text/plain"
    try:
        obstore.head(store, "b")
    except (NotFoundError, FileNotFoundError):
        pass
    else:
        raise AssertionError("moved, but still there")
    status, body = request("GET", obstore.sign(store, "GET", "c", timedelta(minutes=1)))
    assert status == 200
    assert same(body, 1000)


if __name__ == "__main__":
    run(globals())
