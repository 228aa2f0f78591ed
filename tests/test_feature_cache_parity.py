"""A run that reads its features from the cache is the run that computes them in each epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from speechtl import pipeline
from speechtl.audio import Waveform
from speechtl.config import RunConfig
from speechtl.files import read_jsonl
from speechtl.models import Features
from speechtl.models.base import Family
from speechtl.models.ctc import CtcModel
from speechtl.models.whisper import WhisperModel
from speechtl.pipeline import adapt
from speechtl.run_folder import run_folder
from speechtl.scoring import Report
from speechtl.strategy import STRATEGIES, StrategyName

CASES = [
    *(
        (family, name, "all")
        for family, names in STRATEGIES.items()
        for name in names
        if name != "from-scratch"  # nothing is frozen
    ),
    ("whisper", "decoder", "speech"),
]
TOLERANCE = 1e-4
"""Of a loss: what trains is kept in 16 bits, which moved no loss by more than 2e-5 here."""


@pytest.fixture(autouse=True)
def _improving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let dev WER fall with each look: random models learn nothing, and would be put back."""
    looks: list[None] = []

    def fallen(counts: Iterable[object]) -> SimpleNamespace:
        list(counts)
        looks.append(None)
        return SimpleNamespace(rate=1 / len(looks))

    monkeypatch.setattr(pipeline, "total", fallen)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which each encoding of either family adds the number of its waveforms."""
    sizes: list[int] = []
    for kind in (CtcModel, WhisperModel):

        def counted(
            model: Any, waveforms: Sequence[Waveform], cut: str, *, real: Any = kind.encode
        ) -> Features:
            sizes.append(len(waveforms))
            return real(model, waveforms, cut)  # type: ignore[no-any-return]

        monkeypatch.setattr(kind, "encode", counted)
    # The probes of silence lie in no file, and in no cache.
    monkeypatch.setattr(pipeline, "heard_in_silence", lambda *_, **__: [])
    return sizes


def losses_of(report: Report) -> list[float]:
    """Return the loss of each epoch."""
    found = [epoch.loss for epoch in report.facts.training if epoch.loss is not None]
    assert len(found) == 3
    return found


def texts(config: RunConfig) -> dict[str, dict[str, str]]:
    """Return what each system heard in each test utterance."""
    folder = run_folder(config) / "hypotheses"
    return {
        system: {
            row["id"]: row["hypothesis"] for _, row in read_jsonl(folder / f"target.{system}.jsonl")
        }
        for system in ("base", "adapted")
    }


@pytest.mark.parametrize(("family", "name", "frames"), CASES)
def test_a_run_from_the_cache_is_the_run_without_it(
    family: Family,
    name: StrategyName,
    frames: Literal["all", "speech"],
    config: RunConfig,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    encoded: list[int],
) -> None:
    chosen = replace(
        config,
        model=str(tiny_models[family]),
        general=None,
        strategy=name,
        top_layers=1,
        unfreeze_every=1,
        encoder_frames=frames,
        copies=2,
        training=replace(config.training, epochs=3),
    )
    losses: dict[str, list[float]] = {}
    heard: dict[str, dict[str, dict[str, str]]] = {}
    waveforms: dict[str, int] = {}
    for run in ("filling", "reading", "without"):
        own = replace(chosen, feature_cache=run != "without", output=tmp_path / run)
        encoded.clear()
        losses[run] = losses_of(adapt(own))
        heard[run], waveforms[run] = texts(own), sum(encoded)
    assert waveforms["reading"] == 0
    # 8 utterances train and 3 + 6 are scored: two copies of each that trains, once each that is
    # scored, and two lengths by which the size of either is foretold; else three epochs, four looks
    # at dev and two at test.
    assert waveforms["filling"] == 2 * 8 + 9 + 4
    assert waveforms["without"] == 3 * 8 + 4 * 3 + 2 * 6
    assert losses["reading"] == losses["filling"]
    assert losses["filling"] == pytest.approx(losses["without"], rel=TOLERANCE)
    assert heard["reading"] == heard["filling"]
    # What is scored is kept exactly, so a base model's texts are the same; the trained weights are
    # those of 16 bits, and a tie in a random model may fall to the other side.
    cached, computed = heard["filling"], heard["without"]
    assert cached["base"] == computed["base"]
    assert sum(t != computed["adapted"][i] for i, t in cached["adapted"].items()) <= 1
    assert cached["base"] != cached["adapted"]
