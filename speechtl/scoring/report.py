"""Base and adapted hypotheses to one `Report`, with no model at hand."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import TypeAdapter, ValidationError

from speechtl import text
from speechtl.errors import DataError
from speechtl.metrics import ErrorCounts, character_error_rate, character_errors, rate_or_none
from speechtl.scoring.facts import RunFacts
from speechtl.scoring.groups import (
    Disparity,
    Groups,
    SpeakerScore,
    disparity,
    groups,
    per_speaker,
)
from speechtl.scoring.hypotheses import (
    SETS,
    SILENCE,
    Hypothesis,
    read_hypotheses,
    validation_faults,
)
from speechtl.scoring.paired import Heard, Paired, check_same, pair, renormalised
from speechtl.scoring.words import (
    Hallucination,
    Pronunciations,
    Silence,
    Vocabulary,
    hallucination,
    silence,
    vocabulary,
)
from speechtl.significance import (
    Bootstrapped,
    Interval,
    Mapsswe,
    Mcnemar,
    Verdict,
    holm,
    intervals,
    intervals_together,
    mapsswe,
    mcnemar,
    sign_flips,
    smallest_detectable,
    unpaired_interval,
    verdict,
)

__all__ = [
    "Difference",
    "Example",
    "Gain",
    "NormalisedScore",
    "OtherTests",
    "RawScore",
    "Report",
    "SetScore",
    "SilenceScore",
    "SystemScore",
    "finite",
    "judged",
    "make_report",
    "read_facts",
    "remake_report",
    "score",
]

EXAMPLES = 10
"""How many of the most repaired, and of the most broken, utterances a set keeps."""

ALSO = ("none", "whisper-english")
"""Normalisers under which every set is scored too, beside the run's own."""


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
        hallucination: Signs of text that nobody said.
    """

    wer: float | None
    interval: Interval | None = None
    cer: float | None
    match_error_rate: float | None = None
    substitutions: int
    deletions: int
    insertions: int
    raw: RawScore
    hallucination: Hallucination | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalisedScore:
    """The WERs of a set under another normaliser (fractions).

    Attributes:
        normaliser: Its name.
        version: Its version, see `text.version`.
        base: The base's WER.
        adapted: The adapted system's.
        difference: adapted - base.
        interval: The interval of 95 % of the difference, by bootstrap over the speakers.
    """

    normaliser: str
    version: str
    base: float | None
    adapted: float | None
    difference: float | None
    interval: Interval | None = None


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
        corrected_p_value: `p_value`, corrected for the number of sets (Holm 1979).
        least_p_value: The least that so many speakers can give, corrected alike.
        test: What the p-value is of.
        speakers: How many speakers the interval and the test rest on.
        smallest_detectable: The least true difference (a fraction) that four such test sets of five
            would show, see `significance.smallest_detectable`.
        budget: By how much the WER may rise (a fraction), where the set has a limit.
        verdict: What follows, see `significance.verdict`.
        other_tests: Second opinions.
    """

    wer: float | None
    wer_relative_reduction: float | None
    cer: float | None
    cer_relative_reduction: float | None
    interval: Interval | None = None
    p_value: float | None = None
    corrected_p_value: float | None = None
    least_p_value: float | None = None
    test: str = "sign flips over speakers"
    speakers: int = 0
    smallest_detectable: float | None = None
    budget: float | None = None
    verdict: Verdict | None = None
    other_tests: OtherTests | None = None


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
    base_character_errors: int = 0
    adapted_character_errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SetScore:
    """Both systems on one set; words, speakers and utterances are those of the references."""

    utterances: int
    speakers: int
    words: int
    base: SystemScore
    adapted: SystemScore
    difference: Difference
    normalised: tuple[NormalisedScore, ...] = ()
    per_speaker: tuple[SpeakerScore, ...]
    groups: Groups = field(default_factory=Groups)
    vocabulary: Vocabulary | None = None
    repaired: tuple[Example, ...]
    broken: tuple[Example, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """The change of the target's WER, split by a control set into two (differences, fractions).

    Attributes:
        all: Of the target set: adapted - base.
        recording: Of the control set, which has the target's recordings without its accent.
        accent: What is left: `all` - `recording`.
        interval: The interval of 95 % of `accent`, by bootstrap over the speakers of both sets.
    """

    all: float | None
    recording: float | None
    accent: float | None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceScore:
    """What both systems heard where nobody speaks."""

    base: Silence
    adapted: Silence


@dataclass(frozen=True, slots=True)
class Report:
    """A run's facts and the scores of its sets: all that a reader of `report.json` gets.

    Attributes:
        facts: What the hypotheses do not say.
        sets: The scores by set.
        normaliser_version: The version of the facts' normaliser.
        disparity: The spread between the accents of all sets; None with one accent.
        gain: The target's change, split by the control set; None without one, or where that is the
            general set.
        silence: What was heard where nobody speaks; None where that was not tried.
    """

    facts: RunFacts
    sets: Mapping[str, SetScore]
    normaliser_version: str | None = None
    disparity: Disparity | None = None
    gain: Gain | None = None
    silence: SilenceScore | None = None

    def to_json(self) -> str:
        """Return the content of `report.json`: the facts' keys and the scores', side by side.

        The same facts and hypotheses give the same bytes. A number that is not finite becomes null.
        """
        tree = dataclasses.asdict(self)
        facts = tree.pop("facts")
        facts["versions"] = dict(sorted(facts["versions"].items()))
        tree["sets"] = {name: tree["sets"][name] for name in SETS if name in self.sets}
        return (
            json.dumps(finite({**facts, **tree}), ensure_ascii=False, indent=2, allow_nan=False)
            + "\n"
        )

    @classmethod
    def from_json(cls, content: str) -> Self:
        """Return the report that `to_json` wrote.

        Raises:
            DataError: The text is no such report; each fault has its path.
        """
        tree = _tree(content)
        names = _fact_names()
        scores = {key: value for key, value in tree.items() if key not in names}
        scores["facts"] = {key: value for key, value in tree.items() if key in names}
        try:
            return TypeAdapter(cls).validate_python(scores)
        except ValidationError as error:
            raise DataError("report.json does not fit", faults=validation_faults(error)) from error

    @staticmethod
    def facts_of(content: str) -> RunFacts:
        """Return the facts of a report, whatever its scores are: those of an older version do too.

        Raises:
            DataError: The text is no such report; each fault has its path.
        """
        names = _fact_names()
        facts = {key: value for key, value in _tree(content).items() if key in names}
        try:
            return TypeAdapter(RunFacts).validate_python(facts)
        except ValidationError as error:
            raise DataError("report.json does not fit", faults=validation_faults(error)) from error


def _fact_names() -> frozenset[str]:
    return frozenset(each.name for each in dataclasses.fields(RunFacts))


def _tree(content: str) -> dict[str, Any]:
    try:
        tree = json.loads(content)
    except ValueError as error:
        raise DataError(f"report.json must be valid JSON, but: {error}") from error
    if not isinstance(tree, dict):
        raise DataError(f"report.json must hold an object, got {type(tree).__name__}")
    return tree


def make_report(
    facts: RunFacts,
    base: Mapping[str, Sequence[Hypothesis]],
    adapted: Mapping[str, Sequence[Hypothesis]],
    *,
    pronunciations: Pronunciations | None = None,
) -> Report:
    """Return the report of a run: both systems' hypotheses, by set, scored with its normaliser.

    Args:
        facts: What the hypotheses do not say.
        base: The base's hypotheses.
        adapted: Those of the adapted system.
        pronunciations: Groups words by their phones; without any, by how they are spelled.

    Raises:
        DataError: The two systems do not hold the same sets, or a set not the same utterances.
        ConfigError: The normaliser is unknown.
    """
    if base.keys() != adapted.keys():
        raise DataError(
            "Base and adapted must hold the same sets, got "
            f"{', '.join(base) or 'none'} and {', '.join(adapted) or 'none'}"
        )
    paired = {
        name: pair(rows, adapted[name], normaliser=facts.normaliser)
        for name, rows in base.items()
        if name != SILENCE
    }
    if SILENCE in base:
        check_same(base[SILENCE], adapted[SILENCE])
    accent_map = text.accent_map(facts.accent)
    tests = len(paired.keys() - {"control"})
    sets = {
        name: _scored(
            each,
            facts,
            tests=1 if name == "control" else tests,
            accent_map=accent_map,
            pronunciations=pronunciations,
        )
        for name, each in paired.items()
    }
    if facts.folds is not None:
        sets = {name: each if name == "target" else _of_folds(each) for name, each in sets.items()}
    return Report(
        facts=facts,
        sets=judged(sets, max_forgetting=facts.max_forgetting),
        normaliser_version=text.version(facts.normaliser),
        disparity=disparity(each for name, each in paired.items() if name != "control"),
        gain=_gain(paired, seed=facts.seed),
        silence=(
            SilenceScore(base=silence(base[SILENCE]), adapted=silence(adapted[SILENCE]))
            if SILENCE in base
            else None
        ),
    )


def read_facts(directory: Path) -> RunFacts:
    """Return the facts of a run folder's report.

    Raises:
        DataError: `report.json` is missing or does not fit.
    """
    path = directory / "report.json"
    if not path.is_file():
        raise DataError(f"{directory} must hold a report.json; name a folder that a run wrote")
    return Report.facts_of(path.read_text(encoding="utf-8"))


def remake_report(
    directory: Path,
    *,
    normaliser: str | None = None,
    pronunciations: Pronunciations | None = None,
) -> Report:
    """Return the report of a run folder: its hypotheses scored again, with its old report's facts.

    Args:
        directory: The run folder.
        normaliser: Score with this normaliser, in place of the run's own.
        pronunciations: Groups words by their phones; without any, by how they are spelled.

    Raises:
        DataError: `report.json` or the hypotheses are missing or do not fit.
        ConfigError: The normaliser is unknown.
    """
    facts = read_facts(directory)
    if normaliser is not None:
        facts = dataclasses.replace(facts, normaliser=normaliser)
    hypotheses = read_hypotheses(directory)
    return make_report(
        facts, hypotheses["base"], hypotheses["adapted"], pronunciations=pronunciations
    )


def score(
    base: Sequence[Hypothesis],
    adapted: Sequence[Hypothesis],
    *,
    normaliser: str,
    seed: int = 0,
    tests: int = 1,
) -> SetScore:
    """Return both systems' scores on one set, paired by utterance id; without a verdict.

    The order of the rows does not matter: the base's is the order of the result.

    Args:
        base: What the base heard.
        adapted: What the adapted model heard.
        normaliser: What both texts and the references are normalised with.
        seed: Draws the resamples.
        tests: How many sets are judged together.

    Raises:
        DataError: The two systems do not hold the same utterances, or an id stands twice, or a
            reference or a speaker differs between them.
        ConfigError: The normaliser is unknown.
    """
    paired = pair(base, adapted, normaliser=normaliser)
    resampled = intervals(paired.pairs, seed=seed)
    return _set_score(paired, renormalised(paired, "none"), resampled, seed=seed, tests=tests)


def judged(sets: Mapping[str, SetScore], *, max_forgetting: float | None) -> dict[str, SetScore]:
    """Return the sets with a verdict each, p-values corrected for their number (Holm 1979).

    The control set is left out of the correction, and its own p-value is not corrected: it tells
    what a gain is made of, and to ask for it must not make the gain harder to show. The general
    accent has a budget, `max_forgetting` (points); see `significance.verdict`.
    """
    family = [name for name in sets if name != "control"]
    found = {}
    for name, each in sets.items():
        budget = max_forgetting if name == "general" else None
        difference = dataclasses.replace(
            each.difference,
            budget=None if budget is None else budget / 100,
            corrected_p_value=_corrected(sets, family, name, each.difference.p_value),
            least_p_value=_corrected(sets, family, name, each.difference.least_p_value),
        )
        reached = verdict(
            difference.interval,
            _known(difference.corrected_p_value),
            speakers=difference.speakers,
            budget=difference.budget,
        )
        found[name] = dataclasses.replace(
            each, difference=dataclasses.replace(difference, verdict=reached)
        )
    return found


def _corrected(
    sets: Mapping[str, SetScore], family: Sequence[str], name: str, p_value: float | None
) -> float:
    """Return a p-value of a set, corrected for those of the other sets of its family."""
    if name not in family:
        return _known(p_value)
    p_values = [
        _known(p_value if other == name else sets[other].difference.p_value) for other in family
    ]
    return holm(p_values)[family.index(name)]


# --- a set ----------------------------------------------------------------------------------------


def _scored(
    paired: Paired,
    facts: RunFacts,
    *,
    tests: int,
    accent_map: str | None,
    pronunciations: Pronunciations | None,
) -> SetScore:
    """Return a set's scores with everything that is told beside them."""
    raw = renormalised(paired, "none")
    others = {
        name: raw if name == "none" else renormalised(paired, name)
        for name in _other_normalisers(facts.normaliser, accent_map)
    }
    pairs = [paired.pairs, *(other.pairs for other in others.values())]
    resampled, *further = intervals_together(pairs, seed=facts.seed)
    return dataclasses.replace(
        _set_score(paired, raw, resampled, seed=facts.seed, tests=tests),
        normalised=tuple(
            _normalised(other, name, found.difference)
            for (name, other), found in zip(others.items(), further, strict=True)
        ),
        groups=groups(paired, seed=facts.seed),
        vocabulary=vocabulary(paired, pronunciations=pronunciations),
    )


def _of_folds(score: SetScore) -> SetScore:
    """Return the score of a set that each fold's model heard, without what takes rows as apart.

    The same recordings stand in it once for each fold: speakers stay blocks, but utterances are no
    longer independent, so that what is computed of them would be too sure.
    """
    return dataclasses.replace(
        score,
        difference=dataclasses.replace(score.difference, other_tests=None),
        per_speaker=tuple(
            dataclasses.replace(
                each, base_interval=None, adapted_interval=None, difference_interval=None
            )
            for each in score.per_speaker
        ),
        repaired=_once(score.repaired),
        broken=_once(score.broken),
    )


def _once(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Return the first example of each recording; ids begin with that of their fold."""
    first: dict[str, Example] = {}
    for each in examples:
        first.setdefault(each.id.partition("/")[2], each)
    return tuple(first.values())


def _other_normalisers(own: str, accent_map: str | None) -> list[str]:
    """Return the normalisers that are shown beside a run's own: a map and its lack always both."""
    without_map, plus, _ = own.partition("+")
    names = [name for name in ALSO if name != own]
    if plus and without_map not in names:
        names.append(without_map)
    if accent_map is not None and not plus and own != "none":
        names.append(f"{own}+{accent_map}")
    return names


def _set_score(
    paired: Paired, raw: Paired, resampled: Bootstrapped, *, seed: int, tests: int
) -> SetScore:
    pairs = paired.pairs
    flipped = sign_flips(pairs, seed=seed)
    base = _system_score(paired, paired.base, raw, raw.base, resampled.base)
    adapted = _system_score(paired, paired.adapted, raw, raw.adapted, resampled.adapted)
    return SetScore(
        utterances=len(paired.rows),
        speakers=flipped.speakers,
        words=int(paired.words.sum()),
        base=base,
        adapted=adapted,
        difference=Difference(
            wer=_minus(adapted.wer, base.wer),
            wer_relative_reduction=_relative_reduction(base.wer, adapted.wer),
            cer=_minus(adapted.cer, base.cer),
            cer_relative_reduction=_relative_reduction(base.cer, adapted.cer),
            interval=resampled.difference,
            p_value=flipped.p_value,
            least_p_value=flipped.least_p_value,
            speakers=flipped.speakers,
            smallest_detectable=smallest_detectable(pairs, tests=tests),
            other_tests=OtherTests(
                mapsswe=mapsswe(zip(paired.base.steps, paired.adapted.steps, strict=True)),
                mcnemar=mcnemar(pairs),
            ),
        ),
        per_speaker=per_speaker(paired),
        repaired=_examples(paired, sign=-1),
        broken=_examples(paired, sign=1),
    )


def _system_score(
    paired: Paired, heard: Heard, raw: Paired, raw_heard: Heard, interval: Interval | None
) -> SystemScore:
    words = heard.total
    aligned = words.references + words.insertions
    return SystemScore(
        wer=_rate(words),
        interval=interval,
        cer=character_error_rate(paired.references, heard.texts),
        match_error_rate=words.errors / aligned if aligned else None,
        substitutions=words.substitutions,
        deletions=words.deletions,
        insertions=words.insertions,
        raw=RawScore(
            wer=_rate(raw_heard.total),
            cer=character_error_rate(raw.references, raw_heard.texts),
        ),
        hallucination=hallucination(paired, heard),
    )


def _normalised(paired: Paired, name: str, interval: Interval | None) -> NormalisedScore:
    base, adapted = (_rate(heard.total) for heard in paired.systems())
    return NormalisedScore(
        normaliser=name,
        version=text.version(name),
        base=base,
        adapted=adapted,
        difference=_minus(adapted, base),
        interval=interval,
    )


def _gain(paired: Mapping[str, Paired], *, seed: int) -> Gain | None:
    if not {"target", "control"} <= paired.keys():
        return None
    general = paired.get("general")
    same = general is not None and _utterances(general) == _utterances(paired["control"])
    if same and paired["control"].rows:
        return None  # what is general English was not recorded as the target was
    changes = {
        name: _minus(_rate(each.adapted.total), _rate(each.base.total))
        for name, each in paired.items()
    }
    return Gain(
        all=changes["target"],
        recording=changes["control"],
        accent=_minus(changes["target"], changes["control"]),
        interval=unpaired_interval(paired["target"].pairs, paired["control"].pairs, seed=seed),
    )


def _utterances(paired: Paired) -> set[tuple[str, str, str]]:
    return {(row.audio, row.speaker, row.reference) for row in paired.rows}


def _examples(paired: Paired, *, sign: int) -> tuple[Example, ...]:
    """Return the utterances whose word errors changed most; `sign` -1: repaired, 1: broken."""
    before, after = paired.base.errors, paired.adapted.errors
    changed = np.flatnonzero(sign * (after - before) > 0).tolist()
    # The id breaks ties, so that the choice does not hang on the order of the rows.
    changed.sort(key=lambda index: (-abs(int(after[index] - before[index])), paired.rows[index].id))
    return tuple(_example(paired, index) for index in changed[:EXAMPLES])


def _example(paired: Paired, index: int) -> Example:
    said = paired.references[index]
    base, adapted = (heard.texts[index] for heard in paired.systems())
    return Example(
        id=paired.rows[index].id,
        speaker=paired.rows[index].speaker,
        reference=said,
        base=base,
        adapted=adapted,
        base_errors=int(paired.base.errors[index]),
        adapted_errors=int(paired.adapted.errors[index]),
        base_character_errors=character_errors(said, base).errors,
        adapted_character_errors=character_errors(said, adapted).errors,
    )


def _rate(counts: ErrorCounts) -> float | None:
    return rate_or_none(counts.errors, counts.references)


def _minus(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _relative_reduction(base: float | None, adapted: float | None) -> float | None:
    return None if not base or adapted is None else (base - adapted) / base


def _known(p_value: float | None) -> float:
    return 1.0 if p_value is None else p_value


def finite(value: Any) -> Any:
    """Return the tree with null for every number that JSON cannot hold."""
    match value:
        case dict():
            return {key: finite(item) for key, item in value.items()}
        case list() | tuple():
            return [finite(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
