"use strict";

// Computing: numbers in, numbers out; the document is not touched.

const FORWARD = { identity: (x) => x, log: Math.log, log1p: Math.log1p, sqrt: Math.sqrt };
const LOWEST = { log: 0, log1p: -1, sqrt: 0 };
const FARTHEST = 1e6; // SD from the mean: beyond it nothing can be said
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

const logistic = (x) => 1 / (1 + Math.exp(-x));

/** Columns of 16-bit codes: the intercept, then one for each coefficient. */
function decodeDraws(text, columns, draws) {
  const bytes = atob(text);
  return Array.from({ length: columns }, (_, column) => {
    const codes = new Uint16Array(draws);
    for (let draw = 0, at = 2 * column * draws; draw < draws; draw += 1, at += 2) {
      codes[draw] = bytes.charCodeAt(at) | (bytes.charCodeAt(at + 1) << 8);
    }
    return codes;
  });
}

/** Standardised columns of one predictor at a value, or at the code of a level. */
function columnsOf(model, predictor, value) {
  const { first, count, kind, transform } = predictor;
  const encoded = Array.from({ length: count }, (_, k) => {
    if (kind === "categorical") return Number(value === k + 1);
    return FORWARD[transform](value);
  });
  return encoded.map((x, k) => (x - model.mean[first + k]) / model.sd[first + k]);
}

const designRow = (model, values) =>
  model.predictors.flatMap((predictor, i) => columnsOf(model, predictor, values[i]));

/** Weighted sum of columns in every draw; column 0 is the intercept. */
function weightedSum(model, weights) {
  const total = new Float64Array(model.draws);
  for (const [column, weight] of weights) {
    const codes = model.codes[column];
    const step = weight * model.step[column];
    const low = weight * model.low[column];
    for (let draw = 0; draw < total.length; draw += 1) total[draw] += low + step * codes[draw];
  }
  return total;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Quantile of type 7 (Hyndman & Fan), as everywhere in bayes-cmvt. */
function quantile(sorted, probability) {
  const at = probability * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

/** Risk, its limits and its sorted draws (empty where the model has none). */
function riskOf(model, row) {
  const weights = [[0, 1], ...row.map((z, j) => [j + 1, z])];
  const sorted = weightedSum(model, weights).map(logistic);
  let risk = mean(sorted);
  if (model.central) {
    risk = logistic(
      row.reduce((sum, z, j) => sum + z * model.central.beta[j], model.central.intercept),
    );
  }
  sorted.sort();
  if (!sorted.length) return { risk, sorted, lower: NaN, upper: NaN };
  return {
    risk,
    sorted,
    lower: quantile(sorted, model.tail),
    upper: quantile(sorted, 1 - model.tail),
  };
}

/** Share of sorted draws at or above a threshold. */
function shareAtLeast(sorted, threshold) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] < threshold) low = middle + 1;
    else high = middle;
  }
  return (sorted.length - low) / sorted.length;
}

/** Mean and limits of a weighted sum of coefficients over the draws, or that of the one estimate. */
function sumOver(model, weights) {
  const sorted = weightedSum(model, weights).sort();
  const estimate = model.central
    ? weights.reduce((sum, [column, z]) => sum + z * model.central.beta[column - 1], 0)
    : mean(sorted);
  if (!sorted.length) return { estimate, lower: NaN, upper: NaN };
  return { estimate, lower: quantile(sorted, model.tail), upper: quantile(sorted, 1 - model.tail) };
}

/** Difference in log-odds that one predictor makes against its preset, with limits. */
function effectOf(model, predictor, value) {
  const start = columnsOf(model, predictor, predictor.preset);
  const change = columnsOf(model, predictor, value).map((z, k) => z - start[k]);
  const weights = change.map((z, k) => [predictor.first + k + 1, z]).filter(([, z]) => z !== 0);
  if (weights.length !== 1) return sumOver(model, weights);
  const [[column, z]] = weights; // of one coefficient the sum is a multiple, and need not be sorted anew
  model.effects[column] ??= sumOver(model, [[column, 1]]);
  const { estimate, lower, upper } = model.effects[column];
  return {
    estimate: z * estimate,
    lower: z * (z < 0 ? upper : lower),
    upper: z * (z < 0 ? lower : upper),
  };
}

/** A typed text as {value}, {unknown} or {error, ...}; what is wrong first, then what is far. */
function readNumber(model, predictor, text) {
  const plain = text.normalize("NFKC").replace("−", "-").trim();
  if (!plain) return { unknown: true, value: predictor.preset };
  if (!NUMBER.test(plain)) return { error: "error_text", text: plain };
  const value = Number(plain);
  const [low, high] = predictor.allowed ?? [-Infinity, Infinity];
  if (value < low || value > high) return { error: "error_range", text: plain, low, high };
  const lowest = LOWEST[predictor.transform];
  if (value < lowest || (value === lowest && predictor.transform !== "sqrt")) {
    return {
      error: predictor.transform === "sqrt" ? "error_from" : "error_above",
      text: plain,
      low: lowest,
    };
  }
  if (!(Math.abs(columnsOf(model, predictor, value)[0]) <= FARTHEST))
    return { error: "error_large", text: plain };
  return { value, far: value < predictor.limits[0] || value > predictor.limits[1] };
}

/** Decimals of a risk in per cent, and of its limits: one below 10 and next to 100, two below 1. */
const decimals = (risk) => Number(risk < 0.0995 || risk >= 0.995) + Number(risk < 0.00995);

/** Per cent without sign, never 0 or 100. */
function percent(share, digits = decimals(share)) {
  const smallest = 10 ** -digits;
  if (200 * share < smallest) return `<${smallest}`;
  if (200 * (1 - share) <= smallest) return `>${100 - smallest}`;
  return (100 * share).toFixed(digits);
}

/** The same of a limit, with the digits that keep it apart from a threshold it does not equal. */
function limitPercent(share, threshold, digits) {
  const rounded = [digits, digits + 1, digits + 2].map((more) => percent(share, more));
  const apart = rounded.find((text) => !(Math.abs(Number(text) - 100 * threshold) < 1e-6));
  return share === threshold ? rounded[0] : (apart ?? rounded[2]);
}

function probabilityText(probability) {
  if (probability < 0.005) return "< 0.01";
  return probability > 0.995 ? "> 0.99" : `= ${probability.toFixed(2)}`;
}

const signed = (x) =>
  Math.abs(x) < 0.005 ? "0.00" : `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`;
const plainNumber = (x) => String(Number(x.toPrecision(9)));
const fill = (template, parts) => template.replace(/\{(\w+)\}/g, (_, name) => parts[name]);
