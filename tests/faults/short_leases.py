"""`drivebay` with a reaper that needs not be waited for: `python -m tests.faults.short_leases serve`.

Its times are of the settings LEASE, GRACE, AGAIN and CLAIM, in seconds. A claim is what a stop in the middle of reaping
leaves, so nothing is deleted before it expires. With KEEPS=no it never writes markers of its own
accord, as if its reaper never ran.
"""

import os
from dataclasses import replace
from datetime import timedelta
from functools import partial

from dependency_injector import providers

from application.contents.retention import Retention
from entrypoints.cli import main as cli
from entrypoints.composition.background import Markers
from entrypoints.composition.container import Container
from entrypoints.http.app import create_asgi

LEASE_OF_MARKERS = timedelta(seconds=20)  # a claim that failed half-way stays for as long


def configure(container: Container) -> None:
    lease, grace, again, claim = (
        timedelta(seconds=float(os.environ.get(name, default)))
        for name, default in (("LEASE", "600"), ("GRACE", "0.5"), ("AGAIN", "0.5"), ("CLAIM", "5"))
    )
    container.uploads.add_kwargs(lease=lease)
    of_markers = providers.Singleton(replace, container.uploads_of_markers, lease=LEASE_OF_MARKERS)
    container.mark_storage.set_args(of_markers, *container.mark_storage.args[1:])
    retention = Retention(grace, grace)
    container.store_blob.add_kwargs(retention=retention)
    container.delete_blob.add_kwargs(retention=retention)
    container.reap.add_kwargs(again=again, claim=claim)


async def keep_nothing(_: Markers) -> None:
    pass


if __name__ == "__main__":
    if os.environ.get("KEEPS") == "no":
        Markers.keep = keep_nothing  # type: ignore[assignment,method-assign]
    cli.create_asgi = partial(create_asgi, configure=configure)  # type: ignore[attr-defined]  # nobody else's seam
    cli.main()
