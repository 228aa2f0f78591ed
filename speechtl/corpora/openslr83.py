"""OpenSLR 83: read English of the British Isles, recorded by volunteers for Google.

Layout: a folder for each archive, such as `scottish_english_female/`, with its recordings and a
`line_index.csv` (`line id, recording, sentence`, no header), or all in one folder; the page has a
`line_index_all.csv` too. A recording's name begins with the accent, the sex and the speaker:
`scf_00295_00080702013`. Source: https://www.openslr.org/83/, Demirsahin et al. 2020 (LREC).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from speechtl.corpora.known import KnownCorpus, lines, not_there, placed, unused
from speechtl.faults import Fault
from speechtl.sources.rows import Options, Row, shown

__all__ = ["CORPUS", "rows"]

_ACCENTS = {
    "ir": "irish", "mi": "midlands", "no": "northern", "sc": "scottish", "so": "southern",
    "we": "welsh",
}  # fmt: skip
_SEXES = {"f": "female", "m": "male"}

CORPUS = KnownCorpus(
    name="openslr83",
    title="OpenSLR 83, crowdsourced British Isles English",
    hours="31",
    speakers="120",
    licence="CC-BY-SA-4.0",
    url="https://www.openslr.org/83/",
    how_to_get=(
        "nothing, where there is a network: it is fetched from the hub; by hand, take the archives "
        "from https://www.openslr.org/83/ and unpack each into a folder of its name"
    ),
    accents=tuple(_ACCENTS.values()),
    marks=("line_index*.csv", "*_english_*male/line_index.csv"),
    hub="ylacombe/english_dialects",
    configs={
        "irish": ("irish_male",),
        **{
            accent: (f"{accent}_female", f"{accent}_male")
            for accent in ("midlands", "northern", "scottish", "southern", "welsh")
        },
    },
    note="speakers share prompts; the southern speakers are a control with the same microphone",
)


def rows(
    folder: Path,
    options: Options,  # noqa: ARG001  (of every source; here `build` alone needs them)
    notes: list[str],
) -> Iterator[Row | Fault]:
    """Return the utterances of an unpacked copy, and what is wrong with it.

    Lines of archives that are not here are counted in a note.
    """
    root = placed(CORPUS, folder)
    if root is None:
        yield not_there(CORPUS, folder)
        return
    recordings = {path.stem: path for path in sorted([*root.glob("*.wav"), *root.glob("*/*.wav")])}
    groups = {stem[:3] for stem in recordings}
    absent: Counter[str] = Counter()
    seen: set[str] = set()
    for index in _indexes(root):
        for number, line in lines(index, root):
            if isinstance(line, Fault):
                yield line
                continue
            if not line.strip():
                continue
            row = _row(index, number, line, root, recordings)
            if isinstance(row, Fault):
                yield row
                continue
            stem = row.values["id"]
            if index.parent == root and stem[:3] not in groups:
                absent[row.values["accent"]] += 1
            elif index.name != "line_index_all.csv" or stem not in seen:
                seen.add(stem)
                yield row
    if absent:
        told = ", ".join(f"{accent} {count}" for accent, count in sorted(absent.items()))
        notes.append(f"lines of archives that are not here were left out: {told}")
    yield from unused((path for stem, path in recordings.items() if stem not in seen), root)


def _indexes(root: Path) -> list[Path]:
    """Return the tables; that of everything comes last, for it repeats the others."""
    found = sorted(root.glob("*/line_index.csv")) + sorted(root.glob("line_index*.csv"))
    return sorted(found, key=lambda path: path.name == "line_index_all.csv")


def _row(
    index: Path, number: int, line: str, root: Path, recordings: dict[str, Path]
) -> Row | Fault:
    parts = [part.strip() for part in line.split(",", 2)]
    place = f"{shown(index, root)}:{number}"
    if len(parts) != 3:
        told = f"must have a line id, a recording and a sentence, got {line[:80]!r}"
        return Fault("cell-count", place, told)
    stem, text = parts[1], parts[2]
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('""', '"')
    accent, sex = _ACCENTS.get(stem[:2]), _SEXES.get(stem[2:3])
    if accent is None or sex is None or stem.count("_") < 2:
        told = f"the recording {stem!r} is not named after accent, sex and speaker, as scf_00295_1"
        return Fault("malformed", place, told)
    audio = recordings.get(stem, index.parent / f"{stem}.wav")
    return Row(
        index,
        number,
        {
            "id": stem,
            "audio": audio.as_posix(),
            "text": text,
            "speaker": stem.rsplit("_", 1)[0],
            "accent": accent,
            "sex": sex,
            "licence": CORPUS.licence,
        },
    )
