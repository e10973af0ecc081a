"""Sessions of browsers: signing in and out, and what pages of others can't do with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.server import UNVERIFIED, Server
from tests.http.wire import TOKEN

STRANGER = "https://evil.example"
NAME = "drivebay_session"
HOSTILE = [
    ("page.html", "text/html", "<script>fetch('/v1/delete')</script><form method=post action=/v1/blobs>"),
    ("image.svg", "image/svg+xml", "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
    ("page.xhtml", "application/xhtml+xml", "<html xmlns='http://www.w3.org/1999/xhtml'><script>1</script></html>"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that trusts another origin, and whose objects may be public."""
    buckets: dict[str, Any] = {"S3_API_BUCKETS": "public=public/, closed=closed/", "S3_API_PUBLIC": "public"}
    with Server(tmp_path_factory.mktemp("session"), CORS_ORIGINS=STRANGER, S3_API_ACLS="true", **buckets) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def browser(server: Server) -> Iterator[httpx.Client]:
    """A page of the server itself, without a token."""
    with server.client() as browser:
        del browser.headers["Authorization"]
        browser.headers["Origin"] = server.url
        yield browser


def sign_in(browser: httpx.Client, token: str = TOKEN) -> dict[str, Any]:
    response = browser.post("/v1/session", json={"token": token})
    assert response.status_code == 200, response.text
    described: dict[str, Any] = response.json()
    return described


def code_of(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_a_browser_signs_in_works_and_signs_out(browser: httpx.Client) -> None:
    assert code_of(browser.get("/v1/session")) == (401, "unauthorized")
    response = browser.post("/v1/session", json={"token": f" {TOKEN}\n"})
    cookie = response.headers["set-cookie"]
    assert cookie.startswith(f"{NAME}=")
    assert cookie.endswith("Path=/; HttpOnly; SameSite=Strict")
    assert response.headers["cache-control"] == "no-store"
    described = browser.get("/v1/session").json()
    assert described == response.json()
    assert described["actions"] == ["read", "write", "delete", "list", "admin"]
    assert described["features"]["keys"] is True
    assert browser.put("/v1/blobs/session%2Fa", content=b"bytes").status_code == 201
    assert browser.get("/v1/blobs/session%2Fa?alt=media").content == b"bytes"
    upload = {"Tus-Resumable": "1.0.0", "Upload-Length": "3", "Upload-Metadata": "id c2Vzc2lvbi9i"}
    assert browser.post("/v1/tus", headers=upload).status_code == 201
    ended = browser.delete("/v1/session")
    assert (ended.status_code, f"{NAME}=; Max-Age=0;" in ended.headers["set-cookie"]) == (204, True)
    assert code_of(browser.get("/v1/blobs")) == (401, "unauthorized")


def test_over_https_behind_a_proxy_the_cookie_is_secure(server: Server, browser: httpx.Client) -> None:
    browser.headers.update({"X-Forwarded-Proto": "https", "Origin": server.url.replace("http", "https", 1)})
    response = browser.post("/v1/session", json={"token": TOKEN})
    cookie = response.headers["set-cookie"]
    assert cookie.startswith(f"__Host-{NAME}=")
    assert cookie.endswith("; Secure")
    header = {"Cookie": cookie.partition(";")[0]}
    assert browser.put("/v1/blobs/a", content=b"x", headers=header).status_code == 201
    plain = {"Cookie": header["Cookie"].removeprefix("__Host-")}
    assert browser.get("/v1/session", headers=plain).status_code == 401


def test_it_describes_a_key_and_ends_with_it(client: httpx.Client, browser: httpx.Client) -> None:
    key = client.post(
        "/v1/keys",
        json={"name": "ada", "actions": ["list"], "prefixes": ["films/"], "limits": {"quota_bytes": 10}},
    ).json()
    described = sign_in(browser, key["token"])
    assert (described["key"], described["name"], described["prefixes"]) == (key["key"], "ada", ["films/"])
    assert (described["limits"], described["stored_bytes"]) == ({"quota_bytes": 10}, 0)
    assert code_of(browser.delete("/v1/blobs/films%2Fa")) == (403, "forbidden")
    assert browser.get("/v1/blobs?prefix=films/").status_code == 200
    with httpx.Client(base_url=client.base_url, headers={"Authorization": f"Bearer {key['token']}"}) as other:
        described.pop("session_expires_at")
        assert other.get("/v1/session").json() == described
    assert client.delete(f"/v1/keys/{key['key']}").status_code == 204
    assert code_of(browser.get("/v1/blobs?prefix=films/")) == (401, "unauthorized")


def test_a_wrong_token_is_refused_and_counted(server: Server, browser: httpx.Client) -> None:
    refused = browser.post("/v1/session", json={"token": "wrong"})
    assert code_of(refused) == (401, "unauthorized")
    assert "set-cookie" not in refused.headers
    assert refused.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    for body in ({}, {"token": " "}, {"token": 1}, {"token": TOKEN, "key": "a"}):
        assert code_of(browser.post("/v1/session", json=body)) == (400, "invalid_body")
    assert code_of(browser.post("/v1/session", data={"token": TOKEN})) == (415, "unsupported_media_type")
    metrics = httpx.get(f"{server.url}/metrics").text
    assert 'drivebay_http_authentication_failures_total{method="POST",route="/v1/session"}' in metrics


def test_the_header_counts_before_the_cookie(client: httpx.Client, browser: httpx.Client) -> None:
    key = client.post("/v1/keys", json={"name": "reader", "actions": ["read"]}).json()
    sign_in(browser)
    with_header = browser.get("/v1/session", headers={"Authorization": f"Bearer {key['token']}"}).json()
    assert (with_header["key"], "session_expires_at" in with_header) == (key["key"], False)
    assert browser.get("/v1/session", headers={"Authorization": "Bearer wrong"}).status_code == 401
    signed_in = browser.post("/v1/session", headers={"Authorization": f"Bearer {key['token']}"})
    assert signed_in.json()["key"] == key["key"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": STRANGER},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": STRANGER},
    ],
)
def test_pages_of_others_can_do_nothing_with_it(browser: httpx.Client, headers: dict[str, str]) -> None:
    """Also those in CORS_ORIGINS, which need a token."""
    sign_in(browser)
    requests = [("PUT", "/v1/blobs/a"), ("DELETE", "/v1/blobs/a"), ("POST", "/v1/keys"), ("POST", "/v1/blobs")]
    for method, path in [*requests, ("GET", "/v1/blobs"), ("GET", "/v1/blobs/a")]:
        refused = browser.request(method, path, content=b"x" if method in ("PUT", "POST") else None, headers=headers)
        assert code_of(refused) == (403, "cross_origin"), (method, path)
        assert "access-control-allow-credentials" not in refused.headers
    refused = browser.post("/v1/tus", headers={**headers, "Tus-Resumable": "1.0.0", "Upload-Length": "3"})
    assert refused.status_code == 403
    for method in ("POST", "DELETE"):
        response = browser.request(method, "/v1/session", json={"token": TOKEN}, headers=headers)
        assert code_of(response) == (403, "cross_origin")
        assert "set-cookie" not in response.headers


def test_a_change_needs_proof_of_its_origin(browser: httpx.Client) -> None:
    sign_in(browser)
    del browser.headers["Origin"]
    assert code_of(browser.put("/v1/blobs/a", content=b"x")) == (403, "cross_origin")
    assert browser.put("/v1/blobs/a", content=b"x", headers={"Sec-Fetch-Site": "same-origin"}).is_success
    assert browser.get("/v1/blobs").status_code == 200


def test_it_does_not_count_for_s3(browser: httpx.Client, client: httpx.Client) -> None:
    client.put("/v1/blobs/closed%2Fa", content=b"x")
    sign_in(browser)
    for method in ("GET", "PUT", "DELETE"):
        assert browser.request(method, "/closed/a").status_code == 403
    assert browser.post("/closed", files={"file": b"x"}, data={"key": "b"}).status_code == 403
    assert client.get("/v1/blobs/closed%2Fa?alt=media").content == b"x"
    assert client.get("/v1/blobs/closed%2Fb").status_code == 404


@pytest.mark.parametrize(("name", "content_type", "content"), HOSTILE)
def test_what_is_stored_can_not_use_it(
    client: httpx.Client, browser: httpx.Client, server: Server, name: str, content_type: str, content: str
) -> None:
    """In each form, as it is and unchanged, it runs no script, sends no form, and has an origin of its own."""
    path = f"/v1/blobs/public%2F{name}"
    stored = {"Content-Type": content_type, "Content-Disposition": "inline"}
    client.put(path, content=content.encode(), headers=stored)
    link = client.post("/v1/shares", json={"id": f"public/{name}"}).json()["url"]
    signed = client.post("/v1/sign", json={"method": "GET", "id": f"public/{name}"}).json()["url"]
    sign_in(browser)
    with httpx.Client(verify=UNVERIFIED) as anybody:
        for target, other in ((f"{path}?alt=media", browser), (link, anybody), (signed, anybody)):
            whole = other.get(target)
            assert (whole.status_code, whole.text) == (200, content)
            known = other.get(target, headers={"If-None-Match": whole.headers["etag"]})
            assert known.status_code == 304
            for response in (whole, other.get(target, headers={"Range": "bytes=0-3"}), known, other.head(target)):
                if response.request.method == "HEAD" and target is signed:
                    continue  # which is for GET
                assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"
                assert response.headers["x-content-type-options"] == "nosniff"
                if response is not known:
                    assert response.headers["content-disposition"].startswith("attachment")
        public = anybody.get(f"{server.url}/public/{name}")
        known = anybody.get(f"{server.url}/public/{name}", headers={"If-None-Match": public.headers["etag"]})
        assert (public.status_code, known.status_code) == (200, 304)
        for response in (public, known):
            assert response.headers["content-security-policy"] == "sandbox; default-src 'none'"
            assert response.headers["x-content-type-options"] == "nosniff"


def test_a_blob_is_not_loaded_as_a_script(browser: httpx.Client) -> None:
    sign_in(browser)
    browser.put("/v1/blobs/a.js", content=b"alert(1)", headers={"Content-Type": "text/javascript"})
    own = {"Sec-Fetch-Site": "same-origin"}
    assert browser.get("/v1/blobs/a.js?alt=media", headers={**own, "Sec-Fetch-Dest": "empty"}).status_code == 200
    for destination in ("script", "style", "worker", "serviceworker"):
        refused = browser.get("/v1/blobs/a.js?alt=media", headers={**own, "Sec-Fetch-Dest": destination})
        assert code_of(refused) == (403, "cross_origin")


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        (None, "private, no-cache"),
        ("max-age=60", "private, max-age=60"),
        ("public, max-age=60", "public, max-age=60"),
        ("no-store", "no-store"),
    ],
)
def test_no_proxy_keeps_what_it_gets(browser: httpx.Client, stored: str | None, sent: str) -> None:
    sign_in(browser)
    browser.put("/v1/blobs/kept", content=b"x", headers={} if stored is None else {"Cache-Control": stored})
    assert browser.get("/v1/blobs/kept?alt=media").headers["cache-control"] == sent


def test_a_sign_in_has_a_line_in_the_audit_trail(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with Server(tmp_path, AUDIT_LOG=str(audit)) as server, server.client() as client:
        client.headers["Origin"] = server.url
        del client.headers["Authorization"]
        sign_in(client)
        client.put("/v1/blobs/a", content=b"x")
        session = client.cookies[NAME]
        server.wait_until(lambda: audit.read_text().count("\n") == 2)
    text = audit.read_text()
    assert '"action":"sign_in","outcome":"ok"' in text
    for written in (text, server.errors(), server.output()):
        assert session.rpartition(".")[2] not in written
