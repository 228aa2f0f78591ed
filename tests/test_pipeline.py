"""Whole runs on tiny random checkpoints of both families: what a run promises, measured."""

from __future__ import annotations

import errno
import json
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import torch
import yaml
from safetensors import SafetensorError
from torch import Tensor
from transformers import pipeline as transformers_pipeline

from speechtl import audio, corpora, models, pipeline
from speechtl.config import AugmentStep, RunConfig, read_yaml, run_config
from speechtl.corpus import Corpus, read_jsonl, read_manifest, write_manifest
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.features import Example, TrainingBatches
from speechtl.models import SpeechModel, parameter_counts
from speechtl.models.base import Family
from speechtl.models.ctc import CtcModel
from speechtl.pipeline import PartRow, adapt, prepare_data, run_folder
from speechtl.scoring import Report, remake_report
from speechtl.strategy import STRATEGIES, StrategyName
from speechtl.training import EpochRecord, TrainingConfig
from speechtl.transcription import transcribe_utterances

CASES = [(family, name) for family, names in STRATEGIES.items() for name in names]
T = TypeVar("T")
both_families = pytest.mark.parametrize("family", ["ctc", "whisper"])


class Noted(pipeline.Silent):
    """A listener that keeps all it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.tracked: list[str] = []
        self.rows: list[PartRow] = []
        self.epochs: list[tuple[int, bool]] = []
        self.on_epoch: Callable[[int], None] = lambda epoch: None

    def track(self, items: Iterable[T], description: str, *, total: int) -> Iterable[T]:
        self.tracked.append(description)
        return items

    def note(self, message: str) -> None:
        self.notes.append(message)

    def parts(self, rows: Sequence[PartRow], cut: str) -> None:
        self.rows = list(rows)

    def epoch(self, record: EpochRecord, best: bool) -> None:
        self.epochs.append((record.epoch, best))
        self.on_epoch(record.epoch)


@pytest.fixture
def improving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let dev WER fall with each epoch: random models learn nothing, and would be put back."""
    calls: list[None] = []

    def fallen(counts: Iterable[object]) -> SimpleNamespace:
        list(counts)
        calls.append(None)
        return SimpleNamespace(rate=1 / len(calls))

    monkeypatch.setattr(pipeline, "total", fallen)


def weights(model: SpeechModel) -> dict[str, list[Tensor]]:
    return {part.name: [p.detach().clone() for p in part.parameters()] for part in model.parts()}


def same(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return all(bool((a == b).all()) for a, b in zip(first, second, strict=True))


def texts(directory: Path, which: str) -> dict[str, str]:
    rows = read_jsonl(directory / "hypotheses" / f"{which}.jsonl")
    return {row["id"]: row["hypothesis"] for _, row in rows}


def full_disk(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# --- what a run promises --------------------------------------------------------------------------


@pytest.mark.usefixtures("improving")
@pytest.mark.parametrize(("family", "name"), CASES)
def test_frozen_parts_are_bit_identical_in_the_saved_model_and_the_others_moved(
    family: Family, name: StrategyName, config: RunConfig, tiny_models: dict[str, Path]
) -> None:
    chosen = replace(
        config, model=str(tiny_models[family]), strategy=name, top_layers=1, unfreeze_every=1
    )
    listener = Noted()
    report = adapt(chosen, listener)
    before = weights(models.load(chosen.model))
    adapted = models.load(str(run_folder(chosen) / "model"))
    after = weights(adapted)
    trained = {row.part: row.trained for row in listener.rows if row.trained}
    assert trained
    for part, old in before.items():
        if part not in trained:
            assert same(old, after[part]), f"{part} moved"
        elif name != "new-head":  # which has other rows
            assert not same(old, after[part]), f"{part} did not move"
    counts = parameter_counts(adapted)
    if name != "lora":
        assert trained == {part: counts[part] for part in trained}
    assert report.facts.parameters.trainable == sum(trained.values())
    assert report.facts.parameters.frozen == sum(row.parameters for row in listener.rows) - sum(
        trained.values()
    )


@pytest.mark.usefixtures("improving")
@both_families
def test_the_saved_model_gives_the_scored_texts_through_transformers(
    family: Family, config: RunConfig, tiny_models: dict[str, Path]
) -> None:
    chosen = replace(config, model=str(tiny_models[family]))
    adapt(chosen)
    directory = run_folder(chosen)
    base, scored = texts(directory, "target.base"), texts(directory, "target.adapted")
    assert base != scored
    recognise: Any = transformers_pipeline(
        "automatic-speech-recognition", model=str(directory / "model")
    )
    for utterance in prepare_data(chosen).test:
        heard = recognise(utterance.waveform())["text"]
        assert heard.strip() == scored[utterance.id]


@both_families
def test_the_same_seed_gives_the_same_report_but_for_its_timing(
    family: Family, config: RunConfig, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    def report(name: str, seed: int) -> dict[str, Any]:
        output = tmp_path / name
        adapt(replace(config, model=str(tiny_models[family]), seed=seed, output=output))
        found: dict[str, Any] = json.loads((output / "report.json").read_text(encoding="utf-8"))
        timing = found.pop("timing")
        parts = [timing[name] for name in ("load_s", "features_s", "train_s", "score_s")]
        assert all(seconds > 0 for seconds in parts)
        assert sum(parts) <= timing["total_s"]
        return found

    first, again, other = report("first", 3), report("again", 3), report("other", 4)
    assert first == again
    assert first["training"] != other["training"]


def test_the_test_set_is_looked_at_twice_and_never_trained_on(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[tuple[str, set[str]]] = []
    trained: set[str] = set()

    def noted(model: SpeechModel, utterances: Corpus, **others: Any) -> list[str]:
        looks.append((others["description"], {each.id for each in utterances}))
        return transcribe_utterances(model, utterances, **others)

    def noted_too(source: Any, examples: Sequence[Example], **others: Any) -> Any:
        trained.update(each.utterance.id for each in examples)
        return TrainingBatches(source, examples, **others)

    monkeypatch.setattr(pipeline, "transcribe_utterances", noted)
    monkeypatch.setattr(pipeline, "TrainingBatches", noted_too)
    adapt(config)
    data = prepare_data(config)
    assert data.general_test is not None
    for name, test in (("target", data.test), ("general", data.general_test)):
        ids = {each.id for each in test}
        assert [what for what, seen in looks if seen & ids] == [
            f"{name} test, base",
            f"{name} test, adapted",
        ]
        assert not trained & ids
    assert not trained & {each.id for each in data.dev}
    assert [what for what, _ in looks].count("dev") == 3  # the base model and two epochs


def test_no_epoch_better_than_the_base_model_leaves_its_weights_and_says_so(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = iter([0.5, 0.6, 0.7])
    monkeypatch.setattr(pipeline, "total", lambda _: SimpleNamespace(rate=next(rates)))
    listener = Noted()
    report = adapt(config, listener)
    assert report.facts.best_epoch == 0
    before, after = models.load(config.model), models.load(str(run_folder(config) / "model"))
    assert all(same(old, weights(after)[part]) for part, old in weights(before).items())
    assert any("No epoch was better" in note for note in listener.notes)
    assert listener.epochs == [(0, True), (1, False), (2, False)]


def test_training_stops_early_when_dev_wer_no_longer_falls(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = iter([0.5, 0.4, 0.5, 0.6])
    monkeypatch.setattr(pipeline, "total", lambda _: SimpleNamespace(rate=next(rates)))
    training = TrainingConfig(epochs=9, patience=2, batch_size=4, interpolation=0.7)
    listener = Noted()
    report = adapt(replace(config, training=training), listener)
    assert (report.facts.stopped, report.facts.best_epoch) == ("early", 1)
    assert listener.notes[-1].startswith("stopped after epoch 3: dev WER no longer fell.")


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_ctrl_c_ends_the_training_which_is_then_scored_and_saved(config: RunConfig) -> None:
    listener = Noted()
    listener.on_epoch = lambda epoch: signal.raise_signal(signal.SIGINT) if epoch == 1 else None
    training = replace(config.training, epochs=9)
    report = adapt(replace(config, training=training), listener)
    assert report.facts.stopped == "interrupted"
    assert len(report.facts.training) == 2
    assert any(note.startswith("stopped by hand in epoch 1") for note in listener.notes)
    directory = run_folder(config)
    assert models.load(str(directory / "model"))
    assert texts(directory, "target.adapted")
    written = Report.from_json((directory / "report.json").read_text(encoding="utf-8"))
    assert written.facts.stopped == "interrupted"


def test_everything_that_takes_long_shows_its_progress(config: RunConfig) -> None:
    listener = Noted()
    adapt(config, listener)
    assert listener.tracked == [
        "reading audio", "features", "features",
        "target test, base", "general test, base",
        "dev", "epoch 1", "dev", "epoch 2", "dev",
        "target test, adapted", "general test, adapted",
    ]  # fmt: skip


# --- what a run writes ----------------------------------------------------------------------------


def test_the_run_folder_holds_every_result_and_nothing_unfinished(config: RunConfig) -> None:
    report = adapt(config)
    directory = run_folder(config)
    assert {path.name for path in directory.iterdir()} == {
        "config.yaml", "model", "hypotheses", "log",
        "report.json", "report.md", "report.html", "README.md",
    }  # fmt: skip
    assert {path.name for path in (directory / "hypotheses").iterdir()} == {
        f"{name}.{system}.jsonl" for name in ("target", "general") for system in ("base", "adapted")
    }
    assert remake_report(directory) == report
    assert report.facts.licences == ("CC0-1.0",)


def test_the_saved_configuration_is_resolved_and_runs_again_to_the_same_report(
    config: RunConfig, tmp_path: Path
) -> None:
    training = replace(config.training, learning_rate=None)
    chosen = replace(config, training=training)
    first = adapt(chosen)
    written = run_folder(chosen) / "config.yaml"
    saved = yaml.safe_load(written.read_text(encoding="utf-8"))
    assert saved["run"]["strategy"] == "encoder"
    assert saved["run"]["training"]["learning_rate"] == 1e-3
    assert set(saved["facts"]["data_digest"]) == {"target", "general"}
    settings = read_yaml(written) | {"output": tmp_path / "again"}
    again = adapt(run_config(settings, where="config.yaml"))
    assert again.sets == first.sets


@pytest.mark.parametrize(
    ("family", "width", "name", "rate"),
    [
        ("ctc", 768, "head", 1e-3),
        ("ctc", 768, "encoder", 2e-4),
        ("ctc", 256, "encoder", 6e-4),
        ("ctc", 768, "lora", 1e-3),
        ("whisper", 16, "lora", 1e-3),
        ("ctc", 16, "encoder", 1e-3),
        ("whisper", 768, "decoder", 1.25e-5),
        ("whisper", 16, "head", 2e-4),
    ],
)
def test_the_learning_rate_suits_the_model_where_none_is_given(
    family: str, width: int, name: StrategyName, rate: float
) -> None:
    network = SimpleNamespace(config=SimpleNamespace(d_model=width, hidden_size=width))
    model: Any = SimpleNamespace(family=family, network=network)
    assert pipeline._default_rate(model, name) == pytest.approx(rate)


# --- the data -------------------------------------------------------------------------------------


def test_replay_makes_up_its_share_and_is_drawn_by_the_seed(config: RunConfig) -> None:
    def drawn(seed: int, replay: float) -> list[str]:
        data = prepare_data(replace(config, seed=seed, replay=replay))
        assert len(data.train) == 8
        assert {each.accent for each in data.replay} <= {"general"}
        return [each.id for each in data.replay]

    assert len(drawn(0, 0.2)) == 2  # two of ten
    assert len(drawn(0, 0.5)) == 8
    assert len(drawn(0, 0.9)) == 8  # all that there are
    assert drawn(0, 0.0) == []
    assert drawn(0, 0.2) == drawn(0, 0.2)
    assert len({tuple(drawn(seed, 0.2)) for seed in range(6)}) > 1


def test_a_corpus_without_splits_is_split_by_speaker(config: RunConfig, manifest: Path) -> None:
    rows = [replace(each, split=None) for each in read_manifest(manifest)]
    write_manifest(Corpus(rows), manifest)
    data = prepare_data(config)
    speakers = [set(part.speakers) for part in (data.train, data.dev, data.test)]
    assert all(speakers)
    assert sum(map(len, speakers)) == len(set().union(*speakers)) == 5


def test_an_accent_with_splits_in_some_rows_alone_is_refused(
    config: RunConfig, change: Callable[..., None]
) -> None:
    change("scottish-dev-cat-1", split=None)
    with pytest.raises(DataError, match=r"1 of 17 .*no split, such as 'scottish-dev-cat-1'"):
        prepare_data(config)


def test_a_speaker_in_two_splits_is_refused(config: RunConfig, change: Callable[..., None]) -> None:
    change("scottish-test-dan-0", speaker="scottish-ann")
    with pytest.raises(DataError, match="speaker 'scottish-ann' is in both"):
        prepare_data(config)


def test_a_test_speaker_who_is_replayed_in_another_accent_is_refused(
    config: RunConfig, manifest: Path
) -> None:
    both = [
        replace(each, speaker="scottish-dan") if each.speaker == "general-ann" else each
        for each in read_manifest(manifest)
    ]
    write_manifest(Corpus(both), manifest)
    with pytest.raises(DataError, match="speaker 'scottish-dan' is in both"):
        prepare_data(replace(config, replay=0.8))


def test_one_who_is_trained_on_and_in_the_general_test_is_refused(
    config: RunConfig, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [
        replace(each, speaker="scottish-ann") if each.speaker == "general-dan" else each
        for each in read_manifest(manifest)
    ]
    write_manifest(Corpus(both), manifest)
    monkeypatch.chdir(manifest.parent)
    for general in (str(manifest), "./manifest.jsonl"):
        with pytest.raises(DataError, match="speaker 'scottish-ann' is in both"):
            prepare_data(replace(config, general=general))


def test_an_accent_cannot_be_its_own_general_accent(config: RunConfig) -> None:
    with pytest.raises(ConfigError, match="'general' cannot be adapted to and be the general one"):
        prepare_data(replace(config, accent="general"))


def test_two_corpora_may_use_the_same_ids(config: RunConfig, manifest: Path) -> None:
    rows = read_manifest(manifest)
    for name in ("scottish", "general"):
        own = [replace(each, id=str(i)) for i, each in enumerate(rows.where(accent=name))]
        write_manifest(Corpus(own), manifest.with_name(f"{name}.jsonl"))
    first, second = (str(manifest.with_name(f"{name}.jsonl")) for name in ("scottish", "general"))
    assert adapt(replace(config, corpus=first, general=second)).facts.data["replay"].utterances == 4


def test_another_model_s_general_accent_is_left_out_unless_it_is_named(config: RunConfig) -> None:
    listener = Noted()
    report = adapt(replace(config, general="auto"), listener)
    assert set(report.sets) == {"target"}
    assert any(note.startswith("general:      not scored") for note in listener.notes)
    for of_starter in (
        RunConfig(accent="scottish"),
        RunConfig(accent="scottish", model=config.model),
        replace(config, model="starter-whisper", general="auto"),
    ):
        assert pipeline.settings(of_starter).general == "starter"


def test_an_empty_split_is_refused(config: RunConfig, manifest: Path) -> None:
    kept = [each for each in read_manifest(manifest) if each.split != "dev"]
    write_manifest(Corpus(kept), manifest)
    with pytest.raises(DataError, match=r"'scottish' has no utterance in the split dev"):
        prepare_data(config)


def test_a_general_corpus_needs_no_more_than_what_is_used_of_it(
    config: RunConfig, manifest: Path
) -> None:
    kept = [
        each
        for each in read_manifest(manifest)
        if each.accent == "scottish" or each.split == "test"
    ]
    write_manifest(Corpus(kept), manifest)
    data = prepare_data(replace(config, replay=0.0))
    assert data.general_test is not None
    assert len(data.general_test) == 6
    with pytest.raises(DataError, match="'general' has no utterance in the split train"):
        prepare_data(config)


def test_without_a_general_corpus_the_target_alone_is_scored(config: RunConfig) -> None:
    report = adapt(replace(config, general=None))
    assert set(report.sets) == {"target"}
    assert set(report.facts.data) == {"train", "dev", "test"}


def test_test_sentences_that_are_trained_on_are_counted_and_told(
    config: RunConfig, manifest: Path
) -> None:
    listener = Noted()
    adapt(config, listener)
    trained = {each.text for each in prepare_data(config).train}
    shared = sum(each.text in trained for each in prepare_data(config).test)
    assert shared == 6
    assert any(note.startswith("6 of 6 test utterances say") for note in listener.notes)


def test_new_test_sentences_are_no_cause_for_a_note(config: RunConfig, manifest: Path) -> None:
    new = [
        replace(each, text="hat") if each.split == "test" else each
        for each in read_manifest(manifest)
    ]
    write_manifest(Corpus(new), manifest)
    listener = Noted()
    adapt(config, listener)
    assert not any("trained on too" in note for note in listener.notes)


def test_what_cannot_be_trained_on_is_left_out_counted_and_listed(
    config: RunConfig, change: Callable[..., None]
) -> None:
    change("scottish-train-ann-0", text="thé cat")
    change("scottish-train-bob-1", text="the cat sat on the mat " * 4)
    listener = Noted()
    report = adapt(config, listener)
    assert [row.id for row in report.facts.dropped] == [
        "scottish-train-ann-0",
        "scottish-train-bob-1",
    ]
    assert "left out of training: 2 utterances" in listener.notes
    told = [note for note in listener.notes if note.startswith("  ")]
    assert "'É' (U+00C9)" in told[0]
    assert "frames, but" in told[1]


def test_punctuation_is_no_cause_to_leave_an_utterance_out(
    config: RunConfig, change: Callable[..., None]
) -> None:
    change("scottish-train-ann-0", text="The cat — sat, on the \u201cmat\u201d.")
    assert adapt(config).facts.dropped == ()


def test_what_is_too_long_for_the_model_is_left_out(
    config: RunConfig, manifest: Path, change: Callable[..., None], tiny_models: dict[str, Path]
) -> None:
    long = manifest.parent / "audio" / "long.wav"
    audio.write(long, read_manifest(manifest)[0].waveform().repeat(5))  # the window is 2 s
    change("scottish-train-ann-0", audio=long)
    report = adapt(replace(config, model=str(tiny_models["whisper"])))
    (dropped,) = report.facts.dropped
    assert dropped.id == "scottish-train-ann-0"
    assert "(2 s) at a time: split the utterance" in dropped.reason


def test_many_faults_are_told_up_to_a_number(config: RunConfig) -> None:
    assert pipeline._some([str(i) for i in range(25)])[-2:] == ("19", "and 5 more")


# --- bad input ------------------------------------------------------------------------------------


def test_a_starter_accent_is_taken_from_the_starter_and_others_from_their_own_corpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def load(name: str) -> Corpus:
        asked.append(name)
        raise DataError("no network")

    monkeypatch.setattr(corpora, "load", load)
    with pytest.raises(DataError, match=r"^no network$"):
        prepare_data(RunConfig(accent="scottish"))
    with pytest.raises(DataError, match=r"does not speak 'irish'.*--corpus.*no network"):
        prepare_data(RunConfig(accent="irish"))
    assert asked == ["starter", "hf:ylacombe/english_dialects:irish_male"]


def test_an_accent_whose_corpora_are_fetched_by_hand_says_where_from() -> None:
    with pytest.raises(ConfigError, match=r"manifest with --corpus:\n  - AfriSpeech.*http"):
        prepare_data(RunConfig(accent="nigerian"))


def test_an_unknown_general_accent_lists_those_of_the_corpus(config: RunConfig) -> None:
    with pytest.raises(ConfigError, match=r"no accent 'us'; .*--general-accent: general, scottish"):
        prepare_data(replace(config, general_accent="us"))


def test_nothing_is_written_before_everything_is_checked(
    config: RunConfig, change: Callable[..., None], manifest: Path
) -> None:
    adapt(config)
    report = run_folder(config) / "report.json"
    before = report.read_bytes()
    (manifest.parent / "audio" / "scottish-dev-cat-0.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match="'scottish-dev-cat-0'"):
        adapt(replace(config, overwrite=True))
    assert report.read_bytes() == before
    with pytest.raises(DataError):
        adapt(replace(config, output=run_folder(config).with_name("new")))
    assert not run_folder(config).with_name("new").exists()


# --- the run folder -------------------------------------------------------------------------------


def test_a_used_folder_is_replaced_only_when_asked_and_other_files_in_it_stay(
    config: RunConfig,
) -> None:
    adapt(config)
    directory = run_folder(config)
    (directory / "notes.txt").write_text("mine")
    (directory / "model" / "old.bin").write_text("old")
    with pytest.raises(OutputError, match=r"holds a finished run; .*--overwrite"):
        adapt(config)
    adapt(replace(config, overwrite=True))
    assert (directory / "notes.txt").read_text() == "mine"
    assert not (directory / "model" / "old.bin").exists()


class SwitchedOffError(Exception):
    """Stands for a machine that is switched off."""


def killed_after_an_epoch(config: RunConfig) -> Path:
    """Run `config` until its second epoch is told, and return its folder."""

    def kill(epoch: int) -> None:
        if epoch == 2:
            raise SwitchedOffError

    listener = Noted()
    listener.on_epoch = kill
    with pytest.raises(SwitchedOffError):
        adapt(config, listener)
    return run_folder(config)


@both_families
@pytest.mark.usefixtures("improving")
def test_a_run_that_was_killed_is_gone_on_with_to_the_same_result(
    family: Family, config: RunConfig, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    chosen = replace(
        config, model=str(tiny_models[family]), training=replace(config.training, epochs=3)
    )
    whole = adapt(replace(chosen, output=tmp_path / "whole"))
    directory = killed_after_an_epoch(chosen)
    assert not (directory / "model").exists()
    listener = Noted()
    resumed = adapt(chosen, listener)
    assert resumed.sets == whole.sets
    assert [e.loss for e in resumed.facts.training] == [e.loss for e in whole.facts.training]
    assert "epoch 1" not in listener.tracked
    assert "epoch 2" in listener.tracked
    assert not (directory / "checkpoints").exists()


def test_a_run_is_gone_on_with_only_if_it_is_unfinished_and_the_same(config: RunConfig) -> None:
    directory = killed_after_an_epoch(config)
    with pytest.raises(ConfigError, match=r"had another replay, seed, .*give the same options"):
        adapt(replace(config, seed=5, replay=0.5))
    assert (directory / "checkpoints" / "last.pt").is_file()
    listener = Noted()
    adapt(config, listener)
    assert listener.notes.count(f"going on with the unfinished run in {directory}") == 1
    with pytest.raises(OutputError, match="holds a finished run"):
        adapt(config)


def test_an_unfinished_run_that_is_to_be_overwritten_starts_anew(config: RunConfig) -> None:
    killed_after_an_epoch(config)
    listener = Noted()
    adapt(replace(config, overwrite=True), listener)
    assert "epoch 1" in listener.tracked


def test_a_folder_of_other_files_is_never_overwritten(config: RunConfig) -> None:
    directory = run_folder(config)
    (directory / "log").mkdir(parents=True)
    with pytest.raises(OutputError, match="not a run's"):
        adapt(replace(config, overwrite=True))
    assert (directory / "log").is_dir()


def test_a_folder_that_may_not_be_written_is_refused_at_once(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(OutputError, match=r"may not be written; name another"):
        adapt(config)


def test_a_folder_that_cannot_be_made_is_told(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", full_disk)
    with pytest.raises(OutputError, match=r"cannot write the run folder .*No space left"):
        adapt(config)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("I/O error: No space left on device (os error 28)"),
        OutputError("No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_model_that_cannot_be_saved_leaves_none_and_keeps_what_came_before(
    error: Exception, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(model: CtcModel, directory: Path) -> None:
        directory.mkdir()
        (directory / "config.json").write_text("{}")
        raise error

    monkeypatch.setattr(CtcModel, "save", half)
    with pytest.raises(OutputError, match=r"run/model: cannot be written .*No space left"):
        adapt(config)
    directory = run_folder(config)
    assert {path.name for path in directory.iterdir()} == {
        "config.yaml", "hypotheses", "log", "checkpoints"
    }  # fmt: skip
    assert texts(directory, "target.base")
    assert texts(directory, "general.base")


@pytest.mark.parametrize(
    ("file", "left"),
    [
        ("config.yaml", set()),
        ("target.base.jsonl", {"config.yaml"}),
        ("general.adapted.jsonl", {"config.yaml", "log", "model", "target.adapted.jsonl"}),
        ("last.pt", {"config.yaml", "log", "general.base.jsonl"}),
        ("report.html", {"config.yaml", "log", "model", "general.adapted.jsonl"}),
        ("report.json", {"config.yaml", "model", "general.adapted.jsonl", "report.html"}),
    ],
)
def test_a_full_disk_ends_the_run_and_keeps_what_was_written(
    file: str, left: set[str], config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkstemp

    def full(**named: Any) -> Any:
        return full_disk() if named["prefix"] == f".{file}." else make(**named)

    monkeypatch.setattr(tempfile, "mkstemp", full)
    with pytest.raises(OutputError, match=f"{file}: cannot be written .*No space left on device"):
        adapt(config)
    there = {path.name for path in run_folder(config).rglob("*")}
    assert left <= there
    assert file not in there
    assert not any(name.endswith(".part") for name in there)
    if "model" in left:
        assert models.load(str(run_folder(config) / "model"))


def test_a_run_augments_as_its_configuration_says(config: RunConfig) -> None:
    steps: tuple[AugmentStep, ...] = ({"noise": {"kind": "babble", "voices": 3}}, {"gain": None})
    first = adapt(replace(config, augment=steps))
    assert read_yaml(run_folder(config) / "config.yaml")["augment"] == list(steps)
    again = adapt(replace(config, augment=False, overwrite=True))
    assert first.facts.training[1].loss != again.facts.training[1].loss


def test_a_full_gpu_is_one_clear_error(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(pipeline, "fit", full)
    with pytest.raises(ConfigError, match="memory of the device is full; lower --batch-size"):
        adapt(config)


def test_the_saved_configuration_can_be_used_from_another_folder(
    config: RunConfig, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(manifest.parent)
    adapt(replace(config, corpus="manifest.jsonl", general="./manifest.jsonl"))
    saved = yaml.safe_load((run_folder(config) / "config.yaml").read_text(encoding="utf-8"))
    assert saved["run"]["corpus"] == saved["run"]["general"] == str(manifest)


def test_a_run_works_outside_the_main_thread(config: RunConfig) -> None:
    done: list[Report] = []
    thread = threading.Thread(target=lambda: done.append(adapt(config)))
    thread.start()
    thread.join()
    assert done[0].facts.stopped == "finished"


# --- the feature cache and the interpolation ------------------------------------------------------


def test_features_are_told_stored_and_read_by_the_next_run(
    config: RunConfig, tmp_path: Path
) -> None:
    first, second = Noted(), Noted()
    adapt(config, first)
    adapt(replace(config, output=tmp_path / "again"), second)
    (told,) = [note for note in first.notes if note.startswith("features:")]
    assert "2 copies of 12 utterances and 18 to score" in told
    assert "MB more" in told
    (told,) = [note for note in second.notes if note.startswith("features:")]
    assert told.endswith("all there from an earlier run")
    assert first.tracked.count("features") == 2
    assert second.tracked.count("features") == 0


def test_features_that_would_not_fit_are_computed_anew_and_that_is_told(
    config: RunConfig, tmp_path: Path
) -> None:
    listener = Noted()
    small = adapt(replace(config, cache_gb=1e-9), listener)
    (told,) = [note for note in listener.notes if note.startswith("features:")]
    assert "not kept" in told
    assert "the cache may hold 0.0 GB" in told
    assert "--cache-gb" in told
    whole = adapt(replace(config, output=tmp_path / "whole"))
    assert [e.loss for e in small.facts.training] == [
        None, *(pytest.approx(e.loss, rel=1e-3) for e in whole.facts.training[1:])
    ]  # fmt: skip


def test_frames_under_speech_alone_are_refused_where_an_encoder_trains(
    config: RunConfig, tiny_models: dict[str, Path]
) -> None:
    chosen = replace(config, model=str(tiny_models["whisper"]), encoder_frames="speech")
    with pytest.raises(ConfigError, match=r"needs a Whisper whose encoder is frozen"):
        adapt(chosen)
    report = adapt(replace(chosen, strategy="decoder"))
    assert report.facts.cut == "decoder.0"


def test_the_interpolation_is_chosen_told_and_reported(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The base, two epochs, ten interpolations, then the general accent's base and one that fits.
    rates = iter([0.9, 0.5, 0.4, *[0.8] * 9, 0.3, 0.10, 0.10])
    monkeypatch.setattr(pipeline, "total", lambda _: SimpleNamespace(rate=next(rates, 0.10)))
    listener = Noted()
    training = replace(config.training, interpolation="auto")
    report = adapt(replace(config, training=training), listener)
    assert report.facts.interpolation == 1.0
    assert len(report.facts.sweep) == 11
    assert report.facts.sweep[-1].general_dev_wer == 0.10
    assert any(
        note.startswith("interpolation: 1 of the way from the base, dev WER 90.0")
        and note.endswith("(at most 1 points more)")
        for note in listener.notes
    )
    assert remake_report(run_folder(config)) == report


def test_a_model_that_forgets_too_much_is_not_kept_and_that_is_told(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = iter([0.9, 0.5, 0.4, *[0.3] * 10, 0.10])
    monkeypatch.setattr(pipeline, "total", lambda _: SimpleNamespace(rate=next(rates, 0.5)))
    listener = Noted()
    training = replace(config.training, interpolation="auto", max_forgetting=2.0)
    report = adapt(replace(config, training=training), listener)
    assert (report.facts.best_epoch, report.facts.interpolation) == (0, 0.0)
    assert any("loses more than 2 points" in note for note in listener.notes)
    before, after = models.load(config.model), models.load(str(run_folder(config) / "model"))
    assert all(same(old, weights(after)[part]) for part, old in weights(before).items())


@both_families
def test_lora_leaves_an_adapter_beside_the_merged_model(
    family: Family, config: RunConfig, tiny_models: dict[str, Path]
) -> None:
    adapt(replace(config, model=str(tiny_models[family]), strategy="lora"))
    folder = run_folder(config) / "adapter"
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == str(tiny_models[family])
    assert (folder / "adapter_model.safetensors").is_file()


def test_a_new_head_spells_what_the_transcripts_hold(
    config: RunConfig, change: Callable[..., None]
) -> None:
    change("scottish-train-ann-0", text="thé café")
    report = adapt(replace(config, strategy="new-head"))
    assert not report.facts.dropped
    model: Any = models.load(str(run_folder(config) / "model"))
    assert {"É", "F"} <= set(model.tokenizer.get_vocab())
    assert report.facts.interpolation == 0.7


def test_half_way_to_a_new_head_is_nothing(config: RunConfig) -> None:
    chosen = replace(config, training=replace(config.training, interpolation="auto"))
    assert adapt(replace(chosen, strategy="new-head")).facts.sweep == ()
