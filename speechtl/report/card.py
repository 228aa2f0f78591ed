"""The run folder's README.md: a Hugging Face model card.

The front matter is the one of https://huggingface.co/docs/hub/model-cards, its `model-index` that
of https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import yaml

from speechtl.report import markdown
from speechtl.report.phrases import (
    accent_name,
    base_note,
    count,
    disparity,
    folds_note,
    gain,
    headline,
    kept_weights,
    label_rounds,
    leaks,
    percent,
    power,
    set_name,
    shared_sentences,
    shown_name,
    silence,
    sweep_outcome,
    trained,
)
from speechtl.scoring import Report

__all__ = ["render"]


def render(report: Report) -> str:
    """Return the model card: front matter, scores, how to use the model, where it came from."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("speechtl.report"),
        # Markdown, not HTML: each text is escaped by the filter below.
        autoescape=False,  # noqa: S701
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        md=markdown.escape,
        count=count,
        percent=percent,
        accent_name=accent_name,
        base_note=base_note,
        kept_weights=kept_weights,
        label_rounds=label_rounds,
        sweep_outcome=sweep_outcome,
        trained=trained,
    )
    return environment.get_template("card.md.j2").render(
        front_matter=_yaml(_front_matter(report)),
        report=report,
        facts=report.facts,
        model=_model_name(report),
        headlines=[headline(report, name) for name in report.sets],
        scores=markdown.scores_table(report),
        details=_details(report),
        warnings=_licence_warnings(report.facts.licences),
    )


def _details(report: Report) -> list[str]:
    """Return what else of the scores a user of the model should know."""
    lines = [folds_note(report.facts), gain(report), disparity(report)]
    lines += [f"{set_name(report, name)}: {power(score)}" for name, score in report.sets.items()]
    lines += [f"Leakage. {line}" for line in leaks(report.facts)]
    lines += [f"Shared. {line}" for line in shared_sentences(report.facts)]
    return [line for line in (*lines, silence(report)) if line]


def _front_matter(report: Report) -> dict[str, Any]:
    facts = report.facts
    tags = ["automatic-speech-recognition", "speechtl", "accent", facts.accent, facts.family]
    return {
        "language": ["en"],
        "library_name": "transformers",
        "pipeline_tag": "automatic-speech-recognition",
        "base_model": _model_name(report),
        **_datasets(facts.corpus),
        "tags": list(dict.fromkeys(tags)),
        "metrics": ["wer", "cer"],
        "model-index": [
            {
                "name": f"{_model_name(report)}, adapted to {accent_name(facts.accent)}",
                "results": [_result(report, name) for name in report.sets],
            }
        ],
    }


def _datasets(corpus: str) -> dict[str, list[str]]:
    """Return the hub's name of the corpus, where it has one."""
    name = corpus.removeprefix("hf:").partition(":")[0]
    is_id = corpus.startswith("hf:") and not Path(name).is_absolute() and name.count("/") == 1
    return {"datasets": [name]} if is_id else {}


def _result(report: Report, name: str) -> dict[str, Any]:
    score = report.sets[name].adapted
    corpora = {"target": report.facts.corpus, "control": report.facts.control}
    corpus = shown_name(corpora.get(name) or "")
    label = f"{set_name(report, name)} test set"
    return {
        "task": {"type": "automatic-speech-recognition", "name": "Speech recognition"},
        "dataset": {"type": corpus or name, "name": label, "split": "test"},
        # The hub's leaderboards read error rates in per cent, so the card does and says so.
        "metrics": [
            {"type": kind, "name": f"{kind.upper()} (%)", "value": round(rate * 100, 2)}
            for kind, rate in (("wer", score.wer), ("cer", score.cer))
            if rate is not None
        ],
    }


def _licence_warnings(licences: tuple[str, ...]) -> list[str]:
    warnings = []
    for licence in licences:
        terms = re.split(r"[^a-z0-9]+", licence.lower())
        if "nc" in terms:
            warnings.append(f"{licence}: no commercial use of the speech (NC).")
        if "sa" in terms:
            warnings.append(f"{licence}: what is made from the speech is shared alike (SA).")
    return warnings


def _model_name(report: Report) -> str:
    return shown_name(report.facts.model)


def _yaml(tree: dict[str, Any]) -> str:
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100)
