"""The plain words of a comparison in Chinese, sentence by sentence as in English."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bayes_cmvt.agreement_numbers import Agreement

SETS: Mapping[str, str] = MappingProxyType({"development": "建模集", "validation": "验证集"})
VALIDATION = "validation"


def effects(found: Agreement, _: str) -> str:
    """Which intervals leave no effect out."""
    coefficients, apart = found.count("coefficients"), found.count("one_excludes_none")
    counts = (
        f"两种区间都不包含“无效应”的有 {found.count('both_exclude_none')} 个，仅可信区间不包含的有 "
        f"{found.count('credible_excludes_none')} 个，仅自助法区间不包含的有 "
        f"{found.count('bootstrap_excludes_none')} 个，两者都包含的有 "
        f"{found.count('neither_excludes_none')} 个。"
    )
    start = {
        "none": f"两种区间均未显示效应：{coefficients} 个系数的可信区间与自助法区间都包含"
        "“无效应”，但这并不证明没有效应。",
        "alike": f"在效应上两者一致：{coefficients} 个系数中，{counts}",
        "differ": f"在效应上两者有 {apart} 个不一致：{coefficients} 个系数中，{counts}",
        "opposed": f"在部分效应上两者相互矛盾：{coefficients} 个系数中有 "
        f"{found.count('opposed_effects')} 个的两种区间位于“无效应”的两侧；{counts}",
    }[found.effects]
    return "".join([start, *found.counted(_NOTES)])


_NOTES: Mapping[str, str] = MappingProxyType(
    {
        "within_simulation_error": "其中 {} 个系数的可信限非常接近“无效应”，重新抽样可能使其越过。",
        "held_by_selection": "有 {} 个系数的自助法区间包含“无效应”，是因为足够多的重抽样"
        "未选中该变量。",
        "wald_excludes_none": "最终模型的 Wald 区间（把变量选择视为确定）有 {} 个不包含“无效应”。",
    }
)


def widths(found: Agreement, _: str) -> str:
    """Which interval of coefficients is the wider one."""
    if not found.has("coefficient_width_ratio"):
        return _single_points(found)
    start = {
        "alike": "系数的两种区间通常宽度相近",
        "credible": "系数的可信区间通常较宽",
        "bootstrap": "系数的自助法区间通常较宽",
        "no rule": "系数的两种区间没有哪一种通常较宽",
    }[found.coefficient_widths]
    return (
        f"{start}（每标准差，对数比值；可比较的有 {found.count('coefficient_widths')} 个）：宽度在 "
        f"{found.value('alike'):g} 倍以内的有 {found.count('alike_widths')} 个，可信区间较宽的有 "
        f"{found.count('credible_wider')} 个，自助法区间较宽的有 {found.count('bootstrap_wider')} "
        f"个；可信区间与自助法区间宽度之比的中位数为 {found.decimal('coefficient_width_ratio')}。"
        f"{_single_points(found)}"
    )


def _single_points(found: Agreement) -> str:
    """What an interval next to without width means; nothing where there is none."""
    if not found.value("hardly_chosen") > 0:
        return ""
    return (
        f"另有 {found.count('hardly_chosen')} 个系数几乎从不被流程选中，其自助法区间近乎 0 这一个"
        "点：这说明的是选择的行为，而不是效应已知。"
    )


def risks(found: Agreement, called: str) -> str:
    """Widths and differences of the risks."""
    if not found.has("risk_difference", called) or not found.has("risk_width_ratio", called):
        return ""
    start = {
        "alike": "患者风险的两种区间宽度相近",
        "credible": "患者风险的可信区间较宽",
        "bootstrap": "患者风险的自助法区间较宽",
    }[found.widths("risk_width_ratio", called)]
    named = (("credible", "可信区间"), ("bootstrap", "自助法"), ("wald", "Wald"))
    medians = "、".join(
        f"{found.decimal(f'{name}_risk_width', called)}（{word}）"
        for name, word in named
        if found.has(f"{name}_risk_width", called)
    )
    return (
        f"{start}：{SETS.get(called, called)}的 {found.count('patients', called)} 名患者中，"
        f"可信区间与自助法区间宽度之比的中位数为 {found.decimal('risk_width_ratio', called)}，"
        f"宽度中位数为 {medians}。两种风险平均相差 {found.decimal('risk_difference', called)}，"
        f"二十分之一的患者相差超过 {found.decimal('risk_difference_95', called)}。"
    )


def classes(found: Agreement, called: str) -> str:
    """Whose class of risk is certain under which interval."""
    if not found.has("uncertain_both", called) or not found.thresholds:
        return ""
    between = (
        f"（其中 {found.count('between_thresholds', called)} 名位于阈值之间，决策取决于所用阈值）"
        if len(found.thresholds) > 1
        else ""
    )
    differing = (
        f"两种区间各在不同类别的有 {found.count('certain_otherwise', called)} 名，"
        if found.value("certain_otherwise", called) > 0
        else ""
    )
    return (
        f"风险类别以 {'、'.join(found.thresholds)} 为界：两种区间都完全落在同一类别的有 "
        f"{found.count('certain_alike', called)} 名患者{between}，{differing}仅可信区间落在一个"
        f"类别的有 {found.count('certain_credible', called)} 名，仅自助法区间的有 "
        f"{found.count('certain_bootstrap', called)} 名，都不能的有 "
        f"{found.count('uncertain_both', called)} 名。"
    )


def discrimination(found: Agreement, called: str) -> str:
    """AUC of both, judged in the same way, and corrected for optimism."""
    told = ""
    if all(found.has(f"{name}_auc", called) for name in ("credible", "bootstrap")):
        how = "交叉验证" if called == "development" else "新患者"
        told += (
            f"{how}的 AUC：后验模型为 {found.limits('credible_auc', called, '至')}，"
            f"频率学派流程为 {found.limits('bootstrap_auc', called, '至')}。"
        )
    if found.has("corrected_auc", called):
        told += (
            "重复整个流程以校正乐观偏差后，频率学派流程的 AUC 为 "
            f"{found.limits('corrected_auc', called, '至')}。"
        )
    return told


def new_patients(found: Agreement, _: str) -> str:
    """Difference of the AUC on patients that neither has seen."""
    if not found.has("auc_difference", VALIDATION):
        return ""
    return (
        f"在 {found.count('patients', VALIDATION)} 名验证集患者中，后验模型与频率学派流程的 AUC "
        f"之差为 {found.limits('auc_difference', VALIDATION, '至')}。"
    )


def untold(found: Agreement, _: str) -> str:
    """What neither kind of interval can tell."""
    level = f"{100 * found.interval:g}%"
    return (
        "区间宽窄本身不是优点：窄区间可能不包含真值。可信区间在其先验所预期的范围内平均有 "
        f"{level} 包含真值；经过变量选择之后，自助法区间没有这样的保证；二者对单个患者都不作"
        "承诺。两者都来自同一批患者和同一组候选变量：都不能说明其他患者是否相似、某个预测变量"
        "是否为原因，也不能说明未测量的因素。"
    )


CHINESE: tuple[Callable[[Agreement, str], str], ...] = (
    *(effects, widths, risks, classes, discrimination, new_patients, untold),
)
