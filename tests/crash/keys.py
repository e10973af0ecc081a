"""Object keys that are quick to list on an FTP server, where each folder takes a transfer."""

import itertools
import secrets

from application.ports.metadata import KeySource
from domain.blob import ObjectKey

FOLDERS = 16


def in_few_folders() -> KeySource:
    """Random keys, each of which lies in another folder than those just before it."""
    folders = itertools.cycle(range(FOLDERS))
    return lambda: ObjectKey(f"{next(folders):02x}0{secrets.token_hex(16)[3:]}")
