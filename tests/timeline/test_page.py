from __future__ import annotations

import json
import re

import pytest

from tests.timeline.traces import ATTENTION, BEFORE, GEMM, analysed, decode_events, kernel, write
from workbench.report.page import embedded
from workbench.report.trace_page import page_html, page_record
from workbench.timeline.chrome import arm_of
from workbench.timeline.page import typical_step

HOSTILE = [
    "</script><script>document.title='pwned'</script>gemm",
    "<img src=x onerror=\"document.title='pwned'\">gemm",
    "{{data}}{{policy}}gemm",
    "gemm\u2028\u2029\x00\x1b[31m & \ud800",
    "<!--<script>gemm",
    "__proto__",
    "constructor",
]


def page_of(tmp_path, **traces):
    analyses = [analysed(write(tmp_path / f"{i}.json", events)) for i, events in enumerate(traces.values())]
    steps = [typical_step(each) for each in analyses]
    arms = [arm_of(*each) for each in zip(traces, analyses, steps, strict=True)]
    path = tmp_path / "timeline.html"
    path.write_text(page_html(page_record(arms, steps)), encoding="utf-8")
    return path


@pytest.fixture
def page(tmp_path):
    return page_of(tmp_path, split=decode_events("split", layers=30), fused=decode_events("fused", layers=30))


def data_in(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(encoding="utf-8"), re.DOTALL)[1])


def test_the_page_holds_every_kernel_of_the_step_and_no_address(page):
    data = data_in(page)
    assert [len(arm["start"]) for arm in data["arms"]] == [30 * 13, 30 * 10]
    assert [min(arm["start"]) for arm in data["arms"]] == [0, 0]
    assert [len(arm["layers"]) for arm in data["arms"]] == [30, 30]
    assert re.findall(r"https?://", page.read_text()) == []
    assert page.stat().st_size < 1_500_000


def test_layers_hold_whole_layers(page):
    arm = data_in(page)["arms"][0]
    names = data_in(page)["names"]
    first, last = arm["layers"][7]
    assert [names[arm["name_of"][i]] for i in range(first, last)][: len(BEFORE)] == [
        name for name, _ in BEFORE
    ]
    assert last - first == 13


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_in_a_name_ends_the_script(tmp_path, name):
    path = page_of(tmp_path, **{name: [kernel(name, 0, 5)]})
    text = path.read_text(encoding="utf-8")
    assert text.count("</script>") == 2
    shown = data_in(path)
    assert shown["names"] == [name.encode("utf-8", "replace").decode()]
    assert shown["arms"][0]["name"] == name.encode("utf-8", "replace").decode()


def test_embedded_json_means_the_same():
    value = {"<&>\u2028": [1, "</script>", None]}
    assert json.loads(embedded(value)) == value


def test_the_typical_step_is_of_median_length(tmp_path):
    events = decode_events(steps=3, jitter=1.0)
    assert typical_step(analysed(write(tmp_path / "trace.json", events))) == 1


def state(browser):
    return browser.evaluate("({...document.getElementById('timeline').dataset})")


def focus(browser):
    browser.evaluate("document.getElementById('timeline').focus()")
    return browser.evaluate(
        "(({x, y, width}) => [x, y, width])(document.getElementById('timeline').getBoundingClientRect())"
    )


def is_quiet(browser):
    return browser.complaints() == [] and browser.requests() == []


def colours(png):
    """How many different bytes of pixels a screenshot holds, unpacked: a blank one has next to none."""
    import io

    from matplotlib.image import imread

    pixels = (imread(io.BytesIO(png), format="png")[..., :3] * 255).astype("uint32")
    return {int(each) for each in (pixels @ [65536, 256, 1]).ravel()[::7]}


def test_it_renders_both_arms_and_their_tables(chromium, page):
    browser = chromium(page)
    assert int(state(browser)["drawn"]) == 30 * 23
    assert browser.evaluate("document.querySelectorAll('#legend button').length") >= 8
    text = browser.evaluate("document.body.innerText")
    assert "routing: 4 kernels a layer -> 1" in text
    assert "split" in text
    assert "fused" in text
    assert is_quiet(browser)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_screenshot_is_neither_blank_nor_of_the_other_theme(chromium, page, tmp_path, dark):
    png = chromium(page, dark=dark).screenshot()
    (tmp_path / f"{'dark' if dark else 'light'}.png").write_bytes(png)
    found = colours(png)
    assert (0x0F1216 if dark else 0xFFFFFF) in found
    assert {0xD55E00, 0x0072B2, 0x009E73} <= found
    assert len(found) > 40


def test_keys_zoom_pan_and_show_the_whole_step_again(chromium, page):
    browser = chromium(page)
    whole = state(browser)
    focus(browser)
    for key in "+++":
        browser.key(key)
    zoomed = state(browser)
    assert float(zoomed["end"]) - float(zoomed["start"]) == pytest.approx(float(whole["end"]) / 1.5**3)
    browser.key("ArrowRight")
    assert float(state(browser)["start"]) > float(zoomed["start"])
    browser.key("0")
    assert state(browser)["end"] == whole["end"]
    assert is_quiet(browser)


def test_the_wheel_zooms_where_it_points(chromium, page):
    browser = chromium(page)
    x, y, width = focus(browser)
    before = float(state(browser)["end"])
    browser.mouse("mouseWheel", x + width / 4, y + 60, deltaX=0, deltaY=-400)
    after = state(browser)
    assert float(after["end"]) - float(after["start"]) < before / 1.5
    assert float(after["start"]) < before / 4 < float(after["end"])


def test_a_drag_pans(chromium, page):
    browser = chromium(page)
    x, y, width = focus(browser)
    for key in "+++":
        browser.key(key)
    start = float(state(browser)["start"])
    browser.mouse("mousePressed", x + width / 2, y + 60, button="left", buttons=1, clickCount=1)
    browser.mouse("mouseMoved", x + width / 4, y + 60, button="left", buttons=1)
    browser.mouse("mouseReleased", x + width / 4, y + 60, button="left", clickCount=1)
    assert float(state(browser)["start"]) > start


def test_layers_fold_all_at_once_and_one_by_one(chromium, page):
    browser = chromium(page)
    x, y, width = focus(browser)
    browser.key("f")
    assert state(browser)["folded"] == state(browser)["layers"] == "60"
    # A folded layer is one bar a stream.
    assert int(state(browser)["drawn"]) == 60
    browser.key("f")
    assert state(browser)["folded"] == "0"
    browser.click(x + width / 4, y + 26 + 22 + 9)
    assert state(browser)["folded"] == "1"
    browser.evaluate("document.getElementById('fold').click()")
    browser.settle()
    assert state(browser)["folded"] == "60"
    assert is_quiet(browser)


def test_a_kernel_under_the_pointer_or_chosen_by_key_is_described(chromium, page):
    browser = chromium(page)
    focus(browser)
    browser.key("n")
    detail = browser.evaluate("document.getElementById('detail').innerText")
    for fact in (
        "rms_norm_kernel",
        "norm",
        "3 µs",
        "grid 888 \u00d7 1 \u00d7 1",
        "registers per thread 44",
        "layer 0",
        "split",
    ):
        assert fact in detail
    for key in "nnnn":
        browser.key(key)
    assert ATTENTION in browser.evaluate("document.getElementById('detail').innerText")
    x, y, width = focus(browser)
    browser.mouse("mouseMoved", x + width / 2, y + 90)
    assert browser.evaluate("document.getElementById('tip').innerText.includes('µs')")


def test_a_class_can_be_seen_alone_and_the_theme_changed(chromium, page):
    browser = chromium(page)
    browser.evaluate("document.querySelector('#legend button[data-name=routing]').click()")
    assert browser.evaluate("document.querySelectorAll('#legend button.dim').length") > 5
    focus(browser)
    browser.key("t")
    assert browser.evaluate("document.documentElement.className") == "dark"
    assert is_quiet(browser)


def test_hostile_names_stay_text(chromium, tmp_path):
    events = [kernel(name, 100 * i, 90) for i, name in enumerate(HOSTILE)]
    browser = chromium(page_of(tmp_path, **{HOSTILE[0]: events, HOSTILE[1]: [kernel(GEMM, 0, 5)]}))
    focus(browser)
    for _ in HOSTILE:
        browser.key("n")
    assert browser.evaluate("document.title") == "Decode timeline"
    assert browser.evaluate("document.querySelectorAll('img, main script, iframe, a').length") == 0
    assert "</script>" in browser.evaluate("document.getElementById('arms').innerText")
    assert is_quiet(browser)


def test_the_policy_of_the_page_refuses_any_other_script(chromium, page):
    browser = chromium(page)
    browser.evaluate(
        "{const s = document.createElement('script'); s.textContent = 'document.title = 1'; document.body.append(s)}"
    )
    assert browser.evaluate("document.title") == "Decode timeline"
