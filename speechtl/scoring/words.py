"""Which words: what is taken for what, which sounds were mended, what was heard out of nothing."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from speechtl.errors import DataError
from speechtl.metrics import DELETE, EQUAL, INSERT, SUBSTITUTE, Steps
from speechtl.scoring.hypotheses import Hypothesis
from speechtl.scoring.paired import Heard, Paired
from speechtl.text import normaliser

__all__ = [
    "Confusion",
    "Hallucination",
    "Silence",
    "Sound",
    "Vocabulary",
    "WordScore",
    "hallucination",
    "read_pronunciations",
    "repeats",
    "silence",
    "spelled",
    "vocabulary",
]

LISTED = 15
"""How many confusions or words a list holds."""

SOUND_WORDS = 10
"""Words that a sound must be in, to be told of."""

REPEATED = 3
"""How often a run of words stands in a row that nobody says so often."""

_LONGEST_RUN = 8  # words

Kind = Literal["vowel", "consonant"]
Pronunciations = Mapping[str, Sequence[str]]
"""A word (lower case) to its phones, ARPAbet symbols."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """How often a word was heard as another, before and after; "" is no word."""

    reference: str
    heard: str
    base: int
    adapted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WordScore:
    """A word of the references: how often it was said, and how often it was not heard right.

    Attributes:
        word: The word.
        said: How often it is in the references.
        base_wrong: How often the base had another word in its place, or none.
        adapted_wrong: The same of the adapted system.
        mended: Wrong before and right after.
        broken: Right before and wrong after.
    """

    word: str
    said: int
    base_wrong: int
    adapted_wrong: int
    mended: int
    broken: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """The words with a sound: said how often, and how often not heard right.

    Attributes:
        kind: "vowel" or "consonant".
        sound: Its spelling ("oo"), or its phone where there are pronunciations ("UW").
        said: Words of the references that have it, as often as they are said.
        base_wrong: How many of them the base had wrong, or did not hear.
        adapted_wrong: The same of the adapted system.
        mended: Wrong before and right after.
        broken: Right before and wrong after.
        examples: Words with it that were mended most.
    """

    kind: Kind
    sound: str
    said: int
    base_wrong: int
    adapted_wrong: int
    mended: int
    broken: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """A set's words; lists hold the 15 first of their kind, but for `sounds`, which has all.

    Attributes:
        confused_before: What the base took for what, the most frequent first.
        confused_after: The same of the adapted system.
        mended_confusions: Those that became rarer, by how much.
        new_confusions: Those that became more frequent, by how much.
        mended: Words that are heard right more often than before, by how much.
        broken: Words that are heard right less often.
        sounds: The sounds of words, first those whose words gained most beyond what all words did
            (in standard errors).
        sounds_by: What a sound is: a "spelling", or a "phone" where there were pronunciations.
    """

    confused_before: tuple[Confusion, ...]
    confused_after: tuple[Confusion, ...]
    mended_confusions: tuple[Confusion, ...]
    new_confusions: tuple[Confusion, ...]
    mended: tuple[WordScore, ...]
    broken: tuple[WordScore, ...]
    sounds: tuple[Sound, ...]
    sounds_by: Literal["spelling", "phone"] = "spelling"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hallucination:
    """Signs of text that nobody said.

    Attributes:
        insertion_rate: Inserted words by words of the references (a fraction); None with no word.
        repetitions: Utterances in which words are repeated three times in a row, or more often,
            that are not in the reference as often.
        repeated: The ids of the first of them.
        without_reference: Utterances whose reference has no word, and in which words were heard.
    """

    insertion_rate: float | None
    repetitions: int
    repeated: tuple[str, ...]
    without_reference: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """What a system heard where nobody speaks.

    Attributes:
        recordings: How many there were.
        with_words: In how many of them words were heard.
        words: How many words.
        heard: What was heard in which of them, where anything was.
    """

    recordings: int
    with_words: int
    words: int
    heard: tuple[tuple[str, str], ...]


# --- confusions and words -------------------------------------------------------------------------


def vocabulary(paired: Paired, *, pronunciations: Pronunciations | None = None) -> Vocabulary:
    """Return what became of a set's words.

    Args:
        paired: The set.
        pronunciations: Groups words by their phones; without any, by how they are spelled.
    """
    before, after = (_confused(paired.references, heard) for heard in paired.systems())
    confusions = [
        Confusion(reference=said, heard=heard, base=before[said, heard], adapted=after[said, heard])
        for said, heard in before.keys() | after.keys()
    ]
    words = _word_scores(paired)
    return Vocabulary(
        confused_before=_most(confusions, [each.base for each in confusions]),
        confused_after=_most(confusions, [each.adapted for each in confusions]),
        mended_confusions=_most(confusions, [each.base - each.adapted for each in confusions]),
        new_confusions=_most(confusions, [each.adapted - each.base for each in confusions]),
        mended=_most_words(words, sign=1),
        broken=_most_words(words, sign=-1),
        sounds=_sounds(words, pronunciations),
        sounds_by="spelling" if pronunciations is None else "phone",
    )


def _confused(references: Sequence[str], heard: Heard) -> Counter[tuple[str, str]]:
    """Return how often each word was heard as each other one; missing and added words have ""."""
    found: Counter[tuple[str, str]] = Counter()
    wrong = np.flatnonzero(heard.errors)
    for index in wrong.tolist():
        found.update(
            _differences(heard.steps[index], references[index].split(), heard.texts[index].split())
        )
    return found


def _differences(
    steps: Steps, said: Sequence[str], heard: Sequence[str]
) -> Iterator[tuple[str, str]]:
    i = j = 0
    for step in steps.tolist():
        if step == SUBSTITUTE:
            yield said[i], heard[j]
        elif step == DELETE:
            yield said[i], ""
        elif step == INSERT:
            yield "", heard[j]
        i += step != INSERT
        j += step != DELETE


def _most(confusions: Sequence[Confusion], weights: Sequence[int]) -> tuple[Confusion, ...]:
    """Return those of the greatest weight above zero; of equal ones words for words come first."""
    found = [(each, weight) for each, weight in zip(confusions, weights, strict=True) if weight > 0]
    found.sort(
        key=lambda pair: (
            -pair[1],
            not (pair[0].reference and pair[0].heard),
            pair[0].reference,
            pair[0].heard,
        )
    )
    return tuple(each for each, _ in found[:LISTED])


def _word_scores(paired: Paired) -> list[WordScore]:
    """Return the words of the references, sorted, with how they were heard."""
    numbers: dict[str, int] = {}
    said = [
        numbers.setdefault(word, len(numbers))
        for reference in paired.references
        for word in reference.split()
    ]
    before, after = (_wrong(heard.steps) for heard in paired.systems())
    counts = (
        np.bincount(said, weights, len(numbers)).astype(np.int64)
        for weights in (np.ones(len(said)), before, after, before & ~after, after & ~before)
    )
    return [
        WordScore(
            word=word, said=said_, base_wrong=base, adapted_wrong=adapted, mended=well, broken=ill
        )
        for word, said_, base, adapted, well, ill in sorted(
            zip(numbers, *(each.tolist() for each in counts), strict=True)
        )
    ]


def _wrong(alignments: Sequence[Steps]) -> npt.NDArray[np.bool_]:
    """Return which reference words are wrong or missing, of all utterances, one after another."""
    steps = np.concatenate([np.empty(0, dtype=np.uint8), *alignments])
    found: npt.NDArray[np.bool_] = steps[steps != INSERT] != EQUAL
    return found


def _most_words(words: Iterable[WordScore], *, sign: int) -> tuple[WordScore, ...]:
    changed = [each for each in words if sign * (each.mended - each.broken) > 0]
    changed.sort(key=lambda each: (-abs(each.mended - each.broken), each.word))
    return tuple(changed[:LISTED])


# --- sounds ---------------------------------------------------------------------------------------

_VOWELS = (
    # A vowel and an r are one sound where no vowel follows; "there" and "cares" are so too.
    "eigh|aigh|ough|augh|igh|eau|[aeiou]re(?=s?$)|(?:ai|ea|ee|ei|ie|oa|oo|ou|[aeiou])r(?![aeiouyr])|"
    "ai|ay|au|aw|ae|ea|ee|ei(?!ng$)|eu|ew|ey(?![aeiou])|ie|oa|oe|oi(?!ng$)|oo|ou|ow|oy|ue|ui(?!ng$)|uy|[aeiouy]"
)
_CONSONANTS = (
    "tch|dge|ch|sh|th|ph|wh|gh|kn|wr|ng|nk|ck|qu|b+|c+|d+|f+|g+|h|j|k+|l+|m+|n+|p+|r+|s+|t+|v+|w|x|"
    "z+|y(?=[aeiou])"
)
_SPELLED = re.compile(
    r"(?P<silent>(?<=[aeiou][bcdfgklmnpstvz])e$|(?<=[aeiou][bdfklmnptv])e(?=s$))"
    rf"|(?P<consonant>^y|{_CONSONANTS})|(?P<vowel>{_VOWELS})"
)
_VOWEL_PHONES = frozenset(
    ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
)


@cache
def spelled(word: str) -> frozenset[tuple[Kind, str]]:
    """Return the vowels and consonants as a word spells them: "loch" has l, o and ch.

    A doubled consonant is the single one. A vowel before one consonant and a last, silent e is its
    own ("a_e" in "make"); another last e is left out where the word has a vowel besides. No
    spelling tells how a word is said in an accent, nor the ch of "loch" from that of "church":
    these are groups in which a difference shows, and no transcription.
    """
    vowels: list[str] = []
    consonants: set[str] = set()
    for each in _SPELLED.finditer(word.lower()):
        if each["consonant"] is not None:
            text = each["consonant"]
            consonants.add(text[0] if len(set(text)) == 1 else text)
        elif each["silent"] is not None and vowels:
            if vowels[-1] in {"a", "e", "i", "o", "u"}:
                vowels[-1] += "_e"
        elif not (each["vowel"] == "e" and each.end() == len(word) and vowels):
            vowels.append(each["vowel"] or "e")
    return frozenset(
        [*(("vowel", text) for text in vowels), *(("consonant", text) for text in consonants)]
    )


def read_pronunciations(path: Path) -> dict[str, tuple[str, ...]]:
    """Return a dictionary in the format of CMUdict: a word and its phones on a line.

    Lines that begin with ";;;" are comments, what follows "#" too. Of several pronunciations,
    "word(2)", the first counts. Digits of stress are left out.

    Raises:
        DataError: It cannot be read, has no word, or lines have no phone; the first 20 are listed.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); give a file like CMUdict's") from error
    found: dict[str, tuple[str, ...]] = {}
    faults = []
    for number, line in enumerate(lines, start=1):
        entry = "" if line.startswith(";;;") else line.partition("#")[0]
        if not entry.strip():
            continue
        word, *phones = entry.split()
        if not phones:
            faults.append(f"{path.name}:{number}: {word!r} has no phone")
        name = re.sub(r"\(\d+\)$", "", word).lower()
        found.setdefault(name, tuple(phone.rstrip("012") for phone in phones))
    if faults:
        more = [f"and {len(faults) - 20} more"] if len(faults) > 20 else []
        raise DataError(
            f"{path} is no pronunciation dictionary; give each line a word and its phones",
            faults=(*faults[:20], *more),
        )
    if not found:
        raise DataError(f"{path} has no word; give a file like CMUdict's")
    return found


def _sounds(words: Sequence[WordScore], known: Pronunciations | None) -> tuple[Sound, ...]:
    members: dict[tuple[Kind, str], list[WordScore]] = {}
    for word in words:
        for sound in spelled(word.word) if known is None else _phones(word.word, known):
            members.setdefault(sound, []).append(word)
    found = [_sound(kind, name, each) for (kind, name), each in members.items()]
    changed = [each for each in found if each.said >= SOUND_WORDS and each.mended != each.broken]
    said = sum(word.said for word in words) or 1
    gained = sum(word.mended - word.broken for word in words) / said
    moved = sum(word.mended + word.broken for word in words) / said

    def beyond(sound: Sound) -> float:
        # How often a word changes sides at all gives the spread of the sum.
        expected, spread = gained * sound.said, math.sqrt(moved * sound.said)
        return (sound.mended - sound.broken - expected) / spread

    changed.sort(key=lambda each: (-beyond(each), each.kind, each.sound))
    return tuple(changed)


def _phones(word: str, known: Pronunciations) -> Iterator[tuple[Kind, str]]:
    for phone in set(known.get(word.lower(), ())):
        yield "vowel" if phone in _VOWEL_PHONES else "consonant", phone


def _sound(kind: Kind, name: str, words: Sequence[WordScore]) -> Sound:
    mended = sorted(words, key=lambda each: (each.broken - each.mended, each.word))
    return Sound(
        kind=kind,
        sound=name,
        said=sum(each.said for each in words),
        base_wrong=sum(each.base_wrong for each in words),
        adapted_wrong=sum(each.adapted_wrong for each in words),
        mended=sum(each.mended for each in words),
        broken=sum(each.broken for each in words),
        examples=tuple(each.word for each in mended[:4] if each.mended > each.broken),
    )


# --- text that nobody said ------------------------------------------------------------------------


def hallucination(paired: Paired, heard: Heard) -> Hallucination:
    """Return the signs that a system wrote what nobody said."""
    words = int(paired.words.sum())
    repeated = [
        row.id
        for row, reference, text in zip(paired.rows, paired.references, heard.texts, strict=True)
        if repeats(text.split(), reference.split())
    ]
    nothing_said = (paired.words == 0) & (heard.errors > 0)
    return Hallucination(
        insertion_rate=heard.total.insertions / words if words else None,
        repetitions=len(repeated),
        repeated=tuple(repeated[:LISTED]),
        without_reference=int(nothing_said.sum()),
    )


def repeats(heard: Sequence[str], said: Sequence[str] = ()) -> bool:
    """Return whether up to eight words stand three times in a row, and more often than was said."""
    if len(heard) < REPEATED or max(Counter(heard).values()) < REPEATED:
        return False
    return any(
        (times := _in_a_row(heard, length)) >= REPEATED and times > _in_a_row(said, length)
        for length in range(1, min(_LONGEST_RUN, len(heard) // REPEATED) + 1)
    )


def _in_a_row(words: Sequence[str], length: int) -> int:
    """Return how often a run of so many words is repeated in a row, at most."""
    longest = current = 0
    for first, second in zip(words, itertools.islice(words, length, None), strict=False):
        current = current + 1 if first == second else 0
        longest = max(longest, current)
    return longest // length + 1 if len(words) >= length else 0


def silence(rows: Sequence[Hypothesis]) -> Silence:
    """Return what a system heard in recordings in which nobody speaks.

    A text without a word in its `plain` form, such as "...", is nothing.
    """
    plain = normaliser("plain")
    words = [plain(row.hypothesis).split() for row in rows]
    told = [
        (row.id, " ".join(row.hypothesis.split()))
        for row, found in zip(rows, words, strict=True)
        if found
    ]
    return Silence(
        recordings=len(rows),
        with_words=len(told),
        words=sum(map(len, words)),
        heard=tuple(told),
    )
