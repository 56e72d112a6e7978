"""What is made from a synthetic cohort says so: the mark in its file's name is carried along."""

from __future__ import annotations

MARK = "SYNTHETIC"
NOTICE = (
    "SYNTHETIC: made to agree with printed results; no patient is in it. The printed odds ratios "
    "are true by construction, so it shows no optimism in them."
)


def is_synthetic(*sources: str | None) -> bool:
    """Whether any of these data files is a synthetic cohort, which its name says.

    Examples
    --------
    >>> is_synthetic("cohort_SYNTHETIC.csv"), is_synthetic("cohort.csv", None)
    (True, False)
    """
    return any(MARK in source for source in sources if source is not None)


def titled(title: str, *sources: str | None) -> str:
    """Return the title of what was made from these data files, marked where one is synthetic.

    Examples
    --------
    >>> titled("Thrombosis after surgery", "cohort_SYNTHETIC.csv")
    'SYNTHETIC: Thrombosis after surgery'
    """
    marked = is_synthetic(*sources) and not title.startswith(MARK)
    return f"{MARK}: {title}" if marked else title
