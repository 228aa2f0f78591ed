"""Transcripts as a model is to be trained on: numbers in words, tidy characters, one case.

What is heard decides, and it is not always in the text: "1984" is read as a year, "1,984" as a
number, "£2.50" as pounds and pence, "10:30" as a time. What could be read in several ways (M25,
1/2, telephone numbers with spaces) is left, and `speechtl data check` tells it (text-digits).
Numbers are spelled by inflect, as British English reads them (one hundred and five).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

from speechtl.text.plain import plain

__all__ = ["Spelling", "spell_numbers"]

_INVISIBLE = re.compile(r"[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")  # some part words
_PUNCTUATION = re.compile(r"[^\w\s'-]|_")

# What stands before or behind a number and makes it no plain one: letters, digits, and what joins
# them in dates, fractions, telephone and version numbers.
_ALONE_BEFORE = r"(?<![\w.,:/\-+£$€'’])"
_ALONE_BEHIND = r"(?![\w/'’])(?![.,:\-]\d)"
_NO_SCALE = r"(?!\s?(?:hundred|thousand|million|billion|trillion|[mbk]n?)\b)"
_GROUPED = r"\d{1,3}(?:,\d{3})+|\d+"
_MONEY = re.compile(rf"{_ALONE_BEFORE}([£$€])({_GROUPED})(?:\.(\d\d))?{_ALONE_BEHIND}{_NO_SCALE}")
_PERCENT = re.compile(rf"{_ALONE_BEFORE}({_GROUPED})(\.\d+)?\s?%")
_CLOCK = re.compile(rf"{_ALONE_BEFORE}([01]?\d|2[0-3]):([0-5]\d){_ALONE_BEHIND}")
_ORDINAL = re.compile(rf"{_ALONE_BEFORE}({_GROUPED})(?:st|nd|rd|th)\b", re.IGNORECASE)
_DECADE = re.compile(rf"{_ALONE_BEFORE}'?((?:1[1-9]|20)?\d0)'?s\b")
_NUMBER = re.compile(rf"{_ALONE_BEFORE}({_GROUPED})(\.\d+)?{_ALONE_BEHIND}")
_TELEPHONE = re.compile(r"(\b0\d{2,5}(?:[ -]\d{3,4})+\b)")
_YEARS = range(1100, 2100)
_MOST_DIGITS = 15  # longer ones are identifiers, which nobody reads as a number
_CURRENCIES = {
    "£": ("pound", "pounds", "penny", "pence"),
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """How transcripts are written. Dialect words stay as they are: nothing is made standard.

    Attributes:
        numbers: `keep`, or `words`.
        punctuation: `keep`; or `drop`: all but apostrophes and hyphens inside of words go.
        case: `keep`, `lower` or `upper`.
    """

    numbers: Literal["keep", "words"] = "keep"
    punctuation: Literal["keep", "drop"] = "keep"
    case: Literal["keep", "lower", "upper"] = "keep"

    def __call__(self, text: str) -> tuple[str, tuple[str, ...]]:
        """Return the text as it is to be trained on, and the names of what was changed.

        Always done: characters are composed (Unicode NFC, "composition"), invisible ones removed
        ("invisible"), and white space made single spaces ("spaces"). Then, where asked,
        "numbers", "punctuation" and "case". A text of which nothing would be left is returned
        unchanged but for these first three.
        """
        changed: list[str] = []
        for name, change in self._steps():
            after = change(text)
            if after != text and (after or name in {"composition", "invisible", "spaces"}):
                changed.append(name)
                text = after
        return text, tuple(changed)

    def _steps(self) -> Iterable[tuple[str, Callable[[str], str]]]:
        yield "invisible", lambda text: _CONTROL.sub(" ", _INVISIBLE.sub("", text))
        yield "composition", lambda text: unicodedata.normalize("NFC", text)
        yield "spaces", lambda text: " ".join(text.split())
        if self.numbers == "words":
            yield "numbers", spell_numbers
        if self.punctuation == "drop":
            yield "punctuation", _without_punctuation
        if self.case != "keep":
            yield "case", str.lower if self.case == "lower" else str.upper


def _without_punctuation(text: str) -> str:
    """Return a text without punctuation, its apostrophes straight; its case is kept."""
    straight = re.sub("[\u2018\u2019\u02bc\u00b4`]", "'", text)
    words = _PUNCTUATION.sub(" ", straight).split()
    stripped = (word.strip("'-") for word in words)
    return " ".join(word for word in stripped if plain(word))


def spell_numbers(text: str) -> str:
    """Return a text with its numbers in words, as far as it is clear how they are read."""
    parts = _TELEPHONE.split(text)  # the odd ones are telephone numbers
    parts[::2] = [_spelled(part) for part in parts[::2]]
    return "".join(parts)


def _spelled(text: str) -> str:
    for pattern, spell in (
        (_MONEY, _money),
        (_PERCENT, _percent),
        (_CLOCK, _clock),
        (_ORDINAL, _ordinal),
        (_DECADE, _decade),
        (_NUMBER, _year_or_number),
    ):
        if not any(map(str.isdecimal, text)):
            break
        text = pattern.sub(partial(_or_as_it_is, spell), text)
    return text


def _or_as_it_is(spell: Callable[[re.Match[str]], str], found: re.Match[str]) -> str:
    return spell(found) or found[0]


def _percent(found: re.Match[str]) -> str:
    spelled = _number(found[1], found[2])
    return f"{spelled} percent" if spelled else ""


def _year_or_number(found: re.Match[str]) -> str:
    return _year(found[0]) or _number(found[1], found[2])


def _money(found: re.Match[str]) -> str:
    one, many, small_one, small_many = _CURRENCIES[found[1]]
    whole, part = int(found[2].replace(",", "")), int(found[3] or 0)
    if len(str(whole)) > _MOST_DIGITS:
        return ""
    pounds = f"{_number(found[2])} {one if whole == 1 else many}"
    pence = f"{_number(str(part))} {small_one if part == 1 else small_many}"
    if not part:
        return pounds
    return f"{pounds} and {pence}" if whole else pence


def _clock(found: re.Match[str]) -> str:
    hour, minute = int(found[1]), int(found[2])
    if not minute:
        return (
            f"{_number(str(hour))} o'clock" if 1 <= hour <= 12 else f"{_number(str(hour))} hundred"
        )
    return f"{_number(str(hour))} {'oh ' if minute < 10 else ''}{_number(str(minute))}"


def _ordinal(found: re.Match[str]) -> str:
    bare = found[1].replace(",", "")
    if len(bare) > _MOST_DIGITS or (len(bare) > 1 and bare[0] == "0"):
        return ""
    return _words(_engine().number_to_words(_engine().ordinal(int(bare)), andword="and", comma=""))


def _decade(found: re.Match[str]) -> str:
    spelled = _year(found[1]) or _number(found[1])
    return f"{spelled[:-1]}ies" if spelled.endswith("y") else f"{spelled}s"


def _year(digits: str) -> str:
    """Return a year in words; nothing for what is read as a plain number: 1900s are, 2000s not."""
    if len(digits) != 4 or not digits.isdecimal() or int(digits) not in _YEARS:
        return ""
    century, rest = divmod(int(digits), 100)
    if century == 20 and rest < 10:
        return ""  # two thousand and five
    if rest == 0:
        return f"{_number(str(century))} hundred"
    return f"{_number(str(century))} {'oh ' if rest < 10 else ''}{_number(str(rest))}"


def _number(digits: str, decimals: str | None = None) -> str:
    """Return a number in words; digit by digit where it begins with zeros; nothing if too long."""
    bare = digits.replace(",", "")
    if len(bare) > _MOST_DIGITS:
        return ""
    if len(bare) > 1 and bare[0] == "0":
        whole = " ".join(_words(_engine().number_to_words(digit)) for digit in bare)
    else:
        whole = _words(_engine().number_to_words(bare, andword="and", comma=""))
    if not decimals:
        return whole
    behind = " ".join(_words(_engine().number_to_words(digit)) for digit in decimals[1:])
    return f"{whole} point {behind}"


def _words(spelled: Any) -> str:
    return str(spelled)


@cache
def _engine() -> Any:
    import inflect  # noqa: PLC0415  (takes a fifth of a second)

    return inflect.engine()
