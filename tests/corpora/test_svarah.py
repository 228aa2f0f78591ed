"""What the reader of Svarah promises, of both layouts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpora.conftest import faults, recording, text
from speechtl import corpora
from speechtl.corpora import svarah
from speechtl.errors import DataError

PERSON = {
    "gender": "Female",
    "age-group": "18-30",
    "primary_language": "Bodo",
    "native_place_state": "Assam",
    "native_place_district": "Kokrajhar",
    "highest_qualification": "Graduate",
    "job_category": "Other",
    "occupation_domain": "Healthcare",
}
OTHER = {**PERSON, "native_place_district": "Baksa"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svarah, "CACHE", tmp_path / "cache")


def parquet(root: Path) -> Path:
    rows: list[dict[str, Any]] = [
        {
            "audio_filepath": {
                "bytes": recording(root / f"{n}.wav", seconds=0.05 + n / 100).read_bytes(),
                "path": f"28147_f{n}_chunk_0.wav",
            },
            "duration": 0.05,
            "text": f"Sentence {n}.",
            **person,
        }
        for n, person in enumerate((PERSON, OTHER, PERSON))
    ]
    place = root / "data"
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows[:2]), place / "test-00000-of-00002.parquet")
    pq.write_table(pa.Table.from_pylist(rows[2:]), place / "test-00001-of-00002.parquet")
    return root


def tree(root: Path) -> Path:
    place = root / "svarah"
    manifest, table = [], ["audio_filepath,duration,text," + ",".join(PERSON)]
    for n, person in enumerate((PERSON, OTHER, PERSON)):
        name = f"28147_f{n}_chunk_0.wav"
        recording(place / "audio" / name)
        manifest.append({"audio_filepath": f"audio/{name}", "duration": 0.05, "text": f"Said {n}."})
        table.append(f"audio/{name},0.05,Said {n}.," + ",".join(person.values()))
    text(place / "svarah_manifest.json", "".join(json.dumps(row) + "\n" for row in manifest))
    text(place / "meta_speaker_stats.csv", "\n".join(table) + "\n")
    return root


@pytest.mark.parametrize("layout", [parquet, tree])
def test_whoever_gave_the_same_answers_is_one_speaker(layout: Any, tmp_path: Path) -> None:
    reading = corpora.read(f"svarah:{layout(tmp_path)}")
    assert reading.faults == ()
    first, second, third = reading.corpus
    assert [u.id for u in reading.corpus] == [f"28147_f{n}_chunk_0" for n in range(3)]
    assert first.speaker == third.speaker != second.speaker
    assert {(u.accent, u.split, u.sex, u.licence) for u in reading.corpus} == {
        ("indian", "test", "female", "CC-BY-4.0")
    }
    assert all(u.waveform().size for u in reading.corpus)
    assert reading.notes[0].startswith("Svarah names no speakers")


def test_both_layouts_know_the_same_people(tmp_path: Path) -> None:
    of_hub = corpora.load(f"svarah:{parquet(tmp_path / 'a')}")
    of_archive = corpora.load(f"svarah:{tree(tmp_path / 'b')}")
    assert of_hub.speakers == of_archive.speakers


def test_what_is_wrong_is_told_with_its_line(tmp_path: Path) -> None:
    place = tree(tmp_path) / "svarah"
    text(
        place / "svarah_manifest.json",
        '{"audio_filepath": "audio/28147_f0_chunk_0.wav", "text": "Said 0."}\n{"text": "x"}\n'
        'no json\n{"audio_filepath": "audio/gone.wav", "text": "Said 1."}\n'
        '{"audio_filepath": "audio/28147_f1_chunk_0.wav", "text": 7}\n',
    )
    assert faults(corpora.read(f"svarah:{place}")) == [
        ("malformed", "svarah_manifest.json:2"),
        ("malformed", "svarah_manifest.json:3"),
        ("speaker-missing", "svarah_manifest.json:4"),
        ("audio-missing", "svarah_manifest.json:4"),
        ("field-type", "svarah_manifest.json:5"),
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "test-0.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "svarah" / "svarah_manifest.json").unlink()
    assert faults(corpora.read(f"svarah:{tmp_path}")) == [("malformed", "data/test-0.parquet")]


def test_it_is_fetched_from_the_hub_or_told_that_its_terms_must_be_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEECHTL_CORPORA", str(tmp_path / "none"))
    asked: list[tuple[str, dict[str, Any]]] = []

    def snapshot(name: str, **named: Any) -> str:
        asked.append((name, named))
        return str(parquet(tmp_path / "snapshot"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert len(corpora.load("svarah")) == 3
    assert asked[0][0] == "ai4bharat/Svarah"
    assert asked[0][1]["repo_type"] == "dataset"

    def gated(name: str, **named: Any) -> str:
        raise OSError("403 Client Error\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", gated)
    with pytest.raises(DataError, match=r"cannot be loaded: 403 Client Error\. .*accept its terms"):
        corpora.load("svarah")
