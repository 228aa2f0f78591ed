"""The default run (Scottish, seed 0) counted by NIST's programs; its texts: `default_run.jsonl`.

The figures are those that `sctk sclite -i spu_id -s` and `sc_stats -t mapsswe -v` of SCTK 2.4.10
printed of its exported trn files.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from test_nist import check_with_sclite

from speechtl.scoring import Hypotheses, Hypothesis, score

# Correct, substituted, deleted, inserted words.
SCLITE = {
    ("target", "base"): (1269, 158, 28, 18),
    ("target", "adapted"): (1344, 98, 13, 13),
    ("general", "base"): (1536, 14, 4, 1),
    ("general", "adapted"): (1540, 11, 3, 1),
}
# Segments, Z, p.
SC_STATS = {"target": (93, "3.729", "0.000"), "general": (7, "0.620", "0.542")}


@pytest.fixture(scope="module")
def heard() -> Hypotheses:
    found: dict[str, dict[str, list[Hypothesis]]] = {"base": {}, "adapted": {}}
    path = Path(__file__).with_name("default_run.jsonl")
    for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        for system, sets in found.items():
            sets.setdefault(row["set"], []).append(
                Hypothesis(
                    id=row["id"],
                    audio="",
                    speaker=row["speaker"],
                    accent=row["set"],
                    reference=row["reference"],
                    hypothesis=row[system],
                )
            )
    return found


@pytest.mark.parametrize("name", SC_STATS)
def test_counts_and_mapsswe_of_the_default_run_are_what_nist_s_programs_said(
    name: str, heard: Hypotheses
) -> None:
    found = score(heard["base"][name], heard["adapted"][name], normaliser="plain")
    for system, counted in (("base", found.base), ("adapted", found.adapted)):
        correct, substituted, deleted, inserted = SCLITE[name, system]
        assert found.words == correct + substituted + deleted
        assert (counted.substitutions, counted.deletions, counted.insertions) == (
            substituted,
            deleted,
            inserted,
        )
        assert counted.wer == (substituted + deleted + inserted) / found.words
    assert found.difference.other_tests is not None
    told = found.difference.other_tests.mapsswe
    assert (told.segments, f"{told.z:.3f}", f"{told.p_value:.3f}") == SC_STATS[name]


@pytest.mark.skipif(shutil.which("sctk") is None, reason="sctk is not installed")
def test_sclite_counts_the_default_run_so_again(heard: Hypotheses, tmp_path: Path) -> None:
    check_with_sclite(heard, tmp_path, normaliser="plain")
