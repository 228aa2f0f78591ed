"""Features at the cut: computed no more than once, and the same whether read or computed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor

from speechtl import augment
from speechtl.audio import SAMPLE_RATE, Waveform, write
from speechtl.augment import AdditiveNoise, Augmentation, Gain, SpeedPerturbation
from speechtl.corpus import Utterance
from speechtl.features import (
    Copy,
    FeatureSource,
    Waveforms,
    cache,
    example,
    faster_precision,
    source,
)
from speechtl.models import Features, NewHead, SpeechModel, load

from .conftest import SEED, WINDOW_S, feature_source, utterance

T = TypeVar("T")
NOISE = AdditiveNoise(kind="white")
SPEED = SpeedPerturbation(factors=(0.8, 1.0, 1.25))
FASTER = SpeedPerturbation(factors=(1.25,))


def copies_of(utterances: Sequence[Utterance], *, copies: int = 1) -> list[Copy]:
    return [
        Copy(each, index, number)
        for index, each in enumerate(utterances)
        for number in range(1, copies + 1)
    ]


def only(found: FeatureSource, *copies: Copy) -> Features:
    """Return the features of one batch."""
    [features] = found.features([copies])
    return features


def rows(found: FeatureSource, copies: Sequence[Copy]) -> list[Tensor]:
    """Return the frames of each copy that may be read."""
    features = only(found, *copies)
    assert features.readable is not None
    return [features.hidden[row, :n] for row, n in enumerate(features.readable.tolist())]


def on_disk(found: FeatureSource) -> int:
    """Return the bytes of the packs."""
    assert found.shelf is not None
    return sum(path.stat().st_size for path in found.shelf.folder.glob("*.pack"))


def packs(found: FeatureSource) -> list[Path]:
    """Return the packs, the oldest first."""
    assert found.shelf is not None
    return sorted(found.shelf.folder.glob("*.pack"), key=lambda path: path.stat().st_mtime_ns)


# --- which copy it is -----------------------------------------------------------------------------


def test_a_recording_that_was_renamed_or_moved_is_found_and_one_that_changed_is_not(
    ctc: SpeechModel, utterances: list[Utterance], tmp_path: Path
) -> None:
    def asked(each: Utterance) -> bool:
        found = feature_source(ctc, "encoder.1", folder=tmp_path / "shelf")
        return not found.missing([Copy(each)])

    first = utterances[0]
    feature_source(ctc, "encoder.1", folder=tmp_path / "shelf").fill([Copy(first)])
    moved = replace(first, id="moved", audio=tmp_path / "there" / "moved.wav", speaker="other")
    moved.audio.parent.mkdir()
    shutil.copy(first.audio, moved.audio)
    assert asked(first)
    assert asked(moved)
    assert asked(replace(moved, start=0.0, end=0.5))
    assert not asked(replace(moved, end=0.49))
    waveform = first.waveform().copy()
    waveform[100] += 0.001
    write(moved.audio, waveform)
    assert not asked(moved)


def test_augmented_copies_are_told_apart_by_number_and_place_plain_ones_are_all_the_same(
    ctc: SpeechModel, utterances: list[Utterance], tmp_path: Path, encoded: list[int]
) -> None:
    twice = [utterances[0], replace(utterances[0], id="again")]
    copies = copies_of(twice, copies=3)
    plain = feature_source(ctc, "encoder.1", folder=tmp_path / "plain")
    noisy = feature_source(ctc, "encoder.1", folder=tmp_path / "noisy", augmentation=NOISE)
    assert (len(plain.missing(copies)), len(noisy.missing(copies))) == (1, 6)
    assert len(noisy.missing(copies + copies)) == 6
    plain.fill(copies)
    assert sum(encoded) == 1
    assert not plain.missing([*copies, Copy(twice[0])])
    noisy.fill(copies[:4])
    assert sum(encoded) == 5
    assert noisy.missing(copies) == copies[4:]
    features = rows(noisy, copies[:4])
    assert not any(
        torch.allclose(features[i], features[j], rtol=1e-2) for i in range(4) for j in range(i)
    )
    assert len({row.numpy().tobytes() for row in rows(plain, copies)}) == 1


@pytest.mark.parametrize("cached", [False, True])
def test_a_copy_is_drawn_from_the_seed_its_number_and_its_place_alone(
    ctc: SpeechModel, utterances: list[Utterance], cached: bool, tmp_path: Path
) -> None:
    folder = tmp_path if cached else None
    found = feature_source(ctc, "encoder.1", folder=folder, augmentation=NOISE)
    copies = [Copy(utterances[0], 7, 2), Copy(utterances[1], 0, 1), Copy(utterances[0], 7, 0)]
    found.fill(copies)
    for copy, feature in zip(copies, rows(found, copies), strict=True):
        heard = copy.utterance.waveform()
        if copy.number:
            rng = augment.generator(SEED, copy=copy.number, index=copy.index)
            heard = NOISE(heard, SAMPLE_RATE, rng)
        expected = ctc.encode([heard], "encoder.1").hidden[0]
        torch.testing.assert_close(feature, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cached", [False, True])
def test_the_held_waveforms_are_never_augmented_themselves(
    ctc: SpeechModel, utterances: list[Utterance], cached: bool, tmp_path: Path
) -> None:
    held = Waveforms()
    loud = Gain(minimum_db=6.0, maximum_db=6.0)
    found = feature_source(
        ctc, "encoder.1", folder=tmp_path if cached else None, augmentation=loud, waveforms=held
    )
    copies = copies_of(utterances)
    found.fill(copies)
    only(found, *copies)
    for each in utterances:
        np.testing.assert_array_equal(held(each), each.waveform())


# --- what fills it --------------------------------------------------------------------------------


def test_filling_adds_each_copy_once_and_only_what_is_missing(
    ctc: SpeechModel, utterances: list[Utterance], tmp_path: Path, encoded: list[int]
) -> None:
    told: list[tuple[str, int, int]] = []

    def track(items: Iterable[T], description: str, *, total: int) -> Iterable[T]:
        passed = list(items)
        told.append((description, total, len(passed)))
        return passed

    copies = copies_of(utterances, copies=2)
    first = feature_source(ctc, "encoder.1", folder=tmp_path, augmentation=NOISE)
    first.fill(copies[:5] * 2, track=track, description="some")
    assert sum(encoded) == 5
    again = feature_source(ctc, "encoder.1", folder=tmp_path, augmentation=NOISE)
    assert again.missing(copies) == copies[5:]
    again.fill(copies, track=track)
    assert sum(encoded) == 5 + 14  # all in one batch
    assert not again.missing(copies)
    again.fill(copies, track=track)
    feature_source(ctc, "encoder.1", folder=tmp_path, augmentation=NOISE).fill(copies, track=track)
    assert sum(encoded) == 19
    assert told == [("some", 5, 5), ("features", 9, 9)]


def test_without_a_shelf_nothing_is_filled_and_everything_is_missing(
    ctc: SpeechModel, utterances: list[Utterance], encoded: list[int]
) -> None:
    found = feature_source(ctc, "encoder.1")
    found.fill(copies_of(utterances))
    assert encoded == []
    assert len(found.missing(copies_of(utterances, copies=3))) == 7


def test_a_recording_is_decoded_once_for_all_its_copies(
    ctc: SpeechModel,
    utterances: list[Utterance],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = Waveforms(limit_bytes=0)
    held.read_all(utterances)
    decoded: list[str] = []
    decode = Utterance.waveform

    def counted(each: Utterance) -> Waveform:
        decoded.append(each.id)
        return decode(each)

    monkeypatch.setattr(Utterance, "waveform", counted)
    monkeypatch.setitem(source._PREPARED_S, "cpu", 4.0)
    found = feature_source(ctc, "encoder.1", folder=tmp_path, augmentation=NOISE, waveforms=held)
    found.fill(copies_of(utterances, copies=4))
    assert sorted(decoded) == sorted(each.id for each in utterances)


@pytest.mark.parametrize("family", ["ctc", "whisper"])
def test_the_prefix_runs_on_batches_within_its_budget_and_each_is_timed(
    family: str,
    ctc: SpeechModel,
    whisper: SpeechModel,
    utterances: list[Utterance],
    tmp_path: Path,
    encoded: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A Whisper's utterances are as long as its window, whatever was said."""
    timed: list[int] = []

    @contextmanager
    def clock() -> Iterator[None]:
        before = len(encoded)
        yield
        timed.append(len(encoded) - before)

    budget_s = {"ctc": 1.3, "whisper": 2.5 * WINDOW_S}[family]
    monkeypatch.setitem(source._BATCH_S, "cpu", budget_s)
    model = {"ctc": ctc, "whisper": whisper}[family]
    found = feature_source(model, model.parts()[1].name, folder=tmp_path, encoding=clock)
    found.fill(copies_of(utterances))
    # 0.8; 0.7 · 0.6 would be 1.4 s with padding; 0.6 · 0.5; 0.4 · 0.3 · 0.2.
    assert encoded == {"ctc": [1, 1, 2, 3], "whisper": [2, 2, 2, 1]}[family]
    assert timed == [1] * 4


def test_a_copy_s_features_do_not_depend_on_what_else_was_missing(
    ctc: SpeechModel, utterances: list[Utterance], tmp_path: Path
) -> None:
    copies = copies_of(utterances)
    together = feature_source(ctc, "encoder.2", folder=tmp_path / "one", augmentation=NOISE)
    together.fill(copies)
    apart = feature_source(ctc, "encoder.2", folder=tmp_path / "two", augmentation=NOISE)
    for copy in copies:
        apart.fill([copy])
    for one, other in zip(rows(together, copies), rows(apart, copies), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def without_trailer(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-32] + bytes(32))


@pytest.mark.parametrize("damage", [truncated, without_trailer, Path.unlink])
def test_after_a_crash_exactly_what_was_lost_is_added_again_in_the_same_batch(
    damage: Any,
    ctc: SpeechModel,
    utterances: list[Utterance],
    tmp_path: Path,
    encoded: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "_PACK_BYTES", 1)  # each feature a pack of its own
    copies = copies_of(utterances)
    filled = feature_source(ctc, "encoder.1", folder=tmp_path / "shelf")
    filled.fill(copies)
    before = rows(filled, copies)
    assert len(packs(filled)) == 7
    for path in packs(filled)[4:6]:
        damage(path)
    left = tmp_path / "shelf" / "0123.part"
    left.write_bytes(b"half a pack")
    there = len(packs(filled))
    encoded.clear()
    found = feature_source(ctc, "encoder.1", folder=tmp_path / "shelf")
    # Longest first: the fifth and the sixth were of 0.4 and 0.3 s.
    assert [copy.utterance.id for copy in found.missing(copies)] == ["u3", "u5"]
    found.fill(copies)
    assert encoded == [7]
    assert len(packs(found)) == there + 2
    assert not left.exists()
    for one, other in zip(before, rows(found, copies), strict=True):
        assert torch.equal(one, other)


def killed(after: int) -> Any:
    """Return a progress bar that ends the process after so many features were kept."""

    def track(items: Iterable[T], description: str, *, total: int) -> Iterator[T]:
        for place, item in enumerate(items):
            if place == after:
                raise KeyboardInterrupt
            yield item

    return track


@pytest.mark.parametrize("after", [1, 5, 8, 13])
@pytest.mark.parametrize("family", ["ctc", "whisper"])
def test_a_filling_that_was_killed_is_completed_bit_for_bit_as_an_unbroken_one(
    family: str,
    after: int,
    ctc: SpeechModel,
    whisper: SpeechModel,
    utterances: list[Utterance],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Speed changes lengths, so that the copies of an utterance fall in several batches."""
    model = {"ctc": ctc, "whisper": whisper}[family]
    batches: list[list[bytes]] = []
    encode = model.encode

    def recording(waveforms: Sequence[Waveform], cut: str) -> Features:
        batches.append([waveform.tobytes() for waveform in waveforms])
        return encode(waveforms, cut)

    def filled(name: str, **bar: Any) -> tuple[FeatureSource, list[list[bytes]]]:
        batches.clear()
        cut = model.parts()[2].name
        found = feature_source(model, cut, folder=tmp_path / name, augmentation=SPEED)
        with suppress(KeyboardInterrupt):
            found.fill(copies, **bar)
        return found, list(batches)

    monkeypatch.setattr(model, "encode", recording)
    monkeypatch.setitem(source._PREPARED_S, "cpu", 4.0)
    monkeypatch.setitem(source._BATCH_S, "cpu", {"ctc": 2.2, "whisper": 3.5 * WINDOW_S}[family])
    monkeypatch.setattr(cache, "_PACK_BYTES", 1)  # each feature a pack of its own
    copies = copies_of(utterances, copies=2)
    unbroken, whole = filled("unbroken")
    broken, first = filled("killed", track=killed(after))
    assert len(packs(broken)) == after
    completed, rest = filled("killed")
    assert first[:-1] + rest == whole
    assert len(packs(completed)) == 14
    for one, other in zip(rows(unbroken, copies), rows(completed, copies), strict=True):
        assert torch.equal(one, other)


def test_what_is_all_there_is_not_decoded_augmented_or_encoded_again(
    ctc: SpeechModel,
    utterances: list[Utterance],
    tmp_path: Path,
    encoded: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[str] = []
    augmented: list[int] = []
    told: list[tuple[int, int]] = []
    decode = Utterance.waveform

    def decoding(each: Utterance) -> Waveform:
        decoded.append(each.id)
        return decode(each)

    def augmenting(waveform: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:
        augmented.append(len(waveform))
        return NOISE(waveform, sample_rate, rng)

    def track(items: Iterable[T], description: str, *, total: int) -> Iterable[T]:
        passed = list(items)
        told.append((total, len(passed)))
        return passed

    # Two copies of 0.8 and 0.7; of 0.6, 0.5 and 0.4; of 0.3 and 0.2 s.
    monkeypatch.setitem(source._PREPARED_S, "cpu", 3.1)
    monkeypatch.setitem(source._BATCH_S, "cpu", 1.3)
    held = Waveforms(limit_bytes=0)
    held.read_all(utterances)
    copies = copies_of(utterances, copies=2)
    found = feature_source(
        ctc, "encoder.1", folder=tmp_path, augmentation=augmenting, waveforms=held
    )
    with pytest.raises(KeyboardInterrupt):
        found.fill(copies, track=killed(6))
    assert encoded == [1, 1, 1, 1, 2, 2]
    monkeypatch.setattr(Utterance, "waveform", decoding)
    augmented.clear()
    encoded.clear()
    found.fill(copies, track=track)
    assert decoded == ["u6", "u0", "u5", "u3", "u1"]
    assert augmented == [9600, 9600, 8000, 8000, 6400, 6400, 4800, 4800, 3200, 3200]
    assert encoded == [2, 2, 4]
    assert told == [(8, 8)]


@pytest.mark.parametrize(
    ("copies", "expected"),
    [
        (1, ["u2 u4 u6", "u0 u5 u3 u1"]),
        (2, ["u2", "u4", "u6 u0", "u5 u3 u1"]),
        (4, ["u2", "u4", "u6", "u0", "u5", "u3 u1"]),
    ],
)
def test_what_is_prepared_together_is_bounded_in_seconds_and_copies_stay_together(
    copies: int,
    expected: list[str],
    ctc: SpeechModel,
    utterances: list[Utterance],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the longest two, four copies alone are above the bound."""
    monkeypatch.setitem(source._PREPARED_S, "cpu", 2.5)
    found = feature_source(ctc, "encoder.1", folder=tmp_path, augmentation=NOISE)
    prepare, seen = found._prepared, []

    def recording(groups: Sequence[Sequence[Copy]]) -> Any:
        assert all(len(group) == copies for group in groups)
        seen.append(" ".join(group[0].utterance.id for group in groups))
        return prepare(groups)

    monkeypatch.setattr(found, "_prepared", recording)
    found.fill(copies_of(utterances, copies=copies))
    assert seen == expected


def test_a_fault_half_way_keeps_what_was_computed(
    ctc: SpeechModel,
    utterances: list[Utterance],
    tmp_path: Path,
    encoded: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(source._BATCH_S, "cpu", 0.01)
    encode = ctc.encode

    def failing(waveforms: Sequence[Waveform], cut: str) -> Features:
        if len(encoded) == 3:
            raise KeyboardInterrupt
        return encode(waveforms, cut)

    copies = copies_of(utterances)
    with monkeypatch.context() as patch:
        patch.setattr(ctc, "encode", failing)
        with pytest.raises(KeyboardInterrupt):
            feature_source(ctc, "encoder.1", folder=tmp_path).fill(copies)
    feature_source(ctc, "encoder.1", folder=tmp_path).fill(copies)
    assert sum(encoded) == 7


def test_two_that_fill_the_same_shelf_at_once_compute_each_feature_once(
    ctc: SpeechModel, utterances: list[Utterance], tmp_path: Path, encoded: list[int]
) -> None:
    """Each has a shelf and a lock of its own, as two processes have."""
    copies = copies_of(utterances, copies=3)
    both = [feature_source(ctc, "encoder.1", folder=tmp_path, augmentation=NOISE) for _ in range(2)]
    start = threading.Barrier(2)

    def fill(found: FeatureSource) -> None:
        start.wait()
        found.fill(copies)

    threads = [threading.Thread(target=fill, args=(found,)) for found in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(encoded) == 21
    alone = feature_source(ctc, "encoder.1", augmentation=NOISE)
    for found in both:
        assert not found.missing(copies)
        for one, other in zip(rows(found, copies), rows(alone, copies), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# --- read or computed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "cut", "changes"),
    [
        ("ctc", "feature_projection", {}),
        ("ctc", "head", {"half": True}),
        ("whisper", "encoder.0", {}),
        ("whisper", "decoder.0", {"half": True}),
        ("whisper", "decoder.0", {"half": True, "frames": "speech"}),
        ("ctc", "encoder.1", {"precision": "bf16"}),
    ],
)
def test_features_that_are_read_are_those_that_would_be_computed(
    family: str,
    cut: str,
    changes: dict[str, Any],
    ctc: SpeechModel,
    whisper: SpeechModel,
    utterances: list[Utterance],
    tmp_path: Path,
) -> None:
    model = {"ctc": ctc, "whisper": whisper}[family]
    copies = copies_of(utterances, copies=2)
    cached = feature_source(model, cut, folder=tmp_path, augmentation=SPEED, **changes)
    cached.fill(copies)
    computed = feature_source(model, cut, augmentation=SPEED, **changes)
    assert cached.samples(copies) == computed.samples(copies)
    assert len(set(cached.samples(copies))) > 7
    batches = [copies[:3], copies[3:]]
    found = zip(cached.features(batches), computed.features(batches), strict=True)
    for read, fresh in found:
        assert read.cut == fresh.cut == cut
        assert read.hidden.dtype == fresh.hidden.dtype == torch.float32
        assert read.hidden.shape == fresh.hidden.shape
        assert read.lengths.tolist() == fresh.lengths.tolist()
        assert read.readable is not None
        assert fresh.readable is not None
        assert read.readable.tolist() == fresh.readable.tolist()
        for row, frames in enumerate(read.readable.tolist()):
            one, other = read.hidden[row, :frames], fresh.hidden[row, :frames]
            # 16 bits lose up to 2^-11 of a number; bf16 rounds 2^-8 of what a batch sums up.
            loose = 0.05 if "precision" in changes else 1e-3
            torch.testing.assert_close(one, other, rtol=loose, atol=loose)
            assert not read.hidden[row, frames:].any()
        assert not read.hidden.requires_grad
        assert not fresh.hidden.requires_grad


def test_bf16_is_computed_in_bf16_and_given_out_as_float32(
    ctc: SpeechModel, utterances: list[Utterance], tmp_path: Path
) -> None:
    copies = copies_of(utterances[:1])
    [exact] = rows(feature_source(ctc, "encoder.1"), copies)
    found = feature_source(ctc, "encoder.1", folder=tmp_path, precision="bf16")
    found.fill(copies)
    [rough] = rows(found, copies)
    assert rough.dtype == torch.float32
    assert 1e-5 < (rough - exact).abs().max() / exact.abs().max() < 0.05


def test_what_is_read_can_be_trained_on(
    ctc: SpeechModel, whisper: SpeechModel, utterances: list[Utterance], tmp_path: Path
) -> None:
    """Neither an inference tensor nor a view of the file comes out."""
    for model, cut in ((ctc, "head"), (whisper, "decoder.0")):
        found = feature_source(model, cut, folder=tmp_path / cut)
        copies = copies_of(utterances[:2])
        found.fill(copies)
        features = only(found, *copies)
        labels = [model.labels("a cat", samples=8000)] * 2
        model.loss(features, labels).backward()
        model.network.zero_grad()
        features.hidden.zero_()
        assert all(row.any() for row in rows(found, copies))


@pytest.mark.parametrize("cached", [False, True])
def test_a_fault_in_an_augmentation_reaches_the_caller(
    ctc: SpeechModel, utterances: list[Utterance], cached: bool, tmp_path: Path
) -> None:
    def broken(waveform: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:
        raise ValueError("no such room")

    found = feature_source(
        ctc, "encoder.1", folder=tmp_path if cached else None, augmentation=broken
    )
    copies = copies_of(utterances)
    ask = found.fill if cached else lambda copies: only(found, *copies)
    with pytest.raises(ValueError, match="no such room"):
        ask(copies)
    assert len(found.missing(copies)) == 7


@pytest.mark.parametrize("cached", [False, True])
def test_an_utterance_that_slowing_makes_too_long_is_heard_unchanged(
    whisper: SpeechModel, cached: bool, tmp_path: Path
) -> None:
    slower = SpeedPerturbation(factors=(0.8,))
    spoken = utterance(tmp_path, "u1", seconds=0.95 * WINDOW_S)
    found = feature_source(
        whisper, "encoder.0", folder=tmp_path / "shelf" if cached else None, augmentation=slower
    )
    found.fill([Copy(spoken, 0, 1)])
    features = only(found, Copy(spoken, 0, 1))
    unchanged = whisper.encode([spoken.waveform()], "encoder.0")
    torch.testing.assert_close(features.hidden, unchanged.hidden)
    assert found.samples([Copy(spoken, 0, 1)]) == [len(spoken.waveform())]


@pytest.mark.parametrize("cached", [False, True])
def test_a_copy_that_speeding_makes_too_short_for_its_labels_is_heard_unchanged(
    ctc: SpeechModel, cached: bool, tmp_path: Path
) -> None:
    # 0.5 s are 48 frames, and the label of each letter needs one; played at 1.25 they are 38.
    for text, samples in (("ab" * 24, 8000), ("ab" * 19, 6400)):
        spoken = utterance(tmp_path, f"u{samples}", seconds=0.5, text=text)
        example(ctc, spoken, samples=8000)
        folder = tmp_path / text if cached else None
        found = feature_source(ctc, "feature_encoder", folder=folder, augmentation=FASTER)
        found.fill([Copy(spoken, 0, 1)])
        assert only(found, Copy(spoken, 0, 1)).lengths.tolist() == [samples]
        assert found.samples([Copy(spoken, 0, 1)]) == [samples]


def test_a_transcript_that_grew_does_not_get_the_copy_that_fitted_the_shorter_one(
    ctc: SpeechModel, tmp_path: Path
) -> None:
    short = utterance(tmp_path, "u1", seconds=0.5, text="ab")
    longer = replace(short, text="ab" * 24)
    for spoken, samples in ((short, 6400), (longer, 8000)):
        found = feature_source(
            ctc, "feature_encoder", folder=tmp_path / "shelf", augmentation=FASTER
        )
        found.fill([Copy(spoken, 0, 1)])
        assert found.samples([Copy(spoken, 0, 1)]) == [samples]


@pytest.mark.parametrize("cached", [False, True])
def test_a_copy_that_fits_the_labels_of_one_vocabulary_is_not_that_of_another(
    ctc: SpeechModel, cached: bool, tmp_path: Path
) -> None:
    """Both models have the weights below the head; one has no `!`, and leaves it out."""
    renewed = load(ctc.name, head=NewHead(characters=("!", "a", "b")))
    assert renewed.revision == ctc.revision
    # 38 labels fit the 38 frames at 1.25 times the speed; with `!` and the blanks between are 45.
    spoken = utterance(tmp_path, "u1", seconds=0.5, text="ab" * 19 + "!!!!")
    for model, samples in ((ctc, 6400), (renewed, 8000), (ctc, 6400)):
        folder = tmp_path / "shelf" if cached else None
        found = feature_source(model, "feature_encoder", folder=folder, augmentation=FASTER)
        found.fill([Copy(spoken, 0, 1)])
        assert found.samples([Copy(spoken, 0, 1)]) == [samples]
        assert only(found, Copy(spoken, 0, 1)).lengths.tolist() == [samples]


def test_vocabularies_that_spell_a_text_alike_share_its_copies(
    ctc: SpeechModel, utterances: list[Utterance], tmp_path: Path
) -> None:
    renewed = load(ctc.name, head=NewHead(characters=("x", "t", "e")))
    text = utterances[0].text
    assert renewed.labels(text, samples=8000) != ctc.labels(text, samples=8000)
    copies = copies_of(utterances, copies=2)
    feature_source(ctc, "head", folder=tmp_path, augmentation=SPEED).fill(copies)
    assert not feature_source(renewed, "head", folder=tmp_path, augmentation=SPEED).missing(copies)


def test_the_copies_of_what_no_vocabulary_spells_are_its_recording(
    ctc: SpeechModel, tmp_path: Path
) -> None:
    """Nothing trains on it; the key must still be found."""
    spoken = utterance(tmp_path, "u1", seconds=0.5, text="42")
    found = feature_source(ctc, "feature_encoder", folder=tmp_path / "shelf", augmentation=FASTER)
    found.fill([Copy(spoken, 0, 1)])
    assert found.samples([Copy(spoken, 0, 1)]) == [8000]


# --- how much it takes ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "cut", "changes"),
    [
        ("ctc", "feature_projection", {}),
        ("ctc", "encoder.1", {"half": True}),
        ("whisper", "encoder.0", {"half": True}),
        ("whisper", "decoder.0", {}),
        ("whisper", "decoder.0", {"half": True, "frames": "speech"}),
    ],
)
@pytest.mark.parametrize("augmentation", [None, SpeedPerturbation()], ids=["plain", "speed"])
def test_the_size_is_foretold_to_a_tenth(
    family: str,
    cut: str,
    changes: dict[str, Any],
    augmentation: Augmentation | None,
    ctc: SpeechModel,
    whisper: SpeechModel,
    tmp_path: Path,
) -> None:
    model = {"ctc": ctc, "whisper": whisper}[family]
    spoken = [utterance(tmp_path, f"u{i}", seconds=1 + 0.2 * i) for i in range(9)]
    copies = copies_of(spoken, copies=3 if augmentation else 1)
    found = feature_source(
        model, cut, folder=tmp_path / "shelf", augmentation=augmentation, **changes
    )
    foretold = found.size(copies)
    found.fill(copies)
    assert foretold == pytest.approx(on_disk(found), rel=0.1)


def test_of_a_whisper_s_speech_half_a_second_more_is_kept_and_not_beyond_the_window(
    whisper: SpeechModel, tmp_path: Path
) -> None:
    spoken = [utterance(tmp_path, f"u{s}", seconds=s) for s in (1.0, 0.49, WINDOW_S - 0.4)]
    copies = copies_of(spoken)
    found = feature_source(whisper, "decoder.0", folder=tmp_path / "shelf", frames="speech")
    found.fill(copies)
    features = only(found, *copies)
    # A frame is 20 ms.
    assert features.lengths.tolist() == [50, 25, 180]
    assert features.readable is not None
    assert features.readable.tolist() == [75, 50, 50 * WINDOW_S]
    assert only(found, copies[1]).hidden.shape == (1, 50, 16)
    # Rows of 16 channels of float32, and what names each.
    assert on_disk(found) == pytest.approx((75 + 50 + 200) * 16 * 4, abs=400)
    window = whisper.encode([each.waveform() for each in spoken], "decoder.0").hidden
    for row, frames in enumerate(features.readable.tolist()):
        assert torch.equal(features.hidden[row, :frames], window[row, :frames])


# --- what a Whisper's decoder reads of it ---------------------------------------------------------


@pytest.fixture(params=["eager", "sdpa"])
def attending(request: pytest.FixtureRequest, whisper: SpeechModel) -> Iterator[SpeechModel]:
    """Return the Whisper with each implementation of attention that training uses."""
    network: Any = whisper.network
    before = network.config._attn_implementation
    network.set_attn_implementation(request.param)
    yield whisper
    network.set_attn_implementation(before)


def spoken_by(model: SpeechModel, folder: Path, *seconds: float) -> tuple[list[Copy], Any]:
    """Return a copy of each length, and labels of different lengths."""
    spoken = [utterance(folder, f"u{i}", seconds=s) for i, s in enumerate(seconds)]
    texts = ("the cat sat on the mat", "a mat", "the mat")
    labels = [model.labels(text, samples=8000) for text in texts[: len(seconds)]]
    return copies_of(spoken), labels


def test_the_loss_on_a_window_full_of_speech_is_that_on_all_frames(
    attending: SpeechModel, tmp_path: Path
) -> None:
    copies, labels = spoken_by(attending, tmp_path, WINDOW_S, WINDOW_S - 0.5)
    trimmed = only(feature_source(attending, "decoder.0", frames="speech"), *copies)
    full = attending.encode([copy.utterance.waveform() for copy in copies], "decoder.0")
    assert torch.equal(trimmed.hidden, full.hidden)
    assert attending.loss(trimmed, labels).item() == attending.loss(full, labels).item()


def test_what_lies_beyond_the_readable_frames_does_not_touch_the_loss(
    attending: SpeechModel, tmp_path: Path
) -> None:
    copies, labels = spoken_by(attending, tmp_path, 2.0, 0.3, 1.1)
    features = only(feature_source(attending, "decoder.0", frames="speech"), *copies)
    assert features.readable is not None
    assert features.readable.tolist() == [125, 40, 80]
    noisy = features.hidden.clone()
    for row, frames in enumerate(features.readable.tolist()):
        noisy[row, frames:] = 100 * torch.randn_like(noisy[row, frames:])
    loss = attending.loss(features, labels).item()
    masked = attending.loss(replace(features, hidden=noisy), labels).item()
    assert masked == pytest.approx(loss, rel=1e-6)
    read = attending.loss(replace(features, hidden=noisy, readable=None), labels).item()
    assert read != pytest.approx(loss, rel=1e-3)


def test_the_loss_of_a_batch_of_trimmed_features_is_that_of_each_alone(
    attending: SpeechModel, tmp_path: Path
) -> None:
    copies, labels = spoken_by(attending, tmp_path, 2.0, 0.3, 1.1)
    found = feature_source(attending, "decoder.0", frames="speech")
    alone = [
        attending.loss(only(found, copy), [row]).item() * len(row)
        for copy, row in zip(copies, labels, strict=True)
    ]
    together = attending.loss(only(found, *copies), labels).item()
    assert together == pytest.approx(sum(alone) / sum(map(len, labels)), rel=1e-5)


@pytest.mark.parametrize("cut", ["encoder.0", "encoder.1", "decoder.0"])
def test_the_loss_on_features_of_all_frames_is_that_of_transformers(
    cut: str, attending: SpeechModel, tmp_path: Path
) -> None:
    copies, labels = spoken_by(attending, tmp_path, 2.0, 0.3, 1.1)
    found = feature_source(attending, cut, folder=tmp_path / "shelf")
    found.fill(copies)
    loss = attending.loss(only(found, *copies), labels).item()
    model: Any = attending
    mel = model.feature_extractor(
        [copy.utterance.waveform() for copy in copies],
        sampling_rate=SAMPLE_RATE,
        return_tensors="pt",
    ).input_features
    padded = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row) for row in labels], batch_first=True, padding_value=-100
    )
    with torch.no_grad():
        expected = model.network(mel, labels=padded).loss.item()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_the_loss_on_trimmed_features_is_that_of_transformers_on_what_is_left_of_them(
    attending: SpeechModel, tmp_path: Path
) -> None:
    copies, labels = spoken_by(attending, tmp_path, 1.1)
    trimmed = only(feature_source(attending, "decoder.0", frames="speech"), *copies)
    assert trimmed.hidden.shape[1] == 80
    network: Any = attending.network
    with torch.no_grad():
        expected = network(
            encoder_outputs=(trimmed.hidden,), labels=torch.tensor(labels)
        ).loss.item()
    assert attending.loss(trimmed, labels).item() == pytest.approx(expected, rel=1e-5)


# --- the precision --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.3, "bf16"), (0.79, "bf16"), (0.81, "float32"), (1.0, "float32"), (3.0, "float32")],
)
def test_the_prefix_computes_in_bf16_only_where_it_is_faster_by_a_fifth(
    share: float,
    expected: str,
    ctc: SpeechModel,
    utterances: list[Utterance],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is compared is the best of three runs each, in turn, after one that warms up."""
    now = 0.0
    runs: dict[bool, int] = {False: 0, True: 0}
    encode = ctc.encode

    def slow(waveforms: Sequence[Waveform], cut: str) -> Features:
        nonlocal now
        bf16 = torch.is_autocast_enabled("cpu")
        runs[bf16] += 1
        # bf16 warms up longer; while the machine is busy, both have a hiccup.
        assert 0 <= runs[True] - runs[False] <= 1
        seconds = {1: 100.0 if bf16 else 11.0, 2: 10.0, 3: 15.0, 4: 10.0}[runs[bf16]]
        now += seconds * (share if bf16 else 1.0)
        return encode(waveforms, cut)

    monkeypatch.setattr(ctc, "encode", slow)
    monkeypatch.setattr(source, "time", SimpleNamespace(perf_counter=lambda: now))
    waveforms = [each.waveform() for each in utterances[:2]]
    assert faster_precision(ctc, "encoder.1", waveforms) == expected
    assert runs == {False: 4, True: 4}
