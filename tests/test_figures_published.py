"""Figures of printed results: read back from what was drawn."""

import functools
import io
import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from PIL import Image

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import published as module
from bayes_cmvt.figures import save_bytes, style
from bayes_cmvt.figures.published import PRIORS, plot_published, plot_responses, plot_scenarios
from bayes_cmvt.published.response_tables import response_predictive, response_table
from bayes_cmvt.responses import response_directions, response_priors
from bayes_cmvt.study import load_study
from tests.test_figures_selection import overlap, texts_of


@functools.cache
def tables(count, width=1.0):
    """Effects and their posteriors; every third effect is `width` times as uncertain."""
    rng = np.random.default_rng(3)
    labels = [predictor.display for predictor in load_study("cmvt").predictors] * 3
    effects, posteriors = [], []
    for k, (effect, se) in enumerate(
        zip(rng.normal(0, 1, count), rng.uniform(0.1, 0.9, count), strict=True)
    ):
        se *= width if k % 3 == 0 else 1.0
        ends = np.exp(effect + np.array([-1.96, 1.96, -2.5, 1.9]) * se)
        names = ("ci_lower", "ci_upper", "conditional_lower", "conditional_upper")
        words = "general against neuraxial" if k % 3 else "per 10 mg/L"
        about = {"term": f"t{k}", "label": labels[k], "contrast_words": words}
        about |= {"odds_ratio": np.exp(effect), "z": 3.3, "z_upper": 3.4 if k % 4 else np.nan}
        effects.append(about | dict(zip(names, ends, strict=True)))
        for place, prior in enumerate(PRIORS):
            found = np.exp(0.9**place * (effect + np.array([0, -1.9, 1.9]) * se))
            row = {"term": f"t{k}", "prior": prior}
            posteriors.append(row | dict(zip(("median", "lower", "upper"), found, strict=True)))
    return pd.DataFrame(effects), pd.DataFrame(posteriors)


@functools.cache
def scenario_table(count=12):
    split = np.geomspace(1, 6e-10, count)
    return pd.DataFrame(
        {
            "labels_development": ["printed", "swapped"] * (count // 2) + ["printed"] * (count % 2),
            "labels_validation": "swapped",
            "events_development": np.arange(count) + 82,
            "events_validation": 34,
            "event_share": np.linspace(0.29, 0.71, count),
            "split_p": split,
            "in_literature": np.arange(count) == 1,
            "weight": split / split.sum(),
            "default": np.arange(count) == 0,
        }
    )


@functools.cache
def response_tables():
    one = load_study("ldh")
    priors = response_priors(one)
    return response_table(priors), response_predictive(priors, response_directions(one))


@functools.cache  # nothing here changes a figure
def drawn(name):
    return {
        "forest 1": lambda: plot_published(*tables(1)),
        "forest 6": lambda: plot_published(*tables(6)),
        "forest 6 wide": lambda: plot_published(*tables(6, 6.0), width_mm=style.DOUBLE_MM),
        "forest 20 wide": lambda: plot_published(*tables(20, 6.0)),
        "forest 26": lambda: plot_published(*tables(26)),
        "scenarios": lambda: plot_scenarios(scenario_table()),
        "scenarios 1": lambda: plot_scenarios(scenario_table(1)),
        "scenarios 60": lambda: plot_scenarios(scenario_table(60)),
        "responses": lambda: plot_responses(*response_tables()),
        "responses narrow": lambda: plot_responses(*response_tables(), width_mm=85),
    }[name]()


NAMES = [
    *("forest 1", "forest 6", "forest 6 wide", "forest 20 wide", "forest 26"),
    *("scenarios", "scenarios 1", "scenarios 60", "responses", "responses narrow"),
]


# --- room: nothing overlaps, nothing is cut off -------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_no_text_meets_another_or_data_and_all_are_inside_the_figure(name):
    figure = drawn(name)
    texts = texts_of(figure)
    assert {text.get_fontsize() for text in texts} == {style.SMALL, style.LARGE}
    boxes = [text.get_window_extent() for text in texts]
    for (one, a), (other, b) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        assert not overlap(a, b), (one.get_text(), other.get_text())
    for text, box in zip(texts, boxes, strict=True):
        for axes in figure.axes:
            assert not overlap(box, axes.bbox), text.get_text()
    x0, y0, x1, y1 = np.array([box.extents for box in boxes]).T
    assert min(x0) >= 0 <= min(y0)
    assert max(x1) <= figure.bbox.x1
    assert max(y1) <= figure.bbox.y1
    assert style.figure_mm(figure)[1] <= style.PAGE_MM


def test_widths_are_those_of_a_journal():
    widths = {name: style.figure_mm(drawn(name))[0] for name in NAMES}
    narrow = {name for name, width in widths.items() if width == pytest.approx(style.SINGLE_MM)}
    assert narrow == {"forest 1", "forest 6", "responses narrow"}
    assert {round(width) for name, width in widths.items() if name not in narrow} == {175}


@pytest.mark.parametrize("name", ["forest 6", "scenarios", "responses"])
def test_bytes_are_the_same_each_time(name):
    anew = drawn.__wrapped__(name)
    assert save_bytes(drawn(name), "svg") == save_bytes(anew, "svg")


# --- odds ratios ---------------------------------------------------------------------------------


def intervals(axes):
    """Intervals drawn on axes, with the height at which each stands."""
    return [
        (float(segment[0, 1]), *np.sort(segment[:, 0]))
        for lines in axes.collections
        if isinstance(lines, LineCollection)
        for segment in lines.get_segments()
    ]


def points(axes, *, hollow=None):
    found = [line for line in axes.lines if line.get_marker() not in ("", "None", "<", ">")]
    if hollow is not None:
        found = [line for line in found if (line.get_markerfacecolor() == "white") is hollow]
    drawn_at = [zip(line.get_ydata(), line.get_xdata(), strict=True) for line in found]
    return [(float(y), float(x)) for pairs in drawn_at for y, x in pairs]


def test_each_line_is_a_number_of_the_tables_in_its_order():
    effects, posteriors = tables(6)
    (axes,) = drawn("forest 6").axes
    assert axes.get_xscale() == "log"
    expected = []
    for row in effects.to_dict("records"):
        own = posteriors[posteriors["term"] == row["term"]]
        expected.append((row["ci_lower"], row["ci_upper"]))
        expected.append((row["conditional_lower"], row["conditional_upper"]))
        expected += list(zip(own["lower"], own["upper"], strict=True))
    found = sorted(intervals(axes))
    np.testing.assert_allclose([ends for _, *ends in found], expected, rtol=1e-12)
    estimates = []
    for term, odds_ratio in zip(effects["term"], effects["odds_ratio"], strict=True):
        own = posteriors.loc[posteriors["term"] == term, "median"]
        estimates += [odds_ratio, *own]
    np.testing.assert_allclose([x for _, x in sorted(points(axes))], estimates, rtol=1e-12)
    one = [line for line in axes.lines if list(line.get_xdata()) == [1, 1]]
    assert len(one) == 1


def test_names_say_what_is_compared_and_stand_at_their_lines():
    effects, _ = tables(6)
    (axes,) = drawn("forest 6").axes
    names = [text.get_text().replace("\n", " ") for text in axes.get_yticklabels()]
    assert names == (effects["label"] + " " + effects["contrast_words"]).tolist()
    heights = np.array(sorted(y for y, *_ in intervals(axes))).reshape(6, 8)
    np.testing.assert_allclose(heights.mean(axis=1), axes.get_yticks(), rtol=1e-12)


def test_priors_have_the_same_mark_everywhere_and_are_named():
    words = [text.get_text() for text in drawn("forest 6").legends[0].get_texts()]
    assert words == [
        "printed; 95 % interval behind it",
        "given that it was selected",
        *PRIORS.values(),
        "P a bound: widest interval",
    ]
    effects, posteriors = tables(6)
    some = posteriors[posteriors["prior"].isin(["horseshoe", "strong"])]
    figure = plot_published(effects, some, interval=0.9)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words[0] == "printed; 90 % interval behind it"
    assert words[2:4] == ["strong prior", "horseshoe prior"]
    marks = {line.get_marker() for line in figure.axes[0].lines if line.get_marker() != "None"}
    assert marks == {style.MARKS[0].marker, style.MARKS[3].marker, style.MARKS[6].marker}


def test_bounds_are_hollow():
    effects, _ = tables(6)
    (axes,) = drawn("forest 6").axes
    bound = effects.loc[effects["z_upper"].isna(), "odds_ratio"]
    found = [x for _, x in sorted(points(axes, hollow=True))]
    np.testing.assert_allclose(found, bound, rtol=1e-12)
    assert len(found) == 2


def test_what_does_not_apply_is_absent():
    effects, posteriors = tables(6)
    bare = effects.assign(conditional_lower=np.nan, conditional_upper=np.nan)
    bare.loc[0, ["ci_lower", "ci_upper"]] = np.nan
    alone = plot_published(bare.drop(columns=["contrast_words", "z", "z_upper"]), pd.DataFrame())
    assert len(intervals(alone.axes[0])) == 5
    assert len(points(alone.axes[0])) == 6
    words = [text.get_text() for text in alone.legends[0].get_texts()]
    assert words == ["printed; 95 % interval behind it"]
    missing = posteriors.assign(median=posteriors["median"].where(posteriors["prior"] != "weak"))
    figure = plot_published(effects, missing)
    assert "weak prior" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_intervals_beyond_the_axis_end_in_arrows():
    figure = drawn("forest 20 wide")
    assert len(figure.axes) == 2
    effects, posteriors = tables(20, 6.0)
    low, high = figure.axes[0].get_xlim()
    assert figure.axes[1].get_xlim() == (low, high)
    assert low > 1e-3
    assert high < 1e3
    for column, other, marker in (("ci_lower", "lower", "<"), ("ci_upper", "upper", ">")):
        conditional = effects[column.replace("ci", "conditional")]
        ends = pd.concat([effects[column], conditional, posteriors[other]])
        beyond = (ends < low).sum() if marker == "<" else (ends > high).sum()
        lines = [line for axes in figure.axes for line in axes.lines]
        assert sum(line.get_marker() == marker for line in lines) == beyond > 0
    for axes in figure.axes:
        assert all(low <= start <= end <= high for _, start, end in intervals(axes))


def test_estimates_far_from_1_stay_on_the_axis():
    effects, posteriors = tables(1)
    far = effects.assign(odds_ratio=4e7, ci_lower=1e3, ci_upper=1e12)
    figure = plot_published(far, posteriors.iloc[:0])
    assert figure.axes[0].get_xlim()[1] > 4e7
    numbers = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert "10⁶" in numbers
    assert "1" in numbers
    assert {line.get_marker() for line in figure.axes[0].lines} >= {"o", ">"}


def test_rounding_reaches_beyond_the_interval_at_the_print():
    effects, posteriors = tables(1)
    ends = effects["ci_lower"][0] * 0.9, effects["ci_upper"][0] * 1.1
    rounding = pd.DataFrame(
        {
            "term": "t0",
            "quantity": ["ci_lower", "ci_upper", "z"],
            "lowest": [ends[0], 1.0, 1.0],
            "highest": [2.0, ends[1], 2.0],
        }
    )
    axes = plot_published(effects, posteriors, rounding=rounding).axes[0]
    np.testing.assert_allclose(sorted(intervals(axes))[0][1:], ends, rtol=1e-12)
    untold = rounding.assign(lowest=np.nan)
    same = plot_published(effects, posteriors, rounding=untold).axes[0]
    assert len(intervals(same)) == len(intervals(axes)) - 1 == 8


def test_ticks_of_a_logarithmic_axis_are_as_many_as_have_room():
    (axes,) = drawn("forest 6").axes
    ticks = axes.get_xticks()
    assert len(ticks) >= 3
    assert 1.0 in ticks
    assert [float(text.get_text()) for text in axes.get_xticklabels()] == pytest.approx(ticks)


# --- scenarios -----------------------------------------------------------------------------------


def test_scenarios_stand_by_weight_with_all_that_bears_on_them():
    table = scenario_table()
    shuffled = table.sample(frac=1, random_state=2)
    weights, split, shares = plot_scenarios(shuffled).axes
    widths = [bar.get_width() for bar in weights.patches if bar.get_height() < 0.9]
    np.testing.assert_allclose(widths, table["weight"], rtol=1e-12)
    names = [text.get_text() for text in weights.get_yticklabels()]
    assert names[:2] == ["82 + 34; printed / swapped", "83 + 34; swapped / swapped"]
    (diamonds,) = [line for line in split.lines if line.get_marker() == "D"]
    np.testing.assert_allclose(diamonds.get_xdata(), table["split_p"], rtol=1e-12)
    assert split.get_xscale() == "log"
    found = [x for _, x in sorted(points(shares))]
    np.testing.assert_allclose(found, table["event_share"], rtol=1e-12)
    inside = points(shares, hollow=False)
    assert inside == [(1.0, table["event_share"][1])]
    numbers = [text.get_text() for text in weights.texts]
    assert numbers[0] == f"{table['weight'][0]:.3f}"
    assert numbers[-1] == "<0.001"


def test_assumed_scenario_is_shaded_and_unknown_things_are_left_out():
    legend = [text.get_text() for text in drawn("scenarios").legends[0].get_texts()]
    assert legend == [
        "assumed where one scenario is needed",
        "in the range of the literature",
        "outside the range of the literature",
    ]
    unsaid = scenario_table().assign(
        default=False, in_literature="", split_p=np.nan, events_validation=np.nan
    )
    figure = plot_scenarios(unsaid)
    assert figure.axes[0].get_yticklabels()[0].get_text().startswith("82 + ?; ")
    assert not points(figure.axes[2], hollow=True)
    assert not [text.get_text() for text in figure.legends[0].get_texts()]


def test_scenarios_that_are_left_out_are_counted():
    title = drawn("scenarios 60").axes[0].get_xlabel().replace("\n", " ")
    assert title == "Weight (40 of 60 scenarios, the largest)"
    assert drawn("scenarios").axes[0].get_xlabel() == "Weight"


# --- responses -----------------------------------------------------------------------------------


def test_bands_are_printed_ranges_and_intervals_are_priors():
    responses, predictive = response_tables()
    first, second = drawn("responses").axes
    bands = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in first.patches]
    np.testing.assert_allclose(bands, responses[["low", "high"]], rtol=1e-12)
    shown = predictive[
        predictive["stratum"].eq("all") | predictive["note"].str.startswith("direction")
    ]
    ends = [ends for _, *ends in sorted(intervals(first))]
    np.testing.assert_allclose(ends, shown[["prior_lower", "prior_upper"]], rtol=1e-12)
    means = [x for _, x in sorted(points(first))]
    np.testing.assert_allclose(means, shown["prior_mean"], rtol=1e-12)
    ends = [ends for _, *ends in sorted(intervals(second))]
    np.testing.assert_allclose(ends, shown[["responders_lower", "responders_upper"]])
    assert [y for y, _ in points(first, hollow=True)] == [4.0, 5.0]
    assert second.get_xlabel().replace("\n", " ") == "Responders among 20 new patients"


def test_rows_say_how_much_each_figure_is_worth():
    names = [text.get_text() for text in drawn("responses").axes[0].get_yticklabels()]
    assert names == [
        "bulging, worth 20 patients",
        "protruding, worth 20 patients",
        "prolapsed, worth 20 patients",
        "free, worth 20 patients",
        "free, age_group = <25",
        "free, age_group = >=25",
    ]
    responses, predictive = response_tables()
    whole = plot_responses(responses, predictive[predictive["stratum"] == "all"])
    assert [text.get_text() for text in whole.legends[0].get_texts()] == [
        "printed range",
        "prior: mean, 95 % interval",
    ]


# --- grey, and what cannot be drawn -------------------------------------------------------------


def test_kinds_differ_in_grey_by_mark_or_by_shade():
    looks = [module._handle(kind) for kind in ("printed", *PRIORS)]
    assert len({look.get_marker() for look in looks}) == len(looks)
    conditional = module._handle("conditional")
    assert conditional.get_linewidth() > 2 * max(look.get_linewidth() for look in looks)
    png = save_bytes(drawn("responses"), "png", dpi=100)
    grey = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
    figure = drawn("responses")
    x, y = figure.axes[0].transData.transform((0.02, 2.0))
    assert 150 < grey[round(figure.bbox.height - y) + 4, round(x)] < 200


def test_tables_that_cannot_be_drawn_are_refused():
    effects, posteriors = tables(6)
    with pytest.raises(OptionError, match=r"'published' cannot be drawn(.|\n)*'ci_lower'"):
        plot_published(effects.drop(columns="ci_lower"), posteriors)
    with pytest.raises(OptionError, match=r"'published_priors' cannot be drawn(.|\n)*'median'"):
        plot_published(effects, posteriors.drop(columns="median"))
    with pytest.raises(OptionError, match="no prior is called 'flat'"):
        plot_published(effects, posteriors.replace("weak", "flat"))
    with pytest.raises(OptionError, match="no room for 70 predictors"):
        plot_published(*tables(70))
    with pytest.raises(OptionError, match="it has no rows"):
        plot_scenarios(scenario_table().iloc[:0])
    with pytest.raises(OptionError, match=r"'responses' cannot be drawn(.|\n)*'worth'"):
        plot_responses(response_tables()[0].drop(columns="worth"), response_tables()[1])
    with pytest.raises(OptionError, match="'response_predictive' cannot be drawn"):
        plot_responses(response_tables()[0], pd.DataFrame())
