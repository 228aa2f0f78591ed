"""What a check found, for the terminal and for machines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from speechtl.checks import Findings
from speechtl.faults import KINDS, Fault
from speechtl.splits import LeakageReport

__all__ = ["as_json", "fault_row", "render", "render_prepared"]

_COLOURS = {"error": "red", "warning": "yellow"}


def fault_row(fault: Fault) -> dict[str, Any]:
    """Return a fault as a row of JSON."""
    return {
        "kind": fault.kind,
        "grade": fault.grade,
        "place": fault.place,
        "utterance": fault.utterance,
        "message": fault.message,
        "remedy": fault.remedy,
    }


def as_json(findings: Findings) -> dict[str, Any]:
    """Return all that a check found, as JSON has it."""
    reading = findings.reading
    return {
        "source": reading.source,
        "kind": reading.kind,
        "utterances": len(reading.corpus),
        "speakers": len(reading.corpus.speakers),
        "errors": sum(fault.grade == "error" for fault in findings.faults),
        "warnings": sum(fault.grade == "warning" for fault in findings.faults),
        "notes": list(reading.notes),
        "faults": [fault_row(fault) for fault in findings.faults],
    }


def render(findings: Findings, *, shown: int | None) -> RenderableType:
    """Return what a check found, for the terminal.

    Args:
        findings: What was found.
        shown: How many faults of a kind are listed; None lists all.
    """
    corpus = findings.reading.corpus
    head = (
        f"{escape(findings.reading.source)}: {_count(len(corpus), 'utterance')} of "
        f"{_count(len(corpus.speakers), 'speaker')}"
    )
    notes = [f"[dim]{escape(note)}[/]" for note in findings.reading.notes]
    return Group(head, *notes, *_faults(findings.faults, shown=shown))


def render_prepared(
    findings: Findings, leakage: LeakageReport, notes: Sequence[str]
) -> RenderableType:
    """Return what was made of a source, for the terminal: what is wrong, and the splits."""
    table = Table(box=None, pad_edge=False)
    header, *rows = leakage.size_rows()
    for name in header:
        table.add_column(name, justify="left" if name in {"split", "sexes", "accents"} else "right")
    for row in rows:
        table.add_row(*map(escape, row))
    told = [f"[dim]{escape(note)}[/]" for note in notes]
    return Group(*told, *_faults(findings.faults, shown=1), "", table)


def _faults(faults: tuple[Fault, ...], *, shown: int | None) -> Iterator[RenderableType]:
    by_kind: defaultdict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        by_kind[fault.kind].append(fault)
    for kind, found in by_kind.items():
        about = KINDS[kind]
        yield (
            f"[bold {_COLOURS[about.grade]}]{about.grade}[/] [bold]{kind}[/] "
            f"({len(found):,}): {escape(about.meaning)}"
        )
        for fault in found[:shown]:
            named = "" if fault.utterance is None else f"{fault.utterance}: "
            yield f"  {escape(fault.place)}: {escape(named + fault.message)}"
        if shown is not None and len(found) > shown:
            yield f"  [dim]and {len(found) - shown:,} more[/]"
        yield f"  [dim]to do:[/] {escape(about.remedy)}"
    errors = sum(fault.grade == "error" for fault in faults)
    warnings = len(faults) - errors
    if not faults:
        yield "[green]nothing is wrong with it[/]"
    else:
        yield f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
