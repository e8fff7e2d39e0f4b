from __future__ import annotations

from pathlib import Path

from tests.support.interpreter import assert_pass_in_interpreter


def test_kernel_passes_its_tests_in_the_interpreter():
    assert_pass_in_interpreter(Path(__file__).with_name("interpreted_kernel.py"))
