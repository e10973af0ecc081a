"""Some kills at random; `make crash` makes many more."""

import pytest

from tests.crash.conftest import on
from tests.crash.load import Ledger, Load
from tests.crash.service import Service
from tests.crash.suite import Backend

SEED = 20261122
KILLS = 5


@on("fs", "postgresql")
@pytest.mark.timeout(300)
async def test_kills_under_load(
    backend: Backend, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with Service(tmp_path_factory.mktemp("service"), settings, brief=10) as service:
        outcome = await Load(service, backend.large, SEED).run(KILLS)
    assert outcome.wrong == []
    assert outcome.kills == KILLS
    assert outcome.acknowledged > KILLS


class TestLedger:
    def test_the_last_that_was_acknowledged_or_any_attempt_since_may_be_there(self) -> None:
        ledger = Ledger()
        for content in (b"1", b"2"):
            attempt = ledger.begin("a", content)
            attempt.acknowledged, attempt.ended = True, attempt.began
        ledger.begin("a", b"3")
        ledger.begin("a", None)
        now = attempt.began + 1
        assert [ledger.judge("a", found, now) for found in (b"2", b"3", None)] == [[], [], []]
        assert ledger.judge("a", b"1", now) == ["lost: a is not what was acknowledged last"]
        assert ledger.judge("a", b"4", now) == ["torn: a has bytes that nobody stored"]

    def test_nothing_may_be_there_before_anything_was_acknowledged(self) -> None:
        ledger = Ledger()
        attempt = ledger.begin("a", b"1")
        assert ledger.judge("a", None, attempt.began) == []
        attempt.acknowledged, attempt.ended = True, attempt.began
        assert ledger.judge("a", None, attempt.began + 1) == ["lost: a is not what was acknowledged last"]
        ledger.withdraw("a", ledger.begin("a", None))
        assert ledger.judge("a", None, attempt.began + 1) != []
