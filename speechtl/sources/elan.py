"""ELAN's annotation files (.eaf): tiers of annotations between time slots, in XML.

Read by the annotation format 3.0 of the Max Planck Institute (`EAFv3.0.xsd`). Times are whole
milliseconds there. The parser is Python's expat, which knows the line of each element; a document
type is refused, so that no entity is expanded or fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit
from xml.parsers import expat

from speechtl.audio import AUDIO_SUFFIXES
from speechtl.faults import Fault
from speechtl.sources import annotated
from speechtl.sources.annotated import Media, Transcript, contents, of_tiers
from speechtl.sources.rows import Options, Row
from speechtl.sources.tiers import Stretch, Tally, Tier, matching

__all__ = ["SUFFIXES", "rows"]

SUFFIXES = (".eaf",)

_MILLISECONDS = re.compile(r"\d{1,15}", re.ASCII)
_OFFSET = re.compile(r"-?\d{1,15}", re.ASCII)
_DEEPEST = 50  # parents of parents; ELAN's users have a handful
_ANNOTATIONS = ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION")


def rows(source: Path, options: Options, notes: list[str]) -> Iterator[Row | Fault]:
    """Return the annotations of ELAN files, each file's in the order of time.

    Tiers of their own are taken, unless their names say that they hold no transcript, see
    `speechtl.sources.tiers`; those that depend on others, such as translations, only where they are
    named. Annotations without times of their own take their parents'. A tier's participant is the
    speaker; without one its name is, unless it only says what the tier holds.

    Args:
        source: A file, or a folder that holds some at any depth.
        options: `tiers` names those to take; `audio` the recording or the folder of the recordings,
            which otherwise are those that the files name, or lie beside them.
        notes: Gets a line on each thing that was taken for granted.
    """
    yield from annotated.rows(source, options, notes, suffixes=SUFFIXES, read=_read)


def _read(file: Path, place: str, options: Options, tally: Tally) -> Transcript:
    content = contents(file, place)
    if isinstance(content, Fault):
        return Transcript(faults=[content])
    document = _Document(place)
    document.parse(content)
    tiers = _Tiers(document, options, tally).read()
    stretches, faults = of_tiers(tiers, place, options, tally)
    media = [each for found in document.media if (each := _media(found, file)) is not None]
    # A video's name is good for finding the sound that was taken from it, but comes last.
    media.sort(key=lambda each: not each.paths)
    if sum(bool(each.paths) for each in media) > 1:
        tally.add("files name several recordings, of which the first that is there is taken", place)
    return Transcript(stretches=stretches, faults=[*document.faults, *faults], media=media)


# --- what stands in the file ----------------------------------------------------------------------


@dataclass(slots=True)
class _Annotation:
    line: int
    name: str
    slots: tuple[str, str] | None
    parent: str | None
    text: list[str] = field(default_factory=list)

    def value(self) -> str:
        """Return its text in one line."""
        return " ".join("".join(self.text).split("\n")).strip()


@dataclass(slots=True)
class _Tier:
    name: str
    participant: str | None
    depends: bool
    annotations: list[_Annotation] = field(default_factory=list)


class _Refused(Exception):  # noqa: N818  # no error of the program's
    """What is not read, and why."""


class _Document:
    """The elements of one file that matter, and what is wrong with them."""

    def __init__(self, place: str) -> None:
        self.faults: list[Fault] = []
        self.place = place
        self.slots: dict[str, int | None] = {}
        self.tiers: list[_Tier] = []
        self.media: list[dict[str, str]] = []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._document_type
        self._depth = 0
        self._value: _Annotation | None = None  # whose text is read at the moment

    def parse(self, content: bytes) -> None:
        """Read a file; what comes after a fault of the XML is not read."""
        try:
            self._parser.Parse(content, True)
        except _Refused as refused:
            self.wrong(self._line, str(refused))
        except expat.ExpatError as error:
            for tier in self.tiers:  # the text that was being read is not whole
                tier.annotations = [each for each in tier.annotations if each is not self._value]
            what = expat.ErrorString(error.code)
            self.wrong(error.lineno, f"is not well-formed XML ({what}); what follows is not read")
        except (LookupError, ValueError) as error:  # an encoding that Python does not know
            self.wrong(self._line, f"is not readable XML ({error})")

    def wrong(self, line: int, what: str, kind: str = "malformed") -> None:
        """Keep a fault."""
        self.faults.append(Fault(kind, f"{self.place}:{line}", what))

    @property
    def _line(self) -> int:
        return max(1, self._parser.CurrentLineNumber)

    def _document_type(self, *_: object) -> None:
        raise _Refused("has a document type, which ELAN does not write: remove the <!DOCTYPE ...>")

    def _start(self, element: str, given: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1 and element != "ANNOTATION_DOCUMENT":
            raise _Refused(f"is no ELAN file: its outermost element is {element!r}")
        if element == "HEADER":
            units = given.get("TIME_UNITS", "milliseconds")
            if units != "milliseconds":
                raise _Refused(f"times must be milliseconds, got TIME_UNITS={units!r}")
        elif element == "MEDIA_DESCRIPTOR":
            self._add_media(given)
        elif element == "TIME_SLOT":
            self._add_slot(given)
        elif element == "TIER":
            self._add_tier(given)
        elif element in _ANNOTATIONS:
            self._add_annotation(element, given)
        elif element == "ANNOTATION_VALUE" and self.tiers and self.tiers[-1].annotations:
            self._value = self.tiers[-1].annotations[-1]

    def _end(self, element: str) -> None:
        self._depth -= 1
        if element == "ANNOTATION_VALUE":
            self._value = None

    def _characters(self, text: str) -> None:
        if self._value is not None:
            self._value.text.append(text)

    def _attribute(self, given: Mapping[str, str], name: str) -> str | None:
        value = given.get(name, "")
        if not value:
            self.wrong(self._line, f"the attribute {name} is missing")
        return value or None

    def _add_media(self, given: dict[str, str]) -> None:
        origin = given.get("TIME_ORIGIN", "")
        if origin and not _OFFSET.fullmatch(origin):
            self.wrong(self._line, f"TIME_ORIGIN must be milliseconds, got {origin[:40]!r}")
            del given["TIME_ORIGIN"]
        self.media.append(given)

    def _add_slot(self, given: Mapping[str, str]) -> None:
        name = self._attribute(given, "TIME_SLOT_ID")
        value = given.get("TIME_VALUE")
        if name is None:
            return
        if name in self.slots:
            self.wrong(self._line, f"the time slot {name!r} is there twice")
        elif value is not None and not _MILLISECONDS.fullmatch(value):
            what = f"TIME_VALUE must be whole milliseconds, got {value[:40]!r}"
            self.wrong(self._line, what, "time-value")
        else:
            self.slots[name] = None if value is None else int(value)

    def _add_tier(self, given: Mapping[str, str]) -> None:
        name = self._attribute(given, "TIER_ID") or ""
        participant = given.get("PARTICIPANT", "").strip() or None
        self.tiers.append(_Tier(name, participant, bool(given.get("PARENT_REF"))))

    def _add_annotation(self, element: str, given: Mapping[str, str]) -> None:
        name = self._attribute(given, "ANNOTATION_ID")
        slots = parent = None
        if element == "REF_ANNOTATION":
            parent = self._attribute(given, "ANNOTATION_REF")
        else:
            begins = self._attribute(given, "TIME_SLOT_REF1")
            ends = self._attribute(given, "TIME_SLOT_REF2")
            if begins is not None and ends is not None:
                slots = (begins, ends)
        if not self.tiers:
            self.wrong(self._line, "an annotation stands outside of any tier")
            return
        # One whose attributes are missing stays, so that its text goes to no other; it has no time.
        annotation = _Annotation(self._line, name or "", slots, parent)
        self.tiers[-1].annotations.append(annotation)


def _media(given: Mapping[str, str], file: Path) -> Media | None:
    """Return where a recording may lie that a file names; None for what is no local file."""
    relative, url = given.get("RELATIVE_MEDIA_URL", ""), given.get("MEDIA_URL", "")
    names = []
    for link in filter(None, (relative, url)):
        try:
            parts = urlsplit(link)
        except ValueError:
            continue
        # One letter is a drive of Windows. Some write names as they are, others with %20.
        if parts.scheme in {"", "file"} or len(parts.scheme) == 1:
            plain = link.removeprefix("file:")
            names.extend([plain, unquote(plain)])
    names = [name.replace("\\", "/") for name in dict.fromkeys(names)]
    paths = []
    for name in names:
        path = file.absolute().parent / re.sub(r"^/{2,}", "/", name)
        beside = file.absolute().with_name(PurePosixPath(name).name or "-")
        paths.extend([path, beside])
    readable = [path for path in dict.fromkeys(paths) if path.suffix.lower() in AUDIO_SUFFIXES]
    if not names:
        return None
    stem = PurePosixPath(names[-1]).stem
    return Media(tuple(readable), stem, int(given.get("TIME_ORIGIN") or 0) / 1000)


# --- times of annotations, and tiers of them ------------------------------------------------------


class _Tiers:
    """Finds when the annotations of a document are."""

    def __init__(self, document: _Document, options: Options, tally: Tally) -> None:
        self._document = document
        self._options = options
        self._tally = tally
        self._all = {each.name: each for tier in document.tiers for each in tier.annotations}
        self._spread: dict[str, float] = {}  # slots without a time of their own, ms

    def read(self) -> list[Tier]:
        """Return the tiers, with faults of those alone that are taken."""
        plain = [_plain(tier) for tier in self._document.tiers]
        wanted = self._options.tiers
        taken = {tier.name for tier in (matching(plain, wanted) if wanted else plain)}
        for tier in self._document.tiers:
            self._spread_slots(tier)
        tiers = []
        for tier, each in zip(self._document.tiers, plain, strict=True):
            stretches: Sequence[Stretch] = ()
            if each.name in taken and (wanted or each.unfit is None):
                stretches = self._stretches(tier)
            tiers.append(
                Tier(name=each.name, stretches=stretches, speaker=each.speaker, unfit=each.unfit)
            )
        return tiers

    def _spread_slots(self, tier: _Tier) -> None:
        """Give slots without a time even distances between their neighbours, as ELAN shows them."""
        chain = list(
            dict.fromkeys(
                slot for each in tier.annotations if each.slots is not None for slot in each.slots
            )
        )
        known = self._document.slots
        before: tuple[int, float] | None = None
        for at, slot in enumerate(chain):
            value = known.get(slot)
            if value is None:
                continue
            if before is not None and at - before[0] > 1:
                step = (value - before[1]) / (at - before[0])
                for between in range(before[0] + 1, at):
                    if known.get(chain[between], 0) is None:
                        time = before[1] + step * (between - before[0])
                        self._spread.setdefault(chain[between], time)
                self._tally.add("slots without a time were spread evenly, on tiers", tier.name)
            before = (at, float(value))

    def _stretches(self, tier: _Tier) -> list[Stretch]:
        parts: dict[tuple[str, str], list[_Annotation]] = {}
        for each in tier.annotations:
            # Several annotations of one parent, such as its words, share its time.
            own = each.parent is None
            key = ("", f"{each.line} {each.name}") if own else ("parent", each.parent or "")
            parts.setdefault(key, []).append(each)
        stretches = []
        for found in parts.values():
            first = found[0]
            times = self._times(first)
            if times is None:
                continue
            if len(found) > 1:
                self._tally.add("annotations of one parent were joined, on tiers", tier.name)
            text = " ".join(filter(None, (each.value() for each in found)))
            stretches.append(Stretch(first.line, times[0] / 1000, times[1] / 1000, text))
        return stretches

    def _times(self, annotation: _Annotation) -> tuple[float, float] | None:
        """Return when an annotation begins and ends, in milliseconds; None with a fault kept."""
        holder, seen = annotation, {annotation.name}
        while holder.parent is not None:
            following = self._all.get(holder.parent)
            if following is None or following.name in seen or len(seen) > _DEEPEST:
                what = f"the annotation {holder.parent!r} is not there, or refers to itself"
                self._document.wrong(annotation.line, what, "reference-missing")
                return None
            holder = following
            seen.add(holder.name)
        if holder.slots is None:
            return None
        begins, ends = (self._time(slot, annotation.line) for slot in holder.slots)
        return None if begins is None or ends is None else (begins, ends)

    def _time(self, slot: str, line: int) -> float | None:
        if slot not in self._document.slots:
            what = f"the time slot {slot!r} is not there, or has no usable time"
            self._document.wrong(line, what, "reference-missing")
            return None
        value = self._document.slots[slot]
        time = self._spread.get(slot) if value is None else value
        if time is None:
            what = f"the time slot {slot!r} has no time, and none around it has one"
            self._document.wrong(line, what, "time-missing")
        return time


def _plain(tier: _Tier) -> Tier:
    """Return what a tier is called, who speaks in it, and whether it depends on another one."""
    depends = tier.depends or any(each.parent is not None for each in tier.annotations)
    unfit = "depend on others, as translations and glosses do" if depends else None
    speaker = tier.participant
    if speaker is None and "@" in tier.name:  # such as `utterance@Anna`, a custom in ELAN
        speaker = tier.name.rpartition("@")[2].strip() or None
    return Tier(name=tier.name, stretches=(), speaker=speaker, unfit=unfit)
