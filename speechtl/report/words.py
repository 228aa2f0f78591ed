"""A set's words as people read them: which lists there are, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from speechtl.scoring import Confusion, Sound, Vocabulary

__all__ = ["ConfusionList", "confusion_lists", "heard_as", "sounds_shown"]

SHOWN = 10
"""How many confusions of a list are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfusionList:
    """Confusions of one kind, the most frequent first."""

    title: str
    nothing: str
    rows: Sequence[Confusion]


def confusion_lists(words: Vocabulary) -> list[ConfusionList]:
    """Return the lists of confusions that a report shows."""
    return [
        ConfusionList(title=title, nothing=nothing, rows=rows[:SHOWN])
        for title, nothing, rows in (
            ("Most often before", "No word was wrong.", words.confused_before),
            ("Most often after", "No word is wrong.", words.confused_after),
            ("Mended most", "No confusion became rarer.", words.mended_confusions),
            ("New, or more often", "No confusion became more frequent.", words.new_confusions),
        )
    ]


def heard_as(confusion: Confusion) -> str:
    """Return a confusion in words: "loch → lock", "wee → nothing", "nothing → the"."""
    return f"{confusion.reference or 'nothing'} → {confusion.heard or 'nothing'}"


def sounds_shown(sounds: Sequence[Sound]) -> list[Sound]:
    """Return the ten sounds whose words gained most, and the five whose words gained least."""
    return [*sounds[:10], *sounds[10:][-5:]]
