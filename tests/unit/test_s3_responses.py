"""Documents of the S3 interface, the response to a request that takes long, and which requests it takes."""

import asyncio
from typing import Any

import pytest

from entrypoints.http.s3 import xml
from entrypoints.http.s3.addressing import Addressing, Serving
from entrypoints.http.s3.errors import S3Error
from entrypoints.http.s3.responses import PatientResponse
from entrypoints.http.s3.xml import Tree


async def nothing() -> Any:
    raise AssertionError("no request is read")


async def sent(work: Any, quiet: float) -> list[Any]:
    """The messages of a response."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    response = PatientResponse(work, lambda error: xml.document("Error", [("Code", str(error))]), quiet)
    await response({}, nothing, send)  # type: ignore[arg-type]
    return messages


async def test_a_quick_operation_has_a_usual_response() -> None:
    async def work() -> tuple[str, list[Tree], list[tuple[bytes, bytes]]]:
        return "Done", [("Key", "a")], [(b"x-name", b"value")]

    start, body = await sent(work, quiet=10)
    assert start["status"] == 200
    assert (b"x-name", b"value") in start["headers"]
    assert body["body"] == xml.document("Done", [("Key", "a")])


@pytest.mark.parametrize("fails", [False, True])
async def test_white_space_is_sent_while_an_operation_takes_long(fails: bool) -> None:
    go_on = asyncio.Event()

    async def work() -> tuple[str, list[Tree], list[tuple[bytes, bytes]]]:
        await go_on.wait()
        if fails:
            raise ValueError("too late for a status")
        return "Done", [("Key", "a")], []

    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)
        if len(messages) == 5:
            go_on.set()

    response = PatientResponse(work, lambda error: xml.document("Error", [("Code", str(error))]), 0.001)
    await response({}, nothing, send)  # type: ignore[arg-type]
    assert messages[0]["status"] == 200
    whole = b"".join(message["body"] for message in messages[1:])
    head, _, rest = whole.partition(b"\n")
    assert rest.startswith(b"   ")
    parsed = xml.parse(head + rest.strip(), "Error" if fails else "Done")
    assert parsed.value("Code" if fails else "Key") == ("too late for a status" if fails else "a")
    assert [message["more_body"] for message in messages[1:]] == [True] * (len(messages) - 2) + [False]


async def test_an_operation_goes_on_when_its_client_has_left() -> None:
    go_on, finished = asyncio.Event(), asyncio.Event()

    async def work() -> tuple[str, list[Tree], list[tuple[bytes, bytes]]]:
        await go_on.wait()
        finished.set()
        return "Done", [], []

    response = asyncio.create_task(sent(work, quiet=10))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    response.cancel()
    await asyncio.gather(response, return_exceptions=True)
    go_on.set()
    await asyncio.wait_for(finished.wait(), 10)


BOMB = b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><Delete><Object><Key>&c;</Key></Object></Delete>'


@pytest.mark.parametrize(
    "document",
    [
        BOMB,
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><Delete/>',
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><Delete>&b;</Delete>',
        b"<Delete>" + b"<a>" * 10_000,
        b"<Delete>" + b"<a/>" * 200_000 + b"</Delete>",
        b"<Delete>",
        b"<Other/>",
        b"Delete",
        b"\xff\xfe\x00",
        b'<?xml version="1.0" encoding="no-such"?><Delete/>',
    ],
)
def test_a_document_with_entities_or_of_another_kind_is_refused(document: bytes) -> None:
    with pytest.raises(S3Error) as raised:
        xml.parse(document, "Delete")
    assert raised.value.code == "MalformedXML"


def test_a_document_has_every_text_that_xml_can_have() -> None:
    text = "a<b>&\"'\r\n\t ü😀"
    written = xml.document("A", [("B", text), ("C", None), ("D", [("E", True), ("F", 7)])])
    parsed = xml.parse(written, "A")
    assert parsed.exact("B") == text
    assert parsed.find("C") is None
    inner = parsed.find("D")
    assert inner is not None
    assert (inner.value("E"), inner.value("F")) == ("true", "7")
    assert xml.parse(xml.document("A", [("B", "\x00\x0b\ufffe")]), "A").value("B") == "\ufffd" * 3


def request(path: str, query: str = "", method: str = "GET", **headers: str) -> Any:
    return {
        "method": method,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }


SIGNED = {"authorization": "AWS4-HMAC-SHA256 Credential=..."}


@pytest.mark.parametrize(
    ("serving", "asked", "is_taken"),
    [
        ("off", request("/films/a", **SIGNED), False),
        ("on", request("/films/a", **SIGNED), True),
        ("on", request("/", **SIGNED), True),
        ("on", request("/films/a", authorization="AWS key:signature"), True),
        ("on", request("/films/a", authorization="Bearer token"), False),
        ("on", request("/films/a"), False),
        ("on", request("/films/a", "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=1"), True),
        ("on", request("/films/a", "AWSAccessKeyId=1&Signature=2"), True),
        ("on", request("/v1/blobs/a", **SIGNED), False),
        ("on", request("/s/a", "X-Amz-Signature=1"), False),
        ("on", request("/open/a"), True),
        ("on", request("/open/a", method="HEAD"), True),
        ("on", request("/open/a", method="PUT"), False),
        ("on", request("/open"), False),
        ("on", request("/films", method="POST", content_type="multipart/form-data; boundary=a"), True),
        ("on", request("/films/", method="POST", content_type="multipart/form-data; boundary=a"), True),
        ("on", request("/v1/blobs", method="POST", content_type="multipart/form-data; boundary=a"), False),
        ("on", request("/films", method="POST", content_type="application/json"), False),
        ("only", request("/films/a"), True),
        ("only", request("/v1/blobs"), True),
        ("only", request("/health/live"), False),
        ("only", request("/healthy/live"), True),
        ("only", request("/metrics"), False),
    ],
)
def test_the_interface_takes_its_own_requests(serving: str, asked: Any, is_taken: bool) -> None:
    assert Addressing(Serving(serving), public=frozenset(["open"])).takes(asked) is is_taken


@pytest.mark.parametrize(
    ("host", "path", "found"),
    [
        ("s3.example.com", "/films/a/b", ("films", "a/b")),
        ("s3.example.com:8000", "/films", ("films", "")),
        ("films.s3.example.com", "/a//b", ("films", "a//b")),
        ("FILMS.s3.Example.com:80", "/v1/a", ("films", "v1/a")),
        ("my.films.s3.example.com", "/", ("my.films", "")),
        ("other.example.com", "/films//a", ("films", "/a")),
    ],
)
def test_a_bucket_is_in_the_host_or_in_the_path(host: str, path: str, found: tuple[str, str]) -> None:
    addressing = Addressing(Serving.ON, "s3.example.com")
    asked = request(path, host=host)
    assert tuple(part.decode() for part in addressing.bucket_and_key(asked)) == found
    assert addressing.takes(asked) is host.lower().partition(":")[0].endswith("s3.example.com")
