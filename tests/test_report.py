"""What people read: the same numbers everywhere, and nothing in a transcript is ever markup."""

from __future__ import annotations

import base64
import dataclasses
import html as html_text
import io
import itertools
import json
import math
import re
from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from rich.console import Console

from speechtl import audio
from speechtl.errors import OutputError
from speechtl.report import card, charts, html, markdown, phrases, terminal, write_all
from speechtl.scoring import (
    DataFacts,
    Dropped,
    Epoch,
    Hypotheses,
    Hypothesis,
    LabelRound,
    Parameters,
    Report,
    RunFacts,
    Swept,
    Timing,
    make_report,
)

SCRIPT = "<script>alert('och')</script>"

FACTS = RunFacts(
    accent="west_midlands",
    model="starter-wav2vec2",
    revision=None,
    family="ctc",
    strategy="encoder",
    seed=7,
    normaliser="none",
    parameters=Parameters(trainable=3_000_000, frozen=1_000_000),
    cut="feature_projection",
    timing=Timing(load_s=1.0, features_s=2.0, train_s=3.0, score_s=4.0, total_s=10.0),
    training=(Epoch(0, 0, None, 0.5), Epoch(1, 12, 1.25, 0.25), Epoch(2, 24, 0.75, 0.3)),
    best_epoch=1,
    corpus="starter",
    data={"train": DataFacts(minutes=12.34, utterances=1200, speakers=9)},
    dropped=(Dropped("short_1", "shorter than 400 samples"),),
    versions={"torch": "2.11.0"},
    licences=("CC-BY-SA-4.0",),
)

SWEPT = dataclasses.replace(
    FACTS,
    interpolation=0.5,
    sweep=(
        Swept(0.0, 0.8, 0.1),
        Swept(0.25, 0.6, None),
        Swept(0.5, 0.4, 0.11),
        Swept(0.75, 0.3, 0.2),
        Swept(1.0, 0.2, None),
    ),
)


def row(id_: str, reference: str, hypothesis: str, *, path: str = "/gone.wav") -> Hypothesis:
    return Hypothesis(
        id=id_,
        audio=path,
        speaker=f"speaker {id_}",
        accent="west_midlands",
        reference=reference,
        hypothesis=hypothesis,
    )


def rows(texts: Iterable[tuple[str, str]]) -> tuple[Hypothesis, ...]:
    return tuple(row(f"u{i}", *pair) for i, pair in enumerate(texts))


# Target: 10 words; 4 errors before, 2 after. General: 4 words; 0 before, 1 after.
HYPOTHESES: Hypotheses = {
    "base": {
        "target": rows([("a b c d e", "x y z e"), ("f g h i j", "f g h i j")]),
        "general": rows([("k l m n", "k l m n")]),
    },
    "adapted": {
        "target": rows([("a b c d e", "a b c d"), ("f g h i j", "f g h i j k")]),
        "general": rows([("k l m n", "k l m x")]),
    },
}


def made(facts: RunFacts = FACTS, hypotheses: Hypotheses = HYPOTHESES) -> Report:
    return make_report(facts, hypotheses["base"], hypotheses["adapted"])


def single(reference: str, base: str, adapted: str, **changes: object) -> tuple[Report, Hypotheses]:
    """Return the report of a single utterance, and its hypotheses."""
    before = row("only", reference, base)
    before = dataclasses.replace(before, **changes)  # type: ignore[arg-type]
    after = dataclasses.replace(before, hypothesis=adapted)
    hypotheses = {"base": {"target": (before,)}, "adapted": {"target": (after,)}}
    return made(hypotheses=hypotheses), hypotheses


class Page(HTMLParser):
    """The tags, the attributes and the text of a page; tags must close in order."""

    VOID = frozenset({"meta", "link", "br", "img"})
    BLOCKS = frozenset({"dt", "dd", "td", "th"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag in self.BLOCKS:
            self.text += " "

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def having(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def shown(report: Report, *, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(terminal.render(report))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# --- phrases --------------------------------------------------------------------------------------


def test_fractions_become_per_cent_only_here_with_signs_that_people_read() -> None:
    assert phrases.percent(0.4123) == "41.2\N{NO-BREAK SPACE}%"
    assert phrases.percent(-0.05) == "−5.0\N{NO-BREAK SPACE}%"
    assert phrases.percent(None) == "–"
    assert phrases.points(-0.172) == "−17.2\N{NO-BREAK SPACE}points"
    assert phrases.points(0.005) == "+0.5\N{NO-BREAK SPACE}points"
    assert phrases.points(-0.0001) == "0.0\N{NO-BREAK SPACE}points"
    assert phrases.points(None) == "–"
    assert phrases.axis_end(0.6) == "60\N{NO-BREAK SPACE}%"


def test_names_and_numbers_read_as_english() -> None:
    assert phrases.accent_name("west_midlands") == "West Midlands"
    assert phrases.count(1204, "utterance") == "1,204 utterances"
    assert phrases.count(1, "utterance") == "1 utterance"


def test_the_summary_says_the_whole_result_in_full() -> None:
    assert phrases.summary(made()).replace("\N{NO-BREAK SPACE}", " ") == (
        "West Midlands WER 40.0 % → 20.0 %: −20.0 points absolute difference, 50.0 % relative "
        "reduction. No evidence of a change for other people: "
        "too few speakers (2) to show any. General WER 0.0 % → 25.0 %: +25.0 points absolute "
        "difference. No evidence of a change for other people: too few speakers (1) to show any."
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"verdict": "improved", "corrected_p_value": 0.0312}, "Improved (p = 0.031, 9 speakers)."),
        ({"verdict": "worse", "corrected_p_value": 0.0004}, "Worse (p < 0.001, 9 speakers)."),
        (
            {"verdict": "no evidence", "corrected_p_value": 0.4},
            "No evidence of a change (p = 0.400, 9 speakers).",
        ),
        ({"verdict": "within budget"}, "Within the limit of forgetting (9 speakers)."),
        ({"verdict": "over budget"}, "Beyond the limit of forgetting (9 speakers)."),
        ({"verdict": None}, ""),
    ],
)
def test_a_verdict_is_a_sentence(changes: dict[str, Any], told: str) -> None:
    score = made().sets["target"]
    judged = {"speakers": 9, "least_p_value": 2 / 512, **changes}
    score = dataclasses.replace(score, difference=dataclasses.replace(score.difference, **judged))
    assert phrases.verdict(score) == told


# --- terminal -------------------------------------------------------------------------------------


def test_the_terminal_shows_a_row_for_each_set_within_80_columns() -> None:
    text = shown(made(), width=80)
    assert max(map(len, text.splitlines())) <= 80
    general = next(line for line in text.splitlines() if line.startswith("General"))
    cells = re.sub(r"\s+", " ", general).strip()
    assert cells == "General 1 1 0.0 % 25.0 % +25.0 – 0.0 % 0/0/0"
    assert "3/1/0" in text
    assert "0/1/1" in text


def test_markup_in_a_name_is_shown_not_obeyed_by_the_terminal() -> None:
    assert "[red]" in shown(made(dataclasses.replace(FACTS, accent="[red]")), width=100)


# --- Markdown and the card ------------------------------------------------------------------------


def test_markdown_holds_the_scores_of_both_systems_and_what_was_left_out() -> None:
    text = markdown.render(made()).replace("\N{NO-BREAK SPACE}", " ")
    assert "| West Midlands | 2 | 2 | 10 | base | 40.0 % |" in text
    assert "−20.0 points | 50.0 % |" in text
    assert "| 1 (kept) | 12 | 1.2500 | 25.0 % |" in text
    assert "| short\\_1 | shorter than 400 samples |" in text
    assert "| u0 | a b c d e | x y z e | a b c d | 4 → 1 |" in text


def test_every_row_of_a_markdown_table_has_as_many_cells_as_its_header() -> None:
    report, _ = single("a | b", f"x | {SCRIPT}", "`a` | _b_")
    tables = re.findall(r"(?:^\|.*\|\n)+", markdown.render(report) + "\n", re.MULTILINE)
    assert tables
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_a_transcript_is_never_markup_in_markdown() -> None:
    report, _ = single("a b", SCRIPT, "a b")
    assert "\\<script\\>" in markdown.render(report)
    assert not re.search(r"(?<!\\)<script", markdown.render(report))


def front_matter(text: str) -> dict[str, object]:
    _, matter, _ = text.split("---\n", 2)
    tree = yaml.safe_load(matter)
    assert isinstance(tree, dict)
    return tree


def test_the_model_card_has_the_hub_s_front_matter_with_error_rates_in_per_cent() -> None:
    tree = front_matter(card.render(made()))
    assert tree["language"] == ["en"]
    assert tree["library_name"] == "transformers"
    assert tree["pipeline_tag"] == "automatic-speech-recognition"
    assert tree["base_model"] == "starter-wav2vec2"
    (entry,) = tree["model-index"]  # type: ignore[misc]
    target, general = entry["results"]  # type: ignore[has-type]
    assert target["metrics"][0] == {"type": "wer", "name": "WER (%)", "value": 20.0}
    assert general["dataset"]["name"] == "General test set"


def test_the_card_points_out_nc_and_sa() -> None:
    text = card.render(made(dataclasses.replace(FACTS, licences=("CC-BY-NC-SA-4.0",))))
    assert "Licences of the speech: CC-BY-NC-SA-4.0" in text
    assert "license" not in front_matter(text)  # that would be the model's, which is the base's
    assert "no commercial use" in text
    assert "shared alike" in text
    assert "no commercial use" not in card.render(made())


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("/home/someone/models/mine", "mine"),
        ("./runs/scottish/model", "model"),
        ("openai/whisper-small", "openai/whisper-small"),
    ],
)
def test_the_card_names_the_base_without_its_maker_s_folders(model: str, expected: str) -> None:
    text = card.render(made(dataclasses.replace(FACTS, model=model)))
    assert front_matter(text)["base_model"] == expected
    assert "someone" not in text


# --- HTML -----------------------------------------------------------------------------------------


def test_the_html_report_begins_with_the_result() -> None:
    page = Page(html.render(made(), HYPOTHESES, audio=False))
    assert "West Midlands WER 40.0 % →to 20.0 %" in page.words
    assert page.words.index("No evidence: too few speakers.") < page.words.index(
        "West Midlands WER"
    )
    change = "−20.0 points absolute difference, 50.0 % relative reduction, on 2 test utterances"
    assert change in page.words
    assert "too few speakers (2) to show any change" in page.words
    assert page.words.index("West Midlands WER") < page.words.index("Before and after")


def test_the_html_report_shows_bars_speakers_training_words_and_the_run() -> None:
    page = Page(html.render(made(), HYPOTHESES, audio=False))
    bars = [item["width"] for item in page.having("rect") if item["class"] in {"base", "adapted"}]
    # The axis ends at 40 %; the last two are the parameters: the whole, and the trained share.
    assert bars == ["100.00%", "50.00%", "0.00%", "62.50%", "100%", "75.00%"]
    for text in ("speaker u1", "WER on the dev set", "Most repaired", "feature_projection"):
        assert text in page.words
    for text in ("CC-BY-SA-4.0", "1 utterance left out", "torch", "Seed 7", "12.3"):
        assert text in page.words


def test_the_html_report_makes_no_request_and_runs_no_script() -> None:
    text = html.render(made(), HYPOTHESES, audio=False)
    page = Page(text)
    assert page.having("script") == []
    assert "url(" not in text
    assert "@import" not in text
    links = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in {"src", "href", "xlink:href", "srcset", "data", "action"}
    ]
    assert links == ["data:,", "#main"]
    (policy,) = (item for item in page.having("meta") if "http-equiv" in item)
    assert (policy["content"] or "").startswith("default-src 'none'")


def test_whatever_stands_in_the_data_is_text_in_html() -> None:
    facts = dataclasses.replace(
        SWEPT,
        accent=SCRIPT,
        model=SCRIPT,
        revision=SCRIPT,
        strategy=SCRIPT,
        cut=SCRIPT,
        corpus=SCRIPT,
        data={SCRIPT: FACTS.data["train"]},
        dropped=(Dropped(SCRIPT, SCRIPT),),
        versions={SCRIPT: SCRIPT},
        licences=(SCRIPT,),
    )
    _, hypotheses = single(f"a {SCRIPT}", f"b {SCRIPT}", f"a {SCRIPT} '\"><img src=x>", id=SCRIPT)
    text = html.render(made(facts, hypotheses), hypotheses, audio=True)
    page = Page(text)
    assert page.having("script") == page.having("img") == []
    assert html_text.escape(SCRIPT).replace("&#x27;", "&#39;") in text


def test_differing_words_are_marked_by_more_than_colour() -> None:
    report, hypotheses = single("the wee cat sat", "the we cat sat down", "the cat sat")
    page = Page(html.render(report, hypotheses, audio=False))
    assert "the [wrong: we, for wee] cat sat [added: down]" in page.words
    assert "the [missing: wee] cat sat" in page.words


def test_an_utterance_without_words_says_so() -> None:
    report, hypotheses = single("", "och aye", "")
    page = Page(html.render(report, hypotheses, audio=False))
    assert "Reference no words" in page.words
    assert "Adapted no words" in page.words


def test_tables_figures_and_headings_are_what_a_screen_reader_needs() -> None:
    page = Page(html.render(made(SWEPT), HYPOTHESES, audio=False))
    names = [name for name, _ in page.tags]
    assert names.count("caption") == names.count("table")
    assert names.count("figcaption") == names.count("figure")
    assert all("scope" in attributes for attributes in page.having("th"))
    named = {"aria-hidden", "aria-label", "aria-labelledby"}
    assert all(named & attributes.keys() for attributes in page.having("svg"))
    levels = [int(name[1]) for name in names if re.fullmatch(r"h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    ids = [item["id"] for _, item in page.tags if "id" in item]
    assert len(ids) == len(set(ids))


def test_many_speakers_and_utterances_are_folded_away_not_left_out() -> None:
    base = tuple(row(f"u{i:02d}", "a", "x") for i in range(30))
    adapted = tuple(dataclasses.replace(item, hypothesis="a") for item in base)
    hypotheses = {"base": {"target": base}, "adapted": {"target": adapted}}
    page = Page(html.render(made(hypotheses=hypotheses), hypotheses, audio=False))
    assert "30 speakers as a table" in page.words
    assert "open" not in page.having("details")[0]
    assert "5 more utterances" in page.words
    assert "speaker u29" in page.words


def test_a_run_without_training_data_or_versions_still_has_a_report() -> None:
    facts = dataclasses.replace(
        FACTS,
        training=(),
        data={},
        versions={},
        licences=(),
        dropped=(),
        best_epoch=None,
        revision="abc123",
        parameters=Parameters(trainable=0, frozen=0),
    )
    report = made(facts)
    page = Page(html.render(report, HYPOTHESES, audio=False))
    assert "Training loss" not in page.words
    assert "Licences: not known" in page.words
    assert "abc123" in page.words
    assert "abc123" in markdown.render(report)
    assert "not known" in card.render(report)


@pytest.mark.parametrize(
    ("best", "share", "told"),
    [
        (1, 1.0, "The weights of epoch 1 were kept, the best on the dev set."),
        (1, 0.85, "They lie, as was set, 0.85 of the way from the base's weights to the trained"),
        (0, 0.0, "all that was better on the dev set lost more on the general accent than was"),
        (-1, 0.85, "The base's weights were kept: training found nothing better on the dev set."),
    ],
)
def test_every_report_says_which_weights_were_kept(best: int, share: float, told: str) -> None:
    facts = dataclasses.replace(FACTS, best_epoch=max(best, 0), interpolation=share)
    if best < 0:  # no epoch was better than the base
        worse = tuple(dataclasses.replace(e, dev_wer=0.5 + e.epoch / 10) for e in facts.training)
        facts = dataclasses.replace(facts, training=worse)
    report = made(facts)
    page = Page(html.render(report, HYPOTHESES, audio=False))
    for text in (page.words, markdown.render(report), card.render(report)):
        assert told in text.replace("\\", "").replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("averaged", "swept", "told"),
    [
        (2, True, "The mean of the weights after epochs 1 to 2 was kept. They lie 0.6 of the way"),
        (1, True, "The weights of epoch 2 were kept. They lie 0.6 of the way"),
        (2, False, "The mean of the weights after epochs 1 to 2 was kept, the best on the dev set"),
    ],
)
def test_every_report_says_how_many_epochs_the_weights_are_the_mean_of(
    averaged: int, swept: bool, told: str
) -> None:
    tried = (Swept(0.0, 0.4, None), Swept(0.6, 0.2, None), Swept(1.0, 0.3, None))
    facts = dataclasses.replace(
        FACTS, best_epoch=2, averaged=averaged, interpolation=0.6, sweep=tried if swept else ()
    )
    for text in everywhere(facts):
        assert told in text


def everywhere(facts: RunFacts) -> list[str]:
    """Return what a person reads in the HTML, the Markdown and the card."""
    report = made(facts)
    page = Page(html.render(report, HYPOTHESES, audio=False))
    texts = (page.words, markdown.render(report), card.render(report))
    return [
        " ".join(re.sub(r"\\([#*_])", r"\1", text).replace("\N{NO-BREAK SPACE}", " ").split())
        for text in texts
    ]


UNLIMITED = tuple(dataclasses.replace(point, general_dev_wer=None) for point in SWEPT.sweep)
TRIED = "Of 4 interpolations between the base's weights (0) and the trained ones (1), "


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {},
            "0.5 is the best found on the West Midlands dev set within the limit of forgetting: "
            "WER from 80.0 % to 40.0 %, on the general dev set from 10.0 % to 11.0 %.",
        ),
        (
            {"interpolation": 1.0, "sweep": UNLIMITED},
            "1 is the best found on the West Midlands dev set: WER from 80.0 % to 20.0 %. No "
            "general dev set limited what may be forgotten.",
        ),
        (
            {"interpolation": 0.0, "best_epoch": 0},
            "even that of the least gain, 0.5, passes the limit of forgetting: West Midlands dev "
            "WER from 80.0 % to 40.0 %, general dev WER from 10.0 % to 11.0 %.",
        ),
    ],
)
def test_every_report_says_how_the_interpolation_was_chosen(
    changes: dict[str, Any], told: str
) -> None:
    for text in everywhere(dataclasses.replace(SWEPT, **changes)):
        assert TRIED + told in text
        assert "as was set" not in text


def test_only_a_limit_guards_the_general_accent() -> None:
    guards = "to the trained ones, which guards the general accent."
    assert all(guards in text for text in everywhere(SWEPT))
    for text in everywhere(dataclasses.replace(SWEPT, sweep=UNLIMITED)):
        assert "They lie 0.5 of the way from the base's weights to the trained ones. " in text
        assert guards not in text


@pytest.mark.parametrize("sweep", [(), (Swept(0.0, 0.5, None),)])
def test_where_no_interpolation_was_tried_none_is_shown(sweep: tuple[Swept, ...]) -> None:
    for text in everywhere(dataclasses.replace(FACTS, best_epoch=0, interpolation=0, sweep=sweep)):
        assert "nterpolation" not in text
        assert "as was set" not in text


def test_markdown_has_a_row_for_each_interpolation() -> None:
    text = markdown.render(made(SWEPT)).replace("\N{NO-BREAK SPACE}", " ")
    assert "| interpolation | West Midlands dev WER | General dev WER |" in text
    assert "| 0.25 | 60.0 % | – |" in text
    assert "| 0.5 (kept) | 40.0 % | 11.0 % |" in text


def test_the_html_report_draws_the_sweep_and_has_it_as_a_table() -> None:
    text = html.render(made(SWEPT), HYPOTHESES, audio=False)
    (drawing,) = re.findall(r'<svg class="sweep".*?</svg>', text, re.DOTALL)
    page = Page(drawing)
    (image,) = page.having("svg")
    assert image["role"] == "img"
    ids = {item["id"] for _, item in page.tags if "id" in item}
    assert {image["aria-labelledby"], image["aria-describedby"]} == ids
    said = page.words.replace("\N{NO-BREAK SPACE}", " ")
    assert "kept: 0.5" in said
    assert "West Midlands; 0: 80.0 %; 0.25: 60.0 %; 0.5: 40.0 %; 0.75: 30.0 %; 1: 20.0 %." in said
    assert "General; 0: 10.0 %; 0.5: 11.0 %; 0.75: 20.0 %." in said
    # The axis ends at 80 %.
    kept = [(item["cx"], item["cy"]) for item in page.having("circle") if item["class"] == "kept"]
    assert kept == [("50.0%", "50.0%"), ("50.0%", "86.25%")]
    assert len(page.having("circle")) == 5 + 3
    assert "0.5 (kept) 40.0 % 11.0 %" in Page(text).words.replace("\N{NO-BREAK SPACE}", " ")


def test_a_sweep_without_a_general_dev_set_is_one_line_and_one_column() -> None:
    facts = dataclasses.replace(SWEPT, sweep=UNLIMITED)
    chart = charts.sweep_chart(facts)
    assert chart is not None
    assert [line.name for line in chart.lines] == ["West Midlands"]
    page = Page(html.render(made(facts), HYPOTHESES, audio=False))
    assert "General dev" not in page.words


def drawn(line: charts.Line) -> list[tuple[float, str, float, float]]:
    """Return where each label begins sideways, its side, its top and its bottom (pixels)."""
    return [
        (label.x, label.anchor, label.y - 11, label.y + 3 + charts.LEADING * len(label.name))
        for label in line.labels
    ]


RATES = st.integers(0, 250).map(lambda errors: errors / 200)


@settings(deadline=None)
@given(
    rates=st.lists(st.tuples(RATES, st.none() | RATES), min_size=3, max_size=11),
    kept=st.integers(0, 10),
)
def test_the_accents_labels_never_cover_each_other_or_the_axis(
    rates: list[tuple[float, float | None]], kept: int
) -> None:
    last = len(rates) - 1
    sweep = tuple(
        # Both accents are scored with the base and with what is kept.
        Swept(place / last, wer, general if place not in {0, kept % (last + 1)} else general or 0.0)
        for place, (wer, general) in enumerate(rates)
    )
    chosen = sweep[kept % (last + 1)].interpolation
    facts = dataclasses.replace(SWEPT, accent="northern_irish", sweep=sweep, interpolation=chosen)
    chart = charts.sweep_chart(facts)
    assert chart is not None
    first, second = map(drawn, chart.lines)
    for (x, side, top, bottom), (other_x, other_side, other_top, other_bottom) in itertools.product(
        first, second
    ):
        if (x, side) == (other_x, other_side):
            assert bottom <= other_top or other_bottom <= top
        assert max(bottom, other_bottom) <= chart.height + 8
    assert all(sum(label.is_kept for label in line.labels) == 1 for line in chart.lines)


def test_what_lora_trained_is_not_the_base_s_own() -> None:
    facts = dataclasses.replace(
        FACTS, strategy="lora", parameters=Parameters(trainable=96, frozen=4_000)
    )
    page, text, readme = everywhere(facts)
    assert (
        "The strategy “lora” trained low-rank matrices of 96 parameters beside the base's 4,000, "
        "which stayed frozen until the matrices were merged into them; the cut"
    ) in readme
    merged = "low-rank matrices, merged into the frozen ones after training"
    assert f"Parameters: 96 trained ({merged}), 4,000 frozen" in text
    assert f"96 parameters (2.3 %): {merged}" in page
    assert (
        "trained 3,000,000 of the base's parameters and left 1,000,000 frozen"
        in everywhere(FACTS)[2]
    )


def test_a_new_head_is_named_beside_the_base_s_scores() -> None:
    facts = dataclasses.replace(FACTS, strategy="new-head")
    note = "Base is the model with its new head, before training"
    page, text, readme = everywhere(facts)
    assert page.index("West Midlands WER") < page.index(note) < page.index("Before and after")
    assert text.index("West Midlands WER") < text.index(note) < text.index("Scores")
    assert readme.index("West Midlands WER") < readme.index(note) < readme.index("Use")
    assert "Base is the model before adaptation, with its new head, adapted the" in page
    assert "Base is the model before adaptation, with its new head, adapted the" in readme
    assert "put a new head of 3,000,000 parameters on the base" in readme
    assert note in shown(made(facts), width=80)
    assert all("new head" not in text for text in everywhere(FACTS))
    assert "new head" not in shown(made(), width=80)


def test_a_loss_that_is_no_number_is_left_out_of_the_curve() -> None:
    training = (*FACTS.training, Epoch(3, 36, math.nan, math.inf))
    report = made(dataclasses.replace(FACTS, training=training))
    page = Page(html.render(report, HYPOTHESES, audio=False))
    labels = [item.get("aria-label") or "" for item in page.having("svg")]
    assert any(label.startswith("Training loss; epoch 1: 1.25; epoch 2: 0.75") for label in labels)


def test_a_rate_that_does_not_exist_is_a_dash_everywhere() -> None:
    report, hypotheses = single("", "och", "")
    for text in (
        html.render(report, hypotheses, audio=False),
        markdown.render(report),
        card.render(report),
        shown(report, width=100),
    ):
        assert "–" in text
        assert "None" not in text
        assert not re.search(r"\b(inf|nan)\b", text)


def test_the_recordings_of_the_utterances_shown_are_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "only.wav"
    tone = np.sin(np.arange(16_000) * 2 * np.pi * 440 / 16_000).astype(np.float32)
    audio.write(path, 0.1 * tone)
    report, hypotheses = single("a", "b", "a", audio=str(path), start=0.25, end=0.75)
    page = Page(html.render(report, hypotheses, audio=True))
    (player,) = page.having("audio")
    assert (player["src"] or "").startswith("data:audio/mpeg;base64,")
    assert player["aria-label"] == "Recording of only"
    (picture,) = page.having("img")
    assert (picture["alt"] or "").startswith("Spectrogram of only")
    _, encoded = (picture["src"] or "").split("data:image/png;base64,")
    pixels = imread(io.BytesIO(base64.b64decode(encoded)))[::-1, :, :3].sum(-1)
    assert pixels.shape == (64, 26)  # 0.5 s
    # The 64 bands are even on the mel scale up to 8 kHz, which is 45.2 mel there; 440 Hz is 6.6.
    assert pixels.mean(1).argmax() == pytest.approx(64 * 6.6 / 45.2, abs=2)
    assert Page(html.render(report, hypotheses, audio=False)).having("audio") == []


def test_recordings_that_are_gone_or_too_many_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Page(html.render(made(), HYPOTHESES, audio=True)).having("audio") == []
    path = tmp_path / "only.wav"
    audio.write(path, np.full(16_000, 0.1, dtype=np.float32))
    report, hypotheses = single("a", "b", "a", audio=str(path))
    monkeypatch.setattr(html, "AUDIO_BUDGET", 100)
    assert Page(html.render(report, hypotheses, audio=True)).having("audio") == []


# --- files ----------------------------------------------------------------------------------------


def test_all_reports_are_written_and_nothing_else(tmp_path: Path) -> None:
    write_all(made(), HYPOTHESES, tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["README.md", "report.html", "report.json", "report.md"]
    assert json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))["seed"] == 7


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file", encoding="utf-8")
    with pytest.raises(OutputError, match="run"):
        write_all(made(), HYPOTHESES, tmp_path / "run")


# --- speech without transcripts, and what was chosen ----------------------------------------------


LABELLED = (
    LabelRound(round=0, dev_wer=0.5),
    LabelRound(
        round=1,
        utterances=1200,
        minutes=61.0,
        kept=900,
        kept_minutes=40.2,
        confidence=0.8,
        expected_wer=0.29,
        left_out={"not sure enough": 298, "no text": 2},
        dev_wer=0.4,
    ),
    LabelRound(round=2, utterances=1200, minutes=61.0),
)


def test_every_report_tells_what_each_round_of_labels_gave() -> None:
    told = made(dataclasses.replace(FACTS, pseudo_labels=LABELLED, kept_round=1))
    lines = phrases.label_rounds(told.facts)
    space = "\N{NO-BREAK SPACE}"
    assert lines == [
        f"Trained on what is transcribed alone: dev WER 50.0{space}%.",
        "Round 1: 900 of 1,200 stretches of untranscribed speech labelled (40.2 of 61.0 min, 298 "
        f"not sure enough, 2 no text); their WER, as far as dev tells: 29.0{space}%. After it dev "
        f"WER 40.0{space}%, kept.",
        "Round 2: 0 of 1,200 stretches of untranscribed speech labelled (0.0 of 61.0 min); nothing "
        "to train on.",
    ]
    for text in (html.render(told, HYPOTHESES), markdown.render(told), card.render(told)):
        for line in lines:
            assert line.split(":")[0] in text
        assert "298 not sure enough" in text
    assert phrases.label_rounds(FACTS) == []
    # What is told while the run goes on, before there is a WER after it.
    for item, line in zip(LABELLED[1:], lines[1:], strict=True):
        told_early = phrases.labelling(dataclasses.replace(item, dev_wer=None))
        assert line.startswith(f"Round {item.round}: {told_early}.")


def test_why_a_strategy_was_chosen_stands_beside_it() -> None:
    told = made(dataclasses.replace(FACTS, why="it gains most"))
    assert "chosen by “auto”: it gains most" in html.render(told, HYPOTHESES)
    assert "(auto: it gains most), cut at" in markdown.render(told)
    assert "auto" not in markdown.render(made()).split("Strategy")[1].split("\n")[0]


def test_a_base_of_random_weights_is_told() -> None:
    told = made(dataclasses.replace(FACTS, strategy="from-scratch"))
    for text in (html.render(told, HYPOTHESES), markdown.render(told), card.render(told)):
        assert "architecture with random weights" in text
