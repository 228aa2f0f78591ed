"""What trains, as a pure function of the part names and the step; its lowest part is the cut.

Every transfer-learning technique is a rule of this kind (Howard & Ruder 2018, "Universal language
model fine-tuning", for training from the head downwards). A strategy knows no weights: it can be
tested without a model and resumed without a history.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from speechtl.errors import ConfigError
from speechtl.models.base import Family, Part, SpeechModel

__all__ = [
    "STRATEGIES",
    "Decoder",
    "Encoder",
    "Head",
    "Strategy",
    "StrategyName",
    "TopLayers",
    "cut",
    "freeze_all_but",
    "strategy",
]

StrategyName = Literal["head", "top-layers", "encoder", "decoder"]

STRATEGIES: dict[Family, tuple[StrategyName, ...]] = {
    "ctc": ("head", "top-layers", "encoder"),
    "whisper": ("head", "decoder", "top-layers", "encoder"),
}
"""The strategies that each family knows, from the fewest parameters to the most."""


class Strategy(Protocol):
    """A rule that names the parts that train at a step."""

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:
        """Return the names, out of `parts` in depth order, that train at optimiser step `step`."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """The head alone: feature extraction with the kept head."""

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:  # noqa: ARG002
        """Return the head."""
        return frozenset({parts[-1]})


@dataclass(frozen=True, slots=True)
class Decoder:
    """Whisper's decoder and head."""

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:  # noqa: ARG002
        """Return the decoder's layers and the head."""
        return frozenset(name for name in parts if name.startswith("decoder.")) | {parts[-1]}


@dataclass(frozen=True, slots=True)
class TopLayers:
    """The top `layers` encoder layers and all that lies above them."""

    layers: int

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ConfigError(f"top_layers must be at least 1, got {self.layers}")

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:  # noqa: ARG002
        """Return the parts from encoder layer N - `layers` to the head.

        Raises:
            ConfigError: The encoder has fewer layers.
        """
        encoder = [name for name in parts if name.startswith("encoder.")]
        if self.layers > len(encoder):
            raise ConfigError(
                f"--top-layers must be at most {len(encoder)}, the encoder layers of this model; "
                f"got {self.layers}. To train all of them use --strategy encoder."
            )
        return frozenset(parts[parts.index(encoder[-self.layers]) :])


@dataclass(frozen=True, slots=True)
class Encoder:
    """Everything above the feature encoder, which is always frozen."""

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:  # noqa: ARG002
        """Return all parts but the first."""
        return frozenset(parts[1:])


def strategy(name: StrategyName, *, family: Family, top_layers: int = 2) -> Strategy:
    """Return the strategy called `name`.

    Raises:
        ConfigError: The family has no such strategy; the message lists those it has.
    """
    if name not in STRATEGIES[family]:
        known = ", ".join(STRATEGIES[family])
        raise ConfigError(f"a {family} model has no strategy '{name}'; choose one of: {known}")
    match name:
        case "head":
            return Head()
        case "decoder":
            return Decoder()
        case "top-layers":
            return TopLayers(top_layers)
        case "encoder":
            return Encoder()


def cut(chosen: Strategy, model: SpeechModel, *, steps: int = 1) -> str:
    """Return the lowest part that trains in any of `steps` steps, or a lower one that can be cut.

    Whisper decodes token by token, so its features can be taken no higher than the top of the
    encoder.
    """
    names = [part.name for part in model.parts()]
    ever: frozenset[str] = frozenset().union(*(chosen.trainable(names, s) for s in range(steps)))
    lowest = min(names.index(name) for name in ever)
    return names[min(lowest, names.index("decoder.0"))] if "decoder.0" in names else names[lowest]


def freeze_all_but(model: SpeechModel, trainable: frozenset[str]) -> list[Part]:
    """Let the named parts train and freeze the others; return those that train.

    A frozen part needs no gradient and is in evaluation mode, so that no dropout moves what it
    gives.
    """
    training = []
    for part in model.parts():
        trains = part.name in trainable
        for parameter in part.parameters():
            parameter.requires_grad_(trains)
        part.train(trains)
        if trains:
            training.append(part)
    return training
