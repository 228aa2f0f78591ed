"""Numbers in words and tidy transcripts, counted by hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl.text.plain import plain
from speechtl.text.spelling import Spelling, spell_numbers


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("I had 1,984 sheep.", "I had one thousand nine hundred and eighty-four sheep."),
        ("In 1984 and in 1905.", "In nineteen eighty-four and in nineteen oh five."),
        ("in 1900, 2005 and 2010", "in nineteen hundred, two thousand and five and twenty ten"),
        ("the 1980s and '60s", "the nineteen eighties and sixties"),
        ("£2.50, £1 and £0.01", "two pounds and fifty pence, one pound and one penny"),
        ("$1,000.01", "one thousand dollars and one cent"),
        ("at 10:30, 9:05 or 7:00", "at ten thirty, nine oh five or seven o'clock"),
        ("the 21st, the 101st", "the twenty-first, the one hundred and first"),
        ("5% or 3.5 %", "five percent or three point five percent"),
        ("agent 007", "agent zero zero seven"),
        ("a 5-year-old", "a five-year-old"),
        ("It costs 3.", "It costs three."),
    ],
)
def test_numbers_become_the_words_that_are_said(text: str, spelled: str) -> None:
    assert spell_numbers(text) == spelled


@pytest.mark.parametrize(
    "text",
    ["$5 million", "£0.5", "5'10", "the M25", "1/2 a pound", "0131 496 0000", "3-4", "9" * 20],
)
def test_what_could_be_read_in_several_ways_is_left(text: str) -> None:
    assert spell_numbers(text) == text


def test_a_transcript_is_made_tidy_and_each_change_is_named() -> None:
    text, changed = Spelling()("  cafe\u0301 \u200bau\tlait ")
    assert text == "caf\u00e9 au lait"
    assert changed == ("invisible", "composition", "spaces")
    assert Spelling()("e\u200b\u0301")[0] == "\u00e9", "what stood between is gone first"
    assert Spelling()("och aye") == ("och aye", ())


def test_punctuation_goes_and_dialect_words_stay() -> None:
    spelling = Spelling(punctuation="drop", case="lower")
    assert spelling("Och, it\u2019s \u2014 well \u2014 a wee half-hour; ye didnae ken?")[0] == (
        "och it's well a wee half-hour ye didnae ken"
    )
    assert spelling("...")[0] == "...", "a text of which nothing would be left stays"


def test_case_is_changed_where_it_is_asked_for() -> None:
    assert Spelling(case="upper")("Aye")[0] == "AYE"
    assert Spelling(case="keep")("Aye")[0] == "Aye"


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60))
def test_tidying_is_stable_and_loses_no_word(text: str) -> None:
    tidy, _ = Spelling()(text)
    assert Spelling()(tidy) == (tidy, ())
    assert plain(tidy) == plain(text)


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="0123456789.,:/-£$%st a", max_size=30))
def test_any_digits_are_spelled_or_left_without_an_error(text: str) -> None:
    assert isinstance(spell_numbers(text), str)
