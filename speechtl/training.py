"""Fit the trainable suffix of a model to features at the cut; dev WER chooses what is kept."""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from speechtl.augment import SpecAugment
from speechtl.errors import ConfigError, DataError
from speechtl.files import replacing
from speechtl.models import Features, Objective, SpeechModel
from speechtl.progress import Track, silent
from speechtl.strategy import Strategy, ever, freeze_all_but, trainable_parameters

__all__ = [
    "ALPHAS",
    "EpochRecord",
    "History",
    "Precision",
    "SweepPoint",
    "TrainingConfig",
    "best_precision",
    "default_epochs",
    "fit",
    "optimiser_steps",
]

Precision = Literal["auto", "float32", "bf16"]
Stopped = Literal["finished", "early", "interrupted", "diverged"]
TrainingBatch = tuple[Features, Sequence[Sequence[int]], Sequence[int]]
"""Features, labels, and which of the utterances are replayed."""

# torch's fused attention has a slow backward on a CPU: three times the plain one's time at 100 and
# at 150 frames, the same at 500, half of it at 1500 (torch 2.11, bf16, 2 cores).
_SHORT_FRAMES = 400
_MASKS = 2  # names the random stream of SpecAugment, beside the run's others
_CHECKED = 20  # steps between two looks at the loss; each makes a GPU wait
_SAVING_SHARE = 0.05  # of the time may go into checkpoints

ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""The interpolations between base (0) and trained weights (1) that `auto` tries, beside both."""
_HALVINGS = 2  # of the way between the last point within the limit of forgetting and the next


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """How the suffix is fitted.

    Attributes:
        epochs: The most passes over the training utterances; None takes as many as little speech
            needs, see `default_epochs`.
        learning_rate: The peak rate of AdamW; None takes what suits the model and the strategy.
        head_rate: The peak rate of the head; None: the same. A new head wants more than the layers
            under it (Howard & Ruder 2018, "discriminative fine-tuning").
        layer_decay: What the rate is multiplied by from one part to the next below it, above 0 to
            1 (Clark et al. 2020, "ELECTRA", appendix B: 0.8; 0.65 to 0.95 are usual).
        batch_size: Utterances per batch, at most.
        accumulation: Batches whose gradients are added up before a step.
        warmup: The share of all steps in which the rate rises to its peak; it then falls along a
            cosine.
        weight_decay: AdamW's pull towards zero, on matrices only.
        l2_sp: The pull towards the base's weights: the share of the way back that a step at rate 1
            would go (Li et al. 2018, "Explicit inductive bias for transfer learning", decoupled
            from the gradient as AdamW's decay is).
        kl: The weight in the loss of the divergence from the base model's predictions on what is
            replayed (Li & Hoiem 2016, "Learning without forgetting"; Yu et al. 2013,
            "KL-divergence regularized deep neural network adaptation").
        label_smoothing: The share of probability that a Whisper is to leave to other tokens.
        dropout: Of the layers that train; None leaves it as the checkpoint has it.
        average: How many of the last epochs' weights are averaged into those that are kept
            (Izmailov et al. 2018, "Averaging weights leads to wider optima"); None: all epochs'.
        maximum_gradient_norm: Gradients are scaled down to this norm.
        patience: Epochs without a better dev WER after which training stops; None trains all, down
            to the end of the schedule.
        interpolation: How far the kept weights lie from the base's towards the trained ones, above
            0 to 1. Short of 1 gives back much of what the general accent lost, for a little of
            the gain (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"). `auto`
            tries several after the last epoch and takes the best on dev that keeps within
            `max_forgetting`; with a number the epoch that is best on dev is kept.
        max_forgetting: By how many points (absolute, of 100) the WER on the general accent's dev
            utterances may rise where `interpolation` is `auto`.
    """

    epochs: int | None = None
    learning_rate: float | None = None
    head_rate: float | None = None
    layer_decay: float = 1.0
    batch_size: int = 16
    accumulation: int = 1
    warmup: float = 0.1
    weight_decay: float = 0.01
    l2_sp: float = 0.0
    kl: float = 0.0
    label_smoothing: float = 0.0
    dropout: float | None = None
    average: int | None = None
    maximum_gradient_norm: float = 1.0
    patience: int | None = None
    interpolation: float | Literal["auto"] = "auto"
    max_forgetting: float = 1.0

    def __post_init__(self) -> None:
        wrong = [
            f"{name} must be above 0, got {value}"
            for name in (
                "epochs", "batch_size", "accumulation", "maximum_gradient_norm", "patience",
                "average",
            )
            if (value := getattr(self, name)) is not None and not value > 0
        ]  # fmt: skip
        wrong += [
            f"{name} must not be negative, got {getattr(self, name)}"
            for name in ("weight_decay", "l2_sp", "kl", "max_forgetting")
            if not getattr(self, name) >= 0
        ]
        for name in ("learning_rate", "head_rate"):
            rate = getattr(self, name)
            if rate is not None and not 0 < rate < math.inf:
                wrong.append(f"{name} must be above 0, got {rate}")
        for name in ("label_smoothing", "dropout"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                wrong.append(f"{name} is a share from 0 to below 1, got {share}")
        if not 0 <= self.warmup <= 1:
            wrong.append(f"warmup is a share from 0 to 1, got {self.warmup}")
        if not 0 < self.layer_decay <= 1:
            wrong.append(f"layer_decay must be above 0 and at most 1, got {self.layer_decay}")
        if self.interpolation != "auto" and not 0 < self.interpolation <= 1:
            wrong.append(
                f"interpolation is 'auto', or above 0 and at most 1, got {self.interpolation}"
            )
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
            kept: averaged, and interpolated where a number is given for it.
    """

    epoch: int
    step: int
    loss: float | None
    dev_wer: float


@dataclass(frozen=True, slots=True)
class SweepPoint:
    """What an interpolation between the base (0) and the trained weights (1) gives on dev.

    Attributes:
        interpolation: The share of the way to the trained weights.
        dev_wer: The WER on the accent's dev utterances, a fraction.
        general_dev_wer: The WER on the general accent's; None where there are none.
    """

    interpolation: float
    dev_wer: float
    general_dev_wer: float | None


@dataclass(frozen=True, slots=True)
class History:
    """The whole fit.

    Attributes:
        epochs: The record of every epoch.
        best_epoch: The one whose weights the model holds, the last where an interpolation was
            chosen; 0, the base's, where nothing was better, or nothing within the limit of
            forgetting.
        averaged: How many epochs' weights, up to those, the model holds the mean of.
        stopped: Why it ended.
        interpolation: Where the weights lie between the base's (0) and the epoch's (1).
        sweep: The interpolations that were tried, from 0 upwards; none where one was given.
        sweep_interrupted: Whether Ctrl-C ended their trying; `stopped` is "interrupted" then too.
    """

    epochs: tuple[EpochRecord, ...]
    best_epoch: int
    averaged: int
    stopped: Stopped
    interpolation: float
    sweep: tuple[SweepPoint, ...] = ()
    sweep_interrupted: bool = False

    @property
    def dev_wer(self) -> float:
        """The WER on dev of what the model holds, a fraction."""
        swept = {point.interpolation: point.dev_wer for point in self.sweep}
        return swept.get(self.interpolation, self.epochs[self.best_epoch].dev_wer)


def default_epochs(batches: int, *, accumulation: int) -> int:
    """Return how many epochs of so many batches each are enough where none are asked for.

    They are 8, and more where these would make fewer than 300 steps, but at most 40: patience ends
    sooner what no longer gains.
    """
    steps = optimiser_steps([batches], accumulation=accumulation)
    return min(40, max(8, math.ceil(300 / steps)))


def optimiser_steps(batches_per_epoch: Sequence[int], *, accumulation: int) -> int:
    """Return the steps of all epochs; the batches that an epoch has left over make one too."""
    return sum(math.ceil(batches / accumulation) for batches in batches_per_epoch)


def best_precision(precision: Precision, device: str) -> Literal["float32", "bf16"]:
    """Return the precision to train in.

    `auto` is bf16 where the device has instructions for it (two to three times faster), else
    float32. It looks at what the processor says it has and times nothing, so that the same machine
    always chooses the same.
    """
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    ):
        return "bf16"
    return "float32"


def fit(
    model: SpeechModel,
    strategy: Strategy,
    batches: Callable[[int], Iterable[TrainingBatch]],
    *,
    batches_per_epoch: Sequence[int],
    dev_wer: Callable[[], float],
    general_dev_wer: Callable[[], float] | None = None,
    config: TrainingConfig,
    learning_rate: float,
    precision: Precision = "auto",
    mask: SpecAugment | None = None,
    seed: int = 0,
    log: Path | None = None,
    checkpoint: Path | None = None,
    track: Track = silent,
    on_epoch: Callable[[EpochRecord, bool], None] | None = None,
    on_trained: Callable[[], None] | None = None,
) -> History:
    """Train what `strategy` names; leave the model with the weights that dev chose.

    What is scored on dev and kept are averages of the epochs' weights, interpolated between the
    base's and them; training itself goes on with the trained ones. With a given interpolation the
    epoch best on dev is kept. Where one is to be chosen, that alone is: of epochs whose WER differs
    by chance, the best on a small dev set was often an early one, and worse on other speech than
    the mean of all.

    Args:
        model: Its network is on the device that is to train, and prepared by the strategy.
        strategy: Names the parts that train.
        batches: Gives the features and labels of an epoch (1, 2, …), past the frozen prefix.
        batches_per_epoch: How many of them each epoch has; there are no more epochs than these.
        dev_wer: Returns the present model's WER on the dev utterances, a fraction; called with the
            model in evaluation mode before the first epoch and after each.
        general_dev_wer: The same on the general accent's, asked for when an interpolation is
            chosen; None where there are none.
        config: Rates and limits.
        learning_rate: The peak rate.
        precision: float32, bf16 autocast, or what suits the device.
        mask: Masks the features of each training batch.
        seed: Draws the masks and the dropout.
        log: A folder for TensorBoard.
        checkpoint: A file that holds all that is needed to go on, replaced after an epoch unless
            that would take more than a twentieth of the time; if it is there at first, the fit goes
            on from it as if it had not been ended.
        track: Shows progress.
        on_epoch: Is told each finished epoch, and whether it is the best on dev so far.
        on_trained: Is called when the model has the trained weights that are kept, before an
            interpolation is chosen.

    Returns:
        The record of every epoch. Ctrl-C ends the training after the step at hand, as does a loss
        that is no number; both keep what was reached so far. While an interpolation is chosen, it
        ends the trying at hand, see `_sweep`. A second one before that ends the program.

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
        precision=best_precision(precision, model.network.device.type),
        mask=mask,
        rng=np.random.default_rng([seed, _MASKS]),
    )
    fixed = None if config.interpolation == "auto" else config.interpolation
    kept = _Kept(session.named_parameters(), interpolation=fixed, average=config.average)
    saver = _Saver(checkpoint)
    records: list[EpochRecord] = []

    def tell(record: EpochRecord) -> None:
        if on_epoch:
            on_epoch(record, _lowest(records) == record.epoch)

    def stopping() -> Stopped | None:
        last = records[-1]
        if interrupted.is_set():
            return "interrupted"
        if last.epoch and (last.loss is None or not math.isfinite(last.loss)):
            return "diverged"
        if config.patience is not None and last.epoch - _lowest(records) >= config.patience:
            return "early"
        return "finished" if last.epoch == len(batches_per_epoch) else None

    def scored(wer: Callable[[], float]) -> float:
        with session.autocast():
            return wer()

    with _logging(log) as writer, _interruptible() as interrupted:
        session.evaluation_mode()
        if checkpoint and checkpoint.exists():
            resumed = _resume(checkpoint, session, kept)
        else:
            kept.wer = scored(dev_wer)
            resumed = [EpochRecord(0, 0, None, kept.wer)]
        for record in resumed:
            records.append(record)
            tell(record)
        while (stopped := stopping()) is None:
            epoch = records[-1].epoch + 1
            total = batches_per_epoch[epoch - 1]
            loss = session.train_epoch(
                track(batches(epoch), f"epoch {epoch}", total=total), interrupted, batches=total
            )
            session.evaluation_mode()
            with kept.tried():
                record = EpochRecord(epoch, session.step, loss, scored(dev_wer))
                if loss is None or math.isfinite(loss):
                    kept.offer(record)
            records.append(record)
            tell(record)
            if writer:
                _log(writer, record)
            if not interrupted.is_set():
                saver.offer(lambda: _state(session, kept, records))
    kept.restore()
    if on_trained:
        on_trained()
    if fixed is not None:
        return History(tuple(records), kept.epoch, kept.averaged, stopped, fixed)
    sweep, chosen, cut_short = _sweep(
        kept,
        records[0].dev_wer,
        lambda: scored(dev_wer),
        (lambda: scored(general_dev_wer)) if general_dev_wer else None,
        budget=config.max_forgetting / 100,
        track=track,
    )
    epoch, averaged = (kept.epoch, kept.averaged) if chosen else (0, 1)
    stopped = "interrupted" if cut_short else stopped
    return History(tuple(records), epoch, averaged, stopped, chosen, sweep, cut_short)


def _lowest(records: Sequence[EpochRecord]) -> int:
    """Return the epoch with the lowest dev WER, the first of equals."""
    return min(records, key=lambda record: record.dev_wer).epoch


# --- the optimiser's side -------------------------------------------------------------------------


class _Session:
    """The optimiser's side of one fit: the parts that ever train, and the step that they are at."""

    def __init__(
        self,
        model: SpeechModel,
        strategy: Strategy,
        *,
        config: TrainingConfig,
        learning_rate: float,
        batches_per_epoch: Sequence[int],
        precision: Literal["float32", "bf16"],
        mask: SpecAugment | None,
        rng: np.random.Generator,
    ) -> None:
        self.model, self.strategy, self.mask, self.rng = model, strategy, mask, rng
        self.step = 0
        self._network: Any = model.network  # which has no types
        self._device = model.network.device
        self._attention: str = model.network.config._attn_implementation
        self._config = config
        self._names = [part.name for part in model.parts()]
        self._training: frozenset[str] = frozenset()
        self._bf16 = precision == "bf16"
        self._steps = optimiser_steps(batches_per_epoch, accumulation=config.accumulation)
        training = ever(strategy, self._names, steps=self._steps)
        groups = _parameter_groups(model, training, config=config, learning_rate=learning_rate)
        self._parameters = [parameter for group in groups for parameter in group["params"]]
        # What does not train at a step has no gradient there, and AdamW passes it over.
        self._optimiser = torch.optim.AdamW(groups, lr=learning_rate, fused=True)
        self._origin = (
            [parameter.detach().clone() for parameter in self._parameters] if config.l2_sp else []
        )
        self._reference = copy.deepcopy(model) if config.kl else None
        if self._reference is not None:
            self._reference.network.requires_grad_(False).eval()
        if config.dropout is not None:
            _set_dropout(model, training, config.dropout)

    def autocast(self) -> torch.autocast:
        """Return a block that computes in the precision of the fit."""
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16)

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Return the parameters that ever train, with their names in the network."""
        training = {id(parameter) for parameter in self._parameters}
        return [
            (name, parameter)
            for name, parameter in self._network.named_parameters()
            if id(parameter) in training
        ]

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        return {
            "step": self.step,
            "weights": [parameter.detach() for parameter in self._parameters],
            "optimiser": self._optimiser.state_dict(),
            "masks": self.rng.bit_generator.state,
            "dropout": torch.get_rng_state(),
            "dropout_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Make the next step what it would have been after `state`."""
        self.step = state["step"]
        for parameter, weight in zip(self._parameters, state["weights"], strict=True):
            parameter.copy_(weight)
        self._optimiser.load_state_dict(state["optimiser"])
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
        self, loaded: Iterable[TrainingBatch], interrupted: threading.Event, *, batches: int
    ) -> float | None:
        """Return the mean loss of the epoch's batches, None if it had none."""
        total, count = torch.zeros((), device=self._device), 0
        for features, labels, replayed in loaded:
            if interrupted.is_set():
                break
            self._enter_step()
            count += 1
            # What is left at the end of an epoch makes a step too; a short epoch made none else.
            whole = count % self._config.accumulation == 0 or count == batches
            total += self._train_batch(features, labels, replayed, steps=whole)
            # A loss that is no number stays in the sum; to look at it makes a GPU wait.
            looks = self._device.type == "cpu" or count % _CHECKED == 0
            if looks and not math.isfinite(float(total)):
                return math.nan
        mean = float(total) / count if count else None
        return math.nan if mean is not None and not math.isfinite(mean) else mean

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
        self,
        features: Features,
        labels: Sequence[Sequence[int]],
        replayed: Sequence[int],
        *,
        steps: bool,
    ) -> Tensor:
        """Return the loss of a batch; its gradients are added up, and used if it `steps`."""
        if self._attention == "sdpa" and self._device.type == "cpu":
            self._attend("eager" if features.hidden.shape[1] <= _SHORT_FRAMES else "sdpa")
        with self.autocast():
            # The base hears the same masks: else it would ask for what cannot be heard.
            heard = self._masked(features)
            loss = self.model.loss(heard, labels, self._objective(heard, labels, replayed))
        (loss / self._config.accumulation).backward()
        if steps:
            self._step()
        return loss.detach()

    def _masked(self, features: Features) -> Features:
        if self.mask is None:
            return features
        hidden = self.mask(features.hidden, features.lengths, self.rng)
        return replace(features, hidden=hidden)

    def _objective(
        self, features: Features, labels: Sequence[Sequence[int]], replayed: Sequence[int]
    ) -> Objective:
        smoothing = self._config.label_smoothing
        if self._reference is None or not replayed:
            return Objective(smoothing)
        with torch.no_grad():
            reference = self._reference.log_probabilities(
                features.rows(replayed), [labels[row] for row in replayed]
            )
        # A share of the batch has a share of the weight, as in the mean over the labels.
        weight = self._config.kl * len(replayed) / len(labels)
        return Objective(smoothing, weight, reference, tuple(replayed))

    def _step(self) -> None:
        torch.nn.utils.clip_grad_norm_(self._parameters, self._config.maximum_gradient_norm)
        scale = _schedule(self.step, self._steps, warmup=self._config.warmup)
        for group in self._optimiser.param_groups:
            group["lr"] = group["peak"] * scale
        self._optimiser.step()
        self._optimiser.zero_grad()
        if self._origin:
            self._pull_back()
        self.step += 1

    @torch.no_grad()
    def _pull_back(self) -> None:
        origins = iter(self._origin)
        for group in self._optimiser.param_groups:
            share = min(1.0, group["lr"] * self._config.l2_sp)
            for parameter in group["params"]:
                origin = next(origins)
                if parameter.requires_grad:
                    parameter.lerp_(origin, share)


def _schedule(step: int, steps: int, *, warmup: float) -> float:
    """Return the share of the peak rate at a step: a linear rise, then half a cosine to zero."""
    rise = round(warmup * steps)
    if step < rise:
        return step / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _parameter_groups(
    model: SpeechModel,
    training: frozenset[str],
    *,
    config: TrainingConfig,
    learning_rate: float,
) -> list[dict[str, Any]]:
    """Return AdamW's groups: a rate for each part, and no decay of biases and scales."""
    groups = []
    for above, part in enumerate(reversed(model.parts())):
        if part.name not in training:
            continue
        rate = learning_rate * config.layer_decay**above
        if not above and config.head_rate is not None:
            rate = config.head_rate
        parameters = trainable_parameters(part)
        # Biases and the scales of normalisation do not overfit by being large.
        for chosen, decay in (
            ([p for p in parameters if p.ndim > 1], config.weight_decay),
            ([p for p in parameters if p.ndim <= 1], 0.0),
        ):
            if chosen:
                groups.append({"params": chosen, "weight_decay": decay, "lr": rate, "peak": rate})
    return groups


def _set_dropout(model: SpeechModel, training: frozenset[str], share: float) -> None:
    """Set every dropout of the parts that train, those that attention keeps as a number too."""
    for part in model.parts():
        if part.name not in training:
            continue
        for owned in part.owns:
            if not isinstance(owned, nn.Module):
                continue
            for module in owned.modules():
                if isinstance(module, nn.Dropout):
                    module.p = share
                for name in ("dropout", "activation_dropout"):
                    if isinstance(getattr(module, name, None), float):
                        setattr(module, name, share)


# --- what is kept ---------------------------------------------------------------------------------


class _Kept:
    """The weights that are to be kept, the base model's own at first.

    Where the interpolation is given, they are those of the epoch best on dev; where it is chosen
    afterwards, those of the last. The copies lie in the computer's memory: a GPU's holds gradients
    and moments already.
    """

    def __init__(
        self,
        parameters: Sequence[tuple[str, nn.Parameter]],
        *,
        interpolation: float | None,
        average: int | None,
    ) -> None:
        self.wer, self.epoch = math.inf, 0
        self._parameters = [parameter for _, parameter in parameters]
        # A product of two matrices lies half-way if one of them does: LoRA's A stays as trained.
        self._stays = ["lora_A" in name.split(".") for name, _ in parameters]
        self._chosen_later = interpolation is None
        self._share = 1.0 if interpolation is None else interpolation
        self._average = average
        self._base = self._kept = self._trained = self._mean = self._copied()
        self._last: deque[list[Tensor]] = deque(maxlen=average or 0)
        self._epochs = 0

    @property
    def averaged(self) -> int:
        """How many epochs' weights those that are kept are the mean of; 1 for the base's own."""
        return max(1, min(self.epoch, self._average or self.epoch))

    def _copied(self) -> list[Tensor]:
        return [parameter.detach().to("cpu", copy=True) for parameter in self._parameters]

    @torch.no_grad()
    def _put(self, weights: Iterable[Tensor]) -> None:
        for parameter, weight in zip(self._parameters, weights, strict=True):
            parameter.copy_(weight)

    def _between(self, weights: Sequence[Tensor], interpolation: float) -> Iterator[Tensor]:
        for base, weight, stays in zip(self._base, weights, self._stays, strict=True):
            yield weight if stays else torch.lerp(base, weight, interpolation)

    def _take(self) -> None:
        """Take the present weights into the mean."""
        self._trained = self._copied()
        self._epochs += 1
        self._last.append(self._trained)
        if self._average is None:  # one copy, however many epochs there are
            share = 1 / self._epochs
            self._mean = [
                torch.lerp(*pair, share) for pair in zip(self._mean, self._trained, strict=True)
            ]
        else:
            self._mean = [torch.stack(each).mean(dim=0) for each in zip(*self._last, strict=True)]

    @contextmanager
    def tried(self) -> Iterator[None]:
        """Lend the model the weights that would be kept; then it has the trained ones again."""
        self._take()
        self._put(self._between(self._mean, self._share))
        try:
            yield
        finally:
            self._put(self._trained)

    def offer(self, record: EpochRecord) -> None:
        """Keep the weights that were tried, if they are better on dev than those that are kept."""
        if self._chosen_later or record.dev_wer < self.wer:
            self.wer, self.epoch = record.dev_wer, record.epoch
            self._kept = self._mean

    def restore(self, interpolation: float | None = None) -> None:
        """Put the kept weights into the model, interpolated as they were tried or as is told."""
        chosen = self._share if interpolation is None else interpolation
        self._put(self._between(self._kept, chosen) if self.epoch and chosen else self._base)

    def state(self) -> dict[str, Any]:
        """Return what `load_state` takes up again."""
        return {
            "wer": self.wer,
            "epoch": self.epoch,
            "kept": self._kept,
            "mean": self._mean,
            "last": list(self._last),
            "epochs": self._epochs,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up what `state` returned; the base's weights are those at hand."""
        self.wer, self.epoch, self._kept = state["wer"], state["epoch"], state["kept"]
        self._mean, self._epochs = state["mean"], state["epochs"]
        self._last.extend(state["last"])


def _sweep(
    kept: _Kept,
    base_wer: float,
    dev_wer: Callable[[], float],
    general_dev_wer: Callable[[], float] | None,
    *,
    budget: float,
    track: Track,
) -> tuple[tuple[SweepPoint, ...], float, bool]:
    """Return what each interpolation gives on dev, which the model now has, and if Ctrl-C came.

    It has the best on the accent among those that keep the general accent within the budget; of
    equals the one nearest the base. It is 0, the base itself, where the budget allows none. The
    trained weights themselves were scored on dev when their epoch ended.

    Ctrl-C while dev is scored leaves the choice among what was tried; while general dev is, see
    `_within`.
    """
    base = SweepPoint(0.0, base_wer, None)
    if not kept.epoch:
        kept.restore(0.0)
        return (base,), 0.0, False
    points = [base]
    with _interruptible() as interrupted:
        for alpha in track(ALPHAS, "interpolating", total=len(ALPHAS)):
            kept.restore(alpha)
            points.append(SweepPoint(alpha, dev_wer(), None))
            if interrupted.is_set():
                break
    points.append(SweepPoint(1.0, kept.wer, None))
    with _interruptible() as hurried:
        if general_dev_wer is None:
            chosen = min(points, key=_preference)
        else:
            further = 0 if interrupted.is_set() else _HALVINGS
            chosen = _within(
                kept,
                points,
                dev_wer,
                general_dev_wer,
                budget=budget,
                further=further,
                hurried=hurried,
            )
    kept.restore(chosen.interpolation)
    return tuple(points), chosen.interpolation, interrupted.is_set() or hurried.is_set()


def _preference(point: SweepPoint) -> tuple[float, float]:
    """Return what orders points: the WER, and of equals the way from the base."""
    return point.dev_wer, point.interpolation


def _nearness(point: SweepPoint) -> float:
    return point.interpolation


def _within(
    kept: _Kept,
    points: list[SweepPoint],
    dev_wer: Callable[[], float],
    general_dev_wer: Callable[[], float],
    *,
    budget: float,
    further: int,
    hurried: threading.Event,
) -> SweepPoint:
    """Return the best of the points within the budget; note what each that was tried forgets.

    They are tried from the best on the accent downwards; once `hurried`, from the one nearest the
    base upwards, which is likely to forget least. Where the budget ends between two points, as many
    `further` ones are tried there, unless `hurried`.
    """

    def general_wer(point: SweepPoint) -> float:
        kept.restore(point.interpolation)
        found = general_dev_wer()
        points[points.index(point)] = replace(point, general_dev_wer=found)
        return found

    base, *others = points
    limit = general_wer(base) + budget
    better = [point for point in others if point.dev_wer < base.dev_wer]
    too_far: list[float] = []
    while better:
        best = min(better, key=_nearness if hurried.is_set() else _preference)
        if general_wer(best) <= limit:
            break
        better.remove(best)
        too_far.append(best.interpolation)
    else:
        return base
    least = best.interpolation
    beyond = min((each for each in too_far if each > least), default=least)
    for _ in range(further):
        if hurried.is_set() or beyond == least:
            break
        middle = round((best.interpolation + beyond) / 2, 3)
        kept.restore(middle)
        point = SweepPoint(middle, dev_wer(), None)
        insort(points, point, key=_nearness)
        if point.dev_wer < best.dev_wer and general_wer(point) <= limit:
            best = point
        else:
            beyond = middle
    return best


class _Saver:
    """Writes checkpoints, but not so often that they would take much of the time."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._due = 0.0

    def offer(self, state: Callable[[], dict[str, Any]]) -> None:
        """Write the state if it is time; safetensors would hold its tensors alone.

        Raises:
            OutputError: It cannot be written.
        """
        started = time.monotonic()
        if self._path is None or started < self._due:
            return
        with replacing(self._path, faults=(RuntimeError,)) as partial:
            torch.save(state(), partial)
        ended = time.monotonic()
        self._due = ended + (ended - started) / _SAVING_SHARE


def _state(session: _Session, kept: _Kept, records: Sequence[EpochRecord]) -> dict[str, Any]:
    return {
        "records": [astuple(record) for record in records],
        "session": session.state(),
        "kept": kept.state(),
    }


def _resume(path: Path, session: _Session, kept: _Kept) -> list[EpochRecord]:
    """Take up what a checkpoint holds and return its records.

    Raises:
        DataError: It cannot be read, or is another model's.
    """
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        records = [EpochRecord(*fields) for fields in state["records"]]
        kept.load_state(state["kept"])
        session.restore(state["session"])
    except (OSError, EOFError, RuntimeError, LookupError, ValueError, UnpicklingError) as error:
        raise DataError(
            f"{path}: cannot be gone on from ({error}); start anew with --overwrite"
        ) from error
    return records


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
