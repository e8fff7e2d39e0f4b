from __future__ import annotations

from pathlib import Path

from tests.support.interpreter import assert_pass_in_interpreter


def test_router_passes_its_tests_on_the_kernel_in_the_interpreter(pytestconfig):
    assert_pass_in_interpreter(pytestconfig, Path(__file__).with_name("test_router.py"))
