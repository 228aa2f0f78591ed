"""What the reports tell beside the scores: how sure, for whom, which words, what was shared."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from test_report import FACTS, Page, shown

from speechtl.leakage import Overlap
from speechtl.report import card, charts, html, markdown, phrases
from speechtl.scoring import (
    Dropped,
    Hypotheses,
    Hypothesis,
    Report,
    RunFacts,
    SetScore,
    SpeakerScore,
    compare,
    make_report,
    write_hypotheses,
)

SAID = " ".join("abcdefghij")


def rows(
    errors: Sequence[int], *, accent: str = "west_midlands", prefix: str = "s"
) -> tuple[Hypothesis, ...]:
    """Return a row of ten words for each speaker, with so many of them wrong."""
    return tuple(
        Hypothesis(
            id=f"{prefix}{number}",
            audio="/gone.wav",
            speaker=f"{prefix}{number}",
            accent=accent,
            reference=SAID,
            hypothesis=" ".join(["x"] * wrong + SAID.split()[wrong:]),
            snr_db=float(5 * number),
            seen=number % 2 == 0,
        )
        for number, wrong in enumerate(errors)
    )


def silent(*texts: str) -> tuple[Hypothesis, ...]:
    return tuple(
        Hypothesis(
            id=f"silence {number}",
            audio="",
            speaker="nobody",
            accent="none",
            reference="",
            hypothesis=text,
        )
        for number, text in enumerate(texts)
    )


def hypotheses(count: int = 8, *, base: int = 4, adapted: int = 2) -> Hypotheses:
    """Return a run with a control set and probes of silence: `count` speakers in each set."""
    return {
        "base": {
            "target": rows([base] * count),
            "general": rows([1] * count, accent="general", prefix="g"),
            "control": rows([2] * count, accent="southern", prefix="c"),
            "silence": silent("", "thank you"),
        },
        "adapted": {
            "target": rows([adapted + number % 2 for number in range(count)]),
            "general": rows([1] * count, accent="general", prefix="g"),
            "control": rows([1] * count, accent="southern", prefix="c"),
            "silence": silent("", ""),
        },
    }


LEAKY = dataclasses.replace(
    FACTS,
    normaliser="plain",
    max_forgetting=1.0,
    control="southern.jsonl",
    leakage=(
        Overlap(
            first="train",
            second="test",
            utterances=8,
            speakers=("s1",),
            prompts=3,
            near_prompts=2,
            audio=1,
        ),
        Overlap(first="train", second="dev", utterances=4),
    ),
)


def report(facts: RunFacts = LEAKY, heard: Hypotheses | None = None) -> Report:
    heard = heard or hypotheses()
    return make_report(facts, heard["base"], heard["adapted"])


def every_text(made: Report, heard: Hypotheses) -> dict[str, str]:
    """Return what a person reads in each of the reports, white space evened out."""
    texts = {
        "html": Page(html.render(made, heard, audio=False)).words,
        "markdown": markdown.render(made).replace("\\", ""),
        "card": card.render(made).replace("\\", ""),
        "terminal": shown(made, width=100),
    }
    return {name: " ".join(text.split()) for name, text in texts.items()}


def plain_spaces(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_every_report_tells_what_the_splits_share() -> None:
    leak = "test and train: 1 speaker in both, the same audio in 1 of 8 utterances."
    sentences = (
        "test and train: the same sentence in 3 of 8 utterances, nearly the same sentence in 2 of "
        "8 utterances."
    )
    texts = every_text(report(), hypotheses())
    for name, text in texts.items():
        assert leak in text, name
        assert "dev and train" not in text, name
        assert (sentences in text) == (name != "html"), name
    assert "test in train 8 1 1 3 2" in texts["html"]


def test_every_report_splits_the_gain_into_recording_and_accent() -> None:
    # Target 40 % to 25 %, control 20 % to 10 %: 5 of 15 points are the accent's.
    found = plain_spaces(phrases.gain(report()))
    assert found.startswith(
        "West Midlands changed by −15.0 points, the control set, recorded alike without that "
        "accent, by −10.0 points (95 % interval −10.0 to −10.0): what is left for the accent is "
        "−5.0 points (95 % interval"
    )
    assert found.endswith("So a part of the change was learnt of the recordings.")
    for name, text in every_text(report(), hypotheses()).items():
        assert "what is left for the accent is −5.0 points" in text, name


def test_what_was_heard_in_silence_is_told() -> None:
    assert phrases.silence(report()) == (
        "In 2 recordings without speech (silence, noise, hum) the base heard 2 words in 1, the "
        "adapted heard no word."
    )
    assert "Base, silence 1thank you" in Page(
        html.render(report(), hypotheses(), audio=False)
    ).text.replace("\n", "").replace(" thank", "thank")


def test_what_each_fold_heard_in_silence_is_told_as_that() -> None:
    made = report(dataclasses.replace(LEAKY, folds=2))
    assert phrases.silence(made).startswith(
        "In 1 recording without speech (silence, noise, hum), each heard by 2 models, the base"
    )


def test_a_rise_that_may_pass_the_limit_is_not_told_as_harmless() -> None:
    heard = hypotheses()
    worse = rows([1, 2, 1, 2, 1, 2, 1, 1], accent="general", prefix="g")
    adapted = {**heard["adapted"], "general": worse}
    made = report(heard={"base": heard["base"], "adapted": adapted})
    assert made.sets["general"].difference.verdict == "no evidence"
    assert "It is not shown to be within the limit of forgetting." in phrases.verdict(
        made.sets["general"]
    )


def test_the_distance_between_accents_is_told_before_and_after() -> None:
    assert plain_spaces(phrases.disparity(report())) == (
        "Worst minus best accent: before 30.0 points (West Midlands 40.0 %, General 10.0 %); after "
        "15.0 points (West Midlands 25.0 %, General 10.0 %)."
    )


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (4, "No evidence of a change for other people: too few speakers (4) to show any."),
        # A sixty-fourth of the flips, twice for both signs, and twice for two sets.
        (6, "No evidence of a change for other people: too few speakers (6) to show any."),
        (7, "Improved (p = 0.031, 7 speakers). Too few speakers for a sure interval: test 8 or"),
        (8, "Improved (p = 0.016, 8 speakers)."),
    ],
)
def test_too_few_speakers_is_said_in_words(count: int, told: str) -> None:
    heard = hypotheses(count)
    made = report(heard=heard)
    assert phrases.verdict(made.sets["target"]).startswith(told)
    for name, text in every_text(made, heard).items():
        assert ("oo few speakers" in text) == (count < 8), name


def test_the_power_of_a_set_is_told() -> None:
    made = report()
    least = made.sets["target"].difference.smallest_detectable
    assert least is not None
    assert f"shows a true difference of {100 * least:.1f}" in phrases.power(made.sets["target"])
    assert phrases.power(made.sets["general"]).startswith("All speakers changed alike")
    few = report(heard=hypotheses(5)).sets["target"]
    assert phrases.power(few).startswith("5 speakers can show no difference, however large")


def test_the_page_shows_parts_words_sounds_and_tests() -> None:
    page = Page(html.render(report(), hypotheses(), audio=False))
    for text in (
        "below 10 dB",
        "30 dB or more",
        "unseen",
        "MAPSSWE",
        "McNemar",
        "whisper-english (version 1)",
        "Most often before",
        "Words heard right more often",
        "test in train",
        "Control: southern.jsonl.",
    ):
        assert text in page.words, text
    assert "by length" not in page.words  # all have ten words: there is but one part


def test_a_set_of_many_speakers_stays_below_five_megabytes_and_says_what_it_leaves_out() -> None:
    heard: Hypotheses = {
        "base": {"target": rows([4] * 5000)},
        "adapted": {"target": rows([3] * 4999 + [0])},
    }
    dropped = tuple(Dropped(f"u{n}", "shorter than 400 samples") for n in range(20000))
    made = report(dataclasses.replace(FACTS, dropped=dropped), heard)
    text = html.render(made, heard, audio=False)
    assert len(text.encode()) < 5_000_000
    page = Page(text)
    assert "These are the 200 whose WER changed most; all 5,000 are in report.json." in page.words
    assert "s4999" in page.words
    assert "19,500 more are in report.json." in page.words


def test_pooled_folds_are_told_and_have_no_model_of_their_own() -> None:
    made = report(dataclasses.replace(LEAKY, folds=4))
    assert "every speaker of the accent is tested once" in html.render(
        made, hypotheses(), audio=False
    )
    assert "Folds over speakers: 4" in markdown.render(made)
    text = card.render(made)
    assert "folds/<k>/model" in text
    assert "pipeline(" not in text
    assert "pipeline(" in card.render(report())


# --- charts ---------------------------------------------------------------------------------------


def effect_of(made: Report) -> tuple[float, dict[str, charts.Effect]]:
    top, found = charts.effects(made.sets, max_forgetting=made.facts.max_forgetting)
    return top, {each.set: each for each in found}


def test_differences_lie_left_of_the_middle_where_they_are_better() -> None:
    made = report()
    top, found = effect_of(made)
    target = made.sets["target"].difference
    assert target.wer is not None
    assert target.interval is not None
    assert found["target"].at == pytest.approx(50 + 50 * target.wer / top, abs=0.01)
    assert found["target"].low == pytest.approx(50 + 50 * target.interval[0] / top, abs=0.01)
    assert found["general"].at == 50
    assert found["general"].budget == pytest.approx(50 + 50 * 0.01 / top, abs=0.01)
    assert found["target"].budget is None


def test_a_set_without_a_difference_is_not_drawn() -> None:
    heard: Hypotheses = {system: {"target": silent("och")} for system in ("base", "adapted")}
    made = make_report(FACTS, heard["base"], heard["adapted"])
    assert effect_of(made)[1] == {}
    assert "<h1>" in html.render(made, heard, audio=False)


def speaker(name: str, before: float | None, after: float | None) -> SpeakerScore:
    return SpeakerScore(speaker=name, utterances=1, words=10, base_wer=before, adapted_wer=after)


def test_each_speaker_has_a_line_and_labels_never_cover_each_other() -> None:
    chart = charts.slope_chart([speaker(f"s{n}", 0.5, 0.2 + 0.001 * n) for n in range(20)])
    assert chart is not None
    heights = sorted(each.label_at for each in chart.slopes)
    assert all(lower - upper >= charts.LEADING for upper, lower in itertools.pairwise(heights))
    assert heights[0] >= 0
    assert heights[-1] <= chart.height + charts.LEADING


def test_lines_are_better_worse_or_the_same_and_long_names_are_cut_at_their_beginning() -> None:
    long = "corpus/speaker-with-a-long-name"
    chart = charts.slope_chart(
        [
            speaker(long, 0.5, 0.2),
            speaker("worse", 0.1, 0.3),
            speaker("same", 0.1, 0.1),
            speaker("none", None, 0.1),
        ]
    )
    assert chart is not None
    assert [each.kind for each in chart.slopes] == ["better", "worse", "same"]
    assert chart.slopes[0].label == f"…{long[-14:]}"
    assert plain_spaces(chart.slopes[0].told) == f"{long}: 50.0 % to 20.0 %"
    assert charts.slope_chart([speaker("none", None, 0.1)]) is None


def test_many_speakers_have_lines_without_labels() -> None:
    chart = charts.slope_chart([speaker(f"s{n}", 0.5, 0.2) for n in range(40)])
    assert chart is not None
    assert {each.label for each in chart.slopes} == {""}


# --- two runs -------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a run folder with a report and hypotheses."""

    def written(name: str, adapted: Sequence[int], *, facts: RunFacts = LEAKY) -> Path:
        folder = tmp_path / name
        base = rows([4] * len(adapted))
        for system, each in (("base", base), ("adapted", rows(adapted))):
            write_hypotheses(each, folder, name="target", system=system)
        made = make_report(facts, {"target": base}, {"target": rows(adapted)})
        (folder / "report.json").write_text(made.to_json(), encoding="utf-8")
        return folder

    return written


def score_of(first: Path, second: Path) -> SetScore:
    return compare(first, second).sets["target"]


def test_the_second_run_is_judged_against_the_first(run: Callable[..., Path]) -> None:
    first, second = run("a", [3] * 9), run("b", [1] * 9)
    found = score_of(first, second)
    assert (found.base.wer, found.adapted.wer) == (0.3, 0.1)
    assert found.difference.verdict == "improved"
    assert score_of(second, first).difference.verdict == "worse"
    told = phrases.compared(compare(first, second), "target")
    assert "The second is better (p = 0.004, 9 speakers)." in told


def test_utterances_that_one_run_alone_tested_are_left_out_and_counted(
    run: Callable[..., Path],
) -> None:
    found = compare(run("a", [3] * 9), run("b", [1] * 12))
    assert found.sets["target"].utterances == 9
    assert found.left_out == {"target": 3}
