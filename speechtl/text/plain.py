"""The normaliser `plain`, which keeps what is spoken. It is idempotent.

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

__all__ = ["plain"]

_APOSTROPHES = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u02bb\u02bc\u2032\u0060\u00b4\uff07", "'")
)
_ABBREVIATION = re.compile(r"(?<!\w)(?:[^\W\d_]\.)+[^\W\d_](?!\w)(?:\.(?!\w))?")
_GROUP_COMMA = re.compile(r"(?<=\d),(?=\d)")
_OTHER_COMMA_OR_POINT = re.compile(r",|(?<!\d)\.|\.(?!\d)")
_OUTER_APOSTROPHE = re.compile(r"(?<![^ '])'|'(?![^ '])")
# What no rule changes, as most texts of some corpora are. It never goes back (`++`).
_SETTLED = re.compile(r"[a-z0-9]++(?:[ '][a-z0-9]++)*+")


class _Spoken(dict[int, str]):
    """What each code point becomes, filled in as they are met.

    Letters, marks, digits and undecided signs stay; format characters go; the rest is a break.
    """

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        stays = category[0] in "LMN" or character in "'.,"
        self[code] = character if stays else "" if category == "Cf" else " "
        return self[code]


_SPOKEN = _Spoken()


def plain(text: str) -> str:
    """Return the text as `plain` has it."""
    # One pass can leave work for another: a removed character brings an accent next to its letter,
    # which NFKC then composes. Each pass only shortens or composes, so a fixed point comes, nearly
    # always at once.
    while not _SETTLED.fullmatch(text) and (passed := _pass(text)) != text:
        text = passed
    return text


def _pass(text: str) -> str:
    if text.isascii():  # what the others come to, in a tenth of the time
        text = text.replace("`", "'").lower()
    else:
        text = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).casefold()
        text = text.translate(_APOSTROPHES)
    # Each pattern is tried only where it can match: most texts have no points, some no apostrophes.
    if "." in text[:-1]:
        text = _ABBREVIATION.sub(lambda found: found[0].replace(".", ""), text)
    # Before a space or at the end, where most are, a comma or a point is between no two digits.
    text = f"{text.translate(_SPOKEN)} ".replace(", ", " ").replace(". ", " ")
    if "," in text or "." in text:
        text = _OTHER_COMMA_OR_POINT.sub(" ", _GROUP_COMMA.sub("", text))
    if "'" in text:
        text = _OUTER_APOSTROPHE.sub(" ", text)
    return " ".join(text.split())
