"""What holds of every known corpus, and of the names that lead to one."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from corpora.conftest import recording, text
from corpora.test_afrispeech import tree as afrispeech
from corpora.test_cmu_arctic import tree as cmu_arctic
from corpora.test_coraal import tree as coraal
from corpora.test_edacc import tree as edacc
from corpora.test_l2_arctic import tree as l2_arctic
from corpora.test_librispeech import tree as librispeech
from corpora.test_openslr83 import tree as openslr83
from corpora.test_speech_accent_archive import tree as speech_accent_archive
from corpora.test_svarah import tree as svarah
from corpora.test_vctk import tree as vctk
from speechtl import corpora, sources
from speechtl.corpora import huggingface, starter
from speechtl.corpus import Corpus
from speechtl.errors import DataError
from speechtl.sources import Options, Reading

TREES: dict[str, Callable[[Path], Path]] = {
    "openslr83": openslr83,
    "edacc": edacc,
    "vctk": vctk,
    "l2_arctic": l2_arctic,
    "cmu_arctic": cmu_arctic,
    "afrispeech": afrispeech,
    "svarah": svarah,
    "speech_accent_archive": speech_accent_archive,
    "coraal": coraal,
    "librispeech": librispeech,
}


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of known corpora, which is empty; the hub's cache is empty too."""
    monkeypatch.setenv("SPEECHTL_CORPORA", str(tmp_path / "corpora"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "corpora"


def test_every_known_corpus_has_a_tree_in_these_tests() -> None:
    assert list(TREES) == list(corpora.KNOWN)


@pytest.mark.parametrize("name", corpora.KNOWN)
def test_every_known_corpus_says_what_it_is_and_how_to_have_it(name: str) -> None:
    known = corpora.KNOWN[name]
    assert known.name == name
    assert known.title
    assert known.hours
    assert known.speakers
    assert known.how_to_get
    assert known.note
    assert known.url.startswith(("https://", "http://"))
    assert re.match(r"CC-BY(-NC)?(-SA)?-\d\.0$|free for any use", known.licence)
    assert list(known.accents) == sorted(known.accents)
    assert set(known.configs) <= set(known.accents)


@pytest.mark.parametrize("name", TREES)
def test_a_corpus_in_the_folder_of_known_ones_is_found_by_its_name_alone(
    name: str, nothing_here: Path
) -> None:
    assert corpora.whereabouts(name) is None
    TREES[name](nothing_here / name)
    place = corpora.whereabouts(name)
    assert place is not None
    assert place.is_relative_to(nothing_here / name)
    corpus = corpora.load(name)
    assert len(corpus) >= 2
    if known := corpora.KNOWN[name].accents:
        assert set(corpus.accents) <= set(known)
    assert {each.licence for each in corpus} == {corpora.KNOWN[name].licence}


@pytest.mark.parametrize("name", TREES)
def test_a_folder_that_holds_something_else_is_told_with_how_to_have_the_corpus(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    reading = corpora.read(f"{name}:{tmp_path / 'other'}")
    assert [fault.kind for fault in reading.faults] == ["source-missing"]
    assert corpora.KNOWN[name].how_to_get in reading.faults[0].message


@pytest.mark.parametrize("name", TREES)
def test_whatever_bytes_stand_in_its_files_a_corpus_gives_rows_or_faults(
    name: str, tmp_path: Path
) -> None:
    root = TREES[name](tmp_path)
    suffixes = {".wav", ".flac", ".mp3", ".parquet"}
    files = [p for p in sorted(root.rglob("*")) if p.is_file() and p.suffix not in suffixes]
    rng = np.random.default_rng(5)
    whole = {path: path.read_bytes() for path in files}
    for _ in range(40):
        path = files[int(rng.integers(len(files)))]
        content = bytearray(whole[path])
        for place in rng.integers(len(content), size=4):
            content[place] = rng.choice([0, 9, 10, 34, 44, 124, 0x80, 0xFF, 0x2F, 0x65, 0x39])
        path.write_bytes(bytes(content[: int(rng.integers(1, len(content) + 1))]))
        assert isinstance(corpora.read(f"{name}:{root}"), Reading)
        path.write_bytes(whole[path])
    assert corpora.read(f"{name}:{root}").require()


@pytest.mark.parametrize("name", [n for n in TREES if corpora.KNOWN[n].hub is None])
def test_a_corpus_that_is_not_here_and_not_on_the_hub_says_how_to_have_it(
    name: str, nothing_here: Path
) -> None:
    with pytest.raises(DataError) as caught:
        corpora.load(name)
    said = str(caught.value)
    assert str(nothing_here / name) in said
    assert corpora.KNOWN[name].how_to_get in said
    assert f"{name}:FOLDER" in said


def test_of_openslr83_only_the_accents_that_are_asked_for_are_fetched(
    monkeypatch: pytest.MonkeyPatch, nothing_here: Path
) -> None:
    asked: list[tuple[str, tuple[str, ...], dict[str, Any]]] = []

    def load(source: str, configs: tuple[str, ...], **named: Any) -> Corpus:
        asked.append((source, configs, named))
        return Corpus()

    monkeypatch.setattr(huggingface, "load", load)
    corpora.read("openslr83:scottish+irish")
    corpora.read("openslr83")
    licence = {"licence": "CC-BY-SA-4.0", "faults": [], "notes": []}
    some = ("scottish_female", "scottish_male", "irish_male")
    assert asked[0] == ("ylacombe/english_dialects", some, licence)
    assert len(asked[1][1]) == 11
    TREES["openslr83"](nothing_here / "openslr83")
    assert corpora.load("openslr83:scottish").accents == ("scottish",)
    assert len(asked) == 2  # for now it is here


def test_what_the_hubs_cache_holds_is_found_without_its_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("datasets", "huggingface_hub", "pyarrow"):
        monkeypatch.setitem(sys.modules, package, None)  # an import of it fails
    assert corpora.whereabouts("edacc") is None
    place = tmp_path / "hub" / "datasets--edinburghcstr--edacc"
    (place / "refs").mkdir(parents=True)
    assert corpora.whereabouts("edacc") is None
    text(place / "snapshots" / "abc" / "data" / "test-0.parquet", "")
    assert corpora.whereabouts("edacc") == place


def test_the_first_is_taken_that_is_here_or_on_the_hub_else_the_first(nothing_here: Path) -> None:
    assert corpora.available("vctk", "l2_arctic") == "vctk"
    assert corpora.available("vctk", "openslr83:irish", "starter") == "openslr83:irish"
    assert corpora.available("vctk", "hf:some/corpus") == "hf:some/corpus"
    assert not corpora.is_here("l2_arctic:hindi")
    TREES["l2_arctic"](nothing_here / "l2_arctic")
    assert corpora.is_here("l2_arctic:hindi")
    assert corpora.available("vctk", "l2_arctic:hindi", "starter") == "l2_arctic:hindi"
    assert not corpora.is_here("starter")


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("vtck", "'vctk'"),
        ("l2arctic", "'l2_arctic'"),
        ("libri_speech", "'librispeech'"),
        ("Starter", "'starter'"),
        ("kladi:/data", "'kaldi'"),
    ],
)
def test_an_unknown_name_is_told_with_what_was_meant_and_all_there_are(
    name: str, meant: str
) -> None:
    with pytest.raises(DataError) as caught:
        corpora.load(name)
    said = str(caught.value)
    assert said.startswith(f"unknown corpus {name!r}; did you mean ")
    assert meant in said.partition("?")[0]
    for known in ("starter", "hf:", ".jsonl", *corpora.KNOWN, *sources.KINDS):
        assert known in said
    if ":" not in name:
        with pytest.raises(DataError, match="unknown corpus"):
            corpora.whereabouts(name)


def test_an_unknown_accent_and_a_missing_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no accent 'scotish'; did you mean 'scottish'\?"):
        corpora.load("openslr83:scotish")
    with pytest.raises(DataError, match=r"vctk: .*gone is no folder"):
        corpora.load(f"vctk:{tmp_path / 'gone'}")


def test_an_accent_is_not_taken_for_a_folder_of_its_name(
    tmp_path: Path, nothing_here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scottish").mkdir()
    TREES["openslr83"](nothing_here / "openslr83")
    assert corpora.load("openslr83:scottish").accents == ("scottish",)
    TREES["openslr83"](tmp_path / "mine")
    assert corpora.load("openslr83:mine").accents == ("irish", "scottish")


def test_a_path_and_a_kind_with_a_path_are_read_as_sources(tmp_path: Path) -> None:
    recording(tmp_path / "a.wav")
    row = {"id": "a", "audio": "a.wav", "text": "Aye.", "speaker": "s", "accent": "scottish"}
    path = text(tmp_path / "m.jsonl", json.dumps(row))
    for name in (str(path), f"table:{path}"):
        reading = corpora.read(name)
        assert (reading.kind, [each.id for each in reading.corpus]) == ("table", ["a"])
    text(path, json.dumps({key: row[key] for key in ("id", "audio", "text", "speaker")}))
    with pytest.raises(DataError, match="accent"):
        corpora.load(str(path))
    corpus = corpora.read(str(path), Options(accent="welsh")).require()
    assert corpus.accents == ("welsh",)
    with pytest.raises(DataError, match="no such file"):
        corpora.load(str(tmp_path / "gone.jsonl"))


def test_the_starter_is_one_of_the_names() -> None:
    assert corpora.read("starter").corpus == starter.load()
    assert corpora.whereabouts("starter") == starter.ROOT
