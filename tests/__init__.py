import pytest

pytest.register_assert_rewrite("tests.fixtures")  # which would otherwise not say what two values were
