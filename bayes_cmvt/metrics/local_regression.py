"""Kernels of calibration curves: loess, lowess, isotonic regression, weighted quantiles.

Patients of equal risk are merged first, so that every kernel sees strictly increasing risks, each
with a weight and a weighted number of events: after merging, a patient of weight 2 and two alike
are the same. Kernels take many rows (draws, replicates) at once.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt.compilation import compiled, compiled_within

LOESS_SPAN, LOWESS_SPAN = 0.75, 2 / 3
LOWESS_STEP = 0.01  # of the range of risks: points nearer than this are interpolated
ROUNDING = 1e-9  # share of the weight by which rounding may miss a whole number
ALIKE = 1e-7  # of the bandwidth: distances that a local polynomial does not tell apart

type Floats = NDArray[np.float64]
type Counts = NDArray[np.int64]


class Merged(NamedTuple):
    """Patients of equal risk, or of a narrow range of risks, taken together for each row.

    Attributes
    ----------
    used : ndarray of int, shape (row,)
        Groups of the row. Beyond them `risk` repeats the highest and the others are 0.
    risk, weights, events : ndarray, shape (row, group)
        Risks of the groups in use increase strictly; events are weighted.
    """

    used: Counts
    risk: Floats
    weights: Floats
    events: Floats


@compiled
def merged_rows(
    outcome: Floats, risk: Floats, weights: Floats, order: Counts, most: int
) -> tuple[Counts, Floats, Floats, Floats]:
    """Merge patients of equal risk, leaving out those without weight.

    Where more than `most` different risks remain (unless `most` is 0), neighbours are merged into
    no more groups than that; the lowest and the highest risk stay by themselves.
    """
    rows, patients = max(len(risk), len(weights)), len(outcome)
    width = min(patients, most) if most > 0 else patients
    count, merged = np.empty(rows, dtype=np.int64), np.zeros((3, rows, width))
    part = np.empty((3, patients))
    for row in range(rows):
        used = _merge_ties(
            outcome,
            risk[row if len(risk) > 1 else 0],
            weights[row if len(weights) > 1 else 0],
            order[row if len(order) > 1 else 0],
            part,
        )
        if used > width:
            used = _merge_further(part, used, width)
        count[row] = used
        merged[:, row, :used] = part[:, :used]
        merged[0, row, used:] = part[0, used - 1]
    return count, merged[0], merged[1], merged[2]


@compiled_within
def _merge_ties(outcome: Floats, risk: Floats, weights: Floats, order: Counts, part: Floats) -> int:
    """Different risks, their weights and events, written to `part`; how many there are."""
    last = -1
    for patient in order:
        weight = weights[patient]
        if weight > 0:
            if last < 0 or risk[patient] != part[0, last]:
                last += 1
                part[0, last], part[1, last], part[2, last] = risk[patient], 0.0, 0.0
            part[1, last] += weight
            part[2, last] += weight * outcome[patient]
    return last + 1


@compiled_within
def _merge_further(part: Floats, used: int, most: int) -> int:
    """Merge neighbours in place and return how many groups are left."""
    step = _steps(part[0, :used], part[1, :used], most - 2)
    last = 0
    for item in range(1, used - 1):
        if item == 1 or step[item] != step[item - 1]:
            last += 1
            part[:, last] = part[:, item]
        else:
            weight = part[1, item]
            part[1, last] += weight
            part[2, last] += part[2, item]
            part[0, last] += (part[0, item] - part[0, last]) * weight / part[1, last]
    part[:, last + 1] = part[:, used - 1]
    return last + 2


@compiled_within
def _steps(x: Floats, w: Floats, steps: int) -> Counts:
    """Step that each risk stands on: equal steps of the mean of rank and distance, as shares."""
    found, before, total = np.empty(len(x), dtype=np.int64), 0.0, w.sum()
    for item in range(len(x)):
        rank, distance = (before + w[item] / 2) / total, (x[item] - x[0]) / (x[-1] - x[0])
        found[item] = min(int((rank + distance) / 2 * steps), steps - 1)
        before += w[item]
    return found


@compiled
def spread_rows(count: Counts, risk: Floats, weights: Floats, points: int) -> Floats:
    """Risks that stand for those of each row: all of them where they are few enough.

    Elsewhere the ends, the first on each step of rank and distance, and the last before a gap of
    several steps.
    """
    spread = np.empty((len(count), points))
    for row in range(len(count)):
        used = count[row]
        x = risk[row, :used]
        if used <= points:
            spread[row, :used], spread[row, used:] = x, x[-1]
            continue
        step, chosen = _steps(x, weights[row, :used], points - 1), 0
        for item in range(used):
            before = step[item - 1] if item > 0 else -1
            after = step[item + 1] if item < used - 1 else points
            if step[item] > before or after > step[item] + 1:
                spread[row, chosen] = x[item]
                chosen += 1
        spread[row, chosen:] = x[-1]
    return spread


@compiled
def loess_rows(
    count: Counts, risk: Floats, weights: Floats, events: Floats, points: Floats, span: float
) -> Floats:
    """Local quadratic regression of each row at ascending points (a row of them, or one for all).

    See `bayes_cmvt.metrics.curves.calibration_curve` for the definition.
    """
    curve = np.empty((len(count), points.shape[1]))
    kernel = np.empty((2, risk.shape[1]))
    for row in range(len(count)):
        used = count[row]
        x, w, t = risk[row, :used], weights[row, :used], events[row, :used]
        reached = _cumulated(w)
        needed = max(1.0, math.floor(reached[-1] * span + 1e-5)) - ROUNDING * reached[-1]
        at = points[row if len(points) > 1 else 0]
        window = (0, _first_reach(reached, needed))
        for k in range(len(at)):
            if k > 0 and at[k] == at[k - 1]:
                curve[row, k] = curve[row, k - 1]
                continue
            window = _nearest(x, reached, needed, at[k], window)
            curve[row, k] = _local_quadratic(x, w, t, at[k], window, kernel)
    return curve


@compiled_within
def _cumulated(weights: Floats) -> Floats:
    """Weight before each item, and in all."""
    reached = np.zeros(len(weights) + 1)
    reached[1:] = np.cumsum(weights)
    return reached


@compiled_within
def _first_reach(reached: Floats, needed: float) -> int:
    """Last item of the shortest window from the first item on that holds the weight needed."""
    right = 0
    while right < len(reached) - 2 and reached[right + 1] < needed:
        right += 1
    return right


@compiled_within
def _nearest(
    x: Floats, reached: Floats, needed: float, point: float, window: tuple[int, int]
) -> tuple[int, int]:
    """Window of the nearest items that together have the weight needed.

    Starts from that of a lower point: as the point moves up, the first item is given up as long
    as what takes its place is nearer.
    """
    left, right = window
    while True:
        following = right
        while following < len(x) and reached[following + 1] - reached[left + 1] < needed:
            following += 1
        if following == len(x) or x[following] - point >= point - x[left]:
            return left, right
        left, right = left + 1, following


@compiled_within
def _local_quadratic(
    x: Floats, w: Floats, t: Floats, point: float, window: tuple[int, int], kernel: Floats
) -> float:
    """Value at the point of the quadratic fitted to the window with tricube weights."""
    left, right = window
    half = max(point - x[left], x[right] - point)
    stop = right + 1
    while stop < len(x) and x[stop] - point <= half:
        stop += 1
    near = 0
    for i in range(left, stop):
        distance = (x[i] - point) / half if half > 0 else 0.0
        closeness = 1.0 - abs(distance * distance * distance)
        if closeness < ALIKE:  # at the bandwidth but for rounding
            closeness = 0.0
        near += closeness > 0
        kernel[0, i], kernel[1, i] = closeness * closeness * closeness, distance
    if near == 0:  # all of the window lies at its ends
        return float(t[left:stop].sum() / w[left:stop].sum())
    return _orthogonal_fit(kernel[0, left:stop], kernel[1, left:stop], w[left:stop], t[left:stop])


@compiled_within
def _orthogonal_fit(kernel: Floats, distance: Floats, w: Floats, t: Floats) -> float:
    """Value at distance 0 of the least squares quadratic, in polynomials orthogonal to each other.

    They are v, the distance from its mean, and v^2 - turn v - level (Forsythe 1957,
    doi:10.1137/0105007), so that nothing is lost to cancellation. A polynomial that vanishes on
    the patients at hand, for want of different risks, is left out.
    """
    weight, first, total = 0.0, 0.0, 0.0
    for i in range(len(kernel)):
        share = kernel[i] * w[i]
        weight += share
        first += share * distance[i]
        total += kernel[i] * t[i]
    centre = first / weight
    second, third, fourth, linear = 0.0, 0.0, 0.0, 0.0
    for i in range(len(kernel)):
        v = distance[i] - centre
        share = kernel[i] * w[i] * v * v
        second += share
        third += share * v
        fourth += share * v * v
        linear += kernel[i] * t[i] * v
    value = total / weight
    if second <= ALIKE * ALIKE * weight:
        return float(value)
    value -= linear / second * centre
    turn, level = third / second, second / weight
    norm, quadratic = 0.0, 0.0
    for i in range(len(kernel)):
        v = distance[i] - centre
        bend = v * v - turn * v - level
        norm += kernel[i] * w[i] * bend * bend
        quadratic += kernel[i] * t[i] * bend
    if norm <= ALIKE * ALIKE * fourth:
        return float(value)
    return float(value + quadratic / norm * (centre * centre + turn * centre - level))


@compiled
def lowess_rows(
    count: Counts, risk: Floats, weights: Floats, events: Floats, span: float
) -> Floats:
    """Cleveland's lowess of each row at its risks, without robustness iterations, as R's.

    See `bayes_cmvt.metrics.curves.calibration_curve` for the definition.
    """
    curve = np.empty(risk.shape)
    for row in range(len(count)):
        used = count[row]
        x, w, t = risk[row, :used], weights[row, :used], events[row, :used]
        reached = _cumulated(w)
        enough = math.floor(reached[-1] * span + 1e-7)
        needed = max(2.0, min(reached[-1], enough)) - ROUNDING * reached[-1]
        window, item, last = (0, _first_reach(reached, needed)), 0, 0
        while True:
            window = _nearest(x, reached, needed, x[item], window)
            curve[row, item] = _local_line(x, w, t, item, window)
            for k in range(last + 1, item):
                share = (x[k] - x[last]) / (x[item] - x[last])
                curve[row, k] = share * curve[row, item] + (1 - share) * curve[row, last]
            if item == used - 1:
                break
            last, item = item, item + 1
            while item + 1 < used and x[item + 1] <= x[last] + LOWESS_STEP * (x[-1] - x[0]):
                item += 1
        curve[row, used:] = curve[row, used - 1]
    return curve


@compiled_within
def _local_line(x: Floats, w: Floats, t: Floats, item: int, window: tuple[int, int]) -> float:
    """Value at an item of the line fitted to the window, or the mean where it has no spread."""
    point, left, right = x[item], window[0], window[1]
    half = max(point - x[left], x[right] - point)
    weight, first, total, crossed, second = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(left, len(x)):
        distance = x[i] - point
        if distance > 0.999 * half:
            break
        share = _lowess_kernel(abs(distance), half)
        weight += share * w[i]
        first += share * w[i] * distance
        total += share * t[i]
    centre = first / weight
    for i in range(left, len(x)):
        distance = x[i] - point
        if distance > 0.999 * half:
            break
        share = _lowess_kernel(abs(distance), half)
        second += share * w[i] * (distance - centre) ** 2
        crossed += share * t[i] * (distance - centre)
    value = total / weight
    if math.sqrt(second / weight) > 0.001 * (x[-1] - x[0]):
        value -= crossed / second * centre
    return float(value)


@compiled_within
def _lowess_kernel(distance: float, half: float) -> float:
    """Tricube, but 1 within a thousandth of the bandwidth and 0 in its last thousandth."""
    if distance <= 0.001 * half:
        return 1.0
    if distance > 0.999 * half:
        return 0.0
    ratio = distance / half
    return (1.0 - ratio * ratio * ratio) ** 3


@compiled
def isotonic_rows(count: Counts, weights: Floats, events: Floats) -> Floats:
    """Non-decreasing shares of events of each row by pooling adjacent violators."""
    curve = np.empty(weights.shape)
    pool, held = np.empty((2, weights.shape[1])), np.empty(weights.shape[1], dtype=np.int64)
    for row in range(len(count)):
        last = -1
        for item in range(count[row]):
            last += 1
            pool[0, last], pool[1, last] = weights[row, item], events[row, item]
            held[last] = 1
            # shares of neighbours compared as products: no division, no rounding of whole numbers
            while (
                last > 0 and pool[1, last - 1] * pool[0, last] >= pool[1, last] * pool[0, last - 1]
            ):
                pool[:, last - 1] += pool[:, last]
                held[last - 1] += held[last]
                last -= 1
        start = 0
        for block in range(last + 1):
            curve[row, start : start + held[block]] = pool[1, block] / pool[0, block]
            start += held[block]
        curve[row, start:] = curve[row, start - 1]
    return curve


@compiled
def interpolated_rows(count: Counts, x: Floats, values: Floats, points: Floats) -> Floats:
    """Linear interpolation of each row at ascending points; NaN outside its first and last x."""
    found = np.empty((len(count), points.shape[1]))
    for row in range(len(count)):
        used, item = count[row], 0
        at = points[row if len(points) > 1 else 0]
        for k in range(len(at)):
            while item < used - 1 and x[row, item + 1] < at[k]:
                item += 1
            if at[k] < x[row, 0] or at[k] > x[row, used - 1]:
                found[row, k] = np.nan
            elif at[k] <= x[row, item] or item == used - 1:
                found[row, k] = values[row, item]
            else:
                share = (at[k] - x[row, item]) / (x[row, item + 1] - x[row, item])
                found[row, k] = (1 - share) * values[row, item] + share * values[row, item + 1]
    return found


@compiled
def quantile_rows(count: Counts, values: Floats, weights: Floats, shares: Floats) -> Floats:
    """Quantiles (type 7) of ascending values, as if each stood there as often as it weighs."""
    found = np.empty((len(count), len(shares)))
    for row in range(len(count)):
        found[row] = _quantiles(values[row, : count[row]], weights[row, : count[row]], shares)
    return found


@compiled_within
def _quantiles(values: Floats, weights: Floats, shares: Floats) -> Floats:
    """Value number k counted from 0 is the one in whose weight k + 1/2 lies."""
    reached, found = np.cumsum(weights), np.empty(len(shares))
    for k in range(len(shares)):
        rank = (reached[-1] - 1) * shares[k]
        whole = math.floor(rank + ROUNDING)
        low = min(np.searchsorted(reached, whole + 0.5), len(values) - 1)
        high = min(np.searchsorted(reached, whole + 1.5), len(values) - 1)
        found[k] = values[low] + max(rank - whole, 0.0) * (values[high] - values[low])
    return found


@compiled
def error_rows(count: Counts, risk: Floats, weights: Floats, curve: Floats) -> Floats:
    """Mean, median, 0.9 quantile and maximum of each row's distances between risk and curve."""
    found = np.empty((len(count), 4))
    for row in range(len(count)):
        used = count[row]
        error, weight = np.abs(risk[row, :used] - curve[row, :used]), weights[row, :used]
        order = np.argsort(error)
        found[row, 0] = (error * weight).sum() / weight.sum()
        found[row, 1:3] = _quantiles(error[order], weight[order], np.array([0.5, 0.9]))
        found[row, 3] = error[order[-1]]
    return found
