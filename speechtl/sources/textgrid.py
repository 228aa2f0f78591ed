"""Praat TextGrids: tiers of labelled stretches, each file beside its recording.

Praat reads its long and its short text format by one rule, and so do we: what counts are texts in
double quotes, numbers and flags such as `<exists>` that begin a word; all else is decoration, and
`!` begins a comment (Praat manual, "TextGrid file formats"; `melder_readtext.cpp`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from speechtl.faults import Fault
from speechtl.sources import annotated
from speechtl.sources.annotated import Transcript, contents, decoded, of_tiers
from speechtl.sources.rows import Options, Row
from speechtl.sources.tiers import POINTS, Stretch, Tally, Tier

__all__ = ["SUFFIXES", "rows"]

SUFFIXES = (".textgrid",)

_BINARY = b"ooBinaryFile"
_INTERVALS, _POINTS = "IntervalTier", "TextTier"
# Possessive, so that a text that is never closed costs one pass over the file. What is skipped at
# once are words that begin as no token does, and hold no quote.
_TOKEN = re.compile(
    r"""(?:\s++|[^\s"!<+\-0-9][^\s"]*+(?!\S)|![^\n]*+)*+"""
    r"""(?:"(?P<text>[^"]*+(?:""[^"]*+)*+)(?P<close>"?)|(?P<word>\S++))"""
)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", re.ASCII)


def rows(source: Path, options: Options, notes: list[str]) -> Iterator[Row | Fault]:
    """Return the labelled stretches of TextGrids, each file's in the order of time.

    Tiers that seem to hold transcripts are taken, see `speechtl.sources.tiers`; words are joined.
    A tier's name is the speaker, unless it only says what the tier holds.

    Args:
        source: A TextGrid, or a folder that holds some at any depth.
        options: `tiers` names those to take; `audio` the recording or the folder of the recordings.
        notes: Gets a line on each thing that was taken for granted.
    """
    yield from annotated.rows(source, options, notes, suffixes=SUFFIXES, read=_read)


def _read(file: Path, place: str, options: Options, tally: Tally) -> Transcript:
    content = contents(file, place)
    if isinstance(content, Fault):
        return Transcript(faults=[content])
    if content.startswith(_BINARY):
        what = "is a binary TextGrid; open it in Praat, and take Save as text file..."
        return Transcript(faults=[Fault("malformed", f"{place}:1", what)])
    text = decoded(content, place)
    if isinstance(text, Fault):
        return Transcript(faults=[text])
    parser = _Parser(text, place)
    tiers = parser.tiers()
    if parser.begins > 0:
        tally.add("TextGrids that begin later than 0 s: times are taken as they stand", place)
    stretches, faults = of_tiers(tiers, place, options, tally)
    return Transcript(stretches=stretches, faults=[*parser.faults, *faults])


class _Token(NamedTuple):
    kind: str  # "text", "number", "flag" or "end"
    value: str | float | None  # None: it cannot be read, which is told
    line: int


class _Parser:
    """Reads the tiers of one TextGrid, and keeps what is wrong with it."""

    def __init__(self, text: str, place: str) -> None:
        self.faults: list[Fault] = []
        self.begins = 0.0
        self._place = place
        self._tokens = self._read_tokens(text)
        self._next = next(self._tokens)

    def tiers(self) -> list[Tier]:
        """Return all tiers that can be read."""
        if not self._is_grid():
            return []
        begins = self._number("the time at which it begins")
        self.begins = begins or 0.0
        self._number("the time at which it ends")
        if self._next.kind == "flag" and self._take().value != "<exists>":
            return []
        line = self._next.line
        size = self._number("the number of tiers")
        tiers: list[Tier] = []
        count = 0
        while self._to_tier():
            count += 1
            tier = self._tier()
            if tier is not None:
                tiers.append(tier)
        if size is not None and count != size:
            self._wrong(line, f"says that there are {size:g} tiers, and there are {count}")
        return tiers

    def _is_grid(self) -> bool:
        first = self._take()
        if first.kind == "text" and str(first.value).startswith("Praat chronological"):
            what = "is a chronological TextGrid; save it in Praat with Save as text file..."
            self._wrong(first.line, what)
            return False
        # Praat once wrote "ooTextFile short".
        if first.kind != "text" or not str(first.value).startswith("ooTextFile"):
            self._wrong(1, 'does not begin with File type = "ooTextFile", as TextGrids do')
            return False
        second = self._take()
        if second.value != "TextGrid":
            self._wrong(second.line, f"is no TextGrid but {second.value!r}")
            return False
        return True

    def _to_tier(self) -> bool:
        """Go to the class of the next tier; what stands before it is wrong."""
        if self._next.kind != "end" and not self._at_tier():
            what = f'must be "{_INTERVALS}" or "{_POINTS}", got {_told(self._next)}'
            self._wrong(self._next.line, what)
        while self._next.kind != "end" and not self._at_tier():
            self._take()
        return self._next.kind != "end"

    def _at_tier(self) -> bool:
        return self._next.kind == "text" and self._next.value in {_INTERVALS, _POINTS}

    def _tier(self) -> Tier | None:
        has_intervals = self._take().value == _INTERVALS
        name = self._text("the name of a tier")
        self._number("the time at which a tier begins")
        self._number("the time at which a tier ends")
        line = self._next.line
        size = self._number("the size of a tier")
        stretches: list[Stretch] = []
        count = 0
        while self._next.kind != "end" and not self._at_tier():
            count += 1
            stretch = self._stretch(has_intervals)
            if stretch is not None and stretch.text:
                stretches.append(stretch)
        if size is not None and count != size:
            what = f"says that the tier {name!r} has {size:g} intervals or points, and it has"
            self._wrong(line, f"{what} {count}")
        if name is None:
            return None
        unfit = None if has_intervals else POINTS
        return Tier(name=name, stretches=stretches if has_intervals else (), unfit=unfit)

    def _stretch(self, has_intervals: bool) -> Stretch | None:
        """Read one interval or point; None if it cannot be used."""
        line = self._next.line
        if self._next.kind != "number":
            self._wrong(line, f"must be the time of an interval, got {_told(self._take())}")
            return None
        start = self._number("the time at which an interval begins")
        end = self._number("the time at which an interval ends") if has_intervals else start
        label = self._text("the text of an interval")
        if start is None or end is None or label is None:
            return None
        # A label may have line ends, which are no part of what is said.
        return Stretch(line, start, end, " ".join(label.split("\n")).strip())

    def _number(self, what: str) -> float | None:
        token = self._next
        if token.kind != "number":
            self._wrong(token.line, f"must be {what}, got {_told(token)}")
            return None
        self._take()
        return token.value if isinstance(token.value, float) else None

    def _text(self, what: str) -> str | None:
        token = self._next
        if token.kind != "text":
            self._wrong(token.line, f"must be {what} in double quotes, got {_told(token)}")
            return None
        self._take()
        return token.value if isinstance(token.value, str) else None

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _wrong(self, line: int, what: str) -> None:
        self.faults.append(Fault("malformed", f"{self._place}:{line}", what))

    def _read_tokens(self, text: str) -> Iterator[_Token]:
        position, line, counted = 0, 1, 0
        while match := _TOKEN.match(text, position):
            position, start = match.end(), match.start("text")
            if start < 0:
                start = match.start("word")
            line += text.count("\n", counted, start)
            counted = start
            if (word := match["word"]) is not None:
                yield from self._read_word(word, line)
                continue
            value: str | None = match["text"].replace('""', '"')
            if not match["close"]:
                self._wrong(line, "the text that begins here is not closed with a double quote")
                value = None
            elif text[position : position + 1].strip():
                at = line + text.count("\n", counted, position)
                self._wrong(at, "a double quote within a text must be doubled")
                value = None
                end = text.find("\n", position)
                position = len(text) if end < 0 else end
            yield _Token("text", value, line)
        last = text.rstrip("\n").count("\n") + 1
        yield _Token("end", None, last)

    def _read_word(self, word: str, line: int) -> Iterator[_Token]:
        """Read a word outside of quotes: a number, a flag, or decoration."""
        if word[0] == "<" and word[-1] == ">":
            yield _Token("flag", word, line)
        elif word[0] in "+-0123456789":
            if not _NUMBER.fullmatch(word):
                self._wrong(line, f"must be a number, got {word!r}")
                yield _Token("number", None, line)
            else:
                yield _Token("number", float(word), line)
        elif '"' in word:
            self._wrong(line, f"a double quote within a text must be doubled, got {word!r}")


def _told(token: _Token) -> str:
    if token.kind == "end":
        return "the end of the file"
    return repr(token.value)
