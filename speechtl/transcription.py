"""Audio of any length to text.

A recording that is longer than the model can read is cut where it is quietest. It is read block by
block, so that memory does not grow with its length. Several files are decoded together.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch

from speechtl.audio import AUDIO_SUFFIXES, SAMPLE_RATE, Waveform, duration, read
from speechtl.corpus import Utterance
from speechtl.errors import ConfigError, DataError, OutputError, SpeechtlError
from speechtl.features import Copy, FeatureSource, Recipe, Waveforms, length_buckets
from speechtl.files import require_writable
from speechtl.models import SpeechModel
from speechtl.progress import Track, silent

__all__ = [
    "FORMATS",
    "Failure",
    "Segment",
    "Transcript",
    "audio_files",
    "fits",
    "may_hold_speech",
    "plain_recipe",
    "segments",
    "stretches",
    "transcribe_files",
    "transcribe_utterances",
    "transcribe_waveforms",
    "transcript_files",
    "writer",
]

FORMATS = ("txt", "json", "tsv")
"""The formats that `writer` knows; each is the suffix of its files too."""

SHORTEST_S = 0.1
"""No word is shorter (s): a shorter recording has no text, and is not shown to the model."""

SILENT_RANGE = 2e-4
"""A recording whose samples differ by no more, six steps of 16-bit audio, is digital silence."""

_QUIET_S = 0.1  # long enough to lie between two words, short enough to lie between any two
_BLOCK_S = 300.0  # 19 MB of a long recording in memory at a time
# Batches collected before the first is decoded, so that stretches of alike length meet in one.
_BATCHES_AHEAD = 4
# What is one recording's fault, or too much of it at once, and must not stop the others.
_ISOLATED = (SpeechtlError, OSError, torch.OutOfMemoryError)


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a recording and its text; `start` and `end` in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """The text of one file: its segments in order, which together cover the whole recording."""

    audio: Path
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """All segments' texts, joined by single spaces."""
        return _joined(segment.text for segment in self.segments)


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be transcribed, and why; the reason names the file."""

    audio: Path
    reason: str


@dataclass(slots=True)
class _Stretch:
    """A stretch that waits for its text; `start` in seconds."""

    start: float
    waveform: Waveform
    text: str = ""

    def segment(self) -> Segment:
        return Segment(self.start, self.start + len(self.waveform) / SAMPLE_RATE, self.text)


@dataclass(slots=True)
class _Job:
    """A file under way: its decoded segments, those that wait, and why it failed if it did."""

    audio: Path
    done: list[Segment] = field(default_factory=list)
    waiting: list[_Stretch] = field(default_factory=list)
    failure: str | None = None

    def result(self) -> Transcript | Failure:
        if self.failure is not None:
            return Failure(self.audio, self.failure)
        return Transcript(self.audio, tuple(self.done))


# --- utterances of a corpus -----------------------------------------------------------------------


def transcribe_utterances(
    model: SpeechModel,
    utterances: Sequence[Utterance],
    *,
    source: FeatureSource | None = None,
    waveforms: Waveforms | None = None,
    batch_size: int = 16,
    track: Track = silent,
    description: str = "transcribing",
) -> list[str]:
    """Return the greedy text of each utterance, in their order.

    An utterance that is too long for the model is cut as a file is; one that is shorter than
    `SHORTEST_S` has no text.

    Args:
        model: The recogniser.
        utterances: What to transcribe.
        source: Gives the features, of the recordings as they are; without it they are computed.
        waveforms: Where decoded audio is kept between passes.
        batch_size: Utterances decoded together.
        track: Shows progress.
        description: What the progress is called.

    Raises:
        DataError: A recording cannot be read; the utterance is named.
    """
    held = waveforms or Waveforms()
    source = source or FeatureSource(model, plain_recipe(model, _top(model)), waveforms=held)
    fitting, too_long = fits(utterances, model, held)
    copies = [Copy(utterances[i]) for i in fitting]
    plan = length_buckets(source.samples(copies), batch_size=batch_size)

    def batches() -> Iterator[tuple[list[int], list[str]]]:
        encoded = source.features([[copies[i] for i in batch] for batch in plan])
        for batch, features in zip(plan, encoded, strict=True):
            yield [fitting[i] for i in batch], model.decode(features)
        for index in too_long:
            stretches = [
                _Stretch(0.0, stretch) for stretch in _pieces(held(utterances[index]), model)
            ]
            _decode(model, stretches, batch_size=batch_size)
            yield [index], [_joined(stretch.text for stretch in stretches)]

    texts = [""] * len(utterances)
    total = len(plan) + len(too_long)
    for indices, decoded in track(batches(), description, total=total):
        for index, text in zip(indices, decoded, strict=True):
            texts[index] = text
    return texts


def fits(
    utterances: Sequence[Utterance], model: SpeechModel, waveforms: Waveforms
) -> tuple[list[int], list[int]]:
    """Return the places of the utterances that the model reads at once, and of those too long.

    Those shorter than `SHORTEST_S` are neither.
    """
    durations = [waveforms.seconds(utterance) for utterance in utterances]
    fitting = [i for i, s in enumerate(durations) if SHORTEST_S <= s <= model.longest_s]
    return fitting, [i for i, s in enumerate(durations) if s > model.longest_s]


def plain_recipe(model: SpeechModel, cut: str) -> Recipe:
    """Return the recipe of what is scored: recordings as they are, in full precision."""
    return Recipe(
        model=model.name,
        revision=model.revision,
        cut=cut,
        device=model.network.device.type,
    )


def _pieces(waveform: Waveform, model: SpeechModel) -> list[Waveform]:
    return [waveform[slice(*span)] for span in segments(waveform, longest_s=model.longest_s)]


# --- waveforms ------------------------------------------------------------------------------------


def transcribe_waveforms(
    model: SpeechModel, waveforms: Sequence[Waveform], *, batch_size: int = 16
) -> list[str]:
    """Return the greedy text of each waveform, in their order, whether or not anybody speaks in it.

    Args:
        model: The recogniser.
        waveforms: Each `(samples,)`, of `SHORTEST_S` to the model's `longest_s` seconds.
        batch_size: Waveforms decoded together.
    """
    texts = [""] * len(waveforms)
    for batch in length_buckets([len(each) for each in waveforms], batch_size=batch_size):
        features = model.encode([waveforms[i] for i in batch], _top(model))
        for index, text in zip(batch, model.decode(features), strict=True):
            texts[index] = text
    return texts


# --- where to cut ---------------------------------------------------------------------------------


def segments(waveform: Waveform, *, longest_s: float) -> list[tuple[int, int]]:
    """Return `(start, end)` sample ranges that cover the waveform, none above `longest_s` seconds.

    A waveform `(samples,)` that is too long is cut in the middle of its quietest 100 ms, looked for
    in the last third of what the model could take. At least a quarter of that is left for the last
    range, so that no scrap of a word stands alone.
    """
    longest = int(longest_s * SAMPLE_RATE)
    ranges, start = [], 0
    while len(waveform) - start > longest:
        high = min(start + longest, len(waveform) - longest // 4)
        end = _quietest(waveform, high - longest // 3, high)
        ranges.append((start, end))
        start = end
    return [*ranges, (start, len(waveform))]


def _quietest(waveform: Waveform, low: int, high: int) -> int:
    """Return the middle of the 100 ms of least energy between two samples, the last if equal."""
    window = min(int(_QUIET_S * SAMPLE_RATE), high - low)
    energy = np.cumsum(np.square(waveform[low:high], dtype=np.float64))
    sums = energy[window - 1 :] - np.concatenate([[0.0], energy[:-window]])
    return low + len(sums) - 1 - int(np.argmin(sums[::-1])) + window // 2


def _read_stretches(path: Path, *, longest_s: float) -> Iterator[_Stretch]:
    """Yield the stretches of a file, each short enough for the model, reading a block at a time."""
    length, start = duration(path), 0.0
    block = max(_BLOCK_S, 4 * longest_s)
    while length - start > block:
        waveform = read(path, start=start, end=start + block)
        # The last range ends at the block, not at a pause: it begins the next block instead.
        *ranges, (rest, _) = segments(waveform, longest_s=longest_s)
        for low, high in ranges:
            # A copy: a view would keep its whole block in memory.
            yield _Stretch(start + low / SAMPLE_RATE, waveform[low:high].copy())
        start += rest / SAMPLE_RATE
    waveform = read(path, start=start) if start else read(path)
    for low, high in segments(waveform, longest_s=longest_s):
        yield _Stretch(start + low / SAMPLE_RATE, waveform[low:high].copy())


def stretches(path: Path, *, longest_s: float) -> Iterator[tuple[float, float]]:
    """Yield start and end (s) of the stretches that a file is cut into, none above `longest_s`.

    Raises:
        DataError: It cannot be read.
    """
    for stretch in _read_stretches(path, longest_s=longest_s):
        yield stretch.start, stretch.segment().end


# --- files ----------------------------------------------------------------------------------------


def transcribe_files(
    model: SpeechModel,
    files: Sequence[Path],
    *,
    batch_size: int = 8,
    track: Track = silent,
) -> Iterator[Transcript | Failure]:
    """Yield the transcript of each file in turn, or why there is none.

    One failure does not stop the rest. A stretch of digital silence, or of less than `SHORTEST_S`,
    has an empty text whatever the model makes of it.

    Args:
        model: The recogniser.
        files: Recordings of any length, sample rate and channel count.
        batch_size: Stretches decoded together, from as many files as it takes.
        track: Shows how many files are read.
    """
    jobs: deque[_Job] = deque()
    waiting = 0
    for path in track(files, "transcribing", total=len(files)):
        jobs.append(_Job(path))
        for _ in _filled(jobs[-1], longest_s=model.longest_s):
            waiting += 1
            if waiting == batch_size * _BATCHES_AHEAD:
                _decode_jobs(model, jobs, batch_size=batch_size)
                waiting = 0
            if jobs[-1].failure is not None:
                break
        while jobs and not jobs[0].waiting:
            yield jobs.popleft().result()
    _decode_jobs(model, jobs, batch_size=batch_size)
    yield from (job.result() for job in jobs)


def _filled(job: _Job, *, longest_s: float) -> Iterator[None]:
    """Add a file's stretches to its job one by one; keep the reason where it cannot be read."""
    try:
        for stretch in _read_stretches(job.audio, longest_s=longest_s):
            job.waiting.append(stretch)
            yield
    except (SpeechtlError, OSError) as error:
        _fail(job, error)


def _fail(job: _Job, error: Exception) -> None:
    reason = str(error)
    job.failure = reason if str(job.audio) in reason else f"{job.audio}: {reason}"
    job.waiting.clear()


def _decode_jobs(model: SpeechModel, jobs: Iterable[_Job], *, batch_size: int) -> None:
    """Give every waiting stretch its text; a batch that fails is decoded one by one instead."""
    owned = [(job, stretch) for job in jobs for stretch in job.waiting]
    for batch in length_buckets([len(s.waveform) for _, s in owned], batch_size=batch_size):
        try:
            _decode(model, [owned[i][1] for i in batch], batch_size=batch_size)
        except _ISOLATED:
            for job, stretch in (owned[i] for i in batch):
                _decode_alone(model, job, stretch)
    for job in jobs:
        job.done.extend(stretch.segment() for stretch in job.waiting)
        job.waiting.clear()


def _decode_alone(model: SpeechModel, job: _Job, stretch: _Stretch) -> None:
    try:
        _decode(model, [stretch], batch_size=1)
    except _ISOLATED as error:
        _fail(job, error)


def _decode(model: SpeechModel, stretches: Sequence[_Stretch], *, batch_size: int) -> None:
    """Set the text of each stretch."""
    spoken = [stretch for stretch in stretches if may_hold_speech(stretch.waveform)]
    waveforms = [stretch.waveform for stretch in spoken]
    texts = transcribe_waveforms(model, waveforms, batch_size=batch_size)
    for stretch, text in zip(spoken, texts, strict=True):
        stretch.text = text


def may_hold_speech(waveform: Waveform) -> bool:
    """Return whether a waveform is long enough for a word, and not digital silence."""
    return len(waveform) >= SHORTEST_S * SAMPLE_RATE and float(np.ptp(waveform)) > SILENT_RANGE


def _top(model: SpeechModel) -> str:
    """Return the highest cut: all that can be encoded without gradient is."""
    names = [part.name for part in model.parts()]
    return "decoder.0" if "decoder.0" in names else names[-1]


# --- what the command line needs ------------------------------------------------------------------


def audio_files(paths: Sequence[Path]) -> list[Path]:
    """Return the recordings that paths name: files as they are, all recordings in folders, sorted.

    A recording that is named twice is there once, at its first place. Hidden files and folders
    inside a folder are left out.

    Raises:
        DataError: A path does not exist, or a folder holds no recording; all such paths are listed.
    """
    found: dict[Path, Path] = {}
    faults = []
    for path in paths:
        if not path.exists():
            faults.append(f"{path}: no such file or folder")
        files = _recordings(path) if path.is_dir() else [path]
        if not files:
            faults.append(
                f"{path}: the folder holds no recording ({', '.join(sorted(AUDIO_SUFFIXES))})"
            )
        for file in files:
            found.setdefault(file.resolve(), file)
    if faults:
        raise DataError(
            "what is to be transcribed must exist; correct these:", faults=tuple(faults)
        )
    return list(found.values())


def _recordings(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def transcript_files(
    files: Sequence[Path], folder: Path, *, suffix: str, overwrite: bool = False
) -> dict[Path, Path]:
    """Return where in `folder` the transcript of each recording goes; nothing is made yet.

    Names that differ in upper and lower case alone are the same, as to some file systems.

    Raises:
        ConfigError: Two files share a name but for folder and suffix; all such files are listed.
        OutputError: The folder cannot be written, or transcripts are there already and are not to
            be overwritten; all of them are listed.
    """
    named: dict[str, list[Path]] = {}
    for path in files:
        named.setdefault(f"{path.stem}.{suffix}".casefold(), []).append(path)
    clashes = [
        f"{paths[0].stem}.{suffix} would hold {' and '.join(map(str, paths))}"
        for paths in named.values()
        if len(paths) > 1
    ]
    if clashes:
        raise ConfigError(
            "each recording must have a transcript of its own: rename one, or transcribe them in "
            "two runs to two folders\n  - " + "\n  - ".join(clashes)
        )
    require_writable(folder)
    targets = {path: folder / f"{path.stem}.{suffix}" for path in files}
    there = [str(target) for target in targets.values() if target.exists()]
    if there and not overwrite:
        raise OutputError(
            "these files are there already, and may be more than transcripts; name another folder "
            "with --output, or replace them with --overwrite\n  - " + "\n  - ".join(there)
        )
    return targets


def writer(format: str, *, named: bool = False) -> Callable[[Transcript], str]:  # noqa: A002
    r"""Return the function that writes a transcript as text, line ends included.

    `txt` is the text on one line; `json` an object on one line with `audio`, `text` and `segments`;
    `tsv` a line for each segment: audio, start and end (s), text. In `tsv`, and in a path before
    `txt`, tab, line ends and backslash are written as `\t`, `\n`, `\r` and `\\`.

    Args:
        format: One of `FORMATS`.
        named: Whether each line of `txt` begins with the path and a tab, to print several files.

    Raises:
        ConfigError: The format is none of them.
    """
    match format:
        case "txt":
            return partial(_txt, named=named)
        case "json":
            return _json
        case "tsv":
            return _tsv
        case _:
            raise ConfigError(f"there is no format '{format}'; choose one of: {', '.join(FORMATS)}")


def _txt(transcript: Transcript, *, named: bool) -> str:
    line = " ".join(transcript.text.split())
    return f"{_escaped(str(transcript.audio))}\t{line}\n" if named else f"{line}\n"


def _json(transcript: Transcript) -> str:
    rows = [asdict(segment) for segment in transcript.segments]
    tree = {"audio": str(transcript.audio), "text": transcript.text, "segments": rows}
    return json.dumps(tree, ensure_ascii=False) + "\n"


def _tsv(transcript: Transcript) -> str:
    audio = _escaped(str(transcript.audio))
    return "".join(
        f"{audio}\t{segment.start:.3f}\t{segment.end:.3f}\t{_escaped(segment.text)}\n"
        for segment in transcript.segments
    )


def _escaped(text: str) -> str:
    for plain, written in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, written)
    return text


def _joined(texts: Iterable[str]) -> str:
    return " ".join(text for text in texts if text)
