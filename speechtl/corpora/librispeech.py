"""LibriSpeech: read books, the general accent that most recognisers know, and speech to replay.

Layout of the archives: `LibriSpeech/dev-clean/84/121123/84-121123-0000.flac`, with the transcripts
of a chapter in `84-121123.trans.txt` (`84-121123-0000 GO DO YOU HEAR`) and the readers in
`SPEAKERS.TXT`. Mini LibriSpeech (`dev-clean-2`, `train-clean-5`) is laid out alike.
Source: https://www.openslr.org/12/, Panayotov et al. 2015 (ICASSP).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from speechtl.corpora.known import KnownCorpus, cells, full_sex, lines, not_there, placed, unused
from speechtl.faults import Fault
from speechtl.sources.rows import Options, Row, shown

__all__ = ["CORPUS", "rows"]

CORPUS = KnownCorpus(
    name="librispeech",
    title="LibriSpeech",
    hours="1000",
    speakers="2484",
    licence="CC-BY-4.0",
    url="https://www.openslr.org/12/",
    how_to_get=(
        "take parts from https://www.openslr.org/12/ and unpack them into one folder: "
        "dev-clean.tar.gz and test-clean.tar.gz (0.7 GB) are enough to score the general accent; "
        "train-clean-100.tar.gz (6.3 GB) is to replay"
    ),
    accents=("general",),
    inside=("LibriSpeech",),
    marks=(
        "dev-*/*/*/*.trans.txt",
        "test-*/*/*/*.trans.txt",
        "train-*/*/*/*.trans.txt",
    ),
    note="mostly American readers; upper case without punctuation; has splits",
)

_SPLITS = ("train", "dev", "test")


def rows(
    folder: Path,
    options: Options,  # noqa: ARG001  (of every source; here `build` alone needs them)
    notes: list[str],
) -> Iterator[Row | Fault]:
    """Return the utterances of the parts that are here, and what is wrong with them."""
    root = placed(CORPUS, folder)
    if root is None:
        yield not_there(CORPUS, folder)
        return
    sexes: dict[str, str] = {}
    for number, line in lines(root / "SPEAKERS.TXT", root):
        if isinstance(line, Fault):
            # Without the readers' table all that is not known is their sex.
            notes.append(f"SPEAKERS.TXT:{number} {line.message}: the sex of readers is not known")
        elif not line.startswith(";") and line.count("|") >= 2:
            reader, sex = line.split("|")[:2]
            sexes[reader.strip()] = sex
    for part in sorted(root.glob("*")):
        split = part.name.partition("-")[0]
        if split in _SPLITS and "-" in part.name and part.is_dir():
            for file in sorted(part.glob("*/*/*.trans.txt")):
                yield from _of_chapter(file, root, split, sexes)


def _of_chapter(
    file: Path, root: Path, split: str, sexes: Mapping[str, str]
) -> Iterator[Row | Fault]:
    recordings = {path.stem: path for path in sorted(file.parent.glob("*.flac"))}
    for number, line in lines(file, root):
        if isinstance(line, Fault):
            yield line
            continue
        if not line.strip():
            continue
        found = cells(line, 2)
        if found is None or found[0].count("-") != 2:
            told = f"must be an utterance and what is said, got {line[:80]!r}"
            yield Fault("malformed", f"{shown(file, root)}:{number}", told)
            continue
        name, text = found
        path = recordings.pop(name, file.parent / f"{name}.flac")
        speaker = name.partition("-")[0]
        yield Row(
            file,
            number,
            {
                "id": name,
                "audio": path.as_posix(),
                "text": text,
                "speaker": speaker,
                "accent": "general",
                "split": split,
                "sex": full_sex(sexes.get(speaker, "")),
                "licence": CORPUS.licence,
            },
        )
    yield from unused(recordings.values(), root)
