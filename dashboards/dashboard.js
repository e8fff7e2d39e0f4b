// Draws what Python has computed. Text only ever becomes a text node; nothing here adds up, averages or compares results.
const SVG = "http://www.w3.org/2000/svg";
const ROWS_AT_FIRST = matchMedia("(max-width: 640px)").matches ? 8 : 20;
const POLL_MS = 2000;
const FILTERS = ["device", "kernel", "evidence"];

let page = revive(JSON.parse(byId("data").textContent));
let state = readHash();
let printing = false;
const drawnTimelines = new Map();

// What stands in the data many times stands there once: {"$": n} is the n-th shared part.
function revive({ shared, value }) {
  const parts = [];
  const whole = (each) => {
    if (Array.isArray(each)) return each.map(whole);
    if (each === null || typeof each !== "object") return each;
    if ("$" in each) return parts[each.$];
    return Object.fromEntries(Object.entries(each).map(([name, part]) => [name, whole(part)]));
  };
  for (const each of shared) parts.push(whole(each));
  return whole(value);
}

// The address holds all that was chosen, so that a link shows the same.
function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  const named = (prefix) => new Map([...given].filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value]));
  return {
    panel: given.get("panel") || "", q: given.get("q") || "", device: given.get("device") || "", kernel: given.get("kernel") || "",
    evidence: given.get("evidence") || "", sort: named("sort."), show: named("show."), open: new Set(given.getAll("open")), whole: new Set(),
  };
}

function hashOf(changes = {}) {
  const now = { ...state, ...changes }, made = new URLSearchParams();
  for (const name of ["panel", ...FILTERS, "q"]) if (now[name]) made.set(name, now[name]);
  for (const [table, order] of now.sort) made.set("sort." + table, order);
  for (const [choice, option] of now.show) made.set("show." + choice, option);
  for (const row of now.open) made.append("open", row);
  return "#" + made;
}

function keepState() {
  history.replaceState(null, "", hashOf());
  for (const link of byId("nav").children) link.hash = hashOf({ panel: link.dataset.panel });
}

// Filters.
const passes = (facets = {}) =>
  (!state.device || !facets.device || facets.device === state.device) &&
  (!state.kernel || !facets.kernel || facets.kernel === state.kernel) &&
  (!state.evidence || !facets.evidence || facets.evidence.includes(state.evidence));
const textOf = (cell) => (typeof cell === "string" ? cell : cell.text + " " + (cell.hint || ""));
const rowText = (row) => [...row.cells.map(textOf), ...(row.detail ? row.detail.rows.map(rowText) : [])].join(" ").toLowerCase();
function shownRows(table) {
  const words = table.name ? state.q.toLowerCase().split(" ").filter(Boolean) : [];
  return table.rows.filter((row) => passes(row.facets) && (!words.length || words.every((word) => rowText(row).includes(word))));
}
const isFiltered = () => Boolean(state.q || FILTERS.some((name) => state[name]));

// Sorting: by the value that Python gave, else the text; what has no value stands last.
function sorted(table, rows) {
  const order = state.sort.get(table.name);
  const name = order && order.replace(/^-/, ""), at = table.columns.findIndex((column) => column.name === name);
  if (at < 0) return rows;
  const down = order.startsWith("-") ? -1 : 1, words = ["text", "config", "evidence"].includes(table.columns[at].kind || "text");
  const value = (row) => {
    const cell = row.cells[at];
    if (typeof cell !== "string" && cell.sort !== undefined && cell.sort !== null) return cell.sort;
    return words ? textOf(cell) : null;
  };
  const compare = (one, other) => (typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other), "en", { numeric: true }));
  const known = rows.filter((row) => value(row) !== null);
  return [...known.sort((one, other) => down * compare(value(one), value(other))), ...rows.filter((row) => value(row) === null)];
}
function orderOf(table) {
  const order = state.sort.get(table.name);
  if (order) return [order.replace(/^-/, ""), order.startsWith("-")];
  return table.sort || ["", false];
}

// Tables.
function drawTable(table, panel) {
  const box = element("div", undefined, "grid" + (table.name && table.name !== "damaged" ? " cards" : "") + (table.name === "damaged" ? " damaged" : ""));
  const scroll = element("div", undefined, "scroll"), made = element("table"), body = element("tbody");
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", table.caption);
  made.setAttribute("role", "table");
  const rows = sorted(table, shownRows(table)), limit = !table.name || printing || state.whole.has(table.name) ? rows.length : ROWS_AT_FIRST;
  for (const row of rows.slice(0, limit)) drawRow(body, table, row, panel);
  made.append(element("caption", table.caption), drawHead(table, panel), body);
  body.setAttribute("role", "rowgroup");
  scroll.append(made);
  box.append(scroll);
  if (table.name) box.append(drawCount(table, rows.length, limit, panel));
  return table.folded ? foldedTable(table, box) : box;
}

function foldedTable(table, box) {
  const made = element("details", undefined, "fold");
  made.open = printing;
  made.append(element("summary", `${table.caption}, ${table.total}: ${table.rows.length}`), box);
  return made;
}

function drawCount(table, count, limit, panel) {
  const told = `${table.total}: ${count}` + (count < table.rows.length ? ` of ${table.rows.length}` : "");
  const line = element("p", count ? told : `${table.total}: none of ${table.rows.length} matches the filter`, "count");
  if (count > limit) {
    line.append(`, the first ${limit} shown. `);
    line.append(button(`Show all ${count}`, "all:" + table.name, () => { state.whole.add(table.name); redraw(panel); }));
  }
  return line;
}

function drawHead(table, panel) {
  const head = element("thead"), line = element("tr"), [by, down] = orderOf(table);
  head.setAttribute("role", "rowgroup");
  line.setAttribute("role", "row");
  for (const column of table.columns) {
    const sortable = table.name && column.sortable !== false, cell = element("th", sortable ? undefined : column.label, "is-" + (column.kind || "text"));
    cell.scope = "col";
    cell.setAttribute("role", "columnheader");
    if (column.help) cell.title = column.help;
    if (!sortable) cell.classList.add("fixed");
    if (sortable) {
      const isBy = column.name === by;
      cell.setAttribute("aria-sort", isBy ? (down ? "descending" : "ascending") : "none");
      const made = button("", "sort:" + table.name + ":" + column.name, () => sortBy(table, column, panel));
      const arrow = element("span", isBy ? (down ? "▼" : "▲") : "", "arrow");
      arrow.setAttribute("aria-hidden", "true");
      made.append(element("span", column.label), arrow);
      cell.append(made);
    }
    line.append(cell);
  }
  head.append(line);
  return head;
}

function sortBy(table, column, panel) {
  const [by, down] = orderOf(table), numeric = ["number", "share"].includes(column.kind);
  const descends = column.name === by ? !down : numeric;
  state.sort.set(table.name, (descends ? "-" : "") + column.name);
  redraw(panel);
}

function drawRow(body, table, row, panel) {
  const line = element("tr"), isOpen = row.detail && state.open.has(row.name);
  line.setAttribute("role", "row");
  row.cells.forEach((cell, at) => {
    const column = table.columns[at], made = element(at ? "td" : "th");
    made.setAttribute("role", at ? "cell" : "rowheader");
    if (!at) made.scope = "row";
    made.className = ["is-" + (column.kind || "text"), typeof cell !== "string" && cell.tone ? "tone-" + cell.tone : ""].join(" ").trim();
    made.dataset.label = column.label;
    if (textOf(cell).trim() === "-") made.classList.add("nothing");
    if (!at && row.detail) made.append(opener(row, cell, isOpen, panel));
    else made.append(drawCell(column, cell));
    if (typeof cell !== "string" && cell.hint && column.kind !== "strip") made.title = cell.hint;
    line.append(made);
  });
  body.append(line);
  if (isOpen) body.append(drawDetail(table, row, panel));
}

function opener(row, cell, isOpen, panel) {
  const made = button("", "open:" + row.name, () => {
    if (!state.open.delete(row.name)) state.open.add(row.name);
    redraw(panel);
  });
  made.className = "open";
  made.setAttribute("aria-expanded", String(Boolean(isOpen)));
  const arrow = element("span", "▸", "arrow");
  arrow.setAttribute("aria-hidden", "true");
  made.append(arrow, drawText(typeof cell === "string" ? cell : cell.text));
  return made;
}

function drawDetail(table, row, panel) {
  const line = element("tr", undefined, "detail"), cell = element("td");
  line.setAttribute("role", "row");
  cell.setAttribute("role", "cell");
  cell.colSpan = table.columns.length;
  cell.append(drawTable(row.detail, panel));
  line.append(cell);
  return line;
}

const CELLS = { evidence: drawEvidence, strip: drawStrip, share: drawShare };
function drawCell(column, cell) {
  const full = typeof cell === "string" ? { text: cell } : cell;
  return (CELLS[column.kind] || ((each) => drawText(each.text)))(full);
}
const drawText = (text) => (text.length > 40 ? element("span", text, "long") : document.createTextNode(text));
function drawEvidence(cell) {
  const box = element("span");
  for (const word of cell.text.split(", ")) box.append(element("span", word, "badge " + word.split(" ")[0].replace(/[^a-z]/g, "")), " ");
  return box;
}
function drawShare(cell) {
  const box = element("span", cell.text);
  if (cell.share === undefined) return box;
  const bar = element("span", undefined, "bar"), filled = element("span");
  filled.style.setProperty("--share", cell.share);
  bar.setAttribute("aria-hidden", "true");
  bar.append(filled);
  box.append(bar);
  return box;
}
function drawStrip(cell) {
  const bars = cell.bars || [], wide = bars.length > 14 ? 7 : 9, tall = 24, middle = 18;
  const strip = svg("svg", { class: "spark", width: bars.length * wide + 2, height: tall, role: "img", "aria-label": cell.hint || "" });
  bars.forEach((bar, at) => {
    const reach = bar.share > 0 ? Math.max(bar.share * (middle - 2), 1) : Math.max(-bar.share * (tall - middle - 1), 0);
    const mark = svg("rect", { x: at * wide + 1.5, y: bar.share > 0 ? middle - reach : middle, width: wide - 2.5, height: reach,
      class: (bar.timed ? "timed " : "") + (bar.share < 0 ? "slower" : "") }), told = svg("title");
    told.textContent = bar.text;
    mark.append(told);
    if (bar.share) strip.append(mark);
  });
  strip.append(svg("line", { x1: 0, x2: bars.length * wide + 1, y1: middle, y2: middle }));
  return strip;
}

// Charts.
function svg(tag, attributes = {}) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
const SHAPES = [
  (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`, (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0,${-1.3 * r}L${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0z`, (r) => `M0,${-1.2 * r}L${1.2 * r},${r}L${-1.2 * r},${r}z`,
  (r) => `M0,${1.2 * r}L${1.2 * r},${-r}L${-1.2 * r},${-r}z`, (r) => `M${-r},0H${r}M0,${-r}V${r}`,
  (r) => `M${-r},${-r}L${r},${r}M${-r},${r}L${r},${-r}`, (r) => `M0,${-1.3 * r}L${r},${1.1 * r}L${-1.2 * r},${-0.3 * r}H${1.2 * r}L${-r},${1.1 * r}z`,
];
const colourOf = (series) => (series.colour === -1 ? "cbase" : series.colour === -2 ? "cbad" : "c" + series.colour);

function drawChart(chart) {
  const figure = element("figure", undefined, chart.small ? "small" : ""), caption = element("figcaption", chart.title);
  if (chart.subtitle) caption.append(element("span", chart.subtitle));
  const said = element("p", "", "said"), canvas = svg("svg", { tabindex: 0, role: "img", "aria-roledescription": "chart" });
  canvas.setAttribute("aria-label", `${chart.title}. ${chart.y.label} over ${chart.x.label}. Arrow keys read the points.`);
  said.setAttribute("aria-live", "polite");
  canvas.dataset.key = "chart:" + chart.name;
  figure.append(caption, canvas, said);
  if (chart.series.some((series) => series.listed !== false)) figure.append(drawLegend(chart));
  if (chart.notes && !chart.small) figure.append(drawNotes(chart.notes));
  figure.plot = () => plot(chart, canvas, said);
  return figure;
}

function drawLegend(chart) {
  const list = element("ul", undefined, "legend");
  for (const series of chart.series.filter((each) => each.listed !== false)) {
    const item = element("li"), swatch = svg("svg", { "aria-hidden": "true", viewBox: "0 0 26 12" });
    if (series.line !== "none") swatch.append(svg("path", { d: "M0,6H26", class: `series ${series.line} ${colourOf(series)}` }));
    if (series.marker >= 0) swatch.append(svg("path", { d: SHAPES[series.marker % SHAPES.length](3.4), transform: "translate(13,6)", class: "point " + colourOf(series) }));
    item.append(swatch, drawText(series.name));
    list.append(item);
  }
  return list;
}

function plot(chart, canvas, said) {
  const width = Math.max(canvas.clientWidth, 120), height = chart.small ? 118 : 250;
  const labels = chart.y.ticks.map(([, label]) => label.length), left = chart.small ? 8 + 6.5 * Math.max(...labels) : 16 + 6.6 * Math.max(...labels);
  const box = { left, right: width - 14, top: chart.small ? 10 : 24, bottom: height - (chart.small ? 18 : 36) };
  const scale = (axis, from, to) => {
    const on = axis.scale === "log" ? Math.log : (value) => value;
    return (value) => from + (on(value) - on(axis.low)) / (on(axis.high) - on(axis.low)) * (to - from);
  };
  const x = scale(chart.x, box.left, box.right), y = scale(chart.y, box.bottom, box.top);
  canvas.replaceChildren();
  canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
  canvas.setAttribute("height", height);
  plotAxes(chart, canvas, box, x, y, width, height);
  for (const series of chart.series) plotSeries(canvas, series, x, y);
  const points = chart.series.flatMap((series) => series.points.filter((point) => point.text).map((point) => ({ at: [x(point.x), y(point.y)], point })));
  listen(canvas, points, said, box);
}

function plotAxes(chart, canvas, box, x, y, width, height) {
  for (const [value, label] of chart.y.ticks) {
    canvas.append(svg("line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value), class: "gridline" }));
    canvas.append(write(label, box.left - 5, y(value) + 4, "end"));
  }
  let last = -Infinity;
  for (const [value, label] of chart.x.ticks) {
    const at = x(value), reach = 3.4 * label.length + 3;
    if (at - reach < last) continue;
    last = at + reach;
    canvas.append(svg("line", { x1: at, x2: at, y1: box.bottom, y2: box.bottom + 4, class: "axis" }), write(label, at, box.bottom + 15, "middle"));
  }
  canvas.append(svg("line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, class: "axis" }));
  for (const [value, label] of chart.rules || []) {
    canvas.append(svg("line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value), class: "rule" }), write(label, box.right, y(value) - 3, "end"));
  }
  if (chart.small) return;
  canvas.append(write(fitted(chart.x.label, width), (box.left + box.right) / 2, height - 4, "middle"), write(fitted(chart.y.label, width), 2, 12, "start"));
}
const fitted = (text, width) => (text.length * 6 > width ? text.slice(0, Math.floor(width / 6)) + "…" : text);

function write(text, x, y, anchor, name = "") {
  const made = svg("text", { x, y, "text-anchor": anchor, class: name });
  made.textContent = text;
  return made;
}

function plotSeries(canvas, series, x, y) {
  const colour = colourOf(series), places = series.points.map((point) => [x(point.x), y(point.y)]);
  if (series.line !== "none" && places.length) {
    const step = series.line === "step";
    const path = places.map(([px, py], at) => (at ? (step ? `H${px}V${py}` : `L${px},${py}`) : `M${px},${py}`)).join("");
    canvas.append(svg("path", { d: path, class: `series ${series.line} ${colour}` }));
  }
  series.points.forEach((point, at) => {
    const [px, py] = places[at];
    if (point.bars) canvas.append(svg("path", { d: `M${px},${y(point.bars[0])}V${y(point.bars[1])}M${px - 3},${y(point.bars[0])}h6M${px - 3},${y(point.bars[1])}h6`, class: "whisker " + colour }));
    if (point.across) canvas.append(svg("path", { d: `M${x(point.across[0])},${py}H${x(point.across[1])}`, class: "whisker " + colour }));
    if (series.marker >= 0) canvas.append(svg("path", { d: SHAPES[series.marker % SHAPES.length](3.6), transform: `translate(${px},${py})`, class: `point ${colour}${point.hollow ? " hollow" : ""}` }));
    const fits = px + 10 + 6 * (point.label || "").length < canvas.clientWidth;
    if (point.label) canvas.append(write(point.label, fits ? px + 7 : px - 7, py - 6, fits ? "start" : "end", "mark"));
  });
}

// A point is read out by pointer and by arrow keys alike.
function listen(canvas, points, said, box) {
  const ring = svg("circle", { r: 7, class: "point current", fill: "none", visibility: "hidden" });
  canvas.append(ring);
  let current = -1;
  const show = (at) => {
    current = at;
    ring.setAttribute("visibility", at < 0 ? "hidden" : "visible");
    said.textContent = at < 0 ? "" : points[at].point.text;
    if (at >= 0) { ring.setAttribute("cx", points[at].at[0]); ring.setAttribute("cy", points[at].at[1]); }
  };
  const nearest = (px, py) => {
    let best = -1, least = 900;
    points.forEach(({ at }, index) => {
      const off = (at[0] - px) ** 2 + (at[1] - py) ** 2;
      if (off < least) { least = off; best = index; }
    });
    return best;
  };
  canvas.onpointermove = (event) => {
    const place = canvas.getBoundingClientRect();
    show(nearest(event.clientX - place.left, event.clientY - place.top));
  };
  canvas.onpointerleave = () => show(-1);
  canvas.onblur = () => show(-1);
  canvas.onkeydown = (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by || !points.length) return;
    event.preventDefault();
    show((current + by + points.length) % points.length);
  };
}

// Heat maps are tables: the numbers stand in them, the shade only repeats them.
function drawHeat(heat) {
  const figure = element("figure"), caption = element("figcaption", heat.title), scroll = element("div", undefined, "heat"), made = element("table");
  if (heat.subtitle) caption.append(element("span", heat.subtitle));
  const head = element("thead"), top = element("tr"), body = element("tbody");
  top.append(headed(`${heat.y} ↓  ${heat.x} →`, "col"));
  for (const label of heat.columns) top.append(headed(label, "col"));
  head.append(top);
  const places = new Map(heat.squares.map((square) => [square.row + ":" + square.column, square]));
  heat.rows.forEach((label, row) => {
    const line = element("tr");
    line.append(headed(label, "row"));
    heat.columns.forEach((_, column) => line.append(drawSquare(places.get(row + ":" + column))));
    body.append(line);
  });
  made.append(head, body);
  made.setAttribute("aria-label", heat.title);
  scroll.tabIndex = 0;
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", `${heat.y} by ${heat.x}`);
  scroll.append(made);
  figure.append(caption, scroll);
  if (heat.notes) figure.append(drawNotes(heat.notes));
  return figure;
}
function headed(text, scope) {
  const made = element("th", text);
  made.scope = scope;
  return made;
}
function drawSquare(square) {
  if (!square) return element("td", "");
  const mark = square.mark || "", sign = (mark.includes("best") ? "★ " : "") + (mark.includes("default") ? "○ " : "");
  const made = element("td", sign + square.text, square.shade === undefined || square.shade === null ? "none" : "s" + Math.min(5, Math.floor(square.shade * 5.999)));
  if (mark) made.classList.add("marked");
  made.title = square.hint;
  return made;
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
function drawNotes(notes) {
  const list = element("ul", undefined, "notes");
  for (const note of notes) list.append(element("li", note));
  return list;
}

// One of several things at a time; a filter leaves those that it is about.
function drawChoice(choice, panel) {
  const box = element("div", undefined, "choice"), options = choice.options.filter((option) => passes(option.facets));
  if (!options.length) {
    box.append(element("p", `None of ${choice.options.length} matches the filter.`, "lines"));
    return box;
  }
  const chosen = options.find((option) => option.name === state.show.get(choice.name)) || options[0];
  if (options.length > 1) {
    const label = element("label", choice.label + " "), select = element("select");
    for (const option of options) select.append(new Option(option.label, option.name, false, option === chosen));
    select.dataset.key = "show:" + choice.name;
    select.addEventListener("change", () => { state.show.set(choice.name, select.value); redraw(panel); });
    label.append(select);
    box.append(label);
  } else {
    box.append(element("p", options[0].label, "lines"));
  }
  drawBlocks(box, chosen.blocks, panel);
  return box;
}

const DRAW = { table: drawTable, chart: drawChart, heat: drawHeat, timeline: drawTimelineBlock, text: drawLines, choice: drawChoice };
function drawBlocks(into, blocks, panel) {
  let row = null;
  for (const block of blocks) {
    const made = DRAW[block.kind](block, panel);
    if (block.kind === "chart") {
      if (!row) { row = element("div", undefined, "charts" + (block.small ? " small" : "")); into.append(row); }
      row.append(made);
    } else {
      row = null;
      into.append(made);
    }
  }
}

// Panels.
function drawPanel(panel) {
  const section = element("section", undefined, "panel" + (panel.empty ? " empty" : "")), heading = element("h2"), link = element("a", panel.title);
  section.id = "panel-" + panel.name;
  link.href = hashOf({ panel: panel.name });
  heading.tabIndex = -1;
  heading.append(link);
  heading.id = "heading-" + panel.name;
  section.setAttribute("aria-labelledby", heading.id);
  section.append(heading, element("p", panel.finding, "finding"));
  drawBlocks(section, panel.blocks || [], panel.name);
  if (panel.notes && panel.notes.length) section.append(drawNotes(panel.notes));
  return section;
}

function button(text, key, action) {
  const made = element("button", text);
  made.type = "button";
  made.dataset.key = key;
  made.addEventListener("click", action);
  return made;
}

const plotAll = (within) => { for (const figure of within.querySelectorAll("figure")) if (figure.plot) figure.plot(); };

// Draws a panel, or all of them, anew and leaves the focus where it was.
function redraw(name) {
  const key = document.activeElement && document.activeElement.dataset.key;
  for (const panel of page.panels.filter((each) => !name || each.name === name)) {
    const made = drawPanel(panel);
    byId("panel-" + panel.name).replaceWith(made);
    plotAll(made);
  }
  const again = key && [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
  if (again) again.focus();
  keepState();
  tellMatches();
}

function tellMatches() {
  byId("matches").textContent = isFiltered() ? "Tables and runs are filtered; the sentences above them are about the whole folder." : "";
}

function drawHighlights() {
  const list = element("ul", undefined, "highlights");
  for (const each of page.highlights) {
    const item = element("li"), inner = each.panel ? element("a") : element("div");
    if (each.panel) { inner.href = hashOf({ panel: each.panel }); inner.addEventListener("click", (event) => goTo(event, each.panel)); }
    inner.append(element("div", each.label, "label"), element("div", each.value, "value" + (each.tone ? " tone-" + each.tone : "")), element("div", each.detail, "detail"));
    item.append(inner);
    list.append(item);
  }
  return list;
}

function goTo(event, name) {
  event.preventDefault();
  state.panel = name;
  keepState();
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

function drawNav() {
  byId("nav").replaceChildren();
  const damaged = page.damaged ? [{ name: "damaged", title: "Damaged files" }] : [];
  for (const panel of [...damaged, ...page.panels]) {
    const link = element("a", panel.title, panel.empty ? "empty" : "");
    link.dataset.panel = panel.name;
    link.dataset.key = "nav:" + panel.name;
    link.addEventListener("click", (event) => { if (!event.ctrlKey && !event.metaKey) goTo(event, panel.name); });
    byId("nav").append(link);
  }
}

function drawFilters() {
  const values = { device: page.devices, kernel: page.kernels, evidence: page.evidence };
  for (const name of FILTERS) {
    const select = byId(name);
    select.replaceChildren(new Option("all", ""));
    for (const each of values[name]) select.append(new Option(each.label, each.value));
    if (state[name] && !values[name].some((each) => each.value === state[name])) select.append(new Option(state[name] + " (none here)", state[name]));
    select.value = state[name];
  }
  byId("q").value = state.q;
}

function drawDamaged() {
  const panel = { name: "damaged", title: "Damaged files", finding: page.damaged.caption + ".", blocks: [page.damaged] };
  return drawPanel(panel);
}

function drawAll() {
  document.title = page.title;
  byId("title").textContent = page.title;
  byId("subtitle").textContent = page.subtitle;
  drawFilters();
  drawNav();
  const main = byId("main");
  main.replaceChildren(...(page.highlights.length ? [drawHighlights()] : []), ...(page.damaged ? [drawDamaged()] : []), ...page.panels.map(drawPanel));
  plotAll(main);
  keepState();
  tellMatches();
}

// Live: a page that is served asks whether the results have changed, and only then for the data.
async function poll() {
  try {
    const version = await (await fetch("version")).text();
    if (version !== page.version) {
      const key = document.activeElement && document.activeElement.dataset.key;
      page = revive(await (await fetch("data.json")).json());
      drawnTimelines.clear();
      repaints.length = 0;
      drawAll();
      const again = key && [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
      if (again) again.focus({ preventScroll: true });
    }
    byId("live").textContent = "live";
  } catch {
    byId("live").textContent = "the server is gone; this is the last state";
  }
  setTimeout(poll, POLL_MS);
}

function startFilters() {
  for (const name of FILTERS) byId(name).addEventListener("change", () => { state[name] = byId(name).value; redraw(); });
  let waiting = 0;
  byId("q").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { state.q = byId("q").value; redraw(); }, 120);
  });
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", () => {
    for (const name of [...FILTERS, "q"]) state[name] = "";
    drawFilters();
    redraw();
  });
  if (matchMedia("(max-width: 1000px)").matches && !isFiltered()) byId("filters").open = false;
}

function watchPanels() {
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) mark(entry.target.id.replace("panel-", ""));
  }, { rootMargin: "0px 0px -75% 0px" });
  for (const section of document.querySelectorAll("section.panel")) seen.observe(section);
}

startFilters();
drawAll();
startTheme();
reveal();
watchPanels();
byId("print").addEventListener("click", () => print());
for (const [name, value] of [["beforeprint", true], ["afterprint", false]]) {
  window.addEventListener(name, () => { printing = value; redraw(); });
}
window.addEventListener("hashchange", () => { state = readHash(); drawAll(); reveal(); });
let resizing = 0;
window.addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(() => plotAll(document), 100); });
if (page.version && location.protocol.startsWith("http")) setTimeout(poll, POLL_MS);
