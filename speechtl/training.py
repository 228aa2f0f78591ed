"""Fit the trainable suffix of a model to features at the cut; keep the best epoch by dev WER."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter
from transformers import get_scheduler

from speechtl.augment import SpecAugment
from speechtl.errors import ConfigError, DataError
from speechtl.files import replacing
from speechtl.models import Features, SpeechModel
from speechtl.progress import Track, silent
from speechtl.strategy import Strategy, cut, freeze_all_but

__all__ = [
    "EpochRecord",
    "History",
    "Precision",
    "TrainingConfig",
    "best_precision",
    "fit",
]

Precision = Literal["auto", "float32", "bf16"]
Stopped = Literal["finished", "early", "interrupted", "diverged"]
TrainingBatch = tuple[Features, Sequence[Sequence[int]]]
# torch's fused attention has a slow backward on a CPU: three times the plain one's time at 100 and
# at 150 frames, the same at 500, half of it at 1500 (torch 2.11, bf16, 2 cores).
_SHORT_FRAMES = 400
_MASKS = 2  # names the random stream of SpecAugment, beside the run's others


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How the suffix is fitted.

    Attributes:
        epochs: The most passes over the training utterances.
        learning_rate: The peak rate of AdamW; None takes what suits the model and the strategy.
        batch_size: Utterances per batch.
        accumulation: Batches whose gradients are added up before a step.
        warmup: The share of all steps in which the rate rises to its peak; it then falls along a
            cosine.
        weight_decay: AdamW's, on matrices only.
        maximum_gradient_norm: Gradients are scaled down to this norm.
        patience: Epochs without a better dev WER after which training stops.
        interpolation: How far the kept weights lie from the base's towards the trained ones, above
            0 to 1. Short of 1 gives back much of what the general accent lost, for a little of
            the gain (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models").
    """

    epochs: int = 5
    learning_rate: float | None = None
    batch_size: int = 16
    accumulation: int = 1
    warmup: float = 0.1
    weight_decay: float = 0.01
    maximum_gradient_norm: float = 1.0
    patience: int = 4
    interpolation: float = 0.7

    def __post_init__(self) -> None:
        positive = ("epochs", "batch_size", "accumulation", "maximum_gradient_norm", "patience")
        wrong = [
            f"{name} must be above 0, got {getattr(self, name)}"
            for name in positive
            if not getattr(self, name) > 0
        ]
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            wrong.append(f"learning_rate must be above 0, got {self.learning_rate}")
        if not 0 <= self.warmup <= 1:
            wrong.append(f"warmup is a share from 0 to 1, got {self.warmup}")
        if not 0 < self.interpolation <= 1:
            wrong.append(f"interpolation must be above 0 and at most 1, got {self.interpolation}")
        if self.weight_decay < 0:
            wrong.append(f"weight_decay must not be negative, got {self.weight_decay}")
        if wrong:
            raise ConfigError("; ".join(wrong))


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """What one pass did; epoch 0 is the base model, which has no loss.

    Attributes:
        epoch: Its number.
        step: Optimiser steps done when it ended.
        loss: The mean over its batches; None where it had none.
        dev_wer: The WER on the dev utterances after it, a fraction, with the weights that would be
            kept, interpolated.
    """

    epoch: int
    step: int
    loss: float | None
    dev_wer: float


@dataclass(frozen=True, slots=True)
class History:
    """The whole fit; the model holds the weights of `best_epoch`, 0 where no epoch was better."""

    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    stopped: Stopped


def best_precision(precision: Precision, device: str) -> Literal["no", "bf16"]:
    """Return Accelerate's name of the precision to train in.

    `auto` is bf16 where the device has instructions for it (two to three times faster), else
    float32. It looks at what the processor says it has and times nothing, so that the same machine
    always chooses the same.
    """
    if precision != "auto":
        return "bf16" if precision == "bf16" else "no"
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    if device == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    ):
        return "bf16"
    return "no"


def fit(
    model: SpeechModel,
    strategy: Strategy,
    batches: Callable[[int], Iterable[TrainingBatch]],
    *,
    batches_per_epoch: int,
    dev_wer: Callable[[], float],
    config: TrainingConfig,
    learning_rate: float,
    precision: Precision = "auto",
    mask: SpecAugment | None = None,
    seed: int = 0,
    log: Path | None = None,
    checkpoint: Path | None = None,
    track: Track = silent,
    on_epoch: Callable[[EpochRecord, bool], None] | None = None,
) -> History:
    """Train what `strategy` names; leave the model with the weights of the epoch best on dev.

    What is scored on dev and kept is interpolated between the base's weights and the trained ones;
    training itself goes on with the trained ones.

    Args:
        model: Its network is on the device that is to train.
        strategy: Names the parts that train.
        batches: Gives the features and labels of an epoch (1, 2, …), past the frozen prefix.
        batches_per_epoch: How many of them an epoch has.
        dev_wer: Returns the present model's WER on the dev utterances, a fraction; called with the
            model in evaluation mode before the first epoch and after each.
        config: Epochs, rates and limits.
        learning_rate: The peak rate.
        precision: float32, bf16 autocast, or what suits the device.
        mask: Masks the features of each training batch.
        seed: Draws the masks and the dropout.
        log: A folder for TensorBoard.
        checkpoint: A file that each epoch replaces with all that is needed to go on; if it is there
            at first, the fit goes on from it as if it had not been ended.
        track: Shows progress.
        on_epoch: Is told each finished epoch, and whether it is the best so far.

    Returns:
        The record of every epoch. Ctrl-C ends the fit after the step at hand, as does a loss that
        is no number; both keep the best weights so far.

    Raises:
        DataError: The checkpoint cannot be read.
        OutputError: The checkpoint cannot be written.
    """
    torch.manual_seed(seed)
    session = _Session(
        model,
        strategy,
        config=config,
        learning_rate=learning_rate,
        batches_per_epoch=batches_per_epoch,
        precision=precision,
        mask=mask,
        rng=np.random.default_rng([seed, _MASKS]),
    )
    best = _Best(session.suffix_parameters, interpolation=config.interpolation)
    records: list[EpochRecord] = []

    def tell(record: EpochRecord) -> None:
        if on_epoch:
            on_epoch(record, best.epoch == record.epoch)

    def stopping() -> Stopped | None:
        last = records[-1]
        if interrupted.is_set():
            return "interrupted"
        if last.epoch and (last.loss is None or not math.isfinite(last.loss)):
            return "diverged"
        if last.epoch - best.epoch >= config.patience:
            return "early"
        return "finished" if last.epoch == config.epochs else None

    with _logging(log) as writer, _interruptible() as interrupted:
        session.evaluation_mode()
        if checkpoint and checkpoint.exists():
            records += _resume(checkpoint, session, best)
        else:
            best.wer = dev_wer()
            records.append(EpochRecord(0, 0, None, best.wer))
        for record in records:
            tell(record)
        while (stopped := stopping()) is None:
            epoch = records[-1].epoch + 1
            loss = session.train_epoch(
                track(batches(epoch), f"epoch {epoch}", total=batches_per_epoch), interrupted
            )
            session.evaluation_mode()
            with best.interpolated():
                record = EpochRecord(epoch, session.step, loss, dev_wer())
                best.offer(record)
            records.append(record)
            tell(record)
            if writer:
                _log(writer, record)
            if checkpoint and not interrupted.is_set():
                _save(checkpoint, session, best, records)
    best.restore()
    return History(tuple(records), best.epoch, stopped)


class _Session:
    """The optimiser's side of one fit."""

    def __init__(
        self,
        model: SpeechModel,
        strategy: Strategy,
        *,
        config: TrainingConfig,
        learning_rate: float,
        batches_per_epoch: int,
        precision: Precision,
        mask: SpecAugment | None,
        rng: np.random.Generator,
    ) -> None:
        self.model, self.strategy, self.mask, self.rng = model, strategy, mask, rng
        self.step = 0
        self._network: Any = model.network  # which has no types
        self._attention: str = model.network.config._attn_implementation
        self._config = config
        self._batches_per_epoch = batches_per_epoch
        self._names = [part.name for part in model.parts()]
        self._training: frozenset[str] = frozenset()
        device = model.network.device
        # Accelerate keeps one state per process and refuses a second precision; each fit has its
        # own.
        AcceleratorState._reset_state(reset_partial_state=True)
        self._accelerator = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=best_precision(precision, device.type),
            gradient_accumulation_steps=config.accumulation,
        )
        steps = config.epochs * math.ceil(batches_per_epoch / config.accumulation)
        lowest = self._names.index(cut(strategy, model, steps=steps))
        # Whatever ever trains is among them.
        self.suffix_parameters = [
            parameter for part in model.parts()[lowest:] for parameter in part.parameters()
        ]
        # What does not train at a step has no gradient there, and AdamW passes it over.
        optimiser = torch.optim.AdamW(
            _parameter_groups(self.suffix_parameters, config.weight_decay),
            lr=learning_rate,
            fused=True,
        )
        scheduler = get_scheduler(
            "cosine",
            optimiser,
            num_warmup_steps=round(config.warmup * steps),
            num_training_steps=steps,
        )
        self._optimiser, self._scheduler = self._accelerator.prepare(optimiser, scheduler)

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        return {
            "step": self.step,
            "suffix": [parameter.detach() for parameter in self.suffix_parameters],
            "optimiser": self._optimiser.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "masks": self.rng.bit_generator.state,
            "dropout": torch.get_rng_state(),
            "dropout_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Make the next step what it would have been after `state`."""
        self.step = state["step"]
        for parameter, weight in zip(self.suffix_parameters, state["suffix"], strict=True):
            parameter.copy_(weight)
        self._optimiser.load_state_dict(state["optimiser"])
        self._scheduler.load_state_dict(state["scheduler"])
        self.rng.bit_generator.state = state["masks"]
        torch.set_rng_state(state["dropout"])
        if state["dropout_cuda"]:
            torch.cuda.set_rng_state_all(state["dropout_cuda"])

    def evaluation_mode(self) -> None:
        """Switch dropout off everywhere, and attend as the model was loaded to."""
        self._network.eval()
        self._training = frozenset()
        self._attend(self._attention)

    def train_epoch(
        self, batches: Iterable[TrainingBatch], interrupted: threading.Event
    ) -> float | None:
        """Return the mean loss of the epoch's batches, None if it had none."""
        self._accelerator.step = 0
        total, count = 0.0, 0
        for features, labels in batches:
            if interrupted.is_set():
                break
            self._enter_step()
            loss = self._train_batch(features, labels, last=count + 1 == self._batches_per_epoch)
            total, count = total + loss, count + 1
            if not math.isfinite(loss):
                return math.nan
        return total / count if count else None

    def _enter_step(self) -> None:
        """Let the parts train that the strategy names for this step, and freeze the others."""
        trainable = self.strategy.trainable(self._names, self.step)
        if trainable != self._training:
            freeze_all_but(self.model, trainable)
            self._training = trainable

    def _attend(self, implementation: str) -> None:
        if self._network.config._attn_implementation != implementation:
            self._network.set_attn_implementation(implementation)

    def _train_batch(
        self, features: Features, labels: Sequence[Sequence[int]], *, last: bool
    ) -> float:
        if self.mask is not None:
            hidden = self.mask(features.hidden, features.lengths, self.rng)
            features = Features(features.cut, hidden, features.lengths)
        if self._attention == "sdpa" and self._network.device.type == "cpu":
            self._attend("eager" if features.hidden.shape[1] <= _SHORT_FRAMES else "sdpa")
        accelerator = self._accelerator
        with accelerator.accumulate(self.model.network):
            # What is left at the end of an epoch makes a step too; a short epoch made none else.
            accelerator.sync_gradients |= last
            with accelerator.autocast():
                loss: Tensor = self.model.loss(features, labels)
            value = float(loss.detach())
            if not math.isfinite(value):
                return value
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(
                    self.suffix_parameters, self._config.maximum_gradient_norm
                )
                self.step += 1
            self._optimiser.step()
            self._scheduler.step()
            self._optimiser.zero_grad()
        return value


class _Best:
    """The weights of the best epoch so far; epoch 0, the base model's own, is the first of them.

    The copies lie in the computer's memory: a GPU's holds gradients and moments already.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, interpolation: float) -> None:
        self.wer, self.epoch = math.inf, 0
        self._parameters, self._interpolation = parameters, interpolation
        self._base = self._kept = self._copied()

    def _copied(self) -> list[Tensor]:
        return [parameter.detach().to("cpu", copy=True) for parameter in self._parameters]

    @torch.no_grad()
    def _put(self, weights: Iterable[Tensor]) -> None:
        for parameter, weight in zip(self._parameters, weights, strict=True):
            parameter.copy_(weight)

    @contextmanager
    def interpolated(self) -> Iterator[None]:
        """Lend the model its interpolated weights; afterwards it has the trained ones again."""
        trained = self._copied()
        self._put(
            torch.lerp(base, weight, self._interpolation)
            for base, weight in zip(self._base, trained, strict=True)
        )
        try:
            yield
        finally:
            self._put(trained)

    def offer(self, record: EpochRecord) -> None:
        """Keep the present weights if the epoch was better on dev than all before it."""
        if record.dev_wer < self.wer:
            self.wer, self.epoch = record.dev_wer, record.epoch
            self._kept = self._copied()

    def restore(self) -> None:
        """Put the kept weights back into the model."""
        self._put(self._kept)

    def state(self) -> dict[str, Any]:
        """Return what `load_state` takes up again."""
        return {"wer": self.wer, "epoch": self.epoch, "kept": self._kept}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned; the base's weights are those at hand."""
        self.wer, self.epoch, self._kept = state["wer"], state["epoch"], state["kept"]


def _save(path: Path, session: _Session, best: _Best, records: Sequence[EpochRecord]) -> None:
    """Write the checkpoint; safetensors would hold its tensors alone.

    Raises:
        OutputError: It cannot be written.
    """
    state = {
        "records": [astuple(record) for record in records],
        "session": session.state(),
        "best": best.state(),
    }
    with replacing(path, faults=(RuntimeError,)) as partial:
        torch.save(state, partial)


def _resume(path: Path, session: _Session, best: _Best) -> list[EpochRecord]:
    """Take up what a checkpoint holds and return its records.

    Raises:
        DataError: It cannot be read, or is another model's.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        records = [EpochRecord(*fields) for fields in state["records"]]
        best.load_state(state["best"])
        session.restore(state["session"])
    except (OSError, EOFError, RuntimeError, LookupError, ValueError, UnpicklingError) as error:
        raise DataError(
            f"{path}: cannot be gone on from ({error}); start anew with --overwrite"
        ) from error
    return records


def _parameter_groups(
    parameters: Sequence[nn.Parameter], weight_decay: float
) -> list[dict[str, object]]:
    # Biases and the scales of normalisation do not overfit by being large: decay only biases them.
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


@contextmanager
def _logging(folder: Path | None) -> Iterator[SummaryWriter | None]:
    """Lend a TensorBoard writer for the folder, None without one."""
    writer = SummaryWriter(str(folder)) if folder else None
    try:
        yield writer
    finally:
        if writer:
            writer.close()


def _log(writer: SummaryWriter, record: EpochRecord) -> None:
    for name, value in asdict(record).items():
        if name not in {"epoch", "step"} and value is not None:
            writer.add_scalar(name, value, record.step)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event; a second one ends the program as usual."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def once(number: int, frame: object) -> None:  # noqa: ARG001
        event.set()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, once)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, previous)
