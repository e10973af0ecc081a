"""Background work of a server: the use of keys, digests, moves, and for each storage its markers and the reaper."""

from collections.abc import Coroutine, Iterator
from functools import partial

import structlog

from application.maintenance.move_report import MoveFinding, MoveOptions, Unheard
from application.maintenance.rate import Rate
from application.ownership.markers import UnknownStorage
from application.ownership.ownership import Standing, taken
from domain.errors import BlobError
from entrypoints.background import AT_ONCE, every
from entrypoints.composition.container import Container

LOG = structlog.get_logger()
RECORDING = 30.0  # seconds
PAUSE = 1.0  # seconds after a failure
MOVED = 3600.0  # seconds between looks for objects that are to be moved, once there is none: each reads all rows


def work(container: Container) -> Iterator[Coroutine[None, None, None]]:
    """Yield everything that runs in the background while the server serves."""
    yield _check_others(container)
    if container.settings().read_only:
        return
    yield every(RECORDING, container.record_use(), "the use of keys could not be recorded")
    interval = container.settings().reap_interval
    yield every(interval, partial(_compute_digest, container), "a digest could not be computed")
    if container.settings().move_to:
        yield every(interval, partial(_move, container), "objects could not be moved")
    for backend in container.stores().by_name:
        markers = Markers(container, backend)
        yield every(PAUSE, markers.keep, "the markers of a storage can't be kept", storage=backend)
        yield every(interval, partial(_reap, container, backend), "reaping failed", storage=backend)


async def _check_others(container: Container) -> None:
    """Warn of storages for older blobs that can't be used. The start neither waits for them nor needs them."""
    stores = container.stores()
    for name, store in stores.by_name.items():
        if name != stores.active:
            try:
                await container.ownership().recognise(name)
                await store.check()
            except BlobError as error:
                LOG.warning("blobs on this storage can't be read now", storage=name, fault=str(error))


class Markers:
    """The markers of one storage. Each reason why nothing is deleted there is logged once."""

    def __init__(self, container: Container, backend: str) -> None:
        self._container = container
        self._backend = backend
        self._logged = ""

    async def keep(self) -> float:
        """Keep the markers current, and return the seconds until that is due again."""
        ownership = self._container.ownership()
        try:
            standing = await ownership.keep(self._backend)
            reason, pause = "", (await ownership.pause(self._backend)).total_seconds()
            if standing is Standing.TAKEN:
                reason = taken(self._backend)
        except BlobError as error:
            reason, pause = str(error), PAUSE
        self._report(reason)
        return pause

    def _report(self, reason: str) -> None:
        if reason:
            self._container.observer().withheld(self._backend)
            if reason != self._logged:
                LOG.warning("nothing is deleted in this storage", storage=self._backend, reason=reason)
        self._logged = reason


async def _compute_digest(container: Container) -> float | None:
    """Compute the digest of one content of several segments, and return AT_ONCE if there may be another one."""
    try:
        return AT_ONCE if await container.compute_digests()() else None
    except BlobError as error:
        LOG.warning("a digest has to wait", fault=str(error))
        return None


class _MoveLog(Unheard):
    def found(self, finding: MoveFinding) -> None:
        location = finding.object.location
        LOG.warning(
            "an object can't be moved",
            storage=location.backend,
            key=str(location.key),
            problem=finding.problem.value,
            fault=finding.detail,
        )


async def _move(container: Container) -> float | None:
    """Move what is not on the storage MOVE_TO there, one object at a time. Return a long pause once nothing is left."""
    settings, names = container.settings(), container.stores().by_name.keys()
    target = settings.move_to
    options = MoveOptions(frozenset(names - {target}), target, at_once=1, passes=1, waits=False)
    report = await container.move_objects()(options, _MoveLog(), Rate(settings.move_rate))
    if report.objects:
        LOG.info("objects were moved", storage=target, objects=report.objects, bytes=report.bytes)
    if report.stopped:
        LOG.warning("objects have to wait to be moved", storage=target, fault=report.stopped)
    return MOVED if report.is_done else None


async def _reap(container: Container, backend: str) -> float | None:
    """Reap one storage once, and return AT_ONCE if there is more to reap."""
    try:
        reaped = await container.reap()(backend)
    except UnknownStorage:
        return None  # `Markers` logs it
    except BlobError as error:
        LOG.warning("reaping has to wait", storage=backend, fault=str(error))
        return None
    container.observer().reaped(backend, reaped.deleted, len(reaped.errors))
    if reaped.expiry is not None:
        LOG.warning("rows that have expired have to wait", storage=backend, fault=str(reaped.expiry))
    for kept in reaped.errors:
        LOG.warning("an object could not be deleted", fault=str(kept))
    return AT_ONCE if reaped.more else None
