"""Two runs against each other, on the utterances that both tested."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from scoring.conftest import FACTS, Said, by_both, heard
from speechtl.errors import ConfigError, DataError
from speechtl.scoring import Hypothesis, compare, make_report, score, write_hypotheses

Run = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that writes a run's folder: what its adapted model heard, by set."""

    def write(
        name: str, sets: Mapping[str, Sequence[Hypothesis]], *, normaliser: str = "plain"
    ) -> Path:
        folder = tmp_path / name
        for set_name, rows in sets.items():
            base = [dataclasses.replace(row, hypothesis="of the base") for row in rows]
            write_hypotheses(base, folder, name=set_name, system="base")
            write_hypotheses(rows, folder, name=set_name, system="adapted")
        facts = dataclasses.replace(FACTS, normaliser=normaliser, max_forgetting=1.0)
        text = make_report(facts, sets, sets).to_json()
        (folder / "report.json").write_text(text, encoding="utf-8")
        return folder

    return write


def ten_by(speakers: int, *, first: int, second: int) -> tuple[list[Hypothesis], list[Hypothesis]]:
    return by_both(*(Said(10, first, second, f"speaker-{n}") for n in range(speakers)))


def test_the_second_runs_adapted_model_is_scored_against_the_firsts(run: Run) -> None:
    rows = ten_by(6, first=4, second=1)
    first, second = (run(name, {"target": each}) for name, each in zip("ab", rows, strict=True))
    found = compare(first, second)
    assert (found.first, found.second, found.normaliser) == (str(first), str(second), "plain")
    target = found.sets["target"]
    assert (target.base.wer, target.adapted.wer) == (0.4, 0.1)
    assert target.difference.verdict == "improved"
    assert found.left_out == {"target": 0}
    assert compare(second, first).sets["target"].difference.verdict == "worse"
    assert compare(first, first).sets["target"].difference.wer == 0
    alone = score(*rows, normaliser="plain").difference
    assert target.difference.interval == alone.interval
    assert json.loads(found.to_json())["sets"]["target"]["base"]["wer"] == 0.4


def test_only_what_both_runs_tested_is_compared_and_the_rest_is_counted(run: Run) -> None:
    one, two = ten_by(9, first=4, second=1)
    first, second = run("a", {"target": one[:7]}), run("b", {"target": two[2:]})
    found = compare(first, second)
    assert found.sets["target"].utterances == 5
    assert found.left_out == {"target": 2 + 2}


def test_an_id_of_another_speaker_or_sentence_is_another_utterance(run: Run) -> None:
    same = [heard(str(n), "och aye", "och aye", "ailsa") for n in range(4)]
    others = [
        *same[:2],
        dataclasses.replace(same[2], speaker="bruce"),
        dataclasses.replace(same[3], reference="och no"),
    ]
    found = compare(run("a", {"target": same}), run("b", {"target": others}))
    assert found.sets["target"].utterances == 2
    assert found.left_out == {"target": 4}


def test_sets_of_one_run_alone_are_left_out_and_the_general_one_has_no_budget(run: Run) -> None:
    one, two = ten_by(7, first=1, second=4)
    sets = {"general": one, "control": one}
    found = compare(run("a", sets), run("b", {"general": two}))
    assert found.sets.keys() == {"general"}
    assert found.sets["general"].difference.verdict == "worse"


def test_runs_without_a_common_utterance_or_normaliser_are_refused(run: Run) -> None:
    one, two = ten_by(7, first=4, second=1)
    first = run("a", {"target": one[:3]})
    with pytest.raises(DataError, match="no tested utterance in common"):
        compare(first, run("b", {"target": two[3:]}))
    other = run("c", {"target": two}, normaliser="none")
    with pytest.raises(ConfigError, match=r"'plain' and .* with 'none'"):
        compare(first, other)
    assert compare(first, other, normaliser="plain").normaliser == "plain"
    (other / "report.json").unlink()
    with pytest.raises(DataError, match=r"must hold a report\.json"):
        compare(first, other)
