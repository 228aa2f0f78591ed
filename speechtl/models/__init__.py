"""Pretrained recognisers of both families, each a chain of parts that can be cut."""

from speechtl.models.base import (
    Family,
    Features,
    Objective,
    Part,
    SpeechModel,
    parameter_counts,
)
from speechtl.models.loading import STARTERS, load, local_revision, pick_device
from speechtl.models.vocabulary import NewHead, characters_of

__all__ = [
    "STARTERS",
    "Family",
    "Features",
    "NewHead",
    "Objective",
    "Part",
    "SpeechModel",
    "characters_of",
    "load",
    "local_revision",
    "parameter_counts",
    "pick_device",
]
