"""What most people run to adapt a recogniser: transformers' own `Trainer`, to time ours against.

The loop is that of Hugging Face's examples `run_speech_recognition_ctc.py` and
`run_speech_recognition_seq2seq.py`: inputs prepared once beforehand, batches grouped by length and
padded by the examples' collators, the frozen modules without gradient but in training mode. What
our own training does is left out (no features kept, no attention chosen by length) and nothing is
put in its way: the inputs stay in memory as arrays, where `datasets` would read them from disk.

Two settings differ from the examples' so that both sides do the same arithmetic: SpecAugment and
layerdrop are off, and the CTC loss is the mean with infinite losses as zero.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from accelerate.state import AcceleratorState, GradientState
from torch.utils.data import Dataset
from transformers import (
    EvalPrediction,
    PrinterCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from speechtl.audio import SAMPLE_RATE, Waveform
from speechtl.errors import ConfigError, DataError
from speechtl.metrics import total, word_errors
from speechtl.models import SpeechModel
from speechtl.models.base import quiet
from speechtl.text import normaliser

__all__ = ["Example", "TrainerRun", "run_trainer"]

_IGNORED = -100  # a label, or a place in a prediction, that is padding
# As `TrainingConfig` has them.
_WARMUP = 0.1
_WEIGHT_DECAY = 0.01
_MAXIMUM_GRADIENT_NORM = 1.0

_Row = dict[str, Any]  # what `datasets.map` would keep of an example: its inputs and its labels


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """An utterance to train on or to score.

    Attributes:
        waveform: float32 `(samples,)`, mono, 16 kHz.
        text: Its transcript.
    """

    waveform: Waveform
    text: str


@dataclass(frozen=True, slots=True)
class TrainerRun:
    """How long `Trainer` took, and what it reached.

    Attributes:
        seconds: From the start of `.train()` to its end, dev evaluations included.
        train_seconds: The same without the dev evaluations.
        losses: The mean over each epoch's batches.
        dev: After each epoch, the seconds since the start and the WER on dev, a fraction; empty
            where none was asked for.
        steps: Optimiser steps.
    """

    seconds: float
    train_seconds: float
    losses: list[float]
    dev: list[tuple[float, float]]
    steps: int


def run_trainer(
    model: SpeechModel,
    train: Sequence[Sequence[Example]],
    dev: Sequence[Example],
    *,
    trainable: frozenset[str],
    batch_size: int,
    epochs: int,
    learning_rate: float,
    precision: Literal["float32", "bf16"],
    evaluate: bool,
    seed: int,
    attention: str | None = None,
) -> TrainerRun:
    """Train the named parts of `model` with `Trainer` and leave them trained.

    All else is given back as it was (settings, what needs a gradient, Accelerate's state), with the
    network in evaluation mode.

    Args:
        model: Its network is on the device that is to train: the CPU or a CUDA device.
        train: Augmented copies of one corpus, equally long; epoch e (1, 2, …) trains on copy
            (e - 1) mod the number of copies.
        dev: What is scored after each epoch if `evaluate` is set.
        trainable: Names of the parts that train, out of `model.parts()`.
        batch_size: Utterances per batch, in training and in evaluation.
        epochs: Passes over the corpus.
        learning_rate: The peak rate; it rises over the first tenth of the steps and falls along a
            cosine.
        precision: `bf16` computes in autocast, dev evaluations included, as `Trainer` does.
        evaluate: Score dev after each epoch.
        seed: Draws the order of the utterances and the dropout.
        attention: How to attend, as transformers names it; None leaves it as loaded.

    Raises:
        ConfigError: No part has one of the names.
        DataError: There is nothing to train on or to score, the copies are not equally long, or a
            text cannot be spelled in the model's vocabulary.
    """
    _check(model, train, dev if evaluate else None, trainable=trainable)
    copies = _Copies([_prepared(model, copy) for copy in train])
    course = _Course(copies, model.network.device)
    with TemporaryDirectory() as folder, quiet(), _lent(model, trainable, attention):
        arguments = _arguments(
            model,
            output_dir=folder,
            per_device_train_batch_size=batch_size,
            per_device_eval_batch_size=batch_size,
            num_train_epochs=epochs,
            learning_rate=learning_rate,
            bf16=precision == "bf16",
            eval_strategy="epoch" if evaluate else "no",
            seed=seed,
        )
        scored = _prepared(model, dev) if evaluate else None
        trainer = _trainer(model, arguments, train=copies, dev=scored, course=course)
        course.start()
        trainer.train()
        course.end()
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
        steps = int(trainer.state.global_step)
        trainer.accelerator.free_memory()
    return TrainerRun(course.seconds, course.seconds - course.scoring, losses, course.dev, steps)


def _check(
    model: SpeechModel,
    train: Sequence[Sequence[Example]],
    dev: Sequence[Example] | None,
    *,
    trainable: frozenset[str],
) -> None:
    names = [part.name for part in model.parts()]
    if not trainable or trainable - set(names):
        raise ConfigError(
            f"the parts to train must be some of {', '.join(names)}; got {sorted(trainable)}"
        )
    lengths = sorted({len(copy) for copy in train})
    if len(lengths) != 1 or lengths[0] == 0:
        raise DataError(
            "the copies to train on must hold the same number of examples, at least one; got "
            f"{lengths}"
        )
    if dev is not None and not dev:
        raise DataError("there must be dev examples to evaluate on; got none")


def _prepared(model: Any, examples: Sequence[Example]) -> list[_Row]:
    """Return what the scripts' `prepare_dataset` keeps: the inputs and the labels of each."""
    name = model.feature_extractor.model_input_names[0]
    rows = []
    for each in examples:
        # One at a time: each is normalised over its own samples.
        inputs = model.feature_extractor(each.waveform, sampling_rate=SAMPLE_RATE)[name][0]
        labels = model.labels(each.text, samples=len(each.waveform))
        rows.append({name: np.asarray(inputs, dtype=np.float32), "labels": labels})
    return rows


class _Copies(Dataset[_Row]):
    """The copy of the corpus whose turn it is."""

    def __init__(self, copies: Sequence[list[_Row]]) -> None:
        self.epoch = 1
        self._copies = copies

    @property
    def rows(self) -> list[_Row]:
        """The rows of the present epoch."""
        return self._copies[(self.epoch - 1) % len(self._copies)]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> _Row:
        return self.rows[index]


class _Course(TrainerCallback):
    """Turns the copies over as the epochs go, and keeps the time.

    Attributes:
        seconds: From start to end.
        scoring: Seconds of them that went into dev evaluations.
        dev: Seconds since the start and WER of each evaluation.
    """

    def __init__(self, copies: _Copies, device: torch.device) -> None:
        self.seconds, self.scoring = 0.0, 0.0
        self.dev: list[tuple[float, float]] = []
        self._copies, self._device = copies, device
        self._epoch = 0
        self._started = self._epoch_ended = 0.0

    def start(self) -> None:
        """Start the clock."""
        self._started = self._now()

    def end(self) -> None:
        """Stop the clock."""
        self.seconds = self._now() - self._started

    def on_epoch_begin(self, *_: Any, **given: Any) -> None:
        """Take the next copy, and group it by its own lengths: speed changes them."""
        self._epoch += 1
        self._copies.epoch = self._epoch
        given["train_dataloader"].batch_sampler.sampler.lengths = _lengths(self._copies.rows)

    def on_epoch_end(self, *_: Any, **__: Any) -> None:
        """Note when the training of an epoch is done: what follows is its evaluation."""
        self._epoch_ended = self._now()

    def on_evaluate(self, *_: Any, **given: Any) -> None:
        """Note the WER and what it cost."""
        now = self._now()
        self.scoring += now - self._epoch_ended
        self.dev.append((now - self._started, given["metrics"]["eval_wer"]))

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def _lengths(rows: Sequence[_Row]) -> list[int]:
    """Return the length of each row's inputs, as `LengthGroupedSampler` takes it."""
    return [len(next(iter(row.values()))) for row in rows]


@dataclass(frozen=True, slots=True)
class _Collator:
    """The scripts' `DataCollatorCTCWithPadding` and `DataCollatorSpeechSeq2SeqWithPadding`.

    Attributes:
        extractor: Pads the inputs.
        tokenizer: Pads the labels.
        masked: Whether the model wants to know which inputs are padding.
        start: The token that the model puts in front of the labels itself; None for CTC.
    """

    extractor: Any
    tokenizer: Any
    masked: bool
    start: int | None

    def __call__(self, rows: Sequence[_Row]) -> Any:
        name = self.extractor.model_input_names[0]
        batch = self.extractor.pad(
            [{name: row[name]} for row in rows],
            padding=True,
            return_attention_mask=self.masked,
            return_tensors="pt",
        )
        padded = self.tokenizer.pad(
            [{"input_ids": row["labels"]} for row in rows], padding=True, return_tensors="pt"
        )
        labels = padded["input_ids"].masked_fill(padded["attention_mask"].ne(1), _IGNORED)
        if self.start is not None and bool((labels[:, 0] == self.start).all()):
            labels = labels[:, 1:]
        batch["labels"] = labels
        if "attention_mask" in batch:
            batch["attention_mask"] = batch["attention_mask"].to(torch.long)
        return batch


def _arguments(model: SpeechModel, **changes: Any) -> Any:
    """Return the arguments of the scripts' `Trainer`, with what this run adds."""
    network: Any = model.network
    on_cpu = network.device.type == "cpu"
    settings: dict[str, Any] = {
        "train_sampling_strategy": "group_by_length",
        "lr_scheduler_type": "cosine",
        "warmup_steps": _WARMUP,  # below 1: a share
        "optim": "adamw_torch_fused",
        "weight_decay": _WEIGHT_DECAY,
        "max_grad_norm": _MAXIMUM_GRADIENT_NORM,
        "logging_strategy": "epoch",
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "remove_unused_columns": False,  # there are none
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": not on_cpu,
        "use_cpu": on_cpu,
        **changes,
    }
    if model.family == "ctc":
        arguments: Any = TrainingArguments(**settings)
    else:
        arguments = Seq2SeqTrainingArguments(
            **settings,
            predict_with_generate=True,
            generation_max_length=network.generation_config.max_length,
        )
    # With several devices `Trainer` would split each batch among them.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _trainer(
    model: Any, arguments: Any, *, train: _Copies, dev: list[_Row] | None, course: _Course
) -> Any:
    """Return the `Trainer` of the model's family, as the scripts make it."""
    config, ctc = model.network.config, model.family == "ctc"
    collator = _Collator(
        model.feature_extractor,
        model.tokenizer,
        masked=ctc and getattr(config, "feat_extract_norm", "layer") == "layer",
        start=None if ctc else config.decoder_start_token_id,
    )
    kind: Any = _CtcTrainer if ctc else Seq2SeqTrainer
    trainer = kind(
        model=model.network,
        args=arguments,
        train_dataset=train,
        eval_dataset=dev,
        data_collator=collator,
        processing_class=model.feature_extractor,
        compute_metrics=_metrics(model),
        callbacks=[course],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


class _CtcTrainer(Trainer):
    """`Trainer` that predicts the best path of the speech alone.

    The script reads letters into the padding too, which costs the starter about a point of WER.
    """

    def prediction_step(self, model: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
        """Return the loss, the ids of the best path and the labels of a batch.

        Ids, as `preprocess_logits_for_metrics` would make them: the logits of all of dev are many.
        """
        logits: Any
        loss, logits, labels = super().prediction_step(model, inputs, *rest, **options)
        path: Any = logits.argmax(dim=-1)
        if "attention_mask" in inputs:
            network: Any = self.model
            samples = inputs["attention_mask"].sum(dim=-1).to(path.device)
            lengths = network._get_feat_extract_output_lengths(samples)
            padding = torch.arange(path.shape[1], device=path.device) >= lengths[:, None]
            path = path.masked_fill(padding, _IGNORED)
        return loss, path, labels


def _metrics(model: Any) -> Callable[[EvalPrediction], dict[str, float]]:
    """Return the scripts' `compute_metrics`, with our count of errors and our normal form."""
    tokenizer, normal = model.tokenizer, normaliser("plain")
    # The words of a CTC reference have double letters, those of a best path do not.
    said_as = {"group_tokens": False} if model.family == "ctc" else {"skip_special_tokens": True}
    heard_as = {} if model.family == "ctc" else {"skip_special_tokens": True}

    def texts(ids: Any, options: Mapping[str, bool]) -> list[str]:
        filled = np.where(ids == _IGNORED, tokenizer.pad_token_id, ids)
        return [normal(text) for text in tokenizer.batch_decode(filled, **options)]

    def metrics(prediction: EvalPrediction) -> dict[str, float]:
        said = texts(prediction.label_ids, said_as)
        heard = texts(prediction.predictions, heard_as)
        return {"wer": total(map(word_errors, said, heard)).rate}

    return metrics


@contextmanager
def _lent(model: SpeechModel, trainable: frozenset[str], attention: str | None) -> Iterator[None]:
    """Lend the network to `Trainer` with only the named parts unfrozen; then undo all but weights.

    `Trainer` sets the cache in the configuration and fills in the generation's, and Accelerate puts
    its autocast around `forward`, also around what calls it later.
    """
    network: Any = model.network
    config, attributes = network.config, set(vars(network))
    settings, loaded = dict(vars(config)), config._attn_implementation
    generation = deepcopy(getattr(network, "generation_config", None))
    gradients = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    flags = [
        (module, name, vars(module)[name])
        for module in network.modules()
        for name in ("layerdrop", "_requires_grad")
        if name in vars(module)
    ]
    try:
        _freeze_all_but(model, trainable)
        _comparable(network, ctc=model.family == "ctc")
        if attention is not None:
            network.set_attn_implementation(attention)
        yield
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
        network.set_attn_implementation(loaded)
        for name in set(vars(network)) - attributes:
            delattr(network, name)
        vars(config).clear()
        vars(config).update(settings)
        if generation is not None:
            network.generation_config = generation
        for parameter, needed in gradients:
            parameter.requires_grad_(needed)
            parameter.grad = None
        for module, name, value in flags:
            setattr(module, name, value)
        network.eval()


def _freeze_all_but(model: SpeechModel, trainable: frozenset[str]) -> None:
    """Freeze as the scripts do: no gradient, and nothing else."""
    for part in model.parts():
        for parameter in part.parameters():
            parameter.requires_grad_(part.name in trainable)
    network: Any = model.network
    if model.family == "ctc" and "feature_encoder" not in trainable:
        # Without it the convolutions ask for a gradient of the waveform itself.
        network.freeze_feature_encoder()


def _comparable(network: Any, *, ctc: bool) -> None:
    """Switch off what our training does not do, and take its loss."""
    config = network.config
    config.apply_spec_augment = False
    if ctc:
        config.layerdrop = 0.0
        config.ctc_loss_reduction, config.ctc_zero_infinity = "mean", True
    for module in network.modules():
        if "layerdrop" in vars(module):
            module.layerdrop = 0.0
