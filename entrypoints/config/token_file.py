"""The bearer token that Drivebay makes if none is set."""

import os
import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class KeptToken:
    """A token in a file. `is_new`: this call has made it."""

    text: str = field(repr=False)
    is_new: bool


def token_path(folder: Path) -> Path:
    """Return the file in `folder` that keeps the token."""
    return folder.absolute() / "token"


def kept_token(folder: Path) -> KeptToken:
    """Return the token that `folder` keeps. The first call makes it, readable only for its owner.

    Of several processes that make it at once, one wins, and all get its token. Raises OSError.
    """
    path = token_path(folder)
    try:
        return KeptToken(_read(path), is_new=False)
    except FileNotFoundError:
        is_new = _make(path)
    return KeptToken(_read(path), is_new)


def _make(path: Path) -> bool:
    """Write a new token, unless another process is first. Return whether it was written."""
    # Written under another name and linked, so that nobody reads half a token. The mode is 0600 from creation on.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".token-")
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
    return True


def _read(path: Path) -> str:
    token = path.read_text(errors="replace").strip()
    if not token.isascii() or not token:
        raise OSError(f"{path} has no token in it: remove it, or put one into it")
    return token
