"""A set's words as people read them: which lists there are, and what they are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from speechtl.scoring import Confusion, Sound, Vocabulary, WordScore

__all__ = ["ConfusionList", "changed_words", "confusion_lists", "heard_as", "sounds_shown"]

SHOWN = 10
"""How many confusions, or words, of a list are shown."""

ADDED, LEFT_OUT = "(added)", "(left out)"

TWICE = 2
"""How often something must happen, or change, to be shown: what happens once is mostly chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusionList:
    """Confusions of one kind, the most frequent first."""

    title: str
    nothing: str
    rows: Sequence[Confusion]


def confusion_lists(words: Vocabulary) -> list[ConfusionList]:
    """Return the lists of confusions that a report shows."""
    lists: list[tuple[str, Sequence[Confusion], Callable[[Confusion], int]]] = [
        ("Most often before", words.confused_before, lambda each: each.base),
        ("Most often after", words.confused_after, lambda each: each.adapted),
        ("Mended most", words.mended_confusions, lambda each: each.base - each.adapted),
        ("New, or more often", words.new_confusions, lambda each: each.adapted - each.base),
    ]
    return [
        ConfusionList(
            title=title,
            nothing="No pair twice or more often.",
            rows=[each for each in rows if times(each) >= TWICE][:SHOWN],
        )
        for title, rows, times in lists
    ]


def changed_words(words: Sequence[WordScore]) -> list[WordScore]:
    """Return the words that changed twice or more often: what happens once is mostly chance."""
    return [each for each in words if abs(each.mended - each.broken) >= TWICE][:SHOWN]


def heard_as(confusion: Confusion) -> str:
    """Return a confusion in words: "loch → lock", "wee → (left out)", "(added) → the"."""
    return f"{confusion.reference or ADDED} → {confusion.heard or LEFT_OUT}"


def sounds_shown(sounds: Sequence[Sound]) -> list[Sound]:
    """Return the ten sounds whose words gained most, and the five whose words gained least."""
    return [*sounds[:10], *sounds[10:][-5:]]
