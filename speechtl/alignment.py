"""A long recording and its transcript to utterances: where in the recording each sentence is.

1. A CTC model hears the recording, window by window, cut at pauses.
2. What it spells without help is aligned with the transcript, character by character. Where both
   agree on a run of characters is an *anchor*: a place in the text whose time is known, also when
   the model errs in most of the words.
3. Between anchors the transcript is placed by `torchaudio.functional.forced_align`: the likeliest
   path of CTC through its characters. Between sentences stands a *wildcard*, which takes speech
   that is not in the transcript.
4. Sentences of which the model heard nothing are left out of that, and get what room is left
   between their neighbours. What fits nowhere is told.

Memory is bounded: forced alignment never sees more than `LARGEST_TRELLIS` cells at once (frames
times twice the characters), which torchaudio keeps in 2 bits each: 12 MB. A stretch without an
anchor that would need more is cut in the middle of its text, at the place that the characters'
alignment gives it; a wrong cut shows in low scores. What grows with the recording are the
log-probabilities of the transcript's characters: 180,000 frames of 30 are 22 MB for an hour.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor
from torchaudio.functional import forced_align, merge_tokens

from speechtl.audio import SAMPLE_RATE, Waveform, duration, read
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import ConfigError, DataError, ModelError
from speechtl.features import length_buckets
from speechtl.models import SpeechModel
from speechtl.models.base import evaluating
from speechtl.models.ctc import CtcModel
from speechtl.models.vocabulary import in_case_of, spelling
from speechtl.progress import Track, silent
from speechtl.text import normaliser

__all__ = [
    "LARGEST_TRELLIS",
    "LOWEST_SCORE",
    "AlignedUtterance",
    "AlignedWord",
    "Alignment",
    "Heard",
    "LeftOut",
    "align",
    "names_speakers",
    "utterances",
]

LARGEST_TRELLIS = 50_000_000
"""Cells that forced alignment may take at once, such as three minutes of text and audio."""

LOWEST_SCORE = 0.45
"""Sentences that score less are left out unless another threshold is given.

With starter-wav2vec2 it keeps 99 of 100 sentences of the accent that the model knows, 94 to 97 of
100 of one in which the model errs in six of ten words (85 in noise at 25 dB), and 2 to 4 of 100
sentences that are not said. Other models may need another threshold: look at what is left out.
"""

_MARGIN_S = 0.3  # at most so much of the pause around belongs to an utterance
_PAUSE_S = 0.1  # the closure of a stop is shorter
_SLACK_S = 0.03  # a frame and a hop
_TORN_S = 0.3  # two characters of a word do not lie further apart
_OWN_S = 0.2  # what is heard so near to a word is a part of it that the model spells otherwise

_LEAST_SCORE = 0.1  # what scores less in its first place may have a better one

_BLOCK_S = 60.0
# Between these lengths (s) a window ends in its longest pause. The starter model, which was trained
# on single sentences, errs in twice as many words in windows of 10 s as in these.
_WINDOW_S = (1.0, 6.0)
_HOP = SAMPLE_RATE // 100
_SHORTEST_S = 0.1
_SILENT_RANGE = 2e-4  # six steps of 16-bit audio: digital silence
_SILENT_FRAMES = 50  # a second, for audio that no model hears

_IMPOSSIBLE = -30.0  # a log-probability
# What a wildcard pays for each frame in which the model hears a letter.
_WILDCARD_COST = 2.0
_WILDCARD = -1

_EVIDENCE_RUN = 3  # characters in a row that model and transcript share, to count as heard
_LEAST_EVIDENCE = 0.2  # the share of a sentence's characters that are heard
_ANCHOR_RUN, _ANCHOR_SIDE = 10, 4  # characters in a row; of them on each side of the word boundary
_PIECE_S = 15.0

_JOINED_PAUSE_S = 1.0  # no utterance is joined over a longer one
_BREAKS = re.compile(r"[,;:.?!…–—]\W*$")
_BREAK_S = 0.2
_UNWRITTEN_S = 0.5


# --- what comes out -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedWord:
    """A word as the transcript has it, with its punctuation, and where it is.

    Attributes:
        text: As the transcript has it.
        start: Of its first character, in seconds.
        end: Of its last one. CTC models spell a character in its midst: the sound may go on.
        score: The mean probability of its characters, see `AlignedUtterance`; `None` for a word
            without any that the model can spell.
    """

    text: str
    start: float
    end: float
    score: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedUtterance:
    """A stretch of the recording and its words.

    Attributes:
        text: Its part of the transcript, spelled and punctuated as there; spaces are single.
        start: In the middle of the pause before it, at most 0.3 s before its first word (s).
        end: In the middle of the pause behind it, at most 0.3 s behind its last word (s).
        score: The mean over its characters, from 0 to 1: of each, the mean probability that the
            model gives it in the frames in which the best path stays at it. Spaces, and what the
            vocabulary lacks, do not count.
        speaker: Who the transcript says speaks, or `None`.
        words: In order.
    """

    text: str
    start: float
    end: float
    score: float
    speaker: str | None = None
    words: tuple[AlignedWord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A sentence of the transcript that is in no utterance.

    Attributes:
        text: As the transcript has it.
        score: That of its best place, below the threshold; 0 where there was no room for it.
        start: Of that place (s); `None` where there was no room.
        end: Of that place (s), or `None`.
        speaker: Who the transcript says speaks, or `None`.
    """

    text: str
    score: float
    start: float | None = None
    end: float | None = None
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """Speech that is in no utterance, as the model spells it; `start` and `end` in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """What became of a recording and its transcript.

    Attributes:
        utterances: In the order of the recording; none overlap.
        left_out: The sentences that are in none, in the order of the transcript.
        unwritten: Speech of half a second or more that is in no utterance.
        wildcards: The words with characters that the vocabulary lacks even in their `plain` form
            (digits, é), and annotations in square or angle brackets. Those characters match
            anything.
        largest_trellis: The cells of the largest forced alignment, at most `LARGEST_TRELLIS`.
    """

    utterances: tuple[AlignedUtterance, ...]
    left_out: tuple[LeftOut, ...]
    unwritten: tuple[Heard, ...]
    wildcards: tuple[str, ...]
    largest_trellis: int


def names_speakers(transcript: str) -> bool:
    """Return whether most lines of a transcript begin with a name, as `align` takes it."""
    lines = [line for line in transcript.splitlines() if line.strip()]
    return len(lines) > 1 and 2 * sum(map(bool, map(_NAMED.match, lines))) > len(lines)


def utterances(
    recording: Path,
    aligned: Alignment,
    *,
    accent: str,
    speaker: str | None = None,
    licence: str | None = None,
) -> Corpus:
    """Return the utterances as a corpus of stretches of the recording: no audio is copied.

    Their ids are `<stem>-0001` and so on, their times rounded to milliseconds.

    Args:
        recording: What was aligned.
        aligned: What `align` made of it.
        accent: That of all speakers.
        speaker: Who speaks where the transcript does not say.
        licence: Of the recording.

    Raises:
        DataError: Nothing says who speaks an utterance.
    """
    unknown = [each for each in aligned.utterances if each.speaker is None]
    if unknown and speaker is None:
        raise DataError(
            f"{recording}: nothing says who speaks {len(unknown)} of {len(aligned.utterances)} "
            f"utterances, the first at {unknown[0].start:.1f} s; name the speaker, or write names "
            "before the lines of the transcript (ANNA: …)"
        )
    return Corpus(
        Utterance(
            id=f"{recording.stem}-{number:04d}",
            audio=recording.resolve(),
            text=each.text,
            speaker=each.speaker or str(speaker),
            accent=accent,
            start=round(each.start, 3),
            end=round(each.end, 3),
            licence=licence,
        )
        for number, each in enumerate(aligned.utterances, start=1)
    )


def align(
    model: SpeechModel,
    recording: Path,
    transcript: str,
    *,
    speakers: bool = False,
    longest_s: float = 15.0,
    shortest_s: float = 1.0,
    lowest_score: float = LOWEST_SCORE,
    batch_size: int = 8,
    track: Track = silent,
) -> Alignment:
    """Return the utterances of a recording of any length, and what could not be placed.

    Sentences are what is placed and scored: they end at a line's end, or behind `.`, `?`, `!` or
    `…`. The sentences of a line become one utterance as long as it is no longer than `longest_s`
    and no second of silence lies within; a transcript of one line gives an utterance for each
    sentence.

    Args:
        model: A CTC model, best one that knows the accent; errors in six of ten words will do.
        recording: Audio of any length, sample rate and channel count.
        transcript: What is said in it, in that order. It may leave out what is said, and have
            sentences that are not said.
        speakers: Lines begin with who speaks, as `ANNA: hello` or `[Anna] hello`. A line without a
            name belongs to the last one named.
        longest_s: Longer ones are cut at the longest pause between words; commas and full stops
            count as 0.2 s of it.
        shortest_s: Shorter ones are joined with the next or the last of the same speaker, where
            less than a second of silence lies between, and no other speech.
        lowest_score: Sentences that score less are left out; 0 keeps all that found a place.
        batch_size: Windows of up to 6 s that the model hears together.
        track: Shows how many minutes are heard.

    Raises:
        ConfigError: `longest_s` is below 2 s or `shortest_s` above its half, or `lowest_score` is
            not between 0 and 1.
        DataError: The recording cannot be read, or the transcript has no word.
        ModelError: The model is no CTC model.
    """
    if not isinstance(model, CtcModel):
        raise ModelError(
            f"{model.name} is a {model.family} model, which spells without saying when; alignment "
            "needs a CTC model: take starter-wav2vec2 or a fine-tuned wav2vec2, HuBERT or WavLM"
        )
    if longest_s < 2 or not 0 <= shortest_s <= longest_s / 2 or not 0 <= lowest_score <= 1:
        raise ConfigError(
            "alignment needs longest_s of 2 s or more, shortest_s of 0 s to half of that, and "
            f"lowest_score of 0 to 1; got {longest_s}, {shortest_s} and {lowest_score}"
        )
    text = _text(model, transcript, speakers=speakers)
    if not any(word.ids for word in text.words):
        raise DataError(f"the transcript of {recording} has no word; write what is said in it")
    emission = _hear(model, recording, text, batch_size=batch_size, track=track)
    placer = _Placer(text, emission)
    placer.place(lowest_score=lowest_score)
    return _result(
        text,
        emission,
        placer,
        lowest_score=lowest_score,
        longest_s=longest_s,
        shortest_s=shortest_s,
    )


# --- the transcript -------------------------------------------------------------------------------

_NAMED = re.compile(r"\s*(?:\[([^\]\n]+)\]:?|([^\W\d_][\w.'’-]*(?: [\w.'’-]+){0,3}):)(?=\s|$)")
_TOKEN = re.compile(r"\[[^\]\n]*\]|<[^>\n]*>|\S+")
_ENDS = re.compile(r"[.?!…]+[\"'”’»)\]]*$")
_NO_END = re.compile(r"^\W*(?:[^\W\d_]|Mrs?|Ms|Dr|Prof|St|Mt|vs|etc|e\.g|i\.e)\.$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Word:
    """A word, and the vocabulary's ids of its characters; `_WILDCARD` for what it lacks."""

    text: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Sentence:
    """The words `first` to, not with, `stop` of the text; `line` counts the transcript's lines."""

    first: int
    stop: int
    line: int
    speaker: str | None


@dataclass(frozen=True, slots=True)
class _Text:
    words: tuple[_Word, ...]
    sentences: tuple[_Sentence, ...]
    wildcards: tuple[str, ...]
    space: int | None  # the id of the word delimiter, if the vocabulary has one
    characters: Mapping[int, str]

    def spelled(self, first: int, stop: int) -> str:
        return " ".join(word.text for word in self.words[first:stop])


def _text(model: CtcModel, transcript: str, *, speakers: bool) -> _Text:
    config: Any = model.network.config
    vocabulary = spelling(model.tokenizer, size=config.vocab_size)
    words: list[_Word] = []
    sentences: list[_Sentence] = []
    wildcards: dict[str, None] = {}
    lines = [line for line in transcript.splitlines() if line.strip()]
    speaker = None
    for number, line in enumerate(lines):
        named = _NAMED.match(line) if speakers else None
        if named:
            speaker = (named[1] or named[2]).strip()
        for tokens in _sentences(_TOKEN.findall(line[named.end() if named else 0 :])):
            first = len(words)
            words += _spelled(tokens, vocabulary, wildcards)
            if len(words) > first:
                # Sentences of a single block stand alone, as lines do.
                line_number = number if len(lines) > 1 else len(sentences)
                sentences.append(_Sentence(first, len(words), line_number, speaker))
    return _Text(
        tuple(words),
        tuple(sentences),
        tuple(wildcards),
        vocabulary.get(" "),
        {i: character for character, i in vocabulary.items()},
    )


def _sentences(tokens: Sequence[str]) -> Iterator[list[str]]:
    """Yield the tokens of each sentence of a line."""
    sentence: list[str] = []
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        sentence.append(token)
        ends = _ENDS.search(token) and not _NO_END.match(token) and not following[:1].islower()
        if ends or not following:
            yield sentence
            sentence = []


def _spelled(
    tokens: Sequence[str], vocabulary: Mapping[str, int], wildcards: dict[str, None]
) -> list[_Word]:
    """Return the words of a sentence; a token with nothing to say joins the word before it."""
    words: list[_Word] = []
    waiting = ""
    for token in tokens:
        ids = _ids(token, vocabulary)
        if _WILDCARD in ids:
            wildcards[token] = None
        if ids:
            words.append(_Word(waiting + token, ids))
            waiting = ""
        elif words:
            words[-1] = replace(words[-1], text=f"{words[-1].text} {token}")
        else:
            waiting = f"{waiting}{token} "
    return words


def _ids(token: str, vocabulary: Mapping[str, int]) -> tuple[int, ...]:
    """Return the ids of a token's characters, spelled as for training."""
    if token[0] in "[<" and token[-1] in "]>":
        return (_WILDCARD,)
    spelled = in_case_of(vocabulary, token)
    if set(spelled) - vocabulary.keys():
        spelled = in_case_of(vocabulary, normaliser("plain")(token))
    found = [
        vocabulary.get(each, _WILDCARD) for each in spelled if each != " " or " " in vocabulary
    ]
    # One wildcard matches as much as several would, and several would need blanks between them.
    return tuple(
        i for place, i in enumerate(found) if i != _WILDCARD or found[place - 1 : place] != [i]
    )


# --- what the model hears -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Emission:
    """What the model hears in the recording, frame by frame.

    Attributes:
        log_probabilities: Float32 `(frames, columns)`: of the blank, of the characters of the
            transcript, and of the wildcard.
        columns: The column of each id of the transcript, and of the wildcard.
        spans: Float64 `(frames, 2)`: where each frame begins and ends (s).
        heard: The ids that the model spells without help, without the blank.
        at: The frame in which each of these begins.
        quiet: `(runs, 2)`: where pauses of a tenth of a second or more begin and end (s).
    """

    log_probabilities: Tensor
    columns: Mapping[int, int]
    spans: npt.NDArray[np.float64]
    heard: npt.NDArray[np.int64]
    at: npt.NDArray[np.int64]
    quiet: npt.NDArray[np.float64]


def _hear(
    model: CtcModel, recording: Path, text: _Text, *, batch_size: int, track: Track
) -> _Emission:
    """Return what the model hears in a recording, which is read a minute at a time."""
    used = {i for word in text.words for i in word.ids} - {_WILDCARD}
    listener = _Listener(model, sorted(used | _spaces(text)), text.space)
    blocks = max(1, math.ceil(duration(recording) / _BLOCK_S))
    start = 0.0
    for block in track(range(blocks), "listening", total=blocks):
        last = block == blocks - 1
        waveform = read(recording, start=start, end=None if last else (block + 1) * _BLOCK_S)
        quiet, power = _quiet(waveform)
        ranges = _windows(waveform, quiet, power)
        # The last window ends with the block, not in a pause: it begins the next block instead.
        rest = len(waveform) if last else ranges.pop()[0]
        listener.quiet.append(quiet[: rest // _HOP])
        listener.listen(waveform, ranges, start=start, batch_size=batch_size)
        start += rest / SAMPLE_RATE
    return listener.emission()


def _spaces(text: _Text) -> set[int]:
    return set() if text.space is None else {text.space}


def _quiet(waveform: Waveform) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Return of each hop of 10 ms whether it is quiet, and its power, over 30 ms.

    Quiet is a level (dB) within an eighth of the way from that of the quietest tenth to that of the
    loudest one. At a third of the way, ends of sentences that fade into noise were cut.
    """
    hops = waveform[: len(waveform) // _HOP * _HOP].reshape(-1, _HOP)
    power = np.square(hops, dtype=np.float64).mean(axis=1)
    if not len(hops):
        return np.zeros(0, dtype=np.bool_), power
    power = np.convolve(power, np.full(3, 1 / 3), mode="same")[: len(hops)]
    level = 10 * np.log10(power + 1e-10)
    low, high = np.percentile(level, (10, 90))
    return level < 0.875 * low + 0.125 * high, power


def _runs_of(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return where flags are true: `(runs, 2)`, first and stop of each run."""
    return np.flatnonzero(np.diff(flags, prepend=False, append=False)).reshape(-1, 2)


def _windows(
    waveform: Waveform, quiet: npt.NDArray[np.bool_], power: npt.NDArray[np.float64]
) -> list[tuple[int, int]]:
    """Return `(start, end)` sample ranges that cover the waveform, cut in its longest pauses."""
    pauses, hops = _runs_of(quiet), len(power)
    ranges, start = [], 0
    shortest, longest = (int(100 * seconds) for seconds in _WINDOW_S)
    while hops - start > longest:
        first, stop = start + shortest, min(start + longest, hops - shortest // 2)
        end = _pause(pauses, first, stop)
        if end is None:
            sums = np.convolve(power[first:stop], np.ones(10), mode="same")
            end = first + int(np.argmin(sums))
        ranges.append((start * _HOP, end * _HOP))
        start = end
    return [*ranges, (start * _HOP, len(waveform))]


def _pause(pauses: npt.NDArray[np.int64], first: int, stop: int) -> int | None:
    """Return the middle of the longest pause whose middle lies between two hops."""
    middles = pauses.sum(axis=1) // 2
    inside = pauses[(middles >= first) & (middles < stop)]
    if not len(inside):
        return None
    return int(inside[np.argmax(inside[:, 1] - inside[:, 0])].sum()) // 2


class _Listener:
    """Collects what a model hears, window by window."""

    def __init__(self, model: CtcModel, used: Sequence[int], space: int | None) -> None:
        self._model = model
        self._used = [int(model.tokenizer.pad_token_id), *used]
        self._space = space
        self.quiet: list[npt.NDArray[np.bool_]] = []
        self._rows: list[Tensor] = []
        self._spans: list[npt.NDArray[np.float64]] = []
        self._heard: list[int] = []
        self._at: list[int] = []
        self._frames = 0

    def listen(
        self,
        waveform: Waveform,
        ranges: Sequence[tuple[int, int]],
        *,
        start: float,
        batch_size: int,
    ) -> None:
        """Add what is heard in ranges (samples) of a waveform that begins at `start` (s)."""
        pieces = [waveform[slice(*each)] for each in ranges]
        spoken = [i for i, piece in enumerate(pieces) if _may_hold_speech(piece)]
        found: dict[int, tuple[Tensor, Tensor]] = {}
        sizes = [len(pieces[i]) for i in spoken]
        for batch in length_buckets(sizes, batch_size=batch_size):
            chosen = [spoken[k] for k in batch]
            features = self._model.encode([pieces[i] for i in chosen], "head")
            with evaluating(self._model.network):
                rows = self._model.log_probabilities(features, []).cpu()
            for i, each in zip(chosen, rows.split(features.lengths.tolist()), strict=True):
                found[i] = (self._columns(each), each.argmax(dim=-1))
        for i, (low, high) in enumerate(ranges):
            columns, path = found[i] if i in found else self._silence(high - low)
            self._spell(path)
            self._rows.append(columns)
            edges = np.linspace(low, high, len(path) + 1) / SAMPLE_RATE + start
            self._spans.append(np.stack([edges[:-1], edges[1:]], axis=1))
            self._frames += len(path)

    def _columns(self, rows: Tensor) -> Tensor:
        """Return the columns of the transcript's characters, and the wildcard's."""
        kept = rows[:, self._used]
        if self._space is not None:
            # The model spells no space where a window ends.
            kept[-1, 1 + self._used[1:].index(self._space)] = 0.0
        letters = rows.clone()
        letters[:, self._used[0]] = _IMPOSSIBLE
        any_letter = letters.amax(dim=-1)
        wildcard = torch.maximum(kept[:, 0], any_letter - _WILDCARD_COST)
        return torch.cat([kept, wildcard[:, None]], dim=1)

    def _silence(self, samples: int) -> tuple[Tensor, Tensor]:
        """Return what a model should hear where there is nothing: the blank."""
        frames = max(1, samples * _SILENT_FRAMES // SAMPLE_RATE)
        columns = torch.full((frames, len(self._used) + 1), _IMPOSSIBLE)
        columns[:, [0, -1]] = 0.0
        return columns, torch.full((frames,), self._used[0])

    def _spell(self, path: Tensor) -> None:
        """Add the characters of a greedy path, and the space before it."""
        ids = path.numpy()
        begins = np.flatnonzero(np.diff(ids, prepend=-1))
        begins = begins[ids[begins] != self._used[0]]
        spelled, at = ids[begins].tolist(), (begins + self._frames).tolist()
        if self._space is not None and spelled:
            spelled, at = [self._space, *spelled], [self._frames, *at]
        self._heard += spelled
        self._at += at

    def emission(self) -> _Emission:
        """Return all that was heard."""
        heard, at = np.array(self._heard, dtype=np.int64), np.array(self._at, dtype=np.int64)
        if self._space is not None:
            again = (heard == self._space) & (np.roll(heard, 1) == self._space)
            again[:1] = False
            heard, at = heard[~again], at[~again]
        columns = {i: column for column, i in enumerate(self._used) if column}
        columns[_WILDCARD] = len(self._used)
        runs = _runs_of(np.concatenate(self.quiet)) * (_HOP / SAMPLE_RATE)
        return _Emission(
            torch.cat(self._rows),
            columns,
            np.concatenate(self._spans),
            heard,
            at,
            np.asarray(runs[runs[:, 1] - runs[:, 0] >= _PAUSE_S], dtype=np.float64),
        )


def _may_hold_speech(waveform: Waveform) -> bool:
    return len(waveform) >= _SHORTEST_S * SAMPLE_RATE and float(np.ptp(waveform)) > _SILENT_RANGE


# --- where it is ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Place:
    """The frames `first` to, not with, `stop` of a word; its characters and their probability."""

    first: int
    stop: int
    characters: int
    probability: float


class _Agreement:
    """Where the text and what the model heard share runs of characters."""

    def __init__(self, text: _Text, emission: _Emission) -> None:
        said: list[int] = []
        self._begins = np.zeros(len(text.words) + 1, dtype=np.int64)
        for number, word in enumerate(text.words):
            if text.space is not None and said:
                said.append(text.space)
            self._begins[number] = len(said)
            said += [i for i in word.ids if i != _WILDCARD]
        self._begins[-1] = len(said)
        self._at = emission.at
        self._back = 1 if text.space is None else 2  # from a word's first character to the last's
        found = Levenshtein.editops(said, emission.heard.tolist()).as_matching_blocks()
        self._runs = [(run.a, run.b, run.size) for run in found if run.size]
        long = [(a, emission.at[b]) for a, b, size in self._runs if size >= _EVIDENCE_RUN]
        self._known = np.array([(0, 0), *long, (len(said), len(emission.spans))])
        in_runs = np.zeros(len(said) + 1, dtype=np.int64)
        for place, _, size in self._runs:
            if size >= _EVIDENCE_RUN:
                in_runs[place + 1 : place + size + 1] = 1
        self._in_runs = np.cumsum(in_runs)

    def evidence(self, first: int, stop: int) -> float:
        """Return the share of the characters of some words that the model heard."""
        low, high = self._begins[[first, stop]]
        return float(self._in_runs[high] - self._in_runs[low]) / max(1, int(high - low))

    def anchors(self) -> dict[int, int]:
        """Return words that stand in long runs, and a frame between each and the word before it."""
        found = {}
        for place, heard, size in self._runs:
            low, high = place + _ANCHOR_SIDE, place + size - _ANCHOR_SIDE
            if size < _ANCHOR_RUN:
                continue
            for word in range(*np.searchsorted(self._begins[:-1], (low, high + 1)).tolist()):
                letter = heard + int(self._begins[word]) - place
                found[word] = int(self._at[letter - self._back] + self._at[letter] + 1) // 2
        return found

    def guess(self, word: int) -> int:
        """Return the frame in which a word would begin, as far as the runs around it tell."""
        return int(np.interp(self._begins[word], self._known[:, 0], self._known[:, 1]))


class _Placer:
    """Places words in frames; `places` holds those that have one."""

    def __init__(self, text: _Text, emission: _Emission) -> None:
        self.places: dict[int, _Place] = {}
        self.largest_trellis = 0
        self._text = text
        self._emission = emission
        self._agreement = _Agreement(text, emission)
        self._starts = {each.first for each in text.sentences} | {len(text.words)}
        self._evidence = [
            self._agreement.evidence(each.first, each.stop) for each in text.sentences
        ]

    def place(self, *, lowest_score: float) -> None:
        """Place the sentences that the model heard, then the others in the room that is left."""
        heard = [i for i, share in enumerate(self._evidence) if share >= _LEAST_EVIDENCE]
        self.places = self._between_anchors(self._words(heard))
        good = [i for i in heard if self.score(i) >= max(lowest_score, _LEAST_SCORE)]
        if len(good) < len(heard):
            self.places = self._between_anchors(self._words(good))
            good = [i for i in good if self.is_placed(i)]
            self.places = {word: self.places[word] for word in self._words(good)}
        for before, after in pairwise([-1, *good, len(self._text.sentences)]):
            first = self._place_of(before, -1).stop if before >= 0 else 0
            inside = after < len(self._text.sentences)
            stop = self._place_of(after, 0).first if inside else self._frames
            self._fill(list(range(before + 1, after)), first, stop, lowest_score=lowest_score)

    @property
    def _frames(self) -> int:
        return len(self._emission.spans)

    def _place_of(self, sentence: int, word: int) -> _Place:
        each = self._text.sentences[sentence]
        return self.places[range(each.first, each.stop)[word]]

    def _words(self, sentences: Iterable[int]) -> list[int]:
        chosen = (self._text.sentences[i] for i in sentences)
        return [word for each in chosen for word in range(each.first, each.stop)]

    def _between_anchors(self, words: list[int]) -> dict[int, _Place]:
        """Return the places of words, in pieces of 15 s or more that begin and end at anchors."""
        anchors = self._agreement.anchors()
        places: dict[int, _Place] = {}
        start = first = 0
        for k in range(1, len(words)):
            frame = anchors.get(words[k])
            if frame is None or words[k - 1] != words[k] - 1:
                continue
            spans = self._emission.spans
            if spans[min(frame, len(spans) - 1), 0] - spans[first, 0] >= _PIECE_S:
                places |= self._bounded(words[start:k], first, frame)
                start, first = k, frame
        return places | self._bounded(words[start:], first, self._frames)

    def _bounded(self, words: list[int], first: int, stop: int) -> dict[int, _Place]:
        """Return the places of words in frames; too many are cut in the middle of the text."""
        if len(words) < 2 or _cells(self._targets(words), stop - first) <= LARGEST_TRELLIS:
            return self._forced(words, first, stop)
        sizes = np.cumsum([len(self._text.words[word].ids) for word in words])
        half = 1 + int(np.searchsorted(sizes[:-2], sizes[-1] / 2))
        frame = min(max(self._agreement.guess(words[half]), first), stop)
        return self._bounded(words[:half], first, frame) | self._bounded(words[half:], frame, stop)

    def _targets(self, words: Sequence[int]) -> list[tuple[int, int]]:
        """Return the ids that the path must pass, each with its word, -1 between words.

        A wildcard stands before and behind each sentence, a space between two words of one. Where a
        sentence begins or ends with a wildcard of its own, that is enough: of two in a row either
        might take what is heard.
        """
        targets: list[tuple[int, int]] = []
        for number, word in enumerate(words):
            ids = self._text.words[word].ids
            if word in self._starts:
                if ids[0] == _WILDCARD and targets[-1:] == [(_WILDCARD, -1)]:
                    targets.pop()
                elif ids[0] != _WILDCARD and (not targets or targets[-1][0] != _WILDCARD):
                    targets.append((_WILDCARD, -1))
            elif number and self._text.space is not None:
                targets.append((self._text.space, -1))
            targets += [(i, word) for i in ids]
            if word + 1 in self._starts and ids[-1] != _WILDCARD:
                targets.append((_WILDCARD, -1))
        return targets

    def _forced(self, words: Sequence[int], first: int, stop: int) -> dict[int, _Place]:
        """Return the places of words on the likeliest path; none where frames are too few."""
        targets = self._targets(words)
        if not targets or _least_frames(targets) > stop - first:
            return {}
        self.largest_trellis = max(self.largest_trellis, _cells(targets, stop - first))
        columns = torch.tensor([[self._emission.columns[i] for i, _ in targets]])
        rows = self._emission.log_probabilities[first:stop]
        path, scores = forced_align(rows[None], columns, blank=0)
        spans = merge_tokens(path[0], scores[0].exp())
        found: dict[int, list[tuple[int, int, float | None]]] = {}
        for (i, word), span in zip(targets, spans, strict=True):
            low, high = span.start + first, span.end + first
            if i == _WILDCARD:
                found.setdefault(word, []).append((*self._audible(low, high), None))
            elif i != self._text.space:
                found.setdefault(word, []).append((low, high, span.score))
        return {
            word: self._place(each, is_last=word + 1 in self._starts)
            for word, each in found.items()
            if word >= 0
        }

    def _place(
        self, characters: Sequence[tuple[int, int, float | None]], *, is_last: bool
    ) -> _Place:
        """Return the place of a word from those of its characters; wildcards have no probability.

        A character that was found on the other side of a pause makes the word no longer: the place
        is that of most characters, or of those nearer to the sentence.
        """
        spans = self._emission.spans
        groups = [[characters[0]]]
        for left, right in pairwise(characters):
            if spans[right[0], 0] - spans[left[1] - 1, 1] > _TORN_S:
                groups.append([])
            groups[-1].append(right)
        most = max(groups if is_last else groups[::-1], key=len)
        known = [probability for *_, probability in characters if probability is not None]
        return _Place(most[0][0], most[-1][1], len(known), math.fsum(known))

    def _audible(self, low: int, high: int) -> tuple[int, int]:
        """Return the frames, of those of a wildcard, in which the model hears characters."""
        at = self._emission.at
        inside = at[(at >= low) & (at < high) & (self._emission.heard != self._text.space)]
        return (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (low, low + 1)

    def _fill(self, sentences: list[int], first: int, stop: int, *, lowest_score: float) -> None:
        """Place sentences of which little was heard, as far as they score enough and have room.

        Of those that score too low the worse half is taken out at a time, and the others are placed
        anew. What is taken out keeps its last place, to be told.
        """
        if len(sentences) > 1 and _cells(self._targets(self._words(sentences)), stop - first) > (
            LARGEST_TRELLIS
        ):
            half = len(sentences) // 2
            guess = self._agreement.guess(self._text.sentences[sentences[half]].first)
            frame = min(max(guess, first), stop)
            self._fill(sentences[:half], first, frame, lowest_score=lowest_score)
            self._fill(sentences[half:], frame, stop, lowest_score=lowest_score)
            return
        sentences = self._with_room(sentences, stop - first)
        while sentences:
            found = self._bounded(self._words(sentences), first, stop)
            self.places |= found
            scores = {i: self.score(i) for i in sentences}
            bad = sorted((i for i in sentences if scores[i] < lowest_score), key=scores.__getitem__)
            if not bad:
                return
            gone = set(bad[: (len(bad) + 1) // 2])
            sentences = [i for i in sentences if i not in gone]

    def _with_room(self, sentences: Sequence[int], frames: int) -> list[int]:
        """Return as many sentences as have room in some frames, the likeliest first."""
        chosen = []
        for i in sorted(sentences, key=self._evidence.__getitem__, reverse=True):
            frames -= _least_frames(self._targets(self._words([i])))
            if frames < 0:
                break
            chosen.append(i)
        return sorted(chosen)

    def is_placed(self, sentence: int) -> bool:
        """Return whether each word of a sentence has a place."""
        each = self._text.sentences[sentence]
        return all(word in self.places for word in range(each.first, each.stop))

    def score(self, sentence: int) -> float:
        """Return the score of a sentence; 0 where a word of it has no place."""
        each = self._text.sentences[sentence]
        if not self.is_placed(sentence):
            return 0.0
        return _score(self.places[word] for word in range(each.first, each.stop))


def _cells(targets: Sequence[object], frames: int) -> int:
    """Return the size of the trellis: each target has a state, and the blank between them."""
    return frames * (2 * len(targets) + 1)


def _least_frames(targets: Sequence[tuple[int, int]]) -> int:
    """Return how many frames a path needs: one for each target, and a blank between equal ones."""
    return len(targets) + sum(left == right for (left, _), (right, _) in pairwise(targets))


def _score(places: Iterable[_Place]) -> float:
    """Return the mean probability of all characters; 0 where there are none."""
    counted = [(place.characters, place.probability) for place in places]
    characters = sum(count for count, _ in counted)
    return math.fsum(total for _, total in counted) / characters if characters else 0.0


# --- utterances -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Run:
    """Words in a row that make an utterance, `first` to, not with, `stop`."""

    first: int
    stop: int
    line: int
    speaker: str | None


class _Cutter:
    """Turns placed words into utterances: how they are cut and joined, where they begin and end."""

    def __init__(
        self, text: _Text, emission: _Emission, places: Mapping[int, _Place], kept: Sequence[int]
    ) -> None:
        self._text = text
        self._places = places
        self._sentences = [text.sentences[i] for i in kept]
        words = [word for each in self._sentences for word in range(each.first, each.stop)]
        self._begins = emission.spans[[places[word].first for word in words], 0]
        self._ends = emission.spans[[places[word].stop - 1 for word in words], 1]
        self._order = {word: number for number, word in enumerate(words)}
        self._heard = emission.spans[emission.at[emission.heard != text.space]]
        self._length = float(emission.spans[-1, 1])
        self._widen(emission.quiet)

    def _widen(self, quiet: npt.NDArray[np.float64]) -> None:
        """Let words that stand at pauses begin and end where the pauses do.

        CTC spells a character in its midst: edges of speech were 0.1 s off without this.
        """
        if not len(self._begins) or not len(quiet):
            return
        # The first pause that goes on behind a word, and the last one that begins before it.
        behind = np.searchsorted(quiet[:, 1], self._ends, side="right")
        before = np.searchsorted(quiet[:, 0], self._begins) - 1
        ends = np.append(quiet[:, 0], self._length)[behind]
        begins = np.append(quiet[:, 1], 0.0)[before]
        least, most = self._begins + _SLACK_S, self._ends - _SLACK_S
        following = np.append(self._begins[1:], self._length)
        preceding = np.append(0.0, self._ends[:-1])
        self._ends = np.where(ends < following, np.maximum(ends, least), self._ends)
        self._begins = np.where(begins > preceding, np.minimum(begins, most), self._begins)

    def runs(self, *, longest_s: float, shortest_s: float) -> list[_Run]:
        """Return the words of each utterance."""
        whole = [_Run(each.first, each.stop, each.line, each.speaker) for each in self._sentences]
        cut = [piece for run in whole for piece in self._cut(run, longest_s, shortest_s)]
        lines = self._joined(cut, longest_s, lambda left, right: left.line == right.line)
        return self._joined(
            lines,
            longest_s,
            lambda left, right: min(self._seconds(left), self._seconds(right)) < shortest_s,
        )

    def utterance(self, run: _Run) -> AlignedUtterance:
        """Return the utterance of a run of words."""
        words = range(run.first, run.stop)
        start, end = self._limits(run)
        return AlignedUtterance(
            text=self._text.spelled(run.first, run.stop),
            start=start,
            end=end,
            score=_score(self._places[word] for word in words),
            speaker=run.speaker,
            words=tuple(self._word(word) for word in words),
        )

    def _word(self, word: int) -> AlignedWord:
        place, number = self._places[word], self._order[word]
        return AlignedWord(
            text=self._text.words[word].text,
            start=float(self._begins[number]),
            end=float(self._ends[number]),
            score=place.probability / place.characters if place.characters else None,
        )

    def _limits(self, run: _Run) -> tuple[float, float]:
        """Return where the utterance of a run begins and ends, in the pauses around it (s)."""
        first, last = self._order[run.first], self._order[run.stop - 1]
        begin, end = float(self._begins[first]), float(self._ends[last])
        heard = np.searchsorted(self._heard[:, 1], begin - _OWN_S, side="right")
        before = self._heard[max(0, heard - 1) : heard, 1].tolist()
        heard = np.searchsorted(self._heard[:, 0], end + _OWN_S)
        behind = self._heard[heard : heard + 1, 0].tolist()
        before += self._ends[:first][-1:].tolist()
        behind += self._begins[last + 1 :][:1].tolist()
        start = max([0.0, begin - _MARGIN_S, *((begin + each) / 2 for each in before)])
        stop = min([self._length, end + _MARGIN_S, *((end + each) / 2 for each in behind)])
        return start, stop

    def _seconds(self, run: _Run) -> float:
        start, end = self._limits(run)
        return end - start

    def _pause(self, word: int) -> float:
        """Return the silence between a word and the one before it (s), negative for other speech.

        Its words need not be neighbours in the transcript.
        """
        number = self._order[word]
        low, high = float(self._ends[number - 1]), float(self._begins[number])
        following = np.searchsorted(self._heard[:, 0], low + _OWN_S)
        others = self._heard[following : following + 1, 1] <= high - _OWN_S
        return -1.0 if others.any() else high - low

    def _cut(self, run: _Run, longest_s: float, shortest_s: float) -> list[_Run]:
        """Return the pieces of a run, cut at its longest pauses until none is too long."""
        if run.stop - run.first < 2 or self._seconds(run) <= longest_s:
            return [run]
        middle = sum(self._limits(run)) / 2
        best: tuple[tuple[bool, float, float], int] | None = None
        for word in range(run.first + 1, run.stop):
            left, right = replace(run, stop=word), replace(run, first=word)
            scrap = min(self._seconds(left), self._seconds(right)) < shortest_s
            comma = _BREAK_S if _BREAKS.search(self._text.words[word - 1].text) else 0.0
            distance = abs(float(self._begins[self._order[word]]) - middle)
            rank = (not scrap, abs(self._pause(word)) + comma, -distance)
            if best is None or rank > best[0]:
                best = rank, word
        word = run.first + 1 if best is None else best[1]
        left, right = replace(run, stop=word), replace(run, first=word)
        return [*self._cut(left, longest_s, shortest_s), *self._cut(right, longest_s, shortest_s)]

    def _joined(
        self, runs: Sequence[_Run], longest_s: float, wanted: Callable[[_Run, _Run], bool]
    ) -> list[_Run]:
        """Return the runs, neighbours joined where it is wanted and nothing stands against it."""
        joined: list[_Run] = []
        for run in runs:
            if joined and joined[-1].stop == run.first and joined[-1].speaker == run.speaker:
                both = replace(joined[-1], stop=run.stop)
                near = 0 <= self._pause(run.first) < _JOINED_PAUSE_S
                if near and self._seconds(both) <= longest_s and wanted(joined[-1], run):
                    joined[-1] = both
                    continue
            joined.append(run)
        return joined


def _result(
    text: _Text,
    emission: _Emission,
    placer: _Placer,
    *,
    lowest_score: float,
    longest_s: float,
    shortest_s: float,
) -> Alignment:
    """Return what became of the recording and its transcript."""
    numbers = range(len(text.sentences))
    kept = [i for i in numbers if placer.is_placed(i) and placer.score(i) >= lowest_score]
    cutter = _Cutter(text, emission, placer.places, kept)
    runs = cutter.runs(longest_s=longest_s, shortest_s=shortest_s)
    found = tuple(cutter.utterance(run) for run in runs)
    return Alignment(
        utterances=found,
        left_out=tuple(
            _left_out(text, emission, placer, i) for i in sorted(set(numbers) - set(kept))
        ),
        unwritten=tuple(_unwritten(text, emission, found)),
        wildcards=text.wildcards,
        largest_trellis=placer.largest_trellis,
    )


def _left_out(text: _Text, emission: _Emission, placer: _Placer, number: int) -> LeftOut:
    each = text.sentences[number]
    spelled = text.spelled(each.first, each.stop)
    if not placer.is_placed(number):
        return LeftOut(text=spelled, score=0.0, speaker=each.speaker)
    return LeftOut(
        text=spelled,
        score=placer.score(number),
        start=float(emission.spans[placer.places[each.first].first, 0]),
        end=float(emission.spans[placer.places[each.stop - 1].stop - 1, 1]),
        speaker=each.speaker,
    )


def _unwritten(
    text: _Text, emission: _Emission, found: Sequence[AlignedUtterance]
) -> Iterator[Heard]:
    """Yield the speech that is in no utterance, where it is long enough to be a word."""
    begins, ends = emission.spans[emission.at].T
    limits = np.array([(each.start, each.end) for each in found]).reshape(-1, 2)
    owner = np.searchsorted(limits[:, 0], ends) - 1
    owned = (owner >= 0) & (begins < np.append(limits[:, 1], -1.0)[owner])
    others = np.flatnonzero(~owned & (emission.heard != text.space))
    splits = np.flatnonzero(
        (np.diff(begins[others]) >= _JOINED_PAUSE_S) | (np.diff(owner[others]) != 0)
    )
    for group in np.split(others, splits + 1):
        if len(group) and ends[group[-1]] - begins[group[0]] >= _UNWRITTEN_S:
            heard = emission.heard[group[0] : group[-1] + 1].tolist()
            spelled = "".join(text.characters.get(i, "") for i in heard)
            yield Heard(float(begins[group[0]]), float(ends[group[-1]]), spelled.strip())
