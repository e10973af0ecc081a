"""Nothing that is stored runs in the page, or breaks it."""

import json
import re
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener, put, row

SCRIPT = b"<script>top.ran = 1; fetch('/v1/keys')</script><img src=x onerror='top.ran=1'>"
SVG = (
    b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9' onload='top.ran=1'><script>top.ran=1</script></svg>"
)
HOSTILE = {
    "page.html": (SCRIPT, "text/html"),
    "page.xhtml": (b"<html xmlns='http://www.w3.org/1999/xhtml'>" + SCRIPT + b"</html>", "application/xhtml+xml"),
    "picture.svg": (SVG, "image/svg+xml"),
    "script.js": (b"top.ran = 1", "text/javascript"),
    "broken.png": (b"no picture", "image/png"),
    "broken.mp4": (b"no film", "video/mp4"),
    "broken.pdf": (b"no document", "application/pdf"),
    "binary.txt": (bytes(range(256)), "text/plain"),
}
NAMES = [
    "<img src=x onerror=top.ran=1>",
    '"><script>top.ran=1<',
    "javascript:top.ran=1",
    "a\u202egnp.exe",
    "  blanks  ",
    "😀 \ufffd é",
    "x" * 300,
    "?open=a&b#c%2F%",
    "constructor",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_stored_content_does_not_run(page: Page, api: httpx.Client, folder: str, name: str) -> None:
    content, content_type = HOSTILE[name]
    put(api, folder + name, content, content_type)
    row(page, name).get_by_role("link").click()
    details = page.get_by_role("complementary", name="Details")
    expect(details).to_contain_text("SHA-256")
    expect(details.locator(".preview").locator("img, pre, .no-preview, iframe").first).to_be_visible()
    if content_type.startswith(("text/", "application/xhtml")):
        expect(details.locator("pre")).not_to_have_text("…")
        assert details.locator("pre").evaluate("element => element.childElementCount") == 0
    assert page.evaluate("window.ran") is None


def test_hostile_names(page: Page, api: httpx.Client, folder: str) -> None:
    for name in NAMES:
        put(api, folder + name)
        put(api, f"{folder}{name}/{name}")
    for name in NAMES:
        link = page.locator('.spacer a[href*="open="]').filter(has_text=re.compile(re.escape(name.strip()))).first
        link.click()
        expect(page.get_by_role("complementary", name="Details")).to_contain_text("hello")
        page.keyboard.press("Escape")
    assert page.evaluate("window.ran") is None


def test_media_load_by_the_session(open_page: Opener, api: httpx.Client, folder: str) -> None:
    picture = b"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='30'><rect width='9' height='9'/></svg>"
    put(api, f"{folder}a.svg", picture, "image/svg+xml")
    page = open_page(f"files/{folder}?open={folder}a.svg")
    image = page.get_by_alt_text("Preview")
    expect(image).to_be_visible()
    expect(image).to_have_js_property("naturalWidth", 40)


def test_the_form_in_the_cache_is_not_taken_for_the_other(page: Page, api: httpx.Client, folder: str) -> None:
    put(api, f"{folder}both", b"the bytes")
    url = f"/v1/blobs/{quote(folder + 'both', safe='')}"
    get = "([url, Accept]) => fetch(url, { headers: { Accept } }).then(response => response.text())"
    for _ in range(2):
        assert json.loads(page.evaluate(get, [url, "application/json"]))["size"] == 9
        assert page.evaluate(get, [url, "application/octet-stream"]) == "the bytes"
