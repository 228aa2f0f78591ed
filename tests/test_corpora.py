"""What `speechtl.corpora` promises: from a name to a corpus, the same from every kind of file."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import soundfile

from speechtl import audio, corpora
from speechtl.corpora import huggingface, starter
from speechtl.corpus import Corpus
from speechtl.errors import DataError, OutputError

SENTENCES = ("Aye, it is.", "No, it is not.", "Och, well.")


def encoded(samples: int, kind: str = "WAV") -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.full(samples, 0.1), 16_000, format=kind)
    return stream.getvalue()


def dataset(**columns: Any) -> datasets.Dataset:
    """Return three utterances by two speakers; a column of `None` is left out."""
    clips = [{"bytes": encoded(800 * (k + 1)), "path": f"clip{k}.wav"} for k in range(3)]
    rows = {"audio": clips, "text": list(SENTENCES), "speaker_id": [2436, 2436, 41]} | columns
    made = datasets.Dataset.from_dict({k: v for k, v in rows.items() if v is not None})
    return made.cast_column("audio", datasets.Audio()) if "audio" in made.features else made


@pytest.fixture(autouse=True)
def _quiet_and_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Corpus]:
    """Return a function that saves a data set, or takes a folder, and loads it as a corpus."""

    def loaded(source: Any, *args: Any, **options: Any) -> Corpus:
        if not isinstance(source, str):
            source.save_to_disk(tmp_path / "saved")
            source = str(tmp_path / "saved")
        given: dict[str, Any] = {"accent": "scottish", "cache": tmp_path / "cache"}
        return huggingface.load(source, *args, **(given | options))

    return loaded


def test_a_saved_folder_becomes_a_corpus_whose_audio_can_be_read(
    load: Callable[..., Corpus],
) -> None:
    corpus = load(dataset(line_id=["a", "b", "c"]), licence="CC0-1.0")
    assert [each.id for each in corpus] == ["a", "b", "c"]
    assert tuple(each.text for each in corpus) == SENTENCES
    assert corpus.speakers == ("2436", "41")
    assert corpus.accents == ("scottish",)
    assert {each.licence for each in corpus} == {"CC0-1.0"}
    assert {each.split for each in corpus} == {None}
    assert [len(each.waveform()) for each in corpus] == [800, 1600, 2400]


def test_parquet_gives_the_same_corpus_as_a_saved_folder(
    load: Callable[..., Corpus], tmp_path: Path
) -> None:
    rows = dataset(accent=["scottish", "irish", "welsh"])
    (tmp_path / "parquet").mkdir()
    rows.to_parquet(tmp_path / "parquet" / "train-00000.parquet")
    saved, parquet = load(rows), load(str(tmp_path / "parquet"))
    assert saved.accents == ("irish", "scottish", "welsh")
    assert saved.digest() == parquet.digest()


def test_audio_is_written_once_however_often_a_corpus_is_loaded(
    load: Callable[..., Corpus], tmp_path: Path
) -> None:
    load(dataset())
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.wav")}
    assert len(files) == 3
    corpus = load(str(tmp_path / "saved"))
    assert {each.audio: each.audio.stat().st_mtime_ns for each in corpus} == files
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        load(str(tmp_path / "saved"), cache=tmp_path / "file")


def test_audio_without_a_name_gets_the_suffix_of_its_first_bytes(
    load: Callable[..., Corpus],
) -> None:
    kinds = ("FLAC", "OGG", "WAV")
    clips = [{"bytes": encoded(800, kind), "path": None} for kind in kinds]
    corpus = load(dataset(audio=clips))
    assert [each.audio.suffix for each in corpus] == [".flac", ".ogg", ".wav"]
    assert all(len(each.waveform()) == 800 for each in corpus)


def test_audio_that_lies_in_files_is_used_where_it_lies(
    load: Callable[..., Corpus], tmp_path: Path
) -> None:
    path = tmp_path / "clip.flac"
    audio.write(path, np.full(800, 0.1, dtype=np.float32))
    rows = {"audio": [str(path), "gone.wav"], "text": ["Aye.", "No."], "speaker": ["s1", "s2"]}
    (tmp_path / "paths").mkdir()
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "paths" / "train.parquet")
    assert [each.audio for each in load(str(tmp_path / "paths"))] == [path.resolve()]
    assert not (tmp_path / "cache").exists()


def test_the_usual_split_names_are_known_and_a_lone_train_is_no_split(
    load: Callable[..., Corpus],
) -> None:
    one = dataset().select([0])
    corpus = load(datasets.DatasetDict(train=one, validation=one, test=one, extra=one))
    assert [each.split for each in corpus] == ["train", "dev", "test", None]
    assert [each.id for each in corpus] == [
        "train-000000",
        "validation-000000",
        "test-000000",
        "extra-000000",
    ]
    assert {each.split for each in load(datasets.DatasetDict(train=dataset()))} == {None}


def test_configurations_name_the_accent_where_no_column_does(
    load: Callable[..., Corpus], tmp_path: Path
) -> None:
    for config in ("scottish_female", "irish_male"):
        dataset().save_to_disk(tmp_path / "both" / config)
    corpus = load(str(tmp_path / "both"), ("scottish_female", "irish_male"), accent=None)
    assert [each.accent for each in corpus] == ["scottish"] * 3 + ["irish"] * 3
    assert corpus[0].id == "scottish_female-000000"


def test_class_labels_become_their_names(load: Callable[..., Corpus]) -> None:
    rows = dataset(dialect=[0, 1, None])
    labels = datasets.ClassLabel(names=["scouse", "geordie"])
    corpus = load(rows.cast_column("dialect", labels))
    assert [each.accent for each in corpus] == ["scouse", "geordie", "scottish"]


def test_sentence_ids_that_speakers_share_are_made_unique(load: Callable[..., Corpus]) -> None:
    shared = load(dataset(line_id=["x", "y", "x"]))
    assert [each.id for each in shared] == ["2436-x", "2436-y", "41-x"]
    repeated = load(dataset(line_id=["x", "x", "x"]))
    assert [each.id for each in repeated] == ["row-000000", "row-000001", "row-000002"]


def test_unusual_columns_can_be_named_and_missing_ones_are_all_told(
    load: Callable[..., Corpus],
) -> None:
    odd = dataset(text=None, speaker_id=None, said=list(SENTENCES), who=["a", "b", "c"])
    corpus = load(odd, fields={"text": "said", "speaker": "who"})
    assert [each.speaker for each in corpus] == ["a", "b", "c"]
    with pytest.raises(DataError, match="has the columns audio, said, who") as caught:
        load(odd)
    assert [fault.split(":")[0] for fault in caught.value.faults] == ["text", "speaker"]
    with pytest.raises(DataError, match="unknown fields words"):
        load(odd, fields={"words": "said"})
    with pytest.raises(DataError, match="accent: looked for a column named where"):
        load(dataset(), fields={"accent": "where"})


def test_rows_without_text_or_audio_are_counted_and_listed(
    load: Callable[..., Corpus], caplog: pytest.LogCaptureFixture
) -> None:
    sound, silence = {"bytes": encoded(800), "path": None}, None
    rows = {"audio": [sound, silence, sound, sound], "text": ["Aye.", "No.", None, " "]}
    many = {"audio": [sound] * 14, "text": ["Aye.", *[""] * 13]}
    with caplog.at_level(logging.WARNING):
        assert len(load(dataset(**rows, speaker_id=[1] * 4))) == 1
        assert len(load(dataset(**many, speaker_id=[1] * 14))) == 1
    few, lots = caplog.messages
    assert "3 of 4 rows have no transcript or no audio" in few
    assert few.endswith("left out: row-000001, row-000002, row-000003")
    assert lots.endswith("row-000010 and 3 more")
    with pytest.raises(DataError, match="no row with audio and a transcript"):
        load(dataset(text=[None, "", " "]))


def test_a_row_without_speaker_or_accent_is_refused(load: Callable[..., Corpus]) -> None:
    with pytest.raises(DataError, match="row-000001: names no speaker"):
        load(dataset(speaker_id=["a", None, "b"]))
    with pytest.raises(DataError, match="row-000000: names no accent"):
        load(dataset(), accent=None)


def test_an_unreachable_hub_points_to_a_local_folder_and_the_starter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(source: str, config: str | None) -> None:
        raise ConnectionError(f"no route to {source}\n{config}") from OSError("no network")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(DataError) as caught:
        corpora.load("hf:ylacombe/english_dialects:scottish_male+irish_male")
    message = str(caught.value)
    assert "'ylacombe/english_dialects' (configuration 'scottish_male')" in message
    assert "no route to ylacombe/english_dialects: no network. Without the hub" in message
    assert "`hf:FOLDER`" in message
    assert "`starter`" in message


def test_a_name_leads_to_the_right_loader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []

    def recorded(source: str, configs: tuple[str, ...]) -> Corpus:
        asked.append((source, configs))
        return Corpus()

    monkeypatch.setattr(huggingface, "load", recorded)
    folder = tmp_path / "a:b"
    folder.mkdir()
    for name in ("hf:org/data", "hf:org/data:one", "hf:org/data:one+two", f"hf:{folder}"):
        corpora.load(name)
    assert asked == [
        ("org/data", ()),
        ("org/data", ("one",)),
        ("org/data", ("one", "two")),
        (str(folder), ()),
    ]
    with pytest.raises(DataError, match=r"unknown corpus 'vctk'.*'starter'.*hf:.*\.jsonl"):
        corpora.load("vctk")


def test_the_starter_and_a_manifest_are_read_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(starter, "ROOT", tmp_path)
    with pytest.raises(DataError, match="the starter corpus is not there"):
        corpora.load("starter")
    audio.write(tmp_path / "clips" / "a.wav", np.full(800, 0.1, dtype=np.float32))
    row = {"id": "a", "audio": "clips/a.wav", "text": "Aye.", "speaker": "s", "accent": "scottish"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row), encoding="utf-8")
    assert corpora.load("starter") == corpora.load(str(tmp_path / "manifest.jsonl"))
    assert corpora.load("starter")[0].accent == "scottish"
