"""Utterances and corpora: what was said in which stretch of which recording, and by whom."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import overload

from speechtl import audio as recordings
from speechtl.audio import Waveform
from speechtl.errors import ConfigError, DataError
from speechtl.text import normaliser

__all__ = ["SPLITS", "Corpus", "Utterance", "sentence"]

SPLITS = ("train", "dev", "test")

_FAULTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Utterance:
    """A stretch of a recording, what was said in it, and by whom.

    Attributes:
        id: Its name, unique in a corpus.
        audio: The recording's absolute path.
        text: The reference transcript.
        speaker: Who speaks.
        accent: The speaker's accent.
        start: Where it begins in the recording, in seconds; `None` is the beginning.
        end: Where it ends in the recording, in seconds; `None` is the end.
        split: `train`, `dev`, `test`, or `None` where none is given.
        licence: The licence of the recording, or `None` where none is given.
        sex: The speaker's sex or gender as the corpus names it, or `None` where none is given.
    """

    id: str
    audio: Path
    text: str
    speaker: str
    accent: str
    start: float | None = None
    end: float | None = None
    split: str | None = None
    licence: str | None = None
    sex: str | None = None

    @property
    def duration(self) -> float:
        """Its length in seconds, from `start` and `end`, else from the recording's header.

        Raises:
            DataError: The header is needed and cannot be read.
        """
        end = recordings.duration(self.audio) if self.end is None else self.end
        return end - (self.start or 0.0)

    def waveform(self) -> Waveform:
        """Return its samples `(samples,)`, mono, 16 kHz.

        Raises:
            DataError: The recording cannot be read, see `speechtl.audio.read`; the utterance is
                named.
        """
        try:
            return recordings.read(self.audio, start=self.start, end=self.end)
        except DataError as error:
            raise DataError(f"utterance {self.id!r}: {error}") from error


_FIELDS = tuple(field.name for field in fields(Utterance))


class Corpus(Sequence[Utterance]):
    """An immutable sequence of utterances whose ids are unique.

    Raises:
        DataError: Two utterances have the same id; all such ids are listed.
    """

    __slots__ = ("_utterances",)

    def __init__(self, utterances: Iterable[Utterance] = ()) -> None:
        self._utterances = tuple(utterances)
        counts = Counter(utterance.id for utterance in self._utterances)
        faults = [
            f"id {name!r} is there {count} times" for name, count in counts.items() if count > 1
        ]
        if faults:
            raise _fault_report("the ids of a corpus must be unique; rename these", faults)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> Corpus: ...
    def __getitem__(self, index: int | slice) -> Utterance | Corpus:
        if isinstance(index, slice):
            return Corpus(self._utterances[index])
        return self._utterances[index]

    def __len__(self) -> int:
        return len(self._utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self._utterances)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Corpus) and self._utterances == other._utterances

    def __hash__(self) -> int:
        return hash(self._utterances)

    def __add__(self, other: Corpus) -> Corpus:
        return Corpus((*self, *other))

    def __repr__(self) -> str:
        return f"Corpus({len(self)} utterances, {len(self.speakers)} speakers)"

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speakers, sorted."""
        return tuple(sorted({utterance.speaker for utterance in self}))

    @property
    def accents(self) -> tuple[str, ...]:
        """The accents, sorted."""
        return tuple(sorted({utterance.accent for utterance in self}))

    @property
    def duration(self) -> float:
        """The sum of its utterances' lengths in seconds; opens the recordings that need it."""
        return math.fsum(utterance.duration for utterance in self)

    def where(self, **wanted: object) -> Corpus:
        """Return the utterances whose named fields equal the values, or lie in those that are sets.

        A tuple or a list of choices serves as a set: `where(accent=("scottish", "irish"),
        split="dev")`.

        Raises:
            ConfigError: An utterance has no field of that name.
        """
        _require_fields(wanted)
        choices = {
            field: value if isinstance(value, set | frozenset | tuple | list) else (value,)
            for field, value in wanted.items()
        }
        return Corpus(
            utterance
            for utterance in self
            if all(getattr(utterance, field) in values for field, values in choices.items())
        )

    def by(self, field: str) -> dict[str, Corpus]:
        """Return a corpus for each value of a field, sorted; those without one have the key "".

        Raises:
            ConfigError: An utterance has no field of that name.
        """
        _require_fields((field,))
        groups: dict[str, list[Utterance]] = {}
        for utterance in self:
            value = getattr(utterance, field)
            groups.setdefault("" if value is None else str(value), []).append(utterance)
        return {value: Corpus(groups[value]) for value in sorted(groups)}

    def check_disjoint(self, other: Corpus, *, fields: Sequence[str] = ("speaker", "text")) -> None:
        """Refuse two corpora that share a value of any of the fields.

        Texts are compared in their `plain` form, because a sentence is the same with and without
        its full stop.

        Raises:
            ConfigError: An utterance has no field of that name.
            DataError: A value is in both; all shared values are listed.
        """
        _require_fields(fields)
        faults = [
            f"{field} {value!r} is in both"
            for field in fields
            for value in sorted(self._values(field) & other._values(field))
        ]
        if faults:
            raise _fault_report(
                f"the two corpora must share no {' and no '.join(fields)};"
                " move the utterances of each shared value to one side",
                faults,
            )

    def digest(self) -> str:
        """Return the SHA-256 of the content as 64 hexadecimal digits.

        It depends on the order, on every field but the place of the audio, and on the bytes of
        every recording: a corpus that is moved keeps its digest, one that is changed does not.

        Raises:
            DataError: A recording cannot be read.
        """
        contents: dict[Path, str] = {}
        whole = hashlib.sha256()
        for utterance in self:
            if utterance.audio not in contents:
                contents[utterance.audio] = _file_digest(utterance.audio)
            row = asdict(utterance) | {"audio": contents[utterance.audio]}
            if utterance.sex is None:  # a field that earlier corpora did not have
                del row["sex"]
            whole.update(json.dumps(row, sort_keys=True).encode() + b"\n")
        return whole.hexdigest()

    def _values(self, field: str) -> set[str]:
        found = {str(value) for each in self if (value := getattr(each, field)) is not None}
        return set(map(sentence, found)) if field == "text" else found


_PLAIN = normaliser("plain")


def sentence(text: str) -> str:
    """Return what is said, as texts are compared with each other: in its `plain` form.

    A text of punctuation alone has none, and stays as it is: it must not equal every other such.
    """
    return _PLAIN(text) or text


def _require_fields(names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in _FIELDS]
    if unknown:
        raise ConfigError(
            f"an utterance has no field {', '.join(unknown)}; its fields are {', '.join(_FIELDS)}"
        )


def _fault_report(message: str, faults: Sequence[str]) -> DataError:
    more = len(faults) - _FAULTS_SHOWN
    shown = (*faults[:_FAULTS_SHOWN], *([f"and {more} more"] if more > 0 else []))
    return DataError(message, faults=shown)


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); put the file back") from error
