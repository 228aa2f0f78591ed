"""VCTK: read English of students and others in Edinburgh, with accents from all over the world.

Layout of `VCTK-Corpus-0.92.zip`: `wav48_silence_trimmed/p225/p225_001_mic1.flac` and `..._mic2`,
`txt/p225/p225_001.txt`, `speaker-info.txt`; of version 0.80 (`VCTK-Corpus.tar.gz`):
`wav48/p225/p225_001.wav`. The first microphone is taken, for which recordings are complete. Known
gaps (torchaudio's and lhotse's readers say the same): p315 has no text, and p362 lacks recordings.
Source: https://datashare.ed.ac.uk/handle/10283/3443
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from speechtl.corpora.known import KnownCorpus, full_sex, lines, not_there, placed, unused
from speechtl.faults import Fault
from speechtl.sources.rows import Options, Row, shown

__all__ = ["CORPUS", "rows"]

CORPUS = KnownCorpus(
    name="vctk",
    title="VCTK 0.92, the CSTR voice cloning toolkit corpus",
    hours="44",
    speakers="110",
    licence="CC-BY-4.0",
    url="https://datashare.ed.ac.uk/handle/10283/3443",
    how_to_get=(
        "take VCTK-Corpus-0.92.zip (11 GB) from https://datashare.ed.ac.uk/handle/10283/3443 and "
        "unpack it"
    ),
    accents=(
        "american", "australian", "british", "canadian", "english", "indian", "irish",
        "new_zealand", "northern_irish", "scottish", "south_african", "unknown", "welsh",
    ),
    inside=("VCTK-Corpus-0.92", "VCTK-Corpus"),
    marks=("wav48_silence_trimmed", "wav48"),
    note="a sentence each from a newspaper, and two dozen that all read; studio recordings",
)  # fmt: skip

_TEXTLESS = "p315"
_INCOMPLETE = "p362"


def rows(
    folder: Path,
    options: Options,  # noqa: ARG001  (of every source; here `build` alone needs them)
    notes: list[str],
) -> Iterator[Row | Fault]:
    """Return the utterances of an unpacked copy, and what is wrong with it."""
    root = placed(CORPUS, folder)
    if root is None:
        yield not_there(CORPUS, folder)
        return
    trimmed = (root / "wav48_silence_trimmed").is_dir()
    audio = root / ("wav48_silence_trimmed" if trimmed else "wav48")
    people: dict[str, dict[str, str]] = {}
    yield from _people(root / "speaker-info.txt", root, people)
    folders = [*(root / "txt").glob("*"), *audio.glob("*")]
    names = {path.name for path in folders if path.is_dir()}
    for speaker in sorted(name for name in names if (audio / name).is_dir()):
        yield from _of_speaker(root, audio, speaker, people.get(speaker, {}), notes)
    notes.extend(
        f"{speaker}: there are texts, and no recordings: left out"
        for speaker in sorted(names)
        if not (audio / speaker).is_dir()
    )


def _of_speaker(
    root: Path, audio: Path, speaker: str, person: Mapping[str, str], notes: list[str]
) -> Iterator[Row | Fault]:
    recordings = _recordings(audio / speaker)
    lacking = 0
    for file in sorted((root / "txt" / speaker).glob("*.txt")):
        recording = recordings.pop(file.stem, None)
        if recording is None and speaker == _INCOMPLETE:
            lacking += 1
            continue
        text = next(lines(file, root), (0, ""))[1]
        if isinstance(text, Fault):
            yield text
            continue
        path = recording or audio / speaker / f"{file.stem}_mic1.flac"
        yield Row(
            file,
            0,
            {
                "id": file.stem,
                "audio": path.as_posix(),
                "text": text.strip(),
                "speaker": speaker,
                "licence": CORPUS.licence,
                **person,
            },
        )
    if lacking:
        notes.append(f"{speaker}: {lacking} texts whose recordings the corpus lacks: left out")
    if recordings and speaker == _TEXTLESS:
        notes.append(f"{speaker}: {len(recordings)} recordings, to which the corpus has no text")
        return
    yield from unused(recordings.values(), root)


def _recordings(folder: Path) -> dict[str, Path]:
    """Return a speaker's recordings by utterance, of the first microphone where there are two."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() in {".flac", ".wav"}:
            found.setdefault(re.sub(r"_mic[12]$", "", path.stem), path)
    return found


def _people(file: Path, root: Path, people: dict[str, dict[str, str]]) -> Iterator[Fault]:
    """Keep each speaker's accent and sex: `p225  23  F    English    Southern  England`."""
    for number, line in lines(file, root):
        if isinstance(line, Fault):
            yield line
            continue
        parts = line.split()
        if not parts or parts[0] == "ID":
            continue
        if len(parts) < 4:
            told = f"must be a speaker, an age, a sex and an accent, got {line[:80]!r}"
            yield Fault("malformed", f"{shown(file, root)}:{number}", told)
            continue
        # Version 0.80 writes the number alone.
        name = f"p{parts[0]}" if parts[0].isdigit() else parts[0]
        accent = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", parts[3]).lower()
        people[name] = {"accent": accent, "sex": full_sex(parts[2]) or ""}
