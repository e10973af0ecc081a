"""Some kills at random under uploads that are resumed; `make crash` makes many more."""

import pytest

from tests.crash.conftest import on
from tests.crash.resumable_load import UPLOADS, ResumableLoad
from tests.crash.service import Service
from tests.crash.suite import Backend

SEED = 20261128
KILLS = 8


@on("fs", "s3")
@pytest.mark.timeout(400)
async def test_kills_under_uploads_that_are_resumed(
    backend: Backend, settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with Service(tmp_path_factory.mktemp("service"), settings, brief=10) as service:
        outcome = await ResumableLoad(service, 2_000_000, SEED).run(KILLS)
    assert outcome.wrong == []
    assert outcome.kills == KILLS
    assert outcome.blobs >= UPLOADS
    assert outcome.resumed > KILLS
