from __future__ import annotations

import subprocess
import sys

import pytest

from moe_kernels.registry import TUNABLES


def test_each_kernel_is_registered_under_its_own_name():
    assert {name: kernel.name for name, kernel in TUNABLES.items()} == {name: name for name in TUNABLES}
    assert "routing" in TUNABLES
    assert len(TUNABLES) == len(list(TUNABLES))


def test_another_name_is_no_kernel():
    assert "other" not in TUNABLES
    assert TUNABLES.get("other") is None
    with pytest.raises(KeyError):
        TUNABLES["other"]


def test_the_names_are_told_without_torch():
    code = "import sys; from moe_kernels.registry import TUNABLES; list(TUNABLES); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
