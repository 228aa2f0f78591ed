"""Error counts: counted by hand, and their properties over any text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechtl.metrics import (
    Aligned,
    ErrorCounts,
    align_words,
    character_error_rate,
    character_errors,
    total,
    word_errors,
)

words = st.lists(
    st.sampled_from(["the", "wee", "we", "cat", "loch", "lock", "é", "'s"]), max_size=8
)
texts = words.map(" ".join)
anything = st.text(max_size=20)
counts = st.builds(ErrorCounts, *[st.integers(min_value=0, max_value=1000)] * 4)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("the wee cat sat", "the wee cat sat", ErrorCounts(hits=4)),
        ("the wee cat sat", "the we cat sat", ErrorCounts(hits=3, substitutions=1)),
        ("the wee cat sat", "the cat sat", ErrorCounts(hits=3, deletions=1)),
        ("the wee cat sat", "the wee wee cat sat", ErrorCounts(hits=4, insertions=1)),
        ("the wee cat sat", "", ErrorCounts(deletions=4)),
        ("", "och aye", ErrorCounts(insertions=2)),
        ("", "", ErrorCounts()),
        ("a b c d e", "x b d e f", ErrorCounts(3, 1, 1, 1)),
    ],
)
def test_word_errors_are_those_counted_by_hand(
    reference: str, hypothesis: str, expected: ErrorCounts
) -> None:
    assert word_errors(reference, hypothesis) == expected


def test_character_errors_count_the_space_between_words() -> None:
    # "a bc" -> "abd": the space is deleted, c becomes d.
    assert character_errors("a bc", "abd") == ErrorCounts(
        hits=2, substitutions=1, deletions=1, insertions=0
    )
    assert character_errors("", "och") == ErrorCounts(insertions=3)


def test_white_space_of_any_kind_and_length_separates_words() -> None:
    assert word_errors("  the\twee\n cat ", "the wee cat") == ErrorCounts(hits=3)
    assert character_errors("  the\twee\n cat ", "the wee cat") == ErrorCounts(hits=11)


def test_a_rate_is_errors_for_each_reference_word() -> None:
    assert ErrorCounts(hits=6, substitutions=2, deletions=2, insertions=1).rate == 0.5
    assert ErrorCounts(hits=1, insertions=3).rate == 3.0


def test_the_rate_of_an_empty_reference_is_zero_without_errors_and_infinite_with() -> None:
    assert ErrorCounts().rate == 0.0
    assert ErrorCounts(insertions=1).rate == math.inf


def test_the_rate_of_a_corpus_is_that_of_the_summed_counts_not_a_mean_of_rates() -> None:
    long = ErrorCounts(hits=9, substitutions=1)
    short = ErrorCounts(deletions=1)
    assert total([long, short]).rate == 2 / 11


def test_insertions_over_an_empty_reference_weigh_in_the_sum() -> None:
    assert total([word_errors("", "och aye"), word_errors("a b c d", "a b c d")]).rate == 0.5


def test_an_alignment_shows_each_run_of_words_in_order() -> None:
    assert align_words("the wee cat sat", "the we cat sat down") == (
        Aligned("equal", ("the",), ("the",)),
        Aligned("substitute", ("wee",), ("we",)),
        Aligned("equal", ("cat", "sat"), ("cat", "sat")),
        Aligned("insert", (), ("down",)),
    )
    assert align_words("och aye", "") == (Aligned("delete", ("och", "aye"), ()),)
    assert align_words("", "") == ()


@given(anything, anything)
def test_counts_add_up_to_the_lengths_of_both_texts(reference: str, hypothesis: str) -> None:
    found = word_errors(reference, hypothesis)
    assert found.references == len(reference.split())
    assert found.hits + found.substitutions + found.insertions == len(hypothesis.split())
    letters = character_errors(reference, hypothesis)
    assert letters.references == len(" ".join(reference.split()))


@given(texts, texts)
def test_there_are_no_errors_exactly_where_the_texts_are_equal(
    reference: str, hypothesis: str
) -> None:
    assert (word_errors(reference, hypothesis).errors == 0) == (reference == hypothesis)
    assert (character_errors(reference, hypothesis).errors == 0) == (reference == hypothesis)


def cost(found: ErrorCounts) -> int:
    """Return what sclite's alignment makes least: it is a distance, the number of errors is not."""
    return 4 * found.substitutions + 3 * (found.deletions + found.insertions)


@given(texts, texts)
def test_the_cost_is_the_same_in_both_directions(first: str, second: str) -> None:
    assert cost(word_errors(first, second)) == cost(word_errors(second, first))


@given(texts, texts, texts)
def test_the_cost_obeys_the_triangle_inequality(first: str, second: str, third: str) -> None:
    direct = cost(word_errors(first, third))
    assert direct <= cost(word_errors(first, second)) + cost(word_errors(second, third))


@given(texts, texts, texts, texts)
def test_texts_joined_never_cost_more_than_their_sum(
    reference: str, hypothesis: str, more_reference: str, more_hypothesis: str
) -> None:
    apart = word_errors(reference, hypothesis) + word_errors(more_reference, more_hypothesis)
    joined = word_errors(f"{reference} {more_reference}", f"{hypothesis} {more_hypothesis}")
    assert joined.references == apart.references
    assert cost(joined) <= cost(apart)


@given(st.lists(st.tuples(texts, texts), max_size=5))
def test_the_character_error_rate_of_all_is_that_of_their_sum(
    pairs: list[tuple[str, str]],
) -> None:
    together = character_error_rate([a for a, _ in pairs], [b for _, b in pairs])
    found = total(character_errors(a, b) for a, b in pairs)
    assert together == (found.rate if found.references or not found.errors else None)


@given(st.lists(counts, max_size=6), st.lists(counts, max_size=6))
def test_a_total_is_the_same_however_the_counts_are_grouped(
    first: list[ErrorCounts], second: list[ErrorCounts]
) -> None:
    assert total(first + second) == total(first) + total(second) == total(second + first)
    assert total(first + second).errors == sum(count.errors for count in first + second)


@given(texts, texts)
def test_an_alignment_gives_back_both_texts_and_the_counts(reference: str, hypothesis: str) -> None:
    runs = align_words(reference, hypothesis)
    assert " ".join(word for run in runs for word in run.reference) == reference
    assert " ".join(word for run in runs for word in run.hypothesis) == hypothesis
    by_operation = {
        operation: sum(
            max(len(run.reference), len(run.hypothesis))
            for run in runs
            if run.operation == operation
        )
        for operation in ("equal", "substitute", "delete", "insert")
    }
    assert ErrorCounts(*by_operation.values()) == word_errors(reference, hypothesis)
