"""Which tiers of a TextGrid or an ELAN file hold transcripts, and utterances of what they hold."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from speechtl.sources.rows import Options

__all__ = [
    "POINTS",
    "Stretch",
    "Tally",
    "Tier",
    "chosen",
    "in_time",
    "is_silence",
    "matching",
    "spoken",
]

SILENCE = frozenset({
    "sp", "sil", "ssil", "pau", "<sil>", "<p>", "<p:>", "<pause>", "<silence>", "[sil]", "[pause]",
    "[silence]", "(pause)", "(silence)", "{sl}", "(..)", "(...)", "#", "h#", "+",
})  # fmt: skip
"""What stands in a stretch in which nobody speaks, in lower case.

Of MFA, P2FA, WebMAUS, SPPAS, TIMIT and conversation analysis.
"""

POINTS = "hold points without a length"
"""Why a tier of points is not taken."""

# "(.)", "(0.5)" of conversation analysis, "(pause 0.45)" of CORAAL
_TIMED_PAUSE = re.compile(r"\((?:pause )?\d{0,4}(?:\.\d{0,4})?\)")

_WORDS = frozenset({"words", "word", "ort-mau", "ort"})
_NO_TRANSCRIPT = frozenset({
    "phones", "phone", "phonemes", "phoneme", "phonetic", "segments", "segment", "mau", "kan",
    "kan-mau", "kas", "kas-mau", "mas", "mas-mau", "syllables", "syllable", "ipa", "sampa",
    "comments", "comment", "notes", "note", "misc", "noise", "events", "event", "tones", "tobi",
    "breaks", "break", "silences", "silence", "vad", "gloss", "glosses", "pos", "translation",
    "translations", "topic", "topics", "background",
})  # fmt: skip
_GENERIC = frozenset({
    "utterance", "utterances", "sentence", "sentences", "phrase", "phrases", "turn", "turns",
    "text", "ortho", "orthography", "orthographic", "transcription", "transcriptions",
    "transcript", "transcripts", "trans", "trn", "speech", "speaker", "label", "labels",
    "content", "chunk", "chunks", "ipu", "ipus", "tier", "default", "asr",
    "mary", "john",  # what Praat calls tiers of which nobody says otherwise
}) | _WORDS  # fmt: skip

_PAUSE_S = 0.5
_LONGEST_S = 25.0  # joined words; a Whisper's window is 30 s
# A tier is word by word, whatever its name, if it has many labels, nearly all of one word, and most
# of them begin where the one before ends: words of a list that is read have pauses between them.
_FEWEST_WORDS, _SINGLE, _TOUCHING, _TOUCH_S = 20, 0.95, 0.7, 0.05


class Stretch(NamedTuple):
    """A stretch of a recording, in seconds, with what is written to it."""

    line: int
    start: float
    end: float
    text: str
    speaker: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One tier of an annotation file.

    Attributes:
        name: Its name.
        stretches: What it holds, in the order of the file; empty labels are left out.
        speaker: Who speaks in it, where the file says so beside the tier's name.
        unfit: Why it is taken only where it is named, in a phrase; None for a tier of its own.
    """

    name: str
    stretches: Sequence[Stretch]
    speaker: str | None = None
    unfit: str | None = None


@dataclass(kw_only=True)
class Tally:
    """What was taken for granted in all files of a source, to be told once.

    Attributes:
        counts: How many files each of these is said of: a sentence's beginning, and a name.
        silent: How many stretches hold each mark of silence, and nothing else.
        words: How many words were joined, to how many utterances.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    silent: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, name: str) -> None:
        """Count a name under what is said of it; at most once a file."""
        self.counts.setdefault(what, Counter())[name] += 1

    def lines(self) -> Iterator[str]:
        """Return a line for each thing that was taken for granted."""
        for what, names in self.counts.items():
            yield f"{what}: {_listed(names, 'files')}"
        if self.words:
            words, joined = self.words["words"], self.words["utterances"]
            yield (
                f"{words} words were joined to {joined} utterances: a pause of {_PAUSE_S} s ends"
                f" one, and what is longer than {_LONGEST_S:.0f} s is cut at its longest pause"
            )
        if self.silent:
            marks = _listed(self.silent, "times")
            yield f"stretches that hold only a mark of silence are left out: {marks}"


def is_silence(text: str) -> bool:
    """Return whether a label says that nobody speaks; what else is heard is none of these."""
    label = text.strip().casefold()
    return label in SILENCE or _TIMED_PAUSE.fullmatch(label) is not None


def matching(tiers: Iterable[Tier], wanted: Sequence[str]) -> list[Tier]:
    """Return the tiers of these names, of which each may hold `*`, as in `* - words`."""
    return [
        tier
        for tier in tiers
        if any(name == tier.name or fnmatch.fnmatchcase(tier.name, name) for name in wanted)
    ]


def chosen(tiers: Sequence[Tier], options: Options, tally: Tally) -> list[Tier]:
    """Return the tiers that hold transcripts, each with its speaker where one is known.

    Named tiers are taken as they are. Otherwise those are left out that depend on others, and those
    whose names say phones, comments and the like; tiers of words stay where there are no others.
    """
    taken = matching(tiers, options.tiers) if options.tiers else _likely(tiers, tally)
    filled = [tier for tier in taken if tier.stretches]
    told = "speaker" in options.patterns or options.speaker is not None
    named = len(options.tiers) == 1 and "*" not in options.tiers[0] and told
    return [_with_speaker(tier, alone=len(filled) == 1, named=named) for tier in filled]


def spoken(tier: Tier, tally: Tally) -> list[Stretch]:
    """Return the utterances of a tier: without marks of silence, words joined."""
    silent = Counter(each.text for each in tier.stretches if is_silence(each.text))
    tally.silent.update(silent)
    stretches = [each for each in tier.stretches if each.text not in silent]
    if _role(tier.name)[1] not in _WORDS and not _word_by_word(stretches):
        return [each._replace(speaker=tier.speaker) for each in stretches]
    joined = list(_joined(stretches))
    if len(joined) < len(stretches):
        tally.words.update(words=len(stretches), utterances=len(joined))
        tally.add("tiers that hold a word a stretch", tier.name)
    return [each._replace(speaker=tier.speaker) for each in joined]


def _likely(tiers: Sequence[Tier], tally: Tally) -> list[Tier]:
    taken = []
    for tier in tiers:
        if tier.unfit is not None:
            tally.add(f"tiers are left out, for they {tier.unfit}", tier.name)
        elif _role(tier.name)[1] in _NO_TRANSCRIPT:
            tally.add(
                "tiers are left out, for their names say that they hold no transcript (--tier NAME"
                " takes one)",
                tier.name,
            )
        else:
            taken.append(tier)
    whole = [tier for tier in taken if _role(tier.name)[1] not in _WORDS]
    if not any(tier.stretches for tier in whole):
        return taken
    for tier in taken:
        if tier not in whole:
            tally.add("tiers of words are left out, for others hold utterances", tier.name)
    return whole


def _role(name: str) -> tuple[str, str]:
    """Return the speaker that a tier's name names ("" for none), and what it is, in lower case.

    MFA and FAVE call tiers `Anna - words` where several people speak.
    """
    head, dash, tail = name.rpartition(" - ")
    role = tail.strip().casefold()
    if dash and (role in _GENERIC or role in _NO_TRANSCRIPT):
        return head.strip(), role
    return "", name.strip().casefold()


def _with_speaker(tier: Tier, *, alone: bool, named: bool) -> Tier:
    """Return a tier with its speaker, who is its name unless that only says what it holds.

    Args:
        tier: One that is taken.
        alone: No other one of its file is.
        named: A person named this one tier, and says elsewhere who speaks.
    """
    if tier.speaker is not None:
        return tier
    speaker, role = _role(tier.name)
    if not speaker:
        generic = re.sub(r"[ _.-]?\d+$", "", role) in _GENERIC or role.isdigit()
        speaker = "" if alone and (generic or named) else tier.name.strip()
    return Tier(name=tier.name, stretches=tier.stretches, speaker=speaker or None)


def _word_by_word(stretches: Sequence[Stretch]) -> bool:
    if len(stretches) < _FEWEST_WORDS:
        return False
    single = sum(len(each.text.split()) == 1 for each in stretches)
    touching = sum(abs(after.start - each.end) < _TOUCH_S for each, after in pairwise(stretches))
    return single >= _SINGLE * len(stretches) and touching >= _TOUCHING * (len(stretches) - 1)


def _joined(words: Sequence[Stretch]) -> Iterator[Stretch]:
    """Return words in time joined to utterances, each at the line of its first word."""
    ordered = sorted(words, key=in_time)
    piece: list[Stretch] = []
    for word in ordered:
        # A word whose times cannot be right stands alone, so that it is told with its own line.
        if not word.start < word.end:
            yield word
            continue
        if piece and word.start - piece[-1].end >= _PAUSE_S:
            yield _utterance(piece)
            piece = []
        elif piece and word.end - piece[0].start > _LONGEST_S:
            cut = _longest_pause([*piece, word])
            yield _utterance(piece[:cut])
            piece = piece[cut:]
        piece.append(word)
    if piece:
        yield _utterance(piece)


def _longest_pause(words: Sequence[Stretch]) -> int:
    """Return where to cut words in two: at the longest, and then last, pause of the later half."""
    places = range(max(1, len(words) // 2), len(words))
    return max(places, key=lambda at: (words[at].start - words[at - 1].end, at))


def _utterance(words: Sequence[Stretch]) -> Stretch:
    end = max(word.end for word in words)
    return words[0]._replace(end=end, text=" ".join(filter(None, (word.text for word in words))))


def in_time(stretch: Stretch) -> tuple[float, float]:
    """Return what to sort stretches by."""
    return stretch.start, stretch.end


def _listed(names: Counter[str], unit: str, *, most: int = 12) -> str:
    shown = [
        f"{name!r} ({count} {unit})" if count > 1 else repr(name)
        for name, count in names.most_common(most)
    ]
    if len(names) > most:
        shown.append(f"and {len(names) - most} more")
    return ", ".join(shown)
