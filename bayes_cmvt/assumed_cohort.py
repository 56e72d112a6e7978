"""The ``[reconstruction]`` table of a study file: what a synthetic cohort is assumed to look like.

Nothing in it was printed. What the study does not declare has a default in
`bayes_cmvt.reconstruction.latent`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from bayes_cmvt.schema import Count, Name, Number, Positive, Probability, Table, Text

Correlated = Annotated[float, Field(gt=-1, lt=1)]
Decimals = Annotated[int, Field(ge=0, le=6)]


def _add_up(shares: tuple[float, ...]) -> tuple[float, ...]:
    if shares and abs(sum(shares) - 1) > 1e-6:
        msg = f"the shares add up to {sum(shares):g}; they must add up to 1"
        raise ValueError(msg)
    return shares


class Marginal(Table):
    """``[[reconstruction.marginals]]``: the assumed distribution of one predictor.

    ``normal``: median and SD; ``lognormal``: median, and SD of the natural logarithm;
    ``shares``: one share for each level, or for each of the `values` in which a continuous
    predictor is taken to be coded. `tune` names what is adjusted to the printed standard error.
    """

    name: Name
    kind: Literal["normal", "lognormal", "shares"]
    median: Number | None = None
    sd: Positive | None = None
    decimals: Decimals = 2
    shares: Annotated[
        tuple[Probability, ...], Field(strict=False, max_length=100), AfterValidator(_add_up)
    ] = ()
    values: Annotated[tuple[Number, ...], Field(strict=False, max_length=100)] = ()
    tune: Literal["median", "sd", "shares", "nothing"] | None = None
    note: Text = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        problem = _incomplete(self)
        if problem:
            raise ValueError(problem)
        return self


class Quantity(Marginal):
    """``[[reconstruction.quantities]]``: one that is no column, such as a cell count."""


class Formula(Table):
    """``[[reconstruction.formulas]]``: a predictor that is a ratio of products.

    Where the predictor has a marginal of its own, the one factor without a marginal follows from
    it instead.
    """

    name: Name
    numerator: Annotated[tuple[Name, ...], Field(strict=False, min_length=1, max_length=10)]
    denominator: Annotated[tuple[Name, ...], Field(strict=False, max_length=10)] = ()
    decimals: Decimals = 2
    factor_decimals: Decimals = 2


class Correlation(Table):
    """``[[reconstruction.correlations]]``: latent correlation of two quantities."""

    between: Annotated[tuple[Name, Name], Field(strict=False)]
    r: Correlated


class AssumedCohort(Table):
    """``[reconstruction]``: assumptions that the print does not determine.

    `correlation` is that of every two printed predictors, each turned so that more of it means a
    higher risk, on the scale of the latent normal variables.
    """

    correlation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    events_development: Count | None = None
    events_validation: Count | None = None
    marginals: Annotated[tuple[Marginal, ...], Field(strict=False)] = ()
    quantities: Annotated[tuple[Quantity, ...], Field(strict=False)] = ()
    formulas: Annotated[tuple[Formula, ...], Field(strict=False)] = ()
    correlations: Annotated[tuple[Correlation, ...], Field(strict=False)] = ()
    note: Text = ""


def _incomplete(one: Marginal) -> str:
    """What is missing from a marginal, or has no meaning for its kind."""
    if one.kind == "shares":
        if len(one.shares) < 2:
            return 'kind "shares" needs `shares`, at least two'
        if one.values and len(one.values) != len(one.shares):
            return f"{len(one.values)} values and {len(one.shares)} shares; give one share each"
        if one.median is not None or one.sd is not None:
            return '`median` and `sd` have no meaning for kind "shares"'
        return "" if one.tune in {None, "shares", "nothing"} else "only `shares` can be tuned"
    if one.median is None or one.sd is None:
        return f'kind "{one.kind}" needs `median` and `sd`'
    if one.shares or one.values:
        return '`shares` and `values` belong to kind "shares"'
    if one.kind == "lognormal" and one.median <= 0:
        return "the median of a lognormal quantity must be above 0"
    return "`shares` cannot be tuned: there are none" if one.tune == "shares" else ""
