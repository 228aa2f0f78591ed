"""Adapt, then score: one run from a configuration to a run folder."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import os
import platform
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import yaml
from safetensors import SafetensorError

from speechtl import __version__, augment, corpora, models
from speechtl.audio import SAMPLE_RATE
from speechtl.config import RunConfig, accent_file, accent_names, suggestion
from speechtl.corpus import Corpus, Utterance, split_by_speaker, write_text
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.features import Example, Waveforms, encode_for_training, example
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

__all__ = ["Data", "Listener", "PartRow", "Silent", "adapt", "prepare_data", "run_folder"]

DEFAULT_STRATEGY: dict[str, StrategyName] = {"ctc": "encoder", "whisper": "top-layers"}

# All that a run ever writes: what --overwrite removes.
_WRITTEN = (
    "config.yaml",
    "model",
    "hypotheses",
    "report.json",
    "report.md",
    "report.html",
    "README.md",
    "log",
)
_UNFINISHED_MODEL = ".model.part"
_LISTED = 20  # faults told one by one; a person mends those first


# --- who is told ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PartRow:
    """One line of the table of what trains and what is frozen."""

    part: str
    parameters: int
    trains: bool


class Listener(Protocol):
    """Is told how a run goes."""

    @property
    def track(self) -> Track:
        """Shows how far an iterable has come."""
        ...

    def busy(self, what: str) -> AbstractContextManager[object]:
        """Show that something of unknown length is being done, as long as the block runs."""
        ...

    def note(self, message: str) -> None:
        """Tell a person a fact, in one line."""
        ...

    def parts(self, rows: Sequence[PartRow], cut: str) -> None:
        """Tell what trains and what is frozen, before training."""
        ...

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """Tell that an epoch is finished, and whether it is the best so far."""
        ...


class Silent:
    """A `Listener` that keeps everything to itself."""

    track: Track = staticmethod(silent)

    def busy(self, what: str) -> AbstractContextManager[object]:  # noqa: ARG002
        """Show nothing."""
        return nullcontext()

    def note(self, message: str) -> None:
        """Tell nothing."""

    def parts(self, rows: Sequence[PartRow], cut: str) -> None:
        """Tell nothing."""

    def epoch(self, record: EpochRecord, best: bool) -> None:
        """Tell nothing."""


# --- a run ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Data:
    """The utterances of a run; train, dev and test share no speaker.

    Attributes:
        train: What is trained on.
        dev: What stops training early and chooses the epoch.
        test: What is scored before and after.
        general_test: The same in the accent that the model already knows; None leaves it out.
        replay: General utterances to train on too, in the order in which the seed drew them.
    """

    train: Corpus
    dev: Corpus
    test: Corpus
    general_test: Corpus | None
    replay: Corpus

    def all(self) -> list[Utterance]:
        """Return every utterance that the run reads."""
        general = self.general_test or ()
        return [*self.train, *self.dev, *self.test, *general, *self.replay]


@dataclass(frozen=True, slots=True)
class _Run:
    """What the stages of one run share, complete before the first of them."""

    config: RunConfig
    directory: Path
    listener: Listener
    data: Data
    waveforms: Waveforms
    model: SpeechModel
    strategy: Strategy
    strategy_name: StrategyName
    cut: str
    train: list[Example]
    replay: list[Example]
    dropped: list[Dropped]

    @property
    def learning_rate(self) -> float:
        """The peak rate: the configuration's, else the one that suits model and strategy."""
        return self.config.training.learning_rate or _default_rate(self.model, self.strategy_name)

    def transcribe(self, utterances: Corpus, description: str) -> list[str]:
        """Return what the model, as it is now, hears in each utterance."""
        return transcribe_utterances(
            self.model,
            utterances,
            cut=self.cut,
            batch_size=self.config.training.batch_size,
            waveforms=self.waveforms,
            track=self.listener.track,
            description=description,
        )


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
        names = ("load_s", "features_s", "train_s", "score_s")
        spent = {name: round(self.spent.get(name, 0.0), 3) for name in names}
        return Timing(**spent, total_s=round(time.monotonic() - self.started, 3))


def adapt(config: RunConfig, listener: Listener | None = None) -> Report:
    """Adapt a model to an accent, score it before and after, and write the run folder.

    The test utterances are transcribed twice, once before and once after training; early stopping
    looks at the dev utterances alone. Each stage's files are complete before the next one begins,
    so a run that is ended half-way keeps what it had. Ctrl-C during training ends the training
    alone: what it reached is scored and saved.

    Args:
        config: What to do.
        listener: Is told how it goes.

    Raises:
        SpeechtlError: The configuration, the data, the model or the output folder cannot be used.
    """
    listener = listener or Silent()
    clock = _Clock()
    with clock("load_s"):
        run = _prepare(config, listener)
    for line in _describe(run):
        listener.note(line)
    rows = _part_rows(run)
    listener.parts(rows, run.cut)
    _claim(run.directory, overwrite=config.overwrite)
    _save_config(run)
    with clock("score_s"):
        base = _hypotheses(run, "base")
    with clock("train_s"):
        history = _fit(run)
    listener.note(_outcome(history))
    with listener.busy("saving the model"):
        _save_model(run)
    with clock("score_s"):
        adapted = _hypotheses(run, "adapted")
    with listener.busy("writing the report"):
        report = make_report(_facts(run, rows, history, clock.timing()), base, adapted)
        write_all(report, {"base": base, "adapted": adapted}, run.directory)
    return report


def run_folder(config: RunConfig) -> Path:
    """Return the absolute path of the run's folder."""
    return (config.output or Path("runs") / config.accent).expanduser().absolute()


def _prepare(config: RunConfig, listener: Listener) -> _Run:
    """Return a run in which nothing is left to find wrong; nothing is written yet."""
    normaliser(config.normaliser)
    device = models.pick_device(config.device)
    directory = run_folder(config)
    _require_free(directory, overwrite=config.overwrite)
    with listener.busy("loading the corpus"):
        data = prepare_data(config)
    with listener.busy(f"loading {config.model}"):
        model = models.load(config.model, device=device)
    name = config.strategy or DEFAULT_STRATEGY[model.family]
    chosen = strategy(name, family=model.family, top_layers=config.top_layers)
    lowest = cut(chosen, model)
    waveforms = Waveforms()
    if faults := waveforms.read_all(data.all(), track=listener.track):
        raise DataError(
            f"the audio of {_count(len(faults), 'utterance')} cannot be read; "
            "mend or remove these, nothing was trained:",
            faults=_some(faults),
        )
    train, dropped = _examples(model, data.train)
    if not train:
        raise DataError(
            f"none of the {len(data.train)} training utterances can be used with {model.name}:",
            faults=_some(_reasons(dropped)),
        )
    replay, dropped_replay = _examples(model, data.replay)
    return _Run(
        config=config,
        directory=directory,
        listener=listener,
        data=data,
        waveforms=waveforms,
        model=model,
        strategy=chosen,
        strategy_name=name,
        cut=lowest,
        train=train,
        replay=replay[: _replayed(len(train), config.replay)],
        dropped=dropped + dropped_replay,
    )


def _examples(
    model: SpeechModel, utterances: Sequence[Utterance]
) -> tuple[list[Example], list[Dropped]]:
    """Return what this model can train on, and what it cannot, each with its reason."""
    examples, dropped = [], []
    for utterance in utterances:
        try:
            samples = math.ceil(utterance.duration * SAMPLE_RATE)
            examples.append(example(model, utterance, samples=samples))
        except DataError as error:
            dropped.append(Dropped(utterance.id, str(error)))
    return examples, dropped


# --- the data -------------------------------------------------------------------------------------


def prepare_data(config: RunConfig) -> Data:
    """Return the run's utterances: splits that share no speaker, the general test set, the replay.

    Raises:
        ConfigError: A corpus has no such accent.
        DataError: A corpus cannot be read, or a split is empty or shares a speaker.
    """
    name = _corpus_name(config)
    target = _of_accent(_load(name, config), config.accent, corpus_name=name, option="--accent")
    splits = _splits(target, seed=config.seed, needed=("train", "dev", "test"))
    if config.general is None:
        return Data(**splits, general_test=None, replay=Corpus())
    general = _of_accent(
        corpora.load(config.general),
        config.general_accent,
        corpus_name=config.general,
        option="--general-accent",
    )
    needed = ("train", "test") if config.replay else ("test",)
    general_splits = _splits(general, seed=config.seed, needed=needed)
    replay = _drawn(general_splits["train"], len(splits["train"]), config) if config.replay else ()
    if config.general == name:
        # Of one corpus, a name is one person, whatever the accent.
        Corpus(replay).check_disjoint(splits["dev"] + splits["test"], fields=("speaker",))
    return Data(**splits, general_test=general_splits["test"], replay=Corpus(replay))


def _corpus_name(config: RunConfig) -> str:
    if config.corpus is not None:
        return config.corpus
    known = accent_file(config.accent)
    if known is None or known.starter:
        return "starter"
    found = [source.corpus for source in known.sources if source.corpus]
    if not found:
        raise ConfigError(
            f"the starter does not speak '{config.accent}', and its own corpora must be fetched by "
            "hand; get one of these and name its manifest with --corpus:\n  - "
            + "\n  - ".join(f"{source.name}: {source.url}" for source in known.sources)
        )
    return found[0]


def _load(name: str, config: RunConfig) -> Corpus:
    try:
        return corpora.load(name)
    except DataError as error:
        if config.corpus is not None or name == "starter":
            raise
        raise DataError(
            f"the starter does not speak '{config.accent}', and its own corpus could not be had. "
            f"Name recordings of your own with --corpus MANIFEST. The reason: {error}"
        ) from error


def _of_accent(corpus: Corpus, accent: str, *, corpus_name: str, option: str) -> Corpus:
    if accent in corpus.accents:
        return corpus.where(accent=accent)
    elsewhere = [name for name in accent_names() if name not in corpus.accents]
    other = f"; elsewhere there are: {', '.join(elsewhere)}" if corpus_name == "starter" else ""
    raise ConfigError(
        f"the corpus {corpus_name} has no accent '{accent}'; "
        f"{suggestion(accent, [*corpus.accents, *elsewhere])}"
        f"name one of its own with {option}: {', '.join(corpus.accents)}{other}"
    )


def _splits(corpus: Corpus, *, seed: int, needed: Sequence[str]) -> dict[str, Corpus]:
    """Return train, dev and test: the corpus' own splits, else drawn by speaker."""
    without = [utterance.id for utterance in corpus if utterance.split is None]
    if len(without) == len(corpus):
        return split_by_speaker(corpus, seed=seed)
    accent = corpus[0].accent
    if without:
        raise DataError(
            f"{len(without)} of {len(corpus)} utterances of the accent '{accent}' have no split, "
            f"such as '{without[0]}': give each of them a split (train, dev or test), or none of "
            "them, and they are split by speaker"
        )
    splits = {name: corpus.where(split=name) for name in ("train", "dev", "test")}
    empty = [name for name in needed if not splits[name]]
    if empty:
        raise DataError(
            f"the accent '{accent}' has no utterance in the split {' and '.join(empty)}; it must "
            f"have some in each of: {', '.join(needed)}"
        )
    for first, second in (("train", "dev"), ("train", "test"), ("dev", "test")):
        splits[first].check_disjoint(splits[second], fields=("speaker",))
    return splits


def _replayed(trained: int, share: float) -> int:
    """Return how many general utterances make `share` of all beside `trained` of the accent."""
    return round(trained * share / (1 - share))


def _drawn(general: Corpus, trained: int, config: RunConfig) -> list[Utterance]:
    """Return as many general utterances as may be replayed, drawn by the seed, in that order."""
    order = np.random.default_rng([config.seed, 2]).permutation(len(general))
    return [general[int(i)] for i in order[: _replayed(trained, config.replay)]]


# --- the stages -----------------------------------------------------------------------------------


def _fit(run: _Run) -> History:
    config, training = run.config, run.config.training
    normalise = normaliser(config.normaliser)
    examples = run.train + run.replay

    def dev_wer() -> float:
        texts = run.transcribe(run.data.dev, "dev")
        counted = (
            word_errors(normalise(utterance.text), normalise(text))
            for utterance, text in zip(run.data.dev, texts, strict=True)
        )
        return total(counted).rate

    return fit(
        run.model,
        run.strategy,
        lambda epoch: encode_for_training(
            run.model,
            examples,
            run.cut,
            batch_size=training.batch_size,
            augmentation=augment.LIGHT if config.augment else None,
            seed=config.seed,
            copy=epoch,
            waveforms=run.waveforms,
        ),
        batches_per_epoch=math.ceil(len(examples) / training.batch_size),
        dev_wer=dev_wer,
        config=training,
        learning_rate=run.learning_rate,
        precision=config.precision,
        mask=augment.SpecAugment() if config.augment else None,
        seed=config.seed,
        log=run.directory / "log",
        track=run.listener.track,
        on_epoch=run.listener.epoch,
    )


def _default_rate(model: SpeechModel, name: StrategyName) -> float:
    if model.family == "ctc":
        # 1e-4 suits the width of the base models; Adam's best rate for the layers goes with the
        # inverse of the width (Yang et al. 2022, "Tensor programs V", table 3).
        scaled = 1e-4 * 768 / model.network.config.hidden_size
        return 1e-3 if name == "head" else min(1e-3, scaled)
    # About 40 times below Whisper's pre-training rates, by width (vasistalodagala/whisper-finetune,
    # README).
    rates = {384: 3.75e-5, 512: 2.5e-5, 768: 1.25e-5, 1024: 6.25e-6, 1280: 4.4e-6}
    return rates.get(model.network.config.d_model, 1e-4)


def _hypotheses(run: _Run, system: str) -> dict[str, list[Hypothesis]]:
    """Return one system's hypotheses on every set; each set's are on disk once they are there."""
    found = {}
    for name, corpus in (("target", run.data.test), ("general", run.data.general_test)):
        if corpus is None:
            continue
        texts = run.transcribe(corpus, f"{name} test, {system}")
        found[name] = [
            Hypothesis(
                id=utterance.id,
                audio=str(utterance.audio),
                speaker=utterance.speaker,
                accent=utterance.accent,
                reference=utterance.text,
                hypothesis=text,
                start=utterance.start,
                end=utterance.end,
            )
            for utterance, text in zip(corpus, texts, strict=True)
        ]
        write_hypotheses(found[name], run.directory, name=name, system=system)
    return found


# --- what is told and kept ------------------------------------------------------------------------


def _part_rows(run: _Run) -> list[PartRow]:
    counts = parameter_counts(run.model)
    trainable = run.strategy.trainable(list(counts), 0)
    return [PartRow(name, count, name in trainable) for name, count in counts.items()]


def _outcome(history: History) -> str:
    last = history.epochs[-1].epoch
    why = {
        "finished": f"{_count(last, 'epoch')} done",
        "early": f"stopped after epoch {last}: dev WER no longer fell",
        "interrupted": f"stopped by hand in epoch {last}",
        "diverged": f"stopped in epoch {last}: the loss is no number; lower --learning-rate",
    }[history.stopped]
    if history.best_epoch == 0:
        return f"{why}. No epoch was better on dev than the base model, which is kept"
    return f"{why}. The best on dev, epoch {history.best_epoch}, is kept"


def _describe(run: _Run) -> Iterator[str]:
    """Yield what a person should know of the data before training, a line at a time."""
    facts = _data_facts(run)
    for name, told in facts.items():
        speakers = _count(told.speakers, "speaker")
        utterances = _count(told.utterances, "utterance")
        title = name.replace("_", " ")
        yield f"{title + ':':14}{utterances}, {told.minutes:.1f} min, {speakers}"
    trained = run.data.train + Corpus(each.utterance for each in run.replay)
    for name, test in (("test", run.data.test), ("general test", run.data.general_test)):
        shared = _also_trained(test or (), trained)
        if test and shared:
            yield (
                f"{shared} of {len(test)} {name} utterances say a sentence that is trained on too: "
                "the WER says less about new sentences"
            )
    if run.dropped:
        reasons = _reasons(run.dropped)
        yield f"left out of training: {_count(len(reasons), 'utterance')}"
        yield from (f"  {line}" for line in _some(reasons))


def _also_trained(test: Sequence[Utterance], trained: Sequence[Utterance]) -> int:
    """Return how many test utterances have the text of one that is trained on."""
    plain = normaliser("plain")
    texts = {plain(utterance.text) for utterance in trained}
    return sum(plain(utterance.text) in texts for utterance in test)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _reasons(dropped: Sequence[Dropped]) -> tuple[str, ...]:
    return tuple(f"{row.id}: {row.reason}" for row in dropped)


def _some(lines: Sequence[str]) -> tuple[str, ...]:
    more = len(lines) - _LISTED
    return (*lines[:_LISTED], *([f"and {more:,} more"] if more > 0 else []))


def _facts(run: _Run, rows: Sequence[PartRow], history: History, timing: Timing) -> RunFacts:
    return RunFacts(
        accent=run.config.accent,
        model=run.model.name,
        revision=run.model.revision,
        family=run.model.family,
        strategy=run.strategy_name,
        seed=run.config.seed,
        normaliser=run.config.normaliser,
        parameters=Parameters(
            trainable=sum(row.parameters for row in rows if row.trains),
            frozen=sum(row.parameters for row in rows if not row.trains),
        ),
        cut=run.cut,
        timing=timing,
        training=tuple(Epoch(r.epoch, r.step, r.loss, r.dev_wer) for r in history.epochs),
        best_epoch=history.best_epoch,
        interpolation=run.config.training.interpolation,
        stopped=history.stopped,
        corpus=_corpus_name(run.config),
        data=_data_facts(run),
        dropped=tuple(run.dropped),
        versions=_versions(),
        licences=_licences(run),
    )


def _data_facts(run: _Run) -> dict[str, DataFacts]:
    named = {
        "train": run.data.train,
        "dev": run.data.dev,
        "test": run.data.test,
        "general_test": run.data.general_test,
        "replay": Corpus(each.utterance for each in run.replay),
    }
    return {
        name: DataFacts(
            minutes=round(corpus.duration / 60, 2),
            utterances=len(corpus),
            speakers=len(corpus.speakers),
        )
        for name, corpus in named.items()
        if corpus
    }


def _licences(run: _Run) -> tuple[str, ...]:
    return tuple(sorted({each.licence for each in run.data.all() if each.licence}))


def _versions() -> dict[str, str]:
    packages = ("torch", "torchaudio", "transformers", "datasets", "librosa", "jiwer", "accelerate")
    return {
        "speechtl": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
    }


# --- the run folder -------------------------------------------------------------------------------


def _require_free(directory: Path, *, overwrite: bool) -> None:
    """Refuse a place that cannot be the run folder, before anything is loaded or written.

    Raises:
        OutputError: It is a file, lies below one, may not be written, or holds something.
    """
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not there.is_dir():
        raise OutputError(
            f"cannot write the run folder {directory}: {there} is a file; name another with "
            "--output"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise OutputError(
            f"cannot write the run folder {directory}: {there} may not be written; name another "
            "with --output"
        )
    if there != directory or not any(directory.iterdir()):
        return
    if not any((directory / name).exists() for name in ("config.yaml", "hypotheses")):
        raise OutputError(
            f"the folder {directory} holds files that are not a run's, and they are not "
            "overwritten; name another with --output"
        )
    if not overwrite:
        raise OutputError(
            f"the run folder {directory} is already used; name another with --output, or replace "
            "it with --overwrite"
        )


def _claim(directory: Path, *, overwrite: bool) -> None:
    """Make the run folder, without what an earlier run wrote there.

    Raises:
        OutputError: It cannot be written, or holds something that is not to be lost.
    """
    _require_free(directory, overwrite=overwrite)
    try:
        for name in (*_WRITTEN, _UNFINISHED_MODEL):
            path = directory / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write the run folder {directory}: {error.strerror or error}; name another "
            "with --output"
        ) from error


def _save_config(run: _Run) -> None:
    """Write config.yaml: every setting as it was resolved, and what it was resolved with.

    `--config` reads it again; where to write is left to the next run.
    """
    settings = replace(run.config, strategy=run.strategy_name, corpus=_corpus_name(run.config))
    resolved: dict[str, Any] = asdict(settings)
    del resolved["output"], resolved["overwrite"]
    resolved["training"]["learning_rate"] = run.learning_rate
    data = run.data
    general = (data.general_test or Corpus()) + data.replay
    facts = {
        "model_revision": run.model.revision,
        "data_digest": {
            "target": (data.train + data.dev + data.test).digest(),
            **({"general": general.digest()} if general else {}),
        },
        "versions": _versions(),
    }
    text = yaml.safe_dump({"run": resolved, "facts": facts}, sort_keys=False, allow_unicode=True)
    write_text(run.directory / "config.yaml", text)


def _save_model(run: _Run) -> None:
    """Write `model/`, complete or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    partial = run.directory / _UNFINISHED_MODEL
    try:
        run.model.save(partial)
        partial.replace(run.directory / "model")
    except (OSError, OutputError, SafetensorError) as error:
        # safetensors tells of a full disk in an error of its own.
        raise OutputError(
            f"{run.directory / 'model'}: cannot be written ({error.__cause__ or error}); choose a "
            "folder that you may write and that has room"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(partial)
