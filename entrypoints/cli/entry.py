"""`drivebay`: it imports the server only for the commands of the server, so that the others start quickly."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

FOR_USERS = frozenset(
    {"put", "get", "cat", "ls", "stat", "rm", "cp", "mv", "sync", "sign", "share", "completion"},
)


def main() -> None:
    """Run the command line."""
    # A shell that completes passes the words of its line in a variable.
    words = sys.argv if "_DRIVEBAY_COMPLETE" not in os.environ else os.environ.get("COMP_WORDS", "").split()
    with _ended_by_ctrl_c():
        if not FOR_USERS.isdisjoint(words[1:2]):
            from entrypoints.cli.blobs.group import main as run
        else:
            from entrypoints.cli.main import main as run
    run(prog_name="drivebay")


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end the process without a traceback: while modules are imported, nothing has begun."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # and is not ignored, as in the background of a shell
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, usual)
