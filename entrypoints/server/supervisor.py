"""The parent of the workers."""

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

import structlog
from granian.server.mp import MPServer

from entrypoints.server.heartbeat import Heartbeat
from entrypoints.server.held_signals import HANDLED, HeldSignals
from entrypoints.server.worker_slot import WorkerSlot

LOG = structlog.get_logger()
CODE_CHANGED = 0  # no signal has this number


class Supervisor(MPServer):
    """Starts the workers, replaces those that die or stall, and stops all of them at a SIGTERM, SIGHUP or Ctrl-C.

    A worker that has not ended `workers_kill_timeout` seconds after its SIGTERM is killed. A second Ctrl-C kills all
    workers immediately.

    Inherits the settings and the creation of workers from granian's parent, which ends the service when a worker dies
    twice in a row.
    """

    def startup(self, *args: Any, **kwargs: Any) -> None:
        on_hangup = signal.getsignal(signal.SIGHUP)
        self._slots: list[WorkerSlot] = []
        self._signals = HeldSignals()
        super().startup(*args, **kwargs)  # type: ignore[no-untyped-call]  # granian's
        if on_hangup is signal.SIG_IGN:  # nohup
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if self.reload_on_changes:
            threading.Thread(target=self._watch_code, name="code", daemon=True).start()

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing: `HeldSignals` only needs a handler to exist."""

    signal_handler_reload = signal_handler_interrupt

    def _spawn_workers(self, spawn_target: Any, target_loader: Any) -> None:
        create = partial(self._create, spawn_target, target_loader)
        self._slots = [WorkerSlot(number + 1, partial(create, number)) for number in range(self.workers)]
        for slot in self._slots:
            slot.check()

    def _create(self, target: Any, loader: Callable[..., Any], number: int, heartbeat: Heartbeat) -> BaseProcess:
        if multiprocessing.get_start_method() == "fork":  # other methods share no memory with this process
            loader = partial(loader, heartbeat)
        process: BaseProcess = self._spawn_worker(number, target, loader).inner
        return process

    def _serve(self, spawn_target: Any, target_loader: Any) -> None:
        self.startup(spawn_target, target_loader)
        try:
            self._serve_loop(spawn_target, target_loader)
        finally:
            self.shutdown()  # type: ignore[no-untyped-call]  # granian's

    _serve_with_reloader = _serve

    def _serve_loop(self, spawn_target: Any, target_loader: Any) -> None:
        while True:
            self._wait(min(slot.wait for slot in self._slots))
            if self.interrupt_signal:
                return
            if self.reload_signal:
                self.reload_signal = False
                self._stop_workers()
                self._spawn_workers(spawn_target, target_loader)
            for slot in self._slots:
                slot.check()

    def _stop_workers(self) -> None:
        for slot in self._slots:
            slot.terminate()
        deadline = time.monotonic() + (self.workers_kill_timeout or 0)
        while self._drop_ended() and time.monotonic() < deadline:
            if signal.SIGINT in self._wait(deadline - time.monotonic()):
                break
        else:
            for slot in self._slots:
                LOG.warning("a worker that did not stop in time is killed", worker=slot.number)
        for slot in self._slots:
            slot.kill()
        while self._drop_ended():
            self._wait(None)

    def _drop_ended(self) -> bool:
        """Drop the slots whose workers have ended. Return whether others remain."""
        self._slots = [slot for slot in self._slots if not slot.is_empty()]
        return bool(self._slots)

    def _wait(self, timeout: float | None) -> set[int]:
        sentinels = [sentinel for slot in self._slots for sentinel in slot.sentinels]
        received = self._signals.wait(sentinels, timeout)
        self.interrupt_signal |= bool(received & HANDLED)
        self.reload_signal |= CODE_CHANGED in received
        return received

    def _watch_code(self) -> None:
        import watchfiles  # for development only

        for _ in watchfiles.watch(*self.reload_paths):
            self._signals.add(CODE_CHANGED)
