from __future__ import annotations

from pathlib import Path

from tests.support.interpreter import assert_pass_in_interpreter

HERE = Path(__file__).parent


def test_kernel_passes_its_tests_in_the_interpreter():
    assert_pass_in_interpreter(HERE / "interpreted_kernel.py")


def test_kernel_in_the_interpreter_passes_the_tests_of_both_paths():
    both_paths = ("test_arguments.py", "test_gradients.py", "test_operator.py")
    assert_pass_in_interpreter(*(HERE / name for name in both_paths))
