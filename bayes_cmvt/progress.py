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
    """

    finished: int
    total: int
    details: str = ""
    attempt: int = 1
    unit: str = "draws"


type Report = Callable[[SamplingState], None]
