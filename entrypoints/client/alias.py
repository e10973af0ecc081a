"""The client of Drivebay: `from drivebay import Client, AsyncClient`."""

from entrypoints.client import *  # noqa: F403
from entrypoints.client import __all__ as __all__
