"""Whether the server of this container answers. Docker asks every few seconds, so it imports little, and none of Drivebay."""

import os
import socket
import sys

REQUEST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def answers(*, tls: bool) -> bool:
    with socket.create_connection(("127.0.0.1", int(os.environ.get("PORT") or 8000)), timeout=4) as connection:
        if tls:
            import ssl

            connection = ssl._create_unverified_context().wrap_socket(connection)  # it is this machine, by its number
        connection.sendall(REQUEST)
        return connection.recv(12) == b"HTTP/1.1 200"


try:
    healthy = answers(tls=False) or answers(tls=True)
except OSError as fault:
    sys.exit(f"{fault}")
sys.exit(not healthy)
