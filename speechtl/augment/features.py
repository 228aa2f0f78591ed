"""SpecAugment on the features at the cut: every epoch draws new masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from speechtl.augment.base import require_range
from speechtl.errors import ConfigError, DataError

__all__ = ["SpecAugment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecAugment:
    """Sets stretches of frames and of channels to zero within each utterance, never in its padding.

    Park et al., "SpecAugment" (Interspeech 2019, arXiv:1904.08779), with time masks bounded by a
    share of the utterance as in Park et al., "SpecAugment on large scale datasets" (2020,
    arXiv:1912.05533), but here for all masks together: a word of half a second must not vanish.

    Args:
        time_masks: stretches of frames for each utterance.
        time_width_frames: the widest stretch; each width is drawn from 0 to this. 10 frames are 0.2
            s at the 50 frames a second of wav2vec2 and of Whisper's encoder.
        maximum_time_share: the most that all time masks of an utterance cover, as a share of its
            frames.
        channel_masks: stretches of channels for each utterance.
        channel_width_share: the widest of them, as a share of all channels; each width is drawn
            from 0 to this.

    Raises:
        ConfigError: a count or width is negative, or a share outside 0 to 1.
    """

    time_masks: int = 2
    time_width_frames: int = 10
    maximum_time_share: float = 0.2
    channel_masks: int = 1
    channel_width_share: float = 0.1

    def __post_init__(self) -> None:
        for name in ("time_masks", "time_width_frames", "channel_masks"):
            if (value := getattr(self, name)) < 0:
                raise ConfigError(f"{name} must be 0 or more, got {value}")
        for name in ("maximum_time_share", "channel_width_share"):
            share = getattr(self, name)
            require_range(name, share, share, lowest=0.0, highest=1.0)

    def __call__(
        self, hidden: torch.Tensor, lengths: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor:
        """A copy of the features with masks, `(batch, frames, channels)`.

        Gradients flow to what is not masked.

        Args:
            hidden: the features, `(batch, frames, channels)`.
            lengths: the frames of each utterance, `(batch,)`; the others are padding.
            rng: where the masks are drawn from.

        Raises:
            DataError: the shapes do not fit, or a length is negative or beyond the frames.
        """
        _check(hidden, lengths)
        masked = hidden.clone()
        for row, length in enumerate(lengths.tolist()):
            for frames in self._frames(length, rng):
                masked[row, frames] = 0.0
            for channels in self._channels(hidden.shape[2], rng):
                masked[row, :length, channels] = 0.0
        return masked

    def _frames(self, length: int, rng: np.random.Generator) -> Iterator[slice]:
        """Draw the time masks of one utterance, within the cap."""
        left = int(self.maximum_time_share * length)
        for _ in range(self.time_masks):
            drawn = _stretch(length, min(self.time_width_frames, left), rng)
            left -= drawn.stop - drawn.start
            yield drawn

    def _channels(self, channels: int, rng: np.random.Generator) -> Iterator[slice]:
        """Draw the channel masks of one utterance."""
        for _ in range(self.channel_masks):
            yield _stretch(channels, int(self.channel_width_share * channels), rng)


def _stretch(size: int, widest: int, rng: np.random.Generator) -> slice:
    """Draw a stretch of 0 to `widest` of `size` places."""
    width = int(rng.integers(widest + 1))
    first = int(rng.integers(size - width + 1))
    return slice(first, first + width)


def _check(hidden: torch.Tensor, lengths: torch.Tensor) -> None:
    """Refuse features and lengths that do not belong together.

    Raises:
        DataError: see `SpecAugment.__call__`.
    """
    if hidden.ndim != 3:
        raise DataError(
            f"features must have shape (batch, frames, channels), got {tuple(hidden.shape)}"
        )
    if tuple(lengths.shape) != (hidden.shape[0],):
        raise DataError(
            f"lengths must have shape (batch,) = ({hidden.shape[0]},), got {tuple(lengths.shape)}"
        )
    if lengths.numel() and not 0 <= int(lengths.min()) <= int(lengths.max()) <= hidden.shape[1]:
        raise DataError(
            f"lengths must be within 0 to {hidden.shape[1]} frames, "
            f"got {int(lengths.min())} to {int(lengths.max())}"
        )
