"""The words and figures that all reports share; here, and only here, a fraction becomes a "%"."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from speechtl.leakage import Overlap
from speechtl.scoring import (
    Comparison,
    LabelRound,
    Report,
    RunFacts,
    SetScore,
    Silence,
    Spread,
)
from speechtl.significance import FEW_SPEAKERS, LEVEL, Interval, Verdict

__all__ = [
    "accent_name",
    "axis_end",
    "base_note",
    "change",
    "compared",
    "compared_name",
    "count",
    "disparity",
    "evidence",
    "folds_note",
    "gain",
    "headline",
    "interval",
    "kept_weights",
    "label_rounds",
    "labelling",
    "leaks",
    "p_text",
    "percent",
    "points",
    "power",
    "set_name",
    "shared_sentences",
    "short_verdict",
    "shown_name",
    "signs",
    "silence",
    "summary",
    "sweep_outcome",
    "trained",
    "trained_how",
    "verdict",
]

NONE = "–"
MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"


def percent(fraction: float | None) -> str:
    """Return a rate for people, "41.2 %"; a dash where there is none."""
    return NONE if fraction is None else f"{_signed(fraction * 100, plus=False)}{SPACE}%"


def axis_end(fraction: float) -> str:
    """Return the end of an axis of rates, with no more digits than it needs: "60 %", "2.5 %"."""
    return f"{round(fraction * 100, 6):g}{SPACE}%"


def points(difference: float | None, *, unit: bool = True) -> str:
    """Return an absolute difference of rates in percentage points, signed: "−17.2 points"."""
    if difference is None:
        return NONE
    return _signed(difference * 100, plus=True) + (f"{SPACE}points" if unit else "")


def count(number: int, noun: str = "") -> str:
    """Return a number, with its noun in the right form where one is given: "1,204 utterances"."""
    if not noun:
        return f"{number:,}"
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def accent_name(accent: str) -> str:
    """Return an accent as people write it: "west_midlands" is "West Midlands"."""
    return " ".join(word[:1].upper() + word[1:] for word in accent.replace("_", " ").split())


def set_name(report: Report, name: str) -> str:
    """Return what a set is called: the accent for the target set, else the set's own name."""
    if name == "control" and report.facts.control_accent is not None:
        return f"Control ({accent_name(report.facts.control_accent)})"
    return accent_name(report.facts.accent if name == "target" else name)


def found_better(dev_wers: Sequence[float | None]) -> bool:
    """Return whether any of a run's dev WERs is below the first, the base's own."""
    scored = [wer for wer in dev_wers if wer is not None]
    return bool(scored) and min(scored) < scored[0]


def kept_weights(facts: RunFacts) -> str:
    """Return which weights the run kept, in a sentence or two; nothing where it is not known."""
    if facts.best_epoch is None:
        return ""
    if facts.best_epoch == 0:
        wers = [each.dev_wer for each in facts.training] + [each.dev_wer for each in facts.sweep]
        if found_better(wers):
            return (
                "The base's weights were kept: all that was better on the dev set lost more on the "
                "general accent than was allowed."
            )
        return "The base's weights were kept: training found nothing better on the dev set."
    best = "" if facts.sweep else ", the best on the dev set"
    if facts.averaged > 1:
        first = facts.best_epoch - facts.averaged + 1
        kept = f"The mean of the weights after epochs {first} to {facts.best_epoch} was kept{best}"
    else:
        kept = f"The weights of epoch {facts.best_epoch} were kept{best}"
    if facts.interpolation == 1:
        return f"{kept}."
    told = "" if facts.sweep else ", as was set,"
    guarded = not facts.sweep or facts.sweep[0].general_dev_wer is not None
    return (
        f"{kept}. They lie{told} {facts.interpolation:g} of the way from the base's weights to the "
        f"trained ones{', which guards the general accent' if guarded else ''}."
    )


def sweep_outcome(facts: RunFacts) -> str:
    """Return what the interpolations that were tried gave on dev; nothing where none were."""
    if len(facts.sweep) < 2:
        return ""
    base, *others = facts.sweep
    tried = (
        f"Of {count(len(others), 'interpolation')} between the base's weights (0) and the trained "
        "ones (1)"
    )
    accent = accent_name(facts.accent)
    chosen = next((point for point in others if point.interpolation == facts.interpolation), None)
    if chosen is None:
        scored = [point for point in others if point.general_dev_wer is not None]
        if not scored:
            return ""
        least = max(scored, key=lambda point: point.dev_wer)
        return (
            f"{tried}, even that of the least gain, {least.interpolation:g}, passes the limit of "
            f"forgetting: {accent} dev WER {_became(base.dev_wer, least.dev_wer)}, general dev WER "
            f"{_became(base.general_dev_wer, least.general_dev_wer)}."
        )
    best = f"{tried}, {chosen.interpolation:g} is the best found on the {accent} dev set"
    if chosen.general_dev_wer is None:
        return (
            f"{best}: WER {_became(base.dev_wer, chosen.dev_wer)}. No general dev set limited what "
            "may be forgotten."
        )
    return (
        f"{best} within the limit of forgetting: WER {_became(base.dev_wer, chosen.dev_wer)}, on "
        f"the general dev set {_became(base.general_dev_wer, chosen.general_dev_wer)}."
    )


def label_rounds(facts: RunFacts) -> list[str]:
    """Return what each round of labelling untranscribed speech gave; none where there was none."""
    told = []
    for item in facts.pseudo_labels:
        dev = f"dev WER {percent(item.dev_wer)}"
        kept = ", kept" if item.round == facts.kept_round else ""
        if not item.round:
            told.append(f"Trained on what is transcribed alone: {dev}{kept}.")
            continue
        after = f" After it {dev}{kept}." if item.dev_wer is not None else ""
        told.append(f"Round {item.round}: {labelling(item)}.{after}")
    return told


def labelling(item: LabelRound) -> str:
    """Return how much untranscribed speech the model labelled in a round, and how well."""
    left = "".join(f", {count(number)} {why}" for why, number in item.left_out.items())
    amount = (
        f"{count(item.kept)} of {count(item.utterances)} stretches of untranscribed speech "
        f"labelled ({item.kept_minutes:.1f} of {item.minutes:.1f} min{left})"
    )
    if not item.kept:
        return f"{amount}; nothing to train on"
    return f"{amount}; their WER, as far as dev tells: {percent(item.expected_wer)}"


def trained(facts: RunFacts) -> str:
    """Return what the strategy did to the base's parameters, as the rest of a sentence."""
    new, old = count(facts.parameters.trainable), count(facts.parameters.frozen)
    match facts.strategy:
        case "lora":
            return (
                f"trained low-rank matrices of {new} parameters beside the base's {old}, which "
                "stayed frozen until the matrices were merged into them"
            )
        case "new-head":
            return (
                f"put a new head of {new} parameters on the base, trained that and left {old} "
                "frozen"
            )
        case _:
            return f"trained {new} of the base's parameters and left {old} frozen"


def trained_how(facts: RunFacts) -> str:
    """Return what the trained parameters are, where they are not the base's own; else nothing."""
    return {
        "lora": "low-rank matrices, merged into the frozen ones after training",
        "new-head": "the new head",
    }.get(facts.strategy, "")


def shown_name(name: str) -> str:
    """Return a corpus' or a model's name without the folders that it lies in on somebody's disk."""
    kind, colon, rest = name.partition(":")
    path = rest if colon and kind == "hf" else name
    if Path(path).is_absolute() or path.startswith((".", "~")) or path.count("/") > 1:
        return Path(path).name
    return name


def folds_note(facts: RunFacts) -> str:
    """Return how the speakers were tested in folds; nothing where they were not."""
    if facts.folds is None:
        return ""
    return (
        f"Every speaker of the accent was tested once, by one of {facts.folds} models, which was "
        f"not trained on that speaker. All other sets were heard by each of the {facts.folds} "
        "models, and are counted as often."
    )


def base_note(facts: RunFacts) -> str:
    """Return what was scored as the base, where it is not the model as it came; else nothing."""
    if facts.strategy == "from-scratch":
        return "Base is the model's architecture with random weights: nothing was learnt before."
    if facts.strategy != "new-head":
        return ""
    return (
        "Base is the model with its new head, before training: the head's rows are copied for "
        "characters that the model knew and random for all others; all are random if it had no "
        "trained head, or if the new one has a bottleneck. The model as it came was not scored."
    )


def change(score: SetScore) -> str:
    """Return what became of the WER of a set, in words and in full."""
    difference = score.difference
    text = f"{points(difference.wer)} absolute difference"
    if difference.interval is not None:
        low, high = (points(end, unit=False) for end in difference.interval)
        text += f" (95{SPACE}% interval {low} to {high})"
    if difference.wer_relative_reduction is None:
        return text
    less = difference.wer_relative_reduction
    return f"{text}, {percent(abs(less))} relative {'increase' if less < 0 else 'reduction'}"


VERDICTS: dict[Verdict, str] = {
    "improved": "Improved",
    "no evidence": "No evidence of a change",
    "worse": "Worse",
    "within budget": "Within the limit of forgetting",
    "over budget": "Beyond the limit of forgetting",
}


def short_verdict(score: SetScore) -> str:
    """Return the verdict in two or three words; nothing where there is none."""
    found = score.difference.verdict
    if found is None:
        return ""
    return "No evidence: too few speakers" if _cannot_show_any(score) else VERDICTS[found]


def verdict(score: SetScore) -> str:
    """Return what the change of a set is worth, in a sentence or two; nothing without a verdict."""
    difference = score.difference
    if difference.verdict is None:
        return ""
    told = VERDICTS[difference.verdict]
    if _cannot_show_any(score):
        return f"{told} for other people: too few speakers ({difference.speakers}) to show any."
    return f"{told} ({_found(score)}).{_caution(score)}{_unsure_of_budget(score)}"


def evidence(score: SetScore) -> str:
    """Return what a verdict rests on: "p = 0.016, 9 speakers."; nothing without a verdict."""
    if score.difference.verdict is None:
        return ""
    if _cannot_show_any(score):
        return (
            f"too few speakers ({score.difference.speakers}) to show any change for other people."
        )
    return f"{_found(score)}.{_caution(score)}{_unsure_of_budget(score)}"


def _cannot_show_any(score: SetScore) -> bool:
    return score.difference.verdict == "no evidence" and _too_few(score)


def _too_few(score: SetScore) -> bool:
    least = score.difference.least_p_value
    return least is not None and least > LEVEL


def _found(score: SetScore) -> str:
    difference = score.difference
    speakers = count(difference.speakers, "speaker")
    by_budget = difference.verdict in {"within budget", "over budget"}
    if by_budget or difference.corrected_p_value is None:
        return speakers
    return f"{p_text(difference.corrected_p_value)}, {speakers}"


def _caution(score: SetScore) -> str:
    if score.difference.speakers >= FEW_SPEAKERS:
        return ""
    return f" Too few speakers for a sure interval: test {FEW_SPEAKERS} or more."


def _unsure_of_budget(score: SetScore) -> str:
    difference = score.difference
    if difference.budget is None or difference.verdict in {"within budget", "over budget"}:
        return ""
    return " It is not shown to be within the limit of forgetting."


def p_text(p_value: float) -> str:
    """Return a p-value: "p = 0.016"."""
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def interval(ends: Interval | None, *, signed: bool = False) -> str:
    """Return an interval of rates, "12.1 to 15.9 %", or of differences, "−8.2 to −2.6"."""
    if ends is None:
        return NONE
    low, high = ends
    if signed:
        return f"{points(low, unit=False)} to {points(high, unit=False)}"
    return f"{_signed(low * 100, plus=False)} to {percent(high)}"


def power(score: SetScore) -> str:
    """Return what such a test set could have shown, in a sentence."""
    difference = score.difference
    if not score.words:
        return "Nothing was said in this set, so that it can show nothing."
    if _too_few(score):
        return (
            f"{count(difference.speakers, 'speaker')} can show no difference, however large: a "
            "test by speakers needs six, and seven where two sets are judged."
        )
    if difference.smallest_detectable is None:
        return "All speakers changed alike, so nothing is known of what could have been shown."
    size = difference.smallest_detectable * 100
    return (
        f"A test set like this, {count(difference.speakers, 'speaker')} who differ as these "
        f"do, shows a true difference of {size:.1f}{SPACE}points in four of five cases."
    )


def gain(report: Report) -> str:
    """Return how the change splits into recording and accent; nothing without a control set."""
    found = report.gain
    if found is None or found.accent is None:
        return ""
    control = report.sets["control"].difference
    told = (
        f"{accent_name(report.facts.accent)} changed by {points(found.all)}, the control set, "
        f"recorded alike without that accent, by {points(found.recording)}"
        f"{_sure(control.interval)}: what is left for the accent is {points(found.accent)}"
        f"{_sure(found.interval)}."
    )
    if control.verdict == "improved":
        return f"{told} So a part of the change was learnt of the recordings."
    return told


def _sure(ends: Interval | None) -> str:
    return "" if ends is None else f" (95{SPACE}% interval {interval(ends, signed=True)})"


def disparity(report: Report) -> str:
    """Return how far accents lie apart, before and after; nothing where there is but one."""
    found = report.disparity
    if found is None:
        return ""
    return f"Worst minus best accent: before {_apart(found.base)}; after {_apart(found.adapted)}."


def _apart(spread: Spread) -> str:
    return (
        f"{spread.difference * 100:.1f}{SPACE}points ({accent_name(spread.worst)} "
        f"{percent(spread.worst_wer)}, {accent_name(spread.best)} {percent(spread.best_wer)})"
    )


def silence(report: Report) -> str:
    """Return what was heard where nobody speaks; nothing where that was not tried."""
    if report.silence is None:
        return ""
    base, adapted = (_nothing(each) for each in (report.silence.base, report.silence.adapted))
    models = report.facts.folds or 1
    tried = count(report.silence.base.recordings // models, "recording")
    each = f", each heard by {models} models," if models > 1 else ""
    return (
        f"In {tried} without speech (silence, noise, hum){each} the base {base}, the adapted "
        f"{adapted}."
    )


def _nothing(found: Silence) -> str:
    if not found.words:
        return "heard no word"
    return f"heard {count(found.words, 'word')} in {count(found.with_words)}"


def signs(score: SetScore) -> str:
    """Return a set's signs of text that nobody said, in a sentence."""
    told = []
    for name, system in (("base", score.base), ("adapted", score.adapted)):
        found = system.hallucination
        if found is None:
            continue
        nothing_said = (
            f", words in {count(found.without_reference, 'utterance')} without any"
            if found.without_reference
            else ""
        )
        told.append(
            f"{name}: {percent(found.insertion_rate)} inserted words, words said over and over in "
            f"{count(found.repetitions, 'utterance')}{nothing_said}"
        )
    return f"{'; '.join(told)}." if told else ""


def leaks(facts: RunFacts) -> list[str]:
    """Return which splits share speakers or recordings, which they never should; a line each."""

    def kinds(each: Overlap) -> Iterator[tuple[int, str]]:
        yield len(each.speakers), f"{count(len(each.speakers), 'speaker')} in both"
        whole = count(each.utterances, "utterance")
        yield each.audio, f"the same audio in {count(each.audio)} of {whole}"

    return _told_of(facts, kinds)


def shared_sentences(facts: RunFacts) -> list[str]:
    """Return which splits share sentences, or nearly do, which is to be known; a line each."""

    def kinds(each: Overlap) -> Iterator[tuple[int, str]]:
        whole = count(each.utterances)
        yield each.prompts, f"the same sentence in {count(each.prompts)} of {whole} utterances"
        yield (
            each.near_prompts,
            f"nearly the same sentence in {count(each.near_prompts)} of {whole} utterances",
        )

    return _told_of(facts, kinds)


SPLITS = {"general_test": "general test", "general_dev": "general dev"}
"""What splits are called, where it is not their key."""


def _told_of(facts: RunFacts, kinds: Callable[[Overlap], Iterable[tuple[int, str]]]) -> list[str]:
    lines = []
    for each in facts.leakage:
        found = ", ".join(text for number, text in kinds(each) if number)
        if found:
            names = (SPLITS.get(name, name) for name in (each.second, each.first))
            lines.append(f"{' and '.join(names)}: {found}.")
    return lines


def headline(report: Report, name: str) -> str:
    """Return a set's result: WER before, WER after, the change, and what that is worth."""
    score = report.sets[name]
    before, after = percent(score.base.wer), percent(score.adapted.wer)
    told = f"{set_name(report, name)} WER {before} → {after}: {change(score)}. {verdict(score)}"
    return told.rstrip()


def summary(report: Report) -> str:
    """Return the whole result, set by set."""
    return " ".join(headline(report, name) for name in report.sets)


def compared_name(comparison: Comparison, name: str) -> str:
    """Return what a set of a comparison is called: the first run's accent for the target set."""
    return accent_name(comparison.accent if name == "target" else name)


def compared(comparison: Comparison, name: str) -> str:
    """Return what a comparison of two runs found on a set, in a sentence."""
    score = comparison.sets[name]
    before, after = percent(score.base.wer), percent(score.adapted.wer)
    told = verdict(score)
    match score.difference.verdict:
        case "improved":
            told = told.replace(VERDICTS["improved"], "The second is better", 1)
        case "worse":
            told = told.replace(VERDICTS["worse"], "The second is worse", 1)
    return f"{compared_name(comparison, name)} WER {before} → {after}: {change(score)}. {told}"


def _became(before: float | None, after: float | None) -> str:
    return f"from {percent(before)} to {percent(after)}"


def _signed(number: float, *, plus: bool) -> str:
    text = f"{abs(number):.1f}"
    if float(text) == 0:
        return text
    sign = MINUS if number < 0 else "+" if plus else ""
    return sign + text
