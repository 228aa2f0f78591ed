"""The report, and a comparison of two runs, as a table for the terminal."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from speechtl.report.phrases import (
    base_note,
    compared,
    compared_name,
    count,
    folds_note,
    gain,
    leaks,
    percent,
    points,
    power,
    set_name,
    shared_sentences,
    summary,
)
from speechtl.scoring import Comparison, Report, SetScore, SystemScore

__all__ = ["render", "render_comparison"]

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
    table = _table({set_name(report, name): score for name, score in report.sets.items()})
    told: list[RenderableType] = [Text(summary(report), style="bold")]
    told += [
        Text(line)
        for line in (base_note(report.facts), folds_note(report.facts), gain(report))
        if line
    ]
    told += [
        Text(f"{set_name(report, name)}: {power(score)}")
        for name, score in report.sets.items()
        if score.difference.verdict == "no evidence"
    ]
    told += [Text(f"Leakage: {line}", style="yellow") for line in leaks(report.facts)]
    told += [Text(f"Shared: {line}", style="dim") for line in shared_sentences(report.facts)]
    if others := _other_normalisers(report):
        told.append(Text(others, style="dim"))
    told.append(Text(_legend(report.facts.normaliser), style="dim"))
    return Group(table, *told)


def render_comparison(comparison: Comparison) -> RenderableType:
    """Return one table, a row for each set, and what follows in words."""
    called = functools.partial(compared_name, comparison)
    names = f"Before is the adapted model of {comparison.first}, after that of {comparison.second}."
    left_out = [
        f"{called(name)}: {count(number, 'utterance')} not compared, in one run alone."
        for name, number in comparison.left_out.items()
        if number
    ]
    told = [Text(compared(comparison, name), style="bold") for name in comparison.sets]
    told += [
        Text(f"{called(name)}: {power(score)}")
        for name, score in comparison.sets.items()
        if score.difference.verdict == "no evidence"
    ]
    told += [Text(line) for line in (*left_out, names)]
    table = _table({called(name): score for name, score in comparison.sets.items()})
    return Group(table, *told, Text(_legend(comparison.normaliser), style="dim"))


def _table(scores: Mapping[str, SetScore]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, show_edge=False)
    table.add_column("Accent", min_width=8)
    for column in COLUMNS:
        table.add_column(column, justify="right", overflow="fold")
    for name, score in scores.items():
        table.add_row(Text(name), *_cells(score))
    return table


def _legend(normaliser: str) -> str:
    return (
        "CER and substitutions/deletions/insertions (S/D/I): before above, after below; texts "
        f"normalised by “{normaliser}”."
    )


def _other_normalisers(report: Report) -> str:
    target = report.sets.get("target")
    if target is None or not target.normalised:
        return ""
    told = (
        f"“{each.normaliser}” {percent(each.base)} → {percent(each.adapted)}"
        for each in target.normalised
    )
    return f"{set_name(report, 'target')} WER under other normalisers: {', '.join(told)}."


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
