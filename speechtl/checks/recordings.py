"""Facts of recordings, measured in one pass over their samples, and the faults that they show.

Each utterance is decoded once, in blocks, several at a time. What was measured is kept in a file,
so that a check that is ended goes on where it was, and a second one decodes only what has changed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import statistics
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, fields
from itertools import groupby, islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.fft

from speechtl import audio
from speechtl.audio import SAMPLE_RATE, Waveform
from speechtl.corpus import SPLITS, Corpus, Utterance, sentence
from speechtl.errors import DataError, OutputError
from speechtl.faults import Fault
from speechtl.progress import Track, silent

__all__ = ["AudioFacts", "AudioFailure", "UtteranceAudio", "audio_faults", "inspect"]

# --- when a fact is a fault

SHORTEST_SAMPLES = 400
"""At 16 kHz: one frame of wav2vec2's feature encoder and one window of Whisper's spectrogram."""
BRIEF_S = 0.3  # a short word; a digit of the Free Spoken Digit Dataset has 0.4 s
LONG_S = 30.0  # Whisper's window; also what fits a GPU in training wav2vec2
SILENT_DB = -70.0  # its loudest 25 ms: ten steps of 16 bits; microphones hiss louder
# Speech is brought to -26 dBov (ITU-T P.56); 24 dB below, four of 16 bits are idle.
QUIET_DB = -50.0
NOISY_DB = 5.0  # a third as much noise as speech; the starter corpus has 18 and more, digits 10
# Limiting speech 3 dB below its peak gives 3e-4 to 2e-3; speech that is not limited has none.
CLIPPED_SHARE = 1e-4
OFFSET_SHARE = 0.1  # of the root mean square: a hundredth of the power is none of the sound's
OFFSET_LEAST = 1e-3  # of full scale, -60 dB; below are rounding and drift
PAUSE_S = 2.0  # Whisper makes words up in long silence (Koenecke et al. 2024, Careless Whisper)
# Of the power that is left by averaging channels: equal ones keep all, unlike ones half.
MIX_SHARE = 0.75
NARROW_HZ = 4900.0  # a telephone's 4 kHz, and what scipy's and torchaudio's resampling leaves above
NARROW_LEAST_S = 1.0  # a shorter word may have no sound above 4 kHz

_REPORTED_ONCE = frozenset({"audio-band", "audio-channels", "audio-offset", "audio-quiet",
                            "audio-pauses", "audio-suffix"})  # fmt: skip
_FEWEST_ALIKE = 10  # utterances from which on half of a corpus is said in one fault
_EXAMPLES = 3

# --- how it is measured

_VERSION = 1  # of what is measured: raise it, and kept facts are measured anew
_LEVEL_BLOCK, _FRAME, _HOP = 80, 5, 2  # samples (5 ms), blocks (25 ms), blocks (10 ms)
_FRAME_S = _LEVEL_BLOCK * _HOP / SAMPLE_RATE
_RUN = 3  # equal samples at the top: Audacity's "Find Clipping" counts from 3, too
_FEWEST_RUNS = 2
_TOP, _BELOW_TOP = 0.98, 0.94  # of the extreme
# Times as many samples in the upper band as in the lower: limited speech has 2 to 20 times, other
# speech once (median).
_PILED = 1.5
_LEAST_CLIPPED = 0.05  # of full scale; below, 16 bits are coarse enough for equal neighbours
_LOUDEST = 1e6  # times full scale; floats that were written as 32-bit integers reach 2e9
_SPECTRUM = 256  # samples, 62.5 Hz apart
# -50 dB: above 4 kHz, speech has 20 to 25 dB less than at its maximum (Byrne et al. 1994), and
# 16-bit noise 75 dB less than speech at -26 dBov.
_BAND_SHARE = 1e-5
_LOSSY = frozenset({"OGG", "MP3", "MPEG"})  # their decoders overshoot where the original was cut
_CONTAINERS = {
    ".aif": {"AIFF"},
    ".aifc": {"AIFF"},
    ".aiff": {"AIFF"},
    ".au": {"AU"},
    ".caf": {"CAF"},
    ".flac": {"FLAC"},
    ".m4a": set[str](),
    ".mp3": {"MP3", "MPEG"},
    ".mp4": set[str](),
    ".oga": {"OGG", "FLAC"},
    ".ogg": {"OGG"},
    ".opus": {"OGG"},
    ".sph": {"NIST"},
    ".w64": {"W64"},
    ".wav": {"WAV", "WAVEX", "RF64"},
    ".webm": set[str](),
    ".wma": set[str](),
}

# --- how it is spread

_TOGETHER = 64  # utterances that one task measures: a task costs as much as a short one of them
_AHEAD = 4  # tasks that wait for each worker
_FLUSH_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceAudio:
    """What the samples of one utterance tell.

    Levels are relative to full scale (dBFS), those of power to a mean square of 1, and without the
    offset. A level of digital silence is -200.

    Attributes:
        container: libsndfile's name of the file's format.
        sample_rate: The recording's own, in Hz.
        channels: How many the recording has.
        frames: The utterance's length at its own rate.
        digest: The number of frames, a checksum of the rate and the samples (CRC-32), and the least
            and greatest of these, which are averaged over the channels and cut to 16 bits.
            Equal for one content in WAV and FLAC; a lossy copy has another.
        peak: The greatest absolute value of a sample, 1 at full scale.
        rms_db: The level of the whole (dBFS).
        loudest_db: The level of the loudest 25 ms (dBFS).
        speech_db: The mean level of the frames within 30 dB of the loudest one (dBFS).
        clipped: How many samples are cut off at the top: they stand in runs of three and more equal
            ones at the extreme, or beyond full scale in a lossy format.
        offset: The mean of the samples, 1 at full scale.
        snr_db: `speechtl.audio.signal_to_noise_db`; of more than a block, the median of blocks.
        leading_silence_s: What lies before the first 50 ms of sound, in seconds.
        trailing_silence_s: What lies behind the last 50 ms of sound, in seconds.
        bandwidth_hz: Below it lies all but 1e-5 of the power, in Hz, at most 8000.
        mix_share: The share of the channels' power that is left in their mean: 1 for equal ones,
            0.5 for two that have nothing in common, 0 for opposite ones. Channels 40 dB below the
            loudest do not count.
    """

    container: str
    sample_rate: int
    channels: int
    frames: int
    digest: str
    peak: float
    rms_db: float
    loudest_db: float
    speech_db: float
    clipped: int
    offset: float
    snr_db: float | None
    leading_silence_s: float
    trailing_silence_s: float
    bandwidth_hz: float
    mix_share: float

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return self.frames / self.sample_rate

    @property
    def samples(self) -> int:
        """The length of its waveform at 16 kHz."""
        return math.ceil(self.frames * SAMPLE_RATE / self.sample_rate)

    @property
    def clipped_share(self) -> float:
        """The share of its samples that are cut off."""
        return self.clipped / self.frames


@dataclass(frozen=True, slots=True)
class AudioFailure:
    """Why an utterance's samples could not be had.

    Attributes:
        kind: The kind of the fault, a name in `speechtl.faults.KINDS`.
        finding: What was found, without the place and the remedy.
    """

    kind: str
    finding: str


AudioFacts: TypeAlias = "UtteranceAudio | AudioFailure"

_NAMES = tuple(field.name for field in fields(UtteranceAudio))
_Key: TypeAlias = tuple[str, int, int, float | None, float | None]


# --- inspection


def inspect(
    utterances: Iterable[Utterance],
    *,
    store: Path | None = None,
    workers: int | None = None,
    track: Track = silent,
) -> dict[str, AudioFacts]:
    """Return what the audio of each utterance tells, by the utterance's id.

    Args:
        utterances: What to decode; their ids are unique.
        store: A JSON Lines file of facts. What it has of these stretches of these files, of the
            same size and time of change, is taken from it; all else is appended within a second of
            being measured. `None` keeps nothing.
        workers: Threads that decode; `None` is one for each processor.
        track: Shows progress.

    Raises:
        OutputError: The store cannot be read or written.
    """
    facts: dict[str, AudioFacts] = {}
    keys = _keys(utterances, facts)
    known = {} if store is None else _read_store(store)
    todo: list[tuple[Utterance, _Key]] = []
    for utterance, key in keys:
        found = known.get(key)
        if found is None:
            todo.append((utterance, key))
        else:
            facts[utterance.id] = found
    del known
    with contextlib.ExitStack() as stack:
        keep = None if store is None else stack.enter_context(_appending(store))
        for utterance, key, found in track(
            _measured(todo, workers or os.cpu_count() or 1), "listening", total=len(todo)
        ):
            facts[utterance.id] = found
            if keep is not None:
                keep(key, found)
    return facts


def _keys(
    utterances: Iterable[Utterance], facts: dict[str, AudioFacts]
) -> list[tuple[Utterance, _Key]]:
    """Return what identifies each utterance's audio; put the failures of missing files in facts."""
    files: dict[Path, tuple[str, int, int] | AudioFailure] = {}
    keys = []
    for utterance in utterances:
        path = utterance.audio
        if path not in files:
            try:
                state = path.stat()
                files[path] = (str(path), state.st_size, state.st_mtime_ns)
            except (OSError, ValueError) as error:
                missing = isinstance(error, FileNotFoundError)
                kind = "audio-missing" if missing else "audio-unreadable"
                files[path] = AudioFailure(kind, "no such file" if missing else str(error))
        file = files[path]
        if isinstance(file, AudioFailure):
            facts[utterance.id] = file
        else:
            keys.append((utterance, (*file, utterance.start, utterance.end)))
    return keys


def _measured(
    todo: Sequence[tuple[Utterance, _Key]], workers: int
) -> Iterator[tuple[Utterance, _Key, AudioFacts]]:
    """Yield the facts of utterances as they come, a few of them measured ahead."""
    # Stretches of one recording follow each other, so that each is opened seldom.
    order = sorted(todo, key=lambda each: (each[1][0], each[1][3] or 0.0))
    batches = iter([order[at : at + _TOGETHER] for at in range(0, len(order), _TOGETHER)])
    waiting: dict[Future[list[AudioFacts]], Sequence[tuple[Utterance, _Key]]] = {}
    pool = ThreadPoolExecutor(max_workers=workers)
    try:
        while True:
            for batch in islice(batches, _AHEAD * workers - len(waiting)):
                waiting[pool.submit(_batch_facts, [each for each, _ in batch])] = batch
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                for (utterance, key), found in zip(
                    waiting.pop(future), future.result(), strict=True
                ):
                    yield utterance, key, found
    finally:
        pool.shutdown(cancel_futures=True)


def _batch_facts(utterances: Sequence[Utterance]) -> list[AudioFacts]:
    found: list[AudioFacts] = []
    for path, stretches in groupby(utterances, key=lambda utterance: utterance.audio):
        found += _recording_facts(path, list(stretches))
    return found


def _recording_facts(path: Path, stretches: Sequence[Utterance]) -> list[AudioFacts]:
    """Return the facts of stretches of one recording, which is opened once."""
    found: list[AudioFacts] = []
    try:
        with audio.opened(path) as recording:
            for utterance in stretches:
                try:
                    span = recording.span(utterance.start, utterance.end)
                    found.append(_stretch_facts(recording, *span))
                except DataError as error:
                    found.append(_failure(error))
    except DataError as error:
        found += [_failure(error)] * (len(stretches) - len(found))
    return found


def _failure(error: DataError) -> AudioFailure:
    return AudioFailure(error.kind or "audio-unreadable", error.finding or str(error))


# --- one utterance


class _Tally:
    """What adds up over the blocks of an utterance."""

    def __init__(self, sample_rate: int, channels: int, *, lossy: bool) -> None:
        self.sample_rate, self.lossy = sample_rate, lossy
        self.frames = self.clipped = self.not_finite = 0
        self.low, self.high = math.inf, -math.inf
        self.sum = 0.0
        self.checksum = sample_rate
        self.powers: list[npt.NDArray[np.float32]] = []
        self.snrs_db: list[float] = []
        self.spectrum = np.zeros(_SPECTRUM // 2 + 1)
        self.channel_sums = np.zeros(channels)
        self.channel_products = np.zeros((channels, channels))

    def add(self, frames: npt.NDArray[np.float32]) -> None:
        """Count a block `(frames, channels)`."""
        mono = _mono(frames)
        low, high = float(mono.min()), float(mono.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.frames += len(mono)
        if not -_LOUDEST < low <= high < _LOUDEST:  # nor is NaN
            self.not_finite += int(np.count_nonzero(~np.isfinite(frames)))
            return
        total = float(mono.sum())  # numpy sums in pairs: its error is below that of 24 bits
        self.sum += total
        self.clipped += _clipped(mono, low, high, lossy=self.lossy)
        # A cryptographic digest takes a tenth of the time of decoding; nobody means to deceive.
        self.checksum = zlib.crc32(_sixteen_bits(mono, max(-low, high)).data, self.checksum)
        if frames.shape[1] > 1:
            self.channel_sums += np.ones(len(frames), np.float32) @ frames
            self.channel_products += frames.T @ frames
        same = self.sample_rate == SAMPLE_RATE  # a copy is not needed: the block is ours
        self._hear(
            mono if same else audio.resample(mono, source_rate=self.sample_rate),
            total / len(mono),
        )

    def _hear(self, waveform: Waveform, offset: float) -> None:
        snr_db = audio.signal_to_noise_db(waveform)
        if snr_db is not None:
            self.snrs_db.append(snr_db)
        waveform -= np.float32(offset)
        self.powers.append(_powers(waveform))
        if self.sample_rate >= SAMPLE_RATE:
            self.spectrum += _spectrum(waveform)


def _stretch_facts(recording: audio.Recording, first: int, stop: int) -> AudioFacts:
    tally = _Tally(recording.sample_rate, recording.channels, lossy=recording.container in _LOSSY)
    for frames in recording.blocks(first, stop):
        tally.add(frames)
    peak = max(-tally.low, tally.high)
    if tally.not_finite:
        return AudioFailure("audio-not-finite", f"holds {tally.not_finite} NaN or infinite values")
    if not peak < _LOUDEST:
        return AudioFailure("audio-not-finite", f"holds values up to {peak:.3g}; full scale is 1")
    offset = tally.sum / tally.frames
    powers = tally.powers[0] if len(tally.powers) == 1 else np.concatenate(tally.powers)
    loudest = float(powers.max())
    before, behind = _silences_s(powers)
    return UtteranceAudio(
        container=recording.container,
        sample_rate=recording.sample_rate,
        channels=recording.channels,
        frames=tally.frames,
        digest=_digest(tally),
        peak=round(peak, 6),
        rms_db=_decibels(float(powers.sum()) / len(powers)),
        loudest_db=_decibels(loudest),
        speech_db=_decibels(float(powers[powers >= 1e-3 * loudest].mean())),
        clipped=tally.clipped,
        offset=round(offset, 6),
        snr_db=round(statistics.median(tally.snrs_db), 2) if tally.snrs_db else None,
        leading_silence_s=before,
        trailing_silence_s=behind,
        bandwidth_hz=_bandwidth_hz(tally.spectrum, sample_rate=recording.sample_rate),
        mix_share=_mix_share(tally),
    )


def _mono(frames: npt.NDArray[np.float32]) -> Waveform:
    """Return the mean over the channels of a block `(frames, channels)`."""
    channels = frames.shape[1]
    if channels == 1:
        return frames[:, 0]
    with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is counted afterwards
        return frames @ np.full(channels, 1 / channels, np.float32)


def _clipped(mono: Waveform, low: float, high: float, *, lossy: bool) -> int:
    """Return how many samples are cut off at either extreme.

    Measured on the starter corpus and on telephone digits: speech that is not cut off has no such
    samples as 16-bit PCM, Opus, Vorbis or MP3, and at most 0.8 in 10 000 as mu-law.
    """
    # Values beyond full scale in a file of floats are not cut off.
    count = int(np.count_nonzero(mono > 1) + np.count_nonzero(mono < -1)) if lossy else 0
    if high >= _LEAST_CLIPPED:
        count += _cut_off(mono, np.flatnonzero(mono >= _TOP * high), high)
    if low <= -_LEAST_CLIPPED:
        count += _cut_off(mono, np.flatnonzero(mono <= _TOP * low), low)
    return count


def _cut_off(mono: Waveform, places: npt.NDArray[np.intp], extreme: float) -> int:
    """Return how many of the places near an extreme stand in runs of equal neighbours.

    One run is none: where 8 bits were made 16, one top in many recordings looks so. Nor are they
    where most tops are lower, as in a steady vowel of so few steps.
    """
    if len(places) < _RUN:
        return 0
    equal = (np.diff(places) == 1) & (np.diff(mono[places]) == 0)
    edges = np.flatnonzero(np.diff(np.concatenate(([0], equal, [0]))))
    lengths = edges[1::2] - edges[::2] + 1
    runs = lengths[lengths >= _RUN]
    if len(runs) < _FEWEST_RUNS:
        return 0
    below = np.count_nonzero(mono / np.float32(extreme) >= _BELOW_TOP) - len(places)
    return int(runs.sum()) if len(places) >= _PILED * below else 0


def _sixteen_bits(mono: Waveform, peak: float) -> npt.NDArray[np.int16]:
    # Cut, not rounded, which would be a pass more: what 16 bits hold comes out whole.
    scaled = mono * np.float32(32_768)
    if peak >= 32_767 / 32_768:
        np.clip(scaled, -32_768, 32_767, out=scaled)
    return scaled.astype(np.int16)


def _powers(waveform: Waveform) -> npt.NDArray[np.float32]:
    """Return the mean square of each 25 ms, every 10 ms; of what is shorter, that of the whole."""
    blocks = waveform[: len(waveform) // _LEVEL_BLOCK * _LEVEL_BLOCK].reshape(-1, _LEVEL_BLOCK)
    if len(blocks) < _FRAME:
        return np.array([np.dot(waveform, waveform) / len(waveform)], np.float32)
    energy = np.einsum("bs,bs->b", blocks, blocks)
    window = np.full(_FRAME, 1 / (_FRAME * _LEVEL_BLOCK), np.float32)
    return np.convolve(energy, window, "valid")[::_HOP]


def _silences_s(powers: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the lengths of what is before the first sound and behind the last one, in seconds.

    A sound is 50 ms of which four fifths have 6 dB more than the quietest tenth, and are within 40
    dB of the loudest frame.
    """
    loudest = float(powers.max())
    tenth = max(1, len(powers) // 10)
    noise = float(np.partition(powers, tenth - 1)[:tenth].sum()) / tenth
    threshold = min(max(4 * noise, 1e-4 * loudest), 0.25 * loudest)
    heard = np.convolve(powers > threshold, np.ones(5), "valid") > 3.5
    if len(powers) < 5 or not heard.any():
        return 0.0, 0.0
    first, last = int(heard.argmax()), int(heard[::-1].argmax())
    return round(first * _FRAME_S, 2), round(last * _FRAME_S, 2)


_WINDOW = np.hanning(_SPECTRUM + 1)[:-1].astype(np.float32)


def _spectrum(waveform: Waveform) -> npt.NDArray[np.float64]:
    """Return the summed power spectrum of 16 ms in each 64 ms; a fricative lasts longer."""
    step = 4 * _SPECTRUM
    pieces = waveform[: len(waveform) // step * step].reshape(-1, step)[:, :_SPECTRUM]
    if not len(pieces):
        return np.zeros(_SPECTRUM // 2 + 1)
    # Real and imaginary parts side by side, which spares a pass.
    parts = scipy.fft.rfft(pieces * _WINDOW, axis=1).view(np.float32)
    summed = np.einsum("fp,fp->p", parts, parts)
    return np.asarray(summed.reshape(-1, 2).sum(axis=1), dtype=np.float64)


def _bandwidth_hz(spectrum: npt.NDArray[np.float64], *, sample_rate: int) -> float:
    highest = min(SAMPLE_RATE, sample_rate) / 2
    above = spectrum[::-1].cumsum()  # from the highest frequency downwards
    if not above[-1] > 0:
        return highest
    last = len(above) - 1 - int(above.searchsorted(_BAND_SHARE * above[-1], side="right"))
    return min(highest, last * SAMPLE_RATE / _SPECTRUM)


def _digest(tally: _Tally) -> str:
    # Of a million utterances of one length, a hundred pairs have one checksum by chance; the
    # extremes, of which each takes thousands of values, keep these apart.
    extremes = f"{round(32_768 * tally.low):+d}{round(32_768 * tally.high):+d}"
    return f"{tally.frames}:{tally.checksum:08x}:{extremes}"


def _mix_share(tally: _Tally) -> float:
    means = tally.channel_sums / tally.frames
    products = tally.channel_products / tally.frames - np.outer(means, means)
    powers = np.diag(products)
    active = powers > 1e-4 * powers.max()
    count = int(active.sum())
    if count < 2:
        return 1.0
    mixed = float(products[np.ix_(active, active)].sum()) / count**2
    return round(max(0.0, mixed / float(powers[active].mean())), 4)


def _decibels(power: float) -> float:
    return round(10 * math.log10(max(power, 1e-20)), 2)


# --- the store


def _read_store(path: Path) -> dict[_Key, AudioFacts]:
    """Return what a store knows; lines that are torn or of another version are not there."""
    known: dict[_Key, AudioFacts] = {}
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                    row = json.loads(line)
                    if row["version"] == _VERSION:
                        place = row["audio"], row["size"], row["time"], row["start"], row["end"]
                        known[place] = _facts_of(row)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _store_error(path, error) from error
    return known


def _facts_of(row: Mapping[str, Any]) -> AudioFacts:
    if "failure" in row:
        return AudioFailure(**row["failure"])
    return UtteranceAudio(**row["facts"])


@contextlib.contextmanager
def _appending(path: Path) -> Iterator[Callable[[_Key, AudioFacts], None]]:
    """Lend a function that appends to a store; what it gets is on its way to disk in half a second.

    Raises:
        OutputError: The place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as stream:
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                if stream.read(1) != b"\n":  # a process was killed while it wrote
                    stream.write(b"\n")
            flushed = time.monotonic()

            def keep(key: _Key, found: AudioFacts) -> None:
                nonlocal flushed
                stream.write(_row(key, found))
                if time.monotonic() - flushed > _FLUSH_S:
                    stream.flush()
                    flushed = time.monotonic()

            yield keep
    except OSError as error:
        raise _store_error(path, error) from error


def _row(key: _Key, found: AudioFacts) -> bytes:
    audio_path, size, changed, start, end = key
    row: dict[str, Any] = {
        "version": _VERSION,
        "audio": audio_path,
        "size": size,
        "time": changed,
        "start": start,
        "end": end,
    }
    if isinstance(found, AudioFailure):
        row["failure"] = {"kind": found.kind, "finding": found.finding}
    else:
        row["facts"] = {name: getattr(found, name) for name in _NAMES}
    return json.dumps(row).encode() + b"\n"


def _store_error(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: the facts of recordings cannot be kept there ({error.strerror});"
        " name a file that you may read and write, on a disk that has room"
    )


# --- faults


def audio_faults(
    corpus: Corpus, facts: Mapping[str, AudioFacts], *, place: Callable[[Utterance], str]
) -> list[Fault]:
    """Return the faults of a corpus's recordings: `about` audio, and recordings in two splits.

    What a recording cannot be decoded for is said once, whatever the number of its utterances.
    What half of a corpus shares and comes of how it was recorded or exported is said once for all.

    Args:
        corpus: The utterances.
        facts: Of each of them, by id, as `inspect` returns them.
        place: Where a person finds an utterance, such as `file:line`.
    """
    heard = [
        (utterance, found)
        for utterance in corpus
        if isinstance(found := facts[utterance.id], UtteranceAudio)
    ]
    return [
        *_failure_faults(corpus, facts, place),
        *_own_faults(heard, place),
        *_rate_faults(heard, place),
        *_content_faults(heard, place),
    ]


_Place: TypeAlias = Callable[[Utterance], str]
_Heard: TypeAlias = Sequence[tuple[Utterance, UtteranceAudio]]


def _failure_faults(
    corpus: Corpus, facts: Mapping[str, AudioFacts], place: _Place
) -> Iterator[Fault]:
    groups: dict[tuple[Path, AudioFailure], list[Utterance]] = defaultdict(list)
    for utterance in corpus:
        found = facts[utterance.id]
        if isinstance(found, AudioFailure):
            groups[utterance.audio, found].append(utterance)
    for (path, failure), group in groups.items():
        many = f" ({len(group)} utterances lie in it)" if len(group) > 1 else ""
        first = group[0]
        yield Fault(failure.kind, place(first), f"{path.name}: {failure.finding}{many}", first.id)


def _own_faults(heard: _Heard, place: _Place) -> Iterator[Fault]:
    """Yield what each utterance shows alone; what half of them show once, with examples."""
    found = [
        (kind, utterance, message)
        for utterance, facts in heard
        for kind, message in _findings(utterance, facts)
    ]
    counts = Counter(kind for kind, _, _ in found)
    shared = {
        kind
        for kind in _REPORTED_ONCE
        if counts[kind] >= _FEWEST_ALIKE and 2 * counts[kind] >= len(heard)
    }
    for kind, utterance, message in found:
        if kind not in shared:
            yield Fault(kind, place(utterance), message, utterance.id)
    for kind in sorted(shared):
        alike = [(utterance, message) for each, utterance, message in found if each == kind]
        examples = "; ".join(f"{one.id!r}: {message}" for one, message in alike[:_EXAMPLES])
        message = f"{len(alike)} of {len(heard)} utterances, such as {examples}"
        yield Fault(kind, place(alike[0][0]), message)


def _findings(utterance: Utterance, facts: UtteranceAudio) -> Iterator[tuple[str, str]]:
    """Yield the kind and the message of each fault that an utterance's audio shows."""
    yield from _length_findings(facts)
    suffix = utterance.audio.suffix.lower()
    if facts.container not in _CONTAINERS.get(suffix, {facts.container}):
        yield "audio-suffix", f"{utterance.audio.name} is {facts.container}"
    if facts.loudest_db < SILENT_DB:
        what = (
            "all samples are equal"
            if facts.loudest_db <= -200
            else f"the loudest 25 ms lie at {facts.loudest_db:.0f} dB of full scale"
        )
        yield "audio-silent", what
        return
    yield from _level_findings(facts)
    if facts.snr_db is not None and facts.snr_db < NOISY_DB:
        yield "audio-noisy", f"the signal-to-noise ratio is about {facts.snr_db:.0f} dB"
    wide = facts.sample_rate >= SAMPLE_RATE and facts.duration_s >= NARROW_LEAST_S
    if wide and facts.bandwidth_hz < NARROW_HZ:
        yield (
            "audio-band",
            f"nothing lies above {facts.bandwidth_hz:.0f} Hz at a sample rate of"
            f" {facts.sample_rate} Hz",
        )
    if facts.mix_share < MIX_SHARE:
        yield (
            "audio-channels",
            f"{facts.channels} channels, of whose power their mean has {facts.mix_share:.0%}",
        )
    before, behind = facts.leading_silence_s, facts.trailing_silence_s
    if max(before, behind) > PAUSE_S:
        yield (
            "audio-pauses",
            f"{before:.1f} s before the speech and {behind:.1f} s after it, of"
            f" {facts.duration_s:.1f} s",
        )


def _length_findings(facts: UtteranceAudio) -> Iterator[tuple[str, str]]:
    if facts.samples < SHORTEST_SAMPLES:
        yield "audio-short", f"it has {facts.samples} samples at 16 kHz, {facts.duration_s:.3f} s"
    elif facts.duration_s < BRIEF_S:
        yield "audio-brief", f"it has {facts.duration_s:.2f} s"
    elif facts.duration_s > LONG_S:
        yield "audio-long", f"it has {facts.duration_s:.1f} s"


def _level_findings(facts: UtteranceAudio) -> Iterator[tuple[str, str]]:
    if facts.clipped_share > CLIPPED_SHARE:
        yield (
            "audio-clipped",
            f"peak at {facts.peak:.2f} with {facts.clipped} samples"
            f" ({100 * facts.clipped_share:.2g} %) cut off",
        )
    share = abs(facts.offset) / 10 ** (facts.rms_db / 20)
    if abs(facts.offset) > OFFSET_LEAST and share > OFFSET_SHARE:
        yield (
            "audio-offset",
            f"the samples' mean is {facts.offset:+.4f} of full scale, {share:.0%} of the root mean"
            " square of the sound",
        )
    if facts.speech_db < QUIET_DB:
        yield "audio-quiet", f"speech lies at {facts.speech_db:.0f} dB of full scale"


def _rate_faults(heard: _Heard, place: _Place) -> Iterator[Fault]:
    """Yield at most one fault of each kind that concerns sample rates, for the whole corpus."""
    rates = {utterance.audio: facts.sample_rate for utterance, facts in heard}
    low = [utterance for utterance, facts in heard if facts.sample_rate < SAMPLE_RATE]
    if not low:
        return
    # Rates above 16 kHz all become the same.
    counts = Counter(min(rate, SAMPLE_RATE) for rate in rates.values())
    low_count = len(rates) - counts[SAMPLE_RATE]
    listed = ", ".join(
        f"{count} of {'16000 Hz or more' if rate == SAMPLE_RATE else f'{rate} Hz'}"
        for rate, count in sorted(counts.items())
    )
    examples = ", ".join(repr(utterance.id) for utterance in low[:_EXAMPLES])
    yield Fault(
        "audio-rate",
        place(low[0]),
        f"{low_count} of {len(rates)} recordings have less than 16000 Hz ({listed}), such as"
        f" {examples}",
    )
    if len(counts) > 1:
        yield Fault(
            "audio-rates-mixed", place(low[0]), f"recordings: {listed}{_by_split(heard, low)}"
        )


def _by_split(heard: _Heard, low: Sequence[Utterance]) -> str:
    """Return what share of each split's utterances has a low sample rate, if there are splits."""
    total = Counter(utterance.split for utterance, _ in heard)
    of_low = Counter(utterance.split for utterance in low)
    shares = [f"{of_low[name] / total[name]:.0%} of {name}" for name in SPLITS if total[name]]
    return f"; below 16 kHz are {', '.join(shares)}" if shares else ""


def _content_faults(heard: _Heard, place: _Place) -> Iterator[Fault]:
    """Yield the utterances whose samples an earlier one has, too."""
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for utterance, facts in heard:
        if facts.loudest_db >= SILENT_DB:  # silence is a fault of its own, and all alike
            groups[facts.digest].append(utterance)
    for group in groups.values():
        for number, utterance in enumerate(group[1:], start=1):
            yield from _copy_faults(utterance, group[:number], place)


def _copy_faults(
    utterance: Utterance, earlier: Sequence[Utterance], place: _Place
) -> Iterator[Fault]:
    def fault(kind: str, other: Utterance, told: str) -> Fault:
        message = f"the samples are those of {other.id!r} ({place(other)}){told}"
        return Fault(kind, place(utterance), message, utterance.id)

    elsewhere = next((one for one in earlier if _crosses(one.split, utterance.split)), None)
    if elsewhere is not None:
        told = f", which is in {elsewhere.split}; this one is in {utterance.split}"
        yield fault("split-audio", elsewhere, told)
    if any(_stretch(one) == _stretch(utterance) for one in earlier):
        return  # the check of rows says that one stretch is there twice
    said = sentence(utterance.text)
    unlike = next((one for one in earlier if sentence(one.text) != said), None)
    if unlike is not None:
        yield fault("audio-conflict", unlike, f": {unlike.text!r}, and here {utterance.text!r}")
    elif elsewhere is None:
        yield fault("audio-repeated", earlier[0], "")


def _crosses(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def _stretch(utterance: Utterance) -> tuple[Path, float | None, float | None]:
    return utterance.audio, utterance.start, utterance.end
