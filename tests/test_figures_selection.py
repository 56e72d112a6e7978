"""Figures of a selection, and what all figures share: read back from what was drawn."""

from __future__ import annotations

import functools
import io
import itertools
import re
import struct
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import font_manager
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from bayes_cmvt import figures
from bayes_cmvt.errors import OptionError
from bayes_cmvt.figures import plot_selection_path, plot_selection_stability, save_bytes, style
from bayes_cmvt.glossary import PROCEDURES
from bayes_cmvt.study import load_study

LONG = [
    "Oswestry disability index before treatment at first contact",
    "Platelet-to-lymphocyte ratio on the first post-operative day",
]


@functools.cache
def predictors(count):
    """Terms and labels of a shipped study; with 3 and 26 two labels have 60 characters."""
    study = load_study("cmvt" if count > 19 else "pep")
    found = [(each.name, each.label) for each in study.predictors[:count]]
    if count in (3, 26):
        found[:2] = [("odi", LONG[0]), ("plr", LONG[1])]
    return found


def path_table(count, suggested=2, chosen=2):
    """A path that loses 40 nats without predictors, and less and less with more of them."""
    size = np.arange(count + 1)
    found = [("", ""), *predictors(count)]
    lost = -40 * np.exp(-size / (count / 6))
    auc = 0.75 + lost / 160
    return pd.DataFrame(
        {
            "size": size,
            "term": [term for term, _ in found],
            "label": [label for _, label in found],
            "elpd_diff": lost,
            "elpd_diff_se": 0.2 + np.sqrt(-lost),
            "auc": auc,
            "auc_diff": auc - 0.76,
            "auc_diff_se": 0.01 + (0.76 - auc) / 3,
            "share_of_folds": [np.nan, *np.linspace(1, 0.3, count)],
            "suggested": size == suggested,
            "chosen": size == chosen,
        }
    )


def stability_table(count):
    """Shares grow with the size; predictors that the study names last enter first."""
    rows = [
        {"term": term, "label": label, "size": size, "share_of_folds": min(1, size / (count - k))}
        for k, (term, label) in enumerate(predictors(count))
        for size in range(1, count + 1)
    ]
    return pd.DataFrame(rows).round({"share_of_folds": 2})


def frequency_table(count, procedures=tuple(PROCEDURES)):
    rows = [
        {"procedure": procedure, "source": source, "replicates": 100, "term": term}
        | {"label": label, "frequency": round((k + 1) / count / (1 + place), 2)}
        for place, procedure in enumerate(procedures)
        for source in ("subsample", "seed")
        for k, (term, label) in enumerate(predictors(count))
    ]
    return pd.DataFrame(rows)


@functools.cache  # nothing here changes a figure
def drawn(count, width_mm=None):
    stability = plot_selection_stability(
        stability_table(count), frequency_table(count), width_mm=width_mm or style.DOUBLE_MM
    )
    path = plot_selection_path(path_table(count, chosen=count), width_mm=width_mm)
    return {"path": path, "stability": stability}


def texts_of(figure):
    """Texts that reach the canvas: numbers of ticks outside the limits never do."""
    seen, draw = [], Text.draw

    def watched(self, renderer):
        seen.append(self)
        draw(self, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", watched)
        figure.canvas.draw()
    return [text for text in seen if text.get_visible() and text.get_text()]


def overlap(one, other, by=0.5):
    """Whether two boxes share more than half a pixel."""
    return bool(
        min(one.x1, other.x1) - max(one.x0, other.x0) > by
        and min(one.y1, other.y1) - max(one.y0, other.y0) > by
    )


# --- room: nothing overlaps, nothing is cut off -------------------------------------------------


@pytest.mark.parametrize("asked", [(3,), (8,), (26,), (26, 85)])
def test_no_text_meets_another_and_all_are_inside_the_figure(asked):
    for name, figure in drawn(*asked).items():
        texts = texts_of(figure)
        assert len(texts) > asked[0]
        assert {text.get_fontsize() for text in texts} == {style.SMALL, style.LARGE}
        boxes = [text.get_window_extent() for text in texts]
        for (one, a), (other, b) in itertools.combinations(zip(texts, boxes, strict=True), 2):
            assert not overlap(a, b), (name, one.get_text(), other.get_text())
        x0, y0, x1, y1 = np.array([box.extents for box in boxes]).T
        assert min(x0) >= 0 <= min(y0)
        assert max(x1) <= figure.bbox.x1
        assert max(y1) <= figure.bbox.y1
        legend = figure.legends[0].get_window_extent()
        assert not any(overlap(legend, axes.bbox) for axes in figure.axes)


def test_figures_are_as_wide_as_a_column_and_no_higher_than_a_page():
    for count in (3, 26):
        for name, figure in drawn(count).items():
            width = style.SINGLE_MM if (count, name) == (3, "path") else style.DOUBLE_MM
            assert style.figure_mm(figure)[0] == pytest.approx(width, rel=1e-12)
            assert style.figure_mm(figure)[1] <= style.PAGE_MM


def test_numbers_on_the_vertical_axis_may_be_long():
    table = path_table(3)
    table.loc[0, "elpd_diff"] = -123456.0
    figure = plot_selection_path(table)
    label, box = figure.axes[0].yaxis.label, figure.axes[0].yaxis.get_ticklabels()
    assert label.get_window_extent().x0 >= 0
    assert all(not overlap(label.get_window_extent(), each.get_window_extent()) for each in box)


# --- the path -----------------------------------------------------------------------------------


def test_path_shows_each_size_with_its_standard_error():
    table = path_table(8)
    losses, areas, shares = drawn(8)["path"].axes
    for axes, value, error in [
        (losses, "elpd_diff", "elpd_diff_se"),
        (areas, "auc", "auc_diff_se"),
    ]:
        (bars,) = axes.containers
        points, _, (ranges,) = bars
        np.testing.assert_array_equal(points.get_xdata(), table["size"])
        np.testing.assert_array_equal(points.get_ydata(), table[value])
        ends = np.array([segment[:, 1] for segment in ranges.get_segments()])
        np.testing.assert_allclose(ends[:, 0], table[value] - table[error], rtol=1e-14)
        np.testing.assert_allclose(ends[:, 1], table[value] + table[error], rtol=1e-14)
    heights = [bar.get_height() for bar in shares.patches]
    np.testing.assert_array_equal(heights, table["share_of_folds"])
    assert shares.get_ylim() == (0, 1)


def horizontal_lines(axes):
    return {line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]}


def test_reference_of_the_auc_is_that_of_the_full_posterior():
    losses, areas, _ = plot_selection_path(path_table(3)).axes
    assert horizontal_lines(losses) == {0.0}
    assert list(horizontal_lines(areas)) == pytest.approx([0.76], rel=1e-12)


def test_band_of_differences_that_count_as_none():
    figure = plot_selection_path(path_table(3), negligible=4)
    (band,) = figure.axes[0].patches
    assert (band.get_y(), band.get_y() + band.get_height()) == (-4, 0)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "loss of elpd below 4: cannot be told from none" in words
    assert any("± 1 SE" in word for word in words)
    assert not plot_selection_path(path_table(3), negligible=0).axes[0].patches


def size_marks(figure):
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    at = {
        line.get_xdata()[0]: line.get_markerfacecolor()
        for line in figure.axes[0].lines
        if line.get_marker() == "v"
    }
    return [word for word in words if "size" in word], at


def test_suggested_and_chosen_sizes_are_marked_even_at_size_0():
    blue = style.MARKS[1].colour
    same = size_marks(plot_selection_path(path_table(3, suggested=2, chosen=2)))
    assert same == (["suggested and chosen size: 2"], {2: blue})
    apart = size_marks(plot_selection_path(path_table(3, suggested=2, chosen=0)))
    assert apart == (["suggested size: 2", "chosen size: 0"], {2: "white", 0: blue})
    none = size_marks(plot_selection_path(path_table(3, suggested=99, chosen=99)))
    assert none == ([], {})


def test_predictors_stand_under_the_sizes_at_which_they_enter():
    table = path_table(8)
    shuffled = table.sample(frac=1, random_state=1)
    bottom = plot_selection_path(shuffled).axes[-1]
    assert [text.get_text() for text in bottom.get_xticklabels()] == [f"{k}" for k in range(9)]
    below = bottom.get_xticklabels(minor=True)
    expected = ["no predictor", *table["label"].iloc[1:]]
    assert [text.get_text().replace("\n", " ") for text in below] == expected
    assert {text.get_rotation() for text in below} == {90}
    wide = plot_selection_path(path_table(3), width_mm=style.DOUBLE_MM).axes[-1]
    assert {text.get_rotation() for text in wide.get_xticklabels(minor=True)} == {0}


def test_panels_without_values_are_left_out():
    table = path_table(3)
    bare = table[["size", "term", "label", "elpd_diff", "elpd_diff_se"]]
    assert len(plot_selection_path(bare).axes) == 1
    assert len(plot_selection_path(table.assign(auc=np.nan)).axes) == 2
    assert len(plot_selection_path(table.drop(columns="share_of_folds")).axes) == 2
    without_auc = table.assign(auc=table["auc"].where(table["size"] > 0))
    points = plot_selection_path(without_auc).axes[1].containers[0][0]
    assert np.isnan(points.get_ydata().astype(float)).tolist() == [True, *[False] * 3]


def test_intercept_alone_is_a_path_too():
    figure = plot_selection_path(path_table(8, suggested=0, chosen=0).iloc[:1])
    assert len(figure.axes) == 2
    assert size_marks(figure)[0] == ["suggested and chosen size: 0"]


# --- stability ----------------------------------------------------------------------------------


def test_heat_map_has_a_row_for_each_predictor_those_that_enter_early_first():
    table = stability_table(8)
    heat = drawn(8)["stability"].axes[0]
    labels = [label for _, label in predictors(8)][::-1]
    rows = [text.get_text().replace("\n", " ") for text in heat.get_yticklabels()]
    assert rows == labels
    assert heat.get_ylim() == (7.5, -0.5)
    assert heat.get_xlim() == (0.5, 8.5)
    values = heat.collections[0].get_array()
    expected = table["share_of_folds"].to_numpy().reshape(8, 8)[::-1]
    np.testing.assert_array_equal(np.reshape(values, (8, 8)), expected)


def test_numbers_in_cells_are_the_shares_and_can_be_read():
    table = stability_table(8)
    heat = drawn(8)["stability"].axes[0]
    assert len(heat.texts) == 64
    colours = mpl.colormaps[style.SEQUENTIAL]
    shares = dict(zip(zip(table["label"], table["size"]), table["share_of_folds"]))  # noqa: B905
    labels = [label for _, label in predictors(8)][::-1]
    for text in heat.texts:
        column, row = text.get_position()
        share = shares[labels[int(row)], int(column)]
        assert float(text.get_text()) == share
        both = sorted([style.luminance(text.get_color()), style.luminance(colours(share))])
        assert (both[1] + 0.05) / (both[0] + 0.05) > 4.4  # WCAG 2 asks 4.5 at AA
    assert not drawn(26)["stability"].axes[0].texts


def test_shares_that_are_missing_are_no_zero():
    table = stability_table(8)
    table.loc[0, "share_of_folds"] = np.nan
    heat = plot_selection_stability(table, frequency_table(8)).axes[0]
    assert np.ma.getmaskarray(heat.collections[0].get_array()).sum() == 1
    assert len(heat.texts) == 63
    assert heat.patch.get_hatch()


def test_frequencies_stand_on_the_row_of_their_predictor():
    frequencies = frequency_table(8)
    heat, _, beside = drawn(8)["stability"].axes
    assert beside.get_ylim() == heat.get_ylim()
    marked = {line.get_marker(): line for line in beside.lines}
    assert len(marked) == len(beside.lines) == 6
    for procedure, mark in zip(PROCEDURES, style.MARKS[:6], strict=True):
        chosen = frequencies["procedure"].eq(procedure) & frequencies["source"].eq("subsample")
        own = frequencies[chosen]
        line = marked[mark.marker]
        np.testing.assert_array_equal(line.get_xdata(), own["frequency"])
        np.testing.assert_array_equal(np.round(line.get_ydata()), np.arange(8)[::-1])
    assert [text.get_text() for text in beside.get_xticklabels()][::4] == ["0", "1"]
    assert "100 subsamples" in beside.get_xlabel().replace("\n", " ")


def test_legend_says_in_words_what_each_procedure_is_and_keeps_its_mark():
    some = frequency_table(8, procedures=("lasso", "projection", "boruta"))
    some.loc[some["procedure"] == "lasso", "replicates"] = 50
    figure = plot_selection_stability(
        stability_table(8), some, procedures={"projection": "projection (size 4)"}
    )
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == [
        "projection (size 4) (100 subsamples)",
        "LASSO (50 subsamples)",
        "boruta (100 subsamples)",
    ]
    assert [line.get_marker() for line in figure.axes[2].lines] == ["o", "x", "v"]


def test_without_frequencies_the_shares_stand_alone():
    for frequencies in (pd.DataFrame(), frequency_table(3).query("source == 'seed'")):
        figure = plot_selection_stability(stability_table(3), frequencies)
        assert len(figure.axes) == 2
        assert not figure.legends
    other = plot_selection_stability(stability_table(3), frequency_table(3), source="seed")
    assert "100 seeds" in other.axes[2].get_xlabel().replace("\n", " ")


def test_tables_that_cannot_be_drawn_are_refused_with_all_that_is_missing():
    with pytest.raises(OptionError, match=r"'selection' cannot be drawn: 2 problems(.|\n)*'term'"):
        plot_selection_path(path_table(3).drop(columns=["term", "elpd_diff_se"]))
    with pytest.raises(OptionError, match="it has no rows"):
        plot_selection_stability(stability_table(3).iloc[:0], frequency_table(3))
    with pytest.raises(OptionError, match="'frequencies' cannot be drawn"):
        plot_selection_stability(stability_table(3), frequency_table(3).drop(columns="term"))
    with pytest.raises(OptionError, match="no replicates are called 'fold'"):
        plot_selection_stability(stability_table(3), frequency_table(3), source="fold")


# --- style --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_bytes_are_the_same_each_time(kind):
    """Of a figure saved twice, and of one drawn anew, whatever style the caller has chosen."""
    first = save_bytes(drawn(3)["stability"], kind)
    assert first == save_bytes(drawn(3)["stability"], kind)
    theirs = {"axes.facecolor": "black", "font.size": 20, "grid.linestyle": ":"}
    with mpl.rc_context(theirs):
        before = dict(mpl.rcParams)
        again = plot_selection_stability(stability_table(3), frequency_table(3))
        assert first == save_bytes(again, kind)
        assert dict(mpl.rcParams) == before
    assert not re.search(rb"CreationDate|<dc:date>|Software|<image", first)


def test_path_has_the_same_bytes_each_time():
    assert save_bytes(drawn(8)["path"], "svg") == save_bytes(
        plot_selection_path(path_table(8, chosen=8)), "svg"
    )


def test_png_is_as_wide_as_the_journal_asks_and_other_formats_are_refused():
    figure = drawn(3)["path"]
    width, _ = struct.unpack(">II", save_bytes(figure, "png", dpi=600)[16:24])
    assert width == pytest.approx(style.SINGLE_MM / 25.4 * 600, abs=1)
    with pytest.raises(OptionError, match='"png", "pdf" or "svg", not as \'jpg\''):
        save_bytes(figure, "jpg")  # type: ignore[arg-type]


def test_figures_never_use_the_interface_that_keeps_a_current_figure():
    for path in Path(figures.__file__).parent.glob("*.py"):
        assert "pyplot" not in path.read_text(encoding="utf-8"), path.name


def lightness(colour):
    """CIE 1976 L*, 0 black to 100 white."""
    return 116 * np.cbrt(style.luminance(colour)) - 16


def test_marks_differ_without_colour_and_for_the_colour_blind():
    for attribute in ("marker", "line", "hatch", "colour"):
        assert len({getattr(mark, attribute) for mark in style.MARKS}) == len(style.MARKS)
    first = sorted(max(0, lightness(mark.colour)) for mark in style.MARKS[:3])
    assert min(np.diff(first)) > 20
    assert max(lightness(mark.colour) for mark in style.MARKS) < 75  # seen on white paper
    # deuteranopia, complete: Machado et al. 2009, doi:10.1109/TVCG.2009.113
    deuteranopia = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
    seen = [deuteranopia @ np.array(to_rgb(mark.colour)) for mark in style.MARKS]
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > 0.15
    with pytest.raises(OptionError, match="at most 7 things apart, not 8"):
        style.marks(8)


def test_shares_darken_all_the_way():
    colours = mpl.colormaps[style.SEQUENTIAL](np.linspace(0, 1, 101))
    assert (np.diff([style.luminance(colour) for colour in colours]) < 0).all()


def test_grey_print_keeps_the_order_of_the_cells():
    figure = drawn(3)["stability"]
    grey = np.asarray(Image.open(io.BytesIO(save_bytes(figure, "png", dpi=100))).convert("L"))
    bar = figure.axes[1].get_window_extent()
    row = grey[round(figure.bbox.height - (bar.y0 + bar.y1) / 2), round(bar.x0) + 3 :]
    steps = np.diff(row[: round(bar.width) - 6].astype(int))
    assert steps.max() <= 1  # rounding of the conversion
    assert steps.sum() < -180


# --- letters ------------------------------------------------------------------------------------


def with_font(monkeypatch, directory, letters):
    """Pretend that the only other font installed is one with empty shapes for some letters."""
    glyphs = [".notdef", *(f"letter{k}" for k in range(len(letters)))]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(glyphs)
    builder.setupCharacterMap({ord(each): f"letter{k}" for k, each in enumerate(letters)})
    builder.setupGlyf({glyph: TTGlyphPen(None).glyph() for glyph in glyphs})
    builder.setupHorizontalMetrics({glyph: (1000, 0) for glyph in glyphs})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "Test Song", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(directory / "song.ttf")
    listed = list(font_manager.fontManager.ttflist)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", listed)
    monkeypatch.setattr(style, "_installed", lambda: iter([str(directory / "song.ttf")]))


def labelled(label):
    path, stability = path_table(3), stability_table(3)
    path.loc[1, "label"] = label
    stability.loc[stability["term"] == "odi", "label"] = label
    return path, stability


def test_labels_without_a_font_give_way_to_their_terms(monkeypatch):
    monkeypatch.setattr(style, "_installed", lambda: iter([]))
    assert figures.without_glyphs(["Age", "年龄", "β₂ ≥ 3 µg"]) == ["年龄"]
    path, stability = labelled("年龄（岁）")
    figure = plot_selection_path(path)
    below = [text.get_text() for text in figure.axes[-1].get_xticklabels(minor=True)]
    assert below[1] == "odi"
    beside = plot_selection_stability(stability, pd.DataFrame())
    assert "odi" in [text.get_text() for text in beside.axes[0].get_yticklabels()]
    for each in (figure, beside):
        save_bytes(each, "svg")  # a letter without a glyph would warn, and warnings are errors
    assert [name.text for name in style.names(["年龄"], ["年龄"])] == ["U+5E74U+9F84"]


def test_fonts_that_have_the_letters_are_found_and_mixed_with_ours(monkeypatch, tmp_path):
    with_font(monkeypatch, tmp_path, "年龄")
    found = style.names(["a", "b", "c"], ["年龄 (10⁹/L)", "Age", "岁"])
    assert [name.text for name in found] == ["年龄 (10⁹/L)", "Age", "c"]
    assert [name.families for name in found] == [
        (style.FAMILY, "Test Song"),
        (style.FAMILY,),
        (style.FAMILY,),
    ]
    path, _ = labelled("年龄 (10⁹/L)")
    figure = plot_selection_path(path)
    assert figure.axes[-1].get_xticklabels(minor=True)[1].get_text() == "年龄 (10⁹/L)"
    for kind in ("png", "pdf", "svg"):
        save_bytes(figure, kind)


def test_fonts_of_boxes_and_fonts_that_are_gone_are_passed_over(monkeypatch, tmp_path):
    gone = font_manager.FontEntry(fname=str(tmp_path / "gone.ttf"), name="Gone")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [gone])
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: ["/x/LastResort.otf"])
    assert list(style._installed()) == [gone.fname]
    monkeypatch.undo()
    monkeypatch.setattr(style, "_installed", lambda: iter([gone.fname]))
    assert figures.without_glyphs(["年"]) == ["年"]


def test_families_made_for_chinese_come_before_others_and_regular_before_bold():
    files = ["/f/zz.ttf", "/f/simhei.ttf", "/f/NotoSansCJK-Bold.ttc", "/f/NotoSansCJK-Regular.ttc"]
    assert sorted(files, key=style._preference) == files[::-1]


def test_dollar_signs_are_no_mathematics():
    path, stability = labelled("Cost $ per $ day")
    below = plot_selection_path(path).axes[-1].get_xticklabels(minor=True)[1]
    assert (below.get_text(), below.get_parse_math()) == ("Cost $ per $ day", False)
    rows = plot_selection_stability(stability, pd.DataFrame()).axes[0].get_yticklabels()
    assert not any(text.get_parse_math() for text in rows)


# --- names that fit -----------------------------------------------------------------------------


def fitted(labels, width, lines=1):
    terms = [f"x{k}" for k in range(len(labels))]
    return style.fitted_names(style.names(terms, labels), width, lines)


def test_long_names_are_broken_then_cut_and_never_confused():
    assert fitted(["Age"], 40) == ["Age"]
    assert fitted([LONG[0]], 45, 2) == [
        "Oswestry disability index before\ntreatment at first contact"
    ]
    assert fitted([LONG[0]], 38) == ["Oswestry disability index…"]
    ends = fitted([f"Oswestry disability index before treatment {k}" for k in (1, 2)], 36)
    assert [text[-1] for text in ends] == ["1", "2"]
    assert all("…" in text for text in ends)
    middle = fitted([f"Oswestry disability index, site {k}, before treatment" for k in (1, 2)], 30)
    assert middle == ["x0", "x1"]


@pytest.mark.parametrize(
    ("label", "cut"),
    [("long word " * 500, "long word long word…"), ("x" * 5000, "x" * 17 + "…")],
    ids=["words", "one word"],
)
def test_a_name_of_thousands_of_letters_is_cut_without_trying_every_length(label, cut, monkeypatch):
    tried, broken = [], style.broken
    monkeypatch.setattr(style, "broken", lambda *asked: tried.append(asked) or broken(*asked))
    assert fitted([label], 28) == [cut]
    assert len(tried) < 20


def longest_by_trying(name, width, lines, cut):
    """Take off one letter at a time, as a reader would: slow, and without a thought."""
    for kept in range(len(name.text), 0, -1):
        version = name.text if kept == len(name.text) else cut(name.text, kept)
        rows = style.broken(version, width, name.font)
        if len(rows) <= lines and style.text_mm("\n".join(rows), name.font) <= width:
            return "\n".join(rows)
    return name.text[:1]


@settings(max_examples=25, deadline=None)
@given(
    label=st.lists(st.sampled_from(["ab-cd-ef", "at", "12-34", "(l/min)", "index"]), min_size=1),
    width=st.floats(8, 60),
    lines=st.integers(1, 3),
)
def test_no_longer_version_of_a_name_would_fit(label, width, lines):
    name = style.Name("x", " ".join(label))
    for cut in (style._without_end, style._without_middle):
        found = style._fitted(name, width, lines, cut)
        assert found == longest_by_trying(name, width, lines, cut)


def test_chinese_is_broken_but_not_beside_the_inside_of_a_bracket(monkeypatch, tmp_path):
    with_font(monkeypatch, tmp_path, "年龄（岁）")
    (name,) = style.names(["age"], ["年龄年龄（岁）"])
    lines = style.broken(name.text, 12.5, name.font)  # five of the seven letters
    assert lines == ["年龄年龄", "（岁）"]
    assert style.broken(name.text, 15.0, name.font) == ["年龄年龄", "（岁）"]


words = st.text(alphabet="abcdefgh WXYZ-/(),", min_size=1, max_size=60).filter(str.strip)


@settings(max_examples=25, deadline=None)
@given(label=words, width=st.floats(8, 60), lines=st.integers(1, 3))
def test_a_fitted_name_fits(label, width, lines):
    (text,) = fitted([label], width, lines)
    assert text.count("\n") < lines
    assert style.text_mm(text) <= width
    whole = " ".join(label.split())
    assert "…" in text or "".join(text.split()) == "".join(whole.split())


def test_text_is_measured_as_it_is_drawn():
    """To 4 %: on a canvas of 100 dpi each letter is moved to a whole pixel, on paper it is not."""
    figure = drawn(26)["stability"]
    for text in figure.axes[0].get_yticklabels():
        width = text.get_window_extent().width / figure.dpi * 25.4
        assert style.text_mm(text.get_text()) == pytest.approx(width, rel=0.04)


def test_legend_fills_the_columns_that_fit():
    labels = ["one", "a label of many words, which is long", "two", "three"]
    assert style.legend_columns(labels, 1000) == 4
    assert style.legend_columns(labels, 20) == 1
    assert style.legend_mm(4, 3) == style.legend_mm(2, 1)
