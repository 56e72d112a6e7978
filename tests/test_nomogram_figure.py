"""The nomogram as a figure: what is drawn lies where the tables say, and every text fits."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import (
    nomogram_risk,
    nomogram_rows,
    plot_nomogram,
    save_bytes,
    style,
    tick_labels,
    untold_labels,
)
from bayes_cmvt.figures.nomogram_layout import HIGHEST_MM
from bayes_cmvt.figures.style import Name
from tests.nomogram_builder import continuous, levels, nomogram, patient, with_quantities

AGE = continuous("age", range(20, 90, 10), 0.02, 0.008, label="Age", unit="years")
SOD = levels("sod", ("no", "yes"), (0, 0.85), 0.28, label="Sphincter of Oddi dysfunction")
TREATED = levels("rx", ("placebo", "indomethacin"), (0, -0.6), 0.25, label="Rectal indomethacin")
CRP = continuous(
    *("crp", (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100), 0.35, 0.12),
    label="C-reactive protein",
    unit="mg/L",
    log=True,
    reference=4,
)
STAGE = levels("stage", ("I", "II", "III", "IV"), (0, 0.3, 0.6, 0.9), 0.2, label="Stage")
WARDS = (
    *("general surgery", "cardiology", "orthopaedics", "gynaecology", "neurology", "urology"),
    *("paediatrics", "oncology", "emergency department", "intensive care", "other", "day clinic"),
)
WARD = levels(
    *("ward", WARDS, (0, 0.2, -0.1, 0.5, 0.9, -0.3, 0.33, -0.2, 0.7, 0.05, 0.1, 0.8), 0.3),
    label="Ward at admission",
)
LONG = continuous(
    *("stay", range(0, 35, 5), 0.015, 0.012),
    label="Length of stay in hospital before the operation in days counted from admission",
    unit="days",
)
SENTENCES = levels(
    *(
        "clinic",
        [f"{ward} with a long name that goes on" for ward in WARDS[:5]],
        (0, 1, 2, 3, 4),
        0.3,
    )
)
SMALL = levels("trainee", ("no", "yes"), (0, 0.03), 0.3, label="Trainee took part", gathered=True)
THREE = (AGE, SOD, TREATED)
VARIED = (*THREE, CRP, STAGE, WARD, LONG, SMALL)


def many(count):
    """Measurements and yes/no items in turn, each shorter than the one before."""
    axes = []
    for k in range(count):
        effect = 1.2 * 0.85**k * (-1) ** (k % 3)
        if k % 2:
            axes.append(levels(f"x{k}", ("no", "yes"), (0, effect), 0.2, label=f"Item {k}"))
        else:
            values = range(0, 90, 10)
            axes.append(continuous(f"x{k}", values, effect / 80, 0.003, label=f"Measurement {k}"))
    return axes


SHARES = {axis.name: 0.5 for axis in VARIED} | {"sod": 1, "rx": 0, "stage": 1 / 3, "ward": 1}


def worked(axes=VARIED, **more):
    """A nomogram with a patient at these shares of the axes."""
    return patient(nomogram(axes, **more), SHARES, assumed=["crp"])


def variants():
    """Figures whose texts are measured."""
    bare = nomogram(VARIED[:4], bands=False, model="baseline", interval_kind="bootstrap")
    notice = "SYNTHETIC: made to agree with printed results; no patient is in it."
    yield "one", lambda: plot_nomogram(nomogram([AGE]))
    yield "three", lambda: plot_nomogram(nomogram(THREE))
    yield "varied", lambda: plot_nomogram(nomogram(VARIED, notice=notice))
    yield "no bands", lambda: plot_nomogram(nomogram(VARIED, bands=False))
    yield "many", lambda: plot_nomogram(nomogram(many(26), notice=notice))
    yield "patient", lambda: plot_nomogram(worked())
    yield "beside", lambda: plot_nomogram(nomogram(VARIED), beside=bare)
    yield "patients", lambda: plot_nomogram(worked(), beside=patient(bare, SHARES))
    yield "long names", lambda: plot_nomogram(nomogram([AGE, SENTENCES, LONG]))
    yield "narrow", lambda: plot_nomogram(worked(), width_mm=110.0)
    yield "rare", lambda: plot_nomogram(worked(intercept=-8.0))
    yield "common", lambda: plot_nomogram(nomogram(THREE, intercept=4.0))


VARIANTS = dict(variants())


@pytest.fixture(scope="module", params=VARIANTS)
def figure(request):
    return VARIANTS[request.param]()


def sheet(figure, name):
    return next(axes for axes in figure.axes if axes.get_label() == name)


def lines(axes, gid):
    """Points and heights of lines drawn with `plot`, by their name."""
    return [line.get_xydata() for line in axes.lines if line.get_gid() == gid]


def segments(axes, gid):
    """Segments of the collections with this name."""
    found = [each.get_segments() for each in axes.collections if each.get_gid() == gid]
    return [np.asarray(segment) for each in found for segment in each]


def texts(figure):
    """Everything written, but what is empty or invisible."""
    return [each for each in figure.findobj(Text) if each.get_text().strip() and each.get_visible()]


def written(figure):
    """All words of a figure."""
    return " ".join(" ".join(each.get_text().split()) for each in texts(figure))


def boxes(figure, chosen=None):
    """Places of texts in mm from the left and bottom: left, lower, right, upper."""
    to_mm = style.MM_PER_INCH / figure.dpi
    found = [each.get_window_extent().extents * to_mm for each in chosen or texts(figure)]
    return np.array(found)


# --- the axes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [AGE, CRP, SOD, TREATED, STAGE, WARD], ids=lambda axis: axis.name)
def test_axes_and_ticks_lie_at_the_points_of_the_table(axis):
    made = nomogram([*THREE, axis] if axis not in THREE else THREE)
    rows = sheet(plot_nomogram(made), "rows 0")
    table = made.axes[made.axes["axis"] == axis.name]
    (line,) = segments(rows, axis.name)
    assert line[:, 0] == pytest.approx([table["points"].min(), table["points"].max()])
    ticks = [each[0, 0] for each in segments(rows, "ticks") if each[0, 1] == line[0, 1]]
    assert sorted(ticks) == pytest.approx(sorted(table["points"]))
    (reference,) = [each for each in lines(rows, "reference") if each[0, 1] == line[0, 1]]
    assert reference[0, 0] == pytest.approx(table["reference_points"].iloc[0])


def test_axes_stand_in_the_order_of_the_table():
    made = nomogram(VARIED)
    rows = sheet(plot_nomogram(made), "rows 0")
    drawn = made.axes.loc[~made.axes["gathered"], "axis"].unique()
    heights = [segments(rows, axis)[0][0, 1] for axis in drawn]
    assert heights == sorted(heights)
    assert segments(rows, "trainee") == []


def test_a_wedge_has_the_limits_of_the_table_at_the_height_of_each_value():
    made = nomogram([CRP])
    rows = sheet(plot_nomogram(made), "rows 0")
    (band,) = [each for each in rows.collections if each.get_gid() == "band"]
    edge = band.get_paths()[0].vertices
    (line,) = lines(rows, "line")
    for value in made.axes.itertuples():
        height = np.interp(value.points, line[:, 0], line[:, 1])
        at = edge[np.isclose(edge[:, 1], height), 0]
        assert at.min() == pytest.approx(value.points_lower)
        assert at.max() == pytest.approx(value.points_upper)


def test_the_two_wedges_meet_at_the_reference_where_it_lies_between_two_values():
    made = nomogram([CRP])  # its median, 4, is no value of the axis
    rows = sheet(plot_nomogram(made), "rows 0")
    (band,) = [each for each in rows.collections if each.get_gid() == "band"]
    edge = band.get_paths()[0].vertices
    reference = made.axes["reference_points"].iloc[0]
    height = np.interp(reference, *lines(rows, "line")[0].T)
    assert edge[np.isclose(edge[:, 1], height), 0] == pytest.approx(reference)


def test_every_level_but_the_reference_has_a_bar_of_its_own_height():
    made = nomogram([STAGE])
    rows = sheet(plot_nomogram(made), "rows 0")
    table = made.axes[made.axes["value"] != "I"]
    bars = sorted(segments(rows, "bars"), key=lambda bar: -bar[0, 1])
    expected = table.sort_values("points")[["points_lower", "points_upper"]].to_numpy()
    assert np.array([bar[:, 0] for bar in bars]) == pytest.approx(expected)
    assert len({bar[0, 1] for bar in bars}) == 3


def test_a_band_that_goes_on_is_marked_and_its_limit_written():
    made = nomogram([levels("x", ("no", "yes"), (0, 1.0), 1.0)])  # 95 % of 100 points: -96 to 296
    figure = plot_nomogram(made)
    rows = sheet(figure, "rows 0")
    low, high = rows.get_xlim()
    assert [each[0, 0] for each in lines(rows, "cut")] == [low, high]
    limits = made.axes.loc[made.axes["value"] == "yes", ["points_lower", "points_upper"]].iloc[0]
    told = {each.get_text() for each in rows.texts if each.get_gid() == "limit"}
    assert told == {f"{round(limit)}".replace("-", "−") for limit in limits}
    assert "Triangles at the edge" in written(figure)


def test_bands_that_fit_are_not_called_cut(figure):
    cut = [each for axes in figure.axes for each in lines(axes, "cut")]
    assert bool(cut) == ("Triangles at the edge" in written(figure))


def test_without_limits_there_are_axes_but_no_bands():
    figure = plot_nomogram(nomogram(VARIED, bands=False, model="baseline"))
    rows, risk = sheet(figure, "rows 0"), sheet(figure, "risk 0")
    assert not [each for each in rows.collections if each.get_gid() in ("band", "bars")]
    assert len(lines(rows, "reference")) == len(VARIED) - 1
    filled = [each for each in risk.collections if each.get_gid() == "inner band"]
    assert sum(len(each.get_paths()) for each in filled) == 0
    assert "No bands" in written(figure)
    assert "To read a band" not in written(figure)


# --- total points and risk -----------------------------------------------------------------------


def test_risk_ticks_lie_at_their_total_points():
    made = nomogram(THREE)
    totals = sheet(plot_nomogram(made), "totals 0")
    drawn = sorted(each[0, 0] for each in segments(totals, "risk ticks"))
    assert drawn == pytest.approx(sorted(made.risk_ticks["total_points"]))


def test_labels_of_the_risk_axis_stand_under_the_tick_of_that_risk():
    made = nomogram(VARIED)
    figure = plot_nomogram(made)
    totals = sheet(figure, "totals 0")
    baseline = segments(totals, "risk axis")[0][0, 1]
    at = dict(zip(made.risk_ticks["risk"], made.risk_ticks["total_points"], strict=True))
    labels = [each for each in totals.texts if each.get_position()[1] > baseline]
    assert len(labels) >= 5
    for label in labels:
        risk = round(float(label.get_text()) / 100, 9)
        assert label.get_position()[0] == pytest.approx(at[risk])


def test_ruler_risk_axis_and_panel_have_one_scale(figure):
    for column in range(len(figure.axes) // 3):
        totals, risk = sheet(figure, f"totals {column}"), sheet(figure, f"risk {column}")
        assert totals.get_xlim() == pytest.approx(risk.get_xlim())
        places = [axes.get_position() for axes in (totals, risk)]
        assert places[0].x0 == pytest.approx(places[1].x0)
        assert places[0].width == pytest.approx(places[1].width)


def test_central_risk_is_straight_on_the_drawn_scale():
    # log odds are linear in points: the line in the panel has no bend
    figure = plot_nomogram(nomogram(THREE))
    panel = sheet(figure, "risk 0")
    (line,) = lines(panel, "central risk")
    on_page = panel.transData.transform(line)
    slopes = np.diff(on_page[:, 1]) / np.diff(on_page[:, 0])
    assert slopes == pytest.approx(slopes[0], rel=1e-6)


@pytest.mark.parametrize("name", ["inner band", "envelope"])
def test_bands_of_the_risk_end_where_no_patient_is_near(name):
    made = nomogram(THREE)
    panel = sheet(plot_nomogram(made), "risk 0")
    (band,) = [each for each in panel.collections if each.get_gid() == name]
    known = made.risk.dropna(subset="lower")
    edge = band.get_paths()[0].vertices
    ends = known["total_points"].iloc[[0, -1]]
    assert [edge[:, 0].min(), edge[:, 0].max()] == pytest.approx(list(ends))
    columns = ("lower", "upper") if name == "inner band" else ("lower_envelope", "upper_envelope")
    for extreme, column in zip((np.min, np.max), columns, strict=True):
        assert extreme(edge[:, 1]) == pytest.approx(extreme(known[column]))


# --- the patient ---------------------------------------------------------------------------------


def test_a_patient_is_marked_at_the_points_of_each_axis():
    made = worked()
    rows = sheet(plot_nomogram(made), "rows 0")
    marked = {float(mark[0, 1]): float(mark[0, 0]) for mark in lines(rows, "patient")}
    table = made.patient.points.set_index("axis")["points"]
    for axis in made.axes.loc[~made.axes["gathered"], "axis"].unique():
        height = segments(rows, axis)[0][0, 1]
        assert marked.pop(float(height)) == pytest.approx(table[axis])
    assert marked == {}


def test_a_value_beyond_the_page_becomes_an_arrow_at_its_edge():
    made = patient(nomogram([AGE]), {"age": 4.0})
    rows = sheet(plot_nomogram(made), "rows 0")
    (mark,) = [line for line in rows.lines if line.get_gid() == "patient"]
    assert mark.get_marker() == ">"
    assert mark.get_xdata()[0] == rows.get_xlim()[1]


def test_assumed_values_are_hollow_and_starred():
    figure = plot_nomogram(worked())
    marks = [line for line in sheet(figure, "rows 0").lines if line.get_gid() == "patient"]
    assert sum(mark.get_markerfacecolor() == "white" for mark in marks) == 1
    starred = [each.get_text() for each in texts(figure) if each.get_text().endswith("*")]
    assert len(starred) == 1
    assert "* not given: this value is assumed." in written(figure)


def test_the_patient_is_read_off_ruler_axis_and_panel():
    made = worked()
    figure = plot_nomogram(made)
    read = made.patient.risk.iloc[0]
    totals, panel = sheet(figure, "totals 0"), sheet(figure, "risk 0")
    (marks,) = lines(totals, "patient total")
    assert marks[:, 0] == pytest.approx(read["total_points"])
    (interval,) = segments(totals, "patient interval")
    assert interval[:, 0] == pytest.approx([read["total_lower"], read["total_upper"]])
    (ridge,) = [each for each in totals.collections if each.get_gid() == "ridge"]
    edge = ridge.get_paths()[0].vertices
    assert edge[edge[:, 1].argmin(), 0] == pytest.approx(read["total_points"], abs=2)
    (bar,) = panel.containers
    drawn = bar.lines[2][0].get_segments()[0]
    assert drawn == pytest.approx(
        np.array([[read["total_points"], read[limit]] for limit in ("lower", "upper")])
    )


def test_a_patient_of_a_model_without_draws_has_a_risk_but_no_interval():
    made = patient(nomogram(THREE, bands=False), SHARES)
    unknown = dict.fromkeys(("total_lower", "total_upper", "lower", "upper"), np.nan)
    alone = replace(
        made.patient, risk=made.patient.risk.assign(**unknown), density=made.patient.density[:0]
    )
    figure = plot_nomogram(replace(made, patient=alone))
    totals, panel = sheet(figure, "totals 0"), sheet(figure, "risk 0")
    assert segments(totals, "patient interval") == []
    assert not panel.containers
    assert "% interval" not in written(figure)
    assert "Row 17:" in written(figure)


def test_risk_and_interval_of_the_patient_are_said_in_words():
    made = worked()
    risk = made.patient.risk.assign(risk=0.18, lower=0.094, upper=0.312, central_risk=0.172)
    made = replace(made, patient=replace(made.patient, risk=risk))
    total = round(risk["total_points"].iloc[0])
    said = (
        f"Row 17: {total} points, risk 18 %, 95 % interval 9.4 to 31 %; the risk axis reads 17 %."
    )
    assert said in written(plot_nomogram(made))


# --- words ---------------------------------------------------------------------------------------


def test_gathered_axes_are_told_with_what_they_add():
    made = with_quantities(nomogram(VARIED), gathered_points=12.34, gathered_error_points=3.0)
    said = written(plot_nomogram(made))
    assert (
        "All other predictors (1) at their median or commonest level: +12.3 points; within their "
        "axes at most ±3 points, ±1.2 percentage points of risk, for these patients at most 0.8 "
        "Trainee took part." in said
    )


KINDS = {
    "credible": "95 % credible bands.",
    "bootstrap": "95 % resampling intervals of the whole workflow; no coverage guarantee after",
    "printed": "95 % bands from printed standard errors, correlations unknown. The risk axis is "
    "anchored at the assumed event share of 22 %.",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_note_names_the_kind_of_the_bands(kind):
    share = 0.22 if kind == "printed" else np.nan
    made = with_quantities(nomogram(THREE, interval_kind=kind), event_share=share)
    assert KINDS[kind] in written(plot_nomogram(made))


def test_the_note_says_how_far_the_central_risk_is_off_unless_it_is_exact():
    said = written(plot_nomogram(nomogram(THREE)))
    assert (
        "Developed with 420 patients, 61 of them with the event. The risk of the axis differs from "
        "the model's posterior mean risk by 0.4 percentage points at the median and 3.1 at most, "
        "at most by 12 % of the risk, over 600 patients. The exact interval of 8.3 % of the "
        "patients leaves the drawn envelope, of 9.4 % where the patient has no part in it." in said
    )
    exact = with_quantities(nomogram(THREE), gap_median=0.0, gap_largest=1e-9)
    assert "The risk of the axis differs" not in written(plot_nomogram(exact))


def test_predictors_without_points_are_counted_and_not_drawn():
    dropped = [levels(f"d{k}", ("no", "yes"), (0, 0.0), 0.0) for k in range(3)]
    figure = plot_nomogram(nomogram([*THREE, *dropped], bands=False))
    assert "Without points in this model: 3 predictors." in written(figure)
    assert segments(sheet(figure, "rows 0"), "d0") == []


def test_a_notice_stands_above_everything_else():
    notice = "SYNTHETIC: no patient is in it. " * 5
    figure = plot_nomogram(nomogram(THREE, notice=notice))
    (headline,) = figure.texts
    assert headline.get_text().split() == notice.split()
    others = [each for each in texts(figure) if each is not headline]
    assert boxes(figure, [headline])[0, 1] > boxes(figure, others)[:, 3].max()


# --- side by side --------------------------------------------------------------------------------


def test_two_models_share_their_rows_and_the_scale_of_the_risk():
    bare = nomogram([SOD, AGE], bands=False, model="baseline", intercept=-1.0)
    figure = plot_nomogram(nomogram(VARIED), beside=bare)
    left, right = sheet(figure, "rows 0"), sheet(figure, "rows 1")
    for axis in ("age", "sod"):
        heights = [segments(rows, axis)[0][0, 1] for rows in (left, right)]
        assert heights[0] == heights[1]
    assert left.get_ylim() == right.get_ylim()
    assert sheet(figure, "risk 0").get_ylim() == sheet(figure, "risk 1").get_ylim()
    assert left.get_position().width == pytest.approx(right.get_position().width)


def test_axes_that_one_model_lacks_are_called_so_in_its_column():
    dropped = replace(STAGE, effects=(0.0,) * 4)
    other = nomogram([SOD, dropped, replace(AGE, gathered=True)], bands=False, model="baseline")
    figure = plot_nomogram(nomogram([*THREE, STAGE]), beside=other)
    said = [each.get_text() for each in sheet(figure, "rows 1").texts]
    assert said.count("not in this model") == 2  # the treatment is absent, the stage has length 0
    assert said.count("among all other predictors") == 1
    assert "Frequentist final model" in written(figure)


def test_rows_are_the_union_of_the_axes_in_the_order_of_the_first():
    figure = plot_nomogram(nomogram(THREE), beside=nomogram([CRP, AGE], model="projection"))
    heights = [segments(sheet(figure, "rows 0"), axis)[0][0, 1] for axis in ("age", "sod", "rx")]
    heights.append(segments(sheet(figure, "rows 1"), "crp")[0][0, 1])
    assert heights == sorted(heights)


# --- the page ------------------------------------------------------------------------------------


def test_no_text_leaves_the_page(figure):
    across, down = style.figure_mm(figure)
    found = boxes(figure)
    assert found[:, :2].min() >= 0.5
    assert found[:, 2].max() <= across - 0.5
    assert found[:, 3].max() <= down - 0.5
    assert across in (pytest.approx(110.0), pytest.approx(175.0))
    assert down <= HIGHEST_MM


def test_no_two_texts_touch(figure):
    chosen = texts(figure)
    touching = _touching(boxes(figure, chosen))
    assert [(chosen[a].get_text(), chosen[b].get_text()) for a, b in touching] == []


def _touching(found):
    """Pairs of boxes that overlap by more than 0.05 mm both ways."""
    low = np.maximum(found[:, None, :2], found[None, :, :2])
    high = np.minimum(found[:, None, 2:], found[None, :, 2:])
    first, second = np.nonzero((high - low > 0.05).all(axis=2))
    return [(a, b) for a, b in zip(first, second, strict=True) if a < b]


def test_names_stay_out_of_the_drawing(figure):
    rows = sheet(figure, "rows 0")
    left = rows.get_position().x0 * style.figure_mm(figure)[0]
    drawn = np.concatenate([each.get_window_extent().extents[[0]] for each in rows.texts])
    assert drawn.min() * style.MM_PER_INCH / figure.dpi >= left - 0.3


def test_26_axes_with_long_names_and_a_patient_fit_a_page():
    long = [replace(axis, label=f"{axis.label} in the first blood sample") for axis in many(26)]
    notice = "SYNTHETIC: made to agree with printed results; no patient is in it."
    made = patient(nomogram(long, notice=notice), {axis.name: 0.0 for axis in long})
    figure = plot_nomogram(made, beside=replace(made, model="baseline"))
    assert style.figure_mm(figure)[1] <= HIGHEST_MM
    rows = [sheet(figure, "page").texts, sheet(figure, "rows 0").texts]
    found = boxes(figure, [each for part in rows for each in part])
    assert _touching(found) == []


def test_every_level_is_written_even_with_twelve_of_them():
    figure = plot_nomogram(nomogram([AGE, WARD]))
    said = [each.get_text() for each in sheet(figure, "rows 0").texts]
    assert set(WARDS) <= set(said)


def test_long_labels_are_broken_and_marked_where_they_are_cut():
    label = "Duration of symptoms before the first visit, " * 3
    figure = plot_nomogram(nomogram([AGE, replace(LONG, label=label)]))
    (cut,) = [each.get_text() for each in texts(figure) if each.get_text().endswith("…")]
    assert cut.split("…")[0] in label


def test_dollar_signs_are_no_mathematics():
    figure = plot_nomogram(nomogram([AGE, replace(SOD, label="Cost $x$ of a day")]))
    assert "Cost $x$ of a day" in written(figure)
    assert not any(each.get_parse_math() for each in texts(figure) if "$" in each.get_text())


def test_bytes_are_the_same_twice_and_no_setting_is_left_behind():
    before = dict(mpl.rcParams)
    first, again = (save_bytes(plot_nomogram(worked()), "pdf") for _ in range(2))
    assert first == again
    assert dict(mpl.rcParams) == before


def test_bands_differ_from_paper_and_ink_without_colour():
    # WCAG 2 asks 3:1 of lines against what they cross; a band must survive a copy: 10 % black
    ink, paper = style.luminance("black"), style.luminance("white")
    for band in (nomogram_rows.WEDGE, nomogram_risk.INNER, nomogram_risk.ENVELOPE):
        shade = style.luminance(band)
        assert (shade + 0.05) / (ink + 0.05) > 3
        assert max(to_rgb(band)) <= 0.9 < max(to_rgb("white"))
        assert paper - shade > 0.2
    inner, outer = style.luminance(nomogram_risk.INNER), style.luminance(nomogram_risk.ENVELOPE)
    assert outer - inner > 0.2
    patient_shade = style.luminance(nomogram_rows.PATIENT)
    assert (style.luminance(nomogram_rows.WEDGE) + 0.05) / (patient_shade + 0.05) > 3


def test_a_png_has_the_printed_size_at_300_dots_per_inch():
    image = Image.open(io.BytesIO(save_bytes(plot_nomogram(nomogram([AGE])), "png")))
    assert image.size[0] == int(175.0 / style.MM_PER_INCH * 300)


# --- Chinese -------------------------------------------------------------------------------------

CHINESE = (
    replace(AGE, label="年龄", unit="岁"),
    levels("sod", ("无", "有"), (0, 0.85), 0.28, label="括约肌功能障碍"),
)


def chinese():
    return nomogram(CHINESE, language="zh", title="胰腺炎", outcome="胰腺炎", horizon="术后30天")


def test_without_chinese_letters_names_and_english_take_their_place(monkeypatch):
    monkeypatch.setattr(style, "_installed", lambda: iter([]))
    made = chinese()
    lost = untold_labels(made)
    assert {"年龄", "岁", "括约肌功能障碍", "无", "有", "胰腺炎", "术后30天"} <= set(lost)
    figure = plot_nomogram(made)  # warnings are errors: a missing letter would warn
    said = written(figure)
    assert all(word in said for word in ("Points", "Total points", "age", "sod", "U+65E0"))
    assert not any(ord(letter) > 0x2E80 for letter in said)


def _has_chinese():
    return not style.without_glyphs(["分值"])


@pytest.mark.skipif(not _has_chinese(), reason="no installed font has Chinese letters")
def test_with_chinese_letters_every_sentence_is_chinese():
    figure = plot_nomogram(patient(chinese(), {"age": 0.5, "sod": 1}, name="row 17"))
    said = written(figure)
    assert untold_labels(chinese()) == []
    for words in (
        "分值",
        "总分",
        "胰腺炎的风险（%）",
        "年龄（岁）",
        "区间带为 95% 可信区间",
        "第 17 行",
    ):
        assert words in said
    assert not {"Points", "points", "risk", "Risk", "interval"} & set(said.split())
    across, _ = style.figure_mm(figure)
    assert boxes(figure)[:, 2].max() <= across - 0.5


def test_nothing_is_untold_of_an_english_nomogram():
    assert untold_labels(nomogram(VARIED)) == []


# --- what is refused -----------------------------------------------------------------------------


def test_tables_without_their_columns_are_refused():
    made = nomogram(THREE)
    with pytest.raises(OptionError, match=r'"?axes"? cannot be drawn|no column .points_lower.'):
        plot_nomogram(replace(made, axes=made.axes.drop(columns="points_lower")))
    with pytest.raises(OptionError, match=r"it has no column 'lower_envelope'"):
        plot_nomogram(replace(made, risk=made.risk.drop(columns="lower_envelope")))


def test_a_nomogram_without_axes_is_refused():
    with pytest.raises(OptionError, match="every axis has length 0 or is gathered"):
        plot_nomogram(nomogram([replace(AGE, gathered=True)]))


@pytest.mark.parametrize("width", [60.0, float("nan")])
def test_a_width_without_room_is_refused(width):
    with pytest.raises(OptionError, match=r"width_mm: found (60|nan); allowed: 110 or more"):
        plot_nomogram(nomogram(THREE), width_mm=width)


def test_models_that_share_no_scale_are_refused_with_every_reason():
    other = nomogram([CRP], model="baseline", outcome="death", interval=0.9)
    with pytest.raises(OptionError) as raised:
        plot_nomogram(nomogram(THREE), beside=other)
    told = str(raised.value)
    assert "the nomogram of horseshoe and baseline cannot be drawn" in told
    assert "'pancreatitis' beside 'death'; allowed: the same" in told
    assert "0.95 beside 0.9; compute both with the same ci_prob" in told
    assert "no axis in common" in told


# --- places of labels ----------------------------------------------------------------------------

places = st.lists(st.floats(0, 100), min_size=1, max_size=9, unique=True)


@settings(max_examples=50, deadline=None)
@given(ticks=places, width=st.floats(1, 20))
def test_spread_labels_keep_their_order_gap_and_tick(ticks, width):
    at, widths = np.sort(ticks), np.full(len(ticks), width)
    starts = tick_labels.spread(at, widths, (-5.0, 105.0))
    if starts is None:
        return
    assert (np.diff(starts) >= width + tick_labels.GAP_MM - 1e-6).all()
    assert (starts <= at + tick_labels.SLACK_MM + 1e-6).all()
    assert (starts + widths >= at - tick_labels.SLACK_MM - 1e-6).all()


@settings(max_examples=25, deadline=None)
@given(ticks=places, room=st.floats(0, 40))
def test_names_of_levels_never_touch_one_another_nor_a_leader_line(ticks, room):
    names = [Name(f"level {k}", f"level {k}") for k in range(len(ticks))]
    labels = tick_labels.placed_names(np.array(ticks), names, (-room - 12, 112 + room))
    shown = ", ".join(label.text for label in labels).replace("\n", " ")
    assert sorted(shown.split(", ")) == sorted(name.text for name in names)
    for one, other in itertools.permutations(labels, 2):
        half = style.text_mm(one.text) / 2
        same_line = one.line < other.last_line and other.line < one.last_line
        if same_line:
            gap = abs(one.centre - other.centre) - half - style.text_mm(other.text) / 2
            assert gap >= tick_labels.GAP_MM - 1e-6
        if other.line > one.line:  # the leader line of the lower one
            assert abs(other.tick - one.centre) >= half + 0.2


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 15), start=st.floats(0, 60), length=st.floats(0.01, 100), log=st.booleans()
)
def test_thinned_numbers_keep_both_ends_and_never_touch(count, start, length, log):
    steps = np.logspace(0, 1, count) - 1 if log else np.linspace(0, 9, count)
    ticks = start + steps / 9 * length
    values = [f"{10 * k}" for k in range(count)]
    font = Name("x", "x").font
    labels = tick_labels.thinned(ticks, values, (-10.0, 170.0), font)
    told = " – ".join(label.text for label in labels).split(" – ")
    assert {values[0], values[-1]} <= set(told)
    for one, other in itertools.pairwise(labels):
        half = (style.text_mm(one.text) + style.text_mm(other.text)) / 2
        assert other.centre - one.centre >= half + tick_labels.GAP_MM - 1e-6


def test_levels_0_and_1_are_said_in_words_unless_the_label_explains_them():
    coded = levels("pep", ("0", "1"), (0, 0.85), 0.28, label="Previous pancreatitis")
    plain = plot_nomogram(nomogram([coded]))
    said = {each.get_text() for each in texts(plain)}
    assert {"no", "yes"} <= said
    # the reference is known under its new name: it has no bar
    assert len(segments(sheet(plain, "rows 0"), "bars")) == 1
    explained = plot_nomogram(nomogram([replace(coded, label="Sex (0 female)")]))
    assert not {"no", "yes"} & {each.get_text() for each in texts(explained)}


def test_bands_that_reach_certainty_are_drawn_whole():
    """On a logit axis there is no place for 1: a band that holds it would come apart."""
    made = nomogram(THREE)
    risk = made.risk.assign(upper=1.0, upper_envelope=1.0)
    figure = plot_nomogram(replace(made, risk=risk))
    bands = [
        collection
        for axes in figure.axes
        for collection in axes.collections
        if collection.get_gid() in ("inner band", "envelope")
    ]
    assert len(bands) == 2
    for band in bands:
        heights = band.get_paths()[0].vertices[:, 1]
        assert np.isfinite(heights).all()
        assert heights.max() < 1
