"""Workers whose parent is gone: they stop, as nobody would replace them, or pass a stop on to them."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LIBC = ctypes.CDLL(None)


def stop_with_the_parent(parent: int) -> None:
    """Let the kernel send this process a SIGTERM when the thread of `parent` that forked it is gone.

    Elsewhere than on Linux nothing does, and the worker serves on until it is stopped.
    """
    if sys.platform == "linux":
        LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if has_lost(parent):  # before the kernel was asked; there is nothing to finish yet
        os._exit(1)


def has_lost(parent: int) -> bool:
    """Whether the process `parent`, which started this one, is gone."""
    return os.getppid() != parent
