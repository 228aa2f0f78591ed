"""Two runs against each other: the second's adapted model against the first's, paired."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from speechtl.errors import ConfigError, DataError
from speechtl.scoring.hypotheses import SETS, Hypothesis, read_hypotheses
from speechtl.scoring.report import SetScore, finite, judged, read_facts, score

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The second run's adapted model against the first's, on the utterances that both heard.

    Attributes:
        first: The first run's folder.
        second: The second's.
        accent: The accent that the first was adapted to.
        normaliser: What texts and references were normalised with.
        sets: The scores by set: `base` is the first's adapted model, `adapted` the second's.
        left_out: How many utterances of each set stand in one of the runs alone: of another id,
            speaker or reference.
    """

    first: str
    second: str
    accent: str
    normaliser: str
    sets: Mapping[str, SetScore]
    left_out: Mapping[str, int]

    def to_json(self) -> str:
        """Return the comparison as JSON."""
        tree = finite(dataclasses.asdict(self))
        return json.dumps(tree, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def compare(
    first: Path, second: Path, *, normaliser: str | None = None, seed: int = 0
) -> Comparison:
    """Return how the second run's adapted model does against the first's, with a verdict each.

    Only utterances that both runs tested are compared: neither model was trained on them. General
    sets are judged as the others are, for one model has no budget against another.

    Args:
        first: A run folder.
        second: Another one.
        normaliser: Score with this one; without it with the runs' own, which must be the same.
        seed: Draws the resamples.

    Raises:
        DataError: A folder holds no run, or no set has utterances that both runs tested.
        ConfigError: The runs were scored with different normalisers, or it is unknown.
    """
    chosen = normaliser or _common_normaliser(first, second)
    heard = [read_hypotheses(folder)["adapted"] for folder in (first, second)]
    common, left_out = {}, {}
    for name in SETS:
        rows = [each.get(name, ()) for each in heard]
        known = [{_key(row) for row in each} for each in rows]
        both = known[0] & known[1]
        if rows[0] or rows[1]:
            left_out[name] = len(known[0] ^ known[1])
        if both:
            common[name] = [[row for row in each if _key(row) in both] for each in rows]
    sets = {
        name: score(*rows, normaliser=chosen, seed=seed, tests=len(common.keys() - {"control"}))
        for name, rows in common.items()
    }
    if not sets:
        raise DataError(
            f"{first} and {second} have no tested utterance in common, so they cannot be compared; "
            "adapt both to the same corpus, with the same --seed or a split in the manifest"
        )
    return Comparison(
        first=str(first),
        second=str(second),
        accent=read_facts(first).accent,
        normaliser=chosen,
        sets=judged(sets, max_forgetting=None),
        left_out=left_out,
    )


def _key(row: Hypothesis) -> tuple[str, str, str]:
    # An id may be another utterance's in another corpus.
    return row.id, row.speaker, row.reference


def _common_normaliser(first: Path, second: Path) -> str:
    found = [read_facts(folder).normaliser for folder in (first, second)]
    if found[0] != found[1]:
        raise ConfigError(
            f"{first} was scored with the normaliser '{found[0]}' and {second} with '{found[1]}'; "
            "name one for both with --normaliser"
        )
    return found[0]
