"""No backend, but run as one: promtool, which checks Prometheus's rules."""

from tests.backends.containers import Containers


def start(containers: Containers) -> str:
    """The id of a container that has it."""
    return str(containers.start_idle("promtool").get_wrapped_container().id)
