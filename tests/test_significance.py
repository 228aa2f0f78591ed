"""Paired tests by speaker: against hand counts, SciPy and NIST's own programs."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from speechtl.metrics import align, word_errors
from speechtl.significance import (
    Pairs,
    holm,
    intervals,
    mapsswe,
    mcnemar,
    sign_flips,
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


def test_few_speakers_widen_it_and_one_has_none() -> None:
    rows = [(0, 10, 2, 1), (1, 10, 2, 2), (2, 10, 5, 1)]
    three = intervals(pairs(*rows), seed=0).difference
    assert three == (-0.4, 0.0)  # all three resamples of one speaker are within it
    assert intervals(pairs(*rows[:1]), seed=0).difference is None
    assert intervals(pairs(), seed=0).difference is None


def test_speakers_without_a_word_give_no_rate() -> None:
    assert intervals(pairs((0, 0, 1, 0), (1, 0, 0, 0)), seed=0).base is None
    found = intervals(pairs((0, 0, 1, 0), (1, 10, 2, 1)), seed=0).base
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
