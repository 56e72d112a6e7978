"""How the numerical kernels are compiled: numba's settings, the same for all of them.

Kernels that call each other live in one file: numba's cache notices an edit of the file that it
compiled, not of another file that this one calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numba


def compiled[F: Callable[..., Any]](function: F) -> F:
    """Compile a function on its first call; keep the machine code on disk where that is possible.

    The global interpreter lock is released while it runs, so that threads run side by side, and
    division by zero gives an infinity instead of an exception.
    """
    try:
        return cast("F", numba.njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:  # no folder that can be written: compile in each process
        return compiled_within(function)


def compiled_within[F: Callable[..., Any]](function: F) -> F:
    """Compile a function that other kernels call; it is kept on disk as a part of them."""
    return cast("F", numba.njit(nogil=True, error_model="numpy")(function))


def compiled_summing[F: Callable[..., Any]](function: F) -> F:
    """As `compiled_within`, for sums whose terms may be added in any order, many at a time.

    Nothing else is relaxed: infinities and NaN keep their meaning. The order is fixed when the
    kernel is compiled, so that results stay the same on processors of one kind.
    """
    relaxed = {"reassoc", "contract"}
    return cast("F", numba.njit(nogil=True, error_model="numpy", fastmath=relaxed)(function))
