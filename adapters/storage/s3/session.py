"""Sessions of the S3 client library."""

from functools import cache

from aiobotocore.session import AioSession, get_session
from botocore.loaders import Loader, create_loader


def new_session() -> AioSession:
    """Return a new session that shares the description of the S3 API with all sessions of the process.

    Loading the description takes most of the time to create a client. Workers inherit it from their parent.
    """
    session = get_session()
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@cache
def _loader(path: str | None) -> Loader:
    return create_loader(path)
