"""LoRA: low-rank matrices beside frozen weights, put into a network and taken out of it in place.

A linear layer gives `W0 x + (alpha / rank) B A x`, where W0 is the base's own weight and only A and
B train (Hu et al. 2021, "LoRA: low-rank adaptation of large language models", arXiv:2106.09685,
section 4.1). PEFT's layers compute it. They take the places of the linear layers inside the very
modules that the model holds, so that its parts, its cut and its decoding know nothing of them.

PEFT takes seconds to import; only `inject` does.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from speechtl.errors import ConfigError, ModelError
from speechtl.files import replacing, write_text
from speechtl.models.base import Part, SpeechModel, depth

__all__ = ["LoraSettings", "carries", "inject", "matrices", "merge", "save_adapter"]

_ADAPTER = "default"  # PEFT's own name for a network's only adapter
_UNREAD = {"wavlm": {"q_proj", "k_proj", "v_proj", "out_proj"}}
"""By model type, the linear layers that are never called: the attention takes their weights to
torch's own function (transformers 5, `torch_multi_head_self_attention`), past any matrices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """Which matrices LoRA trains.

    Rank, alpha and targets are those of Hu et al. for RoBERTa (microsoft/LoRA, examples/NLU); the
    guide of PEFT to Whisper has the same targets and the same ratio of alpha to rank.

    Attributes:
        rank: The rows of A and columns of B, 1 or more.
        alpha: Alpha / rank scales what the matrices add.
        dropout: The share of their input that is dropped in training, from 0 to below 1.
        targets: The linear layers that get them, by the end of their names.
        layers: How many of the top encoder layers get them, besides all of a Whisper's decoder
            layers; None takes all. 0 leaves a Whisper's decoder layers alone.
    """

    rank: int = 8
    alpha: int = 16
    dropout: float = 0.0
    targets: tuple[str, ...] = ("q_proj", "v_proj")
    layers: int | None = None

    def __post_init__(self) -> None:
        wrong = [
            f"the {name} of LoRA must be at least 1, got {value}"
            for name, value in (("rank", self.rank), ("alpha", self.alpha))
            if value < 1
        ]
        if not 0 <= self.dropout < 1:
            wrong.append(f"the dropout of LoRA is a share from 0 to below 1, got {self.dropout}")
        if not self.targets or not all(target.strip() for target in self.targets):
            wrong.append(
                "the targets of LoRA must name linear layers, for instance q_proj and v_proj; "
                f"got {list(self.targets)}"
            )
        if self.layers is not None and self.layers < 0:
            wrong.append(f"the layers of LoRA must not be negative, got {self.layers}")
        if wrong:
            raise ConfigError("; ".join(wrong))


def inject(
    model: SpeechModel,
    parts: Collection[str],
    *,
    rank: int,
    alpha: int,
    dropout: float,
    targets: Sequence[str],
    seed: int = 0,
) -> None:
    """Put LoRA's matrices into linear layers of the named parts, in place.

    B is zero at first, so that the model gives what it gave before. All weights that were there
    are frozen.

    Args:
        model: A network that carries no LoRA yet.
        parts: The names of the parts.
        rank: The rows of A and columns of B.
        alpha: Alpha / rank scales what the matrices add.
        dropout: The share of their input that is dropped in training.
        targets: The layers' names, or the ends of them (`q_proj`, `self_attn.q_proj`).
        seed: Draws A; torch's own generator is left as it was.

    Raises:
        ConfigError: A target names no linear layer there, or one that is never called.
        ModelError: The model has no such part, or carries LoRA already.
    """
    for name in parts:
        depth(model, name)
    if _layers(model):
        raise ModelError(f"{model.name} carries LoRA already; merge it first")
    names = _targeted(model, parts, targets)
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415

    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=names)
    # A is drawn on the CPU; torch.manual_seed would set the GPU's generators as well.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        inject_adapter_in_model(config, model.network)
    for layer in _layers(model).values():
        # A new module is in training mode: its dropout would be on in an evaluated network.
        layer.train(layer.get_base_layer().training)


def merge(model: SpeechModel) -> None:
    """Add what the matrices say to the base weights and take them out, in place.

    The network then has the modules and the names of parameters that it was loaded with, so that
    `model.save` writes a plain checkpoint. A model without LoRA stays as it is.
    """
    network: Any = model.network
    layers = _layers(model)
    with torch.no_grad():
        for name, layer in layers.items():
            layer.merge()
            network.set_submodule(name, layer.get_base_layer())
    if layers:
        del network.peft_config


def save_adapter(
    model: SpeechModel, directory: Path, *, base: str, revision: str | None = None
) -> None:
    """Write the matrices in PEFT's format: `adapter_config.json`, `adapter_model.safetensors`.

    `PeftModel.from_pretrained(AutoModelForCTC.from_pretrained(base), directory)` then gives the
    logits that the model gives now; a Whisper's base opens with `AutoModelForSpeechSeq2Seq`.

    Args:
        model: A model that carries LoRA.
        directory: Made if it is not there.
        base: The checkpoint that the matrices were trained beside, a folder or a hub id.
        revision: The base's commit on the hub.

    Raises:
        ModelError: The model carries no LoRA.
        OutputError: The folder cannot be written.
    """
    layers = _layers(model)
    if not layers:
        raise ModelError(f"{model.name} carries no LoRA to save; save it before it is merged")
    network: Any = model.network
    held = network.peft_config[_ADAPTER].to_dict()
    held |= {"base_model_name_or_path": base, "revision": revision, "inference_mode": True}
    # By which AutoPeftModel opens an adapter for a task that PEFT has no name for.
    held["auto_mapping"] = {
        "base_model_class": type(network).__name__,
        "parent_library": type(network).__module__,
    }
    tensors = {}
    for name, layer in layers.items():
        for key in ("lora_A", "lora_B"):
            # PeftModel's prefix, without the adapter's name (PEFT docs, "PEFT checkpoint format").
            weight = getattr(layer, key)[_ADAPTER].weight.detach()
            tensors[f"base_model.model.{name}.{key}.weight"] = weight.cpu().contiguous()
    with replacing(directory / "adapter_model.safetensors", faults=(SafetensorError,)) as partial:
        save_file(tensors, partial, metadata={"format": "pt"})
    # PEFT keeps the targets as a set, whose order differs from run to run.
    text = json.dumps(held, indent=2, sort_keys=True, default=sorted)
    write_text(directory / "adapter_config.json", f"{text}\n")


def carries(part: Part) -> bool:
    """Return whether the part holds LoRA's matrices."""
    return bool(matrices(part))


def matrices(part: Part) -> list[nn.Parameter]:
    """Return the part's A and B matrices, none where it carries no LoRA."""
    return [
        parameter
        for owned in part.owns
        if isinstance(owned, nn.Module)
        for name, parameter in owned.named_parameters()
        if {"lora_A", "lora_B"} & set(name.split("."))
    ]


def _layers(model: SpeechModel) -> dict[str, Any]:
    """Return PEFT's layers by the name that each has in the network."""
    return {
        name: module
        for name, module in model.network.named_modules()
        if hasattr(module, "lora_A")  # PEFT's class would have to be imported
    }


def _targeted(model: SpeechModel, parts: Collection[str], targets: Sequence[str]) -> list[str]:
    """Return the full names of the linear layers of the named parts that end in a target.

    Raises:
        ConfigError: A target names none, or one that is never called.
    """
    owned = {
        module
        for part in model.parts()
        if part.name in parts
        for each in part.owns
        if isinstance(each, nn.Module)
        for module in each.modules()
        if isinstance(module, nn.Linear)
    }
    linear = [name for name, module in model.network.named_modules() if module in owned]
    unread = _UNREAD.get(str(model.network.config.model_type), set())
    usable = [name for name in linear if _last(name) not in unread]
    wrong = [
        target
        for target in targets
        if not any(f".{name}".endswith(f".{target}") for name in usable)
    ]
    if wrong:
        ignored = [target for target in wrong if _last(target) in unread]
        why = (
            f"; its attention takes the weights of {' and '.join(ignored)} past the layers "
            "themselves, where LoRA would change nothing"
            if ignored
            else ""
        )
        raise ConfigError(
            f"LoRA's targets must be linear layers of {model.name}, got {', '.join(wrong)}{why}. "
            f"Choose among: {', '.join(sorted({_last(name) for name in usable}))}"
        )
    ends = tuple(f".{target}" for target in targets)
    return [name for name in usable if f".{name}".endswith(ends)]


def _last(name: str) -> str:
    return name.rpartition(".")[2]
