"""The protocol that both model families keep: a chain of parts, cut somewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.utils import logging

from speechtl.audio import Waveform
from speechtl.errors import ModelError

__all__ = [
    "PLAIN",
    "Family",
    "Features",
    "Objective",
    "Part",
    "SpeechModel",
    "depth",
    "evaluating",
    "parameter_counts",
    "quiet",
    "rounded_up",
]

Family = Literal["ctc", "whisper"]


@dataclass(frozen=True, slots=True)
class Features:
    """What flows through the cut: the input of the part named `cut`, for a batch of utterances.

    Attributes:
        cut: The first part that has *not* run.
        hidden: Float tensor `(batch, frames, channels)`. At the lowest cut (`cut` is the first
            part) it is the model's own input, so `channels` is 1 for raw samples and the number of
            mel bins for Whisper. Beyond each length it is zero for CTC; Whisper pads every
            utterance to its window and reads the padding too, so there it is the silence that the
            model knows.
        lengths: Integer tensor `(batch,)`: the frames that hold speech, not padding.
        readable: Integer tensor `(batch,)`: the frames that the parts above may read, where these
            are not those that hold speech: Whisper reads the silence behind it too. What lies
            beyond them is masked.
    """

    cut: str
    hidden: Tensor
    lengths: Tensor
    readable: Tensor | None = None

    def rows(self, chosen: Sequence[int]) -> Features:
        """Return the features of some of the utterances."""
        index = torch.tensor(chosen, device=self.hidden.device)
        readable = None if self.readable is None else self.readable[index]
        return replace(
            self, hidden=self.hidden[index], lengths=self.lengths[index], readable=readable
        )

    def to(self, device: torch.device | str) -> Features:
        """Return the same features on another device."""
        readable = None if self.readable is None else self.readable.to(device)
        return replace(
            self,
            hidden=self.hidden.to(device),
            lengths=self.lengths.to(device),
            readable=readable,
        )


@dataclass(frozen=True, slots=True)
class Objective:
    """What a loss is made of, beside the labels.

    Attributes:
        label_smoothing: The share of probability that belongs to no label; Whisper's alone.
        kl: The weight of the Kullback-Leibler divergence of the model from `reference`.
        reference: What `log_probabilities` of the base model gave for some utterances of the batch;
            None asks for no divergence.
        rows: Which utterances these are.
    """

    label_smoothing: float = 0.0
    kl: float = 0.0
    reference: Tensor | None = None
    rows: tuple[int, ...] = ()

    def divergence(self, logits: Tensor, reference: Tensor) -> Tensor:
        """Return `kl` times the mean divergence (nats) over positions `(positions, vocabulary)`."""
        predicted = functional.log_softmax(logits, dim=-1, dtype=torch.float32)
        return self.kl * functional.kl_div(
            predicted, reference, reduction="batchmean", log_target=True
        )


PLAIN = Objective()
"""The labels alone."""


@dataclass(frozen=True, slots=True)
class Part:
    """One link of the chain.

    Attributes:
        name: Such as `encoder.3`.
        owns: Its modules and parameters.
        fixed: Those of its parameters that never train.
    """

    name: str
    owns: tuple[nn.Module | nn.Parameter, ...]
    fixed: tuple[nn.Parameter, ...] = ()

    def parameters(self) -> list[nn.Parameter]:
        """Return the part's parameters; no parameter belongs to two parts."""
        found: list[nn.Parameter] = []
        for owned in self.owns:
            found.extend([owned] if isinstance(owned, nn.Parameter) else owned.parameters())
        return found

    def train(self, mode: bool) -> None:
        """Put the part's modules in training mode (dropout on) or in evaluation mode.

        Statistics of batch normalisation stay those of pre-training: they are no parameters, and a
        small corpus would only spoil them.
        """
        for owned in self.owns:
            if isinstance(owned, nn.Module):
                owned.train(mode)
                for module in owned.modules():
                    if isinstance(module, nn.modules.batchnorm._BatchNorm):
                        module.eval()


class SpeechModel(Protocol):
    """A pretrained recogniser as a chain of parts in depth order, from the audio to the text.

    Attributes:
        family: `ctc` or `whisper`.
        name: What the user called it: a starter name, a folder, or a hub id.
        revision: The hub commit, or a digest of the weights for a local folder.
        network: The transformers model that holds the parameters.
        longest_s: The longest recording that it reads at once (s): Whisper's window; for CTC, whose
            attention has no bound, what keeps memory in bounds.
    """

    family: Family
    name: str
    revision: str
    network: PreTrainedModel
    longest_s: float

    def parts(self) -> tuple[Part, ...]:
        """Return the parts in depth order; the first is the feature encoder, the last is `head`."""
        ...

    def encode(self, waveforms: Sequence[Waveform], cut: str) -> Features:
        """Return the output of all parts below `cut`, on the network's device, with no gradient.

        The parts below the cut run in evaluation mode whatever mode the network is in. An
        utterance's features do not depend on the others in its batch. Whisper cuts no higher than
        `decoder.0`; `Features.cut` says where the cut is.

        Raises:
            DataError: A waveform is shorter or longer than the model can read.
            ModelError: No part is called `cut`.
        """
        ...

    def loss(
        self,
        features: Features,
        labels: Sequence[Sequence[int]],
        objective: Objective = PLAIN,
    ) -> Tensor:
        """Return the mean loss (scalar, float32) of the suffix, each part in the mode it is in."""
        ...

    def log_probabilities(self, features: Features, labels: Sequence[Sequence[int]]) -> Tensor:
        """Return what the suffix predicts, float32 `(positions, vocabulary)`.

        The positions are those that the loss looks at, utterance after utterance: the frames that
        hold speech for CTC; for Whisper the tokens, each predicted from the labels before it.
        """
        ...

    def decode(self, features: Features) -> list[str]:
        """Return each utterance's greedy text, in evaluation mode, as the tokenizer spells it."""
        ...

    def labels(self, text: str, *, samples: int) -> list[int]:
        """Return the token ids of a transcript, in the vocabulary's own case.

        Raises:
            DataError: A character is not in the vocabulary, nothing is left of the text, or
                `samples` of audio (16 kHz) are too few or too many for these labels and this model.
        """
        ...

    def save(self, directory: Path) -> None:
        """Write a checkpoint that `from_pretrained` and `pipeline()` load, giving the same text.

        Raises:
            OutputError: The folder cannot be written.
        """
        ...


def parameter_counts(model: SpeechModel) -> dict[str, int]:
    """Return the number of parameters of each part, in depth order."""
    return {part.name: sum(p.numel() for p in part.parameters()) for part in model.parts()}


def depth(model: SpeechModel, name: str) -> int:
    """Return the place of the part called `name`, 0 nearest the audio.

    Raises:
        ModelError: There is no such part.
    """
    names = [part.name for part in model.parts()]
    if name not in names:
        raise ModelError(f"{model.name} has no part '{name}'; its parts are: {', '.join(names)}")
    return names.index(name)


def rounded_up(tensor: Tensor, *, axis: int, value: float = 0, most: int | None = None) -> Tensor:
    """Return a tensor with some padding behind, so that those near in length have one shape.

    On a CPU oneDNN compiles kernels for each shape that it meets, and keeps a thousand. Where
    almost every batch had a shape of its own, they took a gigabyte after 40 batches. Elsewhere the
    tensor is returned as it is.

    Args:
        tensor: Of any shape.
        axis: What is padded, to 8 to 16 times a power of two: by an eighth at most.
        value: What it is padded with.
        most: The length beyond which it is not padded; None for no limit.
    """
    if tensor.device.type != "cpu":
        return tensor
    length = tensor.shape[axis]
    padding = -length % (1 << max(0, length.bit_length() - 4))
    if most is not None:
        padding = min(padding, most - length)
    if not padding:  # torch would copy
        return tensor
    behind = [0, 0] * (tensor.ndim - 1 - axis)
    return functional.pad(tensor, [*behind, 0, padding], value=value)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Run a block without gradient in evaluation mode; then give each module its mode back."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module in training:
            module.training = True


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' notices and progress bars from the terminal; errors are still raised."""
    notices: Any = logging
    verbosity, bars = notices.get_verbosity(), notices.is_progress_bar_enabled()
    notices.set_verbosity_error()
    notices.disable_progress_bar()
    try:
        yield
    finally:
        notices.set_verbosity(verbosity)
        if bars:
            notices.enable_progress_bar()
