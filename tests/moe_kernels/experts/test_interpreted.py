from __future__ import annotations

from pathlib import Path

from tests.support.interpreter import assert_pass_in_interpreter

HERE = Path(__file__).parent


def test_kernels_pass_their_tests_in_the_interpreter():
    assert_pass_in_interpreter(HERE / "interpreted_kernel.py")


def test_kernels_in_the_interpreter_pass_the_tests_of_both_paths():
    assert_pass_in_interpreter(HERE / "test_operator.py", HERE / "test_backend.py")


def test_kernels_for_quantised_weights_pass_their_tests_in_the_interpreter():
    assert_pass_in_interpreter(HERE / "interpreted_quantised.py")
