"""Speech Accent Archive: one paragraph, read by people from all over the world.

Layout of Kaggle's copy (`rtatman/speech-accent-archive`): `speakers_all.csv`, `reading-passage.txt`
and `recordings/recordings/<filename>.mp3`. The accents are named by the first language; English is
told apart by the country, as `english (uk)`. Source: http://accent.gmu.edu/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from speechtl.corpora.known import KnownCorpus, full_sex, lines, not_there, placed, table, unused
from speechtl.faults import Fault
from speechtl.sources.rows import Options, Row

__all__ = ["CORPUS", "PASSAGE", "rows"]

CORPUS = KnownCorpus(
    name="speech_accent_archive",
    title="Speech Accent Archive",
    hours="about 16",
    speakers="2140 in Kaggle's copy",
    licence="CC-BY-NC-SA-2.0",
    url="http://accent.gmu.edu/",
    how_to_get=(
        "take the archive of https://www.kaggle.com/datasets/rtatman/speech-accent-archive (needs "
        "an account) and unpack it"
    ),
    inside=("speech-accent-archive", "archive"),
    marks=("speakers_all.csv",),
    note="all read one paragraph of 69 words: to look at accents, not to train on",
)

PASSAGE = (
    "Please call Stella. Ask her to bring these things with her from the store: Six spoons of "
    "fresh snow peas, five thick slabs of blue cheese, and maybe a snack for her brother Bob. We "
    "also need a small plastic snake and a big toy frog for the kids. She can scoop these things "
    "into three red bags, and we will go meet her Wednesday at the train station."
)


def rows(
    folder: Path,
    options: Options,  # noqa: ARG001  (of every source; here `build` alone needs them)
    notes: list[str],
) -> Iterator[Row | Fault]:
    """Return the utterances of an unpacked copy, and what is wrong with it.

    Speakers whose recordings the table itself calls missing are counted in a note.
    """
    root = placed(CORPUS, folder)
    if root is None:
        yield not_there(CORPUS, folder)
        return
    notes.append("all speakers read one paragraph, which is taken for the text of each recording")
    found = [*root.glob("recordings/*.mp3"), *root.glob("recordings/recordings/*.mp3")]
    recordings = {path.stem: path for path in sorted(found)}
    text = _passage(root)
    if isinstance(text, Fault):
        yield text
        return
    file, missing = root / "speakers_all.csv", 0
    for number, row in table(file, root, ["filename", "native_language"]):
        if isinstance(row, Fault):
            yield row
            continue
        name = row["filename"]
        if row.get("file_missing?", "").lower() == "true" and name not in recordings:
            missing += 1
            continue
        path = recordings.pop(name, root / "recordings" / "recordings" / f"{name}.mp3")
        yield Row(
            file,
            number,
            {
                "id": name,
                "audio": path.as_posix(),
                "text": text,
                "speaker": row.get("speakerid") or name,
                "accent": _accent(row),
                "sex": full_sex(row.get("sex", "")),
                "licence": CORPUS.licence,
            },
        )
    if missing:
        notes.append(f"{missing} speakers were left out whose recordings the table calls missing")
    yield from unused(recordings.values(), root)


def _accent(row: dict[str, str]) -> str:
    language = " ".join(row["native_language"].lower().split())
    country = " ".join(row.get("country", "").lower().split())
    return f"{language} ({country})" if language == "english" and country else language


def _passage(root: Path) -> str | Fault:
    """Return the paragraph, of the file beside the table where there is one."""
    file = root / "reading-passage.txt"
    if not file.is_file():
        return PASSAGE
    parts = []
    for _, line in lines(file, root):
        if isinstance(line, Fault):
            return line
        parts.extend(line.split())
    return " ".join(parts) or PASSAGE
