"""What `--strategy auto` takes: a rule with the measurements behind it in `docs/strategies.md`."""

from __future__ import annotations

from dataclasses import dataclass

from speechtl.models.base import Family
from speechtl.strategy import StrategyName

__all__ = ["Choice", "choose"]

_RIGHT_ALREADY = 0.03  # WER
_CPU_WORK = 1000.0  # minutes of speech times million parameters; a judgement, as the other one is


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy, and why: "… for <reason>"."""

    strategy: StrategyName
    reason: str


def choose(
    family: Family, *, parameters: int, device: str, minutes: float, dev_wer: float
) -> Choice:
    """Return the strategy that suits.

    Args:
        family: `ctc` or `whisper`.
        parameters: How many the model has.
        device: `cpu`, `cuda` or `mps`.
        minutes: How much of the accent's speech is trained on.
        dev_wer: The base model's WER on the accent's dev utterances, a fraction: how far it is.
    """
    if dev_wer < _RIGHT_ALREADY:
        return Choice(
            "head",
            f"a base with a WER of {dev_wer:.1%} on dev has little to learn, and so forgets least",
        )
    if device != "cpu":
        return Choice("encoder", "it gains most, and the device is fast")
    if family == "whisper":
        return Choice(
            "decoder",
            "on a CPU it has most of what training the encoder too would gain, in less than half "
            "of the time",
        )
    work = minutes * parameters / 1e6
    if work > _CPU_WORK:
        return Choice(
            "top-layers",
            f"{minutes:.0f} min are much for a CPU and {parameters / 1e6:.0f} million parameters",
        )
    return Choice("encoder", "it gains most, be it with a minute of speech")
