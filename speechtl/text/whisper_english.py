"""The normaliser `whisper-english`: the one with which Whisper's word error rates were published.

Lower case; what stands in brackets, hesitations (`uh`, `mm`), accents and punctuation go;
contractions and titles are written out, numbers become digits, British spelling American. The
tables and the reading of numbers are transformers' (`EnglishTextNormalizer`); the table of
spellings is OpenAI's, in `data/`.

The text that comes out is transformers' to the character, oddities included. What is ours is the
way there, eight times as fast: stages that cannot apply are skipped, replacements of one kind are
made in one pass, and only runs of number words are read as numbers (a word that is none ends
whatever number went before it). A test compares the two on thousands of texts. Where transformers
raises an error, on a number of more than 4,300 digits, the digits stay as they are.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache, lru_cache
from pathlib import Path

from transformers.models.whisper.english_normalizer import (
    ADDITIONAL_DIACRITICS,
    EnglishTextNormalizer,
)

__all__ = ["WhisperEnglish", "load", "spellings"]

_BRACKETS = re.compile(r"[<\[][^>\]]*[>\]]")
_PARENTHESES = re.compile(r"\(([^)]+?)\)")
_BEFORE_APOSTROPHE = re.compile(r"\s+'")
_GROUP_COMMA = re.compile(r"(\d),(\d)")
_FULL_STOP = re.compile(r"\.([^0-9]|$)")
_DIGIT = re.compile(r"\d")
_LONE_PREFIX = re.compile(r"[.$¢€£]([^0-9])")
_LONE_PERCENT = re.compile(r"([^0-9])%")
_SPACES = re.compile(r"\s+")

_KEPT = ".%$¢€£"
"""The signs that numbers are written with."""


class _Clean(dict[int, str]):
    """What each code point of a decomposed text becomes, filled in as they are met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if character in _KEPT:
            clean = character
        elif character in ADDITIONAL_DIACRITICS:
            clean = ADDITIONAL_DIACRITICS[character]
        elif category == "Mn":
            clean = ""
        else:
            clean = " " if category[0] in "MSP" else character
        self[code] = clean
        return clean


class WhisperEnglish:
    """Whisper's normaliser of English: call it with a text."""

    def __init__(self) -> None:
        english = EnglishTextNormalizer(spellings())
        self._spellings = english.standardize_spellings.mapping
        self._clean = _Clean()
        self._numbers = english.standardize_numbers
        self._numeric = frozenset(self._numbers.words)
        # Without a number these words stay as they are. All others may become digits, or go.
        inert = {"and", *self._numbers.following_prefixers, *self._numbers.suffixers}
        self._active = self._numeric - inert
        self._number = lru_cache(maxsize=4096)(self._number_of_run)

        self._hesitations = re.compile(english.ignore_patterns)
        edge = r"\b"
        whole: dict[str, str] = {}
        endings: dict[str, str] = {}
        for pattern, written_out in english.replacers.items():
            group = whole if pattern.startswith(edge) else endings
            group[pattern.removeprefix(edge).removesuffix(edge)] = written_out
        past = {ending: endings.pop(ending) for ending in list(endings) if " " in ending}
        negative = {"n't": endings.pop("n't")}
        self._words = _Replacer(whole, before=edge)
        # One after the other, as transformers has them: `who'sn't` is `who's not`, then `who is`.
        self._endings = [_Replacer(past), _Replacer(negative), _Replacer(endings)]

    def __call__(self, text: str) -> str:
        """Return the text as Whisper's normaliser has it; a space may be left at either end."""
        text = self._written_out(text.lower())
        if "," in text:
            text = _GROUP_COMMA.sub(r"\1\2", text)
        if "." in text:
            text = _FULL_STOP.sub(r" \1", text)
        text = unicodedata.normalize("NFKD", text).translate(self._clean)

        spelling = self._spellings.get
        text = " ".join([spelling(word, word) for word in self._with_digits(text)])

        if any(sign in text for sign in _KEPT):
            text = _LONE_PERCENT.sub(r"\1 ", _LONE_PREFIX.sub(r" \1", text))
            text = _SPACES.sub(" ", text)
        return text

    def _written_out(self, text: str) -> str:
        """Return the lower-case text without brackets and hesitations, contractions written out."""
        if "<" in text or "[" in text:
            text = _BRACKETS.sub("", text)
        if "(" in text:
            text = _PARENTHESES.sub("", text)
        text = self._hesitations.sub("", text)
        if "'" not in text:
            return self._words(text)
        text = self._words(_BEFORE_APOSTROPHE.sub("'", text))
        for replacer in self._endings:
            text = replacer(text)
        return text

    def _with_digits(self, text: str) -> list[str]:
        """Return the words of the text, numbers among them as digits."""
        if "half" in text or _DIGIT.search(text):
            text = self._numbers.preprocess(text)
        elif self._active.isdisjoint(words := text.split()):
            return words
        done: list[str] = []
        run: list[str] = []
        for word in text.split():
            if word in self._numeric or not word.isalpha():
                run.append(word)
                continue
            if run:
                done.append(self._number(" ".join(run)))
                run = []
            done.append(word)
        if run:
            done.append(self._number(" ".join(run)))
        processed: str = self._numbers.postprocess(" ".join(done))
        return processed.split()

    def _number_of_run(self, run: str) -> str:
        words = run.split(" ")
        try:
            return " ".join(word for word in self._numbers.process_words(words) if word is not None)
        except ValueError:  # more digits than Python turns into a number
            return run


class _Replacer:
    """Replaces each of several strings that end where a word ends, in one pass."""

    def __init__(self, replacements: dict[str, str], *, before: str = "") -> None:
        self._replacements = replacements
        self._pattern = re.compile(rf"{before}(?:{'|'.join(map(re.escape, replacements))})\b")

    def __call__(self, text: str) -> str:
        return self._pattern.sub(lambda found: self._replacements[found[0]], text)


@cache
def load() -> WhisperEnglish:
    """Return the normaliser, made once."""
    return WhisperEnglish()


def spellings() -> dict[str, str]:
    """Return OpenAI's table: British spellings with their American ones."""
    data = Path(__file__).with_name("data").joinpath("whisper_english_spellings.json")
    table: dict[str, str] = json.loads(data.read_text(encoding="utf-8"))
    return table
