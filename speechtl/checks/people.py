"""What can be wrong with speakers, accents and licences, and with stretches of one recording."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from speechtl.corpus import Corpus, Utterance
from speechtl.faults import VERDICT_SPEAKERS, Fault

__all__ = ["people_faults", "segment_faults"]

Place = Callable[[Utterance], str]

_FEWEST_OWN = 10  # utterances whose speakers are all different, to be worth a word
_OVERLAP_S = 0.05  # times are rounded, and cut in the middle of a pause
_RESTRICTED = {
    "non-commercial": re.compile(r"(?<![a-z0-9])nc(?![a-z])|non[ -]?commercial", re.IGNORECASE),
    "no derivatives": re.compile(r"(?<![a-z0-9])nd(?![a-z])|no[ -]?deriv", re.IGNORECASE),
    # Not the Academic Free License, nor the Educational Community License.
    "research alone": re.compile(
        r"\bresearch\b|\b(?:academic|educational) (?:use|purpose)", re.IGNORECASE
    ),
}


def people_faults(corpus: Corpus, place: Place) -> Iterator[Fault]:
    """Return what is wrong with the speakers, the accents and the licences of a corpus.

    Kinds: speaker-variants, accent-variants, speaker-accents, speaker-sexes, speaker-each-own,
    speakers-few, licence-missing, licence-restricted. Each is told once, at its first utterance.

    Args:
        corpus: Any.
        place: Where an utterance was read.
    """
    firsts = _Firsts(corpus)
    for field in ("speaker", "accent"):
        for names in _variants(firsts.of(field)):
            told = f"{field}s {', '.join(map(repr, names))} look like one"
            yield firsts.fault(f"{field}-variants", field, names[0], told, place)
    for field, kind in (("accent", "speaker-accents"), ("sex", "speaker-sexes")):
        for speaker, values in firsts.of_speakers(field).items():
            if len(values) > 1:
                told = f"speaker {speaker!r} has {len(values)}: {', '.join(sorted(values))}"
                yield firsts.fault(kind, "speaker", speaker, told, place)
    speakers = firsts.of("speaker")
    if len(speakers) == len(corpus) >= _FEWEST_OWN:
        told = f"{len(corpus)} utterances have as many speakers"
        yield firsts.fault("speaker-each-own", "speaker", corpus[0].speaker, told, place)
    for accent, of_it in firsts.speakers_of_accents().items():
        if len(of_it) < VERDICT_SPEAKERS:
            plural = "speaker" if len(of_it) == 1 else "speakers"
            told = f"accent {accent!r} has {len(of_it)} {plural}: {', '.join(sorted(of_it))}"
            yield firsts.fault("speakers-few", "accent", accent, told, place)
    yield from _licences(corpus, firsts, place)


class _Firsts:
    """The values of each field, each with its first utterance and its count; made in one pass."""

    def __init__(self, corpus: Corpus) -> None:
        # A million utterances have few different people in them.
        people = Counter((u.speaker, u.accent, u.sex, u.licence) for u in corpus)
        self._people = people
        self._first: dict[tuple[str, str | None], Utterance] = {}
        left = {
            *(("speaker", speaker) for speaker, *_ in people),
            *(("accent", accent) for _, accent, *_ in people),
            *(("licence", licence) for *_, licence in people),
        }
        for utterance in corpus:
            for field in ("speaker", "accent", "licence"):
                key = (field, getattr(utterance, field))
                if key in left:
                    left.remove(key)
                    self._first[key] = utterance
            if not left:
                break

    def of(self, field: str) -> list[str]:
        """Return the values of `speaker` or `accent`, in the order of the corpus."""
        return [str(value) for name, value in self._first if name == field]

    def licences(self) -> Counter[str | None]:
        """Return the number of utterances of each licence."""
        found: Counter[str | None] = Counter()
        for (*_, licence), count in self._people.items():
            found[licence] += count
        return found

    def of_speakers(self, field: str) -> dict[str, set[str]]:
        """Return the accents, or the sexes, of each speaker."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for speaker, accent, sex, _ in self._people:
            value = accent if field == "accent" else sex
            if value is not None:
                found[speaker].add(value)
        return found

    def speakers_of_accents(self) -> dict[str, set[str]]:
        """Return the speakers of each accent."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for speaker, accent, *_ in self._people:
            found[accent].add(speaker)
        return found

    def fault(self, kind: str, field: str, value: str | None, message: str, place: Place) -> Fault:
        """Return a fault at the first utterance that has the value."""
        utterance = self._first[field, value]
        return Fault(kind, place(utterance), message, utterance.id)


def _variants(names: Iterable[str]) -> Iterator[list[str]]:
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[_bare(name)].append(name)
    return (group for group in alike.values() if len(group) > 1)


def _bare(name: str) -> str:
    """Return a name without what is written in one way or the other; 1-12 is not 11-2."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\s_-]+", "", re.sub(r"(?<=\d)[\s_-]+(?=\d)", ".", folded))


def _licences(corpus: Corpus, firsts: _Firsts, place: Place) -> Iterator[Fault]:
    for licence, count in firsts.licences().items():
        if licence is None:
            told = f"{count} of {len(corpus)} utterances have none"
            yield firsts.fault("licence-missing", "licence", None, told, place)
            continue
        terms = [term for term, pattern in _RESTRICTED.items() if pattern.search(licence)]
        if terms:
            told = f"{licence!r}, of {count} utterances: {', '.join(terms)}"
            yield firsts.fault("licence-restricted", "licence", licence, told, place)


def segment_faults(corpus: Corpus, place: Place) -> Iterator[Fault]:
    """Return stretches of one recording that are there twice, or that overlap.

    Kinds: segment-repeated, segment-overlap (by more than 0.05 s).

    Args:
        corpus: Any.
        place: Where an utterance was read.
    """
    counts = Counter(utterance.audio for utterance in corpus)
    shared: defaultdict[Path, list[Utterance]] = defaultdict(list)
    for utterance in corpus:
        if counts[utterance.audio] > 1:
            shared[utterance.audio].append(utterance)
    for utterances in shared.values():
        utterances.sort(key=_span)
        longest = utterances[0]
        for before, after in pairwise(utterances):
            yield from _of_two(before, longest, after, place)
            longest = max(longest, after, key=lambda each: _span(each)[1])


def _span(utterance: Utterance) -> tuple[float, float]:
    return utterance.start or 0.0, float("inf") if utterance.end is None else utterance.end


def _of_two(
    before: Utterance, longest: Utterance, after: Utterance, place: Place
) -> Iterator[Fault]:
    """Return what is wrong with a stretch, after the one before it and the one that ends last."""
    till = "its end" if after.end is None else f"{after.end:g} s"
    span = f"{after.audio.name} from {after.start or 0:g} s to {till}"
    if _span(before) == _span(after):
        told = f"{span} is utterance {before.id!r} ({place(before)}) too"
        yield Fault("segment-repeated", place(after), told, after.id)
    elif _span(longest)[1] - _span(after)[0] > _OVERLAP_S:
        told = f"{span} overlaps with utterance {longest.id!r} ({place(longest)})"
        yield Fault("segment-overlap", place(after), told, after.id)
