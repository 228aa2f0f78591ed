"""What two sets of utterances share: speakers, sentences, recordings.

Sentences are compared in their `plain` form (see `speechtl.text`). One is a near-duplicate of
another when each has at least `FEWEST_WORDS` words and the Jaccard similarity of their multisets of
words is at least 0.8: the words that they share, over these and those that only one of them has. A
word that is there twice counts twice; the order of the words does not count. Of ten words one may
be another (9 / 11), of nine (8 / 10), but not of eight (7 / 9); two in ten may be left out.

The search is exact. Words are sorted from the rarest to the most frequent. Two sentences of a
similarity of 0.8 or more share one of the first n // 5 + 1 words of each one's n (Bayardo, Ma &
Srikant 2007, "Scaling up all pairs similarity search", WWW; in integers as Xiao et al. 2011,
"Efficient similarity joins for near duplicate detection", ACM TODS 36(3)), and two of the first
n // 5 + 2 (Wang, Li & Feng 2012, "Can we beat the prefix filtering?", SIGMOD). Few sentences share
two words that are rare in them, even where no word is rare, so few are compared. Of a corpus of few
words, such as digits, all are frequent: there a word's second and third time in a sentence are what
is rare, sentences of the same words are looked for once, and fingerprints of 64 bits tell most of
the others apart (Sandes, Teodoro & Melo 2020, "Bitmap filter: speeding up exact set similarity
joins with bitwise operations", Information Systems 88).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, compress, count
from operator import attrgetter
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
_MOST_PAIRED = 24  # words; of longer sentences the pairs would be many, and single words are rare
_PAIRS = 15  # of words, of the first 24 // 5 + 2
_SPREAD = -7046029254386353131  # 2^64 divided by the golden ratio (Knuth, TAOCP 3, 6.4), signed
_NONE = -1

_Value = TypeVar("_Value", bound=Hashable)
_Integers = npt.NDArray[np.int64]
_Numbers = npt.NDArray[np.int32]
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
    taken = {name: sets[name] for names in wanted for name in names}
    ids = [[each.id for each in utterances] for utterances in taken.values()]
    orders = [_order(names) for names in ids]
    recordings, _ = _numbered(_digests([*taken.values()], digest))
    speakers, people = _numbered(map(attrgetter("speaker"), each) for each in taken.values())
    sentences, texts = _numbered(
        map(_plain, map(attrgetter("text"), each)) for each in taken.values()
    )
    wordless = texts.index("") if "" in texts else _NONE
    for numbers in sentences:
        numbers[numbers == wordless] = _NONE
    bags = _bags(texts)
    columns = zip(taken, ids, orders, speakers, sentences, recordings, strict=True)
    sides = {name: _Side(*values) for name, *values in columns}
    return tuple(_overlap(names, sides, people=people, bags=bags) for names in wanted)


class _Side(NamedTuple):
    """What is compared of a set, a value for each utterance."""

    ids: list[str]
    order: _Numbers  # the utterances sorted by id
    speakers: _Numbers
    sentences: _Numbers  # _NONE for a text without a word
    recordings: _Numbers


class _Bags(NamedTuple):
    """The multisets of words that sentences have; each is here once."""

    of: _Numbers  # each sentence's, _NONE for one of few words; at the end that of no sentence
    words: _Numbers  # of one bag after the other; see `_nearest`
    starts: _Integers


def _order(ids: list[str]) -> _Numbers:
    """Return the places of the ids, sorted by id."""
    return np.asarray(sorted(range(len(ids)), key=ids.__getitem__), dtype=np.int32)


def _numbered(groups: Iterable[Iterable[_Value]]) -> tuple[list[_Numbers], list[_Value]]:
    """Return a number for each value, from 0 as they are met, and the values by their number."""
    numbers: defaultdict[_Value, int] = defaultdict(count().__next__)
    found = [np.fromiter(map(numbers.__getitem__, values), dtype=np.int32) for values in groups]
    return found, list(numbers)


def _digests(
    groups: Sequence[Sequence[Utterance]], digest: Callable[[Utterance], bytes]
) -> Iterator[Iterator[bytes]]:
    """Yield the digests of each set; an utterance that is in several is asked for once."""
    # Only those are remembered: to hash a million utterances takes as long as all else.
    times = Counter(each.id for utterances in groups for each in utterances)
    several = {name for name, number in times.items() if number > 1}
    del times
    digest_once = cache(digest)
    for utterances in groups:
        yield (digest_once(each) if each.id in several else digest(each) for each in utterances)


def _overlap(
    names: tuple[str, str], sides: Mapping[str, _Side], *, people: Sequence[str], bags: _Bags
) -> Overlap:
    """Return what two sets share; `people` are the speakers by their number."""
    before, after = (sides[name] for name in names)
    speakers = _first_places(before.speakers[before.order], after.speakers)
    prompts = _first_places(before.sentences[before.order], after.sentences)
    unseen = np.where(prompts < 0, after.sentences, _NONE)
    near = _near_places(bags.of[before.sentences[before.order]], bags.of[unseen], bags=bags)
    audio = _first_places(before.recordings[before.order], after.recordings)
    one_each = np.unique(after.speakers, return_index=True)[1]
    both = sorted((people[after.speakers[k]], k) for k in one_each.tolist() if speakers[k] >= 0)
    found = {
        "speaker": [(k, speakers[k]) for _, k in both],
        "prompt": _pairs(prompts),
        "near prompt": _pairs(near),
        "audio": _pairs(audio),
    }
    return Overlap(
        first=names[0],
        second=names[1],
        utterances=len(after.ids),
        speakers=tuple(speaker for speaker, _ in both),
        prompts=len(found["prompt"]),
        near_prompts=len(found["near prompt"]),
        audio=len(found["audio"]),
        examples=tuple(
            (kind, after.ids[new], before.ids[before.order[old]])
            for kind, pairs in found.items()
            for new, old in pairs[:EXAMPLES]
        ),
    )


def _pairs(places: _Numbers) -> list[tuple[int, int]]:
    """Return each place at which something was found, with the place where it was found."""
    there = np.flatnonzero(places >= 0)
    return list(zip(there.tolist(), places[there].tolist(), strict=True))


def _first_places(before: _Numbers, after: _Numbers) -> _Numbers:
    """Return where in `before` each number of `after` is first, _NONE if it is not, or is _NONE."""
    # _NONE is the last place of the table.
    first = np.full(max(before.max(), after.max()) + 2, len(before), dtype=np.int32)
    np.minimum.at(first, before, np.arange(len(before), dtype=np.int32))
    first[first == len(before)] = _NONE
    first[_NONE] = _NONE
    return first[after]


def _near_places(before: _Numbers, after: _Numbers, *, bags: _Bags) -> _Numbers:
    """Return where in `before` the nearest bag is first for each of `after`, _NONE for none."""
    every = np.append(np.arange(len(bags.starts) - 1, dtype=np.int32), np.int32(_NONE))
    places = _first_places(before, every)
    # What has all the words of one is nearer to it than to any other.
    present = np.unique(after)
    searched = present[(present >= 0) & (places[present] < 0)]
    if len(searched):
        places[searched] = _nearest(bags.words, bags.starts, places[:-1], searched)
    return places[after]


def _bags(sentences: list[str]) -> _Bags:
    """Return the bags of different sentences, which are in `plain` form; the list is emptied."""
    lengths = np.fromiter((each.count(" ") + 1 for each in sentences), np.int64, len(sentences))
    lengths[lengths < FEWEST_WORDS] = 0
    starts = np.concatenate([[0], np.cumsum(lengths)])
    numbers: defaultdict[str, int] = defaultdict(count().__next__)
    spoken = chain.from_iterable(map(str.split, compress(sentences, lengths.tolist())))
    words = np.fromiter(map(numbers.__getitem__, spoken), np.int32, starts[-1])
    sentences.clear()  # which may be 100 bytes each, and nobody else's
    _sort_each(words, starts)
    nexts = np.full(len(numbers) + _repeats(words, starts), _NONE, dtype=np.int32)
    distinct = _number_repeats(words, starts, nexts, len(numbers))
    del numbers, nexts
    # In pieces, for bincount makes a copy of eight bytes for each.
    pieces = np.array_split(words, len(words) // 2**20 + 1)
    counts = sum(np.bincount(piece, minlength=distinct) for piece in pieces)
    rank = np.empty(distinct, dtype=np.int32)
    rank[np.argsort(counts, kind="stable")] = np.arange(distinct)
    words = rank[words]
    _sort_each(words, starts)
    of = np.full(len(starts), _NONE, dtype=np.int32)
    begins = np.zeros(len(starts), dtype=np.int64)
    slots = np.full(2 << len(of).bit_length(), _NONE, dtype=np.int32)
    begins = begins[: 1 + _gather(words, starts, slots, of, begins)]
    return _Bags(of, words[: begins[-1]], begins)


@numba.njit(cache=True, nogil=True)
def _sort_each(words: _Numbers, starts: _Integers) -> None:
    """Sort the words of each sentence in place (Shell sort: few words, and some of thousands)."""
    for s in range(len(starts) - 1):
        gap = (starts[s + 1] - starts[s]) // 2
        while gap > 0:
            for k in range(starts[s] + gap, starts[s + 1]):
                word, place = words[k], k
                while place - gap >= starts[s] and words[place - gap] > word:
                    words[place] = words[place - gap]
                    place -= gap
                words[place] = word
            gap //= 2


@numba.njit(cache=True, nogil=True)
def _repeats(words: _Numbers, starts: _Integers) -> int:
    """Return how many words repeat another one of their sentence, whose words are sorted."""
    found = 0
    for s in range(len(starts) - 1):
        for k in range(starts[s] + 1, starts[s + 1]):
            found += words[k] == words[k - 1]
    return found


@numba.njit(cache=True, nogil=True)
def _number_repeats(words: _Numbers, starts: _Integers, nexts: _Numbers, distinct: int) -> int:
    """Number a word's further times in a sentence as words of their own; return how many there are.

    A word's second time is a rarer word. As k times and m times have the first min(k, m) in common,
    the similarity is the same.

    Args:
        words: Those of all sentences, sorted in each sentence; they are changed.
        starts: Where each sentence begins, and where the last one ends.
        nexts: Of each word, its next time; filled in. It must have room for `_repeats` more.
        distinct: How many words there are, without further times.
    """
    for s in range(len(starts) - 1):
        last = _NONE
        for k in range(starts[s], starts[s + 1]):
            word = words[k]
            if word == last:
                if nexts[words[k - 1]] < 0:
                    nexts[words[k - 1]] = distinct
                    distinct += 1
                words[k] = nexts[words[k - 1]]
            last = word
    return distinct


@numba.njit(cache=True, nogil=True)
def _gather(
    words: _Numbers, starts: _Integers, slots: _Numbers, of: _Numbers, begins: _Integers
) -> int:
    """Put the words of the bags, each once, before all others, and return how many bags there are.

    Args:
        words: Those of all sentences, sorted in each sentence.
        starts: Where each sentence begins, and where the last one ends.
        slots: _NONE for each; a power of two, and more than there are sentences.
        of: The number of each sentence's bag, filled in; _NONE stays where a sentence is empty.
        begins: Where each bag begins, and where the last one ends, filled in; the first is 0.
    """
    mask = len(slots) - 1
    bags = 0
    for s in range(len(starts) - 1):
        size = starts[s + 1] - starts[s]
        slot = np.int64(0)
        for k in range(starts[s], starts[s + 1]):
            slot = (slot ^ words[k]) * _SPREAD
            slot ^= (slot >> 32) & 0xFFFFFFFF
        slot &= mask
        while size and of[s] < 0:
            bag = slots[slot]
            if bag < 0:
                for k in range(size):
                    words[begins[bags] + k] = words[starts[s] + k]
                begins[bags + 1] = begins[bags] + size
                slots[slot] = of[s] = bags
                bags += 1
            elif _equal(words[begins[bag] : begins[bag + 1]], words[starts[s] : starts[s + 1]]):
                of[s] = bag
            slot = (slot + 1) & mask
    return bags


@numba.njit(cache=True, nogil=True)
def _equal(one: _Numbers, other: _Numbers) -> bool:
    same = 0
    while len(one) == len(other) and same < len(one) and one[same] == other[same]:
        same += 1
    return same == len(one) == len(other)


@numba.njit(cache=True, nogil=True)
def _nearest(words: _Numbers, starts: _Integers, places: _Numbers, searched: _Numbers) -> _Numbers:
    """Return the place of the nearest bag of the first set for each that is searched, else _NONE.

    Args:
        words: Those of all bags, one bag after the other; numbered from the rarest to the most
            frequent, sorted in each bag, and no number twice in a bag.
        starts: Where each bag begins, and where the last one ends, `(bags + 1,)`.
        places: Of each bag in the first set, _NONE where that has not got it; of equally near ones,
            the first is found.
        searched: Bags that the first set has not got.
    """
    near = np.empty(len(searched), dtype=np.int32)
    most = np.zeros(len(searched), dtype=np.int64)  # shared words of the nearest one so far,
    of = np.empty(len(searched), dtype=np.int64)  # and words of both
    seen = np.empty(len(searched), dtype=np.int64)
    marks = np.empty(len(searched), dtype=np.int64)
    longest = 0
    for y in range(len(searched)):
        near[y], of[y], seen[y] = _NONE, 1, _NONE
        begin, end = starts[searched[y]], starts[searched[y] + 1]
        marks[y] = _mark(words[begin:end])
        longest = max(longest, end - begin)
    # What is longer by more than a quarter is near to none of these.
    keys = np.empty(max(_PAIRS, _prefix(longest * _OF // _LEAST)), dtype=np.int64)
    for paired in (True, False):
        begins, holders, bits = _index(words, starts, searched, paired, keys)
        for x in range(len(places) if len(holders) else 0):
            one = words[starts[x] : starts[x + 1]]
            length = len(one)
            if places[x] < 0 or length * _LEAST > longest * _OF:
                continue
            mark = _mark(one)
            for n in range(_keys(one, paired, bits, keys)):
                for h in range(begins[keys[n]], begins[keys[n] + 1]):
                    y = holders[h]
                    begin, end = starts[searched[y]], starts[searched[y] + 1]
                    total = length + end - begin
                    least = (total * _LEAST + _LEAST + _OF - 1) // (_LEAST + _OF)
                    if (
                        _ones(mark ^ marks[y]) > total - 2 * least
                        or seen[y] == x
                        or min(length, end - begin) * _OF < max(length, end - begin) * _LEAST
                    ):
                        continue
                    seen[y] = x
                    shared = _shared(one, words[begin:end], least)
                    # Jaccard is shared / (total - shared), which grows as shared / total does.
                    nearer = shared * of[y] - most[y] * total
                    if nearer > 0 or (shared > 0 and nearer == 0 and places[x] < near[y]):
                        most[y], of[y], near[y] = shared, total, places[x]
    return near


@numba.njit(cache=True, nogil=True)
def _index(
    words: _Numbers, starts: _Integers, searched: _Numbers, paired: bool, keys: _Integers
) -> tuple[_Numbers, _Numbers, int]:
    """Return where each key begins, its places in `searched`, and the bits that a key has."""
    entries = 0
    for y in range(len(searched)):
        bag = words[starts[searched[y]] : starts[searched[y] + 1]]
        entries += _keys(bag, paired, 1, keys)
    bits = 1
    while 1 << bits < 2 * entries:
        bits += 1
    begins = np.zeros((1 << bits) + 2, dtype=np.int32)
    holders = np.empty(entries, dtype=np.int32)
    for y in range(len(searched)):
        bag = words[starts[searched[y]] : starts[searched[y] + 1]]
        for n in range(_keys(bag, paired, bits, keys)):
            begins[keys[n] + 2] += 1
    for key in range(2, len(begins)):
        begins[key] += begins[key - 1]
    for y in range(len(searched)):
        bag = words[starts[searched[y]] : starts[searched[y] + 1]]
        for n in range(_keys(bag, paired, bits, keys)):
            holders[begins[keys[n] + 1]] = y
            begins[keys[n] + 1] += 1
    return begins, holders, bits


@numba.njit(cache=True, nogil=True)
def _keys(bag: _Numbers, paired: bool, bits: int, keys: _Integers) -> int:
    """Fill in the keys by which a bag is found by all that may be near to it, and return how many.

    Bags that may be near to each other have a key in common: as pairs if none of both has more than
    `_MOST_PAIRED` words, else as single words. So a bag that can be either has both.
    """
    found = 0
    if paired and len(bag) <= _MOST_PAIRED:
        for second in range(1, _prefix(len(bag)) + 1):
            for first in range(second):
                keys[found] = _key(np.int64(bag[first]) << 32 | bag[second], bits)
                found += 1
    elif not paired and len(bag) * _OF > _MOST_PAIRED * _LEAST:
        for first in range(_prefix(len(bag))):
            keys[found] = _key(np.int64(bag[first]), bits)
            found += 1
    return found


@numba.njit(cache=True, nogil=True)
def _key(number: np.int64, bits: int) -> np.int64:
    return (number * _SPREAD >> (64 - bits)) & ((1 << bits) - 1)


@numba.njit(cache=True, nogil=True)
def _prefix(size: int) -> int:
    """Return how many of its rarest words show a bag to all that may be near to it.

    It shares at least 4/5 of its words with those, so not all of the prefix can be missing.
    """
    return size - (size * _LEAST + _OF - 1) // _OF + 1


@numba.njit(cache=True, nogil=True)
def _mark(bag: _Numbers) -> np.int64:
    """Return 64 bits, of which two bags differ in at most the words that only one of them has."""
    mark = np.int64(0)
    for word in bag:
        mark ^= np.int64(1) << (word & 63)
    return mark


@numba.njit(cache=True, nogil=True)
def _ones(mark: np.int64) -> np.int64:
    """Return how many of 64 bits are 1 (Warren, Hacker's Delight, 5-1)."""
    mark -= (mark >> 1) & 0x5555555555555555
    mark = (mark & 0x3333333333333333) + ((mark >> 2) & 0x3333333333333333)
    mark = (mark + (mark >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (mark * 0x0101010101010101) >> 56


@numba.njit(cache=True, nogil=True)
def _shared(one: _Numbers, other: _Numbers, least: int) -> int:
    """Return how many words two bags share, 0 where that is less than `least`."""
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
