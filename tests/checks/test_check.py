"""The whole check: in which order it tells, what it leaves alone, and how fast it starts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speechtl import corpora
from speechtl.audio import write
from speechtl.checks import check, unusable
from speechtl.corpus import Corpus, Utterance
from speechtl.faults import KINDS, Fault
from speechtl.sources import Reading


def reading(
    root: Path, texts: Sequence[str], *, broken: Sequence[int] = (), faults: tuple[Fault, ...] = ()
) -> Reading:
    """Return a corpus of one second of noise for each text; some recordings are none."""
    utterances = []
    for number, text in enumerate(texts):
        path = root / f"{number}.wav"
        if number in broken:
            path.write_bytes(b"no recording" * 100)
        else:
            noise = np.random.default_rng(number).normal(0, 0.1, 16_000)
            write(path, noise.astype(np.float32))
        utterances.append(Utterance(f"utt-{number}", path, text, "ann", "scottish"))
    return Reading(source="source", kind="table", corpus=Corpus(utterances), faults=faults)


def test_what_could_not_be_read_comes_first_then_errors_then_warnings(tmp_path: Path) -> None:
    unread = Fault("audio-unused", "b.wav", "there is no transcript")
    texts = ["the  cat", "?!", "yes [coughs]", "the  dog", "!"]
    found = check(reading(tmp_path, texts, broken=[0], faults=(unread,))).faults
    assert found[0] == unread
    grades = [fault.grade for fault in found[1:]]
    assert grades == sorted(grades)
    for grade in ("error", "warning"):
        kinds = [fault.kind for fault in found[1:] if fault.grade == grade]
        assert kinds == sorted(kinds, key=[*KINDS].index)
    assert [fault.utterance for fault in found if fault.kind == "text-no-words"] == [
        "utt-1",
        "utt-4",
    ]
    assert [fault.utterance for fault in found if fault.kind == "text-spaces"] == ["utt-0", "utt-3"]


def test_without_recordings_nothing_is_decoded(tmp_path: Path) -> None:
    source = reading(tmp_path, ["the cat", "the dog"], broken=[1])
    heard = check(source)
    assert "audio-unreadable" in {fault.kind for fault in heard.faults}
    unheard = check(source, recordings=False)
    assert {fault.kind for fault in unheard.faults} == {"licence-missing", "speakers-few"}
    assert unheard.audio == {}


def test_lengths_are_those_of_the_samples_or_of_the_times(tmp_path: Path) -> None:
    source = reading(tmp_path, ["the cat", "the dog"], broken=[1])
    heard, unheard = check(source), check(source, recordings=False)
    whole, broken = source.corpus
    timed = replace(whole, start=0.25, end=0.75)
    assert heard.duration_s(whole) == 1.0
    assert (heard.duration_s(broken), unheard.duration_s(whole)) == (None, None)
    assert unheard.duration_s(timed) == 0.5


def test_all_utterances_of_a_broken_recording_are_unusable(tmp_path: Path) -> None:
    source = reading(tmp_path, ["the cat", "?!", "the dog"], broken=[2])
    first, _, last = source.corpus
    again = [replace(last, id=f"part-{number}", start=number, end=number + 1) for number in (0, 1)]
    found = check(replace(source, corpus=source.corpus + Corpus(again)))
    assert len([fault for fault in found.faults if fault.kind == "audio-unreadable"]) == 1
    left_out = unusable(found)
    assert {name: fault.kind for name, fault in left_out.items()} == {
        "utt-1": "text-no-words",
        "utt-2": "audio-unreadable",
        "part-0": "audio-unreadable",
        "part-1": "audio-unreadable",
    }
    assert first.id not in left_out


def test_a_row_that_was_refused_does_not_take_its_namesake_with_it(tmp_path: Path) -> None:
    refused = Fault("id-repeated", "m.jsonl:9", "the id is already used: m.jsonl:1", "utt-0")
    found = check(reading(tmp_path, ["the cat", "the dog"], faults=(refused,)))
    assert refused in found.faults
    assert unusable(found) == {}


def test_a_corpus_without_splits_has_no_leakage_report(tmp_path: Path) -> None:
    source = reading(tmp_path, ["the cat", "the dog"])
    assert check(source).leakage is None
    parted = Corpus(
        replace(each, split=split)
        for each, split in zip(source.corpus, ("train", "test"), strict=True)
    )
    found = check(replace(source, corpus=parted))
    assert found.leakage is not None
    assert "speaker 'ann' is in both" in {fault.message for fault in found.faults}


def test_what_recordings_told_is_taken_from_the_store(tmp_path: Path) -> None:
    source, store = reading(tmp_path, ["the cat", "the dog"]), tmp_path / "store.jsonl"
    first = check(source, store=store)
    before = store.read_bytes()
    assert before.count(b"\n") == 2
    assert check(source, store=store).audio == first.audio
    assert store.read_bytes() == before


def test_the_checks_start_without_the_models() -> None:
    heavy = ("torch", "transformers", "torchaudio", "librosa", "numba", "datasets")
    code = f"import sys, speechtl.checks; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_starter_has_no_error_in_what_is_written() -> None:
    found = check(corpora.read("starter"), recordings=False)
    assert {(fault.grade, fault.kind) for fault in found.faults} == {("warning", "text-near")}


def test_the_starters_recordings_have_no_fault() -> None:
    whole = corpora.read("starter")
    part = Corpus(replace(each, split=None) for each in whole.corpus[::24])
    found = check(replace(whole, corpus=part))
    assert len(found.audio) == len(part) > 90
    assert [fault for fault in found.faults if KINDS[fault.kind].about in {"audio", "fit"}] == []


@pytest.mark.slow
def test_the_starter_has_no_error_and_two_true_warnings() -> None:
    # Lancashire and the Caribbean have 5.0 and 4.9 minutes of test.
    found = check(corpora.read("starter"))
    assert {(fault.grade, fault.kind) for fault in found.faults} == {
        ("warning", "text-near"),
        ("warning", "split-small"),
    }
