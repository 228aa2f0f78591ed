"""A run that reads its features from the cache is the run that computes them in each epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from speechtl import pipeline
from speechtl.audio import Waveform
from speechtl.config import RunConfig
from speechtl.corpus import read_jsonl
from speechtl.models import Features
from speechtl.models.base import Family
from speechtl.models.ctc import CtcModel
from speechtl.models.whisper import WhisperModel
from speechtl.pipeline import adapt, run_folder
from speechtl.scoring import Report
from speechtl.strategy import STRATEGIES, StrategyName

CASES = [
    *((family, name, "all") for family, names in STRATEGIES.items() for name in names),
    ("whisper", "decoder", "speech"),
]


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
    return sizes


def losses(report: Report) -> list[float]:
    return [epoch.loss for epoch in report.facts.training if epoch.loss is not None]


def texts(config: RunConfig) -> dict[tuple[str, str], str]:
    """Return what was heard in each utterance, by the file and its id."""
    return {
        (path.name, row["id"]): row["hypothesis"]
        for path in sorted((run_folder(config) / "hypotheses").iterdir())
        for _, row in read_jsonl(path)
    }


@pytest.mark.parametrize(("family", "name", "frames"), CASES)
def test_a_run_from_the_cache_is_the_run_without_it(
    family: Family,
    name: StrategyName,
    frames: Any,
    config: RunConfig,
    tiny_models: dict[str, Path],
    tmp_path: Path,
    encoded: list[int],
) -> None:
    chosen = replace(
        config,
        model=str(tiny_models[family]),
        strategy=name,
        top_layers=1,
        unfreeze_every=1,
        encoder_frames=frames,
    )
    import time

    done, counts = {}, {}
    for run in ("filling", "reading", "without"):
        own = replace(chosen, feature_cache=run != "without", output=tmp_path / run)
        encoded.clear()
        t = time.time()
        report = adapt(own)
        done[run], counts[run] = (losses(report), texts(own)), sum(encoded)
        print(run, time.time() - t, counts[run], done[run][0])
    assert done["reading"] == done["filling"]
    a = done["filling"]
    b = done["without"]
    print(
        "REL",
        max(abs(x - y) / y for x, y in zip(a[0], b[0])),
        sum(a[1][k] != b[1][k] for k in b[1]),
        len(b[1]),
        sum(
            b[1][k] != b[1][(k[0].replace("base", "adapted"), k[1])] for k in b[1] if "base" in k[0]
        ),
    )
