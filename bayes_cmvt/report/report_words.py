"""Fixed words of a report in English and Chinese: phrases with named places for what varies.

``{name}`` is a fact, ``{=1.01}`` a constant of a definition, ``{@key}`` a reference, ``{$text}`` a
command or file, ``{#anchor|text}`` a jump.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from bayes_cmvt.report.document import Cite, Code, Content, Fixed, Inline, Link
from bayes_cmvt.report.model_file import template_text

PLACE = re.compile(r"\{([^{}]*)\}")

type Words = Mapping[str, str]
type Facts = Mapping[str, Inline | Content | None]


def load_words(language: str) -> Words:
    """Return all phrases of one language.

    Parameters
    ----------
    language : {"en", "zh"}

    Returns
    -------
    mapping of str to str
    """
    words: Words = json.loads(template_text(f"report.{language}.json"))
    return words


def places(phrase: str) -> tuple[str, ...]:
    """Return the names of the facts that a phrase needs.

    Examples
    --------
    >>> places("{events} of {patients}, {=0.5}, {@a}, {$b}, {#c|d}")
    ('events', 'patients')
    """
    return tuple(name for name in PLACE.findall(phrase) if name[:1] not in "=@$#")


def written(phrase: str, facts: Facts) -> Content | None:
    """Return a phrase with its places filled, or None where a fact is not known.

    Parameters
    ----------
    phrase : str
    facts : mapping of str to inline or content
        None: not known.

    Returns
    -------
    tuple of Inline or None

    Examples
    --------
    >>> written("R-hat below {=1.01} in {all}", {"all": "all chains"})
    ('R-hat below ', Fixed(text='1.01'), ' in ', 'all chains')
    >>> written("{events} events", {}) is None
    True
    """
    if any(facts.get(name) is None for name in places(phrase)):
        return None
    found: list[Inline] = []
    for index, part in enumerate(PLACE.split(phrase)):
        found += _filled(part, facts) if index % 2 else ([part] if part else [])
    return tuple(found)


def _filled(place: str, facts: Facts) -> list[Inline]:
    """What stands at one place."""
    rest = place[1:]
    match place[:1]:
        case "=":
            return [Fixed(rest)]
        case "@":
            return [Cite(rest)]
        case "$":
            return [Code(rest)]
        case "#":
            anchor, _, text = rest.partition("|")
            return [Link(text, anchor)]
    fact = facts[place]
    return list(fact) if isinstance(fact, tuple) else [fact] if fact is not None else []
