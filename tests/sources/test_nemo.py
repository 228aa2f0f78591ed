"""Manifests of NeMo: lines as its scripts write them, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from speechtl.audio import write
from speechtl.manifest import read_manifest
from speechtl.sources import Options, Reading, read


def _record(path: Path, *, seconds: float = 1.0) -> Path:
    write(path, np.full(int(16_000 * seconds), 0.1, dtype=np.float32))
    return path


def _write(path: Path, *rows: dict[str, Any] | str) -> Path:
    """Write lines as `json.dumps` of NeMo's scripts does: letters beyond ASCII are escaped."""
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def _read(manifest: Path, **options: Any) -> Reading:
    given = {"accent": "scottish", "speaker": "ann", **options}
    return read(manifest, "nemo", Options(**given))


def _told(reading: Reading) -> list[tuple[str, str]]:
    return [(fault.kind, fault.place) for fault in reading.faults]


def test_a_manifest_is_the_corpus_of_the_same_jsonl(tmp_path: Path) -> None:
    one = _record(tmp_path / "wav" / "one.wav")
    _record(tmp_path / "wav" / "long.wav", seconds=4)
    manifest = _write(
        tmp_path / "train_manifest.json",
        {"audio_filepath": str(one), "duration": 1.0, "text": "the café", "pred_text": "the cafe",
         "speaker": 7, "lang": "en", "accent": "scottish", "gender": "F"},
        {"audio_filepath": "wav/long.wav", "offset": 1.1, "duration": 2.2, "text": "a mat",
         "speaker": "bob", "dialect": "northern irish", "gender": "male", "license": "CC0-1.0"},
        {"audio_filepath": "wav/long.wav", "offset": 0, "duration": 1.1, "text": "sat",
         "speaker": "bob", "accent": "northern irish"},
    )  # fmt: skip
    bob = {"audio": "wav/long.wav", "speaker": "bob", "accent": "northern irish"}
    same = _write(
        tmp_path / "same.jsonl",
        {"id": "one", "audio": "wav/one.wav", "text": "the café", "speaker": "7",
         "accent": "scottish", "sex": "female"},
        {"id": "long-0001100", "text": "a mat", "start": 1.1, "end": 3.3, "licence": "CC0-1.0",
         "sex": "male", **bob},
        {"id": "long-0000000", "text": "sat", "start": 0.0, "end": 1.1, **bob},
    )  # fmt: skip
    reading = read(manifest)
    assert reading.kind == "nemo"
    assert reading.require() == read_manifest(same)
    assert reading.faults == ()
    assert reading.notes == ()
    assert reading.place(reading.corpus[1]) == "train_manifest.json:2"


def test_a_duration_without_offset_is_the_length_of_the_recording(tmp_path: Path) -> None:
    _record(tmp_path / "a.wav")
    manifest = _write(
        tmp_path / "m.json",
        {"audio_filepath": "a.wav", "duration": 1.0, "offset": None, "text": "x"},
    )
    (utterance,) = _read(manifest).require()
    assert (utterance.id, utterance.start, utterance.end) == ("a", None, None)


def test_ids_take_folders_in_where_names_are_not_unique(tmp_path: Path) -> None:
    rows = []
    for name in ("ann/1.wav", "ann/2.wav", "bob/1.wav"):
        _record(tmp_path / name)
        rows.append({"audio_filepath": name, "duration": 1, "text": "x"})
    reading = _read(_write(tmp_path / "m.json", *rows))
    assert [each.id for each in reading.require()] == ["ann-1", "ann-2", "bob-1"]
    assert reading.notes == (
        "id: the last 2 parts of a recording's path, whose names are not unique",
    )


def test_ids_of_different_rows_differ_and_those_of_one_row_twice_are_a_fault(
    tmp_path: Path,
) -> None:
    for name in ("a.wav", "a.flac", "b.wav", "b-0000500.wav"):
        _record(tmp_path / name, seconds=3)
    half = {"offset": 0.5, "text": "x"}
    manifest = _write(
        tmp_path / "m.json",
        {"audio_filepath": "a.wav", "text": "x"},
        {"audio_filepath": "a.flac", "text": "x"},
        {"audio_filepath": "b.wav", "duration": 1, **half},
        {"audio_filepath": "b.wav", "duration": 2, **half},
        {"audio_filepath": "b-0000500.wav", "text": "x"},
        {"audio_filepath": "b.wav", "duration": 1, **half},
    )
    reading = _read(manifest)
    assert [each.id for each in reading.corpus] == [
        "a", "a-2", "b-0000500", "b-0000500-2", "b-0000500-3",
    ]  # fmt: skip
    assert _told(reading) == [("id-repeated", "m.json:6")]
    assert "m.json:3" in reading.faults[0].message


def test_faults_are_told_with_their_line_and_all_at_once(tmp_path: Path) -> None:
    _record(tmp_path / "a.wav")
    a = {"audio_filepath": "a.wav", "text": "x"}
    manifest = _write(
        tmp_path / "m.jsonl",
        '{"audio_filepath": "a.wav", "text": ',
        '["a.wav"]',
        {"text": "x", "duration": 1},
        {"audio_filepath": 5, "text": "x"},
        {"audio_filepath": "a.wav", "duration": 1},
        {**a, "offset": 1},
        {**a, "offset": "soon", "duration": 1},
        {**a, "offset": 0, "duration": 0},
        "",
        {**a, "offset": 0, "duration": -1},
        '{"audio_filepath": "a.wav", "text": "x", "offset": 1e308, "duration": 1e308}',
        '{"audio_filepath": "a.wav", "text": "x", "offset": NaN, "duration": 1}',
        {**a, "offset": 10**400, "duration": 0.5},
        {**a, "text": 5},
        {"audio_filepath": "../a.wav", "text": "x"},
        {"audio_filepath": "gone.wav", "text": "x"},
        {**a, "speaker": True},
        a,
    )
    reading = _read(manifest)
    assert _told(reading) == [
        ("malformed", "m.jsonl:1"),
        ("malformed", "m.jsonl:2"),
        ("field-missing", "m.jsonl:3"),
        ("field-type", "m.jsonl:4"),
        ("text-empty", "m.jsonl:5"),
        ("time-missing", "m.jsonl:6"),
        ("time-value", "m.jsonl:7"),
        ("time-order", "m.jsonl:8"),
        ("time-value", "m.jsonl:10"),
        ("time-value", "m.jsonl:11"),
        ("time-value", "m.jsonl:12"),
        ("time-value", "m.jsonl:13"),
        ("field-type", "m.jsonl:14"),
        ("audio-outside", "m.jsonl:15"),
        ("audio-missing", "m.jsonl:16"),
        ("field-type", "m.jsonl:17"),
    ]
    assert "'audio_filepath' is missing" in reading.faults[2].message
    assert [each.id for each in reading.corpus] == ["a"]


def test_one_json_list_is_one_fault(tmp_path: Path) -> None:
    rows = [{"audio_filepath": "a.wav", "text": "x"}] * 3
    manifest = tmp_path / "m.json"
    manifest.write_text("\n" + json.dumps(rows, indent=2), encoding="utf-8")
    assert _told(_read(manifest)) == [("malformed", "m.json:2")]


def test_paths_of_another_machine_are_found_in_the_folder_given_as_audio(tmp_path: Path) -> None:
    path = _record(tmp_path / "copied" / "ann" / "a.wav")
    manifest = _write(
        tmp_path / "m.json", {"audio_filepath": "/data/nemo/ann/a.wav", "duration": 1, "text": "x"}
    )
    assert _read(manifest, audio=tmp_path / "copied").require()[0].audio == path


def test_other_keys_are_named_as_columns(tmp_path: Path) -> None:
    _record(tmp_path / "a.wav")
    manifest = _write(
        tmp_path / "m.json",
        {"audio_filepath": "a.wav", "text": "x", "raw": "X!", "spk": "cat", "lang": "en-GB"},
    )
    columns = {"text": "raw", "speaker": "spk", "accent": "lang"}
    (utterance,) = read(manifest, "nemo", Options(columns=columns)).require()
    assert (utterance.text, utterance.speaker, utterance.accent) == ("X!", "cat", "en-GB")


def test_shards_are_noted(tmp_path: Path) -> None:
    manifest = _write(
        tmp_path / "m.json", {"audio_filepath": "a.wav", "text": "x", "duration": 1, "shard_id": 0}
    )
    reading = _read(manifest)
    assert _told(reading) == [("audio-missing", "m.json:1")]
    assert reading.notes == ("rows name a shard_id: unpack the tar files beside the manifest",)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=3,
)
_ROWS = st.dictionaries(
    st.sampled_from(["audio_filepath", "text", "offset", "duration", "speaker", "gender"]), _VALUES
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_ROWS.map(lambda row: json.dumps(row).encode()) | st.binary(max_size=40)))
def test_any_lines_give_rows_or_faults(
    tmp_path_factory: pytest.TempPathFactory, content: list[bytes]
) -> None:
    manifest = tmp_path_factory.mktemp("fuzz") / "m.json"
    manifest.write_bytes(b"\n".join(content))
    assert _read(manifest).faults  # no recording is there
