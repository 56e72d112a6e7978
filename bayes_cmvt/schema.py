"""The tables of a study file: their keys, types and allowed values, one class per table.

Each class is one TOML table. Types are strict: ``"7"`` is no number and ``true`` is no 1.
What involves two tables at once (levels against coefficients, a split column that is also a
predictor) is checked in `bayes_cmvt.study`.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bayes_cmvt.plaintext import normalise_text

Level = int | float | str
MAX_WHOLE_NUMBER = 1_000_000_000
PRINTED_NUMBER = re.compile(r"[<>≤≥]?\s?[-−]?([0-9]+(\.[0-9]+)?|\.[0-9]+)")
STUDY_NAME = re.compile(r"[a-z0-9_-]{1,64}")
PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def _printable(text: str) -> str:
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
            msg = f"contains the control character U+{ord(character):04X}; remove it"
            raise ValueError(msg)
    return text


def _study_name(text: str) -> str:
    if not STUDY_NAME.fullmatch(text):
        msg = 'allowed are lower-case letters, digits, "_" and "-", at most 64 characters'
        raise ValueError(msg)
    return text


def _printable_lines(text: str) -> str:
    _printable(text.replace("\n", " ").replace("\t", " "))
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        msg = "is blank; give a name"
        raise ValueError(msg)
    if text != text.strip():
        msg = "begins or ends with a blank; write it without"
        raise ValueError(msg)
    return text


def _ascending(limits: tuple[float, float]) -> tuple[float, float]:
    if limits[0] >= limits[1]:
        msg = "the first limit must be smaller than the second"
        raise ValueError(msg)
    return limits


def level_text(level: Level) -> str:
    """Return a level as it is written in names and tables.

    Examples
    --------
    >>> level_text(2.0), level_text("general"), level_text(0.5)
    ('2', 'general', '0.5')
    """
    if isinstance(level, float) and level.is_integer():
        return str(int(level))
    return str(level)


def level_key(level: Level) -> float | str:
    """Return what two levels share that count as one: their number, else their text.

    A text counts as a number where it is written plainly: ``"01"`` is a code of its own.

    Examples
    --------
    >>> level_key(1) == level_key("1") == level_key(1.0) == level_key("1.0"), level_key("01")
    (True, '01')
    """
    if isinstance(level, str) and not PLAIN_NUMBER.fullmatch(level):
        return level
    return float(level)


def _distinct_levels(levels: tuple[Level, ...]) -> tuple[Level, ...]:
    seen: set[float | str] = set()
    for level in levels:
        if level_key(level) in seen:
            msg = f"level {level!r} stands twice (numbers and texts that look alike count as one)"
            raise ValueError(msg)
        if not level_text(level).strip():
            msg = "a level is blank; a blank cell is a missing value"
            raise ValueError(msg)
        seen.add(level_key(level))
    return levels


def _positive_sd(prior: tuple[float, float]) -> tuple[float, float]:
    if prior[1] <= 0:
        msg = "the second number is a standard deviation and must be above 0"
        raise ValueError(msg)
    return prior


def _level(value: object) -> object:
    """Refuse anything but a number or a text in one sentence, not one per type tried."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        msg = "must be a number or a text in quotes, as it stands in the data"
        raise ValueError(msg)
    if isinstance(value, str):
        return _printable(value)
    if not abs(value) <= MAX_WHOLE_NUMBER:
        msg = f"must be a finite number of at most {MAX_WHOLE_NUMBER}"
        raise ValueError(msg)
    return value


def _whole(value: object) -> object:
    """Refuse ``true`` and 1.0, which Python takes for 1."""
    if type(value) is not int:
        msg = "must be the whole number 1, the version of this format"
        raise ValueError(msg)
    return value


def _printed(text: str) -> str:
    if not PRINTED_NUMBER.fullmatch(text):
        msg = 'write the number as it is printed, such as "0.180" or "<0.001"'
        raise ValueError(msg)
    return text


Text = Annotated[str, AfterValidator(_printable)]
Lines = Annotated[str, AfterValidator(_printable_lines)]
# column names are normalised as those of the data are, or a no-break space would never match
Name = Annotated[
    str, AfterValidator(_printable), AfterValidator(_not_blank), AfterValidator(normalise_text)
]
Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(allow_inf_nan=False, gt=0)]
Probability = Annotated[float, Field(gt=0, lt=1)]
Count = Annotated[int, Field(ge=0, le=MAX_WHOLE_NUMBER)]
LevelValue = Annotated[int | float | str, BeforeValidator(_level)]
Levels = Annotated[tuple[LevelValue, ...], Field(strict=False), AfterValidator(_distinct_levels)]
Limits = Annotated[tuple[Number, Number], Field(strict=False), AfterValidator(_ascending)]
Printed = Annotated[str, AfterValidator(_printed)]


class Table(BaseModel):
    """A TOML table: unknown keys refused, types strict, frozen once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Heading(Table):
    """The keys above the first table."""

    schema_version: Annotated[Literal[1], BeforeValidator(_whole)] = Field(alias="schema")
    name: Annotated[str, AfterValidator(_study_name)]
    title: Text
    description: Lines = ""
    data: Text | None = None
    language: Literal["en", "zh"] = "en"


class Outcome(Table):
    """``[outcome]``: the column, and which of its values counts as the event."""

    column: Name
    event: LevelValue
    non_event: Levels | None = None
    label: Text = ""
    horizon: Text = ""
    note: Text = ""


class Predictor(Table):
    """What every candidate predictor may declare, whatever its kind."""

    name: Name
    label: Text = ""
    unit: Text = ""
    note: Text = ""
    cost: Positive = 1.0
    shrink: bool = True
    prior: (
        Annotated[tuple[Number, Number], Field(strict=False), AfterValidator(_positive_sd)] | None
    ) = None
    per: Positive | None = None

    @property
    def display(self) -> str:
        """The label, or the column's name where no label is declared."""
        return self.label or self.name

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of its design columns."""
        return (self.name,)


class Continuous(Predictor):
    """A measurement, entered as it is or through a named transform."""

    kind: Literal["continuous"]
    transform: Literal["identity", "log", "log1p", "sqrt"] = "identity"
    range: Limits | None = None
    axis: Limits | None = None


class Binary(Predictor):
    """Two levels; the second is coded 1."""

    kind: Literal["binary"]
    levels: Annotated[Levels, Field(min_length=2, max_length=2)] = (0, 1)


class Categorical(Predictor):
    """Unordered levels; the first is the reference, every other has a column."""

    kind: Literal["categorical"]
    levels: Annotated[Levels, Field(min_length=2, max_length=100)]

    @property
    def terms(self) -> tuple[str, ...]:
        """``name[level]`` for every level but the first."""
        return tuple(f"{self.name}[{level_text(level)}]" for level in self.levels[1:])


class Ordinal(Predictor):
    """Ordered levels, scored 0, 1, 2 … in the order in which they are declared."""

    kind: Literal["ordinal"]
    levels: Annotated[Levels, Field(min_length=2, max_length=100)]


class AnyKind(Predictor):
    """A predictor whose kind is unknown: checks the keys that all kinds share."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


AnyPredictor = Continuous | Binary | Categorical | Ordinal
LevelPredictor = Binary | Categorical | Ordinal
KINDS: dict[str, type[AnyPredictor]] = {
    "continuous": Continuous,
    "binary": Binary,
    "categorical": Categorical,
    "ordinal": Ordinal,
}


class DataRules(Table):
    """``[data]``: what happens to missing predictor values, and the decimal sign of text files."""

    missing: Literal["error", "drop"] = "error"
    decimal: Literal[".", ","] | None = None


class DataTable(DataRules):
    """``[data]`` as it is written: its rules, and the file, which belongs to the heading."""

    file: Text | None = None


class Split(Table):
    """``[split]``: the column that says which rows develop and which validate the model."""

    column: Name
    development: LevelValue
    validation: LevelValue


class Prior(Table):
    """``[prior]``: the prior of the coefficients per SD and of the intercept."""

    family: Literal["regularized-horseshoe", "normal", "student-t"] = "regularized-horseshoe"
    expected_nonzero: Positive | None = None
    global_scale: Positive | None = None
    slab_scale: Positive = 2.0
    slab_df: Positive = 4.0
    scale: Positive = 2.5
    df: Positive = 4.0
    intercept: Literal["student-t", "normal"] = "student-t"
    intercept_scale: Positive = 2.5
    published_responses: bool = False


class Baseline(Table):
    """``[baseline]``: the frequentist workflow that the reanalysis is compared with."""

    folds: Annotated[int, Field(ge=2, le=1000)] = 10
    loss: Literal["mse", "deviance", "auc"] = "mse"
    rule: Literal["min", "1se"] = "min"
    cv: Literal["exact", "glmnet"] = "exact"
    p_enter: Annotated[float, Field(gt=0, le=1)] = 0.05
    screen_p: Annotated[float, Field(gt=0, le=1)] | None = None
    elimination: Literal["aic"] | None = None
    folds_by: Literal["patients", "rows"] = "patients"
    resamples: Count = 1000


class Decision(Table):
    """``[decision]``: the threshold probabilities that make clinical sense."""

    thresholds: Annotated[
        tuple[Probability, Probability], Field(strict=False), AfterValidator(_ascending)
    ] = (0.05, 0.60)
    use: Probability | None = None


class PublishedCoefficient(Table):
    """``[[published.coefficients]]``: one printed effect with what was printed about its error."""

    term: Name
    odds_ratio: Printed | None = None
    beta: Printed | None = None
    per: Positive = 1.0
    p: Printed | None = None
    low: Printed | None = None
    high: Printed | None = None
    se: Printed | None = None


class PublishedPerformance(Table):
    """``[[published.performance]]``: printed performance of one set of patients."""

    set: Name
    n: Printed | None = None
    events: Printed | None = None
    auc: Printed | None = None
    auc_low: Printed | None = None
    auc_high: Printed | None = None
    sensitivity: Printed | None = None
    specificity: Printed | None = None
    hosmer_lemeshow_p: Printed | None = None
    calibration_mae: Printed | None = None


class PublishedResponse(Table):
    """``[[published.responses]]``: a printed share of responders in one group of patients.

    ``where`` names the group by levels of predictors; ``worth`` is how many patients' worth of
    information the share is given as a prior, which no source prints.
    """

    group: Text
    where: dict[Name, LevelValue] = {}
    share: Printed | None = None
    low: Printed | None = None
    high: Printed | None = None
    worth: Annotated[int, Field(ge=1, le=10_000)] = 20
    note: Text = ""


class PublishedDirection(Table):
    """``[[published.directions]]``: of two groups, the one that is printed to respond better."""

    where: dict[Name, LevelValue]
    better: dict[Name, LevelValue]
    worse: dict[Name, LevelValue]
    note: Text = ""


class SampleSizeFormula(Table):
    """``[published.sample_size]``: the source's own formula, N = K² p (1 - p) / δ²."""

    k: Printed
    delta: Printed
    proportions: Annotated[tuple[Printed, ...], Field(strict=False, min_length=1, max_length=2)]
    printed: Annotated[tuple[Printed, ...], Field(strict=False)] = ()
    missing: Printed | None = None
    printed_with_missing: Annotated[tuple[Printed, ...], Field(strict=False)] = ()


class Published(Table):
    """``[published]``: what the original study printed, as texts that keep the precision."""

    n: Printed | None = None
    n_development: Printed | None = None
    n_validation: Printed | None = None
    events: Printed | None = None
    events_development: Printed | None = None
    events_validation: Printed | None = None
    candidates: Printed | None = None
    literature_incidence: Annotated[tuple[Printed, Printed], Field(strict=False)] | None = None
    incidence_of: Text = ""
    assumed_or: Printed | None = None
    expected_or: Printed | None = None
    retained: Annotated[tuple[Name, ...], Field(strict=False)] = ()
    coefficients: Annotated[tuple[PublishedCoefficient, ...], Field(strict=False)] = ()
    performance: Annotated[tuple[PublishedPerformance, ...], Field(strict=False)] = ()
    responses: Annotated[tuple[PublishedResponse, ...], Field(strict=False)] = ()
    directions: Annotated[tuple[PublishedDirection, ...], Field(strict=False)] = ()
    sample_size: SampleSizeFormula | None = None
