"""Whole runs on tiny random checkpoints of both families: what a run promises, measured."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
import soundfile
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from models.conftest import noise, with_adapter
from safetensors import SafetensorError
from torch import Tensor
from transformers import pipeline as transformers_pipeline
from transformers.models.whisper.modeling_whisper import sinusoids

from speechtl import audio, corpora, models, pipeline, run_data, run_facts
from speechtl.config import AugmentStep, RunConfig, read_yaml, run_config
from speechtl.corpus import Corpus, Utterance
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.features import Example, TrainingBatches, Waveforms
from speechtl.files import read_jsonl
from speechtl.manifest import read_manifest, write_manifest
from speechtl.models import SpeechModel, parameter_counts
from speechtl.models.base import Family
from speechtl.models.ctc import CtcModel
from speechtl.pipeline import PartRow, adapt
from speechtl.probes import heard_in_silence
from speechtl.pseudo_labels import Guess, recordings
from speechtl.report.phrases import label_rounds
from speechtl.run_data import prepare_data
from speechtl.run_folder import run_folder, settings
from speechtl.scoring import LabelRound, Report, read_hypotheses, remake_report
from speechtl.strategy import STRATEGIES, StrategyName
from speechtl.training import EpochRecord, History, TrainingConfig, fit
from speechtl.transcription import transcribe_utterances

CASES = [(family, name) for family, names in STRATEGIES.items() for name in names]
T = TypeVar("T")
both_families = pytest.mark.parametrize("family", ["ctc", "whisper"])
tiny_and_starter = pytest.mark.parametrize("kind", ["tiny", "starter"])


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


def bases(kind: str, tiny_models: dict[str, Path]) -> dict[str, str]:
    """Return the base model of each family, a tiny random one or the starter's."""
    if kind == "starter":
        return {"ctc": "starter-wav2vec2", "whisper": "starter-whisper"}
    return {family: str(folder) for family, folder in tiny_models.items()}


def weights(model: SpeechModel) -> dict[str, list[Tensor]]:
    return {part.name: [p.detach().clone() for p in part.parameters()] for part in model.parts()}


def same(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return all(bool((a == b).all()) for a, b in zip(first, second, strict=True))


def same_state(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(weight, second[name]) for name, weight in first.items()
    )


def state(model: SpeechModel) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.network.state_dict().items()}


@dataclass
class Fits:
    """Stands before `fit`: keeps the weights before and after each, and what was trained on."""

    before: list[dict[str, Tensor]] = field(default_factory=list)
    after: list[dict[str, Tensor]] = field(default_factory=list)
    trained: list[list[tuple[str, str]]] = field(default_factory=list)
    options: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, model: SpeechModel, strategy: Any, batches: Any, **others: Any) -> History:
        self.before.append(state(model))
        self.trained.append([(e.utterance.id, e.utterance.text) for e in batches._examples])
        self.options.append(others)
        history = fit(model, strategy, batches, **others)
        self.after.append(state(model))
        return history


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    made = Fits()
    monkeypatch.setattr(pipeline, "fit", made)
    return made


def texts(directory: Path, which: str) -> dict[str, str]:
    rows = read_jsonl(directory / "hypotheses" / f"{which}.jsonl")
    return {row["id"]: row["hypothesis"] for _, row in rows}


def full_disk(*_: object, **__: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# --- what a run promises --------------------------------------------------------------------------


@pytest.mark.usefixtures("improving")
@pytest.mark.parametrize(
    ("kind", "family", "name"),
    [
        (kind, *case)
        for kind in ("tiny", "starter")
        for case in CASES
        if (kind, case[1]) != ("starter", "from-scratch")  # nothing is frozen
    ],
)
def test_frozen_parts_are_bit_identical_in_the_saved_model_and_the_others_moved(
    kind: str,
    family: Family,
    name: StrategyName,
    config: RunConfig,
    tiny_models: dict[str, Path],
) -> None:
    model = bases(kind, tiny_models)[family]
    chosen = replace(config, model=model, strategy=name, top_layers=1, unfreeze_every=1)
    if kind == "starter":  # whose steps take longer
        training = replace(config.training, epochs=1)
        chosen = replace(chosen, general=None, training=training)
    listener = Noted()
    report = adapt(chosen, listener)
    drawn = chosen.seed if name == "from-scratch" else None
    base = models.load(chosen.model, random_seed=drawn)
    before = weights(base)
    adapted = models.load(str(run_folder(chosen) / "model"))
    after = weights(adapted)
    trained = {row.part: row.trained for row in listener.rows if row.trained}
    sines = "model.encoder.embed_positions.weight"
    found: dict[str, Tensor] = adapted.network.state_dict()
    assert trained
    for part, old in before.items():
        if part not in trained:
            assert same(old, after[part]), f"{part} moved"
        elif name != "new-head":  # which has other rows
            assert not same(old, after[part]), f"{part} did not move"
    counts = parameter_counts(adapted)
    if family == "whisper":  # whose encoder's positions are fixed
        assert torch.equal(found[sines], base.network.state_dict()[sines])
        if kind == "tiny":  # the starter's file has 16 bits
            assert torch.equal(found[sines], sinusoids(*found[sines].shape))
        counts["frontend"] -= found[sines].numel()
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
    assert any("Nothing was better on dev" in note for note in listener.notes)
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


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_ctrl_c_while_interpolations_are_tried_is_told_and_the_run_scored_and_saved(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pressing(Noted):
        def track(self, items: Iterable[T], description: str, *, total: int) -> Iterable[T]:
            if description == "interpolating":
                signal.raise_signal(signal.SIGINT)
            return super().track(items, description, total=total)

    # The base, two epochs, 0.1, then the general accent's base, 0.1 and the trained weights.
    rates = iter([0.9, 0.5, 0.4, 0.8, 0.1, 0.1, 0.1])
    monkeypatch.setattr(pipeline, "total", lambda _: SimpleNamespace(rate=next(rates)))
    listener = Pressing()
    training = replace(config.training, interpolation="auto")
    report = adapt(replace(config, training=training), listener)
    assert report.facts.stopped == "interrupted"
    assert [point.interpolation for point in report.facts.sweep] == [0.0, 0.1, 1.0]
    assert (report.facts.interpolation, report.facts.best_epoch) == (1.0, 2)
    assert any(
        note.startswith("stopped by hand while interpolations were tried, after epoch 2.")
        for note in listener.notes
    )
    assert models.load(str(run_folder(config) / "model"))
    assert texts(run_folder(config), "target.adapted")


def test_everything_that_takes_long_shows_its_progress(config: RunConfig) -> None:
    listener = Noted()
    adapt(config, listener)
    assert listener.tracked == [
        "reading test audio", "reading audio", "features", "features",
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
        f"{name}.{system}.jsonl"
        for name in ("target", "general", "silence")
        for system in ("base", "adapted")
    }
    assert {path.name.split(".")[0] for path in (directory / "log").iterdir()} == {"events"}
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
        ("ctc", 768, "from-scratch", 1e-3),
        ("whisper", 384, "from-scratch", 1.5e-3),
        ("whisper", 1280, "from-scratch", 1.75e-4),
        ("whisper", 16, "from-scratch", 1e-3),
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


def test_the_epochs_suit_the_speech_where_none_are_given(config: RunConfig) -> None:
    training = replace(config.training, epochs=None, patience=1)
    report = adapt(replace(config, training=training))
    saved = yaml.safe_load((run_folder(config) / "config.yaml").read_text(encoding="utf-8"))
    assert saved["run"]["training"]["epochs"] == 40  # of three batches
    assert report.facts.stopped == "early"


# --- from scratch ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("improving")
@both_families
def test_a_run_from_scratch_trains_random_weights_of_the_same_architecture(
    family: Family, config: RunConfig, tiny_models: dict[str, Path], fits: Fits
) -> None:
    training = replace(config.training, learning_rate=None, interpolation="auto")
    chosen = replace(
        config, model=str(tiny_models[family]), strategy="from-scratch", seed=3, training=training
    )
    listener = Noted()
    report = adapt(chosen, listener)
    base = models.load(chosen.model)
    drawn = models.load(chosen.model, random_seed=3)
    assert report.facts.cut == base.parts()[0].name
    # All but the sines of a Whisper's 100 places, in 16 channels.
    assert report.facts.parameters.frozen == (1600 if family == "whisper" else 0)
    assert report.facts.revision == drawn.revision == f"{base.revision}-random-3"
    assert same_state(fits.before[0], state(drawn))
    assert fits.options[0]["mask"] is None
    assert fits.options[0]["learning_rate"] == 1e-3
    assert (report.facts.interpolation, report.facts.sweep) == (1.0, ())
    assert not any(note.startswith("features:") for note in listener.notes)
    assert "features" not in listener.tracked
    heard = transcribe_utterances(drawn, prepare_data(chosen).test)
    assert list(texts(run_folder(chosen), "target.base").values()) == heard
    saved = run_folder(chosen) / "model"
    assert same_state(fits.after[0], state(models.load(str(saved))))
    recognise: Any = transformers_pipeline("automatic-speech-recognition", model=str(saved))
    utterance = prepare_data(chosen).test[0]
    said = texts(run_folder(chosen), "target.adapted")[utterance.id]
    assert recognise(utterance.waveform())["text"].strip() == said


# --- the data -------------------------------------------------------------------------------------


def talk(lengths: Sequence[float]) -> Corpus:
    """Return utterances of these lengths (s), of a recording that nobody opens."""
    return Corpus(
        Utterance(f"u{i}", Path("talk.wav"), "a", "s", "scottish", start=0.0, end=length)
        for i, length in enumerate(lengths)
    )


@given(
    st.lists(st.floats(0.1, 30), min_size=1, max_size=30),
    st.floats(0.001, 10),
    st.floats(0.001, 10),
    st.integers(0, 99),
)
def test_of_one_seed_less_speech_is_a_part_of_more(
    lengths: list[float], first: float, second: float, seed: int
) -> None:
    corpus = talk(lengths)
    asked = sorted((first, second))
    less, more = (run_data._first_minutes(corpus, minutes, seed=seed) for minutes in asked)
    assert set(less) <= set(more)
    for minutes, part in zip(asked, (less, more), strict=True):
        assert list(part) == [each for each in corpus if each in set(part)]
        assert len(part) >= 1
        assert len(part) == 1 or part.duration <= 60 * minutes + 1e-6
        # The next one would have been too much.
        assert len(part) == len(corpus) or part.duration + max(lengths) > 60 * minutes - 1e-6


def test_another_seed_draws_other_speech() -> None:
    corpus = talk([1.0] * 20)
    drawn = [run_data._first_minutes(corpus, 5 / 60, seed=seed) for seed in (0, 0, 1)]
    assert [len(part) for part in drawn] == [5, 5, 5]
    assert drawn[0] == drawn[1] != drawn[2]


def test_minutes_are_of_the_accent_s_training_speech_alone(config: RunConfig) -> None:
    whole, part = (prepare_data(replace(config, minutes=m, replay=0.5)) for m in (None, 0.05))
    assert 60 * 0.05 - 0.65 < part.train.duration <= 60 * 0.05
    assert set(part.train) < set(whole.train)
    assert len(part.replay) == len(part.train)  # half of what is trained on
    assert (part.dev, part.test, part.general_test) == (whole.dev, whole.test, whole.general_test)
    report = adapt(replace(config, minutes=0.05))
    assert report.facts.data["train"].utterances == len(part.train)
    assert report.facts.data["train"].minutes <= 0.05
    saved = yaml.safe_load((run_folder(config) / "config.yaml").read_text(encoding="utf-8"))
    assert saved["run"]["minutes"] == 0.05


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
        assert settings(of_starter).general == "starter"


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
    assert any(note.startswith("warning: 2 test speakers can show no") for note in listener.notes)
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


# --- what is told of what was heard ---------------------------------------------------------------


@dataclass
class Levels:
    """Stands in for the measuring of a signal-to-noise ratio."""

    measured: int = 0

    def __call__(self, waveform: audio.Waveform) -> float | None:
        self.measured += 1
        return None if len(waveform) > 9000 else 12.34


@pytest.mark.parametrize("cached", [True, False])
def test_a_hypothesis_tells_length_noise_and_whether_its_sentence_was_trained_on(
    cached: bool, config: RunConfig, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = Levels()
    monkeypatch.setattr(run_facts, "signal_to_noise_db", levels)
    new = [
        replace(each, text="Hat!") if each.id.endswith("dan-1") else each
        for each in read_manifest(manifest)
    ]
    write_manifest(Corpus(new), manifest)
    adapt(replace(config, feature_cache=cached))
    assert levels.measured == 12  # not again for the adapted system
    heard = read_hypotheses(run_folder(config))
    data = prepare_data(config)
    trained = {each.text for each in [*data.train, *data.replay]}
    for name, corpus in (("target", data.test), ("general", data.general_test)):
        assert corpus is not None
        for utterance, *rows in zip(
            corpus, heard["base"][name], heard["adapted"][name], strict=True
        ):
            for row in rows:
                assert row.duration == round(utterance.duration, 3)
                assert row.snr_db == (None if row.duration > 9000 / 16_000 else 12.3)
                assert row.seen == (utterance.text in trained)
        assert [row.seen for row in heard["base"][name]].count(False) == 1


def test_what_is_heard_where_nobody_speaks_is_kept_of_both_systems(config: RunConfig) -> None:
    adapt(config)
    heard = read_hypotheses(run_folder(config))
    for system, name in (("base", config.model), ("adapted", str(run_folder(config) / "model"))):
        rows = heard[system]["silence"]
        assert rows == tuple(heard_in_silence(models.load(name)))
        assert len(rows) == 8
        assert {row.audio for row in rows} == {""}


def test_what_the_splits_share_is_among_the_facts_and_the_same_audio_is_a_warning(
    config: RunConfig, manifest: Path, change: Callable[..., None]
) -> None:
    change("scottish-test-dan-0", audio=manifest.parent / "audio" / "scottish-train-bob-2.wav")
    listener = Noted()
    report = adapt(config, listener)
    found = {(each.first, each.second): each for each in report.facts.leakage}
    assert list(found) == [
        ("train", "dev"),
        *(
            (name, test)
            for name in ("train", "replay", "dev", "general_dev")
            for test in ("test", "general_test")
        ),
    ]
    assert (found["train", "test"].audio, found["train", "test"].prompts) == (1, 6)
    assert found["train", "test"].utterances == 6
    assert not any(each.speakers for each in found.values())
    (warning,) = [n for n in listener.notes if n.startswith("warning: 1 of 6 test utterances is")]
    assert "such as scottish-test-dan-0 (scottish-train-bob-2 in train)" in warning
    assert warning.endswith("remove one of each two")


def test_what_is_left_out_of_training_is_not_what_was_trained_on(
    config: RunConfig, manifest: Path
) -> None:
    rows = [
        replace(each, text="thé cat") if each.split != "dev" else replace(each, text="a mat")
        for each in read_manifest(manifest).where(accent="scottish")
        if each.id != "scottish-train-ann-0"
    ]
    rows.append(replace(read_manifest(manifest)[0], text="a hat"))
    write_manifest(Corpus(rows), manifest)
    report = adapt(replace(config, general=None))
    (overlap,) = [e for e in report.facts.leakage if (e.first, e.second) == ("train", "test")]
    assert overlap.prompts == 0
    heard = read_hypotheses(run_folder(config))
    assert not any(row.seen for row in heard["base"]["target"])


def test_the_control_set_is_scored_before_and_after_and_never_trained_on(
    config: RunConfig, manifest: Path, fits: Fits, tmp_path: Path
) -> None:
    other = manifest.with_name("southern.jsonl")
    rows = read_manifest(manifest).where(accent="general", split="test")
    southern = Corpus(replace(each, accent="southern", split=None) for each in rows)
    write_manifest(southern, other)
    listener = Noted()
    report = adapt(replace(config, general=None, control=str(other)), listener)
    ids = [each.id for each in southern]
    for system in ("base", "adapted"):
        assert list(texts(run_folder(config), f"control.{system}")) == ids
        assert f"control test, {system}" in listener.tracked
    assert not set(ids) & {name for name, _ in fits.trained[0]}
    assert not any("general" in description for description in listener.tracked)
    assert report.facts.control == str(other)
    assert report.facts.data["control"].utterances == len(ids)
    assert ("train", "control") in {(each.first, each.second) for each in report.facts.leakage}
    assert any(note.startswith("control:      6 utterances, ") for note in listener.notes)
    written = run_folder(config) / "config.yaml"
    saved = yaml.safe_load(written.read_text(encoding="utf-8"))
    assert set(saved["facts"]["data_digest"]) == {"target", "control"}
    again = run_config(read_yaml(written) | {"output": tmp_path / "again"}, where="config.yaml")
    assert again.control == str(other)
    assert adapt(again).sets == report.sets
    southern[0].audio.write_bytes(b"RIFF")
    with pytest.raises(DataError, match=ids[0]):
        adapt(replace(again, overwrite=True))


def test_a_control_set_that_is_the_general_test_set_is_told_to_tell_no_more(
    config: RunConfig, manifest: Path
) -> None:
    listener = Noted()
    adapt(replace(config, control=str(manifest)), listener)
    assert any("the very utterances of the general test set" in each for each in listener.notes)
    assert not any("left out" in note for note in listener.notes)


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
def test_ctrl_c_in_a_fold_leaves_it_to_be_gone_on_with(config: RunConfig) -> None:
    chosen = replace(config, folds=5, fold=2, training=replace(config.training, epochs=3))
    listener = Noted()
    listener.on_epoch = lambda epoch: signal.raise_signal(signal.SIGINT) if epoch == 2 else None
    with pytest.raises(KeyboardInterrupt):
        adapt(chosen, listener)
    assert not (run_folder(config) / "report.json").exists()
    again = Noted()
    report = adapt(chosen, again)
    assert report.facts.stopped == "finished"
    assert "epoch 1" not in again.tracked


def test_it_is_told_when_nothing_is_left_to_find_wrong_and_nothing_is_written(
    config: RunConfig,
) -> None:
    found: list[bool] = []
    adapt(config, on_checked=lambda: found.append(run_folder(config).exists()))
    assert found == [False]


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


# --- the time of a run that was killed ------------------------------------------------------------


class Hours:
    """Stands in for the module `time`: on demand, an hour goes by."""

    def __init__(self) -> None:
        self.gone = 0.0

    def pass_by(self, hours: float) -> None:
        self.gone += 3600 * hours

    def monotonic(self) -> float:
        return time.monotonic() + self.gone


@pytest.fixture
def hours(monkeypatch: pytest.MonkeyPatch) -> Hours:
    made = Hours()
    monkeypatch.setattr(pipeline, "time", made)
    return made


def killed(config: RunConfig, hours: Hours, *, before: int = 3) -> None:
    """Run `config` until an epoch is told; before each is told, an hour goes by."""
    listener = Noted()

    def kill(epoch: int) -> None:
        if epoch == before:
            raise SwitchedOffError
        hours.pass_by(1)

    listener.on_epoch = kill
    with pytest.raises(SwitchedOffError):
        adapt(config, listener)


def test_the_time_of_attempts_that_were_killed_counts(config: RunConfig, hours: Hours) -> None:
    chosen = replace(config, training=replace(config.training, epochs=3))
    killed(chosen, hours)  # after three epochs' hours
    listener = Noted()
    listener.on_epoch = lambda epoch: hours.pass_by(0.5) if epoch == 3 else None
    timing = adapt(chosen, listener).facts.timing
    assert timing.train_s == pytest.approx(3.5 * 3600, abs=60)
    assert timing.total_s == pytest.approx(3.5 * 3600, abs=60)
    assert timing.load_s + timing.features_s + timing.score_s < 60
    assert timing.load_s + timing.features_s + timing.train_s + timing.score_s <= timing.total_s


def test_the_time_of_every_attempt_counts_once(config: RunConfig, hours: Hours) -> None:
    chosen = replace(config, training=replace(config.training, epochs=3))
    killed(chosen, hours, before=1)
    hours.pass_by(100)  # between two commands
    killed(chosen, hours, before=1)
    assert adapt(chosen).facts.timing.total_s == pytest.approx(2 * 3600, abs=60)


def test_the_time_that_features_took_counts_though_no_epoch_was_told(
    config: RunConfig, hours: Hours, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = pipeline._fill

    def slow(run: Any) -> None:
        fill(run)
        hours.pass_by(1)

    def kill(*_: object) -> Any:
        raise SwitchedOffError

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "_fill", slow)
        patched.setattr(pipeline, "_hypotheses", kill)
        with pytest.raises(SwitchedOffError):
            adapt(config)
    timing = adapt(config).facts.timing
    assert timing.features_s == pytest.approx(3600, abs=60)


def test_a_run_that_is_overwritten_counts_its_own_time_alone(
    config: RunConfig, hours: Hours
) -> None:
    killed(config, hours, before=2)
    assert adapt(replace(config, overwrite=True)).facts.timing.total_s < 60


@pytest.mark.parametrize(
    "left",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"total_s": 3600}',
        b'{"load_s": 0, "features_s": 0, "train_s": NaN, "score_s": 0, "total_s": 3600}',
        b'{"load_s": 0, "features_s": 0, "train_s": -1, "score_s": 0, "total_s": 3600}',
    ],
)
def test_a_record_of_time_that_cannot_be_read_counts_as_nothing_spent(
    left: bytes | None, config: RunConfig, hours: Hours
) -> None:
    killed(config, hours, before=2)
    path = run_folder(config) / "checkpoints" / "clock.json"
    assert path.is_file()
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    report = adapt(config)
    assert report.facts.timing.total_s < 60
    assert len(report.facts.training) == 3


def test_a_run_does_not_end_because_its_time_cannot_be_written(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkstemp

    def full(**named: Any) -> Any:
        return full_disk() if named["prefix"] == ".clock.json." else make(**named)

    monkeypatch.setattr(tempfile, "mkstemp", full)
    assert adapt(config).facts.stopped == "finished"


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
    rates = iter([0.9, 0.5, 0.4, *[0.3] * 9, 0.10])
    monkeypatch.setattr(pipeline, "total", lambda _: SimpleNamespace(rate=next(rates, 0.5)))
    listener = Noted()
    training = replace(config.training, interpolation="auto", max_forgetting=2.0)
    report = adapt(replace(config, training=training), listener)
    assert (report.facts.best_epoch, report.facts.interpolation) == (0, 0.0)
    assert any("loses more than 2 points" in note for note in listener.notes)
    before, after = models.load(config.model), models.load(str(run_folder(config) / "model"))
    assert all(same(old, weights(after)[part]) for part, old in weights(before).items())


@both_families
@tiny_and_starter
def test_lora_leaves_an_adapter_beside_the_merged_model(
    family: Family, kind: str, config: RunConfig, tiny_models: dict[str, Path]
) -> None:
    model = bases(kind, tiny_models)[family]
    adapt(replace(config, model=model, strategy="lora", general=None))
    folder = run_folder(config) / "adapter"
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    # A starter's folder: its name says nothing to PEFT.
    base = models.load(settings["base_model_name_or_path"]).network
    assert same_state(base.state_dict(), models.load(model).network.state_dict())
    peft = with_adapter(base, folder)
    opened = peft.merge_and_unload().state_dict()
    merged = models.load(str(run_folder(config) / "model")).network.state_dict()
    for name, weight in merged.items():
        torch.testing.assert_close(opened[name], weight)


@pytest.mark.parametrize(
    ("changes", "training", "said"),
    [
        ({}, {"label_smoothing": 0.1}, "label_smoothing is a Whisper's"),
        ({"strategy": "new-head"}, {"kl": 1.0}, "which with new-head knows nothing at first"),
        ({"general": None}, {"kl": 1.0}, "on what is replayed, and nothing is"),
        ({"strategy": "lora"}, {"head_rate": 1e-3}, "and with lora none does"),
    ],
)
def test_a_setting_that_would_do_nothing_is_refused(
    changes: dict[str, Any], training: dict[str, Any], said: str, config: RunConfig
) -> None:
    asked = replace(config, training=replace(config.training, **training), **changes)
    with pytest.raises(ConfigError, match=said):
        adapt(asked)
    assert not run_folder(asked).exists()


def test_a_new_head_spells_what_the_transcripts_hold(
    config: RunConfig, change: Callable[..., None]
) -> None:
    change("scottish-train-ann-0", text="thé café")
    report = adapt(replace(config, strategy="new-head"))
    assert not report.facts.dropped
    model: Any = models.load(str(run_folder(config) / "model"))
    assert {"É", "F"} <= set(model.tokenizer.get_vocab())
    assert report.facts.interpolation == 0.7


def test_a_new_head_forgets_no_more_than_is_allowed_and_random_weights_have_nothing_to_forget(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows of characters that the base knew are what a new head may forget."""
    training = replace(config.training, interpolation="auto")
    scratch = adapt(replace(config, training=training, strategy="from-scratch")).facts
    assert (scratch.sweep, scratch.interpolation, scratch.averaged) == ((), 1.0, 1)
    # Dev: the base, two epochs, nine interpolations. General dev: the base, the trained, and 0.9.
    rates = iter([0.9, 0.5, 0.4, *[0.6] * 8, 0.5, 0.10, 0.13, 0.11])
    monkeypatch.setattr(pipeline, "total", lambda _: SimpleNamespace(rate=next(rates, 0.5)))
    chosen = replace(config, training=training, strategy="new-head", overwrite=True)
    found = adapt(chosen).facts
    assert (found.interpolation, found.best_epoch, found.averaged) == (0.9, 2, 1)


# --- speech that nobody transcribed ---------------------------------------------------------------

TALKS = {"a": "the cat", "b": "a mat", "c": "sat on the mat", "d": "", "e": "the hat"}
LABELLED: tuple[list[tuple[str, str]], ...] = (
    [],
    [("a.wav", "the cat"), ("c.wav", "sat on the mat"), ("e.wav", "the hat")],
    [("b.wav", "a mat"), ("c.wav", "sat on the mat")],
)


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """Return a folder of five recordings that are none of the tiny corpus'."""
    folder = tmp_path / "talks"
    for number, name in enumerate(TALKS):
        audio.write(folder / f"{name}.wav", noise(0.5 + 0.3 * number, seed=20 + number))
    return folder


class Oracle:
    """Stands in for `guesses`, for random models recognise nothing: knows what was said.

    What it says of dev is right, with a confidence of 0.5; how sure it is of each recording changes
    from round to round.
    """

    SURE = (
        {"a": 0.9, "b": 0.4, "c": 0.6, "e": 0.5},
        {"a": 0.4, "b": 0.8, "c": 0.9, "e": 0.1},
    )

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.models: list[dict[str, Tensor]] = []
        self.fault: str | None = None

    def __call__(
        self, model: SpeechModel, utterances: Corpus, *, description: str, **others: Any
    ) -> list[Guess]:
        self.asked.append(description)
        self.models.append(state(model))
        if description == self.fault:
            raise SwitchedOffError
        if description == "dev":
            return [Guess(each, 0.5) for each in utterances]
        sure = self.SURE[int(description.rpartition(" ")[2]) - 1]
        found = []
        for each in utterances:
            name = each.id.removesuffix(".wav")
            reason = None if TALKS[name] else "no text"
            heard = replace(each, text=TALKS[name])
            found.append(Guess(heard, sure.get(name, 0.0), reason))
        return found


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Oracle:
    made = Oracle()
    monkeypatch.setattr(pipeline, "guesses", made)
    return made


@pytest.fixture
def self_trained(config: RunConfig, talks: Path) -> RunConfig:
    """Return the configuration of a run of two rounds on the five recordings."""
    return replace(config, strategy="encoder", untranscribed=talks, rounds=2)


def dev_wers(monkeypatch: pytest.MonkeyPatch, *rounds: float) -> None:
    """Let the base have a dev WER of 0.9, and the last of two epochs in each round what is told."""
    rates = iter([rate for last in rounds for rate in (0.9, 0.8, last)])
    monkeypatch.setattr(pipeline, "total", lambda _: SimpleNamespace(rate=next(rates)))


@pytest.mark.usefixtures("oracle")
@pytest.mark.parametrize(
    ("family", "name", "rates", "kept"),
    [
        ("ctc", "encoder", (0.5, 0.3, 0.4), 1),
        ("ctc", "lora", (0.5, 0.3, 0.4), 1),
        ("whisper", "decoder", (0.5, 0.6, 0.4), 2),
        ("ctc", "gradual", (0.4, 0.4, 0.5), 0),
    ],
)
def test_each_round_begins_at_the_base_and_the_best_on_dev_is_kept(
    family: Family,
    name: StrategyName,
    rates: tuple[float, ...],
    kept: int,
    self_trained: RunConfig,
    tiny_models: dict[str, Path],
    fits: Fits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = replace(self_trained, model=str(tiny_models[family]), strategy=name, unfreeze_every=2)
    dev_wers(monkeypatch, *rates)
    saved: list[dict[str, Tensor]] = []
    save = pipeline._save_model

    def noted(run: Any) -> None:
        saved.append(state(run.model))
        save(run)

    monkeypatch.setattr(pipeline, "_save_model", noted)
    report = adapt(chosen)
    assert len(fits.before) == 3
    assert all(same_state(fits.before[0], before) for before in fits.before[1:])
    assert not any(same_state(fits.after[0], after) for after in fits.after[1:])
    assert same_state(saved[0], fits.after[kept])
    assert report.facts.kept_round == kept
    assert report.facts.training[-1].dev_wer == rates[kept]
    labelled = report.facts.data.get("labelled")
    assert (labelled.utterances if labelled else 0) == len(LABELLED[kept])
    assert [each.dev_wer for each in report.facts.pseudo_labels] == list(rates)
    assert models.load(str(run_folder(chosen) / "model"))


@pytest.mark.usefixtures("oracle")
def test_what_is_labelled_surely_enough_is_trained_on_beside_what_is_transcribed(
    self_trained: RunConfig, fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev_wers(monkeypatch, 0.5, 0.3, 0.4)
    listener = Noted()
    report = adapt(self_trained, listener)
    transcribed = fits.trained[0]
    assert len(transcribed) == 12  # four of them replayed
    assert fits.trained == [transcribed + labelled for labelled in LABELLED]
    assert all(options["batches_per_epoch"] == [4, 4] for options in fits.options[1:])
    spoken: dict[str, Any] = {
        "utterances": 5, "minutes": 0.09, "confidence": 0.5, "expected_wer": 0.0
    }  # fmt: skip
    assert report.facts.pseudo_labels == (
        LabelRound(round=0, dev_wer=0.5),
        LabelRound(
            round=1,
            **spoken,
            kept=3,
            kept_minutes=0.06,
            left_out={"not sure enough": 1, "no text": 1},
            dev_wer=0.3,
        ),
        LabelRound(
            round=2,
            **spoken,
            kept=2,
            kept_minutes=0.03,
            left_out={"not sure enough": 2, "no text": 1},
            dev_wer=0.4,
        ),
    )
    directory = run_folder(self_trained)
    assert remake_report(directory) == report
    for number, labelled in enumerate(LABELLED[1:], start=1):
        path = directory / "pseudo-labels" / f"round-{number}.json"
        assert json.loads(path.read_text(encoding="utf-8"))["labels"] == dict(labelled)
    assert not (directory / "checkpoints").exists()
    assert {path.name for path in (directory / "log").iterdir()} == {
        "round-0", "round-1", "round-2"
    }  # fmt: skip
    told = [note for note in listener.notes if note.startswith("round")]
    told_again = label_rounds(report.facts)[1]
    assert told_again.startswith(f"Round 1: {told[1].removeprefix('round 1:').strip()}. After it")
    assert "3 of 5 stretches of untranscribed speech labelled (0.1 of 0.1 min, 1" in told[1]
    assert told[-1].endswith("that of round 1 is kept")
    features = [note for note in listener.notes if note.startswith("features:")]
    assert [" ".join(note.split()[1:6]) for note in features] == [
        f"2 copies of {number} utterances" for number in (12, 15, 14)
    ]


@pytest.mark.usefixtures("oracle")
def test_each_round_has_the_epochs_that_its_speech_needs(
    self_trained: RunConfig, fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {3: 3, 4: 2}  # 12 utterances in batches of four, then three more
    monkeypatch.setattr(pipeline, "default_epochs", lambda batches, accumulation: needed[batches])
    training = replace(self_trained.training, epochs=None)
    chosen = replace(self_trained, training=training, rounds=1)
    adapt(chosen)
    assert [len(options["batches_per_epoch"]) for options in fits.options] == [3, 2]
    # Read again, the configuration does not give the first round's to all.
    assert read_yaml(run_folder(chosen) / "config.yaml")["training"]["epochs"] is None


def test_labels_come_from_the_trained_weights_though_others_are_kept(
    self_trained: RunConfig, oracle: Oracle, fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The base, two epochs, then 0.1 to 0.9: half-way is the best.
    rates = iter([0.9, 0.8, 0.5, *[0.7] * 4, 0.2, *[0.7] * 4] * 2)
    monkeypatch.setattr(pipeline, "total", lambda _: SimpleNamespace(rate=next(rates)))
    training = replace(self_trained.training, interpolation="auto")
    report = adapt(replace(self_trained, training=training, general=None, rounds=1))
    assert [each.dev_wer for each in report.facts.pseudo_labels] == [0.2, 0.2]
    dev, speech = oracle.models
    assert same_state(dev, speech)
    (base, *_), (kept, *_) = fits.before, fits.after
    assert not same_state(speech, kept)
    for name, weight in speech.items():
        torch.testing.assert_close(kept[name], (base[name] + weight) / 2)


@pytest.mark.usefixtures("oracle")
def test_what_is_told_to_be_frozen_stays_so_in_longer_rounds_too(
    self_trained: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With labels there are eight steps in place of six."""
    dev_wers(monkeypatch, 0.5, 0.3)
    chosen = replace(self_trained, strategy="gradual", unfreeze_every=7, rounds=1)
    listener = Noted()
    report = adapt(chosen, listener)
    assert report.facts.kept_round == 1
    before = weights(models.load(chosen.model))
    after = weights(models.load(str(run_folder(chosen) / "model")))
    moved = {part for part, old in before.items() if not same(old, after[part])}
    assert moved <= {row.part for row in listener.rows if row.trained}
    counts = parameter_counts(models.load(chosen.model))
    assert report.facts.parameters.trainable == sum(counts[part] for part in moved)


def test_one_round_is_what_is_done_unless_more_are_asked_for(
    self_trained: RunConfig, oracle: Oracle, fits: Fits, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev_wers(monkeypatch, 0.5, 0.3)
    chosen = replace(self_trained, rounds=RunConfig(accent="scottish").rounds)
    report = adapt(chosen)
    assert [each.round for each in report.facts.pseudo_labels] == [0, 1]
    assert report.facts.kept_round == 1
    assert oracle.asked == ["dev", "labels, round 1"]
    assert len(fits.after) == 2


def test_a_model_that_is_never_sure_enough_is_trained_on_what_is_transcribed_alone(
    self_trained: RunConfig, fits: Fits
) -> None:
    listener = Noted()
    report = adapt(self_trained, listener)  # a random model, all of whose words are wrong
    plain, nothing = report.facts.pseudo_labels
    assert (plain.round, nothing.round, report.facts.kept_round) == (0, 1, 0)
    assert (nothing.utterances, nothing.kept, nothing.kept_minutes) == (5, 0, 0.0)
    assert (nothing.confidence, nothing.expected_wer, nothing.dev_wer) == (None, None, None)
    assert nothing.left_out == {"not sure enough": 5}
    assert len(fits.after) == 1
    saved = models.load(str(run_folder(self_trained) / "model"))
    assert same_state(fits.after[0], state(saved))
    (told,) = [note for note in listener.notes if "0 of 5 stretches" in note]
    assert told.endswith("(0.0 of 0.1 min, 5 not sure enough); nothing to train on")
    assert any(note.endswith("that of round 0 is kept") for note in listener.notes)


def test_the_labels_are_what_the_model_at_hand_hears(
    self_trained: RunConfig, talks: Path, fits: Fits
) -> None:
    """No epoch of a random model is better than it: the base's own labels."""
    report = adapt(replace(self_trained, label_wer=1.0, rounds=1))
    assert report.facts.best_epoch == 0
    base = models.load(self_trained.model)
    speech, _ = recordings(talks, accent="scottish", longest_s=base.longest_s)
    names = [each.id for each in speech]
    heard = dict(zip(names, transcribe_utterances(base, speech), strict=True))
    labelled = fits.trained[1][12:]
    assert len(labelled) >= 1
    assert labelled == [(name, heard[name]) for name, _ in labelled]
    _, facts = report.facts.pseudo_labels
    assert facts.kept == len(labelled) == 5 - facts.left_out.get("not sure enough", 0)
    assert (facts.expected_wer or 0) > 0.3


def test_untranscribed_speech_is_part_of_the_saved_configuration(
    self_trained: RunConfig, talks: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(talks.parent)
    first = adapt(replace(self_trained, untranscribed=Path("talks")))
    written = run_folder(self_trained) / "config.yaml"
    saved = yaml.safe_load(written.read_text(encoding="utf-8"))
    assert saved["run"]["untranscribed"] == str(talks)
    assert (saved["run"]["rounds"], saved["run"]["label_wer"]) == (2, 0.3)
    assert set(saved["facts"]["data_digest"]) == {"target", "general", "untranscribed"}
    again = run_config(read_yaml(written) | {"output": tmp_path / "again"}, where="config.yaml")
    assert again.untranscribed == talks
    assert adapt(again).sets == first.sets


def test_a_home_folder_may_hold_the_untranscribed_speech(
    self_trained: RunConfig, talks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(talks.parent))
    report = adapt(replace(self_trained, untranscribed=Path("~/talks")))
    assert report.facts.pseudo_labels[1].utterances == 5


def test_speech_that_the_run_has_anyway_is_left_out_and_told(
    self_trained: RunConfig, talks: Path
) -> None:
    """Even under another name or in another format."""
    data = prepare_data(self_trained)
    assert data.general_test is not None
    others = (data.train, data.dev, data.test, data.general_test, data.general_dev, data.replay)
    for number, part in enumerate(others):
        shutil.copy(part[0].audio, talks / f"copy-{number}.wav")
    samples, rate = soundfile.read(data.test[1].audio, dtype="int16")
    soundfile.write(talks / "copy.flac", samples, rate, subtype="PCM_16")
    listener = Noted()
    report = adapt(self_trained, listener)
    assert report.facts.pseudo_labels[1].utterances == 5
    assert (
        "untranscribed: 7 recordings left out, the same audio as a transcribed utterance's"
        in listener.notes
    )


@pytest.mark.parametrize("cut", ["the recording", "the manifest"])
def test_a_recording_that_holds_a_test_utterance_is_left_out_however_either_is_cut(
    cut: str, tmp_path: Path
) -> None:
    path = tmp_path / "talks" / "long.wav"
    whole = cut == "the recording"
    audio.write(path, noise(16.0 if whole else 8.0, seed=1))
    tested = Utterance("t", tmp_path / "long.wav", "the cat", "dan", "scottish")
    shutil.copy(path, tested.audio)
    if not whole:
        tested = replace(tested, start=1.0, end=2.0)
    speech, _ = recordings(path.parent, accent="scottish", longest_s=30)
    assert len(speech) == (2 if whole else 1)
    none = Corpus()
    data = run_data.Data(
        train=none,
        dev=none,
        test=Corpus([tested]),
        general_test=None,
        general_dev=none,
        replay=none,
        untranscribed=speech,
    )
    assert pipeline._unheard(data, Waveforms(), Noted()) == none


def test_all_audio_that_cannot_be_read_is_told_with_untranscribed_speech_too(
    self_trained: RunConfig, manifest: Path, talks: Path
) -> None:
    names = ("scottish-dev-cat-0", "scottish-test-dan-1")
    broken = [manifest.parent / "audio" / f"{name}.wav" for name in names]
    broken += [talks / "a.wav", talks / "c.wav"]
    for path in broken:
        path.write_bytes(b"RIFF")
    with pytest.raises(DataError, match="the audio of 4 utterances cannot be read") as caught:
        adapt(self_trained)
    assert all(str(path) in str(caught.value) for path in broken)


def test_of_many_recordings_that_cannot_be_read_some_are_named(
    self_trained: RunConfig, talks: Path
) -> None:
    for number in range(23):
        (talks / f"x{number}.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match="the audio of 23 utterances") as caught:
        adapt(self_trained)
    assert len(caught.value.faults) == 21
    assert caught.value.faults[-1] == "and 3 more"


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise there")
@pytest.mark.parametrize("pressed", [0, 1, 2])
def test_ctrl_c_ends_the_rounds_too(
    pressed: int, self_trained: RunConfig, oracle: Oracle, fits: Fits
) -> None:
    listener = Noted()

    def press(epoch: int) -> None:
        if epoch == 1 and len(fits.before) == pressed + 1:
            signal.raise_signal(signal.SIGINT)

    listener.on_epoch = press
    report = adapt(self_trained, listener)
    assert report.facts.stopped == "interrupted"
    assert len(report.facts.pseudo_labels) == len(fits.after) == pressed + 1
    assert oracle.asked.count("dev") == pressed


def falling(monkeypatch: pytest.MonkeyPatch, base: Path) -> list[int]:
    """Let dev WER fall with the way from the base's weights, and from round to round.

    It depends on the weights alone, so that of two runs that are the same it is the same.

    Returns:
        A list that grows by the number of each round that is fitted.
    """
    origin = state(models.load(str(base)))
    fitted: list[int] = []

    def told(model: SpeechModel, strategy: Any, batches: Any, **others: Any) -> History:
        number = int(others["checkpoint"].name.split("-")[1])
        fitted.append(number)

        def dev_wer() -> float:
            moved = [(w - origin[key]).abs().sum() for key, w in state(model).items()]
            return 1 / (1 + float(torch.stack(moved).sum())) / (1 + number)

        return fit(model, strategy, batches, **(others | {"dev_wer": dev_wer}))

    monkeypatch.setattr(pipeline, "fit", told)
    return fitted


@pytest.mark.parametrize(
    ("family", "moment", "cached", "labellings", "fitted"),
    [
        ("ctc", "epoch 1 of round 0", True, 2, [0, 1, 2]),
        ("ctc", "dev", True, 2, [1, 2]),
        ("whisper", "epoch 2 of round 1", True, 1, [1, 2]),
        ("ctc", "labels, round 2", True, 1, [2]),
        ("ctc", "epoch 1 of round 2", True, 0, [2]),
        ("ctc", "epoch 1 of round 2", False, 0, [2]),
        ("ctc", "saving", True, 0, []),
    ],
)
def test_a_run_that_was_killed_in_any_round_is_gone_on_with_to_the_same_weights(
    family: Family,
    moment: str,
    cached: bool,
    labellings: int,
    fitted: list[int],
    self_trained: RunConfig,
    tiny_models: dict[str, Path],
    oracle: Oracle,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    chosen = replace(self_trained, model=str(tiny_models[family]), feature_cache=cached)
    done = falling(monkeypatch, tiny_models[family])
    whole = adapt(replace(chosen, output=tmp_path / "whole"))
    assert (whole.facts.kept_round, whole.facts.best_epoch) == (2, 2)
    assert oracle.asked == ["dev", "labels, round 1", "dev", "labels, round 2"]
    assert done == [0, 1, 2]

    epochs: list[int] = []  # of each round the base and two

    def kill(epoch: int) -> None:
        epochs.append(epoch)
        if moment == f"epoch {epoch} of round {(len(epochs) - 1) // 3}":
            raise SwitchedOffError

    def unsaved(run: Any) -> None:
        raise SwitchedOffError

    killed = Noted()
    killed.on_epoch = kill
    oracle.fault = moment
    with monkeypatch.context() as patched:
        if moment == "saving":
            patched.setattr(pipeline, "_save_model", unsaved)
        with pytest.raises(SwitchedOffError):
            adapt(chosen, killed)

    oracle.fault = None
    oracle.asked.clear()
    done.clear()
    resumed = adapt(chosen)
    assert (oracle.asked.count("dev"), done) == (labellings, fitted)
    assert resumed.sets == whole.sets
    assert resumed.facts.pseudo_labels == whole.facts.pseudo_labels
    assert resumed.facts.training == whole.facts.training
    assert (resumed.facts.kept_round, resumed.facts.best_epoch) == (2, 2)
    first, second = (
        models.load(str(folder / "model")) for folder in (tmp_path / "whole", run_folder(chosen))
    )
    assert same_state(state(first), state(second))


@pytest.mark.usefixtures("oracle")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rounds": 3}, "another rounds;"),
        ({"label_wer": 0.2}, "another label_wer;"),
        ({"untranscribed": None, "rounds": 1}, "another untranscribed, rounds, data_digest;"),
        ({}, "another data_digest;"),
    ],
)
def test_a_run_of_other_rounds_or_other_untranscribed_speech_is_not_gone_on_with(
    change: dict[str, Any], told: str, self_trained: RunConfig, talks: Path
) -> None:
    killed_after_an_epoch(self_trained)
    if not change:
        audio.write(talks / "more.wav", noise(0.5, seed=30))
    with pytest.raises(ConfigError, match=told):
        adapt(replace(self_trained, **change))


@pytest.mark.usefixtures("oracle")
def test_a_run_that_is_begun_anew_keeps_no_labels(self_trained: RunConfig) -> None:
    adapt(self_trained)
    labels = run_folder(self_trained) / "pseudo-labels"
    assert len(list(labels.iterdir())) == 2
    adapt(replace(self_trained, untranscribed=None, rounds=1, overwrite=True))
    assert not labels.exists()
