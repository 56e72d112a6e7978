"""What a nomogram says in words, in English and Chinese: headings, sentences, numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

import pandas as pd

from bayes_cmvt.figures import style
from bayes_cmvt.nomogram_scales import Nomogram

Language = Literal["en", "zh"]

_WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "points": ("Points", "分值"),
        "total": ("Total points", "总分"),
        "risk": ("Risk (%) of {outcome}", "{outcome}的风险（%）"),
        "risk_by": ("Risk (%) of {outcome} ({horizon})", "{outcome}的风险（%）（{horizon}）"),
        "panel": ("Risk (%) by total points", "各总分对应的风险（%）"),
        "value": ("value", "取值"),
        "short_points": ("points", "分值"),
        "unit": ("{label} ({unit})", "{label}（{unit}）"),
        "horseshoe": ("Bayesian (horseshoe)", "贝叶斯模型（马蹄先验）"),
        "projection": ("Projected submodel", "投影子模型"),
        "baseline": ("Frequentist final model", "频率学派最终模型"),
        "published": ("Printed model", "文献发表的模型"),
        "absent": ("not in this model", "未纳入此模型"),
        "among_others": ("among all other predictors", "归入其余预测因子"),
        "gathered": (
            "All other predictors ({count}) at their median or commonest level: {points} points; "
            "within their axes at most {error} points, {risk} percentage points of risk, for these "
            "patients at most {largest}",
            "其余 {count} 个预测因子取中位数或最常见类别：{points} 分；在其轴范围内"
            "至多 {error} 分，风险至多 {risk} 个百分点；就这些患者而言至多 {largest} 个百分点",
        ),
        # the legend
        "key_band": ("points of a value, {level} band", "取值的分值及其 {level} 区间带"),
        "key_level": ("points of a level, {level} band", "类别的分值及其 {level} 区间"),
        "key_reference": ("reference, where the band begins", "参照值，区间带由此起"),
        "key_central": ("risk read off the axis", "轴上读出的风险"),
        "key_inner": (
            "limits of patients near that total: median",
            "该总分附近患者的区间限：中位数",
        ),
        "key_envelope": ("5th to 95th percentile of their limits", "其区间限的第 5 至第 95 百分位"),
        "key_patient": ("{name}, exact {level} interval", "{name}，精确 {level} 区间"),
        "key_density": ("{name}, distribution of the total", "{name}，总分的分布"),
        # notes
        "read": (
            "To read a band: from a value straight up to the slanted line, or to the dot of a "
            "level; at that height the band runs from the lower to the upper limit of its points. "
            "It is measured from the reference; the bands of the axes do not add up to the band of "
            "the risk.",
            "区间带读法：由取值垂直向上至斜线（或类别的圆点），该高度处的区间带即其分值的下限至上限。"
            "区间以参照值为基准；各轴的区间不能相加为风险的区间。",
        ),
        "credible": ("{level} credible bands.", "区间带为 {level} 可信区间。"),
        "bootstrap": (
            "{level} resampling intervals of the whole workflow; no coverage guarantee after "
            "selection.",
            "{level} 区间由整个建模流程的重抽样得到；经变量选择后不保证其覆盖率。",
        ),
        "printed": (
            "{level} bands from printed standard errors, correlations unknown.",
            "{level} 区间带由文献发表的标准误得到，相关性未知。",
        ),
        "without": (
            "No bands: the model has neither draws nor resamples.",
            "此模型没有抽样或重抽样结果，故不绘区间带。",
        ),
        "anchored": (
            "The risk axis is anchored at the assumed event share of {share}.",
            "风险轴以假定的事件比例 {share} 定位。",
        ),
        "gap": (
            "The risk of the axis differs from {own} by {median} percentage points at the median "
            "and {largest} at most, at most by {share} of the risk, over {patients} patients.",
            "在 {patients} 例患者中，轴上的风险与{own}之差的中位数为 {median} 个百分点，"
            "最大 {largest} 个百分点，至多为该风险的 {share}。",
        ),
        "own_credible": ("the model's posterior mean risk", "模型的后验平均风险"),
        "own": ("the model's own risk", "模型给出的风险"),
        "outside": (
            "The exact interval of {share} of the patients leaves the drawn envelope, of {others} "
            "where the patient has no part in it.",
            "{share} 的患者的精确区间超出所绘范围；不将该患者计入范围时为 {others}。",
        ),
        "developed": (
            "Developed with {patients} patients, {events} of them with the event.",
            "模型由 {patients} 例患者建立，其中 {events} 例发生结局。",
        ),
        "of": ("{part} of {whole}", "{whole} 例中的 {part}"),
        "beyond": (
            "{share} of the patients have a value beyond a drawn axis.",
            "{share} 的患者有取值超出所绘轴的范围。",
        ),
        "no_points": (
            "Without points in this model: {count} predictors.",
            "此模型中有 {count} 个预测因子无分值。",
        ),
        "cut": (
            "Triangles at the edge: the band goes on beyond the drawn points; a number there is "
            "its limit.",
            "边缘三角表示区间带延伸至所绘分值范围之外，旁边的数字为其界限。",
        ),
        "no": ("no", "否"),
        "yes": ("yes", "是"),
        "row": ("row {row}", "第 {row} 行"),
        "profile": ("profile", "该患者"),
        "patient": ("{name}: {total} points, risk {risk}", "{name}：总分 {total}，风险 {risk}"),
        "exact": (", {level} interval {lower} to {upper}", "，{level} 区间 {lower} 至 {upper}"),
        "range": ("{lower} to {upper}", "{lower} 至 {upper}"),
        "reads": ("; the risk axis reads {central}", "；风险轴读数为 {central}"),
        "assumed": ("* not given: this value is assumed.", "* 未提供：此取值为假定。"),
        "stop": (".", "。"),
        "between": (" ", ""),
        "colon": (": ", "："),
        "comma": (", ", "、"),
    }
)


def say(language: Language, key: str, **values: object) -> str:
    """Return a fixed text in a language, its places filled."""
    return _WORDS[key][language == "zh"].format(**values)


def spoken(nomogram: Nomogram) -> Language:
    """Language of the fixed texts: English where no installed font has the Chinese letters."""
    if nomogram.language == "zh" and not style.without_glyphs(_chinese()):
        return "zh"
    return "en"


def untold_labels(nomogram: Nomogram) -> list[str]:
    """Texts of a nomogram that no installed font can draw.

    A figure shows the names of columns in place of such labels, letters by their number in place
    of such levels, and English in place of Chinese sentences.

    Parameters
    ----------
    nomogram : Nomogram

    Returns
    -------
    list of str
        Labels, levels and units of the axes, title, outcome, horizon and patient, as they are
        given; for a Chinese nomogram also the fixed texts. Empty where all can be drawn.
    """
    texts = texts_of(nomogram)
    lost = style.without_glyphs(texts)
    return lost if nomogram.language == "en" else lost + style.without_glyphs(_chinese())


def texts_of(nomogram: Nomogram) -> list[str]:
    """Every text that a nomogram brings along, and those of its language that can be drawn."""
    axes, patient = nomogram.axes, nomogram.patient
    texts = [nomogram.title, nomogram.outcome, nomogram.horizon, nomogram.notice]
    texts += [] if patient is None else [patient.name, *patient.points["value"].astype(str)]
    for column in ("axis", "label", "unit", "value"):
        texts += axes[column].dropna().astype(str).unique().tolist()
    return [*texts, *(_chinese() if spoken(nomogram) == "zh" else [])]


def _chinese() -> list[str]:
    return [chinese for _, chinese in _WORDS.values()]


# --- numbers -------------------------------------------------------------------------------------


def percent(share: float, language: Language) -> str:
    """A share in per cent, as ``18 %``; two digits below ten, never 0 or 100 by rounding.

    Examples
    --------
    >>> [percent(share, "en") for share in (0.18, 0.0912, 0.00123, 0.99951, 0.0)]
    ['18 %', '9.1 %', '0.12 %', '99.95 %', '0 %']
    """
    return percent_number(share) + ("%" if language == "zh" else " %")


def percent_number(share: float) -> str:
    """A share in per cent without its sign."""
    of_hundred = 100 * share
    if 0 < min(of_hundred, 100 - of_hundred) < 0.01:
        return "<0.01" if of_hundred < 50 else ">99.99"
    if 9.95 <= of_hundred < 99:
        return f"{of_hundred:.0f}"
    if of_hundred >= 99:
        return f"{of_hundred:.2f}".rstrip("0").rstrip(".")
    return f"{float(f'{of_hundred:.2g}'):g}"


def percentage_points(difference: float, *, at_most: bool = False) -> str:
    """A difference of risks in percentage points, one decimal; of a bound rounded up.

    Examples
    --------
    >>> percentage_points(0.0312), percentage_points(0.0001), percentage_points(0)
    ('3.1', '<0.1', '0')
    """
    if difference == 0 or math.isnan(difference):
        return "0"
    if abs(difference) < 0.0005:
        return "<0.1"
    return f"{math.ceil(1000 * difference - 1e-9) / 10 if at_most else 100 * difference:.1f}"


def points_text(points: float) -> str:
    """Points as a whole number, with a true minus sign.

    Examples
    --------
    >>> points_text(-12.4), points_text(0.2), points_text(31.6)
    ('−12', '0', '32')
    """
    return f"{round(points)}".replace("-", "−")


def level_of(nomogram: Nomogram, language: Language) -> str:
    """Probability of the bands, as ``95 %``."""
    return f"{100 * nomogram.interval:g}" + ("%" if language == "zh" else " %")


# --- sentences -----------------------------------------------------------------------------------


def risk_title(nomogram: Nomogram, language: Language) -> str:
    """Title of the risk axis: of what, by when, in per cent."""
    key = "risk_by" if nomogram.horizon else "risk"
    return say(language, key, outcome=nomogram.outcome, horizon=nomogram.horizon)


def gathered_line(nomogram: Nomogram, language: Language) -> str:
    """What the axes that are not drawn add, and how wrong that can be; empty without any."""
    count = nomogram.axes.loc[nomogram.axes["gathered"].eq(True), "axis"].nunique()
    if not count:
        return ""
    error, risk = (
        nomogram.quantity("gathered_error_points"),
        nomogram.quantity("gathered_error_risk"),
    )
    return say(
        language,
        "gathered",
        count=count,
        points=_signed(nomogram.quantity("gathered_points")),
        error="±" + f"{error:.1f}".removesuffix(".0"),
        risk="±" + percentage_points(risk, at_most=True),
        largest=percentage_points(nomogram.quantity("gathered_error_largest"), at_most=True),
    )


def _signed(points: float) -> str:
    text = f"{points:+.1f}".replace("-", "−")
    return "0" if text in ("+0.0", "−0.0") else text


def patient_name(name: str, language: Language) -> str:
    """What a patient is called, in a language.

    Examples
    --------
    >>> [patient_name("row 17", language) for language in ("en", "zh")]
    ['row 17', '第 17 行']
    """
    row = re.fullmatch(r"row (\d+)", name)
    if row:
        return say(language, "row", row=row[1])
    return say(language, "profile") if name == "profile" else name


def called(nomogram: Nomogram, language: Language) -> str:
    """What the patient of a nomogram is called; empty without one."""
    return "" if nomogram.patient is None else patient_name(nomogram.patient.name, language)


def capital(text: str) -> str:
    """The text with a capital letter at its start."""
    return text[:1].upper() + text[1:]


def patient_line(nomogram: Nomogram, language: Language) -> str:
    """Risk and exact interval of the patient in words; empty without one."""
    if nomogram.patient is None:
        return ""
    read = nomogram.patient.risk.iloc[0]
    risk, central = (percent(float(read[name]), language) for name in ("risk", "central_risk"))
    name, total = capital(called(nomogram, language)), points_text(read["total_points"])
    said = say(language, "patient", name=name, total=total, risk=risk)
    if pd.notna(read["lower"]):
        lower, upper = percent_number(read["lower"]), percent(read["upper"], language)
        level = level_of(nomogram, language)
        said += say(language, "exact", level=level, lower=lower, upper=upper)
    said += say(language, "reads", central=central) if central != risk else ""
    return said + say(language, "stop")


def notes(nomogram: Nomogram, language: Language, *, cut: bool) -> list[str]:
    """Sentences under a nomogram, the kind of its bands first.

    Parameters
    ----------
    nomogram : Nomogram
    language : {"en", "zh"}
    cut : bool
        Whether a band goes on beyond the drawn points.
    """
    kind = nomogram.interval_kind if has_bands(nomogram) else "without"
    said = [say(language, kind, level=level_of(nomogram, language))]
    share = nomogram.quantity("event_share")
    said += [say(language, "anchored", share=percent(share, language))] if share > 0 else []
    said += _developed(nomogram, language)
    largest = nomogram.quantity("gap_largest")
    if largest >= 0.0005:
        gap = (
            percentage_points(nomogram.quantity("gap_median")),
            percentage_points(largest, at_most=True),
        )
        patients = _patients(nomogram, language)
        own = say(language, "own_credible" if nomogram.interval_kind == "credible" else "own")
        ratio = percent(nomogram.quantity("gap_largest_share"), language)
        values = {"median": gap[0], "largest": gap[1], "patients": patients, "own": own}
        values["share"] = ratio
        said.append(say(language, "gap", **values))
    for key, quantity in (("outside", "outside_envelope"), ("beyond", "beyond_axes")):
        share = nomogram.quantity(quantity)
        if share >= 0 and (key == "outside" or share > 0):
            others = percent(nomogram.quantity("outside_envelope_left_out"), language)
            said.append(say(language, key, share=percent(share, language), others=others))
    flat = without_points(nomogram.axes)
    said += [say(language, "no_points", count=len(flat))] if flat else []
    said += [say(language, "cut")] if cut else []
    return said


def _patients(nomogram: Nomogram, language: Language) -> str:
    """How many patients a nomogram was judged by, of how many where they are a sample."""
    part, whole = (nomogram.quantity(name) for name in ("patients", "patients_of_cohort"))
    if not whole > part:
        return f"{part:.0f}"
    return say(language, "of", part=f"{part:.0f}", whole=f"{whole:.0f}")


def _developed(nomogram: Nomogram, language: Language) -> list[str]:
    """Of the fitted models, with how many patients; the printed one was developed elsewhere."""
    patients, events = (nomogram.quantity(f"developed_{one}") for one in ("patients", "events"))
    if nomogram.interval_kind == "printed" or not patients > 0:
        return []
    return [say(language, "developed", patients=f"{patients:.0f}", events=f"{events:.0f}")]


def with_yes_no(nomogram: Nomogram) -> Nomogram:
    """Levels 0 and 1 in words, unless the label explains them itself, such as "Sex (0 female)"."""
    axes, patient = nomogram.axes.copy(), nomogram.patient
    language = spoken(nomogram)
    words = {level: say(language, key) for level, key in (("0", "no"), ("1", "yes"))}
    told = [
        axis
        for axis, rows in axes.groupby("axis", sort=False)
        if set(rows["value"]) == set(words)
        and rows["kind"].iloc[0] == "binary"
        and not re.search(r"(?<!\d)0(?!\d)", str(rows["label"].iloc[0]))
    ]
    for column in ("value", "reference"):
        axes[column] = axes[column].mask(axes["axis"].isin(told), axes[column].map(words))
    if patient is not None:
        points = patient.points.copy()
        chosen = points["axis"].isin(told)
        points["value"] = points["value"].mask(chosen, points["value"].map(words))
        patient = replace(patient, points=points)
    return replace(nomogram, axes=axes, patient=patient)


def has_bands(nomogram: Nomogram) -> bool:
    """Whether any axis has limits."""
    return bool(nomogram.axes["points_lower"].notna().any())


def without_points(axes: pd.DataFrame) -> list[str]:
    """Axes whose values all have 0 points: dropped by their model."""
    flat = axes.groupby("axis", sort=False)["length"].first().abs() < 1e-9
    return [str(axis) for axis in flat.index[flat]]


def joined(sentences: Sequence[str], language: Language) -> str:
    """Sentences one after the other, with a blank where the language has one."""
    return say(language, "between").join(sentence for sentence in sentences if sentence)
