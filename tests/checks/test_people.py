"""What is told of speakers, accents, licences, and stretches of one recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from speechtl.checks.people import people_faults, segment_faults
from speechtl.corpus import Corpus, Utterance
from speechtl.faults import Fault


def people(
    *given: tuple[str, str], licence: str | None = "CC0-1.0", sex: str | None = None
) -> Corpus:
    """Return a corpus of an utterance for each speaker and accent."""
    return Corpus(
        Utterance(
            id=f"utt-{number}",
            audio=Path(f"{number}.wav"),
            text="yes",
            speaker=speaker,
            accent=accent,
            licence=licence,
            sex=sex,
        )
        for number, (speaker, accent) in enumerate(given)
    )


def told(corpus: Corpus) -> list[tuple[str, str, str]]:
    found = people_faults(corpus, lambda each: f"m.jsonl:{each.id[4:]}")
    return [(fault.kind, fault.place, fault.message) for fault in found]


def of(*names: str, accent: str = "scottish") -> list[tuple[str, str]]:
    """Return two utterances of each speaker, with enough others for a verdict."""
    others = ("ann", "bob", "cat", "dan", "eve", "fay")
    return [(name, accent) for name in (*names, *others) for _ in range(2)]


def test_six_speakers_with_an_accent_and_a_licence_have_no_fault() -> None:
    assert told(people(*of())) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Gus", "gus"),
        ("gus", " gus"),
        ("gus b", "gus  B"),
        ("gus-b", "Gus_B"),
        ("gus b", "gusb"),
        ("spk 1", "SPK1"),
        ("1-12", "1_12"),
        ("Jos\u00e9", "Jose\u0301"),
        ("STRASSE", "straße"),
    ],
)
def test_names_that_differ_in_writing_alone_look_like_one(one: str, other: str) -> None:
    expected = f"speakers {one!r}, {other!r} look like one"
    assert told(people(*of(one, other))) == [("speaker-variants", "m.jsonl:0", expected)]


@pytest.mark.parametrize(
    ("one", "other"),
    [("1-12", "11-2"), ("1 1", "11"), ("spk1", "spk01"), ("ann b", "ann c"), ("p1", "p1.5")],
)
def test_names_that_differ_in_more_are_two(one: str, other: str) -> None:
    assert told(people(*of(one, other))) == []


def test_accents_that_look_like_one_are_told_at_the_first() -> None:
    corpus = people(*of(), *((f"{name} 2", "Scottish ") for name, _ in of()))
    expected = "accents 'scottish', 'Scottish ' look like one"
    assert told(corpus) == [("accent-variants", "m.jsonl:0", expected)]


def test_a_speaker_with_two_accents_is_told_once() -> None:
    found = told(people(*of(), ("ann", "irish"), ("ann", "irish")))
    assert found == [
        ("speaker-accents", "m.jsonl:0", "speaker 'ann' has 2: irish, scottish"),
        ("speakers-few", "m.jsonl:12", "accent 'irish' has 1 speaker: ann"),
    ]


def test_a_speaker_with_two_sexes_is_told_and_one_without_is_not() -> None:
    corpus = people(*of(), sex="f") + Corpus(
        [
            Utterance("new", Path("n.wav"), "yes", "cat", "scottish", licence="CC0-1.0", sex="m"),
            Utterance("old", Path("o.wav"), "yes", "dan", "scottish", licence="CC0-1.0"),
        ]
    )
    assert told(corpus) == [("speaker-sexes", "m.jsonl:4", "speaker 'cat' has 2: f, m")]


def test_ten_utterances_with_ten_speakers_are_told_and_nine_are_not() -> None:
    ten = [(f"speaker {chr(65 + number)}", "scottish") for number in range(10)]
    told_of = "10 utterances have as many speakers"
    assert told(people(*ten)) == [("speaker-each-own", "m.jsonl:0", told_of)]
    assert told(people(*ten[:9])) == []
    assert told(people(*ten, ten[0])) == []


def test_five_speakers_give_no_verdict_and_six_do() -> None:
    (found,) = told(people(*of()[:10]))
    few = "accent 'scottish' has 5 speakers: ann, bob, cat, dan, eve"
    assert found == ("speakers-few", "m.jsonl:0", few)
    assert told(people(*of()[:12])) == []


@pytest.mark.parametrize(
    ("licence", "terms"),
    [
        ("CC-BY-NC-4.0", "non-commercial"),
        ("cc by nc nd 4.0", "non-commercial, no derivatives"),
        ("CC BY-ND", "no derivatives"),
        ("Non-Commercial use only", "non-commercial"),
        ("NonCommercial", "non-commercial"),
        ("for research purposes", "research alone"),
        ("academic use only", "research alone"),
    ],
)
def test_a_licence_that_forbids_uses_is_told_with_its_terms(licence: str, terms: str) -> None:
    expected = f"{licence!r}, of 12 utterances: {terms}"
    assert told(people(*of(), licence=licence)) == [("licence-restricted", "m.jsonl:0", expected)]


@pytest.mark.parametrize(
    "licence",
    [
        "CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0", "Apache-2.0", "MIT", "ODbL-1.0", "AFL-3.0",
        "Academic Free License", "Educational Community License", "public domain, 2nd edition",
        "Landsberg", "sync",
    ],
)  # fmt: skip
def test_other_licences_are_no_fault(licence: str) -> None:
    assert told(people(*of(), licence=licence)) == []


def test_a_missing_licence_is_told_once_with_its_count() -> None:
    corpus = people(*of()) + Corpus(
        Utterance(f"new-{number}", Path("n.wav"), "yes", "ann", "scottish") for number in range(3)
    )
    assert told(corpus) == [("licence-missing", "m.jsonl:0", "3 of 15 utterances have none")]


# --- stretches of one recording


def stretches(*spans: tuple[float | None, float | None]) -> Sequence[Fault]:
    corpus = Corpus(
        Utterance(f"utt-{number}", Path("day.wav"), "yes", "ann", "scottish", start, end)
        for number, (start, end) in enumerate(spans)
    )
    return list(segment_faults(corpus, lambda each: f"m.jsonl:{each.id[4:]}"))


def test_stretches_that_follow_each_other_have_no_fault_in_any_order() -> None:
    assert stretches((0.0, 1.0), (2.0, 3.0), (1.0, 2.0), (2.96, 4.0)) == []


def test_a_stretch_that_is_there_twice_is_told_at_the_second() -> None:
    (fault,) = stretches((1.0, 2.0), (3.0, 4.0), (1.0, 2.0))
    assert (fault.kind, fault.place, fault.utterance) == ("segment-repeated", "m.jsonl:2", "utt-2")
    assert fault.message == "day.wav from 1 s to 2 s is utterance 'utt-0' (m.jsonl:0) too"


def test_a_whole_recording_that_is_in_two_rows_is_a_stretch_that_is_there_twice() -> None:
    (fault,) = stretches((None, None), (None, None))
    assert fault.kind == "segment-repeated"
    assert fault.message == "day.wav from 0 s to its end is utterance 'utt-0' (m.jsonl:0) too"


def test_stretches_that_overlap_by_more_than_a_twentieth_of_a_second_are_told() -> None:
    (fault,) = stretches((0.0, 1.0), (0.94, 2.0))
    assert (fault.kind, fault.place) == ("segment-overlap", "m.jsonl:1")
    assert fault.message == "day.wav from 0.94 s to 2 s overlaps with utterance 'utt-0' (m.jsonl:0)"
    assert stretches((0.0, 1.0), (0.96, 2.0)) == []


def test_a_long_stretch_overlaps_with_all_that_lie_in_it() -> None:
    faults = stretches((0.0, 30.0), (1.0, 2.0), (5.0, 6.0), (31.0, 32.0))
    assert [(fault.kind, fault.utterance) for fault in faults] == [
        ("segment-overlap", "utt-1"),
        ("segment-overlap", "utt-2"),
    ]
    assert all("overlaps with utterance 'utt-0'" in fault.message for fault in faults)


def test_a_recording_without_times_overlaps_with_its_stretches() -> None:
    (fault,) = stretches((None, None), (5.0, 6.0))
    assert (fault.kind, fault.utterance) == ("segment-overlap", "utt-1")
