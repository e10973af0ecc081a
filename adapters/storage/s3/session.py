"""Where clients of S3 come from."""

from functools import cache

from aiobotocore.session import AioSession, get_session
from botocore.loaders import Loader, create_loader


def new_session() -> AioSession:
    """One with nothing of another, but that what is known of S3's interface is read once for all of a process.

    That takes most of the time in which a client is made; workers have it from their parent.
    """
    session = get_session()
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    return session


@cache
def _loader(path: str | None) -> Loader:
    return create_loader(path)
