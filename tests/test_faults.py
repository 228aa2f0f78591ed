"""The kinds of faults: how they read, that their remedies exist, and the page that lists them.

`python tests/test_faults.py` writes the page anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from speechtl import cli
from speechtl.faults import KINDS, Fault, data_error

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "faults.md"

ABOUT = {
    "source": "Sources",
    "row": "Rows",
    "text": "Transcripts",
    "audio": "Recordings",
    "fit": "Transcripts and their audio",
    "speakers": "Speakers and accents",
    "splits": "Splits",
}
HEAD = """\
# What can be wrong with a corpus

`speechtl data check SOURCE` tells all of it at once, each with its place (`file:line`), the
utterance's id, the value that was found and what to do; `speechtl data prepare` tells it too.

An **error** is an utterance, a recording or a split that cannot be used, or must not: nothing is
trained on it before it is mended or left out. A **warning** is usable, and is likely to cost
accuracy or to flatter a score. `data check` ends with 3 if there is an error, and with 6 if there
are warnings alone. What needs a model is looked for with `--model`; what needs the recordings is
not with `--no-audio-checks`.
"""


def page() -> str:
    """Return the page that lists all kinds, a table for each thing that faults are found in."""
    parts = [HEAD]
    for about, title in ABOUT.items():
        rows = [
            f"| `{name}` | {kind.grade} | {kind.meaning} | {kind.remedy} |"
            for name, kind in KINDS.items()
            if kind.about == about
        ]
        header = ["| kind | grade | what is wrong | what to do |", "|---|---|---|---|"]
        parts.append("\n".join([f"## {title}", "", *header, *rows, ""]))
    return "\n".join(parts)


@cache
def commands() -> dict[str, Any]:
    """Return every command by its name, such as `data check`."""

    def below(command: Any, name: str) -> Iterator[tuple[str, Any]]:
        for word, each in getattr(command, "commands", {}).items():
            yield f"{name} {word}".strip(), each
            yield from below(each, word)

    return dict(below(typer.main.get_command(cli.app), ""))


@cache
def options() -> frozenset[str]:
    parameters = [each for command in commands().values() for each in command.params]
    return frozenset(name for each in parameters for name in (*each.opts, *each.secondary_opts))


def test_the_page_lists_all_kinds() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python tests/test_faults.py writes it anew"


def test_there_are_at_least_forty_kinds() -> None:
    assert len(KINDS) >= 40
    assert {kind.about for kind in KINDS.values()} == {*ABOUT}


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_reads_as_a_phrase_and_an_imperative(name: str) -> None:
    kind = KINDS[name]
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", name)
    for text in (kind.meaning, kind.remedy):
        assert text == text.strip()
        assert text[0].islower() or text.startswith("CTC")
        assert text[-1] not in ".;:,!"
        assert "|" not in text  # it stands in a table


@pytest.mark.parametrize("name", KINDS)
def test_what_a_kind_names_of_the_command_line_exists(name: str) -> None:
    text = f"{KINDS[name].meaning} {KINDS[name].remedy}"
    assert set(re.findall(r"--[a-z-]+", text)) <= options()
    named = re.findall(r"`speechtl ([a-z]+(?: [a-z]+)?)", text)
    assert set(named) <= commands().keys()


def test_the_options_that_messages_name_exist() -> None:
    modules = [
        path
        for folder in ("sources", "checks")
        for path in (ROOT / "speechtl" / folder).glob("*.py")
    ]
    named = {
        name
        for path in (*modules, ROOT / "speechtl" / "splits.py")
        for name in re.findall(r"(?<![\w-])--[a-z][a-z-]+", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 5
    assert named <= options()


def test_a_fault_is_one_line_with_place_utterance_finding_and_remedy() -> None:
    fault = Fault("text-digits", "m.jsonl:7", "'1984' stands in 'in 1984'", "utt-7")
    assert fault.grade == "warning"
    assert str(fault) == (
        "m.jsonl:7: utterance 'utt-7': '1984' stands in 'in 1984'; write them as they are said, or"
        " prepare with --numbers words"
    )
    assert str(Fault("empty-source", "m.jsonl", "there is no utterance in it")) == (
        "m.jsonl: there is no utterance in it; give a source that has some"
    )


def test_an_error_lists_fifty_faults_and_counts_the_others() -> None:
    error = data_error("m.jsonl", [Fault("malformed", f"m.jsonl:{n}", "no") for n in range(53)])
    assert len(error.faults) == 51
    assert error.faults[49].startswith("m.jsonl:49: no; ")
    assert error.faults[50] == "and 3 more"
    few = data_error("m.jsonl", [Fault("malformed", "m.jsonl:1", "no")])
    assert len(few.faults) == 1


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
