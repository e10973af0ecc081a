"""The connections of this process, as sockets, which the HTTP server does not hand out."""

import os
import socket
import stat
import sys
from collections.abc import Iterator


def limit_unsent(port: int, milliseconds: int) -> bool:
    """Let the kernel end the connections to `port` whose clients take nothing for so long. False if nobody listens yet.

    It counts the time that sent bytes are not acknowledged, and that the client has no room for those to be sent. What
    the HTTP server holds of an answer whose end it was given, nobody else would give up.
    """
    listening = False
    for found in _sockets():
        if found.getsockname()[1] == port and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            listening = True
            if sys.platform == "linux":  # from here on, those that are accepted have it too
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
    return listening


def cut(client: tuple[str, int | str], port: int | str | None) -> None:
    """End the connection of a client to `port`, whatever is still to be sent on it. Servers may tell ports as texts."""
    ends = client[0], int(client[1]), int(port or 0)
    for found in _sockets():
        try:
            if (*found.getpeername()[:2], found.getsockname()[1]) == ends:
                found.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # it is not connected, or not any more


def _sockets() -> Iterator[socket.socket]:
    """Those of the internet, each as a duplicate that is closed again."""
    for descriptor in map(int, os.listdir("/dev/fd")):
        try:
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            duplicate = os.dup(descriptor)
        except OSError:
            continue  # it is closed by now
        with socket.socket(fileno=duplicate) as found:
            if found.family in (socket.AF_INET, socket.AF_INET6):
                yield found
