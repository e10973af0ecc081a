"""A stop of workers whose parent has died: no process would replace them or forward a SIGTERM."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None)


def stop_with_the_parent(parent: int) -> None:
    """Let the kernel send this process a SIGTERM when the thread of `parent` that forked it ends.

    Only on Linux. Elsewhere the worker continues to serve until it is stopped.
    """
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if has_lost(parent):  # before prctl; no request is in progress yet
        os._exit(1)


def has_lost(parent: int) -> bool:
    """Whether the process `parent`, which started this one, has ended."""
    return os.getppid() != parent
