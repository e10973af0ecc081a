"""Take the screenshots of the documentation: python -m tests.browser.screenshots docker/screenshots"""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.conftest import ARGUMENTS, CHROMIUM, put, row
from tests.http.server import Server
from tests.http.wire import TOKEN

PICTURE = b"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 200">
<rect width="320" height="200" fill="#f4b860"/>
<circle cx="236" cy="66" r="30" fill="#fff3d0"/><path d="M0 200V130l70-50 60 46 54-40 136 84v30z" fill="#3b6ea8"/>
<path d="M0 200v-40l90-34 70 40 80-30 80 34v30z" fill="#1f3f6b"/></svg>"""
FILES = {
    "films/Nosferatu 1922.mp4": 7_340_032,
    "films/Metropolis 1927.mp4": 9_126_800,
    "music/Goldberg Variations.flac": 441_000,
    "photos/2026/harbour.svg": 0,
    "photos/2026/mountains.svg": 0,
    "backup 2026-11-27.tar.zst": 5_242_880,
    "contract.pdf": 188_416,
    "measurements.csv": 64_512,
    "notes.md": 2_148,
    "presentation.odp": 1_204_224,
}
TYPES = {
    ".mp4": "video/mp4",
    ".flac": "audio/flac",
    ".svg": "image/svg+xml",
    ".csv": "text/csv",
    ".md": "text/markdown",
}


def fill(api: httpx.Client) -> None:
    for name, size in FILES.items():
        content = PICTURE if name.endswith(".svg") else b"x" * size
        put(api, name, content, TYPES.get(Path(name).suffix, "application/octet-stream"))
    put(api, "mountains.svg", PICTURE, "image/svg+xml")
    metadata = {"metadata": {"author": "Ada", "place": "Mont Blanc"}}
    api.patch("/v1/blobs/mountains.svg", json=metadata, headers={"Content-Type": "application/merge-patch+json"})


def opened(browser: Browser, server: Server, **options: object) -> Page:
    context = browser.new_context(base_url=server.url, **options)  # type: ignore[arg-type]
    context.request.post("/v1/session", data={"token": TOKEN})
    page = context.new_page()
    page.goto("/#files/")
    expect(row(page, "notes.md")).to_be_visible()
    return page


def shoot(folder: Path, browser: Browser, server: Server) -> None:
    wide = {"width": 1120, "height": 640}
    page = opened(browser, server, viewport=wide)
    page.screenshot(path=folder / "list.png")
    row(page, "mountains.svg").locator(".cell.size").click()
    page.get_by_role("button", name="Details").click()
    expect(page.get_by_alt_text("Preview")).to_have_js_property("complete", True)
    page.screenshot(path=folder / "details.png")
    page.get_by_role("button", name="Close the details").click()
    page.get_by_role("button", name="Drop the selection").click()
    session = page.context.new_cdp_session(page)
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 3_000_000}
    session.send("Network.emulateNetworkConditions", slow)
    with tempfile.TemporaryDirectory() as scratch:
        paths = [
            Path(scratch) / name for name in ("Sunrise 1927.mp4", "Faust 1926.mp4", "The General 1926.mp4", "notes.md")
        ]
        for number, path in enumerate(paths):
            path.write_bytes(b"x" * (number + 9) * 1024**2)
        with page.expect_file_chooser() as chosen:
            page.get_by_role("button", name="Upload", exact=True).click()
        chosen.value.set_files(paths)
        expect(page.get_by_role("region", name="Uploads")).to_contain_text("left")
        page.wait_for_timeout(2500)
        page.screenshot(path=folder / "upload.png")
    dark = opened(browser, server, viewport=wide, color_scheme="dark")
    dark.screenshot(path=folder / "dark.png")
    phone = opened(browser, server, viewport={"width": 390, "height": 720}, has_touch=True, is_mobile=True)
    phone.screenshot(path=folder / "phone.png")


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as data, Server(Path(data)) as server, server.client() as api:
        fill(api)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            shoot(folder, browser, server)
            browser.close()
    print(f"{len([*folder.glob('*.png')])} screenshots at {datetime.now(UTC):%H:%M}")


if __name__ == "__main__":
    main()
