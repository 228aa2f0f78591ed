"""Draw test sets whose truth is known, and count what the verdict says of them.

    python scripts/simulate_verdicts.py --draws 2000 --picture docs/images/power.png
    python scripts/simulate_verdicts.py --draws 2000 --detectable

Each speaker has a WER, and what adaptation does to it, drawn anew: without a true difference the
mean of the latter is zero. Prints how often the verdict then is improved or worse, how often an
interval by utterances would say so, and how often the interval by speakers holds the truth; and,
with true differences, how often it is found. With `--detectable` the true difference is the mean
of what such test sets say is the smallest that they would show: it is to be found in four of five.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechtl.significance import (
    Interval,
    Pairs,
    intervals,
    sign_flips,
    smallest_detectable,
    verdict,
)

SPEAKERS = (4, 8, 16, 40)
EFFECTS = (-0.01, -0.02, -0.03, -0.05, -0.08)  # absolute, fractions
SPREAD = 0.03
"""Of what adaptation does to a speaker's WER (a fraction)."""
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """Shares of the draws (fractions).

    Attributes:
        speakers: In each draw.
        effect: The true difference, adapted - base (a fraction).
        decided: The verdict was improved or worse.
        by_utterance: The interval by utterances did not hold zero.
        held: The interval by speakers held the truth.
        detectable: Not a share: the mean of what each draw calls the smallest difference that it
            would show (a fraction); None where none does.
    """

    speakers: int
    effect: float
    decided: float
    by_utterance: float
    held: float
    detectable: float | None = None


def drawn(rng: np.random.Generator, *, speakers: int, effect: float) -> Pairs:
    """Return a test set: 8 to 39 utterances of 4 to 13 words by each speaker."""
    who = np.repeat(np.arange(speakers), rng.integers(8, 40, speakers))
    words = rng.integers(4, 14, len(who))
    # Far enough from 0 and 1 that no rate is cut off, which would be a difference.
    base = rng.uniform(0.25, 0.45, speakers)
    adapted = base + effect + np.clip(rng.normal(0, SPREAD, speakers), -3 * SPREAD, 3 * SPREAD)
    hard = rng.uniform(-0.05, 0.05, len(who))  # an utterance is hard for both
    return Pairs(who, words, *(rng.binomial(words, rate[who] + hard) for rate in (base, adapted)))


def simulate(speakers: int, *, effect: float, draws: int, seed: int = 0) -> Outcome:
    """Return what the verdicts were on as many draws."""
    rng = np.random.default_rng([seed, speakers, round(-1000 * effect)])
    decided = by_utterance = held = 0
    detectable = []
    for number in range(draws):
        pairs = drawn(rng, speakers=speakers, effect=effect)
        interval = intervals(pairs, seed=number, resamples=RESAMPLES).difference
        p_value = sign_flips(pairs, seed=number, resamples=RESAMPLES).p_value
        each = Pairs(np.arange(len(pairs.words)), pairs.words, pairs.base, pairs.adapted)
        other = intervals(each, seed=number, resamples=RESAMPLES // 5).difference
        decided += verdict(interval, p_value, speakers=speakers) in {"improved", "worse"}
        by_utterance += not _holds(other, 0.0)
        held += _holds(interval, effect)
        if (least := smallest_detectable(pairs)) is not None:
            detectable.append(least)
    return Outcome(
        speakers,
        effect,
        decided / draws,
        by_utterance / draws,
        held / draws,
        math.fsum(detectable) / len(detectable) if detectable else None,
    )


def simulate_detectable(speakers: int, *, draws: int, seed: int = 0) -> Outcome | None:
    """Return what the verdicts are on a true difference as small as test sets say they would show.

    It is the mean over as many test sets without a difference; None where they say of none.
    """
    least = simulate(speakers, effect=0.0, draws=draws, seed=seed).detectable
    return None if least is None else simulate(speakers, effect=-least, draws=draws, seed=seed)


def _holds(interval: Interval | None, value: float) -> bool:
    return interval is not None and interval[0] <= value <= interval[1]


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as Markdown."""
    lines = [
        "| speakers | true difference (points) | improved or worse | by utterance "
        "| interval holds it |",
        "|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {each.speakers} | {100 * each.effect:g} | {each.decided:.1%} | "
        f"{each.by_utterance:.1%} | {each.held:.1%} |"
        for each in outcomes
    ]
    return "\n".join(lines)


def detectable_table(outcomes: Sequence[Outcome]) -> str:
    """Return how often the smallest detectable differences are found, as Markdown."""
    lines = ["| speakers | smallest detectable (points) | found |", "|---:|---:|---:|"]
    lines += [
        f"| {each.speakers} | {-100 * each.effect:.1f} | {each.decided:.1%} |" for each in outcomes
    ]
    return "\n".join(lines)


def draw_power(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw how often a true difference is found."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for speakers in sorted({each.speakers for each in outcomes}):
        points = sorted(
            (-100 * each.effect, 100 * each.decided)
            for each in outcomes
            if each.speakers == speakers
        )
        axes.plot(*zip(*points, strict=True), marker="o", label=f"{speakers} speakers")
    axes.set(
        xlabel="true difference (points of WER)", ylabel="improved, or worse (%)", ylim=(0, 101)
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print the table, and draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=12000)
    parser.add_argument("--speakers", type=int, nargs="+", default=list(SPEAKERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="draw how often a true difference is found")
    parser.add_argument(
        "--detectable",
        action="store_true",
        help="print how often the smallest detectable difference is found, and nothing else",
    )
    options = parser.parse_args()
    if options.detectable:
        found = (
            simulate_detectable(speakers, draws=options.draws, seed=options.seed)
            for speakers in options.speakers
        )
        print(detectable_table([each for each in found if each is not None]))
        return
    effects = (0.0, *EFFECTS) if options.picture else (0.0,)
    outcomes = [
        simulate(speakers, effect=effect, draws=options.draws, seed=options.seed)
        for speakers in options.speakers
        for effect in effects
    ]
    print(table(outcomes))
    if options.picture:
        draw_power(outcomes, options.picture)


if __name__ == "__main__":
    main()
