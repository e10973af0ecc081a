"""The number of cores that this process may use."""

import os
from contextlib import suppress
from math import ceil
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def usable_cores(cgroups: Path = CGROUPS) -> int:
    """Return the cores of this process's affinity, within the quota of its container (cgroup v2), and at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # without a quota there is no file, or `max` in it
        quota, period = map(int, (cgroups / "cpu.max").read_text().split())
        cores = min(cores, ceil(quota / period))
    return max(cores, 1)
