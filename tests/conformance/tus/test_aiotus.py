"""aiotus."""

import pytest

from tests.conformance.tus.uploads import Uploads


@pytest.mark.parametrize("function", ["uploaded", "joined"])
def test_a_file_is_uploaded(uploads: Uploads, function: str) -> None:
    uploads.file()
    uploads.with_python("aiotus", function)
    assert uploads.is_stored()
    assert uploads.user_metadata() == {"color": "blue"}


def test_an_upload_goes_on_after_its_process_was_killed(uploads: Uploads) -> None:
    uploads.file()
    uploads.killed_with_python("aiotus", "killed")
    uploads.with_python("aiotus", "resumed")
    assert uploads.is_stored()
