"""The speech of a run: which corpora, which utterances of them, in which split."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from speechtl import corpora, models
from speechtl.config import RunConfig, accent_file, accent_names, suggestion
from speechtl.corpus import SPLITS, Corpus, Utterance
from speechtl.errors import ConfigError, DataError
from speechtl.splits import fold_splits, split_by_speaker

__all__ = [
    "Data",
    "corpora_of_sets",
    "corpus_name",
    "digests",
    "general_name",
    "prepare_data",
    "replayed",
    "same_corpus",
]

# Names of random streams, beside the run's others.
_REPLAY = 3  # which utterances are replayed
_SUBSET = 4  # which are trained on, of more

_LISTED = 20  # speakers that are told by name


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
        control: What is scored before and after to tell accent from recording; None leaves it out.
        notes: What a person should know of how these came about, a line each.
    """

    train: Corpus
    dev: Corpus
    test: Corpus
    general_test: Corpus | None
    general_dev: Corpus
    replay: Corpus
    untranscribed: Corpus = field(default_factory=Corpus)
    control: Corpus | None = None
    notes: tuple[str, ...] = ()

    def tested(self) -> list[Utterance]:
        """Return every utterance that is scored before and after."""
        return [*self.test, *(self.general_test or ()), *(self.control or ())]

    def scored(self) -> list[Utterance]:
        """Return every utterance that a model transcribes."""
        return [*self.dev, *self.tested(), *self.general_dev, *self.untranscribed]

    def all(self) -> list[Utterance]:
        """Return every utterance that the run reads."""
        return [*self.train, *self.replay, *self.scored()]


def prepare_data(config: RunConfig) -> Data:
    """Return the run's utterances: splits that share no speaker, and all that is scored beside.

    Raises:
        ConfigError: A corpus has no such accent, or fewer speakers than there are to be folds.
        DataError: A corpus cannot be read, or a split is empty or shares a speaker.
    """
    name = corpus_name(config)
    corpus = _load(name, config)
    target = _of_accent(corpus, config.accent, corpus_name=name, option="--accent")
    notes: tuple[str, ...] = ()
    if config.folds is None:
        splits = _splits(target, seed=config.seed, needed=("train", "dev", "test"))
    else:
        splits = _one_fold(target, config)
        if any(utterance.split for utterance in target):
            notes = (
                "folds:        the corpus' own splits are not looked at: each speaker is tested in "
                f"one of the {config.folds} folds",
            )
    if config.minutes is not None:
        splits["train"] = _first_minutes(splits["train"], config.minutes, seed=config.seed)
    data = Data(**splits, general_test=None, general_dev=Corpus(), replay=Corpus(), notes=notes)
    return _with_control(_with_general(data, corpus, config), corpus, config)


def _with_general(data: Data, corpus: Corpus, config: RunConfig) -> Data:
    """Return the data with the general test and dev utterances, and those that are replayed.

    Args:
        data: The splits of the accent.
        corpus: The accent's whole corpus.
        config: The run's configuration.
    """
    named, name = general_name(config), corpus_name(config)
    if named is None:
        return data
    one_corpus = same_corpus(named, name)
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
    splits = _splits(general, seed=config.seed, needed=needed)
    replay = Corpus(_drawn(splits["train"], len(data.train), config) if config.replay else ())
    if one_corpus:
        # Of one corpus, a name is one person, whatever the accent.
        held_out = data.dev + data.test + splits["dev"] + splits["test"]
        (data.train + replay).check_disjoint(held_out, fields=("speaker",))
    return replace(data, general_test=splits["test"], general_dev=splits["dev"], replay=replay)


def _with_control(data: Data, corpus: Corpus, config: RunConfig) -> Data:
    """Return the data with the control set: of speakers who are not trained on, nor chosen by.

    Args:
        data: All other utterances.
        corpus: The accent's whole corpus.
        config: The run's configuration.
    """
    if (named := config.control) is None:
        return data
    one_corpus = same_corpus(named, corpus_name(config))
    control = _control_utterances(corpus if one_corpus else corpora.load(named), named, config)
    # Of one corpus, a name is one person, whatever the accent.
    known = {*data.train.speakers, *data.dev.speakers} if one_corpus else set()
    general = general_name(config)
    if general is not None and same_corpus(named, general):
        known |= {*data.replay.speakers, *data.general_dev.speakers}
    kept = Corpus(each for each in control if each.speaker not in known)
    left = sorted(known.intersection(control.speakers))
    if not kept:
        raise DataError(
            f"all speakers of the control set of {named} ({len(left)}) are in train, dev or replay "
            "too; name another corpus with --control, or give it other splits"
        )
    if left:
        more = f" and {len(left) - _LISTED} more" if len(left) > _LISTED else ""
        told = (
            f"control:      {len(control) - len(kept)} of {len(control)} utterances left out, "
            f"whose speakers are in train, dev or replay: {', '.join(left[:_LISTED])}{more}"
        )
        data = replace(data, notes=(*data.notes, told))
    return replace(data, control=kept)


def _control_utterances(corpus: Corpus, name: str, config: RunConfig) -> Corpus:
    """Return the test split of the control accent; all of it where it has no splits."""
    accent = _control_accent(corpus, name, config=config)
    control = _of_accent(corpus, accent, corpus_name=name, option="--control-accent")
    if not _has_splits(control):
        return control
    test = control.where(split="test")
    if not test:
        raise DataError(
            f"the accent '{accent}' of the control corpus {name} has no utterance in the split "
            "test, which is what a control set is; give it some, or no splits at all"
        )
    return test


def _control_accent(corpus: Corpus, name: str, *, config: RunConfig) -> str:
    asked, others = config.control_accent, [a for a in corpus.accents if a != config.accent]
    choices = f"--control-accent: {', '.join(others)}" if others else "another --control"
    if asked is None and config.general_accent in corpus.accents:
        asked = config.general_accent
    elif asked is None and len(corpus.accents) == 1:
        [asked] = corpus.accents
    if asked is None:
        raise ConfigError(
            f"the control corpus {name} has several accents, and none is called "
            f"'{config.general_accent}': name one that the model knows already with {choices}"
        )
    if asked == config.accent:
        raise ConfigError(
            f"'{asked}' is the accent that is adapted to; a control set is of one that the model "
            f"knows already, recorded in the same way: name it with {choices}"
        )
    return asked


def digests(data: Data) -> dict[str, str]:
    """Return what stands for the content of each of the run's corpora, by what it is for.

    Raises:
        DataError: A recording cannot be read.
    """
    general = (data.general_test or Corpus()) + data.general_dev + data.replay
    named = {
        "target": data.train + data.dev + data.test,
        "general": general,
        "control": data.control,
        "untranscribed": data.untranscribed,
    }
    return {name: corpus.digest() for name, corpus in named.items() if corpus}


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
    # A copy on this machine comes before what would be fetched.
    found = [
        source.known if source.known and corpora.is_here(source.known) else source.corpus
        for source in known.sources
        if source.corpus
    ]
    if not found:
        raise ConfigError(
            f"the starter does not speak '{config.accent}', and its own corpora must be fetched by "
            "hand; get one of these and name its manifest with --corpus:\n  - "
            + "\n  - ".join(f"{source.name}: {source.url}" for source in known.sources)
        )
    return corpora.available(*found)


def general_name(config: RunConfig) -> str | None:
    """Return the corpus of the accent that the model knows already, None where there is none."""
    if config.general != "auto":
        return config.general
    # What another model knows is not the starter's synthetic speech.
    known = config.model in models.STARTERS or corpus_name(config) == "starter"
    return "starter" if known else None


def corpora_of_sets(config: RunConfig) -> dict[str, str]:
    """Return the corpus of each set of the run, by the set's name."""
    named = dict.fromkeys(("train", "dev", "test"), corpus_name(config))
    if (general := general_name(config)) is not None:
        named |= dict.fromkeys(("general_test", "general_dev", "replay"), general)
    if config.control is not None:
        named["control"] = config.control
    return named


def same_corpus(first: str, second: str) -> bool:
    """Return whether two names are of one corpus, in which a speaker's name is one person."""
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


def _one_fold(corpus: Corpus, config: RunConfig) -> dict[str, Corpus]:
    if config.folds is None or config.fold is None:
        raise ConfigError("a run over folds is several: speechtl.folds runs them, or name one fold")
    return fold_splits(corpus, config.folds, fold=config.fold, seed=config.seed)


def _splits(corpus: Corpus, *, seed: int, needed: Sequence[str]) -> dict[str, Corpus]:
    """Return train, dev and test: the corpus' own splits, else drawn by speaker."""
    if not _has_splits(corpus):
        return split_by_speaker(corpus, seed=seed)
    splits = {name: corpus.where(split=name) for name in SPLITS}
    empty = [name for name in needed if not splits[name]]
    if empty:
        raise DataError(
            f"the accent '{corpus[0].accent}' has no utterance in the split {' and '.join(empty)}; "
            f"it must have some in each of: {', '.join(needed)}"
        )
    for first, second in itertools.combinations(SPLITS, 2):
        splits[first].check_disjoint(splits[second], fields=("speaker",))
    return splits


def _has_splits(corpus: Corpus) -> bool:
    """Return whether the utterances of an accent have splits of their own.

    Raises:
        DataError: Some have, and others have not.
    """
    without = [utterance.id for utterance in corpus if utterance.split is None]
    if without and len(without) < len(corpus):
        raise DataError(
            f"{len(without)} of {len(corpus)} utterances of the accent '{corpus[0].accent}' have "
            f"no split, such as '{without[0]}': give each of them a split (train, dev or test), or "
            "none of them, and they are split by speaker"
        )
    return not without


# --- how much -------------------------------------------------------------------------------------


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
