"""Owners that a test may give to its files."""

import os


def another_owner() -> tuple[int, int]:
    """A user and a group that a new file does not have. Without root, only the group may be another one."""
    if os.geteuid() == 0:
        return 12345, 23456
    return os.geteuid(), [os.getegid(), *os.getgroups()][-1]
