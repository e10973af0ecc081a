"""Which tests are collected: the daily part, or all of them."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
FULL = HERE / "s3" / "full"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave the folder `full` out, unless pytest was asked for this folder or a part of it."""
    asked = [config.invocation_params.dir / argument.partition("::")[0] for argument in config.args]
    return True if collection_path == FULL and not any(path.is_relative_to(HERE) for path in asked) else None
