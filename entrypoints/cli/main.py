"""The command line."""

import asyncio
import gc
import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click
import structlog
from litestar.types import ASGIApp

from entrypoints import __version__
from entrypoints.cli.adopt import adopt
from entrypoints.cli.blobs.group import COMMANDS
from entrypoints.cli.check.command import check
from entrypoints.cli.exit_codes import show_new_token, tell_and_exit
from entrypoints.cli.keys import keys
from entrypoints.cli.migrations import migrations
from entrypoints.cli.moves.move import move
from entrypoints.cli.moves.move_metadata import move_metadata
from entrypoints.cli.moves.transfers import export_command, import_command
from entrypoints.cli.settings import show
from entrypoints.cli.verify.command import verify
from entrypoints.composition import databases, lifecycle, missing_features, storages
from entrypoints.composition.container import Container
from entrypoints.composition.lifecycle import Started
from entrypoints.composition.missing_features import MissingFeatures
from entrypoints.config.kept_secrets import BEARER, path_of
from entrypoints.config.loading import load_all
from entrypoints.config.settings import Settings, SettingsError
from entrypoints.config.values import AUTO, MAX_WORKERS
from entrypoints.errors import StartError
from entrypoints.http.app import create_asgi
from entrypoints.server import sockets, tls
from entrypoints.server.heartbeat import Heartbeat
from entrypoints.server.orphans import stop_with_the_parent
from entrypoints.server.port_claim import PortClaim, PortInUseError
from entrypoints.server.shutdown import ACCEPTED_WITHIN, KILLED_AFTER, GracefulShutdown, hold_sigterm
from entrypoints.telemetry import logs
from entrypoints.telemetry.prometheus import workers as metrics_of_workers

LOG = structlog.get_logger()
ROOT = Path(__file__).parents[2]
LATER = 2.0  # seconds that the kernel waits longer for a client than the application, which logs why it ends a response
MORE_FILES = "Raise the limit (ulimit -n, LimitNOFILE=, --ulimit nofile=)."
TO_THE_ROOT_LOGGER: dict[str, Any] = {"handlers": {}, "loggers": {"_granian": {}}}


class WorkerCount(click.IntRange):
    """A number of workers, or `auto`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == AUTO else super().convert(value, param, ctx)


@click.group()
@click.version_option(__version__, prog_name="drivebay")
def main() -> None:
    """Drivebay: blob storage that can't lose what it acknowledged.

    Nothing has to be set: `drivebay serve` keeps blobs in files and their rows in SQLite, in ./data. Other places are
    settings. They are read from the environment, over a file named .env in the current folder, over the defaults;
    `drivebay settings` tells which value rules, and from where. A secret may be in a file: S3_SECRET_KEY_FILE.

    \b
    From nothing to a blob on S3:
      export STORAGE=s3 S3_BUCKET=films S3_ACCESS_KEY=... S3_SECRET_KEY=...
      drivebay settings               are these what was meant?
      drivebay migrations upgrade     make the folder, the token and the tables
      drivebay check                  does all of it work?
      drivebay serve                  the token, or where it is kept, is in its first lines
      curl -H 'Authorization: Bearer TOKEN' -T film.mp4 http://127.0.0.1:8000/v1/blobs/film.mp4

    \b
    Later, beside the server, at any time:
      drivebay verify                 is all that was stored still there, and whole?

    \b
    To use another storage:
      drivebay move --from fs --to s3     move the blobs there, while servers run

    \b
    To use another database:
      drivebay move-metadata --to postgresql://user:password@host/name
                                      move the rows there, while servers read

    \b
    Files that exist already, in a folder, a bucket or on an FTP server:
      drivebay import photos --prefix photos/    make blobs of them
      drivebay export backup --prefix photos/    write blobs as files

    \b
    From any machine, with DRIVEBAY_URL and DRIVEBAY_TOKEN set:
      drivebay put film.mp4 films/    store files, and go on if that was interrupted
      drivebay get films/film.mp4     fetch blobs; `drivebay cat` writes them to the output
      drivebay ls films/              list them; `drivebay stat` shows one
      drivebay sync photos drivebay://photos/
                                      transfer what differs, in either direction
      drivebay mv a.mp4 b.mp4         move, `drivebay cp` copy and `drivebay rm` delete them

    \b
    For other programs and people:
      drivebay keys create            a credential with limited rights
      drivebay sign GET film.mp4      a URL that lets anybody fetch one blob, for a while
      drivebay share film.mp4         a link for people, with a password if you like

    \b
    After a restore, or when a storage was copied or moved:
      drivebay adopt                  let this database be the one that uses it

    \b
    COMMAND --help tells what a command does, with examples and its exit codes. For
    completion in bash, zsh or fish: eval "$(drivebay completion bash)"
    """


@main.command(short_help="Serve the HTTP interface.")
@click.option("--host", help="The address to listen on (HOST, 127.0.0.1).")
@click.option("--port", type=click.IntRange(1, 65535), help="The port to listen on (PORT, 8000).")
@click.option("--workers", type=WorkerCount(1, MAX_WORKERS), help="Processes, or `auto`: one per core (WORKERS, 1).")
@click.option("--reload", is_flag=True, help="Restart when the code changes: for development.")
def serve(host: str | None, port: int | None, workers: int | str | None, reload: bool) -> None:
    """Serve the HTTP interface until a SIGTERM or Ctrl-C, then finish the requests in progress and stop.

    A second Ctrl-C stops it at once.

    At its start it creates what is missing: the data folder, the token, and the newest tables in the database (see
    `drivebay migrations`). Any number of servers may start at once, and share a database and storages. If something
    can't be used, an error names the setting to blame. While it serves, it deletes what failed uploads left behind.

    The options go over the settings in brackets; all others are settings only: see `drivebay settings`. The interface
    is described at /docs, /health/live says whether it answers, /health/ready whether blobs are read and stored.

    \b
    It exits with
      0  if it was asked to stop
      2  if it was called wrongly, or could not start

    \b
    Examples:
      drivebay serve
      drivebay serve --host 0.0.0.0 --port 80 --workers 4
      STORAGE=memory drivebay serve       to try something, and keep nothing
    """
    hints: tuple[str, ...] = ()
    with ExitStack() as stack:
        try:
            chosen = {"HOST": host, "PORT": port, "WORKERS": workers}
            loaded = load_all(os.environ | {name: str(value) for name, value in chosen.items() if value is not None})
            settings, hints = loaded.settings, loaded.hints
            if settings.tls_certificate and settings.tls_key:
                tls.check(settings.tls_certificate, settings.tls_key)
            ready = _within_bounds(lifecycle.prepare(settings, show_new_token))
            claim = stack.enter_context(_claim(ready))
            started = asyncio.run(_check(ready))
            if ready.metrics and ready.workers > 1:
                ready = replace(ready, metrics=_shares_metrics(stack))
        except (SettingsError, StartError) as error:
            tell_and_exit(error, hints)
        click.echo(_banner(ready, claim.address, keeps_token=not settings.tokens))
        logs.configure()
        logs.show_hints(hints)
        _log_limits(started)
        _serve(ready, claim, started, reload=reload)


for _command in COMMANDS:
    main.add_command(_command)
main.add_command(check)
main.add_command(verify)
main.add_command(move)
main.add_command(move_metadata)
main.add_command(import_command)
main.add_command(export_command)
main.add_command(adopt)
main.add_command(keys)
main.add_command(migrations)
main.add_command(show)


async def _check(settings: Settings) -> Started:
    """Try everything that the settings name once, to report an error here, in one line."""
    features = MissingFeatures(logged=False)
    return await lifecycle.check_start(Container(settings=settings, missing_features=features))


def _log_limits(started: Started) -> None:
    """Log the limits of a server that has started."""
    for backend, feature in started.missing_features:
        missing_features.log(backend, feature)
    if started.full is not None:
        LOG.warning("no new blobs are taken until there is space", fault=str(started.full))


def _within_bounds(settings: Settings) -> Settings:
    """Limit the connections to the open files that are allowed. Raises StartError if these are too few for one."""
    others = storages.connections(settings)
    wanted = settings.max_connections + sockets.FILES_OF_A_REQUEST * settings.max_requests + others
    files = sockets.allow_files(wanted) - others
    fitting = sockets.max_connections(files, settings.max_connections, settings.max_requests)
    if fitting < 1:
        raise StartError(f"MAX_CONNECTIONS: too few files may be open for any connection. {MORE_FILES}")
    if fitting < settings.max_connections:
        logs.configure()
        message = f"MAX_CONNECTIONS is reduced, as so many files may not be open. {MORE_FILES}"
        LOG.warning(message, asked=settings.max_connections, connections=fitting)
    return replace(settings, max_connections=fitting)


def _shares_metrics(stack: ExitStack) -> bool:
    """Make the folder in which the workers share their metrics. Return False if that fails: then there are none."""
    try:
        stack.enter_context(metrics_of_workers.shared_folder())
    except OSError as error:
        logs.configure()
        LOG.warning("no metrics, as their folder can't be made in TMPDIR", fault=str(error))
        return False
    return True


def _claim(settings: Settings) -> PortClaim:
    """Claim the port. Raises StartError if it is in use, or the address is not one of this machine."""
    try:
        return PortClaim(settings.host, settings.port, patience=settings.drain_time + ACCEPTED_WITHIN + KILLED_AFTER)
    except PortInUseError:
        message = f"PORT: {settings.port} is in use on {settings.host}. Stop the program that uses it, or set another."
    except PermissionError:
        message = f"PORT: this user may not listen on {settings.port}. Set it to one above 1023."
    except (OSError, UnicodeError):
        message = f"HOST: {settings.host!r} is no address of this machine. Try 127.0.0.1."
    raise StartError(message) from None


def _banner(settings: Settings, address: str, *, keeps_token: bool) -> str:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"{'https' if settings.tls_certificate else 'http'}://{host}:{settings.port}"
    lines = [f"Drivebay {__version__} at {url}, described at {url}/docs"]
    if settings.storage == "memory":
        lines.append("  data   in memory: it is gone when this stops")
    else:
        lines.append(f"  blobs  {storages.location(settings.storage, settings)}")
        if settings.small_blobs == "database":
            lines.append(f"         up to {settings.small_blob_bytes:,} bytes in the database of the rows")
        lines.append(f"  rows   {databases.location(settings)}")
    if keeps_token:
        lines.append(f"  token  in {path_of(settings.data_dir, BEARER)}")
    if not settings.tls_certificate and not ip_address(address).is_loopback:
        lines.append("  note   without TLS, whoever is on the way can read tokens and blobs: see TLS_CERTIFICATE")
    return "\n".join(lines)


def _serve(settings: Settings, claim: PortClaim, started: Started, *, reload: bool) -> None:
    # Imported here, because the other commands start faster without it.
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    from entrypoints.server.supervisor import Supervisor

    if reload:
        multiprocessing.set_start_method("spawn")  # a forked worker would keep the old modules
    elif sys.platform == "linux":
        # Not the default from Python 3.14 on. Other methods share neither the claim to the port nor the heartbeats.
        multiprocessing.set_start_method("fork")
    parent = os.getpid()
    os.register_at_fork(
        after_in_child=partial(_begin_as_a_worker, parent, claim)
    )  # before any other code of the worker
    server = Supervisor(
        "drivebay",
        address=claim.address,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        # If HTTP/2 is allowed too, granian waits for the first bytes of a connection without a timeout.
        http=HTTPModes.http1,
        ssl_cert=settings.tls_certificate,
        ssl_key=settings.tls_key,
        ssl_protocol_min=SSLProtocols.tls12,
        http1_settings=HTTP1Settings(header_read_timeout=_milliseconds(settings.client_timeout)),
        websockets=False,
        backpressure=settings.max_connections,
        respawn_failed_workers=True,
        workers_kill_timeout=int(_stopping(settings).longest),
        log_level=LogLevels.warning,
        log_dictconfig=TO_THE_ROOT_LOGGER,
        reload=reload,
        reload_paths=[ROOT / name for name in ("domain", "application", "adapters", "entrypoints")],
    )
    server.serve(target_loader=partial(application, settings, started, parent), wrap_loader=False)


def _milliseconds(seconds: float) -> int:
    """Return milliseconds that fit into 31 bits, the limit of the kernel."""
    return int(min(max(seconds * 1000, 1), 2**31 - 1))


def _begin_as_a_worker(parent: int, claim: PortClaim) -> None:
    claim.become_a_worker()
    _obey(parent)


def _obey(parent: int) -> None:
    """Ignore Ctrl-C: the parent stops the workers. A worker that receives a second signal would hang."""
    os.setpgid(0, 0)
    hold_sigterm()
    stop_with_the_parent(parent)


def application(settings: Settings, started: Started, parent: int, heartbeat: Heartbeat | None = None) -> ASGIApp:
    """Create the ASGI application of a worker. `parent`: its process id; `started`: the result of its check.

    The parent has seen that the backends can be used. A worker that replaces a dead one may find them down, and should
    not end the service by dying too.
    """
    _obey(parent)
    logs.configure()
    serving = _serving(settings, heartbeat or Heartbeat())
    return create_asgi(settings, patient=True, shutdown=_stopping(settings), serving=serving, started=started)


@contextmanager
def _serving(settings: Settings, heartbeat: Heartbeat) -> Iterator[None]:
    _limit_unsent(settings)
    # What the start has made stays. To look through it would take a tenth of a second, now and then within a request.
    gc.freeze()
    heartbeat.start()
    try:
        yield
    finally:
        heartbeat.stop()


def _stopping(settings: Settings) -> GracefulShutdown:
    return GracefulShutdown(settings.port, settings.drain_time, settings.stop_timeout)


def _limit_unsent(settings: Settings) -> None:
    """Begin once the worker listens, which is when the application has started."""
    if not sockets.limit_unsent(settings.port, _milliseconds(settings.client_timeout + LATER)):
        asyncio.get_running_loop().call_later(0.001, _limit_unsent, settings)
