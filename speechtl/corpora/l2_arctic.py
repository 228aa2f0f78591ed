"""L2-ARCTIC: the ARCTIC prompts, read by people whose first language is not English.

Layout of `l2arctic_release_v5.0.zip`, in which each speaker's archive is unpacked:
`ABA/wav/arctic_a0001.wav`, `ABA/transcript/arctic_a0001.txt`. The accents are named by the first
language. The retold stories of `suitcase_corpus` are left alone. Speakers and facts are those of
https://psi.engr.tamu.edu/l2-arctic-corpus-docs/ (version 5.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from speechtl.corpora.known import KnownCorpus, lines, not_there, placed, unused
from speechtl.faults import Fault
from speechtl.sources.rows import Options, Row

__all__ = ["CORPUS", "rows"]

_SPEAKERS = {
    "ABA": ("arabic", "male"), "SKA": ("arabic", "female"),
    "YBAA": ("arabic", "male"), "ZHAA": ("arabic", "female"),
    "BWC": ("mandarin", "male"), "LXC": ("mandarin", "female"),
    "NCC": ("mandarin", "female"), "TXHC": ("mandarin", "male"),
    "ASI": ("hindi", "male"), "RRBI": ("hindi", "male"),
    "SVBI": ("hindi", "female"), "TNI": ("hindi", "female"),
    "HJK": ("korean", "female"), "HKK": ("korean", "male"),
    "YDCK": ("korean", "female"), "YKWK": ("korean", "male"),
    "EBVS": ("spanish", "male"), "ERMS": ("spanish", "male"),
    "MBMPS": ("spanish", "female"), "NJS": ("spanish", "female"),
    "HQTV": ("vietnamese", "male"), "PNV": ("vietnamese", "female"),
    "THV": ("vietnamese", "female"), "TLV": ("vietnamese", "male"),
}  # fmt: skip

CORPUS = KnownCorpus(
    name="l2_arctic",
    title="L2-ARCTIC 5.0",
    hours="27",
    speakers="24",
    licence="CC-BY-NC-4.0",
    url="https://psi.engr.tamu.edu/l2-arctic-corpus/",
    how_to_get=(
        "ask for it with the form of https://psi.engr.tamu.edu/l2-arctic-corpus/ (a link comes by "
        "mail), and unpack l2arctic_release_v5.0.zip and each speaker's archive in it"
    ),
    accents=("arabic", "hindi", "korean", "mandarin", "spanish", "vietnamese"),
    inside=("l2arctic_release_v5.0", "l2arctic_release_v5"),
    marks=tuple(f"{speaker}/transcript" for speaker in _SPEAKERS),
    note="four speakers of each first language, who all read the same 1132 prompts; non-commercial",
)


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
    absent = [speaker for speaker in _SPEAKERS if not (root / speaker).is_dir()]
    if absent:
        notes.append(f"speakers that are not here: {', '.join(absent)}")
    for speaker, (accent, sex) in sorted(_SPEAKERS.items()):
        recordings = {path.stem: path for path in sorted((root / speaker / "wav").glob("*.wav"))}
        for file in sorted((root / speaker / "transcript").glob("*.txt")):
            text = next(lines(file, root), (0, ""))[1]
            if isinstance(text, Fault):
                yield text
                recordings.pop(file.stem, None)
                continue
            path = recordings.pop(file.stem, root / speaker / "wav" / f"{file.stem}.wav")
            yield Row(
                file,
                0,
                {
                    "id": f"{speaker}-{file.stem}",
                    "audio": path.as_posix(),
                    "text": text.strip(),
                    "speaker": speaker,
                    "accent": accent,
                    "sex": sex,
                    "licence": CORPUS.licence,
                },
            )
        yield from unused(recordings.values(), root)
