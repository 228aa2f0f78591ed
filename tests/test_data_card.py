"""What a data card tells of a corpus, counted by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechtl import audio
from speechtl.checks.recordings import AudioFacts, AudioFailure, UtteranceAudio
from speechtl.corpus import Corpus, Utterance
from speechtl.data_card import Change, DataCard, Dropped, data_card, licence_terms
from speechtl.faults import Fault
from speechtl.splits import leakage_report
from speechtl.text import normaliser


def utterance(number: int, **fields: Any) -> Utterance:
    """Return an utterance whose recording is nowhere, of one second for each of its number."""
    given: dict[str, Any] = {
        "id": f"u{number}",
        "audio": Path(f"/gone/u{number}.wav"),
        "text": "the cat sat",
        "speaker": "ann",
        "accent": "scottish",
        "start": 1.0,
        "end": 1.0 + number,
        "split": "train",
        "licence": "CC0-1.0",
    }
    return Utterance(**(given | fields))


def heard(**fields: Any) -> UtteranceAudio:
    given: dict[str, Any] = {
        "container": "WAV",
        "sample_rate": 16_000,
        "channels": 1,
        "frames": 16_000,
        "digest": "0",
        "peak": 0.5,
        "rms_db": -25.0,
        "loudest_db": -12.0,
        "speech_db": -20.0,
        "clipped": 0,
        "offset": 0.0,
        "snr_db": 30.0,
        "leading_silence_s": 0.1,
        "trailing_silence_s": 0.2,
        "bandwidth_hz": 7900.0,
        "mix_share": 1.0,
    }
    return UtteranceAudio(**(given | fields))


def card(
    utterances: Sequence[Utterance],
    audio: Mapping[str, AudioFacts] | None = None,
    *,
    faults: Sequence[Fault] = (),
    dropped: Sequence[Dropped] = (),
    changes: Sequence[Change] = (),
    notes: Sequence[str] = (),
    named: bool = True,
) -> DataCard:
    corpus = Corpus(utterances)
    return data_card(
        corpus,
        source="recordings/field.csv",
        kind="table",
        audio=audio or {},
        faults=faults,
        dropped=dropped,
        changes=changes,
        leakage=leakage_report(
            corpus, duration=lambda each: 1.0, digest=lambda each: each.id.encode()
        ),
        notes=notes,
        named=named,
    )


# --- how much -------------------------------------------------------------------------------------


def test_minutes_are_summed_for_the_whole_each_speaker_accent_split_and_licence() -> None:
    made = card(
        [
            utterance(30, speaker="bob", accent="welsh", split="test", licence=None),
            utterance(60),
            utterance(90, split="dev"),
        ]
    )
    assert (made.utterances, made.minutes) == (3, 3.0)
    assert [(each.speaker, each.utterances, each.minutes) for each in made.speakers] == [
        ("ann", 2, 2.5),
        ("bob", 1, 0.5),
    ]
    assert [(each.accent, each.minutes, each.minutes_by_split) for each in made.accents] == [
        ("scottish", 2.5, (("train", 1.0), ("dev", 1.5))),
        ("welsh", 0.5, (("test", 0.5),)),
    ]
    assert [(each.licence, each.utterances, each.minutes) for each in made.licences] == [
        ("CC0-1.0", 2, 2.5),
        (None, 1, 0.5),
    ]


def test_a_speaker_has_all_accents_sexes_and_splits_that_the_corpus_gives() -> None:
    made = card(
        [
            utterance(1, sex="female", split="test"),
            utterance(2, accent="irish", sex="f"),
            utterance(3, speaker="bob"),
        ]
    )
    ann = made.speakers[made.speakers[0].speaker != "ann"]
    assert ann.accents == ("irish", "scottish")
    assert ann.sexes == ("f", "female")
    assert ann.splits == ("train", "test")
    assert made.sexes == (("", 1), ("f", 1), ("female", 1))


def test_levels_and_noise_of_a_speaker_are_medians_of_what_is_known() -> None:
    snr = (10.0, None, 20.0, 60.0)
    level = (-30.0, -20.0, -10.0, -25.0)
    facts: dict[str, AudioFacts] = {
        f"u{number}": heard(snr_db=one, speech_db=other)
        for number, (one, other) in enumerate(zip(snr, level, strict=True), start=1)
    }
    facts["u5"] = heard(snr_db=None)
    people = [*(utterance(number) for number in range(1, 5)), utterance(5, speaker="bob")]
    found = {each.speaker: each for each in card(people, facts).speakers}
    assert (found["ann"].snr_db, found["ann"].level_dbfs) == (20.0, -22.5)
    assert (found["bob"].snr_db, found["bob"].level_dbfs) == (None, -20.0)


def test_a_length_is_that_of_the_times_then_that_of_what_was_measured() -> None:
    whole = utterance(2, start=None, end=None)
    facts = {"u1": heard(frames=160_000), "u2": heard(frames=48_000)}
    made = card([utterance(1), whole], facts)
    assert made.lengths is not None
    assert (made.lengths.quantiles_s.least, made.lengths.quantiles_s.most) == (1.0, 3.0)


def test_what_was_cut_off_and_copied_has_the_length_of_its_copy(tmp_path: Path) -> None:
    path = tmp_path / "u1.wav"
    audio.write(path, np.zeros(24_000, np.float32))
    copied = utterance(1, audio=path, start=None, end=None)
    cut = [Change("u1", "silence", "0.00 to 3.00 s", "0.75 to 2.25 s")]
    made = card([copied], {"u1": heard(frames=48_000)}, changes=cut)
    assert made.minutes == pytest.approx(1.5 / 60, abs=1e-4)
    assert made.recordings.cut == 1


def test_no_recording_is_opened_where_its_length_is_known() -> None:
    made = card([utterance(1, start=None, end=None)], {"u1": heard()})
    assert not made.examples[0].audio.exists()
    assert made.minutes == pytest.approx(1 / 60, abs=1e-4)


def test_an_empty_corpus_has_a_card() -> None:
    made = card([])
    assert (made.utterances, made.minutes, made.lengths, made.text) == (0, 0.0, None, None)
    assert json.loads(made.to_json())["speakers"] == []


# --- lengths --------------------------------------------------------------------------------------


def test_lengths_are_told_by_their_quantiles_and_what_is_longer_than_whisper_hears() -> None:
    lengths = card([utterance(number) for number in range(1, 42)]).lengths
    assert lengths is not None
    quantiles = lengths.quantiles_s
    assert (quantiles.least, quantiles.median, quantiles.most) == (1, 21, 41)
    assert (quantiles.low, quantiles.high) == (3, 39)
    assert lengths.mean_s == 21
    assert lengths.over_30_s == 11


def test_the_histogram_counts_each_utterance_where_its_length_lies() -> None:
    ends = [1.0 + tenth / 10 for tenth in (5, 5, 6, 7, 7, 7)]
    made = card([utterance(number, end=end) for number, end in enumerate(ends)])
    assert made.lengths is not None
    histogram = made.lengths.histogram
    assert histogram.edges == (0.5, 0.6, 0.7)
    assert histogram.counts == (2, 4), "a value on the last edge belongs below it"
    assert (histogram.open_low, histogram.open_high) == (False, False)


def test_what_lies_far_off_is_counted_in_the_last_bar_and_said_to_be() -> None:
    lengths = [*np.linspace(1, 5, 999), 4000.0]
    made = card([utterance(number, end=1 + end) for number, end in enumerate(lengths)])
    assert made.lengths is not None
    histogram = made.lengths.histogram
    assert sum(histogram.counts) == 1000
    assert histogram.edges[-1] < 6
    assert histogram.open_high
    assert not histogram.open_low
    assert 15 < len(histogram.counts) < 30


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.01, 1e4), min_size=1, max_size=40))
def test_a_histogram_has_all_utterances_and_rising_edges(lengths: list[float]) -> None:
    made = card([utterance(n, start=0.0, end=length) for n, length in enumerate(lengths)])
    assert made.lengths is not None
    histogram = made.lengths.histogram
    assert sum(histogram.counts) == len(lengths)
    assert len(histogram.edges) == len(histogram.counts) + 1 <= 60
    assert list(histogram.edges) == sorted(set(histogram.edges))
    assert histogram.open_low or histogram.edges[0] <= min(lengths) + 1e-6
    assert histogram.open_high or histogram.edges[-1] >= max(lengths) - 1e-6


# --- text -----------------------------------------------------------------------------------------


def test_words_and_sentences_are_counted_by_hand() -> None:
    made = card(
        [
            utterance(10, text="The cat sat."),
            utterance(10, id="b", text="the cat, sat", speaker="bob"),
            utterance(10, id="c", text="Don't!", speaker="cat"),
            utterance(30, id="d", text="don't", speaker="cat"),
        ]
    ).text
    assert made is not None
    assert (made.words, made.different_words, made.single_words) == (8, 4, 0)
    assert made.words_per_minute == 8.0
    assert made.frequent_words == (("cat", 2), ("don't", 2), ("sat", 2), ("the", 2))
    assert (made.sentences, made.shared_sentences, made.shared_utterances) == (2, 1, 2)
    assert [(each.sentence, each.utterances, each.speakers) for each in made.most_repeated] == [
        ("don't", 2, 1),
        ("the cat sat", 2, 2),
    ]


def test_a_word_that_is_said_once_is_counted_among_the_different_ones() -> None:
    made = card([utterance(60, text="a rose is a rose"), utterance(60, id="b", text="…")]).text
    assert made is not None
    assert (made.different_words, made.single_words, made.sentences) == (3, 1, 1)
    assert made.most_repeated == ()


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="aB9'’ .,?!-é\t", max_size=12))
def test_words_are_those_of_the_plain_form_whatever_the_text(text: str) -> None:
    plain = normaliser("plain")(text)
    made = card([utterance(1, text=text), utterance(2, text=plain)]).text
    assert made is not None
    assert made.words == 2 * len(plain.split())
    assert made.sentences == bool(plain)


def test_the_case_of_transcripts_is_told() -> None:
    texts = ("a b", "A B", "A b", "Ab C", "…", "12")
    made = card([utterance(number, text=text) for number, text in enumerate(texts, 1)]).text
    assert made is not None
    assert (made.lower, made.upper, made.mixed) == (1, 1, 2)


def test_characters_are_counted_as_they_stand_and_unusual_ones_are_named() -> None:
    made = card(
        [
            utterance(1, text="Aa!"),
            utterance(2, text="café é"),
            utterance(3, text="é\u200b"),
        ]
    ).text
    assert made is not None
    found = {each.character: each for each in made.characters}
    assert sum(each.count for each in made.characters) == 11
    assert (found["a"].count, found["A"].count, found["a"].usual) == (2, 1, True)
    accented = found["é"]
    assert (accented.code, accented.name) == ("U+00E9", "LATIN SMALL LETTER E WITH ACUTE")
    assert (accented.count, accented.utterances, accented.example) == (3, 2, "u2")
    assert not accented.usual
    assert found["\u200b"].name == "ZERO WIDTH SPACE"
    assert made.characters[0] == accented, "the most frequent stands first"


def test_the_longest_transcript_is_told() -> None:
    made = card([utterance(1, text="a b c"), utterance(2, text="abc def")]).text
    assert made is not None
    longest = made.longest
    assert (longest.utterance, longest.characters, longest.words) == ("u2", 7, 2)


# --- recordings -----------------------------------------------------------------------------------


def test_recordings_are_counted_by_what_they_are_and_what_is_wrong_with_them() -> None:
    facts: dict[str, AudioFacts] = {
        "u1": heard(sample_rate=48_000, container="FLAC", channels=2, clipped=3),
        "u2": heard(snr_db=4.0, bandwidth_hz=3900.0, clipped=1),
        "u3": heard(snr_db=None, speech_db=-55.0, trailing_silence_s=2.5),
        "u4": AudioFailure("audio-truncated", "is cut off"),
    }
    made = card([utterance(number) for number in range(1, 5)], facts).recordings
    assert made.heard == 3
    assert made.sample_rates_hz == ((16_000, 2), (48_000, 1))
    assert made.containers == (("WAV", 2), ("FLAC", 1))
    assert made.channels == ((1, 2), (2, 1))
    assert made.clipped == 1, "one sample of 16,000 is none of ten thousand"
    assert (made.noisy, made.narrow, made.quiet, made.snr_unknown) == (1, 1, 1, 1)
    assert made.long_pauses == 1
    assert made.snr_db is not None
    assert (made.snr_db.least, made.snr_db.median, made.snr_db.most) == (4.0, 17.0, 30.0)
    assert made.level_dbfs is not None
    assert (made.level_dbfs.least, made.level_dbfs.median) == (-55.0, -20.0)


def test_what_was_not_measured_has_no_levels() -> None:
    made = card([utterance(1)]).recordings
    assert (made.heard, made.level_dbfs, made.snr_db, made.snr_histogram) == (0, None, None, None)


# --- what is wrong --------------------------------------------------------------------------------


def test_only_faults_that_were_neither_left_out_nor_mended_stay() -> None:
    gone = Fault("audio-silent", "a.csv:2", "nothing", "b")
    unread = Fault("malformed", "a.csv:9", "no row")
    faults = [
        unread,
        gone,
        Fault("audio-clipped", "a.csv:2", "much", "b"),
        Fault("audio-clipped", "a.csv:3", "some", "u1"),
        Fault("text-digits", "a.csv:4", "42", "u2"),
        Fault("split-speaker", "splits train and test", "speaker 'old' is in both"),
        Fault("speakers-few", "a.csv:1", "accent 'scottish' has 1 speaker"),
    ]
    dropped = [
        Dropped(each.utterance, each.place, each.kind, each.message) for each in (unread, gone)
    ]
    made = card([utterance(1), utterance(2)], faults=faults, dropped=dropped)
    assert [(each.kind, each.grade, each.count) for each in made.faults] == [
        ("audio-clipped", "warning", 1),
        ("speakers-few", "warning", 1),
        ("text-digits", "warning", 1),
    ]
    assert (made.errors, made.warnings, made.left_out) == (0, 3, 2)
    assert made.faults[0].examples[0].utterance == "u1"
    assert [(each.kind, each.count) for each in made.dropped] == [
        ("audio-silent", 1),
        ("malformed", 1),
    ]


def test_what_the_splits_share_now_is_an_error_that_stays() -> None:
    made = card([utterance(1), utterance(2, split="test", text="another")])
    assert [(each.kind, each.grade) for each in made.faults if each.grade == "error"] == [
        ("split-speaker", "error")
    ]
    assert made.errors == 1


def test_the_faults_of_the_first_of_two_utterances_with_one_id_stay() -> None:
    made = card(
        [utterance(1)],
        faults=[Fault("text-digits", "a.csv:2", "42", "u1")],
        dropped=[Dropped("u1", "a.csv:3", "id-repeated", "as on line 2")],
    )
    assert made.warnings == 1


@pytest.mark.parametrize(("name", "stays"), [("silence", 0), ("case", 1)])
def test_long_pauses_are_no_fault_once_silence_was_cut_off(name: str, stays: int) -> None:
    made = card(
        [utterance(1)],
        {"u1": heard()},
        faults=[Fault("audio-pauses", "a.csv:2", "3.0 s", "u1")],
        changes=[Change("u1", name, "a", "b")],
    )
    assert made.warnings == stays


def test_of_many_faults_all_are_counted_and_five_are_shown() -> None:
    faults = [Fault("text-digits", f"a.csv:{n}", str(n), f"u{n}") for n in range(9)]
    (group,) = card([utterance(n) for n in range(1, 9)], faults=faults).faults
    assert group.count == 9
    assert [each.message for each in group.examples] == ["0", "1", "2", "3", "4"]
    assert group.remedy
    assert group.meaning == "numbers are not spelled"


def test_what_no_split_has_is_left_out_for_a_reason_of_its_own() -> None:
    left = [Dropped("u9", "a.csv", "split", "train has the minutes that were asked for")]
    (group,) = card([utterance(1)], dropped=left).dropped
    assert (group.kind, group.count, group.remedy) == ("split", 1, "")
    assert group.examples[0].message == "train has the minutes that were asked for"


def test_changes_are_counted_by_what_was_done_with_the_clearest_examples_first() -> None:
    changes = [
        Change("u1", "numbers+case", "A 1", "a one"),
        Change("u2", "case", "B", "b"),
        Change("u1", "silence", "0.00 to 3.00 s", "1.00 to 2.00 s"),
        Change("u3", "case", "C", "c"),
    ]
    made = card([utterance(n) for n in (1, 2, 3)], changes=changes)
    assert made.changed == 3
    assert [(each.name, each.count) for each in made.changes] == [
        ("case", 3),
        ("numbers", 1),
        ("silence", 1),
    ]
    assert [each.utterance for each in made.changes[0].examples] == ["u2", "u3", "u1"]


def test_rows_of_what_was_done_are_as_they_were_given() -> None:
    assert Change("u", "case", "A", "a").row() == {
        "utterance": "u",
        "name": "case",
        "before": "A",
        "after": "a",
    }
    assert Dropped(None, "a.csv:2", "malformed", "no row").row() == {
        "utterance": None,
        "place": "a.csv:2",
        "kind": "malformed",
        "message": "no row",
    }


# --- what is told, and what is not ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("licence", "letters"),
    [
        ("CC-BY-4.0", ""),
        ("CC-BY-NC-SA-4.0", "NC SA"),
        ("cc by-nc-nd 3.0", "NC ND"),
        ("Non-commercial use only", "NC"),
        ("noncommercial", "NC"),
        ("ShareAlike", "SA"),
        ("for academic use", "research"),
        ("Academic Free License", ""),
        ("Sample licence of Nancy", ""),
        (None, ""),
    ],
)
def test_a_licences_letters_are_said_in_words(licence: str | None, letters: str) -> None:
    told = licence_terms(licence)
    assert len(told) == len(letters.split())
    for letter, words in zip(letters.split(), told, strict=True):
        assert letter in words


def test_a_card_without_names_tells_nothing_of_the_source() -> None:
    name = "jane-doe"
    made = card(
        [utterance(1, id="speaker-1-0001", speaker="speaker-1", sex="female")],
        {"speaker-1-0001": heard()},
        faults=[Fault("text-digits", f"{name}.csv:2", name, f"{name}-1")],
        dropped=[Dropped(f"{name}-2", f"{name}.csv:3", "text-empty", name)],
        changes=[Change(f"{name}-1", "case", f"{name} A", f"{name} a")],
        notes=[f"speaker: the folder's name ({name})", "pseudonyms: voices stay recognisable"],
        named=False,
    )
    for text in (made.to_json(), repr(made)):
        assert name not in text
        assert "field.csv" not in text
    assert made.notes == ("pseudonyms: voices stay recognisable",)
    for groups, kind in ((made.faults, "text-digits"), (made.dropped, "text-empty")):
        assert [(each.kind, each.count, each.examples) for each in groups] == [(kind, 1, ())]
    assert [(each.name, each.count, each.examples) for each in made.changes] == [("case", 1, ())]


def test_the_json_is_the_same_each_time_and_has_no_place_of_a_recording() -> None:
    people = [utterance(n, speaker=f"s{n % 3}") for n in range(1, 9)]
    facts: dict[str, AudioFacts] = {each.id: heard() for each in people}
    text = card(people, facts).to_json()
    assert text == card(people, facts).to_json()
    assert "/gone" not in text
    content = json.loads(text)
    assert list(content) == [
        "format", "version", "source", "kind", "named", "utterances", "minutes", "speakers",
        "sexes", "accents", "licences", "splits", "lengths", "text", "recordings", "left_out",
        "dropped", "changed", "changes", "errors", "warnings", "faults", "notes", "examples",
    ]  # fmt: skip
    assert content["format"] == 1
    assert content["splits"]["sizes"][0]["utterances"] == 8
    assert set(content["examples"][0]) == {
        "utterance", "text", "speaker", "accent", "sex", "split", "duration_s",
    }  # fmt: skip


def test_the_json_can_be_written_whatever_a_file_is_called() -> None:
    odd = Fault("text-digits", "caf\udce9.csv:2", "42", "u1")
    text = card([utterance(1)], faults=[odd]).to_json()
    assert "udce9" in text
    text.encode("utf-8")


# --- examples -------------------------------------------------------------------------------------


def test_examples_are_of_different_speakers_and_of_all_splits_and_accents() -> None:
    people = [
        utterance(
            number + 1,
            speaker=f"s{number % 12}",
            accent=("irish", "scottish")[number % 12 // 6],
            split=("train", "dev", "test")[number % 3],
        )
        for number in range(48)
    ]
    examples = card(people).examples
    assert len(examples) == 8
    assert len({each.speaker for each in examples}) == 8
    assert [each.accent for each in examples].count("irish") == 4
    assert {each.split for each in examples} == {"train", "dev", "test"}
    assert card(people).examples == examples


def test_one_speaker_has_the_utterances_nearest_the_median_length() -> None:
    examples = card([utterance(number) for number in range(1, 20)]).examples
    assert {each.duration_s for each in examples} == {6, 7, 8, 9, 10, 11, 12, 13}


def test_what_is_long_is_heard_only_where_nothing_is_shorter() -> None:
    examples = card([utterance(n, speaker=f"s{n % 9}") for n in (*range(30, 57), *range(1, 10))])
    assert max(each.duration_s for each in examples.examples) < 20
    assert len(card([utterance(25)]).examples) == 1


def test_medians_and_quantiles_are_finite_for_one_utterance() -> None:
    made = card([utterance(1)], {"u1": heard()})
    assert made.lengths is not None
    assert made.recordings.snr_histogram is not None
    assert all(map(math.isfinite, made.lengths.histogram.edges))
    assert made.recordings.snr_histogram.counts.count(1) == 1
