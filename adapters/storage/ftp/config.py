"""The settings of an FTP server."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from domain.errors import Unavailable

MIB = 1024 * 1024
HOUR = 3600

Tls = Literal["explicit", "implicit", "none"]
Passive = Literal["epsv", "pasv"]


@dataclass(frozen=True, slots=True)
class FtpConfig:
    """`base_path`: the folder for the objects, from where the user is after the login, or from the root.

    `verify`: whether the server's certificate must be good for `host`, by the authorities in `ca_file` or, without
    one, by the system's. `passive`: the commands that ask for a data connection, in the order to try them.
    `connections`: how many there may be at once. Times are in seconds: `timeout` for each answer, for the next bytes
    to move, and for a free connection; `completion_timeout` for the reply that a file is complete, and a second more
    for each MiB of it; `max_age` until a connection is not used again; `max_idle` until it is asked whether it still
    works; `back_off` until a server that refused one more connection is asked for it again.
    """

    host: str
    user: str
    password: str = field(repr=False)
    port: int = 21
    base_path: str = ""
    tls: Tls = "explicit"
    verify: bool = True
    ca_file: Path | None = None
    passive: tuple[Passive, ...] = ("epsv", "pasv")
    connections: int = 32
    timeout: float = 12
    completion_timeout: float = 60
    max_age: float = 600
    max_idle: float = 1
    back_off: float = 2

    def completion_limit(self, size: int) -> float:
        """Return how many seconds the server may take to reply that `size` bytes are complete, an hour at most.

        Some servers scan or forward a file before they reply. What they write after that hour, the reaper would miss:
        it deletes an abandoned object a second time an hour later, and then no more.
        """
        return min(self.completion_timeout + size / MIB, max(self.completion_timeout, HOUR))

    def tls_context(self) -> ssl.SSLContext | None:
        """How to speak TLS; None if that is not wanted. Raises UNAVAILABLE if the file of authorities is no good."""
        if self.tls == "none":
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            detail = f"FTP_CA_FILE: {self.ca_file} can't be used: {error}. It takes certificates in PEM."
            raise Unavailable(detail) from error
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context
