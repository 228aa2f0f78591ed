"""What a check found and what was made of a corpus, for the terminal and for machines.

For the terminal it is lines, which are wrapped where they are printed, and tables.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from speechtl.corpus import SPLITS, Corpus
from speechtl.faults import KINDS, OF_SPLITS, VERDICT_SPEAKERS, Fault
from speechtl.splits import LeakageReport

if TYPE_CHECKING:
    from speechtl.checks import Findings
    from speechtl.data_card import DataCard

__all__ = [
    "as_json",
    "fault_row",
    "next_steps",
    "printable",
    "render",
    "render_prepared",
]

_COLOURS = {"error": "red", "warning": "yellow"}
_FOLDS = 4  # as docs/data.md has them


def printable(text: str) -> str:
    """Return a text in one line that can be written anywhere: what cannot be seen is its code.

    Names of files may hold line breaks, what steers a terminal, and bytes that are no text.
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def fault_row(fault: Fault) -> dict[str, Any]:
    """Return a fault as a row of JSON."""
    return {
        "kind": fault.kind,
        "grade": fault.grade,
        "place": printable(fault.place),
        "utterance": fault.utterance,
        "message": printable(fault.message),
        "remedy": fault.remedy,
    }


def as_json(findings: Findings) -> dict[str, Any]:
    """Return all that a check found, as JSON has it."""
    reading = findings.reading
    return {
        "source": printable(reading.source),
        "kind": reading.kind,
        "utterances": len(reading.corpus),
        "speakers": len(reading.corpus.speakers),
        "errors": sum(fault.grade == "error" for fault in findings.faults),
        "warnings": sum(fault.grade == "warning" for fault in findings.faults),
        "notes": list(map(printable, reading.notes)),
        "faults": [fault_row(fault) for fault in findings.faults],
    }


def render(findings: Findings, *, shown: int | None) -> Iterator[Text]:
    """Yield the lines of what a check found.

    Args:
        findings: What was found.
        shown: How many faults of a kind are listed; None lists all.
    """
    corpus = findings.reading.corpus
    yield Text(
        f"{printable(findings.reading.source)}: {_count(len(corpus), 'utterance')} of "
        f"{_count(len(corpus.speakers), 'speaker')}"
    )
    yield from _notes(findings.reading.notes)
    yield from _faults(findings.faults, shown=shown)
    errors = sum(fault.grade == "error" for fault in findings.faults)
    if findings.faults:
        warnings = len(findings.faults) - errors
        yield Text(f"{_count(errors, 'error')}, {_count(warnings, 'warning')}")
    else:
        yield Text("nothing is wrong with it", style="green")


def render_prepared(
    findings: Findings, card: DataCard, leakage: LeakageReport, notes: Iterable[str]
) -> Iterator[Text | Table]:
    """Yield what was made of a source: what was found in it, what came of that, and the splits.

    Args:
        findings: What was found in the source. Of its splits nothing is told: it may have others
            now.
        card: Of what was made.
        leakage: Of its splits.
        notes: How it came about.
    """
    yield from _notes(notes)
    found = (fault for fault in findings.faults if fault.kind not in OF_SPLITS)
    yield from _faults([*found, *leakage.faults()], shown=1)
    yield Text(
        f"{_count(card.utterances, 'utterance')} of {_count(len(card.speakers), 'speaker')}; "
        f"{card.left_out:,} left out, {card.changed:,} changed; "
        f"{_count(card.errors, 'error')} and {_count(card.warnings, 'warning')} stay"
    )
    table = Table(box=None, pad_edge=False)
    header, *rows = leakage.size_rows()
    for name in header:
        table.add_column(name, justify="left" if name in {"split", "sexes", "accents"} else "right")
    for row in rows:
        table.add_row(*map(Text, map(printable, row)))
    yield Text("")
    yield table
    yield Text("")


def next_steps(corpus: Corpus, manifest: Path, *, folds: int | None = None) -> Iterator[Text]:
    """Yield what to type next, to adapt to the accent that has most utterances of those that can.

    Where few speakers or none are tested, it is folds, which test all.

    Args:
        corpus: What was prepared.
        manifest: Its file.
        folds: How many folds were asked for.
    """
    accents = sorted(corpus.by("accent").items(), key=lambda item: -len(item[1]))
    able = [(name, part) for name, part in accents if len(part.speakers) >= len(SPLITS)]
    if not able:
        yield Text("Next: add speakers; an accent needs three, to train on, choose by and test.")
        return
    accent, part = able[0]
    command = (
        f"python scripts/adapt.py --accent {shlex.quote(accent)} "
        f"--corpus {shlex.quote(str(manifest))}"
    )
    tested, speakers = len(part.where(split="test").speakers), len(part.speakers)
    why = ""
    if {each.split for each in part} != set(SPLITS):
        why = "Train, dev or test is empty"
    elif tested < min(VERDICT_SPEAKERS, speakers):
        why = f"{_count(tested, 'test speaker')}: too few for a verdict"
    if folds is not None:
        command += f" --folds {folds}"
    elif why:
        command += f" --folds {min(_FOLDS, speakers)}"
        yield Text(f"{why}; --folds tests all {speakers}, each once.")
    yield Text(f"Next: {command}", no_wrap=True)


def _notes(notes: Iterable[str]) -> Iterator[Text]:
    return (Text(printable(note), style="dim") for note in notes)


def _faults(faults: Iterable[Fault], *, shown: int | None) -> Iterator[Text]:
    by_kind: defaultdict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        by_kind[fault.kind].append(fault)
    for kind, found in by_kind.items():
        about = KINDS[kind]
        yield Text.assemble(
            (about.grade, f"bold {_COLOURS[about.grade]}"),
            " ",
            (kind, "bold"),
            f" ({len(found):,}): {about.meaning}",
        )
        for fault in found[:shown]:
            named = "" if fault.utterance is None else f"{fault.utterance}: "
            yield Text(f"  {printable(fault.place)}: {printable(named + fault.message)}")
        if shown is not None and len(found) > shown:
            yield Text(f"  and {len(found) - shown:,} more", style="dim")
        yield Text.assemble("  ", ("to do:", "dim"), f" {about.remedy}")


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
