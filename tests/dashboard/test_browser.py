from __future__ import annotations

import re
import shutil

import pytest

from tests.dashboard.hostile import hostile_folder
from tests.dashboard.samples import a_row, record_of, served, whole_folder, write_winners
from tests.dashboard.test_page import large_folder
from workbench.base.shipped import shipped_dashboards
from workbench.dashboard import serve
from workbench.dashboard.definition import load_definition
from workbench.dashboard.page import dashboard_html
from workbench.dashboard.serve import HOST, LivePage

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (360, 820, 1440)
THEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all tests of this module."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright (pip install playwright)"
    )
    if CHROMIUM is None:
        pytest.skip("there is no Chromium (Debian: apt install chromium)")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens a page; at the end nothing may have complained, and nothing been asked of the network."""
    contexts, said, asked = [], [], []

    def open_page(url, *, width=1440, theme="light", goes_to=("file:", "data:")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on(
            "request",
            lambda request: asked.append(request.url) if not request.url.startswith(goes_to) else None,
        )
        page.goto(url)
        page.wait_for_selector("section.panel")
        return page

    yield open_page
    assert (said, asked) == ([], [])
    for context in contexts:
        context.close()


def written(tmp_path_factory, make):
    folder = tmp_path_factory.mktemp("page")
    path = folder / "dashboard.html"
    path.write_text(dashboard_html(record_of(make(folder / "results"))), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    return written(tmp_path_factory, whole_folder)


@pytest.fixture(scope="module")
def hostile_url(tmp_path_factory):
    return written(tmp_path_factory, hostile_folder)


def until(page, condition):
    """Waits for a condition; playwright's own way evaluates text in the page, which its policy refuses."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never: {condition}")


def overflow(page):
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def column(page, table, at):
    """The texts of a column, details left out, read at once: a filter that is typed draws the rows anew."""
    return page.evaluate(
        """([table, at]) => {
          const [first] = document.querySelectorAll(`#panel-${table} table`);
          const rows = first.querySelectorAll(":scope > tbody > tr:not(.detail)");
          return [...rows].map((row) => row.children[at - 1].innerText);
        }""",
        [table, at],
    )


NAME = """
  each.innerText || each.getAttribute("aria-label") || (each.labels && each.labels[0] && each.labels[0].innerText) || ""
"""
TOOK = """() => {
  const begun = performance.now();
  document.querySelector("#panel-winners thead button").click();
  return performance.now() - begun;
}"""
INJECT = """{
  const made = document.createElement("script");
  made.textContent = "document.title = 1";
  document.body.append(made);
}"""
# What is written in less than the contrast of WCAG 2.1 AA for text, 4.5 to 1.
FAINT = """() => {
  const channels = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll("main *, header *, nav *, #filters *")) {
    const hasText = [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    if (!hasText || !node.getClientRects().length) continue;
    const style = getComputedStyle(node), ink = node.closest("svg") ? style.fill : style.color;
    const [one, other] = [light(channels(ink)), light(behind(node))].sort((x, y) => y - x);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) found.push(`${node.tagName}.${node.getAttribute("class")} ${ratio.toFixed(2)}`);
  }
  return [...new Set(found)];
}"""


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_every_width_and_can_be_read_in_both_themes(open_page, url, tmp_path, width, theme):
    page = open_page(url, width=width, theme=theme)
    assert page.locator("section.panel").count() == 9
    assert overflow(page) == 0
    assert width < 1000 or page.evaluate(FAINT) == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 18, 22)"}[theme]
    shot = page.screenshot(path=tmp_path / f"{width}-{theme}.png")
    assert len(shot) > 20_000


@pytest.mark.parametrize("width", WIDTHS)
def test_hostile_text_is_drawn_as_text_at_every_width(open_page, hostile_url, width):
    page = open_page(hostile_url, width=width)
    assert page.title() == "Kernel workbench"
    assert page.locator("img, iframe, object, main script, main a[href^=javascript]").count() == 0
    assert overflow(page) == 0
    assert "<img src=x onerror=" in page.locator("#panel-damaged").inner_text()
    page.locator("#panel-winners .open").evaluate_all("found => found.forEach((each) => each.click())")
    assert overflow(page) == 0
    for name in ("serving", "failures", "convergence"):
        select = page.locator(f"#panel-{name} select").first
        for value in select.locator("option").evaluate_all("found => found.map((each) => each.value)"):
            page.locator(f"#panel-{name} select").first.select_option(value)
    assert overflow(page) == 0
    page.reload()
    assert page.title() == "Kernel workbench"
    assert page.evaluate("Object.prototype.pwned === undefined && ({}).sort === undefined")


def test_every_control_has_a_name_and_every_table_its_headings(open_page, url):
    page = open_page(url)
    nameless = f"found => found.filter((each) => !({NAME}).trim()).length"
    assert (
        page.locator("button:visible, select:visible, input:visible, a:visible").evaluate_all(nameless) == 0
    )
    assert page.locator("table").evaluate_all(
        "found => found.every((each) => each.caption || each.getAttribute('aria-label'))"
    )
    assert page.locator("tbody > tr").evaluate_all(
        "found => found.every((each) => each.querySelector('th[scope=row], td[colspan]'))"
    )
    assert page.locator("svg[tabindex]").evaluate_all(
        "found => found.every((each) => each.getAttribute('aria-label'))"
    )
    assert page.evaluate("document.documentElement.lang") == "en"


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_it_round(open_page, url):
    page = open_page(url)
    assert column(page, "winners", 1) == ["▸\nNVIDIA B200", "▸\nNVIDIA H200"]
    heading = page.locator("#panel-winners thead th", has_text="age")
    heading.locator("button").click()
    assert (heading.get_attribute("aria-sort"), column(page, "winners", 9)) == ("descending", ["31 d", "3 d"])
    heading.locator("button").click()
    assert (heading.get_attribute("aria-sort"), column(page, "winners", 9)) == ("ascending", ["3 d", "31 d"])
    assert (
        page.locator(
            "#panel-winners th[aria-sort=ascending], #panel-winners th[aria-sort=descending]"
        ).count()
        == 1
    )
    assert "sort.winners=age" in page.url


def test_filters_leave_what_they_are_about_and_can_be_cleared(open_page, url):
    page = open_page(url)
    page.locator("#device").select_option("NVIDIA_H200")
    assert column(page, "winners", 2) == ["experts"]
    assert page.locator("#panel-winners .count").inner_text() == "problems: 1 of 2"
    assert page.locator("#panel-failures").get_by_text("matches the filter").count() == 1
    page.get_by_role("button", name="Clear").click()
    page.locator("#q").fill("routing 3.00x")
    until(page, "document.querySelectorAll('#panel-winners tbody tr').length === 1")
    assert column(page, "winners", 1) == ["▸\nNVIDIA B200"]
    page.locator("#q").fill("nothing like it")
    until(page, "document.querySelectorAll('#panel-winners tbody tr').length === 0")
    page.locator("#q").fill("")
    until(page, "document.querySelectorAll('#panel-winners tbody tr').length === 2")
    page.locator("#evidence").select_option("measured")
    assert column(page, "winners", 8) == ["measured"]


def test_a_link_shows_again_what_was_chosen(open_page, url):
    page = open_page(url)
    page.locator("#kernel").select_option("routing")
    page.locator("#panel-winners .open").first.click()
    page.locator("#panel-devices thead button", has_text="runs").click()
    page.locator("#panel-failures select").select_option("routing-b200-old")
    page.locator("nav a", has_text="What failed").click()
    again = open_page(page.url)
    assert again.locator("#kernel").input_value() == "routing"
    assert again.locator("#panel-winners tr.detail tbody tr").count() == 3
    assert again.locator("#panel-devices th[aria-sort=descending]").inner_text().strip().startswith("runs")
    assert again.locator("#panel-failures select").input_value() == "routing-b200-old"
    assert again.evaluate("document.activeElement.textContent") == "What failed, and why"
    again.evaluate("location.hash = '#panel=pareto'")
    until(again, "document.activeElement.textContent === 'Pareto frontier'")
    assert again.locator("#kernel").input_value() == ""


def test_all_of_it_can_be_used_from_the_keyboard(open_page, url):
    page = open_page(url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the panels"
    opener = page.locator("#panel-winners .open").first
    opener.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    page.locator("#panel-winners thead button").first.focus()
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    chart = page.locator("#panel-serving svg[tabindex]").first
    chart.focus()
    page.keyboard.press("ArrowRight")
    said = page.locator("#panel-serving .said").first
    assert re.match(r"(split|fused), concurrency \d+, TPOT p\d+: [\d.]+ ms", said.inner_text())
    page.locator("#timeline").focus()
    page.keyboard.press("n")
    assert "rms_norm_kernel" in page.locator("#detail").inner_text()


def test_the_theme_can_be_changed_and_the_timeline_with_it(open_page, url):
    page = open_page(url)
    page.get_by_role("button", name="Dark").click()
    assert page.evaluate("document.documentElement.className") == "dark"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 18, 22)"
    page.get_by_role("button", name="Light").click()
    assert page.evaluate("document.documentElement.className") == ""


def test_of_many_rows_the_first_are_shown_and_all_are_printed(open_page, tmp_path_factory):
    page = open_page(written(tmp_path_factory, lambda folder: large_folder(folder, devices=2)))
    assert page.locator("#panel-winners tbody > tr").count() == 20
    took = page.evaluate(TOOK)
    assert took < 1000
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#panel-winners tbody > tr").count() == 40
    assert not page.locator(".side").is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#panel-winners tbody > tr").count() == 20


def test_no_other_script_runs_and_nothing_is_fetched(open_page, browser, url):
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.evaluate(INJECT)
    assert page.title() == "Kernel workbench"
    assert page.evaluate("fetch('http://127.0.0.1:9').then(() => 'fetched', () => 'refused')") == "refused"
    context.close()


def test_a_served_page_follows_the_results_and_keeps_what_was_chosen(open_page, tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "LEAST_S", 0.0)
    write_winners(tmp_path, device="NVIDIA_H200")
    live = LivePage(load_definition(shipped_dashboards()["tuning"]), tmp_path, (), None)
    with served(live) as port:
        address = f"http://{HOST}:{port}/"
        page = open_page(f"{address}#kernel=routing", goes_to=(address, "data:"))
        page.locator("#panel-winners .open").first.click()
        write_winners(tmp_path, {1: a_row(time_us=1.0, ci_us=None)})
        until(page, "document.querySelectorAll('#panel-winners .open').length === 2")
        assert page.locator("#kernel").input_value() == "routing"
        assert page.locator("#panel-winners tr.detail").count() == 1
        assert page.evaluate("document.activeElement.className") == "open"
        assert page.locator("#live").inner_text() == "live"
        page.close()
