"""Which tiers are taken, and how words become utterances."""

from __future__ import annotations

import pytest

from speechtl.sources.rows import Options
from speechtl.sources.tiers import Stretch, Tally, Tier, chosen, is_silence, spoken


def tier(name: str, *labels: tuple[float, float, str], speaker: str | None = None) -> Tier:
    found = [Stretch(line, *label) for line, label in enumerate(labels, 1)]
    return Tier(name=name, stretches=found, speaker=speaker)


def words(count: int, *, length: float, gap: float = 0.0) -> list[tuple[float, float, str]]:
    step = length + gap
    return [(at * step, at * step + length, f"w{at}") for at in range(count)]


def texts(found: list[Stretch]) -> list[str]:
    return [each.text for each in found]


@pytest.mark.parametrize("label", ["sp", "SIL", " <p:> ", "#", "(.)", "(0.5)", "(pause 0.45)"])
def test_marks_of_silence_are_known(label: str) -> None:
    assert is_silence(label)


@pytest.mark.parametrize("label", ["<LAUGH>", "xxx", "spn", "[noise]", "(aye)", "silence please"])
def test_what_else_is_heard_is_no_silence(label: str) -> None:
    assert not is_silence(label)


def test_words_are_joined_unless_a_pause_of_half_a_second_is_between_them() -> None:
    layer = tier("words", (0, 1, "a"), (1.49, 2, "b"), (2.5, 3, "c"))
    assert [(each.start, each.end, each.text) for each in spoken(layer, Tally())] == [
        (0, 2, "a b"), (2.5, 3, "c"),
    ]  # fmt: skip


def test_speech_without_a_pause_is_cut_below_half_a_minute_at_its_longest_pause() -> None:
    # 0.9 s a word and 0.1 s between them, but 0.3 s before the word 20: 24.9 s are 25 words.
    labels = [
        (start + (0.2 if at >= 20 else 0), end + (0.2 if at >= 20 else 0), text)
        for at, (start, end, text) in enumerate(words(60, length=0.9, gap=0.1))
    ]
    found = spoken(tier("words", *labels), Tally())
    assert all(each.end - each.start <= 25 for each in found)
    assert found[1].text.startswith("w20 ")
    assert " ".join(texts(found)).split() == [text for *_, text in labels]


def test_a_tier_of_touching_single_words_is_joined_whatever_its_name() -> None:
    tally = Tally()
    assert texts(spoken(tier("anna", *words(20, length=0.5)), tally)) == [
        " ".join(f"w{at}" for at in range(20))
    ]
    assert any("'anna'" in line for line in tally.lines())


def test_a_list_of_words_that_is_read_stays_words() -> None:
    assert len(spoken(tier("anna", *words(30, length=0.5, gap=0.2)), Tally())) == 30


def test_a_word_whose_times_are_wrong_stands_alone() -> None:
    found = spoken(tier("words", (0, 1, "a"), (1, 1, "b"), (1.1, 2, "c")), Tally())
    assert sorted(texts(found)) == ["a c", "b"]


def test_a_speaker_that_the_file_names_comes_before_a_tier_s_name() -> None:
    (one,) = chosen([tier("x - words", (0, 1, "a"), speaker="anna")], Options(), Tally())
    assert one.speaker == "anna"


def test_generic_names_are_speakers_only_where_there_are_several() -> None:
    label = (0.0, 1.0, "a")
    (alone, empty) = (tier("Speaker 1", label), tier("Speaker 2"))
    assert [each.speaker for each in chosen([alone, empty], Options(), Tally())] == [None]
    both = chosen([alone, tier("Speaker 2", label)], Options(), Tally())
    assert [each.speaker for each in both] == ["Speaker 1", "Speaker 2"]
