"""tuspy."""

import pytest

from tests.conformance.tus.uploads import SIZE, Uploads

FUNCTIONS = ["at_once", "in_chunks", "in_coroutines", "empty", "of_known_url", "with_a_wrong_offset"]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_file_is_uploaded(uploads: Uploads, function: str) -> None:
    uploads.file(0 if function == "empty" else SIZE)
    uploads.with_python("tuspy", function)
    assert uploads.is_stored()
    assert uploads.user_metadata() == {"color": "blue"}


def test_an_upload_goes_on_after_its_process_was_killed(uploads: Uploads) -> None:
    uploads.file()
    uploads.killed_with_python("tuspy", "killed")
    uploads.with_python("tuspy", "resumed")
    assert uploads.is_stored()


def test_an_upload_is_discarded(uploads: Uploads) -> None:
    uploads.file()
    uploads.with_python("tuspy", "terminated")
    assert not uploads.is_stored()
