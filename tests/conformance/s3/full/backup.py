"""No backend, but run as one: restic and duplicity."""

from tests.backends.containers import Containers


def start(containers: Containers) -> str:
    """The id of a container that has them."""
    return str(containers.start_idle("backup").get_wrapped_container().id)
