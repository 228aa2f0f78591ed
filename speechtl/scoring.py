"""Base and adapted hypotheses to one `Report`, with no model at hand.

The hypotheses are files (`hypotheses/<set>.<system>.jsonl`), so a report can be made again at any
time: `remake_report` needs a run folder and nothing else. What scoring cannot know (what was
trained, how long it took, on which data) is a `RunFacts`.

Rates are fractions. A rate that does not exist (insertions over references without a word) is None,
null in JSON.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import ConfigDict, TypeAdapter, ValidationError

from speechtl.corpus import read_jsonl, write_jsonl
from speechtl.errors import DataError
from speechtl.metrics import (
    ErrorCounts,
    Steps,
    align,
    character_errors,
    counted,
    total,
    word_errors,
)
from speechtl.significance import (
    Interval,
    Mapsswe,
    Mcnemar,
    Pairs,
    Verdict,
    holm,
    intervals,
    mapsswe,
    mcnemar,
    sign_flips,
    verdict,
)
from speechtl.text import Normaliser
from speechtl.text import normaliser as normaliser_named

__all__ = [
    "SETS",
    "SYSTEMS",
    "DataFacts",
    "Difference",
    "Dropped",
    "Epoch",
    "Example",
    "Hypotheses",
    "Hypothesis",
    "Parameters",
    "RawScore",
    "Report",
    "RunFacts",
    "SetScore",
    "SpeakerScore",
    "Swept",
    "SystemScore",
    "Timing",
    "make_report",
    "read_hypotheses",
    "remake_report",
    "score",
    "write_hypotheses",
]

SETS = ("target", "general")
"""`target` is the accent that was adapted to, `general` the accents that the base already knew."""

SYSTEMS = ("base", "adapted")
"""`base` is the model before adaptation, `adapted` the same model after it."""

EXAMPLES = 10
"""How many of the most repaired, and of the most broken, utterances a set keeps."""


# --- what goes in ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """What a system heard in an utterance, beside what was said.

    Attributes:
        id: The utterance's id.
        audio: The absolute path of the recording, so that it opens from any folder.
        speaker: Who speaks.
        accent: The speaker's accent.
        reference: The transcript as the corpus has it.
        hypothesis: The system's text as the model wrote it, not normalised.
        start: Where the utterance starts in the recording (s); None where it is the whole of it.
        end: Where it ends (s).
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    id: str
    audio: str
    speaker: str
    accent: str
    reference: str
    hypothesis: str
    start: float | None = None
    end: float | None = None


Hypotheses = Mapping[str, Mapping[str, Sequence[Hypothesis]]]
"""Hypotheses by system (`SYSTEMS`), then by set (`SETS`)."""


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


# --- what comes out -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RawScore:
    """Rates of the texts as they are, upper case and punctuation included (fractions)."""

    wer: float | None
    cer: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemScore:
    """One system on one set: pooled rates (fractions) and word errors of the normalised texts.

    Attributes:
        wer: Word error rate; None where nothing was said and words were heard.
        interval: Its interval of 95 %, by bootstrap over the speakers; None with one speaker.
        cer: Character error rate.
        match_error_rate: Errors for each word of the alignment (Morris, Maier & Green 2004), at
            most 1; None where there is none.
        substitutions: Words heard as others.
        deletions: Words not heard.
        insertions: Words that were not said.
        raw: Rates of the texts as they are.
    """

    wer: float | None
    interval: Interval | None = None
    cer: float | None
    match_error_rate: float | None = None
    substitutions: int
    deletions: int
    insertions: int
    raw: RawScore


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherTests:
    """What other tests say of the same difference; no verdict rests on them."""

    mapsswe: Mapsswe
    mcnemar: Mcnemar


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What adaptation changed, adapted against base.

    Attributes:
        wer: Absolute difference of the WER, adapted - base (a fraction): negative is better.
        wer_relative_reduction: The share of the base's WER that is gone (a fraction): positive is
            better; None where the base has no errors.
        cer: As `wer`, of the CER.
        cer_relative_reduction: As `wer_relative_reduction`, of the CER.
        interval: The interval of 95 % of `wer`, by bootstrap over the speakers; None with one.
        p_value: How often flipped signs of the speakers' differences give one as large.
        least_p_value: The least that this test can find with so many speakers.
        corrected_p_value: `p_value`, corrected for the number of sets (Holm 1979).
        test: What the p-value is of.
        speakers: How many speakers the interval and the test rest on.
        verdict: What follows, see `significance.verdict`.
        other_tests: Second opinions.
    """

    wer: float | None
    wer_relative_reduction: float | None
    cer: float | None
    cer_relative_reduction: float | None
    interval: Interval | None = None
    p_value: float | None = None
    least_p_value: float | None = None
    corrected_p_value: float | None = None
    test: str = "sign flips over speakers"
    speakers: int = 0
    verdict: Verdict | None = None
    other_tests: OtherTests | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerScore:
    """One speaker's pooled WER before and after (fractions)."""

    speaker: str
    utterances: int
    words: int
    base_wer: float | None
    adapted_wer: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An utterance whose word errors changed; its texts are those that were scored, normalised."""

    id: str
    speaker: str
    reference: str
    base: str
    adapted: str
    base_errors: int
    adapted_errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetScore:
    """Both systems on one set; words, speakers and utterances are those of the references."""

    utterances: int
    speakers: int
    words: int
    base: SystemScore
    adapted: SystemScore
    difference: Difference
    per_speaker: tuple[SpeakerScore, ...]
    repaired: tuple[Example, ...]
    broken: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A run's facts and the scores of its sets: all that a reader of `report.json` gets."""

    facts: RunFacts
    sets: Mapping[str, SetScore]

    def to_json(self) -> str:
        """Return the content of `report.json`: the facts' keys and `sets`, side by side.

        The same facts and hypotheses give the same bytes. A number that is not finite becomes null.
        """
        facts = dataclasses.asdict(self.facts)
        facts["versions"] = dict(sorted(facts["versions"].items()))
        sets = {name: dataclasses.asdict(self.sets[name]) for name in SETS if name in self.sets}
        tree = _finite({**facts, "sets": sets})
        return json.dumps(tree, ensure_ascii=False, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the report that `to_json` wrote.

        Raises:
            DataError: The text is no such report; each fault has its path.
        """
        try:
            tree = json.loads(text)
        except ValueError as error:
            raise DataError(f"report.json must be valid JSON, but: {error}") from error
        if not isinstance(tree, dict):
            raise DataError(f"report.json must hold an object, got {type(tree).__name__}")
        sets = tree.pop("sets", None)
        try:
            facts = TypeAdapter(RunFacts).validate_python(tree)
            return cls(facts, TypeAdapter(dict[str, SetScore]).validate_python(sets))
        except ValidationError as error:
            raise DataError("report.json does not fit", faults=_faults(error)) from error


# --- the files ------------------------------------------------------------------------------------


def write_hypotheses(
    rows: Sequence[Hypothesis], directory: Path, *, name: str, system: str
) -> Path:
    """Write one set's hypotheses of one system into a run folder, and return the file.

    A relative `audio` is made absolute; `start` and `end` are written where there are any.

    Args:
        rows: The hypotheses, in the order of the corpus.
        directory: The run folder.
        name: The set, one of `SETS`.
        system: One of `SYSTEMS`.

    Raises:
        OutputError: The folder cannot be written.
    """
    path = _hypotheses_path(directory, name, system)
    write_jsonl(
        path,
        (
            {
                key: str(Path(value).absolute()) if key == "audio" else value
                for key, value in dataclasses.asdict(row).items()
                if value is not None
            }
            for row in rows
        ),
    )
    return path


def read_hypotheses(directory: Path) -> dict[str, dict[str, tuple[Hypothesis, ...]]]:
    """Return the hypotheses of a run folder by system, then by set.

    Raises:
        DataError: There are none, a set has one system's file alone, or rows do not fit; all faults
            at once, each with its file and line.
    """
    found: dict[str, dict[str, tuple[Hypothesis, ...]]] = {system: {} for system in SYSTEMS}
    faults: list[str] = []
    for name in SETS:
        paths = {system: _hypotheses_path(directory, name, system) for system in SYSTEMS}
        there = [system for system, path in paths.items() if path.is_file()]
        if len(there) == 1:
            faults.append(f"{paths[there[0]].name}: the other system's file is missing")
        for system in there:
            found[system][name] = _read_hypotheses_file(paths[system], faults)
    if faults:
        raise DataError(f"{directory / 'hypotheses'} does not fit", faults=tuple(faults))
    if not found["base"]:
        raise DataError(
            f"{directory} must hold hypotheses/<set>.base.jsonl and hypotheses/<set>.adapted.jsonl "
            f"of at least one set ({', '.join(SETS)}); name a folder that a run wrote"
        )
    return found


def _hypotheses_path(directory: Path, name: str, system: str) -> Path:
    return directory / "hypotheses" / f"{name}.{system}.jsonl"


def _read_hypotheses_file(path: Path, faults: list[str]) -> tuple[Hypothesis, ...]:
    adapter = TypeAdapter(Hypothesis)
    rows = []
    for line, row in read_jsonl(path):
        try:
            rows.append(adapter.validate_python(row))
        except ValidationError as error:
            faults.extend(f"{path.name}:{line}: {fault}" for fault in _faults(error))
    return tuple(rows)


def _faults(error: ValidationError) -> tuple[str, ...]:
    return tuple(
        f"{'.'.join(map(str, fault['loc'])) or 'the whole'}: {fault['msg']}"
        for fault in error.errors(include_url=False)
    )


# --- the scores -----------------------------------------------------------------------------------


def make_report(
    facts: RunFacts,
    base: Mapping[str, Sequence[Hypothesis]],
    adapted: Mapping[str, Sequence[Hypothesis]],
) -> Report:
    """Return the report of a run: both systems' hypotheses, by set, scored with its normaliser.

    Raises:
        DataError: The two systems do not hold the same sets, or a set not the same utterances.
        ConfigError: The normaliser is unknown.
    """
    if base.keys() != adapted.keys():
        raise DataError(
            "Base and adapted must hold the same sets, got "
            f"{', '.join(base) or 'none'} and {', '.join(adapted) or 'none'}"
        )
    sets = {
        name: score(rows, adapted[name], normaliser=facts.normaliser, seed=facts.seed)
        for name, rows in base.items()
    }
    return Report(facts, judged(sets, max_forgetting=facts.max_forgetting))


def remake_report(directory: Path, *, normaliser: str | None = None) -> Report:
    """Return the report of a run folder: its hypotheses scored again, with its old report's facts.

    Args:
        directory: The run folder.
        normaliser: Score with this normaliser, in place of the run's own.

    Raises:
        DataError: `report.json` or the hypotheses are missing or do not fit.
    """
    path = directory / "report.json"
    if not path.is_file():
        raise DataError(f"{directory} must hold a report.json; name a folder that a run wrote")
    facts = Report.from_json(path.read_text(encoding="utf-8")).facts
    if normaliser is not None:
        facts = dataclasses.replace(facts, normaliser=normaliser)
    hypotheses = read_hypotheses(directory)
    return make_report(facts, hypotheses["base"], hypotheses["adapted"])


@dataclass(frozen=True, slots=True)
class _Counted:
    """A hypothesis with its errors; `reference` and `text` are normalised."""

    row: Hypothesis
    reference: str
    text: str
    steps: Steps
    words: ErrorCounts
    characters: ErrorCounts
    raw_words: ErrorCounts
    raw_characters: ErrorCounts


def score(
    base: Sequence[Hypothesis], adapted: Sequence[Hypothesis], *, normaliser: str, seed: int = 0
) -> SetScore:
    """Return both systems' scores on one set, paired by utterance id; without a verdict.

    The order of the rows does not matter: the base's is the order of the result.

    Args:
        base: What the base heard.
        adapted: What the adapted model heard.
        normaliser: What both texts and the references are normalised with.
        seed: Draws the resamples.

    Raises:
        DataError: The two systems do not hold the same utterances, or an id stands twice, or a
            reference or a speaker differs between them.
        ConfigError: The normaliser is unknown.
    """
    _check_pairs(base, adapted)
    by_id = {row.id: row for row in adapted}
    normalise = normaliser_named(normaliser)
    before = [_count(row, normalise) for row in base]
    after = [_count(by_id[row.id], normalise) for row in base]
    pairs = _pairs(before, after)
    resampled, flipped = intervals(pairs, seed=seed), sign_flips(pairs, seed=seed)
    base_score = _system_score(before, resampled.base)
    adapted_score = _system_score(after, resampled.adapted)
    return SetScore(
        utterances=len(before),
        speakers=flipped.speakers,
        words=total(item.words for item in before).references,
        base=base_score,
        adapted=adapted_score,
        difference=Difference(
            wer=_minus(adapted_score.wer, base_score.wer),
            wer_relative_reduction=_relative_reduction(base_score.wer, adapted_score.wer),
            cer=_minus(adapted_score.cer, base_score.cer),
            cer_relative_reduction=_relative_reduction(base_score.cer, adapted_score.cer),
            interval=resampled.difference,
            p_value=flipped.p_value,
            least_p_value=flipped.least_p_value,
            speakers=flipped.speakers,
            other_tests=OtherTests(
                mapsswe=mapsswe(
                    (first.steps, second.steps) for first, second in zip(before, after, strict=True)
                ),
                mcnemar=mcnemar(pairs),
            ),
        ),
        per_speaker=_per_speaker(before, after),
        repaired=_examples(before, after, sign=-1),
        broken=_examples(before, after, sign=1),
    )


def judged(sets: Mapping[str, SetScore], *, max_forgetting: float | None) -> dict[str, SetScore]:
    """Return the sets with a verdict each, p-values corrected for their number (Holm 1979).

    The general accent has a budget, `max_forgetting` (points); see `significance.verdict`.
    """
    given = (each.difference.p_value for each in sets.values())
    p_values = [1.0 if each is None else each for each in given]
    found = {}
    for (name, each), p_value in zip(sets.items(), holm(p_values), strict=True):
        difference = dataclasses.replace(each.difference, corrected_p_value=p_value)
        budget = max_forgetting if name == "general" else None
        reached = verdict(
            difference.interval, p_value, budget=None if budget is None else budget / 100
        )
        found[name] = dataclasses.replace(
            each, difference=dataclasses.replace(difference, verdict=reached)
        )
    return found


def _pairs(before: Sequence[_Counted], after: Sequence[_Counted]) -> Pairs:
    numbers: dict[str, int] = {}
    columns = (
        [numbers.setdefault(item.row.speaker, len(numbers)) for item in before],
        [item.words.references for item in before],
        [item.words.errors for item in before],
        [item.words.errors for item in after],
    )
    return Pairs(*(np.array(column, dtype=np.int64) for column in columns))


def _check_pairs(base: Sequence[Hypothesis], adapted: Sequence[Hypothesis]) -> None:
    faults = [
        f"utterance {id_!r}: {count} times in {system}"
        for system, rows in (("base", base), ("adapted", adapted))
        for id_, count in Counter(row.id for row in rows).items()
        if count > 1
    ]
    before, after = {row.id: row for row in base}, {row.id: row for row in adapted}
    faults += [f"utterance {id_!r}: in base alone" for id_ in before if id_ not in after]
    faults += [f"utterance {id_!r}: in adapted alone" for id_ in after if id_ not in before]
    for id_ in before.keys() & after.keys():
        for name in ("reference", "speaker"):
            first, second = getattr(before[id_], name), getattr(after[id_], name)
            if first != second:
                faults.append(f"utterance {id_!r}: {name} {first!r} in base, {second!r} in adapted")
    if faults:
        raise DataError(
            "Base and adapted must hold the same utterances to be compared; transcribe the set "
            "again with both",
            faults=tuple(sorted(faults)),
        )


def _count(row: Hypothesis, normalise: Normaliser) -> _Counted:
    reference, text = normalise(row.reference), normalise(row.hypothesis)
    steps = align(reference.split(), text.split())
    return _Counted(
        row,
        reference,
        text,
        steps,
        counted(steps),
        character_errors(reference, text),
        word_errors(row.reference, row.hypothesis),
        character_errors(row.reference, row.hypothesis),
    )


def _system_score(items: Sequence[_Counted], interval: Interval | None) -> SystemScore:
    words = total(item.words for item in items)
    aligned = words.references + words.insertions
    return SystemScore(
        wer=_rate(words),
        interval=interval,
        cer=_rate(total(item.characters for item in items)),
        match_error_rate=words.errors / aligned if aligned else None,
        substitutions=words.substitutions,
        deletions=words.deletions,
        insertions=words.insertions,
        raw=RawScore(
            wer=_rate(total(item.raw_words for item in items)),
            cer=_rate(total(item.raw_characters for item in items)),
        ),
    )


def _per_speaker(before: Sequence[_Counted], after: Sequence[_Counted]) -> tuple[SpeakerScore, ...]:
    of_speaker: dict[str, list[tuple[ErrorCounts, ErrorCounts]]] = {}
    for first, second in zip(before, after, strict=True):
        of_speaker.setdefault(first.row.speaker, []).append((first.words, second.words))
    scores = []
    for speaker, pairs in sorted(of_speaker.items()):
        base, adapted = (total(pair[system] for pair in pairs) for system in (0, 1))
        scores.append(
            SpeakerScore(
                speaker=speaker,
                utterances=len(pairs),
                words=base.references,
                base_wer=_rate(base),
                adapted_wer=_rate(adapted),
            )
        )
    return tuple(scores)


def _examples(
    before: Sequence[_Counted], after: Sequence[_Counted], *, sign: int
) -> tuple[Example, ...]:
    """Return the utterances whose word errors changed most; `sign` -1: repaired, 1: broken."""
    changed = [
        Example(
            id=first.row.id,
            speaker=first.row.speaker,
            reference=first.reference,
            base=first.text,
            adapted=second.text,
            base_errors=first.words.errors,
            adapted_errors=second.words.errors,
        )
        for first, second in zip(before, after, strict=True)
        if (second.words.errors - first.words.errors) * sign > 0
    ]
    # The id breaks ties, so that the choice does not hang on the order of the rows.
    changed.sort(key=lambda item: (-abs(item.adapted_errors - item.base_errors), item.id))
    return tuple(changed[:EXAMPLES])


def _rate(counts: ErrorCounts) -> float | None:
    return counts.rate if math.isfinite(counts.rate) else None


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _relative_reduction(base: float | None, adapted: float | None) -> float | None:
    return None if not base or adapted is None else (base - adapted) / base


def _finite(value: Any) -> Any:
    """Return the tree with null for every number that JSON cannot hold."""
    match value:
        case dict():
            return {key: _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
