"""Features at the cut: computed once, kept on disk, and handed out in batches."""

from speechtl.features.batches import (
    BATCH_SECONDS,
    TrainingBatches,
    length_buckets,
)
from speechtl.features.cache import FeatureCache, Recipe, Shelf, Usage, default_folder, software
from speechtl.features.source import (
    Copy,
    Encoding,
    Example,
    FeatureSource,
    example,
    faster_precision,
)
from speechtl.features.waveforms import Waveforms

__all__ = [
    "BATCH_SECONDS",
    "Copy",
    "Encoding",
    "Example",
    "FeatureCache",
    "FeatureSource",
    "Recipe",
    "Shelf",
    "TrainingBatches",
    "Usage",
    "Waveforms",
    "default_folder",
    "example",
    "faster_precision",
    "length_buckets",
    "software",
]
