"""Adapt, then score: one run from a configuration to a run folder."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from speechtl import __version__, augment, corpora, models
from speechtl.config import RunConfig, accent_file
from speechtl.corpus import Corpus, Utterance, split_by_speaker
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.features import Example, Waveforms, encode_for_training
from speechtl.metrics import total, word_errors
from speechtl.models import SpeechModel, parameter_counts
from speechtl.progress import Track, silent
from speechtl.report import write_all
from speechtl.scoring import (
    DataFacts,
    Dropped,
    Epoch,
    Hypothesis,
    Parameters,
    Report,
    RunFacts,
    Timing,
    make_report,
    write_hypotheses,
)
from speechtl.strategy import Strategy, StrategyName, cut, strategy
from speechtl.text import normaliser
from speechtl.training import EpochRecord, History, fit
from speechtl.transcription import transcribe_utterances

__all__ = ["Data", "Listener", "PartRow", "adapt", "prepare_data", "run_folder"]

DEFAULT_STRATEGY: dict[str, StrategyName] = {"ctc": "encoder", "whisper": "top-layers"}


@dataclass(frozen=True, slots=True)
class PartRow:
    """One line of the table of what trains and what is frozen."""

    part: str
    parameters: int
    trains: bool


class Listener:
    """Is told how a run goes; this one keeps silent."""

    track: Track = staticmethod(silent)

    def note(self, message: str) -> None:
        """A fact that a person should see, in one line."""

    def parts(self, rows: Sequence[PartRow], cut: str) -> None:
        """What trains and what is frozen, before training."""

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """A finished epoch."""


@dataclass(frozen=True, slots=True)
class Data:
    """The utterances of a run; train, dev and test share no speaker."""

    train: Corpus
    dev: Corpus
    test: Corpus
    general_test: Corpus | None
    replay: Corpus | None


@dataclass(slots=True)
class _Clock:
    """Seconds spent, by name."""

    spent: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        try:
            yield
        finally:
            self.spent[name] = self.spent.get(name, 0.0) + time.monotonic() - begun

    def timing(self) -> Timing:
        load_s, features_s, train_s, score_s = (
            round(self.spent.get(name, 0.0), 3)
            for name in ("load_s", "features_s", "train_s", "score_s")
        )
        total_s = round(time.monotonic() - self.started, 3)
        return Timing(
            load_s=load_s, features_s=features_s, train_s=train_s, score_s=score_s, total_s=total_s
        )


def adapt(config: RunConfig, listener: Listener | None = None) -> Report:
    """Adapt a model to an accent, score it before and after, and write the run folder.

    The test utterances are transcribed twice, once before and once after training; early stopping looks at
    the dev utterances alone.

    Raises:
        SpeechtlError: The configuration, the data, the model or the output folder cannot be used.
    """
    listener = listener or Listener()
    clock = _Clock()
    normaliser(config.normaliser)
    directory = _claim(config)
    with clock("load_s"):
        data = prepare_data(config)
        model = models.load(config.model, device=models.pick_device(config.device))
        chosen, name = _strategy(config, model)
        train, dropped = _examples(model, data.train)
        replay, dropped_replay = _examples(model, _replayed(data, len(train), config))
        if not train:
            raise DataError(
                "no training utterance can be used with this model:", faults=_reasons(dropped)
            )
    for line in _describe(data, dropped + dropped_replay, len(replay)):
        listener.note(line)
    where = cut(chosen, model)
    rows = _part_rows(model, chosen)
    listener.parts(rows, where)
    waveforms = Waveforms()
    with clock("score_s"):
        base = _transcribe_sets(
            model, data, where, waveforms, config, listener.track, directory, "base"
        )
    with clock("train_s"):
        history = _fit(
            model,
            chosen,
            name,
            train + replay,
            data.dev,
            where,
            waveforms,
            config,
            directory,
            listener,
        )
    listener.note(_outcome(history))
    model.save(directory / "model")
    with clock("score_s"):
        adapted = _transcribe_sets(
            model, data, where, waveforms, config, listener.track, directory, "adapted"
        )
    facts = RunFacts(
        accent=config.accent,
        model=model.name,
        revision=model.revision,
        family=model.family,
        strategy=name,
        seed=config.seed,
        normaliser=config.normaliser,
        parameters=Parameters(
            trainable=sum(row.parameters for row in rows if row.trains),
            frozen=sum(row.parameters for row in rows if not row.trains),
        ),
        cut=where,
        timing=clock.timing(),
        training=tuple(Epoch(r.epoch, r.step, r.loss, r.dev_wer) for r in history.epochs),
        best_epoch=history.best_epoch,
        stopped=history.stopped,
        corpus=_corpus_name(config),
        data=_data_facts(data, replay),
        dropped=tuple(dropped + dropped_replay),
        versions=_versions(),
        licences=_licences(data),
    )
    report = make_report(facts, base, adapted)
    _save_config(config, name, data, model, directory)
    write_all(report, {"base": base, "adapted": adapted}, directory)
    return report


def run_folder(config: RunConfig) -> Path:
    """Return the absolute path of the run's folder."""
    return (config.output or Path("runs") / config.accent).expanduser().absolute()


def prepare_data(config: RunConfig) -> Data:
    """Return the run's utterances, checked: splits that share no speaker, and the general set.

    Raises:
        DataError: The corpus cannot be read, has no such accent, or a split is empty or shares a speaker.
    """
    corpus = corpora.load(_corpus_name(config))
    if config.accent not in corpus.accents:
        raise ConfigError(
            f"the corpus has no accent '{config.accent}'; it has: {', '.join(sorted(corpus.accents))}"
        )
    splits = _splits(corpus.where(accent=config.accent), config)
    if config.general is None:
        return Data(**splits, general_test=None, replay=None)
    general = corpora.load(config.general)
    if config.general_accent not in general.accents:
        raise ConfigError(
            f"the general corpus has no accent '{config.general_accent}'; it has: "
            f"{', '.join(sorted(general.accents))}. Name one with --general-accent."
        )
    general_splits = _splits(general.where(accent=config.general_accent), config)
    return Data(**splits, general_test=general_splits["test"], replay=general_splits["train"])


def _corpus_name(config: RunConfig) -> str:
    if config.corpus is not None:
        return config.corpus
    known = accent_file(config.accent)
    if known is None or known.starter:
        return "starter"
    found = [source.corpus for source in known.sources if source.corpus]
    if not found:
        raise ConfigError(
            f"'{config.accent}' has no corpus that can be fetched; get one of "
            f"{', '.join(source.url for source in known.sources)} and name its manifest with --corpus"
        )
    return found[0]


def _splits(corpus: Corpus, config: RunConfig) -> dict[str, Corpus]:
    if all(utterance.split is None for utterance in corpus):
        return split_by_speaker(corpus, seed=config.seed)
    without = [utterance.id for utterance in corpus if utterance.split is None]
    if without:
        raise DataError(
            f"{len(without)} of {len(corpus)} utterances have no split, such as '{without[0]}': give every row "
            "of an accent a split (train, dev or test), or none, and the toolkit splits by speaker"
        )
    splits = {name: corpus.where(split=name) for name in ("train", "dev", "test")}
    empty = [name for name, part in splits.items() if not part]
    if empty:
        raise DataError(
            f"the accent '{corpus[0].accent}' has no utterance in the split {' and '.join(empty)}; "
            "all of train, dev and test are needed"
        )
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        splits[first].check_disjoint(splits[second], fields=("speaker",))
    return splits


def _replayed(data: Data, trained: int, config: RunConfig) -> Corpus | tuple[()]:
    """Return as many general utterances as make up the replay share, drawn by the seed."""
    if not data.replay or not config.replay:
        return ()
    wanted = min(len(data.replay), round(trained * config.replay / (1 - config.replay)))
    chosen = np.random.default_rng([config.seed, 2]).permutation(len(data.replay))[:wanted]
    return Corpus([data.replay[int(i)] for i in sorted(chosen)])


def _examples(
    model: SpeechModel, utterances: Sequence[Utterance]
) -> tuple[list[Example], list[Dropped]]:
    """Return the utterances that this model can train on, and those that it cannot, each with its reason."""
    examples, dropped = [], []
    for utterance in utterances:
        try:
            samples = math.ceil(utterance.duration * 16_000)
            labels = model.labels(utterance.text, samples=samples)
        except DataError as error:
            dropped.append(Dropped(utterance.id, str(error)))
        else:
            examples.append(Example(utterance, tuple(labels)))
    return examples, dropped


def _reasons(dropped: Sequence[Dropped]) -> tuple[str, ...]:
    return tuple(f"{row.id}: {row.reason}" for row in dropped)


def _strategy(config: RunConfig, model: SpeechModel) -> tuple[Strategy, StrategyName]:
    name = config.strategy or DEFAULT_STRATEGY[model.family]
    return strategy(name, family=model.family, top_layers=config.top_layers), name


def _part_rows(model: SpeechModel, chosen: Strategy) -> list[PartRow]:
    counts = parameter_counts(model)
    trainable = chosen.trainable(list(counts), 0)
    return [PartRow(name, count, name in trainable) for name, count in counts.items()]


def _fit(
    model: SpeechModel,
    chosen: Strategy,
    name: StrategyName,
    examples: list[Example],
    dev: Corpus,
    where: str,
    waveforms: Waveforms,
    config: RunConfig,
    directory: Path,
    listener: Listener,
) -> History:
    training = config.training
    best = math.inf

    def dev_wer() -> float:
        texts = transcribe_utterances(
            model,
            dev,
            cut=where,
            waveforms=waveforms,
            batch_size=training.batch_size,
            track=listener.track,
            description="dev",
        )
        normalise = normaliser(config.normaliser)
        counted = (
            word_errors(normalise(utterance.text), normalise(text))
            for utterance, text in zip(dev, texts, strict=True)
        )
        return total(counted).rate

    def on_epoch(record: EpochRecord) -> None:
        nonlocal best
        listener.epoch(record, record.dev_wer < best)
        best = min(best, record.dev_wer)

    return fit(
        model,
        chosen,
        lambda epoch: encode_for_training(
            model,
            examples,
            where,
            batch_size=training.batch_size,
            augmentation=augment.LIGHT if config.augment else None,
            seed=config.seed,
            copy=epoch,
            waveforms=waveforms,
        ),
        batches_per_epoch=math.ceil(len(examples) / training.batch_size),
        dev_wer=dev_wer,
        config=training,
        learning_rate=training.learning_rate or _default_rate(model, name),
        precision=config.precision,
        mask=augment.SpecAugment() if config.augment else None,
        seed=config.seed,
        log=directory / "log",
        track=listener.track,
        on_epoch=on_epoch,
    )


def _default_rate(model: SpeechModel, name: StrategyName) -> float:
    if model.family == "ctc":
        return 1e-3 if name == "head" else 1e-4
    # About 40 times below Whisper's pre-training rates, by width (vasistalodagala/whisper-finetune, README).
    rates = {384: 3.75e-5, 512: 2.5e-5, 768: 1.25e-5, 1024: 6.25e-6, 1280: 4.4e-6}
    return rates.get(model.network.config.d_model, 1e-4)


def _transcribe_sets(
    model: SpeechModel,
    data: Data,
    where: str,
    waveforms: Waveforms,
    config: RunConfig,
    track: Track,
    directory: Path,
    system: str,
) -> dict[str, list[Hypothesis]]:
    """Return the hypotheses of one system on every set; each set's are on disk as soon as they are there."""
    sets = {"target": data.test} | ({"general": data.general_test} if data.general_test else {})
    found = {}
    for name, corpus in sets.items():
        texts = transcribe_utterances(
            model,
            corpus,
            cut=where,
            batch_size=config.training.batch_size,
            waveforms=waveforms,
            track=track,
            description=f"{name} test, {system}",
        )
        found[name] = [
            Hypothesis(
                id=u.id,
                audio=str(u.audio),
                speaker=u.speaker,
                accent=u.accent,
                reference=u.text,
                hypothesis=text,
                start=u.start,
                end=u.end,
            )
            for u, text in zip(corpus, texts, strict=True)
        ]
        write_hypotheses(found[name], directory, name=name, system=system)
    return found


def _outcome(history: History) -> str:
    last = history.epochs[-1].epoch
    why = {
        "finished": f"all {last} epochs done",
        "early": f"stopped after epoch {last}: dev WER no longer fell",
        "interrupted": f"stopped by hand in epoch {last}",
        "diverged": f"stopped in epoch {last}: the loss was no number; try a smaller --learning-rate",
    }[history.stopped]
    if history.best_epoch == 0:
        return f"{why}. No epoch was better on dev than the base model: its weights are kept"
    return f"{why}. The best on dev, epoch {history.best_epoch}, is kept"


def _minutes(corpus: Sequence[Utterance]) -> float:
    return sum(utterance.duration for utterance in corpus) / 60


def _describe(data: Data, dropped: Sequence[Dropped], replayed: int) -> Iterator[str]:
    for name, corpus in (("train", data.train), ("dev", data.dev), ("test", data.test)):
        yield (
            f"{name}: {len(corpus)} utterances, {_minutes(corpus):.1f} min, {len(corpus.speakers)} speakers"
        )
    if data.general_test:
        yield (
            f"general test: {len(data.general_test)} utterances, {_minutes(data.general_test):.1f} min, "
            f"{len(data.general_test.speakers)} speakers; {replayed} general utterances replayed in training"
        )
    if dropped:
        yield f"left out of training: {len(dropped)} utterances"
        yield from (f"  {line}" for line in _reasons(dropped[:10]))
        if len(dropped) > 10:
            yield f"  and {len(dropped) - 10} more, all of them in report.json"


def _data_facts(data: Data, replay: Sequence[Example]) -> dict[str, DataFacts]:
    named = {
        "train": data.train,
        "dev": data.dev,
        "test": data.test,
        "general_test": data.general_test,
        "replay": Corpus([example.utterance for example in replay]),
    }
    return {
        name: DataFacts(
            minutes=round(_minutes(corpus), 2),
            utterances=len(corpus),
            speakers=len(corpus.speakers),
        )
        for name, corpus in named.items()
        if corpus
    }


def _licences(data: Data) -> tuple[str, ...]:
    used = [*data.train, *data.test, *(data.general_test or ())]
    return tuple(sorted({utterance.licence for utterance in used if utterance.licence}))


def _versions() -> dict[str, str]:
    packages = ("torch", "torchaudio", "transformers", "datasets", "librosa", "jiwer", "accelerate")
    return {
        "speechtl": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def _claim(config: RunConfig) -> Path:
    """Return the run folder, made and empty.

    Raises:
        OutputError: It cannot be written, or holds something that is not to be lost.
    """
    directory = run_folder(config)
    try:
        if directory.exists():
            _clear(directory, overwrite=config.overwrite)
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot write the run folder {directory}: {error.strerror}; name another with --output"
        ) from None
    return directory


def _clear(directory: Path, *, overwrite: bool) -> None:
    if not directory.is_dir():
        raise OutputError(f"the run folder {directory} is a file; name another with --output")
    if not any(directory.iterdir()):
        return
    is_run = any((directory / name).exists() for name in ("config.yaml", "hypotheses", "log"))
    if not overwrite:
        raise OutputError(
            f"the run folder {directory} is already used; name another with --output, or replace it with --overwrite"
        )
    if not is_run:
        raise OutputError(
            f"{directory} holds files that are not a run's: it is not overwritten; name another with --output"
        )
    shutil.rmtree(directory)


def _save_config(
    config: RunConfig, name: StrategyName, data: Data, model: SpeechModel, directory: Path
) -> None:
    resolved: dict[str, Any] = asdict(replace(config, strategy=name, corpus=_corpus_name(config)))
    resolved["output"] = str(directory)
    resolved["training"]["learning_rate"] = config.training.learning_rate or _default_rate(
        model, name
    )
    extra = {
        "model_revision": model.revision,
        "data_digest": {"target": (data.train + data.dev + data.test).digest()},
        "versions": _versions(),
    }
    text = yaml.safe_dump({"run": resolved, "facts": extra}, sort_keys=False, allow_unicode=True)
    temporary = directory / "config.yaml.partial"
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, directory / "config.yaml")
