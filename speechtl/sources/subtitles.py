"""Subtitles: SubRip (.srt) and WebVTT (.vtt) files, each beside its recording.

A cue is a line of times and the text below it, up to an empty line. WebVTT is read by its
specification (W3C, "WebVTT: The Web Video Text Tracks Format"), SubRip by the same rules, for it
has none of its own.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from speechtl.faults import Fault
from speechtl.sources import annotated
from speechtl.sources.annotated import Transcript, contents, decoded
from speechtl.sources.rows import Options, Row
from speechtl.sources.tiers import Stretch, Tally, in_time, is_silence

__all__ = ["SUFFIXES", "rows"]

SUFFIXES = (".srt", ".vtt")

_TIME = r"(?:(\d{1,6}):)?([0-5]\d):([0-5]\d)[.,](\d{3})"
_TIMES = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?", re.ASCII)
_CLOCK = re.compile(r"\d:[0-5]\d", re.ASCII)
_HEADER = re.compile(r"WEBVTT(?:[ \t].*)?")
_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:[ \t].*)?")
# Elements of WebVTT, SubRip's <font>, and times of single words; other brackets are annotations.
_TAG = re.compile(
    r"</?(?:c|i|b|u|s|v|ruby|rt|lang|font)(?:[.\s][^<>]*)?>|<(?:\d+:)?\d\d:\d\d\.\d{3}>",
    re.IGNORECASE,
)
# Possessive, so that a tag that is never closed costs one pass over the line.
_VOICE = re.compile(r"<v(?:\.[^\s<>]*+)?[ \t]++([^<>]*+)>")
_POSITION = re.compile(r"\{\\[^{}]*\}")  # such as {\an8}, which SubRip has of SubStation Alpha
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_NAMED = re.compile(r"([^\W\d_][\w .'’-]{0,30}):\s+(?=\S)")
_LANGUAGE = re.compile(r"\.[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*$")


def rows(source: Path, options: Options, notes: list[str]) -> Iterator[Row | Fault]:
    """Return the cues of subtitles, each file's in the order of time.

    The speaker is a cue's voice (`<v Anna>`), or the name in capitals before a colon where most
    cues of a file begin with one.

    Args:
        source: A file, or a folder that holds some at any depth.
        options: `audio` names the recording, or the folder of the recordings.
        notes: Gets a line on each thing that was taken for granted.
    """
    yield from annotated.rows(source, options, notes, suffixes=SUFFIXES, read=_read, stems=_stems)


def _stems(stem: str) -> Sequence[str]:
    """Return the names that a recording may have: `talk.en.vtt` belongs to `talk.wav`."""
    return tuple(dict.fromkeys((stem, _LANGUAGE.sub("", stem))))


class _Cue(NamedTuple):
    line: int
    start: float
    end: float
    lines: tuple[str, ...]


def _read(file: Path, place: str, options: Options, tally: Tally) -> Transcript:
    del options  # subtitles have no tiers
    content = contents(file, place)
    text = content if isinstance(content, Fault) else decoded(content, place)
    if isinstance(text, Fault):
        return Transcript(faults=[text])
    faults: list[Fault] = []
    lines = text.split("\n")
    is_vtt = file.suffix.lower() == ".vtt"
    first = 0
    if is_vtt and _HEADER.fullmatch(lines[0]):
        # Until an empty line, metadata may follow.
        first = next((at for at, line in enumerate(lines) if not line or "-->" in line), len(lines))
    elif is_vtt:
        what = f"a WebVTT file begins with WEBVTT, got {lines[0][:40]!r}"
        faults.append(Fault("malformed", f"{place}:1", what))
    cues = []
    for found in _cues(lines, first, notes=is_vtt):
        if isinstance(found, _Cue):
            cues.append(found)
        else:
            line, what = found
            faults.append(Fault("malformed", f"{place}:{line}", what))
    stretches = _stretches(cues, place, faults, tally)
    return Transcript(stretches=sorted(stretches, key=in_time), faults=faults)


def _cues(lines: Sequence[str], at: int, *, notes: bool) -> Iterator[_Cue | tuple[int, str]]:
    """Return the cues of a file's lines from `at` on, and the line and the fault of what is none.

    Args:
        lines: All lines of the file.
        at: The index of the first one to read.
        notes: Whether there may be blocks of notes and styles, as WebVTT has.
    """
    while at < len(lines):
        if not lines[at].strip():
            at += 1
        elif notes and _BLOCK.fullmatch(lines[at]):
            at = _block_end(lines, at)
        elif "-->" in lines[at]:
            end = _cue_end(lines, at + 1)
            if match := _TIMES.fullmatch(lines[at]):
                start, stop = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
                yield _Cue(at + 1, start, stop, tuple(lines[at + 1 : end]))
            else:
                what = "times must be such as 00:01:02,345 --> 00:01:04,000, got"
                yield at + 1, f"{what} {lines[at].strip()[:80]!r}"
            at = end
        elif at + 1 < len(lines) and "-->" in lines[at + 1]:
            at += 1  # the cue's number or name
        else:
            end = _block_end(lines, at)
            line = next((each for each in range(at, end) if _CLOCK.search(lines[each])), at)
            what = f"must be times, or text below times, got {lines[line].strip()[:80]!r}"
            yield line + 1, what
            at = end


def _block_end(lines: Sequence[str], at: int) -> int:
    while at < len(lines) and lines[at].strip():
        at += 1
    return at


def _cue_end(lines: Sequence[str], at: int) -> int:
    """Return where a cue's text ends: at an empty line, or where other times begin."""
    while at < len(lines) and lines[at].strip() and "-->" not in lines[at]:
        following = lines[at + 1] if at + 1 < len(lines) else ""
        if lines[at].strip().isdecimal() and "-->" in following:
            return at
        at += 1
    return at


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in parts)
    return (((hours * 60 + minutes) * 60 + seconds) * 1000 + milliseconds) / 1000


def _stretches(
    cues: Sequence[_Cue], place: str, faults: list[Fault], tally: Tally
) -> Iterator[Stretch]:
    texts = [_plain(cue.lines) for cue in cues]
    named = [_name(text) for text in texts]
    count = sum(name is not None for name in named)
    mostly = 2 * count > len(cues)
    if count and mostly:
        tally.add("cues begin with names in capitals, which are taken as the speakers, in", place)
    elif count:
        tally.add("a few cues begin with a name in capitals: it stays as text, in", place)
    for cue, text, name in zip(cues, texts, named, strict=True):
        voices = sorted({_unescaped(each.strip()) for each in _VOICE.findall("\n".join(cue.lines))})
        if len(voices) > 1:
            what = f"several people speak in one cue: {', '.join(voices)}"
            faults.append(Fault("speaker-missing", f"{place}:{cue.line}", what))
            continue
        if is_silence(text) and text:
            tally.silent[text] += 1
            continue
        if sum(line.lstrip().startswith(("- ", "– ", "— ")) for line in cue.lines) > 1:
            tally.add("cues whose lines begin with dashes may hold several speakers, in", place)
        speaker = voices[0] if voices else None
        if mostly and name is not None:
            speaker, text = speaker or name, _NAMED.sub("", text, count=1)  # noqa: PLW2901
        yield Stretch(cue.line, cue.start, cue.end, text, speaker)


def _plain(lines: Sequence[str]) -> str:
    """Return the text of a cue in one line, without what only says how it is shown."""
    joined = " ".join(filter(None, (line.strip() for line in lines)))
    return _unescaped(_POSITION.sub("", _TAG.sub("", joined))).strip()


def _unescaped(text: str) -> str:
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text)


def _name(text: str) -> str | None:
    """Return the name in capitals that a cue begins with, before a colon."""
    match = _NAMED.match(text)
    return match[1].strip() if match is not None and match[1].isupper() else None
