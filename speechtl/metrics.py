"""Word and character error counts that add up, and the alignment they come from.

Every rate of the project is a view of an `ErrorCounts`: the rate of a corpus is the rate of the
summed counts, never a mean of rates. The alignment is jiwer's (a minimal edit distance, each error
of weight 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

import jiwer

__all__ = [
    "Aligned",
    "ErrorCounts",
    "Operation",
    "align_words",
    "character_errors",
    "total",
    "word_errors",
]

Operation = Literal["equal", "substitute", "delete", "insert"]


@dataclass(frozen=True, slots=True)
class ErrorCounts:
    """How many words (or characters) of a reference were hit, and the errors by kind."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    @property
    def references(self) -> int:
        """The number of words (characters) in the references."""
        return self.hits + self.substitutions + self.deletions

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions together."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """The error rate as a fraction: errors for each reference word (character); may exceed 1.

        With no reference words the rate is 0.0 when there are no errors, else infinite: words were
        heard where nothing was said, and no finite rate says how many. The insertions stay in the
        counts, so they weigh in every sum that has reference words. (jiwer 4 divides by 1 instead,
        which makes a rate out of a count.)
        """
        if self.references:
            return self.errors / self.references
        return math.inf if self.errors else 0.0


@dataclass(frozen=True, slots=True)
class Aligned:
    """A run of words under one operation.

    `reference` is empty for "insert", `hypothesis` for "delete"; for "equal" and "substitute" the
    two have the same length, word against word.
    """

    operation: Operation
    reference: tuple[str, ...]
    hypothesis: tuple[str, ...]


def word_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Return the word errors of one utterance; words are what white space separates.

    Both texts are taken as they are: normalise them first where that is meant. An empty reference
    makes every hypothesis word an insertion, an empty hypothesis every reference word a deletion.
    """
    return _counts(jiwer.process_words(_spaced(reference), _spaced(hypothesis)))


def character_errors(reference: str, hypothesis: str) -> ErrorCounts:
    """Return the character errors of one utterance; a space between words is a character.

    White space at the ends does not count, and a run of it counts once.
    """
    return _counts(jiwer.process_characters(_spaced(reference), _spaced(hypothesis)))


def total(counts: Iterable[ErrorCounts]) -> ErrorCounts:
    """Return the sum of the counts; that of none is all zero."""
    return sum(counts, ErrorCounts())


def align_words(reference: str, hypothesis: str) -> tuple[Aligned, ...]:
    """Return the alignment that `word_errors` counts, as runs of words in order."""
    output = jiwer.process_words(_spaced(reference), _spaced(hypothesis))
    reference_words, hypothesis_words = output.references[0], output.hypotheses[0]
    return tuple(
        Aligned(
            cast("Operation", chunk.type),
            tuple(reference_words[chunk.ref_start_idx : chunk.ref_end_idx]),
            tuple(hypothesis_words[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in output.alignments[0]
    )


def _counts(output: jiwer.WordOutput | jiwer.CharacterOutput) -> ErrorCounts:
    return ErrorCounts(output.hits, output.substitutions, output.deletions, output.insertions)


def _spaced(text: str) -> str:
    # jiwer splits at the space character alone: a tab or a no-break space would join two words.
    return " ".join(text.split())
