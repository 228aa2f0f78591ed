"""The verdict on drawn test sets whose truth is known."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script as a module."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import simulate_verdicts

    return simulate_verdicts


def test_a_large_difference_is_found_and_none_is_not(
    simulation: ModuleType, tmp_path: Path
) -> None:
    none, large = (simulation.simulate(16, effect=each, draws=60) for each in (0.0, -0.08))
    assert none.decided <= 0.1
    assert large.decided > 0.9
    assert min(none.held, large.held) > 0.85
    assert none.by_utterance > none.decided
    assert "| 16 | -8 |" in simulation.table([none, large])
    simulation.draw_power([none, large], tmp_path / "power.png")
    assert (tmp_path / "power.png").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("speakers", [4, 8, 16, 40])
def test_the_verdict_errs_in_one_of_twenty_and_the_interval_holds(
    speakers: int, simulation: ModuleType
) -> None:
    found = simulation.simulate(speakers, effect=0.0, draws=12_000)
    assert found.decided <= 0.05
    assert speakers < 16 or found.held >= 0.93
