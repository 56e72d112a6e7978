// The page: what is entered is read, what risk.js computes is shown.

const byId = (id) => document.getElementById(id);
const page = JSON.parse(byId("model").textContent);
const codes = decodeDraws(page.codes, page.model.low.length, page.model.draws);
const model = { ...page.model, effects: [], codes };
const predictors = model.predictors;
const presets = predictors.map((one) => one.preset);
const reference = riskOf(model, designRow(model, presets));
const inputs = [...document.querySelectorAll("[data-predictor]")];
const hasDraws = model.draws > 0;
const kind = page.interval_kind;
const level = String(Number((100 * page.interval).toPrecision(6)));
const touched = new Set();
let language = page.language;
let words = page.words[language];

// ---- words ----

const say = (key, parts = {}) => fill(words[key], parts);
const withSign = (share, digits) => say("percent", { number: percent(share, digits) });
const withThreshold = (threshold) => say("percent", { number: plainNumber(100 * threshold) });
const joined = (lines) => lines.filter(Boolean).join(words.separator);

/** Text is written where it differs only, so that nothing is read out twice. */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function valueText(predictor, value) {
  if (predictor.yes_no) return words[value ? "yes" : "no"];
  if (predictor.levels.length) return predictor.levels[value];
  return plainNumber(value) + (predictor.unit ? ` ${predictor.unit}` : "");
}

function paragraphs(lines) {
  return lines.filter(Boolean).map((text) => make("p", {}, text));
}

// ---- what is entered ----

const field = (box) => box.querySelector("input[type=text], select");

/** One input as {value}, {value, unknown}, {value, far} or {error, ...}. */
function readInput(box, i) {
  const predictor = predictors[i];
  const entered = { predictor, preset: !touched.has(box) };
  if (!predictor.levels.length) {
    return { ...entered, ...readNumber(model, predictor, field(box).value) };
  }
  const chosen = field(box)?.value ?? box.querySelector(":checked")?.value ?? "";
  if (chosen === "") return { ...entered, unknown: true, value: predictor.preset };
  return { ...entered, value: Number(chosen) };
}

function messageOf({ predictor, error, unknown, far, ...parts }) {
  const [low, high] = predictor.limits.map(plainNumber);
  if (error) return say(error, parts);
  if (unknown) return say("assumed_value", { value: valueText(predictor, predictor.preset) });
  return far ? say("warning_range", { low, high }) : "";
}

/** What is said below an input: an error, a warning, or what is assumed. */
function showMessage(box, read) {
  const message = box.querySelector(".message");
  message.classList.toggle("warning", !read.error);
  write(message, messageOf(read));
  box.classList.toggle("preset", read.preset);
  const text = field(box);
  text?.setAttribute("aria-invalid", String(Boolean(read.error)));
  if (text?.type === "text") showNumber(text, read.error || read.unknown ? null : read.value);
}

/** What a screen reader says of a number field. */
function showNumber(text, value) {
  if (value === null) text.removeAttribute("aria-valuenow");
  else text.setAttribute("aria-valuenow", value);
  text.setAttribute("aria-valuetext", text.value || words.unknown);
}

/** The threshold, or NaN where none can be read. */
function readThreshold() {
  const text = byId("threshold").value.normalize("NFKC").replace(/%\s*$/, "").trim();
  const value = NUMBER.test(text) ? Number((Number(text) / 100).toPrecision(12)) : NaN;
  const [low, high] = page.thresholds;
  const error = !(value >= low && value <= high);
  const limits = { low: plainNumber(100 * low), high: plainNumber(100 * high) };
  byId("threshold").setAttribute("aria-invalid", String(error));
  showNumber(byId("threshold"), error ? null : text);
  const hint = touched.has("threshold") || page.threshold_declared ? "" : words.threshold_preset;
  write(byId("threshold-message"), error ? say("error_threshold", limits) : hint);
  byId("threshold-message").classList.toggle("warning", !error);
  if (error) return NaN;
  byId("slider").value = value;
  byId("slider").setAttribute("aria-valuetext", withThreshold(value));
  return value;
}

// ---- parts of the result ----

const limitTexts = ({ risk, lower, upper }, threshold) => ({
  lower: limitPercent(lower, threshold, decimals(risk)),
  upper: limitPercent(upper, threshold, decimals(risk)),
});

function showHeadline(result, threshold) {
  const digits = ([name, share]) => [name, (100 * share).toFixed(3)];
  const { risk, lower, upper } = result;
  const unrounded = Object.fromEntries(Object.entries({ risk, lower, upper }).map(digits));
  write(byId("risk"), withSign(risk));
  write(byId("interval"), say(`interval_${kind}`, { level, ...limitTexts(result, threshold) }));
  write(byId("unrounded"), say(hasDraws ? "unrounded" : "unrounded_plain", unrounded));
}

/** How the result came about, for those who read it, and shorter for the notes. */
function caveats(reads) {
  const named = ({ predictor, value }) => ({
    label: predictor.label,
    value: valueText(predictor, value),
  });
  const unknown = reads.filter((read) => read.unknown);
  const why = ({ predictor }) => (predictor.median ? "assumed_median" : "assumed_frequent");
  const assumed = joined(unknown.map((read) => say(why(read), named(read))));
  const plain = joined(unknown.map((read) => say("assumed_plain", named(read))));
  const far = joined(reads.map((read) => read.far && read.predictor.label));
  const count = reads.filter((read) => read.preset && !read.unknown).length;
  const preset = { count, all: reads.length };
  const lines = [
    far && say("extrapolated", { list: far }),
    assumed && say("assumed", { list: assumed }),
    count && say(count === reads.length ? "preset_all" : "preset_count", preset),
  ];
  const remarks = joined([
    plain && say("note_assumed", { list: plain }),
    far && say("note_extrapolated", { list: far }),
    count && say("note_presets", preset),
    hasDraws && !page.threshold_declared && !touched.has("threshold") && words.note_threshold,
  ]);
  return { lines, remarks: remarks && say("note_remarks", { list: remarks }) };
}

function showDots(result) {
  const limits = hasDraws ? [result.lower, result.upper] : [result.risk, result.risk];
  const counts = [result.risk, ...limits].map((share) => Math.round(100 * share));
  const count = (n) => (n === 0 ? words.dots_none : n === 100 ? words.dots_all : String(n));
  const [risk, lower, upper] = counts.map(count);
  const parts = { risk, lower, upper, outcome: page.outcome };
  const key = ["dot_lower", "dot_estimate", "dot_upper"].map((one) => say(one, parts));
  byId("dots").replaceChildren(...dotMarks(...counts, hasDraws));
  byId("key").replaceChildren(...(hasDraws ? dotKey(key) : []));
  write(byId("dots-text"), say(hasDraws ? "dots" : "dots_plain", parts));
}

function showCurve(result, threshold) {
  const tick = (number) => say("percent", { number: plainNumber(number) });
  const quarter = (share) => withSign(quantile(result.sorted, share), decimals(result.risk));
  byId("curve").replaceChildren(...curveMarks(result, threshold, tick));
  const sets = words[`sets_${kind}`];
  const draws = model.draws.toLocaleString("en");
  const parts = { sets, draws, first: quarter(0.25), third: quarter(0.75) };
  const marked = threshold && say("curve_threshold", { threshold: withThreshold(threshold) });
  write(byId("curve-text"), [say("curve", parts), marked].filter(Boolean).join(" "));
}

/** Whether the interval settles the decision; null where there is no interval or no threshold. */
function decisionOf(result, threshold) {
  if (!hasDraws || !threshold) return null;
  const reached = shareAtLeast(result.sorted, threshold);
  const side = result.upper < threshold ? "below" : result.lower > threshold ? "above" : "open";
  const share = side === "below" ? 1 - reached : reached;
  return {
    key: side + (kind === "credible" ? "" : "_share"),
    probability: probabilityText(share),
    share: withSign(share),
    sets: words[`sets_${kind}`],
  };
}

function decisionText(result, decided, threshold) {
  if (!threshold) return "";
  const shown = withThreshold(threshold);
  if (decided) return say(`decision_${decided.key}`, { ...decided, threshold: shown });
  const side = words[result.risk < threshold ? "side_below" : "side_above"];
  return say("decision_none", { threshold: shown, side });
}

/** What a threshold says of the price of the two mistakes. */
function thresholdMeaning(threshold) {
  if (!threshold) return "";
  const odds = (1 - threshold) / threshold;
  const others = odds.toFixed(odds < 9.95 ? 1 : 0).replace(/\.0$/, "");
  return say("threshold_meaning", { threshold: withThreshold(threshold), others });
}

function noteText(result, decided, threshold, remarks) {
  const shown = plainNumber(100 * threshold);
  const decision = decided ? say(`note_${decided.key}`, { ...decided, threshold: shown }) : "";
  const { outcome } = page;
  const parts = { outcome, level, decision, risk: percent(result.risk) };
  const sentence = say(`note_${kind}`, { ...parts, ...limitTexts(result, threshold) });
  const share = page.event_share && { share: withSign(page.event_share[0]) };
  const marks = [
    share && say("note_share", share),
    page.synthetic && words.note_synthetic,
    page.problems.length && words.note_untrusted,
  ];
  const undecided = /[;；]\s*$/;
  return [sentence.replace(undecided, ""), remarks, ...marks].filter(Boolean).join("");
}

function showDecision(result, threshold, remarks) {
  const decided = decisionOf(result, threshold);
  write(byId("decision"), decisionText(result, decided, threshold));
  write(byId("threshold-meaning"), thresholdMeaning(threshold));
  write(byId("note"), noteText(result, decided, threshold, remarks));
}

function effectRow({ predictor, value, effect }, farthest) {
  const name = make("th", { scope: "row" }, predictor.label);
  name.append(make("span", {}, valueText(predictor, value)));
  const drawn = make("td");
  drawn.append(effectBar(effect, farthest));
  const [estimate, lower, upper] = [effect.estimate, effect.lower, effect.upper].map(signed);
  const numbers = make("td", {}, estimate);
  if (hasDraws) numbers.append(" ", make("span", {}, say("to", { lower, upper })));
  const row = make("tr");
  row.append(name, drawn, numbers);
  return row;
}

function showContributions(reads) {
  const moved = reads
    .filter(({ predictor, value }) => value !== predictor.preset)
    .map((one) => ({ ...one, effect: effectOf(model, one.predictor, one.value) }))
    .sort((a, b) => Math.abs(b.effect.estimate) - Math.abs(a.effect.estimate));
  const reach = moved.flatMap(({ effect }) => Object.values(effect)).filter(Number.isFinite);
  const farthest = Math.max(1e-9, ...reach.map(Math.abs));
  byId("contributions").hidden = !moved.length;
  byId("contributions").tBodies[0].replaceChildren(...moved.map((one) => effectRow(one, farthest)));
  const lead = hasDraws ? "contributions_lead" : "contributions_plain";
  const parts = { risk: withSign(reference.risk), level };
  write(byId("contributions-lead"), say(moved.length ? lead : "contributions_none", parts));
  const same = reads.filter(({ predictor, value }) => value === predictor.preset);
  const list = joined(same.map(({ predictor }) => predictor.label));
  write(
    byId("contributions-rest"),
    moved.length && list ? say("contributions_rest", { list }) : "",
  );
}

/** Printed, an input is its value. */
function showValuesForPrint(reads) {
  const entries = reads.map(({ predictor, value, unknown, preset }) => {
    const mark = unknown ? words.print_assumed : preset ? words.print_preset : "";
    const entry = make("div");
    const shown = valueText(predictor, value) + mark;
    entry.append(make("dt", {}, predictor.label), make("dd", {}, shown));
    return entry;
  });
  byId("print-values").replaceChildren(...entries);
}

// ---- everything at once ----

function update() {
  const reads = inputs.map(readInput);
  inputs.forEach((box, i) => showMessage(box, reads[i]));
  const threshold = readThreshold();
  const wrong = joined(reads.map((read) => read.error && read.predictor.label));
  for (const part of document.querySelectorAll("[data-result]")) part.hidden = Boolean(wrong);
  write(byId("no-risk"), wrong ? say("no_risk", { labels: wrong }) : "");
  if (wrong) return;
  const result = riskOf(
    model,
    designRow(
      model,
      reads.map((read) => read.value),
    ),
  );
  const { lines, remarks } = caveats(reads);
  showHeadline(result, threshold);
  byId("caveats").replaceChildren(...paragraphs(lines));
  showDots(result);
  if (hasDraws) showCurve(result, threshold);
  showDecision(result, threshold, remarks);
  showContributions(reads);
  showValuesForPrint(reads);
}

function showAbout() {
  const [draws, all] = [model.draws, page.all_draws].map((count) => count.toLocaleString("en"));
  const name = words[`model_${page.model_name}`] ?? page.model_name;
  const lines = [
    say(`about_model_${kind}`, { model: name, data: page.data, draws }),
    words.about_private,
    model.draws < page.all_draws && say("about_thinned", { draws, all }),
  ];
  byId("about").replaceChildren(...paragraphs(lines));
}

function showHint(box, { limits, allowed, levels }) {
  const range = (key, [low, high]) => say(key, { low: plainNumber(low), high: plainNumber(high) });
  const hints = [range("studied", limits), allowed && range("allowed", allowed)];
  write(box.querySelector(".hint"), levels.length ? "" : joined(hints));
}

function showNotices() {
  if (page.notice) write(byId("synthetic"), words.synthetic || page.notice);
  if (!page.event_share) return;
  const [share, source] = page.event_share;
  write(byId("event-share"), say("event_share", { share: withSign(share), source }));
}

/** Say everything in a language. */
function speak(chosen) {
  language = chosen;
  words = page.words[language];
  document.documentElement.lang = language;
  const other = language === "en" ? "zh" : "en";
  const labels = { buttons: "buttons", result: "result", slider: "threshold_slider" };
  for (const part of document.querySelectorAll("[data-word]"))
    write(part, words[part.dataset.word]);
  for (const [id, key] of Object.entries({ ...labels, threshold: "threshold_number" })) {
    byId(id).setAttribute("aria-label", words[key]);
  }
  byId("language").lang = other;
  write(byId("language"), page.words[other].name);
  write(byId("risk-of"), say("risk_of", { outcome: page.outcome }));
  inputs.forEach((box, i) => showHint(box, predictors[i]));
  showNotices();
  showAbout();
  update();
}

function reset() {
  touched.clear();
  inputs.forEach((box, i) => {
    const value = plainNumber(presets[i]);
    if (field(box)) field(box).value = value;
    else box.querySelector(`[value="${value}"]`).checked = true;
  });
  byId("threshold").value = plainNumber(100 * page.threshold);
  byId("copied").textContent = "";
}

// ---- what a user does ----

function enter(event) {
  touched.add(event.target.closest("[data-predictor]"));
  update();
}

/** Arrow keys move a number by one step, as in any number field. */
function step(event) {
  const text = event.target;
  if (event.key === "Enter" && text.closest("[data-predictor]")) enter(event);
  const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
  if (!direction || text.getAttribute("role") !== "spinbutton") return;
  event.preventDefault();
  const box = text.closest("[data-predictor]");
  const start = text.value.trim() || String(box ? presets[inputs.indexOf(box)] : "");
  if (!NUMBER.test(start)) return;
  const size = Number(text.dataset.step ?? 100 * page.threshold_step);
  text.value = plainNumber(Number(start) + direction * size);
  text.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Copied where the browser allows it, else selected. */
async function copyNote() {
  try {
    await navigator.clipboard.writeText(byId("note").textContent);
    byId("copied").textContent = words.copied;
  } catch {
    getSelection().selectAllChildren(byId("note"));
    byId("copied").textContent = words.copy_by_hand;
  }
}

const on = (id, event, action) => byId(id).addEventListener(event, action);
on("inputs", "input", enter);
on("inputs", "click", (event) => event.target.type === "radio" && enter(event));
on("inputs", "submit", (event) => event.preventDefault());
on("threshold", "input", () => {
  touched.add("threshold");
  update();
});
on("slider", "input", (event) => {
  touched.add("threshold");
  byId("threshold").value = plainNumber(100 * Number(event.target.value));
  update();
});
on("language", "click", () => speak(language === "en" ? "zh" : "en"));
on("reset", "click", () => [reset, update].forEach((one) => one()));
on("print", "click", () => window.print());
on("copy", "click", copyNote);
document.addEventListener("keydown", step);
byId("sureness").hidden = !hasDraws;
reset();
speak(language);
