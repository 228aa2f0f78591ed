"""Many runs in one table: checked beforehand, resumed, and none stopped by another's failure."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from matplotlib.container import BarContainer
from matplotlib.image import imread
from models.conftest import write_ctc_checkpoint
from rich.console import Console

from speechtl import benchmark, corpora, pipeline
from speechtl.benchmark import Grid, Row, run, spreads, table, write
from speechtl.config import RunConfig
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import ConfigError, DataError, ModelError, OutputError
from speechtl.manifest import read_manifest
from speechtl.models import local_revision
from speechtl.run_folder import run_folder, settings
from speechtl.scoring import (
    DataFacts,
    Hypothesis,
    Parameters,
    Report,
    RunFacts,
    Timing,
    make_report,
)
from speechtl.strategy import StrategyName
from speechtl.training import EpochRecord

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


def chosen(config: RunConfig) -> StrategyName:
    return "encoder" if config.strategy == "auto" else config.strategy


def revision(config: RunConfig) -> str:
    """Return what `models.load` gives the base of a run as its revision; a hub's is made up."""
    found = local_revision(config.model) or "0123456789"
    return f"{found}-random-{config.seed}" if config.strategy == "from-scratch" else found


def report(config: RunConfig, *, stopped: str = "finished", after: int = 2) -> Report:
    """Return a report: WER 50 % before, 10 % a word of `after` on the target; 10 % on general."""
    facts = RunFacts(
        accent=config.accent,
        model=config.model,
        revision=revision(config),
        family="ctc",
        strategy=chosen(config),
        seed=config.seed,
        normaliser="plain",
        parameters=Parameters(trainable=1234, frozen=10),
        cut="feature_projection",
        timing=Timing(load_s=1, features_s=0, train_s=2, score_s=1, total_s=4.5),
        stopped=stopped,
        data={"train": DataFacts(minutes=0.9 * (config.minutes or 20), utterances=9, speakers=2)},
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
        begin(config)
        made = self._change(config)
        (run_folder(config) / "report.json").write_text(made.to_json(), encoding="utf-8")
        return made


def begin(config: RunConfig) -> Path:
    """Write `config.yaml` as a run does before it trains, with what was left open found out."""
    saved = asdict(settings(config)) | {"strategy": chosen(config)}
    saved["training"] |= {"learning_rate": 1e-3, "epochs": config.training.epochs or 7}
    if config.strategy == "from-scratch":
        saved["training"]["interpolation"] = 1.0
    folder = run_folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"run": saved, "facts": {"model_revision": revision(config)}}),
        encoding="utf-8",
    )
    return folder


def grid(**changes: Any) -> Grid:
    settings = {
        "accents": ("scottish",),
        "models": ("starter-wav2vec2",),
        "strategies": ("encoder",),
    }
    return Grid(**(settings | changes))


@pytest.fixture
def speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the starter hold ten minutes of training speech in each accent."""

    def load(name: str) -> Corpus:
        minutes = {"train": 2, "dev": 1, "test": 1}
        return Corpus(
            Utterance(
                f"{accent}-{split}-{number}",
                Path("/gone.wav"),
                "the cat",
                f"{accent}-{split}",
                accent,
                start=60.0 * length * number,
                end=60.0 * length * (number + 1),
                split=split,
            )
            for accent in ("scottish", "caribbean", "general")
            for split, length in minutes.items()
            for number in range(5)
        )

    monkeypatch.setattr(corpora, "load", load)


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
            trained_minutes=18.0,
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
    assert config.minutes is None
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


@pytest.mark.parametrize("left", ["", "{", '{"accent": "scottish"}', "\udcff"])
def test_a_run_whose_report_is_broken_is_run_again(left: str, tmp_path: Path) -> None:
    folder = begin(benchmark._configs(grid(), tmp_path)[0])
    (folder / "report.json").write_bytes(left.encode("utf-8", "surrogateescape"))
    adapt = Adapt()
    (found,) = run(grid(), tmp_path, adapt=adapt)
    assert found.error is None
    assert [config.overwrite for config in adapt.configs] == [True]


# --- runs that were killed ------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["encoder", "from-scratch", "auto"])
@pytest.mark.parametrize("epochs", [None, 3])
def test_a_run_that_was_killed_is_gone_on_with(
    strategy: str, epochs: int | None, tmp_path: Path
) -> None:
    asked = grid(strategies=(strategy,), epochs=epochs)
    (config,) = benchmark._configs(asked, tmp_path)
    begin(config)
    adapt = Adapt()
    (found,) = run(asked, tmp_path, adapt=adapt)
    assert found.error is None
    assert adapt.configs == [replace(config, overwrite=False)]
    assert run(asked, tmp_path, adapt=Adapt(stopping)) == [found]


def stopping(config: RunConfig) -> Report:
    raise AssertionError(f"{config.output} was run again")


@pytest.mark.parametrize(
    ("section", "entry", "value"),
    [
        ("run", "replay", 0.99),
        ("run", "minutes", 3.0),
        ("run", "training", {"epochs": 4}),
        ("run", "sead", 1),
        ("facts", "model_revision", "another"),
        ("facts", "model_revision", "another-random-0"),
        ("run", None, None),
        ("run", None, "text"),
        ("facts", None, {}),
        ("facts", None, None),
        ("facts", None, "text"),
    ],
)
def test_what_a_killed_run_of_other_settings_or_another_base_left_is_replaced(
    section: str, entry: str | None, value: object, tmp_path: Path
) -> None:
    asked = grid(epochs=3)
    path = begin(benchmark._configs(asked, tmp_path)[0]) / "config.yaml"
    saved = yaml.safe_load(path.read_text(encoding="utf-8"))
    if entry is None:
        saved[section] = value
    elif isinstance(value, dict):
        saved[section][entry] |= value
    else:
        saved[section][entry] = value
    path.write_text(yaml.safe_dump(saved), encoding="utf-8")
    adapt = Adapt()
    assert run(asked, tmp_path, adapt=adapt)[0].error is None
    assert [config.overwrite for config in adapt.configs] == [True]


@pytest.mark.parametrize("left", [None, "", "{", "run: [1", "\udcff"])
def test_a_folder_without_a_configuration_that_can_be_read_is_replaced(
    left: str | None, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "starter-wav2vec2-encoder-scottish-0"
    folder.mkdir(parents=True)
    if left is not None:
        (folder / "config.yaml").write_bytes(left.encode("utf-8", "surrogateescape"))
    adapt = Adapt()
    assert run(grid(), tmp_path, adapt=adapt)[0].error is None
    assert [config.overwrite for config in adapt.configs] == [True]


def test_a_report_of_another_base_than_the_configuration_s_is_not_the_run_s(
    tmp_path: Path,
) -> None:
    def other(config: RunConfig) -> Report:
        made = report(config)
        return Report(replace(made.facts, revision="another"), made.sets)

    run(grid(), tmp_path, adapt=Adapt(other))
    again = Adapt()
    run(grid(), tmp_path, adapt=again)
    assert [config.overwrite for config in again.configs] == [True]


class Killed(pipeline.Silent):
    """Ends the process after an epoch, and keeps what it is told."""

    def __init__(self, *, after: int | None = None) -> None:
        self.after = after
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)

    def epoch(self, record: EpochRecord, best: bool) -> None:
        if record.epoch == self.after:
            raise KeyboardInterrupt


@pytest.fixture
def tiny(
    manifest: Path,
    tiny_models: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> Grid:
    """Return a grid of runs of a second, on the tiny corpus in the starter's place."""
    monkeypatch.setattr(corpora, "load", lambda name: read_manifest(manifest))
    return grid(
        models=(str(tiny_models["ctc"]),), strategies=("encoder", "from-scratch"), device="cpu"
    )


@pytest.mark.parametrize("minutes", [None, 0.05])
def test_what_real_runs_leave_is_read_and_gone_on_with(
    minutes: float | None, tiny: Grid, tmp_path: Path
) -> None:
    asked = replace(tiny, minutes=(minutes,))
    with pytest.raises(KeyboardInterrupt):
        run(asked, tmp_path, adapt=lambda config: pipeline.adapt(config, Killed(after=1)))
    listener = Killed()
    rows = run(asked, tmp_path, adapt=lambda config: pipeline.adapt(config, listener))
    assert [(row.strategy, row.error) for row in rows] == [
        ("encoder", None),
        ("from-scratch", None),
    ]
    (folder,) = (tmp_path / "runs").glob("*ctc-encoder-scottish-0*")
    told = [note for note in listener.notes if note.startswith("going on with")]
    assert told == [f"going on with the unfinished run in {folder}"]
    assert run(asked, tmp_path, adapt=Adapt(stopping)) == rows
    assert all((row.trained_minutes or 0) <= (minutes or 1) for row in rows)


def test_a_killed_run_of_other_speech_is_begun_anew(
    tiny: Grid, tmp_path: Path, change: Callable[..., None]
) -> None:
    asked = replace(tiny, strategies=("encoder",))
    with pytest.raises(KeyboardInterrupt):
        run(asked, tmp_path, adapt=lambda config: pipeline.adapt(config, Killed(after=1)))
    change("scottish-train-ann-0", text="sat on the hat")
    assert run(asked, tmp_path, adapt=pipeline.adapt)[0].error is None


# --- failures -------------------------------------------------------------------------------------


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
    assert [(config.seed, config.overwrite) for config in again.configs] == [(1, True), (2, True)]
    assert [r.error for r in rows] == [None] * 3


def test_the_tables_are_written_after_every_run(tmp_path: Path) -> None:
    lines: list[int] = []

    def counted(config: RunConfig) -> Report:
        path = tmp_path / "benchmark.csv"
        lines.append(len(path.read_text().splitlines()) if path.exists() else 0)
        return report(config)

    run(grid(seeds=(0, 1, 2)), tmp_path, adapt=Adapt(counted))
    assert lines == [0, 2, 3]


# --- several amounts of speech --------------------------------------------------------------------


@pytest.mark.usefixtures("speech")
def test_each_amount_of_speech_is_a_run_of_its_own(tmp_path: Path) -> None:
    adapt = Adapt()
    said: list[str] = []
    asked = grid(minutes=(None, 1, 2.5), seeds=(0, 1))
    rows = run(asked, tmp_path, adapt=adapt, say=said.append)
    assert [(c.minutes, c.seed) for c in adapt.configs] == [
        (minutes, seed) for minutes in (None, 1, 2.5) for seed in (0, 1)
    ]
    names = [config.output.name for config in adapt.configs if config.output]
    assert names[::2] == [
        f"starter-wav2vec2-encoder-scottish-0{limit}"
        for limit in ("", "-1-minutes", "-2.5-minutes")
    ]
    assert len(set(names)) == 6
    assert [(r.minutes, r.trained_minutes) for r in rows[::2]] == [
        (None, 18.0), (1, 0.9), (2.5, 2.25)
    ]  # fmt: skip
    assert [said[0], said[4]] == [
        "[1/6] Scottish, starter-wav2vec2, strategy encoder, seed 0",
        "[3/6] Scottish, starter-wav2vec2, strategy encoder, 1 min, seed 0",
    ]
    again = Adapt()
    run(grid(minutes=(2.5, 5)), tmp_path, adapt=again)
    assert [config.minutes for config in again.configs] == [5]


@pytest.mark.usefixtures("speech")
def test_more_speech_than_there_is_is_left_out_and_told(tmp_path: Path) -> None:
    adapt = Adapt()
    said: list[str] = []
    rows = run(grid(minutes=(5, 10, 10.1)), tmp_path, adapt=adapt, say=said.append)
    assert [row.minutes for row in rows] == [5, 10]
    assert [config.minutes for config in adapt.configs] == [5, 10]
    assert said[:2] == [
        "left out, there is not so much speech: Scottish, starter-wav2vec2, strategy encoder, "
        "10.1 min, seed 0",
        "[1/2] Scottish, starter-wav2vec2, strategy encoder, 5 min, seed 0",
    ]
    assert run(grid(minutes=(11,)), tmp_path, adapt=Adapt(stopping)) == []


def test_a_corpus_that_cannot_be_had_is_told_where_it_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> Corpus:
        raise DataError("no network")

    monkeypatch.setattr(corpora, "load", load)
    (found,) = run(grid(minutes=(1,)), tmp_path)
    assert (found.minutes, found.error) == (1, "no network")


# --- what is checked beforehand -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"accents": ("scotish",)}, "no accent 'scotish'; did you mean 'scottish'"),
        ({"models": ("starter-wav2vec",)}, "no model 'starter-wav2vec'; did you mean 'starter-wav"),
        ({"models": ("no/such/folder",)}, "checkpoint folder or a hub id"),
        (
            {"strategies": ("top",)},
            "no strategy 'top'; choose from: auto, head, new-head, lora, top-layers",
        ),
        ({"seeds": ("0", "x")}, "seeds must be whole numbers from 0, got 'x'"),
        ({"seeds": (-1,)}, "got '-1'"),
        ({"seeds": ("1.5",)}, r"got '1\.5'"),
        ({"minutes": (1, 0)}, "minutes must be above 0, got 0"),
        ({"minutes": (-2.5,)}, r"minutes must be above 0, got -2\.5"),
        ({"minutes": (float("nan"),)}, "minutes must be above 0, got nan"),
        ({"minutes": ()}, "minutes must name at least one"),
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
    assert (spread.seeds, spread.minutes) == (3, None)
    assert spread.values["target_wer_after"] == pytest.approx((0.3, 0.2, 0.4))
    assert spread.values["target_wer_before"] == pytest.approx((0.412, 0.412, 0.412))


def test_each_amount_of_speech_has_a_spread_of_its_own(tmp_path: Path) -> None:
    rows = [
        row(minutes=minutes, trained_minutes=0.9 * (minutes or 20), seed=seed, target_wer_after=wer)
        for minutes, wers in ((None, (0.2, 0.3)), (2.5, (0.4, 0.6)))
        for seed, wer in enumerate(wers)
    ]
    found = {spread.minutes: spread.values["target_wer_after"] for spread in spreads(rows)}
    assert found == {
        None: pytest.approx((0.25, 0.2, 0.3)),
        2.5: pytest.approx((0.5, 0.4, 0.6)),
    }
    write(rows, tmp_path)
    lines = (tmp_path / "benchmark.md").read_text(encoding="utf-8").splitlines()
    begins = "| Scottish | starter-wav2vec2 | encoder |"
    assert [line.split(" | ")[3:5] for line in lines if line.startswith(begins)] == [
        ["18.0", "0"], ["18.0", "1"], ["2.2", "0"], ["2.2", "1"], ["all", "2"], ["2.5", "2"],
    ]  # fmt: skip


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
    assert "Scottish, 2.5 min, 0" in shown([row(minutes=2.5)])
    assert "West Midlands, starter-wav2vec2, encoder, seed 0: no [such] corpus" in text


def test_the_table_fits_a_terminal_of_80_columns() -> None:
    lines = shown([row(model="openai/whisper-small", strategy="top-layers")], width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("41.2" in line and "−21.2" in line and "+1.0" in line for line in lines)


def test_the_csv_holds_fractions(tmp_path: Path) -> None:
    other = row(error="no", target_wer_before=None, trainable=None, minutes=2.5)
    write([replace(row(), trained_minutes=21.7), other], tmp_path)
    with (tmp_path / "benchmark.csv").open(encoding="utf-8", newline="") as stream:
        first, second = csv.DictReader(stream)
    assert first["target_wer_before"] == "0.412"
    assert first["target_wer_relative_reduction"] == "0.5146"
    assert (first["trainable"], first["seconds"], first["error"]) == ("1234567", "81.4", "")
    assert (second["target_wer_before"], second["error"]) == ("", "no")
    assert [(each["minutes"], each["trained_minutes"]) for each in (first, second)] == [
        ("", "21.7"),
        ("2.5", ""),
    ]


def test_the_markdown_has_the_combinations_the_spread_and_the_failures(tmp_path: Path) -> None:
    rows = [row(seed=0), row(seed=1, target_wer_after=0.3), row(seed=2, error="a | b")]
    write(rows, tmp_path)
    text = (
        (tmp_path / "benchmark.md").read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    )
    lines = text.splitlines()
    assert any(
        line.startswith("| Scottish | starter-wav2vec2 | encoder | – | 0 |") for line in lines
    )
    assert "| 25.0 % (20.0 % to 30.0 %) |" in text
    assert "−21.2 points (−21.2 points to −21.2 points)" in text
    assert "- Scottish, starter-wav2vec2, encoder, seed 2: a | b" in lines
    tables = [line for line in lines if line.startswith("|")]
    assert {line.count(" |") for line in tables} == {11}


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
    figure = benchmark._bars(rows)
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
    (axis,) = benchmark._bars(rows).axes
    before, after = (bars for bars in axis.containers if isinstance(bars, BarContainer))
    assert [bar.get_height() for bar in before] == pytest.approx([41.2])
    assert [bar.get_height() for bar in after] == pytest.approx([30])
    errors: Any = after.errorbar
    low, high = (point[1] for point in errors.lines[2][0].get_segments()[0])
    assert (low, high) == pytest.approx((20, 40))


# --- the learning curve ---------------------------------------------------------------------------


def curve(**changes: Any) -> list[Row]:
    """Return a row for each of three amounts of speech and two seeds."""
    settings: dict[str, Any] = {"after": 0.3, "strategy": "encoder"} | changes
    after = settings.pop("after")
    return [
        row(
            minutes=minutes,
            trained_minutes=0.9 * minutes + 0.02 * seed,
            seed=seed,
            target_wer_after=after / minutes + 0.1 * seed,
            **settings,
        )
        for minutes in (1, 2, 5)
        for seed in (0, 1)
    ]


def test_the_learning_curve_has_a_line_with_its_spread_for_each_strategy() -> None:
    before = {"target_wer_before": 0.9}  # of random weights: no base to compare with
    rows = [*curve(), *curve(strategy="from-scratch", after=0.8, **before), row(error="no")]
    (axis,) = benchmark._learning_curves(rows).axes
    assert axis.get_title() == "Scottish, starter-wav2vec2"
    assert axis.get_xscale() == "log"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["1", "2", "5"]
    lines = {line.get_label(): line for line in axis.get_lines()}
    assert list(lines) == ["before", "encoder", "from-scratch"]
    assert lines["before"].get_ydata() == pytest.approx([41.2, 41.2])
    for name, after in (("encoder", 30), ("from-scratch", 80)):
        assert lines[name].get_xdata() == pytest.approx([0.91, 1.81, 4.51])
        assert lines[name].get_ydata() == pytest.approx([after / m + 5 for m in (1, 2, 5)])
    for band, after in zip(axis.collections, (30, 80), strict=True):
        edge: Any = band.get_paths()[0].vertices
        found = {(round(x, 2), round(y, 1)) for x, y in edge}
        assert found >= {
            (0.91, after),
            (0.91, after + 10),
            (4.51, after / 5),
            (4.51, after / 5 + 10),
        }


def test_each_accent_and_model_has_a_panel_of_the_learning_curve() -> None:
    rows = [
        each for accent in ("scottish", "west_midlands") for each in curve(accent=accent, after=0.2)
    ]
    figure = benchmark._learning_curves([*rows, *curve(model="other")])
    assert [axis.get_title() for axis in figure.axes] == [
        "Scottish, starter-wav2vec2",
        "West Midlands, starter-wav2vec2",
        "Scottish, other",
    ]
    assert "minutes" in figure.axes[0].get_xlabel()
    assert figure.axes[0].get_ylabel().endswith("(%)")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["before", "encoder"]


def test_the_legend_names_what_any_panel_shows() -> None:
    rows = [*curve(), *curve(accent="irish"), *curve(accent="irish", strategy="from-scratch")]
    (legend,) = benchmark._learning_curves(rows).legends
    assert [text.get_text() for text in legend.get_texts()] == ["before", "encoder", "from-scratch"]


@pytest.mark.parametrize(
    ("rows", "pictures"),
    [
        ([row()], {"benchmark.png"}),
        ([], {"benchmark.png"}),
        (curve(), {"learning-curve.png"}),
        (curve()[:1], {"learning-curve.png"}),
        ([*curve(strategy="from-scratch"), row()], {"benchmark.png", "learning-curve.png"}),
        ([row(minutes=1, error="no", target_wer_after=None)], {"learning-curve.png"}),
    ],
)
def test_bars_show_runs_on_all_speech_and_curves_those_on_some(
    rows: list[Row], pictures: set[str], tmp_path: Path
) -> None:
    write(rows, tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == pictures
    for name in pictures:
        height, width, _ = imread(tmp_path / name).shape
        assert height > 400
        assert width > 500
