"""Many runs in one table: checked beforehand, resumed, and none stopped by another's failure."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib.container import BarContainer
from matplotlib.image import imread
from models.conftest import write_ctc_checkpoint
from rich.console import Console

from speechtl import benchmark, pipeline
from speechtl.benchmark import Grid, Row, run, spreads, table, write
from speechtl.config import RunConfig
from speechtl.errors import ConfigError, ModelError, OutputError
from speechtl.models import local_revision
from speechtl.scoring import Hypothesis, Parameters, Report, RunFacts, Timing, make_report

SENTENCE = "one two three four five six seven eight nine ten"


def hypotheses(accent: str, *, wrong: int) -> list[Hypothesis]:
    """Return one utterance of ten words, the first `wrong` of them misheard."""
    words = ["x"] * wrong + SENTENCE.split()[wrong:]
    return [
        Hypothesis(
            id="u1",
            audio="/u1.wav",
            speaker="s1",
            accent=accent,
            reference=SENTENCE,
            hypothesis=" ".join(words),
        )
    ]


def report(config: RunConfig, *, stopped: str = "finished", after: int = 2) -> Report:
    """Return a report: WER 50 % before, 10 % a word of `after` on the target; 10 % on general."""
    facts = RunFacts(
        accent=config.accent,
        model=config.model,
        revision=local_revision(config.model),
        family="ctc",
        strategy=config.strategy,
        seed=config.seed,
        normaliser="plain",
        parameters=Parameters(trainable=1234, frozen=10),
        cut="feature_projection",
        timing=Timing(load_s=1, features_s=0, train_s=2, score_s=1, total_s=4.5),
        stopped=stopped,
    )
    base = {"target": hypotheses(config.accent, wrong=5)}
    adapted = {"target": hypotheses(config.accent, wrong=after)}
    if config.general is not None:
        base["general"] = hypotheses("general", wrong=1)
        adapted["general"] = hypotheses("general", wrong=1)
    return make_report(facts, base, adapted)


class Adapt:
    """Stands in for `pipeline.adapt`: leaves its two files, and notes what it was asked for."""

    def __init__(self, change: Callable[[RunConfig], Report] = report) -> None:
        self.configs: list[RunConfig] = []
        self._change = change

    def __call__(self, config: RunConfig) -> Report:
        self.configs.append(config)
        made = self._change(config)
        folder = pipeline.run_folder(config)
        folder.mkdir(parents=True, exist_ok=True)
        saved = asdict(pipeline.settings(config)) | {"strategy": made.facts.strategy}
        saved["training"]["learning_rate"] = 1e-3
        (folder / "config.yaml").write_text(
            yaml.safe_dump({"run": saved, "facts": {}}), encoding="utf-8"
        )
        (folder / "report.json").write_text(made.to_json(), encoding="utf-8")
        return made


def grid(**changes: Any) -> Grid:
    return Grid(**({"accents": ("scottish",), "models": ("starter-wav2vec2",)} | changes))


def row(**changes: Any) -> Row:
    settings: dict[str, Any] = {
        "accent": "scottish", "model": "starter-wav2vec2", "strategy": "encoder", "seed": 0,
        "trainable": 1_234_567, "seconds": 81.4, "target_wer_before": 0.412,
        "target_wer_after": 0.2, "target_wer_difference": -0.212,
        "target_wer_relative_reduction": 0.5146, "general_wer_before": 0.1,
        "general_wer_after": 0.11,
    }  # fmt: skip
    return Row(**(settings | changes))


def shown(rows: list[Row], *, width: int = 200) -> str:
    console = Console(width=width, record=True, quiet=False, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table(rows))
    return captured.get()


# --- the runs -------------------------------------------------------------------------------------


def test_every_combination_is_run_once_in_the_order_given(tmp_path: Path) -> None:
    adapt = Adapt()
    rows = run(
        grid(
            accents=("scottish", "caribbean", "scottish"),
            models=("starter-wav2vec2", "starter-whisper"),
            strategies=("encoder", "head"),
            seeds=("0",),
        ),
        tmp_path,
        adapt=adapt,
    )
    asked = [(c.accent, c.model, c.strategy, c.seed) for c in adapt.configs]
    assert asked == [
        (accent, model, strategy, 0)
        for accent in ("scottish", "caribbean")
        for model in ("starter-wav2vec2", "starter-whisper")
        for strategy in ("encoder", "head")
    ]
    assert len({config.output for config in adapt.configs}) == 8
    assert [(r.accent, r.model, r.strategy, r.seed) for r in rows] == [
        (accent, model, strategy, seed) for accent, model, strategy, seed in asked
    ]


def test_a_row_holds_what_the_report_says(tmp_path: Path) -> None:
    assert run(grid(), tmp_path, adapt=Adapt()) == [
        Row(
            accent="scottish",
            model="starter-wav2vec2",
            strategy="encoder",
            seed=0,
            trainable=1234,
            seconds=4.5,
            target_wer_before=0.5,
            target_wer_after=0.2,
            target_wer_difference=-0.3,
            target_wer_relative_reduction=0.6,
            general_wer_before=0.1,
            general_wer_after=0.1,
        )
    ]


def test_a_run_has_its_own_folder_and_the_settings_of_the_grid(tmp_path: Path) -> None:
    adapt = Adapt()
    run(grid(epochs=3, device="cpu", seeds=("7",)), tmp_path, adapt=adapt)
    (config,) = adapt.configs
    assert config.output == tmp_path / "runs" / "starter-wav2vec2-encoder-scottish-7-3-epochs"
    assert (config.training.epochs, config.device, config.overwrite) == (3, "cpu", True)
    run(grid(seeds=(7,)), tmp_path, adapt=adapt)
    assert adapt.configs[1].output == tmp_path / "runs" / "starter-wav2vec2-encoder-scottish-7"
    assert adapt.configs[1].training.epochs == RunConfig(accent="scottish").training.epochs


def test_a_report_without_a_general_set_has_no_general_wer(tmp_path: Path) -> None:
    def without(config: RunConfig) -> Report:
        made = report(config)
        return Report(made.facts, {"target": made.sets["target"]})

    (found,) = run(grid(), tmp_path, adapt=Adapt(without))
    assert (found.general_wer_before, found.general_wer_after) == (None, None)


def test_finished_runs_are_read_and_not_run_again(tmp_path: Path) -> None:
    first, second = Adapt(), Adapt()
    said: list[str] = []
    done = run(grid(), tmp_path, adapt=first)
    more = run(grid(seeds=(0, 1)), tmp_path, adapt=second, say=said.append)
    assert [config.seed for config in second.configs] == [1]
    assert more[0] == done[0]
    assert said == [
        "[1/2] Scottish, starter-wav2vec2, strategy encoder, seed 0",
        "  already done",
        "[2/2] Scottish, starter-wav2vec2, strategy encoder, seed 1",
        "  WER 50.0\N{NO-BREAK SPACE}% → 20.0\N{NO-BREAK SPACE}%",
    ]


def test_a_run_of_other_settings_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(grid(), tmp_path, adapt=Adapt())
    again, same = Adapt(), Adapt()
    path = tmp_path / "runs" / "starter-wav2vec2-encoder-scottish-0" / "config.yaml"
    saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    saved["run"]["replay"] = 0.99  # as if the default had been that
    path.write_text(yaml.safe_dump(saved), encoding="utf-8")
    run(grid(), tmp_path, adapt=again)
    run(grid(), tmp_path, adapt=same)
    assert (len(again.configs), len(same.configs)) == (1, 0)


def test_a_run_of_a_model_that_has_changed_is_run_again(tmp_path: Path) -> None:
    model = write_ctc_checkpoint(tmp_path / "model", "wav2vec2-group")
    chosen = grid(models=(str(model),))
    run(chosen, tmp_path / "bench", adapt=Adapt())
    write_ctc_checkpoint(tmp_path / "model", "wav2vec2-group", hidden_size=8)
    again = Adapt()
    run(chosen, tmp_path / "bench", adapt=again)
    assert len(again.configs) == 1


def test_a_run_with_other_epochs_is_another_run(tmp_path: Path) -> None:
    adapt = Adapt()
    for epochs in (1, 2, None, 1):
        run(grid(epochs=epochs), tmp_path, adapt=adapt)
    assert len(adapt.configs) == 3


@pytest.mark.parametrize("left", [None, "", "{", '{"accent": "scottish"}', "\udcff"])
def test_a_half_finished_run_is_run_again(left: str | None, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "starter-wav2vec2-encoder-scottish-0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()
    if left is not None:
        (folder / "report.json").write_bytes(left.encode("utf-8", "surrogateescape"))
    adapt = Adapt()
    (found,) = run(grid(), tmp_path, adapt=adapt)
    assert found.error is None
    assert [config.overwrite for config in adapt.configs] == [True]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (ModelError("the hub cannot\n be reached"), "the hub cannot be reached"),
        (RuntimeError("out of memory"), "RuntimeError: out of memory"),
    ],
)
def test_a_combination_that_fails_says_why_and_the_rest_is_run(
    fault: Exception, reason: str, tmp_path: Path
) -> None:
    def faulty(config: RunConfig) -> Report:
        if config.accent == "caribbean":
            raise fault
        return report(config)

    said: list[str] = []
    accents = ("caribbean", "scottish")
    rows = run(grid(accents=accents), tmp_path, adapt=Adapt(faulty), say=said.append)
    assert rows[0] == Row(
        accent="caribbean", model="starter-wav2vec2", strategy="encoder", seed=0, error=reason
    )
    assert rows[1].error is None
    assert any(line.startswith("  failed: ") for line in said)
    again = Adapt()
    assert run(grid(accents=accents), tmp_path, adapt=again)[0].error is None
    assert [config.accent for config in again.configs] == ["caribbean"]


def test_a_run_that_was_stopped_by_hand_stops_the_benchmark_and_is_run_again(
    tmp_path: Path,
) -> None:
    def stopped(config: RunConfig) -> Report:
        return report(config, stopped="interrupted" if config.seed == 1 else "early")

    with pytest.raises(KeyboardInterrupt):
        run(grid(seeds=(0, 1, 2)), tmp_path, adapt=Adapt(stopped))
    written = (tmp_path / "benchmark.csv").read_text(encoding="utf-8")
    assert "stopped by hand" in written
    again = Adapt()
    rows = run(grid(seeds=(0, 1, 2)), tmp_path, adapt=again)
    assert [config.seed for config in again.configs] == [1, 2]
    assert [r.error for r in rows] == [None] * 3


def test_the_tables_are_written_after_every_run(tmp_path: Path) -> None:
    lines: list[int] = []

    def counted(config: RunConfig) -> Report:
        path = tmp_path / "benchmark.csv"
        lines.append(len(path.read_text().splitlines()) if path.exists() else 0)
        return report(config)

    run(grid(seeds=(0, 1, 2)), tmp_path, adapt=Adapt(counted))
    assert lines == [0, 2, 3]


# --- what is checked beforehand -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"accents": ("scotish",)}, "no accent 'scotish'; did you mean 'scottish'"),
        ({"models": ("starter-wav2vec",)}, "no model 'starter-wav2vec'; did you mean 'starter-wav"),
        ({"models": ("no/such/folder",)}, "checkpoint folder or a hub id"),
        (
            {"strategies": ("top",)},
            "no strategy 'top'; choose from: head, new-head, lora, top-layers",
        ),
        ({"seeds": ("0", "x")}, "seeds must be whole numbers from 0, got 'x'"),
        ({"seeds": (-1,)}, "got '-1'"),
        ({"seeds": ("1.5",)}, r"got '1\.5'"),
        ({"accents": ()}, "accents must name at least one"),
    ],
)
def test_a_name_that_is_unknown_is_refused_before_anything_runs(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        grid(**wrong)


def test_all_unknown_names_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"(?s)'a'.*'b'.*'c'.*'d'"):
        grid(accents=("a",), models=("b",), strategies=("c",), seeds=("d",))


def test_checkpoint_folders_and_hub_ids_may_be_models(tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    adapt = Adapt()
    run(grid(models=(str(folder), "openai/whisper-tiny@main")), tmp_path, adapt=adapt)
    names = [config.output.name for config in adapt.configs if config.output]
    assert names[0].endswith("my_model-encoder-scottish-0")
    assert len(names[0]) < 120
    assert names[1] == "openai_whisper-tiny@main-encoder-scottish-0"


def test_two_models_that_would_share_a_folder_are_refused(tmp_path: Path) -> None:
    for name in ("a b", "a+b"):
        (tmp_path / name).mkdir()
    adapt = Adapt()
    with pytest.raises(ConfigError, match=r"a b and .*a\+b would share the run folder"):
        run(grid(models=(f"{tmp_path}/a b", f"{tmp_path}/a+b")), tmp_path, adapt=adapt)
    assert adapt.configs == []


@pytest.mark.parametrize(
    ("wrong", "message"), [({"device": "tpu"}, "device"), ({"epochs": 0}, "epochs must be above 0")]
)
def test_a_setting_that_cannot_be_is_refused_before_anything_runs(
    wrong: dict[str, Any], message: str, tmp_path: Path
) -> None:
    adapt = Adapt()
    with pytest.raises(ConfigError, match=message):
        run(grid(**wrong), tmp_path / "out", adapt=adapt)
    assert adapt.configs == []
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write([row()], tmp_path / "file")


# --- the tables -----------------------------------------------------------------------------------


def test_the_spread_over_seeds_is_the_mean_the_least_and_the_most() -> None:
    rows = [
        row(seed=0, target_wer_after=0.2),
        row(seed=1, target_wer_after=0.3),
        row(seed=2, target_wer_after=0.4),
        row(seed=3, error="failed", target_wer_after=None),
        row(accent="caribbean"),
    ]
    (spread,) = spreads(rows)
    assert (spread.accent, spread.model, spread.strategy) == ("scottish", rows[0].model, "encoder")
    assert spread.seeds == 3
    assert spread.values["target_wer_after"] == pytest.approx((0.3, 0.2, 0.4))
    assert spread.values["target_wer_before"] == pytest.approx((0.412, 0.412, 0.412))


def test_a_rate_that_no_seed_has_has_no_spread(tmp_path: Path) -> None:
    rows = [row(seed=seed, general_wer_before=None, general_wer_after=None) for seed in (0, 1)]
    (spread,) = spreads(rows)
    assert "general_wer_before" not in spread.values
    write(rows, tmp_path)
    assert " | – | – |" in (tmp_path / "benchmark.md").read_text(encoding="utf-8")


def test_the_terminal_shows_every_row_and_why_one_failed() -> None:
    text = shown(
        [row(), row(accent="west_midlands", target_wer_after=None, error="no [such] corpus")]
    )
    for part in ("1.23", "81", "41.2", "20.0", "−21.2", "51.5", "+1.0"):
        assert part in text
    assert "failed" in text
    assert "West Midlands, starter-wav2vec2, encoder, seed 0: no [such] corpus" in text


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    lines = shown([row(model="openai/whisper-small", strategy="top-layers")], width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("41.2" in line and "−21.2" in line and "+1.0" in line for line in lines)


def test_the_csv_holds_fractions(tmp_path: Path) -> None:
    write([row(), row(error="no", target_wer_before=None, trainable=None)], tmp_path)
    with (tmp_path / "benchmark.csv").open(encoding="utf-8", newline="") as stream:
        first, second = csv.DictReader(stream)
    assert first["target_wer_before"] == "0.412"
    assert first["target_wer_relative_reduction"] == "0.5146"
    assert (first["trainable"], first["seconds"], first["error"]) == ("1234567", "81.4", "")
    assert (second["target_wer_before"], second["error"]) == ("", "no")


def test_the_markdown_has_the_combinations_the_spread_and_the_failures(tmp_path: Path) -> None:
    rows = [row(seed=0), row(seed=1, target_wer_after=0.3), row(seed=2, error="a | b")]
    write(rows, tmp_path)
    text = (
        (tmp_path / "benchmark.md").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    )
    lines = text.splitlines()
    assert any(line.startswith("| Scottish | starter-wav2vec2 | encoder | 0 |") for line in lines)
    assert "| 25.0 % (20.0 % to 30.0 %) |" in text
    assert "−21.2 points (−21.2 points to −21.2 points)" in text
    assert "- Scottish, starter-wav2vec2, encoder, seed 2: a | b" in lines
    tables = [line for line in lines if line.startswith("|")]
    assert {line.count(" |") for line in tables} == {10}


def test_the_markdown_of_one_seed_has_no_spread_and_escapes_its_cells(tmp_path: Path) -> None:
    write([row(model="odd|name", general_wer_before=None, general_wer_after=None)], tmp_path)
    text = (tmp_path / "benchmark.md").read_text(encoding="utf-8")
    assert "odd\\|name" in text
    assert "– → –" in text
    assert "Over the seeds" not in text
    assert "Failed" not in text


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row(error="no")],
        [row()],
        [row(seed=0), row(seed=1, target_wer_after=0.3), row(accent="west_midlands")],
        [row(model=f"m$_{i}$", accent=a) for i in range(3) for a in ("scottish", "irish", "welsh")],
        [row(), row(accent="irish", model="other", target_wer_before=None, target_wer_after=None)],
    ],
)
def test_the_picture_is_there_for_any_rows(rows: list[Row], tmp_path: Path) -> None:
    write(rows, tmp_path)
    height, width, _ = imread(tmp_path / "benchmark.png").shape
    assert height > 400
    assert width > 500


def test_the_picture_has_a_labelled_bar_before_and_after_for_each_accent() -> None:
    rows = [
        row(accent=accent, model=model, target_wer_after=after)
        for model, after in (("first", 0.2), ("second", 0.3))
        for accent in ("scottish", "west_midlands")
    ]
    figure = benchmark._picture(rows)
    assert [axis.get_title() for axis in figure.axes] == ["first, encoder", "second, encoder"]
    for axis, after in zip(figure.axes, (20, 30), strict=True):
        containers = [bars for bars in axis.containers if isinstance(bars, BarContainer)]
        heights = [bar.get_height() for bars in containers for bar in bars]
        assert heights == pytest.approx([41.2, 41.2, after, after])
        assert axis.get_ylabel() == "WER (%)"
        assert [t.get_text() for t in axis.get_xticklabels()] == ["Scottish", "West\nMidlands"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["before", "after"]


def test_several_seeds_are_one_bar_with_a_line_from_the_least_to_the_most() -> None:
    rows = [row(seed=seed, target_wer_after=after) for seed, after in enumerate((0.2, 0.3, 0.4))]
    (axis,) = benchmark._picture(rows).axes
    before, after = (bars for bars in axis.containers if isinstance(bars, BarContainer))
    assert [bar.get_height() for bar in before] == pytest.approx([41.2])
    assert [bar.get_height() for bar in after] == pytest.approx([30])
    errors: Any = after.errorbar
    low, high = (point[1] for point in errors.lines[2][0].get_segments()[0])
    assert (low, high) == pytest.approx((20, 40))
