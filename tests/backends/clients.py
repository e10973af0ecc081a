"""No backend, but run as they are: curl, wget and aria2c."""

from tests.backends.containers import Containers


def start(containers: Containers) -> str:
    """The id of a container that has them."""
    return str(containers.start_idle("clients").get_wrapped_container().id)
