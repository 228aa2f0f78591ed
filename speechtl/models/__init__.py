"""Pretrained recognisers of both families, each a chain of parts that can be cut."""

from speechtl.models.base import Family, Features, Part, SpeechModel, parameter_counts
from speechtl.models.loading import STARTERS, load, local_revision, pick_device

__all__ = [
    "STARTERS",
    "Family",
    "Features",
    "Part",
    "SpeechModel",
    "load",
    "local_revision",
    "parameter_counts",
    "pick_device",
]
