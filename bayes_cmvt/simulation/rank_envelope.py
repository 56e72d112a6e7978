"""Do true values rank evenly? Their ranks, the simultaneous test, and its envelope."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

RANKS = 99  # draws that a true value is ranked among
SAME_P = 1e-9  # relative: probabilities so near are one probability, with another rounding error

type Floats = NDArray[np.float64]
type Counts = NDArray[np.int64]


def thinned_evenly(values: Floats, ranks: int = RANKS) -> Floats:
    """So many evenly spaced rows, the last one among them.

    Examples
    --------
    >>> thinned_evenly(np.arange(1000.0), 4)
    array([249., 499., 749., 999.])
    """
    return values[(np.arange(1, ranks + 1) * len(values)) // ranks - 1]


def ranks_of(truth: Floats, values: Floats, rng: Generator) -> Counts:
    """How many values are below the truth; of those equal to it a random number.

    Parameters
    ----------
    truth : ndarray, shape (quantity,)
    values : ndarray, shape (draw, quantity)
    rng : Generator

    Returns
    -------
    ndarray of int, shape (quantity,)
    """
    equal = (values == truth).sum(axis=0)
    return np.asarray((values < truth).sum(axis=0) + rng.integers(0, equal, endpoint=True))


@dataclass(frozen=True, eq=False)
class RankTest:
    """Simultaneous test that ranks are even, at every rank at once.

    The number of ranks below k is binomial. Its two-sided probability is small where ranks are
    uneven; the smallest over all k is what is judged, against its own exact distribution, and the
    counts whose probability is larger than a critical one make the simultaneous envelope
    (Säilynoja, Bürkner & Vehtari 2022, doi:10.1007/s11222-022-10090-6, section 2).

    Attributes
    ----------
    replications, ranks : int
        Ranks run from 0 to ``ranks``.
    two_sided : ndarray, shape (ranks, replications + 1)
        Twice the smaller tail probability of each number of ranks below 1, …, ``ranks``.
    """

    replications: int
    ranks: int
    two_sided: Floats

    def smallest(self, ranks: Counts) -> float:
        """Smallest two-sided probability of observed ranks, shape (replication,)."""
        below = np.cumsum(np.bincount(ranks, minlength=self.ranks + 1))[:-1]
        return float(self.two_sided[np.arange(self.ranks), below].min())

    def p_value(self, ranks: Counts) -> float:
        """Probability that even ranks look as uneven as these, or more so."""
        return self.distribution(self.smallest(ranks))

    def distribution(self, probability: float) -> float:
        """Probability that the smallest two-sided probability of even ranks is at most this one.

        Numbers in disjoint ranges of ranks are Poisson variables given their sum: their partial
        sums are followed from rank to rank, and what leaves is added up, without cancellation.
        """
        n, cells = self.replications, self.ranks + 1
        step = _poisson(np.arange(n + 1), n / cells)
        step = step[: np.flatnonzero(step)[-1] + 1]
        stayed, lowest, left = np.ones(1), 0, 0.0
        for k in range(1, cells):
            stayed = np.convolve(stayed, step)[: n + 1 - lowest]
            counts = np.arange(lowest, lowest + len(stayed))
            out = self.two_sided[k - 1, counts] <= probability * (1 + SAME_P)
            rest = _poisson(n - counts[out], n * (cells - k) / cells)
            left += float(stayed[out] @ rest)
            kept = np.flatnonzero(~out)
            if not len(kept):
                break
            stayed, lowest = stayed[kept[0] : kept[-1] + 1], int(counts[kept[0]])
        return min(1.0, left / float(_poisson(np.array([n]), n)[0]))

    def envelope(self, outside: float) -> tuple[Counts, Counts]:
        """Fewest and most ranks up to each, from 0 to ``ranks``, of ranks inside the envelope.

        Parameters
        ----------
        outside : float
            Probability, at most, that even ranks leave it.

        Returns
        -------
        tuple of ndarray of int, shape (ranks + 1,)
        """
        # at most so many chances to fall to a probability: the critical one lies in between
        low, high = np.log(outside / self.ranks) - SAME_P, 0.0
        while high - low > SAME_P:
            middle = (low + high) / 2
            if self.distribution(float(np.exp(middle))) <= outside:
                low = middle
            else:
                high = middle
        inside = self.two_sided > np.exp(low) * (1 + SAME_P)
        fewest, last = inside.argmax(axis=1), inside[:, ::-1].argmax(axis=1)
        ends = [np.append(fewest, self.replications)]
        ends.append(np.append(self.replications - last, self.replications))
        return ends[0], ends[1]


def _poisson(counts: Counts, mean: float) -> Floats:
    """Probabilities of counts; SciPy's distribution object takes ten times as long."""
    from scipy.special import gammaln, xlogy

    return np.exp(xlogy(counts, mean) - mean - gammaln(counts + 1))


@functools.lru_cache(maxsize=4)
def rank_test(replications: int, ranks: int = RANKS) -> RankTest:
    """Make the test for so many ranks from 0 to ``ranks``."""
    from scipy.stats import binom

    share = np.arange(1, ranks + 1)[:, np.newaxis] / (ranks + 1)
    counts = np.arange(replications + 1)
    at_most = binom.cdf(counts, replications, share)
    at_least = binom.sf(counts - 1, replications, share)
    return RankTest(replications, ranks, np.minimum(1.0, 2 * np.minimum(at_most, at_least)))
