"""Upload: files, folders, conflicts, pauses, and what a reload cuts off."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, expect

from tests.browser.conftest import file_of, put, row

LARGE = 24 * 1024**2  # bytes
RATE = 6 * 1024**2  # bytes a second


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


def throttle(page: Page, rate: int, *, offline: bool = False) -> None:
    """Bound the rate of uploads, in bytes a second; -1 for none."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": rate}
    session.send("Network.emulateNetworkConditions", conditions)


def test_an_upload_goes_on_after_a_reload(page: Page, api: httpx.Client, folder: str, tmp_path: Path) -> None:
    content = os.urandom(LARGE)
    path = file_of(tmp_path, "film.bin", content)
    throttle(page, RATE)
    choose(page, "Upload", path)
    bar = page.get_by_role("progressbar", name="Sent of film.bin")
    expect(bar).to_have_attribute("aria-valuenow", re.compile(r"^[2-8]\d$"), timeout=30_000)
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
    expect(uploads(page).get_by_role("heading", name="Uploaded 1 file")).to_be_visible()
    assert hashlib.sha256(raw(api, f"{folder}film.bin").content).digest() == hashlib.sha256(content).digest()
    page.reload()
    expect(row(page, "film.bin")).to_be_visible()
    expect(uploads(page)).to_have_count(0)


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
    expect(uploads(page).get_by_role("heading", name="Uploaded 1 file")).to_be_visible(timeout=20_000)
    assert raw(api, f"{folder}film.bin").content == content


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
