"""Words, sounds and text that nobody said: lists counted by hand."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.conftest import heard, paired
from speechtl.errors import DataError
from speechtl.scoring import (
    Confusion,
    Hallucination,
    Silence,
    Sound,
    WordScore,
    read_pronunciations,
)
from speechtl.scoring.words import (
    LISTED,
    SOUND_WORDS,
    hallucination,
    repeats,
    silence,
    spelled,
    vocabulary,
)


def told(confusions: Iterable[Confusion]) -> list[tuple[str, str, int, int]]:
    return [(each.reference, each.heard, each.base, each.adapted) for each in confusions]


# --- confusions -----------------------------------------------------------------------------------

# Base: loch heard as lock 3 times, "wee" missing twice, "oh" added twice, cat heard as cut once.
# Adapted: loch as lock once, "wee" missing once, "oh" added 3 times, cat as cut 2 times, aye as I.
TEXTS = (
    ("the wee loch", "the lock", "the wee loch"),
    ("a wee loch", "a wee lock", "a lock"),
    ("my loch aye", "my lock aye", "my loch I"),
    ("the cat sat", "the cut sat", "the cut sat"),
    ("wee cat sat", "cat sat", "wee cut sat"),
    ("och aye", "och oh aye", "och oh aye"),
    ("och no", "och oh no", "och oh no oh"),
)


def test_what_was_taken_for_what_is_counted_before_and_after() -> None:
    found = vocabulary(paired(*TEXTS))
    assert told(found.confused_before) == [
        ("loch", "lock", 3, 1),
        ("", "oh", 2, 3),
        ("wee", "", 2, 1),
        ("cat", "cut", 1, 2),
    ]
    assert told(found.confused_after) == [
        ("", "oh", 2, 3),
        ("cat", "cut", 1, 2),
        ("aye", "i", 0, 1),
        ("loch", "lock", 3, 1),
        ("wee", "", 2, 1),
    ]


def test_mended_confusions_became_rarer_and_new_ones_more_frequent() -> None:
    found = vocabulary(paired(*TEXTS))
    assert told(found.mended_confusions) == [("loch", "lock", 3, 1), ("wee", "", 2, 1)]
    assert told(found.new_confusions) == [
        ("aye", "i", 0, 1),
        ("cat", "cut", 1, 2),
        ("", "oh", 2, 3),
    ]


def test_of_equally_frequent_confusions_words_for_words_come_first_and_then_spelling() -> None:
    found = vocabulary(
        paired(("b", "y", "b"), ("a", "", "a"), ("a", "z", "a"), ("a", "y", "a"), ("c", "c d", "c"))
    )
    assert told(found.confused_before) == [
        ("a", "y", 1, 0),
        ("a", "z", 1, 0),
        ("b", "y", 1, 0),
        ("", "d", 1, 0),
        ("a", "", 1, 0),
    ]


def test_lists_end_after_the_fifteen_most_frequent() -> None:
    rows = [(f"said{n:02d}", f"heard{n:02d}", f"said{n:02d}") for n in range(20)]
    found = vocabulary(paired(*rows, *rows[5:]))
    assert [each.reference for each in found.confused_before] == [
        f"said{n:02d}" for n in range(5, 5 + LISTED)
    ]
    assert len(found.mended) == LISTED == 15
    assert (found.confused_after, found.new_confusions, found.broken) == ((), (), ())


def test_a_substitution_is_no_deletion_beside_an_insertion() -> None:
    found = vocabulary(paired(("a b c", "a x c", "a c x")))
    assert told(found.confused_before) == [("b", "x", 1, 0)]
    # The other way costs no more here: c heard as x, and b missing.
    assert told(found.confused_after) == [("", "x", 0, 1), ("b", "", 0, 1)]


# --- words ----------------------------------------------------------------------------------------


def test_words_are_mended_and_broken_each_time_that_they_are_said() -> None:
    found = vocabulary(paired(*TEXTS))
    # loch: wrong 3 times before; once after, where it was wrong before too.
    # wee: missing twice before, both times there after; there before and missing after once.
    assert found.mended == (
        WordScore(word="loch", said=3, base_wrong=3, adapted_wrong=1, mended=2, broken=0),
        WordScore(word="wee", said=3, base_wrong=2, adapted_wrong=1, mended=2, broken=1),
    )
    assert found.broken == (
        WordScore(word="aye", said=2, base_wrong=0, adapted_wrong=1, mended=0, broken=1),
        WordScore(word="cat", said=2, base_wrong=1, adapted_wrong=2, mended=0, broken=1),
    )


def test_a_word_that_is_said_twice_in_an_utterance_is_heard_twice() -> None:
    found = vocabulary(paired(("no no yes", "no now yes", "no no yes")))
    assert found.mended == (
        WordScore(word="no", said=2, base_wrong=1, adapted_wrong=0, mended=1, broken=0),
    )


def test_a_word_mended_as_often_as_broken_is_in_neither_list() -> None:
    found = vocabulary(paired(("och", "x", "och"), ("och", "och", "x")))
    assert found.mended == found.broken == ()


def test_nothing_said_and_nothing_heard_have_no_words() -> None:
    for rows in ((), (("", "", ""),), (("...", "", "!"),)):
        found = vocabulary(paired(*rows))
        assert (found.confused_before, found.mended, found.sounds) == ((), (), ())
    heard_out_of_nothing = vocabulary(paired(("", "thank you", "")))
    assert told(heard_out_of_nothing.confused_before) == [("", "thank", 1, 0), ("", "you", 1, 0)]


# --- sounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "vowels", "consonants"),
    [
        ("loch", "o", "l ch"),
        ("wee", "ee", "w"),
        ("make", "a_e", "m k"),
        ("home", "o_e", "h m"),
        ("the", "e", "th"),
        ("night", "igh", "n t"),
        ("knight", "igh", "kn t"),
        ("thought", "ough", "th t"),
        ("daughter", "augh er", "d t"),
        ("write", "i_e", "wr t"),
        ("church", "ur", "ch"),
        ("bird", "ir", "b d"),
        ("house", "ou", "h s"),
        ("boy", "oy", "b"),
        ("yes", "e", "y s"),
        ("my", "y", "m"),
        ("judge", "u", "j dge"),
        ("watch", "a", "w tch"),
        ("think", "i", "th nk"),
        ("queen", "ee", "qu n"),
        ("butter", "u er", "b t"),
        ("seeing", "ee i", "s ng"),
        ("beautiful", "eau i u", "b t f l"),
        ("more", "ore", "m"),
        ("heid", "ei", "h d"),
        ("don't", "o", "d n t"),
        # A vowel stays beside another that is spelled with the same letter and a silent e.
        ("cascade", "a a_e", "c s d"),
        # No e is said at the end of these, and none makes the vowel another.
        ("little", "i", "l t"),
        ("horse", "or", "h s"),
        ("aye", "ay", ""),
        ("there", "ere", "th"),
        # The plural of one with a silent e has the same vowel.
        ("makes", "a_e", "m k s"),
        # -ing is a syllable of its own.
        ("going", "o i", "g ng"),
        ("being", "e i", "b ng"),
        # An r before a vowel is a consonant.
        ("very", "e y", "v r"),
        ("story", "o y", "s t r"),
        # The Scots negation.
        ("didnae", "i ae", "d n"),
    ],
)  # fmt: skip
def test_a_word_has_the_sounds_that_it_is_spelled_with(
    word: str, vowels: str, consonants: str
) -> None:
    found = spelled(word)
    assert {sound for kind, sound in found if kind == "vowel"} == set(vowels.split())
    assert {sound for kind, sound in found if kind == "consonant"} == set(consonants.split())


def test_capital_letters_are_the_same_sounds() -> None:
    """The normaliser `none` leaves them."""
    assert spelled("The") == spelled("the")
    assert spelled("LOCH") == spelled("loch")


def sounds(found: Sequence[Sound]) -> dict[tuple[str, str], tuple[int, int, int, int, int]]:
    return {
        (each.kind, each.sound): (
            each.said, each.base_wrong, each.adapted_wrong, each.mended, each.broken,
        )
        for each in found
    }  # fmt: skip


def test_a_sound_is_told_of_from_ten_words_on_that_have_it() -> None:
    """Ten words with "oo", of which 5 were mended and 1 broken; nine with "ee", all mended."""
    rows = [
        *[("moon", "x", "moon")] * 3,
        *[("noon", "x", "noon")] * 2,
        *[("moon", "moon", "x")],
        *[("moon", "x", "x")] * 2,
        *[("noon", "noon", "noon")] * 2,
        *[("feet", "x", "feet")] * (SOUND_WORDS - 1),
    ]
    found = vocabulary(paired(*rows))
    assert found.sounds_by == "spelling"
    assert sounds(found.sounds) == {
        ("vowel", "oo"): (10, 7, 3, 5, 1),
        ("consonant", "n"): (10, 7, 3, 5, 1),
    }
    assert found.sounds[1].examples == ("moon", "noon")  # both by 2 more than were broken
    (more,) = (
        each
        for each in vocabulary(paired(*rows, ("tree", "tree", "tree"))).sounds
        if each.sound == "ee"
    )
    assert (more.said, more.mended, more.examples) == (10, 9, ("feet",))


def test_a_word_with_a_sound_twice_counts_once_and_sounds_are_ordered_by_what_was_mended() -> None:
    rows = [("pop", "x", "pop")] * 10 + [("sip", "x", "sip")] * 11
    found = vocabulary(paired(*rows)).sounds
    assert [(each.kind, each.sound, each.mended) for each in found] == [
        ("consonant", "p", 21),
        ("consonant", "s", 11),
        ("vowel", "i", 11),
        ("vowel", "o", 10),
    ]


def test_examples_of_a_sound_are_the_four_words_that_were_mended_most() -> None:
    words = ("toad", "boat", "goat", "load", "coat")
    rows = [(word, "x", word) for number, word in enumerate(words) for _ in range(number + 1)]
    rows += [("road", "road", "x")] * 2
    (oa,) = (each for each in vocabulary(paired(*rows)).sounds if each.sound == "oa")
    assert oa.examples == ("coat", "load", "goat", "boat")
    assert (oa.said, oa.mended, oa.broken) == (17, 15, 2)


def test_sounds_that_were_mended_as_often_as_broken_are_not_told_of() -> None:
    rows = [("moon", "x", "moon"), ("moon", "moon", "x")] * 10
    assert vocabulary(paired(*rows)).sounds == ()


def test_words_are_grouped_by_their_phones_where_there_are_pronunciations() -> None:
    known = {"bough": ("B", "AW"), "now": ("N", "AW"), "cow": ("K", "AW")}
    rows = [(word, "x", word) for word in ("bough", "now", "cow") for _ in range(5)]
    rows += [("how", "x", "how")] * 20  # has no pronunciation
    found = vocabulary(paired(*rows), pronunciations=known)
    assert found.sounds_by == "phone"
    assert sounds(found.sounds) == {("vowel", "AW"): (15, 15, 0, 15, 0)}
    again = vocabulary(paired(*rows, *rows), pronunciations=known)
    assert sounds(again.sounds) == {
        ("vowel", "AW"): (30, 30, 0, 30, 0),
        **{("consonant", phone): (10, 10, 0, 10, 0) for phone in "BKN"},
    }
    assert vocabulary(paired(*rows), pronunciations={}).sounds == ()


def test_a_word_with_a_phone_twice_counts_once() -> None:
    rows = [("pop", "x", "pop")] * 10
    found = vocabulary(paired(*rows), pronunciations={"pop": ("P", "AA", "P")})
    assert sounds(found.sounds) == {
        ("consonant", "P"): (10, 10, 0, 10, 0),
        ("vowel", "AA"): (10, 10, 0, 10, 0),
    }
    assert [each.examples for each in found.sounds] == [("pop",), ("pop",)]


# --- pronunciations -------------------------------------------------------------------------------


def test_a_dictionary_has_comments_variants_and_stress(tmp_path: Path) -> None:
    path = tmp_path / "cmudict.dict"
    path.write_text(
        ";;; a comment\n"
        "LOCH  L AA1 K\n"
        "loch(2) L AA1 HH  # as in Scotland\n"
        "\n"
        "# another comment\n"
        "tomato T AH0 M EY1 T OW2\n"
        "'tis T IH1 Z\n",
        encoding="utf-8",
    )
    assert read_pronunciations(path) == {
        "loch": ("L", "AA", "K"),
        "tomato": ("T", "AH", "M", "EY", "T", "OW"),
        "'tis": ("T", "IH", "Z"),
    }


def test_lines_without_a_phone_are_told_with_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "own.dict"
    path.write_text("loch L AA1 K\nwee\n;;; x\naye # AY1\n", encoding="utf-8")
    with pytest.raises(DataError, match="no pronunciation dictionary") as caught:
        read_pronunciations(path)
    assert caught.value.faults == (
        "own.dict:2: 'wee' has no phone",
        "own.dict:4: 'aye' has no phone",
    )


def test_a_dictionary_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.dict: cannot be read"):
        read_pronunciations(tmp_path / "missing.dict")
    (tmp_path / "latin.dict").write_bytes("déjà D EY1\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.dict: cannot be read"):
        read_pronunciations(tmp_path / "latin.dict")
    with pytest.raises(DataError, match="cannot be read"):
        read_pronunciations(tmp_path)


# --- text that nobody said ------------------------------------------------------------------------

RUN = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.mark.parametrize("length", range(1, 9))
def test_up_to_eight_words_three_times_in_a_row_are_a_repetition(length: int) -> None:
    run = RUN[:length]
    assert repeats(run * 3)
    assert repeats(["well", *run * 3, "then"])
    assert repeats(["well", *run * 4, *run[:-1]])
    assert not repeats(run * 2)
    assert not repeats([*run * 2, "well", *run])
    assert length == 1 or not repeats([*run * 2, *run[:-1]])


def test_longer_runs_and_words_that_come_again_later_are_none() -> None:
    assert not repeats(RUN * 3)
    assert not repeats(["the", "cat", "the", "dog", "the", "cow", "the", "hen"])
    assert not repeats([])
    assert not repeats(["no", "no"])


def test_what_was_said_as_often_is_no_repetition() -> None:
    assert not repeats(["no", "no", "no"], ["no", "no", "no", "said", "he"])
    assert not repeats(["now", "now", "now"], ["no", "no", "no"])
    assert repeats(["no", "no", "no", "no"], ["no", "no", "no"])
    assert repeats(["no", "no", "no"], ["no", "no"])
    assert not repeats(["a", "b", "a", "b", "a", "b"], ["well", "a", "b", "a", "b", "a", "b"])
    assert repeats(["a", "b", "a", "b", "a", "b"], ["a", "b", "a", "b", "a"])


def times_in_a_row(words: Sequence[str], length: int) -> int:
    """Return the same as the module, the long way."""
    most = 0
    for first in range(len(words) - length + 1):
        run, times = words[first : first + length], 0
        while words[first + times * length :][:length] == run:
            times += 1
        most = max(most, times)
    return most


letters = st.lists(st.sampled_from("ab"), max_size=14)


@given(letters, letters)
def test_repetitions_are_those_that_a_plain_search_finds(
    heard_: list[str], said: list[str]
) -> None:
    wanted = any(
        times_in_a_row(heard_, length) >= max(3, times_in_a_row(said, length) + 1)
        for length in range(1, 9)
    )
    assert repeats(heard_, said) == wanted


def test_a_hundred_thousand_words_are_searched_in_two_seconds() -> None:
    words = RUN * 11_112
    started = time.process_time()
    assert not repeats(words)
    assert repeats([*words, "x", "x", "x"])
    assert time.process_time() - started < 2


def test_signs_of_hallucination_are_counted() -> None:
    found = paired(
        ("the wee cat", "the wee wee wee cat", "the wee cat"),  # 2 inserted, repeated
        ("no no no", "no no no", "no no no no"),  # said as often; one more after
        ("...", "thank you", ""),  # 2 out of nothing
        ("", "", "you"),
        ("och aye", "och", "oh aye"),
    )
    assert hallucination(found, found.base) == Hallucination(
        insertion_rate=4 / 8, repetitions=1, repeated=("u0",), without_reference=1
    )
    assert hallucination(found, found.adapted) == Hallucination(
        insertion_rate=2 / 8, repetitions=1, repeated=("u1",), without_reference=1
    )


def test_the_first_fifteen_repeating_utterances_are_named_and_all_are_counted() -> None:
    found = paired(*[("aye", "aye aye aye", "aye")] * 20)
    told_of = hallucination(found, found.base)
    assert told_of.repetitions == 20
    assert told_of.repeated == tuple(f"u{number}" for number in range(LISTED))


def test_no_rate_of_insertions_is_told_where_nothing_was_said() -> None:
    found = paired(("", "you", ""))
    assert hallucination(found, found.base).insertion_rate is None
    nothing = paired()
    assert hallucination(nothing, nothing.base) == Hallucination(
        insertion_rate=None, repetitions=0, repeated=(), without_reference=0
    )


def test_what_is_heard_in_silence_is_told_with_its_recording() -> None:
    rows = [heard("s1", "", ""), heard("s2", "", " Thank  you. "), heard("s3", "", "you")]
    assert silence(rows) == Silence(
        recordings=3, with_words=2, words=3, heard=(("s2", "Thank you."), ("s3", "you"))
    )
    assert silence([]) == Silence(recordings=0, with_words=0, words=0, heard=())
