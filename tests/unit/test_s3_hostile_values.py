"""Values made to keep the S3 interface busy: none takes time that grows faster than its length."""

import ast
import itertools
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, quote_from_bytes, unquote_to_bytes

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from application.access.keys import NewKey
from domain.access import EVERYTHING, Action
from domain.blob import LAST
from entrypoints.composition.container import Container
from entrypoints.config.settings import Settings
from entrypoints.config.values import hashed
from entrypoints.http.app import create_asgi
from entrypoints.http.s3.auth import credentials, payloads, signatures
from entrypoints.http.s3.bodies.aws_chunked import Decoder
from entrypoints.http.s3.buckets import cors
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.objects import properties, reading
from entrypoints.http.s3.xml import parse
from tests.asgi import Unslowed, serving
from tests.deadline import in_time
from tests.unit.test_hostile_values import S3, SECONDS, constants, headers_read, hostile

SOURCES = sorted(S3.rglob("*.py"))
MIB = 1024 * 1024
DOMAIN = "s3.test"
PAYLOAD = payloads.STREAMING_UNSIGNED_TRAILER
CHUNKED = {"x-amz-content-sha256": PAYLOAD, "x-amz-decoded-content-length": "1"}


class Operation(NamedTuple):
    """A request that succeeds, or fails late: it gets to everything that its operation reads."""

    method: str
    target: bytes = b"/films/a"
    headers: Mapping[str, str] = {}
    body: bytes = b""

    def with_value(self, name: str, value: str) -> "Operation":
        return self._replace(headers={**self.headers, name: value})

    def with_query(self, name: str, raw: bytes) -> "Operation":
        separator = b"&" if b"?" in self.target else b"?"
        return self._replace(target=b"%b%b%b=%b" % (self.target, separator, name.encode(), raw))


SERVICE = Operation("GET", b"/")
LIST = Operation("GET", b"/films")
LIST_V2 = Operation("GET", b"/films?list-type=2")
VERSIONS = Operation("GET", b"/films?versions")
UPLOADS = Operation("GET", b"/films?uploads")
PARTS = Operation("GET", b"/films/of-parts?uploadId={upload}")
GET = Operation("GET")
OF_PAGE = Operation("GET", headers={"origin": "https://a.test"})
PREFLIGHT = Operation("OPTIONS", headers={"origin": "https://a.test", "access-control-request-method": "PUT"})
DELETE = Operation("DELETE", headers={"x-amz-if-match-size": "2"})
PUT = Operation("PUT", b"/films/b", body=b"x")
PUT_CHUNKED = Operation("PUT", b"/films/b", CHUNKED, b"1\r\nx\r\n0\r\n")
COPY = Operation("PUT", b"/films/c", {"x-amz-copy-source": "films/a"})
COPY_PART = Operation("PUT", b"/films/of-parts?partNumber=2&uploadId={upload}", COPY.headers)
ATTRIBUTES = Operation("GET", b"/films/a?attributes", {"x-amz-object-attributes": "ObjectParts"})
CREATE = Operation("POST", b"/films/new?uploads")
COMPLETE = Operation(
    "POST",
    b"/films/of-parts?uploadId={upload}",
    {"if-match": '"another"'},  # so it fails, at last
    b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>9dd4e461268c8034f5c8564e155c67a6</ETag></Part>"
    b"</CompleteMultipartUpload>",
)
BUCKET = Operation("PUT", b"/films-2")
POST = Operation("POST", b"/films", body=b"--b\r\n")

TYPES = ["", "text/plain", "text/plain;"]
TAGS = ["", '"a"', 'W/"a"']
DATES = ["", "Sat, ", "Sat Oct "]
NUMBERS = ["", "1"]
BASE64 = ["", "AAAA"]

# Headers that signed requests may have, the operations that read them, and the beginnings of their values.
HEADERS: dict[str, list[tuple[Operation, list[str]]]] = {
    "access-control-request-headers": [(PREFLIGHT, ["", "a,"])],
    "access-control-request-method": [(PREFLIGHT, [""])],
    "cache-control": [(PUT, TYPES)],
    "content-disposition": [(PUT, [*TYPES, "attachment; a="])],
    "content-encoding": [(PUT, ["", "aws-chunked,", "gzip,"])],
    "content-language": [(PUT, TYPES)],
    "content-length": [],  # the HTTP server takes digits only, of 64 bits
    "content-md5": [(PUT, BASE64)],
    "content-type": [(PUT, TYPES), (POST, ["multipart/form-data; boundary=", 'multipart/form-data; boundary="'])],
    "expires": [(PUT, DATES)],
    "if-match": [(GET, TAGS), (PUT, TAGS), (DELETE, TAGS)],
    "if-modified-since": [(GET, DATES)],
    "if-none-match": [(GET, TAGS), (PUT, TAGS)],
    "if-range": [(GET.with_value("range", "bytes=0-0"), TAGS)],
    "if-unmodified-since": [(GET, DATES)],
    "origin": [(OF_PAGE, ["", "https://"]), (PREFLIGHT, ["", "https://"])],
    "range": [(GET, ["bytes", "bytes=", "bytes=0-"])],
    "transfer-encoding": [],  # the HTTP server takes `chunked` only
    "x-amz-acl": [(PUT, [""]), (BUCKET, [""])],
    "x-amz-bucket-object-lock-enabled": [(BUCKET, [""])],
    "x-amz-checksum-algorithm": [(CREATE, ["", "CRC32"])],
    "x-amz-checksum-crc32": [(PUT, BASE64), (COMPLETE, BASE64)],
    "x-amz-checksum-mode": [(GET, [""])],
    "x-amz-checksum-other": [(PUT, [""])],
    "x-amz-checksum-type": [(CREATE, [""]), (COMPLETE, [""])],
    "x-amz-copy-source": [(COPY, ["", "films/", "films/a?", "films/a?versionId=", "/"])],
    "x-amz-copy-source-if-match": [(COPY, TAGS)],
    "x-amz-copy-source-if-modified-since": [(COPY, DATES)],
    "x-amz-copy-source-if-none-match": [(COPY, TAGS)],
    "x-amz-copy-source-if-unmodified-since": [(COPY, DATES)],
    "x-amz-copy-source-range": [(COPY_PART, ["bytes=", "bytes=0-"])],
    "x-amz-decoded-content-length": [(PUT_CHUNKED, NUMBERS)],
    "x-amz-expected-bucket-owner": [(GET, [""])],
    "x-amz-source-expected-bucket-owner": [(COPY, [""])],
    "x-amz-if-match-last-modified-time": [(DELETE, [*DATES, "2030-01-31T12:00:00", "2030-01-31T12:00:00."])],
    "x-amz-if-match-size": [(DELETE, NUMBERS)],
    "x-amz-max-parts": [(ATTRIBUTES, NUMBERS)],
    "x-amz-meta-a": [(PUT, ["", "%C3"])],
    "x-amz-metadata-directive": [(COPY, ["", "COPY"])],
    "x-amz-mp-object-size": [(COMPLETE, NUMBERS)],
    "x-amz-object-attributes": [(ATTRIBUTES, ["", "ETag,"])],
    "x-amz-object-lock-mode": [(PUT, [""])],
    "x-amz-part-number-marker": [(ATTRIBUTES, NUMBERS)],
    "x-amz-sdk-checksum-algorithm": [(PUT.with_value("x-amz-checksum-crc32", "jNwbgw=="), ["", "CRC32"])],
    "x-amz-storage-class": [(PUT, ["", "STANDARD"])],
    "x-amz-tagging": [(PUT, ["", "a=b&"])],
    "x-amz-tagging-directive": [(COPY, [""])],
    "x-amz-trailer": [(PUT_CHUNKED, ["", "x-amz-checksum-crc32,"])],
}
# Headers by which requests are signed. TestCredentials has their values.
CREDENTIALS = {"authorization", "date", "host", "x-amz-content-sha256", "x-amz-date"}
# Headers, and beginnings of headers, of whose values nothing is read.
NAMES_ONLY = {*properties.REFUSED, *signatures._TOKENS, "x-amz-", "x-amz-checksum-", "x-amz-meta-"} | {
    *("x-amz-copy-source-", "x-amz-object-lock-", "x-amz-if-match-initiated-time")
}
# Headers that the sources read by names that are put together, or come from elsewhere.
BY_PARTS = {name for name in HEADERS if name.startswith("x-amz-copy-source-if-")} | {
    *("x-amz-checksum-crc32", "x-amz-checksum-other", "x-amz-meta-a", "x-amz-object-lock-mode"),
    *("content-length", "date", "if-modified-since", "if-unmodified-since"),
}
OF_RESPONSES = {"x-amz-bucket-region", "x-amz-expiration", "x-amz-id-2", "x-amz-mp-parts-count", "x-amz-request-id"} | {
    "x-amz-tagging-count"
}
OF_FORMS = {"x-amz-algorithm", "x-amz-credential", "x-amz-signature"}  # see TestForms
OF_TRAILERS = {"x-amz-trailer-signature"}  # see TestBodies
# Texts that are names of something else, or of a condition in an error.
OTHER_TEXTS = {"$", "grantee", "x-amz-copy-source-if-none-match"}
HEADER_NAME = re.compile("x-amz-[a-z0-9-]*")
# Most parameters are compared with a few words, so fewer units do.
FEW_UNITS = [" ", ",", '"', "%", "%41", "+", "/", "0", "a", "a/", "é", "=", ";"]

# Parameters whose values are read, and the operations that do so.
PARAMETERS: dict[str, list[Operation]] = {
    "continuation-token": [SERVICE, LIST_V2],
    "delimiter": [LIST, LIST_V2, VERSIONS, UPLOADS],
    "encoding-type": [LIST, UPLOADS],
    "fetch-owner": [LIST_V2],
    "key-marker": [VERSIONS, UPLOADS],
    "marker": [LIST],
    "max-buckets": [SERVICE],
    "max-keys": [LIST],
    "max-parts": [PARTS],
    "max-uploads": [UPLOADS],
    "part-number-marker": [PARTS],
    "partNumber": [GET, Operation("PUT", b"/films/of-parts?uploadId={upload}", body=b"x")],
    "prefix": [SERVICE, LIST, LIST_V2, VERSIONS, UPLOADS],
    "start-after": [LIST_V2],
    "upload-id-marker": [UPLOADS.with_query("key-marker", b"a")],
    "uploadId": [GET, Operation("PUT", b"/films/a?partNumber=1", body=b"x")],
    "version-id-marker": [VERSIONS],
    "versionId": [GET],
    **{name: [GET] for name in reading.OVERRIDES},
}
SIGNED_PARAMETERS = {*(name.decode() for name in signatures._QUERY), "X-Amz-Signature"}

LIST_TEXTS = [LAST, LAST * 100, "a" + LAST, "\ud7ff", "\ue000", "\0", "\x01", "a\0", "\x7f", "/" * 1024, "a" * 5000]
LIST_BYTES = [*(quote(text).encode() for text in LIST_TEXTS), b"%ED%A0%80", b"%ED%BF%BF", b"%F4%90%80%80", b"%FF", b"%"]


class Signer(S3SigV4Auth):
    """Signs requests with bodies of any payload, and targets that are not encoded as they should be."""

    query = b""

    def payload(self, request: Any) -> str:
        given: str = request.context.get("payload") or super().payload(request)
        return given

    def canonical_query_string(self, request: Any) -> str:
        pairs = [part.partition(b"=")[::2] for part in self.query.replace(b"+", b"%20").split(b"&") if part]
        encoded = sorted(tuple(quote_from_bytes(unquote_to_bytes(each), safe="~") for each in pair) for pair in pairs)
        return "&".join("=".join(pair) for pair in encoded)


class App:
    """The application without a server, with a bucket `films`, and an object and an upload in it."""

    def __init__(self, app: Any, key_id: str, secret: str) -> None:
        self._app = app
        self.key_id = key_id
        self._signer = Signer(Credentials(key_id, secret), "s3", "us-east-1")
        self._upload = b""

    @classmethod
    @asynccontextmanager
    async def running(cls, **settings: Any) -> AsyncIterator["App"]:
        containers = list[Container]()

        def configure(container: Container) -> None:
            container.failed_authentications.override(Unslowed())
            containers.append(container)

        app = create_asgi(Settings(storage="memory", tokens=(hashed("token"),), **settings), configure)
        async with serving(app):
            issued = await containers[0].keys().create(EVERYTHING, NewKey("s3", frozenset(Action)))
            running = cls(app, issued.key.id, issued.secret)
            for setup in (LIST._replace(method="PUT"), GET._replace(method="PUT", body=b"x")):
                assert (await running.signed(setup))[0] == 200
            cors = b"<CORSConfiguration><CORSRule><AllowedOrigin>https://*</AllowedOrigin><AllowedMethod>PUT"
            cors += b"</AllowedMethod><AllowedHeader>*</AllowedHeader></CORSRule></CORSConfiguration>"
            await running.signed(Operation("PUT", b"/films?cors", body=cors))
            begin = Operation("POST", b"/films/of-parts?uploads", {"x-amz-checksum-algorithm": "CRC32"})
            begun = (await running.signed(begin))[1]
            running._upload = begun.partition(b"<UploadId>")[2].partition(b"<")[0]
            part = Operation("PUT", b"/films/of-parts?partNumber=1&uploadId={upload}", body=b"x")
            assert (await running.signed(part))[0] == 200
            yield running

    async def signed(self, asked: Operation) -> tuple[int, bytes]:
        """Send a request with a valid signature. Returns the status and the body of the response."""
        headers = dict(asked.headers)
        target = asked.target.replace(b"{upload}", self._upload)
        path, _, self._signer.query = target.partition(b"?")
        url = f"http://test{quote_from_bytes(unquote_to_bytes(path), safe='/~')}"
        payload = headers.pop("x-amz-content-sha256", None)
        request = AWSRequest(asked.method, url, headers={"host": "test", **headers}, data=asked.body)
        request.context["payload"] = payload
        self._signer.add_auth(request)
        return await self.sent(asked._replace(target=target, headers=dict(request.headers.items())))

    async def sent(self, asked: Operation) -> tuple[int, bytes]:
        """Send a request as it is. Fails if the response takes too much of the processor, or is an internal error."""
        path, _, query = asked.target.partition(b"?")
        headers = {"host": "test", "content-length": str(len(asked.body)), **asked.headers}
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": "1.1",
            "method": asked.method,
            "scheme": "http",
            "path": path.decode("latin-1"),
            "raw_path": path,
            "query_string": query,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        }
        status, body = 0, b""

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": asked.body, "more_body": False}

        async def send(message: Any) -> None:
            nonlocal status, body
            status = message.get("status", status)
            body += message.get("body", b"")

        for attempt in in_time(SECONDS):
            with attempt:
                status, body = 0, b""
                await self._app(scope, receive, send)
        assert status != 500, (asked.method, asked.target[:200], body[:500])
        assert b"<Code>SignatureDoesNotMatch" not in body or "0" * 64 in str(headers) + str(query), body[:3000]
        return status, body


class TestSignedRequests:
    @pytest.mark.parametrize("name", [name for name in HEADERS if HEADERS[name]])
    async def test_headers(self, name: str) -> None:
        async with App.running() as app:
            for operation, beginnings in HEADERS[name]:
                for value in hostile(beginnings):
                    ask = app.sent if operation.method == "OPTIONS" else app.signed
                    await ask(operation.with_value(name, value))

    @pytest.mark.parametrize("name", [*PARAMETERS])
    async def test_parameters(self, name: str) -> None:
        async with App.running() as app:
            for operation in PARAMETERS[name]:
                for value in hostile([""], FEW_UNITS):
                    await app.signed(operation.with_query(name, value.encode()))
                for raw in LIST_BYTES:
                    await app.signed(operation.with_query(name, raw))

    async def test_queries(self) -> None:
        async with App.running() as app:
            for value in hostile(["", "prefix="], ["&", "&a=", "=", "&&a", "%", "+"]):
                await app.signed(LIST._replace(target=b"/films?" + value.encode()))

    async def test_tokens_of_pages(self) -> None:
        texts = [*hostile([""], FEW_UNITS), *LIST_TEXTS]
        tokens = [urlsafe_b64encode(text.encode("utf-8", "surrogatepass")) for text in texts]
        tokens += [urlsafe_b64encode(raw) for raw in (b"\xff", b"\xed\xa0\x80", b"\xf4\x90\x80\x80")]
        async with App.running() as app:
            for operation, token in itertools.product([SERVICE, LIST_V2], tokens):
                await app.signed(operation.with_query("continuation-token", token))

    async def test_texts_of_lists_together(self) -> None:
        texts = [b"", *LIST_BYTES]
        async with App.running() as app:
            await app.signed(PUT._replace(target=b"/films/" + quote(LAST * 3).encode()))
            for prefix, delimiter, marker in itertools.product(texts, texts[:6], texts):
                asked = LIST.with_query("prefix", prefix).with_query("delimiter", delimiter)
                await app.signed(asked.with_query("marker", marker))

    async def test_paths(self) -> None:
        async with App.running() as app:
            for value in hostile(["/", "/films/"], FEW_UNITS):
                await app.signed(GET._replace(target=value.encode()))
            for raw in LIST_BYTES:
                await app.signed(GET._replace(target=b"/" + raw))
                await app.signed(GET._replace(target=b"/films/" + raw))


class TestCredentials:
    """Requests whose signature is refused, at the latest when it is compared."""

    async def test_authorization(self) -> None:
        scheme, scope, digits = signatures.ALGORITHM, f"{now():%Y%m%d}/us-east-1/s3/aws4_request", "0" * 64
        async with App.running() as app:
            known = f"{scheme} Credential={app.key_id}/{scope}"
            beginnings = ["AWS ", "AWS4", f"{scheme} ", f"{scheme} Credential=", f"{scheme} Credential={app.key_id}/"]
            beginnings += [known, f"{known}, SignedHeaders=host;", f"{known}, SignedHeaders=host, Signature="]
            ends = ["", f", SignedHeaders=host, Signature={digits}"]
            for value, end in itertools.product(hostile(beginnings), ends):
                await app.sent(GET._replace(headers={**dated(), "authorization": value + end}))

    @pytest.mark.parametrize("name", sorted(CREDENTIALS - {"authorization"}))
    async def test_other_headers(self, name: str) -> None:
        beginnings = {"host": ["", "[", f"a.{DOMAIN}", f"a.{DOMAIN}:"], "date": DATES}.get(name, ["", "2030"])
        async with App.running(s3_api_domain=DOMAIN) as app:
            ends = ["", f".{DOMAIN}:1"] if name == "host" else [""]
            for value, end in itertools.product(hostile(beginnings, FEW_UNITS), ends):
                headers = {**dated(), "authorization": authorization(app.key_id), name: value + end}
                if name == "date":
                    del headers["x-amz-date"]
                await app.sent(GET._replace(headers=headers))

    @pytest.mark.parametrize("name", sorted(SIGNED_PARAMETERS))
    async def test_parameters(self, name: str) -> None:
        async with App.running() as app:
            beginnings = {"X-Amz-SignedHeaders": ["", "host;"], "X-Amz-Credential": ["", f"{app.key_id}/"]}
            for value in hostile(beginnings.get(name, [""]), FEW_UNITS):
                given = {**presigned(app.key_id), name: value}
                await app.sent(GET._replace(target=target(given)))

    async def test_many_signed_names(self) -> None:
        # 40,000 names, and as many headers as a large head may have.
        names = ["host", *(f"{number:05}" for number in range(40_000))]
        headers = {f"x-amz-{number}": "" for number in range(10_000)}
        async with App.running() as app:
            await app.sent(
                GET._replace(headers={**headers, **dated(), "authorization": authorization(app.key_id, names)})
            )


class TestBodies:
    @pytest.mark.parametrize("is_signed", [True, False])
    @pytest.mark.parametrize(
        "beginning", ["", "1", "1;", "1;chunk-signature=", "1\r\n", "0\r\n", "0\r\na:", "0\r\n\r\n"]
    )
    def test_aws_chunked(self, beginning: str, is_signed: bool) -> None:
        digits = f";chunk-signature={'0' * 64}\r\n"
        beginning = beginning.replace("\r\n", digits, 1) if is_signed else beginning
        units = ["\r\n", "\n", f"1{digits}x\r\n", "1\r\nx\r\n", "x-amz-checksum-crc32:", "x-amz-trailer-signature:"]
        values = [*hostile([beginning]), *(beginning + unit * (100_000 // len(unit)) for unit in units)]
        for value in (each.encode() for each in values):
            for size in (len(value), 1):
                for attempt in in_time(SECONDS):
                    with attempt:
                        decode((value[start : start + size] for start in range(0, len(value), size)), is_signed)

    @pytest.mark.parametrize(
        ("beginning", "unit", "end"),
        [
            *(("", unit, "") for unit in ("<", "<a>", "&", "&#", "]]>", "<!--", "<?a", "<![CDATA[", "\0", "\ufffe")),
            *(
                ("<Delete>", unit, "</Delete>")
                for unit in ("<a/>", "<a></a>", "&lt;", "\r\n", "a", "<?a ?>", "<!---->")
            ),
            ("<Delete ", "a ", "/>"),
            ("<Delete a='", "&lt;", "'/>"),
            ("<Delete xmlns='", "a", "'/>"),
            ("<Delete>", "<Object><Key>a</Key></Object>", "</Delete>"),
            ("<Delete><Object>", "<Key>a</Key>", "</Object></Delete>"),
            ("<Delete><Object><Key>", "a", "</Key></Object></Delete>"),
            ("<Delete><Object><Key>a</Key>", "<ETag>a</ETag>", "</Object></Delete>"),
            ("<!DOCTYPE a [", '<!ENTITY a "b">', "]><Delete/>"),
        ],
    )
    async def test_documents(self, beginning: str, unit: str, end: str) -> None:
        body = (beginning + unit * (MIB // len(unit.encode())) + end).encode()
        async with App.running() as app:
            await app.signed(Operation("POST", b"/films?delete", body=body))

    @pytest.mark.parametrize("attribute", ["a{}='b'", "xmlns:a{}='b'"])
    def test_attributes(self, attribute: str) -> None:
        body = f"<Delete {' '.join(attribute.format(number) for number in range(50_000))}/>".encode()
        for attempt in in_time(SECONDS):
            with attempt, pytest.raises(S3Error, match="MalformedXML"):
                parse(body, "Delete")

    def test_deep_documents(self) -> None:
        depth = MIB // 7
        for attempt in in_time(SECONDS):
            with attempt, pytest.raises(S3Error, match="MalformedXML"):
                parse(b"<Delete>" + b"<a>" * depth + b"</a>" * depth + b"</Delete>", "Delete")

    @pytest.mark.parametrize(
        ("method", "query", "root"),
        [
            ("PUT", "", "CreateBucketConfiguration"),
            ("PUT", "?cors", "CORSConfiguration"),
            ("PUT", "?tagging", "Tagging"),
            ("PUT", "?acl", "AccessControlPolicy"),
            ("PUT", "/a?acl", "AccessControlPolicy"),
            ("PUT", "/a?tagging", "Tagging"),
            ("POST", "/of-parts?uploadId={upload}", "CompleteMultipartUpload"),
        ],
    )
    async def test_every_document(self, method: str, query: str, root: str) -> None:
        elements = {
            "CORSConfiguration": "<CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule>",
            "Tagging": "<TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet>",
            "AccessControlPolicy": "<AccessControlList><Grant><Grantee/></Grant></AccessControlList>",
            "CompleteMultipartUpload": "<Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>",
        }
        async with App.running() as app:
            for inner in (elements.get(root, "<LocationConstraint>a</LocationConstraint>"), "a", "<a/>"):
                body = f"<{root}>{inner * (MIB // len(inner))}</{root}>".encode()
                await app.signed(Operation(method, f"/films{query}".encode(), body=body))

    async def test_ten_thousand_parts(self) -> None:
        parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{'0' * 32}</ETag></Part>" for n in range(1, 10_001))
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        async with App.running() as app:
            status, response = await app.signed(COMPLETE._replace(body=body, headers={}))
        assert (status, b"<Code>InvalidPart</Code>" in response) == (400, True)

    async def test_a_thousand_deletes(self) -> None:
        keys = "".join(f"<Object><Key>{n}</Key></Object>" for n in range(1000))
        async with App.running() as app:
            for number in range(1000):
                await app.signed(PUT._replace(target=f"/films/{number}".encode()))
            status, response = await app.signed(
                Operation("POST", b"/films?delete", body=f"<Delete>{keys}</Delete>".encode())
            )
        assert (status, response.count(b"<Deleted>")) == (200, 1000)


class TestForms:
    """Fields of forms. Nothing in them is verified before all is read."""

    @pytest.mark.parametrize(
        "name",
        ["key", "policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-meta-a"],
    )
    async def test_fields(self, name: str) -> None:
        async with App.running() as app:
            for value in hostile([""], FEW_UNITS):
                await app.sent(form({**fields(app.key_id), name: value[:18_000]}))

    @pytest.mark.parametrize(
        "text",
        [
            *("[" * 13_000, '{"a":' * 2600, "\\" * 13_000, '"' + "\\$" * 6000 + '"', "1" * 13_000, "-" * 13_000),
            '{"expiration":"' + "2" * 13_000 + '"}',
            '{"expiration":"2030-01-01T00:00:00.' + "0" * 13_000 + 'Z"}',
            *(
                '{"expiration":"2030-01-01T00:00:00Z","conditions":[' + ",".join([each] * (12_000 // len(each))) + "]}"
                for each in ('{"key":"a"}', '["eq","$key","a"]', '["starts-with","$content-type",""]', "[]", "{}")
            ),
            '{"expiration":"2030-01-01T00:00:00Z","conditions":[["content-length-range",0,' + "9" * 12_000 + "]]}",
        ],
    )
    async def test_policies(self, text: str) -> None:
        async with App.running() as app:
            policy = b64encode(text.encode()).decode()
            await app.sent(form({**fields(app.key_id), "policy": policy, "content-type": "a," * 1000}))

    async def test_names_of_files(self) -> None:
        async with App.running() as app:
            for unit in (*FEW_UNITS, "${filename}", "\\"):
                for key in ("${filename}", "${filename}" * 1500, "$" * 15_000, "${" * 7000):
                    await app.sent(form({**fields(app.key_id), "key": key}, filename=unit * (10_000 // len(unit))))


class TestTheListsAreComplete:
    def test_headers(self) -> None:
        read = {name for path in SOURCES for name in (*headers_read(path), *_header_names(path))}
        read |= {*properties.KEPT, cors.ORIGIN, cors.METHOD, cors.HEADERS}
        listed = HEADERS.keys() | CREDENTIALS | NAMES_ONLY | OF_RESPONSES | OF_FORMS | OF_TRAILERS
        assert read - OF_QUERIES - OTHER_TEXTS == listed - BY_PARTS

    def test_parameters(self) -> None:
        read = {name for path in SOURCES for name in _parameters_read(path)}
        assert read | reading.OVERRIDES.keys() == PARAMETERS.keys()


OF_QUERIES = {name.lower() for name in SIGNED_PARAMETERS} - CREDENTIALS - OF_FORMS


def _header_names(path: Path) -> Iterator[str]:
    """Yield the texts in a module that may be names of headers of S3, or beginnings of them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.expr):
            yield from filter(HEADER_NAME.fullmatch, constants(node))


def _parameters_read(path: Path) -> Iterator[str]:
    """Yield the names of the parameters in a module whose values it looks up."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case (
                ast.Call(
                    ast.Attribute(ast.Name("query") | ast.Attribute(attr="query"), "get"), [ast.Constant(str(name)), *_]
                )
                | ast.Call(ast.Attribute(attr="number"), [ast.Constant(str(name)), *_])
                | ast.Subscript(ast.Name("query") | ast.Attribute(attr="query"), ast.Constant(str(name)))
            ):
                yield name


def decode(pieces: Iterable[bytes], is_signed: bool) -> None:
    decoder = Decoder(is_signed=is_signed, announced=frozenset({"x-amz-checksum-crc32"}))
    try:
        for piece in pieces:
            for _ in decoder.feed(piece):
                pass
        for _ in decoder.end():
            pass
    except S3Error:
        pass


def now() -> datetime:
    return datetime.now(UTC)


def dated() -> dict[str, str]:
    return {"x-amz-date": credentials.format_time(now()), "x-amz-content-sha256": payloads.UNSIGNED}


def authorization(key_id: str, names: Sequence[str] = ("host", "x-amz-content-sha256", "x-amz-date")) -> str:
    credential = f"{key_id}/{now():%Y%m%d}/us-east-1/s3/aws4_request"
    signed = ";".join(sorted(names))
    return f"{signatures.ALGORITHM} Credential={credential}, SignedHeaders={signed}, Signature={'0' * 64}"


def presigned(key_id: str) -> dict[str, str]:
    return {
        "X-Amz-Algorithm": signatures.ALGORITHM,
        "X-Amz-Credential": f"{key_id}/{now():%Y%m%d}/us-east-1/s3/aws4_request",
        "X-Amz-Date": credentials.format_time(now()),
        "X-Amz-Expires": "60",
        "X-Amz-SignedHeaders": "host",
        "X-Amz-Signature": "0" * 64,
    }


def target(parameters: Mapping[str, str]) -> bytes:
    return b"/films/a?" + "&".join(f"{name}={value}" for name, value in parameters.items()).encode()


def fields(key_id: str) -> dict[str, str]:
    expiration = f"{now() + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    conditions = [["starts-with", f"${name}", ""] for name in ("key", "x-amz-meta-a", "content-type")]
    conditions += [["starts-with", f"${name}", ""] for name in ("x-amz-algorithm", "x-amz-credential", "x-amz-date")]
    policy = json.dumps({"expiration": expiration, "conditions": conditions})
    return {
        "key": "b",
        "policy": b64encode(policy.encode()).decode(),
        **{
            name.lower(): value
            for name, value in presigned(key_id).items()
            if name not in ("X-Amz-Expires", "X-Amz-SignedHeaders")
        },
    }


def form(given: Mapping[str, str], filename: str = "a") -> Operation:
    quoted = filename.replace("\\", "\\\\").replace('"', '\\"')
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in given.items()
    ]
    parts.append(f'--b\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n\r\nx\r\n--b--\r\n')
    return Operation("POST", b"/films", {"content-type": "multipart/form-data; boundary=b"}, "".join(parts).encode())
