"""Bodies in the JSON form that are wrong, cut in every place. The scanner's own tests have many more of them."""

import base64
import json
import secrets

import pytest

from tests.contracts.blob_store import pattern
from tests.http.server import Server
from tests.http.wire import AUTH, JSON, Answer, ask_once, get, request


def whole(body: bytes) -> bytes:
    return request("POST /v1/blobs", f"{AUTH}{JSON}Content-Length: {len(body)}\r\n", body)


def in_two(body: bytes, place: int) -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:place], body[place:], b"") if part)
    return request("POST /v1/blobs", f"{AUTH}{JSON}Transfer-Encoding: chunked\r\n", chunks + b"0\r\n\r\n")


def asked(server: Server, message: bytes) -> Answer:
    with server.connect() as connection:
        return ask_once(connection, message)


def refused(answer: Answer) -> tuple[int, str, str]:
    problem = json.loads(answer.body)
    return answer.status, problem["code"], problem["detail"]


@pytest.mark.parametrize(
    ("start", "data", "offset"),
    [
        ('"id":"fault",', "QUJD QUJD", 4),
        ("", "QUJDQU-_", 6),
        ('"id":"fault",', "QUJDQQ", 6),
        ("", "QUJDQQ===", 6),
        ('"id":"fault",', "QUJDQR==", 5),
        ("", "QQ==QUJD", 2),
        ('"id":"fault",', "QUJD\\u003f", 4),
    ],
)
def test_a_fault_in_the_base64_wherever_it_is_cut(server: Server, start: str, data: str, offset: int) -> None:
    body = f'{{{start}"data":"{data}"}}'.encode()
    found = refused(asked(server, whole(body)))
    assert found[:2] == (400, "invalid_base64")
    assert f"at offset {offset}:" in found[2]
    assert {refused(asked(server, in_two(body, place))) for place in range(len(body))} == {found}
    assert asked(server, get("/v1/blobs/fault")).status == 404


def test_a_body_that_ends_at_any_byte(server: Server) -> None:
    name = secrets.token_hex(4)
    for body in (f'{{"id":"{name}","data":"QUJD"}}'.encode(), f' {{"data" : "QUJD" , "id":"{name}"}}'.encode()):
        with server.connect() as connection:
            for size in range(len(body)):
                for message in (whole(body[:size]), in_two(body[:size], size // 2)):
                    assert refused(ask_once(connection, message))[:2] == (400, "invalid_json")
            assert ask_once(connection, get(f"/v1/blobs/{name}")).status == 404


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'\xef\xbb\xbf{"id":"a","data":""}', "invalid_json"),
        ('{"id":"a","data":""}'.encode("utf-16"), "invalid_json"),
        (b'{"id":"a","data":""}{}', "invalid_json"),
        (b'{"id":"a","data":""}\x00', "invalid_json"),
        (b'{"id":"a","data":""},', "invalid_json"),
        (b'{"id":"\xff","data":""}', "invalid_json"),
        (b'{"id":"\\ud800","data":""}', "invalid_json"),
        (b"[" * 200_000, "invalid_body"),
        (b'{"id":' * 40_000, "invalid_body"),
        (b'{"id":"a","data":' + b"[" * 200_000, "invalid_body"),
        (b'{"id":"a","data":"","x":' + b'{"x":' * 40_000, "invalid_body"),
        (b'{"id":"a","data":"AAAA","data":"AAAA"}', "invalid_body"),
        (b'{"id":"a","data":"","more":1}', "invalid_body"),
        (b"id=a&data=", "invalid_json"),
    ],
)
def test_what_is_no_such_json(server: Server, body: bytes, code: str) -> None:
    for message in (whole(body), in_two(body, len(body) // 2), in_two(body, 1)):
        assert refused(asked(server, message))[:2] == (400, code)


def test_a_right_body_wherever_it_is_cut(server: Server) -> None:
    data = base64.b64encode(pattern(10)).decode()
    escaped = data.replace("/", "\\/").replace("a", "\\u0061")
    with server.connect() as connection:
        for place in range(len(f'{{"id":"{secrets.token_hex(4)}","data":"{escaped}"}}')):
            name = secrets.token_hex(4)
            stored = ask_once(connection, in_two(f'{{"id":"{name}","data":"{escaped}"}}'.encode(), place))
            assert (stored.status, json.loads(stored.body)["size"]) == (201, 10)
        assert json.loads(ask_once(connection, get(f"/v1/blobs/{name}")).body)["data"] == data
