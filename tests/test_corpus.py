"""What `speechtl.corpus` promises: one record, all faults at once, splits by speaker."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl import audio
from speechtl.corpus import (
    Corpus,
    Utterance,
    read_jsonl,
    read_manifest,
    split_by_speaker,
    write_jsonl,
    write_manifest,
)
from speechtl.errors import ConfigError, DataError, OutputError

ROW = {"id": "a", "audio": "a.wav", "text": "Aye.", "speaker": "s1", "accent": "scottish"}
SUFFIXES = (".jsonl", ".csv", ".tsv")

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
seconds = st.floats(0, 1e6)


def said(name: str, **fields: Any) -> Utterance:
    given: dict[str, Any] = {
        "audio": Path("/a.wav"),
        "text": "Aye.",
        "speaker": "s1",
        "accent": "scottish",
    }
    return Utterance(id=name, **(given | fields))


def speakers(*counts: int) -> Corpus:
    return Corpus(
        said(f"{speaker}-{k}", speaker=f"s{speaker:02}")
        for speaker, count in enumerate(counts)
        for k in range(count)
    )


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes rows, as objects or as raw lines, beside one real recording."""
    audio.write(tmp_path / "a.wav", np.full(16_000, 0.1, dtype=np.float32))

    def written(*rows: dict[str, Any] | str) -> Path:
        path = tmp_path / "manifest.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path.write_text("\n".join(lines), encoding="utf-8")
        return path

    return written


def faults(path: Path) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)
    return caught.value.faults


def test_an_utterance_gives_its_duration_and_samples(manifest: Callable[..., Path]) -> None:
    times = {"start": 0.25, "end": 0.75}
    whole, part = read_manifest(manifest(ROW, ROW | {"id": "b"} | times))
    assert whole.duration == 1.0
    assert part.duration == 0.5
    assert len(whole.waveform()) == 16_000
    assert len(part.waveform()) == 8000
    assert Corpus([whole, part]).duration == 1.5


def test_an_unreadable_utterance_is_refused_by_its_id() -> None:
    with pytest.raises(DataError, match=r"utterance 'x': .*missing\.wav: no such file"):
        said("x", audio=Path("/missing.wav")).waveform()


def test_a_corpus_is_a_sequence_that_can_be_cut_and_added() -> None:
    corpus = Corpus(said(name) for name in "abc")
    assert [each.id for each in corpus[1:]] == ["b", "c"]
    assert corpus[0].id == "a"
    assert corpus[:1] + corpus[1:] == corpus
    assert hash(corpus[:]) == hash(corpus)
    assert repr(corpus) == "Corpus(3 utterances, 1 speakers)"
    assert corpus != [*corpus]


def test_repeated_ids_are_refused_and_listed() -> None:
    with pytest.raises(DataError, match="'a' is there 2 times"):
        Corpus([said("a"), said("b"), said("a")])
    with pytest.raises(DataError, match="rename"):
        Corpus([said("a")]) + Corpus([said("a")])


def test_where_takes_one_value_or_a_choice() -> None:
    corpus = Corpus(
        [said("a", split="dev"), said("b", accent="irish"), said("c", accent="general")]
    )
    assert [each.id for each in corpus.where(accent={"irish", "general"})] == ["b", "c"]
    assert [each.id for each in corpus.where(accent="scottish", split="dev")] == ["a"]
    assert len(corpus.where(split=None)) == 2
    assert corpus.accents == ("general", "irish", "scottish")
    with pytest.raises(ConfigError, match=r"no field dialect; its fields are id, audio"):
        corpus.where(dialect="scottish")


def test_by_keeps_every_utterance_once() -> None:
    corpus = Corpus([said("a", split="dev"), said("b"), said("c", split="dev")])
    groups = corpus.by("split")
    assert {key: [each.id for each in group] for key, group in groups.items()} == {
        "": ["b"],
        "dev": ["a", "c"],
    }
    with pytest.raises(ConfigError, match="dialect"):
        corpus.by("dialect")


def test_corpora_that_share_a_speaker_or_a_sentence_are_refused() -> None:
    here = Corpus([said("a", speaker="s1", text="Och aye!")])
    there = Corpus([said("b", speaker="s2", text="och, aye"), said("c", speaker="s1", text="No.")])
    with pytest.raises(DataError) as caught:
        here.check_disjoint(there)
    assert caught.value.faults == ("speaker 's1' is in both", "text 'och aye' is in both")
    here.check_disjoint(there[:1], fields=("speaker",))
    with pytest.raises(ConfigError, match="dialect"):
        here.check_disjoint(there, fields=("dialect",))


def test_texts_of_punctuation_alone_are_not_all_the_same() -> None:
    Corpus([said("a", speaker="s1", text="?")]).check_disjoint(
        Corpus([said("b", speaker="s2", text="!")])
    )


def test_the_digest_follows_the_content_and_not_the_place(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        audio.write(tmp_path / folder / "a.wav", np.full(100, 0.1, dtype=np.float32))
    here = Corpus([said("a", audio=tmp_path / "here" / "a.wav")])
    there = Corpus([said("a", audio=tmp_path / "there" / "a.wav")])
    assert here.digest() == there.digest()
    assert len(here.digest()) == 64
    assert here.digest() != Corpus([replace(here[0], text="No.")]).digest()
    assert here.digest() != Corpus([replace(here[0], end=0.005)]).digest()
    audio.write(there[0].audio, np.full(100, 0.2, dtype=np.float32))
    assert here.digest() != there.digest()
    there[0].audio.unlink()
    with pytest.raises(DataError, match="put the file back"):
        there.digest()


@st.composite
def utterance_fields(draw: st.DrawFn) -> dict[str, Any]:
    fields: dict[str, Any] = {name: draw(words) for name in ("text", "speaker", "accent")}
    start, end = sorted((draw(seconds), draw(seconds)))
    if start < end:
        fields |= {"start": start, "end": end}
    split = draw(st.sampled_from([None, "train", "dev", "test"]))
    return fields | {"split": split, "licence": draw(st.none() | words)}


@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=50, deadline=None)
@given(rows=st.dictionaries(words, utterance_fields(), min_size=1, max_size=5))
def test_a_manifest_is_read_as_it_was_written(suffix: str, rows: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        (folder / "clips").mkdir()
        (folder / "clips" / "ä b.wav").touch()
        corpus = Corpus(
            said(name, **(fields | {"audio": folder / "clips" / "ä b.wav"}))
            for name, fields in rows.items()
        )
        write_manifest(corpus, folder / f"manifest{suffix}")
        assert read_manifest(folder / f"manifest{suffix}") == corpus


def test_every_fault_of_a_manifest_is_told_with_its_line_and_id(
    manifest: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    path = manifest(
        ROW,
        "{not json",
        "[1, 2]",
        "",
        {"id": "lacks", "audio": "a.wav", "text": "Aye."},
        ROW | {"id": "mute", "text": "  "},
        ROW | {"id": 7},
        ROW,
        ROW | {"id": "far", "audio": "/a.wav"},
        ROW | {"id": "drive", "audio": "C:\\a.wav"},
        ROW | {"id": "up", "audio": "../a.wav"},
        ROW | {"id": "gone", "audio": "gone.wav"},
        ROW | {"id": "dir", "audio": "folder"},
        ROW | {"id": "nul", "audio": "a\0.wav"},
        ROW | {"id": "half", "start": 1},
        ROW | {"id": "back", "start": 2, "end": 1},
        ROW | {"id": "minus", "start": -1, "end": 1},
        ROW | {"id": "endless", "start": 0, "end": 10**400},
        ROW | {"id": "words", "start": "0", "end": True},
        ROW | {"id": "valid", "split": "validation"},
        ROW | {"id": "surrogate", "text": "\ud800"},
        ROW | {"text": "who?", "id": None},
        "[" * 10_000,
    )
    expected = {
        2: "is not JSON (",
        3: "must be one object in braces, got list",
        6: "utterance 'mute': the transcript (text) is empty",
        7: "utterance 7: id must be text in quotes, got 7 (int)",
        8: "utterance 'a': the id is already used on line 1",
        9: "utterance 'far': audio must be relative to the manifest's folder, got '/a.wav'",
        10: "utterance 'drive': audio must be relative to the manifest's folder",
        11: "utterance 'up': audio must lie in the manifest's folder, but '../a.wav' leads out",
        12: "utterance 'gone': audio 'gone.wav' is missing",
        13: "utterance 'dir': audio 'folder' is a folder, not a file",
        14: "utterance 'nul': audio 'a\\x00.wav' is no usable path",
        15: "utterance 'half': start and end must be given both or not at all",
        16: "utterance 'back': start must be less than end, got start 2 s and end 1 s",
        17: "utterance 'minus': start and end must be finite and not negative, got -1, 1",
        18: "utterance 'endless': start and end must be finite",
        19: "utterance 'words': start and end must be numbers of seconds, got '0', True",
        20: "utterance 'valid': split must be one of train, dev, test or left out",
        21: "utterance 'surrogate': text must be valid Unicode",
        22: "an utterance without id: id is empty",
        23: "is not usable JSON (",
    }
    found = faults(path)
    assert [fault for fault in found if fault.startswith("manifest.jsonl:5:")] == [
        "manifest.jsonl:5: utterance 'lacks': the field 'speaker' is missing; add it",
        "manifest.jsonl:5: utterance 'lacks': the field 'accent' is missing; add it",
    ]
    told = [fault for fault in found if not fault.startswith("manifest.jsonl:5:")]
    for fault, (line, start) in zip(told, expected.items(), strict=True):
        assert fault.startswith(f"manifest.jsonl:{line}: {start}")


def test_a_symbolic_link_may_not_lead_out_of_the_folder(
    manifest: Callable[..., Path], tmp_path: Path
) -> None:
    path = manifest(ROW | {"audio": "link.wav"})
    (tmp_path / "link.wav").symlink_to("/etc/hostname")
    assert "'link.wav' leads out of it" in faults(path)[0]
    (tmp_path / "link.wav").unlink()
    (tmp_path / "link.wav").symlink_to("link.wav")
    assert "'link.wav' is no usable path" in faults(path)[0]
    (tmp_path / "link.wav").unlink()
    (tmp_path / "link.wav").symlink_to("a.wav")
    assert read_manifest(path)[0].audio == (tmp_path / "a.wav").resolve()


def test_of_many_faults_the_first_fifty_are_shown(manifest: Callable[..., Path]) -> None:
    told = faults(manifest(*[ROW | {"id": f"u{k}", "text": ""} for k in range(73)]))
    assert len(told) == 51
    assert told[49].startswith("manifest.jsonl:50: utterance 'u49'")
    assert told[50] == "and 23 more"


def test_other_columns_and_a_byte_order_mark_are_no_faults(manifest: Callable[..., Path]) -> None:
    path = manifest("\ufeff" + json.dumps(ROW | {"mood": "dour"}))
    assert [each.id for each in read_manifest(path)] == ["a"]


def test_a_line_separator_inside_a_text_is_no_new_row(manifest: Callable[..., Path]) -> None:
    path = manifest(json.dumps(ROW | {"text": "one\u2028two"}, ensure_ascii=False))
    assert read_manifest(path)[0].text == "one\u2028two"


def test_what_is_no_manifest_is_refused(manifest: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match=r"must be a \.jsonl, \.csv, \.tsv file, got '\.txt'"):
        read_manifest(tmp_path / "manifest.txt")
    with pytest.raises(DataError, match="has no rows"):
        read_manifest(manifest())
    (tmp_path / "latin.csv").write_bytes(b"id,audio\na,caf\xe9.wav\n")
    with pytest.raises(DataError, match=r"latin\.csv:2: is not UTF-8 \(byte 0xe9\)"):
        read_manifest(tmp_path / "latin.csv")


def table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(("id,audio,text,speaker,accent,start,end", *rows)), encoding="utf-8")
    return path


def test_a_table_is_read_with_times_and_without(
    manifest: Callable[..., Path], tmp_path: Path
) -> None:
    manifest(ROW)
    path = table(tmp_path / "m.csv", 'a,a.wav,"Aye, so.",s1,scottish,0.5,1', "", "b,a.wav,No,s,x,,")
    first, second = read_manifest(path)
    assert (first.text, first.start, first.end) == ("Aye, so.", 0.5, 1.0)
    assert (second.start, second.end) == (None, None)


def test_the_faults_of_a_table_name_the_line_where_the_row_begins(
    manifest: Callable[..., Path], tmp_path: Path
) -> None:
    manifest(ROW)
    path = table(
        tmp_path / "m.csv",
        'a,a.wav,"two\nlines",s1,scottish,,',
        "b,a.wav,No,s1,scottish,soon,later",
        "c,a.wav,No,s1",
        "d,a.wav,No,s1,scottish,nan,1",
        'e,a.wav,"No" more,s1,scottish,,',
    )
    told = faults(path)
    assert told[0].startswith("m.csv:4: utterance 'b': start and end must be numbers of seconds")
    assert told[1] == "m.csv:5: must have 7 cells as the header has, got 4"
    assert told[2].startswith("m.csv:6: utterance 'd': start and end must be finite")
    assert told[3].startswith("m.csv:7: is not a well-formed row")


def test_a_header_with_missing_or_repeated_columns_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tsv"
    path.write_text("id\tid\taudio\ttext\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"missing: speaker, accent; repeated: id; found: id, id"):
        read_manifest(path)
    path.write_text("id\taudio\ttext\tspeaker\taccent\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no rows"):
        read_manifest(path)


def test_a_manifest_cannot_be_written_above_its_audio_or_nowhere(
    manifest: Callable[..., Path], tmp_path: Path
) -> None:
    corpus = read_manifest(manifest(ROW))
    with pytest.raises(OutputError, match=r"utterance 'a': its audio .* lies outside"):
        write_manifest(corpus, tmp_path / "deeper" / "m.jsonl")
    with pytest.raises(DataError, match=r"got '\.xlsx'"):
        write_manifest(corpus, tmp_path / "m.xlsx")
    (tmp_path / "m.csv").mkdir()
    with pytest.raises(OutputError, match=r"m\.csv: cannot be written"):
        write_manifest(corpus, tmp_path / "m.csv")
    assert not list(tmp_path.glob(".*"))


def test_a_written_table_has_relative_paths(manifest: Callable[..., Path], tmp_path: Path) -> None:
    write_manifest(read_manifest(manifest(ROW)), tmp_path / "m.csv")
    with (tmp_path / "m.csv").open(encoding="utf-8", newline="") as stream:
        assert next(csv.DictReader(stream))["audio"] == "a.wav"


def test_json_lines_come_back_with_their_line_numbers(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows: list[dict[str, Any]] = [{"text": "naïve\n"}, {"n": 1.5}]
    write_jsonl(path, rows)
    assert "naïve" in path.read_text(encoding="utf-8")
    assert list(read_jsonl(path)) == [(1, rows[0]), (2, rows[1])]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_jsonl(path, [{"n": float("nan")}])
    assert list(read_jsonl(path)) == [(1, rows[0]), (2, rows[1])]
    path.write_text("{}\n\nno\n3\n", encoding="utf-8")
    with pytest.raises(DataError, match="2 faults") as caught:
        read_jsonl(path)
    assert [fault.split(": ")[0] for fault in caught.value.faults] == [
        "rows.jsonl:3",
        "rows.jsonl:4",
    ]


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 8), min_size=3, max_size=20),
    seed=st.integers(0, 2**32),
)
def test_a_split_uses_each_utterance_once_and_shares_no_speaker(
    counts: list[int], seed: int
) -> None:
    corpus = speakers(*counts)
    splits = split_by_speaker(corpus, seed=seed)
    assert list(splits) == ["train", "dev", "test"]
    assert sorted(each.id for part in splits.values() for each in part) == sorted(
        each.id for each in corpus
    )
    assert all(each.split == split for split, part in splits.items() for each in part)
    for split, part in splits.items():
        assert part.speakers
        for other in {"train", "dev", "test"} - {split}:
            part.check_disjoint(splits[other], fields=("speaker",))


def test_a_split_keeps_to_its_shares_and_its_seed() -> None:
    corpus = speakers(*[10] * 20)
    splits = split_by_speaker(corpus, shares=(0.5, 0.2, 0.3), seed=1)
    assert [len(part) for part in splits.values()] == [100, 40, 60]
    assert splits == split_by_speaker(corpus, shares=(0.5, 0.2, 0.3), seed=1)
    assert splits != split_by_speaker(corpus, shares=(0.5, 0.2, 0.3), seed=2)
    backwards = split_by_speaker(corpus[::-1], shares=(0.5, 0.2, 0.3), seed=1)
    assert [part.speakers for part in backwards.values()] == [
        part.speakers for part in splits.values()
    ]


def test_too_few_speakers_or_wrong_shares_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 speakers \(s00, s01\).*at least three"):
        split_by_speaker(speakers(5, 5), seed=0)
    for shares in ((0.7, 0.3, 0.0), (0.7, 0.2, 0.2)):
        with pytest.raises(ConfigError, match="add up to 1"):
            split_by_speaker(speakers(5, 5, 5), shares=shares, seed=0)
