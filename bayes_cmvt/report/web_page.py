"""A report as one HTML page: no script, no request, readable on screen, telephone and paper."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from dataclasses import dataclass

from bayes_cmvt.report.citations import WORKS, Work, link_of
from bayes_cmvt.report.document import (
    Document,
    Heading,
    Picture,
    Value,
    anchor_names,
    plain_text,
)
from bayes_cmvt.report.model_file import template_text

MEDIA = {"svg": "image/svg+xml", "png": "image/png"}
WIDE = 6  # columns from which a table asks for the whole width


def report_page(document: Document) -> str:
    """Return a report as a self-contained HTML page.

    Every number carries where it stands as ``data-source``, ``data-row`` (JSON) and
    ``data-column``; the content policy forbids scripts and requests.

    Parameters
    ----------
    document : Document

    Returns
    -------
    str
    """
    from jinja2 import Environment
    from markupsafe import Markup

    style = template_text("report.css") + print_marks(document.marks)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        {"row": row_text, "full": full_text, "image": image_address, "plain": plain_text}
    )
    return environment.from_string(template_text("report.html")).render(
        document=document,
        outline=outline(document),
        works=[(key, WORKS[key], link_of(WORKS[key])) for key in document.cited],
        names=anchor_names(document),
        positions={key: place for place, key in enumerate(document.cited, start=1)},
        style=Markup(style),
        style_hash=_source_hash(style),
        wide=WIDE,
    )


@dataclass(frozen=True)
class Part:
    """One entry of the table of contents with those below it."""

    heading: Heading
    below: tuple[Heading, ...]


def outline(document: Document) -> tuple[Part, ...]:
    """Return the headings of level 2, each with those of level 3 that follow it.

    Parameters
    ----------
    document : Document

    Returns
    -------
    tuple of Part
    """
    parts: list[Part] = []
    for block in document.blocks:
        if isinstance(block, Heading) and block.level == 2:
            parts.append(Part(block, ()))
        elif isinstance(block, Heading) and block.level == 3 and parts:
            last = parts[-1]
            parts[-1] = Part(last.heading, (*last.below, block))
    return tuple(parts)


def print_marks(marks: tuple[str, ...]) -> str:
    r"""Return the rule that repeats the marks at the top of every printed page.

    Examples
    --------
    >>> print_marks(('a "b"',))
    '@page { @top-center { content: "a \\22 b\\22 "; } }\n'
    >>> print_marks(())
    ''
    """
    if not marks:
        return ""
    text = " · ".join(marks).replace("\\", "\\5c ").replace('"', "\\22 ").replace("<", "\\3c ")
    return f'@page {{ @top-center {{ content: "{text}"; }} }}\n'


def row_text(value: Value) -> str:
    """Return which row a value stands in, as JSON."""
    plain = {name: wanted for name, wanted in value.row}
    return json.dumps(plain, ensure_ascii=False, default=_plain)


def _plain(number: object) -> object:
    """A number of numpy as one of Python."""
    return number.item() if hasattr(number, "item") else str(number)


def full_text(value: Value) -> str:
    """Return a value in full precision; infinities as JSON-like words.

    Examples
    --------
    >>> full_text(Value("0.83", 0.8314159, "", (), ""))
    '0.8314159'
    """
    if isinstance(value.number, str):
        return value.number
    number = float(value.number)
    return repr(number) if math.isfinite(number) else str(number)


def image_address(picture: Picture) -> str:
    """Return an image as an address that holds it."""
    text = base64.b64encode(picture.content).decode()
    return f"data:{MEDIA[picture.media]};base64,{text}"


def _source_hash(source: str) -> str:
    """How the content policy names the one style that it allows."""
    digest = hashlib.sha256(source.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def reference_text(work: Work) -> str:
    """Return a reference as it is pasted.

    Examples
    --------
    >>> reference_text(WORKS["neal2003"])
    'Neal RM. Slice sampling. Ann Stat 2003;31:705-767. doi:10.1214/aos/1056562461'
    """
    return f"{work.text} {work.address}"
