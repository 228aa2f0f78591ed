"""Time our training against transformers' own `Trainer`, in one process and in turn.

    python scripts/bench_training.py --json speed.json
    python scripts/bench_training.py --models wav2vec2-base --strategies head --whole

Both sides have the same weights, utterances, batch size, passes, rate, schedule and precision, and
freeze the same parameters; the other side is `trainer_baseline.py`. Without `--whole` our features
are there already, and nothing is scored: that is a later epoch, or a second run. With it a whole
adaptation is timed, `--epochs` over `--copies` augmented copies: our side augments, fills the
cache, trains and scores dev after each epoch; the other side's inputs are prepared beforehand, and
it trains and scores dev as often. The bound beside it is the least that any such program needs:
one pass of the prefix for each copy, and one of the suffix for each epoch.

`wav2vec2-base` and `whisper-tiny` have those shapes and random weights: they cost what the real
ones do, and recognise nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torch
from trainer_baseline import Example as Plain
from trainer_baseline import TrainerRun, run_trainer
from transformers import (
    GenerationConfig,
    Wav2Vec2Config,
    Wav2Vec2ForCTC,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
)

from speechtl import corpora, models
from speechtl.audio import SAMPLE_RATE
from speechtl.augment import LIGHT
from speechtl.corpus import Corpus
from speechtl.errors import ConfigError
from speechtl.features import (
    Copy,
    Example,
    FeatureCache,
    FeatureSource,
    TrainingBatches,
    Waveforms,
    example,
    faster_precision,
)
from speechtl.metrics import total, word_errors
from speechtl.models import SpeechModel
from speechtl.models.base import Family, quiet
from speechtl.strategy import Strategy, cut, freeze_all_but, strategy, trainable_parameters
from speechtl.text import normaliser
from speechtl.training import History, TrainingConfig, best_precision, fit
from speechtl.transcription import plain_recipe, transcribe_utterances

MODELS = ("starter-wav2vec2", "starter-whisper", "wav2vec2-base", "whisper-tiny")
COMPARED = ("head", "top-layers", "encoder", "decoder")
"""What a plain Trainer does as well: the same weights train from the first step to the last."""
DEFAULT = {"ctc": ("head", "top-layers"), "whisper": ("decoder",)}
_RATE = 1e-4
_SEED = 0
_GENERATED = 40  # tokens: a random Whisper never ends by itself


@dataclass(frozen=True, slots=True)
class Result:
    """One model and strategy; medians over the repeats.

    Attributes:
        model: A starter, or the shape of a random model.
        strategy: What trained.
        ours_passes_per_s: Utterances that our side trained on in a second.
        trainer_passes_per_s: The same of the other side.
        ratio: The median of the repeats' own ratios.
        ours_peak_mb: The most resident memory while our side ran (10^6 bytes); on a GPU the most of
            its memory.
        trainer_peak_mb: The same of the other side.
        kind: `warm`, or `whole` for whole adaptations.
        encoder_frames: What a Whisper's decoder read on our side: `all` or `speech`.
        precision: What both sides computed in.
        ratios: The ratio of each repeat.
        ours_s: Seconds of our side.
        trainer_s: Seconds of the other side.
        bound_s: The least that a whole adaptation needs: prefix and suffix passes alone.
        ours_to_wer_s: Seconds until our side reached the dev WER that both sides reach.
        trainer_to_wer_s: The same of the other side.
        shared_dev_wer: That dev WER, a fraction.
    """

    model: str
    strategy: str
    ours_passes_per_s: float
    trainer_passes_per_s: float
    ratio: float
    ours_peak_mb: float
    trainer_peak_mb: float
    kind: str
    encoder_frames: str
    precision: str
    ratios: tuple[float, ...]
    ours_s: float
    trainer_s: float
    bound_s: float | None = None
    ours_to_wer_s: float | None = None
    trainer_to_wer_s: float | None = None
    shared_dev_wer: float | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """What one side took in one repeat; `dev` has seconds since its start and the WER then."""

    seconds: float
    peak_mb: float
    dev: list[tuple[float, float]]


# --- the case -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """What both sides do."""

    model: SpeechModel
    label: str
    name: str
    rule: Strategy
    train: list[Example]
    dev: Corpus
    epochs: int
    copies: int
    batch_size: int
    frames: Any
    precision: Any
    whole: bool

    @property
    def passes(self) -> int:
        """Utterances trained on."""
        return self.epochs * len(self.train)

    @property
    def training(self) -> TrainingConfig:
        """Our settings; nothing stops the training early."""
        return TrainingConfig(
            epochs=self.epochs,
            batch_size=self.batch_size,
            interpolation=1.0,
            patience=self.epochs + 1,
        )


class Ours:
    """Our side of a case, as `speechtl.pipeline` puts it together."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case = case
        self.lowest = cut(case.rule, case.model, steps=case.passes)
        self.waveforms = Waveforms()
        self.waveforms.read_all([*(each.utterance for each in case.train), *case.dev])
        noise = [self.waveforms(each.utterance) for each in case.train[:4]]
        fast = faster_precision(case.model, self.lowest, noise)
        self.precision = fast if case.precision == "bf16" else "float32"
        self.renew(folder)

    def renew(self, folder: Path) -> None:
        """Begin with an empty cache."""
        cache = FeatureCache(folder, limit_bytes=1 << 40)
        plain = plain_recipe(self.case.model, self.lowest)
        recipe = replace(
            plain,
            augmentation=repr(LIGHT),
            seed=_SEED,
            precision=self.precision,
            frames=self.case.frames,
            half=True,
        )
        model, held = self.case.model, self.waveforms
        self.heard = FeatureSource(
            model, recipe, waveforms=held, augmentation=LIGHT, shelf=cache.shelf(recipe)
        )
        self.scored = FeatureSource(model, plain, waveforms=held, shelf=cache.shelf(plain))
        self.batches = TrainingBatches(
            self.heard,
            self.case.train,
            copies=self.case.copies,
            batch_size=self.case.batch_size,
            seed=_SEED,
        )

    def fill(self) -> None:
        """Compute all features that are not there."""
        self.heard.fill(self.batches.all_copies(self.case.epochs))
        if self.case.whole:
            self.scored.fill([Copy(utterance) for utterance in self.case.dev])

    def train(self, on_dev: Callable[[], float]) -> History:
        """Train as a run does."""
        return fit(
            self.case.model,
            self.case.rule,
            self.batches,
            batches_per_epoch=self.batches.counts(self.case.epochs),
            dev_wer=on_dev,
            config=self.case.training,
            learning_rate=_RATE,
            precision=self.case.precision,
            seed=_SEED,
        )

    def dev_wer(self) -> float:
        """Score dev as a run does."""
        texts = transcribe_utterances(
            self.case.model,
            self.case.dev,
            source=self.scored,
            waveforms=self.waveforms,
            batch_size=self.case.batch_size,
        )
        plain = normaliser("plain")
        pairs = zip(self.case.dev, texts, strict=True)
        return total(word_errors(plain(each.text), plain(text)) for each, text in pairs).rate

    def bound(self) -> float:
        """Return seconds of the prefix alone for each copy and the suffix alone for each epoch."""
        case = self.case
        prepared = [(copy, self.heard._waveform(copy)) for copy in self.batches.all_copies(1)]
        prepared.sort(key=lambda pair: -len(pair[1]))
        batches = list(self.heard._prefix_batches(prepared))

        def encode() -> None:
            with torch.inference_mode():
                for batch in batches:
                    self.heard._encode([waveform for _, waveform in batch])

        before = _state(case.model)
        # Which attention is the faster one depends on the lengths.
        suffix = min(self._suffix_s(attention) for attention in ("eager", "sdpa"))
        _restore(case.model, before)
        return case.copies * _median_s(encode) + case.epochs * suffix

    def _suffix_s(self, attention: str) -> float:
        """Return seconds of an epoch of the suffix alone, dev's texts included."""
        case, model = self.case, self.case.model
        network: Any = model.network
        loaded, dev = list(self.batches(1)), self._dev_features()
        freeze_all_but(model, case.rule.trainable([p.name for p in model.parts()], 0))
        parameters = [q for p in model.parts() for q in trainable_parameters(p) if q.requires_grad]
        optimiser = torch.optim.AdamW(parameters, lr=_RATE, fused=True)

        def train() -> None:
            for features, labels, _ in loaded:
                bf16 = case.precision == "bf16"
                with torch.autocast(network.device.type, torch.bfloat16, enabled=bf16):
                    loss = model.loss(features, labels)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimiser.step()
                optimiser.zero_grad()
            for features in dev:
                model.decode(features)

        loaded_with = network.config._attn_implementation
        network.set_attn_implementation(attention)
        try:
            return _median_s(train)
        finally:
            network.set_attn_implementation(loaded_with)

    def _dev_features(self) -> list[Any]:
        copies = [Copy(utterance) for utterance in self.case.dev]
        size = self.case.batch_size
        return list(
            self.scored.features([copies[i : i + size] for i in range(0, len(copies), size)])
        )


def ours(case: Case, side: Ours, folder: Path) -> Side:
    """Run our side once, from the base's weights."""
    dev: list[tuple[float, float]] = []
    calls = 0

    def on_dev() -> float:
        nonlocal calls
        calls += 1
        if not case.whole:
            return 1 / calls  # nothing is scored
        wer = side.dev_wer()
        dev.append((time.perf_counter() - started, wer))
        return wer

    if case.whole:
        side.renew(folder)
    with _measured() as measured:
        started = time.perf_counter()
        if case.whole:
            side.fill()
        side.train(on_dev)
    return Side(measured.seconds, measured.peak_mb, dev[1:])


def trainers(case: Case, side: Ours) -> Side:
    """Run the other side once, from the base's weights."""
    numbers = range(1, min(case.copies, case.epochs) + 1)
    train = [
        [
            Plain(side.heard._waveform(Copy(each.utterance, index, number)), each.utterance.text)
            for index, each in enumerate(case.train)
        ]
        for number in numbers
    ]
    dev = [Plain(side.waveforms(each), each.text) for each in case.dev] if case.whole else []
    names = [part.name for part in case.model.parts()]
    with _measured() as measured:
        run: TrainerRun = run_trainer(
            case.model,
            train,
            dev,
            trainable=case.rule.trainable(names, 0),
            batch_size=case.batch_size,
            epochs=case.epochs,
            learning_rate=_RATE,
            precision=case.precision,
            evaluate=case.whole,
            seed=_SEED,
        )
    return Side(run.seconds, measured.peak_mb, run.dev)


# --- measuring ------------------------------------------------------------------------------------


class _Measured:
    seconds = 0.0
    peak_mb = 0.0


@contextmanager
def _measured() -> Iterator[_Measured]:
    """Measure a block: its seconds, and the most resident memory in it, of a GPU its own."""
    found, process, done = _Measured(), psutil.Process(), threading.Event()
    gc.collect()
    on_gpu = torch.cuda.is_initialized()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()

    def watch() -> None:
        while not done.wait(0.02):
            found.peak_mb = max(found.peak_mb, process.memory_info().rss / 1e6)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        yield found
    finally:
        found.seconds = time.perf_counter() - started
        done.set()
        watcher.join()
        if on_gpu:
            found.peak_mb = torch.cuda.max_memory_allocated() / 1e6


def _median_s(work: Callable[[], None]) -> float:
    """Return the median time of three runs (s)."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _state(model: SpeechModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.network.state_dict().items()}


def _restore(model: SpeechModel, state: dict[str, torch.Tensor]) -> None:
    model.network.load_state_dict(state)
    model.network.eval()


def compare(case: Case, *, repeats: int, folder: Path) -> Result:
    """Return the medians of as many repeats, after one that warms both sides up."""
    base = _state(case.model)
    side = Ours(case, folder / "warm")
    side.fill()
    found = []
    for repeat in range(repeats + (0 if case.whole else 1)):
        _restore(case.model, base)
        first = ours(case, side, folder / f"repeat-{repeat}")
        _restore(case.model, base)
        second = trainers(case, side)
        ratio = second.seconds / first.seconds
        print(f"  ours {first.seconds:8.2f} s   Trainer {second.seconds:8.2f} s   {ratio:7.2f}×")
        found.append((first, second))
    if not case.whole:
        found = found[1:]
    _restore(case.model, base)
    return _result(case, found, side.bound() if case.whole else None)


def _result(case: Case, found: Sequence[tuple[Side, Side]], bound: float | None) -> Result:
    ratios = tuple(round(second.seconds / first.seconds, 3) for first, second in found)
    ours_s = statistics.median(first.seconds for first, _ in found)
    trainer_s = statistics.median(second.seconds for _, second in found)
    shared, ours_to, trainer_to = _to_shared_wer(*found[-1])
    return Result(
        model=case.label,
        strategy=case.name,
        ours_passes_per_s=round(case.passes / ours_s, 2),
        trainer_passes_per_s=round(case.passes / trainer_s, 2),
        ratio=statistics.median(ratios),
        ours_peak_mb=round(max(first.peak_mb for first, _ in found), 1),
        trainer_peak_mb=round(max(second.peak_mb for _, second in found), 1),
        kind="whole" if case.whole else "warm",
        encoder_frames=case.frames,
        precision=case.precision,
        ratios=ratios,
        ours_s=round(ours_s, 3),
        trainer_s=round(trainer_s, 3),
        bound_s=None if bound is None else round(bound, 3),
        ours_to_wer_s=ours_to,
        trainer_to_wer_s=trainer_to,
        shared_dev_wer=shared,
    )


def _to_shared_wer(first: Side, second: Side) -> tuple[float | None, float | None, float | None]:
    """Return the best dev WER that both sides reach, and when each did (s); None where random."""
    if not first.dev or not second.dev:
        return None, None, None
    shared = max(min(wer for _, wer in side.dev) for side in (first, second))
    if shared > 0.95:  # nothing was recognised
        return None, None, None
    reached = [
        next(seconds for seconds, wer in side.dev if wer <= shared) for side in (first, second)
    ]
    return round(shared, 4), round(reached[0], 2), round(reached[1], 2)


# --- models ---------------------------------------------------------------------------------------


def loaded(name: str, folder: Path, device: str) -> SpeechModel:
    """Return a starter, or a random model of a well-known shape with a starter's tokenizer."""
    if name in models.STARTERS:
        return models.load(name, device=device)
    torch.manual_seed(_SEED)
    starter: Any = models.load("starter-whisper" if "whisper" in name else "starter-wav2vec2")
    with quiet():
        network: Any
        if name == "wav2vec2-base":
            network = Wav2Vec2ForCTC(
                Wav2Vec2Config(
                    vocab_size=starter.network.config.vocab_size,
                    pad_token_id=starter.tokenizer.pad_token_id,
                )
            )
            extractor = starter.feature_extractor
        else:
            held = starter.network.config
            network = WhisperForConditionalGeneration(
                WhisperConfig(
                    d_model=384,
                    encoder_layers=4,
                    decoder_layers=4,
                    encoder_attention_heads=6,
                    decoder_attention_heads=6,
                    encoder_ffn_dim=1536,
                    decoder_ffn_dim=1536,
                    vocab_size=51865,
                    decoder_start_token_id=held.decoder_start_token_id,
                    bos_token_id=held.bos_token_id,
                    eos_token_id=held.eos_token_id,
                    pad_token_id=held.pad_token_id,
                )
            )
            generation = starter.network.generation_config.to_dict()
            network.generation_config = GenerationConfig.from_dict(
                generation | {"max_length": _GENERATED}
            )
            extractor = WhisperFeatureExtractor()
        network.save_pretrained(folder)
        extractor.save_pretrained(folder)
        starter.tokenizer.save_pretrained(folder)
    return models.load(str(folder), device=device)


def rules(model: str, options: argparse.Namespace) -> list[tuple[str, Strategy]]:
    """Return the strategies that a model is to be trained with.

    Raises:
        ConfigError: One of them is none of the model's family.
    """
    family: Family = "whisper" if "whisper" in model else "ctc"
    told: Any = options.strategies or DEFAULT[family]
    return [(name, strategy(name, family=family, top_layers=options.top_layers)) for name in told]


def cases(options: argparse.Namespace, folder: Path) -> Iterator[Case]:
    """Yield what is to be compared."""
    corpus = corpora.load("starter").where(accent="scottish")
    train, dev = corpus.where(split="train"), corpus.where(split="dev")
    device = models.pick_device(options.device)
    precision = best_precision(options.precision, device)
    for name in options.models:
        model = loaded(name, folder / name, device)
        for told, rule in rules(name, options):
            for frames in options.encoder_frames if model.family == "whisper" else ["all"]:
                yield Case(
                    model=model,
                    label=name,
                    name=told,
                    rule=rule,
                    train=[
                        example(model, each, samples=round(each.duration * SAMPLE_RATE))
                        for each in train[: options.utterances]
                    ],
                    dev=Corpus(dev[: options.dev]),
                    epochs=options.epochs,
                    copies=options.copies,
                    batch_size=options.batch_size,
                    frames=frames,
                    precision=precision,
                    whole=options.whole,
                )


def main() -> int:
    """Run the comparison; print a line for each repeat and a table, and write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--models", type=_some_of(MODELS), default=list(MODELS), help=", ".join(MODELS)
    )
    parser.add_argument(
        "--strategies", type=_some_of(COMPARED), help="head,top-layers for CTC; decoder else"
    )
    parser.add_argument("--top-layers", type=int, default=2)
    parser.add_argument(
        "--encoder-frames",
        type=_some_of(("all", "speech")),
        default=["all", "speech"],
        help="for a Whisper",
    )
    parser.add_argument("--whole", action="store_true", help="time whole adaptations")
    parser.add_argument("--utterances", type=int, default=128, help="trained on")
    parser.add_argument("--dev", type=int, default=16, help="utterances scored after each epoch")
    parser.add_argument("--epochs", type=int, help="2, or 30 for whole adaptations")
    parser.add_argument("--copies", type=int, help="augmented ones; 1, or 3")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", choices=("auto", "float32", "bf16"), default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    options.epochs = options.epochs or (30 if options.whole else 2)
    options.copies = options.copies or (3 if options.whole else 1)
    try:
        for name in options.models:
            rules(name, options)
    except ConfigError as error:
        parser.error(f"{name}: {error}")
    results = []
    with TemporaryDirectory() as folder:
        for number, case in enumerate(cases(options, Path(folder))):
            print(f"{case.label}, {case.name}, {case.frames} frames, {case.precision}")
            result = compare(case, repeats=options.repeats, folder=Path(folder) / f"case-{number}")
            results.append(result)
            if options.json:
                options.json.write_text(json.dumps([asdict(r) for r in results], indent=1))
    print(_table(results))
    return 0


def _some_of(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return what reads a list of known names, separated by commas."""

    def listed(text: str) -> list[str]:
        names = [entry.strip() for entry in text.split(",") if entry.strip()]
        if unknown := sorted(set(names).difference(known)):
            raise argparse.ArgumentTypeError(
                f"no {', '.join(unknown)}; there are {', '.join(known)}"
            )
        return names

    return listed


def _table(results: Sequence[Result]) -> str:
    lines = [
        f"{'model':17}{'strategy':12}{'frames':8}{'kind':7}{'ours/s':>10}{'Trainer/s':>11}"
        f"{'ratio':>8}{'MB':>7}{'MB':>7}{'of bound':>10}  to dev WER"
    ]
    for r in results:
        bound = "–" if r.bound_s is None else f"{r.ours_s / r.bound_s:.2f}"
        reached = (
            ""
            if r.shared_dev_wer is None
            else f"{r.shared_dev_wer:.1%}: {r.ours_to_wer_s:.0f} s, {r.trainer_to_wer_s:.0f} s"
        )
        lines.append(
            f"{r.model:17}{r.strategy:12}{r.encoder_frames:8}{r.kind:7}"
            f"{r.ours_passes_per_s:10.1f}{r.trainer_passes_per_s:11.1f}{r.ratio:8.2f}"
            f"{r.ours_peak_mb:7.0f}{r.trainer_peak_mb:7.0f}{bound:>10}  {reached}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
