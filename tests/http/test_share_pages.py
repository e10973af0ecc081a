"""Share links in a browser: the page for the password, and the page for uploads."""

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.http.server import Server

ACCEPT = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
HTML = "text/html; charset=utf-8"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("pages")) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def browser(server: Server) -> Iterator[httpx.Client]:
    with server.client() as browser:
        del browser.headers["Authorization"]
        browser.headers.update(ACCEPT)
        yield browser


def share(client: httpx.Client, **members: Any) -> str:
    url: str = client.post("/v1/shares", json=members).json()["url"]
    return url


def is_page(response: httpx.Response, status: int = 200) -> None:
    """Fail unless a response is a page which runs its own style and script, and nothing else."""
    assert (response.status_code, response.headers["content-type"]) == (status, HTML)
    assert (response.headers["cache-control"], response.headers["vary"]) == ("no-store", "Accept")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for name in ("style", "script"):
        for content in re.findall(f"<{name}>(.*?)</{name}>", response.text, re.DOTALL):
            hashed = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            assert f"{name}-src 'sha256-{hashed}'" in policy
    assert not re.search(r" (on\w+|style|src|href)=", response.text)


def test_the_password_of_a_download_is_asked_for_by_a_page(client: httpx.Client, browser: httpx.Client) -> None:
    client.put("/v1/blobs/a.txt", content=b"bytes", headers={"Content-Type": "text/html"})
    url = share(client, id="a.txt", password="für Ada", filename="b.txt", max_uses=1)
    page = browser.get(url)
    is_page(page)
    assert "www-authenticate" not in page.headers
    assert "a.txt" not in page.text
    wrong = browser.post(url, data={"password": "wrong"})
    is_page(wrong, 403)
    assert 'role="alert"' in wrong.text
    fetched = browser.post(url, data={"password": "für Ada"})
    assert (fetched.status_code, fetched.content) == (200, b"bytes")
    assert fetched.headers["content-disposition"] == "attachment; filename*=UTF-8''b.txt"
    assert fetched.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert browser.post(url, data={"password": "für Ada"}).status_code == 404, "it was the last use"


@pytest.mark.parametrize("header", ["Range", "If-None-Match", "If-Modified-Since", "If-Match"])
def test_the_form_gets_the_whole(client: httpx.Client, browser: httpx.Client, header: str) -> None:
    """Ranges and 304 are for GET and HEAD (RFC 9110, sections 13.1 and 14.2)."""
    etag = client.put("/v1/blobs/a.txt", content=b"bytes").headers["etag"]
    url = share(client, id="a.txt", password="secret")
    late = "Fri, 09 Oct 2093 19:43:31 GMT"
    value = {"Range": "bytes=1-2", "If-None-Match": etag, "If-Match": '"x"', "If-Modified-Since": late}[header]
    fetched = browser.post(url, data={"password": "secret"}, headers={header: value})
    assert (fetched.status_code, fetched.content) == (200, b"bytes")
    assert "content-range" not in fetched.headers


def test_other_programs_get_no_page(client: httpx.Client, browser: httpx.Client) -> None:
    client.put("/v1/blobs/a.txt", content=b"bytes")
    url, inbox = share(client, id="a.txt", password="secret"), share(client, prefix="inbox/")
    for accept in ("*/*", "application/json", "text/html;q=0, */*", ""):
        locked = browser.get(url, headers={"Accept": accept})
        assert (locked.status_code, locked.json()["code"]) == (401, "share_locked")
        assert locked.headers["www-authenticate"].startswith("Basic ")
        assert browser.get(inbox, headers={"Accept": accept}).status_code == 405
    assert browser.get(url, auth=("any", "secret")).content == b"bytes"
    assert browser.get(share(client, id="a.txt")).content == b"bytes", "no page is needed"
    assert browser.get(f"{url}a").status_code == 404


def test_wrong_forms_are_refused(client: httpx.Client, browser: httpx.Client) -> None:
    client.put("/v1/blobs/a.txt", content=b"bytes")
    url, inbox = share(client, id="a.txt", password="secret"), share(client, prefix="inbox/")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    for form in ("", "password=", "password=%ff", "password=a&password=b", "word=a"):
        refused = browser.post(url, content=form, headers=headers)
        assert refused.status_code == (403 if form == "password=" else 400), form
    assert browser.post(url, json={"password": "secret"}).status_code == 415
    assert browser.post(url, content="x" * 10_000, headers=headers).status_code == 413
    refused = browser.post(inbox, data={"password": "secret"})
    assert (refused.status_code, refused.headers["allow"]) == (405, "PUT")
    assert browser.post(f"{url[:-1]}7", data={"password": "secret"}).status_code == 404


def test_guesses_are_limited_as_for_other_programs(client: httpx.Client, browser: httpx.Client) -> None:
    client.put("/v1/blobs/a.txt", content=b"bytes")
    url = share(client, id="a.txt", password="secret")
    statuses = [browser.post(url, data={"password": "wrong"}).status_code for _ in range(11)]
    assert statuses == [403] * 10 + [429]
    assert browser.post(url, data={"password": "secret"}).status_code == 429


@pytest.mark.parametrize("password", [None, "für Ada"])
def test_a_page_takes_uploads(client: httpx.Client, browser: httpx.Client, password: str | None) -> None:
    members = {} if password is None else {"password": password}
    url = share(client, prefix=f"inbox/{password}/", **members)
    page = browser.get(url)
    is_page(page)
    assert "inbox" not in page.text
    if password is not None:
        browser.auth = ("", password)
    sent = browser.put(url, params={"name": "ü 1.pdf"}, content=b"pdf")
    assert sent.status_code == 201
    assert client.get(f"/v1/blobs/inbox%2F{password}%2F%C3%BC%201.pdf?alt=media").content == b"pdf"
