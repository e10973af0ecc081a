"""Change things: folders, names, places, properties, the trash, links and keys."""

import io
import re
import zipfile
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Page, Playwright, Route, expect

from tests.browser.conftest import ARGUMENTS, CHROMIUM, Opener, put, row
from tests.http.server import Server
from tests.http.wire import TOKEN


def ids(api: httpx.Client, prefix: str) -> list[str]:
    return [blob["id"].removeprefix(prefix) for blob in api.get("/v1/blobs", params={"prefix": prefix}).json()["blobs"]]


def path_of(blob_id: str) -> str:
    return f"/v1/blobs/{quote(blob_id, safe='')}"


def select(page: Page, *names: str) -> None:
    for name in names:
        row(page, name).locator(".tick").click()


def do(page: Page, action: str) -> None:
    page.locator(".tools").get_by_role("button", name=action, exact=True).click()


def test_a_new_folder_stays(page: Page, api: httpx.Client, folder: str) -> None:
    do(page, "New folder")
    page.get_by_label("Name", exact=True).fill("a/b")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("no slash")
    page.get_by_label("Name", exact=True).fill("new")
    page.keyboard.press("Enter")
    expect(page.get_by_role("navigation", name="Folders")).to_contain_text("new")
    assert ids(api, folder) == ["new/"]
    page.go_back()
    expect(row(page, "new")).to_be_visible()


def test_rename_move_and_copy(page: Page, api: httpx.Client, folder: str) -> None:
    for name in ("a.txt", "b.txt", "sub/c.txt"):
        put(api, folder + name)
    select(page, "a.txt")
    page.keyboard.press("F2")
    page.get_by_label("New name").fill("b.txt")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("exists")
    page.get_by_label("New name").fill("z.txt")
    page.keyboard.press("Enter")
    expect(row(page, "z.txt")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    select(page, "sub", "b.txt")
    do(page, "Copy")
    page.get_by_label("To the folder").fill(f"{folder}copies")
    page.get_by_role("dialog").get_by_role("button", name="Copy").click()
    expect(row(page, "copies")).to_be_visible()
    do(page, "Move")
    page.get_by_label("To the folder").fill(f"{folder}moved/")
    page.get_by_role("dialog").get_by_role("button", name="Move").click()
    expect(row(page, "moved")).to_be_visible()
    expect(row(page, "sub")).to_have_count(0)
    assert ids(api, folder) == ["copies/b.txt", "copies/sub/c.txt", "moved/b.txt", "moved/sub/c.txt", "z.txt"]


def test_folders_with_the_same_name(page: Page, api: httpx.Client, folder: str) -> None:
    for name in ("a.txt", "one/x", "two/y", "to/one/x"):
        put(api, folder + name, name.encode())
    select(page, "one")
    do(page, "Rename")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("New name").fill("two")
    dialog.get_by_role("button", name="Rename").click()
    expect(page.get_by_role("alert")).to_contain_text("The folder “two” exists.")
    page.keyboard.press("Escape")
    select(page, "two", "a.txt", "one")
    put(api, f"{folder}copies/one/x")
    for action, place in (("Copy", "copies/"), ("Move", "to/")):
        do(page, action)
        dialog.get_by_label("To the folder").fill(folder + place)
        dialog.get_by_role("button", name=action).click()
        expect(page.get_by_role("alert")).to_contain_text(re.compile("exists|in use"))  # one/x
        if action == "Copy":
            api.delete(path_of(f"{folder}copies/one/x"))
        else:
            dialog.get_by_label("Replace files").check()
        dialog.get_by_role("button", name=action).click()
        expect(dialog).to_have_count(0)
    rest = ["a.txt", "one/x", "two/y"]
    assert ids(api, folder) == [f"{place}/{name}" for place in ("copies", "to") for name in rest]
    assert api.get(path_of(f"{folder}to/one/x"), params={"alt": "media"}).content == b"one/x"


def test_delete_undo_and_the_trash(page: Page, api: httpx.Client, folder: str) -> None:
    for name in ("a.txt", "sub/b.txt", "sub/c.txt", "sub/gone.txt", "kept.txt"):
        put(api, folder + name)
    put(api, f"{folder}sub/c.txt", b"newer")
    assert api.delete(path_of(f"{folder}sub/gone.txt")).status_code == 204
    before = ids(api, folder)
    select(page, "a.txt", "sub")
    do(page, "Delete")
    expect(page.get_by_role("dialog")).to_contain_text("3 files")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row(page, "sub")).to_have_count(0)
    assert ids(api, folder) == ["kept.txt"]
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Restored 3 files")).to_be_visible()
    assert ids(api, folder) == before
    assert api.get(path_of(f"{folder}sub/c.txt"), params={"alt": "media"}).content == b"newer"
    select(page, "a.txt")
    page.keyboard.press("Delete")
    expect(row(page, "a.txt")).to_have_count(0)
    page.get_by_role("link", name="Trash").click()
    line = page.get_by_role("row").filter(has_text=f"{folder}a.txt")
    line.get_by_role("button", name="Restore").click()
    expect(line).to_have_count(0)
    assert ids(api, folder) == before


def test_without_a_trash_a_deletion_asks_first(page: Page, api: httpx.Client, folder: str) -> None:
    def hide_trash(route: Route) -> None:
        response = route.fetch()
        session = response.json()
        session["features"]["trash_retention"] = 0
        route.fulfill(response=response, json=session)

    page.route("**/v1/session", hide_trash)
    page.reload()
    for name in ("a.txt", "sub/b.txt"):
        put(api, folder + name)
    select(page, "a.txt")
    page.keyboard.press("Delete")
    dialog = page.get_by_role("dialog", name="Delete “a.txt”?")
    expect(dialog).to_contain_text("This can't be undone.")
    dialog.get_by_role("button", name="Cancel").click()
    select(page, "a.txt", "sub")
    page.keyboard.press("Delete")
    dialog = page.get_by_role("dialog", name="Delete 2 entries?")
    expect(dialog).to_contain_text("They are 2 files in all. This can't be undone.")
    assert ids(api, folder) == ["a.txt", "sub/b.txt"]
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("Deleted 2 entries.")).to_be_visible()
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)


def test_keys_act_on_the_file_that_the_details_show(open_page: Opener, api: httpx.Client, folder: str) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        put(api, folder + name)
    page = open_page(f"files/{folder}?open={folder}b.txt")
    expect(row(page, "b.txt")).to_have_class(re.compile("active"))
    expect(page.get_by_role("complementary", name="Details")).to_contain_text("hello")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Delete")
    expect(page.get_by_text("The details show another file.")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Delete")
    expect(row(page, "b.txt")).to_have_count(0)
    assert ids(api, folder) == ["a.txt", "c.txt"]


def test_properties_change_only_in_the_version_that_is_shown(page: Page, api: httpx.Client, folder: str) -> None:
    put(api, f"{folder}a.txt")
    row(page, "a.txt").get_by_role("link").click()
    details = page.get_by_role("complementary", name="Details")
    details.get_by_role("button", name="Edit").click()
    page.get_by_label("Metadata").fill("author: Ada\nyear: 1843")
    page.get_by_label("Content type").fill("text/markdown")
    page.get_by_role("button", name="Save").click()
    expect(details).to_contain_text("1843")
    expect(details).to_contain_text("text/markdown")
    details.get_by_role("button", name="Edit").click()
    put(api, f"{folder}a.txt", b"another version")
    page.get_by_label("Metadata").fill("author: Bob")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("changed")
    page.keyboard.press("Escape")
    expect(details).to_contain_text("another version")
    details.get_by_role("button", name="Restore").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Restore").click()
    expect(details.locator("pre")).to_have_text("hello")


def test_download_a_file_and_a_selection(page: Page, api: httpx.Client, folder: str) -> None:
    for name in ("a.html", "b.txt", "sub/c.txt"):
        put(api, folder + name, name.encode(), "text/html")
    select(page, "a.html")
    with page.expect_download() as download:
        do(page, "Download")
    assert (download.value.suggested_filename, download.value.path().read_bytes()) == ("a.html", b"a.html")
    select(page, "sub")
    with page.expect_download() as download:
        do(page, "Download")
    archive = zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes()))
    assert {name: archive.read(name) for name in archive.namelist()} == {"a.html": b"a.html", "sub/c.txt": b"sub/c.txt"}


def test_download_a_selection_over_plain_http(
    playwright: Playwright, server: Server, api: httpx.Client, folder: str
) -> None:
    """From another machine: then browsers send Origin only, and no Sec-Fetch-Site."""
    for name in ("a.txt", "b.txt"):
        put(api, folder + name)
    rule = "--host-resolver-rules=MAP drive.test 127.0.0.1"
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, rule])
    try:
        page = browser.new_page(base_url=f"http://drive.test:{server.port}")
        page.goto(f"/#files/{folder}")
        page.get_by_label("Token", exact=True).fill(TOKEN)
        page.keyboard.press("Enter")
        select(page, "a.txt", "b.txt")
        with page.expect_download() as download:
            do(page, "Download")
        assert zipfile.ZipFile(io.BytesIO(download.value.path().read_bytes())).namelist() == ["a.txt", "b.txt"]
    finally:
        browser.close()


def test_share_a_file(page: Page, api: httpx.Client, folder: str) -> None:
    put(api, f"{folder}a.txt")
    select(page, "a.txt")
    do(page, "Share")
    page.get_by_label("Password (optional)").fill("for Ada")
    page.get_by_label("Valid for").select_option(label="An hour")
    page.get_by_role("button", name="Create link").click()
    link = page.get_by_label("Link", exact=True).input_value()
    assert [httpx.get(link, auth=auth).status_code for auth in (None, ("", "for Ada"))] == [401, 200]
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Links").click()
    line = page.get_by_role("row").filter(has_text=f"{folder}a.txt")
    expect(line).to_contain_text("with a password")
    line.get_by_role("button", name="End").click()
    page.get_by_role("button", name="End it").click()
    expect(line).to_have_count(0)
    assert httpx.get(link, auth=("", "for Ada")).status_code == 404


def test_the_link_of_another_key_can_be_ended_unread(open_page: Opener, api: httpx.Client, folder: str) -> None:
    put(api, f"{folder}a.txt")
    url = api.post("/v1/shares", json={"id": f"{folder}a.txt"}).json()["url"]
    body = {"name": f"key of {folder}", "actions": ["admin", "list"], "prefixes": [folder]}
    other = open_page("", token=api.post("/v1/keys", json=body).json()["token"])
    other.get_by_role("link", name="Links").click()
    line = other.get_by_role("row").filter(has_text=f"{folder}a.txt")
    expect(line.get_by_role("button")).to_have_text(["End"])
    line.get_by_role("button", name="End").click()
    other.get_by_role("button", name="End it").click()
    expect(line).to_have_count(0)
    assert httpx.get(url).status_code == 404


def token_of(page: Page, name: str, prefix: str, *rights: str) -> Any:
    """Create a key in the page, and return its token."""
    page.get_by_role("link", name="Keys").click()
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Only ids that begin with").fill(prefix)
    for right in rights:
        page.get_by_role("checkbox", name=right).check()
    page.get_by_role("button", name="Create").click()
    token = page.get_by_label("Token", exact=True).input_value()
    page.keyboard.press("Escape")
    return token


def test_a_restricted_key_sees_only_its_prefix(open_page: Opener, page: Page, api: httpx.Client, folder: str) -> None:
    put(api, f"{folder}in/a.txt")
    put(api, f"{folder}out/b.txt")
    token = token_of(page, f"key of {folder}", f"{folder}in/")
    other = open_page("", token=token)
    expect(row(other, "a.txt")).to_be_visible()
    expect(other.get_by_role("button", name="Upload", exact=True)).to_have_count(0)
    expect(other.get_by_role("link", name="Keys")).to_have_count(0)
    other.goto(f"/#files/{folder}out/")
    expect(other.locator(".spacer .row")).to_have_count(0)
    other.goto("/#files/")
    row(other, f"{folder}in/").get_by_role("link").click()
    expect(row(other, "a.txt")).to_be_visible()
    line = page.get_by_role("row").filter(has_text=f"key of {folder}")
    line.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(line).to_have_count(0)
    expect(other.get_by_label("Token", exact=True)).to_be_visible(timeout=10_000)


def test_rotate_a_key(page: Page, api: httpx.Client, folder: str) -> None:
    token = token_of(page, f"key of {folder}", folder)
    line = page.get_by_role("row").filter(has_text=f"key of {folder}")
    line.get_by_role("button", name="Rotate").click()
    page.get_by_label("The former secret").select_option("0")
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    new = page.get_by_label("Token", exact=True).input_value()
    assert new != token
    found = [
        httpx.get(f"{api.base_url}/v1/session", headers={"Authorization": f"Bearer {each}"}) for each in (token, new)
    ]
    assert found[-1].status_code == 200


@pytest.mark.parametrize("presses", [1, 2])  # Chromium closes a dialog at the second Escape, whatever the page does
def test_escape_loses_no_secret_that_is_on_its_way(page: Page, api: httpx.Client, folder: str, presses: int) -> None:
    held: list[Route] = []
    page.get_by_role("link", name="Keys").click()
    page.route(
        "**/v1/keys**", lambda route: held.append(route) if route.request.method == "POST" else route.continue_()
    )
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name", exact=True).fill(f"key of {folder}")
    for submit in ("Create", "Rotate"):
        dialog = page.get_by_role("dialog")
        with page.expect_request(lambda request: request.method == "POST"):
            dialog.get_by_role("button", name=submit).click()
        for _ in range(presses):
            page.keyboard.press("Escape")
        expect(dialog).to_have_count(2 - presses)
        held.pop().continue_()
        expect(page.get_by_label("Token", exact=True)).to_have_value(re.compile("."))
        page.keyboard.press("Escape")
        line = page.get_by_role("row").filter(has_text=f"key of {folder}")
        line.get_by_role("button", name="Rotate").click()
    with page.expect_request(lambda request: request.method == "POST"):
        page.get_by_role("dialog").get_by_role("button", name="Rotate").click()
    for _ in range(presses):
        page.keyboard.press("Escape")
    held.pop().fulfill(status=503, json={"detail": "Try again later."})
    expect(page.get_by_text("Try again later.")).to_be_visible()
