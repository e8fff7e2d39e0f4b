from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.interpreter import assert_pass_in_interpreter

HERE = Path(__file__).parent
BOTH_PATHS = ("test_operator.py", "test_backend.py")
KERNELS = ("interpreted_kernel.py", "interpreted_quantised.py")


@pytest.mark.slow
def test_kernels_pass_their_tests_and_those_of_both_paths_in_the_interpreter(pytestconfig):
    assert_pass_in_interpreter(pytestconfig, *(HERE / name for name in (*KERNELS, *BOTH_PATHS)))
