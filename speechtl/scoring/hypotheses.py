"""What the systems heard: the files of a run from which every report can be made again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError

from speechtl.errors import DataError
from speechtl.files import read_jsonl, write_jsonl

__all__ = [
    "SETS",
    "SILENCE",
    "SYSTEMS",
    "Hypotheses",
    "Hypothesis",
    "read_hypotheses",
    "validation_faults",
    "write_hypotheses",
]

SETS = ("target", "general", "control")
"""`target` is the accent that was adapted to, `general` the accents that the base already knew;
`control` is an accent that the base knew, recorded as the target was."""

SILENCE = "silence"
"""The set of recordings in which nothing is said; it is read, and has no rates."""

SYSTEMS = ("base", "adapted")
"""`base` is the model before adaptation, `adapted` the same model after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What a system heard in an utterance, beside what was said.

    Attributes:
        id: The utterance's id.
        audio: The absolute path of the recording, so that it opens from any folder; "" where the
            sound was made and lies in no file.
        speaker: Who speaks.
        accent: The speaker's accent.
        reference: The transcript as the corpus has it.
        hypothesis: The system's text as the model wrote it, not normalised.
        start: Where the utterance starts in the recording (s); None where it is the whole of it.
        end: Where it ends (s).
        duration: Its length (s); None where it is not known.
        snr_db: Its signal-to-noise ratio (dB), see `audio.signal_to_noise_db`.
        seen: Whether its sentence was trained on, spoken by anybody.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    id: str
    audio: str
    speaker: str
    accent: str
    reference: str
    hypothesis: str
    start: float | None = None
    end: float | None = None
    duration: float | None = None
    snr_db: float | None = None
    seen: bool | None = None


Hypotheses = Mapping[str, Mapping[str, Sequence[Hypothesis]]]
"""Hypotheses by system (`SYSTEMS`), then by set (`SETS`, and `SILENCE` where it was tried)."""


def write_hypotheses(
    rows: Sequence[Hypothesis], directory: Path, *, name: str, system: str
) -> Path:
    """Write one set's hypotheses of one system into a run folder, and return the file.

    A relative `audio` is made absolute, none ("") stays none; what is None is left out.

    Args:
        rows: The hypotheses, in the order of the corpus.
        directory: The run folder.
        name: The set, one of `SETS`, or `SILENCE`.
        system: One of `SYSTEMS`.

    Raises:
        OutputError: The folder cannot be written.
    """
    path = _hypotheses_path(directory, name, system)
    write_jsonl(
        path,
        (
            {
                key: str(Path(value).absolute()) if key == "audio" and value else value
                for key, value in dataclasses.asdict(row).items()
                if value is not None
            }
            for row in rows
        ),
    )
    return path


def read_hypotheses(directory: Path) -> dict[str, dict[str, tuple[Hypothesis, ...]]]:
    """Return the hypotheses of a run folder by system, then by set.

    Raises:
        DataError: There are none, a set has one system's file alone, or rows do not fit; all faults
            at once, each with its file and line.
    """
    found: dict[str, dict[str, tuple[Hypothesis, ...]]] = {system: {} for system in SYSTEMS}
    faults: list[str] = []
    for name in (*SETS, SILENCE):
        paths = {system: _hypotheses_path(directory, name, system) for system in SYSTEMS}
        there = [system for system, path in paths.items() if path.is_file()]
        if len(there) == 1:
            faults.append(f"{paths[there[0]].name}: the other system's file is missing")
        for system in there:
            found[system][name] = _read_hypotheses_file(paths[system], faults)
    if faults:
        raise DataError(f"{directory / 'hypotheses'} does not fit", faults=tuple(faults))
    if not found["base"].keys() & set(SETS):
        raise DataError(
            f"{directory} must hold hypotheses/<set>.base.jsonl and hypotheses/<set>.adapted.jsonl "
            f"of at least one set ({', '.join(SETS)}); name a folder that a run wrote"
        )
    return found


def _hypotheses_path(directory: Path, name: str, system: str) -> Path:
    return directory / "hypotheses" / f"{name}.{system}.jsonl"


def _read_hypotheses_file(path: Path, faults: list[str]) -> tuple[Hypothesis, ...]:
    adapter = TypeAdapter(Hypothesis)
    rows = []
    for line, row in read_jsonl(path):
        try:
            rows.append(adapter.validate_python(row))
        except ValidationError as error:
            faults.extend(f"{path.name}:{line}: {fault}" for fault in validation_faults(error))
    return tuple(rows)


def validation_faults(error: ValidationError) -> tuple[str, ...]:
    """Return what does not fit, each fault with its path."""
    return tuple(
        f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"
        for fault in error.errors(include_url=False)
    )
