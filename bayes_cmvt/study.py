"""A study file (TOML) becomes a frozen `Study`; all that is wrong with it is said at once."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from bayes_cmvt.assumed_cohort import (
    AssumedCohort,
    Correlation,
    Formula,
    Marginal,
    Quantity,
)
from bayes_cmvt.contradictions import FAMILY_KEYS, PRIOR_KEYS, contradictions
from bayes_cmvt.errors import StudyError, nearest, quoted
from bayes_cmvt.schema import (
    KINDS,
    AnyKind,
    AnyPredictor,
    Baseline,
    Binary,
    Categorical,
    Continuous,
    DataRules,
    DataTable,
    Decision,
    Heading,
    Ordinal,
    Outcome,
    Predictor,
    Prior,
    Published,
    PublishedCoefficient,
    PublishedDirection,
    PublishedPerformance,
    PublishedResponse,
    Split,
    level_text,
)

MAX_STUDY_BYTES = 1_000_000
SECTIONS: dict[str, type[BaseModel]] = {
    "outcome": Outcome,
    "data": DataTable,
    "split": Split,
    "prior": Prior,
    "baseline": Baseline,
    "decision": Decision,
    "published": Published,
    "reconstruction": AssumedCohort,
}
NESTED: dict[str, type[BaseModel]] = {
    "coefficients": PublishedCoefficient,
    "performance": PublishedPerformance,
    "responses": PublishedResponse,
    "directions": PublishedDirection,
    "marginals": Marginal,
    "quantities": Quantity,
    "formulas": Formula,
    "correlations": Correlation,
}


@dataclass(frozen=True, repr=False)
class Study:
    """A study as declared: outcome, candidate predictors, prior, baseline, what was published.

    Attributes
    ----------
    heading : Heading
        Name, title, description, data file, language.
    outcome : Outcome
    predictors : tuple of Continuous, Binary, Categorical or Ordinal
        In display order.
    rules : DataRules
        What happens to missing values; the decimal sign of text files.
    split : Split or None
        None: every row is development data.
    prior : Prior
    baseline : Baseline
    decision : Decision
    published : Published or None
    reconstruction : AssumedCohort or None
        What a synthetic cohort is assumed to look like beyond what was published.
    source : str
        Name of the file that it was read from, without its folder.
    sha256 : str
        Hash of that file's bytes, hexadecimal.
    folder : Path or None
        Where a relative ``data`` path starts; None for a study rebuilt from a run.
    """

    heading: Heading
    outcome: Outcome
    predictors: tuple[AnyPredictor, ...]
    rules: DataRules
    split: Split | None
    prior: Prior
    baseline: Baseline
    decision: Decision
    published: Published | None
    reconstruction: AssumedCohort | None
    source: str
    sha256: str
    folder: Path | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Short name, also that of its run folder."""
        return self.heading.name

    @cached_property
    def terms(self) -> tuple[str, ...]:
        """Names of the design columns: ``name``, or ``name[level]`` for a category."""
        return tuple(term for predictor in self.predictors for term in predictor.terms)

    @cached_property
    def informed_predictors(self) -> frozenset[str]:
        """Predictors whose levels have printed responses that the study takes as its prior."""
        if self.published is None or not self.prior.published_responses:
            return frozenset()
        return frozenset(name for one in self.published.responses for name in one.where)

    @cached_property
    def shrunk_terms(self) -> tuple[str, ...]:
        """Design columns under the shrinkage prior: not kept in, no prior of their own."""
        return tuple(
            term
            for predictor in self.predictors
            if predictor.shrink and predictor.prior is None
            if predictor.name not in self.informed_predictors
            for term in predictor.terms
        )

    def to_toml(self) -> str:
        """Return the study as a TOML text with every default written out."""
        import tomli_w

        heading = self.heading.model_dump(by_alias=True, exclude_none=True)
        document: dict[str, Any] = {key: heading[key] for key in heading if key != "data"}
        document["outcome"] = _table(self.outcome)
        document["predictors"] = [
            _table(one, drop=frozenset({"shrink"} if one.prior is not None and one.shrink else ()))
            for one in self.predictors
        ]
        document["data"] = _table(self.rules)
        if self.heading.data is not None:
            document["data"]["file"] = self.heading.data
        if self.split is not None:
            document["split"] = _table(self.split)
        document["prior"] = _table(self.prior, drop=FAMILY_KEYS - PRIOR_KEYS[self.prior.family])
        by_aic = self.baseline.elimination is not None
        document["baseline"] = _table(self.baseline, drop=frozenset({"p_enter"} if by_aic else ()))
        document["decision"] = _table(self.decision)
        if self.published is not None:
            document["published"] = _table(self.published)
        if self.reconstruction is not None:
            document["reconstruction"] = _table(self.reconstruction)
        return tomli_w.dumps(document)

    def with_missing(self, rule: Literal["error", "drop"]) -> Study:
        """Return the study with another rule for missing predictor values."""
        return replace(self, rules=self.rules.model_copy(update={"missing": rule}))

    def without_split(self) -> Study:
        """Return the study with all rows in one set, as for patients of another place or time."""
        return replace(self, split=None)

    def __repr__(self) -> str:
        return protocol(self)


def _table(model: BaseModel, drop: frozenset[str] = frozenset()) -> dict[str, Any]:
    return model.model_dump(exclude_none=True, exclude=set(drop), mode="json")


def protocol(study: Study) -> str:
    """Return the study on one page: what is asked, of what, under which prior."""
    lines = [
        f"{study.name}: {study.heading.title}",
        f"  outcome     {study.outcome.label or study.outcome.column} "
        f"(column {study.outcome.column}, event {study.outcome.event!r})",
        f"  candidates  {len(study.predictors)} predictors, {len(study.terms)} columns",
    ]
    lines += [f"    {_predictor_line(predictor)}" for predictor in study.predictors]
    lines.append(f"  prior       {prior_in_words(study)}")
    lines.append(f"  missing     {study.rules.missing}")
    if study.split is not None:
        lines.append(f"  split       {study.split.column}: {study.split.development!r} develops")
    return "\n".join(lines)


def _predictor_line(predictor: AnyPredictor) -> str:
    unit = f" [{predictor.unit}]" if predictor.unit else ""
    if isinstance(predictor, Continuous):
        detail = "" if predictor.transform == "identity" else f", {predictor.transform}"
    else:
        detail = f": {quoted(predictor.levels)}"
    kept = "" if predictor.shrink else ", kept in"
    own = "" if predictor.prior is None else ", prior of its own"
    return f"{predictor.name}{unit}  {predictor.kind}{detail}{kept}{own}"


def prior_in_words(study: Study) -> str:
    """Return the prior of the coefficients in one phrase."""
    prior, columns = study.prior, len(study.shrunk_terms)
    if prior.family == "normal":
        return f"normal, scale {prior.scale:g} per SD"
    if prior.family == "student-t":
        return f"Student-t, {prior.df:g} df, scale {prior.scale:g} per SD"
    if prior.global_scale is not None:
        return (
            f"regularised horseshoe: global scale {prior.global_scale:g}, slab {prior.slab_scale:g}"
        )
    expected = columns / 2 if prior.expected_nonzero is None else prior.expected_nonzero
    return f"regularised horseshoe: {expected:g} of {columns} expected, slab {prior.slab_scale:g}"


def shipped_studies() -> dict[str, Path]:
    """Return the studies that ship with the package, name to file."""
    packaged = files("bayes_cmvt") / "models"
    # an editable install leaves a stale copy elsewhere; beside the sources the folder is a sibling
    folder = Path(__file__).resolve().parents[1] / "models"
    if packaged.is_dir():
        folder = Path(str(packaged))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def load_study(study: str | Path) -> Study:
    """Read a shipped study by its name, or any study file by its path.

    Parameters
    ----------
    study : str or Path
        ``"pep"``, or a path to a TOML file.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        The file cannot be read, or it breaks the rules of a study file; all problems at once.

    Examples
    --------
    >>> load_study("pep").outcome.column
    'pep_outcome'
    """
    shipped = shipped_studies()
    path = shipped[study] if isinstance(study, str) and study in shipped else Path(study)
    raw = _study_bytes(path, shipped)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        msg = f"{path.name} is not UTF-8 text (line {line}); save it as UTF-8"
        raise StudyError(msg) from None
    parsed = parse_study(text, source=path.name)
    return replace(parsed, folder=path.resolve().parent, sha256=hashlib.sha256(raw).hexdigest())


def _study_bytes(path: Path, shipped: Mapping[str, Path]) -> bytes:
    shown = str(path)
    if path.is_dir():
        msg = f"{shown} is a folder; name a study file (.toml) or one of {quoted(shipped)}"
        raise StudyError(msg)
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_STUDY_BYTES + 1)
    except FileNotFoundError:
        msg = (
            f"no study {shown}: it is neither a file nor a shipped study "
            f"({quoted(shipped)}){nearest(shown, shipped)}"
        )
        raise StudyError(msg) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        msg = f"{shown} cannot be read: {reason}"
        raise StudyError(msg) from None
    if len(raw) > MAX_STUDY_BYTES:
        msg = f"{shown} is larger than 1 MB; a study file is a short text"
        raise StudyError(msg)
    if not raw.strip():
        msg = f"{shown} is empty; see `bayes-cmvt init` for a draft"
        raise StudyError(msg)
    return raw


def parse_study(text: str, *, source: str = "study.toml") -> Study:
    """Read a study from TOML text.

    Parameters
    ----------
    text : str
    source : str
        Name that messages give the text.

    Returns
    -------
    Study
        Without a folder: its ``data`` cannot be resolved.

    Raises
    ------
    StudyError
        Every problem of the text at once.
    """
    document = _document(text, source)
    problems: list[str] = []
    tables = {*SECTIONS, "predictors"} & document.keys()
    if not isinstance(document.get("data"), dict):  # the file, written above the tables
        tables.discard("data")
    above = {key: value for key, value in document.items() if key not in tables}
    heading = _validated(Heading, above, "", problems)
    sections = {
        key: _validated(model, document[key], key, problems)
        for key, model in SECTIONS.items()
        if key in tables
    }
    if "outcome" not in document:
        problems.append("[outcome] is missing; it names the outcome column and its event")
    predictors = _predictors(document.get("predictors"), problems)
    problems += contradictions(heading, sections, predictors)
    if problems:
        msg = f"{source} is no usable study file"
        raise StudyError(msg, problems)
    return _assembled(heading, sections, predictors, source, text)


def _assembled(
    heading: Any, sections: Mapping[str, Any], predictors: list[Any], source: str, text: str
) -> Study:
    data = sections.get("data", DataTable())
    if data.file is not None:
        heading = heading.model_copy(update={"data": data.file})
    return Study(
        heading=heading,
        outcome=sections["outcome"],
        predictors=tuple(predictors),
        rules=DataRules.model_validate(data.model_dump(exclude={"file"})),
        split=sections.get("split"),
        prior=sections.get("prior", Prior()),
        baseline=sections.get("baseline", Baseline()),
        decision=sections.get("decision", Decision()),
        published=sections.get("published"),
        reconstruction=sections.get("reconstruction"),
        source=source,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
    )


def _document(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        msg = f"{source} is not readable as TOML: brackets nested too deeply"
    except ValueError as error:
        msg = f"{source} is not readable as TOML: {error}"
        if re.search(r"(?m)^\s*data\s*=", text) and re.search(r"(?m)^\s*\[data\]", text):
            msg += (
                '\n\n  TOML allows the name "data" once: where there is a [data] table, '
                'write the data file inside it as file = "cohort.csv"'
            )
    raise StudyError(msg) from None


def _predictors(tables: object, problems: list[str]) -> list[Any]:
    if not isinstance(tables, list) or not tables:
        problems.append("[[predictors]] is missing; give one table for each candidate predictor")
        return []
    return [_predictor(table, number, problems) for number, table in enumerate(tables, start=1)]


def _predictor(table: object, number: int, problems: list[str]) -> Any:
    where = f"predictors, no. {number}"
    if not isinstance(table, dict):
        problems.append(
            f"[[{where}]]: found {_short(table)}; write a table with name, kind and levels"
        )
        return None
    if isinstance(table.get("name"), str):
        where += f' "{_escaped(table["name"])}"'
    kind = table.get("kind")
    if isinstance(kind, str) and kind in KINDS:
        return _validated(KINDS[kind], table, where, problems)
    found = "is missing" if kind is None else f"found {_short(kind)}"
    hint = nearest(kind, KINDS) if isinstance(kind, str) else ""
    problems.append(f'[{where}], key "kind": {found}; allowed: {quoted(KINDS)}{hint}')
    _validated(AnyKind, table, where, problems)
    return None


def _validated(model: type[BaseModel], table: object, where: str, problems: list[str]) -> Any:
    """Return the table as a `model`, or None with its problems added to the list."""
    if not isinstance(table, dict):
        problems.append(f"[{where}]: found {_short(table)}; write it as a table of keys")
        return None
    try:
        return model.model_validate(table)
    except ValidationError as error:
        found = [_problem(model, where, dict(one)) for one in error.errors(include_url=False)]
        problems += dict.fromkeys(found)
        return None


def _problem(model: type[BaseModel], where: str, error: dict[str, Any]) -> str:
    place = error["loc"]
    if len(place) > 2 and place[0] in NESTED:
        model, where = NESTED[place[0]], f"{where}.{place[0]}, no. {place[1] + 1}"
        place = place[2:]
    key = _escaped(str(place[0])) if place else ""
    section = f"[{where}], " if where else ""
    allowed = [info.alias or name for name, info in model.model_fields.items()]
    if error["type"] == "extra_forbidden":
        return (
            f'{section}unknown key "{key}"; allowed: {quoted(allowed, 20)}{nearest(key, allowed)}'
        )
    if error["type"] == "missing":
        return f'{section}key "{key}" is missing'
    found = _short(error["input"])
    if error["type"] == "literal_error":
        choices_found = [one.strip("'") for one in re.split(r", | or ", error["ctx"]["expected"])]
        hint = nearest(error["input"], choices_found) if isinstance(error["input"], str) else ""
        return f'{section}key "{key}": found {found}; allowed: {quoted(choices_found)}{hint}'
    if error["type"] == "string_type":
        return f'{section}key "{key}": found {found}; write it as text, in quotes'
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    return f'{section}key "{key}": found {found}; {message}'


def _short(value: object) -> str:
    try:
        shown = repr(value)
    except ValueError:  # Python refuses to print whole numbers of more than 4300 digits
        return "a number of thousands of digits"
    except RecursionError:
        return "tables nested too deeply"
    return shown if len(shown) <= 60 else f"{shown[:57]}…"


def _escaped(text: str) -> str:
    """Return a text as messages print it, control characters escaped, long ones cut."""
    inside = text if len(text) <= 60 else f"{text[:57]}…"
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in inside)


def data_path(study: Study) -> Path | None:
    """Return the data file that a study names, inside the study's own folder.

    Raises
    ------
    StudyError
        The path leads out of that folder, for instance through a link.
    """
    if study.heading.data is None or study.folder is None:
        return None
    path = study.folder / study.heading.data
    if not path.resolve().is_relative_to(study.folder.resolve()):
        msg = (
            f'{study.source}: data "{study.heading.data}" leads out of the study\'s folder; '
            "give the file yourself with --data"
        )
        raise StudyError(msg)
    return path


__all__ = [
    "AnyPredictor",
    "Binary",
    "Categorical",
    "Continuous",
    "Ordinal",
    "Predictor",
    "Study",
    "data_path",
    "level_text",
    "load_study",
    "parse_study",
    "prior_in_words",
    "protocol",
    "shipped_studies",
]
