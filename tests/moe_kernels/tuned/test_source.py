from __future__ import annotations

import importlib.util
import logging
import os
import subprocess
import sys
import textwrap

import pytest
import triton

from moe_kernels.tuned import source_hash
from tests.moe_kernels.tuned import toy_constants, toy_helpers, toys

KERNEL = '''
import triton
import triton.language as tl

SCALE = tl.constexpr(2)


@triton.jit
def helper(x):
    return x + 1


@triton.jit
def kernel(x_ptr, n, BLOCK: tl.constexpr):
    """A docstring."""
    offsets = tl.arange(0, BLOCK)  # a comment
    value = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    tl.device_print("seen", n)
    tl.store(x_ptr + offsets, helper(value) * SCALE, mask=offsets < n)
'''


@pytest.fixture
def hash_of(tmp_path):
    def hash_of(text, name="kernel"):
        path = tmp_path / f"module_{len(list(tmp_path.iterdir()))}.py"
        path.write_text(textwrap.dedent(text))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return source_hash((getattr(module, name),))

    return hash_of


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('    """A docstring."""\n', ""),
        ("  # a comment", ""),
        ('"seen"', "'seen'"),
        ("0.0", "0.00"),
        (
            "tl.arange(0, BLOCK)",
            "(\n        tl.arange(\n            0x0,\n            BLOCK,\n        )\n    )",
        ),
        ("SCALE = tl.constexpr(2)", "SCALE: tl.constexpr = 2\nUNUSED = 3"),
        ("@triton.jit\ndef kernel", "@triton.jit()\ndef kernel"),
        ("def helper", "def unused(x):\n    return x\n\n\n@triton.jit\ndef helper"),
    ],
)
def test_what_changes_no_machine_code_keeps_the_hash(hash_of, old, new):
    assert old in KERNEL
    assert hash_of(KERNEL.replace(old, new)) == hash_of(KERNEL)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x + 1", "x + 2"),
        ("x + 1", "x - 1"),
        ("constexpr(2)", "constexpr(4)"),
        ("constexpr(2)", "constexpr(2.0)"),
        ("offsets < n, other", "offsets <= n, other"),
        ("BLOCK: tl.constexpr", "BLOCK"),
        ("@triton.jit\ndef kernel", "@triton.jit(noinline=True)\ndef kernel"),
    ],
)
def test_what_changes_machine_code_changes_the_hash(hash_of, old, new):
    assert old in KERNEL
    assert hash_of(KERNEL.replace(old, new)) != hash_of(KERNEL)


def test_a_constant_behind_a_module_counts(monkeypatch):
    before = source_hash(toys.TOY.kernels)
    monkeypatch.setattr(toy_constants, "OFFSET", 2.75)
    assert source_hash(toys.TOY.kernels) != before


def test_a_constant_of_a_callee_in_another_module_counts(monkeypatch):
    before = source_hash(toys.TOY.kernels)
    monkeypatch.setattr(toy_helpers, "WEIGHT", 8)
    assert source_hash(toys.TOY.kernels) != before


def test_the_order_of_kernels_does_not_matter():
    one, other = toys.toy_kernel, toy_helpers.weigh
    assert source_hash((one, other)) == source_hash((other, one))


def test_a_kernel_wrapped_by_an_autotuner_has_the_hash_of_the_kernel():
    wrapped = triton.autotune(configs=[triton.Config({"BLOCK": 32})], key=["n"])(toys.toy_kernel)
    assert source_hash((wrapped,)) == source_hash((toys.toy_kernel,))


def test_a_recursive_kernel_ends(hash_of):
    assert hash_of("import triton\n\n@triton.jit\ndef kernel(x):\n    return kernel(x)\n")


def test_the_hash_is_the_same_in_the_interpreter():
    here = source_hash(toys.TOY.kernels)
    code = "from moe_kernels.tuned import source_hash; from tests.moe_kernels.tuned import toys; "
    code += "print(source_hash(toys.TOY.kernels))"
    flag = "0" if os.environ.get("TRITON_INTERPRET") == "1" else "1"
    environment = {**os.environ, "TRITON_INTERPRET": flag, "PYTHONPATH": os.pathsep.join(sys.path)}
    there = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here


def test_the_hash_is_the_same_on_every_python_and_triton():
    """The value itself is the test: it was computed on Python 3.11 with Triton 3.9 and on 3.12 with 3.6."""
    assert source_hash(toys.TOY.kernels) == "d01c0881b1d0c4f1"


def test_without_source_there_is_no_hash_and_it_is_said_once(caplog):
    namespace = {}
    # A file name of its own: Python 3.13 keeps the source of whatever is compiled as `<string>`.
    exec(compile("def kernel(x):\n    return x\n", "<nowhere>", "exec"), namespace)
    with caplog.at_level(logging.WARNING, "moe_kernels.tuned"):
        assert source_hash((namespace["kernel"],)) is None
        assert source_hash((namespace["kernel"],)) is None
    assert len(caplog.records) == 1
    assert "source of kernel cannot be read" in caplog.text


def test_what_is_no_jit_function_has_no_hash():
    assert source_hash((3,)) is None
