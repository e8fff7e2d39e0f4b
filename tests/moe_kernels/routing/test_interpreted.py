from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.interpreter import assert_pass_in_interpreter

HERE = Path(__file__).parent
BOTH_PATHS = ("test_arguments.py", "test_gradients.py", "test_operator.py")


@pytest.mark.slow
def test_kernel_passes_its_tests_and_those_of_both_paths_in_the_interpreter(pytestconfig):
    assert_pass_in_interpreter(
        pytestconfig, *(HERE / name for name in ("interpreted_kernel.py", *BOTH_PATHS))
    )
