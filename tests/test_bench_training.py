"""The script that times our training against `Trainer`: what it refuses, and what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script as a module."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import bench_training

    return bench_training


def run(bench: ModuleType, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bench_training.py", *options])
    return int(bench.main())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--models", "whisper-big"), "no whisper-big; there are starter-wav2vec2"),
        (("--strategies", "lora"), "no lora; there are head, top-layers"),
        (("--encoder-frames", "none"), "no none; there are all, speech"),
        (
            ("--models", "starter-whisper,starter-wav2vec2", "--strategies", "decoder"),
            "starter-wav2vec2: a ctc model has no strategy 'decoder'",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_timed(
    bench: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setattr(bench, "compare", lambda *_, **__: pytest.fail("it began"))
    with pytest.raises(SystemExit) as ended:
        run(bench, monkeypatch, *options)
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_a_whole_adaptation_of_either_side_is_timed_and_written_down(
    bench: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    file = tmp_path / "speed.json"
    small = ["--utterances", "4", "--dev", "2", "--epochs", "2", "--copies", "2", "--repeats", "1"]
    options = ["--whole", "--models", "starter-wav2vec2", "--strategies", "head", *small]
    assert run(bench, monkeypatch, *options, "--json", str(file)) == 0
    (found,) = json.loads(file.read_text("utf-8"))
    assert found["model"] == "starter-wav2vec2"
    assert found["strategy"] == "head"
    assert found["kind"] == "whole"
    # 2 passes over 4 utterances on both sides.
    assert found["ours_passes_per_s"] == pytest.approx(8 / found["ours_s"], rel=0.01)
    assert found["trainer_passes_per_s"] == pytest.approx(8 / found["trainer_s"], rel=0.01)
    assert found["ratio"] == pytest.approx(found["trainer_s"] / found["ours_s"], rel=0.01)
    assert found["ours_peak_mb"] > 100
    assert found["trainer_peak_mb"] > 100
    assert 0 < found["bound_s"] < found["ours_s"] + found["trainer_s"]
    said = capsys.readouterr().out
    assert f"{found['ratio']:.2f}" in said


def test_the_dev_wer_that_is_compared_is_the_best_that_both_sides_reach(
    bench: ModuleType,
) -> None:
    def side(seconds: float, *wers: float) -> object:
        return bench.Side(seconds, 1.0, [(float(i), wer) for i, wer in enumerate(wers, start=1)])

    # The better best is .2, the other side never gets below .3: that is what both reach.
    assert bench._to_shared_wer(side(9, 0.5, 0.3, 0.2), side(9, 0.4, 0.4, 0.3)) == (0.3, 2.0, 3.0)
    # A random model's .97 and 1 say nothing.
    assert bench._to_shared_wer(side(9, 0.97), side(9, 1.0)) == (None, None, None)
    assert bench._to_shared_wer(side(9), side(9)) == (None, None, None)
