"""Metrics of predicted risks: plain functions ``(outcome, risk, ...)`` of arrays.

``outcome`` has shape (patient,), ``risk`` (..., patient): leading axes such as draws are kept, and
those of ``weights`` (bootstrap replicates) are broadcast against them. ``risk >= threshold`` is
positive. Nothing else of the package is needed:

>>> from bayes_cmvt import metrics
>>> metrics.auc([0, 1, 0, 1], [[0.1, 0.8, 0.3, 0.7], [0.1, 0.2, 0.3, 0.4]]).tolist()
[1.0, 0.75]

With ``response_method="predict_proba"`` scikit-learn's ``make_scorer`` takes them as they are.
"""

from __future__ import annotations

from bayes_cmvt.metrics.calibration import (
    HosmerLemeshow,
    Recalibration,
    RiskGroups,
    calibration_in_the_large,
    calibration_intercept,
    calibration_slope,
    hosmer_lemeshow,
    recalibration,
    risk_groups,
)
from bayes_cmvt.metrics.curves import (
    CalibrationCurve,
    CalibrationErrors,
    calibration_curve,
    calibration_errors,
    e50,
    e90,
    emax,
    integrated_calibration_index,
)
from bayes_cmvt.metrics.discrimination import (
    AreaDifference,
    AreaUnderCurve,
    RocCurve,
    Youden,
    auc,
    auc_delong,
    auc_difference,
    negative_predictive_value,
    positive_predictive_value,
    roc_curve,
    sensitivity,
    specificity,
    youden,
)
from bayes_cmvt.metrics.left_out_pairs import LeavePairOut, leave_pair_out, leave_pair_out_auc
from bayes_cmvt.metrics.optimism_correction import (
    CorrectedCurve,
    Optimism,
    optimism,
    optimism_corrected_curve,
    weighted_optimism,
)
from bayes_cmvt.metrics.resampling import (
    MetricInterval,
    bayesian_bootstrap,
    bayesian_bootstrap_blocks,
    metric_interval,
)
from bayes_cmvt.metrics.scores import (
    brier_score,
    interval_score,
    log_score,
    scaled_brier_score,
)
from bayes_cmvt.metrics.utility import (
    DecisionCurve,
    decision_curve,
    evpi_development,
    evpi_validation,
    expected_net_benefit,
    interventions_avoided,
    net_benefit,
    net_benefit_treat_all,
    probability_useful,
)

__all__ = [
    "AreaDifference",
    "AreaUnderCurve",
    "CalibrationCurve",
    "CalibrationErrors",
    "CorrectedCurve",
    "DecisionCurve",
    "HosmerLemeshow",
    "LeavePairOut",
    "MetricInterval",
    "Optimism",
    "Recalibration",
    "RiskGroups",
    "RocCurve",
    "Youden",
    "auc",
    "auc_delong",
    "auc_difference",
    "bayesian_bootstrap",
    "bayesian_bootstrap_blocks",
    "brier_score",
    "calibration_curve",
    "calibration_errors",
    "calibration_in_the_large",
    "calibration_intercept",
    "calibration_slope",
    "decision_curve",
    "e50",
    "e90",
    "emax",
    "evpi_development",
    "evpi_validation",
    "expected_net_benefit",
    "hosmer_lemeshow",
    "integrated_calibration_index",
    "interval_score",
    "interventions_avoided",
    "leave_pair_out",
    "leave_pair_out_auc",
    "log_score",
    "metric_interval",
    "negative_predictive_value",
    "net_benefit",
    "net_benefit_treat_all",
    "optimism",
    "optimism_corrected_curve",
    "positive_predictive_value",
    "probability_useful",
    "recalibration",
    "risk_groups",
    "roc_curve",
    "scaled_brier_score",
    "sensitivity",
    "specificity",
    "weighted_optimism",
    "youden",
]
