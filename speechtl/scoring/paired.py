"""Both systems on the same utterances: normalised, aligned and counted, once for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from speechtl.errors import DataError
from speechtl.metrics import ErrorCounts, Steps, align
from speechtl.scoring.hypotheses import Hypothesis
from speechtl.significance import Pairs
from speechtl.text import Normaliser
from speechtl.text import normaliser as normaliser_named

__all__ = ["Heard", "Paired", "check_same", "pair", "renormalised"]


@dataclass(frozen=True, slots=True)
class Heard:
    """What one system heard, utterance by utterance.

    Attributes:
        texts: The normalised hypotheses.
        steps: Their alignments with the references.
        counts: Hits, substitutions, deletions and insertions, `(utterances, 4)`.
    """

    texts: list[str]
    steps: list[Steps]
    counts: npt.NDArray[np.int64]

    @property
    def errors(self) -> npt.NDArray[np.int64]:
        """Word errors of each utterance, `(utterances,)`."""
        found: npt.NDArray[np.int64] = self.counts[:, 1:].sum(axis=1)
        return found

    @property
    def total(self) -> ErrorCounts:
        """The word errors of all utterances."""
        return ErrorCounts(*self.counts.sum(axis=0).tolist())


@dataclass(frozen=True, slots=True)
class Paired:
    """Both systems on one set, in the order of the base's rows.

    Attributes:
        rows: The base's rows, which know speaker, accent and recording.
        adapted_rows: The adapted system's rows of the same utterances.
        references: The normalised references.
        base: What the base heard.
        adapted: What the adapted system heard.
    """

    rows: Sequence[Hypothesis]
    adapted_rows: Sequence[Hypothesis]
    references: list[str]
    base: Heard
    adapted: Heard

    @property
    def words(self) -> npt.NDArray[np.int64]:
        """Reference words of each utterance, `(utterances,)`."""
        found: npt.NDArray[np.int64] = self.base.counts[:, :3].sum(axis=1)
        return found

    @property
    def pairs(self) -> Pairs:
        """Words and errors, by speaker."""
        return Pairs(_numbers(self.rows), self.words, self.base.errors, self.adapted.errors)

    def systems(self) -> Iterator[Heard]:
        """Yield what the base heard, then what the adapted system heard."""
        yield self.base
        yield self.adapted


def pair(base: Sequence[Hypothesis], adapted: Sequence[Hypothesis], *, normaliser: str) -> Paired:
    """Return both systems' rows side by side, by utterance id; the order does not matter.

    Raises:
        DataError: The two do not hold the same utterances, or an id stands twice, or a reference
            or a speaker differs between them.
        ConfigError: The normaliser is unknown.
    """
    check_same(base, adapted)
    by_id = {row.id: row for row in adapted}
    others = [by_id[row.id] for row in base]
    normalise = _remembering(normaliser_named(normaliser))
    references = [normalise(row.reference) for row in base]
    first, second = (_heard(references, rows, normalise) for rows in (base, others))
    return Paired(base, others, references, first, second)


def renormalised(paired: Paired, normaliser: str) -> Paired:
    """Return the same rows under another normaliser; what it leaves alike is not aligned again.

    Raises:
        ConfigError: The normaliser is unknown.
    """
    normalise = _remembering(normaliser_named(normaliser))
    references = [normalise(row.reference) for row in paired.rows]
    same = [new == old for new, old in zip(references, paired.references, strict=True)]
    first, second = (
        _heard(references, rows, normalise, known=known, same=same)
        for rows, known in ((paired.rows, paired.base), (paired.adapted_rows, paired.adapted))
    )
    return Paired(paired.rows, paired.adapted_rows, references, first, second)


def _heard(
    references: Sequence[str],
    rows: Sequence[Hypothesis],
    normalise: Normaliser,
    *,
    known: Heard | None = None,
    same: Sequence[bool] = (),
) -> Heard:
    """Return what a system heard, with the alignments that are known already.

    Args:
        references: The normalised references.
        rows: What the system heard.
        normalise: Makes the texts alike.
        known: What it heard under another normaliser.
        same: Which references were the same under that.
    """
    texts = [normalise(row.hypothesis) for row in rows]
    steps = [
        known.steps[index]
        if known is not None and same[index] and text == known.texts[index]
        else align(reference.split(), text.split())
        for index, (reference, text) in enumerate(zip(references, texts, strict=True))
    ]
    return Heard(texts, steps, _counts(steps))


def _counts(steps: Sequence[Steps]) -> npt.NDArray[np.int64]:
    """Return how many steps of each kind each alignment has, `(utterances, 4)`."""
    lengths = np.fromiter(map(len, steps), dtype=np.int64, count=len(steps))
    where = np.repeat(4 * np.arange(len(steps)), lengths)
    every = np.concatenate([np.empty(0, dtype=np.uint8), *steps])
    return np.bincount(where + every, minlength=4 * len(steps)).reshape(-1, 4)


def _remembering(normalise: Normaliser) -> Callable[[str], str]:
    """Return the normaliser with a memory: sentences are read by many, and often heard right."""
    return cache(normalise)


def _numbers(rows: Sequence[Hypothesis]) -> npt.NDArray[np.int64]:
    """Return who speaks as numbers, in the order in which they first speak."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(row.speaker, len(numbers)) for row in rows], dtype=np.int64)


def check_same(base: Sequence[Hypothesis], adapted: Sequence[Hypothesis]) -> None:
    """Refuse two systems' rows that are not of the same utterances.

    Raises:
        DataError: An id is in one alone, or stands twice, or a reference or a speaker differs.
    """
    faults = [
        f"utterance {id_!r}: {count} times in {system}"
        for system, rows in (("base", base), ("adapted", adapted))
        for id_, count in Counter(row.id for row in rows).items()
        if count > 1
    ]
    before, after = {row.id: row for row in base}, {row.id: row for row in adapted}
    faults += [f"utterance {id_!r}: in base alone" for id_ in before if id_ not in after]
    faults += [f"utterance {id_!r}: in adapted alone" for id_ in after if id_ not in before]
    for id_ in before.keys() & after.keys():
        for name in ("reference", "speaker"):
            first, second = getattr(before[id_], name), getattr(after[id_], name)
            if first != second:
                faults.append(f"utterance {id_!r}: {name} {first!r} in base, {second!r} in adapted")
    if faults:
        raise DataError(
            "Base and adapted must hold the same utterances to be compared; transcribe the set "
            "again with both",
            faults=tuple(sorted(faults)),
        )
