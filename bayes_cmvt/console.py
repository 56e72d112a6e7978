"""What reaches the terminal: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress

    from bayes_cmvt.progress import SamplingState


def harmless(text: str) -> str:
    r"""Escape control characters, so that a stranger's data or labels cannot steer a terminal.

    Examples
    --------
    >>> harmless("a\x1b[2Jb\nc")
    'a\\x1b[2Jb\nc'
    """
    return "".join(
        character if character.isprintable() or character == "\n" else repr(character)[1:-1]
        for character in text
    )


def print_result(text: str) -> None:
    """Print a result on standard output."""
    _write(sys.stdout, text)


def print_message(text: str) -> None:
    """Print news or an error on standard error."""
    _write(sys.stderr, text)


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    shown = harmless(text).encode(encoding, errors="replace").decode(encoding)
    stream.write(shown + "\n")
    stream.flush()


class SamplingProgress:
    """A progress bar of draws and of what the engine says; silent where there is no terminal.

    Parameters
    ----------
    quiet : bool
        Show nothing, terminal or not.
    first : str
        What is done before anything can be counted.
    """

    def __init__(self, *, quiet: bool, first: str = "compiling the model") -> None:
        self._first = first
        self._shown = not quiet and sys.stderr.isatty()
        self._bar: Progress | None = None
        self._attempt = 0
        self._stage = ""

    def __enter__(self) -> Self:
        if self._shown:
            self._bar = _bar()
            self._bar.start()
            self._bar.add_task(self._first, total=None, details="", left=None)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, number: int, total: int, name: str) -> None:
        """Show that a stage begins; nothing of the one before stays."""
        self._stage, self._attempt = f"{number} of {total}, {name}: ", 0
        if self._bar is not None:
            self._bar.reset(
                self._bar.task_ids[0],
                description=self._stage + "computing",
                total=None,
                details="",
                left=None,
            )

    def __call__(self, state: SamplingState) -> None:
        """Show where the sampler stands."""
        if self._bar is None:
            return
        if state.attempt != self._attempt:
            self._attempt = state.attempt
            again = ", with smaller steps" if state.attempt > 1 else ""
            verb = "sampling" if state.unit == "draws" else "computing"
            self._bar.reset(self._bar.task_ids[0], description=f"{self._stage}{verb}{again}")
        self._bar.update(
            self._bar.task_ids[0],
            total=state.total,
            completed=state.finished,
            details=", ".join(text for text in _details(state) if text),
            left=state.seconds_left,
        )


def _details(state: SamplingState) -> tuple[str, ...]:
    counted = f"{state.finished:,} of {state.total:,} {state.unit}"
    return counted, state.details, "" if state.memory is None else memory_in_words(state.memory)


def memory_in_words(size: int) -> str:
    """Bytes as a person reads them.

    Examples
    --------
    >>> memory_in_words(172_900_000), memory_in_words(2_450_000_000)
    ('173 MB', '2.5 GB')
    """
    return f"{size / 1e9:.1f} GB" if size >= 999_500_000 else f"{size / 1e6:.0f} MB"


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column
    from rich.text import Text

    class TimeLeftColumn(TimeRemainingColumn):
        """The time left as the sampler tells it; where it does not, by the bar's own speed."""

        def render(self, task: Task) -> Text:
            left = task.fields["left"]
            if left is None or task.finished:
                return super().render(task)
            clock = str(timedelta(seconds=round(left)))
            return Text(f"{clock} left", style="progress.remaining")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        # where a terminal is narrow the details go on below; the times stay whole
        TextColumn("{task.fields[details]}", table_column=Column()),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TimeLeftColumn(table_column=Column(no_wrap=True)),
        console=Console(stderr=True),
        transient=True,
    )
