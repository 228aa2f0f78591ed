"""Who says what: the sentences and voices of every split, drawn before any audio is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np

from .sentences import sentence
from .voices import ACCENTS, BASE_VOICES, Voice, voices

__all__ = ["Planned", "corpus_plan", "pretraining_plan"]

# Utterances per split; one lasts about 2.8 s.
SIZES: dict[str, dict[str, int]] = {
    accent: {"train": 126, "dev": 40, "test": 104} for accent in ACCENTS
}
SIZES["scottish"] = {"train": 462, "dev": 72, "test": 198}
SIZES["general"] = {"train": 266, "dev": 192, "test": 208}

_CORPUS, _PRETRAINING = 0, 1


@dataclass(frozen=True, slots=True)
class Planned:
    """One utterance to be made: `seed` draws its rate, pitch, room, noise and level."""

    id: str
    accent: str
    split: str
    voice: Voice
    text: str
    seed: tuple[int, ...]


def corpus_plan(seed: int) -> list[Planned]:
    """Return the corpus; no sentence occurs twice in it."""
    rng = np.random.default_rng([seed, _CORPUS])
    seen: set[str] = set()
    planned: list[Planned] = []
    for accent, splits in SIZES.items():
        for split, size in splits.items():
            speakers = voices(accent, split)
            for index in range(size):
                while (text := sentence(rng)) in seen:
                    pass
                seen.add(text)
                name = f"{accent}-{split}-{index:03d}"
                draw = (seed, _CORPUS, len(planned))
                planned.append(
                    Planned(name, accent, split, speakers[index % len(speakers)], text, draw)
                )
    return planned


def pretraining_plan(seed: int) -> Iterator[Planned]:
    """Yield utterances for the base models without end, none with a sentence of the corpus."""
    reserved = {planned.text for planned in corpus_plan(seed)}
    for index in count():
        rng = np.random.default_rng([seed, _PRETRAINING, index])
        voice = BASE_VOICES[rng.integers(len(BASE_VOICES))]
        while (text := sentence(rng)) in reserved:
            pass
        draw = (seed, _PRETRAINING, index, 1)
        yield Planned(f"base-{index:06d}", "general", "pretraining", voice, text, draw)
