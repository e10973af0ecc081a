"""vsftpd and ProFTPD, with TLS sessions that must be used again for the data, and Pure-FTPd."""

import random
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal

from tests.backends.containers import Containers

PORTS = 40  # for data, as many as there may be transfers at once; below those that clients are given
FEW_PORTS = 16  # for a few transfers at once. Each port takes the engine 0.1 s, to publish it and to take it away
ATTEMPTS = 5


@dataclass(frozen=True)
class FtpServer:
    """`certificate`: the path of the PEM file that a client must trust.

    `elsewhere`: its ports for data, by what it says they are, where only a proxy can make that true.
    """

    host: str
    port: int
    user: str
    password: str
    certificate: str
    elsewhere: dict[int, int] = field(default_factory=dict)


def start_vsftpd(containers: Containers) -> FtpServer:
    return start(containers, "vsftpd")


def start_proftpd(containers: Containers) -> FtpServer:
    return start(containers, "proftpd")


def start(
    containers: Containers,
    image: Literal["vsftpd", "proftpd", "pureftpd"],
    *,
    tls: Literal["explicit", "implicit", "none"] = "explicit",
    max_clients: int | None = None,
    disk: int | None = None,
    ports: int = PORTS,
    elsewhere: bool = False,
) -> FtpServer:
    """One on which no more than `max_clients` are let in at once, and no more than `disk` bytes have room.

    `ports`: how many it has for data. vsftpd looks for a free one ten times at random, and then breaks off: for many
    transfers at once it needs several times as many. They are `elsewhere` if a proxy is to stand in their place.
    """
    from docker.errors import APIError

    server = FtpServer("127.0.0.1", 0, "drivebay", "of-the-tests", "")
    env = {"FTP_USER": server.user, "FTP_PASSWORD": server.password, "FTP_TLS": tls}
    if max_clients:
        env["FTP_MAX_CLIENTS"] = str(max_clients)
    tmpfs = {"/srv/ftp": f"size={disk}"} if disk else None
    # Pure-FTPd ends without a word where it does not get all that it asks for.
    capabilities = ("SYS_NICE", "DAC_READ_SEARCH") if image == "pureftpd" else ()
    for left in reversed(range(ATTEMPTS)):
        free = free_ports(ports)
        env["FTP_PASSIVE_PORTS"] = f"{free[0]}-{free[-1]}"
        try:
            moving, staying = (free, ()) if elsewhere else ((), free)
            container = containers.start(
                image,
                21,
                "ftp: ready",
                published=staying,
                elsewhere=moving,
                tmpfs=tmpfs,
                capabilities=capabilities,
                **env,
            )
            break
        except APIError as error:
            if not left or "port is already allocated" not in str(error):
                raise
    port = container.get_exposed_port(21)
    certificate = containers.folder / f"{image}-{port}.pem"
    container.copy_from_container("/certificate.pem", certificate)
    moved = {each: container.get_exposed_port(each) for each in free} if elsewhere else {}
    return FtpServer(server.host, port, server.user, server.password, str(certificate), moved)


def settings(server: FtpServer) -> dict[str, str]:
    return {
        "STORAGE": "ftp",
        "FTP_HOST": server.host,
        "FTP_PORT": str(server.port),
        "FTP_USER": server.user,
        "FTP_PASSWORD": server.password,
        "FTP_CA_FILE": server.certificate,
    }


def free_ports(count: int) -> range:
    """Ports one after another on which nobody listens just now."""
    for _ in range(100):
        first = random.randrange(20_000, 32_000, count)  # noqa: S311 - nothing is secret about it
        ports = range(first, first + count)
        try:
            with ExitStack() as sockets:
                for port in ports:
                    sockets.enter_context(socket.create_server(("127.0.0.1", port)))
            return ports
        except OSError:
            continue
    raise OSError(f"no {count} free ports one after another")
