"""The page for everybody: no violation of WCAG 2.2 AA that axe-core finds, in light and dark, wide and narrow."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Opener, put, row

RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}


def violations(page: Page) -> list[Any]:
    found = Axe().run(page, options=RULES).response["violations"]
    return [(each["id"], [node["html"][:150] for node in each["nodes"]]) for each in found]


def details(page: Page) -> None:
    row(page, "a.txt").get_by_role("link").click()
    expect(page.get_by_role("complementary", name="Details")).to_contain_text("SHA-256")


def dialog(page: Page) -> None:
    row(page, "a.txt").locator(".tick").click()
    page.keyboard.press("s")
    expect(page.get_by_role("dialog")).to_be_visible()


def view(name: str) -> Callable[[Page], None]:
    def show(page: Page) -> None:
        page.get_by_role("link", name=name).click()
        expect(page.get_by_role("heading", name=name)).to_be_visible()
        page.wait_for_timeout(300)  # nothing shows when an empty list has come

    return show


STATES: dict[str, Callable[[Page], None]] = {
    "list": lambda page: expect(row(page, "a.txt")).to_be_visible(),
    "details": details,
    "dialog": dialog,
    "trash": view("Trash"),
    "links": view("Links"),
    "keys": view("Keys"),
    "status": view("Status"),
}


SHOWN = {
    "light": (1280, ["list", "details", "dialog", "keys"]),
    "dark": (390, ["list", "details", "trash", "links", "status"]),
}


@pytest.mark.parametrize("scheme", SHOWN)
def test_no_violation(open_page: Opener, api: httpx.Client, folder: str, scheme: str) -> None:
    width, names = SHOWN[scheme]
    put(api, f"{folder}a.txt")
    put(api, f"{folder}sub/b.txt")
    page = open_page(f"files/{folder}", width=width, color_scheme=scheme, reduced_motion="reduce")
    found = {}
    for name in names:
        page.goto("about:blank")
        page.goto(f"/#files/{folder}")
        STATES[name](page)
        found[name] = violations(page)
    assert found == {name: [] for name in names}


def test_the_sign_in_has_no_violation(open_page: Opener) -> None:
    page = open_page("", token=None)
    expect(page.get_by_label("Token", exact=True)).to_be_focused()
    assert violations(page) == []


def test_a_narrow_screen_needs_no_scrolling_sideways(open_page: Opener, api: httpx.Client, folder: str) -> None:
    put(api, f"{folder}{'long name ' * 20}.txt")
    page = open_page(f"files/{folder}", width=320)
    expect(page.locator(".spacer .row").first).to_be_visible()
    for name in ("Trash", "Links", "Keys", "Status", "Files"):
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, name
    page.goto(f"/#files/{folder}")
    page.locator(".spacer .row a").first.click()
    page.get_by_role("button", name="Close the details").click()
    expect(page.get_by_role("grid")).to_be_focused()


def test_changes_are_announced(page: Page, api: httpx.Client, folder: str) -> None:
    put(api, f"{folder}a.txt")
    page.reload()
    expect(page.locator("#announcer")).to_have_text("1 entry")
    grid = page.get_by_role("grid")
    expect(grid).to_be_focused()
    active = grid.get_attribute("aria-activedescendant")
    expect(page.locator(f"#{active}")).to_have_attribute("aria-rowindex", "2")
