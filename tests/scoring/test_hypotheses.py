"""The files of what was heard: they come back whole, and their faults are told at once."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from scoring.conftest import ADAPTED, BASE, heard
from speechtl.errors import DataError
from speechtl.scoring import SILENCE, read_hypotheses, write_hypotheses


def test_hypotheses_come_back_as_they_were_written(tmp_path: Path) -> None:
    segment = dataclasses.replace(BASE[0], start=1.5, end=2.75)
    for system, rows in (("base", (segment, *BASE[1:])), ("adapted", ADAPTED)):
        path = write_hypotheses(rows, tmp_path, name="target", system=system)
        assert path == tmp_path / "hypotheses" / f"target.{system}.jsonl"
    assert read_hypotheses(tmp_path) == {
        "base": {"target": (segment, *BASE[1:])},
        "adapted": {"target": ADAPTED},
    }


def test_a_hypothesis_row_has_the_documented_keys_and_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = dataclasses.replace(BASE[0], audio="speech/u1.wav")
    path = write_hypotheses([relative], tmp_path, name="general", system="base")
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "id": "u1",
        "audio": str(tmp_path / "speech" / "u1.wav"),
        "speaker": "ailsa",
        "accent": "scottish",
        "reference": "The wee cat.",
        "hypothesis": "the we",
    }


def test_faults_of_hypothesis_files_are_listed_with_file_and_line(tmp_path: Path) -> None:
    path = write_hypotheses(BASE[:1], tmp_path, name="target", system="base")
    with path.open("a", encoding="utf-8") as stream:
        stream.write('{"id": "u2", "audio": "a", "speaker": "s", "accent": "x", "reference": 3}\n')
    with pytest.raises(DataError) as caught:
        read_hypotheses(tmp_path)
    assert caught.value.faults[0].startswith("target.base.jsonl: the other system's")
    assert caught.value.faults[1].startswith("target.base.jsonl:2: reference: ")
    assert caught.value.faults[2].startswith("target.base.jsonl:2: hypothesis: ")


def test_a_folder_without_hypotheses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold hypotheses/<set>\.base\.jsonl"):
        read_hypotheses(tmp_path)


def test_what_is_known_of_a_recording_comes_back_and_what_is_not_is_left_out(
    tmp_path: Path,
) -> None:
    known = dataclasses.replace(BASE[0], duration=2.5, snr_db=-1.5, seen=False)
    for system in ("base", "adapted"):
        path = write_hypotheses([known, BASE[1]], tmp_path, name="control", system=system)
    first, second = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
    assert (first["duration"], first["snr_db"], first["seen"]) == (2.5, -1.5, False)
    assert not {"duration", "snr_db", "seen", "start", "end"} & second.keys()
    assert read_hypotheses(tmp_path)["base"] == {"control": (known, BASE[1])}


def test_silence_is_read_beside_a_set_and_is_none_by_itself(tmp_path: Path) -> None:
    made = dataclasses.replace(heard("s1", "", "you"), audio="")
    for system in ("base", "adapted"):
        path = write_hypotheses([made], tmp_path, name=SILENCE, system=system)
    assert json.loads(path.read_text(encoding="utf-8"))["audio"] == ""
    with pytest.raises(DataError, match=r"of at least one set \(target, general, control\)"):
        read_hypotheses(tmp_path)
    for system in ("base", "adapted"):
        write_hypotheses(BASE, tmp_path, name="target", system=system)
    assert read_hypotheses(tmp_path)["adapted"] == {"target": BASE, SILENCE: (made,)}


def test_silence_of_one_system_alone_is_refused(tmp_path: Path) -> None:
    for system in ("base", "adapted"):
        write_hypotheses(BASE, tmp_path, name="target", system=system)
    write_hypotheses([heard("s1", "", "")], tmp_path, name=SILENCE, system="base")
    with pytest.raises(DataError) as caught:
        read_hypotheses(tmp_path)
    assert caught.value.faults == ("silence.base.jsonl: the other system's file is missing",)
