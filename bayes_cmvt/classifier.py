"""The published workflow as a scikit-learn classifier, for anybody's own resampling."""

from __future__ import annotations

from typing import Any, Literal, Self

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from bayes_cmvt.pipeline import STATUSES, Patients, PipelineFit, run_pipeline
from bayes_cmvt.posterior import expit
from bayes_cmvt.schema import Baseline

SETTINGS = ("folds", "loss", "rule", "cv", "p_enter", "screen_p", "elimination")


class LassoLogisticClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Cross-validated LASSO, refit, P rule and final logistic model, all of it in ``fit``.

    What resampling of the final model alone leaves out, the choice of its columns, is repeated
    wherever this is fitted again. Columns are standardised inside; two classes.

    Parameters
    ----------
    folds : int
        Of the cross-validation, stratified; fewer where the rarer class has fewer members.
    loss : {"mse", "deviance", "auc"}
    rule : {"min", "1se"}
        Penalty of the smallest loss, or the largest within one standard error of it.
    cv : {"exact", "glmnet"}
        Folds at the common penalties, or each on its own and interpolated.
    p_enter : float in (0, 1]
        Keep what has a smaller P in the refit; 1 keeps everything that the LASSO kept.
    screen_p : float, optional
        Univariable screening first.
    elimination : {"aic"}, optional
        Backward elimination instead of the P rule.
    random_state : int, RandomState or None
        For the folds.

    Attributes
    ----------
    classes_ : ndarray, shape (2,)
    coef_ : ndarray, shape (1, feature)
        Log-odds per unit of each feature; 0 where it was not selected. Of a separated final model
        those of FLAC, from which risks follow.
    intercept_ : ndarray, shape (1,)
    lasso_selected_, selected_ : ndarray of bool, shape (feature,)
    status_ : str
        ``fitted``, or ``empty`` where nothing was selected.
    n_features_in_ : int

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> features = rng.normal(size=(300, 5))
    >>> event = rng.random(300) < 1 / (1 + np.exp(-2 * features[:, 0]))
    >>> model = LassoLogisticClassifier(random_state=1).fit(features, event)
    >>> model.selected_.tolist()
    [True, False, False, False, False]
    """

    def __init__(
        self,
        *,
        folds: int = 10,
        loss: Literal["mse", "deviance", "auc"] = "mse",
        rule: Literal["min", "1se"] = "min",
        cv: Literal["exact", "glmnet"] = "exact",
        p_enter: float = 0.05,
        screen_p: float | None = None,
        elimination: Literal["aic"] | None = None,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.folds = folds
        self.loss = loss
        self.rule = rule
        self.cv = cv
        self.p_enter = p_enter
        self.screen_p = screen_p
        self.elimination = elimination
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 - scikit-learn's name
        """Run the workflow.

        Parameters
        ----------
        X : array_like, shape (patient, feature)
        y : array_like, shape (patient,)
            Two classes; the larger is the event.

        Returns
        -------
        LassoLogisticClassifier

        Raises
        ------
        ValueError
            One class or more than two, a class with one member, or parameters outside what is
            allowed.
        """
        features, labels = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(labels)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) != 2:
            count = "1 class" if len(self.classes_) == 1 else f"{len(self.classes_)} classes"
            msg = f"Only binary classification is supported; found {count} in y"
            raise ValueError(msg)
        patients = Patients(
            np.ascontiguousarray(features),
            codes.astype(np.int8),
            groups=np.arange(features.shape[1]),
        )
        found = run_pipeline(patients, self._settings(), self._seed())
        if found.risk is None or found.refit is None or found.status not in ("fitted", "empty"):
            msg = f"the workflow finds no model: {found.reason or STATUSES[found.status]}"
            raise ValueError(msg)
        return self._learnt(found)

    def _settings(self) -> Baseline:
        given = {name: getattr(self, name) for name in SETTINGS}
        # a search's grid holds numbers of numpy
        plain = {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in given.items()
        }
        try:
            return Baseline(**plain)
        except ValidationError as error:
            problems = [
                f"{one['loc'][0]}: found {one['input']!r}; it {one['msg'].removeprefix('Input ')}"
                for one in error.errors(include_url=False)
            ]
            msg = f"LassoLogisticClassifier cannot be fitted: {'; '.join(problems)}"
            raise ValueError(msg) from None

    def _seed(self) -> np.random.SeedSequence:
        state = check_random_state(self.random_state)
        return np.random.SeedSequence(int(state.randint(2**31 - 1)))

    def _learnt(self, found: PipelineFit) -> Self:
        assert found.risk is not None
        assert found.refit is not None
        self.status_ = found.status
        self.lasso_selected_ = found.refit.members
        self.selected_ = found.risk.members
        self.coef_ = found.risk.coefficients[np.newaxis]
        self.intercept_ = np.array([found.risk.fit.intercept])
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Log-odds of the event, shape (patient,)."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=np.float64, reset=False)
        return np.asarray(features @ self.coef_[0] + self.intercept_[0])

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Probability of each class, shape (patient, 2)."""
        risk = expit(self.decision_function(X))
        return np.column_stack([1 - risk, risk])

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Class of a probability of at least 1/2, shape (patient,)."""
        event = (self.decision_function(X) >= 0).astype(int)
        return np.asarray(self.classes_[event])
