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
from speechtl.errors import ConfigError, DataError, OutputError

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
    assert ["no column text" in fault for fault in caught.value.faults] == [True, False]
    assert ["no column speaker" in fault for fault in caught.value.faults] == [False, True]
    assert "name it with --column FIELD=NAME" in caught.value.faults[0]
    with pytest.raises(DataError, match="unknown fields words"):
        load(odd, fields={"words": "said"})
    with pytest.raises(DataError, match="no column accent: looked for one named where"):
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


def test_rows_without_speaker_or_accent_are_all_told(
    load: Callable[..., Corpus], tmp_path: Path
) -> None:
    rows = dataset(speaker_id=["a", None, " "], accent=[None, "irish", None])
    with pytest.raises(DataError, match="4 faults in its rows") as caught:
        load(rows, accent=None)
    saved = tmp_path / "saved"
    assert [fault.split("; ")[0] for fault in caught.value.faults] == [
        f"{saved}:row-000000: the row names no accent",
        f"{saved}:row-000001: the row names no speaker",
        f"{saved}:row-000002: the row names no accent",
        f"{saved}:row-000002: the row names no speaker",
    ]
    given = load(str(saved), accent="scottish", speaker="b")
    assert [(each.speaker, each.accent) for each in given] == [
        ("a", "scottish"),
        ("b", "irish"),
        ("b", "scottish"),
    ]


def test_a_check_gets_the_faulty_rows_and_those_that_were_left_out(tmp_path: Path) -> None:
    rows = dataset(speaker_id=["a", None, "c"], accent=["irish"] * 3, text=["Aye.", "No.", ""])
    rows.save_to_disk(tmp_path / "saved")
    reading = corpora.read(f"hf:{tmp_path / 'saved'}")
    assert [each.speaker for each in reading.corpus] == ["a"]
    assert [(fault.kind, fault.place) for fault in reading.faults] == [
        ("speaker-missing", f"{tmp_path / 'saved'}:row-000001")
    ]
    assert "1 of 2 rows have no transcript or no audio and were left out: row-000002" in str(
        reading.notes
    )
    with pytest.raises(DataError, match="the row names no speaker"):
        corpora.load(f"hf:{tmp_path / 'saved'}")


def test_a_data_set_without_accents_is_refused_before_its_rows_are_read(
    load: Callable[..., Corpus], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="neither a column nor a configuration names the accent"):
        load(dataset(), accent=None)
    assert not (tmp_path / "cache").exists()


def test_the_speaker_may_be_given_where_no_column_names_one(load: Callable[..., Corpus]) -> None:
    assert load(dataset(speaker_id=None), speaker="me").speakers == ("me",)


@pytest.mark.parametrize("column", ["sex", "gender"])
def test_the_sex_is_read_in_the_ways_it_is_written(
    load: Callable[..., Corpus], column: str
) -> None:
    told = {
        "F": "female",
        "Female": "female",
        "female_feminine": "female",
        " m ": "male",
        "MALE": "male",
        "Other": "other",
        "": None,
        None: None,
    }
    names = [str(place) for place in range(len(told))]
    clips = [{"bytes": encoded(800), "path": None}] * len(told)
    rows = {"audio": clips, "text": names, "speaker_id": names, column: list(told)}
    assert [each.sex for each in load(dataset(**rows))] == list(told.values())


def test_a_configuration_names_the_sex_where_no_column_does(
    load: Callable[..., Corpus], tmp_path: Path
) -> None:
    dataset().save_to_disk(tmp_path / "both" / "irish_male")
    dataset(sex=["f", None, None]).save_to_disk(tmp_path / "both" / "scottish_female")
    dataset(sex=["f", None, "m"]).save_to_disk(tmp_path / "both" / "welsh")
    configs = ("irish_male", "scottish_female", "welsh")
    corpus = load(str(tmp_path / "both"), configs, accent=None)
    assert [each.sex for each in corpus] == ["male"] * 3 + ["female"] * 3 + ["female", None, "male"]
    assert corpus.accents == ("irish", "scottish", "welsh")


@pytest.mark.parametrize("kind", ["saved", "parquet"])
def test_several_configurations_in_a_folder_are_listed_where_none_is_named(
    load: Callable[..., Corpus], tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "both"
    folder.mkdir()
    (folder / "README.md").write_text("# Two voices\n", encoding="utf-8")
    for config in ("scottish_female", "irish_male"):
        (folder / config).mkdir(parents=True)
        if kind == "saved":
            dataset().save_to_disk(folder / config)
        else:
            dataset().to_parquet(folder / config / "train-00000-of-00001.parquet")
    with pytest.raises(DataError) as caught:
        load(str(folder))
    assert "has 2 configurations, and none is named" in str(caught.value)
    assert f"`hf:{folder}:irish_male+scottish_female`" in str(caught.value)
    with pytest.raises(DataError) as caught:
        load(str(folder), ("scottish",))
    assert "has no configuration 'scottish'" in str(caught.value)
    assert str(caught.value).endswith("It has: irish_male, scottish_female")
    assert len(load(str(folder), ("irish_male",))) == 3


def test_splits_in_subfolders_are_no_configurations(
    load: Callable[..., Corpus], tmp_path: Path
) -> None:
    for split in ("train", "test"):
        (tmp_path / "sets" / split).mkdir(parents=True)
        dataset().to_parquet(tmp_path / "sets" / split / "rows.parquet")
    assert [each.split for each in load(str(tmp_path / "sets"))] == ["train"] * 3 + ["test"] * 3


def test_a_streamed_folder_is_the_same_corpus(load: Callable[..., Corpus], tmp_path: Path) -> None:
    rows = dataset(accent=["scottish", "irish", "welsh"], sex=["f", "m", None])
    (tmp_path / "parquet").mkdir()
    rows.to_parquet(tmp_path / "parquet" / "train-00000.parquet")
    folder = str(tmp_path / "parquet")
    assert load(folder, streaming=True) == load(folder)
    rows.save_to_disk(tmp_path / "disk")
    disk = str(tmp_path / "disk")
    assert load(disk, streaming=True) == load(disk)
    assert len(load(disk, limit=2)) == 2


def test_a_streamed_table_is_looked_into_for_its_columns(
    load: Callable[..., Corpus], tmp_path: Path
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(encoded(800))
    (tmp_path / "table").mkdir()
    row = {"audio": str(path), "text": "Aye.", "speaker": "s1"}
    (tmp_path / "table" / "train.jsonl").write_text(json.dumps(row), encoding="utf-8")
    folder = str(tmp_path / "table")
    assert load(folder, streaming=True) == load(folder)
    assert [each.audio for each in load(folder)] == [path]


def test_a_folder_may_have_the_name_of_a_reader(
    load: Callable[..., Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "parquet").mkdir()
    dataset().to_parquet(tmp_path / "parquet" / "train.parquet")
    monkeypatch.chdir(tmp_path)
    assert len(load("parquet")) == 3


def test_a_folder_that_is_no_data_set_says_what_one_is(
    load: Callable[..., Corpus], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="give a folder made by `save_to_disk`, or a folder of"):
        load(str(tmp_path / "empty"))


def test_a_name_leads_to_the_right_loader(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []

    def recorded(source: str, configs: tuple[str, ...], **options: object) -> Corpus:
        assert options == {"faults": [], "notes": []}
        asked.append((source, configs))
        return Corpus()

    monkeypatch.setattr(huggingface, "load", recorded)
    folder = tmp_path / "a:b"
    folder.mkdir()
    for name in ("hf:org/data", "hf:org/data:one", "hf:org/data:one+two", f"hf:{folder}"):
        corpora.read(name)
    assert asked == [
        ("org/data", ()),
        ("org/data", ("one",)),
        ("org/data", ("one", "two")),
        (str(folder), ()),
    ]
    told = r"unknown corpus 'vtck'; did you mean 'vctk'\?.*'starter'.*hf:.*\.jsonl"
    with pytest.raises(DataError, match=told):
        corpora.load("vtck")


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


def test_the_starter_says_where_each_utterance_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reading = corpora.read("starter")
    assert (reading.source, reading.kind, reading.faults) == ("starter", "known corpus", ())
    assert reading.corpus == starter.load()
    assert reading.place(reading.corpus[2]) == "manifest.jsonl:3"
    row = {"id": "a", "audio": "gone.wav", "text": "Aye.", "speaker": "s", "accent": "scottish"}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(row), encoding="utf-8")
    monkeypatch.setattr(starter, "ROOT", tmp_path)
    with pytest.raises(DataError, match=r"starter: 1 fault\n  - manifest\.jsonl:1: "):
        corpora.load("starter")


def test_a_limit_takes_the_first_utterances_and_says_so() -> None:
    whole, some = corpora.read("starter"), corpora.read("starter", limit=3)
    assert list(some.corpus) == list(whole.corpus)[:3]
    assert some.notes == (*whole.notes, f"the first 3 of {len(whole.corpus)} utterances")
    assert some.place(some.corpus[2]) == "manifest.jsonl:3"
    assert corpora.read("starter", limit=len(whole.corpus)).notes == whole.notes
    with pytest.raises(ConfigError, match="1 utterance or more, got 0"):
        corpora.read("starter", limit=0)


def test_a_limit_hides_no_fault_of_what_follows(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", np.full(800, 0.1, dtype=np.float32))
    rows = "".join(f"{n},a.wav,Aye.,{'s' if n < 2 else ''},scottish\n" for n in range(3))
    (tmp_path / "rows.csv").write_text("id,audio,text,speaker,accent\n" + rows, encoding="utf-8")
    reading = corpora.read(str(tmp_path / "rows.csv"), limit=1)
    assert [each.id for each in reading.corpus] == ["0"]
    assert [fault.place for fault in reading.faults] == ["rows.csv:4"]


@pytest.mark.parametrize("streaming", [False, True])
def test_a_limit_of_a_folder_is_shared_out_over_its_splits(
    load: Callable[..., Corpus], *, streaming: bool
) -> None:
    splits = datasets.DatasetDict(train=dataset(), test=dataset())
    corpus = load(splits, limit=3, streaming=streaming)
    assert [each.split for each in corpus] == ["train", "train", "test"]
