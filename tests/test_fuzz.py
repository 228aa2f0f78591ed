"""Broken manifests and recordings: a result or an error of ours, never a traceback or a hang.

Each case takes a good file, breaks it by a random generator of its own, and reads it. What is read
may be anything; but all that is told must be printable, and each utterance must be one that can be
used. The cases run in a process of their own, whose memory is measured:

    python tests/test_fuzz.py COUNT SEED [KIND ...]

`SPEECHTL_FUZZ` is the number of cases of each kind in the slow test, 1000 where it is not set.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import soundfile

from speechtl import audio, corpora, sources
from speechtl.checks.people import people_faults, segment_faults
from speechtl.checks.recordings import audio_faults, inspect
from speechtl.checks.transcripts import transcript_faults
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import DataError, SpeechtlError
from speechtl.sources import Options, Reading

LIMIT_S = 10.0
LIMIT_BYTES = 1e9
SLOW_COUNT = int(os.environ.get("SPEECHTL_FUZZ", "1000"))

# --- what is broken -------------------------------------------------------------------------------

RECORDINGS = ("ann-1.wav", "ann-2.wav", "bob-1.wav", "é.wav")
SAID = ("The cat sat.", "A mat, 2 hats", "sat ON the mat", "naïve café")

Variant = Mapping[str, bytes]


@dataclass(frozen=True)
class Subject:
    """A source that is read again and again with one of its files broken.

    Attributes:
        source: What is read, relative to the folder.
        variants: The files that may be broken; one is written, and one of its files broken.
        kind: What `sources.read` is told.
        audio: Where the recordings lie.
    """

    source: str
    variants: tuple[Variant, ...]
    kind: str | None
    audio: str = "."


def _utf8(**files: str) -> Variant:
    return {name: content.encode() for name, content in files.items()}


def _rows() -> Iterator[dict[str, Any]]:
    for number, (name, text) in enumerate(zip(RECORDINGS, SAID, strict=True)):
        yield {
            "id": f"u{number}", "audio": name, "text": text, "speaker": name[:3],
            "accent": "scottish", "start": 0.25 * number, "end": 0.25 * number + 0.5,
            "split": ("train", "dev", "test", "train")[number], "licence": "CC-BY-NC-4.0",
            "sex": "female",
        }  # fmt: skip


def _json(rows: Iterable[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _table(delimiter: str) -> bytes:
    rows = [*_rows()]
    lines = [delimiter.join(rows[0])]
    lines += [delimiter.join(f'"{value}"' for value in row.values()) for row in rows]
    return "\n".join(lines).encode() + b"\n"


def _nemo() -> bytes:
    return _json(
        {"audio_filepath": row["audio"], "text": row["text"], "offset": row["start"],
         "duration": 0.5, "speaker": row["speaker"], "accent": "irish", "gender": "f"}
        for row in _rows()
    )  # fmt: skip


def _common_voice() -> bytes:
    lines = ["client_id\tpath\tsentence_id\tsentence\tage\tgender\taccents"]
    lines += [
        f"{row['speaker']}\t{row['audio']}\ts{row['id']}\t{row['text']}\ttwenties\tmale\tScottish"
        for row in _rows()
    ]
    return "\n".join(lines).encode() + b"\n"


def _kaldi() -> Variant:
    rows = [*_rows()]
    return {
        "wav.scp": "".join(f"rec-{row['id']} {row['audio']}\n" for row in rows).encode(),
        "text": "".join(f"{row['id']} {row['text']}\n" for row in rows).encode(),
        "segments": "".join(f"{row['id']} rec-{row['id']} 0.1 0.4\n" for row in rows[:3]).encode()
        + b"u3 rec-u3 0.1 -1\n",
        "utt2spk": "".join(f"{row['id']} {row['speaker']}\n" for row in rows).encode(),
        "spk2gender": b"ann f\nbob m\n",
        "utt2accent": "".join(f"{row['id']} welsh\n" for row in rows).encode(),
    }


LONG_GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "Ann"
        xmin = 0
        xmax = 0.5
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = "the ""cat"" sat"
        intervals [2]:
            xmin = 0.25
            xmax = 0.5
            text = "naïve"
    item [2]:
        class = "TextTier"
        name = "points"
        xmin = 0
        xmax = 0.5
        points: size = 1
        points [1]:
            number = 0.1
            mark = "x"
"""
SHORT_GRID = """File type = "ooTextFile"
Object class = "TextGrid"

0
0.5
<exists>
1
"IntervalTier"
"words"
0
0.5
3
0
0.1
"the"
0.1
0.2
"cat"
0.2
0.5
""
"""
ELAN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL="file:///old/ann-1.wav" MIME_TYPE="audio/x-wav"
 RELATIVE_MEDIA_URL="./ann-1.wav" TIME_ORIGIN="10"/></HEADER>
<TIME_ORDER><TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="ts2"/>
<TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="400"/></TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="default-lt" PARTICIPANT="Ann" TIER_ID="Ann">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
<ANNOTATION_VALUE>the cat &amp; hat</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
<ANNOTATION_VALUE>naïve</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER LINGUISTIC_TYPE_REF="gloss" PARENT_REF="Ann" TIER_ID="gloss">
<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a3" ANNOTATION_REF="a1">
<ANNOTATION_VALUE>gloss</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>
</ANNOTATION_DOCUMENT>
"""
SRT = """1
00:00:00,000 --> 00:00:00,200
ANN: the <i>cat</i>

2
00:00:00,200 --> 00:00:00,450
{\\an8}BOB: sat &amp; sat
on the mat

"""
VTT = """WEBVTT - a talk

NOTE a comment
over lines

STYLE
::cue { color: red }

one
00:00.000 --> 00:00.200 align:start
<v Ann>the <c.loud>cat</c> &lt;&#x263a;

00:00.200 --> 00:00.400
<v.first Bob Ross>naïve <00:00:00.300>hat
"""

SUBJECTS: dict[str, Subject] = {
    "jsonl": Subject("m.jsonl", ({"m.jsonl": _json(_rows())},), "table"),
    "csv": Subject("m.csv", ({"m.csv": _table(",")}, {"m.csv": _table(";")}), "table"),
    "tsv": Subject("m.tsv", ({"m.tsv": _table("\t")},), "table"),
    "nemo": Subject("m.json", ({"m.json": _nemo()},), "nemo"),
    "ljspeech": Subject(
        ".",
        ({"metadata.csv": "ann-1|The 1.|The one.\nann-2|A mat|\nbob-1|hat\né|x|y\n".encode()},),
        "ljspeech",
        audio="wavs",
    ),
    "common-voice": Subject(
        ".",
        (
            {
                "validated.tsv": _common_voice(),
                "reported.tsv": b"sentence_id\tsentence\tlocale\treason\nsu1\tA mat\ten\tx\n",
            },
            {"train.tsv": _common_voice(), "dev.tsv": _common_voice()},
        ),
        "common-voice",
        audio="clips",
    ),
    "kaldi": Subject(".", (_kaldi(),), "kaldi"),
    "folder": Subject(
        ".",
        (
            {
                f"{Path(name).stem}.txt": text.encode()
                for name, text in zip(RECORDINGS, SAID, strict=True)
            },
            {"19-198.trans.txt": b"ann-1 THE CAT\nann-2 A MAT\nbob-1 SAT\n"},
        ),
        "folder",
    ),
    "textgrid": Subject(
        ".",
        (
            {"ann-1.TextGrid": LONG_GRID.encode()},
            {"ann-1.TextGrid": SHORT_GRID.encode()},
            {"ann-1.TextGrid": LONG_GRID.encode("utf-16")},
        ),
        "textgrid",
    ),
    "elan": Subject(".", ({"notes.eaf": ELAN.encode()},), "elan"),
    "srt": Subject("ann-1.srt", ({"ann-1.srt": SRT.encode()},), "subtitles"),
    "vtt": Subject("ann-1.vtt", ({"ann-1.vtt": VTT.encode()},), "subtitles"),
}
KNOWN = (
    "afrispeech", "cmu_arctic", "coraal", "edacc", "l2_arctic", "librispeech", "openslr83",
    "speech_accent_archive", "svarah", "vctk",
)  # fmt: skip
KINDS = (*SUBJECTS, "known", "audio")

# --- how it is broken -----------------------------------------------------------------------------

TOKENS: tuple[bytes, ...] = tuple(
    token if isinstance(token, bytes) else token.encode()
    for token in (
        "0", "-0", "-1", "1e308", "-1e308", "1e-320", "1e999", "NaN", "nan", "Infinity", "inf",
        "9" * 30, "1" + "0" * 400, "9" * 4299, "1" + "0" * 5000, "9" * 5000 + ":00:01", "0x10",
        "1_0", "1,5", "0:00:01.5", "99:99:99", "٣", "true", "null", "[]", "{}", "[[1]]",
        "[" * 5000, "{" * 300, '{"a":' * 2000, "[" * 945 + "]" * 945, "[" * 960 + "]" * 960,
        '"', '""', '"""', "'", "\\", '\\"', "\\u0000", "\\ud800", "\\udfff", "\\udc80", "\0",
        "\ufeff", "\u2028", "\x85", "\x1c", "\x1a", "\u200b", "é", "e\u0301", "\ufffd", "😀", "\t",
        "\r", "\n", "\r\n", "\n\n", ",", ";", "|", "||", ":", "-->", "<v ", "<v Ann>", "<", ">",
        "&#0;", "&#xd800;", "&#9999999;", "&amp;", "&x;", "<!DOCTYPE a [<!ENTITY b 'c'>]>", "]]>",
        "<![CDATA[", "<!--", "../../etc/passwd", "/etc/hostname", "/etc", "/", "//", ".", "..",
        "~", "~nobody/x", "/dev/zero", "/dev/stdin", "/proc/self/mem", "pipe.wav", "loop.wav",
        "folder.wav", "zero.wav", "C:\\a.wav", "C:a.wav", "\\\\server\\share\\a.wav",
        "..\\..\\a.wav", "x" * 300 + ".wav", "x" * 5000, "a/" * 3000, "../" * 3000, "a.wav|",
        "cat a.wav |", "x.ark:123", "id", "audio", "text", "speaker", "start", "end", "split",
        "IntervalTier", "<exists>", "TextGrid", "WEBVTT", "NOTE", "TIME_ORIGIN",
        b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80",
        b"\xf8\x88\x80\x80\x80", b"\xff", b"\x80",
    )
)  # fmt: skip
FILLING = (b"a", b" ", b"\t", b'"', b"(", b"[", b"<v ", b"<c ", b"\\", b"../", b",", b"1", b"\0",
           b"x|", b"\n", b"\r", b"{\\", b"&", b"-", b"a ", b"\xc3\xa9", b"</", b"a:", b". ",
           b"<a>", b"0\n", b'""')  # fmt: skip
LONGEST = 300_000  # bytes; what is longer takes long without being worse
SEPARATORS = b' \t\n,;|:{}[]"=<>/'


def _at(rng: random.Random, content: bytes) -> int:
    return rng.randrange(len(content) + 1)


def _flip(rng: random.Random, content: bytes) -> bytes:
    broken = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 10))):
        if broken:
            broken[rng.randrange(len(broken))] = rng.randrange(256)
    return bytes(broken)


def _delete(rng: random.Random, content: bytes) -> bytes:
    at = _at(rng, content)
    return content[:at] + content[at + rng.choice((1, 2, 5, 20, 200)) :]


def _insert(rng: random.Random, content: bytes) -> bytes:
    at = _at(rng, content)
    return content[:at] + rng.choice(TOKENS) + content[at:]


def _truncate(rng: random.Random, content: bytes) -> bytes:
    return content[: _at(rng, content)]


def _duplicate(rng: random.Random, content: bytes) -> bytes:
    start, stop = sorted((_at(rng, content), _at(rng, content)))
    times = rng.choice((1, 1, 2, 20))
    return content[:stop] + content[start:stop] * times + content[stop:]


def _words(content: bytes) -> list[tuple[int, int]]:
    """Return where the tokens between separators begin and end."""
    edges = [at for at, byte in enumerate(content) if byte in SEPARATORS]
    return [(a + 1, b) for a, b in itertools.pairwise([-1, *edges, len(content)]) if b > a + 1]


def _replace(rng: random.Random, content: bytes) -> bytes:
    words = _words(content)
    if not words:
        return content
    start, stop = rng.choice(words)
    return content[:start] + rng.choice(TOKENS) + content[stop:]


def _swap(rng: random.Random, content: bytes) -> bytes:
    words = _words(content)
    if len(words) < 2:
        return content
    (a, b), (c, d) = sorted(rng.sample(words, 2))
    return content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _line_ends(rng: random.Random, content: bytes) -> bytes:
    return content.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"", b"\n\r", b" \n")))


def _encode(rng: random.Random, content: bytes) -> bytes:
    text = content.decode(errors="replace")
    encoding = rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "cp1252"))
    if encoding == "cp1252":
        return text.encode(encoding, errors="replace")
    return (rng.choice(("", "\ufeff")) + text).encode(encoding, errors="replace")


def _fill(rng: random.Random, content: bytes) -> bytes:
    at = _at(rng, content)
    return content[:at] + rng.choice(FILLING) * rng.choice((300, 5000, 40_000)) + content[at:]


def _another(rng: random.Random, content: bytes) -> bytes:
    return rng.choice((b"", b"\n", b"\0" * 50, rng.randbytes(300), b"[" * 5000, b"\xff\xfe", b"{}"))


BREAKS: tuple[tuple[Callable[[random.Random, bytes], bytes], int], ...] = (
    (_flip, 6), (_delete, 5), (_insert, 10), (_truncate, 3), (_duplicate, 4), (_replace, 14),
    (_swap, 5), (_line_ends, 2), (_encode, 2), (_fill, 3), (_another, 1),
)  # fmt: skip


def _broken(rng: random.Random, content: bytes) -> bytes:
    functions, weights = zip(*BREAKS, strict=True)
    for function in rng.choices(functions, weights, k=rng.choice((1, 1, 1, 2, 3, 5))):
        content = function(rng, content)[:LONGEST]
    return content


def _put(rng: random.Random, file: Path, content: bytes) -> None:
    """Write a broken file, or in one of fifty cases something that is no file."""
    if rng.random() > 0.02:
        file.write_bytes(_broken(rng, content))
        return
    file.unlink()
    match rng.randrange(5):
        case 0:
            os.mkfifo(file)
        case 1:
            file.symlink_to("/dev/zero")
        case 2:
            file.symlink_to(file.name)
        case 3:
            file.mkdir()
        case _:
            pass


def _restore(file: Path, content: bytes) -> None:
    if file.is_dir() and not file.is_symlink():
        file.rmdir()
    elif file.is_symlink() or not file.is_file():
        file.unlink(missing_ok=True)
    file.write_bytes(content)


# --- what is read ---------------------------------------------------------------------------------


def _use(reading: Reading) -> str:
    """Find all that is wrong with what was read, and return how it went."""
    corpus = reading.corpus
    told = [
        *reading.faults,
        *transcript_faults(corpus, reading.place),
        *people_faults(corpus, reading.place),
        *segment_faults(corpus, reading.place),
    ]
    for fault in told:
        str(fault).encode()
    for note in (*reading.notes, *reading.places):
        note.encode()
    for utterance in corpus:
        _check(utterance)
    return "nothing" if not corpus else "part" if reading.errors() else "read"


def _check(utterance: Utterance) -> None:
    assert utterance.audio.is_file()
    assert utterance.audio.is_absolute()
    assert all((utterance.id, utterance.text, utterance.speaker, utterance.accent))
    json.dumps([str(utterance.audio), utterance.text]).encode()
    assert not any("\ud800" <= letter <= "\udfff" for letter in utterance.id + utterance.text)
    times = utterance.start, utterance.end
    assert times == (None, None) or 0 <= times[0] < times[1] < float("inf")  # type: ignore[operator]


def _tone(seconds: float = 0.5, rate: int = 16_000) -> np.ndarray[Any, np.dtype[np.float64]]:
    times = np.arange(round(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * 220 * times) * np.sin(2 * np.pi * 3 * times)


Case = tuple[Callable[[], str], Callable[[], None]]
"""What is tried, and what clears up after it."""


def _texts(subject: Subject, root: Path) -> Callable[[random.Random], Case]:
    place = root / subject.audio
    place.mkdir(exist_ok=True)
    for name in RECORDINGS:
        soundfile.write(place / name, _tone(), 16_000)
    os.mkfifo(place / "pipe.wav")
    (place / "loop.wav").symlink_to("loop.wav")
    (place / "zero.wav").symlink_to("/dev/zero")
    (place / "folder.wav").mkdir()

    def case(rng: random.Random) -> Case:
        files = rng.choice(subject.variants)
        for name, content in files.items():
            (root / name).write_bytes(content)
        name = rng.choice(sorted(files))
        _put(rng, root / name, files[name])
        options = Options(
            accent=rng.choice((None, "irish", "irish")),
            speaker=rng.choice((None, "ann", "ann")),
            columns=rng.choice(({}, {}, {}, {"text": "text"})),
        )  # fmt: skip

        def clear() -> None:
            _restore(root / name, b"")
            for each in files:
                (root / each).unlink()

        source = root / subject.source
        return lambda: _use(sources.read(source, subject.kind, options)), clear

    return case


def _known(root: Path) -> Callable[[random.Random], Case]:
    trees: dict[str, list[tuple[Path, bytes]]] = {}
    for name in KNOWN:
        importlib.import_module(f"corpora.test_{name}").tree(root / name)
        found = (path for path in sorted((root / name).rglob("*")) if path.is_file())
        trees[name] = [
            (path, path.read_bytes()) for path in found
            if path.suffix.lower() not in audio.AUDIO_SUFFIXES
        ]  # fmt: skip

    def case(rng: random.Random) -> Case:
        name = rng.choice(KNOWN)
        file, content = rng.choice(trees[name])
        file.write_bytes(_broken(rng, content))
        reader = f"{name}:{root / name}"
        return lambda: _use(corpora.read(reader)), lambda: _restore(file, content)

    return case


AUDIO = {
    "pcm16.wav": ("WAV", "PCM_16"), "pcm24.wav": ("WAV", "PCM_24"), "float.wav": ("WAV", "FLOAT"),
    "alaw.wav": ("WAV", "ALAW"), "x.flac": ("FLAC", "PCM_16"), "x.ogg": ("OGG", "VORBIS"),
    "x.opus": ("OGG", "OPUS"), "x.mp3": ("MP3", "MPEG_LAYER_III"), "x.aiff": ("AIFF", "PCM_16"),
}  # fmt: skip
NUMBERS = (0, 1, 2, 3, 7, 8, 64, 100, 255, 256, 1000, 1024, 8000, 11_025, 44_101, 65_535, 767_999,
           10**6, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)  # fmt: skip


def _audio_bytes(kind: tuple[str, str], channels: int) -> bytes:
    stream = io.BytesIO()
    tone = np.stack([_tone()] * channels, axis=1)
    soundfile.write(stream, tone, 16_000, format=kind[0], subtype=kind[1])
    return stream.getvalue()


def _field(rng: random.Random, content: bytes) -> bytes:
    """Write a number into the header, where sizes, rates and channels are."""
    size, letter = rng.choice(((1, "B"), (2, "H"), (4, "I"), (4, "I"), (8, "Q")))
    at = rng.randrange(rng.choice((48, 48, 120, 300)))
    number = struct.pack(rng.choice("<>") + letter, rng.choice(NUMBERS) % 256**size)
    return content[:at] + number + content[at + size :]


def _broken_audio(rng: random.Random, content: bytes) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 4))):
        function = rng.choice((_field, _field, _field, _flip, _delete, _duplicate, _truncate,
                               _insert, _fill))  # fmt: skip
        content = function(rng, content)
    return content


def _recordings(root: Path) -> Callable[[random.Random], Case]:
    whole = {
        (name, channels): _audio_bytes(kind, channels)
        for name, kind in AUDIO.items()
        for channels in (1, 2)
    }
    # What resampling imports at first is no memory that a recording takes.
    for rate in (44_100, 15_972):
        soundfile.write(root / "good.wav", _tone(rate=rate), rate)
        assert _hear(root / "good.wav", (None, None)) == "read"

    def case(rng: random.Random) -> Case:
        name, channels = rng.choice(sorted(whole))
        file = root / name
        file.write_bytes(_broken_audio(rng, whole[name, channels]))
        span = rng.choice(((None, None), (None, None), (0.1, 0.3)))
        return lambda: _hear(file, span), file.unlink

    return case


def _hear(file: Path, span: tuple[float | None, float | None]) -> str:
    outcome = "refused"
    with contextlib.suppress(SpeechtlError):
        audio.duration(file)
    with contextlib.suppress(SpeechtlError):
        waveform = audio.read(file, start=span[0], end=span[1])
        assert waveform.ndim == 1
        assert np.isfinite(waveform).all()
        outcome = "read"
    corpus = Corpus([Utterance("a", file, "The cat", "s", "x", *span)])
    facts = inspect(corpus, workers=1)
    for fault in audio_faults(corpus, facts, place=lambda each: each.id):
        str(fault).encode()
    return outcome


# --- how it is watched ----------------------------------------------------------------------------


class _Hang(BaseException):
    """A case took too long; no error, so that nothing on the way catches it."""


@dataclass
class Watch:
    """What became of the cases of one kind."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")

    def run(self, attempt: Callable[[], str], name: str, limit_s: float = LIMIT_S) -> None:
        """Try one case; keep its outcome, or its traceback where it has none of ours."""

        def stop(number: int, frame: FrameType | None) -> None:
            raise _Hang

        before = signal.signal(signal.SIGALRM, stop)
        began = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, limit_s)
        try:
            self.outcomes[attempt()] += 1
        except SpeechtlError as error:
            self.outcomes["refused"] += 1
            str(error).encode()
        except (Exception, _Hang):
            self.failures.append(f"{name}: {traceback.format_exc(limit=-6)[-3000:]}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        self.slowest = max(self.slowest, (round(time.perf_counter() - began, 3), name))


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


@contextlib.contextmanager
def _held() -> Iterator[None]:
    """Let no case take the whole machine, where the system tells what is taken already."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with contextlib.suppress(OSError):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + 4 * int(LIMIT_BYTES), limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def _cases(kind: str, root: Path) -> Callable[[random.Random], Case]:
    if kind == "known":
        return _known(root)
    return _recordings(root) if kind == "audio" else _texts(SUBJECTS[kind], root)


def _fuzz(kind: str, count: int, seed: int) -> dict[str, Any]:
    """Return what became of `count` cases, and how much more memory was taken than before."""
    root = Path(tempfile.mkdtemp()).resolve()
    watch = Watch()
    try:
        make = _cases(kind, root)
        before, grew = _peak_bytes(), (0, "")
        with _held():
            for number in range(count):
                attempt, clear = make(random.Random(f"{kind}:{seed}:{number}"))
                peak = _peak_bytes()
                watch.run(attempt, f"{kind}, seed {seed}, case {number}")
                grew = max(grew, (_peak_bytes() - peak, f"case {number}"))
                clear()
        return {
            "kind": kind, "seed": seed, "cases": count, "outcomes": dict(watch.outcomes),
            "failures": watch.failures[:10], "failed": len(watch.failures),
            "slowest": watch.slowest, "grown_bytes": _peak_bytes() - before,
            "most_at_once": grew,
        }  # fmt: skip
    finally:
        shutil.rmtree(root)


def main(arguments: list[str]) -> None:
    """Print a JSON object for each kind."""
    count, seed = int(arguments[0]), int(arguments[1])
    warnings.simplefilter("error")
    for kind in arguments[2:] or KINDS:
        number = 5 * count if kind == "audio" and not arguments[2:] else count
        print(json.dumps(_fuzz(kind, number, seed)), flush=True)


# --- tests ----------------------------------------------------------------------------------------


def _run(*arguments: str) -> dict[str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stderr[-3000:]
    return {row["kind"]: row for row in rows}


def _require(found: Mapping[str, Any], *, cases: int) -> None:
    assert found["failures"] == []
    assert sum(found["outcomes"].values()) == found["cases"] == cases
    assert found["slowest"][0] < LIMIT_S
    assert found["grown_bytes"] < LIMIT_BYTES
    # Neither too broken to be read nor whole.
    whole, part = (found["outcomes"].get(name, 0) for name in ("read", "part"))
    assert whole + part > 0.02 * cases
    assert whole < 0.98 * cases


@pytest.fixture(scope="module")
def few() -> dict[str, dict[str, Any]]:
    return _run("30", "0")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_broken_is_read_or_refused(kind: str, few: dict[str, dict[str, Any]]) -> None:
    _require(few[kind], cases=150 if kind == "audio" else 30)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_many_that_are_broken_are_read_or_refused(kind: str, seed: int) -> None:
    count = SLOW_COUNT // 4
    _require(_run(str(count), str(seed), kind)[kind], cases=count)


@pytest.mark.parametrize(
    ("rate", "channels", "told"),
    [
        (1, 1, "its sample rate is 1 Hz; it must be 1000 to 768000 Hz"),
        (999, 1, "its sample rate is 999 Hz"),
        (768_001, 1, "its sample rate is 768001 Hz"),
        (2**31 - 1, 1, "its sample rate is 2147483647 Hz"),
        (16_000, 65, "it has 65 channels; it may have 64"),
    ],
)
def test_a_header_that_would_take_memory_without_end_is_refused_at_once(
    tmp_path: Path, rate: int, channels: int, told: str
) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros((1_000_000 // channels, channels)), rate)
    for use in (audio.read, audio.duration):
        with pytest.raises(DataError, match=told) as caught:
            use(path)
        assert caught.value.kind == "audio-unreadable"
    for good_rate, good_channels in ((1000, 1), (768_000, 2), (16_000, 64)):
        soundfile.write(path, np.full((1000, good_channels), 0.1), good_rate)
        assert len(audio.read(path)) == -(-1000 * 16_000 // good_rate)


def test_numbers_that_no_sum_holds_are_refused_with_the_greatest(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    samples = np.full((100, 2), -3e38, np.float32)
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    with pytest.raises(DataError, match=r"holds values up to 3e\+38; full scale is 1") as caught:
        audio.read(path)
    assert caught.value.kind == "audio-not-finite"


def test_a_path_that_no_system_has_is_refused(tmp_path: Path) -> None:
    for name in ("x" * 300 + ".wav", "a\0.wav"):
        with pytest.raises(DataError, match="is no usable path") as caught:
            audio.read(tmp_path / name)
        assert caught.value.kind == "audio-path"


def test_the_watch_sees_tracebacks_and_hangs_and_takes_our_errors_for_results() -> None:
    watch = Watch()

    def refuse() -> str:
        raise SpeechtlError("no")

    def sleep() -> str:
        time.sleep(5)
        return "read"

    watch.run(refuse, "refused")
    watch.run(lambda: "read", "good")
    assert (dict(watch.outcomes), watch.failures) == ({"refused": 1, "read": 1}, [])
    watch.run(lambda: str(1 / 0), "divided")
    watch.run(sleep, "slept", limit_s=0.05)
    divided, slept = watch.failures
    assert divided.startswith("divided: ")
    assert "ZeroDivisionError" in divided
    assert slept.startswith("slept: ")
    assert "_Hang" in slept
    assert 0.05 <= watch.slowest[0] < 4


if __name__ == "__main__":
    main(sys.argv[1:])
