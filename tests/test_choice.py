"""What `--strategy auto` takes, and that a run says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from speechtl.choice import choose
from speechtl.config import RunConfig
from speechtl.models.base import Family
from speechtl.pipeline import Silent, adapt
from speechtl.run_folder import run_folder
from speechtl.strategy import StrategyName

SMALL, LARGE = 5_000_000, 95_000_000


@pytest.mark.parametrize(
    ("family", "parameters", "device", "minutes", "dev_wer", "expected"),
    [
        ("whisper", SMALL, "cpu", 20, 0.1, "decoder"),
        ("whisper", LARGE, "cpu", 1, 0.1, "decoder"),
        ("whisper", LARGE, "cuda", 20, 0.1, "encoder"),
        ("whisper", LARGE, "cuda", 20, 0.02, "head"),
        ("ctc", SMALL, "cpu", 1, 0.6, "encoder"),
        ("ctc", SMALL, "cpu", 199, 0.6, "encoder"),
        ("ctc", SMALL, "cpu", 201, 0.6, "top-layers"),
        ("ctc", LARGE, "cpu", 10, 0.6, "encoder"),
        ("ctc", LARGE, "cpu", 11, 0.6, "top-layers"),
        ("ctc", LARGE, "mps", 1000, 0.6, "encoder"),
        ("ctc", SMALL, "cpu", 20, 0.029, "head"),
    ],
)
def test_the_rule_of_the_documentation(
    family: Family,
    parameters: int,
    device: str,
    minutes: float,
    dev_wer: float,
    expected: StrategyName,
) -> None:
    found = choose(family, parameters=parameters, device=device, minutes=minutes, dev_wer=dev_wer)
    assert found.strategy == expected
    assert found.reason


class Told(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.parametrize(("family", "expected"), [("ctc", "encoder"), ("whisper", "decoder")])
def test_a_run_takes_what_suits_says_why_and_keeps_it_in_its_configuration(
    family: Family, expected: str, config: RunConfig, tiny_models: dict[str, Path]
) -> None:
    chosen = replace(config, model=str(tiny_models[family]), strategy="auto")
    listener = Told()
    report = adapt(chosen, listener)
    assert report.facts.strategy == expected
    assert report.facts.why
    assert f"strategy:     {expected}, for {report.facts.why}" in listener.notes
    saved: Any = yaml.safe_load((run_folder(chosen) / "config.yaml").read_text(encoding="utf-8"))
    assert saved["run"]["strategy"] == expected


def test_a_strategy_that_was_asked_for_has_no_reason(config: RunConfig) -> None:
    assert adapt(config).facts.why is None
