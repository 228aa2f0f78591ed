"""CMU ARCTIC: phonetically balanced prompts, read by single speakers for speech synthesis.

Layout of the archives `cmu_us_<speaker>_arctic.tar.bz2`: `cmu_us_awb_arctic/wav/arctic_a0001.wav`,
and the prompts in `etc/txt.done.data`: `( arctic_a0001 "Author of the danger trail, ..." )`. The
seven first speakers have about 1130 utterances, others half of that. A few recordings have no
prompt. Accents are those that pyroomacoustics' reader of the corpus lists.
Source: http://www.festvox.org/cmu_arctic/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from speechtl.corpora.known import KnownCorpus, lines, not_there, placed, unused
from speechtl.faults import Fault
from speechtl.sources.rows import Options, Row, shown

__all__ = ["CORPUS", "rows"]

_SPEAKERS = {
    "aew": ("us", "male"), "ahw": ("german", "male"), "aup": ("indian", "male"),
    "awb": ("scottish", "male"), "axb": ("indian", "female"), "bdl": ("us", "male"),
    "clb": ("us", "female"), "eey": ("us", "female"), "fem": ("irish", "male"),
    "gka": ("indian", "male"), "jmk": ("canadian", "male"), "ksp": ("indian", "male"),
    "ljm": ("us", "female"), "lnh": ("us", "female"), "rms": ("us", "male"),
    "rxr": ("dutch", "male"), "slp": ("indian", "female"), "slt": ("us", "female"),
}  # fmt: skip

CORPUS = KnownCorpus(
    name="cmu_arctic",
    title="CMU ARCTIC",
    hours="about 14",
    speakers="18",
    licence="free for any use (CMU ARCTIC licence)",
    url="http://www.festvox.org/cmu_arctic/",
    how_to_get=(
        "take archives from http://festvox.org/cmu_arctic/packed/, such as "
        "cmu_us_awb_arctic.tar.bz2, and unpack them into one folder"
    ),
    accents=("canadian", "dutch", "german", "indian", "irish", "scottish", "us"),
    inside=("cmu_arctic", "ARCTIC"),
    marks=("cmu_us_*_arctic/etc/txt.done.data",),
    note="one speaker of most accents, five Indian ones; all read the same prompts",
)

_PROMPT = re.compile(r'\(\s*(\S+)\s+"(.*)"\s*\)')


def rows(
    folder: Path,
    options: Options,  # noqa: ARG001  (of every source; here `build` alone needs them)
    notes: list[str],  # noqa: ARG001  (as above)
) -> Iterator[Row | Fault]:
    """Return the utterances of the archives that are here, and what is wrong with them."""
    root = placed(CORPUS, folder)
    if root is None:
        yield not_there(CORPUS, folder)
        return
    for place in sorted(root.glob("cmu_us_*_arctic")):
        if place.is_dir():
            yield from _of_speaker(root, place)


def _of_speaker(root: Path, place: Path) -> Iterator[Row | Fault]:
    speaker = place.name.removeprefix("cmu_us_").removesuffix("_arctic")
    accent, sex = _SPEAKERS.get(speaker, (None, None))
    recordings = {path.stem: path for path in sorted((place / "wav").glob("*.wav"))}
    file = place / "etc" / "txt.done.data"
    for number, line in lines(file, root):
        if isinstance(line, Fault):
            yield line
            continue
        if not line.strip():
            continue
        match = _PROMPT.fullmatch(line.strip())
        if match is None:
            told = f'must be ( name "sentence" ), got {line[:80]!r}'
            yield Fault("malformed", f"{shown(file, root)}:{number}", told)
            continue
        path = recordings.pop(match[1], place / "wav" / f"{match[1]}.wav")
        yield Row(
            file,
            number,
            {
                "id": f"{speaker}-{match[1]}",
                "audio": path.as_posix(),
                "text": match[2].replace('\\"', '"').strip(),
                "speaker": speaker,
                "accent": accent,
                "sex": sex,
                "licence": CORPUS.licence,
            },
        )
    yield from unused(recordings.values(), root)
