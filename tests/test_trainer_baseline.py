"""The baseline is `Trainer` as most people run it: the same data, parts, loss and texts as ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from models.conftest import noise, write_ctc_checkpoint, write_whisper_checkpoint

from speechtl import corpora, models
from speechtl.errors import ConfigError, DataError
from speechtl.metrics import total, word_errors
from speechtl.models import SpeechModel
from speechtl.text import normaliser

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"
TEXTS = ("the cat", "a mat", "sat on", "the hat", "on the mat", "a hat sat", "the cat sat")
NO_DROPOUT: dict[str, Any] = dict.fromkeys(
    (
        "hidden_dropout",
        "attention_dropout",
        "activation_dropout",
        "feat_proj_dropout",
        "final_dropout",
    ),
    0.0,
)
Load = Callable[[str], SpeechModel]


@pytest.fixture(scope="module")
def baseline() -> Iterator[ModuleType]:
    """Return the script, imported as the benchmark beside it does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        import trainer_baseline

        yield trainer_baseline


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Return a function from a kind, or a starter, to a new model with always the same weights."""
    root = tmp_path_factory.mktemp("baseline")

    def loaded(kind: str) -> SpeechModel:
        if kind in models.STARTERS:
            return models.load(kind)
        path = root / kind
        if not path.exists():
            if kind == "multilingual":
                write_whisper_checkpoint(path, kind)
            else:
                write_ctc_checkpoint(path, kind, ctc_loss_reduction="sum", **NO_DROPOUT)
        return models.load(str(path))

    return loaded


def examples(baseline: ModuleType, lengths_s: Sequence[float], *, seed: int = 0) -> list[Any]:
    """Return one example of each length."""
    return [
        baseline.Example(noise(seconds, seed=seed + i), TEXTS[i % len(TEXTS)])
        for i, seconds in enumerate(lengths_s)
    ]


def spoken(baseline: ModuleType, count: int) -> list[Any]:
    """Return examples of the starter corpus, half of them long, so that the others are padded."""
    dev = corpora.load("starter").where(accent="scottish", split="dev")
    ordered = sorted(dev, key=lambda each: each.duration)
    chosen = [*ordered[: count // 2], *ordered[-(count - count // 2) :]]
    return [baseline.Example(each.waveform(), each.text) for each in chosen]


def run(
    baseline: ModuleType, model: SpeechModel, train: Sequence[Sequence[Any]], **changes: Any
) -> Any:
    """Train for an epoch of one batch, unless the changes say otherwise."""
    settings: dict[str, Any] = {
        "dev": [],
        "trainable": frozenset({"head"}),
        "batch_size": len(train[0]),
        "epochs": 1,
        "learning_rate": 1e-3,
        "precision": "float32",
        "evaluate": False,
        "seed": 0,
        **changes,
    }
    return baseline.run_trainer(model, train, settings.pop("dev"), **settings)


def weights(model: SpeechModel) -> dict[str, list[torch.Tensor]]:
    return {part.name: [p.detach().clone() for p in part.parameters()] for part in model.parts()}


def decoded(model: SpeechModel, dev: Sequence[Any]) -> list[str]:
    return model.decode(model.encode([each.waveform for each in dev], model.parts()[0].name))


def heard(model: SpeechModel, dev: Sequence[Any]) -> float:
    """Return the WER of our own texts."""
    normal = normaliser("plain")
    pairs = zip(dev, decoded(model, dev), strict=True)
    return total(word_errors(normal(each.text), normal(text)) for each, text in pairs).rate


@pytest.fixture
def batches(baseline: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Return a list that fills with the sizes of the inputs of each batch."""
    seen: list[list[int]] = []
    collate = baseline._Collator.__call__

    def noted(self: Any, rows: Sequence[dict[str, Any]]) -> Any:
        seen.append([len(row["input_values"]) for row in rows])
        return collate(self, rows)

    monkeypatch.setattr(baseline._Collator, "__call__", noted)
    return seen


def test_every_epoch_sees_each_example_of_its_copy_once_grouped_by_its_length(
    baseline: ModuleType, fresh: Load, batches: list[list[int]]
) -> None:
    lengths_s = [0.5 + 0.01 * i for i in range(11)]
    copies = [examples(baseline, lengths_s), examples(baseline, [s + 0.2 for s in lengths_s[::-1]])]
    done = run(baseline, fresh("wav2vec2-stable"), copies, batch_size=4, epochs=3)

    assert done.steps == len(batches) == 9
    assert len(done.losses) == 3
    for epoch in range(3):
        of_epoch = batches[3 * epoch : 3 * epoch + 3]
        copy = [len(each.waveform) for each in copies[epoch % 2]]
        assert sorted(size for batch in of_epoch for size in batch) == sorted(copy)
        # The sampler puts each batch in order, then exchanges two of the first ones.
        assert all(batch[1:] == sorted(batch[1:], reverse=True) for batch in of_epoch)
    assert batches[:3] != batches[6:]


@pytest.mark.parametrize(
    ("kind", "trainable"),
    [
        ("wav2vec2-stable", {"head"}),
        ("wav2vec2-group", {"encoder.1", "encoder.2", "head"}),
        ("multilingual", {"head"}),
        ("multilingual", {"encoder.1", "decoder.0", "decoder.1", "head"}),
    ],
)
def test_frozen_parts_stay_bit_for_bit_and_the_others_move(
    baseline: ModuleType, fresh: Load, kind: str, trainable: set[str]
) -> None:
    model = fresh(kind)
    before = weights(model)
    run(baseline, model, [examples(baseline, [0.5, 0.6])], trainable=frozenset(trainable), epochs=2)
    moved = {
        name: [not torch.equal(*pair) for pair in zip(before[name], now, strict=True)]
        for name, now in weights(model).items()
    }
    assert {name for name, changes in moved.items() if any(changes)} == trainable


def test_no_graph_is_built_below_the_lowest_part_that_trains(
    baseline: ModuleType, fresh: Load
) -> None:
    model = fresh("wav2vec2-stable")
    network: Any = model.network
    asked = []
    handle = network.lm_head.register_forward_pre_hook(
        lambda _, inputs: asked.append(inputs[0].requires_grad)
    )
    run(baseline, model, [examples(baseline, [0.5, 0.6])])
    handle.remove()
    assert asked == [False]


@pytest.mark.parametrize(
    ("kind", "lengths_s"),
    [
        ("wav2vec2-stable", (0.5, 0.9, 0.7)),
        # Without a mask it reads the padding: only alike lengths have a loss that is alike.
        ("wav2vec2-group", (0.6, 0.6, 0.6)),
        ("multilingual", (0.5, 0.9, 0.7)),
    ],
)
def test_the_loss_of_the_first_step_is_ours(
    baseline: ModuleType, fresh: Load, kind: str, lengths_s: tuple[float, ...]
) -> None:
    model = fresh(kind)
    batch = examples(baseline, lengths_s)
    cut = model.parts()[2].name
    labels = [model.labels(each.text, samples=len(each.waveform)) for each in batch]
    with torch.no_grad():
        expected = float(model.loss(model.encode([e.waveform for e in batch], cut), labels))

    done = run(baseline, model, [batch])
    assert done.losses == [pytest.approx(expected, abs=1e-3)]


@pytest.mark.parametrize("kind", models.STARTERS)
def test_the_wer_of_a_model_that_learns_nothing_is_that_of_our_texts(
    baseline: ModuleType, fresh: Load, kind: str
) -> None:
    model, dev = fresh(kind), spoken(baseline, 4)
    dev[0] = baseline.Example(dev[0].waveform, "the cat")
    expected = heard(model, dev)
    assert 0 < expected < 1

    done = run(
        baseline, model, [dev[1:2]], dev=dev, batch_size=4, epochs=2, learning_rate=0.0,
        evaluate=True,
    )  # fmt: skip
    assert [wer for _, wer in done.dev] == [pytest.approx(expected)] * 2
    assert 0 < done.train_seconds < done.seconds
    assert 0 < done.dev[0][0] < done.dev[1][0] <= done.seconds


@pytest.mark.parametrize("kind", models.STARTERS)
def test_all_but_the_weights_is_given_back_as_it_was(
    baseline: ModuleType, fresh: Load, kind: str
) -> None:
    model, untouched, batch = fresh(kind), fresh(kind), spoken(baseline, 1)
    run(
        baseline, model, [batch], dev=batch, evaluate=True, precision="bf16", learning_rate=0.0,
        attention="eager",
    )  # fmt: skip

    network: Any = model.network
    assert network.config.to_dict() == untouched.network.config.to_dict()
    assert network.config._attn_implementation == untouched.network.config._attn_implementation
    assert set(vars(network)) == set(vars(untouched.network))
    assert not any(module.training for module in network.modules())
    assert [p.requires_grad for p in network.parameters()] == [
        p.requires_grad for p in untouched.network.parameters()
    ]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert decoded(model, batch) == decoded(untouched, batch)
    assert Accelerator(cpu=True, mixed_precision="no").mixed_precision == "no"


def test_what_cannot_be_trained_is_refused(baseline: ModuleType, fresh: Load) -> None:
    model = fresh("wav2vec2-stable")
    two, one = examples(baseline, [0.5, 0.6]), examples(baseline, [0.5])
    with pytest.raises(ConfigError, match=r"some of feature_encoder.*got \['tail'\]"):
        run(baseline, model, [two], trainable=frozenset({"tail"}))
    with pytest.raises(DataError, match=r"the same number of examples.*\[1, 2\]"):
        run(baseline, model, [two, one])
    with pytest.raises(DataError, match="dev examples"):
        run(baseline, model, [two], evaluate=True)
    with pytest.raises(DataError, match="too short"):
        run(baseline, model, [[baseline.Example(np.zeros(9, np.float32), "a")]])
