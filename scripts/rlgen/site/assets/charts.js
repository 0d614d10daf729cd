// Charts of one dictionary: a histogram and a plane of points. Dragging over one tells which values were meant.
"use strict";

const INK = "#1a1a1a", PALE = "#c9c9c9", BLUE = "#0072b2";

function canvas(width, height, label) {
  const found = make("canvas", { width: 2 * width, height: 2 * height, role: "img", "aria-label": label });
  found.style.width = `${width}px`;
  const pen = found.getContext("2d");
  pen.scale(2, 2);
  pen.font = "12px system-ui, sans-serif";
  return [found, pen];
}

// Calls `brushed` with the corners of a dragged rectangle in the chart's own pixels.
function brush(found, width, brushed, drawn) {
  let start = null;
  const place = (event) => {
    const box = found.getBoundingClientRect();
    return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * width) / box.width];
  };
  found.addEventListener("pointerdown", (event) => {
    start = place(event);
    found.setPointerCapture(event.pointerId);
  });
  found.addEventListener("pointermove", (event) => start && drawn(start, place(event)));
  found.addEventListener("pointerup", (event) => {
    const end = place(event), from = start;
    start = null;
    if (from && Math.abs(end[0] - from[0]) > 4) brushed(from, end);
  });
}

// Counts of values in [0, 1]: all in grey, those that pass the filters in blue. Returns what draws it anew.
function histogram(title, words, brushed) {
  const W = 340, H = 180, left = 44, bottom = 30, bins = 40;
  const [found, pen] = canvas(W, H, title);
  let again = () => {};
  const value = (x) => Math.min(1, Math.max(0, (x - left) / (W - left - 8)));
  brush(found, W, (a, b) => brushed(...[value(a[0]), value(b[0])].sort((p, q) => p - q)), (a, b) => {
    again();
    pen.fillStyle = "rgba(213, 94, 0, .25)";
    pen.fillRect(a[0], 8, b[0] - a[0], H - bottom - 8);
  });
  const count = (values) => {
    const counts = new Array(bins).fill(0);
    for (const v of values) if (v !== null) counts[Math.min(bins - 1, Math.floor(v * bins))] += 1;
    return counts;
  };
  const draw = (all, chosen) => {
    again = () => {
      pen.clearRect(0, 0, W, H);
      const every = count(all), some = count(chosen), top = Math.log1p(Math.max(1, ...every));
      const y = (n) => H - bottom - (Math.log1p(n) / top) * (H - bottom - 12), step = (W - left - 8) / bins;
      for (const [counts, colour] of [[every, PALE], [some, BLUE]]) {
        pen.fillStyle = colour;
        counts.forEach((n, i) => n && pen.fillRect(left + i * step, y(n), step - 1, H - bottom - y(n)));
      }
      pen.fillStyle = INK;
      for (const tick of [0, 0.25, 0.5, 0.75, 1]) pen.fillText(String(tick), left + tick * (W - left - 8) - 8, H - bottom + 14);
      for (const n of [1, 10, 100, 1000, 10000]) if (Math.log1p(n) <= top) pen.fillText(String(n), 2, y(n) + 4);
      pen.fillText(title, left + (W - left) / 2 - 20, H - 3);
    };
    again();
  };
  return [make("figure", {}, found, make("figcaption", {}, words)), draw];
}

// Points in the unit square; `corners` labels its corners or axes: [text, x, y]. Returns what draws it anew.
function plane(title, words, corners, outline, brushed) {
  const W = 340, H = 300, pad = 28;
  const [found, pen] = canvas(W, H, title);
  const x = (u) => pad + u * (W - 2 * pad), y = (v) => H - pad - v * (H - 2 * pad);
  let again = () => {};
  brush(found, W, (a, b) => {
    const u = [a[0], b[0]].map((p) => (p - pad) / (W - 2 * pad)).sort((p, q) => p - q);
    const v = [a[1], b[1]].map((p) => (H - pad - p) / (H - 2 * pad)).sort((p, q) => p - q);
    brushed(u, v);
  }, (a, b) => {
    again();
    pen.fillStyle = "rgba(213, 94, 0, .25)";
    pen.fillRect(a[0], a[1], b[0] - a[0], b[1] - a[1]);
  });
  const draw = (all, chosen) => {
    again = () => {
      pen.clearRect(0, 0, W, H);
      pen.strokeStyle = INK;
      pen.beginPath();
      outline.forEach(([u, v], i) => (i ? pen.lineTo(x(u), y(v)) : pen.moveTo(x(u), y(v))));
      pen.closePath();
      pen.stroke();
      for (const [points, colour] of [[all, PALE], [chosen, BLUE]]) {
        pen.fillStyle = colour;
        for (const [u, v] of points) pen.fillRect(x(u) - 1.2, y(v) - 1.2, 2.4, 2.4);
      }
      pen.fillStyle = INK;
      for (const [text, u, v, align] of corners) {
        pen.textAlign = align ?? "center";
        pen.fillText(text, x(u), y(v));
      }
      pen.textAlign = "start";
    };
    again();
  };
  return [make("figure", {}, found, make("figcaption", {}, words)), draw];
}

// Bars with a label and a value each, as an image that grows with its text.
function bars(rows, label) {
  const H = 22, W = 340, from = 110, top = Math.max(...rows.map(([, value]) => value ?? 0), 1e-9);
  const found = make("svg", { viewBox: `0 0 ${W} ${rows.length * H}`, width: W, role: "img", "aria-label": label });
  rows.forEach(([name, value], i) => {
    const long = ((value ?? 0) / top) * (W - from - 60);
    found.append(
      make("text", { x: from - 6, y: i * H + 15, "text-anchor": "end", "font-size": 13 }, name),
      make("rect", { x: from, y: i * H + 4, width: long, height: H - 8, fill: BLUE }),
      make("text", { x: from + long + 5, y: i * H + 15, "font-size": 13 }, shown(value)),
    );
  });
  return found;
}

// Counts of a latent's activations between 0 and its largest.
function activations({ largest, counts }) {
  const W = 340, H = 120, bottom = 22, left = 44, step = (W - left - 30) / counts.length;
  const top = Math.log1p(Math.max(...counts));
  const found = make("svg", { viewBox: `0 0 ${W} ${H}`, width: W, role: "img", "aria-label": "density of activations" });
  counts.forEach((n, i) => {
    const high = (Math.log1p(n) / top) * (H - bottom - 14);
    const bar = make("rect", { x: left + i * step, y: H - bottom - high, width: step - 1, height: high, fill: BLUE });
    bar.append(make("title", {}, `${n} tokens`));
    found.append(bar);
  });
  const text = (words, x, y, anchor) => make("text", { x, y, "text-anchor": anchor, "font-size": 12 }, words);
  found.append(
    text("0", left, H - 6, "start"),
    text(shown(largest), left + counts.length * step, H - 6, "end"),
    text(String(Math.max(...counts)), left - 4, 18, "end"),
  );
  return found;
}
