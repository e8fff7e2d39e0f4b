"""Shell completion: the script that a shell takes, and what it completes values to."""

from __future__ import annotations

import subprocess
import sys

import pytest

from moe_kernels.registry import TUNABLES
from workbench.base.shipped import shipped_sweeps, shipped_workloads
from workbench.cli import completion
from workbench.cli import main as cli
from workbench.devices import catalogue
from workbench.models.gemma4.arms import ARMS
from workbench.models.gemma4.presets import PRESETS


@pytest.fixture
def complete(monkeypatch, capsys):
    def complete(words):
        monkeypatch.setenv("_WORKBENCH_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", f"workbench {words}")
        monkeypatch.setenv("COMP_CWORD", str(words.count(" ") + 1))
        with pytest.raises(SystemExit):
            cli.main([])
        return capsys.readouterr().out.split()

    return complete


def test_the_script_for_a_shell_is_printed(monkeypatch, capsys):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    monkeypatch.setenv("_WORKBENCH_COMPLETE", "source_bash")
    with pytest.raises(SystemExit):
        cli.main([])
    assert "_WORKBENCH_COMPLETE=complete_bash" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, found",
    [
        ("sw", ["sweep"]),
        ("sweep --nv", ["--nvtx"]),
        ("sweep routing", [name for name in shipped_sweeps() if name.startswith("routing")]),
        ("sweep routing --device b2", ["b200"]),
        ("explain r", ["routing"]),
        ("bench run ch", ["chat-short", "chat"]),
        ("bench run chat --arms split,f", ["split,fused"]),
        ("profile --model t", ["tiny"]),
        ("schema d", ["dashboard", "device"]),
    ],
)
def test_values_are_completed(complete, words, found):
    assert complete(words) == found


def test_what_is_listed_is_what_there_is():
    assert set(completion.kernel_names("")) == set(TUNABLES)
    assert set(completion.MODELS) == set(PRESETS)
    assert set(completion.ARMS) == set(ARMS)
    assert completion.sweep_names("") == list(shipped_sweeps())
    assert completion.workload_names("") == list(shipped_workloads())
    assert {device.slug for device in catalogue()} <= set(completion.device_names(""))


def test_a_key_press_does_not_wait_for_torch():
    code = (
        "import sys; from workbench.cli import completion;"
        "[getattr(completion, name)('') for name in dir(completion) if name.endswith('_names')];"
        "assert not {'torch', 'triton'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
