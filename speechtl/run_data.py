"""The speech of a run: which corpora, which utterances of them, in which split."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from speechtl import corpora, models
from speechtl.config import RunConfig, accent_file, accent_names, suggestion
from speechtl.corpus import SPLITS, Corpus, Utterance, split_by_speaker
from speechtl.errors import ConfigError, DataError

__all__ = ["Data", "corpus_name", "general_name", "prepare_data", "replayed"]

# Names of random streams, beside the run's others.
_REPLAY = 3  # which utterances are replayed
_SUBSET = 4  # which are trained on, of more


@dataclass(frozen=True, slots=True)
class Data:
    """The utterances of a run; train, dev and test share no speaker.

    Attributes:
        train: What is trained on.
        dev: What stops training early and chooses the epoch.
        test: What is scored before and after.
        general_test: The same in the accent that the model already knows; None leaves it out.
        general_dev: General utterances by which the interpolation is chosen; may be none.
        replay: General utterances to train on too, in the order in which the seed drew them.
        untranscribed: Speech of the accent without text.
    """

    train: Corpus
    dev: Corpus
    test: Corpus
    general_test: Corpus | None
    general_dev: Corpus
    replay: Corpus
    untranscribed: Corpus = field(default_factory=Corpus)

    def scored(self) -> list[Utterance]:
        """Return every utterance that a model transcribes."""
        return [
            *self.dev,
            *self.test,
            *(self.general_test or ()),
            *self.general_dev,
            *self.untranscribed,
        ]

    def all(self) -> list[Utterance]:
        """Return every utterance that the run reads."""
        return [*self.train, *self.replay, *self.scored()]


def prepare_data(config: RunConfig) -> Data:
    """Return the run's utterances: splits that share no speaker, the general test set, the replay.

    Raises:
        ConfigError: A corpus has no such accent.
        DataError: A corpus cannot be read, or a split is empty or shares a speaker.
    """
    name = corpus_name(config)
    corpus = _load(name, config)
    target = _of_accent(corpus, config.accent, corpus_name=name, option="--accent")
    splits = _splits(target, seed=config.seed, needed=("train", "dev", "test"))
    if config.minutes is not None:
        splits["train"] = _first_minutes(splits["train"], config.minutes, seed=config.seed)
    named = general_name(config)
    if named is None:
        return Data(**splits, general_test=None, general_dev=Corpus(), replay=Corpus())
    one_corpus = _same_corpus(named, name)
    if one_corpus and config.accent == config.general_accent:
        raise ConfigError(
            f"the accent '{config.accent}' cannot be adapted to and be the general one too; name "
            "another with --general-accent, or leave the general accent out with --general none"
        )
    general = _of_accent(
        corpus if one_corpus else corpora.load(named),
        config.general_accent,
        corpus_name=named,
        option="--general-accent",
    )
    needed = ("train", "test") if config.replay else ("test",)
    general_splits = _splits(general, seed=config.seed, needed=needed)
    replay = _drawn(general_splits["train"], len(splits["train"]), config) if config.replay else ()
    if one_corpus:
        # Of one corpus, a name is one person, whatever the accent.
        held_out = splits["dev"] + splits["test"] + general_splits["dev"] + general_splits["test"]
        (splits["train"] + Corpus(replay)).check_disjoint(held_out, fields=("speaker",))
    return Data(
        **splits,
        general_test=general_splits["test"],
        general_dev=general_splits["dev"],
        replay=Corpus(replay),
    )


def corpus_name(config: RunConfig) -> str:
    """Return the corpus that a configuration takes: the one it names, else the accent's own.

    Raises:
        ConfigError: None is named, and the accent's own must be fetched by hand.
    """
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


def general_name(config: RunConfig) -> str | None:
    """Return the corpus of the accent that the model knows already, None where there is none."""
    if config.general != "auto":
        return config.general
    # What another model knows is not the starter's synthetic speech.
    known = config.model in models.STARTERS or corpus_name(config) == "starter"
    return "starter" if known else None


def _same_corpus(first: str, second: str) -> bool:
    return first == second or Path(first).resolve() == Path(second).resolve()


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
    splits = {name: corpus.where(split=name) for name in SPLITS}
    empty = [name for name in needed if not splits[name]]
    if empty:
        raise DataError(
            f"the accent '{accent}' has no utterance in the split {' and '.join(empty)}; it must "
            f"have some in each of: {', '.join(needed)}"
        )
    for first, second in itertools.combinations(SPLITS, 2):
        splits[first].check_disjoint(splits[second], fields=("speaker",))
    return splits


def _first_minutes(corpus: Corpus, minutes: float, *, seed: int) -> Corpus:
    """Return as many utterances as `minutes` hold, one at least, drawn by the seed."""
    chosen: list[int] = []
    left_s = 60 * minutes
    for index in np.random.default_rng([seed, _SUBSET]).permutation(len(corpus)).tolist():
        left_s -= corpus[index].duration
        if chosen and left_s < 0:
            break
        chosen.append(index)
    return Corpus(corpus[index] for index in sorted(chosen))


def replayed(trained: int, share: float) -> int:
    """Return how many general utterances make `share` of all beside `trained` of the accent."""
    return round(trained * share / (1 - share))


def _drawn(general: Corpus, trained: int, config: RunConfig) -> list[Utterance]:
    """Return as many general utterances as may be replayed, drawn by the seed, in that order."""
    order = np.random.default_rng([config.seed, _REPLAY]).permutation(len(general))
    return [general[int(i)] for i in order[: replayed(trained, config.replay)]]
