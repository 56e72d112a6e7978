"""What a running sampler tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class SamplingState:
    """Where a running sampler stands.

    Attributes
    ----------
    finished, total : int
        Draws of all chains, warm-up included, or replicates of a simulation.
    details : str
        What else the sampler has to say; may be empty.
    attempt : int
        1, and more where a run is repeated or made longer.
    unit : str
        What is counted.
    seconds_left : float, optional
        Until all are finished, by the speed of what this run has computed; None where that is not
        known, or not told by who counts.
    memory : int, optional
        Bytes resident in this process and in its workers, pages that they share counted in each;
        None where it is not known.
    """

    finished: int
    total: int
    details: str = ""
    attempt: int = 1
    unit: str = "draws"
    seconds_left: float | None = None
    memory: int | None = None


type Report = Callable[[SamplingState], None]
