"""The lock on a port, while workers of parents that were killed still stop."""

import socket
from threading import Timer

from entrypoints.server.port_claim import PortClaim

HOST = "127.0.0.1"


def test_the_workers_of_a_parent_that_found_orphans_are_waited_for_too() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    with orphaned(PortClaim(HOST, port, patience=0)):
        second = orphaned(PortClaim(HOST, port, patience=0))
    with second, socket.create_server((HOST, port)) as listener:
        Timer(0.1, listener.close).start()
        with PortClaim(HOST, port, patience=20) as third:
            assert third.address == HOST


def orphaned(claim: PortClaim) -> PortClaim:
    """What the workers of a killed parent hold."""
    claim.become_a_worker()
    return claim
