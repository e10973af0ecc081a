"""The status for administrators: what the last verification found, and what of it is repaired."""

from pathlib import Path

import httpx
from playwright.sync_api import Page, expect

from domain.blob import ObjectKey
from tests.browser.conftest import Opener
from tests.browser.test_accessibility import violations
from tests.http.server import Server
from tests.http.wire import TOKEN
from tests.verify.command import verify

SIZE = 1000  # bytes


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size == SIZE)


def store(client: httpx.Client, number: int) -> None:
    client.put(f"/v1/blobs/{number}", content=bytes([number]) * SIZE).raise_for_status()


def test_a_finding_counts_until_it_is_repaired(open_page: Opener, tmp_path: Path) -> None:
    with Server(tmp_path) as server, server.client() as client:
        for number in range(12):
            store(client, number)
        page = open_page("", token=None, reduced_motion="reduce")
        assert page.context.request.post(f"{server.url}/v1/session", data={"token": TOKEN}).ok
        page.goto(f"{server.url}/#status")
        card = page.locator(".card").filter(has=page.get_by_role("heading", name="Last verification"))
        expect(card).to_contain_text("Never")
        line = card.get_by_role("listitem").filter(has_text="fs,")

        def shown(state: str, text: str) -> None:
            expect(line).to_have_class(state)
            expect(line).to_contain_text(text)
            axe(page)

        verify(tmp_path)
        shown("ok", "nothing wrong.")
        lost = files(tmp_path / "data" / "blobs")[0]
        orphan = ObjectKey.random().value
        place = tmp_path / "data" / "blobs" / orphan[:3] / orphan
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(b"orphan")
        verify(tmp_path)
        shown("degraded", "1 orphan.")
        lost.unlink()
        verify(tmp_path, "--repair", "--older-than", "0s")
        shown("failing", "1 missing, 1 orphan, 1 repaired.")
        verify(tmp_path, "--repair", "--drop-missing", "--older-than", "0s")
        shown("ok", "1 missing, 1 repaired.")


def axe(page: Page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == []
