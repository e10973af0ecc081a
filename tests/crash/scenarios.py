"""A crash at one point of one operation, and what must hold afterwards."""

import asyncio
import base64
import hashlib
import itertools
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args
from urllib.parse import quote

from application.ownership.ownership import INTERVALS
from tests.crash.failpoints import CRASH, DIE, HANG, RAISE, RECORD, REFUSE
from tests.crash.server import CONTROL, MOVE, MOVE_AWAY, PIECE, TO_PLANT
from tests.crash.service import BUCKET, CREDENTIAL, LONG, Service
from tests.http.wire import TOKEN

SMALL = 100  # bytes
SLOW = timedelta(minutes=9)  # between two pieces; a lease lasts ten
NUMBERS = itertools.count(1)
# In the order in which they are tried. The mark comes first: among few blobs, its sample reads several pages.
Kind = Literal["mark", "create", "replace", "delete", "reap", "advance", "take over"]
Change = Literal[
    "publish",
    "publish over",
    "part",
    "part over",
    "append",
    "append over",
    "join",
    "copy part",
    "copy part over",
    "copy",
    "move",
    "move over",
    "delete prefix",
    "commit",
    "restore",
    "release",
    "relocate",
    "relocate shared",
]
BETWEEN_STORAGES = frozenset({"relocate", "relocate shared"})
"""Operations that need a second storage."""
KINDS: tuple[Kind | Change, ...] = (*get_args(Kind), *get_args(Change))
OWNED = frozenset(
    {"create", "replace", "delete", "publish", "publish over", "append over", "join", "copy", "move over"}
    | {"delete prefix", "commit", "restore", "release"}
)
"""Operations of a key with a quota, unless they are large. Some of the blobs that they find are of nobody."""
QUOTA = 2**40  # bytes
TRIES = 3
ROUNDS = 4
PART = 2  # the number of the part that is written
PATCHED = "application/x-patched"
APPENDED_AT = 40  # bytes of an upload that are there already
RESUMED = {"Content-Type": "application/partial-upload"}
TUS = {"Tus-Resumable": "1.0.0"}


@dataclass(frozen=True)
class Operation:
    """What a request does; `size` is that of the bytes, if it has any."""

    kind: Kind | Change
    size: int = SMALL

    @property
    def has_content(self) -> bool:
        return self.kind in ("create", "replace")

    @property
    def has_owner(self) -> bool:
        return self.kind in OWNED and self.size == SMALL

    def __str__(self) -> str:
        return self.kind if self.size == SMALL else f"{self.kind} large"


@dataclass(frozen=True)
class Point:
    """The `nth` time that a request comes to `name`."""

    name: str
    nth: int

    def __str__(self) -> str:
        return f"{self.name}#{self.nth}"


@dataclass
class Case:
    """An operation on an id of its own, which has the content `before` and is to have the content `after`.

    `others` are further blobs, each with its content before and after: all of them change together. `body` is sent as
    JSON, `data` as it is; a PUT sends `after`. With `resumed`, the client goes on until the upload is finished, as is
    written there: at the address of its upload, or by the same request again. With an `upload`, the contents are those
    of its part `PART`, and there is no blob. The blob `patched` has the type `PATCHED` once it has changed.
    With `of_s3`, the headers of a request of S3, that is one, without a body.
    """

    blob_id: str
    method: str
    path: str
    before: bytes | None
    after: bytes | None
    what: str = ""
    others: Mapping[str, tuple[bytes | None, bytes | None]] = field(default_factory=dict)
    body: Any = None
    upload: str = ""
    patched: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    data: bytes | None = None
    resumed: str = ""
    of_s3: Mapping[str, str] = field(default_factory=dict)


def content(seed: str, size: int) -> bytes:
    """Bytes that no other seed has."""
    block = hashlib.shake_256(seed.encode()).digest(1021)
    return (block * (size // len(block) + 1))[:size]


def _hex(content: bytes | None) -> str | None:
    return None if content is None else hashlib.sha256(content).hexdigest()


def points_of(passed: Sequence[str], known: Sequence[str] = ()) -> list[Point]:
    """The first, the second and the last time of each point; without those of which as many are `known`."""
    times, same = Counter(passed), Counter(known)
    new = {name: count for name, count in times.items() if count != same[name]}
    return [Point(name, nth) for name, count in new.items() for nth in sorted({1, min(2, count), count})]


def is_of_a_port(point: Point) -> bool:
    """And not of an adapter's I/O."""
    return not point.name.startswith(("fs.", "sql.", "s3.", "ftp."))


def is_outside_units(point: Point) -> bool:
    """Where a request may stand still and hold up nobody."""
    return point.name in ("unit:before", "chunk:before", "chunk:after", "store.put:before", "store.put:after")


def not_synced(passed: Sequence[str]) -> list[str]:
    """What a power cut could undo of a create on files. A kill can't show that: the kernel keeps what was written."""
    made = ["fs.mkdir(shard):after", "fs.fsync(base):after"] if "fs.mkdir(shard):after" in passed else []
    at = -1
    for name in [*made, "fs.open(file):after", "fs.write(file):after"]:
        if name not in passed[at + 1 :]:
            return [f"not synced: no {name} after {passed[at]}"]
        at = passed.index(name, at + 1)
    before_commit = passed[at + 1 : passed.index("commit:before", at + 1)]
    synced = ["fs.fsync(file):after", "fs.fsync(shard):after"]  # at the same time
    return [f"not synced: no {name} after {passed[at]}" for name in synced if name not in before_commit]


def _has_taken(pieces: int, state: dict[str, Any]) -> bool:
    passed: list[str] = state["passed"]
    return passed.count("chunk:after") >= pieces or state["ended"] is True


class Scenarios:
    """On one service, one after another. Each returns what is wrong afterwards: nothing."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def record(self, operation: Operation) -> list[str]:
        """The points that it passes."""
        case = await self._prepare(operation)
        await self._do(case, RECORD)
        passed: list[str] = (await self._until_ended())["passed"]
        wrong = await self._check(case, [case.after])
        assert wrong == [], wrong
        return passed

    async def go_well(self, operation: Operation) -> list[str]:
        """Nothing happens to it."""
        case = await self._prepare(operation)
        acknowledged = await self._do(case, RECORD)
        await self._until_ended()
        return await self._check(case, [case.after] if acknowledged else [case.before])

    async def die(self, operation: Operation, point: Point, action: str = DIE) -> list[str]:
        """The process dies at the point."""
        for _ in range(TRIES):
            case = await self._prepare(operation)
            worker = self.service.worker
            acknowledged = await self._do(case, f"{point}={action}")
            if await self.service.has_died(worker):
                await (self.service.start_again() if action == CRASH else self.service.until_back())
                return await self._check(case, [case.after] if acknowledged else [case.before, case.after])
            # New folders are made only while some are missing, and after hundreds of scenarios few are.
            self.service.remove_empty_folders()
            await self.service.kill_worker()
        return ["it was not reached"]

    async def fail(self, operation: Operation, point: Point) -> list[str]:
        """What nobody expects is raised at the point."""
        case = await self._prepare(operation)
        acknowledged = await self._do(case, f"{point}={RAISE}")
        return await self._check(case, [case.after] if acknowledged else [case.before, case.after])

    async def refuse(self, operation: Operation, point: Point) -> list[str]:
        """A backend can't be used at the point, and can be right after it. No key is given to two puts."""
        case = await self._prepare(operation)
        acknowledged = await self._do(case, f"{point}={REFUSE}")
        keys: list[str] = (await self._until_ended())["put_keys"]
        repeated = [f"repeated: a put of {key}" for key in set(keys) if keys.count(key) > 1]
        return repeated + await self._check(case, [case.after] if acknowledged else [case.before, case.after])

    async def stand_still(self, operation: Operation, point: Point) -> list[str]:
        """The request stands still at the point until the reaper has given it up, and goes on then."""
        case = await self._prepare(operation)
        doing = await self._hang(case, point)
        await self.service.come_to_rest()
        await self.service.control("release")
        acknowledged = await doing
        return await self._check(case, [case.after] if acknowledged else [case.before, case.after])

    async def overtake(self, operation: Operation, point: Point) -> list[str]:
        """A client replaces the blob while the operation stands still at the point."""
        case = await self._prepare(operation)
        doing = await self._hang(case, point)
        newer = content(f"{case.blob_id} newer", operation.size)
        await self.service.put(case.blob_id, newer)
        await self.service.control("release")
        await doing
        return await self._check(replace(case, before=newer, after=newer), [newer])

    async def leave(self, operation: Operation, point: Point) -> list[str]:
        """The client gives up while the request stands still at the point."""
        case = await self._prepare(operation)
        doing = await self._hang(case, point)
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        await self.service.control("release")
        await self._until_ended()
        return await self._check(case, [case.before, case.after])

    async def flow(self, pieces: int = 5) -> list[str]:
        """An upload takes much longer than its lease, but its bytes flow, while the reaper works."""
        case = await self._prepare(Operation("create", pieces * PIECE))

        async def slowly() -> AsyncIterator[bytes]:
            assert case.after is not None
            for number in range(pieces):
                yield case.after[number * PIECE :][:PIECE]
                await self.service.until(partial(_has_taken, number + 1))
                await self.service.inspection.let_pass(SLOW)
                await self.service.reap()

        await self.service.own()
        await self.service.control("forget")
        answer = await self.service.ask("PUT", case.path, slowly(), RECORD)
        refused = [] if answer is not None and answer.is_success else ["refused: an upload whose bytes flow"]
        return refused + await self._check(case, [None if refused else case.after])

    async def copied(self, fault: str = "") -> list[str]:
        """A copy of the database is started next to the server, which publishes what was in progress. On SQLite."""
        case = await self._prepare(Operation("create"))
        doing = await self._hang(case, Point("store.put:after", 1))
        async with self._next_to_it(fault, copied=True) as copy:
            await self.service.control("release")
            acknowledged = await doing
            await self.service.inspection.let_pass(LONG)
            await self.service.own()
            for _ in range(ROUNDS):
                await copy.inspection.let_pass(LONG)
                await copy.control("keep")
                await copy.control("reap")
        return await self._check(case, [case.after] if acknowledged else [None])

    async def mistaken(self, fault: str = "") -> list[str]:
        """Another server of the same database is started on a folder that is not the storage. On files."""
        case = await self._prepare(Operation("reap"))
        await self.service.inspection.advance()
        with suppress(AssertionError):  # it does not start
            async with self._next_to_it(fault, copied=False) as other:
                for _ in range(ROUNDS):
                    await other.inspection.let_pass(LONG)
                    await other.control("reap")
        return await self._check(case, [case.before])

    @asynccontextmanager
    async def _next_to_it(self, fault: str, *, copied: bool) -> AsyncIterator[Service]:
        """Another server: with a copy of the database and the same folder, or the other way round."""
        data = self.service.server.folder / "data"
        with TemporaryDirectory() as name:
            folder = Path(name)
            if fault:
                (folder / TO_PLANT).write_text(fault)
            settings = {"DATABASE_URL": f"sqlite:///{data}/drivebay.db"}
            if copied:
                settings = {"DATABASE_URL": f"sqlite:///{folder}/copy.db", "FS_BASE_PATH": f"{data}/blobs"}
                with (
                    closing(sqlite3.connect(data / "drivebay.db")) as one,
                    closing(sqlite3.connect(folder / "copy.db")) as two,
                ):
                    one.backup(two)
            async with Service(folder, {"STORAGE": "fs"} | settings) as service:
                yield service

    async def sync(self) -> list[str]:
        """Files and folders are synced before the commit."""
        return not_synced(await self.record(Operation("create")))

    async def _prepare(self, operation: Operation) -> Case:
        """Return a case, with all that it finds, and with its credential in use."""
        if operation.has_owner:
            await self.service.use_a_key(QUOTA)
        else:
            CREDENTIAL.set(TOKEN)
        case = await self._prepared(operation)
        await self.service.ask("GET", "/v1/blobs?limit=1")  # now the key is known
        return case

    async def _prepared(self, operation: Operation) -> Case:
        name = f"{operation.kind}-{next(NUMBERS)}"
        path = f"/v1/blobs/{name}"
        old, new = content(f"{name} old", operation.size), content(f"{name} new", operation.size)
        match operation.kind:
            case "create":
                return Case(name, "PUT", path, None, new)
            case "replace":
                await self.service.put(name, old)
                return Case(name, "PUT", path, old, new)
            case "delete":
                await self.service.put(name, old)
                return Case(name, "DELETE", path, old, None)
            case "reap":
                await self.service.put(name, old)
                await self.service.own()
                await self.service.inspection.leave_work_for_the_reaper()
                return Case(name, "CONTROL", path, old, old, "reap")
            case "mark":
                await self.service.put(name, old)
                await self.service.inspection.forget_the_storage()
                return Case(name, "CONTROL", path, old, old, "keep")
            case "advance":
                await self.service.put(name, old)
                await self.service.own()
                await self.service.inspection.let_pass(LONG)
                return Case(name, "CONTROL", path, old, old, "keep")
            case "take over":
                await self.service.put(name, old)
                await self._let_it_watch()
                return Case(name, "CONTROL", path, old, old, "keep")
            case _:
                return await self._prepare_change(operation.kind, name, old, new)

    async def _prepare_change(self, kind: Change, name: str, old: bytes, new: bytes) -> Case:
        """A change of rows, of several blobs together."""
        second, third = f"{name} 2", f"{name} 3"
        parts = [new[:40], new[40:41], new[41:]]
        match kind:
            case "publish" | "publish over":
                before = None if kind == "publish" else old
                if before is not None:
                    await self.service.put(name, before)
                put = {"put": {"id": name, "upload": await self._uploaded(parts)}}
                return Case(name, "POST", "/v1/commits", before, new, body={"operations": [put]})
            case "part" | "part over":
                before = None if kind == "part" else old
                upload = await self._uploaded([b"first"] if before is None else [b"first", before, b"last"])
                return Case(name, "PUT", f"/v1/uploads/{upload}/{PART}", before, new, upload=upload)
            case "append" | "append over":
                before = None if kind == "append" else old
                if before is not None:
                    await self.service.put(name, before)
                return await self._prepare_append(name, before, new)
            case "join":
                return await self._prepare_join(name, new)
            case "copy part" | "copy part over":
                return await self._prepare_copied_part(name, old, new, replaces=kind == "copy part over")
            case "copy":
                await self.service.put(second, new, TOKEN)
                body = {"from": second, "to": name}
                return Case(name, "POST", "/v1/copy", None, new, others={second: (new, new)}, body=body)
            case "move" | "move over":
                before = None if kind == "move" else old
                if before is not None:
                    await self.service.put(name, before)
                await self.service.put(second, new, TOKEN)
                move: dict[str, Any] = {"from": second, "to": name, "replace": before is not None}
                return Case(name, "POST", "/v1/move", before, new, others={second: (new, None)}, body=move)
            case "delete prefix":
                await self.service.put(second, old, TOKEN)
                for each in (name, third):
                    await self.service.put(each, old)
                body = {"prefix": name}
                both = {second: (old, None), third: (old, None)}
                return Case(name, "POST", "/v1/delete", old, None, others=both, body=body)
            case "commit":
                return await self._prepare_commit(name, second, third, old, new, parts)
            case "restore":
                await self.service.put(name, old)
                await self.service.change("/v1/delete", {"prefix": name})
                [version] = (await self._listed("/v1/trash", name))["versions"]
                return Case(name, "POST", f"/v1/trash/{version['key']}/restore", None, old, body={})
            case "release":
                gone = await self._leave_contents(name, old, parts)
                await self.service.own()
                await self.service.inspection.let_pass(LONG)
                return Case(name, "CONTROL", "", old, old, "reap", others=dict.fromkeys(gone, (None, None)))
            case "relocate" | "relocate shared":
                return await self._prepare_move(name, old, shared=kind == "relocate shared")

    async def _prepare_move(self, name: str, old: bytes, *, shared: bool) -> Case:
        """Blobs in the database of the rows; if `shared`, a copy, and one of segments, have the object of another."""
        others: dict[str, tuple[bytes | None, bytes | None]] = {}
        if shared:
            await self.service.use_a_key(QUOTA)
            await self.service.change_by_s3("PUT", quote(name), old)
            copy, listed = f"{name} 2", f"{name} 3"
            await self.service.change("/v1/copy", {"from": name, "to": copy})
            upload = await self._uploaded_by_s3(quote(listed), [b"first", b"", b"last"])
            path = f"{quote(listed)}?partNumber=2&uploadId={upload}"
            await self.service.change_by_s3("PUT", path, x_amz_copy_source=f"{BUCKET}/{quote(name)}")
            await self.service.change("/v1/commits", {"operations": [{"put": {"id": listed, "upload": upload}}]})
            whole = b"".join([b"first", old, b"last"])
            others = {copy: (old, old), listed: (whole, whole)}
        else:
            await self.service.put(name, old)
        for direction in (MOVE_AWAY, MOVE, MOVE_AWAY):  # now there is a folder for them, and all points are the same
            moved = await self.service.control(f"{direction}{quote(name)}")
            assert moved["is_done"], moved
        return Case(name, "CONTROL", "", old, old, f"{MOVE}{quote(name)}", others=others)

    async def _go_on_moving(self, case: Case) -> list[str]:
        """Move what is left of a move that may have been killed. Return what can't be moved."""
        await self.service.inspection.let_pass(LONG)  # the claims of the one that was killed
        moved = await self.service.control(case.what)
        return [] if moved["is_done"] else [f"refused: {moved}"]

    async def _prepare_append(self, name: str, before: bytes | None, new: bytes) -> Case:
        """The last bytes of an upload of the draft, which publish it."""
        first = {"Upload-Complete": "?0", "Upload-Length": str(len(new))}
        begun = await self.service.ask("PUT", f"/v1/blobs/{name}", new[:APPENDED_AT], headers=first)
        assert begun is not None
        assert begun.status_code == 201, begun.text
        headers = {**RESUMED, "Upload-Offset": str(APPENDED_AT), "Upload-Complete": "?1"}
        path, data = begun.headers["Location"], new[APPENDED_AT:]
        return Case(name, "PATCH", path, before, new, headers=headers, data=data, resumed=path)

    async def _prepare_join(self, name: str, new: bytes) -> Case:
        """The upload of tus that joins two others."""
        partials = []
        for data in (new[:APPENDED_AT], new[APPENDED_AT:]):
            headers = {**TUS, "Upload-Concat": "partial", "Upload-Length": str(len(data))}
            headers["Content-Type"] = "application/offset+octet-stream"
            begun = await self.service.ask("POST", "/v1/tus", data, headers=headers)
            assert begun is not None
            assert begun.status_code == 201, begun.text
            partials.append(begun.headers["Location"])
        metadata = f"id {base64.b64encode(name.encode()).decode()}"
        headers = {**TUS, "Upload-Concat": f"final;{' '.join(partials)}", "Upload-Metadata": metadata}
        return Case(name, "POST", "/v1/tus", None, new, headers=headers, data=b"", resumed="/v1/tus")

    async def _prepare_copied_part(self, name: str, old: bytes, new: bytes, *, replaces: bool) -> Case:
        """A part whose object is a segment of another blob; one before it may have the object of a third blob."""
        listed, single = name.replace(" ", "-") + "-listed", name.replace(" ", "-") + "-single"
        await self.service.use_a_key(QUOTA)
        upload = await self._uploaded_by_s3(listed, [b"0", new, b"1"])
        await self.service.change("/v1/commits", {"operations": [{"put": {"id": listed, "upload": upload}}]})
        await self.service.change_by_s3("PUT", single, old)
        target = name.replace(" ", "-")
        upload = await self._uploaded_by_s3(target, [b"first", b"", b"last"] if replaces else [b"first"])
        path = f"{target}?partNumber={PART}&uploadId={upload}"
        if replaces:
            await self.service.change_by_s3("PUT", path, x_amz_copy_source=f"{BUCKET}/{single}")
        headers = {"x-amz-copy-source": f"{BUCKET}/{listed}", "x-amz-copy-source-range": f"bytes=1-{len(new)}"}
        whole = b"".join([b"0", new, b"1"])
        others: dict[str, tuple[bytes | None, bytes | None]] = {listed: (whole, whole), single: (old, old)}
        before = old if replaces else None
        return Case(name, "PUT", path, before, new, others=others, upload=upload, of_s3=headers)

    async def _uploaded_by_s3(self, key: str, parts: Sequence[bytes]) -> str:
        """The key of an upload with these parts, which have checksums."""
        begun = await self.service.change_by_s3("POST", f"{key}?uploads=")
        upload = begun.partition("<UploadId>")[2].partition("</UploadId>")[0]
        for number, part in enumerate(parts, 1):
            await self.service.change_by_s3("PUT", f"{key}?partNumber={number}&uploadId={upload}", part)
        return upload

    async def _prepare_commit(
        self, name: str, second: str, third: str, old: bytes, new: bytes, parts: Sequence[bytes]
    ) -> Case:
        """A commit with each operation."""
        fourth = f"{name} 4"
        for each in (name, second):
            await self.service.put(each, old)
        await self.service.put(third, old, TOKEN)
        operations: list[dict[str, Any]] = [
            {"put": {"id": name, "upload": await self._uploaded(parts)}},
            {"move": {"from": second, "to": f"{name} 5"}},
            {"copy": {"from": third, "to": fourth}},
        ]
        others: dict[str, tuple[bytes | None, bytes | None]]
        others = {second: (old, None), f"{name} 5": (None, old), third: (old, old), fourth: (None, old)}
        deleted, patched = f"{name} 6", f"{name} 7"
        for each in (deleted, patched):
            await self.service.put(each, old)
        operations += [{"delete": {"id": deleted}}, {"patch": {"id": patched, "content_type": PATCHED}}]
        others |= {deleted: (old, None), patched: (old, old)}
        body = {"operations": operations}
        return Case(name, "POST", "/v1/commits", old, new, others=others, body=body, patched=patched)

    async def _leave_contents(self, name: str, old: bytes, parts: Sequence[bytes]) -> list[str]:
        """Return the ids of blobs that are gone: a copy, two copies of one content, one of segments, an expired one.

        One more of segments shares the object of a blob that is kept. There is also an upload that nobody will publish.
        """
        copy, first, second, listed, expired = (f"{name} {number}" for number in range(2, 7))
        for each in (first, expired):
            await self.service.put(each, old)
        await self.service.change_by_s3("PUT", name, old)
        shared, blob_id = await self._uploaded_by_s3(f"{name}-shared", parts), f"{name}-shared"
        path = f"{blob_id}?partNumber=4&uploadId={shared}"
        await self.service.change_by_s3("PUT", path, x_amz_copy_source=f"{BUCKET}/{name}")
        await self.service.change("/v1/commits", {"operations": [{"put": {"id": blob_id, "upload": shared}}]})
        await self.service.change("/v1/commits", {"operations": [{"delete": {"id": blob_id}}]})
        put = {"put": {"id": listed, "upload": await self._uploaded(parts)}}
        copies = [{"copy": {"from": source, "to": to}} for source, to in ((name, copy), (first, second))]
        brief = {"patch": {"id": expired, "expires_in": 3600}}
        await self.service.change("/v1/commits", {"operations": [put, *copies, brief]})
        deletes = [{"delete": {"id": each}} for each in (copy, first, second, listed)]
        await self.service.change("/v1/commits", {"operations": deletes})
        await self._uploaded(parts)
        return [copy, first, second, listed, expired, blob_id]

    async def _uploaded(self, parts: Sequence[bytes]) -> str:
        """The key of an upload with these parts."""
        upload: str = (await self.service.change("/v1/uploads", {}))["upload"]
        await self.service.send_parts(upload, parts)
        return upload

    async def _listed(self, path: str, prefix: str) -> Any:
        answer = await self.service.ask("GET", f"{path}?prefix={quote(prefix)}")
        assert answer is not None
        return answer.json()

    async def _let_it_watch(self) -> None:
        """A process that has just started has watched the epoch for long enough, and that is due."""
        await self.service.kill_worker()
        await self.service.inspection.advance()
        for _ in range(INTERVALS + 1):
            await self.service.control("keep")
        await self.service.inspection.let_pass(LONG)

    async def _do(self, case: Case, failpoint: str) -> bool:
        """Whether the operation was acknowledged."""
        if case.method == "CONTROL":
            answer = await self.service.ask("POST", f"{CONTROL}/{case.what}", failpoint=failpoint)
        elif case.of_s3:
            answer = await self.service.ask_s3(case.method, case.path, failpoint=failpoint, headers=case.of_s3)
        else:
            content = case.after if case.method == "PUT" else case.data
            answer = await self.service.ask(
                case.method, case.path, content, failpoint, json=case.body, headers=case.headers
            )
        return answer is not None and answer.is_success

    async def _hang(self, case: Case, point: Point) -> "asyncio.Task[bool]":
        """The operation, which stands still at the point."""
        await self.service.control("forget")
        doing = asyncio.create_task(self._do(case, f"{point}={HANG}"))
        await self.service.until(lambda state: state["reached"])
        return doing

    async def _until_ended(self) -> dict[str, Any]:
        return await self.service.until(lambda state: state["ended"])

    async def _check(self, case: Case, possible: list[bytes | None]) -> list[str]:
        if case.upload:
            wrong = await self._wrong_part(case, possible) + await self.service.inspection.damage()
            wrong += await self.service.come_to_rest() + await self.service.inspection.damage()
            return wrong + await self._lost_sources(case)
        wrong = await self._wrong(case, possible)
        if case.resumed and not wrong:
            wrong, possible = await self._resume(case), [case.after]
            wrong += await self._wrong(case, possible)
        if case.what.startswith(MOVE) and not wrong:
            wrong = await self.service.inspection.damage() + await self._go_on_moving(case)
        wrong += await self.service.come_to_rest()
        wrong += await self.service.inspection.damage()
        return wrong + (await self._wrong(case, possible) if not wrong else [])

    async def _resume(self, case: Case) -> list[str]:
        """Go on as the client does that got no response. Return what is wrong with what it learns."""
        if case.resumed == case.path and case.method == "POST":
            answer = await self.service.ask("POST", case.path, b"", headers=case.headers)
            return [] if answer is not None and answer.status_code == 201 else [f"refused: {answer and answer.text}"]
        head = await self.service.ask("HEAD", case.resumed)
        if head is None or head.status_code != 204:
            return ["lost: the upload is not found"]
        offset, whole = int(head.headers["Upload-Offset"]), case.after
        assert whole is not None
        if head.headers["Upload-Complete"] == "?1":
            return [] if offset == len(whole) else [f"torn: an upload that is complete with {offset} bytes"]
        if not APPENDED_AT <= offset <= len(whole):
            return [f"lost: {APPENDED_AT} bytes were acknowledged, and {offset} are there"]
        rest = {**RESUMED, "Upload-Offset": str(offset), "Upload-Complete": "?1"}
        answer = await self.service.ask("PATCH", case.resumed, whole[offset:], headers=rest)
        return [] if answer is not None and answer.is_success else [f"refused: {answer and answer.text}"]

    async def _lost_sources(self, case: Case) -> list[str]:
        """What is wrong with the blobs whose objects the upload had."""
        wrong = []
        for blob_id, (content, _) in case.others.items():
            answer = await self.service.ask("GET", f"/v1/blobs/{quote(blob_id)}?alt=media")
            if answer is None or answer.content != content:
                wrong.append(f"torn: {blob_id} can't be read: {answer and answer.status_code}")
        return wrong

    async def _wrong_part(self, case: Case, possible: list[bytes | None]) -> list[str]:
        """What is wrong with the part of an upload, by its digest."""
        answer = await self.service.ask("GET", f"/v1/uploads/{case.upload}")
        if answer is None or answer.status_code != 200:
            return ["torn: the upload can't be read"]
        by_number = {part["n"]: part["sha256"] for part in answer.json().get("parts", [])}
        others = {1} if case.before is None else {1, 3}
        if by_number.keys() - {PART} != others:
            return ["lost: another part is not there" if others - by_number.keys() else "torn: a further part"]
        digest = by_number.get(PART)
        states = {_hex(content): content for content in (case.before, case.after)}
        if digest not in states:
            return ["torn: a part that nobody sent"] if digest else ["lost: the part is not there"]
        return [] if states[digest] in possible else ["lost: the part is not what was acknowledged"]

    async def _wrong(self, case: Case, possible: list[bytes | None]) -> list[str]:
        """What a client sees that it should not."""
        there: dict[str, bytes | None] = {}
        for blob_id in (case.blob_id, *case.others):
            answer = await self.service.ask("GET", f"/v1/blobs/{quote(blob_id)}?alt=media")
            if answer is None or answer.status_code not in (200, 404):
                return [f"torn: {blob_id} can't be read: {answer and answer.text}"]
            there[blob_id] = answer.content if answer.status_code == 200 else None
            if blob_id == case.patched:
                has_type = answer.headers["Content-Type"] == PATCHED
                if has_type != (there[case.blob_id] == case.after):
                    return [f"torn: {blob_id} was not patched together with {case.blob_id}"]
        found = there[case.blob_id]
        for blob_id, contents in case.others.items():
            if there[blob_id] != contents[found == case.after]:
                return [f"torn: {blob_id} has not changed together with {case.blob_id}"]
        if found not in (case.before, case.after):
            return ["torn: other bytes than anybody stored"] if found is not None else ["lost: it is not there"]
        if found not in possible:
            return ["lost: it is not what was acknowledged"]
        listing = await self.service.ask("GET", f"/v1/blobs?prefix={quote(case.blob_id)}")
        if listing is None or listing.status_code != 200:
            return ["torn: it can't be listed"]
        listed = there.keys() & {blob["id"] for blob in listing.json()["blobs"]}
        if listed != {blob_id for blob_id, content in there.items() if content is not None}:
            return ["torn: it can be listed and not read, or the other way round"]
        return []
