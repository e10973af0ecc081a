"""A server with the page, and Chromium, shared by the tests of this folder: each takes a folder of its own."""

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Playwright, expect, sync_playwright

from tests.http.server import SELDOM, Server, blob_target
from tests.http.wire import TOKEN

CHROMIUM = "/usr/bin/chromium"
HOW_TO_GET_IT = f"needs Chromium at {CHROMIUM}; install it (apt-get install chromium) and run the tests again"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE = 20_000  # milliseconds
NUMBERS = count()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), TRASH_RETENTION="3600", **SELDOM) as server:
        yield server


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """What drives Chromium. For a package: while it runs, no other event loop does."""
    if not shutil.which(CHROMIUM) and not os.environ.get("CI"):
        pytest.skip(HOW_TO_GET_IT)
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium of the system, in a fresh profile."""
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture(scope="package")
def api(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def folder() -> str:
    """A folder that no other test has."""
    return f"test{next(NUMBERS)}/"


Opener = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Opener]:
    """Opens the page at a place, signed in with a token. Fails if anything on a page went wrong."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def opened(place: str = "files/", *, token: str | None = TOKEN, width: int = 1280, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 800}, base_url=server.url, **options)  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        if token:
            response = context.request.post("/v1/session", data={"token": token})
            assert response.ok, response.text()
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
        page.goto(f"/#{place}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def page(open_page: Opener, folder: str) -> Page:
    """The page at the folder of the test."""
    return open_page(f"files/{folder}")


def put(api: httpx.Client, blob_id: str, content: bytes = b"hello", content_type: str = "text/plain") -> None:
    """Store a blob."""
    response = api.put("/", content=content, headers={"Content-Type": content_type}, extensions=blob_target(blob_id))
    assert response.status_code in (200, 201), response.text


def row(page: Page, name: str) -> Locator:
    """The row of an entry."""
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def file_of(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
