"""The server and the dictionary agree; and they do not where the server has a fault."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from tests.backends.run import Backends
from tests.faults.leftovers import SHORT_LEASES, in_folder, wait_until_nothing_is_left
from tests.http.combinations import Combination
from tests.http.server import Server
from tests.model.broken import FAULTS
from tests.model.machine import CLIENTS, Machine

# With MODEL_EXAMPLES they are others each time, and as many as it says.
EXAMPLES = os.environ.get("MODEL_EXAMPLES")
USUAL = settings(
    max_examples=int(EXAMPLES or 12),
    stateful_step_count=20,
    derandomize=EXAMPLES is None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
UNTIL_IT_FAILS = settings(
    USUAL, max_examples=100, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False
)
# The latter where it is not found again just so, or earlier, as in a race.
FOUND = (AssertionError, Flaky)


@contextmanager
def machine(server: Server) -> Iterator[type[Machine]]:
    with ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(CLIENTS)]
        yield type("MachineOfAServer", (Machine,), {"server": server, "http": clients})


@pytest.mark.timeout(600 if EXAMPLES is None else 0)
@pytest.mark.parametrize("combination", [Combination("SQLite", "fs").param, Combination("PostgreSQL", "s3").param])
def test_the_server_does_what_a_dictionary_does(combination: Combination, backends: Backends, tmp_path: Path) -> None:
    with combination.settings(backends) as given:
        given = in_folder(tmp_path) | given
        with Server(tmp_path, command=SHORT_LEASES, **given) as server, machine(server) as clients:
            run_state_machine_as_test(clients, settings=USUAL)
            asyncio.run(wait_until_nothing_is_left(given))
        assert "error" not in {line["level"] for line in server.log()}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.model.broken", fault, "serve"]
    with Server(tmp_path, command=command) as server, machine(server) as clients, pytest.raises(FOUND):
        run_state_machine_as_test(clients, settings=UNTIL_IT_FAILS)
