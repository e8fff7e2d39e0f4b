// The dashboard: its panels of blocks, and what stands around them. Draws what Python has computed; nothing
// here adds up, averages or compares results.
const POLL_MS = 2000;
const DRAW = {
  table: drawTable,
  chart: drawChart,
  heat: drawHeat,
  timeline: drawTimelineBlock,
  text: drawLines,
  choice: drawChoice,
};
const drawnTimelines = new Map();

// Which panel is being read, for the list of panels.
const seen = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) if (entry.isIntersecting) mark(entry.target.id.replace("panel-", ""));
  },
  { rootMargin: "0px 0px -75% 0px" },
);

function drawBlocks(into, blocks, panel) {
  let row = null;
  for (const block of blocks) {
    const made = DRAW[block.kind](block, panel);
    if (block.kind !== "chart") {
      row = null;
      into.append(made);
      continue;
    }
    if (!row) {
      row = element("div", undefined, "charts" + (block.small ? " small" : ""));
      into.append(row);
    }
    row.append(made);
  }
}

// A timeline keeps its place and zoom while all around it is drawn anew.
function drawTimelineBlock(block) {
  if (!drawnTimelines.has(block.record)) {
    const made = byId("timeline-parts").content.cloneNode(true).firstElementChild;
    const part = (id) => (id === "tip" ? byId("tip") : made.querySelector("#" + id));
    repaints.push(drawTimeline(block.record, part));
    drawnTimelines.set(block.record, made);
  }
  return drawnTimelines.get(block.record);
}

function drawLines(block) {
  const box = element("div", undefined, "lines " + (block.tone || ""));
  for (const line of block.lines) box.append(element("p", line));
  return box;
}

// One of several things at a time; a filter leaves those that it is about.
function drawChoice(choice, panel) {
  const box = element("div", undefined, "choice");
  const options = choice.options.filter((option) => passes(option.facets));
  if (!options.length) {
    box.append(element("p", `None of ${choice.options.length} matches the filter.`, "lines"));
    return box;
  }
  const chosen = options.find((option) => option.name === state.show.get(choice.name)) || options[0];
  const isAlone = options.length === 1;
  box.append(isAlone ? element("p", chosen.label, "lines") : drawSelect(choice, options, chosen, panel));
  drawBlocks(box, chosen.blocks, panel);
  return box;
}

function drawSelect(choice, options, chosen, panel) {
  const label = element("label", choice.label + " ");
  const select = element("select");
  for (const option of options) {
    select.append(new Option(option.label, option.name, false, option === chosen));
  }
  select.dataset.key = "show:" + choice.name;
  select.addEventListener("change", () => chooseOption(choice, select.value, panel));
  label.append(select);
  return label;
}

function drawPanel(panel) {
  const section = element("section", undefined, "panel" + (panel.empty ? " empty" : ""));
  const heading = element("h2");
  const link = element("a", panel.title);
  section.id = "panel-" + panel.name;
  link.href = hashOf({ panel: panel.name });
  heading.tabIndex = -1;
  heading.append(link);
  heading.id = "heading-" + panel.name;
  section.setAttribute("aria-labelledby", heading.id);
  seen.observe(section);
  section.append(heading, element("p", panel.finding, "finding"));
  drawBlocks(section, panel.blocks || [], panel.name);
  if (panel.notes && panel.notes.length) section.append(drawNotes(panel.notes));
  return section;
}

function drawDamaged() {
  const finding = page.damaged.caption + ".";
  return drawPanel({ name: "damaged", title: "Damaged files", finding, blocks: [page.damaged] });
}

function drawHighlights() {
  const list = element("ul", undefined, "highlights");
  for (const each of page.highlights) {
    const item = element("li");
    const inner = element(each.panel ? "a" : "div");
    if (each.panel) {
      inner.href = hashOf({ panel: each.panel });
      inner.addEventListener("click", (event) => goTo(event, each.panel));
    }
    const tone = each.tone ? " tone-" + each.tone : "";
    inner.append(element("div", each.label, "label"));
    inner.append(element("div", each.value, "value" + tone));
    inner.append(element("div", each.detail, "detail"));
    item.append(inner);
    list.append(item);
  }
  return list;
}

function drawNav() {
  byId("nav").replaceChildren();
  const damaged = page.damaged ? [{ name: "damaged", title: "Damaged files" }] : [];
  for (const panel of [...damaged, ...page.panels]) {
    const link = element("a", panel.title, panel.empty ? "empty" : "");
    link.dataset.panel = panel.name;
    link.dataset.key = "nav:" + panel.name;
    link.addEventListener("click", (event) => {
      if (!event.ctrlKey && !event.metaKey) goTo(event, panel.name);
    });
    byId("nav").append(link);
  }
}

// What a link chose stands in its list even where no result here has it.
function drawFilters() {
  const values = { device: page.devices, kernel: page.kernels, evidence: page.evidence };
  for (const name of FILTERS) {
    const select = byId(name);
    const chosen = state[name];
    select.replaceChildren(new Option("all", ""));
    for (const each of values[name]) select.append(new Option(each.label, each.value));
    const isKnown = !chosen || values[name].some((each) => each.value === chosen);
    if (!isKnown) select.append(new Option(chosen + " (none here)", chosen));
    select.value = chosen;
  }
  byId("q").value = state.q;
}

function drawAll() {
  document.title = page.title;
  byId("title").textContent = page.title;
  byId("subtitle").textContent = page.subtitle;
  drawFilters();
  drawNav();
  const highlights = page.highlights.length ? [drawHighlights()] : [];
  const damaged = page.damaged ? [drawDamaged()] : [];
  byId("main").replaceChildren(...highlights, ...damaged, ...page.panels.map(drawPanel));
  plotAll(byId("main"));
  showChoices();
}

// Draws a panel, or all of them, anew.
function redraw(name) {
  keepingFocus(() => {
    for (const panel of page.panels.filter((each) => !name || each.name === name)) replacePanel(panel);
  });
  showChoices();
}

function replacePanel(panel) {
  const made = drawPanel(panel);
  byId("panel-" + panel.name).replaceWith(made);
  plotAll(made);
}

// What has the focus goes with what is drawn anew; its key finds what has come in its place.
function keepingFocus(draw, options) {
  const key = document.activeElement && document.activeElement.dataset.key;
  draw();
  const again = key && [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
  if (again) again.focus(options);
}

function showChoices() {
  showAddress();
  byId("matches").textContent = isFiltered()
    ? "Tables and runs are filtered; the sentences above them are about the whole folder."
    : "";
}

function showAddress() {
  history.replaceState(null, "", hashOf());
  for (const link of byId("nav").children) link.hash = hashOf({ panel: link.dataset.panel });
}

function goTo(event, name) {
  event.preventDefault();
  choosePanel(name);
  showAddress();
  reveal();
}

function reveal() {
  const target = state.panel && byId("panel-" + state.panel);
  mark(state.panel);
  if (!target) return;
  target.scrollIntoView();
  target.querySelector("h2").focus({ preventScroll: true });
}

function mark(name) {
  for (const link of byId("nav").children) {
    if (link.dataset.panel === name) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

// A page that is served asks whether the results have changed, and only then for the data.
async function poll() {
  try {
    const version = await (await fetch("version")).text();
    if (version !== page.version) renew(await (await fetch("data.json")).json());
    byId("live").textContent = "live";
  } catch {
    byId("live").textContent = "the server is gone; this is the last state";
  }
  setTimeout(poll, POLL_MS);
}

function renew(data) {
  takeData(data);
  drawnTimelines.clear();
  repaints.length = 0;
  keepingFocus(drawAll, { preventScroll: true });
}

function startFilters() {
  const names = [...FILTERS, "q"];
  const apply = () => chooseFilters(Object.fromEntries(names.map((name) => [name, byId(name).value])));
  for (const name of FILTERS) byId(name).addEventListener("change", apply);
  byId("q").addEventListener("input", afterwards(apply, 120));
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", () => {
    chooseFilters(Object.fromEntries(names.map((name) => [name, ""])));
    drawFilters();
  });
  if (matchMedia("(max-width: 1000px)").matches && !isFiltered()) byId("filters").open = false;
}

// Once for many events: when no more have come for so many milliseconds.
function afterwards(action, milliseconds) {
  let waiting = 0;
  return () => {
    clearTimeout(waiting);
    waiting = setTimeout(action, milliseconds);
  };
}

function startListening() {
  byId("print").addEventListener("click", () => print());
  window.addEventListener("beforeprint", () => setPrinting(true));
  window.addEventListener("afterprint", () => setPrinting(false));
  window.addEventListener("hashchange", () => {
    takeHash();
    drawAll();
    reveal();
  });
  window.addEventListener(
    "resize",
    afterwards(() => plotAll(document), 100),
  );
}

onChange(redraw);
startFilters();
drawAll();
startTheme();
reveal();
startListening();
if (page.version && location.protocol.startsWith("http")) setTimeout(poll, POLL_MS);
