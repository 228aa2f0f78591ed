"""Augmentations of waveforms, and SpecAugment for features.

Each is one frozen dataclass that is its own configuration; `docs/augmentation.md` says what each is
for and what it costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from speechtl.augment.base import Augmentation, Chain, Sometimes, files_of, generator
from speechtl.augment.channel import Gain, RoomImpulseResponse, TelephoneBand
from speechtl.augment.features import SpecAugment
from speechtl.augment.noise import AdditiveNoise
from speechtl.augment.tempo import PitchShift, SpeedPerturbation, TimeStretch

__all__ = [
    "ALL",
    "LIGHT",
    "NAMED",
    "AdditiveNoise",
    "Augmentation",
    "Chain",
    "Gain",
    "PitchShift",
    "RoomImpulseResponse",
    "Sometimes",
    "SpecAugment",
    "SpeedPerturbation",
    "TelephoneBand",
    "TimeStretch",
    "files_of",
    "generator",
]

NAMED: Final[Mapping[str, type[Any]]] = MappingProxyType(
    {
        "speed": SpeedPerturbation,
        "time_stretch": TimeStretch,
        "pitch": PitchShift,
        "room": RoomImpulseResponse,
        "noise": AdditiveNoise,
        "telephone": TelephoneBand,
        "gain": Gain,
        "spec_augment": SpecAugment,
    }
)
"""What a configuration may name, in the order that suits a chain; the last masks features."""

# The order is that of the world: the speaker, the room, the noise in it, the microphone's level.
LIGHT: Final = Chain(
    steps=(
        Sometimes(augmentation=SpeedPerturbation(), probability=1.0),
        Sometimes(
            augmentation=RoomImpulseResponse(
                minimum_reverberation_s=0.1, maximum_reverberation_s=0.4, minimum_direct_db=6.0
            ),
            probability=0.2,
        ),
        Sometimes(
            augmentation=AdditiveNoise(kind="pink", minimum_snr_db=10.0, maximum_snr_db=20.0),
            probability=0.3,
        ),
        Sometimes(augmentation=Gain(minimum_db=-6.0, maximum_db=6.0), probability=0.5),
    )
)
"""The default chain: light, as little clean data wants it, and cheap on a CPU."""

ALL: Final[tuple[Augmentation, ...]] = (
    SpeedPerturbation(factors=(0.9, 1.1)),
    TimeStretch(),
    PitchShift(),
    AdditiveNoise(kind="white"),
    AdditiveNoise(kind="pink"),
    RoomImpulseResponse(),
    Gain(),
    TelephoneBand(),
    TelephoneBand(mu_law=True),
    LIGHT,
)
"""An example of each augmentation that needs no files; contract tests run over them."""
