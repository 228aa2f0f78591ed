"""The report as one table for the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from speechtl.report.phrases import base_note, percent, points, set_name, summary
from speechtl.scoring import Report, SetScore, SystemScore

__all__ = ["render"]

COLUMNS = (
    "Utter-\nances",
    "Speak-\ners",
    "WER\nbefore",
    "WER\nafter",
    "Absolute\ndifference\n(points)",
    "Relative\nreduction",
    "CER",
    "S/D/I",
)


def render(report: Report) -> RenderableType:
    """Return one table, a row for each set, and the result in words; it fits 80 columns."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    table.add_column("Accent", min_width=8)
    for column in COLUMNS:
        table.add_column(column, justify="right", overflow="fold")
    for name, score in report.sets.items():
        table.add_row(Text(set_name(report, name)), *_cells(score))
    legend = (
        "CER and substitutions/deletions/insertions (S/D/I): before above, after below; texts "
        f"normalised by “{report.facts.normaliser}”."
    )
    told = [Text(summary(report), style="bold"), Text(legend, style="dim")]
    if note := base_note(report.facts):
        told.insert(1, Text(note))
    return Group(table, *told)


def _cells(score: SetScore) -> list[RenderableType]:
    difference = score.difference
    style = "" if not difference.wer else "green" if difference.wer < 0 else "red"
    return [
        Text(str(score.utterances)),
        Text(str(score.speakers)),
        Text(percent(score.base.wer)),
        Text(percent(score.adapted.wer), style="bold"),
        Text(points(difference.wer, unit=False), style=style),
        Text(percent(difference.wer_relative_reduction), style=style),
        Text(f"{percent(score.base.cer)}\n{percent(score.adapted.cer)}"),
        Text(f"{_errors(score.base)}\n{_errors(score.adapted)}"),
    ]


def _errors(system: SystemScore) -> str:
    return f"{system.substitutions}/{system.deletions}/{system.insertions}"
