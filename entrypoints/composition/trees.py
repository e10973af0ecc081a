"""The trees of files that a command names: a folder, `s3://bucket/prefix`, or `ftp://user@host/folder`."""

import netrc
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from adapters.storage.ftp.config import FtpConfig
from adapters.storage.s3.config import S3Config
from adapters.trees.folder import FolderTree
from application.ports.file_tree import FileTree, Linker, TreeError
from application.transfers.run import detail_of
from domain.errors import BlobError
from entrypoints.config.kept_secrets import BEARER, MASTER_KEY, path_of
from entrypoints.config.loading import files_of
from entrypoints.config.settings import Settings, SettingsError
from entrypoints.errors import StartError
from entrypoints.telemetry.audit import STDOUT

AWS = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE")
ALLOWED = "Give a folder, s3://BUCKET/PREFIX, ftp://USER@HOST/FOLDER or ftps://USER@HOST/FOLDER."


def make_tree(place: str, settings: Settings, environment: Mapping[str, str]) -> AbstractAsyncContextManager[FileTree]:
    """Return the tree at a place, not yet entered. Raises SettingsError.

    The settings of the server apply: S3_... unless AWS_ACCESS_KEY_ID or AWS_PROFILE is in the environment. Of FTP_...,
    the login (for the same host), TLS, the certificates and the time limits. The URL
    says the host, the port (21, or 990 for ftps) and the folder.
    """
    if "://" not in place:
        return FolderTree(Path(place), apart=_own(settings, environment))
    try:
        url = urlsplit(place)
        port = url.port
    except ValueError:
        raise SettingsError(f"The URL of the tree can't be read. {ALLOWED}") from None
    if url.query or url.fragment:
        raise SettingsError("The URL of the tree has a ? or #. Write %3F or %23 in place of it.")
    if url.scheme == "s3" and url.netloc:
        from adapters.trees.bucket import BucketTree

        return BucketTree(_s3(url, settings, environment), unquote(url.path).lstrip("/"))
    if url.scheme in ("ftp", "ftps") and url.hostname:
        from adapters.trees.ftp import FtpTree

        return FtpTree(_ftp(url, port, settings, environment))
    raise SettingsError(f"The URL of the tree can't be used. {ALLOWED}")


def _own(settings: Settings, environment: Mapping[str, str]) -> Iterator[Path]:
    """Yield what only Drivebay is to read and write on this machine: objects, secrets, settings, its database and log.

    Raises SettingsError.
    """
    if "blobs" in settings.folders:
        yield settings.folders["blobs"]
    yield from (path_of(settings.data_dir, name) for name in (BEARER, MASTER_KEY))
    yield from files_of(environment)
    if settings.tls_key is not None:
        yield settings.tls_key
    if settings.database == "sqlite":
        # There is no journal in the mode WAL, but SQLite would play back one that it finds.
        yield from (Path(f"{settings.sqlite_path}{end}") for end in ("", "-wal", "-shm", "-journal"))
    if settings.audit_log not in ("", STDOUT):
        yield Path(settings.audit_log)


def _s3(url: SplitResult, settings: Settings, environment: Mapping[str, str]) -> S3Config:
    config: S3Config = settings.backends["s3"]
    if any(environment.get(name) for name in AWS):  # then the client library takes all of it from there
        region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or config.region
        endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or ""
        return S3Config(url.netloc, region, endpoint=endpoint, path_style=bool(endpoint))
    return replace(config, bucket=url.netloc)


def _ftp(url: SplitResult, port: int | None, settings: Settings, environment: Mapping[str, str]) -> FtpConfig:
    config: FtpConfig = settings.backends["ftp"]
    host = url.hostname or ""
    tls = "implicit" if url.scheme == "ftps" else "explicit" if config.tls == "implicit" else config.tls
    port = port or (990 if tls == "implicit" else 21)
    user, password = _login(url, host, config, environment)
    # After one slash, the path begins where the user is after the login; after two, at the root of the server.
    folder = unquote(url.path).removeprefix("/").rstrip("/") if url.path.strip("/") else ""
    if "\r" in folder + user + password or "\n" in folder + user + password:
        raise SettingsError("The URL of the tree has a line break.")
    return replace(config, host=host, port=port, user=user, password=password, tls=tls, base_path=folder)


def _login(url: SplitResult, host: str, config: FtpConfig, environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the user and the password: from the URL, the settings of the same host and user, or ~/.netrc."""
    user = unquote(url.username or "")
    if url.password is not None:
        return user, unquote(url.password)
    if host == config.host and user in ("", config.user):
        return config.user, config.password
    try:
        file = environment.get("NETRC") or os.path.expanduser("~/.netrc")
        found = netrc.netrc(file).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        found = None
    if found is None or user not in ("", found[0]):
        line = f"machine {host} login {user or 'USER'} password PASSWORD"
        raise SettingsError(f"There is no password for {host}. Write this line into ~/.netrc: {line}")
    return found[0], found[2]


@asynccontextmanager
async def opened(tree: AbstractAsyncContextManager[FileTree], *, create: bool) -> AsyncIterator[FileTree]:
    """Open a tree. Raises StartError if it can't be used."""
    try:
        entered = await tree.__aenter__()
    except BlobError as error:
        raise StartError(error.detail) from error
    try:
        try:
            await entered.check(create=create)
        except (BlobError, TreeError) as error:
            raise StartError(detail_of(error)) from error
        yield entered
    finally:
        await tree.__aexit__(None, None, None)


@asynccontextmanager
async def opened_links(tree: FileTree, settings: Settings) -> AsyncIterator[Linker]:
    """Open the storage for links from a tree. Raises SettingsError unless both are folders on one file system."""
    from adapters.storage.filesystem.store import FilesystemBlobStore
    from adapters.trees.links import FolderLinks, share_a_disk

    if settings.storage != "fs" or not isinstance(tree, FolderTree):
        raise SettingsError("--link: blobs can share the bytes of files only with STORAGE=fs, and from a folder.")
    config = settings.backends["fs"]
    async with FilesystemBlobStore(config) as store:
        await store.check()
        if not share_a_disk(tree.root, config.base_path):
            raise SettingsError(f"--link: {tree.root} and {config.base_path} are on different disks. Leave --link out.")
        yield FolderLinks(tree, store)
