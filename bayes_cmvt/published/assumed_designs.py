"""What is assumed beside the printed standard errors, and the designs that then have them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bayes_cmvt.published.design_tuning import Tuned, tune
from bayes_cmvt.published.event_counts import events_of, feasible_events, patients_of
from bayes_cmvt.published.printed_table import DEVELOPMENT, PrintedEffect, PrintedTable
from bayes_cmvt.published.quasi_random_design import (
    Floats,
    Item,
    Setting,
    make_design,
    quasi_random_normals,
)
from bayes_cmvt.published.weighed_scenarios import default_scenario
from bayes_cmvt.schema import Binary, Categorical, Continuous, level_text

CORRELATIONS = (0.0, 0.2, 0.33, 0.4)  # of any two risk factors, on the scale of latent normals
FEW_CORRELATIONS = (0.0, 0.33)
FURTHER_CORRELATIONS = (0.6, 0.8)  # where the printed AUC is not reached by then
LOG_SD = 0.7  # of a skewed measurement: its quarters lie at 0.62 and 1.6 of the median
MANY_EFFECTS = 8  # beyond, fewer assumptions, for time
SINGLY_AT_MOST = 3  # binary predictors of which each in turn has its other class the smaller one


@dataclass(frozen=True, eq=False)
class DesignSource:
    """What a print gives to work with.

    Attributes
    ----------
    effects : tuple of PrintedEffect
        Those with a standard error, or a bound on it.
    n, events : int
        Of the development patients.
    events_origin : str
        Whether the number of events is printed or assumed, in words.
    other_events : tuple of int
        Further numbers of events that fit the print.
    """

    effects: tuple[PrintedEffect, ...]
    n: int
    events: int
    events_origin: str
    other_events: tuple[int, ...]

    @property
    def many(self) -> bool:
        """Whether fewer assumptions are gone through, for time."""
        return len(self.effects) > MANY_EFFECTS

    @property
    def skewed(self) -> bool:
        """Whether a measurement may be skewed."""
        return any(_may_be_skewed(one) for one in self.effects)

    @property
    def log_sds(self) -> tuple[float, ...]:
        """Shapes of measurements that are gone through: normal (0), log-normal."""
        if not self.skewed:
            return (0.0,)
        return (LOG_SD,) if self.many else (0.0, LOG_SD)

    @property
    def correlations(self) -> tuple[float, ...]:
        """Latent correlations that are gone through."""
        if len(self.effects) == 1:
            return (0.0,)
        return FEW_CORRELATIONS if self.many else CORRELATIONS

    @property
    def sides(self) -> tuple[frozenset[str], ...]:
        """Terms whose class coded 0 is the smaller one: none, then each binary one, or all."""
        binary = [one.term for one in self.effects if is_binary(one)]
        if len(binary) > SINGLY_AT_MOST:
            return frozenset(), frozenset(binary)
        return (frozenset(), *(frozenset({term}) for term in binary))

    def items(self, log_sd: float) -> list[Item]:
        """Columns of the design."""
        return [
            Item(
                term=one.term,
                log_odds=one.log_odds.value,
                se=(one.se.low, one.se.value, one.se.high),
                binary=is_binary(one),
                log_sd=log_sd if _may_be_skewed(one) else 0.0,
                free=one.is_bound,
            )
            for one in self.effects
        ]


@dataclass(frozen=True, eq=False)
class Found:
    """One design with what was assumed for it; ``tuned`` is None where it cannot be had."""

    setting: Setting
    log_sd: float
    tuned: Tuned | None

    @property
    def complete(self) -> bool:
        """Whether it has every printed standard error."""
        return self.tuned is not None and bool(self.tuned.met.all())


def usable(effect: PrintedEffect) -> bool:
    """Whether a printed effect has a size, and a standard error or a bound on it."""
    return effect.log_odds.value != 0 and 0 < effect.se.value < math.inf


def is_binary(effect: PrintedEffect) -> bool:
    """Whether a term is a column of zeros and ones."""
    return isinstance(effect.predictor, Binary | Categorical)


def _may_be_skewed(effect: PrintedEffect) -> bool:
    return isinstance(effect.predictor, Continuous) and effect.predictor.transform == "identity"


def class_names(effect: PrintedEffect) -> tuple[str, str]:
    """Names of the class that an odds ratio is of and of the class that it is against."""
    predictor = effect.predictor
    if isinstance(predictor, Categorical):
        level = effect.term.removeprefix(f"{predictor.name}[").removesuffix("]")
        return f'"{level}"', f'other than "{level}"'
    levels = predictor.levels if isinstance(predictor, Binary) else (0, 1)
    return f'"{level_text(levels[1])}"', f'"{level_text(levels[0])}"'


def design_source(table: PrintedTable) -> DesignSource | str:
    """Gather what is printed; where it does not suffice, what would be needed."""
    effects = tuple(one for one in table.effects if usable(one))
    n = patients_of(table, DEVELOPMENT) or table.n
    if not effects or n is None:
        return "coefficients with standard errors and the number of patients would be needed"
    events, origin = _assumed_events(table, n)
    if events is None or not 0 < events < n:
        return "the number of patients with the event would be needed"
    others: set[int] = set()
    if events_of(table, DEVELOPMENT) is None:
        fitting = feasible_events(table, DEVELOPMENT) or {}
        others = {count for counts in fitting.values() for count in counts} - {events}
    return DesignSource(effects, n, events, origin, tuple(sorted(others)))


def _assumed_events(table: PrintedTable, n: int) -> tuple[int | None, str]:
    printed, scenario = events_of(table, DEVELOPMENT), default_scenario(table)
    if printed is not None:
        return printed, "as printed"
    if scenario is not None and scenario.events_development is not None:
        return scenario.events_development, "assumed"
    if table.incidence is not None:
        return round(n * sum(table.incidence) / 2), "the middle of the quoted incidence"
    return None, ""


def designs(source: DesignSource) -> list[Found]:
    """Tune a design for the assumed number of events, under every other assumption."""
    return _tuned(source, (source.events,), source.correlations, source.log_sds)


def designs_elsewhere(source: DesignSource) -> list[Found]:
    """Tune a design for other numbers of events that fit the print, under fewer assumptions."""
    if source.many:
        return []
    few = tuple(one for one in source.correlations if one in FEW_CORRELATIONS)
    return _tuned(source, source.other_events, few, source.log_sds[-1:])


def normals_for(source: DesignSource) -> Floats:
    """Quasi-random normals for all columns of the design."""
    return quasi_random_normals(len(source.effects))


def _tuned(
    source: DesignSource,
    events: Sequence[int],
    correlations: Sequence[float],
    log_sds: Sequence[float],
) -> list[Found]:
    """Tune designs, each starting from the one before."""
    normals, found = normals_for(source), []
    for log_sd in log_sds:
        items = source.items(log_sd)
        for side in source.sides:
            start: Tuned | None = None
            for count in events:
                for correlation in correlations:
                    setting = Setting(source.n, count, correlation, side)
                    tuned = tune(make_design(items, normals, setting), start=start)
                    start = tuned or start
                    found.append(Found(setting, log_sd, tuned))
    return found


def designs_with_auc(source: DesignSource, found: Sequence[Found], auc: float) -> list[Found]:
    """Tune designs to a printed AUC as well.

    Where the printed standard errors give less, effects with a bound on P are made stronger than
    the bound, and between two correlations of which one gives less and one gives more, the
    correlation is chosen.

    Parameters
    ----------
    source : DesignSource
    found : sequence of Found
        From `designs`.
    auc : float

    Returns
    -------
    list of Found
        Those with a correlation of `CORRELATIONS` are of the first kind.
    """
    reached: list[Found] = []
    for way in dict.fromkeys((one.log_sd, one.setting.reversed) for one in found):
        path = [one for one in found if (one.log_sd, one.setting.reversed) == way]
        if any(one.free for one in source.items(way[0])):
            reached += [_stronger(source, one, auc) for one in path if _area(one) < auc]
        if len(source.effects) > 1:
            crossing = _crossing(source, path, auc)
            reached += [] if crossing is None else [crossing]
    return reached


def _area(found: Found) -> float:
    return math.nan if found.tuned is None or not found.complete else found.tuned.auc


def _stronger(source: DesignSource, found: Found, auc: float) -> Found:
    items, normals = source.items(found.log_sd), normals_for(source)
    tuned = tune(make_design(items, normals, found.setting), auc, start=found.tuned)
    return replace(found, tuned=tuned)


def _crossing(source: DesignSource, path: list[Found], auc: float) -> Found | None:
    """The correlation at which the printed standard errors give the AUC, by interpolation."""
    path = list(itertools.takewhile(lambda one: one.complete, path))
    if not path or _area(path[0]) >= auc:
        return None
    items, normals, last = source.items(path[0].log_sd), normals_for(source), path[-1]
    for correlation in FURTHER_CORRELATIONS:
        if not _area(last) < auc:
            break
        setting = replace(last.setting, correlation=correlation)
        tuned = tune(make_design(items, normals, setting), start=last.tuned)
        last = replace(last, setting=setting, tuned=tuned)
        path.append(last)
    if not _area(last) >= auc:
        return None
    areas = [_area(one) for one in path]
    r = float(np.interp(auc, areas, [one.setting.correlation for one in path]))
    setting = replace(last.setting, correlation=r)
    tuned = tune(make_design(items, normals, setting), start=path[0].tuned)
    return replace(last, setting=setting, tuned=tuned)


def error_with_share(source: DesignSource, found: Found, j: int, share: float) -> float:
    """Standard error that a binary effect would have with another share of its smaller class."""
    if found.tuned is None:
        return math.nan
    design = make_design(source.items(found.log_sd), normals_for(source), found.setting)
    spreads = np.where(np.arange(len(source.effects)) == j, share, found.tuned.spreads)
    columns = design.columns(spreads)
    return float(design.standard_errors(columns, design.risk(columns, spreads), spreads)[j])


def assumption(source: DesignSource, found: Sequence[Found], *, with_auc: bool = False) -> str:
    """Say in words what a group of designs assumes."""
    counts = sorted({one.setting.events for one in found})
    origin = source.events_origin if counts == [source.events] else "others that fit the print"
    parts = [f"{_either(counts)} of {source.n} patients with the event ({origin})"]
    if len(source.effects) > 1:
        parts.append(f"risk factors {_correlation_words(found)}")
    if source.skewed:
        sds = sorted({one.log_sd for one in found})
        shapes = [f"log-normal (log SD {one:g})" if one else "normal" for one in sds]
        parts.append(f"measurements {_either(shapes)}")
    if any(one.is_bound for one in source.effects):
        beyond = " or beyond, so that the AUC is the printed one" if with_auc else ""
        parts.append(f"where P is printed as a bound, z at it{beyond}")
    elif with_auc:
        parts.append("the AUC is the printed one")
    return "; ".join(parts)


def _correlation_words(found: Sequence[Found]) -> str:
    values = sorted({one.setting.correlation for one in found})
    if len(values) == 1:
        return f"equally correlated, r = {values[0]:.2g}" if values[0] else "independent"
    return f"equally correlated, r = {values[0]:.2g} to {values[-1]:.2g}"


def _either(items: Sequence[object]) -> str:
    words = [str(one) for one in items]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
