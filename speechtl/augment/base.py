"""What all augmentations share: the protocol, the seeded generator, the checks, and chains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from speechtl.audio import Waveform
from speechtl.errors import ConfigError, DataError

__all__ = ["Augmentation", "Chain", "Sometimes", "files_of", "generator"]

_STREAM = 0  # names this random stream, beside a run's others


class Augmentation(Protocol):
    """A changed copy of a waveform, drawn from the generator that is passed in.

    An augmentation is pure: it never writes into its input and uses no randomness but `rng`, so the
    same state of `rng` gives the same waveform. The result is float32, one-dimensional and finite.
    Its length is that of the input unless the class says otherwise. It is not clipped: noise and
    rooms may take a loud input beyond 1.
    """

    def __call__(self, waveform: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:
        """A changed copy of `waveform`, shape `(samples,)`, at the same `sample_rate` in hertz.

        Raises:
            DataError: the waveform is not `(samples,)` of floating point, or is empty.
        """
        ...


def generator(seed: int, *, copy: int, index: int) -> np.random.Generator:
    """The random generator of one augmented copy of one utterance.

    It depends on nothing else, so neither the order of the utterances nor the number of workers
    changes a waveform, and nothing else is drawn from the same numbers.

    Args:
        seed: the run's seed, 0 or more.
        copy: which augmented copy of the corpus, from 0.
        index: the utterance's place in the corpus, from 0.

    Raises:
        ConfigError: one of the three is negative.
    """
    if min(seed, copy, index) < 0:
        raise ConfigError(
            f"seed, copy and index must be 0 or more, got seed={seed}, copy={copy}, index={index}"
        )
    return np.random.default_rng([seed, _STREAM, copy, index])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sometimes:
    """One step of a chain: an augmentation and how often it is applied.

    Args:
        augmentation: what is applied.
        probability: the chance, from 0 to 1, that it is applied to an utterance.

    Raises:
        ConfigError: the probability is outside 0 to 1.
    """

    augmentation: Augmentation
    probability: float = 1.0

    def __post_init__(self) -> None:
        require_range("probability", self.probability, self.probability, lowest=0.0, highest=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Several augmentations one after the other, each applied with its probability.

    A chain is an augmentation itself. Its length rule is that of its steps; with no steps it
    returns a copy.

    Args:
        steps: the augmentations in the order in which they are applied.
    """

    steps: tuple[Sometimes, ...] = ()

    def __call__(self, waveform: Waveform, sample_rate: int, rng: np.random.Generator) -> Waveform:
        """The waveform after all steps that were drawn; see `Augmentation`."""
        result = checked(waveform).copy()
        for step in self.steps:
            if rng.random() < step.probability:
                result = step.augmentation(result, sample_rate, rng)
        return result


def files_of(augmentation: object) -> list[Path]:
    """The files that an augmentation, or the steps of a chain, reads: each once, sorted."""
    steps = [step.augmentation for step in getattr(augmentation, "steps", ())] or [augmentation]
    return sorted(
        {
            path
            for step in steps
            for path in (*getattr(step, "sources", ()), *getattr(step, "responses", ()))
        }
    )


def checked(waveform: Waveform) -> Waveform:
    """The waveform as float32 `(samples,)`, without a copy where it is so already.

    Raises:
        DataError: it has another shape, no samples, or is not of floating point.
    """
    if waveform.ndim != 1 or not waveform.size:
        raise DataError(
            f"a waveform must have shape (samples,) with at least one sample, got "
            f"{waveform.shape}: average the channels, or pass one utterance at a time"
        )
    if not np.issubdtype(waveform.dtype, np.floating):
        raise DataError(
            f"a waveform must be floating point, about -1 to 1, got {waveform.dtype}: "
            "divide integer samples by their full scale"
        )
    return waveform.astype(np.float32, copy=False)


def to_tensor(waveform: Waveform) -> torch.Tensor:
    """A float32 tensor with the waveform's values, shape `(samples,)`."""
    # A copy, for torch warns about arrays that are not writable, as cached ones are.
    return torch.from_numpy(waveform.astype(np.float32, copy=True))


def to_waveform(tensor: torch.Tensor) -> Waveform:
    """The tensor as a contiguous float32 array, shape `(samples,)`."""
    return np.ascontiguousarray(tensor.numpy(), dtype=np.float32)


def energy(waveform: Waveform) -> float:
    """The sum of the squared samples."""
    # float64, for the squares of quiet audio underflow in float32; no product of vectors, which
    # would wake the threads of BLAS.
    return float(np.square(waveform, dtype=np.float64).sum())


def decibels_to_amplitude(decibels: float) -> float:
    """The amplitude ratio of a level difference: 20 dB is 10."""
    return float(10.0 ** (decibels / 20.0))


def require_range(
    name: str,
    minimum: float,
    maximum: float,
    *,
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> None:
    """Refuse a range that is turned round, not finite, or outside what is possible.

    Raises:
        ConfigError: not `lowest <= minimum <= maximum <= highest`, or one of the two is not finite.
    """
    finite = math.isfinite(minimum) and math.isfinite(maximum)
    if not (finite and lowest <= minimum <= maximum <= highest):
        raise ConfigError(
            f"{name} must go from a lower to a higher finite value within {lowest:g} to "
            f"{highest:g}, got {minimum:g} to {maximum:g}"
        )
