"""The CTC loss and its gradient on a CPU, several times faster than torch's own.

Once the features are there, training a head is little arithmetic but for this: torch's loss takes
logarithms and exponentials of every state of every frame, and was two thirds of a step. Here the
recursion is in probabilities, scaled to sum to one at each frame (Graves et al. 2006,
"Connectionist temporal classification", section 4.1; Rabiner 1989, section V.A), and compiled by
Numba, which librosa brings.

What such a recursion can hold side by side lies within a factor of e^1000. A model that is sure of
another text than the label's goes beyond it; such an utterance is left to torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ctc_loss"]

_Floats = npt.NDArray[np.floating[Any]]
_Integers = npt.NDArray[np.int64]


def ctc_loss(
    logits: Tensor, lengths: Tensor, labels: Sequence[Sequence[int]], *, blank: int
) -> Tensor:
    """Return the mean over utterances of the CTC loss divided by the number of labels, float32.

    As `torch.nn.functional.ctc_loss` of the log-softmax has it, with `reduction="mean"` and
    `zero_infinity=True`: an utterance whose labels need more frames than there are counts as zero.

    Args:
        logits: `(batch, frames, vocabulary)` on a CPU, of any float type.
        lengths: `(batch,)`, the frames of each utterance; those behind have no gradient.
        labels: The label ids of each utterance, without blanks.
        blank: The id of the blank.
    """
    found: Tensor = _CtcLoss.apply(logits, lengths, labels, blank)  # type: ignore[no-untyped-call]
    return found


class _CtcLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, lengths: Tensor, labels: Sequence[Sequence[int]], blank: int
    ) -> Tensor:
        sizes = np.array([len(row) for row in labels], dtype=np.int64)
        padded = np.zeros((len(labels), max(1, sizes.max())), dtype=np.int64)
        for row, ids in zip(padded, labels, strict=True):
            row[: len(ids)] = ids
        # float64, for what a confident model rules out would be nothing at all in float32. The
        # gradient takes the place of the probabilities: (batch, frames, vocabulary)
        gradient = torch.softmax(logits.detach().double(), dim=-1).contiguous()
        losses = np.zeros(len(labels), dtype=np.float64)
        _run(gradient.numpy(), lengths.numpy(), padded, sizes, blank, losses)
        for k in np.flatnonzero(np.isinf(losses)):
            size, frames = int(sizes[k]), int(lengths[k])
            losses[k], alone = _by_torch(logits[k], frames, padded[k : k + 1, :size], blank)
            gradient[k] = alone / (len(labels) * max(size, 1))
        ctx.save_for_backward(gradient)
        ctx.kind = logits.dtype
        return torch.tensor(float(np.mean(losses / np.maximum(sizes, 1))), dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * grad_outputs[0]).to(ctx.kind), None, None, None


def _by_torch(logits: Tensor, frames: int, labels: _Integers, blank: int) -> tuple[float, Tensor]:
    """Return loss and gradient of one utterance `(frames, vocabulary)`; zero if it cannot be."""
    with torch.enable_grad():
        given = logits.detach().double().requires_grad_()
        loss = functional.ctc_loss(
            functional.log_softmax(given, dim=-1).unsqueeze(1),
            torch.from_numpy(labels),
            torch.tensor([frames]),
            torch.tensor([labels.shape[1]]),
            blank=blank,
            reduction="sum",
            zero_infinity=True,
        )
        (gradient,) = torch.autograd.grad(loss, given)
    return float(loss.detach()), gradient


_LARGE = 1e150  # the sum of what is held at a frame, so that small numbers have room below it
_SMALL = 1e-250  # less than this at the end, and what led there may have been lost on the way

_compiled = numba.njit(
    cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz", "arcp"}, error_model="numpy"
)


@_compiled
def _run(
    probabilities: _Floats,
    lengths: _Integers,
    labels: _Integers,
    sizes: _Integers,
    blank: int,
    losses: _Floats,
) -> None:
    """Fill in the loss of each utterance; put the gradient by the logits in `probabilities`."""
    batch = len(lengths)
    for row in range(batch):
        length, size = lengths[row], sizes[row]
        share = 1.0 / (batch * max(size, 1))
        losses[row] = _row(probabilities[row, :length], labels[row, :size], blank, share)
        probabilities[row, length:] = 0.0


@_compiled
def _row(probabilities: _Floats, labels: _Integers, blank: int, share: float) -> float:
    """Return the loss of one utterance; put `share` of its gradient in `probabilities`.

    States 2, 3, … 2L + 2 are blank, label, blank, …, blank. States 0 and 1 are nowhere, so that
    every state has two before it, and so have the two behind the last.
    """
    length, size = len(probabilities), len(labels)
    states = 2 * size + 3
    spelled = np.full(states, blank, dtype=np.int64)
    skips = np.zeros(states + 2)  # 1 where a state may follow the one two before it
    for k in range(size):
        spelled[2 * k + 3] = labels[k]
        if k and labels[k] != labels[k - 1]:
            skips[2 * k + 3] = 1.0
    emitted = np.zeros((length, states))
    for frame in range(length):
        for state in range(2, states):
            emitted[frame, state] = probabilities[frame, spelled[state]]
    past = np.zeros((length, states))
    loss = _forward(emitted, skips, past)
    if not np.isfinite(loss):
        return loss
    probabilities *= share
    whole = _take_away(emitted, skips, past, spelled, share, probabilities)
    return loss if whole else np.inf


@_compiled
def _forward(emitted: _Floats, skips: _Floats, past: _Floats) -> float:
    """Return the loss; fill in how probable each state is given the frames up to its own.

    The loss is infinite where no path spells the labels, or none that numbers can hold.
    """
    length, states = emitted.shape
    past[0, 2:4] = emitted[0, 2:4]
    loss = 0.0
    for frame in range(length):
        now = past[frame]
        if frame:
            before, here = past[frame - 1], emitted[frame]
            for state in range(2, states):
                ways = before[state] + before[state - 1] + skips[state] * before[state - 2]
                now[state] = ways * here[state]
        scale = now.sum()
        if np.isnan(scale):
            return np.nan
        if scale == 0.0:
            return np.inf
        loss -= np.log(scale) - np.log(_LARGE)
        now *= _LARGE / scale
    ends = past[length - 1, states - 1]
    if states > 3:
        ends += past[length - 1, states - 2]
    return loss - np.log(ends) if ends > _SMALL else np.inf


@_compiled
def _take_away(
    emitted: _Floats,
    skips: _Floats,
    past: _Floats,
    spelled: _Integers,
    share: float,
    gradient: _Floats,
) -> bool:
    """Take from the gradient `share` of how probable each token is; return whether that could be.

    It cannot where the ways from the start and those to the end have no state in common that
    numbers can hold.
    """
    length, states = emitted.shape
    later, earlier = np.zeros(states + 2), np.zeros(states + 2)
    later[max(2, states - 2) : states] = _LARGE
    for frame in range(length - 1, -1, -1):
        now, here = past[frame], emitted[frame]
        whole = 0.0
        for state in range(2, states):
            whole += now[state] * later[state]
        if not whole > 0.0:
            return False
        for state in range(2, states):
            gradient[frame, spelled[state]] -= share * now[state] * later[state] / whole
            later[state] *= here[state]
        most = 0.0
        for state in range(2, states):
            ways = later[state] + later[state + 1] + skips[state + 2] * later[state + 2]
            earlier[state] = ways
            most = max(most, ways)
        if frame and not most > 0.0:
            return False
        for state in range(2, states):
            later[state] = earlier[state] / most * _LARGE
    return True
