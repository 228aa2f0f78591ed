"""How long work shows that it goes on: one callable, drawn on a terminal or silent."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

__all__ = ["Track", "bars", "silent"]

T = TypeVar("T")


class Track(Protocol):
    """Passes an iterable through, and shows how far it has come."""

    def __call__(self, items: Iterable[T], description: str, *, total: int) -> Iterable[T]:
        """Return the same items; `total` is how many there will be."""
        ...


def silent(items: Iterable[T], description: str, *, total: int) -> Iterable[T]:  # noqa: ARG001
    """Return the items as they are."""
    return items


def bars(console: Console) -> Track:
    """Return a `Track` that draws a bar on `console`, and wipes it when the iterable is through.

    Nothing is drawn where the console is no terminal, so a log file stays readable.
    """

    def track(items: Iterable[T], description: str, *, total: int) -> Iterator[T]:
        columns = (
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(
            *columns,
            console=console,
            transient=True,
            disable=not console.is_terminal,
            # Else what is written to a redirected standard output meanwhile lands on the console.
            redirect_stdout=sys.stdout.isatty(),
        ) as progress:
            yield from progress.track(items, total=total, description=description)

    return track
