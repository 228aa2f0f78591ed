"""A tiny random checkpoint of each family, and tiny corpora of tones in noise, for whole runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models.conftest import noise, write_ctc_checkpoint, write_whisper_checkpoint

from speechtl.audio import write
from speechtl.config import RunConfig
from speechtl.corpus import Corpus, Utterance
from speechtl.manifest import read_manifest, write_manifest
from speechtl.training import TrainingConfig

TEXTS = ("the cat", "a mat", "sat on", "the hat", "on the mat", "a hat sat", "the cat sat")
SPEAKERS = {"train": ("ann", "bob"), "dev": ("cat",), "test": ("dan", "eve")}


def write_corpus(root: Path, *, accents: Iterable[str] = ("scottish", "general")) -> Path:
    """Write a manifest of 17 utterances in each accent, with split columns, and return its path."""
    utterances: list[Utterance] = []
    for accent in accents:
        for split, speakers in SPEAKERS.items():
            for speaker in speakers:
                for number in range(4 if split == "train" else 3):
                    seed = len(utterances)
                    path = root / "audio" / f"{accent}-{split}-{speaker}-{number}.wav"
                    write(path, noise(0.5 + 0.05 * number, seed=seed % 12))
                    utterances.append(
                        Utterance(
                            id=path.stem,
                            audio=path,
                            text=TEXTS[seed % len(TEXTS)],
                            speaker=f"{accent}-{speaker}",
                            accent=accent,
                            split=split,
                            licence="CC0-1.0",
                        )
                    )
    manifest = root / "manifest.jsonl"
    write_manifest(Corpus(utterances), manifest)
    return manifest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Let tiny models compute in one thread, which for them is the quickest."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the checkpoint folder of each family, to be read only."""
    root = tmp_path_factory.mktemp("tiny")
    return {
        "ctc": write_ctc_checkpoint(root / "ctc", "wav2vec2-group", hidden_dropout=0.1),
        "whisper": write_whisper_checkpoint(root / "whisper", "english"),
    }


@pytest.fixture(scope="session")
def _corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus")).parent


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHTL_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def manifest(_corpus: Path, tmp_path: Path) -> Path:
    """Return the manifest of a copy of the tiny corpus, which the test may break."""
    return Path(shutil.copytree(_corpus, tmp_path / "corpus")) / "manifest.jsonl"


@pytest.fixture
def change(manifest: Path) -> Callable[..., None]:
    """Return a function that changes fields of one utterance in the tiny corpus."""

    def changed(name: str, **fields: object) -> None:
        corpus = read_manifest(manifest)
        assert name in {utterance.id for utterance in corpus}
        write_manifest(
            Corpus(replace(each, **fields) if each.id == name else each for each in corpus),  # type: ignore[arg-type]
            manifest,
        )

    return changed


@pytest.fixture
def config(manifest: Path, tiny_models: dict[str, Path], tmp_path: Path) -> RunConfig:
    """Return the configuration of a run of about a second on the tiny corpus and CTC model."""
    return RunConfig(
        accent="scottish",
        model=str(tiny_models["ctc"]),
        corpus=str(manifest),
        general=str(manifest),
        strategy="encoder",
        training=TrainingConfig(epochs=2, learning_rate=1e-2, batch_size=4, interpolation=0.7),
        device="cpu",
        precision="float32",
        output=tmp_path / "run",
    )
