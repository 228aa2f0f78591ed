"""All that is wrong with a corpus, found at once, before a minute is trained.

Each module finds faults of one sort: `transcripts` and `people` in what is written, `recordings` in
what is heard, `fit` between the two; `splits.leakage_report` in how the corpus is parted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from speechtl.checks.fit import model_faults, outlier_faults, rate_faults
from speechtl.checks.people import people_faults, segment_faults
from speechtl.checks.recordings import AudioFacts, UtteranceAudio, audio_faults, inspect
from speechtl.checks.transcripts import transcript_faults
from speechtl.corpus import Corpus, Utterance
from speechtl.faults import KINDS, Fault
from speechtl.progress import Track, silent
from speechtl.sources import Reading

if TYPE_CHECKING:
    from speechtl.models import SpeechModel
    from speechtl.splits import LeakageReport

__all__ = ["Findings", "check", "unusable"]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a check found.

    Attributes:
        reading: What was checked.
        faults: All that is wrong: what could not be read, then errors, then warnings; within these
            in the order of `faults.KINDS` and of the source.
        audio: What the recordings tell, by utterance; empty where they were not looked at.
        leakage: What the splits share; None where there are none.
    """

    reading: Reading
    faults: tuple[Fault, ...]
    audio: Mapping[str, AudioFacts] = field(default_factory=dict)
    leakage: LeakageReport | None = None

    def duration_s(self, utterance: Utterance) -> float | None:
        """Return an utterance's length in seconds; None where it is not known."""
        return _length(utterance, self.audio)


def check(
    reading: Reading,
    *,
    recordings: bool = True,
    model: SpeechModel | None = None,
    store: Path | None = None,
    workers: int | None = None,
    track: Track = silent,
) -> Findings:
    """Return all that is wrong with a corpus.

    Args:
        reading: What was read of its source.
        recordings: Whether recordings are decoded; else the audio is only known to be there.
        model: What shall be trained on it, to find transcripts that it cannot spell, cannot place
            or does not hear; None leaves that out.
        store: The file that keeps what recordings tell, so that a check goes on where it stopped.
        workers: Threads that decode; None is one for each processor.
        track: Shows progress.

    Raises:
        OutputError: The store cannot be read or written.
    """
    corpus, place = reading.corpus, reading.place
    found = [*transcript_faults(corpus, place), *people_faults(corpus, place)]
    found += segment_faults(corpus, place)
    audio = inspect(corpus, store=store, workers=workers, track=track) if recordings else {}
    if recordings:
        found += audio_faults(corpus, audio, place=place)
        found += rate_faults(corpus, place, spoken_s=lambda each: _spoken(each, audio))
    if model is not None:
        own = model_faults(corpus, model, place, duration_s=lambda each: _length(each, audio))
        found += _unless_told(own, found)
        if recordings:
            wrong = {fault.utterance for fault in found if fault.grade == "error"}
            sound = Corpus(each for each in corpus if each.id not in wrong)
            found += outlier_faults(sound, model, place, track=track)
    leakage, shared = _leakage(corpus, audio, heard=recordings)
    # Copies of recordings are told with the recordings, one by one.
    found += [fault for fault in shared if fault.kind != "split-audio" or not recordings]
    order = {kind: number for number, kind in enumerate(KINDS)}
    found.sort(key=lambda fault: (fault.grade != "error", order[fault.kind]))
    return Findings(reading=reading, faults=(*reading.faults, *found), audio=audio, leakage=leakage)


def unusable(findings: Findings) -> dict[str, Fault]:
    """Return the utterances that cannot be trained on or scored, by id, each with its first error.

    Rows that could not be read are no utterances. Faults that are not one utterance's, such as a
    speaker in two splits, are not among them.
    """
    own = findings.faults[len(findings.reading.faults) :]
    found = {
        fault.utterance: fault
        for fault in reversed(own)
        if fault.grade == "error" and fault.utterance is not None
    }
    for utterance in findings.reading.corpus:
        facts = findings.audio.get(utterance.id)
        # A recording that cannot be decoded is told once, whatever the number of its utterances.
        if facts is not None and not isinstance(facts, UtteranceAudio):
            place = findings.reading.place(utterance)
            found[utterance.id] = Fault(facts.kind, place, facts.finding, utterance.id)
    return found


def _leakage(
    corpus: Corpus, audio: Mapping[str, AudioFacts], *, heard: bool
) -> tuple[LeakageReport | None, list[Fault]]:
    if not any(utterance.split for utterance in corpus):
        return None, []
    from speechtl.splits import leakage_report  # noqa: PLC0415  (Numba takes a second)

    def digest(utterance: Utterance) -> bytes:
        facts = audio.get(utterance.id)
        if isinstance(facts, UtteranceAudio):
            return facts.digest.encode()
        return utterance.id.encode()

    lengths = {each.id: _length(each, audio) for each in corpus if each.split == "test"}
    report = leakage_report(
        corpus,
        duration=lambda each: _length(each, audio) or 0.0,
        digest=digest if heard else None,
    )
    # Minutes that are not known are not few.
    known = None not in lengths.values()
    return report, [fault for fault in report.faults() if known or fault.kind != "split-small"]


def _length(utterance: Utterance, audio: Mapping[str, AudioFacts]) -> float | None:
    facts = audio.get(utterance.id)
    if isinstance(facts, UtteranceAudio):
        return facts.duration_s
    return None if utterance.end is None else utterance.end - (utterance.start or 0.0)


def _spoken(utterance: Utterance, audio: Mapping[str, AudioFacts]) -> float | None:
    facts = audio.get(utterance.id)
    if not isinstance(facts, UtteranceAudio):
        return None
    return facts.duration_s - facts.leading_silence_s - facts.trailing_silence_s


def _unless_told(new: Iterable[Fault], told: Iterable[Fault]) -> list[Fault]:
    """Return the faults whose kind was not found in the same utterance before."""
    known = {(fault.kind, fault.utterance) for fault in told}
    return [fault for fault in new if (fault.kind, fault.utterance) not in known]
