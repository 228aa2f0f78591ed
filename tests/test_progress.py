"""Progress bars, and what is written while one is drawn."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from speechtl.progress import bars, silent


def test_a_bar_passes_every_item_through_and_is_wiped() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    assert list(bars(console)(iter("abc"), "reading", total=3)) == ["a", "b", "c"]
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "reading" in drawn
    assert drawn.endswith("\x1b[2K")


def test_a_console_that_is_no_terminal_stays_empty() -> None:
    console = Console(file=io.StringIO(), force_terminal=False)
    assert list(bars(console)([1, 2], "reading", total=2)) == [1, 2]
    assert console.file.getvalue() == ""  # type: ignore[attr-defined]


def test_what_is_printed_under_a_bar_goes_to_the_redirected_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    for item in bars(console)(["one", "two"], "transcribing", total=2):
        sys.stdout.write(f"{item}\n")
    assert capsys.readouterr().out == "one\ntwo\n"


def test_silence_passes_the_items_through() -> None:
    items = [1, 2]
    assert silent(items, "reading", total=2) is items
