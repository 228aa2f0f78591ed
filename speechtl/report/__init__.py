"""A `Report` for people: in the terminal, as Markdown, as one HTML file and as a model card."""

from __future__ import annotations

from pathlib import Path

from speechtl.audio import replacing
from speechtl.report import card, html, markdown, terminal
from speechtl.scoring import Hypotheses, Report

__all__ = ["card", "html", "markdown", "terminal", "write_all"]


def write_all(
    report: Report, hypotheses: Hypotheses, directory: Path, *, audio: bool = True
) -> None:
    """Write report.json, report.md, report.html and README.md into a run folder.

    Each file is written under a temporary name and renamed last: its presence means it is complete.

    Args:
        report: What to write.
        hypotheses: The rows that the report was made of: they know where the recordings are.
        directory: The run folder.
        audio: Whether report.html carries the recordings of the utterances that it shows.

    Raises:
        OutputError: The folder cannot be written.
    """
    # All are rendered before any is written: a fault leaves the old reports as they were.
    texts = {
        "report.json": report.to_json(),
        "report.md": markdown.render(report),
        "report.html": html.render(report, hypotheses, audio=audio),
        "README.md": card.render(report),
    }
    for name, text in texts.items():
        with replacing(directory / name) as unfinished:
            unfinished.write_text(text, encoding="utf-8", newline="\n")
