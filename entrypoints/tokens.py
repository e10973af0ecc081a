"""The bearer token that Drivebay makes for itself when nobody gives it one."""

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path


def kept_token(folder: Path) -> str:
    """The token in the file `token` of `folder`, which is made at the first call, readable for its owner alone.

    Of several processes that make it at once, one wins, and all get its token. Raises OSError.
    """
    path = folder / "token"
    with suppress(FileNotFoundError):
        return _read(path)
    # Written apart and linked, so that nobody ever reads half a token. The file has mode 0600 from its creation on.
    descriptor, draft = tempfile.mkstemp(dir=folder, prefix=".token-")
    try:
        with open(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
    return _read(path)


def _read(path: Path) -> str:
    token = path.read_text(errors="replace").strip()
    if not token.isascii() or not token:
        raise OSError(f"{path} has no token in it: remove it, or put one into it")
    return token
