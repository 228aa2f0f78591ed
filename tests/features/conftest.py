"""Tiny checkpoints of both families, short recordings, and a count of what is encoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from models.conftest import noise, write_ctc_checkpoint, write_whisper_checkpoint

from speechtl.audio import Waveform, write
from speechtl.augment import Augmentation
from speechtl.corpus import Utterance
from speechtl.features import FeatureSource, Recipe, Shelf, Waveforms
from speechtl.models import Features, SpeechModel, load
from speechtl.transcription import plain_recipe

SEED = 5
WINDOW_S = 4


@pytest.fixture(scope="session")
def ctc(tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    return load(str(write_ctc_checkpoint(tmp_path_factory.mktemp("ctc"), "wav2vec2-group")))


@pytest.fixture(scope="session")
def whisper(tmp_path_factory: pytest.TempPathFactory) -> SpeechModel:
    root = tmp_path_factory.mktemp("whisper")
    return load(str(write_whisper_checkpoint(root, "english", window_s=WINDOW_S)))


@pytest.fixture(scope="session")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    """Return seven utterances of 0.2 to 0.8 seconds, in no order of length."""
    root = tmp_path_factory.mktemp("audio")
    return [
        utterance(root, f"u{i}", seconds=seconds)
        for i, seconds in enumerate((0.5, 0.2, 0.8, 0.3, 0.7, 0.4, 0.6))
    ]


@pytest.fixture
def encoded(ctc: SpeechModel, whisper: SpeechModel, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which each encoding of either model adds the number of its waveforms."""
    sizes: list[int] = []

    def counted(encode: Callable[..., Features]) -> Callable[..., Features]:
        def counting(waveforms: Sequence[Waveform], cut: str) -> Features:
            sizes.append(len(waveforms))
            return encode(waveforms, cut)

        return counting

    for model in (ctc, whisper):
        monkeypatch.setattr(model, "encode", counted(model.encode))
    return sizes


def utterance(root: Path, name: str, *, seconds: float, text: str = "text") -> Utterance:
    path = root / f"{name}.wav"
    write(path, noise(seconds, seed=len(name) + ord(name[-1])))
    return Utterance(name, path, text, "speaker", "accent")


def feature_source(
    model: SpeechModel,
    cut: str,
    *,
    folder: Path | None = None,
    augmentation: Augmentation | None = None,
    waveforms: Waveforms | None = None,
    encoding: Any = None,
    **changes: Any,
) -> FeatureSource:
    """Return a source with a shelf in `folder`, without one if there is none."""
    recipe: Recipe = replace(
        plain_recipe(model, cut),
        augmentation=repr(augmentation) if augmentation else None,
        seed=SEED if augmentation else None,
        **changes,
    )
    return FeatureSource(
        model,
        recipe,
        waveforms=waveforms or Waveforms(),
        augmentation=augmentation,
        shelf=Shelf(folder, recipe) if folder else None,
        **({"encoding": encoding} if encoding else {}),
    )
