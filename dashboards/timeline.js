// A timeline of kernels within elements that the page has: what `part` gives by their ids.
function drawTimeline(data, part) {
  const canvas = part("timeline");
  const pen = canvas.getContext("2d");
  const tip = part("tip");
  const detail = part("detail");

  // Okabe and Ito's colours, told apart with any colour vision, for what a decode step is mostly made of;
  // Tol's muted ones for the rest; greys for what only moves data. Names in the bars and the legend never
  // leave it to colour alone.
  const COLOURS = {
    routing: "#d55e00",
    experts: "#0072b2",
    attention: "#009e73",
    rope: "#cc79a7",
    kv_cache: "#f0e442",
    gemm: "#56b4e9",
    norm: "#e69f00",
    activation: "#882255",
    embedding: "#5b4bb5",
    elementwise: "#8b949e",
    reduction: "#aa4499",
    sort: "#ddcc77",
    sampling: "#44aa99",
    copy: "#b8bfc7",
    communication: "#999933",
    optimizer: "#cc6677",
    other: "#6e7781",
  };
  const DARK_TEXT = new Set([
    "kv_cache",
    "gemm",
    "norm",
    "rope",
    "sort",
    "copy",
    "elementwise",
    "sampling",
    "communication",
  ]);
  const HATCHED = new Set(["other"]);

  const AXIS = 26;
  const LABEL = 22;
  const STRIP = 18;
  const GAP = 14;
  const EDGE = 8;
  const LANE = data.arms.every((arm) => arm.lanes.length < 3) ? 58 : 32;
  const endOf = (arm) => arm.start.reduce((most, start, i) => Math.max(most, start + arm.length[i]), 1);
  const longest = Math.max(...data.arms.map(endOf));
  const view = { start: 0, end: longest };
  const folded = data.arms.map((arm) => arm.layers.map(() => false));
  let only = null;
  let selected = null;
  let hovered = null;
  let bars = [];
  let strips = [];

  const microseconds = (ns) => (ns / 1000).toLocaleString("en", { maximumFractionDigits: 3 }) + " µs";
  const classOf = (arm, i) => data.classes[arm.class_of[i]];

  // Bars: what one lane draws, computed once for each state of folding.
  function rebuild() {
    bars = data.arms.map(barsOf);
    strips = data.arms.map((arm) => arm.layers.map((layer) => stripOf(arm, layer)));
  }

  function barsOf(arm, a) {
    const lanes = arm.lanes.map(() => []);
    const sums = new Map();
    arm.start.forEach((start, i) => {
      const layer = arm.layer_of[i];
      if (layer >= 0 && folded[a][layer]) addTo(sums, arm, i);
      else lanes[arm.lane_of[i]].push({ start, end: start + arm.length[i], kernel: i });
    });
    for (const sum of sums.values()) lanes[sum.lane].push(sum);
    for (const lane of lanes) lane.sort((x, y) => x.start - y.start);
    return lanes;
  }

  function addTo(sums, arm, i) {
    const layer = arm.layer_of[i];
    const lane = arm.lane_of[i];
    const start = arm.start[i];
    const key = layer * arm.lanes.length + lane;
    if (!sums.has(key)) sums.set(key, { layer, lane, start, end: start, count: 0, times: new Map() });
    const sum = sums.get(key);
    sum.end = Math.max(sum.end, start + arm.length[i]);
    sum.count += 1;
    sum.times.set(arm.class_of[i], (sum.times.get(arm.class_of[i]) || 0) + arm.length[i]);
  }

  function stripOf(arm, [first, last]) {
    let end = arm.start[first];
    for (let i = first; i < last; i++) end = Math.max(end, arm.start[i] + arm.length[i]);
    return { start: arm.start[first], end };
  }

  const height = () => AXIS + data.arms.reduce((sum, arm) => sum + armHeight(arm), 0);
  const armHeight = (arm) => LABEL + (arm.layers.length ? STRIP : 0) + arm.lanes.length * LANE + GAP;
  const x = (ns) => EDGE + ((ns - view.start) / (view.end - view.start)) * (canvas.clientWidth - 2 * EDGE);
  const time = (px) => view.start + ((px - EDGE) / (canvas.clientWidth - 2 * EDGE)) * (view.end - view.start);

  function armTop(a) {
    let top = AXIS;
    for (let i = 0; i < a; i++) top += armHeight(data.arms[i]);
    return top;
  }

  const laneTop = (a, lane) => armTop(a) + LABEL + (data.arms[a].layers.length ? STRIP : 0) + lane * LANE;

  let pending = false;
  function draw() {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      paint();
    });
  }

  function paint() {
    const ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth;
    canvas.style.height = height() + "px";
    canvas.width = Math.max(1, Math.round(width * ratio));
    canvas.height = Math.round(height() * ratio);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height());
    pen.textBaseline = "middle";
    paintAxis(width);
    const drawn = data.arms.reduce((sum, arm, a) => sum + paintArm(arm, a, width), 0);
    tellShown(drawn);
  }

  // For tests and assistive tools.
  function tellShown(drawn) {
    Object.assign(canvas.dataset, {
      start: view.start,
      end: view.end,
      drawn,
      selected: selected ? selected.arm + ":" + selected.index : "",
      folded: folded.flat().filter(Boolean).length,
      layers: folded.flat().length,
    });
  }

  function paintArm(arm, a, width) {
    let drawn = 0;
    pen.font = "600 13px system-ui, sans-serif";
    pen.fillStyle = css("--ink");
    pen.fillText(clip(arm.name, width - 30), EDGE, armTop(a) + LABEL / 2);
    paintStrip(a);
    arm.lanes.forEach((name, lane) => {
      pen.fillStyle = css("--lane");
      pen.fillRect(0, laneTop(a, lane) + 2, width, LANE - 4);
      for (const bar of bars[a][lane]) drawn += paintBar(arm, a, lane, bar);
      if (arm.lanes.length > 1) paintLaneName(name, laneTop(a, lane), width);
    });
    return drawn;
  }

  // The least of 1, 2, 5, 10, 20 and so on that leaves each label its room.
  function tickOf(width) {
    const least = (view.end - view.start) / Math.max(2, width / 110);
    let tick = 1;
    for (let power = 1; tick < least; power *= 10) {
      tick = [1, 2, 5].map((step) => step * power).find((each) => each >= least) || 5 * power;
    }
    return tick;
  }

  function paintAxis(width) {
    const tick = tickOf(width);
    pen.font = "12px system-ui, sans-serif";
    for (let at = Math.ceil(view.start / tick) * tick; at <= view.end; at += tick) {
      pen.fillStyle = css("--line");
      pen.fillRect(Math.round(x(at)), AXIS - 5, 1, height());
      pen.fillStyle = css("--quiet");
      const label = (at / 1000).toLocaleString("en", { maximumFractionDigits: 3 }) + (at === 0 ? " µs" : "");
      const wide = pen.measureText(label).width;
      const left = Math.min(Math.max(x(at) - wide / 2, 2), width - wide - 2);
      pen.fillText(label, left, AXIS / 2 - 2);
    }
  }

  function paintStrip(a) {
    const top = armTop(a) + LABEL;
    strips[a].forEach((layer, number) => {
      const left = x(layer.start);
      const right = x(layer.end);
      if (right < 0 || left > canvas.clientWidth) return;
      pen.fillStyle = folded[a][number] ? css("--accent") : css("--line");
      pen.fillRect(left, top + 2, Math.max(1, right - left - 1), STRIP - 5);
      const label = right - left > 56 ? "layer " + number : right - left > 20 ? String(number) : "";
      pen.font = "10.5px system-ui, sans-serif";
      pen.fillStyle = folded[a][number] ? css("--page") : css("--ink");
      if (label) pen.fillText(label, Math.max(left, 0) + 4, top + 2 + (STRIP - 5) / 2);
    });
  }

  function paintBar(arm, a, lane, bar) {
    const left = x(bar.start);
    const right = x(bar.end);
    if (right < 0 || left > canvas.clientWidth) return 0;
    const top = laneTop(a, lane) + 3;
    const tall = LANE - 6;
    const wide = Math.max(right - left, 0.6);
    if (bar.times) {
      paintFolded(bar, left, top, wide, tall);
    } else {
      const name = classOf(arm, bar.kernel);
      fillClass(name, left, top, wide > 3 ? wide - 0.6 : wide, tall);
      if (wide > 34) paintText(data.names[arm.name_of[bar.kernel]], name, left, top, wide, tall);
    }
    if (isAt(selected, a, lane, bar) || isAt(hovered, a, lane, bar)) {
      pen.strokeStyle = css("--ink");
      pen.lineWidth = 2;
      pen.strokeRect(left - 1, top - 1, wide + 2, tall + 2);
    }
    return 1;
  }

  // A folded layer: one bar from its first to its last kernel, split by class in proportion to time, gaps
  // left out.
  function paintFolded(bar, left, top, wide, tall) {
    const parts = longestFirst(bar.times);
    const total = parts.reduce((sum, part) => sum + part[1], 0) || 1;
    let at = left;
    for (const [number, part] of parts) {
      fillClass(data.classes[number], at, top, (wide * part) / total, tall);
      at += (wide * part) / total;
    }
    pen.strokeStyle = css("--page");
    pen.lineWidth = 1;
    pen.strokeRect(left, top, wide, tall);
    const [number, most] = parts[0];
    const told = `${bar.layer}: ${bar.count} kernels`;
    if (wide > 34) paintText(told, data.classes[number], left, top, (wide * most) / total, tall);
  }

  function fillClass(name, left, top, wide, tall) {
    pen.globalAlpha = only === null || only === name ? 1 : 0.13;
    pen.fillStyle = COLOURS[name] || COLOURS.other;
    pen.fillRect(left, top, wide, tall);
    if (HATCHED.has(name) && wide > 4) hatch(pen, left, top, wide, tall);
    pen.globalAlpha = 1;
  }

  function hatch(on, left, top, wide, tall) {
    on.save();
    on.beginPath();
    on.rect(left, top, wide, tall);
    on.clip();
    on.strokeStyle = "#ffffff";
    on.lineWidth = 1;
    on.beginPath();
    for (let at = -tall; at < Math.min(wide, 4000); at += 6) {
      on.moveTo(left + at, top + tall);
      on.lineTo(left + at + tall, top);
    }
    on.stroke();
    on.restore();
  }

  function paintText(text, name, left, top, wide, tall) {
    if (only !== null && only !== name) return;
    const from = Math.max(left, 0) + 4;
    pen.font = "11.5px system-ui, sans-serif";
    pen.fillStyle = DARK_TEXT.has(name) ? "#14171a" : "#ffffff";
    const label = clip(text.replace(/^void /, ""), Math.min(left + wide, canvas.clientWidth) - from - 4);
    if (label) pen.fillText(label, from, top + tall / 2);
  }

  function paintLaneName(name, top, width) {
    pen.font = "10.5px system-ui, sans-serif";
    const wide = pen.measureText(name).width + 8;
    pen.fillStyle = css("--panel");
    pen.fillRect(width - wide - 4, top + 4, wide, 14);
    pen.fillStyle = css("--quiet");
    pen.fillText(name, width - wide, top + 11);
  }

  function clip(text, width) {
    if (width < 14) return "";
    text = text.slice(0, Math.ceil(width / 2));
    if (pen.measureText(text).width <= width) return text;
    let low = 0;
    let high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (pen.measureText(text.slice(0, middle) + "…").width <= width) low = middle;
      else high = middle - 1;
    }
    return low > 1 ? text.slice(0, low) + "…" : "";
  }

  const isAt = (place, a, lane, bar) =>
    place && place.arm === a && place.lane === lane && bars[a][lane][place.index] === bar;

  // Where a point is: a bar, or a layer of the strip.
  function find(px, py) {
    const a = data.arms.findIndex((arm, each) => py >= armTop(each) && py < armTop(each) + armHeight(arm));
    if (a < 0) return null;
    const arm = data.arms[a];
    const top = armTop(a) + LABEL;
    if (arm.layers.length && py >= top && py < top + STRIP) {
      const layer = strips[a].findIndex((each) => px >= x(each.start) && px <= x(each.end));
      return layer < 0 ? null : { arm: a, layer };
    }
    const lane = Math.floor((py - laneTop(a, 0)) / LANE);
    if (lane < 0 || lane >= arm.lanes.length) return null;
    const index = nearestBar(bars[a][lane], px);
    return index < 0 ? null : { arm: a, lane, index };
  }

  // A bar can be thinner than a pixel: 3 beside it still mean it.
  function nearestBar(lane, px) {
    let best = -1;
    let least = 3;
    lane.forEach((bar, index) => {
      const off = Math.max(x(bar.start) - px, px - x(bar.end), 0);
      if (off <= least && (off < least || off === 0)) {
        least = off;
        best = index;
      }
    });
    return best;
  }

  const longestFirst = (times) => [...times].sort((one, other) => other[1] - one[1]);
  const spanOf = ({ start, end }) => ["starts at " + microseconds(start), microseconds(end - start)];

  function describe(place) {
    const arm = data.arms[place.arm];
    if (place.layer !== undefined) {
      const span = spanOf(strips[place.arm][place.layer]);
      return ["layer " + place.layer, [arm.name, ...span, "click to fold or unfold"]];
    }
    const bar = bars[place.arm][place.lane][place.index];
    const where = [arm.name, arm.lanes[place.lane]];
    if (!bar.times) return [data.names[arm.name_of[bar.kernel]], [...factsOf(arm, bar.kernel), ...where]];
    const parts = longestFirst(bar.times).map(
      ([number, ns]) => data.classes[number] + " " + microseconds(ns),
    );
    return [`layer ${bar.layer}, ${bar.count} kernels`, [...where, ...spanOf(bar), ...parts]];
  }

  function factsOf(arm, i) {
    const facts = [classOf(arm, i), microseconds(arm.length[i]), "starts at " + microseconds(arm.start[i])];
    for (const [label, value] of Object.entries(data.details[arm.detail_of[i]])) {
      facts.push(label + " " + (Array.isArray(value) ? value.join(" × ") : value.toLocaleString("en")));
    }
    if (arm.layer_of[i] >= 0) facts.push("layer " + arm.layer_of[i]);
    return facts;
  }

  function tell(into, place) {
    into.replaceChildren();
    if (!place) return;
    const [name, facts] = describe(place);
    into.append(element("div", name, "name"), element("div", facts.join(" · "), "facts"));
  }

  function hint() {
    const told =
      "Point at a kernel, or press n with the timeline focused: " +
      "its name, duration, grid and registers appear here.";
    detail.replaceChildren(element("div", told, "facts"));
  }

  function moveTo(start, end) {
    const span = Math.min(Math.max(end - start, 100), longest * 1.05);
    const middle = (start + end) / 2;
    const least = -0.02 * span;
    const most = Math.max(longest - 0.98 * span, least);
    view.start = Math.min(Math.max(middle - span / 2, least), most);
    view.end = view.start + span;
    draw();
  }

  const centre = () => {
    const bar = selected && bars[selected.arm][selected.lane][selected.index];
    return bar ? (bar.start + bar.end) / 2 : (view.start + view.end) / 2;
  };
  const zoom = (factor, around = centre()) =>
    moveTo(around - (around - view.start) * factor, around + (view.end - around) * factor);
  const pan = (share) =>
    moveTo(view.start + share * (view.end - view.start), view.end + share * (view.end - view.start));
  const fit = () => moveTo(0, longest);

  const isAllFolded = () => folded.flat().every(Boolean);

  function foldAll(value) {
    folded.forEach((layers) => layers.fill(value));
    refold();
  }

  function foldOne(a, layer) {
    folded[a][layer] = !folded[a][layer];
    refold();
  }

  function refold() {
    selected = hovered = null;
    hint();
    rebuild();
    const hasLayers = folded.flat().length > 0;
    part("fold").setAttribute("aria-pressed", String(hasLayers && isAllFolded()));
    draw();
  }

  function select(place) {
    selected = place;
    if (place) {
      const bar = bars[place.arm][place.lane][place.index];
      if (bar.start < view.start || bar.end > view.end) {
        const span = view.end - view.start;
        const middle = (bar.start + bar.end) / 2;
        moveTo(middle - span / 2, middle + span / 2);
      }
      tell(detail, place);
    }
    draw();
  }

  function firstInView() {
    const firsts = bars.flatMap((lanes, a) =>
      lanes.map((lane, at) => ({ arm: a, lane: at, index: lane.findIndex((bar) => bar.end >= view.start) })),
    );
    return firsts.find((place) => place.index >= 0);
  }

  function step(by) {
    if (!selected) {
      const first = firstInView();
      if (first) select(first);
      return;
    }
    const lane = bars[selected.arm][selected.lane];
    select({ ...selected, index: Math.min(Math.max(selected.index + by, 0), lane.length - 1) });
  }

  function changeLane(by) {
    if (!selected) return step(0);
    const lanes = data.arms.flatMap((arm, a) => arm.lanes.map((_, lane) => ({ arm: a, lane })));
    const at = lanes.findIndex((each) => each.arm === selected.arm && each.lane === selected.lane);
    const to = lanes[Math.min(Math.max(at + by, 0), lanes.length - 1)];
    const start = bars[selected.arm][selected.lane][selected.index].start;
    const target = bars[to.arm][to.lane];
    let index = target.findIndex((bar) => bar.start >= start);
    if (index < 0) index = target.length - 1;
    select({ ...to, index });
  }

  function foldSelected() {
    if (!selected) return;
    const bar = bars[selected.arm][selected.lane][selected.index];
    const layer = bar.times ? bar.layer : data.arms[selected.arm].layer_of[bar.kernel];
    if (layer >= 0) foldOne(selected.arm, layer);
  }

  const KEYS = {
    "+": () => zoom(1 / 1.5),
    "=": () => zoom(1 / 1.5),
    "-": () => zoom(1.5),
    _: () => zoom(1.5),
    ArrowLeft: () => pan(-0.15),
    ArrowRight: () => pan(0.15),
    ArrowUp: () => changeLane(-1),
    ArrowDown: () => changeLane(1),
    0: fit,
    Home: fit,
    f: () => foldAll(!isAllFolded()),
    n: () => step(1),
    p: () => step(-1),
    Enter: foldSelected,
    t: toggleTheme,
    Escape: () => {
      selected = null;
      hint();
      draw();
    },
  };
  canvas.addEventListener("keydown", (event) => {
    const action = KEYS[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  });

  const local = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const [px] = local(event);
      const unit = event.deltaMode === 1 ? 30 : 1;
      const isAcross = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (isAcross) pan(((event.deltaX || event.deltaY) * unit) / canvas.clientWidth);
      else zoom(Math.exp(Math.min(Math.max(event.deltaY * unit, -300), 300) * 0.0025), time(px));
    },
    { passive: false },
  );

  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    drag = { at: event.clientX, start: view.start, end: view.end, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (drag) {
      const by = ((drag.at - event.clientX) / canvas.clientWidth) * (drag.end - drag.start);
      drag.moved = drag.moved || Math.abs(event.clientX - drag.at) > 3;
      if (drag.moved) moveTo(drag.start + by, drag.end + by);
      tip.style.display = "none";
      return;
    }
    const place = find(...local(event));
    hovered = place && place.layer === undefined ? place : null;
    showTip(event, place);
    draw();
  });

  function showTip(event, place) {
    tip.style.display = place ? "block" : "none";
    if (!place) return;
    tell(tip, place);
    if (place.layer === undefined) tell(detail, place);
    tip.style.left =
      Math.max(4, Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)) + "px";
    const below = event.clientY + 18;
    tip.style.top =
      (below + tip.offsetHeight > window.innerHeight ? event.clientY - tip.offsetHeight - 10 : below) + "px";
  }

  canvas.addEventListener("pointerup", (event) => {
    const place = drag && !drag.moved ? find(...local(event)) : null;
    drag = null;
    if (place && place.layer !== undefined) foldOne(place.arm, place.layer);
    else if (place) select(place);
  });
  canvas.addEventListener("pointercancel", () => {
    drag = null;
  });
  canvas.addEventListener("pointerleave", () => {
    hovered = null;
    tip.style.display = "none";
    draw();
  });
  canvas.addEventListener("dblclick", (event) => {
    const place = find(...local(event));
    if (!place) return;
    const bar =
      place.layer !== undefined ? strips[place.arm][place.layer] : bars[place.arm][place.lane][place.index];
    const margin = (bar.end - bar.start) * 0.1;
    moveTo(bar.start - margin, bar.end + margin);
  });

  part("fold").addEventListener("click", KEYS.f);
  part("in").addEventListener("click", KEYS["+"]);
  part("out").addEventListener("click", KEYS["-"]);
  part("fit").addEventListener("click", fit);

  function showLegend() {
    const times = new Map();
    for (const arm of data.arms) {
      arm.class_of.forEach((number, i) => times.set(number, (times.get(number) || 0) + arm.length[i]));
    }
    for (const [number] of longestFirst(times)) part("legend").append(legendButton(data.classes[number]));
  }

  function legendButton(name) {
    const made = element("button");
    made.type = "button";
    made.dataset.name = name;
    made.setAttribute("aria-pressed", "false");
    made.append(legendPatch(name), element("span", name));
    made.addEventListener("click", () => highlight(name));
    return made;
  }

  function legendPatch(name) {
    const patch = element("canvas");
    patch.width = patch.height = 24;
    const on = patch.getContext("2d");
    on.fillStyle = COLOURS[name];
    on.fillRect(0, 0, 24, 24);
    if (HATCHED.has(name)) hatch(on, 0, 0, 24, 24);
    return patch;
  }

  function highlight(name) {
    only = only === name ? null : name;
    for (const each of part("legend").children) {
      each.setAttribute("aria-pressed", String(each.dataset.name === only));
      each.classList.toggle("dim", only !== null && each.dataset.name !== only);
    }
    draw();
  }

  showLegend();
  part("fold").disabled = folded.flat().length === 0;
  if (part("fold").disabled) part("fold").title = "The layers of these traces are unknown";
  hint();
  rebuild();
  new ResizeObserver(draw).observe(part("frame"));
  return draw;
}
