"""Named normalisers of transcripts.

One normaliser serves the references and the hypotheses of both systems, so that a difference in
error rate is never one of spelling. Both normalisers are idempotent.

`none` returns the text as it is. `plain` keeps what is spoken:

1. Unicode NFKC; case folded; every kind of apostrophe and single quotation mark straightened.
2. An apostrophe between two letters or digits stays (`didn't`, `o'er`); every other one goes
   (`'tis` is `tis`, `dogs'` is `dogs`), because it cannot be told from a quotation mark.
3. Dotted abbreviations close up (`U.S.A.` is `usa`, `e.g.` is `eg`).
4. Digits stay digits: a decimal point between two of them stays, a comma between two of them goes
   (`1,000` is `1000`).
5. All other punctuation and symbols, hyphens and dashes among them, become a word break
   (`well-known` is `well known`), so that no two words are ever joined. Invisible format characters
   go without one.
6. White space becomes single spaces, with none at the ends.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from speechtl.errors import ConfigError

__all__ = ["NORMALISERS", "Normaliser", "normaliser"]

Normaliser = Callable[[str], str]

_APOSTROPHES = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u02bb\u02bc\u2032\u0060\u00b4\uff07", "'")
)
_ABBREVIATION = re.compile(r"(?<!\w)(?:[^\W\d_]\.)+[^\W\d_](?!\w)(?:\.(?!\w))?")
_GROUP_COMMA = re.compile(r"(?<=\d),(?=\d)")
_OTHER_COMMA_OR_POINT = re.compile(r",|(?<!\d)\.|\.(?!\d)")
_OUTER_APOSTROPHE = re.compile(r"(?<![^ '])'|'(?![^ '])")


def normaliser(name: str) -> Normaliser:
    """Return the normaliser of this name, a function from a text to its normal form.

    Raises:
        ConfigError: No normaliser has this name.
    """
    if name not in _BY_NAME:
        raise ConfigError(
            f"unknown normaliser {name!r}; the known ones are {', '.join(NORMALISERS)}"
        )
    return _BY_NAME[name]


def _none(text: str) -> str:
    """Return the text as it is."""
    return text


def _plain(text: str) -> str:
    """Return the text as `plain` has it."""
    # One pass can leave work for another: a removed character brings an accent next to its letter,
    # which NFKC then composes. Each pass only shortens or composes, so a fixed point comes, nearly
    # always at once.
    while (settled := _plain_pass(text)) != text:
        text = settled
    return text


def _plain_pass(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).casefold()
    text = _ABBREVIATION.sub(lambda found: found[0].replace(".", ""), text.translate(_APOSTROPHES))
    text = "".join(map(_spoken, text))
    text = _OTHER_COMMA_OR_POINT.sub(" ", _GROUP_COMMA.sub("", text))
    return " ".join(_OUTER_APOSTROPHE.sub(" ", text).split())


def _spoken(character: str) -> str:
    """Return letters, marks, digits and undecided signs as they are, else nothing or a break."""
    category = unicodedata.category(character)
    if category[0] in "LMN" or character in "'.,":
        return character
    return "" if category == "Cf" else " "


_BY_NAME: dict[str, Normaliser] = {"none": _none, "plain": _plain}

NORMALISERS: tuple[str, ...] = tuple(_BY_NAME)
