"""Accent maps: a dialect's spoken forms and their standard ones (`didnae`, `didn't`).

A recogniser of standard English that writes `little` for `wee`, or `didn't` for `didnae`, has
understood, and is charged an error. A map rewrites such forms in references and hypotheses alike.
It hides errors too (what was heard wrong may be a form's counterpart), so a rate with a map stands
beside the one without, never in its place: a map is applied only where it is named.

A map is a table of single words, of which each has one standard counterpart. No counterpart has a
word that is itself a form, so a map is idempotent. What follows an apostrophe stays (`ye're` is
`you're`, `the bairn's` is `the child's`). A counterpart is written as the normaliser writes it:
`didnae` is `didn't` after `plain` and `did not` after `whisper-english`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

__all__ = ["ACCENT_MAPS", "accent_map", "mapped", "table", "version"]

_VERSIONS = {"scots": 1, "northern": 1}

ACCENT_MAPS: tuple[str, ...] = tuple(_VERSIONS)

_ACCENTS = {
    "scots": {"scotland", "scots", "scottish"},
    "northern": {
        *("cumbria", "cumbrian", "geordie", "lancashire", "northern", "northern england"),
        *("northumberland", "northumbrian", "tyneside", "yorkshire"),
    },
}

# What the names of accents in corpora have beside the accent: `scottish_female`, `en-gb-scotland`.
_BESIDE = {"accent", "british", "en", "english", "female", "gb", "male", "uk"}

_TAILS = ("'s", "'re", "'ve", "'ll", "'d")


def accent_map(accent: str) -> str | None:
    """Return the name of the map for an accent, or `None` where there is none.

    The accent is named as a corpus names it: `scottish`, `Scottish English`, `scottish_female`.
    An accent that is not known to the word has no map: `northern irish` is not `northern`.
    """
    words = re.findall(r"[^\W_]+", accent.casefold())
    spoken = " ".join(word for word in words if word not in _BESIDE)
    return next((name for name, accents in _ACCENTS.items() if spoken in accents), None)


def version(name: str) -> int:
    """Return the version of this map, one of `ACCENT_MAPS`, which changes when its table does."""
    return _VERSIONS[name]


def table(name: str) -> dict[str, str]:
    """Return the forms of this map, one of `ACCENT_MAPS`, each with its standard counterpart."""
    text = Path(__file__).with_name("data").joinpath(f"{name}.tsv").read_text(encoding="utf-8")
    return dict(line.split("\t") for line in text.splitlines() if not line.startswith("#"))


@cache
def mapped(normalise: Callable[[str], str], name: str) -> Callable[[str], str]:
    """Return the normaliser that normalises with this one and then rewrites with this map."""
    standards = {}
    for form, standard in table(name).items():
        standards[form] = normalise(standard)
        if " " not in standard:
            standards |= {f"{form}{tail}": f"{standard}{tail}" for tail in _TAILS}

    def normalise_and_map(text: str) -> str:
        # Normal forms have no white space but the space; what lies between two of them stays.
        return " ".join([standards.get(word, word) for word in normalise(text).split(" ")])

    return normalise_and_map
