"""What a run's hypotheses do not say: what was trained, how long it took, on which speech."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from speechtl.leakage import Overlap

__all__ = [
    "DataFacts",
    "Dropped",
    "Epoch",
    "LabelRound",
    "Parameters",
    "RunFacts",
    "Swept",
    "Timing",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """How many parameters ever trained, and how many never did."""

    trainable: int
    frozen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where the time of the run went (s); of attempts that were killed, up to their last epoch."""

    load_s: float
    features_s: float
    train_s: float
    score_s: float
    total_s: float


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training utterances; epoch 0 is the base model, which has no loss."""

    epoch: int
    step: int
    loss: float | None
    dev_wer: float | None


@dataclass(frozen=True, slots=True)
class Swept:
    """What weights between the base's (0) and the trained ones (1) gave on dev (WER, fractions).

    Only as many have a WER on the general accent as it took to choose.
    """

    interpolation: float
    dev_wer: float
    general_dev_wer: float | None


@dataclass(frozen=True, slots=True)
class Dropped:
    """An utterance that was left out, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """How much speech a split holds: minutes, utterances, speakers."""

    minutes: float
    utterances: int
    speakers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRound:
    """One training on speech that the model itself labelled.

    Attributes:
        round: Its number; 0 is the training on what is transcribed alone.
        utterances: How many stretches of untranscribed speech there were.
        minutes: Their length.
        kept: How many had a label that was sure enough.
        kept_minutes: Their length.
        confidence: The least confidence that was enough; None where none was, and in round 0.
        expected_wer: The error rate of the kept labels as it is on dev, a fraction.
        left_out: How many were left out, by reason.
        dev_wer: The WER on dev after the training, a fraction; None where nothing trained.
    """

    round: int
    utterances: int = 0
    minutes: float = 0.0
    kept: int = 0
    kept_minutes: float = 0.0
    confidence: float | None = None
    expected_wer: float | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    dev_wer: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """Everything about a run that its hypotheses do not say.

    Attributes:
        accent: The accent that was adapted to.
        model: The base model's name: a starter name, a hub id or a folder.
        revision: The hub commit of the base model, where it has one.
        family: "ctc" or "whisper".
        strategy: What the strategy is called.
        why: Why `--strategy auto` chose it; None where it was asked for.
        seed: The run's seed.
        normaliser: The normaliser that both systems' texts, and the references, are scored with.
        parameters: How many trained, how many were frozen.
        cut: The lowest part that ever trains.
        timing: Where the time went.
        training: The epochs in order.
        best_epoch: The epoch whose weights were kept; 0 is the base itself.
        averaged: How many epochs' weights, up to those, were averaged.
        interpolation: How far the kept weights lie from the base's (0) to the trained ones (1).
        sweep: The interpolations that were tried, from 0 upwards.
        pseudo_labels: The trainings of a run that was given speech without transcripts, the first
            on what is transcribed alone; none without such speech.
        kept_round: Which of them the kept weights are of.
        stopped: Why training ended.
        max_forgetting: How much the WER of the general accent may rise (points).
        corpus: The corpus' name.
        data: Splits by name (train, dev, test, …).
        dropped: The utterances that were left out.
        versions: Package to version.
        licences: The licences of the speech, as the corpus names them.
        control: The corpus of the control set; None where there is none.
        control_accent: The accent that is spoken in it.
        folds: Over how many folds of speakers the hypotheses are pooled; None where they are one
            training's.
        leakage: What each two splits share.
    """

    accent: str
    model: str
    revision: str | None
    family: str
    strategy: str
    seed: int
    normaliser: str
    parameters: Parameters
    cut: str
    timing: Timing
    training: tuple[Epoch, ...] = ()
    why: str | None = None
    best_epoch: int | None = None
    averaged: int = 1
    interpolation: float = 1.0
    sweep: tuple[Swept, ...] = ()
    pseudo_labels: tuple[LabelRound, ...] = ()
    kept_round: int = 0
    stopped: str | None = None
    max_forgetting: float | None = None
    corpus: str = ""
    data: Mapping[str, DataFacts] = field(default_factory=dict)
    dropped: tuple[Dropped, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    licences: tuple[str, ...] = ()
    control: str | None = None
    control_accent: str | None = None
    folds: int | None = None
    leakage: tuple[Overlap, ...] = ()
