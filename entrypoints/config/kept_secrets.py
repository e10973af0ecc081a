"""Secrets that Drivebay makes if none are set: the bearer token, and the master key of all other keys."""

import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

BEARER = "token"
MASTER_KEY = "master-key"


@dataclass(frozen=True, slots=True)
class KeptSecret:
    """A secret in a file. `is_new`: this call has made it."""

    text: str = field(repr=False)
    is_new: bool


def path_of(folder: Path, name: str) -> Path:
    """Return the file in `folder` that keeps the secret of this name."""
    return folder.absolute() / name


def kept_secret(folder: Path, name: str) -> KeptSecret:
    """Return the secret that `folder` keeps. The first call makes it, readable only for its owner.

    Of several processes that make it at once, one wins, and all get its secret. Raises OSError.
    """
    path = path_of(folder, name)
    try:
        return KeptSecret(_read(path), is_new=False)
    except FileNotFoundError:
        is_new = _make(path)
    return KeptSecret(_read(path), is_new)


def _make(path: Path) -> bool:
    """Write a new secret, unless another process is first. Return whether it was written."""
    # Written under another name and linked, so that nobody reads half a secret. The mode is 0600 from creation on.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(descriptor)
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(draft)
        sync(path.parent)  # what is shown, or derived from it, outlives a power cut
    return True


def sync(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    secret = path.read_text(errors="replace").strip()
    if not secret.isascii() or not secret:
        raise OSError(f"{path} has no {path.name} in it: remove it, or put one into it")
    return secret
