"""The last pages of a report: what its columns mean, and what made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bayes_cmvt.glossary import COLUMNS
from bayes_cmvt.report.document import (
    Block,
    Code,
    Content,
    Definitions,
    Heading,
    Paragraph,
    Table,
    Value,
    contents_of,
    given,
)
from bayes_cmvt.report.facts import say
from bayes_cmvt.report.material import NOTHING, Material, from_run
from bayes_cmvt.report.report_words import Facts


def glossary(material: Material, blocks: Iterable[Block]) -> list[Block]:
    """Return the sentence of every column that a number of these blocks stands in.

    Parameters
    ----------
    material : Material
    blocks : iterable of Block

    Returns
    -------
    list of Block
    """
    used = {
        value.column
        for block in blocks
        for content in contents_of(block)
        for value in content
        if isinstance(value, Value) and value.source.startswith("tables/")
    }
    entries = tuple((name, COLUMNS[name]) for name in sorted(used & set(COLUMNS)))
    heading = Heading(2, material.words["glossary"], "glossary")
    return [heading, Paragraph((material.words["glossary_read"],)), Definitions(entries)]


def session(material: Material, facts: Facts) -> list[Block]:
    """Return versions, seed, hashes and times, as ``run.json`` has them.

    Parameters
    ----------
    material : Material
    facts : mapping

    Returns
    -------
    list of Block
    """
    words = material.words
    said = say(material, "session_read", facts)
    return [
        Heading(2, words["session"], "session"),
        *([Paragraph(said)] if said else []),
        _table(material, "settings", _settings(material)),
        _table(material, "versions", _entries(material, "versions")),
        _table(material, "stages", _stages(material)),
    ]


def _table(material: Material, name: str, rows: tuple[tuple[Content, ...], ...]) -> Table:
    words = material.words
    head = (words[f"s_{name}"], words["s_value"])
    return Table(f"session-{name}", (words[f"t_{name}"],), "run.json", head, rows)


def _settings(material: Material) -> tuple[tuple[Content, ...], ...]:
    paths = ("time", "command", "engine", "seed", "data/file", "data/sha256", "study/sha256")
    found = [(path, from_run(material, path)) for path in paths]
    rows = tuple(((Code(path),), (value,)) for path, value in found if value is not None)
    return (*rows, *_entries(material, "settings"), *_entries(material, "seconds"))


def _entries(material: Material, path: str) -> tuple[tuple[Content, ...], ...]:
    """All plain entries below a path of ``run.json``."""
    held = material.run.run.get(path, {})
    found = [(key, from_run(material, f"{path}/{key}")) for key in held if "/" not in key]
    return tuple(((Code(f"{path}/{key}"),), (value,)) for key, value in found if value is not None)


def _stages(material: Material) -> tuple[tuple[Content, ...], ...]:
    rows = []
    for name, stage in material.run.run.get("stages", {}).items():
        seconds = stage.get("seconds") if isinstance(stage, Mapping) else None
        parts = list(seconds) if isinstance(seconds, Mapping) else []
        paths = [f"stages/{name}/seconds/{one}" for one in parts] or [f"stages/{name}/seconds"]
        when = from_run(material, f"stages/{name}/time")
        times = [from_run(material, one, digits=1, unit=" s") for one in paths]
        content: Content = (when,) if when else (NOTHING,)
        for value in times:
            content = (*content, "; ", value) if value else content
        rows.append(((given(name, 60),), content))
    return tuple(rows)
