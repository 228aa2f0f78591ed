"""Who speaks in the starter: engines, languages, voice variants, and the split of each.

A *voice* is an engine, a language and a variant (`espeak/en-gb-scotland+f4`, `flite/awb`).
espeak-ng's variants set the timbre, the language sets the accent, so the variants are divided once,
for all accents: those in `TEST` and `DEV` are never heard in training, whatever the accent, neither
by the base models nor in adaptation. The same test timbres speak every accent: a difference between
accents is then the accent's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import variants

__all__ = ["ACCENTS", "BASE_VOICES", "Voice", "voices"]

TEST = ("f4", "m7", "adam", "linda", "paul", "Michael", "aunty", "steph2")
DEV = ("m2", "f5", "Denis", "belinda")
TRAIN = (
    "",
    *("f1", "f2", "f3", "m1", "m3", "m4", "m5", "m6", "m8"),
    *(
        "Alex",
        "Alicia",
        "Andrea",
        "Andy",
        "Annie",
        "antonio",
        "benjamin",
        "boris",
        "caleb",
        "david",
        "Diogo",
    ),
    *(
        "ed",
        "edward",
        "Gene",
        "gustave",
        "Henrique",
        "Hugo",
        "iven",
        "Jacky",
        "john",
        "kaukovalta",
        "Lee",
    ),
    *("marcelo", "Marco", "Mario", "max", "michel", "miguel", "Mike", "pablo", "pedro", "quincy"),
    *("rob", "robert", "sandro", "shelby", "travis", "victor", "zac", "anika", "norbert"),
    *("klatt", "klatt3", "klatt4", "grandpa", "grandma"),
)

ACCENTS: dict[str, tuple[str, ...]] = {
    "scottish": ("en-gb-scotland",),
    "lancashire": ("en-gb-x-gbclan",),
    "west_midlands": ("en-gb-x-gbcwmd",),
    "caribbean": ("en-029",),
    "general": ("en-us", "en-gb-x-rp"),
}


@dataclass(frozen=True, slots=True)
class Voice:
    """One speaker of the starter."""

    engine: str
    name: str

    @property
    def id(self) -> str:
        """The speaker id of the manifest."""
        return f"{self.engine}/{self.name}"


def _espeak(languages: tuple[str, ...], timbres: tuple[str, ...]) -> list[Voice]:
    return [
        Voice("espeak", f"{language}+{timbre}" if timbre else language)
        for language in languages
        for timbre in timbres
    ]


BASE_VOICES: tuple[Voice, ...] = (
    *_espeak(ACCENTS["general"], (*TRAIN, *variants.NAMES)),
    # Recorded voices are rarer than rule-based ones, and harder: they speak as often as sixteen
    # variants.
    *(Voice("flite", name) for name in ("slt", "rms", "kal16") for _ in range(16)),
)
"""The voices that the base models are trained on, repeated by weight."""


def voices(accent: str, split: str) -> list[Voice]:
    """Return the voices of a split: `train` (for `general` it serves replay), `dev` or `test`."""
    languages = ACCENTS[accent]
    match split:
        case "train":
            chosen = _espeak(languages, TRAIN[: 14 if accent == "scottish" else 8])
        case "dev":
            chosen = _espeak(languages, DEV)
        case _:
            chosen = _espeak(languages, TEST)
    if (accent, split) == ("scottish", "test"):
        chosen.append(Voice("flite", "awb"))
    if (accent, split) == ("general", "train"):
        chosen.extend(Voice("flite", name) for name in ("slt", "rms", "kal16"))
    return chosen
