"""Parts of a set, counted by hand: lengths, noise, prompts, accents, speakers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scoring.conftest import Said, counted
from speechtl.scoring.groups import Group, Groups, Spread, disparity, groups, per_speaker
from speechtl.significance import intervals


def table(found: Iterable[Group]) -> list[tuple[str, int, int, float | None, float | None]]:
    return [
        (each.name, each.utterances, each.words, each.base_wer, each.adapted_wer) for each in found
    ]


# --- parts ----------------------------------------------------------------------------------------


def test_bands_of_length_hold_both_their_ends_and_have_pooled_rates() -> None:
    found = groups(
        counted(
            Said(21, 2, 1), Said(1, 1, 0), Said(3, 1, 1), Said(4, 2, 0), Said(7, 2, 1),
            Said(8, 3, 1), Said(12, 1, 1), Said(13, 1, 2), Said(20, 2, 1), Said(40, 3, 4),
        ),
        seed=0,
    )  # fmt: skip
    assert table(found.lengths) == [
        ("1 to 3 words", 2, 4, 2 / 4, 1 / 4),
        ("4 to 7 words", 2, 11, 4 / 11, 1 / 11),
        ("8 to 12 words", 2, 20, 4 / 20, 2 / 20),
        ("13 to 20 words", 2, 33, 3 / 33, 3 / 33),
        ("21 words or more", 2, 61, 5 / 61, 5 / 61),
    ]


def test_utterances_without_a_word_are_a_group_that_has_no_rate_where_words_were_heard() -> None:
    found = groups(counted(Said(5, 1), Said(0, 2, 0), Said(0, 1, 0)), seed=0)
    assert table(found.lengths) == [
        ("4 to 7 words", 1, 5, 1 / 5, 0.0),
        ("no words", 2, 0, None, 0.0),
    ]
    assert found.lengths[1].interval is None


def test_bands_of_noise_hold_their_lower_edge_and_what_is_not_known_is_a_group() -> None:
    levels = (None, 30.0, 29.9, 20.0, 19.9, 10.0, 9.9, -5.0, 55.0)
    found = groups(
        counted(*(Said(10, number, 1, snr_db=each) for number, each in enumerate(levels))), seed=0
    )
    assert table(found.snr) == [
        ("below 10 dB", 2, 20, 13 / 20, 2 / 20),
        ("10 to 20 dB", 2, 20, 9 / 20, 2 / 20),
        ("20 to 30 dB", 2, 20, 5 / 20, 2 / 20),
        ("30 dB or more", 2, 20, 9 / 20, 2 / 20),
        ("not known", 1, 10, 0 / 10, 1 / 10),
    ]


def test_prompts_are_seen_or_unseen_or_not_known() -> None:
    found = groups(
        counted(
            Said(10, 4, 2), Said(5, 1, 1, seen=False), Said(5, 2, 0, seen=True), Said(10, 1, 0)
        ),
        seed=0,
    )
    assert table(found.prompts) == [
        ("seen", 1, 5, 2 / 5, 0.0),
        ("unseen", 1, 5, 1 / 5, 1 / 5),
        ("not known", 2, 20, 5 / 20, 2 / 20),
    ]


def test_a_set_of_unseen_prompts_alone_says_so() -> None:
    assert table(groups(counted(Said(5, 1, 0, seen=False)), seed=0).prompts) == [
        ("unseen", 1, 5, 1 / 5, 0.0)
    ]


def test_what_is_not_known_of_any_utterance_is_no_group() -> None:
    found = groups(counted(Said(5, 1), Said(5, 2)), seed=0)
    assert (found.snr, found.prompts, found.accents) == ((), (), ())
    assert groups(counted(), seed=0) == Groups()


def test_accents_are_told_apart_where_there_are_several() -> None:
    found = groups(
        counted(
            Said(10, 4, 2, "eve", "welsh"),
            Said(10, 5, 1, "ailsa", "scottish"),
            Said(30, 5, 3, "bruce", "scottish"),
        ),
        seed=0,
    )
    assert table(found.accents) == [
        ("scottish", 2, 40, 10 / 40, 4 / 40),
        ("welsh", 1, 10, 4 / 10, 2 / 10),
    ]
    assert [each.speakers for each in found.accents] == [2, 1]


utterances = st.builds(
    Said,
    st.integers(0, 25),
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(["ailsa", "bruce", "eve"]),
    st.sampled_from(["scottish", "welsh"]),
    st.none() | st.floats(-10, 60),
    st.none() | st.booleans(),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(utterances, min_size=1, max_size=12))
def test_the_groups_of_a_kind_add_up_to_the_set(rows: list[Said]) -> None:
    found = groups(counted(*rows), seed=0)
    for parts in (found.accents, found.lengths, found.snr, found.prompts):
        if parts:
            assert sum(each.utterances for each in parts) == len(rows)
            assert sum(each.words for each in parts) == sum(each.words for each in rows)
            assert all(each.utterances for each in parts)
    assert found.lengths


# --- their intervals ------------------------------------------------------------------------------


def many_speakers(count: int = 12) -> list[Said]:
    rng = np.random.default_rng(4)
    return [
        Said(10, int(base), int(adapted), f"speaker-{number % count}")
        for number, (base, adapted) in enumerate(rng.binomial(10, (0.4, 0.3), (10 * count, 2)))
    ]


def test_a_group_that_holds_everything_has_the_interval_of_the_set() -> None:
    found = counted(*many_speakers())
    (everything,) = groups(found, seed=3).lengths
    assert everything.interval is not None
    assert everything.interval == intervals(found.pairs, seed=3).difference
    assert everything.interval != intervals(found.pairs, seed=4).difference


def test_a_group_in_which_one_speaker_speaks_has_no_interval() -> None:
    one = [Said(20, 4, 2, "speaker-1", accent="welsh") for _ in range(5)]
    found = groups(counted(*many_speakers(), *one), seed=0)
    scottish, welsh = found.accents
    assert (welsh.speakers, welsh.interval) == (1, None)
    assert welsh.base_wer == 4 / 20
    assert scottish.interval is not None


def test_an_interval_holds_its_groups_difference_and_not_the_sets() -> None:
    rows = [
        Said(10, 4, 4 - better, f"speaker-{number}", seen=bool(better))
        for number in range(12)
        for better in (0, 1 + number % 3)
    ]
    seen, unseen = groups(counted(*rows), seed=0).prompts
    assert unseen.interval == (0.0, 0.0)
    assert seen.interval is not None
    assert -0.3 <= seen.interval[0] < -0.2 < seen.interval[1] <= -0.1


# --- speakers -------------------------------------------------------------------------------------


def test_each_speaker_has_pooled_rates_and_the_intervals_of_other_sentences() -> None:
    ailsa, bruce = per_speaker(
        counted(
            Said(10, 4, 0, "bruce"), Said(10, 1, 2), Said(10, 3, 3), Said(20, 4, 1)
        )
    )  # fmt: skip
    assert (ailsa.speaker, ailsa.utterances, ailsa.words) == ("ailsa", 3, 40)
    assert (ailsa.base_wer, ailsa.adapted_wer) == (8 / 40, 6 / 40)
    # Errors beyond a fifth of the words: -1, 1, 0. Student's quantile of two degrees is 4.303.
    reach = stats.t.ppf(0.975, 2) * (3 / 2 * 2) ** 0.5 / 40
    assert ailsa.base_interval == pytest.approx((0.2 - reach, 0.2 + reach))
    # Beyond 6 / 40 of them: 0.5, 1.5, -2; the lower end would be below zero.
    reach = stats.t.ppf(0.975, 2) * (3 / 2 * 6.5) ** 0.5 / 40
    assert ailsa.adapted_interval == pytest.approx((0.0, 0.15 + reach))
    # Of the differences 1, 0, -3, beyond -2 / 40: 1.5, 0.5, -2.
    assert ailsa.difference_interval == pytest.approx((-0.05 - reach, -0.05 + reach))
    assert (bruce.speaker, bruce.base_wer, bruce.adapted_wer) == ("bruce", 0.4, 0.0)
    assert (bruce.base_interval, bruce.adapted_interval, bruce.difference_interval) == (None,) * 3


def test_a_speaker_who_says_no_word_has_no_rate_where_words_were_heard() -> None:
    (ailsa,) = per_speaker(counted(Said(0, 1, 0), Said(0, 0, 0)))
    assert (ailsa.base_wer, ailsa.adapted_wer, ailsa.base_interval) == (None, 0.0, None)


def test_a_speakers_change_is_mirrored_where_the_systems_change_places() -> None:
    """One who is heard worse in one sentence may be heard better in others, and the other way."""
    errors = [(0, 0), (0, 0), (1, 1), (0, 0), (0, 1)]
    (worse,) = per_speaker(counted(*(Said(10, b, a) for b, a in errors)))
    (better,) = per_speaker(counted(*(Said(10, a, b) for b, a in errors)))
    assert worse.difference_interval is not None
    low, high = worse.difference_interval
    assert better.difference_interval == pytest.approx((-high, -low))
    assert low < 0 < high


# --- accents --------------------------------------------------------------------------------------


def test_disparity_is_between_the_worst_and_the_best_heard_accent() -> None:
    found = disparity(
        [
            counted(
                Said(10, 5, 1, accent="scottish"),
                Said(10, 3, 3, accent="scottish"),
                Said(20, 2, 5, accent="english"),
                Said(10, 2, 1, accent="welsh"),
            )
        ]
    )
    assert found is not None
    assert found.base == Spread(
        worst="scottish", worst_wer=0.4, best="english", best_wer=0.1, difference=0.4 - 0.1
    )
    assert found.adapted == Spread(
        worst="english", worst_wer=0.25, best="welsh", best_wer=0.1, difference=0.25 - 0.1
    )


def test_accents_of_several_sets_add_up() -> None:
    target = counted(Said(10, 6, 2, accent="scottish"), Said(10, 1, 1, accent="welsh"))
    general = counted(Said(30, 2, 2, accent="scottish"), Said(10, 4, 3, accent="welsh"))
    found = disparity([target, general])
    assert found is not None
    assert (found.base.worst, found.base.worst_wer) == ("welsh", 5 / 20)
    assert (found.base.best, found.base.best_wer) == ("scottish", 8 / 40)
    assert (found.adapted.best, found.adapted.best_wer) == ("scottish", 4 / 40)


def test_one_accent_has_no_disparity_nor_has_one_that_says_no_word() -> None:
    assert disparity([]) is None
    assert disparity([counted()]) is None
    assert disparity([counted(Said(5, 1)), counted(Said(5, 2))]) is None
    assert disparity([counted(Said(5, 1), Said(0, 1, accent="welsh"))]) is None


def test_accents_that_are_heard_alike_are_no_distance_apart() -> None:
    found = disparity([counted(Said(10, 3, 2), Said(20, 6, 4, accent="welsh"))])
    assert found is not None
    assert (found.base.difference, found.adapted.difference) == (0, 0)
    assert (found.base.worst_wer, found.adapted.best_wer) == (3 / 10, 2 / 10)
