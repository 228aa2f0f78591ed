"""What is told of transcripts, and what is not: every pattern is tried both ways."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest

from speechtl.checks.transcripts import transcript_faults
from speechtl.corpus import Corpus, Utterance
from speechtl.faults import Fault


def utterance(number: int, text: str, *, speaker: str = "ann", audio: str = "one.wav") -> Utterance:
    return Utterance(
        id=f"utt-{number}", audio=Path(audio), text=text, speaker=speaker, accent="scottish"
    )


def told(*texts: str) -> list[Fault]:
    corpus = Corpus(utterance(number, text) for number, text in enumerate(texts))
    return list(transcript_faults(corpus, lambda each: f"m.jsonl:{each.id[4:]}"))


def kinds(text: str) -> set[str]:
    return {fault.kind for fault in told(text)}


@pytest.mark.parametrize(
    "text",
    [
        "the cat sat on the mat",
        "The cat sat; on the mat, it slept: well!",
        "I can't, I won't, and you mustn't.",
        "I can’t see the dogs’ bowls",
        "rock 'n' roll",
        "'tis o'er, he said",
        "a well-known mother-in-law",
        'she said: "go home" - and left',
        "wait ... what?",
        "wait… what?!",
        "an en – and an em — dash",
        "(so he says) and and/or but",
        "(musically speaking) he's (sick of it)",
        "AT&T & Sons; R&B",
        "the U.S.A. and the BBC",
        "BBC NEWS",
        "A B C D E",
        "what is this? nobody knows",
        "naan from nan, and none at all",
        "none.",
        "yes",
        "Mr. Smith, Ph.D.",
        "café, naïve, façade and coöperate",
        "Tha a’ chlann a-muigh, mòran taing",  # Gaelic
        "Dwi’n hoffi coffi, tŷ, ŵy, môr a gŵydd",  # Welsh
        "Ah’m gaun tae the kirk, ye ken; Ȝule",  # Scots
        "Kei te pēhea koe, e te whānau? Tāmaki",  # Māori
        "Ọjọ́ dára, ẹ káàárọ̀ ọ̀rẹ́ mi",  # Yorùbá
        "Año nuevo: ¿qué pasó, señor?",
        "São Paulo, amanhã, manhã",
        "CHÂTEAU, ÑANDÚ",
        "Þór og Ðóra",
        "we say спасибо in Russian",  # another language's word, of letters of its own
        "мы говорим о доме",
        "λόγος means word",
        "नमस्ते दोस्तो",
        "你好 everyone",
    ],
)
def test_what_people_write_is_no_fault(text: str) -> None:
    assert told(unicodedata.normalize("NFC", text)) == []


@pytest.mark.parametrize("text", ["?", "-", "...", "__", "— …", "!!!", "♪ ♫"])
def test_a_transcript_without_a_letter_has_no_words(text: str) -> None:
    assert kinds(text) == {"text-no-words"}


@pytest.mark.parametrize(
    "text",
    [
        "nan", "NaN", "NULL", "null", "None", "n/a", "N/A", "NA", "tbd", "TODO", "unk", "nil",
        "untranscribed", "No transcript", "no transcription", "#N/A", "#REF!", "#NAME?", " nan ",
        "day1/bob_07.wav", "clip 7.mp3".replace(" ", "_"), "x.FLAC",
    ],
)  # fmt: skip
def test_placeholders_and_file_names_are_told(text: str) -> None:
    assert kinds(text.strip()) == {"text-placeholder"}


def test_a_transcript_that_is_the_name_of_its_recording_is_told() -> None:
    found = Corpus(
        [
            utterance(1, "bob_07", audio="bob_07.wav"),
            utterance(2, "utt-2"),
            utterance(3, "seven", audio="seven.wav"),  # a list of words may name them so
        ]
    )
    faults = list(transcript_faults(found, lambda each: each.id))
    assert [(fault.kind, fault.place) for fault in faults] == [
        ("text-placeholder", "utt-1"),
        ("text-placeholder", "utt-2"),
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("so <laugh> he said", "<laugh>"),
        ("so </b>he said", "</b>"),
        ("so [inaudible] he said", "[inaudible]"),
        ("so [] he said", "[]"),
        ("so {cough} he said", "{cough}"),
        ("so ((maybe)) he said", "((maybe))"),
        ("so (laughs) he said", "(laughs)"),
        ("so (laughing) he said", "(laughing)"),
        ("so (Laughter from all) he said", "(Laughter from all)"),
        ("so (pause) he said", "(pause)"),
        ("so (.) he said", "(.)"),
        ("so (0.5) he said", "(0.5)"),
        ("so (2 s) he said", "(2 s)"),
        ("so *sighs* he said", "*sighs*"),
        ("this &amp; that", "&amp;"),
        ("don&#39;t go", "&#39;"),
        ("so xxx he said", "xxx"),
        ("XXX said so", "XXX"),
        ("so ++um++ he said", "++um++"),
        ("so == he said", "=="),
        ("see https://example.org", "https://"),
        ("so /unintelligible/ he said", "/unintelligible/"),
        ("so /RD-NAME-2/ he said", "/RD-NAME-2/"),
        ("so /?/ he said", "/?/"),
    ],
)
def test_annotations_are_told(text: str, found: str) -> None:
    (fault,) = told(text)
    assert (fault.kind, fault.message) == ("text-markup", f"{found!r} stands in {text!r}")


@pytest.mark.parametrize(
    ("text", "found"),
    [("born in 1984", "1984"), ("£2.50 each", "2.50"), ("at 10:30, then", "10:30,"), ("a4", "4")],
)
def test_digits_are_told_with_the_number(text: str, found: str) -> None:
    (fault,) = told(text)
    assert (fault.kind, fault.message) == ("text-digits", f"{found!r} stands in {text!r}")


def test_a_number_within_an_annotation_is_no_number() -> None:
    assert kinds("so [pause 0.4] he said") == {"text-markup"}
    assert kinds("so [pause 0.4] he said 4") == {"text-markup", "text-digits"}


@pytest.mark.parametrize(
    "text",
    [
        "café – naïve".encode().decode("cp1252"),
        "café".encode().decode("latin-1"),
        "£5 please".replace("5", "five").encode().decode("cp1252"),
        "“yes”".encode().decode("cp1252", "replace"),
        "don’t".encode().decode("cp1252"),
        "don’t".encode().decode("latin-1"),
        "don’t".encode("cp1252").decode("latin-1"),
        "jalapeño".encode().decode("cp1252").lower(),
        "спасибо".encode().decode("latin-1"),
        "caf\ufffd",
        "don?t",
        "caf\\u00e9",
        "caf\\xe9",
        "two\\n lines",
    ],
)
def test_garbled_letters_are_told(text: str) -> None:
    assert kinds(text) == {"text-encoding"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("the\u200b cat", "U+200B ZERO WIDTH SPACE"),
        ("the\u00ad cat", "U+00AD SOFT HYPHEN"),
        ("\ufeffthe cat", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
        ("the cat\u200e", "U+200E LEFT-TO-RIGHT MARK"),
        ("the\x07 cat", "U+0007 (a control character)"),
    ],
)
def test_invisible_characters_are_told_by_name(text: str, name: str) -> None:
    (fault,) = told(text)
    assert fault.kind == "text-invisible"
    assert fault.message.startswith(f"the character {name} stands in ")


def test_joiners_that_scripts_need_are_no_fault() -> None:
    assert told("क्\u200dष", "می\u200cخواهم") == []


@pytest.mark.parametrize(
    "text",
    [" the cat", "the cat ", "the  cat", "the\tcat", "the\ncat", "the\u00a0cat", "the\u2028cat"],
)
def test_spaces_are_told(text: str) -> None:
    assert kinds(text) == {"text-spaces"}


@pytest.mark.parametrize("text", ["cafe\u0301", "Ma\u0304ori", "te\u0302te-a\u0300-te\u0302te"])
def test_letters_that_are_not_composed_are_told(text: str) -> None:
    (fault,) = told(text)
    assert fault.kind == "text-composition"
    assert ascii(text)[1:-1] in fault.message
    assert told(unicodedata.normalize("NFC", text)) == []


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("the c\u0430t sat", "U+0430 CYRILLIC SMALL LETTER A"),  # within a word
        ("take \u0430 break", "U+0430 CYRILLIC SMALL LETTER A"),  # a word of its own
        ("\u0421ats sleep", "U+0421 CYRILLIC CAPITAL LETTER ES"),
        ("n\u03bf way", "U+03BF GREEK SMALL LETTER OMICRON"),
    ],
)
def test_letters_that_only_look_latin_are_told(text: str, letter: str) -> None:
    (fault,) = told(text)
    assert fault.kind == "text-letters"
    assert letter in fault.message


def test_capitals_are_told_once_for_all() -> None:
    faults = told("the cat sat", "THE CAT SAT ON THE MAT", "BBC NEWS", "A DOG RAN UP THE HILL")
    assert [(fault.kind, fault.place, fault.message) for fault in faults] == [
        (
            "text-case",
            "m.jsonl:1",
            "2 of 4 transcripts are in capitals alone, such as 'THE CAT SAT ON THE MAT'",
        )
    ]


def test_a_sentence_that_one_speaker_says_three_times_is_told_once() -> None:
    def of(*said: tuple[str, str]) -> Iterable[Fault]:
        corpus = Corpus(
            utterance(number, text, speaker=speaker) for number, (speaker, text) in enumerate(said)
        )
        return list(transcript_faults(corpus, lambda each: each.id))

    (fault,) = of(*[("ann", "the cat sat here")] * 3, ("bob", "the cat sat here"))
    assert (fault.kind, fault.place) == ("text-repeated", "utt-0")
    assert fault.message == "speaker 'ann' says 'the cat sat here' 3 times: also utt-1, utt-2"
    assert of(*[("ann", "the cat sat here")] * 2, *[("bob", "the cat sat here")] * 2) == []
    assert of(*[("ann", "yes")] * 9) == []


def test_a_long_transcript_is_shown_where_the_fault_is() -> None:
    (fault,) = told(f"{'the cat sat on ' * 20}[sic] {'and slept ' * 20}".strip())
    assert fault.message == (
        "'[sic]' stands in '…t on the cat sat on [sic] and slept and slept and slept and …'"
    )


@pytest.mark.parametrize(
    "text",
    [
        "a", "a ", "a' ", "a, ", "1", "1.", "x", "xy", "= a", "A ", "n/", "a?", "(", "( ", "(1",
        "((a", "(laugh", "[a", "<a", "{a", "*a", "&a", "&#1", "++a", "/a-", " /a-b", ".wav",
        "\\u00", "\u00c3a", "\u0430 ", "e\u0301", ("(", " "), ("(", "1"), ("(laugh", " a"),
        ("x", "xy"), ("/", "a-"), ("a.wav", "b"),
    ],
    ids=ascii,
)  # fmt: skip
def test_a_text_of_a_hundred_thousand_characters_takes_no_time(text: str | tuple[str, str]) -> None:
    first, unit = ("", text) if isinstance(text, str) else text
    start = time.process_time()
    told((first + unit * 100_000)[:100_000])
    # All patterns together; one that backtracks would take minutes.
    assert time.process_time() - start < 0.5
