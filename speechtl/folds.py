"""One run for each fold of the speakers, and one report of all of them: each is tested once.

The folder of the whole holds those of the folds; what is finished is on disk and is not run again,
so the same command goes on where it was ended, unless it is to overwrite.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from speechtl import models, pipeline
from speechtl.config import RunConfig
from speechtl.errors import ConfigError, DataError
from speechtl.leakage import Overlap
from speechtl.report import write_all
from speechtl.run_data import Data, digests, prepare_data
from speechtl.run_facts import few_speakers_notes, versions
from speechtl.run_folder import (
    claim,
    config_text,
    finished_report,
    goes_on,
    kept_settings,
    require_free,
    run_folder,
)
from speechtl.scoring import (
    DataFacts,
    Hypothesis,
    Parameters,
    Report,
    RunFacts,
    Timing,
    make_report,
    read_hypotheses,
    write_hypotheses,
)

__all__ = ["adapt_folds"]

_Rows = dict[str, dict[str, list[Hypothesis]]]


def adapt_folds(config: RunConfig, listener: pipeline.Listener | None = None) -> Report:
    """Adapt once for each fold of the speakers, and write one report of all of them.

    Each fold is a run of its own, `folds/<k>` in the run folder: its speakers are tested by a model
    that was trained on, and chosen by, others. The top folder has the hypotheses of all folds, the
    report and its settings, but no model. Finished folds are not run again.

    Args:
        config: What to do; `folds` says over how many.
        listener: Is told how it goes.

    Raises:
        SpeechtlError: The configuration, the data, the model or the output folder cannot be used.
        KeyboardInterrupt: A fold was stopped by hand; the same call, but for `overwrite`, goes on
            with it.
    """
    listener = listener or pipeline.Silent()
    if config.folds is None or config.fold is not None:
        raise ConfigError("a run over folds needs their number (folds), and no single fold")
    directory = run_folder(config)
    require_free(directory, config)
    with listener.busy("loading the corpus"):
        data = prepare_data(replace(config, fold=1, minutes=None))  # the splits of one hold all
        text = _config_text(config, data)
    speakers = len((data.train + data.dev + data.test).speakers)
    for line in few_speakers_notes(data, speakers=speakers, folds=True):
        listener.note(line)
    going_on = goes_on(directory, config, text)
    if going_on:
        listener.note(f"going on with the unfinished folds in {directory}")
    begun = going_on

    def begin() -> None:
        # The folder is the folds' own only once the first of them has nothing left to find wrong.
        nonlocal begun
        if not begun:
            claim(directory, config, text)
            begun = True

    reports = []
    for number in range(1, config.folds + 1):
        listener.note(f"fold {number} of {config.folds}")
        one = replace(config, fold=number, output=_folder(directory, number))
        try:
            if going_on:
                reports.append(_fold(one, listener))
            else:
                reports.append(pipeline.adapt(one, listener, on_checked=begin))
        except KeyboardInterrupt:
            if begun:
                listener.note(_stopped(one))
            raise
    with listener.busy("writing the report"):
        return _pool(reports, directory)


def _folder(directory: Path, number: int) -> Path:
    return directory / "folds" / str(number)


def _config_text(config: RunConfig, data: Data) -> str:
    """Return the config.yaml of the whole: the settings, before any fold resolves them."""
    facts = {
        "model_revision": models.local_revision(config.model),
        "data_digest": digests(data),
        "versions": versions(),
    }
    return config_text(kept_settings(config), facts)


# --- the folds ------------------------------------------------------------------------------------


def _fold(config: RunConfig, listener: pipeline.Listener) -> Report:
    """Return the report of a fold: read if it is finished, else it is run, or gone on with."""
    if not (run_folder(config) / "report.json").exists():
        return pipeline.adapt(config, listener)
    done = finished_report(config)
    if done is None:
        return pipeline.adapt(replace(config, overwrite=True), listener)
    listener.note("done already")
    return done


def _stopped(config: RunConfig) -> str:
    """Return what a person should know of a fold that was stopped by hand."""
    # To overwrite would begin all of them anew.
    command = "the same command without --overwrite" if config.overwrite else "the same command"
    return (
        f"fold {config.fold} of {config.folds} was stopped by hand: there is no report of the "
        f"folds yet; {command} goes on with it"
    )


# --- all of them ----------------------------------------------------------------------------------


def _pool(reports: Sequence[Report], directory: Path) -> Report:
    """Write the top folder's hypotheses and reports, and return the report."""
    rows = _pooled_rows([_folder(directory, k) for k in range(1, len(reports) + 1)])
    for system, sets in rows.items():
        for name, each in sets.items():
            write_hypotheses(each, directory, name=name, system=system)
    facts = _pooled_facts([report.facts for report in reports], directory)
    report = make_report(facts, rows["base"], rows["adapted"])
    write_all(report, rows, directory)
    return report


def _pooled_rows(folders: Sequence[Path]) -> _Rows:
    """Return the hypotheses of all folds by system, then by set.

    A target utterance is in one fold. What each fold scores anew has the fold in its id; its
    speaker stays one speaker, over whom intervals are drawn.
    """
    pooled: _Rows = {}
    for number, folder in enumerate(folders, start=1):
        for system, sets in read_hypotheses(folder).items():
            for name, rows in sets.items():
                named = pooled.setdefault(system, {}).setdefault(name, [])
                prefix = "" if name == "target" else f"fold {number}/"
                named.extend(replace(row, id=f"{prefix}{row.id}") for row in rows)
    return pooled


def _pooled_facts(folds: Sequence[RunFacts], directory: Path) -> RunFacts:
    """Return the facts of all folds as those of one run.

    Times are summed. `data` is the sum over the folds for `test`, of which each has a part, and the
    mean of a fold for the other splits. Parameters and interpolation are means; where the folds
    chose different strategies, all of them are named. Epochs and sweeps are each fold's own.

    Raises:
        DataError: The folds had different base models.
    """
    first = folds[0]
    revisions = {facts.revision for facts in folds}
    if len(revisions) > 1:
        raise DataError(
            f"the folds in {directory / 'folds'} began with different revisions of {first.model} "
            f"({', '.join(sorted(map(str, revisions)))}); run them anew with --overwrite"
        )
    reasons: dict[str, str | None] = {}
    for facts in folds:  # whose minutes differ: of one strategy the first's reason is enough
        reasons.setdefault(facts.strategy, facts.why)
    return replace(
        first,
        folds=len(folds),
        strategy=_named(facts.strategy for facts in folds),
        why=_named(reasons.values()) or None,
        cut=_named(facts.cut for facts in folds),
        stopped=_named(facts.stopped for facts in folds) or None,
        parameters=Parameters(
            trainable=_mean(facts.parameters.trainable for facts in folds),
            frozen=_mean(facts.parameters.frozen for facts in folds),
        ),
        timing=_summed([facts.timing for facts in folds]),
        training=(),
        best_epoch=None,
        averaged=1,
        interpolation=statistics.fmean(facts.interpolation for facts in folds),
        sweep=(),
        data=_pooled_data(folds),
        dropped=tuple(dict.fromkeys(each for facts in folds for each in facts.dropped)),
        licences=tuple(sorted({each for facts in folds for each in facts.licences})),
        leakage=_pooled_leakage([each for facts in folds for each in facts.leakage]),
    )


def _named(values: Iterable[str | None]) -> str:
    """Return the value of all folds, or all of their values, each once."""
    return " / ".join(dict.fromkeys(value for value in values if value))


def _mean(values: Iterable[int]) -> int:
    return round(statistics.fmean(values))


def _summed(timings: Sequence[Timing]) -> Timing:
    named: dict[str, Any] = {
        field.name: round(sum(getattr(timing, field.name) for timing in timings), 3)
        for field in dataclasses.fields(Timing)
    }
    return Timing(**named)


def _pooled_data(folds: Sequence[RunFacts]) -> dict[str, DataFacts]:
    pooled = {}
    for name in dict.fromkeys(name for facts in folds for name in facts.data):
        found = [facts.data[name] for facts in folds if name in facts.data]
        share = 1 if name == "test" else len(found)
        pooled[name] = DataFacts(
            minutes=round(sum(each.minutes for each in found) / share, 2),
            utterances=round(sum(each.utterances for each in found) / share),
            speakers=round(sum(each.speakers for each in found) / share),
        )
    return pooled


def _pooled_leakage(found: Sequence[Overlap]) -> tuple[Overlap, ...]:
    """Return what each two splits share, summed over the folds; examples are the first fold's."""
    pairs: dict[tuple[str, str], list[Overlap]] = {}
    for each in found:
        pairs.setdefault((each.first, each.second), []).append(each)
    return tuple(
        Overlap(
            first=first,
            second=second,
            utterances=sum(each.utterances for each in group),
            speakers=tuple(sorted({speaker for each in group for speaker in each.speakers})),
            prompts=sum(each.prompts for each in group),
            near_prompts=sum(each.near_prompts for each in group),
            audio=sum(each.audio for each in group),
            examples=_some_examples(group),
        )
        for (first, second), group in pairs.items()
    )


def _some_examples(group: Sequence[Overlap]) -> tuple[tuple[str, str, str], ...]:
    """Return the examples of each kind of the first fold that has any."""
    by_kind: dict[str, tuple[tuple[str, str, str], ...]] = {}
    for each in group:
        for kind in dict.fromkeys(example[0] for example in each.examples):
            of_kind = tuple(example for example in each.examples if example[0] == kind)
            by_kind.setdefault(kind, of_kind)
    return tuple(example for examples in by_kind.values() for example in examples)
