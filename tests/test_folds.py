"""Runs over folds of the speakers: what is pooled, what is run again, and what is not."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import write_corpus

from speechtl import folds, pipeline
from speechtl.config import RunConfig, read_yaml, run_config
from speechtl.corpus import Corpus
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.folds import adapt_folds
from speechtl.leakage import Overlap
from speechtl.manifest import read_manifest, write_manifest
from speechtl.run_folder import run_folder
from speechtl.scoring import (
    SYSTEMS,
    DataFacts,
    Dropped,
    Parameters,
    Report,
    RunFacts,
    Timing,
    read_hypotheses,
    remake_report,
)
from speechtl.training import TrainingConfig

SPEAKERS = {f"scottish-{name}" for name in ("ann", "bob", "cat", "dan", "eve")}


@dataclass(frozen=True)
class Finished:
    """A run over two folds that is done, and what it returned."""

    config: RunConfig
    report: Report

    @property
    def folder(self) -> Path:
        return run_folder(self.config)


@pytest.fixture(scope="module")
def finished(tiny_models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Return a finished run of two folds on a corpus without splits, to be read only."""
    root = tmp_path_factory.mktemp("folds")
    manifest = write_corpus(root / "corpus")
    rows = read_manifest(manifest)
    write_manifest(
        Corpus(replace(e, split=None) if e.accent == "scottish" else e for e in rows), manifest
    )
    config = RunConfig(
        accent="scottish",
        model=str(tiny_models["ctc"]),
        corpus=str(manifest),
        general=str(manifest),
        control=str(manifest),
        strategy="head",
        training=TrainingConfig(epochs=2, learning_rate=1e-2, batch_size=4, interpolation=0.7),
        augment=False,
        folds=2,
        device="cpu",
        precision="float32",
        output=root / "run",
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SPEECHTL_CACHE", str(root / "cache"))
        return Finished(config, adapt_folds(config))


@pytest.fixture
def copied(finished: Finished, tmp_path: Path) -> RunConfig:
    """Return the configuration of a copy of the finished run, which the test may break."""
    shutil.copytree(finished.folder, tmp_path / "run")
    return replace(finished.config, output=tmp_path / "run")


@pytest.fixture
def adapted(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """Return a list to which each fold's configuration is added that is run."""
    found: list[RunConfig] = []
    adapt = pipeline.adapt

    def noted(config: RunConfig, *others: Any, **named: Any) -> Report:
        found.append(config)
        return adapt(config, *others, **named)

    monkeypatch.setattr(pipeline, "adapt", noted)
    return found


class Noted(pipeline.Silent):
    """A listener that keeps what is noted and calls back at each epoch."""

    def __init__(self, on_epoch: Callable[[int], None] = lambda epoch: None) -> None:
        self.notes: list[str] = []
        self.on_epoch = on_epoch

    def note(self, message: str) -> None:
        self.notes.append(message)

    def epoch(self, record: Any, best: bool) -> None:
        self.on_epoch(record.epoch)


def trained(folder: Path) -> dict[str, Any]:
    """Return the epochs and the scores of a fold, by its files."""
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return {key: report[key] for key in ("training", "sets", "interpolation")}


# --- what is pooled -------------------------------------------------------------------------------


def test_each_utterance_of_the_accent_is_tested_once_by_those_who_do_not_know_its_speaker(
    finished: Finished,
) -> None:
    pooled = read_hypotheses(finished.folder)
    corpus = read_manifest(Path(finished.config.corpus or "")).where(accent="scottish")
    for system in SYSTEMS:
        ids = [row.id for row in pooled[system]["target"]]
        assert sorted(ids) == sorted(each.id for each in corpus)
    for number in (1, 2):
        fold = finished.folder / "folds" / str(number)
        data = run_config(read_yaml(fold / "config.yaml"), where="fold")
        assert (data.folds, data.fold) == (2, number)
        tested = {row.speaker for row in read_hypotheses(fold)["base"]["target"]}
        facts = Report.from_json((fold / "report.json").read_text(encoding="utf-8")).facts
        assert tested < SPEAKERS
        for split in ("train", "dev"):
            (overlap,) = [e for e in facts.leakage if (e.first, e.second) == (split, "test")]
            assert not overlap.speakers
        known = facts.data["train"].speakers + facts.data["dev"].speakers
        assert known == len(SPEAKERS) - len(tested)


def test_what_each_fold_scores_anew_has_the_fold_in_its_id_and_keeps_its_speaker(
    finished: Finished,
) -> None:
    pooled = read_hypotheses(finished.folder)
    for system in SYSTEMS:
        for name in ("general", "control", "silence"):
            rows = pooled[system][name]
            parts = [
                read_hypotheses(finished.folder / "folds" / str(k))[system][name] for k in (1, 2)
            ]
            assert rows == tuple(
                replace(row, id=f"fold {k}/{row.id}")
                for k, part in enumerate(parts, 1)
                for row in part
            )
    general = finished.report.sets["general"]
    assert (general.utterances, general.speakers) == (12, 2)


def test_the_top_folder_has_a_report_of_all_folds_and_no_model(finished: Finished) -> None:
    assert {path.name for path in finished.folder.iterdir()} == {
        "config.yaml", "folds", "hypotheses",
        "report.json", "report.md", "report.html", "README.md",
    }  # fmt: skip
    for number in (1, 2):
        fold = finished.folder / "folds" / str(number)
        assert (fold / "model").is_dir()
        assert not (fold / "checkpoints").exists()
    written = Report.from_json((finished.folder / "report.json").read_text(encoding="utf-8"))
    assert written == finished.report == remake_report(finished.folder)
    assert finished.report.sets["target"].speakers == 5


def test_the_facts_are_those_of_all_folds(finished: Finished) -> None:
    facts = finished.report.facts
    parts = [
        Report.from_json(
            (finished.folder / "folds" / str(k) / "report.json").read_text(encoding="utf-8")
        ).facts
        for k in (1, 2)
    ]
    assert facts.folds == 2
    assert [part.folds for part in parts] == [None, None]
    assert (facts.strategy, facts.cut, facts.stopped) == ("head", "head", "finished")
    assert facts.parameters == parts[0].parameters == parts[1].parameters
    assert (facts.training, facts.sweep, facts.best_epoch) == ((), (), None)
    assert facts.interpolation == sum(part.interpolation for part in parts) / 2
    assert facts.timing.total_s == pytest.approx(sum(part.timing.total_s for part in parts))
    assert facts.data["test"].utterances == 17
    assert facts.data["test"].speakers == 5
    assert facts.data["general_test"] == parts[0].data["general_test"]
    for name in ("train", "dev", "replay"):
        mean = sum(part.data[name].utterances for part in parts) / 2
        assert facts.data[name].utterances == round(mean)
    assert facts.control == finished.config.control
    (overlap,) = [e for e in facts.leakage if (e.first, e.second) == ("train", "test")]
    assert overlap.utterances == 17
    shared = [e for part in parts for e in part.leakage if (e.first, e.second) == ("train", "test")]
    assert overlap.prompts == sum(each.prompts for each in shared) > 0


def test_the_saved_configuration_is_the_whole_run_s(finished: Finished, tmp_path: Path) -> None:
    written = finished.folder / "config.yaml"
    again = run_config(read_yaml(written) | {"output": tmp_path}, where="config.yaml")
    assert (again.folds, again.fold) == (2, None)
    assert again.control == finished.config.control
    saved = yaml.safe_load(written.read_text(encoding="utf-8"))
    assert set(saved["facts"]["data_digest"]) == {"target", "general", "control"}


def facts(**changes: Any) -> RunFacts:
    given: dict[str, Any] = {
        "accent": "scottish", "model": "m", "revision": "r", "family": "ctc", "strategy": "head",
        "seed": 0, "normaliser": "plain", "cut": "head",
        "parameters": Parameters(trainable=10, frozen=90),
        "timing": Timing(load_s=1, features_s=1, train_s=2, score_s=1, total_s=6),
    }  # fmt: skip
    return RunFacts(**given | changes)


def test_folds_that_differ_are_told_with_all_that_they_had() -> None:
    shared = Overlap(first="train", second="test", utterances=4, prompts=1, speakers=("a",))
    one = facts(
        why="there is little speech",
        stopped="early",
        interpolation=0.5,
        data={"test": DataFacts(minutes=1, utterances=10, speakers=1)},
        dropped=(Dropped("u", "too long"),),
        leakage=(replace(shared, examples=(("prompt", "t", "x"),)),),
        licences=("CC0-1.0",),
    )
    other = facts(
        strategy="lora",
        why="there is much",
        cut="encoder.0",
        stopped="finished",
        parameters=Parameters(trainable=21, frozen=90),
        data={"test": DataFacts(minutes=2, utterances=12, speakers=2)},
        dropped=(Dropped("u", "too long"), Dropped("v", "too long")),
        leakage=(replace(shared, prompts=2, speakers=("b",), examples=(("audio", "s", "y"),)),),
        licences=("CC-BY-4.0",),
    )
    pooled = folds._pooled_facts([one, other], Path("run"))
    assert (pooled.strategy, pooled.cut) == ("head / lora", "head / encoder.0")
    assert pooled.why == "there is little speech / there is much"
    assert pooled.stopped == "early / finished"
    assert pooled.parameters == Parameters(trainable=16, frozen=90)
    assert pooled.interpolation == 0.75
    assert pooled.timing.total_s == 12
    assert pooled.data == {"test": DataFacts(minutes=3, utterances=22, speakers=3)}
    assert [row.id for row in pooled.dropped] == ["u", "v"]
    assert pooled.licences == ("CC-BY-4.0", "CC0-1.0")
    assert pooled.leakage == (
        Overlap(
            first="train",
            second="test",
            utterances=8,
            prompts=3,
            speakers=("a", "b"),
            examples=(("prompt", "t", "x"), ("audio", "s", "y")),
        ),
    )
    # Of one strategy, each fold's minutes are no reason of their own.
    alike = folds._pooled_facts([one, replace(one, why="there is a little")], Path("run"))
    assert alike.why == "there is little speech"


def test_folds_of_different_base_models_are_not_pooled() -> None:
    with pytest.raises(DataError, match=r"revisions of m \(r, s\); run them anew with --overwrite"):
        folds._pooled_facts([facts(), facts(revision="s")], Path("run"))


# --- what is run again ----------------------------------------------------------------------------


def test_a_finished_run_over_folds_is_refused(copied: RunConfig, adapted: list[RunConfig]) -> None:
    with pytest.raises(OutputError, match="holds a finished run"):
        adapt_folds(copied)
    assert not adapted


def test_what_was_killed_between_two_folds_goes_on_with_those_that_are_left(
    copied: RunConfig, finished: Finished, adapted: list[RunConfig]
) -> None:
    for name in ("report.json", "README.md", "hypotheses"):
        path = run_folder(copied) / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.rmtree(run_folder(copied) / "folds" / "2")
    listener = Noted()
    report = adapt_folds(copied, listener)
    assert [config.fold for config in adapted] == [2]
    assert report.sets == finished.report.sets
    assert listener.notes[0].startswith("warning: 5 test speakers can show no difference")
    assert listener.notes[1:4] == [
        f"going on with the unfinished folds in {run_folder(copied)}", "fold 1 of 2", "done already"
    ]  # fmt: skip


def test_what_was_killed_before_the_report_of_the_whole_runs_no_fold_again(
    copied: RunConfig, finished: Finished, adapted: list[RunConfig]
) -> None:
    (run_folder(copied) / "report.json").unlink()
    assert adapt_folds(copied) == finished.report
    assert not adapted


@pytest.mark.parametrize("broken", ["report", "settings"])
def test_a_fold_whose_report_is_not_this_run_s_is_run_anew(
    broken: str, copied: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_folder(copied) / "report.json").unlink()
    fold = run_folder(copied) / "folds" / "2"
    if broken == "report":
        (fold / "report.json").write_text("{}", encoding="utf-8")
    else:
        saved = (fold / "config.yaml").read_text(encoding="utf-8")
        assert "seed: 0" in saved
        (fold / "config.yaml").write_text(saved.replace("seed: 0", "seed: 1"), encoding="utf-8")
    asked: list[RunConfig] = []

    def noted(config: RunConfig, *_: object, **__: object) -> Any:
        asked.append(config)
        raise OutputError("enough")

    monkeypatch.setattr(pipeline, "adapt", noted)
    with pytest.raises(OutputError, match="enough"):
        adapt_folds(copied)
    assert [(config.fold, config.overwrite) for config in asked] == [(2, True)]


def test_unfinished_folds_are_gone_on_with_only_if_settings_and_speech_are_the_same(
    copied: RunConfig, finished: Finished, adapted: list[RunConfig], tmp_path: Path
) -> None:
    (run_folder(copied) / "report.json").unlink()
    with pytest.raises(ConfigError, match=r"had another folds, data_digest; give the same"):
        adapt_folds(replace(copied, folds=3))
    with pytest.raises(ConfigError, match=r"had another seed, data_digest; give the same options"):
        adapt_folds(replace(copied, seed=1))
    assert not adapted
    assert (run_folder(copied) / "folds" / "2" / "report.json").is_file()


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_ctrl_c_in_a_fold_ends_all_and_the_same_command_goes_on_with_that_fold(
    copied: RunConfig, finished: Finished, adapted: list[RunConfig]
) -> None:
    (run_folder(copied) / "report.json").unlink()
    second = run_folder(copied) / "folds" / "2"
    shutil.rmtree(second)
    listener = Noted(lambda epoch: signal.raise_signal(signal.SIGINT) if epoch == 2 else None)
    with pytest.raises(KeyboardInterrupt):
        adapt_folds(copied, listener)
    assert listener.notes[-1] == (
        "fold 2 of 2 was stopped by hand: there is no report of the folds yet; the same command "
        "goes on with it"
    )
    assert not (second / "report.json").exists()
    assert not (second / "model").exists()
    assert (second / "checkpoints" / "last.pt").is_file()
    assert not (run_folder(copied) / "report.json").exists()
    assert adapt_folds(copied).sets == finished.report.sets
    assert [config.fold for config in adapted] == [2, 2]
    assert trained(second) == trained(finished.folder / "folds" / "2")


def test_overwriting_begins_anew_but_only_once_nothing_is_left_to_find_wrong(
    copied: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = run_folder(copied)
    there: list[list[bool]] = []

    def noted(config: RunConfig, *_: object, on_checked: Callable[[], object], **__: object) -> Any:
        names = ("report.json", "hypotheses", "folds/1", "folds/2", "config.yaml")
        there.append([(directory / name).exists() for name in names])
        on_checked()
        there.append([(directory / name).exists() for name in names])
        raise OutputError("enough")

    monkeypatch.setattr(pipeline, "adapt", noted)
    with pytest.raises(OutputError, match="enough"):
        adapt_folds(replace(copied, overwrite=True))
    assert there == [[True] * 5, [False] * 4 + [True]]


@pytest.mark.parametrize("checked", [True, False])
def test_folds_that_were_to_overwrite_are_gone_on_with_without_that_once_they_are_begun(
    checked: bool, copied: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(config: RunConfig, *_: object, on_checked: Callable[[], object]) -> Any:
        if checked:
            on_checked()
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "adapt", stopped)
    listener = Noted()
    with pytest.raises(KeyboardInterrupt):
        adapt_folds(replace(copied, overwrite=True), listener)
    told = (
        "fold 1 of 2 was stopped by hand: there is no report of the folds yet; the same command "
        "without --overwrite goes on with it"
    )
    assert listener.notes[1:] == (["fold 1 of 2", told] if checked else ["fold 1 of 2"])


def test_nothing_is_written_before_the_first_fold_is_checked(
    copied: RunConfig, tmp_path: Path
) -> None:
    new = replace(copied, output=tmp_path / "new", model="no-such-model")
    with pytest.raises(Exception, match="no-such-model"):
        adapt_folds(new)
    assert not (tmp_path / "new").exists()


# --- what is refused ------------------------------------------------------------------------------


def test_a_run_without_folds_or_of_one_fold_alone_is_no_run_over_folds(config: RunConfig) -> None:
    for wrong in (config, replace(config, folds=2, fold=1)):
        with pytest.raises(ConfigError, match="needs their number"):
            adapt_folds(wrong)


def test_too_many_folds_are_told_before_anything_is_written(config: RunConfig) -> None:
    with pytest.raises(ConfigError, match=r"6 folds cannot be made of 5 speakers"):
        adapt_folds(replace(config, folds=6))
    assert not run_folder(config).exists()
