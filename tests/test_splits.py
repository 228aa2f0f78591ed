"""What `speechtl.splits` promises: nobody in two splits, near to what was asked for, all told."""

from __future__ import annotations

import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl.corpus import SPLITS, Corpus, Utterance, sentence
from speechtl.errors import ConfigError, DataError
from speechtl.splits import (
    Split,
    SplitPlan,
    fold_speakers,
    folds,
    leakage_report,
    split,
    split_by_speaker,
)

BOTH = SplitPlan(disjoint=("speaker", "prompt"))


def said(
    name: str, by: str, text: str | None = None, *, seconds: float = 60, **fields: Any
) -> Utterance:
    """Return an utterance of a minute whose sentence is its own, except for what is given."""
    return Utterance(
        id=name,
        audio=Path("/", name),
        text=f"words of {name}" if text is None else text,
        speaker=by,
        start=0,
        end=seconds,
        **({"accent": "scottish"} | fields),
    )


def speakers(sizes: Iterable[int], *, prefix: str = "s", **fields: Any) -> Corpus:
    """Return a corpus of speakers who have so many minutes each."""
    return Corpus(
        said(f"{prefix}{number}-{each}", f"{prefix}{number}", **fields)
        for number, size in enumerate(sizes)
        for each in range(size)
    )


def readers(count: int, sentences: int) -> Corpus:
    """Return a corpus whose speakers all read the same sentences."""
    return Corpus(
        said(f"r{reader}-{number}", f"r{reader}", f"sentence {number}")
        for reader in range(count)
        for number in range(sentences)
    )


def length(utterance: Utterance) -> float:
    return utterance.duration


def made(corpus: Corpus, plan: SplitPlan | None = None) -> Split:
    return split(corpus, plan or SplitPlan(), duration=length)


def placed(found: Split) -> dict[str, str | None]:
    return {each.id: each.split for each in found.corpus}


def of(found: Split, name: str) -> Corpus:
    return found.corpus.where(split=name)


def minutes(found: Split) -> tuple[float, ...]:
    return tuple(of(found, name).duration / 60 for name in SPLITS)


def values(found: Split, field: Callable[[Utterance], str]) -> list[set[str]]:
    return [set(map(field, of(found, name))) for name in SPLITS]


def share_none(sets: Sequence[set[str]]) -> bool:
    return all(not one & other for one, other in itertools.combinations(sets, 2))


def speaker(utterance: Utterance) -> str:
    return utterance.speaker


def prompt(utterance: Utterance) -> str:
    return sentence(utterance.text)


# --- always ---------------------------------------------------------------------------------------

_corpora = st.lists(
    st.tuples(
        st.integers(0, 8),  # speaker
        st.integers(0, 12),  # sentence
        st.sampled_from((None, "f", "m")),
        st.sampled_from((0.5, 3.0, 20.0)),
    ),
    min_size=1,
    max_size=60,
).map(
    lambda rows: Corpus(
        said(
            f"u{at}",
            f"s{who}",
            f"words {what}",
            sex=sex,
            seconds=seconds,
            accent="scottish" if who < 6 else "irish",
        )
        for at, (who, what, sex, seconds) in enumerate(rows)
    )
)
_plans = st.builds(
    SplitPlan,
    disjoint=st.sampled_from((("speaker",), ("prompt",), ("speaker", "prompt"), ())),
    stratify=st.sampled_from((("accent", "sex"), ("accent",), ("sex",), ())),
    shares=st.sampled_from(((0.7, 0.1, 0.2), (0.4, 0.3, 0.3))),
    seed=st.integers(0, 1000),
)


def may_be_refused(corpus: Corpus, plan: SplitPlan) -> bool:
    """Return whether there are too few of what is dealt; nothing is known of both at once."""
    if plan.disjoint == ("speaker",):
        alike = corpus.by("accent").values() if "accent" in plan.stratify else [corpus]
        return all(len(each.speakers) < 3 for each in alike)
    if plan.disjoint == ("prompt",):
        return len(set(map(prompt, corpus))) < 3
    return plan.disjoint == ("speaker", "prompt") or len(corpus) < 3


@settings(deadline=None, max_examples=60)
@given(_corpora, _plans, st.randoms(use_true_random=False))
def test_whatever_the_corpus_each_utterance_is_in_one_split_or_left_out_and_the_order_is_nothing(
    corpus: Corpus, plan: SplitPlan, order: random.Random
) -> None:
    try:
        found = made(corpus, plan)
    except DataError:
        assert may_be_refused(corpus, plan)
        return
    left = [name for name, _ in found.left_out]
    assert sorted([*placed(found), *left]) == sorted(each.id for each in corpus)
    assert [each.id for each in found.corpus] == [e.id for e in corpus if e.id not in set(left)]
    assert all(minute > 0 for minute in minutes(found))
    if "speaker" in plan.disjoint:
        assert share_none(values(found, speaker))
    if "prompt" in plan.disjoint:
        assert share_none(values(found, prompt))
    if plan.disjoint != ("speaker", "prompt"):
        assert not left
    shuffled = list(corpus)
    order.shuffle(shuffled)
    again = made(Corpus(shuffled), plan)
    assert placed(again) == placed(found)
    assert (again.left_out, again.notes) == (found.left_out, found.notes)


@settings(deadline=None, max_examples=60)
@given(_corpora, st.integers(2, 5), st.integers(0, 100), st.randoms(use_true_random=False))
def test_folds_test_each_speaker_once_and_share_no_speaker(
    corpus: Corpus, k: int, seed: int, order: random.Random
) -> None:
    plan = SplitPlan(seed=seed)
    try:
        found = folds(corpus, k, plan, duration=length)
    except (ConfigError, DataError):
        assert len(corpus.speakers) < max(3, k) or k == 2
        return
    tested = Counter(name for each in found for name in of(each, "test").speakers)
    assert tested == dict.fromkeys(corpus.speakers, 1)
    for each in found:
        assert len(each.corpus) == len(corpus)
        assert share_none(values(each, speaker))
        assert all(minute > 0 for minute in minutes(each))
    shuffled = list(corpus)
    order.shuffle(shuffled)
    again = folds(Corpus(shuffled), k, plan, duration=length)
    assert [placed(each) for each in again] == [placed(each) for each in found]


def test_another_seed_gives_another_split() -> None:
    corpus = speakers(range(1, 21))
    tested = {of(made(corpus, SplitPlan(seed=seed)), "test").speakers for seed in range(20)}
    assert len(tested) >= 8


def test_the_fields_stay_and_only_the_split_is_set() -> None:
    corpus = speakers([2, 2, 2], licence="CC0-1.0", sex="f")
    for before, after in zip(corpus, made(corpus).corpus, strict=True):
        assert (after.id, after.licence, after.sex) == (before.id, "CC0-1.0", "f")
        assert after.split in SPLITS


# --- shares and minutes ---------------------------------------------------------------------------


def test_twenty_unequal_speakers_come_within_three_points_of_the_shares() -> None:
    rng = random.Random(5)
    strays, wrong_sexes = [], []
    for seed in range(100):
        corpus = Corpus(
            each
            for number in range(20)
            for each in speakers([rng.randint(1, 20)], prefix=f"{number}-", sex="fm"[number % 2])
        )
        found = made(corpus, SplitPlan(seed=seed))
        shares = np.array(minutes(found)) / sum(minutes(found))
        strays.append(np.abs(shares - (0.7, 0.1, 0.2)).max())
        whole = len(corpus.where(sex="f")) / len(corpus)
        tested = of(found, "test")
        wrong_sexes.append(abs(len(tested.where(sex="f")) / len(tested) - whole))
    assert np.percentile(strays, 95) <= 0.03
    # With whole speakers of 1 to 20 minutes; dealt without a look at the sexes it is 0.50.
    assert np.percentile(wrong_sexes, 95) <= 0.15


def test_shares_are_of_seconds_not_of_utterances() -> None:
    long = Corpus(said(f"a{at}", f"a{at}", seconds=600) for at in range(10))
    short = speakers([10] * 10, prefix="b")
    found = made(long + short, SplitPlan(shares=(0.5, 0.25, 0.25)))
    assert minutes(found) == pytest.approx((100, 50, 50))


def test_minutes_are_met_by_whole_speakers_and_what_was_got_is_told() -> None:
    found = made(speakers([5] * 20), SplitPlan(minutes=(None, 10, 20)))
    assert minutes(found) == (70, 10, 20)
    assert found.notes[0] == (
        "train 70.0 min (70.0 %) of 14 speakers; dev 10.0 min (10.0 %) of 2 speakers; test 20.0 min"
        " (20.0 %) of 4 speakers; asked for: train the rest, dev 10 min, test 20 min"
    )


def test_minutes_of_test_alone_leave_dev_its_share() -> None:
    assert minutes(made(speakers([5] * 20), SplitPlan(minutes=(None, None, 30)))) == (60, 10, 30)


def test_utterances_beyond_the_minutes_of_train_are_left_out_and_listed() -> None:
    found = made(speakers([5] * 20), SplitPlan(minutes=(12, 10, 20)))
    assert minutes(found) == (12, 10, 20)
    assert len(found.left_out) == 58
    assert {reason for _, reason in found.left_out} == {"train has the minutes that were asked for"}
    assert "58 of 100 utterances (58.0 min) are left out" in found.notes[1]
    backwards = Corpus(reversed(speakers([5] * 20)))
    assert placed(made(backwards, SplitPlan(minutes=(12, 10, 20)))) == placed(found)


@pytest.mark.parametrize("asked", [(None, 10, 20), (11, 10, 10), (None, 5, 40)])
def test_more_minutes_than_there_are_are_refused(asked: tuple[float | None, float, float]) -> None:
    with pytest.raises(DataError, match=r"and there are 30\.0, .* ask for fewer minutes"):
        made(speakers([3] * 10), SplitPlan(minutes=asked))


def test_a_duration_that_is_no_number_is_refused_with_the_utterance() -> None:
    with pytest.raises(DataError, match=r"(?s)finite numbers.*utterance 's1-0'.*nan s"):
        split(
            speakers([1, 1, 1]),
            SplitPlan(),
            duration=lambda each: math.nan if each.id == "s1-0" else 1.0,
        )


# --- accents and sexes ----------------------------------------------------------------------------


def test_each_accent_of_three_speakers_is_in_all_splits() -> None:
    corpus = speakers([9] * 3, prefix="a", accent="scottish") + speakers([1] * 30, accent="irish")
    found = made(corpus)
    for accent, counts in (("scottish", (1, 1, 1)), ("irish", (21, 3, 6))):
        there = tuple(len(of(found, name).where(accent=accent).speakers) for name in SPLITS)
        assert there == counts


def test_without_strata_a_small_accent_may_be_in_one_split() -> None:
    corpus = speakers([1] * 3, prefix="a", accent="scottish") + speakers([1] * 60, accent="irish")
    whole = [
        len({each.split for each in found.corpus.where(accent="scottish")})
        for seed in range(10)
        for found in [made(corpus, SplitPlan(seed=seed, stratify=()))]
    ]
    assert min(whole) == 1


def test_an_accent_of_two_speakers_is_trained_on_and_that_is_told() -> None:
    corpus = speakers([2, 2], prefix="a", accent="irish") + speakers([2] * 6, prefix="b")
    found = made(corpus)
    assert {each.split for each in found.corpus.where(accent="irish")} == {"train"}
    assert found.notes[0] == (
        "the accent 'irish' has 2 speakers for train, dev, test: all in train, so that no score "
        "tells of new speakers of it"
    )


def test_a_speaker_of_two_accents_is_in_one_split() -> None:
    corpus = speakers([4] * 5, accent="irish") + Corpus(
        said(f"x{at}", f"s{at}", accent="scottish") for at in range(5)
    )
    assert share_none(values(made(corpus), speaker))


def test_sexes_are_in_each_split_as_in_the_whole() -> None:
    corpus = speakers([3] * 10, prefix="a", sex="f") + speakers([3] * 10, prefix="b", sex="m")
    for seed in range(5):
        found = made(corpus, SplitPlan(seed=seed))
        counts = [
            tuple(len(of(found, name).where(sex=sex).speakers) for sex in "fm") for name in SPLITS
        ]
        assert counts == [(7, 7), (1, 1), (2, 2)]


# --- too few --------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_than_three_speakers_are_refused_and_the_ways_out_are_named(count: int) -> None:
    with pytest.raises(DataError, match=rf"{count} speakers \(s0.*recordings of other.*none") as e:
        made(speakers([5] * count))
    assert "say nothing of new speakers" in str(e.value)


def test_accents_of_two_speakers_each_are_refused_and_dealt_together_on_demand() -> None:
    corpus = Corpus(
        said(f"{who}{at}", f"{accent}{who}", accent=accent)
        for accent in ("irish", "scottish", "welsh")
        for who in "ab"
        for at in (f"{accent}1", f"{accent}2")
    )
    with pytest.raises(DataError, match=r"no accent has three.*--stratify sex.*--folds"):
        made(corpus)
    assert share_none(values(made(corpus, SplitPlan(stratify=("sex",))), speaker))
    found = folds(corpus, 3, SplitPlan(), duration=length)
    assert [len(of(each, "test").speakers) for each in found] == [2, 2, 2]


def test_a_split_by_utterance_says_that_it_tells_nothing_of_new_speakers() -> None:
    found = made(speakers([50, 50]), SplitPlan(disjoint=()))
    assert minutes(found) == (70, 10, 20)
    assert "speakers are in several splits: a score says nothing of new speakers" in found.notes[0]


def test_few_test_speakers_are_told_with_their_accent() -> None:
    assert made(speakers([1] * 20)).notes[-1] == (
        "fewer than 6 test speakers give no verdict: scottish (4); --folds tests each speaker"
    )
    assert not any("verdict" in note for note in made(speakers([1] * 30)).notes)


def test_no_utterance_is_nothing_to_split() -> None:
    with pytest.raises(DataError, match="no utterance to split"):
        made(Corpus())


# --- sentences ------------------------------------------------------------------------------------


def test_groups_that_share_no_sentence_are_dealt_whole_and_nothing_is_lost() -> None:
    # Twenty pairs of speakers; each pair reads its own ten sentences.
    corpus = Corpus(
        said(
            f"{pair}{who}{at}",
            f"{pair}{who}",
            f"Sentence {at} of {pair}{'.' if who == 'a' else ''}",
        )
        for pair in range(20)
        for who in "ab"
        for at in range(10)
    )
    found = made(corpus, BOTH)
    assert not found.left_out
    assert minutes(found) == (280, 40, 80)
    assert share_none(values(found, prompt))
    assert share_none(values(found, speaker))


def test_where_all_read_all_each_split_keeps_its_sentences_of_its_speakers() -> None:
    found = made(readers(10, 10), BOTH)
    # 7 speakers with 7 sentences, 1 with 1, 2 with 2: 54 of 100.
    assert minutes(found) == (49, 1, 4)
    assert len(found.left_out) == 46
    assert share_none(values(found, prompt))
    assert (
        "46 of 100 utterances (46.0 min) are left out: its sentence belongs to another split than "
        "its speaker" in found.notes
    )


def test_sentences_of_one_split_are_not_lost_to_those_that_all_share() -> None:
    own = speakers([20] * 10, prefix="r")
    shared = Corpus(said(f"x{who}", f"r{who}", "please call stella") for who in range(10))
    found = made(own + shared, BOTH)
    # The sentence that all say goes to train, who are most: seven stay.
    assert [name[0] for name, _ in found.left_out] == ["x"] * 3
    assert share_none(values(found, prompt))


def test_minutes_are_met_too_where_all_read_all() -> None:
    found = made(readers(30, 60), SplitPlan(disjoint=BOTH.disjoint, minutes=(None, 60, 120)))
    _, dev, test = minutes(found)
    assert dev == pytest.approx(60, rel=0.15)
    assert test == pytest.approx(120, rel=0.15)
    assert share_none(values(found, prompt))


def test_sentences_alone_can_be_kept_apart() -> None:
    found = made(readers(4, 50), SplitPlan(disjoint=("prompt",)))
    assert share_none(values(found, prompt))
    assert minutes(found) == (140, 20, 40)
    assert len(of(found, "test").speakers) == 4


def test_known_sentences_in_test_are_told_with_the_way_out() -> None:
    told = [note for note in made(readers(20, 5)).notes if "--disjoint speaker+prompt" in note]
    assert told == [
        "100 % of the test utterances say a sentence that is in train too, which flatters the "
        "score; --disjoint speaker+prompt keeps sentences apart as well"
    ]
    assert not any("sentence" in note for note in made(speakers([5] * 20)).notes)


def test_one_sentence_for_all_leaves_no_test_and_is_refused() -> None:
    with pytest.raises(DataError, match=r"no utterance is left for .*--disjoint speaker"):
        made(readers(10, 1), BOTH)


# --- by name --------------------------------------------------------------------------------------


def test_a_split_has_the_speakers_that_are_named_and_the_rest_is_dealt_to_the_others() -> None:
    found = made(speakers([5] * 10), SplitPlan(speakers={"test": ("s3", "s7")}))
    assert of(found, "test").speakers == ("s3", "s7")
    # 7 to 1 of the other eight.
    assert [len(of(found, name).speakers) for name in SPLITS] == [7, 1, 2]


def test_with_train_and_test_named_dev_has_the_others() -> None:
    named = {"train": ("s0", "s1", "s2"), "test": ("s3",)}
    found = made(speakers([5] * 5), SplitPlan(speakers=named))
    assert [of(found, name).speakers for name in SPLITS] == [("s0", "s1", "s2"), ("s4",), ("s3",)]


def test_with_all_named_the_others_are_left_out_and_listed() -> None:
    named = {"train": ("s0",), "dev": ("s1",), "test": ("s2",)}
    found = made(speakers([2] * 4), SplitPlan(speakers=named))
    assert found.left_out == (
        ("s3-0", "its speaker is named for no split"),
        ("s3-1", "its speaker is named for no split"),
    )


def test_named_speakers_hold_where_sentences_are_kept_apart_too() -> None:
    plan = SplitPlan(disjoint=("speaker", "prompt"), speakers={"test": ("r1", "r2", "r3")})
    found = made(readers(10, 20), plan)
    assert of(found, "test").speakers == ("r1", "r2", "r3")
    assert share_none(values(found, prompt))


def test_unknown_names_are_refused_all_at_once_with_near_ones() -> None:
    plan = SplitPlan(speakers={"test": ("marry",), "dev": ("zzz", "tom")})
    corpus = Corpus(said(name, name) for name in ("mary", "tom", "ann", "eve"))
    with pytest.raises(DataError) as error:
        made(corpus, plan)
    assert error.value.faults == ("'marry': 'mary'?", "'zzz'")
    assert "its 4 speakers are ann, eve, mary, tom" in str(error.value)


def test_names_that_leave_nobody_for_a_split_are_refused() -> None:
    with pytest.raises(DataError, match=r"named for train \(2\), test \(1\), leave none for dev"):
        made(speakers([1] * 3), SplitPlan(speakers={"train": ("s0", "s1"), "test": ("s2",)}))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"speakers": {"train": ("ann",), "test": ("ann",)}}, "named for two: ann"),
        ({"speakers": {"eval": ("ann",)}}, "got 'eval'"),
        ({"speakers": {"test": ()}}, "no speaker is named for test"),
        ({"speakers": {"test": ("ann",)}, "disjoint": ("prompt",)}, "disjoint by speaker"),
        ({"shares": (0.7, 0.1, 0.1)}, "add up to 1"),
        ({"shares": (0.8, 0.0, 0.2)}, "positive"),
        ({"minutes": (None, -1, 2)}, "minutes must be"),
        ({"disjoint": ("text",)}, "got 'text'"),
        ({"stratify": ("age",)}, "got 'age'"),
        ({"seed": -1}, "seed must be 0 or more"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        SplitPlan(**wrong)


def test_all_that_is_wrong_with_a_plan_comes_at_once() -> None:
    with pytest.raises(ConfigError, match=r"(?s)shares.*seed"):
        SplitPlan(shares=(1, 1, 1), seed=-1)


# --- splits that are there ------------------------------------------------------------------------


def test_splits_that_are_there_are_kept_unless_they_are_to_be_made_anew() -> None:
    corpus = speakers([1] * 10, split="test")
    assert made(corpus) == Split(
        corpus=corpus, notes=("10 utterances keep the split that they have",)
    )
    assert minutes(made(corpus, SplitPlan(resplit=True))) == (7, 1, 2)


def test_utterances_without_split_beside_others_of_their_accent_are_all_listed() -> None:
    corpus = speakers([1] * 3, prefix="a", split="train") + speakers([1] * 2, prefix="b")
    with pytest.raises(DataError, match=r"2 utterances have no split.*--resplit") as error:
        made(corpus)
    assert ["'b0-0'" in error.value.faults[0], "'b1-0'" in error.value.faults[1]] == [True, True]


def test_an_accent_with_splits_keeps_them_beside_one_that_is_dealt() -> None:
    given_ = Corpus(
        said(f"g{at}", f"g{at}", accent="irish", split=name) for at, name in enumerate(SPLITS)
    )
    free = speakers([1] * 10)
    found = made(free[:5] + given_ + free[5:])
    assert [each.id for each in found.corpus] == [each.id for each in free[:5] + given_ + free[5:]]
    assert found.corpus.where(accent="irish") == given_
    assert [len(of(found, name).where(accent="scottish")) for name in SPLITS] == [7, 1, 2]


def test_a_speaker_who_has_a_split_in_one_accent_has_it_in_the_other() -> None:
    given_ = Corpus(
        said(f"g{at}", f"s{at}", accent="irish", split=name) for at, name in enumerate(SPLITS)
    )
    assert share_none(values(made(given_ + speakers([1] * 10)), speaker))


def test_names_are_refused_where_the_corpus_has_splits() -> None:
    with pytest.raises(ConfigError, match="--resplit"):
        made(speakers([1] * 4, split="train"), SplitPlan(speakers={"test": ("s0",)}))


# --- folds ----------------------------------------------------------------------------------------


def test_folds_have_equal_minutes_of_each_accent() -> None:
    corpus = speakers([3] * 10, accent="irish") + speakers([2] * 10, prefix="b")
    found = folds(corpus, 5, SplitPlan(), duration=length)
    for each in found:
        tested = of(each, "test")
        assert [len(tested.where(accent=name).speakers) for name in corpus.accents] == [2, 2]
        assert minutes(each)[2] == 10
        assert minutes(each)[1] == pytest.approx(5, abs=1)
    assert not any("verdict" in note for each in found for note in each.notes)


def test_accents_of_fewer_speakers_than_folds_do_not_all_fill_the_same_folds() -> None:
    large = speakers([1] * 4, accent="irish")
    small = [speakers([1] * 2, prefix=f"{at}-", accent=f"accent {at}") for at in range(8)]
    found = folds(sum(small, large), 4, SplitPlan(), duration=length)
    assert [minutes(each)[2] for each in found] == [5, 5, 5, 5]


def test_a_fold_for_each_speaker_tests_one() -> None:
    found = folds(speakers([1, 5, 9, 2]), 4, SplitPlan(), duration=length)
    assert [len(of(each, "test").speakers) for each in found] == [1, 1, 1, 1]


def test_folds_can_keep_groups_of_sentences_apart() -> None:
    corpus = Corpus(
        said(f"{pair}{who}", f"{pair}{who}", f"sentence of {pair}")
        for pair in range(6)
        for who in "ab"
    )
    for each in folds(corpus, 3, BOTH, duration=length):
        assert share_none(values(each, prompt))
        assert len(of(each, "test").speakers) == 4
    with pytest.raises(DataError, match="1 groups of speakers"):
        folds(readers(6, 3), 3, BOTH, duration=length)


@pytest.mark.parametrize(
    ("plan", "k", "told"),
    [
        (SplitPlan(), 1, "2 or more"),
        (SplitPlan(), 7, "7 folds cannot be made of 6 speakers"),
        (SplitPlan(minutes=(None, 1, 1)), 3, "no minutes"),
        (SplitPlan(disjoint=()), 3, "disjoint by speaker"),
    ],
)
def test_what_folds_cannot_give_is_refused(plan: SplitPlan, k: int, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        folds(speakers([1] * 6), k, plan, duration=length)


# --- what splits share ----------------------------------------------------------------------------


def sound(utterance: Utterance) -> bytes:
    return utterance.audio.name.encode()


def leaking() -> Corpus:
    """Return splits that share a speaker, a sentence, nearly a sentence, and a recording."""
    long = "we all went down to the pier and saw ten boats"
    rows = [
        said("t1", "ann", "It is late.", split="train", sex="f"),
        said("t2", "bob", long, split="train", sex="m"),
        said("d1", "ann", "nobody came", split="dev", sex="f"),
        said("e1", "eve", "it is late", split="test", sex="f"),
        said("e2", "eve", f"{long} go", split="test", sex="f"),
    ]
    heard = said("t2", "tom", "who is it", split="test")
    return Corpus([*rows, Utterance(id="e3", audio=heard.audio, text="who is it", speaker="tom",
                                    accent="scottish", split="test", start=0, end=30)])  # fmt: skip


def test_a_report_counts_what_each_split_is_made_of_and_shares() -> None:
    report = leakage_report(leaking(), duration=length, digest=sound)
    assert report.size_rows() == (
        ("split", "utterances", "minutes", "speakers", "sexes", "accents"),
        ("train", "2", "2.0", "2", "f 1, m 1", "scottish 2"),
        ("dev", "1", "1.0", "1", "f 1", "scottish 1"),
        ("test", "3", "2.5", "2", "unknown 1, f 1", "scottish 2"),
    )
    assert report.shared_rows() == (
        ("splits", "speakers", "sentences", "near sentences", "recordings"),
        ("dev in train", "1", "0 of 1 (0.0 %)", "0 of 1 (0.0 %)", "0 of 1 (0.0 %)"),
        ("test in train", "0", "1 of 3 (33.3 %)", "1 of 3 (33.3 %)", "1 of 3 (33.3 %)"),
        ("test in dev", "0", "0 of 3 (0.0 %)", "0 of 3 (0.0 %)", "0 of 3 (0.0 %)"),
    )
    assert [(fault.kind, fault.place, fault.message) for fault in report.faults()] == [
        ("split-speaker", "splits train and dev", "speaker 'ann' is in both"),
        (
            "split-prompt",
            "splits train and test",
            "1 of 3 (33.3 %) utterances of test: e1 as t1",
        ),
        ("text-near", "splits train and test", "1 of 3 (33.3 %) utterances of test: e2 as t2"),
        ("split-audio", "splits train and test", "1 of 3 (33.3 %) utterances of test: e3 as t2"),
        (
            "split-small",
            "accent 'scottish'",
            "test has 2.50 minutes of 2 speakers; a verdict needs 6 speakers, and less than 5 "
            "minutes are few",
        ),
    ]


def test_recordings_that_were_not_compared_are_not_told_to_be_clean() -> None:
    report = leakage_report(leaking(), duration=length, digest=None)
    assert {row[-1] for row in report.shared_rows()[1:]} == {"not compared"}
    assert "split-audio" not in {fault.kind for fault in report.faults()}


def test_a_report_of_splits_that_are_made_here_has_no_fault() -> None:
    found = made(speakers([2] * 40))
    assert leakage_report(found.corpus, duration=length, digest=sound).faults() == ()


def kinds_of(corpus: Corpus) -> list[tuple[str, str]]:
    found = leakage_report(corpus, duration=length, digest=None).faults()
    return [(fault.kind, fault.message) for fault in found if fault.kind != "split-small"]


def test_partial_and_empty_splits_are_faults_of_their_accent() -> None:
    train = speakers([1] * 3, prefix="a", split="train")
    assert kinds_of(train + speakers([1], prefix="b")) == [
        ("split-partial", "1 of 4 utterances have no split: b0-0"),
        ("split-empty", "no utterance in dev and test"),
    ]
    assert kinds_of(speakers([1] * 8)) == []


def test_a_set_that_is_only_scored_and_an_accent_of_two_speakers_lack_nothing() -> None:
    assert kinds_of(speakers([1] * 8, split="test")) == []
    assert kinds_of(speakers([1] * 2, split="train")) == []


# --- as runs have always dealt --------------------------------------------------------------------


def test_what_existing_splits_cannot_give_is_refused() -> None:
    placed = Corpus(
        replace(each, split=("train", "dev", "test")[index % 3])
        for index, each in enumerate(speakers([1] * 9))
    )
    for plan in (SplitPlan(disjoint=("speaker", "prompt")), SplitPlan(minutes=(None, 1, 1))):
        with pytest.raises(ConfigError, match="has splits already; --resplit"):
            split(placed, plan, duration=length)
        assert split(placed, replace(plan, resplit=True), duration=length).corpus
    assert split(placed, SplitPlan(disjoint=()), duration=length).corpus == placed


def test_runs_refuse_what_they_did() -> None:
    with pytest.raises(ConfigError, match="three positive numbers"):
        split_by_speaker(speakers([1] * 3), shares=(1, 1, 1), seed=0)
    with pytest.raises(DataError, match="cannot be split into train, dev"):
        split_by_speaker(speakers([1] * 2), seed=0)
    with pytest.raises(DataError, match="cannot be tested in folds"):
        fold_speakers(speakers([1] * 2), 2, seed=0)
    with pytest.raises(ConfigError, match="--folds 4 or less"):
        fold_speakers(speakers([1] * 4), 5, seed=0)
    with pytest.raises(DataError, match="too few to train on"):
        fold_speakers(speakers([9, 9, 9]), 2, seed=0)


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 8), min_size=3, max_size=20),
    seed=st.integers(0, 2**32),
)
def test_a_split_uses_each_utterance_once_and_shares_no_speaker(
    counts: list[int], seed: int
) -> None:
    corpus = speakers(counts)
    splits = split_by_speaker(corpus, seed=seed)
    assert list(splits) == ["train", "dev", "test"]
    assert sorted(each.id for part in splits.values() for each in part) == sorted(
        each.id for each in corpus
    )
    assert all(each.split == split for split, part in splits.items() for each in part)
    for name, part in splits.items():
        assert part.speakers
        for other in {"train", "dev", "test"} - {name}:
            part.check_disjoint(splits[other], fields=("speaker",))


def test_a_split_keeps_to_its_shares_and_its_seed() -> None:
    corpus = speakers([10] * 20)
    splits = split_by_speaker(corpus, shares=(0.5, 0.2, 0.3), seed=1)
    assert [len(part) for part in splits.values()] == [100, 40, 60]
    assert splits == split_by_speaker(corpus, shares=(0.5, 0.2, 0.3), seed=1)
    assert splits != split_by_speaker(corpus, shares=(0.5, 0.2, 0.3), seed=2)
    backwards = split_by_speaker(corpus[::-1], shares=(0.5, 0.2, 0.3), seed=1)
    assert [part.speakers for part in backwards.values()] == [
        part.speakers for part in splits.values()
    ]


def test_too_few_speakers_or_wrong_shares_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 speakers \(s0, s1\).*at least three"):
        split_by_speaker(speakers([5, 5]), seed=0)
    for shares in ((0.7, 0.3, 0.0), (0.7, 0.2, 0.2)):
        with pytest.raises(ConfigError, match="add up to 1"):
            split_by_speaker(speakers([5, 5, 5]), shares=shares, seed=0)


# --- how long -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("plan", [SplitPlan(), BOTH])
def test_a_million_utterances_of_ten_thousand_speakers_are_split_in_seconds(
    plan: SplitPlan,
) -> None:
    where = Path("/recording.wav")
    corpus = Corpus(
        Utterance(
            id=f"u{at}",
            audio=where,
            text=f"the boat number {at} is at the pier",
            speaker=f"s{at % 10_000}",
            accent=f"accent {at % 20}",
            sex="fm"[at % 3 == 0],
            start=0,
            end=1 + at * 7919 % 100 / 10,
        )
        for at in range(1_000_000)
    )
    made(corpus[:100], plan)
    began = time.process_time()
    found = made(corpus, plan)
    took = time.process_time() - began
    shares = [of(found, name).duration / corpus.duration for name in SPLITS]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.005)
    assert share_none(values(found, speaker))
    # What is said is compared in its plain form for the second, which alone takes 8 s.
    assert took <= (10 if plan.disjoint == ("speaker",) else 25)
