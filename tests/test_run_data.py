"""The speech of a run: folds in which each speaker is tested once, and the control set."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import hypothesis
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from speechtl.config import RunConfig
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import ConfigError, DataError
from speechtl.manifest import read_manifest, write_manifest
from speechtl.run_data import corpora_of_sets, digests, prepare_data
from speechtl.run_folder import settings
from speechtl.splits import fold_speakers


def spoken(sizes: dict[str, int], *, accent: str = "scottish") -> Corpus:
    """Return so many utterances of each speaker, of recordings that nobody opens."""
    return Corpus(
        Utterance(f"{speaker}-{number}", Path("talk.wav"), "a", speaker, accent)
        for speaker, size in sizes.items()
        for number in range(size)
    )


def rewritten(manifest: Path, changed: dict[str, str | None], *, of: str = "") -> None:
    """Give all utterances of an accent other fields; of an empty one, all of all accents."""
    rows = [
        replace(each, **changed) if of in {"", each.accent} else each  # type: ignore[arg-type]
        for each in read_manifest(manifest)
    ]
    write_manifest(Corpus(rows), manifest)


# --- folds ----------------------------------------------------------------------------------------


@hypothesis.settings(deadline=None)
@given(
    st.lists(st.integers(1, 20), min_size=3, max_size=20),
    st.integers(2, 20),
    st.integers(0, 99),
)
def test_each_speaker_is_in_one_fold_and_no_fold_is_much_larger_than_another(
    sizes: list[int], folds: int, seed: int
) -> None:
    corpus = spoken({f"s{i}": size for i, size in enumerate(sizes)})
    folds = min(folds, len(sizes))
    try:
        dealt = fold_speakers(corpus, folds, seed=seed)
    except DataError:  # one of them tests nearly all speakers, who say little
        assume(False)
    assert len(dealt) == folds
    assert all(dealt)
    assert Counter(speaker for fold in dealt for speaker in fold) == Counter(corpus.speakers)
    said = [sum(len(corpus.where(speaker=speaker)) for speaker in fold) for fold in dealt]
    assert max(said) - min(said) <= max(sizes)


def test_the_seed_draws_the_folds_whatever_the_order_of_the_utterances() -> None:
    corpus = spoken({f"s{i}": 3 for i in range(9)})
    mixed = list(corpus)
    random.Random(1).shuffle(mixed)
    first = fold_speakers(corpus, 3, seed=0)
    assert [len(fold) for fold in first] == [3, 3, 3]
    assert fold_speakers(Corpus(mixed), 3, seed=0) == first
    assert len({fold_speakers(corpus, 3, seed=seed) for seed in range(5)}) > 1


@pytest.mark.parametrize("folds", [2, 3, 8])
def test_a_manifest_without_splits_is_tested_in_folds_up_to_each_speaker_alone(
    folds: int, config: RunConfig, manifest: Path
) -> None:
    speakers = ["ann", "bob", "cat", "dan", "eve", "fay", "gus", "hal"]
    rows = [
        replace(each, id=f"{number}", speaker=speakers[number % 8], split=None)
        for number, each in enumerate(read_manifest(manifest).where(accent="scottish"))
    ]
    write_manifest(Corpus(rows), manifest)
    chosen = replace(config, general=None, folds=folds)
    tested: list[str] = []
    for fold in range(1, folds + 1):
        data = prepare_data(replace(chosen, fold=fold))
        parts = (data.train, data.dev, data.test)
        assert all(parts)
        assert sum(map(len, parts)) == len(rows)
        assert sum(len(part.speakers) for part in parts) == 8
        assert [{each.split for each in part} for part in parts] == [{"train"}, {"dev"}, {"test"}]
        assert not data.notes
        tested += [each.id for each in data.test]
    assert sorted(tested) == sorted(each.id for each in rows)


def test_a_corpus_own_splits_are_not_looked_at_and_that_is_said(config: RunConfig) -> None:
    folds = [prepare_data(replace(config, folds=5, fold=fold)) for fold in range(1, 6)]
    assert {speaker for data in folds for speaker in data.test.speakers} == {
        f"scottish-{name}" for name in ("ann", "bob", "cat", "dan", "eve")
    }
    for data in folds:
        assert data.notes == (
            "folds:        the corpus' own splits are not looked at: each speaker is tested in one "
            "of the 5 folds",
        )
    # The general accent has its own.
    assert len({data.general_test for data in folds}) == 1


def test_folds_that_cannot_be_made_are_told(config: RunConfig, manifest: Path) -> None:
    with pytest.raises(ConfigError, match=r"9 folds cannot be made of 5 speakers.*--folds 5 or l"):
        prepare_data(replace(config, folds=9, fold=1))
    with pytest.raises(ConfigError, match="or name one fold"):
        prepare_data(replace(config, folds=2))
    with pytest.raises(DataError, match=r"2 speakers \(a, b\) cannot be tested in folds"):
        fold_speakers(spoken({"a": 1, "b": 1}), 2, seed=0)
    with pytest.raises(DataError, match=r"3 speakers in 2 folds.*tests 2.*--folds 3 or more"):
        fold_speakers(spoken({"a": 1, "b": 1, "c": 1}), 2, seed=0)


# --- the control set ------------------------------------------------------------------------------


def test_without_a_control_corpus_there_is_no_control_set(config: RunConfig) -> None:
    assert prepare_data(config).control is None
    assert "control" not in digests(prepare_data(config))


def test_the_control_set_is_the_test_split_of_a_corpus_that_has_splits(
    config: RunConfig, manifest: Path
) -> None:
    data = prepare_data(replace(config, general=None, control=str(manifest)))
    assert data.control is not None
    assert data.control.accents == ("general",)
    assert {each.split for each in data.control} == {"test"}
    assert set(data.control) <= set(data.tested()) <= set(data.scored())
    assert not set(data.control) & {*data.train, *data.dev, *data.replay}
    assert digests(data)["control"] == data.control.digest()


def test_all_of_another_corpus_without_splits_is_the_control_set(
    config: RunConfig, manifest: Path
) -> None:
    other = manifest.with_name("southern.jsonl")
    rows = read_manifest(manifest).where(accent="general")
    # A name that is somebody else's in another corpus.
    other_rows = [replace(e, accent="southern", split=None, speaker="scottish-ann") for e in rows]
    write_manifest(Corpus(other_rows), other)
    data = prepare_data(replace(config, control=str(other)))
    assert data.control is not None
    assert len(data.control) == len(rows) == 17
    assert not data.notes


def test_each_set_has_a_corpus_where_it_has_utterances(config: RunConfig, manifest: Path) -> None:
    target = dict.fromkeys(("train", "dev", "test"), str(manifest))
    chosen = replace(config, corpus=str(manifest), general=None, control=None)
    assert corpora_of_sets(chosen) == target
    assert corpora_of_sets(replace(chosen, general="starter", control="other.csv")) == target | {
        "replay": "starter", "general_dev": "starter", "general_test": "starter",
        "control": "other.csv",
    }  # fmt: skip


def test_speakers_of_the_run_are_left_out_of_a_control_set_of_the_same_corpus_and_told(
    config: RunConfig, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewritten(manifest, {"split": None}, of="general")
    monkeypatch.chdir(manifest.parent)
    data = prepare_data(replace(config, control="manifest.jsonl", replay=0.2))
    assert data.control is not None
    known = {*data.replay.speakers, *data.general_dev.speakers}
    assert known
    assert not known & set(data.control.speakers)
    left = 17 - len(data.control)
    assert data.notes == (
        f"control:      {left} of 17 utterances left out, whose speakers are in train, dev or "
        f"replay: {', '.join(sorted(known))}",
    )
    rewritten(manifest, {"speaker": "scottish-ann"}, of="general")
    with pytest.raises(DataError, match=r"all speakers of the control set.*\(1\).*--control, or"):
        prepare_data(replace(config, general=None, control=str(manifest)))


def test_the_accent_of_a_control_set_is_the_general_one_or_the_only_one_or_named(
    config: RunConfig, manifest: Path
) -> None:
    chosen = replace(config, general=None, control=str(manifest))
    several = replace(chosen, general_accent="us")
    with pytest.raises(ConfigError, match=r"several accents.*'us'.*--control-accent: general$"):
        prepare_data(several)
    named = prepare_data(replace(several, control_accent="general")).control
    assert named is not None
    assert named.accents == ("general",)
    with pytest.raises(ConfigError, match=r"no accent 'welsh'.*with --control-accent: general, sc"):
        prepare_data(replace(chosen, control_accent="welsh"))
    with pytest.raises(ConfigError, match=r"'scottish' is the accent that is adapted to.*general$"):
        prepare_data(replace(chosen, control_accent="scottish"))
    only = [each for each in read_manifest(manifest) if each.accent == "scottish"]
    write_manifest(Corpus(only), manifest)
    with pytest.raises(ConfigError, match=r"adapted to; .*name it with another --control$"):
        prepare_data(chosen)


@pytest.mark.parametrize(
    ("split", "message"),
    [("train", "no utterance in the split test, which is what a control set is"), (None, "split")],
)
def test_a_control_corpus_without_test_utterances_is_refused(
    split: str | None, message: str, config: RunConfig, manifest: Path
) -> None:
    other = manifest.with_name("other.jsonl")
    rows = [
        replace(each, split=split if each.split == "test" else each.split)
        for each in read_manifest(manifest).where(accent="general")
    ]
    write_manifest(Corpus(rows), other)
    with pytest.raises(DataError, match=message):
        prepare_data(replace(config, control=str(other)))


def test_the_control_corpus_can_be_opened_from_any_folder(
    config: RunConfig, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(manifest.parent)
    assert settings(replace(config, control="manifest.jsonl")).control == str(manifest)
    assert settings(replace(config, control="starter")).control == "starter"
    assert settings(config).control is None
