"""The verdict on drawn test sets whose truth is known."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from speechtl.significance import FEW_SPEAKERS

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
    assert 0.02 < none.detectable < 0.08
    assert "| 16 | -8 |" in simulation.table([none, large])
    simulation.draw_power([none, large], tmp_path / "power.png")
    assert (tmp_path / "power.png").stat().st_size > 1000


def test_the_smallest_detectable_difference_is_drawn_and_told(simulation: ModuleType) -> None:
    found = simulation.simulate_detectable(16, draws=80)
    said = simulation.simulate(16, effect=0.0, draws=80).detectable
    assert found.effect == -said
    assert 0.5 < found.decided < 0.98
    assert simulation.simulate_detectable(4, draws=5) is None
    points, share = f"{100 * said:.1f}", f"{found.decided:.1%}"
    assert f"| 16 | {points} | {share} |" in simulation.detectable_table([found])


def test_another_seed_draws_other_sets(simulation: ModuleType) -> None:
    first, again, other = (
        simulation.simulate(8, effect=0.0, draws=5, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "| 6 | 0 |"),
        (("--detectable",), "| speakers | smallest detectable (points) | found |"),
    ],
)
def test_the_script_prints_a_table(
    options: tuple[str, ...],
    told: str,
    simulation: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["simulate_verdicts.py", "--draws", "4", "--speakers", "4", "6", *options]
    monkeypatch.setattr("sys.argv", arguments)
    simulation.main()
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith(told) for line in lines)
    assert len(lines) == 2 + (1 if options else 2)  # four speakers can show nothing


# --- what it promises -----------------------------------------------------------------------------

DRAWS = 2000
CHANCE = 3 * (0.05 * 0.95 / DRAWS) ** 0.5
"""By how much a share of 5 % of so many draws strays at most, but for one in 700: 1.5 points."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("speakers", [4, 8, 16, 40])
def test_the_verdict_errs_in_one_of_twenty_and_the_interval_holds(
    speakers: int, simulation: ModuleType
) -> None:
    found = [simulation.simulate(speakers, effect=0.0, draws=DRAWS, seed=seed) for seed in range(6)]
    decided = [each.decided for each in found]
    assert max(decided) <= 0.05 + CHANCE, decided
    assert sum(decided) / 6 <= 0.05, decided
    assert all(each.by_utterance > max(0.08, each.decided + 0.03) for each in found)
    held = sum(each.held for each in found) / 6
    assert speakers < 16 or 0.93 <= held <= 0.97


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("speakers", [6, 8, 16, 40])
def test_the_smallest_detectable_difference_is_found_in_four_of_five(
    speakers: int, simulation: ModuleType
) -> None:
    found = simulation.simulate_detectable(speakers, draws=DRAWS)
    if found is None:  # so few may say nothing, but nothing wrong
        assert speakers < FEW_SPEAKERS
        return
    assert 0.7 <= found.decided <= 0.9, (found.effect, found.decided)
