"""What a nomogram's bands hold where the truth is known, and what drawing one costs.

``python benchmarks/nomogram.py coverage`` simulates data sets from logistic models with known
coefficients, draws the nomogram of each posterior, reads fresh patients off it, and prints the
tables of docs/nomogram-coverage.md. Everything about a data set follows from its number, so that
the number of cores changes no figure.

``python benchmarks/nomogram.py time`` times the nomogram of 26 predictors. Times are of one machine
at one moment, whose load is printed: compare figures of one run with each other.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.random import Generator, SeedSequence
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import bayes_cmvt as bc  # noqa: E402
from bayes_cmvt.cohort import NewPatients, load_new_patients  # noqa: E402
from bayes_cmvt.design import design_matrix  # noqa: E402
from bayes_cmvt.diagnostics import verdict  # noqa: E402
from bayes_cmvt.nomogram_bands import BANDS  # noqa: E402
from bayes_cmvt.points_scale import Scale, scale_of  # noqa: E402
from bayes_cmvt.posterior import design_of  # noqa: E402
from bayes_cmvt.predictor_axes import predictor_axes  # noqa: E402
from bayes_cmvt.resampling import run_blocks  # noqa: E402
from bayes_cmvt.schema import Baseline  # noqa: E402
from bayes_cmvt.study import Study, parse_study  # noqa: E402
from bayes_cmvt.workers import Workers  # noqa: E402
from benchmarks.baseline_coverage import Scenario, as_markdown  # noqa: E402

SEEN = 0.0005  # risk by which an interval has to leave the envelope to be counted
SEED = 2027
PREVALENCE = 0.3  # of a column of 0 and 1
PREVALENCE_SD = (PREVALENCE * (1 - PREVALENCE)) ** 0.5
POPULATION = 200_000  # patients over whom the expected event share is set
STRONG = 0.7  # log-odds per SD from which an effect is called so
FIFTHS = 5
NEVER_BEYOND = 1e-9  # points: the reference lies within its band of width 0
CENTRES = {
    "central": "nomogram (projection)",
    "risk": "posterior mean (predict)",
    "at_mean": "at mean coefficients",
    "at_median": "at median coefficients",
}
GAPS = ("central", "at_mean", "at_median")

type Floats = NDArray[np.float64]
type Flags = NDArray[np.bool_]
type Arrays = dict[str, NDArray[Any]]
type Spent = dict[str, Floats]  # wall and core seconds
type Rows = list[dict[str, str | float]]


# --- Truths --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Mixed(Scenario):
    """A truth in which every fourth column is 0 or 1; coefficients are per unit of a column.

    Attributes
    ----------
    lengths : tuple of int
        Draws per chain: those of the first fit, and of the next while it cannot be trusted.
    fresh : int
        Patients who are read off the nomogram, new ones for each data set.
    """

    lengths: tuple[int, ...] = (1500, 3000, 6000, 12_000)
    fresh: int = 1000

    @property
    def binary(self) -> Flags:
        """Which columns are 0 or 1."""
        return np.asarray(np.arange(len(self.coefficients)) % 4 == 3)

    @property
    def per_sd(self) -> Floats:
        """Log-odds per SD of each column."""
        return self.coefficients * np.where(self.binary, PREVALENCE_SD, 1.0)

    def columns(self, n: int, rng: Generator) -> Floats:
        """Columns of new patients, shape (patient, column)."""
        columns = super().columns(n, rng)
        columns[:, self.binary] = columns[:, self.binary] > norm.ppf(1 - PREVALENCE)
        return columns


def known_truth(name: str, *, patients: int, events: float, seed: int) -> Mixed:
    """Effects of the reference synth26 per SD, and the intercept that gives a share of events."""
    path = ROOT / "tests" / "reference" / "synth26_truth.json"
    truth = json.loads(path.read_text(encoding="utf-8"))
    beta = np.array(list(truth["beta"].values()), dtype=float)
    given = {"patients": patients, "correlation": truth["rho"], "settings": Baseline()}
    made = functools.partial(Mixed, name=name, seed=seed, **given)
    beta = np.where(made(intercept=0.0, coefficients=beta).binary, beta / PREVALENCE_SD, beta)
    without = made(intercept=0.0, coefficients=beta)
    log_odds = logit(without.risk(without.columns(POPULATION, np.random.default_rng(seed))))
    intercept = brentq(lambda level: expit(level + log_odds).mean() - events, -12, 4)
    return made(intercept=float(intercept), coefficients=beta)


SCENARIOS: Mapping[str, Callable[[], Mixed]] = {
    "common": functools.partial(known_truth, "common", patients=224, events=0.36, seed=SEED),
    "rare": functools.partial(known_truth, "rare", patients=337, events=0.07, seed=SEED + 1),
}


def study_of(scenario: Mixed) -> Study:
    """Study of simulated patients: every default of the prior, columns x1, x2, …."""
    heading = 'schema = 1\nname = "simulated"\ntitle = "Simulated"\n'
    outcome = '[outcome]\ncolumn = "y"\nevent = 1\n'
    kinds = ("binary" if one else "continuous" for one in scenario.binary)
    declared = (
        f'[[predictors]]\nname = "x{j}"\nkind = "{kind}"\n' for j, kind in enumerate(kinds, 1)
    )
    return parse_study(heading + outcome + "".join(declared))


def table_of(scenario: Mixed, columns: Floats) -> pd.DataFrame:
    """Columns as a file would hold them."""
    table = pd.DataFrame(columns, columns=[f"x{j + 1}" for j in range(columns.shape[1])])
    return table.astype({name: int for name in table.columns[scenario.binary]})


# --- One data set --------------------------------------------------------------------------------


def study_sets(scenario: Mixed, block: range) -> Arrays:
    """Simulate data sets by their numbers, and read fresh patients off the nomogram of each.

    Returns
    -------
    dict of str to ndarray
        First axis: data set. What is said of fresh patients has shape (data set, 6, 2): everybody,
        then each fifth of the true risk; sum over patients, and how many it is said of.
    """
    results = [_study_set(scenario, number) for number in block]
    return {name: np.stack([one[name] for one in results]) for name in results[0]}


def _study_set(scenario: Mixed, number: int) -> Arrays:
    streams = SeedSequence(scenario.seed, spawn_key=(number,)).spawn(3)
    for_patients, for_fresh, for_draws = streams
    patients, study = scenario.drawn(np.random.default_rng(for_patients)), study_of(scenario)
    table = table_of(scenario, patients.columns).assign(y=patients.outcome)
    cohort = bc.load_cohort(study, table)
    fit, trusted = trusted_fit(cohort, scenario.lengths, int(for_draws.generate_state(1)[0]))
    nomogram = bc.nomogram_points(fit, cohort)
    columns = scenario.columns(scenario.fresh, np.random.default_rng(for_fresh))
    fresh = load_new_patients(study, table_of(scenario, columns))
    truth = scenario.risk(columns)
    read = read_off(fit, nomogram, patients=fresh, scale=scale_of(fit, cohort), truth=truth)
    printed = {name: nomogram.quantity(name) for name in ("outside_envelope", "gap_largest")}
    return {
        **{name: by_fifth(values, truth) for name, values in read.items()},
        **gaps(read),
        **axes_held(nomogram, cohort, scenario.coefficients),
        **{f"printed_{name}": np.asarray(value) for name, value in printed.items()},
        "events": np.asarray(cohort.events_development),
        "draws": np.asarray(fit["posterior"].sizes["draw"]),
        "trusted": np.asarray(trusted),
    }


def trusted_fit(cohort: bc.Cohort, lengths: tuple[int, ...], seed: int) -> tuple[xr.DataTree, bool]:
    """The first fit that can be trusted, or the longest; whether it can."""
    for draws in lengths:
        fit = bc.sample(cohort, seed=seed, warmup=500, draws=draws, cores=1)
        if verdict(fit).trusted:
            return fit, True
    return fit, False


def read_off(
    fit: xr.DataTree,
    nomogram: bc.Nomogram,
    *,
    patients: NewPatients,
    scale: Scale,
    truth: Floats,
) -> dict[str, Floats]:
    """What holds of each patient, shape (patient,); NaN where a band is asked for and not drawn."""
    exact = bc.predict(fit, patients)
    lower, upper = exact["lower"].to_numpy(), exact["upper"].to_numpy()
    central = scale.log_odds(patients.predictors)
    band = bands_at(nomogram, scale.total(central))
    beyond = np.isnan(band["lower"])
    excess = np.maximum(band["lower_envelope"] - lower, upper - band["upper_envelope"])
    leaves = excess > SEEN
    read = {
        "truth": truth,
        "risk": exact["risk"].to_numpy(),
        "central": expit(central),
        **plugged_in(fit, patients),
        "exact": held(truth, lower, upper),
        "below": np.where(upper < truth, 1.0, 0.0),
        "above": np.where(lower > truth, 1.0, 0.0),
        "exact_width": upper - lower,
        "beyond": np.where(beyond, 1.0, 0.0),
        "leaves": np.where(beyond, np.nan, leaves),
        "excess": np.where(leaves, excess, np.nan),
        "outside": np.where(beyond | leaves, 1.0, 0.0),
    }
    for name, end in (("band", ""), ("envelope", "_envelope")):
        limits = band[f"lower{end}"], band[f"upper{end}"]
        read |= {name: held(truth, *limits), f"{name}_width": limits[1] - limits[0]}
    return read


def held(truth: Floats, lower: Floats, upper: Floats) -> Floats:
    """1 where an interval holds the truth, 0 where not, NaN where there is none."""
    inside = np.where((lower <= truth) & (truth <= upper), 1.0, 0.0)
    return np.where(np.isnan(lower), np.nan, inside)


def bands_at(nomogram: bc.Nomogram, total: Floats) -> dict[str, Floats]:
    """Limits of the drawn bands at total points, between grid points straight in log-odds."""
    table = nomogram.risk
    beyond = {"left": np.nan, "right": np.nan}
    return {
        name: expit(np.interp(total, table["total_points"], logit(table[name]), **beyond))
        for name in BANDS
    }


def plugged_in(fit: xr.DataTree, patients: NewPatients) -> dict[str, Floats]:
    """Risk at mean and at median coefficients, which a nomogram might have been drawn of."""
    posterior, matrix = fit["posterior"], design_matrix(design_of(fit), patients.predictors)
    intercept = posterior["intercept"].to_numpy().ravel()
    beta = posterior["beta"].to_numpy().reshape(len(intercept), -1)
    return {
        f"at_{name}": expit(centre(intercept) + matrix @ centre(beta, axis=0))
        for name, centre in (("mean", np.mean), ("median", np.median))
    }


def by_fifth(values: Floats, truth: Floats) -> Floats:
    """Sum over patients and number of them, all and by fifth of the truth, shape (6, 2)."""
    fifth = np.argsort(np.argsort(truth, kind="stable")) * FIFTHS // len(truth)
    members = np.vstack([np.ones(len(truth), bool), fifth == np.arange(FIFTHS)[:, np.newaxis]])
    members &= ~np.isnan(values)
    return np.column_stack([members @ np.nan_to_num(values), members.sum(axis=1)])


def gaps(read: Mapping[str, Floats]) -> Arrays:
    """Median and largest distance of centres from the posterior mean: (centre, 2)."""
    distance = np.abs([read[name] - read["risk"] for name in GAPS])
    return {"gap": np.column_stack([np.median(distance, axis=1), distance.max(axis=1)])}


def axes_held(nomogram: bc.Nomogram, cohort: bc.Cohort, coefficients: Floats) -> Arrays:
    """Of each axis: is the truth within its band at every value, how wide is it, how long it is.

    The truth is drawn on the scale of the nomogram, from the reference.
    """
    per_log_odds = nomogram.quantity("points_per_log_odds")
    found: dict[str, list[float]] = {"axis_held": [], "axis_width": [], "axis_drawn": []}
    for axis, coefficient in zip(predictor_axes(cohort), coefficients, strict=True):
        rows = nomogram.axes[nomogram.axes["axis"] == axis.predictor.name]
        points, lower, upper = rows[["points", "points_lower", "points_upper"]].to_numpy().T
        away = per_log_odds * coefficient * (axis.numbers - axis.reference)
        truth = rows["reference_points"].to_numpy() + away
        inside = (lower - NEVER_BEYOND <= truth) & (truth <= upper + NEVER_BEYOND)
        found["axis_held"].append(float(inside.all()))
        found["axis_width"].append(float((upper - lower).max()))
        step = per_log_odds * (axis.numbers[-1] - axis.numbers[0])
        found["axis_drawn"].append(float((points[-1] - points[0]) / step))
    return {name: np.array(values) for name, values in found.items()}


# --- Tables --------------------------------------------------------------------------------------


def ratio(numerator: Floats, denominator: Floats) -> tuple[float, float]:
    """Ratio of sums over data sets, and its standard error; the data set is the unit."""
    sets, total = len(numerator), denominator.sum()
    if not total:
        return np.nan, np.nan
    share = numerator.sum() / total
    residual = numerator - share * denominator
    return float(share), float(np.sqrt((residual**2).sum() * sets / max(sets - 1, 1)) / total)


def coverage_table(found: Arrays) -> pd.DataFrame:
    """Coverage of fresh patients' true risks, all of them and by fifth.

    Returns
    -------
    DataFrame
        ``patients, truth``; of the exact interval ``exact, mcse, below, above, width``; of the
        band and the envelope of the risk axis ``…, …_mcse, …_width``, among patients where they are
        drawn; ``beyond``: share of patients where they are not; ``leaves``: share of the others
        whose exact interval leaves the envelope; ``excess``: by how much it does where it does.
    """
    rows: Rows = []
    for place in range(1 + FIFTHS):
        part = {name: found[name][:, place].T for name in NAMES}
        row: dict[str, str | float] = {"patients": f"fifth {place}" if place else "all"}
        row["truth"] = ratio(*part["truth"])[0]
        for name in ("exact", "band", "envelope"):
            row |= dict(zip((name, f"{name}_mcse"), ratio(*part[name]), strict=True))
            if name == "exact":
                row |= {each: ratio(*part[each])[0] for each in ("below", "above")}
            row[f"{name}_width"] = ratio(*part[f"{name}_width"])[0]
        rows.append(row | {name: ratio(*part[name])[0] for name in ("beyond", "leaves", "excess")})
    return pd.DataFrame(rows)


NAMES = (
    *("truth", "exact", "below", "above", "exact_width", "band", "band_width"),
    *("envelope", "envelope_width", "beyond", "leaves", "excess"),
)


def centres_table(found: Arrays) -> pd.DataFrame:
    """Mean risk of fresh patients by each centre, beside the truth.

    Returns
    -------
    DataFrame
        ``centre, mean, mcse``; ``oe``: mean true risk over mean risk; ``to_predict``: mean risk
        over that of `predict`; ``gap_median, gap_largest``: from the risk of `predict`, within a
        data set, mean over data sets; ``gap_ever``: the largest of all.
    """
    truth, risk = found["truth"][:, 0, 0], found["risk"][:, 0, 0]
    rows: Rows = []
    for name, centre in CENTRES.items():
        mean, own = ratio(*found[name][:, 0].T), found[name][:, 0, 0]
        row = {"centre": centre, "mean": mean[0], "mcse": mean[1]}
        row |= dict(zip(("oe", "oe_mcse"), ratio(truth, own), strict=True))
        row |= dict(zip(("to_predict", "to_predict_mcse"), ratio(own, risk), strict=True))
        if name in GAPS:
            gap = found["gap"][:, GAPS.index(name)]
            row |= {"gap_median": gap[:, 0].mean(), "gap_largest": gap[:, 1].mean()}
            row["gap_ever"] = gap[:, 1].max()
        rows.append(row)
    return pd.DataFrame(rows)


def axes_table(found: Arrays, scenario: Mixed) -> pd.DataFrame:
    """How often the true points of an axis lie within its band at every value.

    Returns
    -------
    DataFrame
        ``axes, held, mcse``; ``width``: of the band where it is widest, in points;
        ``length``: drawn coefficient over the true one.
    """
    size, binary = np.abs(scenario.per_sd), scenario.binary
    sizes = {"strong": size >= STRONG - 1e-9, "weak": (size > 0) & (size < STRONG - 1e-9)}
    kinds = {"continuous": ~binary, "binary": binary}
    rows: Rows = []
    for effect, of_size in (sizes | {"zero": size == 0}).items():
        for kind, of_kind in kinds.items():
            members = np.flatnonzero(of_size & of_kind)
            if not len(members):
                continue
            count = np.full(len(found["axis_held"]), float(len(members)))
            share, error = ratio(found["axis_held"][:, members].sum(axis=1), count)
            row: dict[str, str | float] = {"axes": f"{len(members)} {effect}, {kind}"}
            row |= {"held": share, "mcse": error}
            row["width"] = float(found["axis_width"][:, members].mean())
            if effect != "zero":
                drawn = found["axis_drawn"][:, members] / scenario.coefficients[members]
                row["length"] = float(drawn.mean())
            rows.append(row)
    return pd.DataFrame(rows)


def in_words(found: Arrays) -> Iterator[str]:
    """What the tables do not say."""
    events, trusted = found["events"], found["trusted"]
    draws, fits = np.unique(found["draws"], return_counts=True)
    lengths = ", ".join(f"{count} x {long}" for long, count in zip(draws, fits, strict=True))
    yield f"events: {events.mean():.1f} on average, {events.min()} to {events.max()}"
    yield f"trusted: {trusted.sum()} of {len(trusted)} fits; draws per chain: {lengths}"
    own = found["exact"][:, 0, 0] / found["exact"][:, 0, 1]
    low = np.quantile(own, [0.05, 0.5])
    yield f"coverage within a data set: 5th percentile {low[0]:.3f}, median {low[1]:.3f}"
    outside, error = ratio(*found["outside"][:, 0].T)
    yield (
        f"beyond the band or outside the envelope: {outside:.3f} (MCSE {error:.3f}) of fresh "
        f"patients; printed for the cohort: {found['printed_outside_envelope'].mean():.3f}"
    )
    gap = found["printed_gap_largest"].mean()
    yield f"largest gap printed for the cohort: {gap:.3f} on average"


def coverage(options: argparse.Namespace) -> None:
    """Study the data sets of each scenario, and print its tables."""
    workers = Workers("processes", cores=options.cores)
    for name in options.scenarios:
        scenario = SCENARIOS[name]()
        found = run_blocks(
            study_sets,
            scenario,
            options.replications,
            workers=workers,
            block=5,
            unit="data sets",
        )
        print(f"\n{name}: {options.replications} data sets of {scenario.patients} patients")
        print(f"intercept {scenario.intercept:.3f}", *in_words(found), sep="\n")
        for table in (coverage_table(found), centres_table(found), axes_table(found, scenario)):
            print(f"\n{as_markdown(table)}", flush=True)


# --- Time ----------------------------------------------------------------------------------------


def timed(spent: Spent, step: str, work: Callable[[], Any]) -> Any:
    """Do some work, note its wall time and its core time in seconds, and return what it returns."""
    before = time.perf_counter(), time.process_time()
    found = work()
    spent[step] = np.subtract((time.perf_counter(), time.process_time()), before)
    return found


def drawing_costs(fit: xr.DataTree, cohort: bc.Cohort) -> tuple[bc.Nomogram, Spent]:
    """Seconds of each step from a fit to files, all axes drawn; imports are not counted."""
    from bayes_cmvt.figures.style import save_bytes

    spent: Spent = {}
    nomogram = timed(spent, "nomogram_points", lambda: bc.nomogram_points(fit, cohort, gather=0))
    figure = timed(spent, "plot_nomogram", lambda: bc.plot_nomogram(nomogram))
    timed(spent, "PNG", lambda: save_bytes(figure, "png"))
    timed(spent, "PDF", lambda: save_bytes(figure, "pdf"))
    return nomogram, spent | {"together": np.sum(list(spent.values()), axis=0)}


def clock(options: argparse.Namespace) -> None:
    """Print the seconds of the embedded study's nomogram: the first, and once more."""
    cohort = bc.load_cohort(bc.load_study("cmvt"))
    fit = bc.sample(cohort, seed=1, cores=options.cores)
    nomogram, first = drawing_costs(fit, cohort)
    _, again = drawing_costs(fit, cohort)
    print(nomogram.notice)
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    drawn, draws = nomogram.axes["axis"].nunique(), fit["posterior"].sizes
    print(f"{drawn} axes, {draws['chain']} x {draws['draw']} draws")
    rows: Rows = [
        {"step": step, "first, s": first[step][0], "first, core-s": first[step][1]}
        | {"again, s": again[step][0], "again, core-s": again[step][1]}
        for step in first
    ]
    print(as_markdown(pd.DataFrame(rows)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    known = commands.add_parser("coverage", help="what bands hold where the truth is known")
    known.set_defaults(work=coverage)
    known.add_argument("scenarios", nargs="*", default=list(SCENARIOS), help="common, rare")
    known.add_argument("--replications", type=int, default=200)
    drawing = commands.add_parser("time", help="what drawing 26 predictors costs")
    drawing.set_defaults(work=clock)
    for command in (known, drawing):
        command.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    options.work(options)


if __name__ == "__main__":
    main()
