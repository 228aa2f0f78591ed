"""Base and adapted hypotheses to a report: numbers counted by hand, files that come back whole."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechtl.errors import ConfigError, DataError
from speechtl.scoring import (
    EXAMPLES,
    DataFacts,
    Dropped,
    Epoch,
    Hypothesis,
    Parameters,
    Report,
    RunFacts,
    Timing,
    make_report,
    read_hypotheses,
    remake_report,
    score,
    write_hypotheses,
)

FACTS = RunFacts(
    accent="scottish",
    model="starter-wav2vec2",
    revision=None,
    family="ctc",
    strategy="encoder",
    seed=0,
    normaliser="plain",
    parameters=Parameters(trainable=30, frozen=70),
    cut="feature_projection",
    timing=Timing(load_s=1.0, features_s=2.0, train_s=3.0, score_s=4.0, total_s=10.5),
    training=(Epoch(0, 0, None, 0.5), Epoch(1, 12, 1.25, 0.25)),
    best_epoch=1,
    stopped="finished",
    corpus="starter",
    data={"train": DataFacts(minutes=1.5, utterances=20, speakers=3)},
    dropped=(Dropped("short_1", "shorter than 400 samples"),),
    versions={"torch": "2.11.0", "jiwer": "4.0.0"},
    licences=("CC-BY-SA-4.0",),
)


def heard(id_: str, reference: str, hypothesis: str, speaker: str = "ailsa") -> Hypothesis:
    return Hypothesis(
        id=id_,
        audio=f"/speech/{id_}.wav",
        speaker=speaker,
        accent="scottish",
        reference=reference,
        hypothesis=hypothesis,
    )


# 8 reference words. Base: 1 substitution + 1 deletion (u1), 1 insertion (u2), 1 substitution (u3).
# Adapted: none (u1), 1 insertion (u2), 2 substitutions (u3).
BASE = (
    heard("u1", "The wee cat.", "the we", "ailsa"),
    heard("u2", "och aye", "och oh aye", "ailsa"),
    heard("u3", "It's a loch", "it's a lock", "bruce"),
)
ADAPTED = (
    heard("u1", "The wee cat.", "the wee cat", "ailsa"),
    heard("u2", "och aye", "och oh aye", "ailsa"),
    heard("u3", "It's a loch", "it's the lock", "bruce"),
)


def report() -> Report:
    return make_report(FACTS, {"target": BASE}, {"target": ADAPTED})


def test_a_set_has_the_rates_and_errors_counted_by_hand() -> None:
    found = score(BASE, ADAPTED, normaliser="plain")
    assert (found.utterances, found.speakers, found.words) == (3, 2, 8)
    base, adapted = found.base, found.adapted
    assert (base.substitutions, base.deletions, base.insertions) == (2, 1, 1)
    assert (adapted.substitutions, adapted.deletions, adapted.insertions) == (2, 0, 1)
    assert base.wer == 4 / 8
    assert adapted.wer == 3 / 8
    # 29 characters: "the wee cat" 11, "och aye" 7, "it's a loch" 11.
    # Base: 5 deleted ("e cat"), 3 inserted ("oh "), 1 substituted.
    assert base.cer == 9 / 29


def test_the_difference_is_adapted_minus_base_and_the_reduction_is_relative_to_base() -> None:
    difference = score(BASE, ADAPTED, normaliser="plain").difference
    assert difference.wer == -1 / 8
    assert difference.wer_relative_reduction == 1 / 4


def test_raw_rates_count_case_and_punctuation_too() -> None:
    found = score(BASE, ADAPTED, normaliser="plain")
    # "The" and "cat." differ from "the" and "cat" besides, "It's" from "it's".
    assert found.adapted.raw.wer == (2 + 1 + 3) / 8
    assert score(BASE, ADAPTED, normaliser="none").adapted.wer == found.adapted.raw.wer


def test_each_speaker_has_a_pooled_rate_before_and_after() -> None:
    ailsa, bruce = score(BASE, ADAPTED, normaliser="plain").per_speaker
    assert (ailsa.speaker, ailsa.utterances, ailsa.words) == ("ailsa", 2, 5)
    assert (ailsa.base_wer, ailsa.adapted_wer) == (3 / 5, 1 / 5)
    assert (bruce.base_wer, bruce.adapted_wer) == (1 / 3, 2 / 3)


def test_the_utterances_repaired_and_broken_come_with_their_scored_texts() -> None:
    found = score(BASE, ADAPTED, normaliser="plain")
    assert [item.id for item in found.repaired] == ["u1"]
    assert [item.id for item in found.broken] == ["u3"]
    (repaired,) = found.repaired
    assert (repaired.reference, repaired.base, repaired.adapted) == (
        "the wee cat",
        "the we",
        "the wee cat",
    )
    assert (repaired.base_errors, repaired.adapted_errors) == (2, 0)


def test_the_most_repaired_come_first_and_ties_go_by_id() -> None:
    base = [heard(f"u{i:02d}", "a b c", "x b c") for i in range(12)]
    base.append(heard("worst", "a b c", ""))
    adapted = [dataclasses.replace(row, hypothesis="a b c") for row in reversed(base)]
    repaired = score(base, adapted, normaliser="plain").repaired
    ids = [item.id for item in repaired]
    assert ids == ["worst", *(f"u{i:02d}" for i in range(EXAMPLES - 1))]


def test_systems_are_paired_by_id_whatever_their_order() -> None:
    assert score(BASE, ADAPTED[::-1], normaliser="plain") == score(
        BASE, ADAPTED, normaliser="plain"
    )


def test_a_base_without_errors_has_no_relative_reduction() -> None:
    found = score([BASE[1]], [ADAPTED[1]], normaliser="plain")
    perfect = dataclasses.replace(BASE[1], hypothesis="och aye")
    assert found.difference.wer_relative_reduction == 0.0
    assert score([perfect], [BASE[1]], normaliser="plain").difference.wer_relative_reduction is None


def test_a_rate_over_no_reference_words_is_null_and_its_insertions_are_counted() -> None:
    silence = heard("u1", "...", "och")
    found = score([silence], [dataclasses.replace(silence, hypothesis="")], normaliser="plain")
    assert found.base.wer is None
    assert found.base.insertions == 1
    assert found.adapted.wer == 0.0
    assert found.difference.wer is None
    assert found.difference.wer_relative_reduction is None


def test_sets_without_utterances_have_rates_of_zero() -> None:
    found = score([], [], normaliser="plain")
    assert (found.utterances, found.words, found.base.wer) == (0, 0, 0.0)


def test_all_that_keeps_systems_from_being_compared_is_said_at_once() -> None:
    other = (
        dataclasses.replace(ADAPTED[0], reference="the cat"),
        dataclasses.replace(ADAPTED[1], speaker="bruce"),
        heard("u4", "aye", "aye"),
        heard("u4", "aye", "aye"),
    )
    with pytest.raises(DataError, match="same utterances") as caught:
        score(BASE, other, normaliser="plain")
    assert caught.value.faults == (
        "utterance 'u1': reference 'The wee cat.' in base, 'the cat' in adapted",
        "utterance 'u2': speaker 'ailsa' in base, 'bruce' in adapted",
        "utterance 'u3': in base alone",
        "utterance 'u4': 2 times in adapted",
        "utterance 'u4': in adapted alone",
    )


def test_a_report_needs_the_same_sets_of_both_systems() -> None:
    with pytest.raises(DataError, match="same sets, got target and none"):
        make_report(FACTS, {"target": BASE}, {})


def test_an_unknown_normaliser_is_refused() -> None:
    with pytest.raises(ConfigError):
        score(BASE, ADAPTED, normaliser="shakespeare")


def test_report_json_has_the_documented_keys() -> None:
    tree = json.loads(report().to_json())
    assert {
        "accent", "model", "revision", "strategy", "seed", "normaliser", "parameters", "cut",
        "timing", "training", "sets", "dropped", "data", "versions", "licences",
    } <= tree.keys()  # fmt: skip
    assert tree["parameters"] == {"trainable": 30, "frozen": 70}
    assert tree["timing"].keys() == {"load_s", "features_s", "train_s", "score_s", "total_s"}
    assert tree["training"][1] == {"epoch": 1, "step": 12, "loss": 1.25, "dev_wer": 0.25}
    assert tree["dropped"] == [{"id": "short_1", "reason": "shorter than 400 samples"}]
    target = tree["sets"]["target"]
    assert {"utterances", "speakers", "words", "base", "adapted", "difference"} <= target.keys()
    assert target["base"]["wer"] == 0.5
    assert target["difference"]["wer"] == -0.125
    assert target["adapted"].keys() == {
        "wer", "interval", "cer", "match_error_rate", "substitutions", "deletions", "insertions",
        "raw",
    }  # fmt: skip
    assert {
        "wer", "interval", "p_value", "test", "speakers", "verdict", "other_tests",
    } <= target["difference"].keys()  # fmt: skip
    assert target["difference"]["other_tests"].keys() == {"mapsswe", "mcnemar"}


def test_the_same_input_gives_the_same_bytes() -> None:
    other = dataclasses.replace(FACTS, versions={"jiwer": "4.0.0", "torch": "2.11.0"})
    again = make_report(other, {"target": BASE}, {"target": ADAPTED})
    assert again.to_json() == report().to_json()


def test_a_report_comes_back_from_its_json_as_it_was() -> None:
    assert Report.from_json(report().to_json()) == report()


def test_numbers_that_are_not_finite_are_null_in_json() -> None:
    facts = dataclasses.replace(FACTS, training=(Epoch(1, 1, math.nan, math.inf),))
    text = make_report(facts, {"target": BASE}, {"target": ADAPTED}).to_json()
    assert json.loads(text)["training"] == [{"epoch": 1, "step": 1, "loss": None, "dev_wer": None}]
    assert Report.from_json(text).facts.training == (Epoch(1, 1, None, None),)


@pytest.mark.parametrize(
    ("text", "fault"),
    [("{", "valid JSON"), ("[]", "an object, got list"), ("{}", "accent: Field required")],
)
def test_what_is_no_report_is_refused_with_the_reason(text: str, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        Report.from_json(text)


def test_hypotheses_come_back_as_they_were_written(tmp_path: Path) -> None:
    segment = dataclasses.replace(BASE[0], start=1.5, end=2.75)
    for system, rows in (("base", (segment, *BASE[1:])), ("adapted", ADAPTED)):
        path = write_hypotheses(rows, tmp_path, name="target", system=system)
        assert path == tmp_path / "hypotheses" / f"target.{system}.jsonl"
    assert read_hypotheses(tmp_path) == {
        "base": {"target": (segment, *BASE[1:])},
        "adapted": {"target": ADAPTED},
    }


def test_a_hypothesis_row_has_the_documented_keys_and_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = dataclasses.replace(BASE[0], audio="speech/u1.wav")
    path = write_hypotheses([relative], tmp_path, name="general", system="base")
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "id": "u1",
        "audio": str(tmp_path / "speech" / "u1.wav"),
        "speaker": "ailsa",
        "accent": "scottish",
        "reference": "The wee cat.",
        "hypothesis": "the we",
    }


def test_faults_of_hypothesis_files_are_listed_with_file_and_line(tmp_path: Path) -> None:
    path = write_hypotheses(BASE[:1], tmp_path, name="target", system="base")
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"id": "u2", "audio": "a", "speaker": "s", "accent": "x", "reference": 3}\n')
    with pytest.raises(DataError) as caught:
        read_hypotheses(tmp_path)
    assert caught.value.faults[0].startswith("target.base.jsonl: the other system's")
    assert caught.value.faults[1].startswith("target.base.jsonl:2: reference: ")
    assert caught.value.faults[2].startswith("target.base.jsonl:2: hypothesis: ")


def test_a_folder_without_hypotheses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold hypotheses/<set>\.base\.jsonl"):
        read_hypotheses(tmp_path)


def test_a_report_is_remade_from_the_run_folder_alone(tmp_path: Path) -> None:
    write_hypotheses(BASE, tmp_path, name="target", system="base")
    write_hypotheses(ADAPTED, tmp_path, name="target", system="adapted")
    with pytest.raises(DataError, match=r"must hold a report\.json"):
        remake_report(tmp_path)
    (tmp_path / "report.json").write_text(report().to_json(), encoding="utf-8")
    assert remake_report(tmp_path) == report()
    raw = remake_report(tmp_path, normaliser="none")
    assert raw.facts.normaliser == "none"
    assert raw.sets["target"].base.wer == raw.sets["target"].base.raw.wer


# --- verdicts -------------------------------------------------------------------------------------


def speakers(*errors: tuple[int, int]) -> dict[str, list[Hypothesis]]:
    """Return what each speaker's ten words became, with so many errors in base and adapted."""
    said = " ".join("abcdefghij")

    def row(number: int, wrong: int) -> Hypothesis:
        text = " ".join(["x"] * wrong + said.split()[wrong:])
        return heard(str(number), said, text, f"speaker-{number}")

    return {
        system: [row(number, each[place]) for number, each in enumerate(errors)]
        for place, system in enumerate(("base", "adapted"))
    }


def judge(
    sets: dict[str, dict[str, list[Hypothesis]]], max_forgetting: float | None = 1.0
) -> dict[str, Any]:
    facts = dataclasses.replace(FACTS, max_forgetting=max_forgetting)
    base, adapted = ({name: rows[s] for name, rows in sets.items()} for s in ("base", "adapted"))
    return {name: each.difference for name, each in make_report(facts, base, adapted).sets.items()}


def test_the_accent_improves_where_every_speaker_does_and_there_are_six() -> None:
    better = [(5, 3), (4, 3), (6, 2), (5, 4), (3, 1), (6, 5)]
    found = judge({"target": speakers(*better)})["target"]
    assert (found.verdict, found.p_value, found.speakers) == ("improved", 2 / 64, 6)
    assert found.interval[1] < 0
    assert found.other_tests.mapsswe.segments == 6
    worse = judge({"target": speakers(*((b, a) for a, b in better))})["target"]
    assert (worse.verdict, worse.p_value) == ("worse", 2 / 64)
    # One fewer: with five speakers no p-value can be below 2 / 32.
    few = judge({"target": speakers(*better[:5])})["target"]
    assert (few.verdict, few.least_p_value) == ("no evidence", 2 / 32)


def test_there_is_no_evidence_where_the_speakers_disagree_or_there_is_one() -> None:
    mixed = judge({"target": speakers(*[(5, 3), (3, 5), (4, 4), (6, 3), (2, 3), (5, 5)] * 2)})
    assert mixed["target"].verdict == "no evidence"
    one = judge({"target": speakers((9, 0))})["target"]
    assert (one.verdict, one.interval, one.p_value) == ("no evidence", None, 1.0)
    nobody = judge({"target": speakers()})["target"]
    assert (nobody.verdict, nobody.interval) == ("no evidence", None)


def test_the_general_accent_is_judged_by_its_budget() -> None:
    target = speakers(*[(5, 3)] * 7)
    same, lost, mixed = [(2, 2)] * 8, [(1, 3)] * 8, [(1, 2), (2, 1)] * 4
    for rows, budget, verdict in (
        (same, 1.0, "within budget"),
        (lost, 1.0, "over budget"),
        (lost, 20.0, "within budget"),
        (mixed, 1.0, "no evidence"),  # the interval reaches beyond the budget, and below it
        (lost, None, "worse"),
    ):
        found = judge({"target": target, "general": speakers(*rows)}, max_forgetting=budget)
        assert found["general"].verdict == verdict


def test_p_values_are_corrected_for_the_number_of_sets() -> None:
    better = speakers(*[(5, 3)] * 6)  # p is 2 / 64 for each
    found = judge({"target": better, "general": better}, max_forgetting=None)
    assert [each.corrected_p_value for each in found.values()] == [4 / 64] * 2
    assert [each.verdict for each in found.values()] == ["no evidence"] * 2


words = st.lists(st.sampled_from(["the", "wee", "cat", "loch"]), max_size=5).map(" ".join)


@given(st.lists(st.tuples(st.sampled_from("ab"), words, words, words), max_size=8))
def test_speakers_add_up_to_the_set(rows: list[tuple[str, str, str, str]]) -> None:
    base = [heard(str(i), row[1], row[2], row[0]) for i, row in enumerate(rows)]
    adapted = [heard(str(i), row[1], row[3], row[0]) for i, row in enumerate(rows)]
    found = score(base, adapted, normaliser="plain")
    assert sum(item.words for item in found.per_speaker) == found.words
    assert sum(item.utterances for item in found.per_speaker) == found.utterances
    assert len(found.per_speaker) == found.speakers
    swapped = score(adapted, base, normaliser="plain")
    assert (swapped.base, swapped.adapted) == (found.adapted, found.base)
    assert {item.id for item in swapped.broken} == {item.id for item in found.repaired}
