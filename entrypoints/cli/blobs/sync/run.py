"""One run of a sync: what differs is transferred, and what is too much is deleted."""

import asyncio
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar

from entrypoints.cli.blobs.outcome import Outcomes
from entrypoints.cli.blobs.progress import Display
from entrypoints.cli.blobs.sync.digests import Digests
from entrypoints.cli.blobs.sync.files import LocalFile, Selection, Tree, check_unchanged, local_file, scan
from entrypoints.cli.blobs.transfers import content_type_of, journal_of
from entrypoints.client import (
    AsyncClient,
    BlobMeta,
    ConnectionFailed,
    DrivebayError,
    NotFound,
    PreconditionFailed,
    Progress,
)
from entrypoints.client.flows.blobs import COMMIT
from entrypoints.client.keywords import Put

SHOWN = 1 << 20  # bytes from which a transfer has a bar of its own
LARGE = 8 << 20  # bytes from which the server may not have the digest of a blob at once


@dataclass(frozen=True)
class Settings:
    """The arguments of a sync."""

    folder: Path
    prefix: str
    selection: Selection
    delete: bool
    dry_run: bool
    parallel: int


@dataclass
class Counts:
    """The numbers of a run, or of what it would do."""

    transferred: int = 0
    bytes: int = 0
    unchanged: int = 0
    deleted: int = 0


@dataclass
class Run(ABC):
    """A run in one direction."""

    verb: ClassVar[str]
    client: AsyncClient
    settings: Settings
    digests: Digests
    shown: Display
    outcomes: Outcomes
    counts: Counts = field(default_factory=Counts)
    local: dict[str, LocalFile] = field(default_factory=dict)
    remote: dict[str, BlobMeta] = field(default_factory=dict)

    async def run(self) -> None:
        """Compare both sides, and do what is needed."""
        await asyncio.to_thread(self.digests.load)
        try:
            (self.local, others), self.remote = await asyncio.gather(
                asyncio.to_thread(self.scan),
                self._list(),
            )
            if self.settings.delete and not await self.sees_source():
                hidden = "The token shows only some of the blobs with this prefix. Use one for all of them."
                self.outcomes.add(f"drivebay://{self.settings.prefix}", ValueError(hidden))
            is_complete = not self.outcomes.code
            await self._all(sorted(self.source()), self._sync_one)
            if self.settings.delete and is_complete:
                await self.delete_all(sorted(self.target() - self.source() - others))
            elif self.settings.delete:
                self.outcomes.add("--delete", ValueError("Nothing is deleted, because not all could be read."))
        finally:
            await asyncio.to_thread(self.digests.save)

    def scan(self) -> tuple[dict[str, LocalFile], set[str]]:
        """Return what `files.scan` returns of the folder."""
        return scan(self.settings.folder, self.settings.selection, self.outcomes.add)

    async def _list(self) -> dict[str, BlobMeta]:
        prefix, found = self.settings.prefix, dict[str, BlobMeta]()
        async for meta in self.client.list(prefix):
            name = meta.id.removeprefix(prefix)
            is_folder = name.endswith("/") and not meta.size  # as the page and clients of S3 create them
            if name and not is_folder and self.settings.selection.takes(name):
                found[name] = meta
        return found

    async def _all(self, names: Sequence[str], work: Callable[[str], Awaitable[None]]) -> None:
        waiting = iter(names)

        async def one_after_the_other() -> None:
            for name in waiting:
                try:
                    await work(name)
                except (DrivebayError, OSError, ValueError) as error:
                    self.outcomes.add(name, error)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(self.settings.parallel, len(names))):
                tasks.create_task(one_after_the_other())

    async def _sync_one(self, name: str) -> None:
        file, meta = self.local.get(name), self.remote.get(name)
        if file and meta and await self._is_same(file, meta):
            self.counts.unchanged += 1
            return
        size = self.size_of(name)
        if not self.settings.dry_run:
            with self.shown.transfer(name) if size >= SHOWN else nullcontext() as progress:
                await self.transfer(name, progress)
        self.counts.transferred += 1
        self.counts.bytes += size
        self._report(self.verb, name)

    async def _is_same(self, file: LocalFile, meta: BlobMeta) -> bool:
        digest = meta.sha256 or self.digests.of_blob(file.name, meta.etag)
        if file.size != meta.size or digest is None:
            return False
        known = self.digests.known(file) or await asyncio.to_thread(self.digests.of_file, file)
        return known == digest

    def _report(self, verb: str, name: str) -> None:
        path, blob_id = self.settings.folder / name, self.settings.prefix + name
        planned = "would " if self.settings.dry_run else ""
        self.shown.done(
            f"{planned}{verb} {name}", action=verb, id=blob_id, path=str(path), dry_run=self.settings.dry_run
        )

    def report_deleted(self, name: str) -> None:
        self.counts.deleted += 1
        self._report("delete", name)

    @abstractmethod
    def source(self) -> set[str]:
        """Return the names on the side that counts."""

    @abstractmethod
    async def sees_source(self) -> bool:
        """Return whether nothing on the side that counts is hidden."""

    @abstractmethod
    def target(self) -> set[str]:
        """Return the names on the other side."""

    @abstractmethod
    def size_of(self, name: str) -> int:
        """Return how many bytes a transfer has."""

    @abstractmethod
    async def transfer(self, name: str, progress: Progress | None) -> None:
        """Transfer one."""

    @abstractmethod
    async def delete_all(self, names: Sequence[str]) -> None:
        """Delete what only the other side has."""


class Upload(Run):
    """From the folder to the server."""

    verb = "put"

    def source(self) -> set[str]:
        return set(self.local)

    async def sees_source(self) -> bool:
        return True  # what can't be read was reported

    def target(self) -> set[str]:
        return set(self.remote)

    def size_of(self, name: str) -> int:
        return self.local[name].size

    async def transfer(self, name: str, progress: Progress | None) -> None:
        file, blob_id = self.local[name], self.settings.prefix + name
        journal = journal_of(self.client.url, blob_id, file.path)
        kind = content_type_of(name)
        options: Put = {} if kind is None else {"content_type": kind}
        read_at = time.time_ns()
        stored = await self.client.put(blob_id, file.path, progress=progress, journal=journal, **options)
        self.digests.keep_file(file, stored.sha256, read_at)
        if stored.size >= LARGE:
            self.digests.keep_blob(name, stored.etag, stored.sha256)

    async def delete_all(self, names: Sequence[str]) -> None:
        for start in range(0, len(names), COMMIT):
            batch = names[start : start + COMMIT]
            if not self.settings.dry_run and not await self._delete_at_once(batch):
                await self._all(batch, self._delete_one)
                continue
            for name in batch:
                self.report_deleted(name)

    async def _delete_at_once(self, names: Sequence[str]) -> bool:
        """Delete these versions in one commit. Return False if it was refused, because one of them has changed."""
        versions = [self.remote[name] for name in names]
        try:
            await self.client.commit([{"delete": {"id": each.id, "if_match": each.etag}} for each in versions])
        except (NotFound, PreconditionFailed, ConnectionFailed):
            return False
        return True

    async def _delete_one(self, name: str) -> None:
        with suppress(NotFound):
            await self.client.delete(self.remote[name].id, if_match=self.remote[name].etag)
        self.report_deleted(name)


class Download(Run):
    """From the server to the folder."""

    verb = "get"

    def scan(self) -> tuple[dict[str, LocalFile], set[str]]:
        if self.settings.dry_run and not self.settings.folder.exists():  # which a run would create
            return {}, set()
        return super().scan()

    def source(self) -> set[str]:
        return set(self.remote)

    async def sees_source(self) -> bool:
        return await self.client.sees_all(self.settings.prefix)

    def target(self) -> set[str]:
        return set(self.local)

    def size_of(self, name: str) -> int:
        return self.remote[name].size

    async def transfer(self, name: str, progress: Progress | None) -> None:
        meta = self.remote[name]
        path = await asyncio.to_thread(self._tree.path, name)
        check = partial(self._check_replaced, name, path)
        await asyncio.to_thread(check)
        await self.client.download(meta.id, path, known=meta, progress=progress, follow_symlinks=False, check=check)
        await asyncio.to_thread(self._keep, name, path, meta)

    def _check_replaced(self, name: str, path: Path) -> None:
        """Raise OSError if the file that a blob would replace is not what was listed."""
        if name in self.local:
            check_unchanged(self.local[name])
        elif path.is_file():
            detail = (
                f"{path} is there, perhaps by a name that this disk takes for the same. Rename the file or the blob."
            )
            raise FileExistsError(detail)

    def _keep(self, name: str, path: Path, meta: BlobMeta) -> None:
        """Give a file the time of its blob, and keep its digest."""
        if meta.created_at is not None:
            os.utime(path, (meta.created_at.timestamp(),) * 2)
        file = local_file(name, path, path.stat())
        if meta.sha256 is None:
            self.digests.keep_blob(name, meta.etag, self.digests.of_file(file))
        else:
            self.digests.keep_file(file, meta.sha256)

    @cached_property
    def _tree(self) -> Tree:
        return Tree(self.settings.folder)

    async def delete_all(self, names: Sequence[str]) -> None:
        await self._all(names, self._delete_one)

    async def _delete_one(self, name: str) -> None:
        if not self.settings.dry_run:
            await asyncio.to_thread(self._tree.delete, self.local[name])
        self.report_deleted(name)
