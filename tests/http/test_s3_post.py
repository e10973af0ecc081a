"""Uploads by forms of browsers: made by botocore, sent by httpx, and by hand where they are hostile."""

import base64
import hashlib
import itertools
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from botocore.exceptions import ClientError
from defusedxml.ElementTree import fromstring

from tests.http.s3_client import code_of, key_pair, refused, s3_client
from tests.http.server import Server
from tests.http.wire import answer
from tests.unit.test_s3_post import BOUNDARY, encoded

NUMBERS = itertools.count()
DATA = os.urandom(100_000)
TAGS = "<Tagging><TagSet><Tag><Key>a</Key><Value>1 ü</Value></Tag></TagSet></Tagging>"
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
ANY_SIZE = ["content-length-range", 0, 10**9]


@pytest.fixture(scope="module")
def s3(server: Server) -> Any:
    return s3_client(server)


@pytest.fixture
def bucket(s3: Any) -> str:
    """The name of a new bucket."""
    name = f"forms-{next(NUMBERS)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def browser(server: Server) -> Iterator[httpx.Client]:
    """A client without credentials."""
    with server.anybody() as client:
        yield client


def made(s3: Any, bucket: str, key: str, conditions: list[Any] | None = None, **fields: str) -> dict[str, str]:
    """Return the fields of a form. Those that are passed get a condition each. A name has `_` in place of `-`."""
    named = {name if name.startswith("success") else name.replace("_", "-"): value for name, value in fields.items()}
    more = [*({name: value} for name, value in named.items()), *(conditions or [])]
    post = s3.generate_presigned_post(bucket, key, Fields=dict(named), Conditions=more)
    found: dict[str, str] = post["fields"]
    return found


def send(
    browser: httpx.Client, bucket: str, fields: dict[str, str], data: bytes = DATA, name: str = "a b.txt", **more: Any
) -> httpx.Response:
    return browser.post(f"/{bucket}", data=fields, files={"file": (name, data, "image/png")}, **more)


def absent(s3: Any, bucket: str, key: str) -> bool:
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        return refused(error)[0] == 404
    return False


def test_a_form_stores_an_object_with_all_that_its_fields_say(s3: Any, bucket: str, browser: httpx.Client) -> None:
    sha256 = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    fields = made(
        s3,
        bucket,
        "user/${filename}",
        acl="private",
        Content_Type="text/plain",
        Cache_Control="no-store",
        Content_Disposition="attachment",
        Content_Encoding="gzip",
        Content_MD5=base64.b64encode(hashlib.md5(DATA, usedforsecurity=False).digest()).decode(),
        x_amz_checksum_sha256=sha256,
        x_amz_meta_by="Ada ü",
        tagging=TAGS,
    )
    response = send(browser, bucket, fields)
    md5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    assert (response.status_code, response.content, response.headers["etag"]) == (204, b"", f'"{md5}"')
    assert response.headers["x-amz-checksum-sha256"] == sha256
    assert response.headers["location"] == f"{browser.base_url}/{bucket}/user/a%20b.txt"
    stored = s3.get_object(Bucket=bucket, Key="user/a b.txt", ChecksumMode="ENABLED")
    assert (stored["Body"].read(), stored["ETag"], stored["ChecksumSHA256"]) == (DATA, f'"{md5}"', sha256)
    kept = [stored[name] for name in ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding")]
    assert kept == ["text/plain", "no-store", "attachment", "gzip"]
    assert stored["Metadata"]["by"].encode("latin-1").decode() == "Ada ü"
    assert s3.get_object_tagging(Bucket=bucket, Key="user/a b.txt")["TagSet"] == [{"Key": "a", "Value": "1 ü"}]


def test_the_content_type_is_in_the_fields_only(s3: Any, bucket: str, browser: httpx.Client) -> None:
    # The policy has no condition on the header of the part.
    assert send(browser, bucket, made(s3, bucket, "a")).status_code == 204
    assert s3.head_object(Bucket=bucket, Key="a")["ContentType"] == "binary/octet-stream"


@pytest.mark.parametrize("status", ["200", "201", "204", "404", ""])
def test_the_form_chooses_the_status(s3: Any, bucket: str, browser: httpx.Client, status: str) -> None:
    response = send(browser, bucket, made(s3, bucket, "a&b/<c>", success_action_status=status))
    assert response.status_code == (int(status) if status in ("200", "201") else 204)
    if status != "201":
        assert response.content == b""
        return
    document = fromstring(response.content)
    assert document.tag == "PostResponse"
    assert {each.tag: each.text for each in document} == {
        "Location": response.headers["location"],
        "Bucket": bucket,
        "Key": "a&b/<c>",
        "ETag": response.headers["etag"],
    }
    assert response.headers["content-type"] == "application/xml"
    assert browser.get(response.headers["location"]).status_code == 404, "it has no credential"


@pytest.mark.parametrize("name", ["success_action_redirect", "redirect"])
def test_the_browser_is_sent_where_the_policy_says(s3: Any, bucket: str, browser: httpx.Client, name: str) -> None:
    fields = made(s3, bucket, "a b", None, **{name: "https://example.com/done?x=1"}, success_action_status="200")
    response = send(browser, bucket, fields)
    assert (response.status_code, response.content) == (303, b"")
    target = urlsplit(response.headers["location"])
    assert (target.scheme, target.netloc, target.path) == ("https", "example.com", "/done")
    sent = {"x": ["1"], "bucket": [bucket], "key": ["a b"], "etag": [response.headers["etag"]]}
    assert parse_qs(target.query) == sent
    fields = made(s3, bucket, "a b", None, **{name: "javascript:alert(1)"}, success_action_status="200")
    response = send(browser, bucket, fields)
    assert (response.status_code, response.headers["location"]) == (200, f"{browser.base_url}/{bucket}/a%20b")


def test_a_large_file_is_stored(s3: Any, bucket: str, browser: httpx.Client) -> None:
    data = DATA * 200
    assert send(browser, bucket, made(s3, bucket, "a", [ANY_SIZE]), data).status_code == 204
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == data
    assert send(browser, bucket, made(s3, bucket, "a", [ANY_SIZE]), b"").status_code == 204
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b""


def test_nothing_but_the_policys_form_is_taken(s3: Any, bucket: str, browser: httpx.Client) -> None:
    fields = made(s3, bucket, "user/${filename}", Content_Type="image/png")
    other = f"{bucket}-other"
    s3.create_bucket(Bucket=other)
    denied = (403, "AccessDenied")
    for changed in (
        {"key": "other"},
        {"Content-Type": "text/html"},
        {"x-amz-meta-a": "b"},
        {"acl": "private"},
        {"success_action_redirect": "https://example.com"},
        {"bucket": other},
        {"Content-Encoding": "gzip"},
        {"tagging": TAGS},
        {"x-amz-date": "20260101T000000Z", "x-amz-credential": fields["x-amz-credential"]},
    ):
        assert code_of(send(browser, bucket, fields | changed)) in (denied, (400, "InvalidArgument")), changed
    del fields["Content-Type"]
    assert code_of(send(browser, bucket, fields)) == denied
    fields = made(s3, bucket, "user/${filename}")
    assert code_of(send(browser, other, fields)) == denied
    assert absent(s3, bucket, "user/a b.txt")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == s3.list_objects_v2(Bucket=other)["KeyCount"] == 0
    assert send(browser, bucket, fields | {"x-ignore-a": "b"}).status_code == 204


def test_a_form_without_a_valid_credential_is_refused(server: Server, s3: Any, bucket: str) -> None:
    key_id, secret = key_pair(server)
    with server.anybody() as browser:
        fields = made(s3, bucket, "a")
        assert code_of(send(browser, bucket, {"key": "a", "acl": "public-read"})) == (403, "AccessDenied")
        policy = {"policy": fields["policy"]}
        old = {"key": "a", "AWSAccessKeyId": key_id, "signature": "bWFjIG9mIHNoYTE=", **policy}
        assert code_of(send(browser, bucket, old)) == (403, "AccessDenied")
        assert code_of(send(browser, bucket, fields | {"x-amz-security-token": "t"})) == (400, "InvalidToken")
        wrong = s3_client(server, (key_id, secret[::-1]))
        assert code_of(send(browser, bucket, made(wrong, bucket, "a"))) == (403, "SignatureDoesNotMatch")
        unknown = s3_client(server, ("a" * 16, secret))
        assert code_of(send(browser, bucket, made(unknown, bucket, "a"))) == (403, "InvalidAccessKeyId")
        for name in ("policy", "x-amz-signature", "x-amz-credential"):
            place = len(fields[name]) // 2
            character = "a" if fields[name][place] != "a" else "b"
            altered = f"{fields[name][:place]}{character}{fields[name][place + 1 :]}"
            assert send(browser, bucket, fields | {name: altered}).status_code in (400, 403), name
            rest = {each: value for each, value in fields.items() if each != name}
            assert code_of(send(browser, bucket, rest)) == (400, "InvalidArgument"), name
        signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20261128/us-east-1/s3/aws4_request"}
        assert send(browser, bucket, fields, headers=signed).status_code in (400, 403)
        url = s3.generate_presigned_url("head_bucket", {"Bucket": bucket}, HttpMethod="POST")
        assert code_of(browser.post(url, data=fields, files={"file": b"x"})) == (403, "AccessDenied")
    assert absent(s3, bucket, "a")


def test_an_expired_policy_is_refused(s3: Any, bucket: str, browser: httpx.Client) -> None:
    post = s3.generate_presigned_post(bucket, "a", ExpiresIn=-1)
    assert code_of(send(browser, bucket, post["fields"])) == (403, "AccessDenied")
    assert absent(s3, bucket, "a")


def test_the_rights_are_those_of_the_key(server: Server, s3: Any, bucket: str, browser: httpx.Client) -> None:
    denied = (403, "AccessDenied")
    reader = s3_client(server, key_pair(server, "read", "list"))
    assert code_of(send(browser, bucket, made(reader, bucket, "a"))) == denied
    limited = s3_client(server, key_pair(server, "write", prefixes=[f"{bucket}/films/"]))
    assert code_of(send(browser, bucket, made(limited, bucket, "a"))) == denied
    assert send(browser, bucket, made(limited, bucket, "films/a")).status_code == 204
    small = s3_client(server, key_pair(server, limits={"max_blob_bytes": 10}))
    assert code_of(send(browser, bucket, made(small, bucket, "a"))) == (400, "EntityTooLarge")
    quota = s3_client(server, key_pair(server, limits={"quota_bytes": 10}))
    assert code_of(send(browser, bucket, made(quota, bucket, "a"))) == (403, "QuotaExceeded")
    assert code_of(send(browser, f"{bucket}-none", made(s3, f"{bucket}-none", "a"))) == (404, "NoSuchBucket")
    assert absent(s3, bucket, "a")


def test_the_rate_of_the_key_holds(server: Server, bucket: str, browser: httpx.Client) -> None:
    pair = key_pair(server, limits={"requests_per_second": 1.0})
    fields = made(s3_client(server, pair), bucket, "a")
    codes = [code_of(send(browser, bucket, fields, b"x")) for _ in range(5)]
    assert (503, "SlowDown") in codes


def test_a_revoked_key_has_no_forms(server: Server, client: httpx.Client, bucket: str, browser: httpx.Client) -> None:
    pair = key_pair(server)
    fields = made(s3_client(server, pair), bucket, "a")
    assert send(browser, bucket, fields).status_code == 204
    client.delete(f"/v1/keys/{pair[0]}")
    assert code_of(send(browser, bucket, fields)) == (403, "InvalidAccessKeyId")


@pytest.mark.parametrize(
    ("fields", "conditions", "code"),
    [
        ({}, [["content-length-range", 0, len(DATA) - 1]], "EntityTooLarge"),
        ({}, [["content-length-range", len(DATA) + 1, 10**9]], "EntityTooSmall"),
        ({}, [["content-length-range", 0, 9], ["content-length-range", 10**6, 10**7]], "EntityTooSmall"),
        ({"Content_MD5": "1B2M2Y8AsgTpgAmY7PhCfg=="}, [], "BadDigest"),
        ({"Content_MD5": "x"}, [], "InvalidDigest"),
        ({"x_amz_checksum_crc32": "AAAAAA=="}, [], "BadDigest"),
        ({"x_amz_checksum_sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}, [], "BadDigest"),
        ({"x_amz_checksum_crc32": "AAAAAA==", "x_amz_checksum_sha1": "x"}, [], "InvalidRequest"),
        ({"acl": "public-read"}, [], "AccessControlListNotSupported"),
        ({"x_amz_storage_class": "GLACIER"}, [], "InvalidStorageClass"),
        ({"x_amz_server_side_encryption": "AES256"}, [], "NotImplemented"),
        ({"tagging": "<Tagging>"}, [], "MalformedXML"),
        ({"tagging": TAGS.replace("<Key>a", "<Key>aws:a")}, [], "InvalidTag"),
        ({"x_amz_meta_a": "x" * 3000}, [], "MetadataTooLarge"),
        ({"x_amz_meta_a": "x\r\ny"}, [], "InvalidArgument"),
        ({"x_amz_meta_(a)": "x"}, [], "InvalidArgument"),
        ({"Content_Type": "text/plain\r\nSet-Cookie: a=b"}, [], "InvalidArgument"),
        ({"Cache_Control": "ü"}, [], "InvalidArgument"),
    ],
)
def test_what_is_not_as_declared_or_not_supported_is_not_stored(
    s3: Any, bucket: str, browser: httpx.Client, fields: dict[str, str], conditions: list[Any], code: str
) -> None:
    response = send(browser, bucket, made(s3, bucket, "a", conditions, **fields))
    assert code_of(response) == (501 if code == "NotImplemented" else 400, code)
    assert absent(s3, bucket, "a")


@pytest.mark.parametrize("key", ["a\x00b", "a\r\nb", "\x7f", "x" * 1025, "ü" * 513, ""])
def test_keys_that_no_object_can_have_are_refused(s3: Any, bucket: str, browser: httpx.Client, key: str) -> None:
    fields = s3.generate_presigned_post(bucket, "${filename}")["fields"] | {"key": key}
    body = encoded(*((name, value.encode()) for name, value in fields.items()), ("file", b"x"))
    assert browser.post(f"/{bucket}", content=body, headers=FORM).status_code == 400
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def parts_of(fields: dict[str, str]) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in fields.items()]


def test_hostile_forms_are_refused(s3: Any, bucket: str, browser: httpx.Client) -> None:
    fields, file = parts_of(made(s3, bucket, "a")), ("file", b"bytes")
    whole = encoded(*fields, file)

    def code(body: bytes, **headers: str) -> tuple[int, str]:
        return code_of(browser.post(f"/{bucket}", content=body, headers=FORM | headers))

    assert code(encoded(*fields)) == (400, "IncorrectNumberOfFilesInPostRequest")
    assert code(encoded(file, *fields)) == (400, "InvalidArgument")
    assert code(encoded(*fields, ("key", b"a"), file)) == (400, "InvalidArgument")
    assert code(encoded(*fields, file, file)) == (400, "IncorrectNumberOfFilesInPostRequest")
    assert code(encoded(("a", bytes(30_000)), *fields, file)) == (400, "MaxPostPreDataLengthExceededError")
    assert code(encoded(*fields, file, boundary="x")) == (400, "MalformedPOSTRequest")
    assert code(whole[:-10]) == (400, "MalformedPOSTRequest")
    assert code(b"") == (400, "MalformedPOSTRequest")
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; a"):
        assert code(whole, **{"content-type": content_type}) == (400, "MalformedPOSTRequest")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert code(whole) == (204, "")


def head(bucket: str, size: int) -> bytes:
    lines = [f"POST /{bucket} HTTP/1.1", "Host: test", f"Content-Type: {FORM['content-type']}"]
    return "\r\n".join([*lines, f"Content-Length: {size}", "", ""]).encode()


def test_a_file_that_is_too_large_is_refused_at_once(own_server: Server) -> None:
    s3 = s3_client(own_server)
    s3.create_bucket(Bucket="films")
    fields = made(s3, "films", "a", [["content-length-range", 0, 10]])
    beginning = encoded(*parts_of(fields), ("file", bytes(100_000)), end=b"").removesuffix(
        f"\r\n--{BOUNDARY}--".encode()
    )
    with own_server.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(head("films", 10**9) + beginning)
        refusal = answer(stream)
    assert (refusal.status, b"<Code>EntityTooLarge</Code>" in refusal.body) == (400, True)
    own_server.wait_until_left(blobs=0)


def test_a_form_that_breaks_off_leaves_nothing(own_server: Server) -> None:
    s3 = s3_client(own_server)
    s3.create_bucket(Bucket="films")
    body = encoded(*parts_of(made(s3, "films", "a")), ("file", DATA))
    for sent in (10, len(body) - len(DATA), len(body) - 1000, len(body) - 3):
        with own_server.connect() as connection:
            connection.sendall(head("films", len(body)) + body[:sent])
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1000)
    own_server.wait_until_left(blobs=0)
    with own_server.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(head("films", len(body)) + body)
        assert answer(stream).status == 204


def test_the_key_is_in_the_audit_trail(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with Server(tmp_path, AUDIT_LOG=str(audit)) as server, server.anybody() as browser:
        pair = key_pair(server)
        s3 = s3_client(server, pair)
        s3.create_bucket(Bucket="films")
        sent = send(browser, "films", made(s3, "films", "a"))
        request_id = sent.headers["x-amz-request-id"]
        server.wait_until(lambda: request_id in audit.read_text())
        assert server.logged(request_id)["route"] == "s3:PostObject"
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    [line] = [line for line in lines if line["request_id"] == request_id]
    assert (line["action"], line["outcome"], line["key"], line["via"]) == ("write", "ok", pair[0], "signature")
