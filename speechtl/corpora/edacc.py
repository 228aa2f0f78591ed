"""EdAcc: conversations of friends over video calls, in some forty accents of English.

Layout of `edacc_v1.0.tar.gz`: `data/<conversation>.wav`, and in `dev/` and `test/` the files
`segments`, `text`, `utt2spk`, `stm` and `conv.list`; `linguistic_background.csv` has the answers of
each participant. On the hub (`edinburghcstr/edacc`) accents are grouped, such as "Nigerian
English"; here they are as speakers describe their own. Source: Sanabria et al. 2023 (ICASSP), and
the release's README for the tokens and for what is not scored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from speechtl.corpora.known import (
    KnownCorpus,
    cells,
    full_sex,
    lines,
    not_there,
    placed,
    table,
)
from speechtl.corpus import Corpus
from speechtl.faults import Fault
from speechtl.sources.rows import Options, Row, shown

__all__ = ["CORPUS", "adopted", "rows"]

CORPUS = KnownCorpus(
    name="edacc",
    title="EdAcc, the Edinburgh International Accents of English Corpus",
    hours="40",
    speakers="about 120",
    licence="CC-BY-SA-4.0",
    url="https://groups.inf.ed.ac.uk/edacc/",
    how_to_get=(
        "nothing, where there is a network: it is fetched from the hub (7 GB); by hand, unpack "
        "edacc_v1.0.tar.gz of https://datashare.ed.ac.uk/handle/10283/8983"
    ),
    inside=("edacc_v1.0", "edacc"),
    marks=("linguistic_background.csv", "dev/conv.list", "test/conv.list"),
    hub="edinburghcstr/edacc",
    note="conversation; dev and test only: a hard test, or training with --folds",
)

_IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"
_TOKENS = re.compile(
    r"<(?:breath|click|cough|dtmf|foreign|laugh|lipsmack|no-speech|overlap|ring)>", re.IGNORECASE
)
_PARTICIPANT = re.compile(r"C(\d+)[-_]?(?:P(\d)|([A-Z]))$")


def rows(
    folder: Path,
    options: Options,  # noqa: ARG001  (of every source; here `build` alone needs them)
    notes: list[str],
) -> Iterator[Row | Fault]:
    """Return the utterances of an unpacked copy, and what is wrong with it.

    Tokens of what is no word, such as `<laugh>`, are taken out of the text. What is then empty, and
    what the corpus' own scoring ignores (the passage that all read), is counted in a note.
    """
    root = placed(CORPUS, folder)
    if root is None:
        yield not_there(CORPUS, folder)
        return
    people: dict[tuple[str, str], dict[str, str]] = {}
    yield from _people(root, people)
    counts = {"ignored": 0, "wordless": 0}
    for split in ("dev", "test"):
        if (root / split).is_dir():
            yield from _of_split(root, split, people, counts)
    _tell(notes, counts)


def adopted(corpus: Corpus, notes: list[str]) -> Corpus:
    """Return the hub's copy as `rows` gives a local one: same text, accents in lower case."""
    counts = {"ignored": 0, "wordless": 0}
    kept = []
    for utterance in corpus:
        if _IGNORED in utterance.text:
            counts["ignored"] += 1
        elif text := _spoken(utterance.text):
            kept.append(replace(utterance, text=text, accent=utterance.accent.lower()))
        else:
            counts["wordless"] += 1
    _tell(notes, counts)
    return Corpus(kept)


def _tell(notes: list[str], counts: Mapping[str, int]) -> None:
    if counts["ignored"]:
        notes.append(
            f"{counts['ignored']} segments were left out that the corpus' own scoring ignores: the "
            "passage that all speakers read"
        )
    if counts["wordless"]:
        notes.append(f"{counts['wordless']} segments were left out in which nobody says a word")


def _spoken(text: str) -> str:
    return " ".join(_TOKENS.sub(" ", text).split())


def _people(root: Path, people: dict[tuple[str, str], dict[str, str]]) -> Iterator[Fault]:
    """Keep each participant's accent and sex by conversation and letter; return what is wrong."""
    file = root / "linguistic_background.csv"
    for _, row in table(file, root, ["PARTICIPANT_ID"]):
        if isinstance(row, Fault):
            yield row
            continue
        who = _who(row["PARTICIPANT_ID"])
        if who is None:
            continue
        accent = next((value for key, value in row.items() if "your accent" in key), "")
        sex = next((value for key, value in row.items() if "your gender" in key), "")
        people.setdefault(who, {"accent": " ".join(accent.lower().split()), "sex": sex})


def _who(name: str) -> tuple[str, str] | None:
    """Return the conversation and the letter of a participant: EDACC-C06-A, or EAEC-C06P1."""
    match = _PARTICIPANT.search(name.strip())
    if match is None:
        return None
    number, place, letter = match.groups()
    return number, letter or chr(ord("A") + (int(place) - 1) % 26)


def _of_split(
    root: Path,
    split: str,
    people: Mapping[tuple[str, str], Mapping[str, str]],
    counts: dict[str, int],
) -> Iterator[Row | Fault]:
    texts: dict[str, tuple[int, str]] = {}
    speakers: dict[str, tuple[int, str]] = {}
    yield from _keyed(root / split / "text", root, texts)
    yield from _keyed(root / split / "utt2spk", root, speakers)
    ignored = _ignored(root / split / "stm", root)
    file = root / split / "segments"
    if not file.is_file() and (root / split / "segment").is_file():
        file = root / split / "segment"
    for number, line in lines(file, root):
        if isinstance(line, Fault):
            yield line
            continue
        if not line.strip():
            continue
        found = _segment(line)
        if found is None:
            told = f"must be an utterance, a recording, start and end in s, got {line[:80]!r}"
            yield Fault("malformed", f"{shown(file, root)}:{number}", told)
            continue
        name, recording, start, end = found
        text = texts.pop(name, (0, ""))[1]
        speaker = speakers.get(name, (0, ""))[1]
        if (recording, speaker, f"{start:.2f}", f"{end:.2f}") in ignored or _IGNORED in text:
            counts["ignored"] += 1
            continue
        spoken = _spoken(text)
        if text and not spoken:
            counts["wordless"] += 1
            continue
        person = people.get(_who(speaker) or ("", ""), {})
        yield Row(
            file,
            number,
            {
                "id": name,
                "audio": f"{(root / 'data').as_posix()}/{recording}.wav",
                "text": spoken,
                "speaker": speaker,
                "accent": person.get("accent"),
                "start": start,
                "end": end,
                "split": split,
                "sex": full_sex(person.get("sex", "")),
                "licence": CORPUS.licence,
            },
        )
    for name, (number, _) in texts.items():
        place = f"{shown(root / split / 'text', root)}:{number}"
        yield Fault("reference-missing", place, f"no segment is named {name!r}", name)


def _segment(line: str) -> tuple[str, str, float, float] | None:
    found = cells(line, 4)
    try:
        return (found[0], found[1], float(found[2]), float(found[3])) if found else None
    except ValueError:
        return None


def _keyed(file: Path, root: Path, found: dict[str, tuple[int, str]]) -> Iterator[Fault]:
    """Keep the line number and the rest of each line by its first word; return what is wrong."""
    for number, line in lines(file, root):
        if isinstance(line, Fault):
            yield line
        elif line.strip():
            name, _, rest = line.strip().partition(" ")
            found.setdefault(name, (number, rest.strip()))


def _ignored(file: Path, root: Path) -> set[tuple[str, str, str, str]]:
    """Return recording, speaker, start and end of what the corpus' own scoring ignores."""
    found = set()
    for _, line in lines(file, root) if file.is_file() else ():
        if isinstance(line, str) and _IGNORED in line:
            # EDACC-C06 1 EDACC-C06-A 0.00 5.27 <male,l1> IGNORE_TIME_SEGMENT_IN_SCORING
            parts = line.split()
            if len(parts) >= 5:
                found.add((parts[0], parts[2], _hundredths(parts[3]), _hundredths(parts[4])))
    return found


def _hundredths(time: str) -> str:
    try:
        return f"{float(time):.2f}"
    except ValueError:
        return time
