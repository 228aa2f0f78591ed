"""What a run tells of its speech: each utterance's facts, and what to do about what is shared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speechtl import audio, run_facts
from speechtl.audio import signal_to_noise_db
from speechtl.corpus import Corpus, Utterance, sentence
from speechtl.features import Waveforms
from speechtl.leakage import Overlap
from speechtl.manifest import read_manifest
from speechtl.run_facts import (
    data_facts,
    hypotheses,
    leakage,
    leakage_notes,
    read_tested,
)
from speechtl.scoring import DataFacts


@pytest.fixture
def corpus(manifest: Path) -> Corpus:
    return read_manifest(manifest)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list to which each recording is added when it is decoded."""
    found: list[Path] = []
    read = audio.read

    def noted(path: Path, **span: float | None) -> audio.Waveform:
        found.append(path)
        return read(path, **span)

    monkeypatch.setattr(audio, "read", noted)
    return found


# --- the recordings -------------------------------------------------------------------------------


@pytest.mark.parametrize(("held_s", "room_s"), [(500.0, 1000.0), (5.0, 15.0)])
def test_each_recording_is_decoded_once_and_measured_though_not_all_are_held(
    held_s: float,
    room_s: float,
    corpus: Corpus,
    decoded: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_facts, "_HELD_S", held_s)
    waveforms = Waveforms(limit_bytes=int(room_s * 64_000))
    levels, faults = read_tested(corpus, waveforms)
    assert sorted(decoded) == sorted(each.audio for each in corpus)
    assert not faults
    assert levels.keys() == set(corpus)
    for utterance, level in levels.items():
        measured = signal_to_noise_db(utterance.waveform())
        assert level == (None if measured is None else round(measured, 1))


def test_what_cannot_be_read_is_named_and_the_others_are_read_all_the_same(
    corpus: Corpus, decoded: list[Path]
) -> None:
    for broken in (corpus[1], corpus[20]):
        broken.audio.write_bytes(b"RIFF")
    _, faults = read_tested(corpus, Waveforms())
    assert len(faults) == 2
    assert corpus[1].id in faults[0]
    assert corpus[20].id in faults[1]
    assert len(decoded) == len(corpus)


def test_a_hypothesis_has_the_length_the_noise_and_whether_its_sentence_is_known(
    corpus: Corpus,
) -> None:
    said = [
        replace(corpus[0], text="The cat, sat!", start=0.1, end=0.45678),
        replace(corpus[1], text="a mat"),
        replace(corpus[2], text="!"),
    ]
    known = {sentence(text) for text in ("the cat sat", "?")}
    levels: dict[Utterance, float | None] = {said[0]: 12.3, said[1]: None, said[2]: None}
    rows = hypotheses(
        said, ["a", "b", "c"], seconds=lambda each: each.duration, levels=levels, known=known
    )
    assert [row.hypothesis for row in rows] == ["a", "b", "c"]
    assert [row.duration for row in rows] == [0.357, 0.55, 0.6]
    assert [row.snr_db for row in rows] == [12.3, None, None]
    assert [row.seen for row in rows] == [True, False, False]
    assert (rows[0].start, rows[0].end) == (0.1, 0.45678)


def test_sets_that_hold_nothing_have_no_facts(corpus: Corpus) -> None:
    found = data_facts({"test": corpus[:3], "replay": []}, lambda each: 20.0)
    assert found == {"test": DataFacts(minutes=1.0, utterances=3, speakers=1)}


# --- what they share ------------------------------------------------------------------------------


SETS = ("train", "replay", "dev", "general_dev", "test", "general_test", "control")


def test_all_that_is_learnt_from_or_chosen_by_is_compared_with_all_that_is_tested(
    corpus: Corpus,
) -> None:
    sets = {name: [replace(each, id=f"{name} {each.id}") for each in corpus[:2]] for name in SETS}
    found = leakage(
        sets, lambda each: each.id.split()[1].encode(), corpora=dict.fromkeys(SETS, "one")
    )
    assert [(each.first, each.second) for each in found] == [
        ("train", "dev"),
        *((first, second) for first in SETS[:4] for second in SETS[4:]),
    ]
    assert {each.audio for each in found} == {2}
    notes = list(leakage_notes(found))
    assert sum(note.startswith("warning: 2 of 2 ") for note in notes) == len(found)
    # What is said is told only of what is trained on, with each set that is tested.
    assert sum("say a sentence" in note for note in notes) == 2 * 3


def test_a_speaker_is_shared_only_by_sets_of_one_corpus(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = dict.fromkeys(SETS, corpus[:2])
    monkeypatch.chdir(corpus[0].audio.parent)
    here = str(Path.cwd() / "a.jsonl")
    corpora = dict.fromkeys(("train", "dev", "test"), here) | {
        "replay": "starter", "general_dev": "starter", "general_test": "starter",
        "control": "a.jsonl",
    }  # fmt: skip
    one = [("train", "dev", "test", "control"), ("replay", "general_dev", "general_test")]
    found = leakage(sets, lambda each: each.id.encode(), corpora=corpora)
    for each in found:
        alike = any({each.first, each.second} <= set(names) for names in one)
        assert each.speakers == (tuple({corpus[0].speaker}) if alike else ())
        assert ("speaker" in {kind for kind, *_ in each.examples}) is alike
        assert (each.prompts, each.audio) == (2, 2)


def test_what_is_shared_is_told_with_what_to_do() -> None:
    found = [
        Overlap(first="train", second="dev", utterances=9, prompts=9, near_prompts=3),
        Overlap(
            first="train",
            second="test",
            utterances=6,
            prompts=2,
            near_prompts=1,
            audio=1,
            examples=(("prompt", "t0", "x"), ("audio", "t1", "y")),
        ),
        Overlap(first="replay", second="general_test", utterances=6, prompts=1),
        Overlap(first="train", second="control", utterances=6),
    ]
    assert list(leakage_notes(found)) == [
        "warning: 1 of 6 test utterances is the same audio as one that is trained on, such as t1 "
        "(y in train): the test WER is better than it is on new speech; remove one of each two",
        "2 of 6 test utterances say a sentence that is trained on too: the WER says less about new "
        "sentences; see that of unseen ones",
        "1 of 6 test utterances says nearly a sentence that is trained on, with few other words: "
        "it counts as unseen; test other sentences if that matters",
        "1 of 6 general test utterances says a sentence that is replayed too: the WER says less "
        "about new sentences; see that of unseen ones",
    ]


def test_the_same_audio_in_dev_is_told_too() -> None:
    found = [Overlap(first=name, second=other, utterances=4, audio=2) for name, other in (
        ("train", "dev"), ("dev", "test"), ("general_dev", "general_test"),
    )]  # fmt: skip
    assert [note.split(":")[1].strip() for note in leakage_notes(found)] == [
        "2 of 4 dev utterances are the same audio as one that is trained on",
        "2 of 4 test utterances are the same audio as one in dev, by which is chosen what is kept",
        "2 of 4 general test utterances are the same audio as one in general dev, by which the "
        "interpolation is chosen",
    ]


def test_levels_are_rounded_to_a_tenth(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_facts, "signal_to_noise_db", lambda waveform: np.float64(12.3456))
    levels, _ = read_tested(corpus[:1], Waveforms())
    assert list(levels.values()) == [12.3]
