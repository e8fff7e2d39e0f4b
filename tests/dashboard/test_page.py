from __future__ import annotations

import json
import re
import time

import pytest

from tests.dashboard.hostile import IMAGE, LONG, SCRIPT, TEMPLATE, hostile_folder
from tests.dashboard.samples import (
    a_bench_row,
    a_row,
    a_search,
    read,
    record_of,
    whole_folder,
    write_a_profile,
    write_rows,
    write_run,
    write_winners,
)
from tests.dashboard.test_payload import revived
from workbench.dashboard.page import dashboard_html
from workbench.dashboard.payload import payload


def data_in(html):
    return revived(json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1]))


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return record_of(whole_folder(tmp_path_factory.mktemp("results")))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    return read(hostile_folder(tmp_path_factory.mktemp("results")))


def test_the_page_holds_the_record_and_nothing_of_the_network(record):
    html = dashboard_html(record)
    assert data_in(html) == json.loads(json.dumps(record))
    assert re.findall(r"""(?:src|href|action)\s*=\s*["']?\s*(?:https?:)?//""", html) == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", html) == []


def test_the_policy_admits_the_pages_own_script_alone(record):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', dashboard_html(record))[1]
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "unsafe" not in policy
    assert "connect-src 'self'" in dashboard_html(record, live=True)


def test_the_script_makes_no_markup_of_text(record):
    script = re.search(r"<script>(.*?)</script>", dashboard_html(record), re.DOTALL)[1]
    for sink in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        ".srcdoc",
    ):
        assert sink not in script


def test_no_two_of_the_scripts_declare_the_same_name(record):
    script = re.search(r"<script>(.*?)</script>", dashboard_html(record), re.DOTALL)[1]
    names = re.findall(r"^(?:async function|function|class|const|let|var) (\w+)", script, re.MULTILINE)
    assert {"readHash", "drawTable", "drawChart", "drawTimeline", "drawPanel"} <= {*names}
    assert len(names) == len({*names})


def test_hostile_text_ends_no_script_and_is_shown_as_text(hostile):
    html = dashboard_html(payload(hostile))
    assert html.count("</script>") == 2
    assert "\u2028" not in html
    assert "\u202e" not in html
    told = json.dumps(data_in(html), ensure_ascii=False)
    for text in (
        SCRIPT,
        IMAGE.replace('"', '\\"'),
        "\\\\u202egnp.exe\\\\u2066",
        "line\\\\u2028para",
        LONG,
        TEMPLATE,
    ):
        assert text in told


def test_hostile_folders_are_read_whole(hostile):
    assert not any(panel.empty for panel in hostile.panels)
    assert [row.cells[0].text.rpartition("/")[2] for row in hostile.damaged.rows] == ["a=<b>.json"]


def large_folder(folder, devices=10):
    """20 problems x 13 rungs a device, with two runs and bench rows each, and a profile."""
    tokens = [1 << each for each in range(13)]
    for number in range(devices):
        device = f"NVIDIA_GPU_{number}_Blackwell_Workstation_Edition"
        for problem in range(20):
            rows = {
                each: a_row(
                    config={
                        "BLOCK_SIZE_M": 16 << (each + problem) % 4,
                        "BLOCK_SIZE_N": 64,
                        "num_warps": 4 + number % 3,
                        "num_stages": 3,
                    },
                    time_us=2.0 + 0.001 * each + 0.01 * number,
                    ci_us=(1.9 + 0.001 * each, 12.0),
                    default_time_us=3.0 + 0.0007 * each * (1 + problem / 20),
                )
                for each in tokens
            }
            axes = {
                "num_experts": 128,
                "top_k": 8,
                "hidden_size": 2816,
                "intermediate_size": 64 * (problem + 1),
                "dtype": "bf16",
            }
            stem = f"E=128,K=8,H=2816,I={64 * (problem + 1)},dtype=bf16"
            write_winners(folder, rows, device=device, kernel="experts", problem=axes, stem=stem)
        for run in range(2):
            started = f"2026-03-0{run + 1}T00:00:00Z"
            write_run(
                folder,
                a_search(2.0 - 0.3 * run, tokens=tuple(tokens)),
                run=f"sweep-{number}-{run}",
                device=device,
                kernel="experts",
                started=started,
            )
        loads = [
            a_bench_row(arm, 1 << at, 10.0 + at, device=device)
            for arm in ("split", "fused", "tuned")
            for at in range(8)
        ]
        write_rows(folder, loads, device=device)
    write_a_profile(folder / "profile", layers=30)
    return folder


def test_ten_devices_of_twenty_problems_make_a_small_page_in_little_time(tmp_path):
    large_folder(tmp_path)
    begun = time.process_time()
    record = record_of(tmp_path)
    html = dashboard_html(record)
    assert len(html.encode()) < 1_500_000
    assert time.process_time() - begun < 20
    winners = next(panel for panel in record["panels"] if panel["name"] == "winners")
    assert sum(len(row["detail"]["rows"]) for row in winners["blocks"][0]["rows"]) == 10 * 20 * 13
