"""Clients that change blobs without their bytes: they copy, move, patch, commit, restore and upload in parts."""

import base64
import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.contracts.blob_store import pattern
from tests.model.blobs import Condition, Demand, Version, listed
from tests.model.clients import CLIENTS, ClientsMachine, headers_of
from tests.model.machine import clients, demands, metadata, numbers, times, types
from tests.model.state import (
    QUOTA,
    Append,
    Commit,
    Copy,
    Delete,
    DeletePrefix,
    Description,
    Discard,
    Move,
    MovePrefix,
    Operation,
    Outcome,
    Patch,
    Publish,
    Purge,
    Put,
    PutPart,
    Request,
    Restore,
    State,
    Upload,
    agrees,
    completed,
    first_clash,
    has_blobs,
    has_trash,
    histories,
    is_history,
)

IDS = ["a", "a/", "a/b", "a/b/c", "b", "b/a", "á", "..", "%00", "☺☺☺", "x" * 2048]
PREFIXES = ["", "a", "a/", "a/b", "b/", "á", "%", "x", "nobody's"]
RETENTION = 600  # seconds, as the server is set
FULL = 501  # blobs: more than the service deletes at a time
LIMITED = (1, 2)  # the clients that have one key, with a quota
NO_UPLOAD = "0" * 32
NO_KEY = "999999"
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}

ids = st.sampled_from(IDS)
prefixes = st.sampled_from(PREFIXES)
contents = st.builds(
    lambda size, salt: (b"%d" % salt + pattern(size))[:size], st.sampled_from([0, 1, 100, 70_000]), st.integers(0, 2)
)
versions = st.builds(Version, contents, types, metadata, times)
patches = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.sampled_from([None, {}, {"a": None}, {"a": "2"}, {"b-c": "naïve ☺", "a": None}, {"new": ""}]),
        "content_type": st.sampled_from([None, "text/plain", "image/png"]),
        "expires_at": st.sampled_from([None, "2100-01-31T12:00:00Z", "2101-01-31T12:00:00.000001Z"]),
    },
)
part_numbers = st.none() | st.sampled_from([(1,), (2,), (1, 2), (1, 3), (2, 1), (1, 1), ()])
parts = st.lists(st.tuples(st.sampled_from([1, 1, 2, 2, 3]), contents), max_size=4)


@dataclass(frozen=True)
class Wish:
    """An operation on the blob, or the upload, with this number among those that there are."""

    kind: type[Operation]
    number: int
    target: str
    may_replace: bool
    demanded: tuple[Demand, int]
    patch: dict[str, Any]
    parts: tuple[int, ...] | None


# Most of them can be done, or else few commits could.
kinds = st.sampled_from([Publish, Delete, Copy, Copy, Move, Move, Patch, Patch])
few_demands = st.sampled_from([(Demand.NOTHING, 0)] * 3) | demands
may_replace = st.sampled_from([True, True, False])
wishes = st.builds(Wish, kinds, numbers, ids, may_replace, few_demands, patches, st.none() | part_numbers)


class Changes(ClientsMachine):
    """After each change, the server lists what the model has: blobs, trash and uploads.

    The clients `LIMITED` have a key with a quota, for which the server counts the blobs of the model.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.keys: dict[str, str] = {}
        self.key = ""

    def current(self, blob_id: str) -> Version | None:
        found = self.state.blobs.get(blob_id)
        return found.version if found else None

    @initialize(some=st.dictionaries(ids, versions, min_size=4, max_size=7))
    def begin_with_some(self, some: dict[str, Version]) -> None:
        """Half of them have an owner, if there is room."""
        self.use_a_key()
        for number, (blob_id, version) in enumerate(some.items()):
            client = number % CLIENTS
            self.ask(client, Put(blob_id, version))
            self.state = self.state.after(Put(blob_id, version), self.owner(client))[1]
        self.compare(0)

    def use_a_key(self) -> None:
        """Let some of the clients have a new key."""
        body = {"name": "limited", "actions": ["read", "list", "write", "delete"], "limits": {"quota_bytes": QUOTA}}
        created = self.http[0].post("/v1/keys", json=body)
        assert created.status_code == 201, created.text
        self.key = created.json()["key"]
        for client in LIMITED:
            self.http[client].headers["Authorization"] = f"Bearer {created.json()['token']}"

    def owner(self, client: int) -> str:
        """Return the key whose quota counts what a client stores."""
        return self.key if client in LIMITED else ""

    # Changes

    @rule(client=clients, blob_id=ids, version=versions, demanded=demands)
    def put(self, client: int, blob_id: str, version: Version, demanded: tuple[Demand, int]) -> None:
        self.change(client, Put(blob_id, version, self.condition(blob_id, demanded)))

    @rule(client=clients, wish=wishes)
    def one(self, client: int, wish: Wish) -> None:
        self.change(client, self.single(self.wished(wish)))

    @rule(client=clients, number=numbers, patch=patches, demanded=demands)
    def patch(self, client: int, number: int, patch: dict[str, Any], demanded: tuple[Demand, int]) -> None:
        blob_id = self.some_id(number)
        self.change(client, Patch(blob_id, patch, self.condition(blob_id, demanded)))

    @rule(client=clients, wished=st.lists(wishes, min_size=1, max_size=5))
    def commit(self, client: int, wished: list[Wish]) -> None:
        self.change(client, Commit(tuple(map(self.wished, wished))))

    @rule(client=clients, wished=st.lists(wishes, min_size=2, max_size=6))
    def commit_what_fits_together(self, client: int, wished: list[Wish]) -> None:
        self.change(client, self.fitting(wished))

    @rule(client=clients, source=prefixes, to=prefixes, dry_run=st.booleans())
    def move_prefix(self, client: int, source: str, to: str, dry_run: bool) -> None:
        self.change(client, MovePrefix(source, to, dry_run))

    @rule(client=clients, prefix=st.sampled_from(PREFIXES[1:]), dry_run=st.booleans())
    def delete_prefix(self, client: int, prefix: str, dry_run: bool) -> None:
        self.change(client, DeletePrefix(prefix, dry_run))

    @rule(client=clients, number=numbers, to=st.none() | ids, may_replace=st.booleans())
    def restore(self, client: int, number: int, to: str | None, may_replace: bool) -> None:
        self.change(client, Restore(self.some_key(number), to, may_replace))

    @rule(client=clients, number=numbers)
    def purge(self, client: int, number: int) -> None:
        self.change(client, Purge(self.some_key(number)))

    @rule(client=clients, number=numbers, prefix=prefixes)
    def change_many(self, client: int, number: int, prefix: str) -> None:
        """Seldom, for it takes long."""
        if number == 9 and self.state.blobs:
            source = next(iter(self.state.blobs))
            copies = tuple(Copy(source, f"many/{each:03}") for each in range(FULL))
            self.change(client, Commit(copies))
            if len(self.state.blobs) < FULL:
                return  # they do not fit into the quota
            self.change(client, MovePrefix("many/", f"{prefix}more/"))
            self.change(client, DeletePrefix(f"{prefix}more/"))
            assert self.purge_all() >= FULL

    @rule(
        wished=st.lists(st.lists(wishes, min_size=1, max_size=3), min_size=2, max_size=CLIENTS - 1),
        restored=st.none() | st.tuples(numbers, ids, st.booleans()),
    )
    def race(self, wished: list[list[Wish]], restored: tuple[int, str, bool] | None) -> None:
        """Concurrent requests, and lists: all must be as if the requests were made in some order."""
        requests: list[Request] = [self.fitting(each) for each in wished]
        if restored:
            requests[-1] = Restore(self.some_key(restored[0]), *restored[1:])
        with self.watched(CLIENTS - 1) as seen, ThreadPoolExecutor(CLIENTS) as threads:
            asked = [threads.submit(self.ask, number, request) for number, request in enumerate(requests)]
            outcomes = [outcome(each.result()) for each in asked]
        blobs, trash = self.blobs(0), self.trash(1)
        for expected, states in histories(self.state, requests, [*map(self.owner, range(CLIENTS))]):
            ends = has_blobs(states[-1], blobs) and has_trash(states[-1], trash)
            if [*map(in_a_race, expected)] == [*map(in_a_race, outcomes)] and ends and is_history(states, seen):
                self.state = states[-1]
                break
        else:
            raise AssertionError(requests, outcomes)
        self.compare(0)

    @rule(blob_id=ids, other=ids)
    def use_up_the_quota(self, blob_id: str, other: str) -> None:
        """A blob that takes all that is left can be replaced and moved, and nothing more can be stored."""
        client, second = LIMITED
        stored = self.state.blobs.get(blob_id)
        freed = len(stored.version.data) if stored and stored.owner == self.key else 0
        size = QUOTA - self.state.stored_bytes(self.key) + freed
        self.change(client, Put(blob_id, Version(pattern(size))))
        self.change(second, Put(blob_id, Version(bytes(size))))
        self.change(client, Put(other, Version(bytes(size + 1))))
        self.change(second, Copy(blob_id, other, replace=True))
        if stored:
            self.change(client, Restore(self.some_key(0), "restored"))
        self.change(second, Move(blob_id, other, replace=True))

    # Uploads

    @rule(
        client=clients,
        blob_id=st.none() | ids,
        version=versions,
        sent=parts,
        appended=st.none() | st.tuples(contents, st.sampled_from([0, 0, 1])),
        end=st.sampled_from(["publish", "publish", "discard", ""]),
        to=ids,
    )
    def upload(
        self,
        client: int,
        blob_id: str | None,
        version: Version,
        sent: list[tuple[int, bytes]],
        appended: tuple[bytes, int] | None,
        end: str,
        to: str,
    ) -> None:
        """Begin one, send some of its parts, and publish it, discard it, or leave it to later commits."""
        given = {"id": blob_id, "expires_at": version.expires_at}
        body = {"content_type": version.content_type, "metadata": dict(version.metadata)}
        body |= {name: value for name, value in given.items() if value is not None}
        begun = self.http[client].post("/v1/uploads", json=body)
        assert begun.status_code == 201, begun.text
        upload = begun.json()["upload"]
        self.state.uploads[upload] = Upload(blob_id, replace(version, data=b""))
        for number, data in sent:
            self.change(client, PutPart(upload, number, data), is_compared=False)
        if appended:
            self.change(client, Append(upload, appended[1], appended[0]), is_compared=False)
        self.compare_uploads(client)
        if end == "publish":
            self.change(client, Commit((Publish(blob_id or to, upload),)))
        elif end == "discard":
            self.change(client, Discard(upload))
            self.change(client, Discard(upload))
            self.compare_uploads(client)

    # Expiry

    @rule(client=clients, number=numbers, seconds=st.sampled_from([3600, 36_525 * 86_400]))
    def expire_later(self, client: int, number: int, seconds: int) -> None:
        """The server computes the time."""
        blob_id, body = self.some_id(number), {"expires_in": seconds}
        answer = self.send(client, "PATCH", blob_id, json=body)
        stored = self.state.blobs.get(blob_id)
        assert answer.status_code == (200 if stored else 404), answer.text
        if stored:
            time_shown = answer.json()["expires_at"]
            expected = datetime.now(UTC) + timedelta(seconds=seconds)
            assert abs(datetime.fromisoformat(time_shown) - expected) < timedelta(minutes=1)
            self.state.blobs[blob_id] = replace(stored, version=replace(stored.version, expires_at=time_shown))
            self.compare(client)

    # Looks

    @rule(client=clients, prefix=prefixes, delimiter=st.sampled_from(["", "/"]), limit=st.sampled_from([1, 2, 1000]))
    def list_some(self, client: int, prefix: str, delimiter: str, limit: int) -> None:
        pages = [*self.pages(client, prefix=prefix, delimiter=delimiter, limit=limit, fields="metadata")]
        blobs = [blob for page in pages for blob in page["blobs"]]
        found = [blob["id"] for blob in blobs], [each for page in pages for each in page["prefixes"]]
        assert found == listed([*self.state.blobs], prefix, delimiter)
        assert all(agrees(self.state.blobs[blob["id"]], blob) for blob in blobs)
        kept = [version for version in self.state.trash_in_order() if version.id.startswith(prefix)]
        found_in_trash = self.trash(client, prefix=prefix, limit=limit)
        assert [each["key"] for each in found_in_trash] == [version.key for version in kept]

    # And beside

    @rule(number=numbers)
    def wait_for_another_second(self, number: int) -> None:
        """Times are in seconds."""
        if number > 5:
            time.sleep(1 - time.time() % 1)

    def teardown(self) -> None:
        try:
            self.compare(0)
            for number, blob_id in enumerate(self.state.blobs):
                self.read(number % CLIENTS, blob_id)
            paged = [blob["id"] for page in self.pages(0, limit=2) for blob in page["blobs"]]
            assert paged == sorted(self.state.blobs, key=str.encode)
            self.compare_uploads(0)
            self.change(0, DeletePrefix(""))
            assert self.stored_bytes() == 0
        finally:
            self.http[0].post("/v1/delete", json={"prefix": "", "all": True})
            self.purge_all()
            for upload in self.uploads(0):
                assert self.http[0].delete(f"/v1/uploads/{upload['upload']}").status_code == 204
            assert self.http[0].delete(f"/v1/keys/{self.key}").status_code == 204

    # What is asked

    def some_id(self, number: int) -> str:
        """Return the id of one of the blobs, or seldom another one."""
        found = [*self.state.blobs]
        return found[number % len(found)] if found and number < 9 else "nobody's"

    def some_key(self, number: int) -> str:
        found = [version.key for version in reversed(self.state.trash)]
        key = found[number % len(found)] if found and number < 9 else NO_KEY
        assert key is not None
        return key

    def some_upload(self, number: int) -> str:
        found = [*reversed(self.state.uploads), NO_UPLOAD]
        return found[number % len(found)]

    def wished(self, wish: Wish) -> Operation:
        if wish.kind is Publish:
            upload = self.some_upload(wish.number)
            begun = self.state.uploads.get(upload)
            blob_id = (begun.id if begun else None) or wish.target
            return Publish(blob_id, upload, wish.parts, self.condition(blob_id, wish.demanded))
        blob_id = self.some_id(wish.number)
        condition = self.condition(blob_id, wish.demanded)
        if condition.demand in (Demand.ABSENT, Demand.IS_NOT):
            condition = Condition()
        if wish.kind is Delete:
            return Delete(blob_id, condition)
        if wish.kind is Patch:
            return Patch(blob_id, wish.patch, condition)
        return (Move if wish.kind is Move else Copy)(blob_id, wish.target, wish.may_replace, condition)

    def fitting(self, wished: Sequence[Wish]) -> Commit:
        """Return a commit that names each blob once, and most often finds it."""
        operations: list[Operation] = []
        for position, wish in enumerate(wished):
            operation = self.wished(replace(wish, number=(wish.number + position) % 9))
            if first_clash([*operations, operation]) is None:
                operations.append(operation)
        return Commit(tuple(operations))

    def single(self, operation: Operation) -> Request:
        """Uploads are only published by commits."""
        return Commit((operation,)) if isinstance(operation, Publish) else operation

    # How it is asked

    def change(self, client: int, request: Request, *, is_compared: bool = True) -> None:
        """Make a change, which must have its outcome. Lists show the state before it or after it, nothing else."""
        expected, after = self.state.after(request, self.owner(client))
        many = isinstance(request, Commit | MovePrefix | DeletePrefix | Move)
        with self.watched((client + 1) % CLIENTS) if many else nullcontext(list[list[Description]]()) as seen:
            answer = self.ask(client, request)
        assert outcome(answer) == expected, answer.text
        assert is_history([self.state, after], seen)
        for shown in described(answer):
            assert agrees(after.blobs[shown["id"]], shown)
            self.learn(after.blobs[shown["id"]].version, shown["etag"])
        self.state = after
        for shown in described(answer)[:1]:
            self.read((client + 3) % CLIENTS, shown["id"])
        if is_compared:
            self.compare((client + 2) % CLIENTS)

    def ask(self, client: int, request: Request) -> httpx.Response:
        http = self.http[client]
        match request:
            case Put():
                headers = headers_of(request.version) | self.demanding(request.condition)
                return self.send(client, "PUT", request.id, content=request.version.data, headers=headers)
            case Patch():
                headers = self.demanding(request.condition) | MERGE_PATCH
                content = httpx.Request("POST", "http://x", json=request.changes_of_it).content
                return self.send(client, "PATCH", request.id, content=content, headers=headers)
            case Delete():
                return self.send(client, "DELETE", request.id, headers=self.demanding(request.condition))
            case Move() | Copy():
                [(name, body)] = self.member(request).items()
                return http.post(f"/v1/{name}", json=body)
            case Commit():
                return http.post("/v1/commits", json={"operations": [*map(self.member, request.operations)]})
            case DeletePrefix():
                meant = {"dry_run": request.dry_run, "all": not request.prefix}
                return http.post("/v1/delete", json={"prefix": request.prefix} | meant)
            case MovePrefix():
                meant = {"dry_run": request.dry_run, "all": not request.source}
                named = {"from_prefix": request.source, "to_prefix": request.target}
                return http.post("/v1/move", json=named | meant)
            case Restore():
                given = {} if request.target is None else {"to": request.target}
                return http.post(f"/v1/trash/{request.key}/restore", json=given | {"replace": request.replace})
            case Purge():
                return http.delete(f"/v1/trash/{request.key}")
            case PutPart():
                digest = base64.b64encode(hashlib.sha256(request.data).digest()).decode()
                headers = {"Content-Digest": f"sha-256=:{digest}:"}
                url = f"/v1/uploads/{request.upload}/{request.number}"
                return http.put(url, content=request.data, headers=headers)
            case Append():
                received = sum(map(len, self.state.uploads[request.upload].parts.values()))
                headers = {"Upload-Offset": str(received + request.gap)}
                return http.patch(f"/v1/uploads/{request.upload}", content=request.data, headers=headers)
            case Discard():
                return http.delete(f"/v1/uploads/{request.upload}")
        raise NotImplementedError(request)

    def member(self, operation: Operation) -> dict[str, dict[str, Any]]:
        """Return an operation of a commit."""
        match operation:
            case Publish():
                given = {} if operation.parts is None else {"parts": operation.parts}
                named = {"id": operation.id, "upload": operation.upload}
                return {"put": named | given | self.members_of(operation.condition)}
            case Delete():
                return {"delete": {"id": operation.id} | self.members_of(operation.condition)}
            case Patch():
                return {
                    "patch": {"id": operation.id, **operation.changes_of_it, **self.members_of(operation.condition)}
                }
            case Copy():
                named = {"from": operation.source, "to": operation.target}
                name = "move" if isinstance(operation, Move) else "copy"
                return {name: {**named, "replace": operation.replace, **self.members_of(operation.condition)}}

    def members_of(self, condition: Condition) -> dict[str, Any]:
        return {name.lower().replace("-", "_"): value for name, value in self.demanding(condition).items()}

    @contextmanager
    def watched(self, client: int) -> Iterator[list[list[Description]]]:
        """List all blobs again and again during a change."""
        seen: list[list[Description]] = []
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.wait(0.003):
                seen.append(self.blobs(client))

        with ThreadPoolExecutor(1) as threads:
            watching = threads.submit(watch)
            try:
                yield seen
            finally:
                is_over.set()
            watching.result()

    # Lists

    def blobs(self, client: int) -> list[Description]:
        """Return all blobs: one page is read at once."""
        [page] = self.pages(client, limit=1000, fields="metadata")
        found: list[Description] = page["blobs"]
        return found

    def trash(self, client: int, **query: str | int) -> list[Description]:
        return self.all_pages(client, "/v1/trash", "versions", **({"limit": 1000} | query))

    def uploads(self, client: int) -> list[Description]:
        return self.all_pages(client, "/v1/uploads", "uploads", limit=2)

    def all_pages(self, client: int, url: str, name: str, **query: str | int) -> list[Description]:
        found: list[Description] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = self.http[client].get(url, params=query | {"cursor": cursor})
            assert answer.status_code == 200, answer.text
            found += answer.json()[name]
            cursor = answer.json()["next_cursor"]
        return found

    def compare(self, client: int) -> None:
        """The server lists the blobs and the trash of the model, with their tags. The times are learned."""
        blobs, trash = self.blobs(client), self.trash(client)
        assert has_blobs(self.state, blobs), (self.state.blobs, blobs)
        assert has_trash(self.state, trash), (self.state.trash, trash)
        self.state = completed(self.state, blobs, trash)
        assert self.stored_bytes() == self.state.stored_bytes(self.key)
        for shown in blobs:
            self.learn(self.state.blobs[shown["id"]].version, shown["etag"])
        for version, shown in zip(self.state.trash, trash, strict=True):
            self.learn(version.stored.version, shown["blob"]["etag"])
            times = (datetime.fromisoformat(shown[name]) for name in ("restorable_until", "deleted_at"))
            assert next(times) - next(times) == timedelta(seconds=RETENTION)
            assert self.keys.setdefault(shown["key"], shown["deleted_at"]) == shown["deleted_at"]

    def stored_bytes(self) -> int:
        """Return the number of bytes that the server counts against the quota of the key."""
        stored: int = self.http[0].get(f"/v1/keys/{self.key}").json()["stored_bytes"]
        return stored

    def compare_uploads(self, client: int) -> None:
        """The server lists the uploads of the model, and their parts."""
        listed = {each["upload"]: each for each in self.uploads(client)}
        assert listed.keys() == self.state.uploads.keys()
        for key, upload in self.state.uploads.items():
            shown = self.http[client].get(f"/v1/uploads/{key}").json()
            assert (shown.get("id"), shown["content_type"]) == (upload.id, upload.version.content_type)
            assert shown.get("metadata", {}) == dict(upload.version.metadata)
            assert shown["received"] == listed[key]["received"] == sum(map(len, upload.parts.values()))
            assert shown.get("parts", []) == [
                {"n": number, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                for number, data in sorted(upload.parts.items())
            ]

    def read(self, client: int, blob_id: str) -> None:
        """The bytes and the headers are those of the model."""
        fetched, version = self.fetch(client, blob_id), self.current(blob_id)
        if version is None:
            assert fetched is None
        else:
            assert fetched == (replace(version, cuts=()), self.tags[version])

    def purge_all(self) -> int:
        """Purge the trash, and return the number of its versions."""
        keys = [version["key"] for version in self.trash(0)]
        with ThreadPoolExecutor(CLIENTS) as threads:
            asked = [threads.submit(self.ask, number % CLIENTS, Purge(key)) for number, key in enumerate(keys)]
            statuses = {each.result().status_code for each in asked}
        assert statuses <= {204}
        self.state.trash.clear()
        return len(keys)


def outcome(answer: httpx.Response) -> Outcome:
    if answer.status_code == 204:
        return 204, None
    body = answer.json()
    if answer.is_error:
        return answer.status_code, (body["code"], body.get("operation"))
    if "results" in body:
        return answer.status_code, tuple(result["status"] for result in body["results"])
    return answer.status_code, body.get("count")


def in_a_race(ended: Outcome) -> Outcome:
    """Return an outcome without the operation that exceeds a quota: the end of a commit may find that first."""
    return (507, None) if ended[0] == 507 else ended


def described(answer: httpx.Response) -> list[Description]:
    """Return the blobs in the response to a change."""
    body = {} if answer.status_code == 204 or answer.is_error else answer.json()
    return [each for each in (body, *(result.get("blob", {}) for result in body.get("results", []))) if "etag" in each]
