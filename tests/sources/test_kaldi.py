"""Data folders of Kaldi: the files as its recipes write them, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechtl.audio import write
from speechtl.corpus import Corpus
from speechtl.manifest import read_manifest
from speechtl.sources import Options, Reading, read


def _record(path: Path, *, seconds: float = 1.0) -> Path:
    write(path, np.full(int(16_000 * seconds), 0.1, dtype=np.float32))
    return path


def _data(root: Path, **files: str) -> Path:
    """Write `data/train` as Kaldi's recipes do, two folders below where they run."""
    folder = root / "data" / "train"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("wav_scp", "wav.scp")
        path.write_text(content, encoding="utf-8")
    return folder


def _manifest(root: Path, *rows: dict[str, object]) -> Corpus:
    path = root / "same.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return read_manifest(path)


def _read(folder: Path, **options: object) -> Reading:
    return read(folder, "kaldi", Options(**{"accent": "scottish", **options}))  # type: ignore[arg-type]


def _told(reading: Reading) -> list[tuple[str, str]]:
    return [(fault.kind, fault.place) for fault in reading.faults]


def test_a_data_folder_is_the_corpus_of_the_same_manifest(tmp_path: Path) -> None:
    for name in ("ann-1", "ann-2", "bob-1"):
        _record(tmp_path / "wav" / f"{name}.wav")
    folder = _data(
        tmp_path,
        wav_scp="ann-1 wav/ann-1.wav\nann-2 wav/ann-2.wav\nbob-1 wav/bob-1.wav\n",
        text="ann-1 THE CAT\nann-2 A MAT\nbob-1 SAT ON\n",
        utt2spk="ann-1 ann\nann-2 ann\nbob-1 bob\n",
        spk2gender="ann f\nbob m\n",
        utt2accent="ann-1 scottish\nann-2 scottish\nbob-1 northern irish\n",
    )
    reading = read(folder)
    assert reading.kind == "kaldi"
    ann = {"speaker": "ann", "accent": "scottish", "sex": "female"}
    bob = {"speaker": "bob", "accent": "northern irish", "sex": "male"}
    assert reading.require() == _manifest(
        tmp_path,
        {"id": "ann-1", "audio": "wav/ann-1.wav", "text": "THE CAT", **ann},
        {"id": "ann-2", "audio": "wav/ann-2.wav", "text": "A MAT", **ann},
        {"id": "bob-1", "audio": "wav/bob-1.wav", "text": "SAT ON", **bob},
    )
    assert reading.faults == ()
    assert list(reading.places) == ["text:1", "text:2", "text:3"]
    assert reading.notes == (
        "audio: paths of wav.scp start from ../.. (seen from here)",
        "accent: of utt2accent",
    )


def test_segments_are_stretches_and_an_end_of_minus_one_is_the_end(tmp_path: Path) -> None:
    path = _record(tmp_path / "data" / "train" / "long.wav", seconds=3)
    folder = _data(
        tmp_path,
        wav_scp=f"long {path}\n",
        segments="u1 long 0.5 1.25\nu2 long 1.25 -1\nu3 long 0 -1\n",
        # not sorted, which Kaldi's own tools would refuse
        text="u3 all of it\nu1 the cat\nu2 a mat\n",
        utt2spk="u1 ann\nu2 ann\nu3 ann\n",
    )
    corpus = _read(folder).require()
    assert [(each.id, each.start, each.end) for each in corpus] == [
        ("u3", None, None),
        ("u1", 0.5, 1.25),
        ("u2", 1.25, 3.0),
    ]


def test_relative_paths_start_from_the_nearest_folder_that_holds_them(tmp_path: Path) -> None:
    near = _record(tmp_path / "data" / "train" / "wav" / "a.wav")
    _record(tmp_path / "wav" / "a.wav")
    far = _record(tmp_path / "wav" / "b.wav")
    folder = _data(tmp_path, wav_scp="a wav/a.wav\nb wav/b.wav\n", text="a x\nb y\n")
    corpus = _read(folder, speaker="ann").require()
    assert [each.audio for each in corpus] == [near, far]


def test_paths_of_another_machine_are_found_in_the_folder_given_as_audio(tmp_path: Path) -> None:
    path = _record(tmp_path / "copied" / "ann" / "a.wav")
    folder = _data(tmp_path, wav_scp="a /export/corpora5/ann/a.wav\n", text="a x\n")
    corpus = _read(folder, speaker="ann", audio=tmp_path / "copied").require()
    assert corpus[0].audio == path


def test_commands_are_told_with_their_line_and_none_is_run(tmp_path: Path) -> None:
    proof = tmp_path / "ran"
    _record(tmp_path / "data" / "train" / "b.wav")
    folder = _data(
        tmp_path,
        wav_scp=f"a touch {proof} |\nb b.wav\nc sph2pipe -f wav -p -c 1 /ldc/c.sph |\n"
        "d data/wav.ark:120\n",
        text="a x\nb y\nc z\nd w\n",
    )
    reading = _read(folder, speaker="ann")
    assert [each.id for each in reading.corpus] == ["b"]
    assert _told(reading) == [
        ("audio-path", "wav.scp:1"),
        ("audio-path", "wav.scp:3"),
        ("audio-path", "wav.scp:4"),
    ]
    assert "sph2pipe -f wav -p -c 1 /ldc/c.sph |" in reading.faults[1].message
    assert not proof.exists()


def test_rows_without_their_counterpart_are_told_where_they_stand(tmp_path: Path) -> None:
    _record(tmp_path / "data" / "train" / "r.wav", seconds=5)
    folder = _data(
        tmp_path,
        wav_scp="r r.wav\nspare r.wav\ngone wav/gone.wav\n",
        segments="u1 r 0 1\nu2 r 1 2\nu3 none 2 3\nu4 gone 0 1\n",
        text="u1 x\nu3 y\nu5 z\nu4 w\n",
    )
    reading = _read(folder, speaker="ann")
    assert [each.id for each in reading.corpus] == ["u1"]
    assert _told(reading) == [
        ("audio-missing", "wav.scp:3"),  # told once, not again by the segment u4
        ("reference-missing", "segments:3"),  # wav.scp has no `none`
        ("reference-missing", "text:3"),  # segments has no u5
        ("reference-missing", "segments:2"),  # text has no u2
        ("audio-unused", "wav.scp:2"),
    ]


def test_without_segments_text_and_recordings_must_name_each_other(tmp_path: Path) -> None:
    for name in "ab":
        _record(tmp_path / "data" / "train" / f"{name}.wav")
    folder = _data(tmp_path, wav_scp="a a.wav\nb b.wav\n", text="a x\nc z\n")
    reading = _read(folder, speaker="ann")
    assert _told(reading) == [("reference-missing", "text:2"), ("audio-unused", "wav.scp:2")]


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("u r 1", "malformed"),
        ("u r 1 2 A extra", "malformed"),
        ("u r one 2", "time-value"),
        ("u r nan 2", "time-value"),
        ("u r 0 inf", "time-value"),
        ("u r 1e400 2", "time-value"),
        ("u r -0.5 2", "time-value"),
        ("u r 0 -2", "time-value"),
        ("u r 2 2", "time-order"),
    ],
)
def test_wrong_times_are_told_at_their_line_of_segments(
    tmp_path: Path, row: str, kind: str
) -> None:
    _record(tmp_path / "data" / "train" / "r.wav")
    folder = _data(tmp_path, wav_scp="r r.wav\n", segments=f"\n{row}\n", text="u x\n")
    reading = _read(folder, speaker="ann")
    assert _told(reading)[0] == (kind, "segments:2")
    assert not reading.corpus


def test_faults_of_every_file_come_at_once(tmp_path: Path) -> None:
    for name in "ab":
        _record(tmp_path / "data" / "train" / f"{name}.wav")
    folder = _data(
        tmp_path,
        wav_scp="a a.wav\na b.wav\nb b.wav\nc\n",
        text="a x\na y\nb\n",
        utt2spk="a ann\na bob\nb\n",
    )
    (folder / "spk2gender").write_bytes(b"ann f\nbob \xff\n")
    reading = _read(folder)
    assert _told(reading) == [
        ("id-repeated", "wav.scp:2"),
        ("malformed", "wav.scp:4"),
        ("id-repeated", "utt2spk:2"),
        ("malformed", "utt2spk:3"),
        ("not-utf8", "spk2gender:2"),
        ("id-repeated", "text:2"),
        ("text-empty", "text:3"),
        ("speaker-missing", "text:3"),
    ]
    assert [(each.id, each.speaker, each.sex) for each in reading.corpus] == [
        ("a", "ann", "female")
    ]


def test_two_channels_of_one_file_are_warned_of(tmp_path: Path) -> None:
    for name in ("call", "alone"):
        _record(tmp_path / "data" / "train" / f"{name}.wav")
    folder = _data(
        tmp_path,
        wav_scp="call-A call.wav\ncall-B call.wav\nalone-A alone.wav\n",
        reco2file_and_channel="call-A call A\ncall-B call B\nalone-A alone A\n",
        text="call-A x\ncall-B y\nalone-A z\n",
    )
    reading = _read(folder, speaker="ann")
    assert _told(reading) == [("audio-channels", "reco2file_and_channel:2")]
    assert "'call-A' and 'call-B' are channels A and B of one file" in reading.faults[0].message
    assert len(reading.require()) == 3


def test_a_fifth_column_of_segments_that_names_channels_is_warned_of(tmp_path: Path) -> None:
    _record(tmp_path / "data" / "train" / "r.wav", seconds=3)
    folder = _data(
        tmp_path, wav_scp="r r.wav\n", segments="u1 r 0 1 0\nu2 r 1 2 1\n", text="u1 x\nu2 y\n"
    )
    assert _told(_read(folder, speaker="ann")) == [("audio-channels", "segments:2")]


def test_accents_of_speakers_serve_utterances_that_have_none(tmp_path: Path) -> None:
    for name in "abc":
        _record(tmp_path / "data" / "train" / f"{name}.wav")
    folder = _data(
        tmp_path,
        wav_scp="a a.wav\nb b.wav\nc c.wav\n",
        text="a x\r\nb y\r\nc z\r\n",
        utt2spk="a ann\nb ann\nc cat\n",
        utt2dialect="a doric\n",
        spk2accent="ann glaswegian\n",
    )
    corpus = _read(folder, accent="unknown").require()
    assert [each.accent for each in corpus] == ["doric", "glaswegian", "unknown"]
    assert [each.text for each in corpus] == ["x", "y", "z"]


def test_a_folder_without_text_is_told(tmp_path: Path) -> None:
    folder = _data(tmp_path, wav_scp="a a.wav\n")
    assert _told(_read(folder)) == [("source-missing", "text")]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(max_size=60), min_size=5, max_size=5))
def test_any_bytes_give_rows_or_faults(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    names = ("wav.scp", "text", "segments", "utt2spk", "reco2file_and_channel")
    starts = (b"r r.wav\n", b"u x\n", b"u r 0 1\n", b"u ann\n", b"r r A\n")
    for name, start, content in zip(names, starts, contents, strict=True):
        (folder / name).write_bytes(start + content)
    assert _read(folder).faults  # r.wav is missing at the least
