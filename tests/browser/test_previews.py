"""Previews of media and PDFs, with the bytes that they need."""

import io
import re
import wave
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Response, expect

from tests.browser.conftest import Opener, put, row

SECONDS, RATE = 120, 48_000
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R/OpenAction<</S/JavaScript/JS(app.alert\\(1\\))>>>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
)


def sound() -> bytes:
    """Return a WAV file of silence, larger than what browsers read ahead."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(2)
        written.setsampwidth(2)
        written.setframerate(RATE)
        written.writeframes(bytes(4 * RATE * SECONDS))
    return file.getvalue()


def test_media_seek_by_ranges(page: Page, api: httpx.Client, folder: str) -> None:
    content = sound()
    put(api, f"{folder}a.wav", content, "audio/wav")

    def is_late_part(response: Response) -> bool:
        asked = re.fullmatch(r"bytes=(\d+)-", response.request.headers.get("range", ""))
        return "a.wav" in response.url and asked is not None and int(asked[1]) > len(content) // 2

    row(page, "a.wav").get_by_role("link").click()
    media = page.locator("file-details audio")
    expect(media).to_have_js_property("duration", SECONDS)
    with page.expect_response(is_late_part) as late:
        media.evaluate("element => { element.currentTime = 100 }")
    assert late.value.status == 206
    start = int(late.value.request.headers["range"].removeprefix("bytes=").rstrip("-"))
    assert late.value.headers["content-range"] == f"bytes {start}-{len(content) - 1}/{len(content)}"
    expect(media).to_have_js_property("seeking", False)
    expect(media).to_have_js_property("currentTime", 100)
    expect(media).to_have_js_property("error", None)


@pytest.mark.parametrize("content", [PDF, b"<script>top.ran = 1</script><h1>A page</h1>"])
def test_a_pdf_is_shown_as_nothing_else(page: Page, api: httpx.Client, folder: str, content: bytes) -> None:
    put(api, f"{folder}a.pdf", content, "application/pdf")
    loaded: list[str] = []
    page.on("request", lambda request: loaded.append(request.url) if "alt=media" in request.url else None)
    expect(row(page, "a.pdf")).to_be_visible()
    assert loaded == []  # only what somebody opens is loaded
    row(page, "a.pdf").get_by_role("link").click()
    frame = page.get_by_title("Preview of the PDF")
    expect(frame).to_have_attribute("src", re.compile("^blob:"))
    shown = frame.element_handle().content_frame()
    assert shown is not None
    shown.wait_for_url(re.compile("^blob:"), wait_until="commit")
    assert frame.evaluate("element => element.contentDocument.contentType") == "application/pdf"
    assert page.evaluate("window.ran") is None
    assert len(loaded) == 1


def test_the_end_and_the_metadata_are_edited(open_page: Opener, api: httpx.Client, folder: str) -> None:
    put(api, f"{folder}a.txt")
    page = open_page(f"files/{folder}?open={folder}a.txt", timezone_id="Asia/Kolkata")
    details = page.get_by_role("complementary", name="Details")

    def edited(ends: str, metadata: str) -> dict[str, Any]:
        details.get_by_role("button", name="Edit").click()
        page.get_by_label("Ends at").fill(ends)
        page.get_by_label("Metadata").fill(metadata)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        [blob] = api.get("/v1/blobs", params={"prefix": folder, "fields": "metadata"}).json()["blobs"]
        return {"ends": blob.get("expires_at"), "metadata": blob.get("metadata")}

    both = edited("2090-05-06T07:08:09", "author: Ada\nplace: London")
    assert both == {"ends": "2090-05-06T01:38:09Z", "metadata": {"author": "Ada", "place": "London"}}
    expect(details.get_by_text(re.compile("^in .* days$"))).to_have_attribute(
        "title", re.compile("6 May 2090 at 07:08:09")
    )
    expect(details).to_contain_text("London")
    details.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Ends at")).to_have_value("2090-05-06T07:08:09")
    page.keyboard.press("Escape")
    assert edited("", "author: Ada") == {"ends": None, "metadata": {"author": "Ada"}}
    expect(details).not_to_contain_text("London")
    expect(details).not_to_contain_text("Ends")
    details.get_by_role("button", name="Edit").click()
    page.get_by_label("Metadata").fill("no colon")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("is not a name and a value")
