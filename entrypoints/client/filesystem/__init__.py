"""`drivebay://` for fsspec."""

from entrypoints.client.filesystem.files import DrivebayFile
from entrypoints.client.filesystem.system import DrivebayFileSystem

__all__ = ["DrivebayFile", "DrivebayFileSystem"]
