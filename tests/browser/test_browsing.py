"""Look around: folders, lists of any length, filters, orders, details, and the keyboard."""

import re
import time
from pathlib import Path
from urllib.parse import quote

import httpx
from playwright.sync_api import Page, Response, Route, expect

from tests.browser.conftest import Opener, file_of, put, row
from tests.http.wire import TOKEN


def test_sign_in_and_out(open_page: Opener) -> None:
    page = open_page("", token=None)
    page.get_by_label("Token", exact=True).fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not valid here")
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="All files")).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name="All files")).to_be_visible()
    page.get_by_role("button", name=re.compile("^Account")).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token", exact=True)).to_be_visible()


def test_a_tab_in_the_background_is_ready_when_it_is_shown(open_page: Opener) -> None:
    page = open_page()
    page.add_init_script("Object.defineProperty(document, 'hidden', {value: true}); requestAnimationFrame = () => {}")
    page.reload()
    expect(page.get_by_role("link", name="All files")).to_be_visible()


MODULE = "**/ui/files/states.js"


def test_a_page_whose_modules_did_not_all_come_is_loaded_again(open_page: Opener) -> None:
    """As when the network changes: then Chromium gives up all requests, to this machine as well."""
    page = open_page()
    for failures in (1, 4):
        page.route(MODULE, lambda route: route.abort("connectionreset"), times=failures)
        page.reload()
        expect(page.get_by_role("link", name="All files")).to_be_visible()


def test_what_is_read_is_asked_for_again(open_page: Opener) -> None:
    page = open_page()
    page.route("**/v1/session", lambda route: route.abort("connectionreset"), times=2)
    page.reload()
    expect(page.get_by_role("link", name="All files")).to_be_visible()


def test_a_page_that_can_not_be_loaded_says_so(open_page: Opener) -> None:
    page = open_page()
    page.route(MODULE, lambda route: route.abort("connectionreset"))
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("could not be loaded")
    page.unroute(MODULE)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("link", name="All files")).to_be_visible()


def test_a_page_is_not_called_incomplete_while_its_modules_are_on_their_way(open_page: Opener) -> None:
    """One that comes late may fetch again what has failed, and draw the page after all."""
    page, held = open_page(), list[Route]()
    page.add_init_script("sessionStorage.setItem('drivebay.failed-starts', 4)")
    page.route(MODULE, lambda route: route.abort("connectionreset"), times=1)
    page.route("**/ui/app.js", lambda route: held.append(route))
    with (
        page.expect_request("**/ui/app.js"),
        page.expect_event("requestfailed", lambda request: request.url.endswith("states.js")),
    ):
        page.reload(wait_until="commit")
    page.evaluate("new Promise(requestAnimationFrame)")
    expect(page.get_by_role("alert")).to_have_count(0)
    held.pop().continue_()
    expect(page.get_by_role("link", name="All files")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_session_that_has_ended_is_begun_again_in_the_same_place(page: Page, api: httpx.Client, folder: str) -> None:
    put(api, f"{folder}a.txt")
    expect(row(page, "a.txt")).to_be_visible()
    page.context.clear_cookies()
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.keyboard.press("Enter")
    put(api, f"{folder}b.txt")
    expect(row(page, "b.txt")).to_be_visible()


def test_folders_are_in_the_url(page: Page, api: httpx.Client, folder: str) -> None:
    put(api, f"{folder}films & more/100%/a?.txt")
    row(page, "films & more").get_by_role("link").click()
    row(page, "100%").get_by_role("link").click()
    expect(row(page, "a?.txt")).to_be_visible()
    copied = page.url
    page.go_back()
    expect(row(page, "100%")).to_be_visible()
    page.go_forward()
    expect(row(page, "a?.txt")).to_be_visible()
    page.goto("about:blank")
    page.goto(copied)
    row(page, "a?.txt").get_by_role("link").click()
    expect(page.get_by_role("complementary", name="Details")).to_contain_text("hello")
    page.get_by_role("navigation", name="Folders").get_by_role("link", name="films & more").click()
    expect(row(page, "100%")).to_be_visible()


def test_the_filter_is_that_of_the_url(page: Page, api: httpx.Client, folder: str) -> None:
    for name in ("a.txt", "b.txt"):
        put(api, folder + name)
    expect(row(page, "b.txt")).to_be_visible()
    box = page.get_by_role("searchbox")
    box.press_sequentially("a.")
    expect(row(page, "b.txt")).to_have_count(0)
    expect(box).to_have_value("a.")
    page.goto(f"/#files/{folder}")
    expect(row(page, "b.txt")).to_be_visible()
    expect(box).to_have_value("")


def test_an_empty_folder_offers_an_upload(page: Page) -> None:
    offered = page.get_by_role("button", name="Choose files")
    expect(offered).to_be_visible()
    colours = "each => [each, each.querySelector('svg')].map(part => getComputedStyle(part).color)"
    text, icon = offered.evaluate(colours)
    assert icon == text


def test_a_list_of_ten_thousand(open_page: Opener, api: httpx.Client, folder: str) -> None:
    put(api, f"{folder}00000")
    for start in range(0, 10_000, 1000):
        copies = [
            {"copy": {"from": f"{folder}00000", "to": f"{folder}{n:05}"}} for n in range(start or 1, start + 1000)
        ]
        assert api.post("/v1/commits", json={"operations": copies}).status_code == 200
    page = open_page(f"files/{folder}")
    expect(row(page, "00000")).to_be_visible()
    grid = page.get_by_role("grid")
    for _ in range(200):
        page.keyboard.press("End")
        if grid.get_attribute("aria-rowcount") == "10001":
            break
        page.wait_for_timeout(30)
    page.keyboard.press("End")
    expect(row(page, "09999")).to_be_visible()
    assert page.locator(".spacer .row").count() < 80
    held = page.evaluate("document.querySelector('file-grid').source.held")
    assert held < 4000  # of 10,000: pages far away are forgotten
    page.keyboard.press("Home")
    expect(row(page, "00000")).to_be_visible()
    page.get_by_role("searchbox").fill("0777")
    expect(page.locator(".foot")).to_have_text("10 entries")
    expect(row(page, "07770")).to_be_visible()
    page.get_by_role("searchbox").fill("x")
    expect(page.get_by_text("Nothing begins like this")).to_be_visible()


def test_an_order_by_size(page: Page, api: httpx.Client, folder: str) -> None:
    for name, size in (("b", 1), ("a", 3), ("c", 2)):
        put(api, f"{folder}{name}", b"x" * size)
    put(api, f"{folder}sub/d")
    expect(row(page, "c")).to_be_visible()
    page.get_by_role("button", name="Size").click()
    expect(page.locator(".spacer .cell.name a")).to_have_text(["sub", "a", "c", "b"])
    page.get_by_role("button", name="Size").click()
    expect(page.locator(".spacer .cell.name a")).to_have_text(["sub", "b", "c", "a"])


def test_changes_at_the_end_of_a_long_list_are_shown_in_any_order(
    page: Page, api: httpx.Client, folder: str, tmp_path: Path
) -> None:
    put(api, f"{folder}000", b"x")
    put(api, f"{folder}z", b"largest")
    copies = [{"copy": {"from": f"{folder}000", "to": f"{folder}{n:03}"}} for n in range(1, 250)]
    assert api.post("/v1/commits", json={"operations": copies}).status_code == 200
    page.get_by_role("button", name="Size").click()
    expect(page.locator(".foot")).to_have_text("251 entries")
    expect(row(page, "z")).to_be_visible()
    with page.expect_response(lambda response: "limit=200" in response.url and response.status == 304):
        pass  # the list is at rest
    row(page, "z").locator(".tick").click()
    page.keyboard.press("Delete")
    expect(page.get_by_text("Deleted “z”.")).to_be_visible()
    expect(row(page, "z")).to_have_count(0, timeout=5000)
    expect(page.locator(".foot")).to_have_text("250 entries")
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Upload", exact=True).click()
    chosen.value.set_files(file_of(tmp_path, "y", b"uploaded"))
    expect(row(page, "y")).to_be_visible(timeout=5000)
    put(api, f"{folder}x", b"another browser")
    expect(row(page, "x")).to_be_visible()


def test_an_order_never_goes_back_to_an_older_list(page: Page, api: httpx.Client, folder: str) -> None:
    late: list[Route] = []
    put(api, f"{folder}a")
    expect(row(page, "a")).to_be_visible()
    page.route("**/v1/blobs?*limit=1000*", lambda route: late.append(route), times=1)
    with page.expect_request("**/v1/blobs?*limit=1000*"):
        page.get_by_role("button", name="Size").click()
    expect(page.get_by_role("columnheader", name="Size")).to_have_attribute("aria-sort", "descending")
    [route] = late
    response = route.fetch()
    put(api, f"{folder}b")
    page.get_by_role("button", name="Size").click()
    expect(row(page, "b")).to_be_visible()
    assert [blob["id"] for blob in response.json()["blobs"]] == [f"{folder}a"]
    with page.expect_event("requestfinished", lambda request: request == route.request):
        route.fulfill(response=response)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert row(page, "b").count() == 1


def test_the_active_row_stays_on_its_entry_in_any_order(page: Page, api: httpx.Client, folder: str) -> None:
    for name, size in (("a", 1), ("b", 2)):
        put(api, f"{folder}{name}", b"x" * size)
    expect(row(page, "b")).to_be_visible()
    page.get_by_role("button", name="Size").click()
    expect(page.locator(".spacer .cell.name a")).to_have_text(["b", "a"])
    row(page, "a").click()
    put(api, f"{folder}c", b"xxx")
    expect(page.locator(".spacer .cell.name a")).to_have_text(["c", "b", "a"])
    expect(row(page, "a")).to_have_class(re.compile("active"))


def test_two_browsers_see_each_other_within_two_seconds(open_page: Opener, api: httpx.Client, folder: str) -> None:
    page, other = open_page(f"files/{folder}"), open_page(f"files/{folder}")
    expect(other.get_by_text("Nothing here yet")).to_be_visible()
    begun = time.monotonic()
    page.get_by_role("button", name="New folder").click()
    page.get_by_label("Name", exact=True).fill("new")
    page.keyboard.press("Enter")
    expect(row(other, "new")).to_be_visible()
    assert time.monotonic() - begun < 2.5  # with the typing
    expect(page.get_by_text("Nothing here yet")).to_be_visible()


def test_a_list_that_has_not_changed_is_not_sent_again(page: Page, api: httpx.Client, folder: str) -> None:
    def is_list(response: Response) -> bool:
        return f"prefix={quote(folder, safe='')}" in response.url and "delimiter" in response.url

    put(api, f"{folder}a.txt")
    expect(row(page, "a.txt")).to_be_visible()
    for _ in range(2):
        with page.expect_response(lambda response: is_list(response) and response.status == 304):
            pass
    expect(row(page, "a.txt")).to_be_visible()
    put(api, f"{folder}b.txt")
    expect(row(page, "b.txt")).to_be_visible()
    with page.expect_response(lambda response: is_list(response) and response.status == 304):
        pass


def test_the_keyboard_is_enough(page: Page, api: httpx.Client, folder: str) -> None:
    for name in ("sub/d", "a", "b", "c"):
        put(api, f"{folder}{name}")
    expect(row(page, "c")).to_be_visible()
    page.keyboard.press("ArrowDown")  # from sub to a
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowDown")
    expect(row(page, "b")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_text("2 selected")).to_be_visible()
    page.keyboard.press("Delete")
    expect(row(page, "a")).to_have_count(0)
    expect(row(page, "b")).to_have_count(0)
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(row(page, "d")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary", name="Details")).to_contain_text("SHA-256")
    page.keyboard.press("Escape")
    expect(page.get_by_role("complementary", name="Details")).to_have_count(0)
    page.keyboard.press("Backspace")
    expect(row(page, "c")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("zz")
    expect(page.get_by_text("Nothing begins like this")).to_be_visible()
    page.keyboard.press("Escape")
    expect(row(page, "c")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
