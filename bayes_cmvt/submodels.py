"""Smaller models in the place of a posterior: its draws clustered, searched with, projected.

The reference is the full posterior. A search runs over clusters of its draws, a handful of mean
risks that stand for thousands; what a submodel predicts comes from draws projected one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bayes_cmvt.posterior import PATIENT_VALUES, expit, linear_predictor_blocks
from bayes_cmvt.projection import (
    SearchPath,
    follow_order,
    forward_search,
    l1_search,
    project,
    project_nested,
)

SEARCHES = ("forward", "l1")
ROUNDS = 10  # of k-means
DISTINCT = 1e-9  # relative distance below which two draws are one

type Floats = NDArray[np.float64]
type Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ReferenceDraws:
    """Draws of the reference model, chains put together.

    Attributes
    ----------
    intercept : ndarray, shape (draw,)
    beta : ndarray, shape (draw, coefficient)
        Log-odds per SD.
    """

    intercept: Floats
    beta: Floats

    def thinned(self, at_most: int) -> ReferenceDraws:
        """Evenly spaced draws, at most so many."""
        draws = len(self.intercept)
        kept = np.linspace(0, draws - 1, min(at_most, draws)).round().astype(int)
        return ReferenceDraws(self.intercept[kept], self.beta[kept])

    def risks(self, matrix: Floats) -> Floats:
        """Risk of each patient in each draw, shape (draw, patient)."""
        found = np.empty((len(self.intercept), len(matrix)))
        for block, predictor in linear_predictor_blocks(self.intercept, self.beta, matrix):
            found[:, block] = expit(predictor)
        return found


@dataclass(frozen=True, eq=False)
class SearchPlan:
    """What a search chooses from, and how.

    Attributes
    ----------
    groups : ndarray of int, shape (coefficient,)
        Position of the predictor that each column belongs to.
    first : tuple of int
        Predictors that are forced in.
    costs : ndarray, shape (predictor,), optional
        The search then goes by the fall of divergence per cost.
    method : {"forward", "l1"}
    clusters : int
        Of draws, for the forward search; the L1 search looks at the mean risk alone.
    steps : int
        Size of the largest submodel, in predictors.
    draws : int
        Draws of the reference that are projected to judge a submodel.
    """

    groups: Positions
    first: tuple[int, ...]
    costs: Floats | None
    method: Literal["forward", "l1"]
    clusters: int
    steps: int
    draws: int

    def columns(self, predictors: NDArray[np.int64] | list[int]) -> Positions:
        """Columns of some predictors, in the order of the design."""
        return np.flatnonzero(np.isin(self.groups, predictors))


@dataclass(frozen=True, eq=False)
class Clusters:
    """Mean risks of clusters of draws.

    Attributes
    ----------
    targets : ndarray, shape (cluster, patient)
    shares : ndarray, shape (cluster,)
        Of the draws.
    """

    targets: Floats
    shares: Floats


def cluster_members(
    draws: ReferenceDraws, matrix: Floats, clusters: int, seed: np.random.SeedSequence
) -> Positions:
    """Deal draws into clusters of similar linear predictors, shape (draw,).

    k-means in the space of the coefficients, turned and stretched so that distances are those
    between linear predictors of the patients.
    """
    from scipy.cluster.vq import ClusterError, kmeans2

    augmented = np.column_stack([np.ones(len(matrix)), matrix])
    triangle = np.linalg.qr(augmented, mode="r") / np.sqrt(len(matrix))
    places = np.column_stack([draws.intercept, draws.beta]) @ triangle.T
    scale = DISTINCT * max(float(np.abs(places).max()), 1.0)
    wanted = min(clusters, len(np.unique(np.round(places / scale), axis=0)))
    rng = np.random.default_rng(seed)
    while wanted > 1:
        try:
            labels = kmeans2(places, wanted, iter=ROUNDS, minit="++", missing="raise", rng=rng)[1]
            return np.asarray(np.unique(labels, return_inverse=True)[1])
        except ClusterError:  # a cluster ran empty
            wanted -= 1
    return np.zeros(len(places), dtype=np.int64)


def cluster_targets(members: Positions, risks: Floats, weights: Floats | None = None) -> Clusters:
    """Mean risks of the patients in each cluster of draws, and the clusters' shares.

    Parameters
    ----------
    members : ndarray of int, shape (draw,)
    risks : ndarray, shape (draw, patient)
    weights : ndarray, shape (draw,), optional
        Importance weights of the draws.
    """
    weights = np.full(len(members), 1 / len(members)) if weights is None else weights
    shares = np.bincount(members, weights=weights)
    held = np.zeros((len(shares), len(members)))
    held[members, np.arange(len(members))] = weights
    present = shares > 0
    return Clusters(held[present] @ risks / shares[present, np.newaxis], shares[present])


def search_submodels(
    draws: ReferenceDraws, matrix: Floats, plan: SearchPlan, seed: np.random.SeedSequence
) -> SearchPath:
    """Search with the draws of a reference model about the patients of a matrix.

    Parameters
    ----------
    draws : ReferenceDraws
    matrix : ndarray, shape (patient, coefficient)
        Standardised.
    plan : SearchPlan
    seed : SeedSequence
        Of the clusters.

    Returns
    -------
    SearchPath
    """
    few = draws.thinned(max(plan.clusters, PATIENT_VALUES // len(matrix)))
    members = cluster_members(few, matrix, plan.clusters, seed)
    return search_clusters(cluster_targets(members, few.risks(matrix)), matrix, plan)


def search_clusters(clusters: Clusters, matrix: Floats, plan: SearchPlan) -> SearchPath:
    """Search with mean risks of clusters of draws about the patients of a matrix."""
    targets, shares = clusters.targets, clusters.shares
    if plan.method == "l1":
        mean = shares @ targets / shares.sum()
        order = l1_search(matrix, plan.groups, mean, first=plan.first, steps=plan.steps)
        return follow_order(matrix, plan.groups, targets, order.tolist(), shares=shares)
    return forward_search(
        matrix,
        plan.groups,
        targets,
        shares=shares,
        first=plan.first,
        costs=plan.costs,
        steps=plan.steps,
    )


def project_draws(
    draws: ReferenceDraws, matrix: Floats, columns: Positions
) -> tuple[ReferenceDraws, Floats]:
    """Project draws one by one onto the submodel of some columns.

    Parameters
    ----------
    draws : ReferenceDraws
    matrix : ndarray, shape (patient, coefficient)
        Patients about whom submodel and reference are to agree.
    columns : ndarray of int
        Of the submodel.

    Returns
    -------
    projected : ReferenceDraws
        0 for columns that are not in the submodel.
    divergence : ndarray, shape (draw,)
        Nats per patient.
    """
    together = max(1, PATIENT_VALUES // len(matrix))  # draws whose risks are held at a time
    intercept, divergence = np.empty_like(draws.intercept), np.empty_like(draws.intercept)
    beta = np.zeros_like(draws.beta)
    for start in range(0, len(intercept), together):
        block = slice(start, start + together)
        part = ReferenceDraws(draws.intercept[block], draws.beta[block])
        found = project(matrix[:, columns], part.risks(matrix))
        intercept[block], divergence[block] = found.intercept, found.divergence
        beta[block, columns] = found.coefficients
    return ReferenceDraws(intercept, beta), divergence


def submodel_risks(
    draws: ReferenceDraws,
    learnt: Floats,
    asked: Floats,
    order: Positions,
    plan: SearchPlan,
) -> Floats:
    """Mean risk that the submodel of each size gives to patients, shape (1 + step, patient).

    Parameters
    ----------
    draws : ReferenceDraws
    learnt : ndarray, shape (patient, coefficient)
        Patients on whom draws are projected.
    asked : ndarray, shape (other patient, coefficient)
    order : ndarray of int, shape (step,)
        Predictors as they enter; the first submodel is the intercept alone.
    plan : SearchPlan
    """
    submodels = nested_submodels(draws, learnt, order, plan)
    return np.stack([one.risks(asked).mean(axis=0) for one in submodels])


def nested_submodels(
    draws: ReferenceDraws, learnt: Floats, order: Positions, plan: SearchPlan
) -> list[ReferenceDraws]:
    """Draws projected onto the submodel of each size, the intercept alone first."""
    nested = project_nested(learnt, plan.groups, draws.risks(learnt), order.tolist())
    return [ReferenceDraws(one.intercept, one.coefficients) for one in nested]


def of_size(plan: SearchPlan, size: int) -> SearchPlan:
    """The same plan with a search that ends at a size."""
    return replace(plan, steps=size)
