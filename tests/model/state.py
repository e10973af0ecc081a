"""A model of all blobs, the trash and the uploads in progress, and of each request that changes them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, permutations
from typing import Any, Protocol

from tests.model.blobs import Condition, Version

DEFAULT_TYPE = "application/octet-stream"
MAX_ID = 2048  # bytes
QUOTA = 141_000  # bytes: of each key with a quota
ALWAYS = Condition()
Outcome = tuple[int, object]
"""The status, and a code with the number of an operation; a count; or the statuses of a commit's operations."""


@dataclass(frozen=True)
class Stored:
    """A version, and the second in which its bytes were stored: None until a list has shown it.

    `owner`: the key whose quota counts it, if there is one.
    """

    version: Version
    created_at: str | None = None
    owner: str = ""


@dataclass(frozen=True)
class Trashed:
    """A version in the trash. `key` is None until a list has shown it."""

    id: str
    stored: Stored
    key: str | None = None


@dataclass(frozen=True)
class Upload:
    """An upload in progress. `version` has the properties, and no bytes."""

    id: str | None
    version: Version
    parts: Mapping[int, bytes] = field(default_factory=dict)

    def published(self, numbers: Sequence[int] | None) -> Version:
        """Return the version with the bytes of the parts, whose boundaries count if there are several segments."""
        chosen = range(1, max(self.parts, default=1) + 1) if numbers is None else numbers
        if not chosen or not self.parts.keys() >= {*chosen} or sorted({*chosen}) != [*chosen]:
            raise Refused(400, "invalid_parts")
        segments = [self.parts[number] for number in chosen if self.parts[number]]
        stops = [*accumulate(map(len, segments))]
        return replace(self.version, data=b"".join(segments), cuts=tuple(stops[:-1]))


class Refused(Exception):
    """A request that changes nothing."""

    def __init__(self, status: int, code: str, operation: int | None = None) -> None:
        super().__init__(status, code, operation)
        self.status, self.code, self.operation = status, code, operation


@dataclass
class State:
    """The trash is in the order of the removals. `owner`: the key of the request that changes the state."""

    blobs: dict[str, Stored] = field(default_factory=dict)
    trash: list[Trashed] = field(default_factory=list)
    uploads: dict[str, Upload] = field(default_factory=dict)
    owner: str = ""

    def copy(self) -> "State":
        return State({**self.blobs}, [*self.trash], {**self.uploads})

    def after(self, request: "Request", owner: str = "") -> tuple[Outcome, "State"]:
        """Return the outcome of a request, and the state after it."""
        changed = self.copy()
        changed.owner = owner
        try:
            return request.apply(changed), changed
        except Refused as refused:
            return (refused.status, (refused.code, refused.operation)), self

    def find(self, blob_id: str, condition: Condition) -> Stored:
        found = self.blobs.get(blob_id)
        if found is None:
            raise Refused(404, "not_found")
        if not condition.holds(found.version):
            raise Refused(412, "precondition_failed")
        return found

    def put(self, blob_id: str, stored: Stored, *, may_replace: bool) -> int:
        """Make a version current. One that was there goes into the trash."""
        former = self.blobs.get(blob_id)
        if former is not None and not may_replace:
            raise Refused(409, "already_exists")
        self.blobs[blob_id] = stored
        if former is None:
            return 201
        self.trash.append(Trashed(blob_id, former))
        return 200

    def store(self, blob_id: str, stored: Stored, *, may_replace: bool) -> int:
        """Make a version current, which counts against the quota of the request's key from then on."""
        status = self.put(blob_id, replace(stored, owner=self.owner), may_replace=may_replace)
        if self.owner and self.stored_bytes(self.owner) > QUOTA:
            raise Refused(507, "quota_exceeded")
        return status

    def stored_bytes(self, owner: str) -> int:
        """Return the size of all blobs of a key."""
        return sum(len(each.version.data) for each in self.blobs.values() if each.owner == owner)

    def trash_in_order(self) -> list[Trashed]:
        """Return the trash in the order of its list."""
        return sorted(self.trash, key=lambda version: version.id.encode())


class Request(Protocol):
    def apply(self, state: State) -> Outcome:
        """Change the state, or raise Refused: then `state` is not used any more."""


@dataclass(frozen=True)
class Put:
    """PUT of bytes."""

    id: str
    version: Version
    condition: Condition = ALWAYS

    def apply(self, state: State) -> Outcome:
        former = state.blobs.get(self.id)
        if not self.condition.holds(former.version if former else None):
            raise Refused(412, "precondition_failed")
        return state.store(self.id, Stored(self.version), may_replace=True), None


@dataclass(frozen=True)
class Publish:
    """`put` in a commit."""

    id: str
    upload: str
    parts: tuple[int, ...] | None = None
    condition: Condition = ALWAYS

    @property
    def changes(self) -> set[str]:
        return {self.id}

    @property
    def reads(self) -> set[str]:
        return set()

    def apply(self, state: State) -> Outcome:
        upload = state.uploads.pop(self.upload, None)
        if upload is None:
            raise Refused(404, "upload_not_found")
        version = upload.published(self.parts)
        if upload.id not in (None, self.id):
            raise Refused(400, "invalid_parts")
        return Put(self.id, version, self.condition).apply(state)


@dataclass(frozen=True)
class Delete:
    id: str
    condition: Condition = ALWAYS

    @property
    def changes(self) -> set[str]:
        return {self.id}

    @property
    def reads(self) -> set[str]:
        return set()

    def apply(self, state: State) -> Outcome:
        state.trash.append(Trashed(self.id, state.find(self.id, self.condition)))
        del state.blobs[self.id]
        return 204, None


@dataclass(frozen=True)
class Copy:
    source: str
    target: str
    replace: bool = False
    condition: Condition = ALWAYS

    @property
    def changes(self) -> set[str]:
        return {self.target}

    @property
    def reads(self) -> set[str]:
        return {self.source}

    def apply(self, state: State) -> Outcome:
        if self.source == self.target:
            raise Refused(400, "same_id")
        version = state.find(self.source, self.condition).version
        return state.store(self.target, Stored(version), may_replace=self.replace), None


@dataclass(frozen=True)
class Move(Copy):
    @property
    def changes(self) -> set[str]:
        return {self.source, self.target}

    def apply(self, state: State) -> Outcome:
        if self.source == self.target:
            raise Refused(400, "same_id")
        source = state.find(self.source, self.condition)
        del state.blobs[self.source]
        return state.put(self.target, source, may_replace=self.replace), None


@dataclass(frozen=True)
class Patch:
    """A merge patch: `changes` is its body."""

    id: str
    changes_of_it: Mapping[str, Any]
    condition: Condition = ALWAYS

    @property
    def changes(self) -> set[str]:
        return {self.id}

    @property
    def reads(self) -> set[str]:
        return set()

    def apply(self, state: State) -> Outcome:
        found = state.find(self.id, self.condition)
        state.blobs[self.id] = replace(found, version=self._patched(found.version))
        return 200, None

    def _patched(self, version: Version) -> Version:
        new = dict(self.changes_of_it)
        metadata: dict[str, str | None] = dict(version.metadata)
        if "metadata" in new:
            metadata = {} if new["metadata"] is None else metadata | new["metadata"]
        return replace(
            version,
            content_type=new.get("content_type", version.content_type) or DEFAULT_TYPE,
            metadata=tuple(sorted((name, value) for name, value in metadata.items() if value is not None)),
            expires_at=new.get("expires_at", version.expires_at),
        )


Operation = Publish | Delete | Copy | Move | Patch


@dataclass(frozen=True)
class Commit:
    operations: tuple[Operation, ...]

    def apply(self, state: State) -> Outcome:
        for number, each in enumerate(self.operations):
            if isinstance(each, Copy) and each.source == each.target:
                raise Refused(400, "same_id", number)
        clash = first_clash(self.operations)
        if clash is not None:
            raise Refused(400, "invalid_commit", clash)
        statuses = []
        for number, each in enumerate(self.operations):
            try:
                statuses.append(each.apply(state)[0])
            except Refused as refused:
                raise Refused(refused.status, refused.code, number) from None
        return 200, tuple(statuses)


def first_clash(operations: Sequence[Operation]) -> int | None:
    """Return the number of the operation that changes, or else reads, a blob that another one changes."""
    changed: dict[str, int] = {}
    for number, each in enumerate(operations):
        if not changed.keys().isdisjoint(each.changes):
            return number
        changed |= dict.fromkeys(each.changes, number)
    for number, each in enumerate(operations):
        if any(changed.get(blob_id, number) != number for blob_id in each.reads):
            return number
    return None


@dataclass(frozen=True)
class DeletePrefix:
    prefix: str
    dry_run: bool = False

    def apply(self, state: State) -> Outcome:
        found = [blob_id for blob_id in state.blobs if blob_id.startswith(self.prefix)]
        if not self.dry_run:
            for blob_id in found:
                Delete(blob_id).apply(state)
        return 200, len(found)


@dataclass(frozen=True)
class MovePrefix:
    source: str
    target: str
    dry_run: bool = False

    def apply(self, state: State) -> Outcome:
        if self.source == self.target:
            raise Refused(400, "same_id")
        moved = {blob_id: stored for blob_id, stored in state.blobs.items() if blob_id.startswith(self.source)}
        if not self.dry_run:
            new = {self.target + blob_id[len(self.source) :]: stored for blob_id, stored in moved.items()}
            if not all(1 <= len(blob_id.encode()) <= MAX_ID for blob_id in new):
                raise Refused(400, "invalid_id")
            for blob_id in moved:
                del state.blobs[blob_id]
            if not new.keys().isdisjoint(state.blobs):
                raise Refused(409, "already_exists")
            state.blobs |= new
        return 200, len(moved)


@dataclass(frozen=True)
class Restore:
    key: str
    target: str | None = None
    replace: bool = False

    def apply(self, state: State) -> Outcome:
        found = _taken(state, self.key)
        return state.store(self.target or found.id, found.stored, may_replace=self.replace), None


@dataclass(frozen=True)
class Purge:
    key: str

    def apply(self, state: State) -> Outcome:
        _taken(state, self.key)
        return 204, None


def _taken(state: State, key: str) -> Trashed:
    """Take a version out of the trash."""
    found = next((version for version in state.trash if version.key == key), None)
    if found is None:
        raise Refused(404, "not_in_trash")
    state.trash.remove(found)
    return found


@dataclass(frozen=True)
class PutPart:
    upload: str
    number: int
    data: bytes

    def apply(self, state: State) -> Outcome:
        upload = _upload(state, self.upload)
        state.uploads[self.upload] = replace(upload, parts={**upload.parts, self.number: self.data})
        return 200, None


@dataclass(frozen=True)
class Append:
    """`gap`: the bytes between the end of the upload and the offset that is sent."""

    upload: str
    gap: int
    data: bytes

    def apply(self, state: State) -> Outcome:
        upload = _upload(state, self.upload)
        if self.gap:
            raise Refused(409, "offset_mismatch")
        return PutPart(self.upload, max(upload.parts, default=0) + 1, self.data).apply(state)


@dataclass(frozen=True)
class Discard:
    upload: str

    def apply(self, state: State) -> Outcome:
        _upload(state, self.upload)
        del state.uploads[self.upload]
        return 204, None


def _upload(state: State, key: str) -> Upload:
    if key not in state.uploads:
        raise Refused(404, "upload_not_found")
    return state.uploads[key]


# Comparison with the descriptions of a server

Description = Mapping[str, Any]


def agrees(stored: Stored, shown: Description) -> bool:
    """Return whether a server describes this version. The digest of several segments may come later."""
    version = stored.version
    return (
        shown["size"] == len(version.data)
        and (shown.get("sha256") == version.sha256 or (version.cuts != () and "sha256" not in shown))
        and shown["content_type"] == version.content_type
        and tuple(sorted(shown.get("metadata", {}).items())) == version.metadata
        and shown.get("expires_at") == version.expires_at
        and stored.created_at in (None, shown["created_at"])
    )


def has_blobs(state: State, shown: Sequence[Description]) -> bool:
    """Return whether this is the list of all blobs."""
    return [each["id"] for each in shown] == sorted(state.blobs, key=str.encode) and all(
        agrees(state.blobs[each["id"]], each) for each in shown
    )


def has_trash(state: State, shown: Sequence[Description]) -> bool:
    """Return whether this is the list of the trash."""
    kept = state.trash_in_order()
    return [each["blob"]["id"] for each in shown] == [version.id for version in kept] and all(
        version.key in (None, each["key"]) and agrees(version.stored, each["blob"])
        for version, each in zip(kept, shown, strict=True)
    )


def completed(state: State, blobs: Sequence[Description], trash: Sequence[Description]) -> State:
    """Return the state with the times and keys in lists that it has."""
    stored = {each["id"]: replace(state.blobs[each["id"]], created_at=each["created_at"]) for each in blobs}
    removed = [
        replace(version, key=each["key"], stored=replace(version.stored, created_at=each["blob"]["created_at"]))
        for version, each in zip(state.trash_in_order(), trash, strict=True)
    ]
    return State(stored, removed, state.uploads)


def histories(
    before: State, requests: Sequence[Request], owners: Sequence[str]
) -> Iterator[tuple[list[Outcome], list[State]]]:
    """All that may come of concurrent requests: the outcome of each, and the states from the first to the last.

    `owners` has the key of each request.
    """
    for order in permutations(range(len(requests))):
        states, outcomes = [before], dict[int, Outcome]()
        for number in order:
            outcomes[number], state = states[-1].after(requests[number], owners[number])
            states.append(state)
        yield [outcomes[number] for number in range(len(requests))], states


def is_history(states: Sequence[State], seen: Sequence[Sequence[Description]]) -> bool:
    """Return whether lists, one after another, show these states in their order."""
    position = 0
    for shown in seen:
        while not has_blobs(states[position], shown):
            position += 1
            if position == len(states):
                return False
    return True
