"""Decoded audio: held up to a bound, decoded again beyond it, and known by its content."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from speechtl.audio import SAMPLE_RATE, write
from speechtl.corpus import Utterance
from speechtl.errors import DataError
from speechtl.features import Waveforms

from .conftest import utterance

T = TypeVar("T")


def test_a_waveform_is_decoded_once(utterances: list[Utterance]) -> None:
    held = Waveforms()
    first = held(utterances[0])
    assert held(utterances[0]) is first
    np.testing.assert_array_equal(first, utterances[0].waveform())


def test_what_exceeds_the_bound_is_decoded_each_time_and_still_right(
    utterances: list[Utterance],
) -> None:
    first, second, third = utterances[1], utterances[2], utterances[3]
    # Room for 0.2 s and 0.3 s of float32 at 16 kHz, not for 0.8 s.
    held = Waveforms(limit_bytes=4 * SAMPLE_RATE // 2)
    for each in (first, second, third):
        np.testing.assert_array_equal(held(each), each.waveform())
    assert held(first) is held(first)
    assert held(second) is not held(second)
    assert held(third) is held(third)


def test_a_bound_of_nothing_holds_nothing(utterances: list[Utterance]) -> None:
    held = Waveforms(limit_bytes=0)
    assert held(utterances[0]) is not held(utterances[0])


def test_what_is_let_go_leaves_room_again_and_stays_known(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    moved = replace(utterances[2], audio=tmp_path / "moved.wav")
    shutil.copy(utterances[2].audio, moved.audio)
    held = Waveforms(limit_bytes=4 * SAMPLE_RATE * 8 // 10)  # room for these 0.8 s
    first, digest = held(moved), held.digest(moved)
    assert held(utterances[1]) is not held(utterances[1])
    held.let_go()
    moved.audio.unlink()
    assert (held.samples(moved), held.seconds(moved)) == (12_800, 0.8)
    assert held.digest(moved) == digest
    assert held(utterances[1]) is held(utterances[1])
    with pytest.raises(DataError, match="'u2'"):
        held(moved)
    assert len(first) == 12_800


def test_a_length_is_that_of_the_header_until_the_recording_was_read(
    utterances: list[Utterance],
) -> None:
    held = Waveforms()
    gone = replace(utterances[0], audio=Path("gone.wav"), start=0.25, end=1.0)
    assert held.seconds(utterances[0]) == 0.5
    assert held.seconds(gone) == 0.75
    for unread in (held.samples, held.digest):
        with pytest.raises(DataError, match="'u0'"):
            unread(gone)


def test_the_same_content_has_the_same_digest_whatever_its_name(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    first = utterances[0]
    copied = replace(first, id="copied", audio=tmp_path / "copied.wav", text="another")
    shutil.copy(first.audio, copied.audio)
    changed = replace(first, audio=tmp_path / "changed.wav")
    waveform = first.waveform().copy()
    waveform[-1] += 0.1
    write(changed.audio, waveform)
    stretch = replace(first, start=0.0, end=0.4)
    held = Waveforms()
    assert held.digest(copied) == held.digest(first)
    assert len(held.digest(first)) == 16
    assert len({held.digest(each) for each in (first, changed, stretch, utterances[1])}) == 4


def test_utterances_of_two_corpora_may_have_the_same_id(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    first, second = utterance(here, "u1", seconds=0.2), utterance(there, "u1", seconds=0.3)
    held = Waveforms()
    assert (len(held(first)), len(held(second))) == (3200, 4800)


def test_two_stretches_of_a_recording_are_two_waveforms(utterances: list[Utterance]) -> None:
    whole = utterances[2]
    stretches = [
        Utterance(f"s{i}", whole.audio, "text", "speaker", "accent", start, start + 0.2)
        for i, start in enumerate((0.0, 0.4))
    ]
    held = Waveforms()
    np.testing.assert_array_equal(held(stretches[1]), held(whole)[6400:9600])
    np.testing.assert_array_equal(held(stretches[0]), held(whole)[:3200])


def test_reading_all_tells_what_cannot_be_read_and_holds_the_rest(
    utterances: list[Utterance], tmp_path: Path
) -> None:
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    gone = replace(utterances[0], id="gone", audio=tmp_path / "gone.wav")
    broken = replace(utterances[0], id="broken", audio=tmp_path / "broken.wav")
    held = Waveforms()
    told: list[tuple[str, int]] = []

    def track(items: Iterable[T], description: str, *, total: int) -> Iterable[T]:
        told.append((description, total))
        return items

    faults = held.read_all([gone, *utterances, broken, utterances[0]], track=track)
    assert len(faults) == 2
    assert "'gone'" in faults[0]
    assert "'broken'" in faults[1]
    assert told == [("reading audio", 10)]
    for each in utterances:
        assert held(each) is held(each)


def test_reading_all_reads_more_utterances_than_it_reads_ahead(utterances: list[Utterance]) -> None:
    first = utterances[1]
    many = [replace(first, id=str(i), start=0.001 * i, end=0.001 * i + 0.01) for i in range(150)]
    held = Waveforms()
    assert held.read_all(many) == ()
    assert all(held(each) is held(each) and len(held(each)) == 160 for each in many)
