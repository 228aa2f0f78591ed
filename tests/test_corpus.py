"""What `speechtl.corpus` promises: one record, unique ids, what two corpora share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from speechtl import audio
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import ConfigError, DataError
from speechtl.manifest import read_manifest

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
