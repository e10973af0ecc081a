"""The server and the dictionary agree; and they do not where the server has a fault."""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from tests.backends.run import Backends
from tests.faults.leftovers import SHORT_LEASES, in_folder, wait_until_nothing_is_left
from tests.http.combinations import Combination
from tests.http.server import Server
from tests.model.broken import EXCHANGE, FAULTS, FAULTS_OF_CHANGES, FILE
from tests.model.changes import RETENTION, Changes
from tests.model.clients import CLIENTS, ClientsMachine, clear
from tests.model.machine import Machine

# With MODEL_EXAMPLES they are others each time, and as many as it says.
EXAMPLES = os.environ.get("MODEL_EXAMPLES")
USUAL = settings(
    max_examples=int(EXAMPLES or 12),
    stateful_step_count=20,
    derandomize=EXAMPLES is None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
# They are quick, and of several kinds.
OF_CHANGES = settings(USUAL, max_examples=int(EXAMPLES or 8), stateful_step_count=30)
UNTIL_IT_FAILS = settings(
    OF_CHANGES, max_examples=100, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False
)
# The latter where it is not found again just so, or earlier, as in a race.
FOUND = (AssertionError, Flaky)


# The trash is kept while a test runs, and nothing of it once it is purged.
KEPT: dict[str, Any] = {"TRASH_RETENTION": str(RETENTION), "READERS_GRACE": "0", "GRACE": str(RETENTION)}


@contextmanager
def machine(kind: type[ClientsMachine], server: Server) -> Iterator[type[ClientsMachine]]:
    with ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(CLIENTS)]
        yield type(f"{kind.__name__}OfAServer", (kind,), {"server": server, "http": clients})


@pytest.mark.timeout(600 if EXAMPLES is None else 0)
@pytest.mark.parametrize(
    ("kind", "combination"),
    [
        pytest.param(kind, *(param := combination.param).values, id=f"{kind.__name__}, {param.id}", marks=param.marks)
        for kind, combination in [
            (Machine, Combination("SQLite", "fs")),
            (Machine, Combination("PostgreSQL", "s3")),
            (Changes, Combination("SQLite", "fs")),
            (Changes, Combination("PostgreSQL", "database")),  # what changes is in the database
        ]
    ],
)
def test_the_server_does_what_a_dictionary_does(
    kind: type[ClientsMachine], combination: Combination, backends: Backends, tmp_path: Path
) -> None:
    with combination.settings(backends) as given:
        given = in_folder(tmp_path) | given | (KEPT if kind is Changes else {})
        with Server(tmp_path, command=SHORT_LEASES, **given) as server, machine(kind, server) as clients:
            run_state_machine_as_test(clients, settings=OF_CHANGES if kind is Changes else USUAL)
            asyncio.run(wait_until_nothing_is_left(given))
        assert "error" not in {line["level"] for line in server.log()}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server has all faults, one after another."""
    command = [sys.executable, "-m", "tests.model.broken", "serve"]
    with Server(tmp_path_factory.mktemp("broken"), command=command, **KEPT) as server:
        yield server


@contextmanager
def planted(fault: str, server: Server) -> Iterator[None]:
    def plant(name: str) -> None:
        (server.folder / FILE).write_text(name)
        with server.client() as client:
            assert client.get(EXCHANGE).status_code == 200
            if not name:
                clear(client)

    plant(fault)
    try:
        yield
    finally:
        plant("")


@pytest.mark.parametrize("fault", [*FAULTS, *FAULTS_OF_CHANGES])
def test_a_fault_is_found(fault: str, broken: Server) -> None:
    kind: type[ClientsMachine] = Machine if fault in FAULTS else Changes
    with planted(fault, broken), machine(kind, broken) as clients, pytest.raises(FOUND):
        run_state_machine_as_test(clients, settings=UNTIL_IT_FAILS)
