"""The command line: what it prints, how it ends, and what it says of bad input."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import typer
from models.conftest import noise

from speechtl import audio, cli, folds, pipeline
from speechtl.benchmark import Row
from speechtl.config import RunConfig
from speechtl.corpora import huggingface
from speechtl.errors import DataError, OutputError
from speechtl.files import read_jsonl
from speechtl.manifest import read_manifest

SCRIPTS = Path(__file__).parents[1] / "scripts"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function from arguments to exit code, standard output and standard error."""

    def typed(*arguments: object) -> tuple[int, str, str]:
        code = cli.main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return code, told.out, told.err

    return typed


@pytest.fixture
def adapt(run: Run, manifest: Path, tiny_models: dict[str, Path], tmp_path: Path) -> Run:
    """Return a function that adapts the tiny CTC model; later options win over its own."""

    def typed(*arguments: object) -> tuple[int, str, str]:
        return run(
            "adapt", "--accent", "scottish", "--model", tiny_models["ctc"],
            "--corpus", manifest, "--general", manifest, "--epochs", 1, "--batch-size", 4,
            "--device", "cpu", "--precision", "float32", "--output", tmp_path / "run", *arguments,
        )  # fmt: skip

    return typed


def write_rows(manifest: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    rows = [row for _, row in read_jsonl(manifest)]
    change(rows)
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def broken_audio(folder: Path) -> dict[str, str]:
    """Write a file of each kind that cannot be read; return what is to be said of it."""
    samples = np.sin(np.arange(8000)).astype(np.float32)
    audio.write(folder / "truncated.wav", samples)
    (folder / "truncated.wav").write_bytes((folder / "truncated.wav").read_bytes()[:4000])
    soundfile.write(folder / "nothing.wav", samples[:0], 16_000)
    soundfile.write(folder / "nan.wav", samples * np.nan, 16_000, subtype="FLOAT")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is no audio")
    return {
        "truncated.wav": "is truncated",
        "nothing.wav": "holds no samples",
        "nan.wav": "NaN or infinite values",
        "empty.wav": "is empty (0 bytes)",
        "text.wav": "cannot be decoded",
    }


# --- help -----------------------------------------------------------------------------------------


def test_help_and_version_import_no_torch() -> None:
    code = (
        "import sys; from speechtl.cli import main; "
        "codes = main(['adapt', '--help']), main(['--version']); "
        "sys.exit(any(codes) or 'torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("name", ["adapt", "transcribe", "benchmark"])
def test_a_script_works_from_any_folder_and_names_itself(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), "--help"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert f"Usage: {name}.py [OPTIONS]" in done.stdout
    assert not done.stderr


def test_the_module_runs_too() -> None:
    command = [sys.executable, "-m", "speechtl", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "Usage: python -m speechtl [OPTIONS] COMMAND" in done.stdout


def test_the_module_ends_with_the_code_of_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "main", lambda program: 3)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("speechtl", run_name="__main__")
    assert ended.value.code == 3


@pytest.mark.parametrize("name", ["adapt", "transcribe", "benchmark"])
def test_every_option_has_a_sentence_and_the_exit_codes_are_told(name: str, run: Run) -> None:
    group: Any = typer.main.get_command(cli.app)
    for parameter in group.commands[name].params:
        assert parameter.help, parameter.name
        assert parameter.help[0].isupper() or parameter.help.startswith("auto")
        assert parameter.help.endswith(".")
    code, told, _ = run(name, "-h")
    assert code == 0
    assert "Exit codes: 0 done;" in told
    assert all(len(line) <= 80 for line in told.splitlines())


def test_no_command_shows_the_help(run: Run) -> None:
    code, told, said = run()
    assert code == 2
    assert "Usage: speechtl [OPTIONS] COMMAND" in told + said


def test_the_version_is_told(run: Run) -> None:
    assert run("--version") == (0, "0.1.0\n", "")


# --- adapt ----------------------------------------------------------------------------------------


def test_adapt_tells_what_it_does_and_ends_with_the_places_of_its_results(
    adapt: Run, tmp_path: Path
) -> None:
    code, told, said = adapt()
    assert code == 0
    assert told.splitlines()[-2:] == [
        f"Report: {tmp_path / 'run' / 'report.html'}",
        f"Model:  {tmp_path / 'run' / 'model'}",
    ]
    assert "Scottish" in told
    for fragment in (
        "train:        8 utterances, 0.1 min, 2 speakers\n",
        "replay:       4 utterances",
        "feature_projection",
        "trains  ← the cut",
        "base model:",
        "epoch 1:    loss",
    ):
        assert fragment in said
    assert all(len(line) <= 80 and line == line.rstrip() for line in said.splitlines())


def test_quiet_adapt_prints_the_result_alone(adapt: Run) -> None:
    code, told, said = adapt("--quiet")
    assert code == 0
    assert "Report: " in told
    assert not said


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Return a list to which each run's configuration is added; none is run."""
    found: list[RunConfig] = []

    def noted(config: RunConfig, listener: object) -> Any:
        found.append(config)
        raise OutputError("enough")

    monkeypatch.setattr(pipeline, "adapt", noted)
    return found


def test_flags_override_the_file_which_overrides_the_preset(
    adapt: Run, asked: list[RunConfig], tmp_path: Path
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("seed: 7\ntop_layers: 3\ntraining:\n  patience: 9\n  epochs: 8\n")
    code, _, _ = adapt(
        "--preset", "wav2vec2-large", "--config", file, "--top-layers", 1, "--general", "none",
        "--no-augment",
    )  # fmt: skip
    assert code == 5
    (config,) = asked
    assert config.strategy == "top-layers"  # of the preset
    assert config.training.accumulation == 2
    assert (config.seed, config.training.patience) == (7, 9)  # of the file
    assert (config.top_layers, config.training.epochs) == (1, 1)  # of the options
    assert config.general is None
    assert config.augment is False


def test_speech_without_text_and_its_limits_are_options(
    adapt: Run, asked: list[RunConfig], tmp_path: Path
) -> None:
    adapt()
    adapt(
        "--untranscribed", tmp_path / "talks", "--rounds", 2, "--label-wer", 0.2, "--minutes", 2.5
    )  # fmt: skip
    default, given = (
        (config.untranscribed, config.rounds, config.label_wer, config.minutes) for config in asked
    )
    assert default == (None, 1, 0.3, None)
    assert given == (tmp_path / "talks", 2, 0.2, 2.5)


def test_a_control_corpus_and_folds_are_options(
    adapt: Run, asked: list[RunConfig], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("control: starter\n")
    adapt("--control", "hf:some/corpus", "--control-accent", "southern")
    adapt("--config", file)
    adapt("--config", file, "--control", "none")
    assert [(config.control, config.control_accent, config.folds) for config in asked] == [
        ("hf:some/corpus", "southern", None), ("starter", None, None), (None, None, None)
    ]  # fmt: skip
    over_all: list[RunConfig] = []

    def noted(config: RunConfig, listener: object) -> Any:
        over_all.append(config)
        raise OutputError("enough")

    monkeypatch.setattr(folds, "adapt_folds", noted)
    adapt("--folds", 5)
    assert [(config.folds, config.fold) for config in over_all] == [(5, None)]
    file.write_text("folds: 5\nfold: 2\n")  # of a fold's own config.yaml: that one is run
    adapt("--config", file)
    assert len(over_all) == 1
    assert asked[-1].fold == 2


def test_control_and_folds_of_a_file_are_left_out_with_what_only_goes_with_them(
    adapt: Run, asked: list[RunConfig], tmp_path: Path
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("control: starter\ncontrol_accent: general\nfolds: 5\nfold: 2\n")
    code, _, _ = adapt("--config", file, "--control", "none", "--folds", 0)
    assert code == 5
    (config,) = asked
    assert (config.control, config.control_accent) == (None, None)
    assert (config.folds, config.fold) == (None, None)
    adapt("--folds", 0)
    assert asked[-1].folds is None
    # What is asked for in one place is not left out in silence.
    code, _, said = adapt("--control", "none", "--control-accent", "general")
    assert (code, len(asked)) == (2, 2)
    assert "control_accent only goes with --control" in said
    file.write_text("folds: 0\n")
    code, _, said = adapt("--config", file)
    assert (code, len(asked)) == (2, 2)
    assert "folds must be at least 2, got 0" in said


def test_adapt_over_folds_tells_each_and_where_a_model_comes_from(
    adapt: Run, tmp_path: Path
) -> None:
    code, told, said = adapt("--folds", 2, "--strategy", "head", "--no-augment")
    assert code == 0
    assert told.splitlines()[-2:] == [
        f"Report: {tmp_path / 'run' / 'report.html'}",
        f"Models: one for each fold, in {tmp_path / 'run' / 'folds'}; the same command without "
        "--folds, and with another --output, makes the one to use",
    ]
    for fragment in ("fold 1 of 2\n", "fold 2 of 2\n", "splits are not looked at"):
        assert fragment in said
    assert all(len(line) <= 80 for line in said.splitlines())


def test_adapt_tells_what_it_made_of_speech_without_text(
    adapt: Run, manifest: Path, tmp_path: Path
) -> None:
    for number in range(2):
        audio.write(tmp_path / "talks" / f"{number}.wav", noise(0.5, seed=20 + number))
    known = manifest.parent / "audio" / "scottish-test-dan-0.wav"
    shutil.copy(known, tmp_path / "talks")
    code, _, said = adapt("--untranscribed", tmp_path / "talks", "--minutes", 0.05)
    assert code == 0
    words = " ".join(said.split())
    for fragment in (
        "train: 5 utterances, 0.1 min",
        "untranscribed: 1 recording left out, the same audio as a transcribed utterance's",
        "round 1: 0 of 2 stretches of untranscribed speech labelled",
        "2 not sure enough); nothing to train on",
    ):
        assert fragment in words
    assert all(len(line) <= 80 for line in said.splitlines())


def test_without_an_accent_the_known_ones_are_listed(run: Run) -> None:
    code, told, said = run("adapt")
    assert (code, told) == (2, "")
    assert "name the accent to adapt to with --accent; known are: african_american, arabic" in said


@pytest.mark.parametrize(
    ("options", "code", "fragments"),
    [
        (["--accent", "scotish"], 2, ["no accent 'scotish'", "mean 'scottish'?", "general"]),
        (["--accent", "martian"], 2, ["no accent 'martian'", "general, scottish"]),
        (["--model", "starter-wav2vec"], 4, ["starter-wav2vec", "starter-wav2vec2"]),
        (["--strategy", "heads"], 2, ["no 'heads'", "mean 'head'?", "'top-layers'"]),
        (
            ["--strategy", "decoder"],
            2,
            ["ctc model has no strategy 'decoder'", "head, new-head, lora"],
        ),
        (["--preset", "whisper-smal"], 2, ["mean 'whisper-small'?", "whisper-tiny"]),
        (["--device", "tpu"], 2, ["device: there is no 'tpu'", "'cuda'"]),
        (["--normaliser", "plane"], 2, ["unknown normaliser 'plane'", "none, plain"]),
        (["--precision", "fp16"], 2, ["precision: there is no 'fp16'", "'bf16'"]),
        (["--epochs", "0"], 2, ["epochs must be above 0, got 0"]),
        (["--epochs", "many"], 2, ["integer", "--epochs"]),
        (["--epoch", "1"], 2, ["No such option: --epoch", "--epochs"]),
        (["--replay", "1.5"], 2, ["replay is a share from 0 to below 1, got 1.5"]),
        (["--learning-rate", "-1"], 2, ["learning_rate must be above 0, got -1.0"]),
        (["--batch-size", "0"], 2, ["batch_size must be above 0, got 0"]),
        (["--seed", "-1"], 2, ["seed must not be negative, got -1"]),
        (["--top-layers", "0"], 2, ["top_layers must be at least 1, got 0"]),
        (
            ["--strategy", "top-layers", "--top-layers", "99"],
            2,
            ["--top-layers must be at most 3", "got 99"],
        ),
        (["--corpus", "gone.jsonl"], 3, ["gone.jsonl: no such file or folder", "check the path"]),
        (["--corpus", "corpus"], 3, ["unknown corpus 'corpus'", "starter"]),
        (["--config", "gone.yaml"], 2, ["no configuration file gone.yaml"]),
        (["--general-accent", "us"], 2, ["no accent 'us'", "--general-accent"]),
        (["--minutes", "0"], 2, ["minutes must be above 0, got 0.0"]),
        (["--rounds", "0"], 2, ["rounds must be at least 1, got 0"]),
        (["--label-wer", "30"], 2, ["label_wer is a fraction from 0 to 1, got 30.0"]),
        (["--untranscribed", "gone"], 3, ["gone: no such file or folder"]),
        (["--folds", "1"], 2, ["folds must be at least 2, got 1"]),
        (["--folds", "9"], 2, ["9 folds cannot be made of 5 speakers", "--folds 5 or less"]),
        (["--folds", "2", "--untranscribed", "x"], 2, ["folds cannot go with --untranscribed"]),
        (["--control-accent", "general"], 2, ["control_accent only goes with --control"]),
        (["--control", "gone.jsonl"], 3, ["gone.jsonl: no such file or folder", "check the path"]),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, list) else "",
)
def test_a_wrong_option_ends_with_one_clear_message(
    options: list[str], code: int, fragments: list[str], adapt: Run, tmp_path: Path
) -> None:
    ended, told, said = adapt(*options)
    assert (ended, told) == (code, "")
    assert "Traceback" not in said
    assert said.lower().count("error") == 1
    for fragment in fragments:
        assert fragment in said
    assert not (tmp_path / "run").exists()


def test_an_unknown_starter_accent_lists_the_starters_and_the_others(
    run: Run, tmp_path: Path
) -> None:
    code, _, said = run("adapt", "--accent", "irsh", "--output", tmp_path / "run")
    assert code == 2
    assert "the corpus starter has no accent 'irsh'; did you mean 'irish'?" in said
    assert "caribbean, general, lancashire, scottish, west_midlands" in said
    assert "elsewhere there are: african_american, arabic" in said


def test_an_unknown_key_of_a_file_is_told_with_the_one_that_was_meant(
    adapt: Run, tmp_path: Path
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("sead: 1\ntraining:\n  epoch: 3\n")
    code, _, said = adapt("--config", file)
    assert code == 2
    assert "run.yaml with the options cannot be used:" in said
    assert "unknown key 'sead'; did you mean 'seed'?" in said
    assert "unknown key 'training.epoch'; did you mean 'training.epochs'?" in said


def test_an_accent_whose_corpus_is_on_the_hub_says_what_to_do_without_a_network(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> Any:
        raise DataError("Couldn't reach the hub")

    monkeypatch.setenv("SPEECHTL_CORPORA", str(tmp_path))
    monkeypatch.setattr(huggingface, "load", unreachable)
    code, _, said = run("adapt", "--accent", "irish", "--output", tmp_path / "run")
    assert code == 3
    assert "the starter does not speak 'irish'" in said
    assert "--corpus MANIFEST" in said
    assert "Couldn't reach the hub" in said


# --- bad data -------------------------------------------------------------------------------------


def test_audio_that_cannot_be_read_is_told_all_at_once_before_anything_is_trained(
    adapt: Run, manifest: Path, tmp_path: Path
) -> None:
    reasons = broken_audio(manifest.parent / "audio")
    corpus = read_manifest(manifest)
    names = [corpus.where(split="train")[0].id, *(u.id for u in corpus.where(split="test")[:4])]

    def broken(rows: list[dict[str, Any]]) -> None:
        by_id = {row["id"]: row for row in rows}
        for name, file in zip(names, reasons, strict=True):
            by_id[name]["audio"] = f"audio/{file}"

    write_rows(manifest, broken)
    code, told, said = adapt()
    assert (code, told) == (3, "")
    assert "the audio of 5 utterances cannot be read" in said
    for name, (file, reason) in zip(names, reasons.items(), strict=True):
        (line,) = (line for line in said.splitlines() if f"'{name}'" in line)
        assert file in line
        assert reason in line
    assert not (tmp_path / "run").exists()


def test_all_faults_of_a_manifest_are_told_at_once(adapt: Run, manifest: Path) -> None:
    def broken(rows: list[dict[str, Any]]) -> None:
        del rows[0]["speaker"]
        rows[1]["id"] = rows[2]["id"]
        rows[3]["text"] = " "
        rows[4]["audio"] = "../outside.wav"
        rows[5]["audio"] = "audio/gone.wav"

    write_rows(manifest, broken)
    code, _, said = adapt()
    assert code == 3
    for fault in (
        "manifest.jsonl:1: utterance 'scottish-train-ann-0': the field 'speaker' is missing",
        "manifest.jsonl:3: utterance 'scottish-train-ann-2': the id is already used",
        "manifest.jsonl:4: utterance 'scottish-train-ann-3': the transcript (text) is empty",
        "manifest.jsonl:5: utterance 'scottish-train-bob-0': audio '../outside.wav' leads out of",
        "manifest.jsonl:6: utterance 'scottish-train-bob-1': audio 'audio/gone.wav' is missing",
    ):
        assert fault in said


def test_a_table_without_a_column_says_which(adapt: Run, tmp_path: Path) -> None:
    table = tmp_path / "manifest.csv"
    table.write_text("id,audio,text,accent\nu1,u1.wav,hello,scottish\n")
    code, _, said = adapt("--corpus", table)
    assert code == 3
    assert "manifest.csv:1: no column is known to hold the speaker: there are 'id'" in said


def test_what_the_model_cannot_train_on_is_counted_and_listed(adapt: Run, manifest: Path) -> None:
    def broken(rows: list[dict[str, Any]]) -> None:
        rows[0]["text"] = "thé cat"
        rows[1]["text"] = "the cat sat on the mat " * 5

    write_rows(manifest, broken)
    code, _, said = adapt()
    assert code == 0
    assert "left out of training: 2 utterances" in said
    assert "  scottish-train-ann-0: characters outside the vocabulary" in said
    assert "  scottish-train-ann-1: 8800 samples of audio give" in said


def test_nothing_left_to_train_on_is_an_error(adapt: Run, manifest: Path, tmp_path: Path) -> None:
    def broken(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["text"] = "это не то"

    write_rows(manifest, broken)
    code, _, said = adapt()
    assert code == 3
    assert "none of the 8 training utterances can be used" in said
    assert said.count("characters outside the vocabulary") == 8
    assert not (tmp_path / "run").exists()


# --- bad places -----------------------------------------------------------------------------------


def test_a_used_run_folder_is_refused(adapt: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("run: {seed: 5}\nfacts: {}\n")
    code, _, said = adapt()
    assert code == 2
    assert "had another accent, model, " in said
    assert "--overwrite" in said
    assert (tmp_path / "run" / "config.yaml").read_text() == "run: {seed: 5}\nfacts: {}\n"


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize(
    "left", [{"config.yaml": "theirs: 1"}, {"config.yaml": ":{"}, {"hypotheses/a.jsonl": "{}"}]
)
def test_a_folder_that_is_no_run_s_loses_nothing(
    left: dict[str, str], overwrite: list[str], adapt: Run, tmp_path: Path
) -> None:
    files = left | {"README.md": "mine", "model/weights.bin": "mine", "log/today": "mine"}
    for name, text in files.items():
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text(text)
    code, _, said = adapt(*overwrite)
    assert code == 5
    assert "holds files that are not a run's" in said
    for name, text in files.items():
        assert (tmp_path / "run" / name).read_text() == text


@pytest.mark.parametrize("below", ["", "deeper/run"])
def test_a_run_folder_at_or_below_a_file_is_refused(below: str, adapt: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    code, _, said = adapt("--output", tmp_path / "file" / below)
    assert code == 5
    assert f"{tmp_path / 'file'} is a file; name another folder" in said


def test_a_full_disk_is_told_and_keeps_what_was_written(
    adapt: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkstemp

    def full(**named: Any) -> Any:
        if named["prefix"] == ".report.json.":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return make(**named)

    monkeypatch.setattr(tempfile, "mkstemp", full)
    code, _, said = adapt("--quiet")
    assert code == 5
    assert "report.json: cannot be written" in said
    assert "No space left on device" in said
    assert "Traceback" not in said
    assert (tmp_path / "run" / "model" / "config.json").is_file()
    assert (tmp_path / "run" / "hypotheses" / "target.adapted.jsonl").is_file()


def test_a_disk_that_fills_anywhere_else_is_told_too(
    adapt: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pipeline, "adapt", full)
    code, _, said = adapt()
    assert code == 5
    assert "the disk is full" in said
    with pytest.raises(OSError, match="No space left"):
        adapt("--debug")


def test_a_file_that_may_not_be_opened_is_told(adapt: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", "/root/run")

    monkeypatch.setattr(pipeline, "adapt", denied)
    code, _, said = adapt()
    assert code == 5
    assert "/root/run: may not be opened; change its permissions" in said


# --- how it ends ----------------------------------------------------------------------------------


def test_debug_shows_the_traceback_and_the_message(adapt: Run) -> None:
    code, _, said = adapt("--seed", "-1", "--debug")
    assert code == 2
    assert "Traceback" in said
    assert "error: the options cannot be used:" in said


def test_a_fault_of_the_program_keeps_its_traceback(
    adapt: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Any:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(pipeline, "adapt", broken)
    with pytest.raises(ZeroDivisionError):
        adapt()


def test_ctrl_c_outside_of_training_ends_with_130(
    adapt: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "adapt", stopped)
    code, told, said = adapt()
    assert (code, told) == (130, "")
    assert said == "error: stopped by hand; what was finished before is kept\n"


def test_libraries_are_calmed_in_the_console_alone(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = (
        "TRANSFORMERS_VERBOSITY", "DATASETS_VERBOSITY", "HF_HUB_DISABLE_PROGRESS_BARS",
        "TQDM_DISABLE",
    )  # fmt: skip
    for name in names:
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    before = list(warnings.filters)
    run("--version")
    assert warnings.filters == before
    assert not any(name in os.environ for name in names)
    monkeypatch.setattr(sys, "argv", ["speechtl", "--version"])
    monkeypatch.setattr(sys, "warnoptions", [])
    with warnings.catch_warnings():
        assert cli.main() == 0
        assert warnings.filters[0][0] == "ignore"
    assert os.environ["TRANSFORMERS_VERBOSITY"] == "error"
    assert capsys.readouterr().out == "0.1.0\n"


# --- transcribe -----------------------------------------------------------------------------------


def test_transcribe_prints_texts_tells_failures_and_ends_with_3(
    run: Run, tiny_models: dict[str, Path], manifest: Path, tmp_path: Path
) -> None:
    reasons = broken_audio(tmp_path)
    good = manifest.parent / "audio" / "scottish-test-dan-0.wav"
    code, told, said = run(
        "transcribe", *(tmp_path / name for name in reasons), good, "--model", tiny_models["ctc"]
    )
    assert code == 3
    (line,) = told.splitlines()
    assert line.startswith(f"{good}\t")
    for name, reason in reasons.items():
        (line,) = (line for line in said.splitlines() if name in line)
        assert line.startswith("error: ")
        assert reason in line
    assert said.endswith("5 of 6 files could not be transcribed\n")


@pytest.mark.parametrize(("format", "begins"), [("txt", ""), ("json", '{"audio": '), ("tsv", "/")])
def test_transcribe_writes_a_file_for_each_recording(
    format: str,  # noqa: A002
    begins: str,
    run: Run,
    tiny_models: dict[str, Path],
    manifest: Path,
    tmp_path: Path,
) -> None:
    recordings = sorted((manifest.parent / "audio").glob("scottish-test-*.wav"))
    output = tmp_path / "texts"
    code, told, said = run(
        "transcribe", *recordings, "--model", tiny_models["ctc"], "--format", format,
        "--output", output, "--quiet",
    )  # fmt: skip
    assert (code, told, said) == (0, "", "")
    assert {path.name for path in output.iterdir()} == {f"{p.stem}.{format}" for p in recordings}
    assert all(path.read_text().startswith(begins) for path in output.iterdir())


@pytest.mark.parametrize(
    ("options", "code", "fragment"),
    [
        (["gone.wav"], 3, "gone.wav: no such file or folder"),
        (["{audio}", "--format", "srt"], 2, "no format 'srt'; choose one of: txt, json, tsv"),
        (["{audio}", "--model", "gone"], 4, "gone is not a checkpoint folder"),
        (["{audio}", "--device", "tpu"], 2, "there is no device 'tpu' here"),
        (["{audio}", "--batch-size", "0"], 2, "--batch-size"),
        (["{audio}", "--output", "{audio}/below"], 5, "dan-0.wav is a file; name another folder"),
        (["{audio}", "--output", "{folder}"], 5, "scottish-test-dan-0.txt"),
        ([], 2, "Missing argument"),
    ],
    ids=str,
)
def test_transcribe_refuses_what_cannot_be_done(
    options: list[str],
    code: int,
    fragment: str,
    run: Run,
    tiny_models: dict[str, Path],
    manifest: Path,
) -> None:
    recording = manifest.parent / "audio" / "scottish-test-dan-0.wav"
    (manifest.parent / "scottish-test-dan-0.txt").write_text("what was said")
    filled = [option.format(audio=recording, folder=manifest.parent) for option in options]
    ended, told, said = run("transcribe", "--model", tiny_models["ctc"], *filled)
    assert (ended, told) == (code, "")
    assert fragment in said
    assert "Traceback" not in said
    assert (manifest.parent / "scottish-test-dan-0.txt").read_text() == "what was said"


# --- benchmark ------------------------------------------------------------------------------------


def test_benchmark_prints_the_table_and_where_it_is(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from speechtl import benchmark

    grids: list[benchmark.Grid] = []

    def table(error: str | None) -> Callable[..., list[Row]]:
        def ran(grid: benchmark.Grid, output: Path, *, say: Any, adapt: Any) -> list[Row]:
            grids.append(grid)
            say("[1/1] Scottish")
            adapt(RunConfig(accent="scottish"))
            return [Row(accent="scottish", model="m", strategy="head", seed=0, error=error)]

        return ran

    asked: list[object] = []
    monkeypatch.setattr(pipeline, "adapt", lambda config, listener: asked.append(listener))
    monkeypatch.setattr(benchmark, "run", table(None))
    arguments = ("benchmark", "--accents", "scottish, lancashire", "--output", tmp_path)
    code, told, said = run(*arguments)
    assert code == 0
    assert told.splitlines()[-1].startswith(f"Table: {tmp_path / 'benchmark.md'}, ")
    assert said == "[1/1] Scottish\n"
    assert grids[0].accents == ("scottish", "lancashire")
    code, _, said = run(*arguments, "--quiet")
    assert (code, said) == (0, "")
    assert [type(listener).__name__ for listener in asked] == ["_Bars", "Silent"]
    monkeypatch.setattr(benchmark, "run", table("no network"))
    assert run(*arguments)[0] == 1


@pytest.mark.parametrize(
    ("options", "changes", "picture"),
    [
        ([], {}, "benchmark.png"),
        (
            ["--from-scratch", "--strategies", "head,encoder"],
            {"strategies": ("head", "encoder", "from-scratch")},
            "benchmark.png",
        ),
        (
            ["--learning-curve"],
            {
                "accents": ("scottish",),
                "minutes": (1.0, 2.0, 5.0, 10.0, 20.0),
                "seeds": ("0", "1", "2"),
            },
            "learning-curve.png",
        ),
        (
            ["--minutes", "0.5, 3", "--accents", "irish", "--seeds", "4"],  # a curve too
            {"accents": ("irish",), "minutes": (0.5, 3.0), "seeds": ("4",)},
            "learning-curve.png",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_benchmark_has_defaults_for_a_table_and_for_a_learning_curve(
    options: list[str],
    changes: dict[str, Any],
    picture: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from speechtl import benchmark

    grids: list[benchmark.Grid] = []

    def ran(grid: benchmark.Grid, *_: Any, **__: Any) -> list[Row]:
        grids.append(grid)
        return [Row(accent="scottish", model="m", strategy="head", seed=0)]

    monkeypatch.setattr(benchmark, "run", ran)
    code, told, _ = run("benchmark", "--output", tmp_path, *options)
    assert code == 0
    assert told.splitlines()[-1].endswith(f", {tmp_path / picture}")
    plain = benchmark.Grid(
        accents=("scottish", "lancashire", "west_midlands", "caribbean"),
        models=("starter-wav2vec2", "starter-whisper"),
    )
    assert grids == [dataclasses.replace(plain, **({"seeds": ("0",)} | changes))]


@pytest.mark.parametrize("minutes", ["1,x", "1;2", "five"])
def test_minutes_of_a_learning_curve_that_are_no_numbers_are_refused(
    minutes: str, run: Run
) -> None:
    code, _, said = run("benchmark", "--learning-curve", "--minutes", minutes)
    assert code == 2
    assert f"--minutes takes numbers separated by commas, such as 1,2,5; got '{minutes}'" in said


def test_benchmark_refuses_unknown_names_all_at_once(run: Run, tmp_path: Path) -> None:
    wrong = ("--accents", "scotish", "--strategies", "heads", "--seeds", "x")
    code, _, said = run("benchmark", *wrong)
    assert code == 2
    for fragment in ("did you mean 'scottish'?", "did you mean 'head'?", "seeds must be whole"):
        assert fragment in said


# --- the cache ------------------------------------------------------------------------------------


def test_the_cache_shows_what_it_keeps_and_is_cleared(adapt: Run, run: Run) -> None:
    code, told, _ = run("cache")
    assert (code, told.split(" ")[:2]) == (0, ["0", "MB"])
    assert adapt()[0] == 0
    code, told, _ = run("cache")
    assert code == 0
    assert "feature_projection" in told
    assert "recordings" in told
    code, told, _ = run("cache", "--clear")
    assert code == 0
    assert told.startswith("removed ")
    assert "feature_projection" not in run("cache")[1]


def test_a_run_without_the_cache_leaves_nothing_in_it(adapt: Run, run: Run) -> None:
    assert adapt("--no-feature-cache")[0] == 0
    assert "feature_projection" not in run("cache")[1]


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (["--interpolate", "half"], "interpolation"),
        (["--interpolate", "1.5"], "interpolation is 'auto', or above 0 and at most 1, got 1.5"),
        (["--max-forgetting", "-1"], "max_forgetting must not be negative"),
        (["--copies", "0"], "copies must be at least 1, got 0"),
        (["--cache-gb", "0"], "cache_gb must be above 0"),
        (["--encoder-frames", "some"], "encoder_frames: there is no 'some'"),
    ],
)
def test_a_setting_of_the_cache_or_the_interpolation_that_cannot_be_is_told(
    options: list[str], fragment: str, adapt: Run
) -> None:
    code, _, said = adapt(*options)
    assert code == 2
    assert fragment in said


def test_an_interpolation_may_be_given(adapt: Run, tmp_path: Path) -> None:
    assert adapt("--interpolate", "0.25")[0] == 0
    assert "interpolation: 0.25" in (tmp_path / "run" / "config.yaml").read_text()
