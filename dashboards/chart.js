// Charts and heat maps. Python has chosen scales, ticks and what each point says; here they get their places.
const SHAPES = [
  (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
  (r) => `M${-r},${-r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (r) => `M0,${-1.3 * r}L${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0z`,
  (r) => `M0,${-1.2 * r}L${1.2 * r},${r}L${-1.2 * r},${r}z`,
  (r) => `M0,${1.2 * r}L${1.2 * r},${-r}L${-1.2 * r},${-r}z`,
  (r) => `M${-r},0H${r}M0,${-r}V${r}`,
  (r) => `M${-r},${-r}L${r},${r}M${-r},${r}L${r},${-r}`,
  (r) => `M0,${-1.3 * r}L${r},${1.1 * r}L${-1.2 * r},${-0.3 * r}H${1.2 * r}L${-r},${1.1 * r}z`,
];
const COLOURS_BELOW_ZERO = { "-1": "cbase", "-2": "cbad" };
const shapeOf = (series, radius) => SHAPES[series.marker % SHAPES.length](radius);
const colourOf = (series) => COLOURS_BELOW_ZERO[series.colour] || "c" + series.colour;

function svg(tag, attributes = {}) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function drawChart(chart) {
  const figure = element("figure", undefined, chart.small ? "small" : "");
  const canvas = svg("svg", { tabindex: 0, role: "img", "aria-roledescription": "chart" });
  const said = element("p", "", "said");
  const told = `${chart.title}. ${chart.y.label} over ${chart.x.label}. Arrow keys read the points.`;
  canvas.setAttribute("aria-label", told);
  said.setAttribute("aria-live", "polite");
  canvas.dataset.key = "chart:" + chart.name;
  figure.append(drawCaption(chart), canvas, said);
  if (chart.series.some((series) => series.listed !== false)) figure.append(drawLegend(chart));
  if (chart.notes && !chart.small) figure.append(drawNotes(chart.notes));
  figure.plot = () => plot(chart, canvas, said);
  return figure;
}

// A chart is as wide as its place, which it has only once it stands in the page.
function plotAll(within) {
  for (const figure of within.querySelectorAll("figure")) {
    if (!figure.plot) continue;
    figure.plot();
    // A browser keeps what is read in its place while what is above it grows, but only from one layout to the
    // next: without one here, the next panel may be replaced within the same, and the page jumps.
    figure.getBoundingClientRect();
  }
}

function drawCaption({ title, subtitle }) {
  const caption = element("figcaption", title);
  if (subtitle) caption.append(element("span", subtitle));
  return caption;
}

function drawLegend(chart) {
  const list = element("ul", undefined, "legend");
  for (const series of chart.series.filter((each) => each.listed !== false)) {
    const item = element("li");
    item.append(drawSwatch(series), drawText(series.name));
    list.append(item);
  }
  return list;
}

function drawSwatch(series) {
  const colour = colourOf(series);
  const swatch = svg("svg", { "aria-hidden": "true", viewBox: "0 0 26 12" });
  if (series.line !== "none")
    swatch.append(svg("path", { d: "M0,6H26", class: `series ${series.line} ${colour}` }));
  if (series.marker >= 0) {
    swatch.append(
      svg("path", { d: shapeOf(series, 3.4), transform: "translate(13,6)", class: "point " + colour }),
    );
  }
  return swatch;
}

function plot(chart, canvas, said) {
  const width = Math.max(canvas.clientWidth, 120);
  const height = chart.small ? 118 : 250;
  const box = boxOf(chart, width, height);
  const x = scaleOf(chart.x, box.left, box.right);
  const y = scaleOf(chart.y, box.bottom, box.top);
  canvas.replaceChildren();
  canvas.setAttribute("viewBox", `0 0 ${width} ${height}`);
  canvas.setAttribute("height", height);
  plotY(chart, canvas, box, y);
  plotX(chart, canvas, box, x);
  plotRules(chart, canvas, box, y);
  if (!chart.small) plotLabels(chart, canvas, box, width, height);
  for (const series of chart.series) plotSeries(canvas, series, x, y);
  const told = chart.series.flatMap((series) => series.points.filter((point) => point.text));
  const points = told.map((point) => ({ at: [x(point.x), y(point.y)], text: point.text }));
  listen(canvas, points, said);
}

// What the axes leave for the points; about 6.5 pixels for each character of a tick's label.
function boxOf(chart, width, height) {
  const longest = Math.max(...chart.y.ticks.map(([, label]) => label.length));
  if (chart.small) return { left: 8 + 6.5 * longest, right: width - 14, top: 10, bottom: height - 18 };
  return { left: 16 + 6.6 * longest, right: width - 14, top: 24, bottom: height - 36 };
}

function scaleOf(axis, from, to) {
  const on = axis.scale === "log" ? Math.log : (value) => value;
  return (value) => from + ((on(value) - on(axis.low)) / (on(axis.high) - on(axis.low))) * (to - from);
}

function plotY(chart, canvas, box, y) {
  for (const [value, label] of chart.y.ticks) {
    canvas.append(
      svg("line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value), class: "gridline" }),
    );
    canvas.append(write(label, box.left - 5, y(value) + 4, "end"));
  }
}

// Labels that would run into the one before are left out, their ticks too.
function plotX(chart, canvas, box, x) {
  let last = -Infinity;
  for (const [value, label] of chart.x.ticks) {
    const at = x(value);
    const reach = 3.4 * label.length + 3;
    if (at - reach < last) continue;
    last = at + reach;
    canvas.append(svg("line", { x1: at, x2: at, y1: box.bottom, y2: box.bottom + 4, class: "axis" }));
    canvas.append(write(label, at, box.bottom + 15, "middle"));
  }
  canvas.append(svg("line", { x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, class: "axis" }));
}

function plotRules(chart, canvas, box, y) {
  for (const [value, label] of chart.rules || []) {
    canvas.append(svg("line", { x1: box.left, x2: box.right, y1: y(value), y2: y(value), class: "rule" }));
    canvas.append(write(label, box.right, y(value) - 3, "end"));
  }
}

function plotLabels(chart, canvas, box, width, height) {
  canvas.append(write(fitted(chart.x.label, width), (box.left + box.right) / 2, height - 4, "middle"));
  canvas.append(write(fitted(chart.y.label, width), 2, 12, "start"));
}

function fitted(text, width) {
  const most = Math.floor(width / 6);
  return text.length * 6 > width ? text.slice(0, most) + "…" : text;
}

function write(text, x, y, anchor, name = "") {
  const made = svg("text", { x, y, "text-anchor": anchor, class: name });
  made.textContent = text;
  return made;
}

function plotSeries(canvas, series, x, y) {
  if (series.line !== "none" && series.points.length) {
    const d = series.points.map((point, at) => stroke(series, at, x(point.x), y(point.y))).join("");
    canvas.append(svg("path", { d, class: `series ${series.line} ${colourOf(series)}` }));
  }
  for (const point of series.points) plotPoint(canvas, series, point, x, y);
}

function stroke(series, at, px, py) {
  if (at === 0) return `M${px},${py}`;
  return series.line === "step" ? `H${px}V${py}` : `L${px},${py}`;
}

function plotPoint(canvas, series, point, x, y) {
  const colour = colourOf(series);
  const [px, py] = [x(point.x), y(point.y)];
  const path = (d, name) => canvas.append(svg("path", { d, class: `${name} ${colour}` }));
  if (point.bars) {
    const [low, high] = point.bars.map(y);
    path(`M${px},${low}V${high}M${px - 3},${low}h6M${px - 3},${high}h6`, "whisker");
  }
  if (point.across) path(`M${x(point.across[0])},${py}H${x(point.across[1])}`, "whisker");
  if (series.marker >= 0) {
    const name = `point ${colour}${point.hollow ? " hollow" : ""}`;
    canvas.append(svg("path", { d: shapeOf(series, 3.6), transform: `translate(${px},${py})`, class: name }));
  }
  if (!point.label) return;
  const fits = px + 10 + 6 * point.label.length < canvas.clientWidth;
  canvas.append(write(point.label, fits ? px + 7 : px - 7, py - 6, fits ? "start" : "end", "mark"));
}

// A point is read out by pointer and by arrow keys alike.
function listen(canvas, points, said) {
  const ring = svg("circle", { r: 7, class: "point current", fill: "none", visibility: "hidden" });
  canvas.append(ring);
  let current = -1;
  const show = (at) => {
    current = at;
    const point = points[at];
    ring.setAttribute("visibility", point ? "visible" : "hidden");
    said.textContent = point ? point.text : "";
    if (!point) return;
    ring.setAttribute("cx", point.at[0]);
    ring.setAttribute("cy", point.at[1]);
  };
  canvas.onpointermove = (event) => {
    const place = canvas.getBoundingClientRect();
    show(nearest(points, event.clientX - place.left, event.clientY - place.top));
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

// The point that the pointer means, none where it is 30 pixels or more from all.
function nearest(points, px, py) {
  let best = -1;
  let least = 30 ** 2;
  points.forEach(({ at }, index) => {
    const off = (at[0] - px) ** 2 + (at[1] - py) ** 2;
    if (off < least) [least, best] = [off, index];
  });
  return best;
}

// Heat maps are tables: the numbers stand in them, the shade only repeats them.
function drawHeat(heat) {
  const figure = element("figure");
  const scroll = scrolling(`${heat.y} by ${heat.x}`, "heat");
  const made = element("table");
  made.setAttribute("aria-label", heat.title);
  made.append(drawHeatHead(heat), drawHeatBody(heat));
  scroll.append(made);
  figure.append(drawCaption(heat), scroll);
  if (heat.notes) figure.append(drawNotes(heat.notes));
  return figure;
}

function drawHeatHead(heat) {
  const head = element("thead");
  const line = element("tr");
  line.append(headed(`${heat.y} ↓  ${heat.x} →`, "col"));
  for (const label of heat.columns) line.append(headed(label, "col"));
  head.append(line);
  return head;
}

function drawHeatBody(heat) {
  const body = element("tbody");
  const places = new Map(heat.squares.map((square) => [square.row + ":" + square.column, square]));
  heat.rows.forEach((label, row) => {
    const line = element("tr");
    line.append(headed(label, "row"));
    heat.columns.forEach((_, column) => line.append(drawSquare(places.get(row + ":" + column))));
    body.append(line);
  });
  return body;
}

function headed(text, scope) {
  const made = element("th", text);
  made.scope = scope;
  return made;
}

function drawSquare(square) {
  if (!square) return element("td", "");
  const mark = square.mark || "";
  const sign = (mark.includes("best") ? "★ " : "") + (mark.includes("default") ? "○ " : "");
  const made = element("td", sign + square.text, shadeOf(square.shade));
  if (mark) made.classList.add("marked");
  made.title = square.hint;
  return made;
}

function shadeOf(shade) {
  if (shade === undefined || shade === null) return "none";
  return "s" + Math.min(5, Math.floor(shade * 5.999));
}
