"""Object keys in few folders. On an FTP server, each folder takes a transfer to list, and a TLS handshake."""

import itertools
import secrets

from application.ports.metadata import KeySource
from domain.blob import ObjectKey

FOLDERS = 4


def in_few_folders() -> KeySource:
    """Random keys, each of which lies in another folder than those just before it."""
    folders = itertools.cycle(range(FOLDERS))
    return lambda: ObjectKey(f"{next(folders):02x}0{secrets.token_hex(16)[3:]}")


def in_one_folder() -> ObjectKey:
    """Return a random key, in the same folder as all others."""
    return moved_to_it(ObjectKey.random())


def moved_to_it(key: ObjectKey) -> ObjectKey:
    """Return another key, which is in that folder. The same for the same key."""
    return ObjectKey(f"fff{key.value[3:]}")
