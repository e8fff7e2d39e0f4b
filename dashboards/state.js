// What the page was given and what its reader has chosen. What draws only reads them: they change in the
// functions here alone, which then have the panel that it concerns drawn anew, or all of them.
const FILTERS = ["device", "kernel", "evidence"];
const WORDS = ["text", "config", "evidence"];

let page = revive(JSON.parse(byId("data").textContent));
let state = readHash();
let printing = false;
let drawAnew = () => {};

function onChange(draw) {
  drawAnew = draw;
}

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
  const one = (name) => given.get(name) || "";
  const named = (prefix) => {
    const found = [...given].filter(([name]) => name.startsWith(prefix));
    return new Map(found.map(([name, value]) => [name.slice(prefix.length), value]));
  };
  return {
    panel: one("panel"),
    q: one("q"),
    device: one("device"),
    kernel: one("kernel"),
    evidence: one("evidence"),
    sort: named("sort."),
    show: named("show."),
    open: new Set(given.getAll("open")),
    whole: new Set(),
  };
}

function hashOf(changes = {}) {
  const now = { ...state, ...changes };
  const made = new URLSearchParams();
  for (const name of ["panel", ...FILTERS, "q"]) if (now[name]) made.set(name, now[name]);
  for (const [table, order] of now.sort) made.set("sort." + table, order);
  for (const [choice, option] of now.show) made.set("show." + choice, option);
  for (const row of now.open) made.append("open", row);
  return "#" + made;
}

function takeData(data) {
  page = revive(data);
}

function takeHash() {
  state = readHash();
}

function setPrinting(value) {
  printing = value;
  drawAnew();
}

// No panel changes with which of them is read.
function choosePanel(name) {
  state.panel = name;
}

function chooseFilters(values) {
  Object.assign(state, values);
  drawAnew();
}

function chooseOption(choice, option, panel) {
  state.show.set(choice.name, option);
  drawAnew(panel);
}

function toggleRow(row, panel) {
  if (!state.open.delete(row.name)) state.open.add(row.name);
  drawAnew(panel);
}

function showWhole(table, panel) {
  state.whole.add(table.name);
  drawAnew(panel);
}

function sortBy(table, column, panel) {
  const [by, down] = orderOf(table);
  const descends = column.name === by ? !down : ["number", "share"].includes(column.kind);
  state.sort.set(table.name, (descends ? "-" : "") + column.name);
  drawAnew(panel);
}

const isFiltered = () => Boolean(state.q || FILTERS.some((name) => state[name]));

const passes = (facets = {}) =>
  (!state.device || !facets.device || facets.device === state.device) &&
  (!state.kernel || !facets.kernel || facets.kernel === state.kernel) &&
  (!state.evidence || !facets.evidence || facets.evidence.includes(state.evidence));

const textOf = (cell) => (typeof cell === "string" ? cell : cell.text + " " + (cell.hint || ""));

function rowText(row) {
  const details = row.detail ? row.detail.rows.map(rowText) : [];
  return [...row.cells.map(textOf), ...details].join(" ").toLowerCase();
}

function shownRows(table) {
  const words = table.name ? state.q.toLowerCase().split(" ").filter(Boolean) : [];
  const holds = (row) => !words.length || words.every((word) => rowText(row).includes(word));
  return table.rows.filter((row) => passes(row.facets) && holds(row));
}

const readOrder = (order) => [order.replace(/^-/, ""), order.startsWith("-")];

function orderOf(table) {
  const order = state.sort.get(table.name);
  return order ? readOrder(order) : table.sort || ["", false];
}

// By the value that Python gave, else the text; what has no value stands last.
function sorted(table, rows) {
  const order = state.sort.get(table.name);
  if (!order) return rows;
  const [name, down] = readOrder(order);
  const at = table.columns.findIndex((column) => column.name === name);
  if (at < 0) return rows;
  const value = (row) => sortValue(table.columns[at], row.cells[at]);
  const known = rows.filter((row) => value(row) !== null);
  known.sort((one, other) => (down ? -1 : 1) * compare(value(one), value(other)));
  return [...known, ...rows.filter((row) => value(row) === null)];
}

function sortValue(column, cell) {
  if (typeof cell !== "string" && cell.sort !== undefined && cell.sort !== null) return cell.sort;
  return WORDS.includes(column.kind || "text") ? textOf(cell) : null;
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}
