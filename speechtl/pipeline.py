"""Adapt, then score: one run from a configuration to a run folder."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from filelock import FileLock
from pydantic import TypeAdapter
from safetensors import SafetensorError
from torch import nn

from speechtl import models
from speechtl.audio import SAMPLE_RATE
from speechtl.augment import Augmentation, SpecAugment, files_of
from speechtl.choice import choose
from speechtl.config import RunConfig
from speechtl.config import augmentation as augmentation_of
from speechtl.corpus import Corpus, Utterance, sentence
from speechtl.errors import ConfigError, DataError, OutputError
from speechtl.features import (
    BATCH_SECONDS,
    Copy,
    Example,
    FeatureCache,
    FeatureSource,
    Recipe,
    TrainingBatches,
    Waveforms,
    default_folder,
    example,
    faster_precision,
    software,
)
from speechtl.files import replacing, write_text
from speechtl.leakage import Overlap
from speechtl.lora import merge, save_adapter
from speechtl.metrics import total, word_errors
from speechtl.models import NewHead, SpeechModel, characters_of
from speechtl.probes import heard_in_silence
from speechtl.progress import Track, silent
from speechtl.pseudo_labels import Guess, accepted, calibrated, guesses, recordings
from speechtl.report import write_all
from speechtl.report.phrases import count, found_better, labelling, percent
from speechtl.run_data import Data, corpora_of_sets, corpus_name, digests, prepare_data, replayed
from speechtl.run_facts import (
    data_facts,
    few_speakers_notes,
    hypotheses,
    leakage,
    leakage_notes,
    read_tested,
    versions,
)
from speechtl.run_folder import (
    UNFINISHED_MODEL,
    claim,
    config_text,
    from_anywhere,
    kept_settings,
    require_free,
    run_folder,
)
from speechtl.scoring import (
    SETS,
    SILENCE,
    DataFacts,
    Dropped,
    Epoch,
    Hypothesis,
    LabelRound,
    Parameters,
    Report,
    RunFacts,
    Swept,
    Timing,
    make_report,
    write_hypotheses,
)
from speechtl.strategy import Strategy, StrategyName, cut, ever, strategy, trainable_parameters
from speechtl.text import normaliser
from speechtl.training import (
    EpochRecord,
    History,
    TrainingConfig,
    best_precision,
    default_epochs,
    fit,
    optimiser_steps,
)
from speechtl.transcription import fits, plain_recipe, transcribe_utterances

__all__ = [
    "Listener",
    "PartRow",
    "Silent",
    "adapt",
]

_LISTED = 20  # faults told one by one; a person mends those first


# --- who is told ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PartRow:
    """One line of the table of what trains and what is frozen."""

    part: str
    parameters: int
    trained: int


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


class _Clock:
    """Seconds spent, by name; those of a block inside another are the inner one's alone.

    Those of attempts that were killed count too, as far as they were written down: what an attempt
    spent after its last `write_down` is lost.
    """

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self._spent = dict.fromkeys(("load_s", "features_s", "train_s", "score_s"), 0.0)
        self._open: list[str] = []

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def _charge(self) -> None:
        now = time.monotonic()
        if self._open:
            self._spent[self._open[-1]] += now - self._last
        self._last = now

    def timing(self) -> Timing:
        self._charge()
        spent = {name: round(seconds, 3) for name, seconds in self._spent.items()}
        return Timing(**spent, total_s=round(self._last - self._started, 3))

    def write_down(self, directory: Path) -> None:
        """Keep in a run folder what is spent so far; a run does not end for want of it."""
        with contextlib.suppress(OutputError):
            write_text(_clock_path(directory), json.dumps(asdict(self.timing())))

    def go_on(self, directory: Path) -> None:
        """Add what earlier attempts at the run wrote down; nothing where it cannot be read."""
        try:
            earlier = asdict(TypeAdapter(Timing).validate_json(_clock_path(directory).read_bytes()))
        except (OSError, ValueError):
            return
        if all(0 <= seconds < math.inf for seconds in earlier.values()):
            self._started -= earlier.pop("total_s")
            for name, seconds in earlier.items():
                self._spent[name] += seconds


def _clock_path(directory: Path) -> Path:
    return directory / "checkpoints" / "clock.json"


@dataclass(frozen=True, slots=True)
class _Run:
    """What the stages of one run share, complete before the first of them."""

    config: RunConfig
    why: str | None
    clock: _Clock
    directory: Path
    listener: Listener
    data: Data
    waveforms: Waveforms
    model: SpeechModel
    strategy: Strategy
    cut: str
    mask: SpecAugment | None
    train: list[Example]
    replay: list[Example]
    labelled: list[Example]
    dropped: list[Dropped]
    levels: Mapping[Utterance, float | None]
    leakage: tuple[Overlap, ...]
    heard: FeatureSource
    scored: FeatureSource
    cache: FeatureCache
    training: TrainingConfig

    @property
    def epochs(self) -> int:
        """The most passes over what is trained on."""
        return self.training.epochs or 0

    @property
    def batches(self) -> TrainingBatches:
        """The batches of every epoch."""
        return TrainingBatches(
            self.heard,
            # At the end: the copies of what is transcribed stay the same in every round.
            self.train + self.replay + self.labelled,
            replayed=range(len(self.train), len(self.train) + len(self.replay)),
            copies=self.config.copies,
            batch_size=self.config.training.batch_size,
            seed=self.config.seed,
        )

    def transcribe(self, utterances: Corpus, description: str) -> list[str]:
        """Return what the model, as it is now, hears in each utterance."""
        return transcribe_utterances(
            self.model,
            utterances,
            source=self.scored,
            waveforms=self.waveforms,
            batch_size=self.decoded_together,
            track=self.listener.track,
            description=description,
        )

    @property
    def decoded_together(self) -> int:
        """How many utterances are decoded together: more than train where the window is short.

        A decoder takes its steps, however many utterances share them.
        """
        return max(self.config.training.batch_size, int(BATCH_SECONDS // self.model.longest_s))

    def wer(self, utterances: Corpus, description: str) -> float:
        """Return the error rate of the model, as it is now, on these utterances: a fraction."""
        return _wer(self.config, utterances, self.transcribe(utterances, description))


def adapt(
    config: RunConfig,
    listener: Listener | None = None,
    *,
    on_checked: Callable[[], object] = lambda: None,
) -> Report:
    """Adapt a model to an accent, score it before and after, and write the run folder.

    The test utterances are transcribed twice, once before and once after training; what is kept is
    chosen on the dev utterances alone. Each stage's files are complete before the next one begins,
    so a run that is ended half-way keeps what it had. Ctrl-C during training, or while
    interpolations are tried after it, ends that alone: what it reached is scored and saved. Only
    one fold of several is not scored then, for among whole trainings it would pass for one.

    Args:
        config: What to do.
        listener: Is told how it goes.
        on_checked: Is called when nothing is left to find wrong, and nothing is written yet.

    Raises:
        SpeechtlError: The configuration, the data, the model or the output folder cannot be used.
        KeyboardInterrupt: The training of a fold was stopped by hand.
    """
    listener = listener or Silent()
    clock = _Clock()
    with clock("load_s"):
        run = _prepare(config, listener, clock)
    on_checked()
    for line in _describe(run):
        listener.note(line)
    if claim(run.directory, config, _config_text(run)):
        clock.go_on(run.directory)
        listener.note(f"going on with the unfinished run in {run.directory}")
    with _enough_memory():
        with clock("features_s"):
            _fill(run)
        clock.write_down(run.directory)
        listener.parts(_part_rows(run), run.cut)
        with clock("score_s"):
            base = _hypotheses(run, "base")
        with clock("train_s"):
            run, history, rounds = _fit_rounds(run)
        if history.stopped == "interrupted" and config.fold is not None:
            raise KeyboardInterrupt
        rows = _part_rows(run)  # before LoRA's matrices are merged
        for line in _outcome(history, config.training.max_forgetting):
            listener.note(line)
        with listener.busy("saving the model"):
            _save_model(run)
        with clock("score_s"):
            adapted = _hypotheses(run, "adapted")
    with listener.busy("writing the report"):
        report = make_report(_facts(run, rows, history, rounds, clock.timing()), base, adapted)
        write_all(report, {"base": base, "adapted": adapted}, run.directory)
    shutil.rmtree(run.directory / "checkpoints", ignore_errors=True)
    return report


@contextmanager
def _enough_memory() -> Iterator[None]:
    """Turn a GPU that is full into one clear error."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            "the memory of the device is full; lower --batch-size, train less (--strategy head), "
            "or use --device cpu"
        ) from error


def _prepare(config: RunConfig, listener: Listener, clock: _Clock) -> _Run:
    """Return a run in which nothing is left to find wrong; nothing is written yet."""
    normaliser(config.normaliser)
    device = models.pick_device(config.device)
    directory = run_folder(config)
    require_free(directory, config)
    with listener.busy("loading the corpus"):
        data = prepare_data(config)
    # A segment's file holds what others say as well: it may be a test utterance.
    speech = sorted({u.audio for u in data.train if u.start is None and u.end is None})
    augmentation, mask = augmentation_of(config, speech=speech)
    with listener.busy(f"loading {config.model}"):
        model = models.load(
            config.model,
            device=device,
            head=_new_head(config, data),
            random_seed=config.seed if config.strategy == "from-scratch" else None,
        )
    if config.strategy != "auto":
        _strategy(config, model)  # told before the audio is read
    waveforms = Waveforms()
    data, levels = _read(config, data, model, waveforms, listener)
    config, why = _chosen(config, model, data, waveforms, listener)
    chosen = _strategy(config, model)
    train, dropped = _examples(model, data.train, waveforms)
    if not train:
        raise DataError(
            f"none of the {len(data.train)} training utterances can be used with {model.name}:",
            faults=_some(_reasons(dropped)),
        )
    replay, dropped_replay = _examples(model, data.replay, waveforms)
    replay = replay[: replayed(len(train), config.replay)]
    _require_effect(config, model, replayed=len(replay))
    training = _resolved(config, model, utterances=len(train) + len(replay))
    # A batch has one utterance at least: there are no more steps than that.
    steps = (training.epochs or 0) * (len(train) + len(replay) + len(data.untranscribed))
    lowest = cut(chosen, model, steps=steps)
    cache = FeatureCache(default_folder() / "features", limit_bytes=round(config.cache_gb * 1e9))
    heard, scored = _sources(config, model, lowest, waveforms, augmentation, cache, clock)
    # Only now: what is frozen is the base's own, and its features are those of other strategies.
    chosen.prepare(model)
    with listener.busy("comparing the splits"):
        shared = leakage(
            _sets(data, train=train, replay=replay),
            waveforms.digest,
            corpora=corpora_of_sets(config),
        )
    return _Run(
        config=config,
        why=why,
        clock=clock,
        directory=directory,
        listener=listener,
        data=data,
        waveforms=waveforms,
        model=model,
        strategy=chosen,
        cut=lowest,
        # What is masked are features; below the first part there is but the sound.
        mask=mask if lowest != model.parts()[0].name else None,
        train=train,
        replay=replay,
        labelled=[],
        dropped=dropped + dropped_replay,
        levels=levels,
        leakage=shared,
        heard=heard,
        scored=scored,
        cache=cache,
        training=training,
    )


def _chosen(
    config: RunConfig,
    model: SpeechModel,
    data: Data,
    waveforms: Waveforms,
    listener: Listener,
) -> tuple[RunConfig, str | None]:
    """Return the configuration with the strategy that suits, and why, where it is left open."""
    if config.strategy != "auto":
        return config, None
    heard = transcribe_utterances(
        model, data.dev, waveforms=waveforms, track=listener.track, description="dev, base model"
    )
    choice = choose(
        model.family,
        parameters=model.network.num_parameters(),
        device=model.network.device.type,
        minutes=math.fsum(map(waveforms.seconds, data.train)) / 60,
        dev_wer=_wer(config, data.dev, heard),
    )
    listener.note(f"strategy:     {choice.strategy}, for {choice.reason}")
    return replace(config, strategy=choice.strategy), choice.reason


def _wer(config: RunConfig, utterances: Corpus, texts: Sequence[str]) -> float:
    normalise = normaliser(config.normaliser)
    return total(
        word_errors(normalise(utterance.text), normalise(text))
        for utterance, text in zip(utterances, texts, strict=True)
    ).rate


def _require_effect(config: RunConfig, model: SpeechModel, *, replayed: int) -> None:
    """Refuse settings that would do nothing, or harm.

    Raises:
        ConfigError: One of them has nothing to act on.
    """
    training = config.training
    if training.label_smoothing and model.family == "ctc":
        raise ConfigError(
            "training.label_smoothing is a Whisper's: the CTC loss has no label for a frame; leave "
            "it out"
        )
    if training.head_rate is not None and config.strategy == "lora":
        raise ConfigError(
            "training.head_rate is the rate of a head that trains, and with lora none does; leave "
            "it out"
        )
    if training.kl and config.strategy in {"new-head", "from-scratch"}:
        raise ConfigError(
            f"training.kl keeps the model near its base, which with {config.strategy} knows "
            "nothing at first; leave it out"
        )
    if training.kl and not replayed:
        raise ConfigError(
            "training.kl keeps the model near the base on what is replayed, and nothing is; name a "
            "corpus with --general and a share with --replay, or leave it out"
        )


def _strategy(config: RunConfig, model: SpeechModel) -> Strategy:
    return strategy(
        config.strategy,
        family=model.family,
        top_layers=config.top_layers,
        unfreeze_every=config.unfreeze_every,
        unfreeze_layers=config.unfreeze_layers,
        lora=config.lora,
        seed=config.seed,
    )


def _read(
    config: RunConfig, data: Data, model: SpeechModel, waveforms: Waveforms, listener: Listener
) -> tuple[Data, dict[Utterance, float | None]]:
    """Return the run's data with its untranscribed speech, all of whose audio can be read.

    Beside it how noisy what is tested is (signal-to-noise ratio, dB).

    Raises:
        DataError: Recordings cannot be read; those of either kind are told at once.
    """
    faults: tuple[str, ...] = ()
    if config.untranscribed is not None:
        folder = config.untranscribed.expanduser()
        found, faults = recordings(folder, accent=config.accent, longest_s=model.longest_s)
        data = replace(data, untranscribed=found)
    tested = dict.fromkeys(data.tested())
    levels, unread = read_tested(list(tested), waveforms, track=listener.track)
    others = [utterance for utterance in data.all() if utterance not in tested]
    faults += unread + waveforms.read_all(others, track=listener.track)
    if faults:
        raise DataError(
            f"the audio of {count(len(faults), 'utterance')} cannot be read; "
            "mend or remove these, nothing was trained:",
            faults=_some(faults),
        )
    return replace(data, untranscribed=_unheard(data, waveforms, listener)), levels


def _unheard(data: Data, waveforms: Waveforms, listener: Listener) -> Corpus:
    """Return untranscribed speech without the recordings that the run has anyway.

    To train on what is tested, even with labels of the model's own, would flatter it.
    """
    if not data.untranscribed:
        return data.untranscribed
    others = replace(data, untranscribed=Corpus()).all()
    files = {_content(path) for path in {utterance.audio for utterance in others}}
    heard = {waveforms.digest(utterance) for utterance in others}
    contents = {path: _content(path) for path in {each.audio for each in data.untranscribed}}
    # Either may be cut out of a recording that the other is the whole of.
    new = Corpus(
        each
        for each in data.untranscribed
        if contents[each.audio] not in files and waveforms.digest(each) not in heard
    )
    if left := len(data.untranscribed) - len(new):
        listener.note(
            f"untranscribed: {count(left, 'recording')} left out, the same audio as a transcribed "
            "utterance's"
        )
    return new


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _new_head(config: RunConfig, data: Data) -> NewHead | None:
    if config.strategy != "new-head":
        return None
    named = tuple(sorted(set(config.vocabulary or "") - {" "}))
    return NewHead(
        characters=named or characters_of(each.text for each in [*data.train, *data.replay]),
        bottleneck=config.bottleneck,
        bottleneck_layers=config.bottleneck_layers,
        seed=config.seed,
    )


def _sources(
    config: RunConfig,
    model: SpeechModel,
    lowest: str,
    waveforms: Waveforms,
    augmentation: Augmentation | None,
    cache: FeatureCache,
    clock: _Clock,
) -> tuple[FeatureSource, FeatureSource]:
    """Return what gives the features to train on, and those to score with.

    What trains is stored with 16 bits and computed in what is fastest; what is scored is exact, so
    that the saved model gives the texts that were scored.

    Raises:
        ConfigError: The strategy trains parts that need all frames, and not all are to be kept.
    """
    if config.encoder_frames == "speech" and lowest != "decoder.0":
        raise ConfigError(
            "--encoder-frames speech needs a Whisper whose encoder is frozen (--strategy decoder "
            f"or head): the encoder reads the whole window; with {config.strategy} it trains from "
            f"{lowest} upwards"
        )
    plain = plain_recipe(model, lowest)
    trained = replace(
        plain,
        augmentation=_in_full(augmentation) if augmentation else None,
        seed=config.seed if augmentation else None,
        precision=_prefix_precision(config, model, lowest, cache.folder),
        frames=config.encoder_frames,
        half=True,
    )

    def source(recipe: Recipe, changes: Augmentation | None) -> FeatureSource:
        return FeatureSource(
            model,
            recipe,
            waveforms=waveforms,
            augmentation=changes,
            encoding=lambda: clock("features_s"),
        )

    return source(trained, augmentation), source(plain, None)


def _in_full(augmentation: Augmentation) -> str:
    """Return all that an augmentation depends on, the state of its files included."""
    files = [(path, path.stat()) for path in files_of(augmentation)]
    states = [(str(path), state.st_size, state.st_mtime_ns) for path, state in files]
    return f"{augmentation!r} {states}" if states else repr(augmentation)


def _prefix_precision(
    config: RunConfig, model: SpeechModel, lowest: str, folder: Path
) -> Literal["float32", "bf16"]:
    """Return what the frozen part computes faster in, if training may use it; measured once.

    What was measured is kept, so that a machine decides the same each time.
    """
    device = model.network.device.type
    nothing_below = lowest == model.parts()[0].name
    if nothing_below or best_precision(config.precision, device) == "float32":
        return "float32"
    path = folder / "precision.json"
    processor = platform.processor() or platform.machine()
    name = f"{device} {processor}, {software()}, {model.revision} {lowest}"
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a folder that cannot be written keeps nothing
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(path.with_suffix(".lock")))
        try:
            known: dict[str, Literal["float32", "bf16"]] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            known = {}
        if name not in known:
            samples = int(min(3.0, model.longest_s) * SAMPLE_RATE)
            noise = np.random.default_rng(0).normal(0, 0.1, (4, samples)).astype(np.float32)
            known[name] = faster_precision(model, lowest, list(noise))
            with contextlib.suppress(OutputError):
                write_text(path, json.dumps(known, indent=1))
        return known[name]


def _examples(
    model: SpeechModel, utterances: Sequence[Utterance], waveforms: Waveforms
) -> tuple[list[Example], list[Dropped]]:
    """Return what this model can train on, and what it cannot, each with its reason."""
    examples, dropped = [], []
    for utterance in utterances:
        try:
            examples.append(example(model, utterance, samples=waveforms.samples(utterance)))
        except DataError as error:
            dropped.append(Dropped(utterance.id, str(error)))
    return examples, dropped


# --- the stages -----------------------------------------------------------------------------------


def _fill(run: _Run) -> None:
    """Compute the features of the frozen part that are not in the cache yet, if one is wanted."""
    if not run.config.feature_cache or run.cut == run.model.parts()[0].name:
        return
    shelves = [run.cache.shelf(source.recipe) for source in (run.heard, run.scored)]
    for source, shelf in zip((run.heard, run.scored), shelves, strict=True):
        source.shelf = shelf
    wanted = ((run.heard, _heard(run)), (run.scored, list(_scored(run))))
    missing = [(source, source.missing(itertools.chain(*sets))) for source, sets in wanted]
    needed = sum(source.size(copies) for source, copies in missing if copies)
    if refused := run.cache.make_room(needed, keep=shelves):
        run.listener.note(
            f"features:     not kept, computed in each epoch: they need {needed / 1e9:.1f} GB, and "
            f"{refused}; ask for less with --copies, or allow more with --cache-gb"
        )
        run.heard.shelf = run.scored.shelf = None
        return
    heard = len(run.train) + len(run.replay) + len(run.labelled)
    copies = min(run.config.copies, run.epochs) if run.heard.recipe.augmentation else 1
    scored = sum(map(len, _scored(run)))
    stored = f"about {needed / 1e6:,.0f} MB more" if needed else "all there from an earlier run"
    run.listener.note(
        f"features:     {_copies(copies)} of {heard} utterances and "
        f"{scored} to score, in {run.cache.folder}: {stored}"
    )
    for source, sets in wanted:
        source.fill(*sets, track=run.listener.track)
    run.waveforms.let_go()


def _heard(run: _Run) -> list[list[Copy]]:
    """Return the copies of what is transcribed, and of what the model labelled."""
    copies = run.batches.all_copies(run.epochs)
    first_labelled = len(copies) - len(run.labelled) * min(run.config.copies, run.epochs)
    return [copies[:first_labelled], copies[first_labelled:]]


def _scored(run: _Run) -> Iterator[list[Copy]]:
    """Yield what a model reads of each set that it transcribes."""
    data = run.data
    for corpus in (
        data.dev,
        data.test,
        data.general_test,
        data.control,
        data.general_dev,
        data.untranscribed,
    ):
        if corpus:
            yield [Copy(corpus[i]) for i in fits(corpus, run.model, run.waveforms)[0]]


def _copies(number: int) -> str:
    return "1 copy" if number == 1 else f"{number} copies"


@dataclass(frozen=True, slots=True)
class _Rounds:
    """The trainings of a run: those that were done, and which of them is kept."""

    done: tuple[LabelRound, ...] = ()
    kept: int = 0


def _fit_rounds(run: _Run) -> tuple[_Run, History, _Rounds]:
    """Train; where there is untranscribed speech, label it and train anew, from the base's weights.

    The model is left with the training that is best on dev, the earliest of equals. Labels and
    weights of a finished round are on disk, so that a run that was killed goes on with the next.

    Returns:
        The run with what the training that is kept was of, its history, and all rounds.
    """
    if not run.data.untranscribed:
        return run, _fit(run), _Rounds()
    parameters = _above_the_cut(run)
    base = _copied(parameters)
    history, trained = _fitted_round(run, parameters, 0)
    kept, best, weights = run, history, _copied(parameters)
    rounds = _Rounds((LabelRound(round=0, dev_wer=history.dev_wer),))
    for number in range(1, run.config.rounds + 1):
        if history.stopped == "interrupted":
            break
        run.listener.note(f"round {number - 1}:      dev WER {percent(history.dev_wer)}")
        # What the interpolation gives back of the general accent would cost the labels dearly.
        _put(parameters, trained)
        labelled, facts = _labelled(run, number)
        if not labelled.labelled:
            rounds = replace(rounds, done=(*rounds.done, facts))
            break
        _fill(labelled)
        if (rows := _part_rows(labelled)) != _part_rows(run):
            run.listener.parts(rows, run.cut)  # more steps may unfreeze more
        _put(parameters, base)
        history, trained = _fitted_round(labelled, parameters, number)
        rounds = replace(rounds, done=(*rounds.done, replace(facts, dev_wer=history.dev_wer)))
        if history.dev_wer < best.dev_wer:
            kept, best, weights = labelled, history, _copied(parameters)
            rounds = replace(rounds, kept=number)
    _put(parameters, weights)
    told = ", ".join(f"{r.round}: {percent(r.dev_wer)}" for r in rounds.done)
    run.listener.note(f"rounds:       dev WER {told}; that of round {rounds.kept} is kept")
    if history.stopped == "interrupted":
        best = replace(best, stopped="interrupted")
    return kept, best, rounds


def _above_the_cut(run: _Run) -> list[nn.Parameter]:
    """Return the parameters of which some train; LoRA's matrices alone where a part has any."""
    parts = run.model.parts()
    first = [part.name for part in parts].index(run.cut)
    return [p for part in parts[first:] for p in trainable_parameters(part)]


def _copied(parameters: Sequence[nn.Parameter]) -> list[torch.Tensor]:
    return [parameter.detach().to("cpu", copy=True) for parameter in parameters]


@torch.no_grad()
def _put(parameters: Sequence[nn.Parameter], weights: Sequence[torch.Tensor]) -> None:
    for parameter, weight in zip(parameters, weights, strict=True):
        parameter.copy_(weight)


def _labelled(run: _Run, number: int) -> tuple[_Run, LabelRound]:
    """Return the run with what the model at hand labels surely enough; its labels are on disk."""
    config, speech = run.config, run.data.untranscribed
    path = run.directory / "pseudo-labels" / f"round-{number}.json"
    if not path.exists():
        normalise = normaliser(config.normaliser)
        heard = _guesses(run, run.data.dev, "dev")
        references = [utterance.text for utterance in run.data.dev]
        threshold = calibrated(heard, references, normalise=normalise, limit=config.label_wer)
        kept, left = accepted(_guesses(run, speech, f"labels, round {number}"), threshold)
        texts = {utterance.id: utterance.text for utterance in kept}
        found = {"threshold": asdict(threshold), "left_out": left, "labels": texts}
        write_text(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    told = json.loads(path.read_text(encoding="utf-8"))
    texts = told["labels"]
    named = [replace(each, text=texts[each.id]) for each in speech if each.id in texts]
    examples, _ = _examples(run.model, named, run.waveforms)  # all fit: they were tried
    seconds = run.waveforms.seconds
    facts = LabelRound(
        round=number,
        utterances=len(speech),
        minutes=round(math.fsum(map(seconds, speech)) / 60, 2),
        kept=len(named),
        kept_minutes=round(math.fsum(map(seconds, named)) / 60, 2),
        confidence=told["threshold"]["confidence"],
        expected_wer=told["threshold"]["wer"],
        left_out=told["left_out"],
    )
    run.listener.note(f"round {number}:      {labelling(facts)}")
    trained = len(run.train) + len(run.replay) + len(examples)
    training = _resolved(config, run.model, utterances=trained)
    return replace(run, labelled=examples, training=training), facts


def _guesses(run: _Run, utterances: Corpus, description: str) -> list[Guess]:
    return guesses(
        run.model,
        utterances,
        source=run.scored,
        waveforms=run.waveforms,
        batch_size=run.decoded_together,
        track=run.listener.track,
        description=description,
    )


def _fitted_round(
    run: _Run, parameters: Sequence[nn.Parameter], number: int
) -> tuple[History, list[torch.Tensor]]:
    """Return the history of a round's training, and its weights before they were interpolated.

    The model has those that are to be kept. It was done now, or by a run that was killed later on.
    """
    path = run.directory / "checkpoints" / f"round-{number}.pt"
    if path.exists():
        state = torch.load(path, weights_only=True, map_location="cpu")
        _put(parameters, state["weights"])
        return TypeAdapter(History).validate_json(state["history"]), state["trained"]
    trained: list[torch.Tensor] = []
    history = _fit(
        run, name=f"round-{number}", on_trained=lambda: trained.extend(_copied(parameters))
    )
    with replacing(path, faults=(RuntimeError,)) as partial:
        state = {
            "weights": _copied(parameters),
            "trained": trained,
            "history": TypeAdapter(History).dump_json(history).decode(),
        }
        torch.save(state, partial)
    return history, trained


def _fit(run: _Run, name: str = "", on_trained: Callable[[], None] | None = None) -> History:
    """Return the history of a training: of the round called `name`, where there are rounds."""
    config = run.config

    def tell(record: EpochRecord, best: bool) -> None:
        run.clock.write_down(run.directory)
        run.listener.epoch(record, best)

    return fit(
        run.model,
        run.strategy,
        run.batches,
        batches_per_epoch=run.batches.counts(run.epochs),
        dev_wer=lambda: run.wer(run.data.dev, "dev"),
        general_dev_wer=(
            (lambda: run.wer(run.data.general_dev, "general dev")) if run.data.general_dev else None
        ),
        config=run.training,
        learning_rate=run.training.learning_rate or 0.0,
        precision=config.precision,
        mask=run.mask,
        seed=config.seed,
        log=run.directory / "log" / name,
        checkpoint=run.directory / "checkpoints" / (f"{name}-last.pt" if name else "last.pt"),
        track=run.listener.track,
        on_epoch=tell,
        on_trained=on_trained,
    )


def _resolved(config: RunConfig, model: SpeechModel, *, utterances: int) -> TrainingConfig:
    """Return the settings of the fit, with what suits model and data where they leave it open."""
    training, interpolation = config.training, config.training.interpolation
    if interpolation == "auto" and config.strategy == "from-scratch":
        interpolation = 1.0  # half-way from random weights there is nothing
    # What was random at first is better at the end than on the way; and an epoch that is chosen on
    # dev is that epoch's weights.
    whole_way = interpolation == "auto" and config.strategy != "new-head"
    batches = math.ceil(utterances / training.batch_size)
    return replace(
        training,
        epochs=training.epochs or default_epochs(batches, accumulation=training.accumulation),
        learning_rate=training.learning_rate or _default_rate(model, config.strategy),
        interpolation=interpolation,
        average=training.average or (None if whole_way else 1),
    )


def _default_rate(model: SpeechModel, name: StrategyName) -> float:
    # Whisper's pre-training rates, by width (Radford et al. 2022, "Robust speech recognition via
    # large-scale weak supervision", table 17).
    pretraining = {384: 1.5e-3, 512: 1e-3, 768: 5e-4, 1024: 2.5e-4, 1280: 1.75e-4}
    if name == "from-scratch":
        width = model.network.config.hidden_size
        return pretraining.get(width, 1e-3) if model.family == "whisper" else 1e-3
    if model.family == "ctc":
        # 2e-4 at the width of the base models; Adam's best rate for the layers goes with the
        # inverse of the width (Yang et al. 2022, "Tensor programs V", table 3). High, for the
        # weights are interpolated: the higher of two rates gave more for the same forgetting.
        scaled = 2e-4 * 768 / model.network.config.hidden_size
        return 1e-3 if name in {"head", "new-head", "lora"} else min(1e-3, scaled)
    if name == "lora":
        return 1e-3
    # 40 times below them (vasistalodagala/whisper-finetune, README).
    return pretraining.get(model.network.config.d_model, 8e-3) / 40


def _hypotheses(run: _Run, system: str) -> dict[str, list[Hypothesis]]:
    """Return one system's hypotheses on every set; each set's are on disk once they are there."""
    found = {}
    known = {sentence(each.utterance.text) for each in run.train + run.replay}
    tests = (run.data.test, run.data.general_test, run.data.control)
    for name, corpus in zip(SETS, tests, strict=True):
        if corpus is None:
            continue
        texts = run.transcribe(corpus, f"{name} test, {system}")
        found[name] = hypotheses(
            corpus, texts, seconds=run.waveforms.seconds, levels=run.levels, known=known
        )
        write_hypotheses(found[name], run.directory, name=name, system=system)
    with run.listener.busy("silence"):
        found[SILENCE] = heard_in_silence(run.model, batch_size=run.decoded_together)
    write_hypotheses(found[SILENCE], run.directory, name=SILENCE, system=system)
    return found


# --- what is told and kept ------------------------------------------------------------------------


def _part_rows(run: _Run) -> list[PartRow]:
    parts = run.model.parts()
    batches = run.batches.counts(run.epochs)
    steps = optimiser_steps(batches, accumulation=run.training.accumulation)
    training = ever(run.strategy, [part.name for part in parts], steps=steps)
    rows = []
    for part in parts:
        trained = trainable_parameters(part) if part.name in training else []
        size = sum(parameter.numel() for parameter in part.parameters())
        rows.append(PartRow(part.name, size, sum(parameter.numel() for parameter in trained)))
    return rows


def _outcome(history: History, budget: float) -> Iterator[str]:
    """Yield how the training ended and what is kept of it, a line at a time."""
    last = history.epochs[-1].epoch
    why = {
        "finished": f"{count(last, 'epoch')} done",
        "early": f"stopped after epoch {last}: dev WER no longer fell",
        "interrupted": (
            f"stopped by hand while interpolations were tried, after epoch {last}"
            if history.sweep_interrupted
            else f"stopped by hand in epoch {last}"
        ),
        "diverged": f"stopped in epoch {last}: the loss is no number; lower --learning-rate",
    }[history.stopped]
    wers = [each.dev_wer for each in history.epochs] + [each.dev_wer for each in history.sweep]
    if not history.best_epoch and not found_better(wers):
        yield f"{why}. Nothing was better on dev than the base model, which is kept"
    elif not history.best_epoch:
        yield (
            f"{why}. All that is better on dev loses more than {budget:g} points on the general "
            "accent's dev: the base model is kept; allow more with --max-forgetting, or replay more"
        )
    elif history.averaged > 1:
        yield f"{why}. The mean of {history.averaged} epochs' weights is kept"
    else:
        which = "The last" if history.sweep else "The best on dev"
        yield f"{why}. {which}, epoch {history.best_epoch}, is kept"
    if history.best_epoch and history.sweep:
        base = history.sweep[0]
        chosen = next(p for p in history.sweep if p.interpolation == history.interpolation)
        line = (
            f"interpolation: {chosen.interpolation:g} of the way from the base, dev WER "
            f"{percent(base.dev_wer)} → {percent(chosen.dev_wer)}"
        )
        if chosen.general_dev_wer is not None:
            line += (
                f", general dev {percent(base.general_dev_wer)} → {percent(chosen.general_dev_wer)}"
                f" (at most {budget:g} points more)"
            )
        yield line


def _describe(run: _Run) -> Iterator[str]:
    """Yield what a person should know of the data before training, a line at a time."""
    facts = _data_facts(run)
    for name, told in facts.items():
        speakers = count(told.speakers, "speaker")
        utterances = count(told.utterances, "utterance")
        title = name.replace("_", " ")
        yield f"{title + ':':14}{utterances}, {told.minutes:.1f} min, {speakers}"
    yield from run.data.notes
    if run.config.folds is None:  # of one fold nothing follows
        yield from few_speakers_notes(run.data, speakers=len(run.data.test.speakers), folds=False)
    yield from leakage_notes(run.leakage)
    if run.data.control and run.data.control == run.data.general_test:
        yield (
            "control:      the very utterances of the general test set, which tells no more: name "
            "a corpus that was recorded as the accent's was with --control"
        )
    if run.data.general_test is None and run.config.general == "auto":
        yield (
            "general:      not scored, not replayed: name a corpus of the accent that the model "
            "knows already with --general"
        )
    if run.data.general_test and not run.data.general_dev:
        yield (
            "general dev:  none, so the interpolation is chosen without a limit of forgetting; "
            "give the general corpus a dev split"
        )
    if run.dropped:
        reasons = _reasons(run.dropped)
        yield f"left out of training: {count(len(reasons), 'utterance')}"
        yield from (f"  {line}" for line in _some(reasons))


def _reasons(dropped: Sequence[Dropped]) -> tuple[str, ...]:
    return tuple(f"{row.id}: {row.reason}" for row in dropped)


def _some(lines: Sequence[str]) -> tuple[str, ...]:
    more = len(lines) - _LISTED
    return (*lines[:_LISTED], *([f"and {more:,} more"] if more > 0 else []))


def _facts(
    run: _Run, rows: Sequence[PartRow], history: History, rounds: _Rounds, timing: Timing
) -> RunFacts:
    return RunFacts(
        accent=run.config.accent,
        model=run.model.name,
        revision=run.model.revision,
        family=run.model.family,
        strategy=run.config.strategy,
        why=run.why,
        seed=run.config.seed,
        normaliser=run.config.normaliser,
        max_forgetting=run.config.training.max_forgetting,
        parameters=Parameters(
            trainable=sum(row.trained for row in rows),
            frozen=sum(row.parameters - row.trained for row in rows),
        ),
        cut=run.cut,
        timing=timing,
        training=tuple(Epoch(r.epoch, r.step, r.loss, r.dev_wer) for r in history.epochs),
        best_epoch=history.best_epoch,
        averaged=history.averaged,
        interpolation=history.interpolation,
        sweep=tuple(Swept(*astuple(point)) for point in history.sweep),
        pseudo_labels=rounds.done,
        kept_round=rounds.kept,
        stopped=history.stopped,
        corpus=corpus_name(run.config),
        data=_data_facts(run),
        dropped=tuple(run.dropped),
        versions=versions(),
        licences=_licences(run),
        control=None if run.config.control is None else from_anywhere(run.config.control),
        control_accent=run.data.control[0].accent if run.data.control else None,
        leakage=run.leakage,
    )


def _data_facts(run: _Run) -> dict[str, DataFacts]:
    sets = _sets(run.data, train=run.train, replay=run.replay)
    labelled = [each.utterance for each in run.labelled]
    return data_facts(sets | {"labelled": labelled}, run.waveforms.seconds)


def _sets(
    data: Data, *, train: Sequence[Example], replay: Sequence[Example]
) -> dict[str, Sequence[Utterance]]:
    """Return the sets of a run by name; of what is trained on, what the model can train on."""
    return {
        "train": [each.utterance for each in train],
        "dev": data.dev,
        "test": data.test,
        "general_dev": data.general_dev,
        "general_test": data.general_test or (),
        "control": data.control or (),
        "replay": [each.utterance for each in replay],
    }


def _licences(run: _Run) -> tuple[str, ...]:
    """Return the licences of what the run heard; some of it may have none that is known."""
    found = {each.licence or "" for each in run.data.all()}
    named = tuple(sorted(found - {""}))
    return (*named, "not known for a part") if named and "" in found else named


# --- the run folder -------------------------------------------------------------------------------


def _config_text(run: _Run) -> str:
    """Return what config.yaml holds: every setting as it was resolved, and what with."""
    kept = kept_settings(run.config) | {"training": asdict(run.training)}
    if run.config.untranscribed is not None:
        kept["training"]["epochs"] = run.config.training.epochs  # each round has its own
    facts = {
        "model_revision": run.model.revision,
        "prefix_precision": run.heard.recipe.precision,
        "data_digest": digests(run.data),
        "versions": versions(),
    }
    return config_text(kept, facts)


def _save_adapter(run: _Run) -> None:
    """Write LoRA's matrices in PEFT's format, with the name by which it opens their base."""
    name, at, _ = run.config.model.partition("@")
    if run.config.model in models.STARTERS:
        base = str(models.STARTERS[run.config.model])
    else:
        base = from_anywhere(name if at else run.config.model)
    hub = not Path(base).exists()
    folder = run.directory / "adapter"
    save_adapter(run.model, folder, base=base, revision=run.model.revision if hub else None)


def _save_model(run: _Run) -> None:
    """Write `model/`, complete or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    partial = run.directory / UNFINISHED_MODEL
    if run.config.strategy == "lora":
        _save_adapter(run)
        merge(run.model)
    try:
        # Left by a run that was killed while it saved, or while it was scored afterwards.
        for left in (partial, run.directory / "model"):
            shutil.rmtree(left, ignore_errors=True)
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
