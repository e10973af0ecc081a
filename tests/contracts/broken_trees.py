"""Trees of files that are broken on purpose, each with the case that catches it."""

from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace as changed
from datetime import datetime, timedelta

from application.ports.file_tree import (
    FileProperties,
    OpenedFile,
    TreeError,
    TreeFile,
    UnusableEntry,
)
from tests.contracts.file_tree import FileTreeContract
from tests.contracts.memory_tree import Kept, MemoryTree
from tests.contracts.proof import caught_by

Case = FileTreeContract


@caught_by(Case.test_what_was_written_is_read)
class DropsTheLastByte(MemoryTree):
    """An end that is inclusive in one place and exclusive in another one."""

    async def chunks(self, kept: Kept) -> AsyncIterator[bytes]:
        async for chunk in super().chunks(changed(kept, data=kept.data[:-1])):
            yield chunk


@caught_by(Case.test_what_was_written_is_read)
class EndsWithAnEmptyChunk(MemoryTree):
    """A read that hands on the end of the file."""

    async def chunks(self, kept: Kept) -> AsyncIterator[bytes]:
        async for chunk in super().chunks(kept):
            yield chunk
        yield b""


@caught_by(Case.test_each_file_is_listed_once)
class HidesDotFiles(MemoryTree):
    """NLST without -a."""

    async def list(self) -> AsyncIterator[TreeFile | UnusableEntry]:
        async for entry in super().list():
            if not entry.path.startswith("."):
                yield entry


@caught_by(Case.test_each_file_is_listed_once)
class ListsThePageAgain(MemoryTree):
    """A cursor that is inclusive."""

    async def list(self) -> AsyncIterator[TreeFile | UnusableEntry]:
        async for entry in super().list():
            yield entry
            if entry.path == "sub/a":
                yield entry


@caught_by(Case.test_each_file_is_listed_once)
class DecodesPercentSigns(MemoryTree):
    """A name that was taken for a URL."""

    async def list(self) -> AsyncIterator[TreeFile | UnusableEntry]:
        async for entry in super().list():
            yield changed(entry, path=entry.path.replace("%41", "A"))


@caught_by(Case.test_a_file_is_found_or_not)
class FindsFolders(MemoryTree):
    """A stat without a look at the kind."""

    async def find(self, path: str) -> TreeFile | None:
        if any(each.startswith(f"{path}/") for each in self.files):
            return TreeFile(path, 4096)
        return await super().find(path)


@caught_by(Case.test_a_file_is_replaced_only_if_asked)
class Overwrites(MemoryTree):
    """A rename, which replaces."""

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        return await super().write(path, chunks, about, replace=True)


@caught_by(Case.test_a_file_is_replaced_only_if_asked)
class NeverReplaces(MemoryTree):
    """A rename on a server that refuses names in use."""

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        return await super().write(path, chunks, about)


class _InPlace(MemoryTree):
    """Writes under the final name."""

    async def _gathered(self, path: str, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
        data = b""
        async for chunk in chunks:
            data += chunk
            self.put(path, data)
            yield chunk


@caught_by(Case.test_a_file_appears_whole)
class WritesInPlace(_InPlace):
    """A write without a temporary name, which is removed after an error."""

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        before = self.files.get(path)
        if before and not replace:
            return await super().write(path, chunks, about)
        try:
            return await super().write(path, self._gathered(path, chunks), about, replace=True)
        except BaseException:
            del self.files[path]
            if before:
                self.files[path] = before
            raise


@caught_by(Case.test_a_file_appears_whole)
class ShowsTemporaryFiles(MemoryTree):
    """A list of all that is there."""

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        self.put(f"{path}.tmp", b"")
        try:
            return await super().write(path, chunks, about, replace=replace)
        finally:
            del self.files[f"{path}.tmp"]


@caught_by(Case.test_a_write_that_fails_leaves_what_was_there)
class KeepsWhatHasCome(MemoryTree):
    """An error that is taken for the end."""

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        data = b""
        try:
            async for chunk in chunks:
                data += chunk
        except Exception:
            self.put(path, data)
            raise

        async def again() -> AsyncIterator[bytes]:
            yield data

        return await super().write(path, again(), about, replace=replace)


@caught_by(Case.test_a_write_that_fails_leaves_what_was_there)
class TranslatesTheSourcesErrors(MemoryTree):
    """An `except` around the loop over the chunks."""

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        try:
            return await super().write(path, chunks, about, replace=replace)
        except TreeError:
            raise
        except Exception as error:
            raise TreeError("It can't be written.") from error


@caught_by(Case.test_a_cancelled_write_leaves_nothing)
class ForgetsCancellations(MemoryTree):
    """`except Exception`, which lets a cancellation pass."""

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        self.put(f"{path}.tmp", b"")
        try:
            written = await super().write(path, chunks, about, replace=replace)
        except Exception:
            del self.files[f"{path}.tmp"]
            raise
        del self.files[f"{path}.tmp"]
        return written


@caught_by(Case.test_a_path_that_is_none_is_refused)
class CleansPaths(MemoryTree):
    """A path that is made safe in silence, and is that of something else."""

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        parts = [part for part in path.rstrip("/").split("/") if part not in ("", ".", "..")]
        return await super().write("/".join(parts) or "_", chunks, about, replace=replace)


@caught_by(Case.test_a_path_that_is_none_is_refused)
class LooksOutside(MemoryTree):
    """A look at a path that is not checked."""

    async def find(self, path: str) -> TreeFile | None:
        return self.files[path].file if path in self.files else None


@caught_by(Case.test_a_name_is_a_file_or_a_folder)
class ReplacesFoldersByFiles(MemoryTree):
    """rm -r before the rename."""

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        for each in [each for each in self.files if each.startswith(f"{path}/")]:
            del self.files[each]
        return await super().write(path, chunks, about, replace=replace)


@caught_by(Case.test_an_empty_folder_is_made)
class MakesNoFolders(MemoryTree):
    """A folder that is left to the first file in it."""

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        if path.endswith("/"):
            return TreeFile(path, 0)
        return await super().write(path, chunks, about, replace=replace)


@caught_by(Case.test_a_file_that_is_not_the_listed_one_is_not_read)
class ReadsAnyFile(MemoryTree):
    """A read by the path only."""

    @asynccontextmanager
    async def read(self, file: TreeFile) -> AsyncIterator[OpenedFile]:
        file = self.files[file.path].file if file.path in self.files else file
        async with super().read(file) as opened:
            yield opened


@caught_by(Case.test_the_time_is_kept)
class KeepsTheTimeOfTheWrite(MemoryTree):
    """A write that does not set the time."""

    async def write(
        self, path: str, chunks: AsyncIterable[bytes], about: FileProperties, *, replace: bool = False
    ) -> TreeFile:
        return await super().write(path, chunks, changed(about, modified_at=None), replace=replace)


@caught_by(Case.test_the_time_is_kept)
class KeepsLocalTimes(MemoryTree):
    """An hour of summer."""

    def put(self, path: str, data: bytes, modified_at: datetime | None = None) -> TreeFile:
        return super().put(path, data, modified_at and modified_at + timedelta(hours=1))


@caught_by(Case.test_reads_that_are_left_early_free_what_they_hold)
class HoldsWhatIsNotReadToTheEnd(MemoryTree):
    """A connection that is given back at the end of the bytes only."""

    held = 0

    async def chunks(self, kept: Kept) -> AsyncIterator[bytes]:
        self.held += 1
        if self.held > 3:
            raise TreeError("No connection is free.")
        async for chunk in super().chunks(kept):
            yield chunk
        self.held -= 1
