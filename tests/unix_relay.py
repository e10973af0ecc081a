"""A Unix socket whose connections lead to a server on this machine."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer

AT_ONCE = 64 * 1024  # bytes


@contextmanager
def relay(path: Path, port: int) -> Iterator[None]:
    """Listen at `path`, in threads, and pass all on to the `port`."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as server:
                back = threading.Thread(target=_pump, args=(server, self.connection))
                back.start()
                _pump(self.connection, server)
                back.join()

    with ThreadingUnixStreamServer(str(path), Handler) as listening:
        serving = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield
        finally:
            listening.shutdown()
            serving.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):  # one side is gone
        while data := source.recv(AT_ONCE):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
