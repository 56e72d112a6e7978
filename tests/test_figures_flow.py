"""The flow of patients as a figure: every count of the table stands in a box, and nothing else."""

from __future__ import annotations

import itertools
import re

import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import save_bytes, style
from bayes_cmvt.figures.flow import plot_flow
from tests.test_figures_selection import overlap

STEPS = {
    "rows in the file": 1319,
    "left out: outcome missing": 2,
    "left out: a predictor missing": 17,
    "analysed": 1300,
}
SETS = {
    "development: patients": 900,
    "development: events": 82,
    "validation: patients": 400,
    "validation: events": 34,
}


def table(*counts):
    merged = {step: patients for part in counts for step, patients in part.items()}
    return pd.DataFrame({"step": list(merged), "patients": list(merged.values())})


def boxes(figure):
    """Text of each box, and the box."""
    (axes,) = figure.axes
    frames = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    texts = [text for text in axes.texts if text.get_text()]
    found = {}
    for text in texts:
        inside = text.get_window_extent()
        around = [
            frame.get_window_extent()
            for frame in frames
            if frame.get_window_extent().x0 <= inside.x0
            and frame.get_window_extent().x1 >= inside.x1
            and frame.get_window_extent().y0 <= inside.y0
            and frame.get_window_extent().y1 >= inside.y1
        ]
        assert len(around) == 1, text.get_text()
        found[" ".join(text.get_text().split())] = around[0]
    assert len(found) == len(frames)
    return found


@pytest.mark.parametrize("width", [style.SINGLE_MM, style.DOUBLE_MM])
def test_every_count_stands_in_one_box_and_boxes_do_not_touch(width):
    figure = plot_flow(table(STEPS, SETS), width_mm=width)
    found = boxes(figure)
    assert list(found) == [
        "1,319 rows in the file",
        "1,300 analysed",
        "2 left out: outcome missing 17 left out: a predictor missing",
        "development set 900 patients 82 with the event",
        "validation set 400 patients 34 with the event",
    ]
    for one, other in itertools.combinations(found.values(), 2):
        assert not overlap(one, other)
    numbers = re.findall(r"[\d,]+", " ".join(found))
    assert len(numbers) == len(STEPS) + len(SETS)
    assert style.figure_mm(figure)[0] == pytest.approx(width)


def test_arrows_go_from_stage_to_stage_to_those_left_out_and_to_the_sets():
    """Two stages, one box at the side and two sets: four arrows."""
    (axes,) = plot_flow(table(STEPS, SETS)).axes
    arrows = [text for text in axes.texts if not text.get_text()]
    assert len(arrows) == 1 + 1 + 2
    assert len(axes.lines) == 2  # down from the last stage, and across to the sets


def test_one_set_needs_no_box_of_its_own():
    sets = {"development: patients": 1300, "development: events": 116}
    found = boxes(plot_flow(table(STEPS, sets)))
    assert list(found)[1] == "1,300 analysed 116 with the event"
    assert len(found) == 3


def test_file_without_anyone_left_out_is_two_boxes():
    found = boxes(plot_flow(table({"rows in the file": 5, "analysed": 5})))
    assert list(found) == ["5 rows in the file", "5 analysed"]


def test_sets_alone_and_steps_left_out_last_are_drawn_too():
    assert len(boxes(plot_flow(table(SETS)))) == 2
    assert len(boxes(plot_flow(table({"rows in the file": 5, "left out: later": 1})))) == 2


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a $x$ b", "x" * 300, "年龄（岁）"])
def test_names_of_steps_are_text_and_stay_in_their_boxes(name):
    figure = plot_flow(table({name: 5, f"left out: {name}": 1, "analysed": 4}))
    found = boxes(figure)
    assert len(found) == 3
    assert not any(text.get_parse_math() for text in figure.axes[0].texts if text.get_text())
    if len(name) < 30:
        assert "".join(f"5 {name}".split()) == "".join(next(iter(found)).split())
    save_bytes(figure, "svg")  # a letter without a glyph would warn, and warnings are errors


def test_tables_that_cannot_be_drawn_are_refused():
    with pytest.raises(OptionError, match=r"'flow' cannot be drawn(.|\n)*'patients'"):
        plot_flow(table(STEPS).drop(columns="patients"))
    with pytest.raises(OptionError, match="it has no rows"):
        plot_flow(table(STEPS).iloc[:0])
