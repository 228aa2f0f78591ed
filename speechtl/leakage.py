"""What two sets of utterances share: speakers, sentences, recordings.

Sentences are compared in their `plain` form (see `speechtl.text`). One is a near-duplicate of
another when each has at least `FEWEST_WORDS` words and the Jaccard similarity of their multisets of
words is at least 0.8: the words that they share, over these and those that only one of them has. A
word that is there twice counts twice; the order of the words does not count. Of ten words one may
be another (9 / 11), of nine (8 / 10), but not of eight (7 / 9); two in ten may be left out.

The search is exact. It is that of Bayardo, Ma & Srikant 2007, "Scaling up all pairs similarity
search", WWW, in the integer form of Xiao et al. 2011, "Efficient similarity joins for near
duplicate detection", ACM TODS 36(3): words are sorted from the rarest to the most frequent, and two
sentences of a similarity of 0.8 or more share one of the first n // 5 + 1 words of each one's n.
Few sentences share a rare word, so few are compared. Of a corpus of few words, such as digits, all
are frequent: there a word's second and third time in a sentence are what is rare, and sentences of
the same words are looked for once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import NamedTuple, TypeVar

import numba
import numpy as np
import numpy.typing as npt

from speechtl.corpus import Utterance
from speechtl.text import normaliser

__all__ = ["Overlap", "overlaps"]

EXAMPLES = 5
"""The most that are given of each kind."""

FEWEST_WORDS = 4
"""Of a near-duplicate. Of fewer words, one more already leaves a similarity of less than 0.8."""

_LEAST, _OF = 4, 5  # a similarity of 0.8, in integers, which do not round

_Key = TypeVar("_Key", str, bytes)
_Bag = tuple[str, ...]
_Integers = npt.NDArray[np.int64]
_plain = normaliser("plain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What the second of two sets has in common with the first.

    Attributes:
        first: The set that is known before, such as "train".
        second: The set that is looked at, such as "test".
        utterances: How many the second has.
        speakers: Speakers of both, sorted.
        prompts: Utterances of the second whose sentence (in its `plain` form) is in the first. A
            text without a word is no sentence.
        near_prompts: Further ones, of which the first has a near-duplicate (see the module).
        audio: Utterances of the second whose recording is in the first, sample by sample.
        examples: Up to 5 of each kind ("speaker", "prompt", "near prompt", "audio"), as (kind, id
            of the second's utterance, id of the first's).
    """

    first: str
    second: str
    utterances: int
    speakers: tuple[str, ...] = ()
    prompts: int = 0
    near_prompts: int = 0
    audio: int = 0
    examples: tuple[tuple[str, str, str], ...] = ()


def overlaps(
    sets: Mapping[str, Sequence[Utterance]],
    compared: Sequence[tuple[str, str]],
    *,
    digest: Callable[[Utterance], bytes],
) -> tuple[Overlap, ...]:
    """Return what each two of the sets share, in the order of `compared`.

    The examples are the first of the second set in its order, with one utterance for each speaker,
    who are sorted. Of the first set they name the utterance that is least by id, and for a
    near-duplicate the most similar one; the order of the first set has no influence.

    Args:
        sets: The utterances of each set, by its name; ids are unique within a set.
        compared: Names of a first and a second set. Two of which `sets` lacks one, or has an empty
            one, are left out.
        digest: Of an utterance's decoded samples; equal digests are equal recordings. It is called
            once for each utterance of the sets that are compared, and not for others.
    """
    wanted = [names for names in compared if all(sets.get(name) for name in names)]
    digest_once = cache(digest)
    sides = {
        name: _Side(
            ids=[each.id for each in sets[name]],
            speakers=[each.speaker for each in sets[name]],
            sentences=[_plain(each.text) for each in sets[name]],
            digests=[digest_once(each) for each in sets[name]],
        )
        for name in dict.fromkeys(name for names in wanted for name in names)
    }
    return tuple(_overlap(first, second, sides[first], sides[second]) for first, second in wanted)


class _Side(NamedTuple):
    """What is compared of a set, a value for each utterance."""

    ids: list[str]
    speakers: list[str]
    sentences: list[str]
    digests: list[bytes]


def _overlap(first: str, second: str, before: _Side, after: _Side) -> Overlap:
    """Return what two sets share; `before` is the first's side."""
    speakers = _least(before.speakers, before.ids)
    known = _least(before.sentences, before.ids)
    known.pop("", None)
    unseen = [each for each in dict.fromkeys(after.sentences) if each and each not in known]
    # Sentences of the first in the order of their ids, so that the least of equally near is found.
    near = _near_duplicates(sorted(known, key=known.__getitem__), unseen)
    one_each = dict(zip(reversed(after.speakers), reversed(after.ids), strict=True))
    both = sorted(speakers.keys() & one_each.keys())
    found = {
        "speaker": [(one_each[each], speakers[each]) for each in both],
        "prompt": _pairs(after.sentences, after.ids, known),
        "near prompt": _pairs(
            after.sentences, after.ids, {new: known[old] for new, old in near.items()}
        ),
        "audio": _pairs(after.digests, after.ids, _least(before.digests, before.ids)),
    }
    return Overlap(
        first=first,
        second=second,
        utterances=len(after.ids),
        speakers=tuple(both),
        prompts=len(found["prompt"]),
        near_prompts=len(found["near prompt"]),
        audio=len(found["audio"]),
        examples=tuple((kind, *pair) for kind, pairs in found.items() for pair in pairs[:EXAMPLES]),
    )


def _least(keys: Sequence[_Key], ids: Sequence[str]) -> dict[_Key, str]:
    """Return the least id of those that have each key."""
    least: dict[_Key, str] = {}
    for key, name in zip(keys, ids, strict=True):
        least[key] = min(name, least.get(key, name))
    return least


def _pairs(
    keys: Sequence[_Key], ids: Sequence[str], others: Mapping[_Key, str]
) -> list[tuple[str, str]]:
    """Return each id whose key another set has too, with the id that it has there."""
    return [(name, others[key]) for key, name in zip(keys, ids, strict=True) if key in others]


def _near_duplicates(first: Sequence[str], second: Sequence[str]) -> dict[str, str]:
    """Return the nearest near-duplicate in the first for each sentence of the second that has one.

    Sentences are in `plain` form; of equally near ones it is the earliest in the first.
    """
    old, new = (
        [each for each in sentences if len(each.split()) >= FEWEST_WORDS]
        for sentences in (first, second)
    )
    if not old or not new:
        return {}
    earliest: dict[_Bag, str] = {}
    for sentence in old:
        earliest.setdefault(_bag(sentence), sentence)
    bags = {sentence: _bag(sentence) for sentence in new}
    # What has all the words of one is nearer to it than to any other.
    searched = list(dict.fromkeys(bag for bag in bags.values() if bag not in earliest))
    places = _search(list(earliest), searched) if searched else []
    sentences = list(earliest.values())
    nearest = earliest | {
        bag: sentences[place] for bag, place in zip(searched, places, strict=True) if place >= 0
    }
    return {sentence: nearest[bag] for sentence, bag in bags.items() if bag in nearest}


def _bag(sentence: str) -> _Bag:
    """Return the words of a sentence, each as often as it is there."""
    return tuple(sorted(sentence.split()))


def _search(first: Sequence[_Bag], second: Sequence[_Bag]) -> list[int]:
    """Return for each of the second the place of the nearest in the first, -1 for none."""
    bags = [*first, *second]
    # A word's second time is a word of its own, and a rarer one. As k times and m times have the
    # first min(k, m) in common, the similarity is the same.
    numbers: dict[tuple[str, int], int] = {}
    numbered = [
        numbers.setdefault((word, time), len(numbers))
        for bag in bags
        for word, times in groupby(bag)
        for time, _ in enumerate(times)
    ]
    words = np.asarray(numbered, dtype=np.int64)
    lengths = [len(bag) for bag in bags]
    rank = np.empty(len(numbers), dtype=np.int64)
    rank[np.argsort(np.bincount(words))] = np.arange(len(numbers))
    words = rank[words]
    words = words[np.lexsort((words, np.repeat(np.arange(len(bags)), lengths)))]
    found: list[int] = _nearest(
        words,
        np.cumsum([0, *lengths]),
        np.argsort(lengths[: len(first)], kind="stable"),
        len(numbers),
    ).tolist()
    return found


@numba.njit(cache=True, nogil=True)
def _nearest(words: _Integers, starts: _Integers, by_length: _Integers, distinct: int) -> _Integers:
    """Return for each sentence of the second set the nearest of the first one's, -1 for none.

    Args:
        words: Those of all sentences, one sentence after the other, the first set's before the
            second's; numbered from the rarest to the most frequent, and sorted in each sentence.
        starts: Where each sentence begins, and where the last one ends, `(sentences + 1,)`.
        by_length: The sentences of the first set, the shortest first.
        distinct: How many words there are.
    """
    first = len(by_length)
    begins = np.zeros(distinct + 1, dtype=np.int64)  # of each word's sentences in `holders`
    for x in range(first):
        for k in range(starts[x], starts[x] + _prefix(starts[x + 1] - starts[x])):
            begins[words[k] + 1] += 1
    begins = np.cumsum(begins)
    holders = np.empty(begins[distinct], dtype=np.int64)
    ends = begins[:-1].copy()
    for x in by_length:
        for k in range(starts[x], starts[x] + _prefix(starts[x + 1] - starts[x])):
            holders[ends[words[k]]] = x
            ends[words[k]] += 1
    nearest = np.full(len(starts) - 1 - first, -1, dtype=np.int64)
    compared_to = np.full(first, -1, dtype=np.int64)
    for y in range(first, len(starts) - 1):
        size = starts[y + 1] - starts[y]
        most, of = 0, 1  # shared words of the nearest one so far, and words of both sentences
        for k in range(starts[y], starts[y] + _prefix(size)):
            for h in range(begins[words[k]], ends[words[k]]):
                x = holders[h]
                length = starts[x + 1] - starts[x]
                if length * _LEAST > size * _OF:
                    break  # too long to be near, as all that follow
                if length * _OF < size * _LEAST or compared_to[x] == y:
                    continue
                compared_to[x] = y
                total = size + length
                shared = _shared(words[starts[x] : starts[x + 1]], words[starts[y] : starts[y + 1]])
                # Jaccard is shared / (total - shared), which grows as shared / total does.
                nearer = shared * of - most * total
                if nearer > 0 or (shared > 0 and nearer == 0 and x < nearest[y - first]):
                    most, of, nearest[y - first] = shared, total, x
    return nearest


@numba.njit(cache=True, nogil=True)
def _prefix(size: int) -> int:
    """Return how many of its rarest words show a sentence to all that may be near to it.

    It shares at least 4/5 of its words with those, so not all of the prefix can be missing.
    """
    return size - (size * _LEAST + _OF - 1) // _OF + 1


@numba.njit(cache=True, nogil=True)
def _shared(one: _Integers, other: _Integers) -> int:
    """Return how many words two sorted sentences share, 0 where that is too few to be near."""
    total = len(one) + len(other)
    least = (total * _LEAST + _LEAST + _OF - 1) // (_LEAST + _OF)
    shared = i = j = 0
    while i < len(one) and j < len(other):
        if shared + min(len(one) - i, len(other) - j) < least:
            return 0
        if one[i] == other[j]:
            shared, i, j = shared + 1, i + 1, j + 1
        elif one[i] < other[j]:
            i += 1
        else:
            j += 1
    return shared if shared >= least else 0
