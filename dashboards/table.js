// Tables: their rows as filtered and sorted, and what stands in a cell. Roles are written out, because a
// narrow screen shows rows as cards, and a table that is laid out otherwise is none to assistive tools.
const ROWS_AT_FIRST = matchMedia("(max-width: 640px)").matches ? 8 : 20;
const CELLS = { evidence: drawEvidence, strip: drawStrip, share: drawShare };

function drawTable(table, panel) {
  const kind = table.name === "damaged" ? " damaged" : table.name ? " cards" : "";
  const box = element("div", undefined, "grid" + kind);
  const scroll = scrolling(table.caption, "scroll");
  const made = element("table");
  const body = element("tbody");
  made.setAttribute("role", "table");
  body.setAttribute("role", "rowgroup");
  const rows = sorted(table, shownRows(table));
  const isWhole = !table.name || printing || state.whole.has(table.name);
  const limit = isWhole ? rows.length : ROWS_AT_FIRST;
  for (const row of rows.slice(0, limit)) drawRow(body, table, row, panel);
  made.append(element("caption", table.caption), drawHead(table, panel), body);
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
  const all = table.rows.length;
  if (!count) return element("p", `${table.total}: none of ${all} matches the filter`, "count");
  const line = element("p", `${table.total}: ${count}` + (count < all ? ` of ${all}` : ""), "count");
  if (count > limit) {
    line.append(`, the first ${limit} shown. `);
    line.append(button(`Show all ${count}`, "all:" + table.name, () => showWhole(table, panel)));
  }
  return line;
}

function drawHead(table, panel) {
  const head = element("thead");
  const line = element("tr");
  head.setAttribute("role", "rowgroup");
  line.setAttribute("role", "row");
  for (const column of table.columns) line.append(drawHeading(table, column, panel));
  head.append(line);
  return head;
}

function drawHeading(table, column, panel) {
  const cell = element("th", undefined, "is-" + (column.kind || "text"));
  cell.scope = "col";
  cell.setAttribute("role", "columnheader");
  if (column.help) cell.title = column.help;
  if (!table.name || column.sortable === false) {
    cell.classList.add("fixed");
    cell.textContent = column.label;
    return cell;
  }
  const [by, down] = orderOf(table);
  const [order, sign] = column.name !== by ? ["none", ""] : down ? ["descending", "▼"] : ["ascending", "▲"];
  cell.setAttribute("aria-sort", order);
  const made = button("", `sort:${table.name}:${column.name}`, () => sortBy(table, column, panel));
  made.append(element("span", column.label), arrow(sign));
  cell.append(made);
  return cell;
}

function arrow(sign) {
  const made = element("span", sign, "arrow");
  made.setAttribute("aria-hidden", "true");
  return made;
}

function drawRow(body, table, row, panel) {
  const line = element("tr");
  const isOpen = row.detail && state.open.has(row.name);
  line.setAttribute("role", "row");
  row.cells.forEach((cell, at) => {
    const column = table.columns[at];
    const made = cellFor(column, cell, at === 0);
    made.append(at === 0 && row.detail ? drawOpener(row, isOpen, panel) : drawCell(column, cell));
    line.append(made);
  });
  body.append(line);
  if (isOpen) body.append(drawDetail(table, row, panel));
}

// The element that holds a cell, as yet without what it says.
function cellFor(column, cell, isFirst) {
  const tone = cell.tone ? " tone-" + cell.tone : "";
  const made = element(isFirst ? "th" : "td", undefined, "is-" + (column.kind || "text") + tone);
  made.setAttribute("role", isFirst ? "rowheader" : "cell");
  if (isFirst) made.scope = "row";
  made.dataset.label = column.label;
  if (textOf(cell).trim() === "-") made.classList.add("nothing");
  if (cell.hint && column.kind !== "strip") made.title = cell.hint;
  return made;
}

function drawOpener(row, isOpen, panel) {
  const made = button("", "open:" + row.name, () => toggleRow(row, panel));
  made.className = "open";
  made.setAttribute("aria-expanded", String(Boolean(isOpen)));
  made.append(arrow("▸"), drawText(wholeCell(row.cells[0]).text));
  return made;
}

function drawDetail(table, row, panel) {
  const line = element("tr", undefined, "detail");
  const cell = element("td");
  line.setAttribute("role", "row");
  cell.setAttribute("role", "cell");
  cell.colSpan = table.columns.length;
  cell.append(drawTable(row.detail, panel));
  line.append(cell);
  return line;
}

// A cell of nothing but text stands in the data as that text.
const wholeCell = (cell) => (typeof cell === "string" ? { text: cell } : cell);

function drawCell(column, cell) {
  const draw = CELLS[column.kind] || ((each) => drawText(each.text));
  return draw(wholeCell(cell));
}

function drawEvidence(cell) {
  const box = element("span");
  for (const word of cell.text.split(", ")) {
    const name = word.split(" ")[0].replace(/[^a-z]/g, "");
    box.append(element("span", word, "badge " + name), " ");
  }
  return box;
}

function drawShare(cell) {
  const box = element("span", cell.text);
  if (cell.share === undefined) return box;
  const bar = element("span", undefined, "bar");
  const filled = element("span");
  filled.style.setProperty("--share", cell.share);
  bar.setAttribute("aria-hidden", "true");
  bar.append(filled);
  box.append(bar);
  return box;
}

function drawStrip(cell) {
  const bars = cell.bars || [];
  const wide = bars.length > 14 ? 7 : 9;
  const tall = 24;
  const middle = 18;
  const width = bars.length * wide + 2;
  const strip = svg("svg", {
    class: "spark",
    width,
    height: tall,
    role: "img",
    "aria-label": cell.hint || "",
  });
  bars.forEach((bar, at) => {
    if (bar.share) strip.append(drawStripBar(bar, at * wide + 1.5, wide - 2.5, middle, tall));
  });
  strip.append(svg("line", { x1: 0, x2: width - 1, y1: middle, y2: middle }));
  return strip;
}

// Faster stands above the line, slower hangs below it, where there is less room.
function drawStripBar(bar, x, width, middle, tall) {
  const isFaster = bar.share > 0;
  const height = isFaster
    ? Math.max(bar.share * (middle - 2), 1)
    : Math.max(-bar.share * (tall - middle - 1), 0);
  const name = (bar.timed ? "timed " : "") + (isFaster ? "" : "slower");
  const mark = svg("rect", { x, y: isFaster ? middle - height : middle, width, height, class: name });
  const told = svg("title");
  told.textContent = bar.text;
  mark.append(told);
  return mark;
}
