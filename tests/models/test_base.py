"""What both families share."""

from __future__ import annotations

import pytest
import torch

from speechtl.models.base import rounded_up


@pytest.mark.parametrize(
    ("length", "expected"), [(1, 1), (15, 15), (16, 16), (17, 18), (97, 104), (257, 288)]
)
def test_lengths_are_rounded_up_by_an_eighth_at_most(length: int, expected: int) -> None:
    tensor = torch.rand(2, length, 3)
    padded = rounded_up(tensor, axis=1, value=-1)
    assert padded.shape == (2, expected, 3)
    assert torch.equal(padded[:, :length], tensor)
    assert torch.all(padded[:, length:] == -1)


def test_all_lengths_have_few_sizes() -> None:
    sizes = {len(rounded_up(torch.zeros(length), axis=0)) for length in range(64, 1024)}
    assert len(sizes) == 33
    assert all(len(rounded_up(torch.zeros(size), axis=0)) == size for size in sizes)


def test_nothing_is_padded_beyond_the_limit() -> None:
    lengths = [len(rounded_up(torch.zeros(n), axis=0, most=100)) for n in (95, 97, 100)]
    assert lengths == [96, 100, 100]
