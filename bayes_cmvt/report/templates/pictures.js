// Pictures: what risk.js computes, as SVG elements; told apart without colour.

const DRAWN = ["svg", "circle", "path", "rect", "line", "text"];

function make(tag, attributes = {}, text = "") {
  const element = DRAWN.includes(tag)
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  return element;
}

function line(from, to, name) {
  return make("line", { x1: from[0], y1: from[1], x2: to[0], y2: to[1], class: name });
}

// ---- 100 dots ----

/** One patient: full, half or empty. */
function dot(x, y, state) {
  if (state === "rest") return [make("circle", { cx: x, cy: y, r: 4, class: state })];
  const outline = make("circle", { cx: x, cy: y, r: 7, class: state });
  const half = make("path", { d: `M${x} ${y - 7}A7 7 0 0 0 ${x} ${y + 7}Z`, class: "open-half" });
  return state === "sure" ? [outline] : [outline, half];
}

const frame = (x, y) =>
  make("rect", { x: x - 9, y: y - 9, width: 18, height: 18, class: "about-so-many" });

/** Full up to the lower limit, half up to the upper one; the last of the estimate is framed. */
function dotMarks(risk, lower, upper, framed) {
  const place = (i) => [10 + 20 * (i % 10), 10 + 20 * Math.floor(i / 10)];
  const state = (i) => (i < lower ? "sure" : i < upper ? "open" : "rest");
  const marks = Array.from({ length: 100 }, (_, i) => dot(...place(i), state(i))).flat();
  return framed && risk ? [...marks, frame(...place(risk - 1))] : marks;
}

function dotKey(texts) {
  const drawn = [dot(10, 10, "sure"), [frame(10, 10)], dot(10, 10, "open")];
  return drawn.map((marks, k) => {
    const svg = make("svg", { viewBox: "0 0 20 20" });
    svg.append(...marks);
    const item = make("li");
    item.append(svg, make("span", {}, texts[k]));
    return item;
  });
}

// ---- the distribution of the risk ----

const CURVE = { left: 10, width: 300, top: 8, base: 104, bins: 60 };
const AXES = [1, 2, 5, 10, 20, 30, 40, 50, 60, 80, 100]; // per cent that an axis may reach
const PARTS = { 2: 4, 20: 4, 30: 3, 40: 4, 60: 3, 80: 4 }; // of an axis; else 5

/** Heights of the bins as one outline. */
function outline(sorted, end) {
  const { left, width, top, base, bins } = CURVE;
  const counts = new Float64Array(bins);
  for (const risk of sorted) {
    if (risk <= end) counts[Math.min(bins - 1, Math.floor((bins * risk) / end))] += 1;
  }
  const highest = counts.reduce((a, b) => Math.max(a, b), 1);
  const steps = Array.from(counts, (count, k) => {
    return `V${base - ((base - top) * count) / highest}H${left + ((k + 1) * width) / bins}`;
  });
  return make("path", { d: `M${left} ${base}${steps.join("")}V${base}Z`, class: "density" });
}

/** Draws, interval and estimate on an axis of round risks; the threshold is a broken line. */
function curveMarks({ sorted, risk, lower, upper }, threshold, tickText) {
  const { left, width, base } = CURVE;
  const reach = 100 * Math.max(quantile(sorted, 0.998), risk, 1.1 * (threshold || 0));
  const last = AXES.find((round) => round >= reach) ?? 100;
  const parts = PARTS[last] ?? 5;
  const x = (share) => left + width * Math.min((100 * share) / last, 1);
  const ticks = Array.from({ length: parts + 1 }, (_, k) => {
    const at = left + (k * width) / parts;
    const anchor = k === 0 ? "start" : k === parts ? "end" : "middle";
    const text = tickText((k * last) / parts);
    return [
      line([at, base + 16], [at, base + 21], "axis"),
      make("text", { x: at, y: base + 33, "text-anchor": anchor }, text),
    ];
  });
  return [
    outline(sorted, last / 100),
    line([left, base], [left + width, base], "axis"),
    line([x(lower), base + 9], [x(upper), base + 9], "interval-line"),
    make("circle", { cx: x(risk), cy: base + 9, r: 5, class: "estimate" }),
    ...ticks.flat(),
    ...(threshold ? [line([x(threshold), 2], [x(threshold), base + 16], "threshold-line")] : []),
  ];
}

// ---- what moves the risk ----

/** A bar from 0 to the estimate, with a whisker from limit to limit. */
function effectBar({ estimate, lower, upper }, farthest) {
  const x = (logOdds) => 100 + (96 * logOdds) / farthest;
  const bar = make("svg", { viewBox: "0 0 200 22", preserveAspectRatio: "none" });
  bar.setAttribute("aria-hidden", "true");
  const [from, to] = [Math.min(0, estimate), Math.max(0, estimate)].map(x);
  bar.append(make("rect", { x: from, width: to - from, y: 4, height: 14, class: "bar" }));
  bar.append(line([100, 0], [100, 22], "zero"));
  if (Number.isFinite(lower)) bar.append(line([x(lower), 11], [x(upper), 11], "whisker"));
  return bar;
}
