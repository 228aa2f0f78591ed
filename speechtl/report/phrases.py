"""The words and figures that all reports share; here, and only here, a fraction becomes a "%"."""

from __future__ import annotations

from speechtl.scoring import Report, RunFacts, SetScore

__all__ = [
    "accent_name",
    "axis_end",
    "change",
    "count",
    "headline",
    "kept_weights",
    "percent",
    "points",
    "set_name",
    "summary",
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
    return accent_name(report.facts.accent if name == "target" else name)


def kept_weights(facts: RunFacts) -> str:
    """Return which weights the run kept, in a sentence or two; nothing where it is not known."""
    if facts.best_epoch is None:
        return ""
    kept = f"The weights of epoch {facts.best_epoch} were kept, the best on the dev set"
    if facts.best_epoch == 0:
        base, *trained = (epoch.dev_wer for epoch in facts.training) if facts.training else (None,)
        if base is not None and any(wer is not None and wer < base for wer in trained):
            return (
                "The base's weights were kept: all that was better on the dev set lost more on the "
                "general accent than was allowed."
            )
        return f"{kept}: training found nothing better than the base."
    if facts.interpolation == 1:
        return f"{kept}."
    return (
        f"{kept}. They lie {100 * facts.interpolation:.0f}{SPACE}% of the way from the base's "
        "weights to the trained ones, which guards the general accent."
    )


def change(score: SetScore) -> str:
    """Return what became of the WER of a set, in words and in full."""
    difference = score.difference
    text = f"{points(difference.wer)} absolute difference"
    if difference.wer_relative_reduction is None:
        return text
    return f"{text}, {percent(difference.wer_relative_reduction)} relative reduction"


def headline(report: Report, name: str) -> str:
    """Return a set's result in one line: WER before, WER after, and the change."""
    score = report.sets[name]
    before, after = percent(score.base.wer), percent(score.adapted.wer)
    return f"{set_name(report, name)} WER {before} → {after}: {change(score)}"


def summary(report: Report) -> str:
    """Return the whole result in one sentence for each set."""
    return " ".join(f"{headline(report, name)}." for name in report.sets)


def _signed(number: float, *, plus: bool) -> str:
    text = f"{abs(number):.1f}"
    if float(text) == 0:
        return text
    sign = MINUS if number < 0 else "+" if plus else ""
    return sign + text
