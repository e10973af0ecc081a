"""Check that the server of this container responds. Docker runs this often, so it imports little."""

import os
import socket
import sys

REQUEST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def responds(*, tls: bool) -> bool:
    with socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), timeout=4) as connection:
        if tls:
            import ssl

            # The address is this machine's, and no name is in the certificate for it.
            connection = ssl._create_unverified_context().wrap_socket(connection)  # noqa: S323
        connection.sendall(REQUEST)
        return connection.recv(12) == b"HTTP/1.1 200"


try:
    healthy = responds(tls=False) or responds(tls=True)
except OSError as error:
    sys.exit(f"{error}")
sys.exit(not healthy)
