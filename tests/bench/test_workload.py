from __future__ import annotations

import pytest

from workbench.base.errors import InputError
from workbench.base.shipped import shipped_workloads
from workbench.bench.workload import ARMS, load_workload

GOOD = {"name": "mine", "input_tokens": 100, "output_tokens": 50}


@pytest.fixture
def file(tmp_path):
    def file(**changes):
        lines = {**GOOD, **changes}
        path = tmp_path / "mine.yaml"
        path.write_text("".join(f"{key}: {value}\n" for key, value in lines.items() if value is not None))
        return path

    return file


def refusal(path):
    with pytest.raises(InputError) as error:
        load_workload(path)
    assert error.value.file == path
    return error.value


def test_the_shipped_workloads_are_chat_and_summarization():
    loaded = {name: load_workload(path).workload for name, path in shipped_workloads().items()}
    lengths = {name: (each.input_tokens, each.output_tokens) for name, each in loaded.items()}
    assert lengths == {"chat": (1000, 1000), "chat-short": (256, 256), "summarization": (8000, 1000)}
    assert {each.arms for each in loaded.values()} == {ARMS}


def test_defaults_are_filled_in(file):
    workload = load_workload(file()).workload
    assert (workload.concurrency, workload.arms, workload.repeats, workload.draft_tokens) == (
        (1,),
        ARMS,
        5,
        0,
    )


def test_one_value_stands_for_a_list_of_one(file):
    workload = load_workload(file(concurrency=8, arms="fused")).workload
    assert (workload.concurrency, workload.arms) == ((8,), ("fused",))


@pytest.mark.parametrize(
    "changes, line, key, said",
    [
        ({"input_tokens": 0}, 2, "input_tokens", "greater than or equal to 1"),
        ({"output_tokens": 0}, 3, "output_tokens", "greater than or equal to 2"),
        ({"output_tokens": "'50'"}, 3, "output_tokens", "must be an integer"),
        ({"concurrency": "[1, 0]"}, 4, "concurrency[1]", "greater than or equal to 1"),
        ({"concurrency": "[]"}, 4, "concurrency", "is empty"),
        ({"concurrency": "[2, 2]"}, 4, "concurrency[1]", "listed twice"),
        ({"arms": "[split, fusd]"}, 4, "arms[1]", "did you mean 'fused'?); allowed: split, fused, tuned"),
        ({"arms": "eager"}, 4, "arms", "allowed: split, fused, tuned"),
        ({"cache_tokens": 149}, 4, "cache_tokens", "= 150 tokens of a request, but the cache holds 149"),
        ({"input_tokens": 262_144}, 2, "input_tokens", "but the cache holds 262144"),
        ({"draft_tokens": 4, "cache_tokens": 153}, 5, "cache_tokens", "= 154 tokens"),
        ({"batch": 8}, 4, "batch", "unknown key"),
        ({"name": "../mine"}, 1, "name", "it is no path"),
        ({"name": None}, None, "name", "is required"),
        ({"timeout_s": ".inf"}, 4, "timeout_s", "not a finite number"),
    ],
)
def test_what_is_wrong_is_named_with_line_key_and_what_is_allowed(file, changes, line, key, said):
    error = refusal(file(**changes))
    assert error.key == key
    assert said in error.message
    assert line in (None, error.line)
