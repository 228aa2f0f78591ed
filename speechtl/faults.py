"""What can be wrong with a corpus: each kind of fault, how grave it is, and what to do about it.

An `error` is an utterance, a recording or a split that cannot be used, or must not: nothing is
trained before it is mended or left out. A `warning` is usable, and is likely to cost accuracy or to
flatter a score.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from speechtl.errors import DataError

__all__ = ["KINDS", "OF_SPLITS", "VERDICT_SPEAKERS", "Fault", "FaultKind", "Grade", "data_error"]

Grade = Literal["error", "warning"]

_SHOWN = 50


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One kind of fault.

    Attributes:
        grade: `error` or `warning`.
        about: What it is found in: `source`, `row`, `text`, `audio`, `fit` (of a transcript to its
            audio), `speakers` or `splits`.
        meaning: What is wrong, in a phrase.
        remedy: What to do, in the imperative.
    """

    grade: Grade
    about: Literal["source", "row", "text", "audio", "fit", "speakers", "splits"]
    meaning: str
    remedy: str


KINDS: dict[str, FaultKind] = {
    # --- what cannot be read at all
    "source-missing": FaultKind(
        "error", "source", "a file or folder of the source is not there", "check the path"
    ),
    "not-utf8": FaultKind("error", "source", "text is not UTF-8", "save the file as UTF-8"),
    "malformed": FaultKind(
        "error",
        "source",
        "a row or a file is not well-formed",
        "correct it where it says, or export it again",
    ),
    "cell-count": FaultKind(
        "error",
        "source",
        "a row has more or fewer cells than the header",
        "quote cells that hold the delimiter, and give each row all cells",
    ),
    "column-missing": FaultKind(
        "error",
        "source",
        "a needed column is not there",
        "name it with --column FIELD=NAME, or add it",
    ),
    "column-repeated": FaultKind(
        "error", "source", "two columns have one name", "rename or remove one of them"
    ),
    "empty-source": FaultKind(
        "error", "source", "there is no utterance in it", "give a source that has some"
    ),
    "audio-unused": FaultKind(
        "warning",
        "source",
        "a recording of the folder is in no row",
        "add its transcript, or remove it",
    ),
    "reference-missing": FaultKind(
        "error",
        "source",
        "a row names a recording, segment or tier that is not there",
        "add what it names, or remove the row",
    ),
    "name-ambiguous": FaultKind(
        "error",
        "source",
        "two files have one name, so that it is unclear which is meant",
        "rename or remove all of them but one",
    ),
    "accent-unlabelled": FaultKind(
        "warning",
        "source",
        "rows name no accent and were left out",
        "name the accent of all of them with --accent, if it is one",
    ),
    "sentence-reported": FaultKind(
        "warning",
        "source",
        "rows whose sentence was reported as faulty were left out",
        "move the list of the reports elsewhere to have them",
    ),
    # --- rows
    "field-missing": FaultKind(
        "error", "row", "a field that each row must have is not there", "add it"
    ),
    "field-empty": FaultKind(
        "error", "row", "a field has no value", "fill it in or remove the row"
    ),
    "text-empty": FaultKind(
        "error", "row", "the transcript is empty", "fill it in or remove the row"
    ),
    "speaker-missing": FaultKind(
        "error",
        "row",
        "nothing says who speaks, so that splits cannot keep speakers apart",
        "fill in the column, or name who speaks all of it with --speaker",
    ),
    "accent-missing": FaultKind(
        "error",
        "row",
        "nothing says which accent is spoken",
        "fill in the column, or name it for all with --accent",
    ),
    "field-type": FaultKind("error", "row", "a value is of the wrong kind", "write it as text"),
    "bad-unicode": FaultKind(
        "error", "row", "text holds half a surrogate pair", "export the text again as UTF-8"
    ),
    "id-repeated": FaultKind("error", "row", "two utterances have one id", "give each its own id"),
    "audio-missing": FaultKind(
        "error", "row", "a recording is not there", "put the file there or remove the row"
    ),
    "audio-outside": FaultKind(
        "error",
        "row",
        "a relative path leads out of the folder",
        "copy the recording there, move the manifest up, or give the whole path",
    ),
    "audio-path": FaultKind("error", "row", "a path cannot be used", "give the path of a file"),
    "time-missing": FaultKind(
        "error", "row", "only one of start and end is given", "give both or none"
    ),
    "time-value": FaultKind(
        "error",
        "row",
        "start or end is no finite number of seconds from 0",
        "give seconds, such as 12.5",
    ),
    "time-order": FaultKind(
        "error", "row", "start is not before end", "correct the times, or remove the row"
    ),
    "split-unknown": FaultKind(
        "error", "row", "the split is none of train, dev and test", "name one of them, or none"
    ),
    "segment-repeated": FaultKind(
        "error",
        "row",
        "one stretch of a recording is in two rows",
        "remove one of them",
    ),
    "segment-overlap": FaultKind(
        "warning",
        "row",
        "two stretches of a recording overlap",
        "check their times; where people speak at once, leave both out of training",
    ),
    "licence-missing": FaultKind(
        "warning",
        "row",
        "no licence is known",
        "name it with --licence, such as CC-BY-4.0: it goes into the model card",
    ),
    "licence-restricted": FaultKind(
        "warning",
        "row",
        "the licence forbids some uses (non-commercial, no derivatives, research alone)",
        "check that the use that you intend is allowed",
    ),
    # --- transcripts
    "text-no-words": FaultKind(
        "error", "text", "the transcript has no word", "write what is said, or remove the row"
    ),
    "text-placeholder": FaultKind(
        "warning",
        "text",
        "the transcript looks like a placeholder or a file name",
        "write what is said, or remove the row",
    ),
    "text-markup": FaultKind(
        "warning",
        "text",
        "the transcript holds an annotation",
        "remove it, or spell out what is heard",
    ),
    "text-digits": FaultKind(
        "warning",
        "text",
        "numbers are not spelled",
        "write them as they are said, or prepare with --numbers words",
    ),
    "text-encoding": FaultKind(
        "warning",
        "text",
        "letters were garbled by a wrong encoding",
        "export the text again as UTF-8",
    ),
    "text-invisible": FaultKind(
        "warning",
        "text",
        "the transcript holds control or invisible characters",
        "remove them; `speechtl data prepare` does",
    ),
    "text-spaces": FaultKind(
        "warning",
        "text",
        "spaces stand at the ends, twice, or are line breaks",
        "make them single; `speechtl data prepare` does",
    ),
    "text-composition": FaultKind(
        "warning",
        "text",
        "letters and their accents are separate characters (not Unicode NFC)",
        "compose them; `speechtl data prepare` does",
    ),
    "text-letters": FaultKind(
        "warning",
        "text",
        "letters of another script stand among Latin ones",
        "type them again in Latin: to a model, look-alikes such as Cyrillic а are other letters",
    ),
    "text-vocabulary": FaultKind(
        "error",
        "text",
        "the model's vocabulary lacks a character, even in the plain spelling",
        "spell it with the vocabulary's characters, prepare with --model, or train a new head "
        "(--strategy new-head)",
    ),
    "text-case": FaultKind(
        "warning",
        "text",
        "transcripts are in capitals alone, which a Whisper would learn to write",
        "prepare with --case lower; a CTC model takes its vocabulary's case by itself",
    ),
    "text-repeated": FaultKind(
        "warning",
        "text",
        "a speaker's recordings of one sentence are many",
        "check that transcripts were not copied to other recordings",
    ),
    "text-near": FaultKind(
        "warning",
        "text",
        "a sentence is almost that of another split",
        "split with --disjoint speaker+prompt, or move it to the other's split",
    ),
    # --- recordings
    "audio-unreadable": FaultKind(
        "error", "audio", "a recording cannot be decoded", "copy it again or convert it to WAV"
    ),
    "audio-truncated": FaultKind(
        "error", "audio", "a recording is cut off", "copy it again from its source"
    ),
    "audio-empty": FaultKind(
        "error", "audio", "a recording holds no samples", "remove it or record it again"
    ),
    "audio-not-finite": FaultKind(
        "error", "audio", "a recording holds values that are no numbers", "export it again"
    ),
    "audio-silent": FaultKind(
        "error", "audio", "there is nothing to hear", "remove the row or record it again"
    ),
    "audio-clipped": FaultKind(
        "warning",
        "audio",
        "the level was too high: samples are cut off at the top",
        "take the recording before it was amplified, or leave it out where it is much",
    ),
    "audio-offset": FaultKind(
        "warning",
        "audio",
        "the waveform lies beside zero (DC offset)",
        "remove the offset: a high-pass at 20 Hz does",
    ),
    "audio-quiet": FaultKind(
        "warning", "audio", "the level is very low", "amplify it, or record it again"
    ),
    "audio-noisy": FaultKind(
        "warning",
        "audio",
        "noise is almost as loud as speech",
        "listen to it, and leave it out where words are hard to make out",
    ),
    "audio-rate": FaultKind(
        "warning",
        "audio",
        "the sample rate is below 16 kHz, which the models were trained on",
        "take the original where it had a higher rate; else expect more errors",
    ),
    "audio-rates-mixed": FaultKind(
        "warning",
        "audio",
        "recordings have several sample rates below 16 kHz or above it",
        "check that the splits have the same mixture: else a score compares telephones too",
    ),
    "audio-band": FaultKind(
        "warning",
        "audio",
        "nothing lies above 4 kHz although the sample rate would allow it",
        "take the original: it was a telephone's, or resampled through 8 kHz",
    ),
    "audio-channels": FaultKind(
        "warning",
        "audio",
        "two channels differ, and are averaged",
        "where each has its own speaker, write them to two files",
    ),
    "audio-suffix": FaultKind(
        "warning",
        "audio",
        "a file's name says another format than its content",
        "rename it",
    ),
    "audio-short": FaultKind(
        "error",
        "audio",
        "the utterance is too short for any model (less than 400 samples, 25 ms)",
        "correct its times, or remove the row",
    ),
    "audio-brief": FaultKind(
        "warning",
        "audio",
        "the utterance is shorter than 0.3 s",
        "check its times; so short a stretch teaches little",
    ),
    "audio-long": FaultKind(
        "error",
        "audio",
        "the utterance is longer than 30 s, a Whisper's window",
        "cut it: give times, or `speechtl data align` finds them",
    ),
    "audio-pauses": FaultKind(
        "warning",
        "audio",
        "silence before or after the speech is long",
        "cut it off; `speechtl data prepare --trim` does",
    ),
    "audio-times": FaultKind(
        "error",
        "audio",
        "start or end lies outside of the recording",
        "correct the times",
    ),
    "audio-repeated": FaultKind(
        "warning",
        "audio",
        "one recording is there twice, with one transcript",
        "remove one of them",
    ),
    "audio-conflict": FaultKind(
        "error",
        "audio",
        "one recording is there twice, with two transcripts",
        "keep the right one",
    ),
    # --- transcripts and their audio
    "fit-frames": FaultKind(
        "error",
        "fit",
        "the transcript has more characters than CTC can place in its frames",
        "check the transcript and the times, or leave the row out",
    ),
    "fit-tokens": FaultKind(
        "error",
        "fit",
        "the transcript has more tokens than Whisper's decoder takes (448)",
        "cut the utterance",
    ),
    "fit-fast": FaultKind(
        "warning",
        "fit",
        "more is written than can be said in the time",
        "check the transcript and the times",
    ),
    "fit-slow": FaultKind(
        "warning",
        "fit",
        "little is written for the time that is spoken",
        "check that the transcript is whole",
    ),
    "fit-outlier": FaultKind(
        "warning",
        "fit",
        "the model hears something else than the transcript",
        "listen to it: transcripts are swapped or wrong more often than speech is odd",
    ),
    # --- speakers and accents
    "speaker-variants": FaultKind(
        "warning",
        "speakers",
        "names of speakers differ in case, spaces or hyphens alone",
        "make them one name if they are one person: else the person is in two splits",
    ),
    "accent-variants": FaultKind(
        "warning",
        "speakers",
        "names of accents differ in case, spaces or hyphens alone",
        "make them one name",
    ),
    "speaker-accents": FaultKind(
        "warning", "speakers", "a speaker has several accents", "give each speaker one"
    ),
    "speaker-sexes": FaultKind(
        "warning", "speakers", "a speaker has several sexes", "give each speaker one"
    ),
    "speaker-each-own": FaultKind(
        "warning",
        "speakers",
        "each utterance has a speaker of its own",
        "check the column: it may be the utterance's id",
    ),
    "speakers-few": FaultKind(
        "warning",
        "speakers",
        "an accent has fewer than six speakers, which gives no verdict",
        "add speakers, or test all of them with --folds",
    ),
    # --- splits
    "split-speaker": FaultKind(
        "error", "splits", "a speaker is in two splits", "move all of the speaker's to one side"
    ),
    "split-audio": FaultKind(
        "error", "splits", "a recording is in two splits", "remove it from one of them"
    ),
    "split-prompt": FaultKind(
        "warning",
        "splits",
        "a sentence is in two splits",
        "split with --disjoint speaker+prompt, or read the score of unseen sentences",
    ),
    "split-partial": FaultKind(
        "error",
        "splits",
        "some utterances of an accent have a split, and others have none",
        "give each a split, or split all anew with --resplit",
    ),
    "split-empty": FaultKind(
        "error",
        "splits",
        "an accent has splits, and one of them is empty",
        "move speakers into it, or split all anew with --resplit",
    ),
    "split-small": FaultKind(
        "warning",
        "splits",
        "a test split is too small to show anything",
        "give it more speakers and minutes, or test all speakers with --folds",
    ),
}
"""Every kind, by its name."""

OF_SPLITS = frozenset(name for name, kind in KINDS.items() if kind.about == "splits") | {
    "text-near"
}
"""Kinds that say something of the splits, and nothing of a corpus that is split anew."""

VERDICT_SPEAKERS = 6
"""Fewer test speakers give no verdict (see `speechtl.significance`)."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with a corpus.

    Attributes:
        kind: A name in `KINDS`, which gives the grade and the remedy.
        place: Where: `file:line`, a file, or what else a person can find.
        message: What was found, with the value.
        utterance: The utterance's id, where there is one.
    """

    kind: str
    place: str
    message: str
    utterance: str | None = None

    @property
    def grade(self) -> Grade:
        """`error` or `warning`."""
        return KINDS[self.kind].grade

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return KINDS[self.kind].remedy

    def __str__(self) -> str:
        named = "" if self.utterance is None else f"utterance {self.utterance!r}: "
        return f"{self.place}: {named}{self.message}; {self.remedy}"


def data_error(message: str, faults: Iterable[Fault]) -> DataError:
    """Return the error that lists faults, a line for each of the first 50."""
    lines = [str(fault) for fault in faults]
    more = len(lines) - _SHOWN
    shown = (*lines[:_SHOWN], *([f"and {more} more"] if more > 0 else []))
    return DataError(message, faults=shown)
