"""`drivebay put`, `get` and `cat`: blobs to and from files, and streams."""

import asyncio
import contextlib
import hashlib
import mimetypes
import os
import re
import shlex
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from entrypoints.cli.blobs.completion import BLOB, FILE
from entrypoints.cli.blobs.outcome import Outcomes
from entrypoints.cli.blobs.profiles import folder_of
from entrypoints.cli.blobs.progress import Display, display, size_text
from entrypoints.cli.blobs.running import command, json_option
from entrypoints.cli.quantities import DURATION
from entrypoints.client import AsyncClient, DrivebayError

AT_ONCE = 4
parallel_option = click.option(
    "--parallel", type=click.IntRange(1, 100), default=AT_ONCE, show_default=True, help="Transfers at once."
)


class Member(click.ParamType[tuple[str, str]]):
    """A name and a value."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, mark, text = value.partition("=")
        if not name or not mark:
            self.fail(f"{value!r} has no name and value. Write --meta author=Ada.", param, ctx)
        return name, text


@command("put", "Store files, or the standard input.")
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE... [ID]")
@click.option("--content-type", help="By default what the name of the file says.")
@click.option("--meta", "metadata", type=Member(), multiple=True, help="Metadata. May be repeated.")
@click.option("--expires", type=DURATION, help="When the blobs end, from now: 12h, 90d.")
@click.option("--create-only", is_flag=True, help="Replace no blob.")
@click.option("--if-match", metavar="ETAG", help="Replace only this version.")
@parallel_option
@json_option
async def put(
    client: AsyncClient,
    *,
    files: tuple[str, ...],
    content_type: str | None,
    metadata: tuple[tuple[str, str], ...],
    expires: timedelta | None,
    create_only: bool,
    if_match: str | None,
    parallel: int,
    as_json: bool,
) -> int:
    """Store files as blobs. An ID that ends with a slash is put before their names; without an ID one keeps its name.

    FILE may be -, the standard input, or a named pipe. If a connection breaks, or the command is stopped, run it again:
    an upload of a file goes on where it was.

    \b
    Examples:
      drivebay put film.mp4 films/film.mp4
      drivebay put *.jpg photos/ --meta author=Ada
      tar --create folder | drivebay put - backups/folder.tar --create-only
    """
    given: dict[str, Any] = {"create_only": create_only, "if_match": if_match, "metadata": dict(metadata)}
    given |= {"expires_in": None if expires is None else int(expires.total_seconds())}

    async def one(path: str, blob_id: str, shown: Display) -> None:
        kind = content_type or content_type_of(path)
        options = {name: value for name, value in (given | {"content_type": kind}).items() if value is not None}
        with shown.transfer(path) as progress:
            if _is_pipe(path):
                with contextlib.closing(_Pipe(path)) as pipe:
                    stored = await client.put(blob_id, pipe, progress=progress, **options)
            else:
                journal = journal_of(client.url, blob_id, Path(path))
                stored = await client.put(blob_id, Path(path), progress=progress, journal=journal, **options)
        text = f"{path} -> {blob_id}, {size_text(stored.size)}"
        shown.done(text, id=blob_id, size=stored.size, etag=stored.etag, sha256=stored.sha256)

    return await _each(_targets(files), one, parallel, as_json=as_json)


def _is_pipe(path: str) -> bool:
    return path == "-" or Path(path).is_fifo()


class _Pipe:
    """The standard input, or a named pipe, read in full chunks.

    Python's own buffers would have a lock, which a thread that waits for input keeps when Ctrl-C ends the program.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = 0 if path == "-" else os.open(path, os.O_RDONLY)

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        chunks, missing = list[bytes](), size
        while missing and (data := os.read(self._descriptor, missing)):
            chunks.append(data)
            missing -= len(data)
        return b"".join(chunks)

    def close(self) -> None:
        if self._descriptor:
            os.close(self._descriptor)


def _targets(files: Sequence[str]) -> list[tuple[str, str]]:
    """Return the files with the ids for them. Raises click.UsageError."""
    *sources, target = files if len(files) > 1 else (files[0], "")
    if "-" in sources and (not target or target.endswith("/")):
        raise click.UsageError("The standard input has no name. Add the ID: drivebay put - films/film.mp4")
    if len(sources) > 1 and not target.endswith("/"):
        raise click.UsageError(f"Several files go below an ID that ends with a slash: {target}/")
    for path in sources:
        if Path(path).is_dir():
            raise click.UsageError(f"{path} is a folder. Use: drivebay sync {path} drivebay://{target or path}")
    if target and all(Path(each).is_file() for each in files) and Path(target).absolute() != Path(files[0]).absolute():
        source, blob_id = map(shlex.quote, files)
        raise click.UsageError(
            f"{target} is a file too. To store both: drivebay put {source} {blob_id} folder/\n"
            f"To store {files[0]} with the ID {target}: drivebay put - {blob_id} <{source}"
        )
    pairs = [(path, target + Path(path).name if not target or target.endswith("/") else target) for path in sources]
    if len({blob_id for _, blob_id in pairs}) < len(pairs):
        raise click.UsageError("Two of these files have the same name. Store them one by one, with an ID each.")
    return pairs


def content_type_of(name: str) -> str | None:
    """Return the media type that the name of a file says. None for a compressed file: it is that of the content."""
    kind, encoding = mimetypes.guess_type(name, strict=False)
    return kind if encoding is None else None


def journal_of(url: str, blob_id: str, path: Path) -> Path:
    """Return the file that keeps the state of an upload of `path`."""
    name = hashlib.sha256("\0".join((url, blob_id, str(path.absolute()))).encode(errors="surrogateescape")).hexdigest()
    return folder_of("STATE", os.environ) / "uploads" / f"{name[:32]}.json"


@command("get", "Fetch blobs into files.")
@click.argument("ids", type=BLOB, nargs=-1, required=True, metavar="ID... [PATH]")
@parallel_option
@json_option
async def get(client: AsyncClient, *, ids: tuple[str, ...], parallel: int, as_json: bool) -> int:
    """Fetch blobs into files. A PATH that is a folder gets files with the last parts of the ids as their names.

    Without a PATH that is the current folder. PATH may be -, the standard output. A file appears when it is complete,
    and its SHA-256 was compared. If a connection breaks, or the command is stopped, run it again: it goes on with
    the hidden file .NAME.drivebay-part, if the blob is still the same version.

    A file that is replaced keeps its permissions. If PATH is a link, the file that it points to is written. Into a pipe
    or a device the bytes are written as they come.

    \b
    Examples:
      drivebay get films/film.mp4
      drivebay get films/a.mp4 films/b.mp4 folder/
      drivebay get backups/folder.tar - | tar --extract
    """

    async def one(blob_id: str, path: str, shown: Display) -> None:
        if path == "-":
            await _print(client, blob_id)
            return
        with shown.transfer(blob_id) as progress:
            meta = await client.download(blob_id, Path(path), progress=progress)
        text = f"{blob_id} -> {path}, {size_text(meta.size)}"
        shown.done(text, id=blob_id, path=path, size=meta.size, etag=meta.etag, sha256=meta.sha256)

    return await _each(_paths(ids), one, parallel, as_json=as_json)


def _paths(ids: Sequence[str]) -> list[tuple[str, str]]:
    """Return the ids with the paths for them. Raises click.UsageError."""
    *sources, target = ids if len(ids) > 1 else (ids[0], "./")
    is_folder = target.endswith("/") or Path(target).is_dir()
    if len(sources) > 1 and not is_folder:
        raise click.UsageError(f"Several blobs go into a folder that exists: mkdir {target}")
    if not is_folder:
        return [(sources[0], target)]
    if not Path(target).is_dir():
        raise click.UsageError(f"There is no folder {target}. Make it: mkdir --parents {target}")
    names = {each: each.rpartition("/")[2] for each in sources}
    for each, name in names.items():
        if name in ("", ".", "..") or len(os.fsencode(name)) > 200:
            raise click.UsageError(f"{each} ends with no name for a file. Add a path: drivebay get {each!r} file")
    if len(set(names.values())) < len(names):
        raise click.UsageError("Two of these ids end with the same name. Fetch them one by one, with a PATH each.")
    paths = {each: str(Path(target) / name) for each, name in names.items()}
    return [(each, "./-" if path == "-" else path) for each, path in paths.items()]  # by itself, `-` is the output


async def _each(
    pairs: Sequence[tuple[str, str]],
    work: Callable[[str, str, Display], Awaitable[None]],
    parallel: int,
    *,
    as_json: bool,
) -> int:
    """Do the work for all pairs, `parallel` at once, and return the exit code. A failure does not stop the others."""
    outcomes, waiting = Outcomes(), iter(pairs)

    async def run() -> None:
        for first, second in waiting:
            try:
                await work(first, second, shown)
            except (DrivebayError, OSError, ValueError, TypeError) as error:
                outcomes.add(first, error)

    with display(as_json=as_json) as shown:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(parallel, len(pairs))):
                tasks.create_task(run())
    return outcomes.code


class Range(click.ParamType[tuple[int, int | None]]):
    """The first and the last byte, as curl takes them."""

    name = "first-last"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int | None]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"([0-9]{1,18})-([0-9]{0,18})", value, re.ASCII)
        if found is None or (found[2] and int(found[2]) < int(found[1])):
            self.fail(
                f"{value!r} is not a range. Write 0-99 for the first 100 bytes, or 100- for the rest.", param, ctx
            )
        return int(found[1]), int(found[2]) + 1 if found[2] else None


@command("cat", "Write blobs to the standard output.")
@click.argument("ids", type=BLOB, nargs=-1, required=True, metavar="ID...")
@click.option("--range", "span", type=Range(), default=(0, None), help="The first and the last byte of each.")
async def cat(client: AsyncClient, *, ids: tuple[str, ...], span: tuple[int, int | None]) -> None:
    """Write blobs to the standard output, one after the other, as they were stored.

    If the bytes of a whole blob do not have its SHA-256, it exits with 1 after the last one.

    \b
    Examples:
      drivebay cat notes/today.txt
      drivebay cat films/film.mp4 --range 0-99 | xxd
    """
    for each in ids:
        await _print(client, each, *span)


async def _print(client: AsyncClient, blob_id: str, start: int = 0, stop: int | None = None) -> None:
    async with await client.get(blob_id, start=start, end=stop) as chunks:
        async for chunk in chunks:
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
