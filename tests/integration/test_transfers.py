"""Files that become blobs, and blobs that become files, next to changes and failures of either side."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.metadata.memory.unit_of_work import MemoryMetadata
from application.blobs.changes.delete import DeleteBlob
from application.blobs.list import ListBlobs
from application.maintenance.rate import Rate
from application.ports.file_times import time_as_text, time_in_text
from application.ports.file_tree import FileChanged, FileGone, NotLinkable, OpenedFile, TreeFile, UnusableEntry
from application.transfers.export_blobs import ExportBlobs
from application.transfers.import_files import ImportFiles
from application.transfers.report import Existing, Problem, TransferFinding, TransferOptions, TransferReport, Unheard
from application.transfers.run import PATIENCE
from application.uploads.retry import Retry
from domain.access import EVERYTHING
from domain.blob import BlobId, ObjectKey
from domain.errors import NoSpace, NotFound, Unavailable
from domain.precondition import ANY
from tests.contracts.blob_store import each, pattern
from tests.contracts.memory_tree import Kept, MemoryTree
from tests.integration.drive import Drive

THEN = datetime(2001, 2, 3, 4, 5, 6, 789_123, UTC)
LARGE = pattern(300_000)
FILES = {"a": b"a", "b/c.txt": LARGE, "b/d": b"", "e": b"e" * 100}


class Findings(Unheard):
    def __init__(self) -> None:
        self.all = list[TransferFinding]()

    def found(self, finding: TransferFinding) -> None:
        self.all.append(finding)

    @property
    def by_path(self) -> dict[str, Problem]:
        return {finding.path: finding.problem for finding in self.all}


class Tree(MemoryTree):
    """A tree that can be down, and be changed while it is read."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        super().__init__()
        self.down = 0
        self.full = False
        self.changes = dict[str, bytes]()
        for path, data in (files or {}).items():
            self.put(path, data, THEN)

    @asynccontextmanager
    async def read(self, file: TreeFile) -> AsyncIterator[OpenedFile]:
        if self.down:
            self.down -= 1
            raise Unavailable("It is down.")
        async with super().read(file) as opened:
            yield opened

    async def chunks(self, kept: Kept) -> AsyncIterator[bytes]:
        async for chunk in super().chunks(kept):
            yield chunk
            if (data := self.changes.pop(kept.file.path, None)) is not None:
                self.put(kept.file.path, data)
        if self.files[kept.file.path] is not kept:
            raise FileChanged("It was changed.")

    async def write(self, *arguments: Any, **more: Any) -> TreeFile:
        if self.full:
            raise NoSpace("It is full.")
        if self.down:
            self.down -= 1
            raise Unavailable("It is down.")
        return await super().write(*arguments, **more)


@dataclass
class Transfers:
    """Imports to a drive and exports from it, and what they find."""

    drive: Drive
    retry: Retry = field(default_factory=lambda: Retry(3))
    findings: Findings = field(default_factory=Findings)
    slept: list[float] = field(default_factory=list)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def imported(self, tree: MemoryTree, link: Any = None, **options: Any) -> TransferReport:
        self.findings.all.clear()
        case = ImportFiles(self.drive.metadata.blobs, self.drive.store, self.drive.fetch, self.retry, self._sleep)
        return await case(tree, TransferOptions("p/", **options), self.findings, Rate(None), link)

    async def exported(self, tree: MemoryTree, **options: Any) -> TransferReport:
        self.findings.all.clear()
        case = ExportBlobs(ListBlobs(self.drive.metadata.blobs), self.drive.fetch, self.retry, self._sleep)
        return await case(tree, TransferOptions("p/", **options), self.findings)

    async def blobs(self) -> dict[str, bytes]:
        """Return the bytes of all blobs, by their ids. No other object may be left."""
        found = await self.drive.metadata.blobs.between("", None, 1000)
        await self.drive.reap()
        assert await self.drive.objects() == {blob.content.key for blob in found}
        return {blob.id.value: await self.drive.get(blob.id) for blob in found}


@pytest.fixture
def transfers(drive: Drive) -> Transfers:
    return Transfers(drive)


def prefixed(files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"p/{path}": data for path, data in files.items()}


def contents(tree: MemoryTree) -> dict[str, bytes]:
    return {path: kept.data for path, kept in tree.files.items()}


async def test_there_and_back(any_drive: Drive) -> None:
    transfers, tree, out = Transfers(any_drive), Tree(FILES), Tree()
    report = await transfers.imported(tree, verify=True)
    assert (report.files, report.bytes, report.found, report.stopped) == (4, 300_101, {}, "")
    assert await transfers.blobs() == prefixed(FILES)
    blob = await any_drive.metadata.blobs.get(BlobId("p/b/c.txt"))
    assert blob.properties.content_type == "text/plain"
    assert blob.properties.metadata == {"mtime": time_as_text(THEN)}
    tree.reads.clear()
    again = await transfers.imported(tree)
    assert (again.files, again.unchanged, tree.reads) == (0, 4, [])
    report = await transfers.exported(out, verify=True)
    assert (report.files, report.bytes, report.found) == (4, 300_101, {})
    assert contents(out) == FILES
    assert {kept.file.modified_at for kept in out.files.values()} == {THEN}
    out.reads.clear()
    again = await transfers.exported(out)
    assert (again.files, again.unchanged, out.reads) == (0, 4, [])


async def test_what_is_not_marked_is_compared_by_its_digest(transfers: Transfers) -> None:
    tree = Tree({"same": b"same", "other": b"other"})
    for path, data in (("same", b"same"), ("other", b"OTHER")):
        await transfers.drive.put(data, BlobId(f"p/{path}"))
    report = await transfers.imported(tree)
    assert (report.files, report.unchanged, transfers.findings.by_path) == (0, 1, {"other": Problem.EXISTS})
    report = await transfers.exported(tree)
    assert (report.files, report.unchanged, transfers.findings.by_path) == (0, 1, {"other": Problem.EXISTS})


async def test_checksums_are_compared_if_asked(transfers: Transfers) -> None:
    tree = Tree({"a": b"old"})
    await transfers.imported(tree)
    tree.put("a", b"new", THEN)
    assert (await transfers.imported(tree)).unchanged == 1
    await transfers.imported(tree, checksum=True)
    assert transfers.findings.by_path == {"a": Problem.EXISTS}
    assert (await transfers.exported(tree)).unchanged == 1
    await transfers.exported(tree, checksum=True)
    assert transfers.findings.by_path == {"a": Problem.EXISTS}


@pytest.mark.parametrize("existing", Existing)
async def test_what_exists_and_differs(transfers: Transfers, existing: Existing) -> None:
    await transfers.imported(Tree({"a": b"blob"}))
    tree = Tree({"a": b"file"})
    tree.put("a", b"longer", THEN)
    report = await transfers.exported(tree, existing=existing)
    assert contents(tree) == {"a": b"blob" if existing is Existing.REPLACE else b"longer"}
    expected = (existing is Existing.REPLACE, existing is Existing.SKIP, existing is Existing.FAIL)
    assert (report.files, report.kept, report.found[Problem.EXISTS]) == expected
    report = await transfers.imported(Tree({"a": b"another"}), existing=existing)
    assert (report.files, report.kept, report.found[Problem.EXISTS]) == expected
    assert await transfers.drive.get(BlobId("p/a")) == (b"another" if existing is Existing.REPLACE else b"blob")


async def test_a_dry_run_changes_nothing(transfers: Transfers) -> None:
    tree, out = Tree(FILES), Tree()
    assert (await transfers.imported(tree, dry_run=True)).files == 4
    assert await transfers.blobs() == {}
    await transfers.imported(tree)
    assert (await transfers.exported(out, dry_run=True)).files == 4
    assert contents(out) == {}


async def test_some_take_part(transfers: Transfers) -> None:
    tree, out = Tree(FILES), Tree()
    tree.unusable.append(UnusableEntry("z", "It is a pipe."))
    report = await transfers.imported(tree, takes=lambda path: path not in ("a", "z"))
    assert (report.files, transfers.findings.all) == (3, [])
    assert (await transfers.exported(out, takes=lambda path: path != "e")).files == 2
    await transfers.imported(tree)
    assert transfers.findings.by_path == {"z": Problem.UNREADABLE}


@pytest.mark.parametrize("path", ["a", "b/c.txt"])
async def test_a_file_that_changes_while_it_is_read_does_not_become_a_blob(any_drive: Drive, path: str) -> None:
    transfers, tree = Transfers(any_drive), Tree(FILES)
    tree.changes[path] = b"another"
    await transfers.imported(tree)
    assert transfers.findings.by_path == {path: Problem.CHANGED}
    assert await transfers.blobs() == prefixed({name: data for name, data in FILES.items() if name != path})
    assert (await transfers.imported(tree)).files == 1
    assert await transfers.drive.get(BlobId(f"p/{path}")) == b"another"


async def test_a_blob_that_is_damaged_does_not_become_a_file(transfers: Transfers) -> None:
    await transfers.imported(Tree(FILES))
    blob = await transfers.drive.metadata.blobs.get(BlobId("p/b/c.txt"))
    for data, problem in ((LARGE[:-1] + b"x", Problem.DAMAGED), (LARGE[:-1], Problem.DAMAGED)):
        await transfers.drive.active.delete(blob.content.key)
        await transfers.drive.active.put(blob.content.key, each([data]))
        out = Tree()
        report = await transfers.exported(out)
        assert (report.files, transfers.findings.by_path) == (3, {"b/c.txt": problem})
        assert "b/c.txt" not in out.files


async def test_copies_that_differ_are_found_by_reading_them_back(transfers: Transfers) -> None:
    class Corrupting(Tree):
        def put(self, path: str, data: bytes, modified_at: datetime | None = None) -> TreeFile:
            return super().put(path, data[:-1] + b"!" if data else data, modified_at)

    class Interrupted(Corrupting):
        """Each file that is read back at once can't be read, so it is looked at again."""

        async def write(self, *arguments: Any, **more: Any) -> TreeFile:
            written = await super().write(*arguments, **more)
            self.down = 1
            return written

    await transfers.imported(Tree(FILES))
    assert (await transfers.exported(Corrupting())).found == {}
    out = Corrupting()
    report = await transfers.exported(out, verify=True)
    assert report.found == {Problem.DAMAGED: 3}
    report = await transfers.exported(out, verify=True)
    assert (report.unchanged, report.found) == (1, {Problem.EXISTS: 3}), "its mark does not make it the same"
    report = await transfers.exported(Interrupted(), verify=True, at_once=1)
    assert (report.unchanged, report.found) == (1, {Problem.DAMAGED: 3}), "nor does the mark of the attempt before"
    report = await transfers.exported(Interrupted(), verify=True, at_once=1, existing=Existing.SKIP)
    assert (report.unchanged, report.kept, report.found) == (1, 0, {Problem.DAMAGED: 3})
    report = await transfers.exported(Interrupted(), verify=True, at_once=1, existing=Existing.REPLACE)
    assert (report.unchanged, report.found) == (1, {Problem.FAILED: 3}), "each attempt writes it again"


@pytest.mark.parametrize("existing", Existing)
async def test_a_write_that_fails_for_a_moment_is_no_damage(transfers: Transfers, existing: Existing) -> None:
    await transfers.imported(Tree(FILES))
    out = Tree()
    out.down = 1
    report = await transfers.exported(out, verify=True, at_once=1, existing=existing)
    assert (report.files, report.found) == (4, {})
    out = Tree()
    out.down = 100
    report = await transfers.exported(out, verify=True, at_once=1, existing=existing)
    assert (report.files, report.found) == (0, {Problem.FAILED: 4})


async def test_a_blob_that_is_there_is_read_back_too(transfers: Transfers) -> None:
    """The run before may have been killed before it did, or its storage may have been down for a moment."""
    tree = Tree({"a": b"a", "b": b"b"})
    await transfers.imported(tree)
    assert ((await transfers.imported(tree, verify=True)).unchanged, transfers.findings.all) == (2, [])
    key = (await transfers.drive.metadata.blobs.get(BlobId("p/a"))).content.key
    await transfers.drive.active.delete(key)
    await transfers.drive.active.put(key, each([b"!"]))
    assert (await transfers.imported(tree)).unchanged == 2
    assert (await transfers.imported(tree, verify=True)).unchanged == 1
    assert transfers.findings.by_path == {"a": Problem.DAMAGED}


async def test_an_id_is_a_file_or_a_folder(transfers: Transfers) -> None:
    for blob_id in ("p/a", "p/a-b", "p/a/b", "p/a/b/c", "p/aa", "p/d/", "p/d/e", "p/full/", "p/", "q/other"):
        await transfers.drive.put(b"" if blob_id == "p/d/" else b"x", BlobId(blob_id))
    out = Tree()
    await transfers.exported(out)
    assert transfers.findings.by_path == dict.fromkeys(["a/b", "a/b/c", "full/"], Problem.CONFLICT)
    assert (set(out.files), out.folders) == ({"a", "a-b", "aa", "d/e"}, {"d/"})


async def test_a_folder_that_exists_is_the_same(transfers: Transfers) -> None:
    await transfers.drive.put(b"", BlobId("p/d/"))
    out = Tree()
    assert (await transfers.exported(out)).files == 1
    for checksum in (False, True):
        report = await transfers.exported(out, checksum=checksum)
        assert (report.files, report.unchanged, transfers.findings.all) == (0, 1, [])


async def test_hostile_names(transfers: Transfers) -> None:
    hostile = ["../x", "/x", "a//b", "a/../../x", ".", "x/.", "..", "x.drivebay-part"]
    for path in hostile:
        await transfers.drive.put(b"x", BlobId(f"p/{path}"))
    out = Tree()
    report = await transfers.exported(out)
    assert transfers.findings.by_path == dict.fromkeys(hostile, Problem.INVALID)
    assert (report.files, contents(out)) == (0, {})
    names = ["tab\t", "x" * 2047, "line\n"]
    await transfers.imported(Tree(dict.fromkeys([*names, "good"], b"x")))
    assert transfers.findings.by_path == dict.fromkeys(names, Problem.INVALID)
    assert await transfers.drive.get(BlobId("p/good")) == b"x"


async def test_a_failure_that_passes_is_not_noticed(transfers: Transfers) -> None:
    tree, out = Tree(FILES), Tree()
    tree.down = out.down = 2
    report = await transfers.imported(tree, at_once=1)
    assert (report.files, report.found, len(transfers.slept)) == (4, {}, 2)
    report = await transfers.exported(out, at_once=1)
    assert (report.files, report.found, len(transfers.slept)) == (4, {}, 4)


async def test_a_failure_that_stays_ends_it(transfers: Transfers) -> None:
    files = {f"{number}": b"x" for number in range(3 * PATIENCE)}
    tree = Tree(files)
    tree.down = 10_000
    report = await transfers.imported(tree)
    assert (report.files, report.stopped) == (0, "It is down.")
    assert PATIENCE <= report.found[Problem.FAILED] < 2 * PATIENCE
    tree.down = 0
    assert (await transfers.imported(tree)).files == len(files)
    out = Tree()
    out.full = True
    report = await transfers.exported(out, at_once=1)
    assert (report.stopped, report.found) == ("It is full.", {Problem.FAILED: 1})


async def test_what_is_deleted_since_it_was_listed_is_passed_over(transfers: Transfers) -> None:
    class Deleting(Tree):
        async def list(self) -> AsyncIterator[TreeFile | UnusableEntry]:
            async for entry in super().list():
                self.files.pop("e", None)
                yield entry

    report = await transfers.imported(Deleting(FILES))
    assert (report.files, report.found) == (3, {})

    class Emptying(Tree):
        async def find(self, path: str) -> TreeFile | None:
            with suppress(NotFound):
                await DeleteBlob(transfers.drive.metadata)(EVERYTHING, BlobId(f"p/{path}"), ANY)
            return await super().find(path)

    report = await transfers.exported(Emptying())
    assert (report.files, report.found) == (0, {})


@pytest.mark.parametrize("error", [FileGone("It is gone."), NotFound("It is gone.")])
async def test_what_the_target_of_an_export_lacks_is_reported(transfers: Transfers, error: Exception) -> None:
    """As if others had removed its folder or its temporary file, or an upload in parts."""

    class Losing(Tree):
        async def chunks(self, kept: Kept) -> AsyncIterator[bytes]:
            async for _ in super().chunks(kept):
                raise error
            yield b""

        async def write(self, path: str, chunks: AsyncIterable[bytes], *arguments: Any, **more: Any) -> TreeFile:
            async for _ in chunks:
                raise error
            return await super().write(path, chunks, *arguments, **more)

    await transfers.imported(Tree({"a": b"a", "b": b"b", "empty": b""}))
    losing = Losing()
    losing.put("a", b"A")  # differs, and was not marked with the time of the blob
    report = await transfers.exported(losing)
    assert report.files == 1
    assert transfers.findings.by_path == dict.fromkeys("ab", Problem.CHANGED)


async def test_a_blob_that_is_deleted_before_it_is_read_back_is_reported(transfers: Transfers) -> None:
    transfers.drive.fetch = replace(transfers.drive.fetch, blobs=MemoryMetadata().blobs)
    report = await transfers.imported(Tree({"a": b"a"}), verify=True)
    assert (report.files, transfers.findings.by_path) == (0, {"a": Problem.CHANGED})


async def test_a_blob_that_others_store_meanwhile_is_not_replaced(transfers: Transfers) -> None:
    class Racing(Tree):
        async def chunks(self, kept: Kept) -> AsyncIterator[bytes]:
            await transfers.drive.put(b"theirs", BlobId(f"p/{kept.file.path}"))
            async for chunk in super().chunks(kept):
                yield chunk

    await transfers.imported(Racing({"a": b"ours"}))
    assert transfers.findings.by_path == {"a": Problem.EXISTS}
    assert await transfers.blobs() == {"p/a": b"theirs"}


async def test_files_are_linked_if_they_can_be(any_drive: Drive) -> None:
    transfers, tree, linked = Transfers(any_drive), Tree(FILES), list[str]()

    @asynccontextmanager
    async def link(file: TreeFile, key: ObjectKey) -> AsyncIterator[None]:
        if file.path == "a":
            raise NotLinkable("It is elsewhere.")
        await any_drive.active.put(key, each([tree.files[file.path].data]))
        linked.append(file.path)
        yield
        if file.path == "e":
            raise FileChanged("It was changed.")

    await transfers.imported(tree, link)
    assert (sorted(linked), tree.reads) == (["b/c.txt", "b/d", "e"], ["a"])
    assert transfers.findings.by_path == {"e": Problem.CHANGED}
    assert await transfers.blobs() == prefixed({path: data for path, data in FILES.items() if path != "e"})
    blob = await any_drive.metadata.blobs.get(BlobId("p/b/c.txt"))
    assert (blob.size, blob.properties.content_type) == (len(LARGE), "text/plain")
    tree.reads.clear()
    assert (await transfers.imported(Tree(FILES))).unchanged == 3


async def test_a_cancelled_import_leaves_nothing(transfers: Transfers) -> None:
    begun = asyncio.Event()

    class Sticking(Tree):
        async def chunks(self, kept: Kept) -> AsyncIterator[bytes]:
            yield kept.data
            begun.set()
            await asyncio.Event().wait()

    importing = asyncio.create_task(transfers.imported(Sticking({"a": b"a"})))
    await begun.wait()
    importing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await importing
    assert await transfers.blobs() == {}


async def test_etags_are_marks(transfers: Transfers) -> None:
    class Bucket(Tree):
        def put(self, path: str, data: bytes, modified_at: datetime | None = None) -> TreeFile:
            file = replace(super().put(path, data, modified_at), etag=f"etag-{data.decode()}")
            self.files[path] = Kept(file, data)
            return file

    tree = Bucket({"a": b"old"})
    await transfers.imported(tree)
    tree.reads.clear()
    tree.put("a", b"old", datetime(2020, 1, 1, tzinfo=UTC))
    assert ((await transfers.imported(tree)).unchanged, tree.reads) == (1, [])
    tree.put("a", b"new", THEN)
    assert (await transfers.imported(tree, existing=Existing.REPLACE)).files == 1
    blob = await transfers.drive.metadata.blobs.get(BlobId("p/a"))
    assert blob.properties.metadata == {"mtime": time_as_text(THEN), "source-etag": "etag-new"}


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (THEN, "981173106.789123"),
        (datetime(1970, 1, 1, tzinfo=UTC), "0.000000"),
        (datetime(1969, 12, 31, 23, 59, 59, 500_000, UTC), "-0.500000"),
        (datetime(1, 1, 1, tzinfo=UTC), "-62135596800.000000"),
    ],
)
def test_times_are_kept_as_rclone_does(time: datetime, text: str) -> None:
    assert time_as_text(time) == text
    assert time_in_text(text) == time


@pytest.mark.parametrize("text", ["", "x", "1e3", "1.", "999999999999", "-99999999999.5", "١", "1.0\n"])
def test_other_texts_are_no_times(text: str) -> None:
    assert time_in_text(text) is None
    assert time_in_text("1600000000.123456789") == datetime(2020, 9, 13, 12, 26, 40, 123_456, UTC)
