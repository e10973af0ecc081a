"""What every implementation of a port promises, as suites that an implementation subclasses."""

import pytest

# A case that fails shows what it compared. Not so in blob_store.py: to show how megabytes differ takes minutes.
pytest.register_assert_rewrite("tests.contracts.metadata", "tests.contracts.leftovers")
