"""What was scored, as files of NIST's scoring toolkit, so that its programs can count it again.

Of each set that has utterances, but not of silence, `write_trn` writes `<set>.ref.trn`,
`<set>.base.trn` and `<set>.adapted.trn`, one utterance a line: the words as they were scored, then
` (speaker-utterance)`. In their folder SCTK 2.4.10 finds our substitutions, deletions and
insertions, of the set and of each speaker, and our MAPSSWE, to its printed digits:

    sctk sclite -i spu_id -s -r target.ref.trn trn -h target.base.trn trn -o rsum stdout
    sctk sclite -i spu_id -s -r target.ref.trn trn -h target.base.trn trn base \
        -h target.adapted.trn trn adapted -o sgml stdout | sctk sc_stats -p -t mapsswe -u -n -

`-i spu_id`: the speaker is all before the first hyphen, so a speaker's own hyphens are encoded.
(`rm` and `swb` read ids alike, `wsj` takes three bytes.) `-s`: without it sclite folds A-Z, and no
other capitals, which changes the counts where the normaliser has left any. `-e` is not needed; `-F`
and `-D` find nothing to forgive.

`write_stm` writes `<set>.stm`, `<set>.base.ctm` and `<set>.adapted.ctm`, sorted by id, for the same
counts by time:

    sctk sclite -s -r target.stm stm -h target.base.ctm ctm -o rsum stdout

Here sclite deals words out by their times, which we do not have: they are spread evenly over the
utterance. So that none falls to a neighbour, each utterance is a "file" of its own, named after its
id; the times are those in the recording, and nobody should measure anything by them. Where nothing
was heard sclite says "do not match but continuing", and counts right. It takes time with the cube
of an utterance's length (20 s for 1,000 words), which the trn files do not.

What means something to sclite, and what cannot be seen, is percent-encoded as in a URL (`(` is
`%28`): equal words stay equal and others do not become so, and `urllib.parse.unquote` reads it.

- `{`, `@`, `;`, `*`, the backslash: alternatives, empty words, tags, comments. sclite takes `a*`
  for `a` and `a;b` for `a;c`, crashes at `a{b`, and passes over a line that starts with `;;`.
- `}`, `(`, `)`, `<`: the same in some place, option or format. `"`: sc_stats cannot read it.
- A hyphen at either end of a word, which `-F` takes for a fragment.
- The first letter of `IGNORE_TIME_SEGMENT_IN_SCORING` in a word, which hides a segment.
- In ids and speakers, white space, and A-Z where two differ in case alone, for use without `-s`.
- `%` itself.

A word or a speaker of more than 96 bytes (sclite's longest buffers hold 1,000, its shortest 200 for
two words, and one report never ends at 120) or an id of more than 400 (a ctm file cuts at 500)
becomes its beginning, `%~` and a digest of the whole. An empty id or speaker is `%~`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from speechtl.audio import duration
from speechtl.errors import DataError
from speechtl.files import write_text
from speechtl.scoring import SILENCE, SYSTEMS, Hypotheses, Hypothesis
from speechtl.scoring.paired import Paired, pair

__all__ = ["escape", "write_stm", "write_trn"]

_SIGN = r'[%"()*;<@\\{}]|^-|-\Z|(?i:i(?=gnore_?time_?segment_?in_?scoring))'
_LONGEST = 96  # bytes of a word or a speaker: two fit into one of sclite's buffers of 200
_LONGEST_ID = 400  # bytes

_CHANNEL = "A"


def write_trn(hypotheses: Hypotheses, directory: Path, *, normaliser: str) -> tuple[Path, ...]:
    """Write both systems' words and the references as `.trn` files, and return the files.

    Args:
        hypotheses: By system, then by set, as `scoring.read_hypotheses` returns them.
        directory: Where the files go; it is made.
        normaliser: What references and hypotheses are scored with.

    Raises:
        DataError: The two systems do not hold the same utterances.
        ConfigError: The normaliser is unknown.
        OutputError: A file cannot be written.
    """
    written = []
    for name, paired in _sets(hypotheses, normaliser).items():
        speakers, utterances = _names(paired)
        ids = [f"({speakers[row.speaker]}-{utterances[row.id]})" for row in paired.rows]
        texts = {
            "ref": paired.references,
            "base": paired.base.texts,
            "adapted": paired.adapted.texts,
        }
        for kind, rows in texts.items():
            lines = (
                f"{' '.join(_words(text))} {id_}\n" for text, id_ in zip(rows, ids, strict=True)
            )
            written.append(_written(directory / f"{name}.{kind}.trn", lines))
    return tuple(written)


def write_stm(hypotheses: Hypotheses, directory: Path, *, normaliser: str) -> tuple[Path, ...]:
    """Write references as `.stm` and both systems' words as `.ctm` files, and return the files.

    Args:
        hypotheses: By system, then by set, as `scoring.read_hypotheses` returns them. Where a row
            tells neither its end nor its length, the recording does.
        directory: Where the files go; it is made.
        normaliser: What references and hypotheses are scored with.

    Raises:
        DataError: The two systems do not hold the same utterances, or the length of one is not
            known and its recording cannot be read.
        ConfigError: The normaliser is unknown.
        OutputError: A file cannot be written.
    """
    written = []
    for name, paired in _sets(hypotheses, normaliser).items():
        speakers, utterances = _names(paired)
        files = [utterances[row.id] for row in paired.rows]
        spans = _spans(paired.rows)
        order = sorted(range(len(files)), key=files.__getitem__)
        lines = (
            " ".join(
                (
                    files[at],
                    _CHANNEL,
                    speakers[paired.rows[at].speaker],
                    *(f"{time:.3f}" for time in spans[at]),
                    *_words(paired.references[at]),
                )
            )
            + "\n"
            for at in order
        )
        written.append(_written(directory / f"{name}.stm", lines))
        for system, heard in zip(SYSTEMS, paired.systems(), strict=True):
            lines = (
                f"{files[at]} {_CHANNEL} {start:.3f} {length:.3f} {word}\n"
                for at in order
                for start, length, word in _spread(_words(heard.texts[at]), *spans[at])
            )
            written.append(_written(directory / f"{name}.{system}.ctm", lines))
    return tuple(written)


@lru_cache(maxsize=65_536)  # the same words come again and again
def escape(word: str) -> str:
    """Return the word as the files have it; `urllib.parse.unquote` gives the word back.

    Only of a word of more than 96 bytes is the end lost, to a digest that keeps it distinct.
    """
    return _escaped(word, _SIGN)


def _escaped(text: str, sign: str, *, longest: int = _LONGEST) -> str:
    shown = re.sub(sign, lambda found: _percent(found[0]), text)
    shown = "".join(
        character if character.isprintable() and character != " " else _percent(character)
        for character in shown
    )
    if len(shown.encode()) <= longest:
        return shown
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    end = f"%~{digest}"
    return shown.encode()[: longest - len(end)].decode(errors="ignore") + end


def _percent(characters: str) -> str:
    return "".join(f"%{byte:02X}" for byte in characters.encode("utf-8", "surrogatepass"))


def _words(text: str) -> list[str]:
    return [escape(word) for word in text.split()]


def _names(paired: Paired) -> tuple[dict[str, str], dict[str, str]]:
    """Return what the speakers and the utterances are called in the files."""
    return (
        _distinct((row.speaker for row in paired.rows), sign=f"{_SIGN}|-"),
        _distinct((row.id for row in paired.rows), sign=_SIGN, longest=_LONGEST_ID),
    )


def _distinct(texts: Iterable[str], *, sign: str, longest: int = _LONGEST) -> dict[str, str]:
    """Return a name for each text, no two of which are alike when A-Z are folded."""
    different = set(texts)
    folded = Counter(text.lower() for text in different)
    return {
        text: _escaped(text, f"{sign}|[A-Z]" if folded[text.lower()] > 1 else sign, longest=longest)
        or "%~"
        for text in different
    }


def _sets(hypotheses: Hypotheses, normaliser: str) -> dict[str, Paired]:
    """Return the sets that have references, both systems side by side."""
    names = dict.fromkeys(name for system in SYSTEMS for name in hypotheses[system])
    base, adapted = (hypotheses[system] for system in SYSTEMS)
    sets = {
        name: pair(base.get(name, ()), adapted.get(name, ()), normaliser=normaliser)
        for name in names
        if name != SILENCE
    }
    # sclite crashes at a file without an utterance.
    return {name: paired for name, paired in sets.items() if paired.rows}


def _spans(rows: Iterable[Hypothesis]) -> list[tuple[float, float]]:
    """Return where each utterance starts and ends in its recording (s)."""
    spans, faults = [], []
    for row in rows:
        start = row.start or 0.0
        if row.end is not None:
            end = row.end
        elif row.duration is not None:
            end = start + row.duration
        else:
            try:
                end = duration(Path(row.audio))
            except DataError as error:
                faults.append(f"utterance {row.id!r}: {error if row.audio else 'no recording'}")
                continue
        spans.append((start, end))
    if faults:
        raise DataError(
            "Each utterance must have an end, a duration or a recording that tells it; write .trn "
            "files, which need no times",
            faults=tuple(faults),
        )
    return spans


def _spread(words: Sequence[str], start: float, end: float) -> Iterator[tuple[float, float, str]]:
    """Yield the words with a start and a length each (s), spread evenly."""
    length = (end - start) / max(len(words), 1)
    for place, word in enumerate(words):
        yield start + place * length, length, word


def _written(path: Path, lines: Iterable[str]) -> Path:
    write_text(path, "".join(lines))
    return path
