"""The connections of this process, as sockets, which the HTTP server does not hand out."""

import os
import resource
import socket
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

OTHER_FILES = 1000  # of libraries, of databases, of logs
LEAST_OTHER_FILES = 100  # where not more are allowed
FILES_OF_A_REQUEST = 2
UNSENT = 256 * 1024
SO_BINDTOIFINDEX = 62  # asm-generic/socket.h
NO_INTERFACE = 2**31 - 1  # a number that no network interface has
SYN_RECEIVED = "03"  # proc(5), /proc/net/tcp
# Where TCP_INFO has these (struct tcp_info); of a listener the first is how many wait to be accepted.
UNACKED, LAST_DATA_RECEIVED = 24, 52


def allow_files(count: int) -> int:
    """Let this process and its children have `count` connections and files open, or as many as they may.

    Returns how many that is, without what libraries need on top.
    """
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + OTHER_FILES
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        allowed = wanted
    return count if allowed == resource.RLIM_INFINITY else min(allowed - LEAST_OTHER_FILES, count)


def that_fit(files: int, most: int, requests: int) -> int:
    """How many connections, `most` at most, there may be at once, so that they and their requests fit into `files`.

    Where that is ignored, the HTTP server tries without a pause to accept those for which there is no file.
    """
    return min(most, max(files // (1 + FILES_OF_A_REQUEST), files - FILES_OF_A_REQUEST * requests))


def is_served(port: int) -> bool:
    """Whether this process listens on `port`."""
    return any(map(_listens, _of(port)))


def limit_unsent(port: int, milliseconds: int) -> bool:
    """Let the kernel end the connections to `port` whose clients take nothing for so long. False if nobody listens yet.

    It counts the time that sent bytes are not acknowledged, and that the client has no room for those to be sent. What
    the HTTP server holds of an answer whose end it was given, nobody else would give up.

    Let it also take no more than `UNSENT` bytes of each ahead of what the client has room for. It would take megabytes,
    so that many clients that read nothing could fill its memory.
    """
    listening = False
    for found in _of(port):
        if _listens(found):
            listening = True
            if sys.platform == "linux":  # from here on, those that are accepted have it too
                found.setsockopt(socket.SOL_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
                found.setsockopt(socket.SOL_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    return listening


def turn_away(port: int) -> bool:
    """Let the kernel refuse new connections to `port`, while those that it took are still accepted. False if it can't.

    A listener that is closed resets those that wait to be accepted, whose clients may have sent their requests. One
    that is bound to an interface that is not there is found by nobody any more: who connects now is refused, and has
    sent nothing. A proxy takes its next server. Of several on a port, each is found as long as one of them is.
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
    """`waiting`: how many connections are not accepted yet. `quiet`: milliseconds since a client sent anything."""

    waiting: int
    quiet: float


def traffic(port: int) -> Traffic:
    """How it stands with the connections to `port`. On Linux alone."""
    waiting, quiet = _half_open(port), float("inf")
    for found in _of(port):
        with suppress(OSError):  # it is not connected any more
            info = found.getsockopt(socket.SOL_TCP, socket.TCP_INFO, 104)
            if _listens(found):
                waiting += _number(info, UNACKED)
            else:
                quiet = min(quiet, _number(info, LAST_DATA_RECEIVED))
    return Traffic(waiting, quiet)


def cut(clients: Iterable[tuple[str, int | str]], port: int | str | None) -> None:
    """End the clients' connections to `port`, whatever is still to be sent. Servers may give ports as texts."""
    ends = {(host, int(number)) for host, number in clients}
    for found in _of(int(port or 0)):
        with suppress(OSError):  # it is not connected any more
            if found.getpeername()[:2] in ends:
                found.shutdown(socket.SHUT_RDWR)


def cut_all(port: int) -> None:
    """End all connections to `port`."""
    for found in _of(port):
        with suppress(OSError):
            if not _listens(found):
                found.shutdown(socket.SHUT_RDWR)


def _half_open(port: int) -> int:
    """How many connections to `port` have been asked for and answered, and wait for the client's word that it knows."""
    tables = [Path(f"/proc/net/{name}") for name in ("tcp", "tcp6")]
    rows = [line.split(maxsplit=4) for path in tables if path.exists() for line in path.read_text().splitlines()]
    return sum(row[3] == SYN_RECEIVED and row[1].endswith(f":{port:04X}") for row in rows)


def _number(info: bytes, offset: int) -> int:
    return int.from_bytes(info[offset : offset + 4], sys.byteorder)


def _listens(found: socket.socket) -> bool:
    return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _of(port: int) -> Iterator[socket.socket]:
    """TCP sockets of this process at the local `port`, each as a duplicate that is closed after use."""
    for descriptor in map(int, os.listdir("/dev/fd")):
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            duplicate = os.dup(descriptor)
        except OSError:
            continue  # it is closed by now
        with socket.socket(fileno=duplicate) as found:
            if found.family in (socket.AF_INET, socket.AF_INET6) and found.getsockname()[1] == port:
                yield found
