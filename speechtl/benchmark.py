"""Many runs in one table: each combination of accents, models, strategies, minutes and seeds.

What is finished is on disk and is not run again, so the same command resumes where it stopped.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import math
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from rich import box
from rich.table import Table
from rich.text import Text

from speechtl import pipeline
from speechtl.config import RunConfig, accent_names, run_config, suggestion
from speechtl.errors import ConfigError, SpeechtlError
from speechtl.files import replacing, write_text
from speechtl.models import STARTERS
from speechtl.report.phrases import accent_name, percent, points
from speechtl.run_data import prepare_data
from speechtl.run_folder import OtherRunError, finished_report, run_folder, saved_revision
from speechtl.scoring import Report
from speechtl.strategy import STRATEGIES

__all__ = ["Grid", "Row", "Spread", "run", "spreads", "table", "write"]

# Okabe and Ito's blue and orange: apart for every kind of colour vision, and in grey.
_COLOURS = {"before": "#0072B2", "after": "#E69F00"}
_LINES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_UNSAFE = re.compile(r"[^\w.@-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What is combined; each name as the command line gives it.

    Attributes:
        accents: Accents that have a file in `configs/accents`.
        models: Starter names, checkpoint folders, or hub ids with an optional `@revision`.
        strategies: Strategies of either family.
        minutes: The most minutes of training speech; None takes all there are. A combination that
            asks for more than its corpus holds is left out. Several make a learning curve.
        seeds: Whole numbers from 0, as text or numbers.
        epochs: The most epochs of each run; None takes the default.
        device: `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        ConfigError: A list is empty or holds an unknown name; all of them are listed.
    """

    accents: tuple[str, ...]
    models: tuple[str, ...]
    strategies: tuple[str, ...] = ("auto",)
    minutes: tuple[float | None, ...] = (None,)
    seeds: tuple[str | int, ...] = (0,)
    epochs: int | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        empty = [
            f"{name} must name at least one"
            for name in ("accents", "models", "strategies", "minutes", "seeds")
            if not getattr(self, name)
        ]
        faults = [*empty, *_unknown_names(self)]
        if faults:
            raise ConfigError("the benchmark cannot start:\n  - " + "\n  - ".join(faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of one combination; rates are fractions, None where there is none.

    Attributes:
        accent: The accent that was adapted to.
        model: The base model.
        strategy: What trained.
        minutes: The most minutes of training speech that were asked for; None where all were.
        seed: The run's seed.
        trained_minutes: The minutes of the accent's speech that were trained on.
        trainable: Parameters that trained.
        seconds: How long the run took (s), when it was run.
        target_wer_before: The base model's WER on the accent's test set.
        target_wer_after: The adapted model's.
        target_wer_difference: After - before, absolute: negative is better.
        target_wer_relative_reduction: The share of the errors that is gone: positive is better.
        general_wer_before: The base model's WER on the accent that it already knew.
        general_wer_after: The adapted model's.
        error: Why the combination has no result; None where it has one.
    """

    accent: str
    model: str
    strategy: str
    seed: int
    minutes: float | None = None
    trained_minutes: float | None = None
    trainable: int | None = None
    seconds: float | None = None
    target_wer_before: float | None = None
    target_wer_after: float | None = None
    target_wer_difference: float | None = None
    target_wer_relative_reduction: float | None = None
    general_wer_before: float | None = None
    general_wer_after: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The mean, the least and the most over the seeds of one accent, model, strategy and minutes.

    Attributes:
        accent: The accent.
        model: The base model.
        strategy: What trained.
        minutes: The most minutes of training speech; None where all were used.
        seeds: How many seeds have a result.
        values: `(mean, least, most)` by the name of the field of `Row`, for those that have values.
    """

    accent: str
    model: str
    strategy: str
    minutes: float | None
    seeds: int
    values: dict[str, tuple[float, float, float]]


_SPREAD_FIELDS = (
    "target_wer_before",
    "target_wer_after",
    "target_wer_difference",
    "target_wer_relative_reduction",
    "general_wer_before",
    "general_wer_after",
)


# --- the runs -------------------------------------------------------------------------------------


def run(
    grid: Grid,
    output: Path,
    *,
    say: Callable[[str], None] = lambda _: None,
    adapt: Callable[[RunConfig], Report] = pipeline.adapt,
) -> list[Row]:
    """Return a row for each combination, run now or read from where an earlier call left it.

    Each run has a folder under `output/runs`. A combination that fails has the reason in its row
    and does not stop the others. The tables are written again after each combination.

    Args:
        grid: What is combined.
        output: The folder of the tables and of the runs.
        say: Is told what is being done, a line at a time.
        adapt: Runs one configuration.

    Raises:
        ConfigError: A setting is unknown or two models have the same folder; nothing was run.
        OutputError: The tables cannot be written.
        KeyboardInterrupt: A run was stopped by hand; it is run again next time.
    """
    configs = _configs(grid, output)
    configs = list(_long_enough(configs, say=say))
    rows: list[Row] = []
    for number, config in enumerate(configs, start=1):
        say(f"[{number}/{len(configs)}] {_describe(config)}")
        done = finished_report(config)
        if done is not None:
            say("  already done")
            rows.append(_row(config, done))
            continue
        row, interrupted = _result(config, say=say, adapt=adapt)
        rows.append(row)
        write(rows, output)
        if interrupted:
            raise KeyboardInterrupt
    write(rows, output)
    return rows


def _configs(grid: Grid, output: Path) -> list[RunConfig]:
    """Return the configuration of each combination, checked, in the order of the table."""
    runs = output / "runs"
    combinations = itertools.product(
        _once(grid.accents),
        _once(grid.models),
        _once(grid.strategies),
        _once(grid.minutes),
        _once(map(int, grid.seeds)),
    )
    configs = []
    for accent, model, strategy, minutes, seed in combinations:
        # Part of the name: a run with others is not the run that was asked for.
        limit = "" if minutes is None else f"-{minutes:g}-minutes"
        limit += "" if grid.epochs is None else f"-{grid.epochs}-epochs"
        chosen: dict[str, Any] = {
            "accent": accent,
            "model": model,
            "strategy": strategy,
            "minutes": minutes,
            "seed": seed,
            "device": grid.device,
            "output": runs / f"{_slug(model)}-{strategy}-{accent}-{seed}{limit}",
        }
        if grid.epochs is not None:
            chosen["training"] = {"epochs": grid.epochs}
        configs.append(run_config(chosen, where="the benchmark"))
    _check_folders(configs)
    return configs


def _check_folders(configs: Sequence[RunConfig]) -> None:
    owners: dict[Path | None, str] = {}
    for config in configs:
        other = owners.setdefault(config.output, config.model)
        if other != config.model:
            raise ConfigError(
                f"the models {other} and {config.model} would share the run folder "
                f"{config.output}; give them names that differ in letters or digits"
            )


def _long_enough(
    configs: Sequence[RunConfig], *, say: Callable[[str], None]
) -> Iterator[RunConfig]:
    """Yield the configurations that ask for no more minutes than there are; tell the others."""
    there: dict[tuple[str, int], float] = {}  # seconds to train on, which the seed splits off
    for config in configs:
        key = config.accent, config.seed
        if config.minutes is not None and key not in there:
            there[key] = _training_seconds(config)
        if config.minutes is not None and there[key] < 60 * config.minutes:
            say(f"left out, there is not so much speech: {_describe(config)}")
        else:
            yield config


def _training_seconds(config: RunConfig) -> float:
    try:
        return prepare_data(replace(config, minutes=None)).train.duration
    except SpeechtlError:  # told where it is run
        return math.inf


def _result(
    config: RunConfig, *, say: Callable[[str], None], adapt: Callable[[RunConfig], Report]
) -> tuple[Row, bool]:
    """Return the row of one combination, and whether it was stopped by hand."""
    try:
        report = _adapted(config, adapt)
    except SpeechtlError as error:
        reason = str(error)
    except Exception as error:  # a fault of a library in one run must not cost the others
        reason = f"{type(error).__name__}: {error}"
    else:
        if report.facts.stopped == "interrupted":
            return _failed(config, "stopped by hand; run the same command to do it again"), True
        row = _row(config, report)
        say(f"  WER {percent(row.target_wer_before)} → {percent(row.target_wer_after)}")
        return row, False
    say(f"  failed: {reason}")
    return _failed(config, reason), False


def _adapted(config: RunConfig, adapt: Callable[[RunConfig], Report]) -> Report:
    """Return the report of a run; one that was killed is gone on with, anything else replaced."""
    if not (run_folder(config) / "report.json").exists() and saved_revision(config) is not None:
        with contextlib.suppress(OtherRunError):  # its speech has changed since
            return adapt(config)
    return adapt(replace(config, overwrite=True))


def _row(config: RunConfig, report: Report) -> Row:
    facts, target, general = report.facts, report.sets["target"], report.sets.get("general")
    train = facts.data.get("train")
    return Row(
        accent=config.accent,
        model=config.model,
        strategy=config.strategy,
        seed=config.seed,
        minutes=config.minutes,
        trained_minutes=train.minutes if train else None,
        trainable=facts.parameters.trainable,
        seconds=facts.timing.total_s,
        target_wer_before=target.base.wer,
        target_wer_after=target.adapted.wer,
        target_wer_difference=target.difference.wer,
        target_wer_relative_reduction=target.difference.wer_relative_reduction,
        general_wer_before=general.base.wer if general else None,
        general_wer_after=general.adapted.wer if general else None,
    )


def _failed(config: RunConfig, reason: str) -> Row:
    return Row(
        accent=config.accent,
        model=config.model,
        strategy=config.strategy,
        seed=config.seed,
        minutes=config.minutes,
        error=" ".join(reason.split()),
    )


def _describe(config: RunConfig) -> str:
    return (
        f"{accent_name(config.accent)}, {config.model}, strategy {config.strategy}, "
        f"{_minutes(config.minutes)}seed {config.seed}"
    )


def _minutes(minutes: float | None) -> str:
    return "" if minutes is None else f"{minutes:g} min, "


def _slug(model: str) -> str:
    """Return a model's name as part of a folder's, at most the 80 characters that tell most."""
    return _UNSAFE.sub("_", model).strip("_.")[-80:]


def _once(values: Any) -> list[Any]:
    return list(dict.fromkeys(values))


# --- names ----------------------------------------------------------------------------------------


def _unknown_names(grid: Grid) -> Iterator[str]:
    for accent in grid.accents:
        if accent not in accent_names():
            yield _unknown("accent", accent, accent_names())
    for model in grid.models:
        if not _is_model(model):
            yield (
                f"{_unknown('model', model, tuple(STARTERS))}, or give a checkpoint folder or a "
                "hub id (owner/name)"
            )
    strategies = ["auto", *_once(name for names in STRATEGIES.values() for name in names)]
    for strategy in grid.strategies:
        if strategy not in strategies:
            yield _unknown("strategy", strategy, strategies)
    for minutes in grid.minutes:
        if minutes is not None and not minutes > 0:
            yield f"minutes must be above 0, got {minutes:g}"
    for seed in grid.seeds:
        if not re.fullmatch(r"[0-9]+", str(seed)):
            yield f"seeds must be whole numbers from 0, got '{seed}'"


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    return f"there is no {kind} '{name}'; {suggestion(name, known)}choose from: {', '.join(known)}"


def _is_model(name: str) -> bool:
    """Return whether a name may be a model's; whether the hub has it shows when it is fetched."""
    return name in STARTERS or Path(name).expanduser().is_dir() or bool(_HUB_ID.fullmatch(name))


# --- the tables -----------------------------------------------------------------------------------


def spreads(rows: Sequence[Row]) -> list[Spread]:
    """Return mean, least and most of each combination that has several seeds."""
    found = []
    for (accent, model, strategy, minutes), group in _groups(rows).items():
        if len(group) > 1:
            values = {name: _spread(group, name) for name in _SPREAD_FIELDS}
            kept = {name: value for name, value in values.items() if value is not None}
            found.append(
                Spread(
                    accent=accent,
                    model=model,
                    strategy=strategy,
                    minutes=minutes,
                    seeds=len(group),
                    values=kept,
                )
            )
    return found


def _groups(rows: Sequence[Row]) -> dict[tuple[str, str, str, float | None], list[Row]]:
    """Return the rows that have a result by accent, model, strategy and minutes."""
    groups: dict[tuple[str, str, str, float | None], list[Row]] = {}
    for row in rows:
        if row.error is None:
            key = (row.accent, row.model, row.strategy, row.minutes)
            groups.setdefault(key, []).append(row)
    return groups


def _spread(rows: Sequence[Row], name: str) -> tuple[float, float, float] | None:
    values = [value for row in rows if (value := getattr(row, name)) is not None]
    # `fmean` of equal values may lie an ulp below the least of them; `mean` is exact.
    return (statistics.mean(values), min(values), max(values)) if values else None


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table that fits 80 columns; below it, why a combination failed."""
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    result.add_column("Accent, seed\nmodel, strategy", overflow="fold")
    for name in _MEASURED:
        result.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        result.add_row(*_terminal_cells(row))
    failed = [row for row in rows if row.error is not None]
    if failed:
        lines = [Text(f"{_label(row)}: {row.error}", style="red") for row in failed]
        result.caption = Text("\n").join(lines)
        result.caption_justify = "left"
    return result


_MEASURED = (
    "Trains\n(M)",
    "Time\n(s)",
    "WER\nbefore",
    "WER\nafter",
    "Absolute\n(points)",
    "Relative",
    "General\n(points)",
)


def _terminal_cells(row: Row) -> list[Text]:
    name = Text(
        f"{accent_name(row.accent)}, {_minutes(row.minutes)}{row.seed}\n{row.model}, {row.strategy}"
    )
    if row.error is not None:
        return [name, Text("–"), Text("–"), Text("failed", style="red")]
    difference = row.target_wer_difference
    style = "" if not difference else "green" if difference < 0 else "red"
    general = None
    if row.general_wer_before is not None and row.general_wer_after is not None:
        general = row.general_wer_after - row.general_wer_before
    return [
        name,
        Text("–" if row.trainable is None else f"{row.trainable / 1e6:.2f}"),
        Text("–" if row.seconds is None else f"{row.seconds:.0f}"),
        Text(percent(row.target_wer_before)),
        Text(percent(row.target_wer_after), style="bold"),
        Text(points(difference, unit=False), style=style),
        Text(percent(row.target_wer_relative_reduction), style=style),
        Text(points(general, unit=False)),
    ]


def _label(row: Row) -> str:
    return (
        f"{accent_name(row.accent)}, {row.model}, {row.strategy}, {_minutes(row.minutes)}"
        f"seed {row.seed}"
    )


def _cells(row: Row) -> list[str]:
    """Return a row's cells for people: what was combined, and what was measured."""
    return [
        accent_name(row.accent),
        row.model,
        row.strategy,
        "–" if row.trained_minutes is None else f"{row.trained_minutes:.1f}",
        str(row.seed),
        "–" if row.trainable is None else f"{row.trainable:,}",
        "–" if row.seconds is None else f"{row.seconds:.0f} s",
        f"{percent(row.target_wer_before)} → {percent(row.target_wer_after)}",
        points(row.target_wer_difference),
        percent(row.target_wer_relative_reduction),
        f"{percent(row.general_wer_before)} → {percent(row.general_wer_after)}",
    ]


def write(rows: Sequence[Row], output: Path) -> None:
    """Write benchmark.csv (fractions), benchmark.md and benchmark.png, each whole or not at all.

    Rows of several amounts of training speech are drawn in learning-curve.png.

    Raises:
        OutputError: The folder cannot be written.
    """
    names = [each.name for each in fields(Row)]
    with (
        replacing(output / "benchmark.csv") as partial,
        partial.open("w", encoding="utf-8", newline="") as stream,
    ):
        written = csv.DictWriter(stream, names)
        written.writeheader()
        written.writerows(asdict(row) for row in rows)
    write_text(output / "benchmark.md", _markdown(rows))
    pictures = {"benchmark.png": _bars([row for row in rows if row.minutes is None])}
    if any(row.minutes is not None for row in rows):
        curves = _learning_curves([row for row in rows if row.minutes is not None])
        # Without bars, the curves are all there is to see.
        pictures = {name: drawn for name, drawn in pictures.items() if drawn.axes}
        pictures["learning-curve.png"] = curves
    for name, picture in pictures.items():
        with replacing(output / name) as partial:
            picture.savefig(partial, format="png", dpi=150)


def _markdown(rows: Sequence[Row]) -> str:
    lines = [
        "# Benchmark",
        "",
        "Word error rate (WER) before and after adaptation, on test speakers that were not trained "
        "on; “general” is the accent that the model already knew.",
        "",
        *_markdown_table(
            (
                "Accent", "Model", "Strategy", "Minutes", "Seed", "Trained parameters", "Time",
                "WER before → after", "Absolute difference", "Relative reduction",
                "General WER before → after",
            ),
            [_cells(row) for row in rows if row.error is None],
        ),
    ]  # fmt: skip
    if several := spreads(rows):
        lines += ["", "## Over the seeds", "", "Mean (least to most).", ""]
        lines += _markdown_table(
            (
                "Accent", "Model", "Strategy", "Minutes", "Seeds", "WER before", "WER after",
                "Absolute difference", "Relative reduction", "General WER before",
                "General WER after",
            ),
            [_spread_cells(spread) for spread in several],
        )  # fmt: skip
    if failed := [row for row in rows if row.error is not None]:
        lines += ["", "## Failed", ""]
        lines += [f"- {_label(row)}: {row.error}" for row in failed]
    return "\n".join(lines) + "\n"


def _spread_cells(spread: Spread) -> list[str]:
    minutes = "all" if spread.minutes is None else f"{spread.minutes:g}"
    cells = [accent_name(spread.accent), spread.model, spread.strategy, minutes, str(spread.seeds)]
    for name in _SPREAD_FIELDS:
        shown = points if name == "target_wer_difference" else percent
        if name in spread.values:
            mean, least, most = map(shown, spread.values[name])
            cells.append(f"{mean} ({least} to {most})")
        else:
            cells.append("–")
    return cells


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    # Three names to the left, numbers to the right.
    return [line(header), line(["---"] * 3 + ["---:"] * (len(header) - 3)), *map(line, rows)]


# --- the picture ----------------------------------------------------------------------------------


def _bars(rows: Sequence[Row]) -> Figure:
    """Return grouped bars: a panel for each model and strategy, two bars for each accent."""
    groups = _groups(rows)
    panels = _once((model, strategy) for _, model, strategy, _ in groups)
    accents = _once(accent for accent, _, _, _ in groups)
    width = max(4.0, 1.5 + 1.1 * len(accents))
    columns = min(2, max(1, len(panels)))
    lines = max(1, -(-len(panels) // columns))
    figure = Figure(figsize=(width * columns, 3.6 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    if not panels:
        figure.text(0.5, 0.5, "no finished run", ha="center", va="center")
        return figure
    axes = list(figure.subplots(lines, columns, sharey=True, squeeze=False).flat)
    for spare in axes[len(panels) :]:
        spare.set_visible(False)
    for axis, (model, strategy) in zip(axes, panels, strict=False):
        axis.set_title(f"{model}, {strategy}", fontsize=10, parse_math=False)
        _draw(axis, [groups.get((accent, model, strategy, None), []) for accent in accents])
        names = [accent_name(accent).replace(" ", "\n") for accent in accents]
        axis.set_xticks(range(len(accents)), names, parse_math=False)
    figure.suptitle("WER on unseen speakers before and after adaptation", fontsize=11)
    handles = [Patch(color=colour, label=name) for name, colour in _COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _learning_curves(rows: Sequence[Row]) -> Figure:
    """Return WER against minutes: a panel for each accent and model, a line for each strategy.

    The line is the mean over the seeds, the band goes from the least to the most.
    """
    groups = _groups(rows)
    panels = _once((accent, model) for accent, model, _, _ in groups)
    strategies = _once(strategy for _, _, strategy, _ in groups)
    figure = Figure(figsize=(max(5.2, 4.6 * len(panels)), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    if not panels:
        figure.text(0.5, 0.5, "no finished run", ha="center", va="center")
        return figure
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False).flat
    for axis, (accent, model) in zip(axes, panels, strict=True):
        axis.set_title(f"{accent_name(accent)}, {model}", fontsize=10, parse_math=False)
        found = [(key, group) for key, group in groups.items() if key[:2] == (accent, model)]
        adapted = [row for key, group in found if key[2] != "from-scratch" for row in group]
        if before := _spread(adapted, "target_wer_before"):
            axis.axhline(100 * before[0], color="0.4", linestyle="--", label="before")
        for strategy, colour, marker in zip(
            strategies, itertools.cycle(_LINES), itertools.cycle("osD^v"), strict=False
        ):
            points_of = sorted(
                (_mean_minutes(group), spread)
                for key, group in found
                if key[2] == strategy and (spread := _spread(group, "target_wer_after"))
            )
            if not points_of:
                continue
            minutes = [place for place, _ in points_of]
            mean, least, most = ([100 * s[i] for _, s in points_of] for i in range(3))
            axis.plot(minutes, mean, color=colour, marker=marker, label=strategy)
            axis.fill_between(minutes, least, most, color=colour, alpha=0.2, linewidth=0)
        axis.set_xscale("log")
        ticks = _once(key[3] for key, _ in found)
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_xlabel("minutes of the accent's training speech")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("WER on unseen speakers (%)")
    shown = {
        label: handle
        for axis in figure.axes
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(shown.values()),
        list(shown),
        loc="outside lower center",
        ncols=max(1, len(shown)),
        frameon=False,
    )
    return figure


def _mean_minutes(rows: Sequence[Row]) -> float:
    return statistics.mean(row.trained_minutes or 0.0 for row in rows)


def _draw(axis: Axes, groups: Sequence[Sequence[Row]]) -> None:
    """Draw two bars for each group of seeds: the mean, with a line from the least to the most."""
    several = any(len(group) > 1 for group in groups)
    for offset, (system, colour) in zip((-0.2, 0.2), _COLOURS.items(), strict=True):
        found = [_spread(group, f"target_wer_{system}") for group in groups]
        shown = [(i + offset, spread) for i, spread in enumerate(found) if spread is not None]
        means = [100 * mean for _, (mean, _, _) in shown]
        below = [100 * (mean - least) for _, (mean, least, _) in shown]
        above = [100 * (most - mean) for _, (mean, _, most) in shown]
        bars = axis.bar(
            [place for place, _ in shown],
            means,
            0.38,
            color=colour,
            yerr=(below, above) if several and shown else None,
            capsize=3,
        )
        axis.bar_label(bars, [f"{mean:.1f}" for mean in means], fontsize=8, padding=2)
    axis.set_ylabel("WER (%)")
    axis.margins(y=0.1)
    axis.set_ylim(bottom=0)
    axis.spines[["top", "right"]].set_visible(False)
