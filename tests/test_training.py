"""The training loop on tiny random checkpoints: what moves, what never does, and when it stops."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models.conftest import noise, write_ctc_checkpoint, write_whisper_checkpoint
from torch import Tensor

from speechtl import training
from speechtl.augment import SpecAugment
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.models import Features, Objective, SpeechModel, load
from speechtl.models.base import Family
from speechtl.progress import silent
from speechtl.strategy import (
    STRATEGIES,
    Strategy,
    StrategyName,
    cut,
    ever,
    strategy,
    trainable_parameters,
)
from speechtl.training import (
    ALPHAS,
    EpochRecord,
    History,
    TrainingBatch,
    TrainingConfig,
    best_precision,
    default_epochs,
    fit,
    optimiser_steps,
)

CASES = [(family, name) for family, names in STRATEGIES.items() for name in names]
every_strategy = pytest.mark.parametrize(("family", "name"), CASES)


@pytest.fixture(autouse=True)
def _every_epoch_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_SAVING_SHARE", math.inf)


both_families = pytest.mark.parametrize("family", ["ctc", "whisper"])
TEXTS = ("THE CAT", "A MAT", "SAT ON", "THE HAT")


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Family], SpeechModel]:
    """Return a function that loads a tiny random checkpoint of a family anew."""
    root = tmp_path_factory.mktemp("checkpoints")
    # Dropout would be the only thing that the seed of a fit draws, were there no masks.
    folders = {
        "ctc": write_ctc_checkpoint(root / "ctc", "wav2vec2-group", hidden_dropout=0.1),
        "whisper": write_whisper_checkpoint(root / "whisper", "english"),
    }
    return lambda family: load(str(folders[family]))


@dataclass
class Fit:
    """A fit of four utterances in batches of two, with a dev WER that the test chooses."""

    model: SpeechModel
    name: StrategyName = "head"
    dev_wers: Sequence[float] = ()
    seen: list[dict[str, Tensor]] = field(default_factory=list)
    records: list[EpochRecord] = field(default_factory=list)
    on_batch: Callable[[int, int], None] = lambda epoch, batch: None

    @property
    def strategy(self) -> Strategy:
        return strategy(self.name, family=self.model.family, top_layers=1, unfreeze_every=1)

    def batches(self, epoch: int) -> Iterator[TrainingBatch]:
        where = cut(self.strategy, self.model, steps=100)
        for number in range(2):
            self.on_batch(epoch, number)
            rows = range(2 * number, 2 * number + 2)
            waveforms = [noise(0.5, seed=row) for row in rows]
            labels = [self.model.labels(TEXTS[row], samples=8000) for row in rows]
            yield self.model.encode(waveforms, where), labels, [1]

    def dev_wer(self) -> float:
        """Return the next chosen WER, else one that falls; note the weights that it would be of."""
        assert not any(module.training for module in self.model.network.modules())
        self.seen.append(weights(self.model))
        calls = len(self.seen) - 1
        return self.dev_wers[calls] if calls < len(self.dev_wers) else 1 / (calls + 1)

    def run(self, *, precision: Any = "float32", **changes: Any) -> History:
        training: dict[str, Any] = {
            "epochs": 2,
            "weight_decay": 0.0,
            "warmup": 0.0,
            "interpolation": 1.0,
            "average": 1,
        }
        names = set(TrainingConfig.__dataclass_fields__) - {"learning_rate"}
        training |= {key: value for key, value in changes.items() if key in names}
        others = {key: value for key, value in changes.items() if key not in names}
        self.strategy.prepare(self.model)
        return fit(
            self.model,
            self.strategy,
            self.batches,
            batches_per_epoch=[2] * training["epochs"],
            dev_wer=self.dev_wer,
            config=TrainingConfig(**training),
            learning_rate=1e-2,
            precision=precision,
            on_epoch=lambda record, _: self.records.append(record),
            **others,
        )


def weights(model: SpeechModel) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.network.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


# --- what moves -----------------------------------------------------------------------------------


@every_strategy
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_frozen_parts_stay_bit_identical_and_every_part_that_trains_moves(
    family: Family, name: StrategyName, precision: str, fresh: Callable[[Family], SpeechModel]
) -> None:
    model = fresh(family)
    names = [part.name for part in model.parts()]
    chosen = strategy(name, family=family, top_layers=1, unfreeze_every=1)
    chosen.prepare(model)
    trained = ever(chosen, names, steps=4)
    before = {part.name: [p.detach().clone() for p in part.parameters()] for part in model.parts()}
    buffers = {key: value.clone() for key, value in model.network.named_buffers()}
    history = Fit(model, name).run(precision=precision)
    assert history.best_epoch == 2
    for part in model.parts():
        kept = [
            torch.equal(old, new)
            for old, new in zip(before[part.name], part.parameters(), strict=True)
        ]
        if part.name in trained:
            assert not all(kept), f"{part.name} did not move"
            if name == "lora":
                assert sum(not one for one in kept) == len(trainable_parameters(part))
        else:
            assert all(kept), f"{part.name} moved"
    for key, value in model.network.named_buffers():
        assert torch.equal(value, buffers[key])
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}


@both_families
def test_training_lowers_the_loss_on_what_it_trains_on(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    history = Fit(fresh(family), "encoder").run(epochs=12)
    losses = [record.loss for record in history.epochs[1:]]
    assert None not in losses
    assert float(losses[-1] or 0) < 0.8 * float(losses[0] or 0)


@both_families
def test_the_same_seed_gives_the_same_weights(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    found = []
    for seed in (7, 7, 8):
        model = fresh(family)
        Fit(model, "top-layers").run(seed=seed, mask=SpecAugment())
        found.append(weights(model))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_a_mask_is_laid_on_training_batches_alone(fresh: Callable[[Family], SpeechModel]) -> None:
    masked: list[tuple[int, ...]] = []

    class Recorded(SpecAugment):
        def __call__(self, hidden: Tensor, lengths: Tensor, rng: np.random.Generator) -> Tensor:
            masked.append(tuple(hidden.shape))
            return super().__call__(hidden, lengths, rng)

    Fit(fresh("ctc")).run(mask=Recorded())
    assert len(masked) == 4  # two epochs of two batches


def test_a_part_that_a_strategy_unfreezes_trains_from_that_step_on(
    fresh: Callable[[Family], SpeechModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fresh("ctc")

    class Downwards(Strategy):
        """Unfreezes the top encoder layer after three of six steps, in the middle of an epoch."""

        def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:
            return frozenset(parts[-1:] if step < 3 else parts[-2:])

    trained: list[set[str]] = []
    loss = model.loss

    def noted(features: Features, labels: Sequence[Sequence[int]], *rest: Any) -> Tensor:
        parts = model.parts()
        trained.append({part.name for part in parts if part.parameters()[0].requires_grad})
        return loss(features, labels)

    monkeypatch.setattr(model, "loss", noted)
    run = Fit(model, "top-layers")  # whose features are cut where the layer begins
    before = weights(model)
    fit(
        model,
        Downwards(),
        run.batches,
        batches_per_epoch=[2] * 3,
        dev_wer=run.dev_wer,
        config=TrainingConfig(epochs=3, interpolation=1.0),
        learning_rate=1e-3,
        precision="float32",
    )
    assert trained == [{"head"}] * 3 + [{"encoder.2", "head"}] * 3
    _, first, second, _ = run.seen
    layer = [name for name in before if "encoder.layers.2." in name]
    assert all(torch.equal(first[name], before[name]) for name in layer)
    assert not all(torch.equal(second[name], before[name]) for name in layer)


# --- which epoch is kept, and when it stops -------------------------------------------------------


@both_families
def test_the_weights_of_the_best_epoch_are_restored(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    run = Fit(fresh(family), "top-layers", dev_wers=[0.9, 0.5, 0.3, 0.4, 0.6])
    history = run.run(epochs=4)
    assert (history.best_epoch, history.stopped, history.dev_wer) == (2, "finished", 0.3)
    assert [record.dev_wer for record in history.epochs] == [0.9, 0.5, 0.3, 0.4, 0.6]
    assert same(weights(run.model), run.seen[2])
    assert not same(weights(run.model), run.seen[4])


@both_families
def test_the_kept_weights_lie_between_the_base_and_the_trained_ones_which_train_on(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    whole = Fit(fresh(family), dev_wers=[0.9, 0.5, 0.3])
    whole.run(epochs=2, precision="float32", interpolation=1.0)
    half = Fit(fresh(family), dev_wers=[0.9, 0.5, 0.3])
    history = half.run(epochs=2, precision="float32", interpolation=0.5)
    assert history.best_epoch == 2
    kept = weights(half.model)
    assert not same(kept, whole.seen[2])
    for name, base in whole.seen[0].items():
        torch.testing.assert_close(half.seen[1][name], (base + whole.seen[1][name]) / 2)
        torch.testing.assert_close(kept[name], (base + whole.seen[2][name]) / 2)


@both_families
def test_short_utterances_attend_without_the_fused_kernel_to_the_same_losses(
    family: Family, fresh: Callable[[Family], SpeechModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    def losses(shortest: int) -> tuple[list[Any], str]:
        monkeypatch.setattr(training, "_SHORT_FRAMES", shortest)
        model = fresh(family)
        seen: set[str] = set()
        fitted = Fit(
            model,
            "encoder",
            on_batch=lambda *_: seen.add(model.network.config._attn_implementation),
        )
        history = fitted.run(epochs=2)
        assert model.network.config._attn_implementation == "sdpa"
        return [record.loss for record in history.epochs[1:]], max(seen, key=len)

    plain, implementation = losses(10_000)
    assert implementation == "eager"
    fused, implementation = losses(0)
    assert implementation == "sdpa"
    assert plain == pytest.approx(fused, rel=1e-4)


class SwitchedOffError(Exception):
    """Stands for a machine that is switched off."""


def kill(epoch: int, batch: int) -> None:
    if (epoch, batch) == (3, 1):
        raise SwitchedOffError


@both_families
@pytest.mark.parametrize("name", ["encoder", "gradual", "lora"])
def test_a_fit_that_was_killed_goes_on_as_if_it_had_not_been(
    name: StrategyName, family: Family, fresh: Callable[[Family], SpeechModel], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"epochs": 4, "interpolation": 0.5, "mask": SpecAugment()}
    whole = Fit(fresh(family), name, dev_wers=[0.9, 0.5, 0.6, 0.4, 0.5])
    expected = whole.run(**settings)
    path = tmp_path / "checkpoints" / "last.pt"
    ended = Fit(fresh(family), name, dev_wers=[0.9, 0.5, 0.6], on_batch=kill)
    with pytest.raises(SwitchedOffError):
        ended.run(checkpoint=path, **settings)
    torch.manual_seed(99)
    again = Fit(fresh(family), name, dev_wers=[0.4, 0.5])
    assert again.run(checkpoint=path, **settings) == expected
    assert again.records == list(expected.epochs)
    assert same(weights(again.model), weights(whole.model))
    assert same(again.seen[-1], whole.seen[-1])


def test_a_fit_that_was_finished_is_not_gone_on_with(
    fresh: Callable[[Family], SpeechModel], tmp_path: Path
) -> None:
    first, again = Fit(fresh("ctc")), Fit(fresh("ctc"))
    history = first.run(checkpoint=tmp_path / "last.pt")
    assert again.run(checkpoint=tmp_path / "last.pt") == history
    assert again.seen == []
    assert same(weights(again.model), weights(first.model))


def test_a_checkpoint_that_is_broken_or_another_model_s_is_refused(
    fresh: Callable[[Family], SpeechModel], tmp_path: Path
) -> None:
    path = tmp_path / "last.pt"
    Fit(fresh("whisper")).run(checkpoint=path)
    with pytest.raises(DataError, match=r"cannot be gone on from .*--overwrite"):
        Fit(fresh("ctc")).run(checkpoint=path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError, match=r"last\.pt: cannot be gone on from"):
        Fit(fresh("ctc")).run(checkpoint=path)


def test_a_checkpoint_that_cannot_be_written_ends_the_fit_and_leaves_the_one_before(
    fresh: Callable[[Family], SpeechModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.pt"

    def full(*_: object) -> None:
        raise RuntimeError("PytorchStreamWriter failed writing file: No space left")

    Fit(fresh("ctc")).run(checkpoint=path, epochs=1)
    before = path.read_bytes()
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OutputError, match="No space left"):
        Fit(fresh("ctc")).run(checkpoint=path, epochs=2)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_of_two_equal_epochs_the_first_is_kept(fresh: Callable[[Family], SpeechModel]) -> None:
    run = Fit(fresh("ctc"), dev_wers=[0.9, 0.5, 0.5])
    assert run.run(epochs=2).best_epoch == 1
    assert same(weights(run.model), run.seen[1])


def test_a_fit_that_never_helps_gives_the_base_model_back(
    fresh: Callable[[Family], SpeechModel],
) -> None:
    run = Fit(fresh("ctc"), "encoder", dev_wers=[0.2, 0.3, 0.2])
    history = run.run(epochs=2)
    assert (history.best_epoch, history.dev_wer) == (0, 0.2)
    assert not same(run.seen[2], run.seen[0])
    assert same(weights(run.model), run.seen[0])


def test_it_stops_early_after_as_many_epochs_without_a_better_wer_as_its_patience(
    fresh: Callable[[Family], SpeechModel],
) -> None:
    run = Fit(fresh("ctc"), dev_wers=[0.9, 0.5, 0.6, 0.4, 0.5, 0.4, 0.6])
    history = run.run(epochs=9, patience=3)
    assert history.stopped == "early"
    assert [record.epoch for record in history.epochs] == [0, 1, 2, 3, 4, 5, 6]
    assert history.best_epoch == 3


def break_loss(
    model: SpeechModel, value: float, monkeypatch: pytest.MonkeyPatch, *, after: int
) -> None:
    """Multiply each loss by `value` after as many batches."""
    loss, calls = model.loss, []

    def broken(features: Features, labels: Sequence[Sequence[int]], *rest: Any) -> Tensor:
        calls.append(len(labels))
        return loss(features, labels) * (value if len(calls) > after else 1.0)

    monkeypatch.setattr(model, "loss", broken)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("first", [1, 2])
def test_a_loss_that_is_no_number_stops_and_gives_the_best_weights_back(
    value: float,
    first: int,
    fresh: Callable[[Family], SpeechModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = fresh("ctc")
    break_loss(model, value, monkeypatch, after=2 * (first - 1))
    run = Fit(model)
    history = run.run(epochs=5)
    assert history.stopped == "diverged"
    assert len(history.epochs) == 1 + first
    assert math.isnan(history.epochs[-1].loss or 0.0)
    assert same(weights(model), run.seen[first - 1])
    assert all(torch.isfinite(p).all() for p in model.network.parameters())


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_ctrl_c_stops_after_the_step_at_hand_and_keeps_the_best_weights(
    fresh: Callable[[Family], SpeechModel],
) -> None:
    handler = signal.getsignal(signal.SIGINT)

    def press(epoch: int, batch: int) -> None:
        if (epoch, batch) == (2, 1):
            signal.raise_signal(signal.SIGINT)

    run = Fit(fresh("ctc"), dev_wers=[0.9, 0.5, 0.7], on_batch=press)
    history = run.run(epochs=9)
    assert history.stopped == "interrupted"
    assert [record.step for record in history.epochs] == [0, 2, 3]
    assert history.best_epoch == 1
    assert same(weights(run.model), run.seen[1])
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_ctrl_c_before_the_first_epoch_trains_nothing(
    fresh: Callable[[Family], SpeechModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Fit(fresh("ctc"))
    dev_wer = run.dev_wer

    def pressed() -> float:
        signal.raise_signal(signal.SIGINT)
        return dev_wer()

    monkeypatch.setattr(run, "dev_wer", pressed)
    history = run.run()
    assert (history.stopped, history.best_epoch, len(history.epochs)) == ("interrupted", 0, 1)
    assert same(weights(run.model), run.seen[0])


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_a_second_ctrl_c_ends_the_program(fresh: Callable[[Family], SpeechModel]) -> None:
    def press(epoch: int, batch: int) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    # A job in the background is started with Ctrl-C ignored; a person's terminal is not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            Fit(fresh("ctc"), on_batch=press).run()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_it_trains_outside_the_main_thread_too(fresh: Callable[[Family], SpeechModel]) -> None:
    with ThreadPoolExecutor(max_workers=1) as pool:
        history = pool.submit(Fit(fresh("ctc")).run).result()
    assert history.stopped == "finished"


# --- how many epochs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batches", "accumulation", "epochs"),
    [
        (1000, 1, 8),
        (38, 1, 8),  # 304 steps
        (37, 1, 9),
        (8, 1, 38),
        (7, 1, 40),
        (1, 1, 40),
        (76, 2, 8),
        (91, 4, 14),  # 23 steps each, the last of three batches
    ],
)
def test_little_speech_is_passed_over_more_often_up_to_a_bound(
    batches: int, accumulation: int, epochs: int
) -> None:
    assert default_epochs(batches, accumulation=accumulation) == epochs


@pytest.mark.parametrize("epochs", [None, 1, 9])
def test_a_fit_has_as_many_epochs_as_it_is_told_of_batches(
    epochs: int | None, fresh: Callable[[Family], SpeechModel]
) -> None:
    run = Fit(fresh("ctc"))
    history = fit(
        run.model,
        run.strategy,
        run.batches,
        batches_per_epoch=[2] * 3,
        dev_wer=run.dev_wer,
        config=TrainingConfig(epochs=epochs, interpolation=1.0),
        learning_rate=1e-2,
        precision="float32",
    )
    assert (history.stopped, [r.epoch for r in history.epochs]) == ("finished", [0, 1, 2, 3])


def test_epochs_are_left_open_unless_they_are_given() -> None:
    assert TrainingConfig().epochs is None


# --- steps, records and logs ----------------------------------------------------------------------


def test_steps_are_counted_epoch_by_epoch() -> None:
    assert optimiser_steps([5, 4, 1], accumulation=1) == 10
    assert optimiser_steps([5, 4, 1], accumulation=4) == 2 + 1 + 1
    assert optimiser_steps([], accumulation=4) == 0


@pytest.mark.parametrize(("accumulation", "steps"), [(1, [0, 2, 4, 6]), (2, [0, 1, 2, 3])])
def test_a_step_is_an_optimiser_step_whatever_is_accumulated(
    accumulation: int, steps: list[int], fresh: Callable[[Family], SpeechModel]
) -> None:
    history = Fit(fresh("ctc")).run(epochs=3, accumulation=accumulation)
    assert [record.step for record in history.epochs] == steps


def test_two_accumulated_batches_make_the_step_of_both_together(
    fresh: Callable[[Family], SpeechModel],
) -> None:
    apart, together = fresh("ctc"), fresh("ctc")
    run = Fit(apart)
    run.run(epochs=1, accumulation=2)
    features, labels, _ = zip(*run.batches(1), strict=True)
    joined = Features(
        features[0].cut,
        torch.cat([each.hidden for each in features]),
        torch.cat([each.lengths for each in features]),
    )
    other = Fit(together)
    fit(
        together,
        strategy("head", family="ctc"),
        lambda epoch: [(joined, [*labels[0], *labels[1]], [])],
        batches_per_epoch=[1],
        dev_wer=other.dev_wer,
        config=TrainingConfig(epochs=1, weight_decay=0.0, warmup=0.0, interpolation=1.0),
        learning_rate=1e-2,
        precision="float32",
    )
    first, second = weights(apart), weights(together)
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=1e-3, atol=1e-5)


def test_batches_left_over_at_the_end_of_an_epoch_still_make_a_step(
    fresh: Callable[[Family], SpeechModel],
) -> None:
    history = Fit(fresh("ctc")).run(epochs=2, accumulation=4)
    assert [record.step for record in history.epochs] == [0, 1, 2]


def test_the_loss_of_an_epoch_is_the_mean_over_its_batches(
    fresh: Callable[[Family], SpeechModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fresh("ctc")
    loss, values = model.loss, []

    def noted(features: Features, labels: Sequence[Sequence[int]], *rest: Any) -> Tensor:
        value = loss(features, labels)
        values.append(float(value.detach()))
        return value

    monkeypatch.setattr(model, "loss", noted)
    history = Fit(model).run(epochs=1)
    assert history.epochs[0].loss is None
    assert history.epochs[1].loss == pytest.approx(sum(values) / 2)


def test_each_epoch_is_told_when_it_is_finished(fresh: Callable[[Family], SpeechModel]) -> None:
    run = Fit(fresh("ctc"))
    history = run.run(epochs=3)
    assert tuple(run.records) == history.epochs
    assert [record.epoch for record in run.records] == [0, 1, 2, 3]


def test_progress_is_shown_for_each_epoch(fresh: Callable[[Family], SpeechModel]) -> None:
    told: list[tuple[str, int]] = []

    def track(items: Any, description: str, *, total: int) -> Any:
        told.append((description, total))
        return items

    Fit(fresh("ctc")).run(epochs=2, track=track)
    assert told == [("epoch 1", 2), ("epoch 2", 2)]


def test_the_log_holds_dev_wer_and_loss_for_tensorboard(
    fresh: Callable[[Family], SpeechModel], tmp_path: Path
) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = Fit(fresh("ctc")).run(epochs=2, log=tmp_path)
    log = accumulator.EventAccumulator(str(tmp_path))
    log.Reload()
    logged = {tag: [(e.step, e.value) for e in log.Scalars(tag)] for tag in ("loss", "dev_wer")}
    for tag, values in logged.items():
        wanted = [(r.step, pytest.approx(getattr(r, tag))) for r in history.epochs[1:]]
        assert values[-2:] == wanted


# --- precision and configuration ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "has", "chosen"),
    [
        ("cuda", {"cuda"}, "bf16"),
        ("cuda:1", {"cuda"}, "bf16"),
        ("cuda", {"avx512", "amx"}, "float32"),
        ("cpu", {"cuda"}, "float32"),
        ("cpu", {"avx512"}, "bf16"),
        ("cpu", {"amx"}, "bf16"),
        ("mps", {"cuda", "avx512", "amx"}, "float32"),
    ],
)
def test_auto_takes_bf16_where_the_device_has_instructions_for_it(
    device: str, has: set[str], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: "cuda" in has)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: "avx512" in has)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: "amx" in has)
    assert best_precision("auto", device) == chosen
    assert best_precision("bf16", device) == "bf16"
    assert best_precision("float32", device) == "float32"


@both_families
def test_bf16_runs_the_suffix_in_bf16(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    model = fresh(family)
    seen: set[torch.dtype] = set()
    layer: Any = model.parts()[-2].owns[0]
    linear = next(module for module in layer.modules() if isinstance(module, torch.nn.Linear))
    linear.register_forward_hook(
        lambda *given: seen.add(given[-1].dtype) if torch.is_grad_enabled() else None
    )
    for precision, expected in (("bf16", torch.bfloat16), ("float32", torch.float32)):
        seen.clear()
        history = Fit(model, "encoder").run(epochs=1, precision=precision)
        assert math.isfinite(history.epochs[1].loss or math.nan)
        assert seen == {expected}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs must be above 0, got 0"),
        ({"batch_size": -1}, "batch_size must be above 0, got -1"),
        ({"accumulation": 0}, "accumulation must be above 0"),
        ({"patience": 0}, "patience must be above 0"),
        ({"interpolation": 0}, "interpolation is 'auto', or above 0 and at most 1, got 0"),
        ({"interpolation": 1.1}, "interpolation is 'auto', or above 0 and at most 1, got 1.1"),
        ({"layer_decay": 0.0}, "layer_decay must be above 0 and at most 1, got 0.0"),
        ({"head_rate": 0.0}, "head_rate must be above 0"),
        ({"l2_sp": -1.0}, "l2_sp must not be negative, got -1.0"),
        ({"kl": math.nan}, "kl must not be negative"),
        ({"max_forgetting": -1}, "max_forgetting must not be negative"),
        ({"label_smoothing": 1.0}, "label_smoothing is a share from 0 to below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout is a share from 0 to below 1, got -0.1"),
        ({"average": 0}, "average must be above 0"),
        ({"maximum_gradient_norm": math.nan}, "maximum_gradient_norm must be above 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"learning_rate": math.inf}, "learning_rate must be above 0"),
        ({"warmup": 1.5}, "warmup is a share from 0 to 1, got 1.5"),
        ({"weight_decay": -0.1}, "weight_decay must not be negative"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(**wrong)


def test_all_faults_of_the_settings_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"epochs.*batch_size.*warmup"):
        TrainingConfig(epochs=0, batch_size=0, warmup=-1)


# --- against overfitting and forgetting -----------------------------------------------------------


def distance(model: SpeechModel, base: dict[str, Tensor]) -> float:
    """Return how far the weights lie from those of the base."""
    moved = [value.double() - base[name] for name, value in weights(model).items()]
    return float(torch.stack([each.pow(2).sum() for each in moved]).sum().sqrt())


@both_families
def test_l2_sp_pulls_what_trains_back_to_the_base(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    lengths = []
    for pull in (0.0, 20.0):
        run = Fit(fresh(family), "encoder")
        run.run(l2_sp=pull)
        lengths.append(distance(run.model, run.seen[0]))
    assert 0 < lengths[1] < 0.9 * lengths[0]


def test_a_pull_of_the_whole_way_leaves_the_base(fresh: Callable[[Family], SpeechModel]) -> None:
    run = Fit(fresh("ctc"), "encoder")
    run.run(l2_sp=1 / 1e-9, epochs=1)
    assert distance(run.model, run.seen[0]) < 1e-5


@both_families
def test_kl_keeps_what_is_replayed_near_the_base_s_predictions(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    divergences = []
    for weight in (0.0, 30.0):
        run = Fit(fresh(family), "encoder")
        base = fresh(family)
        run.run(kl=weight, epochs=4)
        total = 0.0
        for features, labels, replayed in run.batches(1):
            chosen = features.rows(replayed), [labels[row] for row in replayed]
            with torch.no_grad():
                ours, theirs = (m.log_probabilities(*chosen) for m in (run.model, base))
            total += float((theirs.exp() * (theirs - ours)).sum())
        divergences.append(total)
    assert 0 < divergences[1] < 0.5 * divergences[0]


@both_families
def test_the_divergence_in_the_loss_is_counted_over_the_replayed_rows(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    model = fresh(family)
    features, labels, _ = next(Fit(model).batches(1))
    with torch.no_grad():
        predicted = model.log_probabilities(features.rows([1]), [labels[1]])
        reference = torch.log_softmax(torch.randn_like(predicted), dim=-1)
        plain = model.loss(features, labels)
        both = model.loss(features, labels, Objective(kl=0.5, reference=reference, rows=(1,)))
    mean = (reference.exp() * (reference - predicted)).sum(dim=-1).mean()
    torch.testing.assert_close(both - plain, 0.5 * mean, rtol=1e-3, atol=1e-4)


def test_label_smoothing_spreads_a_share_over_a_whisper_s_vocabulary(
    fresh: Callable[[Family], SpeechModel],
) -> None:
    model = fresh("whisper")
    features, labels, _ = next(Fit(model).batches(1))
    with torch.no_grad():
        predicted = model.log_probabilities(features, labels)
        smoothed = model.loss(features, labels, Objective(label_smoothing=0.2))
    spoken = torch.tensor([token for row in labels for token in row])
    hard = -predicted[torch.arange(len(spoken)), spoken].mean()
    assert float(smoothed) == pytest.approx(float(0.8 * hard - 0.2 * predicted.mean()), rel=1e-4)


@both_families
def test_the_weights_of_the_last_epochs_are_averaged(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    apart = Fit(fresh(family), "encoder")
    apart.run(epochs=3)
    averaged = Fit(fresh(family), "encoder")
    history = averaged.run(epochs=3, average=2)
    assert (history.best_epoch, history.averaged) == (3, 2)
    kept = weights(averaged.model)
    for name, last in apart.seen[3].items():
        torch.testing.assert_close(kept[name], (apart.seen[2][name] + last) / 2)
    assert not same(kept, apart.seen[3])


@both_families
def test_the_mean_of_all_epochs_is_what_an_interpolation_is_chosen_for(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    """The epoch best on dev may be so by chance: the first one here, and it is not kept."""
    apart = Fit(fresh(family), "encoder")
    apart.run(epochs=3)
    wers = [0.9, 0.2, 0.8, 0.8, *[0.5] * 9]
    run = Fit(fresh(family), "encoder", dev_wers=wers)
    told: list[dict[str, Tensor]] = []
    history = run.run(
        epochs=3,
        average=None,
        interpolation="auto",
        on_trained=lambda: told.append(weights(run.model)),
    )
    assert (history.best_epoch, history.averaged, history.stopped) == (3, 3, "finished")
    for name, last in apart.seen[3].items():
        mean = (apart.seen[1][name] + apart.seen[2][name] + last) / 3
        torch.testing.assert_close(told[0][name], mean, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(run.seen[3][name], mean, rtol=1e-4, atol=1e-6)
    assert history.sweep[-1].dev_wer == 0.8  # of the mean, as it was scored after the last epoch
    assert (history.interpolation, history.dev_wer) == (0.1, 0.5)


def test_a_loss_that_is_no_number_is_in_no_mean(
    fresh: Callable[[Family], SpeechModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fresh("ctc")
    break_loss(model, math.nan, monkeypatch, after=4)
    run = Fit(model, dev_wers=[0.9, 0.5, 0.4, 1.0, *[0.6] * 9])
    history = run.run(epochs=5, average=None, interpolation="auto")
    assert (history.stopped, history.best_epoch, history.averaged) == ("diverged", 2, 2)
    assert history.interpolation == 1.0
    assert same(weights(model), run.seen[2])


@pytest.mark.parametrize("changes", [{"average": 3}, {"average": None, "interpolation": "auto"}])
def test_averaged_weights_outlive_a_kill(
    changes: dict[str, Any], fresh: Callable[[Family], SpeechModel], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"epochs": 4, **changes}
    whole = Fit(fresh("ctc"), "encoder")
    whole.run(**settings)
    ended = Fit(fresh("ctc"), "encoder", on_batch=kill)
    with pytest.raises(SwitchedOffError):
        ended.run(checkpoint=tmp_path / "last.pt", **settings)
    again = Fit(fresh("ctc"), "encoder", dev_wers=[0.2, 0.1])
    again.run(checkpoint=tmp_path / "last.pt", **settings)
    assert same(weights(again.model), weights(whole.model))


def test_the_rate_falls_from_part_to_part_and_the_head_may_have_its_own(
    fresh: Callable[[Family], SpeechModel],
) -> None:
    model = fresh("ctc")
    names = [part.name for part in model.parts()]
    config = TrainingConfig(layer_decay=0.5, head_rate=0.7)
    groups = training._parameter_groups(
        model, frozenset(names[-3:]), config=config, learning_rate=0.4
    )
    rates = {id(p): group["peak"] for group in groups for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for part, rate in zip(reversed(model.parts()), (0.7, 0.2, 0.1), strict=False):
        for parameter in part.parameters():
            assert rates[id(parameter)] == pytest.approx(rate)
            assert decays[id(parameter)] == (0.01 if parameter.ndim > 1 else 0.0)


@both_families
def test_dropout_is_set_where_it_trains_and_nowhere_else(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    model = fresh(family)
    Fit(model, "top-layers").run(dropout=0.37, epochs=1)
    shares: dict[str, set[float]] = {}
    for part in model.parts():
        owned = [o for o in part.owns if isinstance(o, torch.nn.Module)]
        modules = [m for each in owned for m in each.modules()]
        shares[part.name] = {m.p for m in modules if isinstance(m, torch.nn.Dropout)} | {
            share for m in modules if isinstance(share := getattr(m, "dropout", None), float)
        }
    trained = strategy("top-layers", family=family, top_layers=1).trainable(list(shares), 0)
    for name, found in shares.items():
        assert (0.37 in found) == (name in trained and bool(found))


# --- the interpolation that is chosen -------------------------------------------------------------


class Between:
    """Stands for the best weights: notes how far from the base it was asked to put them."""

    epoch = 3

    def __init__(self, wer: float) -> None:
        self.interpolation = 1.0
        self.wer = wer

    def restore(self, interpolation: float) -> None:
        self.interpolation = interpolation


def swept(
    dev: Callable[[float], float],
    general: Callable[[float], float] | None,
    *,
    budget: float = 0.01,
    epoch: int = 3,
    pressed: Sequence[tuple[str, float]] = (),
) -> tuple[float, Between, list[Any]]:
    """Sweep; Ctrl-C is `pressed` while an accent ("dev", "general") is scored at a point."""
    best: Any = Between(dev(1.0))
    best.epoch = epoch

    def scored(accent: str, wer: Callable[[float], float]) -> float:
        if (accent, best.interpolation) in pressed:
            signal.raise_signal(signal.SIGINT)
        return wer(best.interpolation)

    points, chosen, cut_short = training._sweep(
        best,
        dev(0.0),
        lambda: scored("dev", dev),
        (lambda: scored("general", general)) if general else None,
        budget=budget,
        track=silent,
    )
    assert best.interpolation == chosen
    assert cut_short == bool(pressed)
    return chosen, best, list(points)


def test_the_best_interpolation_on_the_accent_within_the_limit_of_forgetting_is_taken() -> None:
    chosen, _, points = swept(lambda a: 0.6 - 0.3 * a, lambda a: 0.1 + 0.02 * a)
    assert chosen == 0.5  # 0.1 + 0.02 * 0.5 is one point more
    nearer = {0.525, 0.55}
    assert [p.interpolation for p in points] == sorted({0.0, *ALPHAS, 1.0} | nearer)
    assert [p.dev_wer for p in points] == pytest.approx(
        [0.6 - 0.3 * p.interpolation for p in points]
    )
    looked_at = {p.interpolation: p.general_dev_wer for p in points if p.general_dev_wer}
    assert looked_at.keys() == {0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0} | nearer  # not what is worse
    assert looked_at[0.5] == pytest.approx(0.11)


def test_between_the_last_point_within_the_limit_and_the_next_further_ones_are_tried() -> None:
    def dev(interpolation: float) -> float:
        return 0.6 - 0.3 * interpolation

    # The limit is at 0.58: 0.55 is within, 0.575 too.
    chosen, _, points = swept(dev, lambda a: 0.1 + a / 58)
    assert chosen == 0.575
    assert [p.interpolation for p in points if 0.5 < p.interpolation < 0.6] == [0.55, 0.575]
    # At 0.54 only a quarter of the way is; at 0.12 too.
    assert swept(dev, lambda a: 0.1 + a / 54)[0] == 0.525
    assert swept(dev, lambda a: 0.1 + a / 12.6)[0] == 0.125
    # Between two that forget too much lies nothing that is wanted, whichever was tried last.
    chosen, _, points = swept(lambda a: 0.3 + abs(a - 0.7), lambda a: 0.1 + a / 58)
    assert chosen == 0.575
    assert not [p.interpolation for p in points if 0.6 < p.interpolation < 0.7]
    # What is within and no better on the accent is not taken.
    wers = {0.5: 0.3, 0.6: 0.2}
    assert swept(lambda a: wers.get(a, 0.4 + 0.5 * (a == 0)), lambda a: 0.1 + a / 58)[0] == 0.5


def test_the_best_within_the_limit_is_found_where_a_better_one_forgets_less() -> None:
    """Dev is best at 0.6, from which on either way it gets worse; forgetting rises all the way."""
    assert swept(lambda a: 0.3 + abs(a - 0.6), lambda a: 0.1 + 0.02 * a)[0] == 0.5
    # Two are better than the base, and the nearer alone is within the limit.
    wers = {0.0: 0.5, 0.3: 0.4, 1.0: 0.3}
    assert swept(lambda a: wers.get(a, 0.6), lambda a: 0.1 + 0.02 * a)[0] == 0.3


def test_nothing_is_forgotten_where_all_is_within_the_limit() -> None:
    assert swept(lambda a: 0.6 - 0.3 * a, lambda _: 0.1)[0] == 1.0


def test_weights_that_are_best_half_way_are_taken_half_way() -> None:
    assert swept(lambda a: abs(a - 0.4), lambda _: 0.1)[0] == 0.4
    assert swept(lambda a: abs(a - 0.4), None)[0] == 0.4


def test_the_base_is_kept_where_everything_forgets_too_much_or_nothing_helps() -> None:
    assert swept(lambda a: 0.6 - 0.3 * a, lambda a: 0.1 + (0.5 if a else 0.0))[0] == 0.0
    assert swept(lambda a: 0.6 + 0.3 * a, lambda _: 0.1)[0] == 0.0
    chosen, _, points = swept(lambda a: 0.6 - 0.3 * a, lambda _: 0.1, epoch=0)
    assert (chosen, len(points)) == (0.0, 1)


def test_of_equals_the_one_nearest_the_base_is_taken() -> None:
    assert swept(lambda a: 0.5 if a else 0.6, None)[0] == 0.1


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_ctrl_c_ends_the_sweep_with_what_was_tried_and_the_trained_weights() -> None:
    chosen, _, points = swept(lambda a: abs(a - 0.3), None, pressed=[("dev", 0.2)])
    assert [p.interpolation for p in points] == [0.0, 0.1, 0.2, 1.0]
    assert [p.dev_wer for p in points] == pytest.approx([0.3, 0.2, 0.1, 0.7])
    assert chosen == 0.2
    assert swept(lambda a: 0.6 - 0.3 * a, None, pressed=[("dev", 0.1)])[0] == 1.0


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_ctrl_c_forgets_no_more_than_is_allowed() -> None:
    def dev(interpolation: float) -> float:
        return 0.6 - 0.3 * interpolation

    def general(interpolation: float) -> float:
        return 0.1 + 0.02 * interpolation  # 0.5 is one point more

    def looked_at(points: list[Any]) -> list[float]:
        return [p.interpolation for p in points if p.general_dev_wer]

    chosen, _, points = swept(dev, general, pressed=[("dev", 0.3)])
    assert [p.interpolation for p in points] == [0.0, 0.1, 0.2, 0.3, 1.0]
    assert (chosen, looked_at(points)) == (0.3, [0.0, 0.3, 1.0])
    assert swept(dev, lambda a: 0.1 + 0.5 * a, pressed=[("dev", 0.3)])[0] == 0.0
    # While general dev is scored: from then on, from the base upwards.
    assert swept(dev, general, budget=0.006)[0] == 0.3
    for moment, looked in ((0.0, [0.0, 0.1]), (0.9, [0.0, 0.1, 0.9, 1.0])):
        chosen, _, points = swept(dev, general, budget=0.006, pressed=[("general", moment)])
        assert (chosen, looked_at(points)) == (0.1, looked)
    both = [("dev", 0.3), ("general", 0.0)]
    chosen, _, points = swept(dev, general, pressed=both)
    assert (chosen, looked_at(points)) == (0.1, [0.0, 0.1])


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
@pytest.mark.parametrize("also_in_training", [False, True])
def test_ctrl_c_while_interpolations_are_tried_ends_that_alone(
    also_in_training: bool, fresh: Callable[[Family], SpeechModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    # Base, two epochs, then 0.1 and 0.2.
    run = Fit(fresh("ctc"), "encoder", dev_wers=[0.9, 0.5, 0.4, 0.8, 0.3])
    dev_wer = run.dev_wer

    def pressed() -> float:
        if len(run.seen) == 4 or (also_in_training and len(run.seen) == 2):
            signal.raise_signal(signal.SIGINT)
        return dev_wer()

    monkeypatch.setattr(run, "dev_wer", pressed)
    history = run.run(interpolation="auto")
    assert (history.stopped, history.sweep_interrupted) == ("interrupted", True)
    assert [p.interpolation for p in history.sweep] == [0.0, 0.1, 0.2, 1.0]
    assert [p.dev_wer for p in history.sweep] == [0.9, 0.8, 0.3, 0.4]
    assert (history.interpolation, history.best_epoch, history.dev_wer) == (0.2, 2, 0.3)
    assert same(weights(run.model), run.seen[4])
    assert signal.getsignal(signal.SIGINT) is handler


@both_families
def test_a_fit_leaves_the_model_at_the_interpolation_that_it_chose(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    # Base, two epochs, then 0.1 to 0.9: the best of them is the fourth.
    run = Fit(fresh(family), "encoder", dev_wers=[0.9, 0.5, 0.4, *[0.8] * 3, 0.2, *[0.8] * 5])
    history = run.run(interpolation="auto")
    assert (history.interpolation, history.best_epoch) == (0.4, 2)
    assert [p.dev_wer for p in history.sweep] == [0.9, *[0.8] * 3, 0.2, *[0.8] * 5, 0.4]
    assert history.dev_wer == 0.2
    assert same(weights(run.model), run.seen[6])


@pytest.mark.parametrize("interpolation", ["auto", 1.0])
def test_the_trained_weights_are_told_before_an_interpolation_is_chosen(
    interpolation: Any, fresh: Callable[[Family], SpeechModel]
) -> None:
    run = Fit(fresh("ctc"), "encoder", dev_wers=[0.9, 0.5, 0.4, *[0.8] * 3, 0.2, *[0.8] * 6])
    told: list[dict[str, Tensor]] = []
    run.run(interpolation=interpolation, on_trained=lambda: told.append(weights(run.model)))
    (trained,) = told
    assert same(trained, run.seen[2])
    assert same(trained, weights(run.model)) == (interpolation == 1.0)


def test_forgetting_beyond_the_limit_gives_the_base_back_and_says_so(
    fresh: Callable[[Family], SpeechModel],
) -> None:
    run = Fit(fresh("ctc"), "encoder")
    rates = iter([0.1, *[0.5] * 20])
    history = run.run(interpolation="auto", general_dev_wer=lambda: next(rates))
    assert (history.interpolation, history.best_epoch) == (0.0, 0)
    assert history.dev_wer == 1.0  # as `Fit` has it for the base
    assert same(weights(run.model), run.seen[0])
