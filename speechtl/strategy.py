"""What trains, as a pure function of the part names and the step; its lowest part is the cut.

Every transfer-learning technique is a rule of this kind (Howard & Ruder 2018, "Universal language
model fine-tuning for text classification", section 3.3, for training from the head downwards). A
rule knows no weights: it can be tested without a model and resumed without a history. Only LoRA
changes the network as well, once, before training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from torch import nn

from speechtl.errors import ConfigError
from speechtl.lora import LoraSettings, carries, inject, matrices
from speechtl.models.base import Family, Part, SpeechModel

__all__ = [
    "STRATEGIES",
    "Decoder",
    "Encoder",
    "FromScratch",
    "Gradual",
    "Head",
    "Lora",
    "Strategy",
    "StrategyName",
    "TopLayers",
    "cut",
    "ever",
    "freeze_all_but",
    "strategy",
    "trainable_parameters",
]

StrategyName = Literal[
    "auto",
    "head",
    "new-head",
    "lora",
    "gradual",
    "top-layers",
    "encoder",
    "decoder",
    "from-scratch",
]
"""What `--strategy` takes; `auto` stands for one of the others, see `speechtl.choice`."""

STRATEGIES: dict[Family, tuple[StrategyName, ...]] = {
    "ctc": ("head", "new-head", "lora", "top-layers", "gradual", "encoder", "from-scratch"),
    "whisper": ("lora", "head", "decoder", "top-layers", "gradual", "encoder", "from-scratch"),
}
"""The strategies that each family knows, from the fewest parameters to the most. A Whisper's head
holds its token embedding. `from-scratch` is no way to adapt but the control that shows what the
pretrained weights are worth."""


class Strategy(Protocol):
    """A rule that names the parts that train at a step."""

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:
        """Return the names, out of `parts` in depth order, that train at optimiser step `step`."""
        ...

    def prepare(self, model: SpeechModel) -> None:  # noqa: ARG002
        """Change the network before training; only LoRA does anything, and only once."""
        return


@dataclass(frozen=True, slots=True)
class Head(Strategy):
    """The head alone: feature extraction with the kept head, or with a new one."""

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:  # noqa: ARG002
        """Return the head."""
        return frozenset({parts[-1]})


@dataclass(frozen=True, slots=True)
class Decoder(Strategy):
    """Whisper's decoder and head."""

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:  # noqa: ARG002
        """Return the decoder's layers and the head."""
        return frozenset(name for name in parts if name.startswith("decoder.")) | {parts[-1]}


@dataclass(frozen=True, slots=True)
class TopLayers(Strategy):
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
class Gradual(Strategy):
    """The head first, then one part more, downwards, after each `every` optimiser steps.

    Howard & Ruder 2018 unfreeze a layer with each epoch. The feature encoder stays frozen.

    Attributes:
        every: Steps from one part to the next.
        layers: How many parts below the head are unfrozen at last; None unfreezes all but the
            feature encoder.
    """

    every: int
    layers: int | None = None

    def __post_init__(self) -> None:
        wrong = []
        if self.every < 1:
            wrong.append(f"unfreeze_every must be at least 1 step, got {self.every}")
        if self.layers is not None and self.layers < 1:
            wrong.append(
                f"unfreeze_layers must be at least 1, got {self.layers}; to train the head alone "
                "use --strategy head"
            )
        if wrong:
            raise ConfigError("; ".join(wrong))

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:
        """Return the head and the parts unfrozen so far.

        Raises:
            ConfigError: Fewer parts lie between the feature encoder and the head.
        """
        most = len(parts) - 2
        if self.layers is not None and self.layers > most:
            raise ConfigError(
                f"unfreeze_layers must be at most {most}, the parts of this model between feature "
                f"encoder and head; got {self.layers}. Leave it out to unfreeze them all."
            )
        unfrozen = min(step // self.every, most if self.layers is None else self.layers)
        return frozenset(parts[-1 - unfrozen :])


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora(LoraSettings, Strategy):
    """Low-rank matrices beside the frozen weights of transformer layers; see `speechtl.lora`.

    Attributes:
        seed: Draws the matrices A.
    """

    seed: int = 0

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:  # noqa: ARG002
        """Return the layers that carry matrices: the top encoder layers, all decoder layers.

        Raises:
            ConfigError: The encoder has fewer layers, or there is no layer to carry any.
        """
        encoder = [name for name in parts if name.startswith("encoder.")]
        decoder = [name for name in parts if name.startswith("decoder.")]
        least = 0 if decoder else 1
        layers = len(encoder) if self.layers is None else self.layers
        if not least <= layers <= len(encoder):
            raise ConfigError(
                f"the layers of LoRA must be from {least} to {len(encoder)}, the encoder layers of "
                f"this model; got {self.layers}. Leave them out to adapt all."
            )
        return frozenset(encoder[len(encoder) - layers :] + decoder)

    def prepare(self, model: SpeechModel) -> None:
        """Put the matrices into the layers; a model that carries some stays as it is.

        Raises:
            ConfigError: The model has no such layers, or a target names no linear layer in them.
        """
        if any(carries(part) for part in model.parts()):
            return
        inject(
            model,
            self.trainable([part.name for part in model.parts()], 0),
            rank=self.rank,
            alpha=self.alpha,
            dropout=self.dropout,
            targets=self.targets,
            seed=self.seed,
        )
        # A part without matrices would train as a whole.
        named = self.trainable([part.name for part in model.parts()], 0)
        without = [p.name for p in model.parts() if p.name in named and not carries(p)]
        if without:
            raise ConfigError(
                f"the targets of LoRA, {', '.join(self.targets)}, name no layer in "
                f"{', '.join(without)}; name some there too, or give fewer layers"
            )


@dataclass(frozen=True, slots=True)
class Encoder(Strategy):
    """Everything above the feature encoder, which every adaptation keeps frozen."""

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:  # noqa: ARG002
        """Return all parts but the first."""
        return frozenset(parts[1:])


@dataclass(frozen=True, slots=True)
class FromScratch(Strategy):
    """Every part, from the random weights that the model was loaded with."""

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:  # noqa: ARG002
        """Return all parts."""
        return frozenset(parts)


def strategy(
    name: StrategyName,
    *,
    family: Family,
    top_layers: int = 2,
    unfreeze_every: int = 20,
    unfreeze_layers: int | None = None,
    lora: LoraSettings | None = None,
    seed: int = 0,
) -> Strategy:
    """Return the strategy called `name`.

    Args:
        name: One of the family's `STRATEGIES`.
        family: `ctc` or `whisper`.
        top_layers: How many encoder layers `top-layers` trains.
        unfreeze_every: Optimiser steps from one part to the next in `gradual`.
        unfreeze_layers: How many parts below the head `gradual` unfreezes at last; None: all.
        lora: The matrices of `lora`; None takes the defaults.
        seed: Draws LoRA's matrices.

    Raises:
        ConfigError: The family has no such strategy, and the message lists those it has; or the
            strategy's own settings are wrong.
    """
    if name not in STRATEGIES[family]:
        known = ", ".join(STRATEGIES[family])
        raise ConfigError(f"a {family} model has no strategy '{name}'; choose one of: {known}")
    made: dict[StrategyName, Callable[[], Strategy]] = {
        "head": Head,
        "new-head": Head,  # the new head is made where the model is loaded
        "decoder": Decoder,
        "top-layers": lambda: TopLayers(top_layers),
        "gradual": lambda: Gradual(unfreeze_every, unfreeze_layers),
        "lora": lambda: Lora(**asdict(lora or LoraSettings()), seed=seed),
        "encoder": Encoder,
        "from-scratch": FromScratch,  # the random weights are, too
    }
    return made[name]()


def ever(chosen: Strategy, parts: Sequence[str], *, steps: int) -> frozenset[str]:
    """Return the names, out of `parts`, that train in any of the first `steps` steps."""
    # Of many steps few differ: a set keeps one of each.
    distinct = {chosen.trainable(parts, step) for step in range(steps)}
    return frozenset[str]().union(*distinct)


def cut(chosen: Strategy, model: SpeechModel, *, steps: int = 1) -> str:
    """Return the lowest part that trains in any of `steps` steps, or a lower one that can be cut.

    Whisper decodes token by token, so its features can be taken no higher than the top of the
    encoder.
    """
    names = [part.name for part in model.parts()]
    lowest = min(names.index(name) for name in ever(chosen, names, steps=steps))
    return names[min(lowest, names.index("decoder.0"))] if "decoder.0" in names else names[lowest]


def trainable_parameters(part: Part) -> list[nn.Parameter]:
    """Return what of a part trains when it does: LoRA's matrices alone, else all not fixed."""
    fixed = {id(parameter) for parameter in part.fixed}
    return matrices(part) or [each for each in part.parameters() if id(each) not in fixed]


def freeze_all_but(model: SpeechModel, trainable: frozenset[str]) -> list[Part]:
    """Let the named parts train and freeze the others; return those that train.

    A frozen part needs no gradient and is in evaluation mode, so that no dropout moves what it
    gives. Of a part that trains, only `trainable_parameters` do.
    """
    training = []
    for part in model.parts():
        trains = part.name in trainable
        for parameter in part.parameters():
            parameter.requires_grad_(False)
        part.train(trains)
        if trains:
            training.append(part)
            for parameter in trainable_parameters(part):
                parameter.requires_grad_(True)
    return training
