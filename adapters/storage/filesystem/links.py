"""Files that share their bytes with an open file: reflinks, whose bytes part at the first change, and hard links."""

import fcntl
import os

from adapters.storage.filesystem.files import CREATE

FICLONE = 0x40049409  # linux/fs.h


def clone(source: int, path: str) -> bool:
    """Create a durable file that shares the bytes of an open one (Btrfs, XFS). Return False if that fails."""
    file = os.open(path, CREATE, 0o600)
    try:
        fcntl.ioctl(file, FICLONE, source)
        os.fsync(file)
    except OSError:
        os.unlink(path)
        return False
    finally:
        os.close(file)
    return True


def hard_link(source: int, path: str) -> None:
    """Give an open file another name, and make its bytes durable. Raises OSError with EXDEV on another file system."""
    os.fsync(source)
    descriptors = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # The descriptor is an argument for linkat(2), without which Python links the symbolic link itself.
        os.link(str(source), path, src_dir_fd=descriptors, follow_symlinks=True)
    finally:
        os.close(descriptors)
