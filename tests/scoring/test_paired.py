"""Both systems side by side: aligned once, and again only where another normaliser asks for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoring.conftest import ADAPTED, BASE, Said, counted, paired, texts
from speechtl.errors import ConfigError
from speechtl.metrics import ErrorCounts
from speechtl.scoring.paired import Paired, pair, renormalised


def assert_same(first: Paired, second: Paired) -> None:
    assert first.references == second.references
    assert first.rows == second.rows
    for ours, theirs in zip(first.systems(), second.systems(), strict=True):
        assert ours.texts == theirs.texts
        assert [each.tolist() for each in ours.steps] == [each.tolist() for each in theirs.steps]
        assert ours.counts.tolist() == theirs.counts.tolist()


def test_both_systems_are_counted_utterance_by_utterance() -> None:
    found = pair(BASE, ADAPTED[::-1], normaliser="plain")
    assert found.references == ["the wee cat", "och aye", "it's a loch"]
    assert found.words.tolist() == [3, 2, 3]
    assert [row.id for row in found.adapted_rows] == ["u1", "u2", "u3"]
    # Hits, substitutions, deletions, insertions.
    assert found.base.counts.tolist() == [[1, 1, 1, 0], [2, 0, 0, 1], [2, 1, 0, 0]]
    assert found.adapted.counts.tolist() == [[3, 0, 0, 0], [2, 0, 0, 1], [1, 2, 0, 0]]
    assert found.base.total == ErrorCounts(5, 2, 1, 1)
    assert found.adapted.errors.tolist() == [0, 1, 2]


def test_speakers_are_numbered_and_their_errors_add_up() -> None:
    rows = (Said(10, 3, 1, "eve"), Said(5, 2, 2, "bruce"), Said(20, 4, 4, "eve"), Said(0, 1, 0))
    sums = counted(*rows).pairs.by_speaker()
    assert sorted(map(tuple, sums.tolist())) == [(0, 1, 0), (5, 2, 2), (30, 7, 5)]


def test_no_utterance_has_no_counts() -> None:
    found = paired()
    assert found.base.counts.shape == (0, 4)
    assert found.base.total == ErrorCounts()
    assert found.pairs.by_speaker().shape == (0, 3)
    assert_same(renormalised(found, "none"), found)


sentences = st.lists(
    st.sampled_from(["The", "the", "wee", "wee,", "loch.", "loch", "didnae", "...", "colour"]),
    max_size=4,
).map(" ".join)


@pytest.mark.parametrize("name", ["none", "plain", "plain+scots"])
@settings(deadline=None)
@given(rows=st.lists(st.tuples(sentences, sentences, sentences), max_size=5))
def test_another_normaliser_gives_what_pairing_with_it_gives(
    name: str, rows: list[tuple[str, str, str]]
) -> None:
    base, adapted = texts(*rows)
    for first in ("plain", "none"):
        again = renormalised(pair(base, adapted, normaliser=first), name)
        assert_same(again, pair(base, adapted, normaliser=name))


def test_what_another_normaliser_leaves_alike_is_not_aligned_again() -> None:
    found = paired(("och aye", "och eye", "och aye"), ("The loch", "the lock", "The loch"))
    again = renormalised(found, "none")
    assert again.base.steps[0] is found.base.steps[0]
    assert again.base.steps[1] is not found.base.steps[1]
    assert np.array_equal(again.base.errors, [1, 2])


def test_an_unknown_normaliser_is_refused() -> None:
    for name in ("shakespeare", "plain+shakespeare"):
        with pytest.raises(ConfigError):
            pair(BASE, ADAPTED, normaliser=name)
        with pytest.raises(ConfigError):
            renormalised(pair(BASE, ADAPTED, normaliser="plain"), name)
