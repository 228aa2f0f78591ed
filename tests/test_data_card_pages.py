"""The data card as people see it: what its pages say, and that they are quiet, safe and readable.

In the browser is asked what the page is, not how it is written: no test here knows a class.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Chromium, Opened, found, started
from test_report_browser import (
    CONTRASTS,
    CONTROLS,
    HOSTILE,
    SIDEWAYS,
    decoded,
    none,
    play,
    squeezed,
    tab_through,
    unfold,
)

from speechtl import audio
from speechtl.checks.recordings import AudioFacts, UtteranceAudio
from speechtl.corpus import Corpus, Utterance
from speechtl.data_card import Change, DataCard, Dropped, data_card
from speechtl.faults import KINDS, Fault
from speechtl.report.data_card import html, markdown
from speechtl.splits import leakage_report

in_browser = pytest.mark.skipif(
    found() is None,
    reason="no browser: install Debian's chromium, or name one with SPEECHTL_CHROMIUM",
)

SPEAKERS = 40
"""More than are listed in one table."""


def hostile(kind: str, number: int) -> str:
    return f"{kind} {number} {HOSTILE[number % len(HOSTILE)]}"


def heard(number: int) -> UtteranceAudio:
    return UtteranceAudio(
        container="WAV" if number % 2 else "FLAC",
        sample_rate=16_000,
        channels=1,
        frames=16_000,
        digest=str(number),
        peak=0.5,
        rms_db=-25.0,
        loudest_db=-12.0,
        speech_db=-20.0 - number % 10,
        clipped=0,
        offset=0.0,
        snr_db=30.0 - number % 17,
        leading_silence_s=0.1,
        trailing_silence_s=0.2,
        bandwidth_hz=7900.0,
        mix_share=1.0,
    )


def made(
    utterances: Sequence[Utterance],
    *,
    faults: Sequence[Fault] = (),
    dropped: Sequence[Dropped] = (),
    changes: Sequence[Change] = (),
    notes: Sequence[str] = (),
    source: str = "/home/ann/recordings/field.csv",
    named: bool = True,
) -> DataCard:
    corpus = Corpus(utterances)
    facts: dict[str, AudioFacts] = {each.id: heard(n) for n, each in enumerate(corpus)}
    return data_card(
        corpus,
        source=source,
        kind="table",
        audio=facts,
        faults=faults,
        dropped=dropped,
        changes=changes,
        leakage=leakage_report(
            corpus,
            duration=lambda each: each.end or 60.0,
            digest=lambda each: each.id.encode(),
        ),
        notes=notes,
        named=named,
    )


def utterance(number: int, **fields: Any) -> Utterance:
    """Return a minute of speech whose recording is nowhere."""
    given: dict[str, Any] = {
        "id": f"u{number}",
        "audio": Path("/gone.wav"),
        "text": "the cat sat",
        "speaker": f"speaker {number}",
        "accent": "west_midlands",
        "start": 0.0,
        "end": 60.0,
        "split": ("train", "dev", "test")[number % 3],
        "licence": "CC-BY-NC-4.0",
    }
    return Utterance(**(given | fields))


def in_order(*parts: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, parts)), re.DOTALL)


# --- what both pages say --------------------------------------------------------------------------


def texts(card: DataCard) -> list[str]:
    """Return both pages as plain text, with ordinary spaces and no markup."""
    plain = re.sub(r"<style>.*?</style>|<[^>]*>", " ", html(card), flags=re.DOTALL)
    return [
        re.sub(r"[\s\u00a0]+", " ", text.replace("&#39;", "'").replace("&gt;", ">"))
        for text in (plain, re.sub(r"\\(.)", r"\1", markdown(card)))
    ]


def test_both_pages_begin_with_how_much_there_is_of_what() -> None:
    for text in texts(made([utterance(1), utterance(2), utterance(3)])):
        assert "3.0 minutes of West Midlands speech" in text
        assert in_order("Utterances", "3", "Minutes", "3.0", "Speakers", "3").search(text)
        assert "field.csv" in text
        assert "/home/ann" not in text


def test_numbers_have_their_nouns_in_the_right_form() -> None:
    names = iter("abc")
    one = made([utterance(1, speaker=next(names))])
    two = made([utterance(n, speaker=next(names)) for n in (1, 2)])
    for text in texts(one):
        assert not re.search(r"\b1 (utterances|speakers|accents|warnings|words)\b", text)
    for text in texts(two):
        assert not re.search(r"\b[02-9] (utterance|speaker|accent|warning|word)\b", text)


def test_a_corpus_of_hours_is_told_in_hours() -> None:
    for text in texts(made([utterance(n, end=3600.0) for n in range(1, 4)])):
        assert "3.0 hours of West Midlands speech" in text
        assert "180.0" in text


def test_what_a_licence_forbids_is_said_in_words() -> None:
    for text in texts(made([utterance(1), utterance(2, licence="CC-BY-SA-4.0"), utterance(3)])):
        assert "CC-BY-NC-4.0: no commercial use (NC)" in text
        assert "CC-BY-SA-4.0: what is made of it is shared under the same licence (SA)" in text
    for text in texts(made([utterance(1, licence=None)])):
        assert in_order("Licence", "not known").search(text)


@pytest.mark.parametrize(
    ("speaker", "told"),
    [
        (None, "Yes. No speaker is in two splits"),
        ("ann", "No. 1 speaker is in more than one split"),
    ],
)
def test_whether_splits_share_speakers_is_said(speaker: str | None, told: str) -> None:
    shared = {} if speaker is None else {"speaker": speaker}
    card = made([utterance(n, text=f"word{n}", **shared) for n in range(1, 7)])
    for text in texts(card):
        assert told in text


def test_how_many_test_sentences_are_in_train_is_said_in_per_cent() -> None:
    said = ["a b c d e", "v w x y z", "other words than train has"]
    trained = [utterance(3 * n, text=text) for n, text in enumerate(said[:2], 1)]
    tested = [
        utterance(3 * n + 2, text=text)
        for n, text in enumerate(("A b, c d e!", "other words", "new", "more"), 1)
    ]
    for text in texts(made([*trained, *tested])):
        assert "25.0 % (1 of 4) of the test utterances say a sentence that is in train" in text
        assert "flatters the score" in text
    for text in texts(made([*trained, *tested[1:]])):
        assert "No test utterance says a sentence that is in train" in text


def test_a_corpus_without_splits_says_so() -> None:
    for text in texts(made([utterance(n, split=None) for n in (1, 2)])):
        assert "No utterance is in train, dev or test." in text


def test_what_is_wrong_is_counted_at_the_top_and_explained_below() -> None:
    card = made(
        [utterance(n, text=f"word{n}", speaker="ann") for n in range(1, 7)],
        faults=[Fault("text-digits", "field.csv:2", "the text has 42", "u1")],
        dropped=[Dropped("u9", "field.csv:9", "text-empty", "it is empty")],
        changes=[Change("u1", "spaces", "a  b\u200b", "a b")],
    )
    warnings = card.warnings
    for text in texts(card):
        top = text[: text.index("Speaker-disjoint")]
        assert f"1 left out, 3 errors not mended, {warnings} warnings." in top
        for kind in ("text-digits", "text-empty", "split-speaker"):
            meaning, remedy = KINDS[kind].meaning, KINDS[kind].remedy
            assert meaning.lower() in text.lower()
            assert remedy.lower() in text.lower()
        assert in_order("u9", "field.csv:9", "it is empty").search(text)
        assert "dropped.jsonl" in text
        assert "changes.jsonl" in text
        assert "faults.jsonl" in text
        assert "a  b[U+200B]".replace("  ", " ") in text, "what is not seen is named"


def test_a_corpus_without_a_fault_is_said_to_have_none() -> None:
    people = [
        utterance(n, text=f"word{n} and more{n}", licence="CC0-1.0", end=60.0) for n in range(1, 22)
    ]
    for text in texts(made(people)):
        assert "Nothing was found to be wrong, and nothing was left out." in text
        assert "Nothing was changed." in text


def test_of_many_speakers_the_largest_and_the_smallest_are_listed_and_the_rest_is_not_lost() -> (
    None
):
    card = made([utterance(n, end=100.0 - n) for n in range(SPEAKERS)])
    page, text = html(card), markdown(card)
    shown = [n for n in range(SPEAKERS) if f"| speaker {n} |" in text]
    assert shown == [*range(15), *range(SPEAKERS - 15, SPEAKERS)]
    assert "10 speakers between them are in data-card.json" in text
    assert all(f">speaker {n}<" in page for n in range(SPEAKERS))
    folded = re.findall(r"<details>.*?</details>", page, flags=re.DOTALL)
    assert sum(f">speaker {n}<" in "".join(folded) for n in range(SPEAKERS)) == 10


def test_a_card_of_thousands_of_speakers_stays_small() -> None:
    card = made([utterance(n, text=f"word{n} é") for n in range(5000)])
    assert len(html(card).encode()) < 300_000
    assert len(markdown(card)) < 30_000
    assert "data-card.json" in html(card)


def test_the_command_names_the_accent_as_a_shell_reads_it() -> None:
    made_of = [utterance(1, accent="irish; rm -rf ~")]
    command = "python scripts/adapt.py --corpus manifest.jsonl --accent 'irish; rm -rf ~'"
    for text in texts(made(made_of)):
        assert command in text
    assert "--accent west_midlands" in markdown(made([utterance(1)]))


def test_pages_are_the_same_each_time() -> None:
    people = [utterance(n) for n in range(9)]
    assert html(made(people)) == html(made(people))
    assert markdown(made(people)) == markdown(made(people))


def test_pages_without_names_tell_none() -> None:
    name = "jane-doe"
    card = made(
        [utterance(1)],
        faults=[Fault("text-digits", f"{name}.csv:2", name, f"{name}-1")],
        dropped=[Dropped(f"{name}-2", f"{name}.csv:3", "text-empty", name)],
        changes=[Change(f"{name}-1", "case", f"{name} A", f"{name} a")],
        notes=[f"speaker: the folder {name}"],
        source=f"/home/{name}/{name}.csv",
        named=False,
    )
    for page in (html(card), markdown(card)):
        assert name not in page
        assert "private/dropped.jsonl" in page
        assert "voices stay recognisable" in page


def test_an_empty_corpus_has_pages() -> None:
    for text in texts(made([])):
        assert "0.0 minutes" in text


def test_markdown_shows_markup_as_text() -> None:
    text = markdown(made([utterance(1, speaker="<b>ann</b> | *bob* `c`", text="# [x](y)")]))
    assert r"\<b\>ann\</b\> \| \*bob\* \`c\`" in text
    assert "<b>" not in text


# --- in the browser -------------------------------------------------------------------------------

LENGTHS = tuple(0.5 + 0.25 * i for i in range(8))  # s; further apart than a length may be wrong


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with started() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def hostile_card(tmp_path_factory: pytest.TempPathFactory) -> DataCard:
    """Return a card with everything that one may have, hostile wherever a person may write."""
    folder = tmp_path_factory.mktemp("recordings")
    people = []
    for number in range(SPEAKERS):
        length = LENGTHS[number % len(LENGTHS)]
        path = folder / f"{number % len(LENGTHS)}.wav"
        times = np.arange(round(length * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
        audio.write(path, (0.3 * np.sin(2 * np.pi * 220 * times)).astype(np.float32))
        people.append(
            utterance(
                number,
                id=hostile("utterance", number),
                audio=path,
                text=f"{HOSTILE[number % len(HOSTILE)]} café {'word ' * (number % 5)}",
                speaker=hostile("speaker", number),
                accent=hostile("accent", number % 35),
                sex=hostile("sex", number % 3),
                licence=hostile("licence", number % 4),
                end=length,
            )
        )
    kinds = sorted(KINDS)
    return made(
        people,
        faults=[
            Fault(kind, hostile("place", n), hostile("message", n), hostile("utterance", n))
            for n, kind in enumerate(kinds)
        ],
        dropped=[
            Dropped(hostile("left", n), hostile("there", n), kind, hostile("reason", n))
            for n, kind in enumerate([*kinds, "split"])
        ],
        changes=[
            Change(hostile("changed", n), "spaces+case", hostile(" before", n), hostile("after", n))
            for n in range(12)
        ],
        notes=[hostile("note", n) for n in range(len(HOSTILE))],
        source=HOSTILE[0],
    )


@pytest.fixture(scope="module")
def page_path(hostile_card: DataCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("card") / "data-card.html"
    path.write_text(html(hostile_card), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def bare_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bare") / "data-card.html"
    path.write_text(html(made([utterance(1)])), encoding="utf-8")
    return path


SETTINGS = [
    pytest.param({"width": width, "dark": dark}, id=f"{width}, {'dark' if dark else 'light'}")
    for width, dark in ((390, True), (1400, False))
]


@pytest.fixture(scope="module", params=SETTINGS)
def page(chromium: Chromium, page_path: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Return the card with all that is folded away unfolded."""
    with chromium.opened(page_path, **request.param) as page:
        unfold(page)
        yield page


@in_browser
def test_the_page_is_quiet_asks_for_nothing_and_plays_every_example(page: Opened) -> None:
    went = play(page)
    none([item for item in went if item["refused"] or item["error"] or not item["time"]])
    assert len(went) == 8
    nearest = [min(LENGTHS, key=lambda length: abs(length - item["duration"])) for item in went]
    sounds = decoded(page, [item["source"] for item in went])
    assert [length for length, _ in sounds] == pytest.approx(nearest, abs=0.1)
    assert min(loudest for _, loudest in sounds) > 0.1
    none([line for line in page.console if line.level in {"error", "warning"}])
    none(page.errors)
    none(page.dialogs)
    none(page.foreign)


@in_browser
def test_hostile_text_becomes_no_element_and_no_attribute(page: Opened) -> None:
    never = "script, iframe, object, embed, form, base, x-och, img"
    made_of = "never => [...document.querySelectorAll(never)].map(part => part.outerHTML)"
    none(page.evaluate(made_of, never))
    attributes = page.evaluate(
        """[...document.querySelectorAll("*")].flatMap(part => [...part.attributes])
        .map(attribute => [attribute.name, attribute.value])"""
    )
    none([name for name, _ in attributes if name.startswith("on") or name == "srcdoc"])
    links = [value for name, value in attributes if name in {"href", "src"}]
    none([link for link in links if not link.startswith(("#", "data:"))])


@in_browser
def test_hostile_text_is_read_as_it_is(page: Opened, hostile_card: DataCard) -> None:
    text = squeezed(page.evaluate("document.body.innerText"))
    told = [
        *(each.speaker for each in hostile_card.speakers),
        *(each.accent for each in hostile_card.accents),
        *(each.licence or "" for each in hostile_card.licences),
        *hostile_card.notes,
        *itertools.chain(*((e.utterance, e.text) for e in hostile_card.examples)),
        *(
            part
            for group in (*hostile_card.faults, *hostile_card.dropped)
            for each in group.examples
            for part in (each.utterance or "", each.place, each.message)
            if not each.place.startswith(("splits", "accent '"))
        ),
        *(each.before for group in hostile_card.changes for each in group.examples),
    ]
    none([item for item in told if squeezed(item) not in text])


@in_browser
@pytest.mark.parametrize("unfolded", [False, True], ids=["folded", "unfolded"])
@pytest.mark.parametrize(("name", "width"), list(itertools.product(("page", "bare"), (390, 1400))))
def test_the_page_never_scrolls_sideways(
    chromium: Chromium, name: str, width: int, unfolded: bool, request: pytest.FixtureRequest
) -> None:
    with chromium.opened(request.getfixturevalue(f"{name}_path"), width=width) as page:
        if unfolded:
            unfold(page)
        none(page.evaluate(SIDEWAYS))


@in_browser
def test_every_text_stands_out_from_the_paper_that_its_reader_prefers(page: Opened) -> None:
    measured = page.evaluate(CONTRASTS)
    assert len(measured) > 100
    none([text for text in measured if text["ratio"] < text["needed"]])
    paper = np.median([text["paper"] for text in measured])
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert paper < 0.1 if dark else paper > 0.7


@in_browser
def test_the_first_screen_tells_how_much_of_what_and_whether_anything_is_wrong(
    chromium: Chromium, page_path: Path, hostile_card: DataCard
) -> None:
    with chromium.opened(page_path, width=1400, height=900) as page:
        seen = page.evaluate(
            """[...document.querySelectorAll("header *")].filter(part =>
            !part.children.length && part.getBoundingClientRect().bottom < innerHeight)
            .map(part => part.textContent).join(" ")"""
        )
    for told in ("Utterances", "Minutes", "Speakers", "Accents", "left out", "train", "Licences"):
        assert told in seen
    assert f"{hostile_card.warnings} warnings" in seen


@in_browser
def test_the_page_prints_all_that_is_folded_and_no_players(
    chromium: Chromium, page_path: Path, tmp_path: Path
) -> None:
    with chromium.opened(page_path, width=800, printed=True) as page:
        folded = page.evaluate(
            """[...document.querySelectorAll('details > :not(summary)')]
            .filter(part => part.textContent.trim())
            .map(part => part.checkVisibility() ? part.getBoundingClientRect().height : 0)"""
        )
        players = page.evaluate(
            "[...document.querySelectorAll('audio')].map(audio => audio.checkVisibility())"
        )
        page.pdf(tmp_path / "card.pdf")
    assert folded
    assert all(height > 0 for height in folded)
    assert players
    assert not any(players)
    assert (tmp_path / "card.pdf").read_bytes().startswith(b"%PDF-")


@in_browser
def test_every_table_and_drawing_says_what_it_is(page: Opened) -> None:
    unnamed = page.evaluate(
        """[
        ...[...document.querySelectorAll("table")].filter(part => !part.caption?.textContent.trim()
            || [...part.querySelectorAll("th")].some(cell => !cell.scope)),
        ...[...document.querySelectorAll("svg")].filter(part =>
            part.getAttribute("aria-hidden") !== "true" && !part.getAttribute("aria-label")),
        ...[...document.querySelectorAll("[id]")].filter(part =>
            document.querySelectorAll("#" + CSS.escape(part.id)).length > 1),
        ...[...document.querySelectorAll("a[href^='#']")].filter(part =>
            !document.getElementById(part.getAttribute("href").slice(1))),
        ].map(part => part.outerHTML.slice(0, 200))"""
    )
    none(unnamed)
    named = {"Audio", "image", "table", "link", "DisclosureTriangle", "heading"}
    none([part for part in page.parts() if part.role in named and not part.name.strip()])


@in_browser
def test_tab_reaches_and_unfolds_everything_that_can_be_used(
    chromium: Chromium, page_path: Path
) -> None:
    with chromium.opened(page_path, width=1400) as page:
        stops = tab_through(page)
        controls = page.evaluate(CONTROLS)
    assert len(controls) > 20
    reached = {stop["place"] for stop in stops}
    none([what for place, what in controls if place not in reached])
    none([stop["what"] for stop in stops if not stop["seen"]])


def test_a_card_with_every_kind_of_fault_is_small(page_path: Path) -> None:
    assert page_path.stat().st_size < 2_000_000


def test_long_recordings_are_left_out_where_the_page_would_grow_too_large(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "long.wav"
    audio.write(path, (0.3 * rng.standard_normal(45 * audio.SAMPLE_RATE)).astype(np.float32))
    page = html(made([utterance(n, audio=path, end=45.0) for n in range(7)]))
    assert len(page.encode()) < 2_000_000
    assert 0 < page.count("<audio") < 7
    assert "too long for this page" in page


def test_a_recording_that_is_gone_leaves_its_text(tmp_path: Path) -> None:
    page = html(made([utterance(1)]))
    assert "<audio" not in page
    assert "the recording was not there" in page
