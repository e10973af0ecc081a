"""Files of a folder that become objects of a storage on the same file system, without a copy."""

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.storage.filesystem.store import FilesystemBlobStore
from adapters.trees.folder import READ, FolderTree
from adapters.trees.folder_paths import file_of, folder_of, state_of
from application.ports.file_tree import FileChanged, NotLinkable, TreeFile
from domain.blob import ObjectKey

# Another file system, a link that this user may not make, or too many of them.
NOT_LINKABLE = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOENT, errno.ENOSYS}


class FolderLinks:
    """Makes files of `tree` objects of `store`: a `Linker`. Nobody may write into such a file later."""

    def __init__(self, tree: FolderTree, store: FilesystemBlobStore) -> None:
        self._tree = tree
        self._store = store

    @asynccontextmanager
    async def __call__(self, file: TreeFile, key: ObjectKey) -> AsyncIterator[None]:
        state = await self._tree.run(self._link, file, key)
        yield
        if await self._tree.run(self._state, file) != state:
            raise FileChanged("The file was changed while it was read.")

    def _link(self, file: TreeFile, key: ObjectKey) -> tuple[int, ...]:
        with folder_of(self._tree.root, file.path) as (folder, name):
            source = os.open(name, READ, dir_fd=folder)
        try:
            status = os.fstat(source)
            if file_of(file.path, status) != file:
                raise FileChanged("The file has changed since it was listed.")
            try:
                self._store.link(key, source)
            except OSError as error:
                if error.errno in NOT_LINKABLE:
                    raise NotLinkable(f"It can't be linked: {error.strerror}.") from error
                raise
            return state_of(status)
        finally:
            os.close(source)

    def _state(self, file: TreeFile) -> tuple[int, ...]:
        with folder_of(self._tree.root, file.path) as (folder, name):
            return state_of(os.stat(name, dir_fd=folder))


def share_a_disk(first: Path, second: Path) -> bool:
    """Return whether files of one folder can be linked into the other one."""
    return first.stat().st_dev == second.stat().st_dev
