"""The protocol that both model families keep: a chain of parts, cut somewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from speechtl.audio import Waveform

__all__ = ["Family", "Features", "Part", "SpeechModel", "parameter_counts"]

Family = Literal["ctc", "whisper"]


@dataclass(frozen=True, slots=True)
class Features:
    """What flows through the cut: the input of the part named `cut`, for a batch of utterances.

    Attributes:
        cut: The first part that has *not* run.
        hidden: Float tensor `(batch, frames, channels)`, zero beyond each length. At the lowest cut (`cut` is
            the first part) it is the model's own input, so `channels` is 1 for raw samples and the number of
            mel bins for Whisper.
        lengths: Integer tensor `(batch,)`: the frames that hold speech, not padding.
    """

    cut: str
    hidden: Tensor
    lengths: Tensor

    def to(self, device: torch.device | str) -> Features:
        """Return the same features on another device."""
        return replace(self, hidden=self.hidden.to(device), lengths=self.lengths.to(device))


@dataclass(frozen=True, slots=True)
class Part:
    """One link of the chain: a name such as `encoder.3` and the modules and parameters that it owns."""

    name: str
    owns: tuple[nn.Module | nn.Parameter, ...]

    def parameters(self) -> list[nn.Parameter]:
        """Return the part's parameters; no parameter belongs to two parts."""
        found: list[nn.Parameter] = []
        for owned in self.owns:
            found.extend([owned] if isinstance(owned, nn.Parameter) else owned.parameters())
        return found

    def train(self, mode: bool) -> None:
        """Put the part's modules in training mode (dropout on) or in evaluation mode."""
        for owned in self.owns:
            if isinstance(owned, nn.Module):
                owned.train(mode)


class SpeechModel(Protocol):
    """A pretrained recogniser as a chain of parts in depth order, from the audio to the text.

    Attributes:
        family: `ctc` or `whisper`.
        name: What the user called it: a starter name, a folder, or a hub id.
        revision: The hub commit, or a digest of the weights for a local folder.
        network: The transformers model that holds the parameters.
    """

    family: Family
    name: str
    revision: str
    network: PreTrainedModel

    def parts(self) -> tuple[Part, ...]:
        """Return the parts in depth order; the first is the feature encoder, the last is `head`."""
        ...

    def encode(self, waveforms: Sequence[Waveform], cut: str) -> Features:
        """Return the output of all parts below `cut`, on the network's device, with no gradient.

        The parts below the cut run in evaluation mode whatever mode the network is in.
        """
        ...

    def loss(self, features: Features, labels: Sequence[Sequence[int]]) -> Tensor:
        """Return the mean loss (scalar, float32) of the suffix above `features.cut`."""
        ...

    def decode(self, features: Features) -> list[str]:
        """Return the greedy text of each utterance, as the tokenizer spells it."""
        ...

    def labels(self, text: str, *, samples: int) -> list[int]:
        """Return the token ids of a transcript, in the vocabulary's own case.

        Raises:
            DataError: A character is not in the vocabulary, nothing is left of the text, or `samples` of audio
                (16 kHz) are too few or too many for these labels and this model.
        """
        ...

    def save(self, directory: Path) -> None:
        """Write a checkpoint that `from_pretrained` and `pipeline()` load as it is."""
        ...


def parameter_counts(model: SpeechModel) -> dict[str, int]:
    """Return the number of parameters of each part, in depth order."""
    return {part.name: sum(p.numel() for p in part.parameters()) for part in model.parts()}
