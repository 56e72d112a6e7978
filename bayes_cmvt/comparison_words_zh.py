"""The plain words of a comparison in Chinese, sentence by sentence as in English."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bayes_cmvt.agreement_numbers import Agreement

SETS: Mapping[str, str] = MappingProxyType({"development": "建模集", "validation": "验证集"})
VALIDATION = "validation"


def effects(found: Agreement, _: str) -> str:
    """Which intervals leave no effect out."""
    coefficients = found.count("coefficients")
    if found.effects == "none":
        sentence = (
            f"两种区间均未显示效应：{coefficients} 个系数的可信区间与自助法区间都包含“无效应”。"
        )
        if found.value("wald_excludes_none"):
            sentence += (
                "最终模型的 Wald 区间（把变量选择视为确定）有 "
                f"{found.count('wald_excludes_none')} 个不包含“无效应”。"
            )
        return sentence
    start = "在效应上两者一致" if found.effects == "alike" else "在效应上两者不一致"
    return (
        f"{start}：{coefficients} 个系数中，两种区间都不包含“无效应”的有 "
        f"{found.count('both_exclude_none')} 个，仅可信区间不包含的有 "
        f"{found.count('credible_excludes_none')} 个，仅自助法区间不包含的有 "
        f"{found.count('bootstrap_excludes_none')} 个，两者都包含的有 "
        f"{found.count('neither_excludes_none')} 个。"
    )


def widths(found: Agreement, _: str) -> str:
    """Which interval of coefficients is the wider one."""
    if not found.has("coefficient_width_ratio"):
        return _single_points(found)
    start = {
        "alike": "系数的两种区间通常宽度相近",
        "credible": "系数的可信区间通常较宽",
        "bootstrap": "系数的自助法区间通常较宽",
    }[found.widths("coefficient_width_ratio")]
    return (
        f"{start}：在 {found.count('coefficient_widths')} 个可比较宽度的系数中，可信区间与"
        f"自助法区间的宽度之比的中位数为 {found.decimal('coefficient_width_ratio')}；宽出 "
        f"{found.value('alike'):g} 倍以上的，可信区间有 {found.count('credible_wider')} 个，"
        f"自助法区间有 {found.count('bootstrap_wider')} 个。{_single_points(found)}"
    )


def _single_points(found: Agreement) -> str:
    """What an interval without width means; nothing where there is none."""
    if not found.value("bootstrap_only_zero"):
        return ""
    return (
        f"另有 {found.count('bootstrap_only_zero')} 个系数的自助法区间只是 0 这一个点，因为"
        "流程几乎从不选中它们：这说明的是选择的行为，而不是效应已知。"
    )


def risks(found: Agreement, called: str) -> str:
    """Widths and differences of the risks."""
    if not found.has("risk_difference", called):
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
        f"{start}：宽度中位数为 {medians}。{SETS.get(called, called)}的 "
        f"{found.count('patients', called)} 名患者中，两种风险平均相差 "
        f"{found.decimal('risk_difference', called)}，最大相差 "
        f"{found.decimal('largest_risk_difference', called)}。"
    )


def classes(found: Agreement, called: str) -> str:
    """Whose class of risk is certain under which interval."""
    if not found.has("uncertain_both", called):
        return ""
    return (
        "按研究给定的阈值，风险类别在两种区间下都确定且相同的有 "
        f"{found.count('certain_alike', called)} 名患者（都确定但不同的有 "
        f"{found.count('certain_otherwise', called)} 名），仅在可信区间下确定的有 "
        f"{found.count('certain_credible', called)} 名，仅在自助法区间下确定的有 "
        f"{found.count('certain_bootstrap', called)} 名，都不确定的有 "
        f"{found.count('uncertain_both', called)} 名。"
    )


def discrimination(found: Agreement, called: str) -> str:
    """AUC of both, corrected for optimism."""
    if not all(found.has(f"{name}_auc", called) for name in ("credible", "bootstrap")):
        return ""
    return (
        f"校正乐观偏差后的 AUC：后验模型为 {found.limits('credible_auc', called, '至')}，"
        f"频率学派流程为 {found.limits('bootstrap_auc', called, '至')}。"
    )


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
