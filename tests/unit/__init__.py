import pytest

# A failed assertion of these says what differs, as in a test file.
pytest.register_assert_rewrite("tests.unit.partition")
