"""CORAAL: sociolinguistic interviews with African Americans, in several places of the USA.

Layout: of each component the archives hold files without a folder, and may be unpacked together or
apart: `DCB_se1_ag1_f_01_1.wav`, a transcript `DCB_se1_ag1_f_01_1.txt` with the columns `Line`,
`Spkr`, `StTime`, `Content` and `EnTime` (tab-separated, times in s), and the table
`DCB_metadata_2018.10.06.txt`. Content marks pauses `(pause 0.53)`, overlaps `[ ]`, sounds `< >`,
and what was not understood or is hidden `/ /`. Lines with such marks are left out, as Koenecke et
al. did (2020, PNAS): their text is not what is heard. Source: https://oraal.github.io/coraal
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from speechtl.corpora.known import KnownCorpus, full_sex, not_there, placed, table, unused
from speechtl.faults import Fault
from speechtl.sources.rows import Options, Row, shown

__all__ = ["CORPUS", "rows"]

CORPUS = KnownCorpus(
    name="coraal",
    title="CORAAL, the Corpus of Regional African American Language",
    hours="about 160",
    speakers="more than 150",
    licence="CC-BY-NC-SA-4.0",
    url="https://oraal.github.io/coraal",
    how_to_get=(
        "take a component's _metadata_ table, its _textfiles_ and its _audio_ archives from "
        "https://oraal.github.io/coraal, and unpack them below one folder"
    ),
    accents=("african_american", "interviewer"),
    marks=("*_metadata_*.txt", "*/*_metadata_*.txt"),
    note="interviews; who asks is named interviewer, for the corpus does not tell that accent",
)

_INTERVIEW = re.compile(r"[A-Z]{3}_se\w+")
_PAUSE = re.compile(r"\(pause [\d.]+\)")
_MARKS = {"[": "overlaps", "]": "overlaps", "<": "sounds", ">": "sounds", "/": "hidden or unclear",
          "(": "notes", ")": "notes"}  # fmt: skip
_COLUMNS = ("Spkr", "StTime", "Content", "EnTime")


def rows(
    folder: Path,
    options: Options,  # noqa: ARG001  (of every source; here `build` alone needs them)
    notes: list[str],
) -> Iterator[Row | Fault]:
    """Return the utterances of the interviews that are here, and what is wrong with them.

    What is left out is counted in notes: pauses, lines with marks, interviews without recording.
    """
    root = placed(CORPUS, folder)
    if root is None:
        yield not_there(CORPUS, folder)
        return
    found = _files(root)
    recordings = {path.stem: path for path in found if path.suffix.lower() == ".wav"}
    people: dict[str, str] = {}
    for file in found:
        if "_metadata_" in file.name and file.suffix == ".txt":
            yield from _people(file, root, people)
    left: Counter[str] = Counter()
    for file in found:
        if file.suffix != ".txt" or not _INTERVIEW.fullmatch(file.stem):
            continue
        recording = recordings.pop(file.stem, None)
        if recording is None:
            left["interviews without a recording here"] += 1
        else:
            yield from _of_interview(file, root, recording, people, left)
    if left:
        told = ", ".join(f"{what} {count}" for what, count in sorted(left.items()))
        notes.append(f"left out: {told}")
    yield from unused(
        (path for stem, path in recordings.items() if _INTERVIEW.fullmatch(stem)), root
    )


def _files(root: Path) -> list[Path]:
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        folders.sort()
        found.extend(Path(folder, name) for name in sorted(names) if not name.startswith("._"))
    return found


def _people(file: Path, root: Path, people: dict[str, str]) -> Iterator[Fault]:
    """Keep the sex of each speaker of the community; return what is wrong."""
    for _, row in table(file, root, ["CORAAL.Spkr", "Gender"], delimiter="\t"):
        if isinstance(row, Fault):
            yield row
        else:
            people.setdefault(row["CORAAL.Spkr"], row["Gender"])


def _of_interview(
    file: Path, root: Path, recording: Path, people: Mapping[str, str], left: Counter[str]
) -> Iterator[Row | Fault]:
    for number, row in table(file, root, _COLUMNS, delimiter="\t"):
        if isinstance(row, Fault):
            yield row
            continue
        content, speaker = row["Content"], row["Spkr"]
        if _PAUSE.fullmatch(content):
            left["pauses"] += 1
            continue
        mark = next((name for sign, name in _MARKS.items() if sign in content), None)
        if mark is not None:
            left[f"lines with {mark}"] += 1
            continue
        times = _times(row)
        if times is None:
            told = f"times must be seconds, got {row['StTime'][:40]!r} and {row['EnTime'][:40]!r}"
            yield Fault("time-value", f"{shown(file, root)}:{number}", told)
            continue
        asked = speaker in people or file.stem.startswith(f"{speaker}_")
        yield Row(
            file,
            number,
            {
                "id": f"{file.stem}-{number:05d}",
                "audio": recording.as_posix(),
                "text": content,
                "speaker": speaker,
                "accent": "african_american" if asked else "interviewer",
                "start": times[0],
                "end": times[1],
                "sex": full_sex(people.get(speaker, "")),
                "licence": CORPUS.licence,
            },
        )


def _times(row: Mapping[str, str]) -> tuple[float, float] | None:
    try:
        return float(row["StTime"]), float(row["EnTime"])
    except ValueError:
        return None
