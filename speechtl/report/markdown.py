"""The report as Markdown: for a pull request, a wiki, a mail."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from speechtl.report.phrases import (
    accent_name,
    base_note,
    count,
    disparity,
    folds_note,
    gain,
    headline,
    interval,
    kept_weights,
    label_rounds,
    leaks,
    p_text,
    percent,
    points,
    power,
    set_name,
    shared_sentences,
    short_verdict,
    shown_name,
    signs,
    silence,
    sweep_outcome,
    trained_how,
)
from speechtl.report.words import confusion_lists, heard_as
from speechtl.scoring import Example, Group, Report, RunFacts, SetScore

__all__ = ["escape", "render", "scores_table", "table"]


def render(report: Report) -> str:
    """Return `report.md`."""
    facts = report.facts
    parts = [
        f"# {escape(accent_name(facts.accent))}: {escape(facts.model)}, before and after",
        "\n".join(f"- **{escape(headline(report, name))}**" for name in report.sets),
        escape(base_note(facts)),
        escape(folds_note(facts)),
        escape(gain(report)),
        "\n".join(f"- Leakage: {escape(line)}" for line in leaks(facts)),
        "## Scores",
        scores_table(report),
        escape(disparity(report)),
        "## How sure",
        _tests_table(report),
        "\n".join(
            f"- {escape(f'{set_name(report, name)}: {power(score)}')}"
            for name, score in report.sets.items()
        ),
        _normalisers_table(report),
        "\n".join(
            f"- {escape(f'{set_name(report, name)}: {told}')}"
            for name, score in report.sets.items()
            if (told := signs(score))
        ),
        escape(silence(report)),
        "\n".join(f"- Shared: {escape(line)}" for line in shared_sentences(facts)),
    ]
    for name, score in report.sets.items():
        parts += [f"## {escape(set_name(report, name))}, by speaker", _speakers_table(score)]
        parts += [_groups_table(score), _words_table(score)]
    if facts.training:
        parts += ["## Training", escape(kept_weights(facts))]
        parts += ["\n".join(f"- {escape(line)}" for line in label_rounds(facts))]
        parts += [_training_table(report)]
    if len(facts.sweep) > 1:
        parts += ["## Interpolation", escape(sweep_outcome(facts)), _sweep_table(facts)]
    for name, score in report.sets.items():
        for title, examples in (("repaired", score.repaired), ("broken", score.broken)):
            if examples:
                heading = f"## {escape(set_name(report, name))}: the utterances most {title}"
                parts += [heading, _examples_table(examples)]
    parts += ["## The run", _run_list(report)]
    if facts.dropped:
        rows = [(item.id, item.reason) for item in facts.dropped]
        parts += ["## Left out", table(("utterance", "reason"), rows)]
    return "\n\n".join(filter(None, parts)) + "\n"


def scores_table(report: Report) -> str:
    """Return the scores of every set and system; texts normalised, raw rates beside them."""
    header = (
        "accent",
        "utterances",
        "speakers",
        "words",
        "system",
        "WER",
        "CER",
        "substitutions",
        "deletions",
        "insertions",
        "raw WER",
        "raw CER",
        "absolute difference (WER)",
        "relative reduction (WER)",
    )
    rows = []
    for name, score in report.sets.items():
        size = (score.utterances, score.speakers, score.words)
        for system in ("base", "adapted"):
            found = score.base if system == "base" else score.adapted
            errors = (found.substitutions, found.deletions, found.insertions)
            change = (
                (points(score.difference.wer), percent(score.difference.wer_relative_reduction))
                if system == "adapted"
                else ("", "")
            )
            rows.append(
                (
                    set_name(report, name),
                    *map(count, size),
                    system,
                    percent(found.wer),
                    percent(found.cer),
                    *map(count, errors),
                    percent(found.raw.wer),
                    percent(found.raw.cer),
                    *change,
                )
            )
    return table(header, rows)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; the cells are text, whatever stands in them."""
    lines = [header, ["---"] * len(header)]
    lines += [[escape(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(text: str) -> str:
    """Return text that Markdown shows as it is, in one line: no markup, no HTML."""
    return re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", re.sub(r"[\r\n\t]+", " ", text))


def _tests_table(report: Report) -> str:
    rows = []
    for name, score in report.sets.items():
        difference, other = score.difference, score.difference.other_tests
        rows.append(
            (
                set_name(report, name),
                short_verdict(score) or "–",
                interval(difference.interval, signed=True),
                *(
                    "–" if p_value is None else p_text(p_value)
                    for p_value in (
                        difference.p_value,
                        difference.corrected_p_value,
                        None if other is None else other.mapsswe.p_value,
                        None if other is None else other.mcnemar.p_value,
                    )
                ),
            )
        )
    header = ("accent", "verdict", "95 % interval (points)", "sign flips", "corrected (Holm)")
    return table((*header, "MAPSSWE", "McNemar"), rows)


def _normalisers_table(report: Report) -> str:
    rows = [
        (
            set_name(report, name),
            f"{item.normaliser} (version {item.version})",
            percent(item.base),
            percent(item.adapted),
            points(item.difference, unit=False),
            interval(item.interval, signed=True),
        )
        for name, score in report.sets.items()
        for item in score.normalised
    ]
    header = ("accent", "other normaliser", "WER, base", "WER, adapted", "points", "95 % interval")
    return table(header, rows) if rows else ""


def _speakers_table(score: SetScore) -> str:
    return table(
        ("speaker", "utterances", "words", "WER, base", "WER, adapted", "95 % interval (points)"),
        [
            (
                item.speaker,
                count(item.utterances),
                count(item.words),
                percent(item.base_wer),
                percent(item.adapted_wer),
                interval(item.difference_interval, signed=True),
            )
            for item in score.per_speaker
        ],
    )


def _groups_table(score: SetScore) -> str:
    parts = score.groups
    kinds: dict[str, Sequence[Group]] = {
        "accent": parts.accents,
        "length": parts.lengths,
        "noise (estimated)": parts.snr,
        "sentence, in training": parts.prompts,
    }
    header = ("by", "part", "utterances", "speakers", "words", "WER, base", "WER, adapted")
    return table(
        (*header, "95 % interval (points)"),
        [
            (
                kind,
                item.name,
                count(item.utterances),
                count(item.speakers),
                count(item.words),
                percent(item.base_wer),
                percent(item.adapted_wer),
                interval(item.interval, signed=True),
            )
            for kind, rows in kinds.items()
            for item in rows
        ],
    )


def _words_table(score: SetScore) -> str:
    if score.vocabulary is None:
        return ""
    found = confusion_lists(score.vocabulary)
    return table(
        ("confusions", "base → adapted"),
        [
            (
                each.title,
                "; ".join(f"{heard_as(row)}: {row.base} → {row.adapted}" for row in each.rows)
                or each.nothing,
            )
            for each in found
        ],
    )


def _training_table(report: Report) -> str:
    return table(
        ("epoch", "step", "loss", "dev WER"),
        [
            (
                f"{item.epoch}{' (kept)' if item.epoch == report.facts.best_epoch else ''}",
                count(item.step),
                "–" if item.loss is None else f"{item.loss:.4f}",
                percent(item.dev_wer),
            )
            for item in report.facts.training
        ],
    )


def _sweep_table(facts: RunFacts) -> str:
    return table(
        ("interpolation", f"{escape(accent_name(facts.accent))} dev WER", "General dev WER"),
        [
            (
                f"{point.interpolation:g}"
                f"{' (kept)' if point.interpolation == facts.interpolation else ''}",
                percent(point.dev_wer),
                percent(point.general_dev_wer),
            )
            for point in facts.sweep
        ],
    )


def _examples_table(examples: Sequence[Example]) -> str:
    return table(
        ("utterance", "reference", "base", "adapted", "word errors"),
        [
            (
                item.id,
                item.reference,
                item.base,
                item.adapted,
                f"{item.base_errors} → {item.adapted_errors}",
            )
            for item in examples
        ],
    )


def _run_list(report: Report) -> str:
    facts = report.facts
    how = trained_how(facts)
    lines = [
        ("Model", facts.model + (f" at {facts.revision}" if facts.revision else "")),
        (
            "Strategy",
            f"{facts.strategy}{f' (auto: {facts.why})' if facts.why else ''}, cut at {facts.cut}",
        ),
        (
            "Parameters",
            f"{count(facts.parameters.trainable)} trained{f' ({how})' if how else ''}, "
            f"{count(facts.parameters.frozen)} frozen",
        ),
        ("Seed", str(facts.seed)),
        ("Normaliser", f"{facts.normaliser} (version {report.normaliser_version or 'not known'})"),
        *((("Folds over speakers", str(facts.folds)),) if facts.folds else ()),
        *((("Control", shown_name(facts.control)),) if facts.control else ()),
        *(
            (
                f"Data, {split}",
                f"{item.minutes:.1f} min, {count(item.utterances, 'utterance')}, "
                f"{count(item.speakers, 'speaker')}",
            )
            for split, item in facts.data.items()
        ),
        ("Licences of the speech", ", ".join(facts.licences) or "not known"),
        ("Time", f"{facts.timing.total_s:.0f} s, {facts.timing.train_s:.0f} s of it training"),
        ("Versions", ", ".join(f"{name} {text}" for name, text in facts.versions.items())),
    ]
    return "\n".join(f"- {name}: {escape(text)}" for name, text in lines)
