"""Base and adapted hypotheses to a report: numbers counted by hand, files that come back whole."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.conftest import (
    ADAPTED,
    BASE,
    FACTS,
    Both,
    Said,
    by_both,
    heard,
    paired,
    ten_words_each,
    texts,
)
from speechtl.errors import ConfigError, DataError
from speechtl.leakage import Overlap
from speechtl.scoring import (
    EXAMPLES,
    SILENCE,
    Difference,
    Epoch,
    LabelRound,
    Report,
    RunFacts,
    Swept,
    judged,
    make_report,
    remake_report,
    score,
    write_hypotheses,
)
from speechtl.scoring.words import vocabulary
from speechtl.significance import LEVEL

Sets = Mapping[str, Both]


def report() -> Report:
    return make_report(FACTS, {"target": BASE}, {"target": ADAPTED})


def made(sets: Sets, facts: RunFacts = FACTS, **options: Any) -> Report:
    """Return the report of the sets, with what base and adapted heard in each."""
    base, adapted = ({name: rows[place] for name, rows in sets.items()} for place in (0, 1))
    return make_report(facts, base, adapted, **options)


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


def everything() -> Report:
    """Return a report that has a value at every key."""
    facts = dataclasses.replace(
        FACTS,
        revision="4ffb878",
        why="few speakers",
        interpolation=0.8,
        sweep=(Swept(0.0, 0.5, 0.2), Swept(0.8, 0.3, None)),
        pseudo_labels=(
            LabelRound(round=0, dev_wer=0.4),
            LabelRound(round=1, left_out={"short": 2}),
        ),
        kept_round=1,
        max_forgetting=1.0,
        control="southern",
        folds=5,
        leakage=(
            Overlap(
                first="train",
                second="test",
                utterances=9,
                speakers=("ailsa",),
                prompts=2,
                examples=(("prompt", "u1", "t1"),),
            ),
        ),
    )
    target = by_both(
        *(
            Said(10, 5, 1 + n % 3, f"speaker-{n % 8}", ("scottish", "welsh")[n % 2], 5.0 * n, n < 9)
            for n in range(16)
        ),
        Said(3, 0, 2, "speaker-0"),
    )
    silent = texts(("", "you", ""), ("", "", "thank you thank you thank you"))
    return made(
        {
            "target": target,
            "general": by_both(*(Said(10, 2, 2, f"general-{n}", "english") for n in range(8))),
            "control": by_both(*(Said(10, 3, 2 + n % 2, f"control-{n}") for n in range(6))),
            SILENCE: silent,
        },
        facts,
    )


KEYS = {
    "": """accent model revision family strategy why seed normaliser parameters cut timing training
        best_epoch averaged interpolation sweep pseudo_labels kept_round stopped max_forgetting
        corpus data dropped versions licences control control_accent folds leakage
        normaliser_version sets disparity gain silence""",
    "parameters": "trainable frozen",
    "timing": "load_s features_s train_s score_s total_s",
    "disparity": "base adapted",
    "disparity.base": "worst worst_wer best best_wer difference",
    "gain": "all recording accent interval",
    "silence": "base adapted",
    "silence.adapted": "recordings with_words words heard",
    "leakage.0": "first second utterances speakers prompts near_prompts audio examples",
    "sets": "target general control",
    "sets.target": """utterances speakers words base adapted difference normalised per_speaker
        groups vocabulary repaired broken""",
    "sets.target.base": """wer interval cer match_error_rate substitutions deletions insertions raw
        hallucination""",
    "sets.target.base.raw": "wer cer",
    "sets.target.base.hallucination": """insertion_rate repetitions repeated without_reference""",
    "sets.target.difference": """wer wer_relative_reduction cer cer_relative_reduction interval
        p_value corrected_p_value least_p_value test speakers smallest_detectable budget verdict
        other_tests""",
    "sets.target.difference.other_tests": "mapsswe mcnemar",
    "sets.target.normalised.0": "normaliser version base adapted difference interval",
    "sets.target.per_speaker.0": """speaker utterances words base_wer adapted_wer base_interval
        adapted_interval difference_interval""",
    "sets.target.groups": "accents lengths snr prompts",
    "sets.target.groups.snr.0": "name utterances speakers words base_wer adapted_wer interval",
    "sets.target.vocabulary": """confused_before confused_after mended_confusions new_confusions
        mended broken sounds sounds_by""",
    "sets.target.vocabulary.confused_before.0": "reference heard base adapted",
    "sets.target.vocabulary.mended.0": "word said base_wrong adapted_wrong mended broken",
    "sets.target.vocabulary.sounds.0": """kind sound said base_wrong adapted_wrong mended broken
        examples""",
    "sets.target.repaired.0": (
        "id speaker reference base adapted base_errors adapted_errors "
        "base_character_errors adapted_character_errors"
    ),
}


@pytest.fixture(scope="module")
def filled() -> Report:
    return everything()


@pytest.mark.parametrize("path", KEYS)
def test_report_json_has_the_documented_keys(path: str, filled: Report) -> None:
    tree = json.loads(filled.to_json())
    for key in filter(None, path.split(".")):
        tree = tree[int(key) if key.isdigit() else key]
    assert set(tree) == set(KEYS[path].split())


def test_report_json_has_the_values_that_were_given_and_counted() -> None:
    tree = json.loads(report().to_json())
    assert tree["parameters"] == {"trainable": 30, "frozen": 70}
    assert tree["training"][1] == {"epoch": 1, "step": 12, "loss": 1.25, "dev_wer": 0.25}
    assert tree["dropped"] == [{"id": "short_1", "reason": "shorter than 400 samples"}]
    assert tree["sets"]["target"]["base"]["wer"] == 0.5
    assert tree["sets"]["target"]["difference"]["wer"] == -0.125


def test_a_report_in_which_every_key_has_a_value_comes_back_as_it_was(filled: Report) -> None:
    assert Report.from_json(filled.to_json()) == filled
    assert "NaN" not in filled.to_json()
    nulls = [name for name, value in vars_of(filled) if value is None]
    assert nulls == ["budget"]  # which the general set alone has
    assert filled.sets["general"].difference.budget == 0.01


def vars_of(found: Report) -> list[tuple[str, Any]]:
    """Return the report's own values and those of its target set's difference."""
    difference = found.sets["target"].difference
    return [
        (field.name, getattr(each, field.name))
        for each in (found, difference)
        for field in dataclasses.fields(each)
    ]


SINCE = {
    *("normaliser_version", "disparity", "gain", "silence", "control", "folds", "leakage"),
    *("control_accent", "budget"),
    *("normalised", "groups", "vocabulary", "hallucination", "smallest_detectable"),
    *("base_interval", "adapted_interval", "difference_interval"),
}
"""What a report.json of version 0.1 has not, at any depth."""


def older(tree: Any) -> Any:
    match tree:
        case dict():
            return {key: older(value) for key, value in tree.items() if key not in SINCE}
        case list():
            return [older(value) for value in tree]
        case _:
            return tree


def test_a_report_of_an_older_version_is_still_read(filled: Report) -> None:
    text = json.dumps(older(json.loads(filled.to_json())))
    assert not any(f'"{key}"' in text for key in SINCE)
    found = Report.from_json(text)
    wanted = dataclasses.replace(filled.facts, control=None, folds=None, leakage=())
    assert found.facts == Report.facts_of(text) == wanted
    assert found.sets["target"].difference.p_value == filled.sets["target"].difference.p_value
    assert (found.sets["target"].vocabulary, found.gain, found.silence) == (None, None, None)


def test_the_facts_of_a_report_are_read_whatever_its_scores_are() -> None:
    tree = json.loads(report().to_json()) | {"sets": {"target": "as it was once"}}
    assert Report.facts_of(json.dumps(tree)) == FACTS
    with pytest.raises(DataError, match="does not fit"):
        Report.from_json(json.dumps(tree))
    with pytest.raises(DataError, match="does not fit"):
        Report.facts_of("{}")


ROWS = [(f"said{n} oot", f"hard{n}", f"said{n} out") for n in range(30)]


def test_the_order_of_python_sets_is_in_no_report() -> None:
    """Which differs from one process to the next."""
    program = (
        "from scoring.conftest import paired\n"
        "from speechtl.scoring.words import vocabulary\n"
        f"print(vocabulary(paired(*{ROWS})))"
    )
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": other, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.strip() == str(vocabulary(paired(*ROWS)))


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


words = st.lists(st.sampled_from(["the", "wee", "cat", "loch"]), max_size=5).map(" ".join)


@settings(deadline=None)
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


# --- verdicts -------------------------------------------------------------------------------------


def speakers(*errors: tuple[int, int]) -> Both:
    return ten_words_each(errors)


def judge(sets: Sets, max_forgetting: float | None = 1.0) -> dict[str, Any]:
    facts = dataclasses.replace(FACTS, max_forgetting=max_forgetting)
    return {name: each.difference for name, each in made(sets, facts).sets.items()}


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


# --- what a set of speakers can show --------------------------------------------------------------


def test_the_least_p_value_is_corrected_as_the_p_value_is() -> None:
    six, eight = speakers(*[(5, 3)] * 6), speakers(*[(5, 3)] * 8)
    alone = judge({"target": six})["target"]
    assert (alone.least_p_value, alone.verdict) == (2 / 64, "improved")
    # Six speakers cannot show anything in two sets of which the other shows no more.
    both = judge({"target": six, "general": six}, max_forgetting=None)
    assert [each.least_p_value for each in both.values()] == [4 / 64] * 2
    assert all(each.least_p_value > LEVEL for each in both.values())
    # They can beside a set whose p-value is smaller, 2 / 256, for which two sets count.
    beside = judge({"target": eight, "general": six}, max_forgetting=None)
    assert beside["target"].least_p_value == beside["target"].corrected_p_value == 4 / 256
    assert beside["general"].least_p_value == beside["general"].corrected_p_value == 2 / 64
    unclear = judge({"target": speakers(*[(5, 3), (3, 5)] * 4), "general": six})
    assert unclear["general"].least_p_value == 4 / 64
    assert unclear["target"].least_p_value == 4 / 256


def test_the_smallest_detectable_difference_is_that_of_the_sets_speakers() -> None:
    rows = [(5, 3), (4, 3), (6, 2), (5, 4), (3, 1), (6, 5), (4, 4), (5, 3)]
    found = score(*speakers(*rows), normaliser="plain").difference
    assert found.smallest_detectable is not None
    assert 0.01 < found.smallest_detectable < 0.2
    wider = score(*speakers(*rows, *rows), normaliser="plain").difference
    assert wider.smallest_detectable is not None
    assert wider.smallest_detectable < found.smallest_detectable


def test_no_difference_is_detectable_by_too_few_speakers_or_where_nothing_changed() -> None:
    few = judge({"target": speakers(*[(5, 3), (4, 3), (6, 2), (5, 4), (3, 1)])})["target"]
    assert (few.smallest_detectable, few.least_p_value) == (None, 2 / 32)
    same = judge({"target": speakers(*[(5, 5)] * 9)})["target"]
    assert (same.smallest_detectable, same.verdict) == (None, "no evidence")
    nobody = judge({"target": speakers()})["target"]
    assert nobody.smallest_detectable is None


def test_nothing_is_detectable_where_no_corrected_p_value_can_be_small_enough() -> None:
    six = speakers(*[(5, 3), (4, 3), (6, 2), (5, 4), (3, 1), (6, 5)])
    assert judge({"target": six})["target"].smallest_detectable is not None
    found = judge({"target": six, "general": six}, max_forgetting=None)
    assert [each.least_p_value > LEVEL for each in found.values()] == [True, True]
    assert [each.smallest_detectable for each in found.values()] == [None, None]


def test_a_set_that_nobody_judged_has_no_p_value_to_correct() -> None:
    found = made({"target": speakers(*[(5, 3)] * 6)}).sets["target"]
    unknown = Difference(wer=0.0, wer_relative_reduction=None, cer=0.0, cer_relative_reduction=None)
    again = judged(
        {"target": found, "general": dataclasses.replace(found, difference=unknown)},
        max_forgetting=None,
    )
    assert again["target"].difference.corrected_p_value == 4 / 64
    assert again["general"].difference.corrected_p_value == 1
    assert again["general"].difference.verdict == "no evidence"


def test_a_set_heard_by_each_folds_model_has_no_test_by_utterance_and_examples_once() -> None:
    better = [(5, 3), (4, 3), (6, 2), (5, 4), (3, 1), (6, 5), (4, 2), (5, 1)]
    base, adapted = speakers(*better)
    folds = tuple(
        [dataclasses.replace(row, id=f"fold {k}/{row.id}") for k in (1, 2) for row in rows]
        for rows in (base, adapted)
    )
    stacked = (folds[0], folds[1])
    facts = dataclasses.replace(FACTS, folds=2)
    found = made({"target": (base, adapted), "general": stacked}, facts).sets
    assert found["target"].difference.other_tests is not None
    general = found["general"]
    assert general.difference.other_tests is None
    assert general.difference.interval == pytest.approx(found["target"].difference.interval)
    assert {each.difference_interval for each in general.per_speaker} == {None}
    assert len(general.repaired) == len({each.id.partition("/")[2] for each in general.repaired})
    single = made({"target": (base, adapted), "general": stacked}).sets["general"]
    assert single.difference.other_tests is not None


# --- the control set ------------------------------------------------------------------------------


def test_the_gain_is_split_into_recording_and_accent() -> None:
    found = made(
        {
            "target": by_both(Said(10, 4, 1), Said(10, 2, 1, "bruce")),  # 6 / 20 to 2 / 20
            "control": by_both(Said(10, 2, 1, "carol"), Said(30, 3, 2, "dave")),  # 5 to 3 / 40
        }
    )
    assert found.gain is not None
    assert found.gain.all == pytest.approx(-4 / 20)
    assert found.gain.recording == pytest.approx(-2 / 40)
    assert found.gain.accent == pytest.approx(-3 / 20)
    assert found.gain.interval is None  # of two speakers


def test_a_control_that_is_the_general_set_splits_nothing() -> None:
    rows = speakers(*[(5, 2), (4, 3)] * 4)
    found = made({"target": speakers(*[(5, 2)] * 8), "general": rows, "control": rows})
    assert found.gain is None


def test_the_gain_of_many_speakers_lies_in_its_interval() -> None:
    target = speakers(*[(5, 2), (4, 3), (6, 2), (5, 4)] * 5)
    control = speakers(*[(3, 3), (4, 3), (3, 2), (2, 3)] * 4)
    found = made({"target": target, "control": control}).gain
    assert found is not None
    assert found.interval is not None
    assert found.accent is not None
    assert found.accent == pytest.approx(-9 / 40 + 1 / 40)
    assert found.interval[0] < found.accent < found.interval[1] < 0


def test_there_is_no_gain_without_a_control_nor_an_interval_with_one_speaker() -> None:
    target = speakers(*[(5, 3)] * 6)
    assert made({"target": target, "general": target}).gain is None
    assert made({"control": target}).gain is None
    one = made({"target": target, "control": speakers((3, 2))}).gain
    assert one is not None
    assert (one.all, one.recording) == pytest.approx((-2 / 10, -1 / 10))
    assert one.interval is None


def test_a_control_that_says_no_word_splits_nothing() -> None:
    silent = by_both(Said(0, 1, 0, "carol"), Said(0, 0, 0, "dave"))
    found = made({"target": speakers(*[(5, 3)] * 6), "control": silent}).gain
    assert found is not None
    assert found.all == pytest.approx(-2 / 10)
    assert (found.recording, found.accent, found.interval) == (None, None, None)


def test_the_control_is_in_no_disparity() -> None:
    target = by_both(Said(10, 4, 2))
    control = by_both(Said(10, 1, 1, "carol", "southern"))
    assert made({"target": target, "control": control}).disparity is None
    general = by_both(Said(10, 1, 1, "carol", "southern"))
    found = made({"target": target, "general": general, "control": control}).disparity
    assert found is not None
    assert (found.base.worst, found.base.best, found.base.best_wer) == ("scottish", "southern", 0.1)


# --- silence --------------------------------------------------------------------------------------


def test_silence_is_no_set_and_has_no_rates() -> None:
    sets = {"target": speakers(*[(5, 3)] * 6)}
    silent = texts(("", "you", ""), ("", "", ""), ("", "Thank you.", "you"))
    found = made({**sets, SILENCE: silent})
    assert found.sets == made(sets).sets
    assert SILENCE not in json.loads(found.to_json())["sets"]
    assert found.silence is not None
    assert (found.silence.base.recordings, found.silence.base.with_words) == (3, 2)
    assert (found.silence.base.words, found.silence.adapted.words) == (3, 1)
    assert found.silence.adapted.heard == (("u2", "you"),)
    assert made(sets).silence is None


def test_silence_that_was_tried_with_no_recording_is_told() -> None:
    found = made({"target": speakers((5, 3)), SILENCE: ([], [])})
    assert found.silence is not None
    assert found.silence.base.recordings == 0


def test_punctuation_in_silence_is_no_word() -> None:
    silent = texts(("", "...", ""), ("", " - ", "you ..."))
    found = made({"target": speakers((5, 3)), SILENCE: silent}).silence
    assert found is not None
    assert (found.base.with_words, found.base.words) == (0, 0)
    assert (found.adapted.with_words, found.adapted.words) == (1, 1)


def test_silence_needs_the_same_recordings_of_both_systems() -> None:
    base, adapted = texts(("", "you", ""), ("", "", ""))
    with pytest.raises(DataError, match="same utterances"):
        made({"target": speakers((5, 3)), SILENCE: (base, adapted[:1])})


# --- normalisers ----------------------------------------------------------------------------------

SCOTS = texts(
    ("I didnae ken.", "i didn't know", "I didnae ken"),
    ("my colour", "my color", "my cooler"),
)


def test_a_set_is_scored_with_other_normalisers_too() -> None:
    found = made({"target": SCOTS}).sets["target"]
    assert (found.base.wer, found.adapted.wer) == (3 / 5, 1 / 5)
    assert [
        (each.normaliser, each.base, each.adapted) for each in found.normalised
    ] == [
        ("none", 4 / 5, 2 / 5),  # "I" and "ken." differ from "i" and "ken"
        ("whisper-english", 3 / 5, 1 / 5),  # "color" is "colour", "didn't" is "did not"
        ("plain+scots", 1 / 5, 1 / 5),  # and "didnae ken" is "didn't know"
    ]  # fmt: skip
    assert [each.difference for each in found.normalised] == pytest.approx([-2 / 5, -2 / 5, 0.0])
    assert all(each.interval is None for each in found.normalised)  # of one speaker
    assert all(each.version for each in found.normalised)


@pytest.mark.parametrize("name", ["none", "whisper-english", "plain+scots"])
def test_rates_under_another_normaliser_are_those_of_a_run_with_it(name: str) -> None:
    base, adapted = (
        [
            dataclasses.replace(row, id=f"{row.id} {n}", speaker=f"s{n}")
            for n, row in enumerate([*rows] * 4)
        ]
        for rows in SCOTS
    )
    (found,) = (
        each
        for each in made({"target": (base, adapted)}).sets["target"].normalised
        if each.normaliser == name
    )
    alone = score(base, adapted, normaliser=name)
    assert (found.base, found.adapted) == (alone.base.wer, alone.adapted.wer)
    assert (found.difference, found.interval) == (alone.difference.wer, alone.difference.interval)
    assert found.interval is not None


@pytest.mark.parametrize(
    ("normaliser", "accent", "names"),
    [
        ("plain", "scottish", ["none", "whisper-english", "plain+scots"]),
        ("plain", "welsh", ["none", "whisper-english"]),
        ("none", "scottish", ["whisper-english"]),
        ("whisper-english", "scottish", ["none", "whisper-english+scots"]),
        # A rate with a map stands beside the one without.
        ("plain+scots", "scottish", ["none", "whisper-english", "plain"]),
    ],
)
def test_a_dialect_map_is_shown_beside_the_rate_without_it(
    normaliser: str, accent: str, names: list[str]
) -> None:
    facts = dataclasses.replace(FACTS, normaliser=normaliser, accent=accent)
    found = made({"target": SCOTS}, facts)
    assert found.normaliser_version
    assert [each.normaliser for each in found.sets["target"].normalised] == names


# --- where there is nothing to count --------------------------------------------------------------

ONE = Said(4, 1, 0)
# Both systems' WER, the difference, and the base's insertions by words.
EMPTY: dict[str, tuple[Both, tuple[float | None, ...]]] = {
    "no utterance": (by_both(), (0, 0, 0, None)),
    "one utterance": (by_both(ONE), (1 / 4, 0, -1 / 4, 0)),
    "one without a word": (by_both(Said(0)), (0, 0, 0, None)),
    "one speaker": (by_both(ONE, Said(3, 0, 1), Said(0, 1)), (2 / 7, 1 / 7, -1 / 7, 1 / 7)),
    "no word said": (by_both(Said(0), Said(0, speaker="bruce")), (0, 0, 0, None)),
    "no word said, but heard": (
        by_both(Said(0, 2, 1), Said(0, 1, 0, "bruce")),
        (None, None, None, None),
    ),
    "no word said, but heard after": (
        by_both(Said(0), Said(0, 0, 2, "bruce")),
        (0, None, None, None),
    ),
    "nothing heard": (texts(("och aye", "", ""), ("the wee cat", "", "")), (1, 1, 0, 0)),
    "punctuation": (texts(("...", "!", "you"), ("-", "?", "")), (0, None, None, None)),
    "a speaker without a word": (
        by_both(ONE, Said(0, 1, 0, "bruce"), Said(0, speaker="carol")),
        (2 / 4, 0, -2 / 4, 1 / 4),
    ),
}


@pytest.mark.parametrize("name", EMPTY)
def test_sets_with_little_to_count_are_scored_and_come_back(name: str) -> None:
    rows, wanted = EMPTY[name]
    base, adapted = ([dataclasses.replace(row, audio="c.wav") for row in each] for each in rows)
    control = (base, adapted)
    found = made(
        {"target": rows, "general": rows, "control": control, SILENCE: rows},
        dataclasses.replace(FACTS, max_forgetting=1.0),
        pronunciations={"och": ("AA", "K")},
    )
    assert Report.from_json(found.to_json()) == found
    for each in found.sets.values():
        assert (
            each.base.wer,
            each.adapted.wer,
            each.difference.wer,
            each.base.hallucination and each.base.hallucination.insertion_rate,
        ) == pytest.approx(wanted)
        assert each.difference.smallest_detectable is None
        assert each.difference.verdict in {"no evidence", "within budget"}
    assert found.gain is not None
    assert found.gain.all == pytest.approx(wanted[2])
    assert (found.gain.accent is None) == (wanted[2] is None)
    assert found.disparity is None


def test_a_report_without_a_set_is_empty() -> None:
    found = made({})
    assert (found.sets, found.disparity, found.gain, found.silence) == ({}, None, None, None)
    assert Report.from_json(found.to_json()) == found
