from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.interpreter import assert_pass_in_interpreter

HERE = Path(__file__).parent


def test_kernel_passes_its_tests_in_the_interpreter():
    assert_pass_in_interpreter(HERE / "interpreted_kernel.py")


@pytest.mark.parametrize("name", ["test_arguments", "test_gradients", "test_operator"])
def test_kernel_in_the_interpreter_passes_the_tests_of_both_paths(name):
    assert_pass_in_interpreter(HERE / f"{name}.py")
