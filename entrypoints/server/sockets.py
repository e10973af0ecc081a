"""The sockets of this process, which the HTTP server does not expose."""

import os
import resource
import socket
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

OTHER_FILES = 1000  # for libraries, databases and logs
LEAST_OTHER_FILES = 100  # if the limit is lower
FILES_OF_A_REQUEST = 2
UNSENT = 256 * 1024
SO_BINDTOIFINDEX = 62  # asm-generic/socket.h
NO_INTERFACE = 2**31 - 1  # a number that no network interface has
SYN_RECEIVED = "03"  # proc(5), /proc/net/tcp
# Offsets in TCP_INFO (struct tcp_info). For a listener, the first is the number of connections to accept.
UNACKED, LAST_DATA_RECEIVED, BYTES_RECEIVED, TCP_INFO_SIZE = 24, 52, 128, 136


def allow_files(count: int) -> int:
    """Raise the limit of open files for this process and its children to `count`, plus a reserve for libraries.

    Return the number of files that the system allows, without the reserve.
    """
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + OTHER_FILES
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        allowed = wanted
    return count if allowed == resource.RLIM_INFINITY else min(allowed - LEAST_OTHER_FILES, count)


def max_connections(files: int, most: int, requests: int) -> int:
    """Return the number of connections, at most `most`, that fit into `files` together with their requests.

    Beyond that number, the HTTP server would retry accept() in a busy loop.
    """
    return min(most, max(files // (1 + FILES_OF_A_REQUEST), files - FILES_OF_A_REQUEST * requests))


def is_served(port: int) -> bool:
    """Whether this process listens on `port`."""
    return any(map(_listens, _of(port)))


def limit_unsent(port: int, milliseconds: int) -> bool:
    """Let the kernel end connections to `port` whose clients receive nothing for so long. False without a listener.

    The kernel measures how long sent bytes are not acknowledged, or the client's window is zero. Otherwise the HTTP
    server would keep the end of a response forever.

    Also limit the unsent bytes of each connection to `UNSENT`. The default is megabytes, so that many clients that do
    not read could exhaust the kernel's memory.
    """
    listening = False
    for found in _of(port):
        listening |= _listens(found)
        if sys.platform == "linux":  # also of connections accepted before; later ones inherit it from the listener
            found.setsockopt(socket.SOL_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
            found.setsockopt(socket.SOL_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    return listening


def refuse_new(port: int) -> bool:
    """Let the kernel refuse new connections to `port`, but still accept pending ones. False if it can't.

    Closing a listener resets pending connections, whose clients may have sent requests. A listener bound to an
    interface that does not exist receives no new connections: they are refused before the client has sent a request, so
    that a proxy can use another server. If several processes listen on the port, each has to call this.
    """
    try:
        for found in _of(port):
            if _listens(found):
                found.setsockopt(socket.SOL_SOCKET, SO_BINDTOIFINDEX, NO_INTERFACE)
    except OSError:
        return False  # no Linux, or one before 5.7
    return True


@dataclass(frozen=True, slots=True)
class Traffic:
    """`waiting`: the number of connections to accept. `quiet`: milliseconds since a client last sent data.

    `new`: milliseconds since the last connection was made whose client has sent nothing yet.
    """

    waiting: int
    quiet: float
    new: float


def traffic(port: int) -> Traffic:
    """Return the state of the connections to `port`. Only on Linux."""
    waiting, quiet, new = _half_open(port), float("inf"), float("inf")
    for found in _of(port):
        with suppress(OSError):  # not connected any more
            info = found.getsockopt(socket.SOL_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
            if _listens(found):
                waiting += _number(info, UNACKED)
            elif any(info[BYTES_RECEIVED:]):
                quiet = min(quiet, _number(info, LAST_DATA_RECEIVED))
            else:  # the kernel counts from the beginning of the connection
                new = min(new, _number(info, LAST_DATA_RECEIVED))
    return Traffic(waiting, quiet, new)


def cut(clients: Iterable[tuple[str, int | str]], port: int | str | None) -> None:
    """Shut down the clients' connections to `port`, and discard unsent bytes. Ports may be strings."""
    ends = {(host, int(number)) for host, number in clients}
    for found in _of(int(port or 0)):
        with suppress(OSError):  # not connected any more
            if found.getpeername()[:2] in ends:
                found.shutdown(socket.SHUT_RDWR)


def cut_all(port: int) -> None:
    """Shut down all connections to `port`."""
    for found in _of(port):
        with suppress(OSError):
            if not _listens(found):
                found.shutdown(socket.SHUT_RDWR)


def _half_open(port: int) -> int:
    """Return the number of connections to `port` in the state SYN_RECV: the handshake is not complete."""
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    rows = [line.split(maxsplit=4) for path in tables if path.exists() for line in path.read_text().splitlines()]
    return sum(row[3] == SYN_RECEIVED and row[1].endswith(f":{port:04X}") for row in rows)


def _number(info: bytes, offset: int) -> int:
    return int.from_bytes(info[offset : offset + 4], sys.byteorder)


def _listens(found: socket.socket) -> bool:
    return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _of(port: int) -> Iterator[socket.socket]:
    """Yield duplicates of this process's TCP sockets at the local `port`, and close them after use."""
    for descriptor in map(int, os.listdir("/dev/fd")):
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            duplicate = os.dup(descriptor)
        except OSError:
            continue  # closed since
        try:
            found = socket.socket(fileno=duplicate)
        except OSError:
            # A file that got the number since. Left open: a close would drop the locks that this process has on it
            # (fcntl(2)), and SQLite's database may be that file.
            continue
        with found:
            if found.family in (socket.AF_INET, socket.AF_INET6) and found.getsockname()[1] == port:
                yield found
