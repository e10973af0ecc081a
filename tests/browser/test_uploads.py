"""Upload: files, folders, conflicts, pauses, and what a reload cuts off."""

import hashlib
import os
import re
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Dialog, Page, Playwright, Request, Route, expect

from tests.browser.conftest import ARGUMENTS, CHROMIUM, PATIENCE, file_of, put, row
from tests.http.server import Server
from tests.http.wire import TOKEN

LARGE = int(os.environ.get("BROWSER_UPLOAD_MIB", "24")) * 1024**2  # bytes
RATE = LARGE // 4  # bytes a second
LONG = max(60_000, LARGE // 10_000)  # milliseconds, for what takes longer with a larger file


def choose(page: Page, button: str, *paths: Path) -> None:
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name=button, exact=True).click()
    chosen.value.set_files([*paths])


def raw(api: httpx.Client, blob_id: str) -> httpx.Response:
    return api.get(f"/v1/blobs/{blob_id.replace('/', '%2F')}", params={"alt": "media"})


def uploads(page: Page) -> Any:
    return page.get_by_role("region", name="Uploads")


def test_files_with_any_names(page: Page, api: httpx.Client, folder: str, tmp_path: Path) -> None:
    names = ["a b.txt", "Ünï 100%.txt", "<img src=x onerror=alert(1)>.txt", "empty"]
    files = [file_of(tmp_path, name, b"" if name == "empty" else name.encode()) for name in names]
    with page.expect_response(lambda response: response.request.method == "POST") as created:
        choose(page, "Upload", *files)
    assert created.value.request.headers["upload-checksum"].startswith("sha256 ")
    expect(uploads(page).get_by_role("heading", name="Uploaded 4 files")).to_be_visible()
    for name in names:
        expect(row(page, name)).to_be_visible()
    listed = api.get("/v1/blobs", params={"prefix": folder}).json()["blobs"]
    assert {blob["id"]: blob["content_type"] for blob in listed}[f"{folder}a b.txt"] == "text/plain"
    assert {blob["id"].removeprefix(folder) for blob in listed} == set(names)


def test_a_folder_keeps_its_paths(page: Page, api: httpx.Client, folder: str, tmp_path: Path) -> None:
    (tmp_path / "trip" / "day 1").mkdir(parents=True)
    file_of(tmp_path / "trip", "a", b"a")
    file_of(tmp_path / "trip" / "day 1", "b", b"b")
    choose(page, "Upload folder", tmp_path / "trip")
    expect(uploads(page).get_by_role("heading", name="Uploaded 2 files")).to_be_visible()
    assert [blob["id"] for blob in api.get("/v1/blobs", params={"prefix": folder}).json()["blobs"]] == [
        f"{folder}trip/a",
        f"{folder}trip/day 1/b",
    ]
    row(page, "trip").get_by_role("link").click()
    expect(row(page, "day 1")).to_be_visible()


def test_files_that_are_dropped_or_pasted(page: Page, api: httpx.Client, folder: str) -> None:
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    page.evaluate(
        """() => {
            const dropped = new DataTransfer()
            dropped.items.add(new File(["d"], "dropped.txt", { type: "text/plain" }))
            for (const type of ["dragenter", "dragover", "drop"]) {
                document.querySelector("files-view .split").dispatchEvent(
                    new DragEvent(type, { dataTransfer: dropped, bubbles: true, cancelable: true }))
            }
            const pasted = new DataTransfer()
            pasted.items.add(new File(["p"], "pasted.txt"))
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: pasted }))
        }"""
    )
    expect(row(page, "dropped.txt")).to_be_visible()
    expect(row(page, "pasted.txt")).to_be_visible()
    assert raw(api, f"{folder}dropped.txt").content == b"d"


def test_a_folder_that_is_dropped_keeps_its_paths(page: Page, api: httpx.Client, folder: str, tmp_path: Path) -> None:
    (tmp_path / "trip" / "day 1").mkdir(parents=True)
    for number in range(120):  # more than a browser lists at once
        file_of(tmp_path / "trip" / "day 1", f"{number:03}", b"b")
    lone = file_of(tmp_path, "lone", b"a")
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    drop(page, tmp_path / "trip", lone)
    expect(uploads(page).get_by_role("heading", name="Uploaded 121 files")).to_be_visible(timeout=LONG)
    listed = [blob["id"] for blob in api.get("/v1/blobs", params={"prefix": folder, "limit": 1000}).json()["blobs"]]
    assert listed == [f"{folder}lone", *(f"{folder}trip/day 1/{number:03}" for number in range(120))]


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders of this machine on the list, as a file manager does."""
    box = page.locator("files-view .split").bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})


def test_names_in_use(page: Page, api: httpx.Client, folder: str, tmp_path: Path) -> None:
    names = ["replace.txt", "keep.txt", "skip.txt"]
    for name in names:
        put(api, folder + name, b"old")
    choose(page, "Upload", *(file_of(tmp_path, name, b"new") for name in names))
    tray = uploads(page)
    expect(tray.get_by_text("3 names in use already")).to_be_visible()
    for name, choice in zip(names, ("Replace", "Keep both", "Skip"), strict=True):
        tray.get_by_role("listitem").filter(has_text=name).get_by_role("button", name=choice).click()
    expect(row(page, "keep (2).txt")).to_be_visible()
    expect(tray.get_by_role("heading", name="Uploaded 2 files")).to_be_visible()
    stored = {name: raw(api, folder + name).content for name in [*names, "keep (2).txt"]}
    assert stored == {"replace.txt": b"new", "keep.txt": b"old", "skip.txt": b"old", "keep (2).txt": b"new"}


def test_another_file_with_the_same_name_and_size_is_uploaded_too(
    page: Page, api: httpx.Client, folder: str, tmp_path: Path
) -> None:
    files = []
    for name, time in (("one", 1000), ("two", 2000)):
        (tmp_path / name).mkdir()
        files.append(file_of(tmp_path / name, "a.txt", name.encode()))
        os.utime(files[-1], (time, time))
    choose(page, "Upload", *files)
    tray = uploads(page)
    expect(tray.get_by_role("heading", name="1 name in use already")).to_be_visible()
    tray.get_by_role("button", name="Keep both").click()
    expect(tray.get_by_role("heading", name="Uploaded 2 files")).to_be_visible()
    assert {raw(api, folder + name).content for name in ("a.txt", "a (2).txt")} == {b"one", b"two"}
    for said in ("2 names in use already", "2 files left out"):
        choose(page, "Upload", *files)
        expect(page.get_by_text(said).first).to_be_visible()


def test_a_folder_that_can_not_be_read_stops_no_others(
    page: Page, api: httpx.Client, folder: str, tmp_path: Path
) -> None:
    for name in ("gone", "trip"):
        (tmp_path / name).mkdir()
        file_of(tmp_path / name, "a", b"a")
    expect(page.get_by_text("Nothing here yet")).to_be_visible()
    page.expose_function("beforeReading", lambda: shutil.rmtree(tmp_path / "gone", ignore_errors=True))
    page.evaluate(
        """() => {
            const entryOf = DataTransferItem.prototype.webkitGetAsEntry
            DataTransferItem.prototype.webkitGetAsEntry = function () {
                const entry = entryOf.call(this)
                const createReader = entry.createReader
                entry.createReader = () => {
                    const reader = createReader.call(entry)
                    const readEntries = reader.readEntries
                    reader.readEntries = async (...callbacks) => {
                        await beforeReading()
                        readEntries.apply(reader, callbacks)
                    }
                    return reader
                }
                return entry
            }
        }"""
    )
    drop(page, tmp_path / "gone", tmp_path / "trip")
    expect(page.get_by_text("“gone” can't be read.")).to_be_visible()
    expect(uploads(page).get_by_role("heading", name="Uploaded 1 file")).to_be_visible()
    assert raw(api, f"{folder}trip/a").content == b"a"


def throttle(page: Page, rate: int, *, offline: bool = False) -> None:
    """Bound the rate of uploads, in bytes a second; -1 for none."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
    session.send("Network.emulateNetworkConditions", conditions)


def choose_slowly(page: Page, path: Path) -> None:
    """Choose a large file, and return when a part of it was sent. `throttle` lets the rest go on."""
    throttle(page, RATE)
    choose(page, "Upload", path)
    bar = page.get_by_role("progressbar", name=f"Sent of {path.name}")
    expect(bar).to_have_attribute("aria-valuenow", re.compile(r"^[2-8]\d$"), timeout=LONG)


def test_an_upload_goes_on_after_a_reload(page: Page, api: httpx.Client, folder: str, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    path = file_of(tmp_path, "film.bin", content)
    choose_slowly(page, path)
    expect(uploads(page)).to_contain_text("left")
    page.on("dialog", lambda dialog: dialog.accept())  # "leave the page?"
    page.reload()
    throttle(page, -1)
    old = uploads(page).get_by_role("listitem").filter(has_text="film.bin")
    expect(old).to_contain_text("Choose the same file again")
    choose(page, "Choose the file", file_of(tmp_path, "other.bin", b"other"))
    expect(page.get_by_text("This is another file")).to_be_visible()
    with page.expect_request(lambda request: request.method == "PATCH") as resumed:
        choose(page, "Choose the file", path)
    assert int(resumed.value.headers["upload-offset"]) > LARGE // 10
    expect(uploads(page).get_by_role("heading", name="Uploaded 1 file")).to_be_visible(timeout=LONG)
    assert hashlib.sha256(raw(api, f"{folder}film.bin").content).digest() == hashlib.sha256(content).digest()
    page.reload()
    expect(row(page, "film.bin")).to_be_visible()
    expect(uploads(page)).to_have_count(0)


@pytest.mark.parametrize("is_chosen_again", [False, True])
def test_a_large_file_replaces_one_that_came_during_the_upload(
    page: Page, api: httpx.Client, folder: str, tmp_path: Path, is_chosen_again: bool
) -> None:
    content = os.urandom(LARGE)
    path = file_of(tmp_path, "film.bin", content)
    choose_slowly(page, path)
    put(api, f"{folder}film.bin", b"other")
    throttle(page, -1)
    tray = uploads(page)
    if is_chosen_again:
        tray.get_by_role("button", name="Skip").click(timeout=LONG)
        choose(page, "Upload", path)
    tray.get_by_role("button", name="Replace").click(timeout=LONG)
    expect(tray.get_by_role("heading", name="Uploaded 1 file")).to_be_visible(timeout=LONG)
    assert raw(api, f"{folder}film.bin").content == content


def started(playwright: Playwright, profile: Path, server: Server, folder: str) -> Page:
    """Start a Chromium of its own, which keeps its profile, and sign in."""
    context = playwright.chromium.launch_persistent_context(
        profile, executable_path=CHROMIUM, args=ARGUMENTS, base_url=server.url
    )
    context.set_default_timeout(PATIENCE)
    assert context.request.post("/v1/session", data={"token": TOKEN}).ok
    page = context.new_page()
    page.goto(f"/#files/{folder}")
    return page


def kill(profile: Path) -> None:
    """Kill all processes of the Chromium with this profile."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"--user-data-dir={profile}".encode() in (process / "cmdline").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGKILL)


def test_an_upload_goes_on_after_the_browser_was_killed(
    playwright: Playwright, server: Server, api: httpx.Client, folder: str, tmp_path: Path
) -> None:
    content, profile = os.urandom(LARGE), tmp_path / "profile"
    path = file_of(tmp_path, "film.bin", content)
    page = started(playwright, profile, server, folder)
    choose_slowly(page, path)
    with page.context.expect_event("close"):
        kill(profile)
    page = started(playwright, profile, server, folder)
    old = uploads(page).get_by_role("listitem").filter(has_text="film.bin")
    expect(old).to_contain_text("Choose the same file again")
    with page.expect_request(lambda request: request.method == "PATCH") as resumed:
        choose(page, "Choose the file", path)
    assert int(resumed.value.headers["upload-offset"]) > 0
    expect(uploads(page).get_by_role("heading", name="Uploaded 1 file")).to_be_visible(timeout=LONG)
    assert raw(api, f"{folder}film.bin").content == content
    page.context.close()


def test_pause_resume_and_a_network_that_fails(page: Page, api: httpx.Client, folder: str, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    throttle(page, RATE)
    choose(page, "Upload", file_of(tmp_path, "film.bin", content))
    expect(page.get_by_role("progressbar", name="Sent of film.bin")).not_to_have_attribute("aria-valuenow", "0")
    uploads(page).get_by_role("button", name="Pause film.bin").click()
    expect(uploads(page)).to_contain_text("Paused at")
    uploads(page).get_by_role("button", name="Resume film.bin").click()
    expect(uploads(page)).to_contain_text("/s")
    throttle(page, -1, offline=True)
    throttle(page, -1)
    expect(uploads(page).get_by_role("heading", name="Uploaded 1 file")).to_be_visible(timeout=LONG)
    assert raw(api, f"{folder}film.bin").content == content


def refusing(status: int) -> Callable[[Route], None]:
    return lambda route: route.fulfill(status=status)


def test_no_refusal_starts_an_upload_again(page: Page, api: httpx.Client, folder: str, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    throttle(page, RATE)
    choose(page, "Upload", file_of(tmp_path, "film.bin", content))
    bar = page.get_by_role("progressbar", name="Sent of film.bin")
    expect(bar).to_have_attribute("aria-valuenow", re.compile(r"^[2-8]\d$"), timeout=LONG)
    tray = uploads(page)
    tray.get_by_role("button", name="Pause film.bin").click()
    throttle(page, -1)
    for status in (401, 403, 429, 502):  # the last comes first
        page.route("**/v1/tus/*", refusing(status), times=1)
    created: list[Request] = []
    page.on("request", lambda request: created.append(request) if request.method == "POST" else None)
    tray.get_by_role("button", name="Resume film.bin").click()
    expect(tray).to_contain_text("The server answered 403. What was sent is kept.")
    tray.get_by_role("button", name="Try film.bin again").click()
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    with page.expect_request(lambda request: request.method == "PATCH") as resumed:
        tray.get_by_role("button", name="Try film.bin again").click()
    assert int(resumed.value.headers["upload-offset"]) > LARGE // 10
    expect(tray.get_by_role("heading", name="Uploaded 1 file")).to_be_visible(timeout=LONG)
    assert raw(api, f"{folder}film.bin").content == content
    assert [request.url.rpartition("/")[2] for request in created] == ["session"]


def stay(page: Page) -> list[str]:
    """Stay on the page if the browser asks whether to leave. Return the list of these questions, which grows."""
    asked: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", dismiss)
    return asked


@pytest.mark.parametrize("way", ["signs out", "signs in with another key"])
def test_nothing_is_left_of_a_session_with_an_upload(
    page: Page, api: httpx.Client, folder: str, tmp_path: Path, way: str
) -> None:
    put(api, f"{folder}private.txt")
    asked = stay(page)
    throttle(page, RATE // 10)
    choose(page, "Upload", file_of(tmp_path, "film.bin", bytes(LARGE)))
    expect(page.get_by_role("progressbar", name="Sent of film.bin")).not_to_have_attribute("aria-valuenow", "0")
    token = page.get_by_label("Token", exact=True)
    if way == "signs out":
        for choice in ("Cancel", "Sign out"):
            page.get_by_role("button", name="Account").click()
            page.get_by_role("button", name="Sign out").click()
            dialog = page.get_by_role("dialog", name="Sign out?")
            expect(dialog).to_contain_text("1 upload will be interrupted.")
            dialog.get_by_role("button", name=choice).click()
        expect(token).to_be_visible()
    else:
        key = api.post("/v1/keys", json={"name": "other", "actions": ["list"], "prefixes": [f"other-{folder}"]}).json()
        page.context.clear_cookies()
        token.fill(key["token"])
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("button", name="Account: other")).to_be_visible()
    expect(row(page, "private.txt")).to_have_count(0)
    assert asked == []


def test_a_zip_file_leaves_the_page_and_its_uploads_alone(
    page: Page, api: httpx.Client, folder: str, tmp_path: Path
) -> None:
    for name in ("a.txt", "b.txt"):
        put(api, folder + name)
    asked = stay(page)
    throttle(page, RATE // 10)
    choose(page, "Upload", file_of(tmp_path, "film.bin", bytes(LARGE)))
    expect(page.get_by_role("progressbar", name="Sent of film.bin")).not_to_have_attribute("aria-valuenow", "0")
    for name in ("a.txt", "b.txt"):
        row(page, name).locator(".tick").click()
    download = page.get_by_role("button", name="Download", exact=True)
    api.delete(f"/v1/blobs/{folder.replace('/', '%2F')}a.txt")
    with page.context.expect_page() as refused:
        download.click()
    expect(refused.value.locator("body")).to_contain_text("not_found")
    put(api, f"{folder}a.txt")
    with page.expect_download() as downloaded:
        download.click()
    assert downloaded.value.suggested_filename == f"{folder.removesuffix('/')}.zip"
    expect(uploads(page)).to_contain_text("Uploading 1 file")
    assert asked == []


def test_people_without_a_key_send_files_by_a_link(page: Page, api: httpx.Client, folder: str, tmp_path: Path) -> None:
    page.get_by_role("button", name="Upload link").click()
    page.get_by_label("Password (optional)").fill("for Ada")
    page.get_by_role("button", name="Create link").click()
    link = page.get_by_label("Link", exact=True).input_value()
    page.context.clear_cookies()
    page.goto("about:blank")
    page.goto(link)
    page.get_by_label("Files").set_input_files(file_of(tmp_path, "report.txt", b"report"))
    for password, said in (("wrong", "missing or wrong"), ("for Ada", "uploaded")):
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Upload").click()
        expect(page.get_by_role("listitem").last).to_contain_text(said)
    assert raw(api, f"{folder}report.txt").content == b"report"
