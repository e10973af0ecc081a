"""The parent of the workers."""

import signal
import threading
from typing import Any

from granian.server.mp import MPServer

HEEDED = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


class Supervisor(MPServer):
    """Starts the workers, replaces those that die, and passes a SIGTERM or Ctrl-C on to all of them as a SIGTERM.

    A worker that has not ended `workers_kill_timeout` seconds later hangs, and is killed. A second Ctrl-C is from
    somebody who does not want to wait: it kills them at once.
    """

    def startup(self, *args: Any, **kwargs: Any) -> None:
        """From here on signals are held, and a thread waits for them.

        A handler would be inherited by a worker, and take the signals that it gets before it has its own; and one that
        comes while the main thread holds the lock of its event would wait for that lock without end.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, HEEDED)
        threading.Thread(target=self._heed_signals, name="signals", daemon=True).start()
        super().startup(*args, **kwargs)  # type: ignore[no-untyped-call]  # granian's

    def _spawn_worker(self, *args: Any, **kwargs: Any) -> Any:
        """A worker whose end one thread waits for, and everybody else asks that thread.

        Of two threads that wait for one process, the second finds nothing to wait for. Until the first has noted what
        it was told, the process seems to be alive, and to have ignored its SIGTERM.
        """
        worker: Any = super()._spawn_worker(*args, **kwargs)
        waiting = threading.Thread(target=worker._watcher)
        worker._watch, worker.join, worker.is_alive = waiting.start, waiting.join, waiting.is_alive
        return worker

    def _heed_signals(self) -> None:
        while received := signal.sigwait(HEEDED):
            if received == signal.SIGHUP:
                self.signal_handler_reload()  # type: ignore[no-untyped-call]  # granian's
            else:
                self.signal_handler_interrupt(received)

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        if self.interrupt_signal and args[0] == signal.SIGINT:
            for worker in self.wrks:
                worker.kill()  # type: ignore[no-untyped-call]  # granian's
        super().signal_handler_interrupt(*args, **kwargs)  # type: ignore[no-untyped-call]  # granian's
