"""Where the lines and labels of the HTML report's charts lie in their boxes."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from speechtl.report.phrases import accent_name, axis_end, percent
from speechtl.scoring import Epoch, RunFacts, SetScore, SpeakerScore

__all__ = [
    "Curve",
    "Drawn",
    "Effect",
    "Label",
    "Line",
    "Slope",
    "SlopeChart",
    "SweepChart",
    "axis_top",
    "curves",
    "effects",
    "slope_chart",
    "sweep_chart",
]

HEIGHT = 220
"""Pixels from the top of the sweep's chart down to 0: fixed, so that no label covers another."""

LEADING = 17
"""Pixels from one line of a label to the next."""

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A measure, step by step, placed in a box: all coordinates in per cent of its sides."""

    name: str
    points: tuple[Point, ...]
    values: tuple[str, ...]
    kept: int | None

    @property
    def segments(self) -> tuple[tuple[Point, Point], ...]:
        """The lines between neighbouring points."""
        return tuple(zip(self.points, self.points[1:], strict=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve(Drawn):
    """A measure over the epochs, with an axis of its own, from 0 to `top`."""

    top: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Text beside a point.

    Attributes:
        x: Where it lies, in per cent of the box's width.
        y: The baseline of its first line, in pixels from the top.
        shift: Pixels to the right of x.
        anchor: What of the text lies there: its "start", "middle" or "end".
        name: The lines above the value.
        value: The point's WER.
        is_kept: Whether the point is the interpolation that was kept.
    """

    x: float
    y: float
    shift: int = 0
    anchor: str
    name: tuple[str, ...] = ()
    value: str
    is_kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line(Drawn):
    """The dev WER of an accent ("target" or "general") over the interpolations."""

    kind: str
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepChart:
    """The accents' dev WER over the interpolations, of which `kept` is the chosen one."""

    kept: float
    top: str
    lines: tuple[Line, ...]
    height: int = HEIGHT
    leading: int = LEADING


def axis_top(values: Iterable[float]) -> float:
    """Return the end of an axis from 0: the smallest round number that holds all values."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return 1.0
    magnitude = 10.0 ** math.floor(math.log10(highest))
    steps = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    # Rounded, since 0.6 / 0.1 is a little less than 6 in binary.
    return next(step * magnitude for step in steps if round(highest / magnitude, 9) <= step)


def curves(epochs: Sequence[Epoch], kept: int | None) -> list[Curve]:
    """Return the loss and the dev WER over the epochs, each where it has two points or more."""
    losses = [(item.epoch, item.loss) for item in epochs if _is_number(item.loss)]
    rates = [(item.epoch, item.dev_wer) for item in epochs if _is_number(item.dev_wer)]
    found = []
    if len(losses) > 1:
        found.append(_curve("Training loss", losses, kept, is_rate=False))
    if len(rates) > 1:
        found.append(_curve("WER on the dev set", rates, kept, is_rate=True))
    return found


def _is_number(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _curve(
    name: str, series: Sequence[tuple[int, float]], kept: int | None, *, is_rate: bool
) -> Curve:
    epochs, values = zip(*series, strict=True)
    top = axis_top(values)
    first, last = epochs[0], epochs[-1]
    points = tuple(
        (round(100 * (epoch - first) / (last - first), 2), round(100 - 100 * value / top, 2))
        for epoch, value in series
    )
    texts = [percent(value) if is_rate else f"{value:.3g}" for value in values]
    labels = tuple(f"epoch {epoch}: {text}" for epoch, text in zip(epochs, texts, strict=True))
    return Curve(
        name=name,
        top=axis_end(top) if is_rate else f"{top:g}",
        points=points,
        values=labels,
        kept=epochs.index(kept) if kept in epochs else None,
    )


# --- differences ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A set's difference on an axis whose middle is zero, in per cent of its width.

    Attributes:
        set: The set's key.
        at: Where the difference lies.
        low: Where its interval begins; None where there is none.
        high: Where it ends.
        detectable: How far from the middle differences are that the set can show; None where that
            is not known.
        budget: Where the limit of forgetting lies; None where there is none.
    """

    set: str
    at: float
    low: float | None
    high: float | None
    detectable: float | None
    budget: float | None


def effects(
    sets: Mapping[str, SetScore], *, max_forgetting: float | None
) -> tuple[float, list[Effect]]:
    """Return the end of the axis (a fraction; it begins as far below zero) and the sets on it.

    Args:
        sets: The scores by set; one without a difference is left out.
        max_forgetting: The limit of forgetting of the general accent (points).
    """
    budget = None if max_forgetting is None else max_forgetting / 100
    differences = {name: each.difference for name, each in sets.items()}
    reach = [
        abs(end)
        for each in differences.values()
        if each.wer is not None
        for end in (each.wer, *(each.interval or ()))
    ]
    reach += [budget] if budget is not None and "general" in sets else []
    top = axis_top(reach)

    def place(value: float | None) -> float | None:
        return None if value is None else round(50 + 50 * max(-1.0, min(1.0, value / top)), 2)

    found = []
    for name, each in differences.items():
        if (at := place(each.wer)) is None:
            continue
        low, high = each.interval or (None, None)
        least = each.smallest_detectable
        found.append(
            Effect(
                set=name,
                at=at,
                low=place(low),
                high=place(high),
                detectable=None if least is None else round(50 * min(1.0, least / top), 2),
                budget=place(budget) if name == "general" else None,
            )
        )
    return top, found


# --- speakers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Slope:
    """A speaker's line from the rate before to the rate after, heights in pixels from the top.

    Attributes:
        name: Who.
        before: Height of the rate before.
        after: Height of the rate after.
        kind: "better", "worse" or "same".
        label: What stands at its end; "" where the chart has too many speakers for that.
        label_at: The label's baseline.
        told: The whole, for who hovers or listens.
    """

    name: str
    before: float
    after: float
    kind: str
    label: str
    label_at: float
    told: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SlopeChart:
    """Every speaker's WER before and after, `height` pixels high, from 0 to `top`."""

    height: int
    top: str
    slopes: tuple[Slope, ...]


SLOPE_LABELS = 24
"""Speakers up to whom each line has its speaker's name."""

LABEL_LETTERS = 15
"""Letters of a speaker's name that a phone has room for, beside the chart."""


def slope_chart(speakers: Sequence[SpeakerScore]) -> SlopeChart | None:
    """Return the speakers' lines; None where no speaker has a rate before and after."""
    rated = [
        (each, each.base_wer, each.adapted_wer)
        for each in speakers
        if each.base_wer is not None and each.adapted_wer is not None
    ]
    if not rated:
        return None
    labelled = len(rated) <= SLOPE_LABELS
    height = max(200, LEADING * len(rated) + 20) if labelled else 320
    top = axis_top(rate for _, *rates in rated for rate in rates)
    ends = [height * (1 - after / top) for _, _, after in rated]
    shared = _shared_beginning([each.speaker for each, *_ in rated])
    baselines = _spread(ends, gap=LEADING, floor=height + 6.0)
    return SlopeChart(
        height=height,
        top=axis_end(top),
        slopes=tuple(
            Slope(
                name=each.speaker,
                before=round(height * (1 - before / top), 1),
                after=round(end, 1),
                kind="better" if after < before else "worse" if after > before else "same",
                label=_short(each.speaker[shared:]) if labelled else "",
                label_at=round(baseline + 5, 1),
                told=f"{each.speaker}: {percent(before)} to {percent(after)}",
            )
            for (each, before, after), end, baseline in zip(rated, ends, baselines, strict=True)
        ),
    )


def _shared_beginning(names: Sequence[str]) -> int:
    """Return how many letters all names begin with, up to a sign between words."""
    if len(names) < 2:
        return 0
    letters = itertools.takewhile(lambda each: len(set(each)) == 1, zip(*names, strict=False))
    signs = (place + 1 for place, (sign, *_) in enumerate(letters) if not sign.isalnum())
    return max(signs, default=0)


def _short(name: str) -> str:
    # Names of a corpus often begin alike.
    return name if len(name) <= LABEL_LETTERS else f"…{name[1 - LABEL_LETTERS :]}"


def _spread(heights: Sequence[float], *, gap: float, floor: float) -> list[float]:
    """Return the heights moved as little as need be to lie `gap` apart, none below `floor`."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    moved = list(heights)
    for upper, lower in itertools.pairwise(order):
        moved[lower] = max(moved[lower], moved[upper] + gap)
    limit = floor
    for place in reversed(order):
        moved[place] = min(moved[place], limit)
        limit = moved[place] - gap
    return moved


# --- the sweep ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scored:
    """An interpolation, its dev WER (a fraction) and how high that lies (pixels from the top)."""

    share: float
    rate: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    """An accent's dev WER, from the base on; `kept` is the place of what was kept."""

    kind: str
    name: str
    scored: tuple[_Scored, ...]
    kept: int | None

    @property
    def inner(self) -> _Scored | None:
        """What was kept if it lies between the base and the trained weights."""
        found = None if self.kept is None else self.scored[self.kept]
        return found if found and 0 < found.share < 1 else None

    @property
    def is_valley(self) -> bool:
        """Whether the line comes down to what was kept and does not go on downwards."""
        if not self.kept:
            return False
        before, kept, *after = self.scored[self.kept - 1 : self.kept + 2]
        return before.height < kept.height and all(each.height <= kept.height for each in after)


def sweep_chart(facts: RunFacts) -> SweepChart | None:
    """Return the dev WERs of the interpolations that were tried; None where none were."""
    if len(facts.sweep) < 2:
        return None
    known: dict[str, dict[float, float | None]] = {
        "target": {p.interpolation: p.dev_wer for p in facts.sweep},
        "general": {p.interpolation: p.general_dev_wer for p in facts.sweep},
    }
    found = {
        kind: {share: rate for share, rate in rates.items() if _is_number(rate)}
        for kind, rates in known.items()
    }
    top = axis_top(rate for rates in found.values() for rate in rates.values())
    series = [
        _Series(
            kind=kind,
            name=accent_name(facts.accent if kind == "target" else kind),
            scored=tuple(
                _Scored(share, rate, HEIGHT * (1 - rate / top)) for share, rate in rates.items()
            ),
            kept=list(rates).index(facts.interpolation) if facts.interpolation in rates else None,
        )
        for kind, rates in found.items()
        if rates
    ]
    labels = (_base_labels(series), _kept_labels(series), _last_labels(series))
    return SweepChart(
        kept=facts.interpolation,
        top=axis_end(top),
        lines=tuple(
            _line(each, [column[each.kind] for column in labels if each.kind in column])
            for each in series
        ),
    )


def _line(series: _Series, labels: Sequence[Label]) -> Line:
    return Line(
        name=series.name,
        points=tuple(
            (round(100 * point.share, 2), round(100 * point.height / HEIGHT, 2))
            for point in series.scored
        ),
        values=tuple(f"{point.share:g}: {percent(point.rate)}" for point in series.scored),
        kept=series.kept,
        kind=series.kind,
        labels=tuple(labels),
    )


def _base_labels(series: Sequence[_Series]) -> dict[str, Label]:
    """Return each accent's name and its first WER, left of the box."""
    # A phone has room for some eleven letters there.
    names = [textwrap.wrap(each.name, 11, max_lines=3, placeholder="…") for each in series]
    sizes = [LEADING * (len(name) + 1) for name in names]
    middles = _apart([each.scored[0].height for each in series], sizes)
    return {
        each.kind: Label(
            x=0,
            y=round(middle - size / 2 + 13, 1),
            shift=-12,
            anchor="end",
            name=tuple(name),
            value=percent(each.scored[0].rate),
            is_kept=each.kept == 0,
        )
        for each, name, size, middle in zip(series, names, sizes, middles, strict=True)
    }


def _kept_labels(series: Sequence[_Series]) -> dict[str, Label]:
    """Return the WERs of what was kept, above or below their points."""
    found = [(each, each.inner) for each in series if each.inner]
    found.sort(key=lambda pair: -pair[1].height)
    labels: dict[str, Label] = {}
    floor = float(HEIGHT)
    for each, point in found:
        is_lower = len(found) == 2 and not labels
        is_below = (is_lower or each.is_valley) and point.height + 26 <= floor
        baseline = point.height + 22 if is_below else min(point.height - 12, floor - 4)
        floor = min(point.height - 8, baseline + 4 - LEADING)
        labels[each.kind] = Label(
            x=round(100 * point.share, 2),
            y=round(baseline, 1),
            anchor="middle",
            value=percent(point.rate),
            is_kept=True,
        )
    return labels


def _last_labels(series: Sequence[_Series]) -> dict[str, Label]:
    """Return the WERs of the last points, right of them, where no other label stands there."""
    found = [
        (each, each.scored[-1])
        for each in series
        if each.scored[-1] not in {each.scored[0], each.inner}
    ]
    middles = [point.height for _, point in found]
    if len({point.share for _, point in found}) == 1:
        middles = _apart(middles, [LEADING] * len(found))
    return {
        each.kind: Label(
            x=round(100 * point.share, 2),
            y=round(middle + 5, 1),
            shift=12,
            anchor="start",
            value=percent(point.rate),
            is_kept=each.kept == len(each.scored) - 1,
        )
        for (each, point), middle in zip(found, middles, strict=True)
    }


def _apart(heights: Sequence[float], sizes: Sequence[int]) -> list[float]:
    """Return the middles, near `heights`, at which texts of these sizes do not overlap."""
    middles = list(heights)
    order = sorted(range(len(heights)), key=heights.__getitem__)
    if len(order) == 2:
        upper, lower = order
        wanted = (sizes[upper] + sizes[lower]) / 2
        missing = max(0.0, wanted - (heights[lower] - heights[upper]))
        middles[upper] -= missing / 2
        middles[lower] += missing / 2
    # Above is what was kept, below are the names of the axis' ends.
    ceiling, floor = -6.0, HEIGHT + 6.0
    for place in order:
        middles[place] = max(middles[place], ceiling + sizes[place] / 2)
        ceiling = middles[place] + sizes[place] / 2
    for place in reversed(order):
        middles[place] = min(middles[place], floor - sizes[place] / 2)
        floor = middles[place] - sizes[place] / 2
    return middles
