"""Nomograms made from chosen coefficients, by the formulas of METHODS section 5 and nothing else.

A second way to the tables that `bayes_cmvt.nomogram_points` computes: few lines, no cohort, draws
from a normal distribution around the coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bayes_cmvt.nomogram_scales import Nomogram, NomogramPatient

Array = NDArray[np.float64]
RISKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
RISKS = (*RISKS, 0.98, 0.99, 0.995, 0.998, 0.999)
MAJOR = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
SMALLEST = 1e-9


@dataclass(frozen=True)
class Axis:
    """A predictor with its central effects on the log odds and their standard errors.

    ``effects`` and ``errors`` have one entry for a continuous predictor (per unit of ``numbers``
    as encoded) and one for each level otherwise, the first level's being 0.
    """

    name: str
    values: tuple[str, ...]
    effects: tuple[float, ...]
    errors: tuple[float, ...]
    label: str = ""
    unit: str = ""
    reference: float = 0.0
    log: bool = False
    gathered: bool = False

    @property
    def kind(self) -> str:
        """Continuous with one effect; binary with two levels; categorical with more."""
        return {1: "continuous", 2: "binary"}.get(len(self.effects), "categorical")

    def coded(self, numbers: Array) -> Array:
        """Values as they are encoded."""
        return np.log(numbers) if self.log else numbers

    def contributions(self, draws: int, seed: int) -> tuple[Array, Array, float]:
        """Central log odds of each value, their draws less the reference's, the reference's."""
        normal = np.random.default_rng(seed).standard_normal((draws, len(self.effects)))
        drawn = np.array(self.effects) + normal * np.array(self.errors)
        if self.kind != "continuous":
            return np.array(self.effects), drawn - drawn[:, [0]], self.effects[0]
        away = self.coded(np.array(self.values, dtype=float)) - self.coded(
            np.array([self.reference])
        )
        return self.effects[0] * away, drawn * away, 0.0


def continuous(
    name: str, values: Sequence[float], effect: float, error: float, **more: Any
) -> Axis:
    """Return a measurement; the median lies at the middle value unless ``reference`` is given."""
    reference = more.pop("reference", values[len(values) // 2])
    texts = tuple(f"{value:g}" for value in values)
    return Axis(name, texts, (effect,), (error,), reference=reference, **more)


def levels(
    name: str, texts: Sequence[str], effects: Sequence[float], error: float, **more: Any
) -> Axis:
    """Return levels, the first of them the reference."""
    errors = (0.0, *[error] * (len(texts) - 1))
    return Axis(name, tuple(texts), tuple(effects), errors, **more)


def nomogram(
    axes: Sequence[Axis], *, intercept: float = -2.0, bands: bool = True, **more: Any
) -> Nomogram:
    """Return the nomogram of these predictors; ``intercept`` is that at the references.

    ``more`` replaces whatever else a `Nomogram` holds.
    """
    parts = [axis.contributions(4000, seed) for seed, axis in enumerate(axes)]
    lengths = np.array([np.ptp(central) for central, _, _ in parts])
    scale = 100.0 / lengths.max() if lengths.max() > SMALLEST else 1.0
    blocks = [_rows(axis, part, scale, bands=bands) for axis, part in zip(axes, parts, strict=True)]
    order = np.argsort(-lengths, kind="stable")
    table = pd.concat([blocks[place] for place in order], ignore_index=True)
    lowest = intercept + sum(central.min() - reference for central, _, reference in parts)
    table.insert(0, "model", more.get("model", "horseshoe"))
    accuracy = {"points_per_log_odds": scale, "log_odds_at_zero_points": lowest, "patients": 600.0}
    accuracy |= {"gap_median": 0.004, "gap_largest": 0.031, "outside_envelope": 0.083}
    accuracy |= {"outside_envelope_left_out": 0.094, "gap_largest_share": 0.12}
    accuracy |= {"developed_patients": 420, "developed_events": 61, "patients_of_cohort": 600}
    accuracy |= _gathered(table)
    made = Nomogram(
        *("horseshoe", "Made for a test", "pancreatitis", "30 days", "en", 0.95, "credible"),
        axes=table,
        risk=_risk(lowest, scale, lengths.sum() * scale, bands=bands),
        risk_ticks=_risk_ticks(lowest, scale, lengths.sum() * scale),
        accuracy=pd.DataFrame({"quantity": list(accuracy), "value": list(accuracy.values())}),
    )
    return replace(made, **more)


def with_quantities(made: Nomogram, **quantities: float) -> Nomogram:
    """Return the nomogram with quantities of its accuracy replaced or added."""
    kept = dict(zip(made.accuracy["quantity"], made.accuracy["value"], strict=True)) | quantities
    table = pd.DataFrame({"quantity": list(kept), "value": list(kept.values())})
    return replace(made, accuracy=table)


def _rows(
    axis: Axis, part: tuple[Array, Array, float], scale: float, *, bands: bool
) -> pd.DataFrame:
    central, drawn, reference = part
    points = scale * (central - central.min())
    at_reference = scale * (reference - central.min())
    limits = at_reference + scale * np.quantile(drawn, (0.025, 0.975), axis=0)
    limits = limits if bands else np.full_like(limits, np.nan)
    levels = axis.kind != "continuous"
    return pd.DataFrame(
        {
            "axis": axis.name,
            "value": axis.values,
            "points": points,
            "points_lower": limits[0],
            "points_upper": limits[1],
            "label": axis.label or axis.name,
            "unit": axis.unit,
            "kind": axis.kind,
            "number": np.nan if levels else np.array(axis.values, dtype=float),
            "reference": axis.values[0] if levels else f"{axis.reference:g}",
            "reference_points": at_reference,
            "length": np.ptp(points),
            "gathered": axis.gathered,
            "interval": 0.95,
        }
    )


def _gathered(table: pd.DataFrame) -> dict[str, float]:
    rows = table[table["gathered"]].drop_duplicates("axis")
    longest = np.maximum(rows["reference_points"], rows["length"] - rows["reference_points"])
    return {
        "gathered_axes": float(len(rows)),
        "gathered_points": float(rows["reference_points"].sum()),
        "gathered_error_points": float(longest.sum()),
        "gathered_error_risk": 0.012,
        "gathered_error_largest": 0.0075,
    }


def _risk(lowest: float, scale: float, highest: float, *, bands: bool) -> pd.DataFrame:
    total = np.linspace(0.0, highest, 201)
    log_odds = lowest + total / scale
    away = (total / max(highest, SMALLEST) - 0.4) ** 2
    table = {"total_points": total, "risk": _share(log_odds)}
    for limit, sign, width in (
        *(("lower", -1, 0.5), ("upper", 1, 0.5)),
        *(("lower_envelope", -1, 0.9), ("upper_envelope", 1, 0.9)),
    ):
        table[limit] = _share(log_odds + sign * (width + 2 * away))
        near = (total > 0.05 * highest) & (total < 0.9 * highest)
        table[limit] = np.where(near & bands, table[limit], np.nan)
    return pd.DataFrame(table).assign(patients=12, interval=0.95)


def _risk_ticks(lowest: float, scale: float, highest: float) -> pd.DataFrame:
    risks = np.array(RISKS)
    total = scale * (np.log(risks / (1 - risks)) - lowest)
    table = pd.DataFrame(
        {"risk": risks, "total_points": total, "major": [risk in MAJOR for risk in RISKS]}
    )
    return table[(total >= 0) & (total <= highest)].reset_index(drop=True)


def _share(log_odds: Array) -> Array:
    return 1 / (1 + np.exp(-log_odds))


def patient(
    made: Nomogram, values: dict[str, float], *, assumed: Sequence[str] = (), name: str = "row 17"
) -> Nomogram:
    """Return the nomogram with a patient at these shares of each axis (0 to 1, or beyond)."""
    rows = []
    for axis, table in made.axes.groupby("axis", sort=False):
        first = table.iloc[0]
        points = values.get(str(axis), 0.0) * first["length"]
        order = table.sort_values("points")
        nearest = table.iloc[int((table["points"] - points).abs().argmin())]
        limits = {
            limit: np.interp(points, order["points"], order[limit])
            for limit in ("points_lower", "points_upper")
        }
        rows.append(
            {"model": made.model, "row": 17, "axis": axis, "label": first["label"]}
            | {"value": nearest["value"], "number": nearest["number"], "points": points, **limits}
            | {"assumed": axis in assumed, "gathered": first["gathered"], "interval": 0.95}
            | {"beyond": not -SMALLEST <= points <= first["length"] + SMALLEST}
        )
    return replace(made, patient=_profile(made, pd.DataFrame(rows), name))


def _profile(made: Nomogram, rows: pd.DataFrame, name: str) -> NomogramPatient:
    total, scale = float(rows["points"].sum()), made.quantity("points_per_log_odds")
    at_zero, spread = made.quantity("log_odds_at_zero_points"), 0.45
    drawn = np.random.default_rng(0).normal(at_zero + total / scale, spread, 4000)
    limits = np.quantile(drawn, (0.025, 0.975))
    summary = {
        "model": made.model,
        "row": 17,
        "total_points": total,
        "total_lower": scale * (limits[0] - at_zero),
        "total_upper": scale * (limits[1] - at_zero),
        "central_risk": float(_share(np.array(at_zero + total / scale))),
        "risk": float(_share(drawn).mean()),
        "median": float(np.median(_share(drawn))),
        "lower": float(_share(limits)[0]),
        "upper": float(_share(limits)[1]),
        "interval": 0.95,
    }
    grid = np.linspace(total - 4 * spread * scale, total + 4 * spread * scale, 101)
    height = np.exp(-(((grid - total) / (spread * scale)) ** 2) / 2)
    density = pd.DataFrame({"total_points": grid, "density": height})
    return NomogramPatient(name, rows, pd.DataFrame([summary]), density)
