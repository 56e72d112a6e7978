"""Everything that the package raises on purpose.

The tree::

    BayesCmvtError
    ├── InputError            the user's input; the command line ends with status 2
    │   ├── StudyError        a study file: unreadable, unknown key, contradictory values
    │   ├── DataError         a data file or what is in it: cells, levels, columns
    │   ├── OptionError       an argument or option outside what is allowed
    │   ├── MetricError       outcomes, risks, weights or a threshold that no metric takes
    │   └── RunError          a run folder: missing, damaged, in the way, not writable
    └── SamplingError         a sampler or resampling did not return all it was asked for

An `InputError` carries a heading and every problem found, never only the first.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN_AT_MOST = 200


class BayesCmvtError(Exception):
    """Root of the tree: catch it to catch everything that the package raises on purpose."""


class InputError(BayesCmvtError):
    """The input cannot be used; the message lists all that is wrong with it.

    Parameters
    ----------
    heading : str
        What cannot be done, on one line, naming the file.
    problems : iterable of str
        One line each: where, what was found, what is allowed, what to do.

    Attributes
    ----------
    aftermath : str
        What the command line says of files; another sentence where something stays.
    """

    aftermath = "Nothing was written."

    def __init__(self, heading: str, problems: Iterable[str] = ()) -> None:
        self.heading = heading
        self.problems = tuple(problems)
        super().__init__(_message(heading, self.problems))


class StudyError(InputError):
    """A study file that cannot be read or contradicts itself."""


class DataError(InputError):
    """A data file that cannot be read, or cells that the study does not allow."""


class OptionError(InputError):
    """An argument or option outside what is allowed."""


class MetricError(InputError):
    """Outcomes, risks, weights or a threshold that a metric cannot take."""


class RunError(InputError):
    """A run folder that is missing, damaged, in the way or not writable."""


class SamplingError(BayesCmvtError):
    """A sampler, or workers that resample, did not return everything they were asked for."""


def _message(heading: str, problems: tuple[str, ...]) -> str:
    if not problems:
        return heading
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    shown = [f"  {problem}" for problem in problems[:SHOWN_AT_MOST]]
    if len(problems) > SHOWN_AT_MOST:
        shown.append(f"  … and {len(problems) - SHOWN_AT_MOST} more")
    return "\n".join([f"{heading}: {count}", "", *shown])


def nearest(found: object, allowed: Iterable[object]) -> str:
    """Return ``; did you mean "x"?`` where an allowed spelling is close, else an empty string.

    Examples
    --------
    >>> nearest("contnuous", ["continuous", "binary"])
    '; did you mean "continuous"?'
    >>> nearest("zzz", ["continuous", "binary"])
    ''
    """
    spellings = {str(item).casefold(): str(item) for item in allowed}
    close = difflib.get_close_matches(str(found).casefold(), spellings, n=1, cutoff=0.6)
    return f'; did you mean "{spellings[close[0]]}"?' if close else ""


def quoted(items: Iterable[object], at_most: int = 8) -> str:
    """Join items for a message, texts in double quotes, long lists cut with their count.

    Examples
    --------
    >>> quoted(["neuraxial", "general"]), quoted([0, 1])
    ('"neuraxial", "general"', '0, 1')
    >>> quoted(range(4), at_most=2)
    '0, 1, … (4 in all)'
    """
    words = [f'"{item}"' if isinstance(item, str) else str(item) for item in items]
    if len(words) <= at_most:
        return ", ".join(words)
    return ", ".join([*words[:at_most], f"… ({len(words)} in all)"])
