"""What a run tells of its speech: how much there is, how noisy it is, what its parts share."""

from __future__ import annotations

import importlib.metadata
import math
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import product

from speechtl import __version__
from speechtl.audio import signal_to_noise_db
from speechtl.corpus import Utterance, sentence
from speechtl.features import Waveforms
from speechtl.leakage import Overlap, overlaps
from speechtl.progress import Track, silent
from speechtl.report.phrases import count
from speechtl.run_data import Data, same_corpus
from speechtl.scoring import DataFacts, Hypothesis
from speechtl.significance import enough_speakers

__all__ = [
    "data_facts",
    "few_speakers_notes",
    "hypotheses",
    "leakage",
    "leakage_notes",
    "read_tested",
    "versions",
]

_TRAINED = ("train", "replay")
# What a model learns from or is chosen by, with what it is then tested on.
_COMPARED = (
    ("train", "dev"),
    *product((*_TRAINED, "dev", "general_dev"), ("test", "general_test", "control")),
)
_TOGETHER = 16  # utterances that are decoded before they are measured
_HELD_S = 500.0  # half of what a `Waveforms` holds, so that a group more finds its place


# --- the recordings -------------------------------------------------------------------------------


def read_tested(
    utterances: Sequence[Utterance], waveforms: Waveforms, *, track: Track = silent
) -> tuple[dict[Utterance, float | None], tuple[str, ...]]:
    """Decode what is tested, and measure it while its audio is at hand.

    Args:
        utterances: What to read.
        waveforms: Where decoded audio is kept; of more than it holds, nothing is left there.
        track: Shows progress.

    Returns:
        The signal-to-noise ratio of each (dB, see `audio.signal_to_noise_db`), and what is wrong
        with each that cannot be read; where there is any of these, not all are measured.
    """
    levels: dict[Utterance, float | None] = {}
    faults: list[str] = []
    held_s = 0.0
    groups = [utterances[i : i + _TOGETHER] for i in range(0, len(utterances), _TOGETHER)]
    for group in track(groups, "reading test audio", total=len(groups)):
        faults += waveforms.read_all(group)
        if faults:
            continue
        for utterance in group:
            level = signal_to_noise_db(waveforms(utterance))
            levels[utterance] = None if level is None else round(level, 1)
        held_s += math.fsum(map(waveforms.seconds, group))
        if held_s > _HELD_S:
            waveforms.let_go()
            held_s = 0.0
    return levels, tuple(faults)


def hypotheses(
    utterances: Sequence[Utterance],
    texts: Sequence[str],
    *,
    seconds: Callable[[Utterance], float],
    levels: Mapping[Utterance, float | None],
    known: Set[str],
) -> list[Hypothesis]:
    """Return what was heard in each utterance, beside what is known of it.

    Args:
        utterances: What was said.
        texts: What was heard.
        seconds: Gives an utterance's length (s).
        levels: Their signal-to-noise ratios (dB).
        known: What was said in training, each as `sentence` gives it.
    """
    return [
        Hypothesis(
            id=utterance.id,
            audio=str(utterance.audio),
            speaker=utterance.speaker,
            accent=utterance.accent,
            reference=utterance.text,
            hypothesis=text,
            start=utterance.start,
            end=utterance.end,
            duration=round(seconds(utterance), 3),
            snr_db=levels[utterance],
            seen=sentence(utterance.text) in known,
        )
        for utterance, text in zip(utterances, texts, strict=True)
    ]


def data_facts(
    sets: Mapping[str, Sequence[Utterance]], seconds: Callable[[Utterance], float]
) -> dict[str, DataFacts]:
    """Return how much speech each set holds that holds any."""
    return {
        name: DataFacts(
            minutes=round(math.fsum(map(seconds, utterances)) / 60, 2),
            utterances=len(utterances),
            speakers=len({utterance.speaker for utterance in utterances}),
        )
        for name, utterances in sets.items()
        if utterances
    }


def few_speakers_notes(data: Data, *, speakers: int, folds: bool) -> Iterator[str]:
    """Yield what a person should know before training where nothing could be shown by it.

    Args:
        data: The run's data.
        speakers: How many people of the accent are tested.
        folds: Whether that is all of them, in folds.
    """
    if not enough_speakers(speakers, tests=1 if data.general_test is None else 2):
        yield (
            f"warning: {count(speakers, 'test speaker')} can show no difference, however large: "
            "the report will have no verdict; test six or more, seven where two sets are judged"
            f"{'' if folds else ' (--folds tests every speaker once)'}"
        )


# --- what they share ------------------------------------------------------------------------------


def leakage(
    sets: Mapping[str, Sequence[Utterance]],
    digest: Callable[[Utterance], bytes],
    *,
    corpora: Mapping[str, str],
) -> tuple[Overlap, ...]:
    """Return what the sets share of which one would make the other's error rate a lie.

    Args:
        sets: The utterances of each set, by its name.
        digest: Of an utterance's decoded samples.
        corpora: The corpus of each set that holds any, as `run_data.corpora_of_sets` gives it. Two
            sets of different corpora share no speaker, for a name is one person in one corpus only.
    """
    return tuple(
        each if same_corpus(corpora[each.first], corpora[each.second]) else _without_speakers(each)
        for each in overlaps(sets, _COMPARED, digest=digest)
    )


def _without_speakers(overlap: Overlap) -> Overlap:
    examples = tuple(example for example in overlap.examples if example[0] != "speaker")
    return replace(overlap, speakers=(), examples=examples)


def leakage_notes(found: Sequence[Overlap]) -> Iterator[str]:
    """Yield what a person should do about what two sets share, a line each."""
    for each in found:
        name, known = _title(each.second), _KNOWN[each.first]
        rest = f"of {count(each.utterances)} {name} utterances"
        if each.audio:
            are = "is" if each.audio == 1 else "are"
            same = next((pair for kind, *pair in each.examples if kind == "audio"), None)
            such = f", such as {same[0]} ({same[1]} in {_title(each.first)})" if same else ""
            yield (
                f"warning: {count(each.audio)} {rest} {are} the same audio as one {known}{such}: "
                f"the {name} WER is better than it is on new speech; remove one of each two"
            )
        # What is chosen by is not learnt, and what is said in dev is not tested: of their sentences
        # the report tells.
        if each.first not in _TRAINED or each.second == "dev":
            continue
        if each.prompts:
            yield (
                f"{_say(each.prompts, rest)} a sentence {known} too: the WER says less about new "
                "sentences; see that of unseen ones"
            )
        if each.near_prompts:
            count_as = "it counts" if each.near_prompts == 1 else "they count"
            yield (
                f"{_say(each.near_prompts, rest)} nearly a sentence {known}, with few other words: "
                f"{count_as} as unseen; test other sentences if that matters"
            )


_KNOWN = {
    "train": "that is trained on",
    "replay": "that is replayed",
    "dev": "in dev, by which is chosen what is kept",
    "general_dev": "in general dev, by which the interpolation is chosen",
}


def _title(name: str) -> str:
    return name.replace("_", " ")


def _say(number: int, rest: str) -> str:
    return f"{count(number)} {rest} {'says' if number == 1 else 'say'}"


# --- the software ---------------------------------------------------------------------------------


def versions() -> dict[str, str]:
    """Return the versions that a result depends on, by package, sorted as report.json has them."""
    packages = ("torch", "torchaudio", "transformers", "datasets", "librosa", "jiwer", "peft")
    found = {name: importlib.metadata.version(name) for name in packages}
    own = {"speechtl": __version__, "python": platform.python_version()}
    return dict(sorted({**found, **own}.items()))
