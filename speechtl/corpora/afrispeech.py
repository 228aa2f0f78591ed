"""AfriSpeech-200: read sentences, half of them clinical, in some 120 African accents of English.

Layout of the repository `intronhealth/afrispeech-200` on the Hugging Face hub, which is a script
that the hub's library no longer runs: `transcripts/<accent>/<split>.csv`, `transcripts/<split>.csv`
of all, and `audio/<accent>/<split>/<split>_<accent>_0.tar.gz`, which are unpacked anywhere below
`audio/`. The column `audio_paths` is `/AfriSpeech-100/<split>/<folder>/<file>.wav`: recordings are
found by its last two parts. Source: Olatunji et al. 2023 (TACL).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from speechtl.corpora.known import KnownCorpus, full_sex, not_there, placed, table
from speechtl.faults import Fault
from speechtl.sources.rows import Options, Row, shown

__all__ = ["CORPUS", "rows"]

CORPUS = KnownCorpus(
    name="afrispeech",
    title="AfriSpeech-200",
    hours="200",
    speakers="2463",
    licence="CC-BY-NC-SA-4.0",
    url="https://huggingface.co/datasets/intronhealth/afrispeech-200",
    how_to_get=(
        "take an accent: `hf download intronhealth/afrispeech-200 --repo-type dataset --include "
        "'transcripts/yoruba/*' 'audio/yoruba/*' --local-dir afrispeech`, and unpack each .tar.gz "
        "below audio/ where it lies"
    ),
    inside=("afrispeech-200",),
    marks=("transcripts/train.csv", "transcripts/*/train.csv", "transcripts/*/test.csv"),
    note="accents are named by the first language (yoruba, igbo, hausa, swahili, ...); has splits",
)

_SPLITS = ("train", "dev", "test")
_SPEAKER = ("user_ids", "user_id", "speaker_id")
_Cell = tuple[Path, int, dict[str, str]]


def rows(
    folder: Path,
    options: Options,  # noqa: ARG001  (of every source; here `build` alone needs them)
    notes: list[str],
) -> Iterator[Row | Fault]:
    """Return the utterances whose archives are unpacked here, and what is wrong with them.

    Of an accent and a split of which no recording is here, the rows are counted in a note.
    """
    root = placed(CORPUS, folder)
    if root is None:
        yield not_there(CORPUS, folder)
        return
    recordings = _recordings(root)
    tables = [
        path
        for pattern in ("transcripts/*/*.csv", "transcripts/*.csv")
        for path in sorted(root.glob(pattern))
        if path.stem in _SPLITS
    ]
    found: dict[str, _Cell] = {}
    for file in tables:
        for number, row in table(file, root, ["audio_paths", "transcript"]):
            if isinstance(row, Fault):
                yield row
            else:
                tail = _tail(row["audio_paths"])
                first = found.setdefault(tail, (file, number, row))
                # The table of all repeats those of the accents; within one, a repetition is wrong.
                if first[0] == file and first[1] != number:
                    told = f"the recording {tail!r} is in line {first[1]} too"
                    yield Fault("id-repeated", f"{shown(file, root)}:{number}", told)
    here = {_group(cell) for tail, cell in found.items() if tail in recordings}
    absent: Counter[str] = Counter()
    for tail, cell in found.items():
        if _group(cell) in here:
            yield _row(tail, cell, root, recordings.get(tail))
        else:
            absent[f"{_accent(cell[2])} ({cell[0].stem})"] += 1
    if absent:
        told = ", ".join(f"{group} {count}" for group, count in sorted(absent.items())[:10])
        more = f" and {len(absent) - 10} more groups" if len(absent) > 10 else ""
        notes.append(f"rows whose archives are not unpacked here were left out: {told}{more}")


def _recordings(root: Path) -> dict[str, Path]:
    """Return the recordings by the last two parts of their paths."""
    found: dict[str, Path] = {}
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(".wav"):
                path = Path(folder, name)
                found.setdefault(f"{path.parent.name}/{name}", path)
    return found


def _tail(path: str) -> str:
    return "/".join(path.replace("\\", "/").split("/")[-2:])


def _accent(row: dict[str, str]) -> str:
    return " ".join(row.get("accent", "").lower().split())


def _group(cell: _Cell) -> tuple[str, str]:
    return (_accent(cell[2]), cell[0].stem)


def _row(tail: str, cell: _Cell, root: Path, recording: Path | None) -> Row:
    file, number, row = cell
    path = recording or root / "audio" / tail
    return Row(
        file,
        number,
        {
            "id": tail.rpartition(".")[0] or tail,
            "audio": path.as_posix(),
            "text": row["transcript"],
            "speaker": next((row[name] for name in _SPEAKER if row.get(name)), None),
            "accent": _accent(row),
            "split": file.stem,
            "sex": full_sex(row.get("gender", "")),
            "licence": CORPUS.licence,
        },
    )
