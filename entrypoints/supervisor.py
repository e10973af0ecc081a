"""The parent of the workers."""

import signal
from typing import Any

from granian.server.mp import MPServer


class Supervisor(MPServer):
    """Starts the workers, replaces those that die, and passes a SIGTERM or Ctrl-C on to all of them as a SIGTERM.

    A worker that has not ended `workers_kill_timeout` seconds later hangs, and is killed. A second Ctrl-C is from
    somebody who does not want to wait: it kills them at once.
    """

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        if self.interrupt_signal and args[0] == signal.SIGINT:
            for worker in self.wrks:
                worker.kill()  # type: ignore[no-untyped-call]  # granian's
        super().signal_handler_interrupt(*args, **kwargs)  # type: ignore[no-untyped-call]  # granian's
