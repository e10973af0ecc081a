"""Faults in the protocol, planted on purpose in a worker: each must be found by the suite."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from dependency_injector import providers
from sqlalchemy import Connection

from adapters.metadata.sql.blobs import trash
from adapters.metadata.sql.contents import moves
from adapters.metadata.sql.rows import names
from adapters.sql.sqlite.writer import Writer
from adapters.sql.tables import BLOBS, CONTENTS, TRASH
from adapters.storage.filesystem import files
from application.blobs.changes import operations
from application.blobs.store import NewBlob, StoreBlob, StoredBlob
from application.maintenance import move
from application.ownership.ownership import Ownership, Standing
from application.ports.contents import Part
from application.ports.metadata import KnownStorage, UnitOfWork, UnitOfWorkFactory
from application.ports.moves import Claim, StoredObject
from application.stores import Stores
from application.uploads.intake import Intake
from application.uploads.lifecycle import Uploads, WrittenObject
from application.uploads.replay import ReplayableBody
from domain.blob import Blob, BlobId, Content, Draft, Location, ObjectKey, Segment
from domain.precondition import ANY
from entrypoints.composition.container import Container
from tests.contracts.broken_layers import RepeatsPuts

PLANTED: dict[str, Callable[[Container], None]] = {}
IN_THE_PARENT_TOO = frozenset({"storages_that_are_not_recognised"})
LATER = 1.0  # seconds: longer than an answer is on its way


def plant(fault: Callable[[Container], None]) -> Callable[[Container], None]:
    PLANTED[fault.__name__] = fault
    return fault


@plant
def publishing_without_the_fence(container: Container) -> None:
    def change(work: UnitOfWork) -> None:
        remove = work.uploads.remove

        async def remove_and_not_look(key: ObjectKey) -> bool:
            await remove(key)
            return True

        _set(work.uploads, "remove", remove_and_not_look)

    _change_units(container, change)


@plant
def uploads_that_are_not_reserved(container: Container) -> None:
    async def add(location: Location, lease: timedelta) -> None:
        pass

    async def yes(key: ObjectKey, lease: timedelta | None = None) -> bool:
        return True

    def change(work: UnitOfWork) -> None:
        for name, planted in (("add", add), ("renew", yes), ("remove", yes)):
            _set(work.uploads, name, planted)

    _change_units(container, change)


@plant
def garbage_deleted_before_the_commit(container: Container) -> None:
    stores: Stores = container.stores()

    async def delete_at_once(blob: Blob, retention: timedelta, grace: timedelta) -> None:
        await stores.holding(blob.location).delete(blob.location.key)

    _change_units(container, lambda work: _set(work.trash, "add", delete_at_once))


@plant
def copies_that_are_not_counted(container: Container) -> None:
    async def share(blob: Blob) -> Content:
        return blob.content

    _change_units(container, lambda work: _set(work.contents, "share", share))


@plant
def copied_parts_that_are_not_counted(container: Container) -> None:
    def change(work: UnitOfWork) -> None:
        async def share_segment(content: ObjectKey, start: int) -> Segment:
            [segment] = await work.contents.segments(content, start, 1)
            return segment

        _set(work.contents, "share_segment", share_segment)

    _change_units(container, change)


@plant
def replaced_parts_whose_names_are_still_counted(container: Container) -> None:
    async def nothing(objects: Sequence[Location]) -> None:
        pass

    _change_units(container, lambda work: _set(work.contents, "release", nothing))


@plant
def shared_segments_released_as_if_they_were_not(_: Container) -> None:
    def release_all(connection: Connection, table: sa.Table, condition: sa.ColumnElement[bool]) -> Sequence[Any]:
        connection.execute(sa.update(table).where(condition).values(shared=None))
        return names.release_unshared(connection, table, condition)

    _set(trash, "release_unshared", release_all)


@plant
def every_release_taken_for_the_last(_: Container) -> None:
    _set(trash, "remove_names", lambda connection, keys: {*keys})
    _set(names, "remove_names", lambda connection, keys: {*keys})


@plant
def publications_that_miss_a_segment(container: Container) -> None:
    def change(work: UnitOfWork) -> None:
        add = work.contents.add

        async def add_without_the_last(content: ObjectKey, segments: Sequence[Segment]) -> None:
            await add(content, segments[:-1])

        _set(work.contents, "add", add_without_the_last)

    _change_units(container, change)


@plant
def publications_that_keep_the_upload(container: Container) -> None:
    async def keep(key: ObjectKey) -> bool:
        return True

    _change_units(container, lambda work: _set(work.multipart, "remove", keep))


@plant
def finished_uploads_that_keep_their_parts(container: Container) -> None:
    async def keep(key: ObjectKey, etag: str, lifetime: timedelta) -> None:
        pass

    _change_units(container, lambda work: _set(work.multipart, "finish", keep))


@plant
def joins_that_miss_a_partial_upload(container: Container) -> None:
    def change(work: UnitOfWork) -> None:
        join, joined = work.multipart.join, list[ObjectKey]()

        async def join_only_one(key: ObjectKey, partial: ObjectKey) -> None:
            joined.append(partial)
            if len(joined) == 1:
                await join(key, partial)

        _set(work.multipart, "join", join_only_one)

    _change_units(container, change)


@plant
def bytes_recorded_before_they_are_written(_: Container) -> None:
    append = Uploads.append
    under_way = set()

    async def record_first(uploads: Uploads, location: Location, source: Intake) -> WrittenObject:
        chunks = [chunk async for chunk in source]

        async def later() -> None:
            await asyncio.sleep(LATER)
            await append(uploads, location, Intake(in_order(chunks), source.size))

        under_way.add(asyncio.create_task(later()))
        return WrittenObject(location, source.size, source.digest)

    async def in_order(chunks: Sequence[bytes]) -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    _set(Uploads, "append", record_first)


@plant
def versions_left_out_of_the_trash(container: Container) -> None:
    async def forget(blob: Blob, retention: timedelta, grace: timedelta) -> None:
        pass

    _change_units(container, lambda work: _set(work.trash, "add", forget))


@plant
def charges_in_a_transaction_of_their_own(container: Container) -> None:
    metadata = container.metadata()

    def change(work: UnitOfWork) -> None:
        commit, later = work.commit, list[tuple[str, int]]()

        async def note(key_id: str, size: int) -> bool:
            later.append((key_id, size))
            return True

        async def commit_in_two_steps() -> None:
            await commit()
            if later:
                async with metadata() as second:
                    for key_id, size in later:
                        await second.keys.charge(key_id, size)
                    await second.commit()

        _set(work.keys, "charge", note)
        _set(work, "commit", commit_in_two_steps)

    _change_units(container, change)


@plant
def bytes_given_back_in_a_transaction_of_their_own(container: Container) -> None:
    metadata = container.metadata()

    def change(work: UnitOfWork) -> None:
        commit, add, later = work.commit, work.trash.add, list[Blob]()

        async def add_for_nobody(blob: Blob, retention: timedelta, grace: timedelta) -> None:
            later.append(blob)
            await add(replace(blob, owner=""), retention, grace)

        async def commit_in_two_steps() -> None:
            await commit()
            if later:
                async with metadata() as second:
                    for blob in later:
                        await second.keys.charge(blob.owner, -blob.size)
                    await second.commit()

        _set(work.trash, "add", add_for_nobody)
        _set(work, "commit", commit_in_two_steps)

    _change_units(container, change)


@plant
def copies_that_are_not_charged(_: Container) -> None:
    async def not_charged(work: UnitOfWork, owner: str, size: int) -> None:
        pass

    _set(operations, "charge", not_charged)


@plant
def leases_that_are_not_renewed(container: Container) -> None:
    container.uploads.add_kwargs(monotonic=lambda: 0.0)


@plant
def folders_that_are_not_synced(container: Container) -> None:
    _set(files, "fsync_entries", lambda folder: None)


@plant
def an_answer_before_the_commit(_: Container) -> None:
    publish = StoreBlob._publish
    under_way = set()

    async def answer_first(store: StoreBlob, blob_id: BlobId, written: WrittenObject, new: NewBlob) -> StoredBlob:
        async def later() -> None:
            await asyncio.sleep(LATER)
            await publish(store, blob_id, written, new)

        under_way.add(asyncio.create_task(later()))
        draft = Draft(blob_id, Content(written.location, written.size, written.digest), new.properties)
        return StoredBlob(draft.published(datetime.now(UTC)), replaced=False)

    _set(StoreBlob, "_publish", answer_first)


@plant
def parts_acknowledged_before_they_are_recorded(_: Container) -> None:
    publish = Uploads.publish
    under_way = set()

    async def acknowledge_first(uploads: Uploads, locations: Sequence[Location], change: Any, is_there: Any) -> Any:
        async def later() -> None:
            await asyncio.sleep(LATER)
            await publish(uploads, locations, change, is_there)

        parts = [value for value in getattr(change, "args", ()) if isinstance(value, Part)]
        if not parts:
            return await publish(uploads, locations, change, is_there)
        under_way.add(asyncio.create_task(later()))
        return parts[0]

    _set(Uploads, "publish", acknowledge_first)


@plant
def acknowledgements_before_the_flush(_: Container) -> None:
    advance, commit = Writer._advance, Writer._commit

    def acknowledge_first(writer: Writer) -> None:
        group = writer._group
        advance(writer)
        if group.size and writer._is_taken:
            group.end(None)

    def commit_later(writer: Writer) -> None:
        time.sleep(LATER)
        commit(writer)

    _set(Writer, "_advance", acknowledge_first)
    _set(Writer, "_commit", commit_later)


@plant
def cleaning_up_by_the_blobs_id(_: Container) -> None:
    append = StoreBlob._append

    async def append_or_clean_up(
        store: StoreBlob, location: Location, new: NewBlob, body: ReplayableBody
    ) -> WrittenObject:
        try:
            return await append(store, location, new, body)
        except BaseException:
            assert new.source.id is not None
            async with store.uploads.units() as work:
                await work.blobs.remove(new.source.id, ANY)
                await work.commit()
            raise

    _set(StoreBlob, "_append", append_or_clean_up)


@plant
def objects_deleted_whatever_became_of_the_commit(_: Container) -> None:
    @asynccontextmanager
    async def deleted_on_error(uploads: Uploads, *locations: Location) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            for location in locations:
                await uploads.stores.holding(location).delete(location.key)
            raise

    _set(Uploads, "discarded_on_error", deleted_on_error)


@plant
def puts_repeated_under_one_key(container: Container) -> None:
    stores: Stores = container.stores()
    repeating = {name: RepeatsPuts(store) for name, store in stores.by_name.items()}
    container.stores.override(providers.Object(Stores(stores.active, repeating)))


@plant
def small_objects_added_after_the_commit(container: Container) -> None:
    metadata = container.metadata()

    def change(work: UnitOfWork) -> None:
        commit, later = work.commit, list[tuple[ObjectKey, bytes]]()

        async def note(key: ObjectKey, data: bytes) -> bool:
            later.append((key, data))
            return True

        async def commit_in_two_steps() -> None:
            await commit()
            async with metadata() as second:
                for key, data in later:
                    await second.objects.add(key, data)
                await second.commit()

        _set(work.objects, "add", note)
        _set(work, "commit", commit_in_two_steps)

    _change_units(container, change)


@plant
def copies_to_another_storage_that_are_not_reserved(container: Container) -> None:
    async def claim(old: Location, new: Location, lease: timedelta) -> Claim:
        return Claim.CLAIMED

    def change(work: UnitOfWork) -> None:
        remove = work.uploads.remove

        async def remove_and_not_look(key: ObjectKey) -> bool:
            await remove(key)
            return True

        _set(work.moves, "claim", claim)
        _set(work.uploads, "remove", remove_and_not_look)

    _change_units(container, change)


@plant
def objects_deleted_once_they_are_copied(container: Container) -> None:
    stores: Stores = container.stores()
    copy = move._Run._copy

    async def copy_and_delete(run: Any, found: StoredObject, new: Location) -> None:
        await copy(run, found, new)
        await stores.holding(found.location).delete(found.location.key)

    _set(move._Run, "_copy", copy_and_delete)


@plant
def switches_without_a_compare(_: Container) -> None:
    """The row of the blob is known from the beginning, and nobody looks which object it names at the end."""
    claim, switch, ids = moves._claim, moves._switch, dict[str, list[str]]()

    def claim_and_note(connection: Connection, old: Location, new: Location, lease: timedelta) -> Claim:
        named = sa.select(BLOBS.c.id).where(BLOBS.c.object_key == old.key.value)
        ids[old.key.value] = [*connection.scalars(named)]
        return claim(connection, old, new, lease)

    def switch_by_id(connection: Connection, old: Location, new: Location, grace: timedelta) -> bool:
        switch(connection, old, new, grace)
        values = {"object_key": new.key.value, "backend": new.backend}
        connection.execute(sa.update(BLOBS).where(BLOBS.c.id.in_(ids[old.key.value])).values(values))
        return True

    _set(moves, "_claim", claim_and_note)
    _set(moves, "_switch", switch_by_id)


@plant
def switches_that_leave_the_count_behind(_: Container) -> None:
    switch = moves._switch

    def switch_without_the_count(connection: Connection, old: Location, new: Location, grace: timedelta) -> bool:
        switched = switch(connection, old, new, grace)
        connection.execute(sa.delete(CONTENTS).where(CONTENTS.c.content_key == new.key.value))
        return switched

    _set(moves, "_switch", switch_without_the_count)


@plant
def switches_of_versions_only(_: Container) -> None:
    _set(moves, "NAMES", (BLOBS, TRASH))


@plant
def a_copy_that_deletes(_: Container) -> None:
    async def yes(ownership: Ownership, backend: str) -> bool:
        return True

    _set(Ownership, "may_delete", yes)


@plant
def epochs_that_are_not_deleted(_: Container) -> None:
    async def nothing(ownership: Ownership, known: KnownStorage) -> KnownStorage:
        return known

    _set(Ownership, "_remove_former", nothing)


@plant
def storages_that_are_not_recognised(_: Container) -> None:
    async def any_will_do(ownership: Ownership, backend: str) -> KnownStorage | None:
        return await ownership._known(backend)

    async def ours(ownership: Ownership, backend: str) -> Standing:
        return Standing.OURS

    _set(Ownership, "recognise", any_will_do)
    _set(Ownership, "standing", ours)


def _change_units(container: Container, change: Callable[[UnitOfWork], None]) -> None:
    metadata: Any = container.metadata()
    container.metadata.override(providers.Object(_ChangedUnits(metadata, change, metadata)))


class _ChangedUnits(UnitOfWorkFactory):
    """Metadata whose units are changed before they are used."""

    def __init__(self, metadata: Any, change: Callable[[UnitOfWork], None], units: UnitOfWorkFactory) -> None:
        self._metadata = metadata
        self._change = change
        self._units = units

    def __getattr__(self, name: str) -> Any:
        return getattr(self._metadata, name)

    @property
    def large_units(self) -> UnitOfWorkFactory:
        return _ChangedUnits(self._metadata, self._change, self._metadata.large_units)

    async def __aenter__(self) -> object:
        return await self._metadata.__aenter__()

    async def __aexit__(self, *exc: object) -> None:
        await self._metadata.__aexit__(*exc)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[UnitOfWork]:
        async with self._units() as work:
            self._change(work)
            yield work


def _set(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)
