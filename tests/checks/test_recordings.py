"""What `speechtl.checks.recordings` promises: each fault of a recording is found, and where."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from speechtl import audio, corpora
from speechtl.audio import Waveform
from speechtl.checks import recordings
from speechtl.checks.recordings import AudioFailure, UtteranceAudio, audio_faults, inspect
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import OutputError
from speechtl.faults import KINDS, Fault
from speechtl.progress import silent


def speech(seconds: float = 2.0, *, rate: int = 16_000, seed: int = 0) -> Waveform:
    """Return words of 0.5 s with a peak of 0.5, 0.5 s apart, in noise 55 dB below."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    voice = sum(
        np.sin(2 * np.pi * 120 * k * times + seed) / k for k in range(1, min(60, rate // 260))
    )
    swell = np.maximum(0, np.sin(2 * np.pi * times)) ** 0.5
    spoken = np.asarray(voice * swell, np.float64)
    spoken *= 0.5 / np.abs(spoken).max()
    return (spoken + 3e-4 * rng.standard_normal(len(spoken))).astype(np.float32)


def utterance(path: Path, name: str | None = None, **fields: Any) -> Utterance:
    given = {"text": f"what {path.stem} says", "speaker": "ann", "accent": "scottish"}
    return Utterance(id=name or path.stem, audio=path, **(given | fields))


def written(
    path: Path,
    waveform: npt.NDArray[Any],
    *,
    rate: int = 16_000,
    options: dict[str, str] | None = None,
) -> Path:
    if not options:  # from 16 bits: each format rounds floats in its own way
        waveform = np.rint(np.clip(waveform, -1, 1) * 32_767).astype(np.int16)
    soundfile.write(path, waveform, rate, **(options or {}))
    return path


def faults_of(utterances: Iterable[Utterance], **options: Any) -> list[Fault]:
    corpus = Corpus(utterances)
    return audio_faults(
        corpus, inspect(corpus, workers=2, **options), place=lambda one: f"{one.id}.row"
    )


def facts_of(path: Path) -> UtteranceAudio:
    found = inspect([utterance(path)])[path.stem]
    assert isinstance(found, UtteranceAudio)
    return found


# --- each kind, planted ---------------------------------------------------------------------------


def _unreadable(path: Path) -> None:
    path.write_text("It was a bright cold day in April. " * 100)


def _truncated(path: Path) -> None:
    written(path, speech())
    path.write_bytes(path.read_bytes()[:20_000])


def _plain(change: Callable[[Waveform], npt.NDArray[Any]]) -> Callable[[Path], None]:
    return lambda path: void(written(path, change(speech()), options={"subtype": "PCM_16"}))


def void(_: object) -> None:
    """Return nothing."""


def _floats(value: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        waveform = speech()
        waveform[[5, 9]] = value
        written(path, waveform, options={"subtype": "FLOAT"})

    return write


def _narrow(waveform: Waveform) -> Waveform:
    spectrum = np.fft.rfft(waveform)
    spectrum[len(spectrum) // 2 :] = 0
    return np.fft.irfft(spectrum, len(waveform)).astype(np.float32)


def _stereo(waveform: Waveform) -> Waveform:
    return np.stack([waveform, np.roll(waveform, 8000)], axis=1)  # by turns


def _pauses(waveform: Waveform) -> Waveform:
    hiss = 3e-4 * np.random.default_rng(1).standard_normal(40_000)
    return np.concatenate([hiss.astype(np.float32), waveform])


def _noisy(waveform: Waveform) -> Waveform:
    level = float(np.sqrt(np.mean(np.square(waveform))))
    noise = np.random.default_rng(1).standard_normal(len(waveform))
    return (0.5 * (waveform + level * noise)).astype(np.float32)


PLANTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "audio-unreadable": (_unreadable, r"bad\.wav: cannot be decoded"),
    "audio-truncated": (_truncated, r"bad\.wav: is truncated \(19956 of 64000 bytes"),
    "audio-empty": (_plain(lambda waveform: waveform[:0]), r"holds no samples"),
    "audio-not-finite": (_floats(math.nan), r"holds 2 NaN or infinite values"),
    "audio-silent": (_plain(lambda waveform: 0 * waveform), r"all samples are equal"),
    "audio-clipped": (
        _plain(lambda waveform: np.clip(4 * waveform, -0.9, 0.9)),
        r"peak at 0\.90 with \d+ samples \(\d.* %\) cut off",
    ),
    "audio-offset": (_plain(lambda waveform: waveform + np.float32(0.1)), r"mean is \+0\.1"),
    "audio-quiet": (_plain(lambda waveform: waveform / 100), r"speech lies at -5\d dB"),
    "audio-noisy": (_plain(_noisy), r"ratio is about [0-4] dB"),
    "audio-rate": (
        lambda path: void(written(path, speech(rate=8000), rate=8000)),
        r"1 of 2 recordings have less than 16000 Hz \(1 of 8000 Hz, 1 of 16000 Hz or more\)",
    ),
    "audio-band": (
        _plain(_narrow),
        r"nothing lies above (3875|3937|4000) Hz at a sample rate of 16000",
    ),
    "audio-channels": (_plain(_stereo), r"2 channels, of whose power their mean has 50%"),
    "audio-suffix": (
        lambda path: void(written(path, speech(), options={"format": "FLAC"})),
        r"bad\.wav is FLAC",
    ),
    "audio-short": (_plain(lambda waveform: waveform[3000:3399]), r"399 samples at 16 kHz, 0\.025"),
    "audio-brief": (_plain(lambda waveform: waveform[2000:6000]), r"0\.25 s"),
    "audio-long": (_plain(lambda waveform: np.tile(waveform, 16)), r"32\.0 s"),
    "audio-pauses": (_plain(_pauses), r"2\.5 s before the speech and 0\.\d s after it, of 4\.5 s"),
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_found_in_its_utterance_and_nowhere_else(
    tmp_path: Path, kind: str
) -> None:
    plant, message = PLANTED[kind]
    plant(tmp_path / "bad.wav")
    good = written(tmp_path / "good.wav", speech(seed=3))
    found = faults_of([utterance(good), utterance(tmp_path / "bad.wav")])
    also = {"audio-rate": ["audio-rates-mixed"]}.get(kind, [])
    assert [fault.kind for fault in found] == [kind, *also]
    assert found[0].place == "bad.row"
    assert found[0].utterance == (None if kind == "audio-rate" else "bad")
    assert re.search(message, found[0].message)


def test_every_kind_of_audio_is_planted() -> None:
    elsewhere = {"audio-rates-mixed", "audio-times", "audio-repeated", "audio-conflict"}
    assert {name for name, kind in KINDS.items() if kind.about == "audio"} == {*PLANTED} | elsewhere


def test_good_speech_has_no_fault_in_any_format(tmp_path: Path) -> None:
    formats: list[tuple[str, int, dict[str, str]]] = [
        ("wav", 16_000, {}),
        ("flac", 44_100, {"subtype": "PCM_24"}),
        ("ogg", 16_000, {}),
        ("opus", 48_000, {"format": "OGG", "subtype": "OPUS"}),
        ("mp3", 44_100, {}),
        ("aiff", 22_050, {}),
    ]
    paths = [
        written(tmp_path / f"{suffix}.{suffix}", speech(rate=rate), rate=rate, options=options)
        for suffix, rate, options in formats
    ]
    assert faults_of(map(utterance, paths)) == []


def test_the_starter_corpus_has_no_fault() -> None:
    assert faults_of(corpora.load("starter")[::40]) == []


def test_a_missing_recording_is_said_once_for_its_utterances(tmp_path: Path) -> None:
    path = tmp_path / "gone.wav"
    (fault,) = faults_of(utterance(path, name) for name in "abc")
    assert (fault.kind, fault.place, fault.utterance) == ("audio-missing", "a.row", "a")
    assert fault.message == "gone.wav: no such file (3 utterances lie in it)"


# --- what is said once for the corpus -------------------------------------------------------------


def test_a_corpus_of_one_low_sample_rate_has_one_fault_with_the_count(tmp_path: Path) -> None:
    paths = [
        written(tmp_path / f"{k}.wav", speech(rate=8000, seed=k), rate=8000) for k in range(12)
    ]
    (fault,) = faults_of(map(utterance, paths))
    assert (fault.kind, fault.place, fault.utterance) == ("audio-rate", "0.row", None)
    assert fault.message == (
        "12 of 12 recordings have less than 16000 Hz (12 of 8000 Hz), such as '0', '1', '2'"
    )


def test_mixed_sample_rates_are_told_by_split(tmp_path: Path) -> None:
    rates = {"train": (8000, 16_000), "test": (16_000, 48_000)}
    utterances: list[Utterance] = []
    for split, both in rates.items():
        for rate in both:
            waveform = speech(rate=rate, seed=len(utterances))
            path = written(tmp_path / f"{split}{rate}.wav", waveform, rate=rate)
            utterances.append(utterance(path, split=split))
    found = faults_of(utterances)
    assert [fault.kind for fault in found] == ["audio-rate", "audio-rates-mixed"]
    assert found[1].message == (
        "recordings: 1 of 8000 Hz, 3 of 16000 Hz or more; below 16 kHz are 50% of train, 0% of test"
    )


def test_what_half_of_the_corpus_shares_is_said_once(tmp_path: Path) -> None:
    paths = [
        written(tmp_path / f"{k:02}.wav", speech(seed=k) if k % 2 else _narrow(speech(seed=k)))
        for k in range(20)
    ]
    (fault,) = faults_of(map(utterance, paths))
    assert (fault.kind, fault.place, fault.utterance) == ("audio-band", "00.row", None)
    assert fault.message.startswith("10 of 20 utterances, such as '00': nothing lies above")
    fewer = faults_of(map(utterance, paths[1:]))
    assert [fault.utterance for fault in fewer] == [f"{k:02}" for k in range(2, 20, 2)]


# --- the same content twice -----------------------------------------------------------------------


def test_one_content_has_one_digest_whatever_the_format(tmp_path: Path) -> None:
    waveform = speech()
    paths = [
        written(tmp_path / "one.wav", waveform),
        written(tmp_path / "two.flac", waveform),
        written(tmp_path / "three.wav", np.stack([waveform, waveform], axis=1)),
    ]
    facts = [facts_of(path) for path in paths]
    assert len({each.digest for each in facts}) == 1
    assert [each.mix_share for each in facts] == [1, 1, 1]
    louder = waveform.copy()
    louder[1000] += 2**-14
    assert facts_of(written(tmp_path / "four.wav", louder)).digest != facts[0].digest
    slower = facts_of(written(tmp_path / "five.wav", waveform, rate=22_050))
    assert slower.digest != facts[0].digest


def test_copies_are_told_apart_by_transcript_and_split(tmp_path: Path) -> None:
    first = utterance(written(tmp_path / "a.wav", speech()), text="Good day.", split="train")
    copy = written(tmp_path / "b.flac", speech())
    expected: dict[tuple[str, str], list[str]] = {
        ("good day", "train"): ["audio-repeated"],
        ("good night", "train"): ["audio-conflict"],
        ("good day", "test"): ["split-audio"],
        ("good night", "test"): ["split-audio", "audio-conflict"],
    }
    for (text, split), kinds in expected.items():
        found = faults_of([first, utterance(copy, text=text, split=split)])
        assert [fault.kind for fault in found] == kinds
        assert {(fault.place, fault.utterance) for fault in found} == {("b.row", "b")}
        assert all("the samples are those of 'a' (a.row)" in fault.message for fault in found)


def test_equal_silences_are_no_copies(tmp_path: Path) -> None:
    paths = [written(tmp_path / f"{k}.wav", np.zeros(16_000, np.float32)) for k in range(3)]
    found = faults_of(utterance(path) for path in paths)
    assert [fault.kind for fault in found] == ["audio-silent"] * 3


def test_a_stretch_that_is_named_twice_is_left_to_the_check_of_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", speech())
    assert faults_of([utterance(path, "a", text="x"), utterance(path, "b", text="y")]) == []


# --- facts, counted by hand -----------------------------------------------------------------------


def test_levels_offset_and_length_are_those_of_the_waveform(tmp_path: Path) -> None:
    times = np.arange(48_000) / 48_000
    sine = (0.25 * np.sin(2 * np.pi * 1000 * times) + 0.125).astype(np.float32)
    facts = facts_of(written(tmp_path / "a.wav", sine, rate=48_000))
    assert (facts.sample_rate, facts.channels, facts.frames) == (48_000, 1, 48_000)
    assert (facts.duration_s, facts.samples, facts.container) == (1.0, 16_000, "WAV")
    assert facts.peak == pytest.approx(0.375, abs=1e-4)
    assert facts.offset == pytest.approx(0.125, abs=1e-4)
    assert facts.rms_db == pytest.approx(20 * math.log10(0.25) - 3.01, abs=0.01)
    assert facts.loudest_db == pytest.approx(facts.rms_db, abs=0.1)
    assert facts.bandwidth_hz == pytest.approx(1000, abs=200)


def test_samples_that_are_cut_off_are_counted(tmp_path: Path) -> None:
    waveform = np.linspace(-0.3, 0.3, 16_000, dtype=np.float32)
    waveform[[100, 101, 102, 500, 501, 502, 503]] = 0.8
    waveform[[700, 701]] = 0.8  # two neighbours are no run
    waveform[[900, 901, 902, 903]] = -0.7
    waveform[[950, 951, 952]] = -0.7
    facts = facts_of(written(tmp_path / "a.wav", waveform))
    assert facts.clipped == 3 + 4 + 4 + 3
    assert facts.clipped_share == facts.clipped / 16_000
    waveform[[950, 951, 952]] = 0
    assert facts_of(written(tmp_path / "b.wav", waveform)).clipped == 3 + 4  # one run is none


@pytest.mark.parametrize("suffix", ["wav", "ogg", "mp3"])
def test_limited_speech_is_found_after_coding(tmp_path: Path, suffix: str) -> None:
    limited = np.clip(2 * speech(), -0.5, 0.5) * 1.99
    path = written(tmp_path / f"a.{suffix}", limited.astype(np.float32))
    assert facts_of(path).clipped_share > recordings.CLIPPED_SHARE
    assert facts_of(written(tmp_path / f"b.{suffix}", speech())).clipped == 0


def test_speech_in_eight_bits_is_not_taken_for_cut_off(tmp_path: Path) -> None:
    for name, subtype in (("a.wav", "ULAW"), ("b.wav", "PCM_U8")):
        waveforms = [each.waveform() for each in corpora.load("starter")[::200]]
        for number, waveform in enumerate(waveforms):
            path = written(tmp_path / f"{number}{name}", waveform, options={"subtype": subtype})
            assert facts_of(path).clipped_share <= recordings.CLIPPED_SHARE


@pytest.mark.parametrize("noise", [0.0, 3e-4, 1e-2])
def test_silence_before_and_behind_is_measured_in_noise(tmp_path: Path, noise: float) -> None:
    word = 0.3 * np.sin(2 * np.pi * 300 * np.arange(16_000) / 16_000)
    waveform = np.concatenate([np.zeros(24_000), word, np.zeros(40_000)])
    waveform += noise * np.random.default_rng(0).standard_normal(len(waveform))
    facts = facts_of(written(tmp_path / "a.wav", waveform.astype(np.float32)))
    assert facts.leading_silence_s == pytest.approx(1.5, abs=0.04)
    assert facts.trailing_silence_s == pytest.approx(2.5, abs=0.04)


@pytest.mark.parametrize(
    ("second", "share"),
    [("same", 1.0), ("opposite", 0.0), ("unlike", 0.5), ("silent", 1.0)],
)
def test_the_share_that_averaging_leaves_is_measured(
    tmp_path: Path, second: str, share: float
) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 32_000)).astype(np.float32)
    other = {"same": noise[0], "opposite": -noise[0], "unlike": noise[1], "silent": 0 * noise[0]}
    path = written(tmp_path / "a.wav", np.stack([noise[0], other[second]], axis=1))
    assert facts_of(path).mix_share == pytest.approx(share, abs=0.02)


def test_blocks_do_not_change_what_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waveform = np.stack([speech(6), speech(6, seed=1)], axis=1)
    path = written(tmp_path / "a.flac", waveform)
    whole = facts_of(path)
    blocks = audio.Recording.blocks
    monkeypatch.setattr(
        audio.Recording,
        "blocks",
        lambda self, first, stop: blocks(self, first, stop, most=30_000),
    )
    parts = facts_of(path)
    for name in ("frames", "digest", "peak", "clipped"):
        assert getattr(parts, name) == getattr(whole, name)
    for name in ("rms_db", "loudest_db", "speech_db", "offset", "mix_share", "snr_db"):
        assert getattr(parts, name) == pytest.approx(getattr(whole, name), abs=1)


# --- many utterances in a recording ---------------------------------------------------------------


def test_a_recording_is_opened_once_for_its_stretches_and_decoded_no_more_than_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.flac", speech(10))
    stretches = [utterance(path, f"{k}", start=float(k), end=k + 1.0) for k in range(8)]
    decoded, opened = [0], [0]
    blocks, lend = audio.Recording.blocks, audio.opened

    def counted_blocks(self: audio.Recording, first: int, stop: int) -> Iterable[Waveform]:
        decoded[0] += stop - first
        return blocks(self, first, stop)

    def counted_opened(given: Path) -> Any:
        opened[0] += 1
        return lend(given)

    monkeypatch.setattr(audio.Recording, "blocks", counted_blocks)
    monkeypatch.setattr(audio, "opened", counted_opened)
    facts = inspect(reversed(stretches))
    assert (opened, decoded) == ([1], [8 * 16_000])
    alone = replace(stretches[3], audio=written(tmp_path / "b.wav", speech(10)[48_000:64_000]))
    assert facts["3"].digest == inspect([replace(alone, start=None, end=None)])["3"].digest  # type: ignore[union-attr]


def test_times_outside_of_the_recording_are_the_fault_of_their_utterance(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", speech(2))
    times = {"in": (0.0, 1.0), "out": (1.0, 2.5), "none": (0.5, 0.500001), "end": (1.0, 2.005)}
    found = faults_of(
        utterance(path, name, start=start, end=end) for name, (start, end) in times.items()
    )
    assert [(fault.kind, fault.utterance) for fault in found] == [
        ("audio-times", "out"),
        ("audio-times", "none"),
    ]
    assert found[0].message == "a.wav: start 1.0 s and end 2.5 s, but the recording has 2.000 s"


def test_a_recording_that_is_no_audio_is_one_fault_for_all_of_its_stretches(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    _unreadable(path)
    (fault,) = faults_of(utterance(path, f"{k}", start=float(k), end=k + 1.0) for k in range(20))
    assert (fault.kind, fault.place) == ("audio-unreadable", "0.row")
    assert fault.message.endswith("(20 utterances lie in it)")


# --- the store ------------------------------------------------------------------------------------


@pytest.fixture
def some(tmp_path: Path) -> list[Utterance]:
    paths = [written(tmp_path / f"{k:02}.wav", speech(seed=k)) for k in range(20)]
    _truncated(tmp_path / "99.wav")
    return [utterance(path) for path in (*paths, tmp_path / "99.wav")]


def not_again(utterances: object, workers: object) -> Iterable[object]:
    assert list(utterances) == []  # type: ignore[call-overload]
    return ()


def test_what_is_stored_is_not_decoded_again(
    some: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "new" / "facts.jsonl"
    facts = inspect(some, store=store)
    assert isinstance(facts["99"], AudioFailure)
    monkeypatch.setattr(recordings, "_measured", not_again)
    assert inspect(some, store=store) == facts
    assert len(store.read_text().splitlines()) == 21


def test_a_check_that_was_ended_goes_on_where_it_was(some: list[Utterance], tmp_path: Path) -> None:
    store = tmp_path / "facts.jsonl"
    shown: list[int] = []

    def ending(items: Iterable[Any], description: str, *, total: int) -> Iterable[Any]:
        for number, item in enumerate(items):
            if number == 9:
                raise KeyboardInterrupt
            yield item

    def counting(items: Iterable[Any], description: str, *, total: int) -> Iterable[Any]:
        shown.append(total)
        return silent(items, description, total=total)

    with pytest.raises(KeyboardInterrupt):
        inspect(some, store=store, track=ending)
    assert len(store.read_text().splitlines()) == 9
    content = store.read_bytes()
    store.write_bytes(content[:-20])  # the last row is torn
    assert inspect(some, store=store, track=counting) == inspect(some)
    assert shown == [21 - 8]
    inspect(some, store=store, track=counting)
    assert shown == [21 - 8, 0]


def test_a_changed_recording_or_stretch_is_measured_anew(
    some: list[Utterance], tmp_path: Path
) -> None:
    store = tmp_path / "facts.jsonl"
    before = inspect(some, store=store)
    written(some[0].audio, speech(seed=50))
    shorter = replace(some[1], start=0.5, end=1.5)
    after = inspect([some[0], shorter, *some[2:]], store=store)
    assert after["00"].digest != before["00"].digest  # type: ignore[union-attr]
    assert after["01"].duration_s == 1.0  # type: ignore[union-attr]
    assert len(store.read_text().splitlines()) == 21 + 2


def test_rows_of_another_version_or_kind_are_not_believed(
    some: list[Utterance], tmp_path: Path
) -> None:
    store = tmp_path / "facts.jsonl"
    inspect(some[:1], store=store)
    row = json.loads(store.read_text())
    odd = [row | {"version": 0}, row | {"facts": {"peak": 1}}, [], 3, {"audio": []}]
    store.write_text("".join(json.dumps(each) + "\n" for each in odd) + "\xff{{\n")
    assert inspect(some[:1], store=store) == inspect(some[:1])
    assert len(store.read_bytes().splitlines()) == 7


def test_a_store_that_cannot_be_written_is_told(some: list[Utterance], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be kept there"):
        inspect(some, store=some[0].audio / "facts.jsonl")
    with pytest.raises(OutputError, match="cannot be kept there"):
        inspect(some, store=tmp_path)


# --- what is no audio -----------------------------------------------------------------------------


def test_changed_bytes_make_faults_and_never_an_exception(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    utterances: list[Utterance] = []
    for suffix in ("wav", "flac", "ogg", "mp3", "aiff"):
        content = written(tmp_path / f"good.{suffix}", speech(0.5)).read_bytes()
        for number in range(40):
            changed = bytearray(content)
            span = min(len(changed), 100 if number % 2 else len(changed))
            for at in rng.integers(0, span, 1 + number % 7):
                changed[at] = rng.integers(256)
            path = tmp_path / f"{suffix}{number}.{suffix}"
            path.write_bytes(changed)
            utterances.append(utterance(path))
    facts = inspect(utterances)
    assert len(facts) == 200
    assert {f.kind for f in facts.values() if isinstance(f, AudioFailure)} <= {*KINDS}


def test_levels_beyond_all_measure_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    _floats(1e30)(path)
    (fault,) = faults_of([utterance(path)])
    assert fault.kind == "audio-not-finite"
    assert "values up to 1e+30" in fault.message
