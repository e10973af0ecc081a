"""Hands the .env beside compose.yaml to Drivebay as it is. Compose itself would expand each `$` in it.

The database `db` gets the values that are its own in files, read as Drivebay reads them. Without a .env all is empty.
"""

import os
from pathlib import Path

from entrypoints.config.loading import read_file

DOTENV = Path("/project/.env")
HANDED_OVER = Path("/run/dotenv")
OF_THE_DATABASE = ("DB_USER", "DB_PASSWORD", "DB_NAME")


def write(name: str, content: bytes) -> None:
    draft = HANDED_OVER / f"{name}.new"
    draft.write_bytes(content)
    os.replace(draft, HANDED_OVER / name)


content = DOTENV.read_bytes() if DOTENV.exists() else b""
write(".env", content)
values = read_file(HANDED_OVER / ".env").values
for name in OF_THE_DATABASE:
    write(name, (values.get(name) or "").encode())
