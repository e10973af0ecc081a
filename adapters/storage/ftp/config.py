"""The settings of an FTP server."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from msgspec import Meta

from adapters.settings import COUNT, PORT, SECONDS, boolean, host, line, number, path, setting
from domain.errors import Unavailable

MIB = 1024 * 1024
HOUR = 3600

Tls = Literal["explicit", "implicit", "none"]
Passive = Literal["epsv", "pasv"]
TLS: dict[str, Tls] = {
    **dict.fromkeys(["true", "yes", "on", "1", "explicit"], "explicit"),
    "implicit": "implicit",
    **dict.fromkeys(["false", "no", "off", "0", "none"], "none"),
}


def tls(text: str) -> Tls:
    if text.lower() not in TLS:
        raise ValueError(f"{text!r} can't be used. Allowed: true (or explicit), implicit, false.")
    return TLS[text.lower()]


def passive(text: str) -> tuple[Passive, ...]:
    commands = tuple(command.strip().lower() for command in text.split(","))
    known = tuple(name for command in commands for name in get_args(Passive) if name == command)
    if known != commands or len(set(known)) != len(known):
        raise ValueError(f"{text!r} can't be used. Allowed: epsv, pasv, or both with a comma in the order to try them.")
    return known


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

    host: str = setting("FTP_HOST", default="", parse=host, required=True)
    user: str = setting("FTP_USER", default="", parse=line, required=True)
    password: str = setting("FTP_PASSWORD", default="", parse=line, secret=True, required=True)
    port: int = setting("FTP_PORT", default=21, parse=PORT)
    base_path: str = setting("FTP_BASE_DIR", default="", parse=line)
    tls: Tls = setting("FTP_TLS", default="explicit", parse=tls)
    verify: bool = setting("FTP_VERIFY", default=True, parse=boolean)
    ca_file: Path | None = setting("FTP_CA_FILE", default=None, parse=path)
    passive: tuple[Passive, ...] = setting("FTP_PASSIVE", default=("epsv", "pasv"), parse=passive)
    connections: int = setting("FTP_CONNECTIONS", default=32, parse=COUNT)
    timeout: float = setting("FTP_TIMEOUT", default=12, parse=SECONDS)
    completion_timeout: float = setting("FTP_COMPLETION_TIMEOUT", default=60, parse=number(float, Meta(gt=0, le=HOUR)))
    max_age: float = 600
    max_idle: float = 1
    back_off: float = 2

    def completion_limit(self, size: int) -> float:
        """Return how many seconds the server may take to reply that `size` bytes are complete, an hour at most.

        Some servers scan or forward a file before they reply. What they write after that hour, the reaper would miss:
        it deletes an abandoned object a second time an hour later, and then no more.
        """
        return min(self.completion_timeout + size / MIB, HOUR)

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
