"""Our CTC loss against torch's: the same loss and gradient, for every kind of utterance."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from speechtl.models.ctc_loss import ctc_loss


def both(
    logits: Tensor, lengths: list[int], labels: list[list[int]], *, blank: int = 0
) -> tuple[tuple[float, Tensor], tuple[float, Tensor]]:
    """Return loss and gradient of ours and of torch's, in that order."""
    ours, theirs = (logits.detach().clone().requires_grad_() for _ in range(2))
    frames = torch.tensor(lengths)
    first = ctc_loss(ours, frames, labels, blank=blank)
    second = functional.ctc_loss(
        functional.log_softmax(theirs, dim=-1).transpose(0, 1),
        torch.tensor([i for row in labels for i in row], dtype=torch.long),
        frames,
        torch.tensor([len(row) for row in labels]),
        blank=blank,
        reduction="mean",
        zero_infinity=True,
    )
    found = []
    for loss, leaf in ((first, ours), (second, theirs)):
        (2 * loss).backward()
        assert leaf.grad is not None
        found.append((float(loss.detach()), leaf.grad))
    return found[0], found[1]


def assert_alike(
    logits: Tensor, lengths: list[int], labels: list[list[int]], *, blank: int = 0
) -> None:
    (loss, gradient), (expected, wanted) = both(logits, lengths, labels, blank=blank)
    assert loss == pytest.approx(expected, rel=1e-5, abs=1e-6)
    # torch adds up logarithms in float32: its own gradient is no more exact than this.
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-5 * max(1.0, expected))


utterance = st.tuples(st.integers(1, 30), st.lists(st.integers(1, 5), min_size=1, max_size=12))


@settings(deadline=None)
@given(st.lists(utterance, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_loss_and_gradient_are_torch_s(batch: list[tuple[int, list[int]]], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    lengths = [frames for frames, _ in batch]
    logits = 3 * torch.randn(len(batch), max(lengths), 6, generator=generator)
    assert_alike(logits, lengths, [labels for _, labels in batch])


def test_a_loss_counted_by_hand() -> None:
    # Two frames, one label, all tokens as likely: of nine ways "ab", "a-", "-a" and so on, those
    # that spell "a" are aa, a- and -a.
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    loss = ctc_loss(logits, torch.tensor([2]), [[1]], blank=0)
    assert float(loss.detach()) == pytest.approx(-math.log(3 / 9))


def test_all_paths_of_a_short_utterance_add_up() -> None:
    torch.manual_seed(1)
    logits = torch.randn(1, 5, 3)
    probabilities = torch.softmax(logits[0].double(), dim=-1)
    spelled = 0.0
    for path in itertools.product(range(3), repeat=5):
        heard = [token for token, _ in itertools.groupby(path) if token]
        if heard == [1, 1, 2]:
            spelled += math.prod(float(probabilities[t, k]) for t, k in enumerate(path))
    loss = ctc_loss(logits, torch.tensor([5]), [[1, 1, 2]], blank=0)
    assert float(loss) == pytest.approx(-math.log(spelled) / 3, rel=1e-5)


def test_a_blank_that_is_not_the_first_token() -> None:
    torch.manual_seed(2)
    assert_alike(torch.randn(2, 12, 5), [12, 7], [[0, 1, 1], [3]], blank=4)


@pytest.mark.parametrize("labels", [[1, 1, 1], [1, 2, 3, 4]])
def test_labels_that_need_more_frames_count_as_zero_and_move_nothing(labels: list[int]) -> None:
    torch.manual_seed(3)
    (loss, gradient), _ = both(torch.randn(1, 3, 5), [3], [labels])
    assert loss == 0
    assert not gradient.any()
    assert_alike(torch.randn(2, 9, 5), [3, 9], [labels, [2, 2]])


def test_frames_behind_an_utterance_have_no_gradient() -> None:
    torch.manual_seed(4)
    (_, gradient), _ = both(torch.randn(2, 10, 4), [10, 6], [[1], [2, 3]])
    assert not gradient[1, 6:].any()
    assert gradient[1, :6].any()


def test_a_model_that_is_sure_of_another_text_still_learns_from_thirty_seconds() -> None:
    torch.manual_seed(5)
    labels = torch.randint(1, 30, (400,)).tolist()
    logits = torch.randn(1, 1500, 30)
    logits[0, :, 0] += 12  # all frames say blank, as a new head's do
    (loss, gradient), (expected, wanted) = both(logits, [1500], [labels])
    torch.testing.assert_close(gradient, wanted, rtol=1e-2, atol=1e-6)
    assert loss == pytest.approx(expected, rel=1e-4)
    assert torch.isfinite(gradient).all()
    # Probability that is taken from one token goes to the others.
    torch.testing.assert_close(gradient.sum(dim=-1), torch.zeros(1, 1500), rtol=0, atol=1e-5)


def test_half_precision_logits_have_a_half_precision_gradient() -> None:
    logits = torch.zeros(1, 4, 3, dtype=torch.bfloat16, requires_grad=True)
    loss = ctc_loss(logits, torch.tensor([4]), [[1, 2]], blank=0)
    loss.backward()
    assert loss.dtype == torch.float32
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16


def test_logits_that_are_no_numbers_give_a_loss_that_is_none() -> None:
    logits = torch.full((1, 4, 3), math.nan)
    assert not math.isfinite(float(ctc_loss(logits, torch.tensor([4]), [[1]], blank=0)))
