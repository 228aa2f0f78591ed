"""Paired tests by speaker: against hand counts, SciPy and NIST's own programs."""

from __future__ import annotations

import itertools
import math
import random
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from speechtl.metrics import align, word_errors
from speechtl.significance import (
    Bootstrapped,
    Interval,
    Pairs,
    enough_speakers,
    group_intervals,
    holm,
    intervals,
    intervals_together,
    mapsswe,
    mcnemar,
    ratio_interval,
    sign_flips,
    smallest_detectable,
    unpaired_interval,
    verdict,
)


def pairs(*rows: tuple[int, int, int, int]) -> Pairs:
    """Return pairs from rows of speaker, words, base errors, adapted errors."""
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    return Pairs(*columns)


def drawn(
    rng: np.random.Generator, *, speakers: int, effect: float = 0.0, spread: float = 0.03
) -> Pairs:
    """Return pairs of speakers who differ in their WER and in what the second system does."""
    counts = rng.integers(8, 40, speakers)
    who = np.repeat(np.arange(speakers), counts)
    words = rng.integers(4, 14, len(who))
    base = rng.beta(2, 8, speakers)
    adapted = base + rng.normal(effect, spread, speakers)
    errors = [rng.binomial(words, np.clip(p[who], 0.005, 0.95)) for p in (base, adapted)]
    return Pairs(who, words, *errors)


# --- intervals ------------------------------------------------------------------------------------


def test_an_interval_holds_the_difference_and_is_the_same_again() -> None:
    found = drawn(np.random.default_rng(0), speakers=12, effect=-0.05)
    again, first = intervals(found, seed=7), intervals(found, seed=7)
    assert first == again != intervals(found, seed=8)
    words = found.words.sum()
    for interval, errors in (
        (first.base, found.base.sum()),
        (first.adapted, found.adapted.sum()),
        (first.difference, found.adapted.sum() - found.base.sum()),
    ):
        assert interval is not None
        assert interval[0] < errors / words < interval[1]


def test_speakers_are_drawn_and_not_utterances() -> None:
    """Ten utterances that are all alike say no more of a speaker than one does."""
    rows = [(s, 10, 2 + s % 3, 1 + s % 2) for s in range(10)]
    once, often = (intervals(pairs(*rows * n), seed=0) for n in (1, 10))
    assert once.difference == pytest.approx(often.difference)
    assert once.base == pytest.approx(often.base)


def test_many_speakers_give_the_interval_of_a_mean() -> None:
    rng = np.random.default_rng(1)
    errors = rng.binomial(10, 0.3, (400, 2))
    found = intervals(pairs(*((s, 10, b, a) for s, (b, a) in enumerate(errors))), seed=0)
    differences = (errors[:, 1] - errors[:, 0]) / 10
    wanted = stats.t.interval(0.95, 399, differences.mean(), stats.sem(differences))
    assert found.difference == pytest.approx(wanted, abs=0.001)


def test_few_speakers_widen_it_and_three_have_none() -> None:
    rows = [(0, 10, 2, 1), (1, 10, 2, 2), (2, 10, 5, 1), (3, 10, 4, 2)]
    four = intervals(pairs(*rows), seed=0).difference
    assert four == (-0.4, 0.0)  # resamples of one speaker alone are within it
    for fewer in (rows[:3], rows[:1], []):
        assert intervals(pairs(*fewer), seed=0) == Bootstrapped(None, None, None)


def test_speakers_without_a_word_give_no_rate() -> None:
    silent = [(s, 0, 1, 0) for s in range(4)]
    assert intervals(pairs(*silent), seed=0).base is None
    found = intervals(pairs(*silent[:3], (3, 10, 2, 1)), seed=0).base
    assert found is not None
    assert np.isfinite(found).all()


def test_ten_thousand_resamples_of_five_thousand_utterances_take_two_seconds() -> None:
    rng = np.random.default_rng(2)
    errors = rng.binomial(10, 0.2, (5000, 2))
    # The slowest there is: no two utterances of one speaker.
    found = pairs(*((s, 10, b, a) for s, (b, a) in enumerate(errors)))
    seconds = []
    for _ in range(3):
        started = time.process_time()  # whatever else the machine does
        intervals(found, seed=0)
        sign_flips(found, seed=0)
        seconds.append(time.process_time() - started)
    assert min(seconds) < 2


# --- intervals of parts of a set ------------------------------------------------------------------


def drawn_again(
    pairs: Pairs, mask: npt.NDArray[np.bool_], *, seed: int, draws: int = 4000
) -> Interval:
    """Return a group's interval of the difference the long way: whole speakers, utterance lists."""
    rng = np.random.default_rng(seed)
    own = [np.flatnonzero(pairs.speakers == each) for each in np.unique(pairs.speakers)]
    differences = []
    for _ in range(draws):
        rows = np.concatenate([own[each] for each in rng.integers(len(own), size=len(own))])
        rows = rows[mask[rows]]
        if len(rows):
            errors = pairs.adapted[rows].sum() - pairs.base[rows].sum()
            differences.append(errors / pairs.words[rows].sum())
    there = sum(bool(mask[each].any()) for each in own)
    # Hesterberg 2015: percentiles of a normal distribution that is as much wider as Student's is.
    tail = stats.norm.cdf(math.sqrt(there / (there - 1)) * stats.t.ppf(0.025, there - 1))
    low, high = np.quantile(differences, [tail, 1 - tail])
    return float(low), float(high)


def test_a_group_that_holds_everything_has_the_sets_own_intervals() -> None:
    found = drawn(np.random.default_rng(0), speakers=12, effect=-0.05)
    everything = np.ones(len(found.words), dtype=bool)
    some = np.arange(len(found.words)) % 3 == 0
    first, _, last = group_intervals(found, np.stack([everything, some, everything]), seed=7)
    assert first == last == intervals(found, seed=7)


def test_groups_are_drawn_by_speaker_with_all_of_their_utterances() -> None:
    rng = np.random.default_rng(5)
    found = drawn(rng, speakers=14, effect=-0.05)
    long = found.words > 8
    some_speakers = np.isin(found.speakers, [0, 2, 3, 5, 8, 9, 11])
    masks = np.stack([np.ones_like(long), long, some_speakers])
    for mask, each in zip(masks, group_intervals(found, masks, seed=0), strict=True):
        assert each.difference == pytest.approx(drawn_again(found, mask, seed=1), abs=0.006)


def test_a_speakers_utterances_of_a_group_say_no_more_where_there_are_ten_alike() -> None:
    rows = [(s, 10, 2 + s % 3, 1 + s % 2) for s in range(10)]
    others = [(s, 5, 4, 4) for s in range(10)]
    once, often = (
        group_intervals(
            pairs(*rows * n, *others), np.array([[True] * 10 * n + [False] * 10]), seed=0
        )[0]
        for n in (1, 10)
    )
    assert once.difference == pytest.approx(often.difference)
    assert once.base == pytest.approx(often.base)


def test_a_group_has_the_caution_of_its_own_speakers_and_none_with_three() -> None:
    found = pairs(*((s, 10, 4, 2 + s % 3) for s in range(20)))
    masks = np.array([found.speakers < count for count in (0, 1, 3, 4)])
    nobody, one, three, four = group_intervals(found, masks, seed=0)
    assert nobody == one == three == Bootstrapped(None, None, None)
    assert four.difference == pytest.approx((-0.2, 0.0))  # all that can be drawn of the four


def test_a_group_without_a_word_has_no_interval() -> None:
    found = pairs((0, 10, 2, 1), (1, 10, 2, 2), (0, 0, 1, 0), (1, 0, 1, 0))
    assert group_intervals(found, np.array([[False, False, True, True]]), seed=0)[0].base is None


# --- one speaker ----------------------------------------------------------------------------------


def ratio(*rows: tuple[int, int], signed: bool = False) -> Interval | None:
    words, errors = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    return ratio_interval(words, errors, signed=signed)


def test_a_speakers_interval_is_that_of_a_ratio_of_sums() -> None:
    # A fifth of the words is wrong; beyond it -1, 1 and 0. Student's quantile of two is 4.303.
    reach = 4.302653 * math.sqrt(3 / 2 * 2) / 40
    assert ratio((10, 1), (10, 3), (20, 4)) == pytest.approx((0.2 - reach, 0.2 + reach))
    reach = 12.706205 * math.sqrt(2 / 1 * 2 * 0.5**2) / 20
    assert ratio((10, 0), (10, 1)) == pytest.approx((0.0, 0.05 + reach))
    less = ratio((10, 0), (10, -1), signed=True)
    assert less == pytest.approx((-0.05 - reach, -0.05 + reach))


def test_a_rate_is_never_below_zero_but_a_difference_may_be() -> None:
    rows = [(10, 0)] * 4 + [(10, 1)]
    rate = ratio(*rows)
    assert rate is not None
    assert rate[0] == 0
    better = ratio(*((words, -errors) for words, errors in rows), signed=True)
    assert better is not None
    assert better[0] == pytest.approx(-rate[1])
    assert better[1] > 0


def test_a_speaker_whose_utterances_are_all_alike_has_no_interval() -> None:
    assert ratio((10, 0), (4, 0), (7, 0)) is None
    assert ratio((10, 5), (4, 2)) is None


def test_intervals_of_one_drawing_are_those_of_each_alone() -> None:
    first = drawn(np.random.default_rng(5), speakers=9, effect=-0.03)
    other = Pairs(first.speakers, first.words, first.base + 1, first.adapted)
    together = intervals_together([first, other], seed=3)
    assert together == [intervals(first, seed=3), intervals(other, seed=3)]


def test_a_speaker_with_one_utterance_or_without_a_word_has_no_interval() -> None:
    assert ratio() is None
    assert ratio((10, 3)) is None
    assert ratio((0, 1), (0, 0)) is None
    assert ratio((0, 1), (10, 0)) is not None


def test_a_speakers_interval_is_that_of_a_bootstrap_over_utterances() -> None:
    rng = np.random.default_rng(3)
    words = rng.integers(4, 14, 60)
    errors = rng.binomial(words, rng.uniform(0.1, 0.5, 60))
    rows = rng.integers(60, size=(20_000, 60))
    rates = errors[rows].sum(axis=1) / words[rows].sum(axis=1)
    assert ratio_interval(words, errors) == pytest.approx(
        np.quantile(rates, [0.025, 0.975]), abs=0.01
    )


@pytest.mark.parametrize(("utterances", "rate"), [(20, 0.3), (20, 0.1), (60, 0.3)])
def test_a_speakers_interval_holds_the_rate_in_nineteen_of_twenty(
    utterances: int, rate: float
) -> None:
    rng = np.random.default_rng([utterances, round(100 * rate)])
    held = 0
    for _ in range(1000):
        words = rng.integers(4, 14, utterances)
        hard = rng.uniform(-0.8, 0.8, utterances)  # some utterances are harder than others
        found = ratio_interval(words, rng.binomial(words, rate * (1 + hard)))
        assert found is not None
        held += found[0] <= rate <= found[1]
    assert 0.925 <= held / 1000 <= 0.975


# --- two sets of speakers -------------------------------------------------------------------------


def test_two_sets_of_few_speakers_differ_by_what_any_two_of_them_do() -> None:
    # Two kinds of speakers each: changes of -0.3 and -0.1, and of -1 / 10 and -1 / 30.
    first = pairs(*((s, 10, 4 - 2 * (s // 2), 1) for s in range(4)))
    second = pairs(*((s, *((10, 2, 1), (30, 3, 2))[s // 2]) for s in range(4)))
    assert unpaired_interval(first, second, seed=0) == pytest.approx((-0.3 + 1 / 30, 0.0), abs=0.03)
    forth, back = (unpaired_interval(*both, seed=0) for both in ((first, second), (second, first)))
    assert forth is not None
    assert back is not None
    assert forth == pytest.approx((-back[1], -back[0]), abs=0.03)


def test_two_sets_give_no_interval_where_one_has_three_speakers_or_no_word() -> None:
    four = pairs(*((s, 10, 4, s) for s in range(4)))
    assert unpaired_interval(four, four, seed=0) is not None
    three = pairs(*((s, 10, 4, s) for s in range(3)))
    for other in (three, pairs(), pairs(*((s, 0, 1, 0) for s in range(4)))):
        assert unpaired_interval(four, other, seed=0) is None
        assert unpaired_interval(other, four, seed=0) is None


def test_the_same_set_twice_is_drawn_as_different_people() -> None:
    """Drawn as the same people, all differences would be zero."""
    found = drawn(np.random.default_rng(1), speakers=12)
    interval = unpaired_interval(found, found, seed=0)
    assert interval is not None
    assert interval == unpaired_interval(found, found, seed=0)
    assert interval[0] < -0.01 < 0.01 < interval[1]
    assert interval[0] == pytest.approx(-interval[1], abs=0.005)


def test_the_interval_of_two_sets_holds_the_truth_in_nineteen_of_twenty() -> None:
    rng = np.random.default_rng(8)
    held = 0
    for number in range(200):
        first, second = drawn_fairly(rng, 14, -0.08), drawn_fairly(rng, 10, -0.02)
        found = unpaired_interval(first, second, seed=number, resamples=1000)
        assert found is not None
        held += found[0] <= -0.06 <= found[1]
    assert 0.91 <= held / 200 <= 0.995


def drawn_fairly(rng: np.random.Generator, speakers: int, effect: float) -> Pairs:
    """Return pairs whose rates are far from 0 and 1, so that none is cut off."""
    who = np.repeat(np.arange(speakers), rng.integers(8, 40, speakers))
    words = rng.integers(4, 14, len(who))
    base = rng.uniform(0.25, 0.45, speakers)
    adapted = base + effect + rng.uniform(-0.05, 0.05, speakers)
    return Pairs(who, words, *(rng.binomial(words, each[who]) for each in (base, adapted)))


# --- what a set can show --------------------------------------------------------------------------


def changes(*errors: int, words: int = 100) -> Pairs:
    """Return a speaker for each change of so many errors."""
    return pairs(*((s, words, 50, 50 + each) for s, each in enumerate(errors)))


EIGHT = (-9, -5, -1, 2, -4, -8, 0, -7)


def test_what_is_detectable_is_some_three_standard_errors_of_the_difference() -> None:
    found = smallest_detectable(changes(*EIGHT))
    error = stats.sem(np.array(EIGHT) / 100)
    # Student's quantiles of 0.975 and 0.8 with seven degrees: 2.365 and 0.896.
    assert found is not None
    assert (2.365 + 0.895) * error < found
    assert found < 4 * error


def test_what_is_detectable_grows_with_the_spread_and_not_with_the_change() -> None:
    found = smallest_detectable(changes(*EIGHT))
    twice = smallest_detectable(changes(*(2 * each for each in EIGHT)))
    moved = smallest_detectable(changes(*(each - 20 for each in EIGHT)))
    assert found is not None
    assert twice == pytest.approx(2 * found)
    assert moved == pytest.approx(found)
    more = smallest_detectable(changes(*EIGHT * 4))
    assert more is not None
    assert 2 < found / more < 2.6  # four times the speakers, and better quantiles


def test_what_is_detectable_does_not_hang_on_how_well_a_speaker_is_heard() -> None:
    heard = (10, 60, 30, 80, 20, 50, 90, 40)  # errors of 100
    rows = [
        (s, 100, base, base + each) for s, (base, each) in enumerate(zip(heard, EIGHT, strict=True))
    ]
    found = smallest_detectable(pairs(*rows))
    assert found == pytest.approx(smallest_detectable(changes(*EIGHT)))
    swapped = [(s, words, adapted, base) for s, words, base, adapted in rows]
    assert smallest_detectable(pairs(*swapped)) == pytest.approx(found)


def test_nothing_is_detectable_by_five_speakers_and_something_is_by_six() -> None:
    assert smallest_detectable(changes(*EIGHT[:5])) is None
    assert smallest_detectable(changes(*EIGHT[:6])) is not None
    assert smallest_detectable(changes()) is None
    assert smallest_detectable(changes(*[0] * 8, words=0)) is None


def test_thousands_of_speakers_can_show_a_difference() -> None:
    found = smallest_detectable(changes(*EIGHT * 300))
    assert found is not None
    assert 0 < found < 0.01


def test_speakers_who_all_change_alike_say_nothing_of_what_is_detectable() -> None:
    assert smallest_detectable(changes(*[0] * 8)) is None
    assert smallest_detectable(changes(*[-3] * 8)) is None
    # Seven tenths of the words of each, whose sums are not told apart by rounding alone.
    alike = [(s, 10 * n, 7 * n, 0) for s, n in enumerate((1, 2, 3, 5, 7, 11, 13, 17))]
    assert smallest_detectable(pairs(*alike)) is None


# --- sign flips -----------------------------------------------------------------------------------


def test_all_signs_are_tried_of_few_speakers() -> None:
    better = pairs(*((s, 10, 5, 5 - s) for s in range(1, 6)))  # by 1, 2, 3, 4, 5 errors
    assert sign_flips(better, seed=0).p_value == 2 / 32
    assert sign_flips(better, seed=0).least_p_value == 2 / 32
    mixed = pairs((0, 10, 5, 4), (1, 10, 5, 3), (2, 10, 5, 6))  # -1, -2, +1: sums of 2 or more
    sums = [abs(a + 2 * b + c) for a, b, c in itertools.product((1, -1), repeat=3)]
    assert sign_flips(mixed, seed=0).p_value == sum(each >= 2 for each in sums) / 8
    assert sign_flips(pairs((0, 10, 5, 1)), seed=0).p_value == 1


def test_drawn_signs_agree_with_all_of_them() -> None:
    found = drawn(np.random.default_rng(3), speakers=16, effect=-0.01)
    columns = (found.speakers, found.words, found.base, found.adapted)
    # One speaker more, whom both systems hear alike.
    wider = Pairs(*map(np.append, columns, (16, 10, 2, 2)))
    exact, sampled = sign_flips(found, seed=0), sign_flips(wider, seed=0)
    assert sampled.speakers == 17
    assert sampled.p_value == pytest.approx(exact.p_value, abs=0.015)
    assert sampled == sign_flips(wider, seed=0)


@pytest.mark.parametrize("speakers", [4, 8, 16])
def test_no_difference_is_rarely_found_where_there_is_none(speakers: int) -> None:
    rng = np.random.default_rng(speakers)
    p = [sign_flips(drawn(rng, speakers=speakers), seed=0).p_value for _ in range(400)]
    assert np.mean(np.array(p) <= 0.05) <= 0.07


def test_six_speakers_are_enough_for_one_set_and_seven_for_two() -> None:
    assert [enough_speakers(count) for count in (2, 5, 6, 7)] == [False, False, True, True]
    assert [enough_speakers(count, tests=2) for count in (6, 7)] == [False, True]
    assert enough_speakers(100_000)


def test_no_verdict_rests_on_fewer_than_six_speakers_not_even_that_of_a_budget() -> None:
    inside = (-0.02, 0.005)
    assert verdict(inside, 1.0, speakers=5, budget=0.01) == "no evidence"
    assert verdict(inside, 1.0, speakers=6, budget=0.01) == "within budget"
    assert verdict((0.02, 0.03), 1.0, speakers=6, budget=0.01) == "over budget"
    assert verdict((-0.03, -0.02), 0.04, speakers=6) == "improved"
    assert verdict((-0.03, -0.02), 0.04, speakers=5) == "no evidence"


# --- McNemar, Holm --------------------------------------------------------------------------------


def test_mcnemar_is_an_exact_binomial_test_on_what_one_system_alone_has_right() -> None:
    rows = [(0, 5, 0, 1)] * 3 + [(0, 5, 2, 0)] * 12 + [(0, 5, 0, 0)] * 9 + [(0, 5, 1, 1)] * 7
    found = mcnemar(pairs(*rows))
    assert (found.base_alone, found.adapted_alone) == (3, 12)
    assert found.p_value == pytest.approx(2 * stats.binom.cdf(3, 15, 0.5))
    assert mcnemar(pairs((0, 5, 1, 1))).p_value == 1


def test_holm_multiplies_by_how_many_are_left_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


# --- NIST's programs ------------------------------------------------------------------------------

VOCABULARY = [f"w{number}" for number in range(20)]
# What `sc_stats -t mapsswe -v -u` of SCTK 1.3 said of `corpus(seed)`: segments, Z, p.
NIST = {
    0: (475, 2.063, 0.039),
    1: (484, 1.226, 0.222),
    2: (498, 0.713, 0.478),
    4: (499, 1.483, 0.139),
    5: (489, 1.571, 0.116),
}
Words = list[str]


def noisy(words: Sequence[str], rate: float, rng: random.Random) -> Words:
    heard: Words = []
    for word in words:
        x = rng.random()
        if x < rate:
            continue
        if x < 2 * rate:
            heard.append(rng.choice(VOCABULARY))
            continue
        if x < 2.5 * rate:
            heard.append(rng.choice(VOCABULARY))
        heard.append(word)
    if rng.random() < rate:
        heard.append(rng.choice(VOCABULARY))
    return heard


def corpus(seed: int) -> tuple[list[Words], list[Words], list[Words]]:
    """Return references, and what two systems heard, with every kind of error."""
    rng = random.Random(seed)
    said = [[rng.choice(VOCABULARY) for _ in range(rng.randint(1, 14))] for _ in range(300)]
    base = [noisy(each, 0.12, rng) for each in said]
    adapted = [noisy(each, 0.10 + 0.01 * (seed % 3), rng) for each in said]
    return said, base, adapted


@pytest.mark.parametrize("seed", NIST)
def test_mapsswe_is_what_sc_stats_said(seed: int) -> None:
    found = mapsswe(
        (align(said, first), align(said, second))
        for said, first, second in zip(*corpus(seed), strict=True)
    )
    assert (found.segments, round(found.z, 3), round(found.p_value, 3)) == NIST[seed]


def test_mapsswe_of_systems_that_do_not_differ() -> None:
    words = ["a", "b", "c", "d"]
    assert mapsswe([(align(words, words), align(words, words))]).p_value == 1
    wrong = align(words, ["a", "x", "c", "d"])
    assert mapsswe([(wrong, wrong)] * 9).p_value == 1
    assert mapsswe([]).segments == 0
    # One segment has no spread.
    assert mapsswe([(wrong, align(words, words))]).p_value == 1


def write_trn(path: Path, rows: Sequence[Words]) -> str:
    lines = (f"{' '.join(row)} (spk{n % 7}-{n:05d})\n" for n, row in enumerate(rows))
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)


@pytest.mark.skipif(shutil.which("sctk") is None, reason="sctk is not installed")
@pytest.mark.parametrize("seed", range(20))
def test_counts_and_mapsswe_are_those_of_sctk(seed: int, tmp_path: Path) -> None:
    said, base, adapted = corpus(seed)
    reference = write_trn(tmp_path / "ref.trn", said)
    systems = {"base": base, "adapted": adapted}
    command = [
        "sctk",
        "sclite",
        "-r",
        reference,
        "trn",
        "-i",
        "spu_id",
        "-s",
        "-o",
        "sgml",
        "stdout",
    ]
    for name, rows in systems.items():
        command += ["-h", write_trn(tmp_path / f"{name}.trn", rows), "trn", name]
    sgml = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    errors = {name: [0, 0, 0, 0] for name in systems}
    title = ""
    for line in sgml.splitlines():
        if found := re.match(r'<SYSTEM title="(\w+)"', line):
            title = found[1]
        elif line[:2] in {"C,", "S,", "D,", "I,"}:
            for each in line.split(":"):
                errors[title]["CSDI".index(each[0])] += 1
    for name, rows in systems.items():
        ours = [word_errors(" ".join(a), " ".join(b)) for a, b in zip(said, rows, strict=True)]
        total = np.sum([[c.hits, c.substitutions, c.deletions, c.insertions] for c in ours], axis=0)
        assert errors[name] == total.tolist()
    test = ["sctk", "sc_stats", "-p", "-t", "mapsswe", "-v", "-n", "nist"]
    subprocess.run(test, input=sgml, text=True, cwd=tmp_path, capture_output=True, check=True)
    told = (tmp_path / "nist.stats.mapsswe").read_text(encoding="latin-1")
    summary = re.search(r"# segs: (\d+).*mean: ([-\d.]+).*Z Stat: ([-\d.]+)", told)
    assert summary is not None
    steps = [(align(a, b), align(a, c)) for a, b, c in zip(said, base, adapted, strict=True)]
    ours_mapsswe = mapsswe(steps)
    assert (ours_mapsswe.segments, f"{ours_mapsswe.z:.3f}") == (int(summary[1]), summary[3])


@given(st.lists(st.sampled_from("abc"), max_size=7), st.lists(st.sampled_from("abc"), max_size=7))
def test_every_error_is_in_one_segment_or_two_that_share_a_word(a: Words, b: Words) -> None:
    assert mapsswe([(align(a, b), align(a, a))]).segments <= len(align(a, b))
