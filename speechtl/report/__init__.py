"""A `Report` for people: in the terminal, as Markdown, as one HTML file and as a model card."""

from __future__ import annotations

from pathlib import Path

from speechtl.files import write_text
from speechtl.report import card, html, markdown, terminal
from speechtl.scoring import Hypotheses, Report

__all__ = ["card", "html", "markdown", "terminal", "write_all"]


def write_all(report: Report, hypotheses: Hypotheses, directory: Path) -> None:
    """Write report.html, report.md, README.md and report.json into a run folder.

    Each is there whole or not at all, and report.json last: where it is, the run is complete.

    Args:
        report: What to write.
        hypotheses: The rows that the report was made of: they know where the recordings are.
        directory: The run folder.

    Raises:
        OutputError: The folder cannot be written.
    """
    # All are rendered before any is written: a fault leaves the old reports as they were.
    texts = {
        "report.html": html.render(report, hypotheses),
        "report.md": markdown.render(report),
        "README.md": card.render(report),
        "report.json": report.to_json(),
    }
    for name, text in texts.items():
        write_text(directory / name, text)
