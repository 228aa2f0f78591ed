"""What `--strategy auto` takes: a rule with the measurements behind it in `docs/strategies.md`."""

from __future__ import annotations

from dataclasses import dataclass

from speechtl.models.base import Family
from speechtl.strategy import StrategyName

__all__ = ["Choice", "choose"]

_LARGE = 50_000_000  # parameters: a step of the whole encoder takes a CPU seconds


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy, and why: "… for <reason>"."""

    strategy: StrategyName
    reason: str


def choose(
    family: Family,
    *,
    parameters: int,
    device: str,
    minutes: float,
    dev_wer: float,  # noqa: ARG001
) -> Choice:
    """Return the strategy that suits.

    Args:
        family: `ctc` or `whisper`.
        parameters: How many the model has.
        device: `cpu`, `cuda` or `mps`.
        minutes: How much of the accent's speech is trained on.
        dev_wer: The base model's WER on the accent's dev utterances, a fraction: how far it is.
    """
    if family == "whisper":
        return Choice(
            "decoder",
            "a Whisper's decoder gains as much as all of it, and its encoder is computed once",
        )
    if device == "cpu" and parameters > _LARGE:
        return Choice(
            "top-layers", f"{parameters / 1e6:,.0f} million parameters are many for a CPU"
        )
    return Choice("encoder", "it gains most")
