"""The page for people at `/`, as files: what is sent, to whom, and by which policy."""

import base64
import gzip
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from entrypoints.http.page.face import ASSETS
from tests.http.s3_client import s3_client
from tests.http.server import Server


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a server of this module: the page is the same on every storage."""
    with Server(tmp_path_factory.mktemp("page")) as server, server.client() as client:
        yield client


SOURCES = sorted(
    path for path in ASSETS.rglob("*") if path.suffix in (".js", ".css", ".html") and "vendor" not in path.parts
)


def test_the_page_needs_no_token_and_sends_a_strict_policy(client: httpx.Client) -> None:
    page = httpx.get(f"{client.base_url}/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers.get_list("referrer-policy") == ["same-origin"]  # no-referrer: the Origin of forms is null
    head = httpx.head(f"{client.base_url}/")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == page.headers["etag"]


def test_its_style_is_in_it_and_no_other_is_taken(client: httpx.Client) -> None:
    page = httpx.get(f"{client.base_url}/")
    [style] = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style == "".join((ASSETS / name).read_text() for name in ("base.css", "app.css"))
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"script-src 'self'; style-src 'sha256-{hashed}';" in page.headers["content-security-policy"]
    assert not re.search("stylesheet|<img", page.text), "a browser would paint only once it has fetched it"


def test_only_one_script_is_fetched_before_the_first_paint(client: httpx.Client) -> None:
    assert re.findall("<script[^>]*>", httpx.get(f"{client.base_url}/").text) == [
        '<script src="/ui/start.js" type="module">'
    ]
    assert not re.search("^import ", (ASSETS / "start.js").read_text(), re.MULTILINE)


def test_all_that_is_loaded_comes_from_here(client: httpx.Client) -> None:
    page = httpx.get(f"{client.base_url}/").text
    [modules] = re.findall('data-modules="([^"]+)"', page)
    names = [*modules.split(), *re.findall(r'(?:src|href)="(/[^"]+)"', page)]
    for source in SOURCES:
        for name in re.findall(r'(?:from|import) "(\.[^"]+)"', source.read_text()):
            imported = f"/ui/{(source.parent / name).resolve().relative_to(ASSETS)}"
            assert imported in names, "it would be fetched late"
    assert len(set(names)) > 15
    for name in names:
        assert httpx.get(f"{client.base_url}{name}").status_code == 200, name
    assert not [path for path in SOURCES if re.search(r"https?://(?!www\.w3\.org)", path.read_text())]


def test_a_browser_keeps_the_files_and_asks_whether_they_are_current(client: httpx.Client) -> None:
    url = f"{client.base_url}/ui/app.js"
    for coding in ("gzip", "identity", "gzip;q=0"):
        first = httpx.get(url, headers={"Accept-Encoding": coding})
        assert (first.headers.get("content-encoding") == "gzip") == (coding == "gzip")
        assert first.content == (ASSETS / "app.js").read_bytes()
        for tag in (first.headers["etag"], f"W/{first.headers['etag']}", f'"x", {first.headers["etag"]}'):
            again = httpx.get(url, headers={"Accept-Encoding": coding, "If-None-Match": tag})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    assert httpx.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_data_never_becomes_markup() -> None:
    for path in SOURCES:
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|\sstyle=|\son\w+=\"", path.read_text()
        ), path


def test_all_is_small() -> None:
    files = [path for path in ASSETS.rglob("*") if path.suffix in (".js", ".css", ".html", ".svg")]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < 150_000


@pytest.mark.parametrize("s3_api", ["on", "off"])
def test_the_page_leaves_the_root_to_s3_clients(tmp_path: Path, s3_api: str) -> None:
    with Server(tmp_path, S3_API=s3_api) as server:
        assert httpx.get(server.url).headers["content-type"].startswith("text/html")
        if s3_api == "on":
            assert s3_client(server).list_buckets()["Buckets"] == []
        else:
            signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=a"}
            assert httpx.get(server.url, headers=signed).status_code == 404


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    with Server(tmp_path, WEB_PAGE="false") as server:
        assert [httpx.get(f"{server.url}{path}").status_code for path in ("/", "/ui/app.js")] == [404, 404]


def test_the_vendored_file_is_the_one_that_its_script_fetches() -> None:
    script = (ASSETS / "vendor" / "fetch.sh").read_text()
    [expected] = re.findall(r"^SHA256=(\w+)$", script, re.MULTILINE)
    assert hashlib.sha256((ASSETS / "vendor" / "tus.min.js").read_bytes()).hexdigest() == expected
