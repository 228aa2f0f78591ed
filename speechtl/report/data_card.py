"""A corpus' data card for people: one HTML file without script or request, and Markdown."""

from __future__ import annotations

import base64
import io
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import jinja2
import soundfile

from speechtl.audio import SAMPLE_RATE, read
from speechtl.data_card import (
    AccentFacts,
    Change,
    DataCard,
    Example,
    FaultGroup,
    Histogram,
    LicenceFacts,
    Quantiles,
    SpeakerFacts,
)
from speechtl.errors import DataError
from speechtl.leakage import Overlap
from speechtl.report import markdown as md
from speechtl.report.charts import axis_top
from speechtl.report.phrases import MINUS, NONE, SPACE, accent_name, count, percent, shown_name

__all__ = ["html", "markdown"]

SIZE_BUDGET = 1_900_000
"""Bytes of a card at most: recordings have what the text leaves."""

AUDIO_BUDGET = 1_400_000
"""Bytes of recordings (as base64) in a card at most."""

AT_ONCE = 30
"""Up to how many speakers or accents are listed in one table."""

AT_ENDS = 15
"""Of more, how many of the largest and of the smallest are listed before the rest is folded."""

LISTED = 300
"""How many speakers or accents are listed at most."""

UNUSUAL_LISTED = 60
"""How many characters are listed with their names."""

LETTERS = 240
"""Of a text or a message; what is longer is cut off."""

NAME_LETTERS = 80
"""The same, of a name."""

MUCH_SHARED = 0.1
"""Of the test utterances: with more sentences in train, the score is flattered."""

PSEUDONYMS = "Speakers and utterances have numbers for names; voices stay recognisable."
"""What is said of a card without names."""

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded(Generic[_Row]):
    """Rows of a long table: those at its ends, those between, and how many are not listed."""

    first: Sequence[_Row]
    last: Sequence[_Row]
    between: Sequence[_Row]
    omitted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar of a histogram, in per cent of the box, and what it stands for."""

    x: float
    width: float
    height: float
    place: str
    utterances: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A number below a histogram, in per cent of its width."""

    x: float
    anchor: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A histogram as it is drawn; `median` lies in per cent of its width."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    top: str
    median: float
    median_text: str
    anchor: str


def html(card: DataCard) -> str:
    """Return `data-card.html`; it carries the recordings of its examples, as far as they fit."""
    template = _environment().get_template("data_card.html.j2")
    told = _told(card)
    text = template.render(**told, sounds={})
    budget = min(AUDIO_BUDGET, SIZE_BUDGET - len(_safe(text).encode()))
    sounds = _sounds(card.examples, budget=budget)
    return _safe(template.render(**told, sounds=sounds))


def _environment() -> jinja2.Environment:
    """Return what renders the template: all that it writes is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("speechtl.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        accent_name=accent_name,
        count=count,
        decibels=_decibels,
        minutes=_minutes,
        name=_name,
        percent=percent,
        shown=_shown,
    )
    return environment


def _told(card: DataCard) -> dict[str, Any]:
    """Return what the template reads."""
    lengths, snr = card.lengths, card.recordings
    return {
        "card": card,
        "title": _title(card),
        "made_of": _made_of(card),
        "tiles": _tiles(card),
        "verdict": _verdict(card),
        "grade": "bad" if card.errors else "doubtful" if card.warnings else "good",
        "split_bar": _split_bar(card),
        "split_lines": _split_lines(card),
        "licence_text": _licence_text,
        "speakers": _folded(card.speakers),
        "accents": _folded(card.accents),
        "speaker_header": SPEAKER_HEADER,
        "speaker_rows": _speaker_rows,
        "accent_header": ACCENT_HEADER,
        "accent_rows": _accent_rows,
        "lengths_chart": _chart(lengths.histogram, lengths.quantiles_s, "s") if lengths else None,
        "length_facts": _length_facts(card),
        "text_facts": _text_facts(card),
        "repeated_rows": _repeated_rows(card),
        "usual": _usual(card),
        "unusual_header": UNUSUAL_HEADER,
        "unusual": _unusual(card),
        "unusual_omitted": max(0, _unusual_count(card) - UNUSUAL_LISTED),
        "snr_chart": _chart(snr.snr_histogram, snr.snr_db, "dB"),
        "recording_facts": _recording_facts(card),
        "quantile_header": _QUANTILES,
        "quantile_rows": _quantile_rows(card),
        "whole_list": _whole_list,
        "all_found": _all_found(card),
        "size_rows": _size_rows(card),
        "command": _command(card),
        "letters": LETTERS,
        "pseudonyms": PSEUDONYMS,
    }


def _sounds(examples: Sequence[Example], *, budget: int) -> dict[str, str]:
    """Return the recordings of the examples by their ids, as data URIs, in `budget` bytes."""
    found: dict[str, str] = {}
    for each in examples:
        sound = _sound(each)
        if sound is not None and len(sound) <= budget:
            found[each.utterance] = sound
            budget -= len(sound)
    return found


def _sound(each: Example) -> str | None:
    """Return an utterance as MP3, which every browser plays; None where it cannot be had."""
    content = io.BytesIO()
    try:
        waveform = read(each.audio, start=each.start, end=each.end)
        soundfile.write(content, waveform, SAMPLE_RATE, format="MP3")
    except (DataError, soundfile.SoundFileError):
        return None
    return f"data:audio/mpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


# --- texts and numbers ----------------------------------------------------------------------------


def _shown(text: str, most: int = LETTERS) -> str:
    """Return a text as it can be seen: without a glyph is its code point, and not too long."""
    seen = "".join(
        each if each.isprintable() or each == " " else f"[U+{ord(each):04X}]"
        for each in text[: most + 1]
    )
    return seen if len(text) <= most else f"{seen[:most]}…"


def _name(text: str) -> str:
    return _shown(text, NAME_LETTERS)


def _safe(text: str) -> str:
    """Return a text that can be written: names of files may hold bytes that are none."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _minutes(minutes: float) -> str:
    return f"{minutes:,.1f}"


def _decibels(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f}".replace("-", MINUS)


def _seconds(value: float) -> str:
    return f"{value:,.2f}{SPACE}s"


def _of(number: int, whole: int) -> str:
    """Return a number with its share of a whole: "12 (3.0 %)"."""
    return f"{count(number)} ({percent(number / whole if whole else 0.0)})"


def _folded(rows: Sequence[_Row]) -> Folded[_Row]:
    if len(rows) <= AT_ONCE:
        return Folded(first=rows, last=(), between=(), omitted=0)
    between = rows[AT_ENDS:-AT_ENDS]
    return Folded(
        first=rows[:AT_ENDS],
        last=rows[-AT_ENDS:],
        between=between[: LISTED - 2 * AT_ENDS],
        omitted=max(0, len(between) - (LISTED - 2 * AT_ENDS)),
    )


def _title(card: DataCard) -> str:
    """Return how much speech of what it is: "34.2 minutes of Scottish speech"."""
    hours = card.minutes >= 120
    much = f"{card.minutes / 60:,.1f} hours" if hours else f"{_minutes(card.minutes)} minutes"
    if len(card.accents) == 1:
        return f"{much} of {accent_name(_name(card.accents[0].accent))} speech"
    return f"{much} of speech in {count(len(card.accents), 'accent')}"


def _made_of(card: DataCard) -> str:
    kind = f"a source of the kind “{card.kind}”"
    return f"{_name(shown_name(card.source))}, {kind}" if card.source else kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One of the first facts: its name, its value, and what more is to be said of it."""

    name: str
    value: str
    more: str = ""


def _tiles(card: DataCard) -> list[Tile]:
    hours = f"{card.minutes / 60:,.1f} hours" if card.minutes >= 60 else ""
    known = sorted(card.sexes, key=lambda item: not item[0])
    sexes = ", ".join(f"{count(n)} {_name(sex) or 'not known'}" for sex, n in known)
    accents = [accent_name(_name(each.accent)) for each in card.accents[:4]]
    more = len(card.accents) - len(accents)
    return [
        Tile(name="Utterances", value=count(card.utterances)),
        Tile(name="Minutes", value=_minutes(card.minutes), more=hours),
        Tile(
            name="Speaker" if len(card.speakers) == 1 else "Speakers",
            value=count(len(card.speakers)),
            more=sexes if any(sex for sex, _ in card.sexes) else "",
        ),
        Tile(
            name="Accent" if len(card.accents) == 1 else "Accents",
            value=count(len(card.accents)),
            more=", ".join(accents) + (f" and {count(more)} more" if more > 0 else ""),
        ),
    ]


def _licence_text(item: LicenceFacts) -> str:
    """Return a licence and what it asks for: "CC-BY-NC-4.0: no commercial use (NC)"."""
    if item.licence is None:
        return "not known: ask who made the recordings before the corpus or a model is passed on"
    return ": ".join(filter(None, (_name(item.licence), "; ".join(item.terms))))


def _verdict(card: DataCard) -> str:
    """Return whether anything is wrong, in a sentence."""
    if not card.left_out + card.errors + card.warnings:
        return "Nothing was found to be wrong, and nothing was left out."
    parts = [
        f"{count(card.left_out)} left out" if card.left_out else "nothing left out",
        f"{count(card.errors, 'error')} not mended" if card.errors else "no error",
        count(card.warnings, "warning") if card.warnings else "no warning",
    ]
    told = ", ".join(parts)
    return f"{told[:1].upper()}{told[1:]}."


# --- splits ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitBar:
    """A split's part of the bar of all minutes, in per cent, and what it has."""

    split: str
    x: float
    width: float
    told: str


def _split_bar(card: DataCard) -> list[SplitBar]:
    sizes = card.leakage.splits
    whole = sum(each.seconds for each in sizes) or 1.0
    found, x = [], 0.0
    for each in sizes:
        width = 100 * each.seconds / whole
        told = (
            f"{_minutes(each.seconds / 60)} min ({percent(each.seconds / whole)}), "
            f"{count(each.utterances, 'utterance')}, {count(each.speakers, 'speaker')}"
        )
        found.append(SplitBar(split=each.split, x=round(x, 2), width=round(width, 2), told=told))
        x += width
    return found


def _split_lines(card: DataCard) -> list[tuple[str, str]]:
    """Return what the splits are worth, each line with what it is about."""
    sizes, overlaps = card.leakage.splits, card.leakage.overlaps
    if not sizes:
        return [("No splits", "No utterance is in train, dev or test.")]
    if not overlaps:
        return [("One split", f"All of it is {sizes[0].split}; nothing is compared.")]
    lines = [("Speaker-disjoint", _about_speakers(card))]
    tested = next(
        (each for each in overlaps if (each.first, each.second) == ("train", "test")), None
    )
    if tested is not None:
        lines.append(("Sentences", _about_sentences(tested)))
    if not card.leakage.heard:
        lines.append(("Recordings", "They were not compared."))
    elif twice := sum(each.audio for each in overlaps):
        told = (
            f"{count(twice, 'time')} an utterance of one split is in an earlier one, to the sample."
        )
        lines.append(("Recordings", told))
    else:
        lines.append(("Recordings", "None is in two splits."))
    return lines


def _about_speakers(card: DataCard) -> str:
    shared = {name for each in card.leakage.overlaps for name in each.speakers}
    if not shared:
        return "Yes. No speaker is in two splits, so that a score tells of new speakers."
    are = "is" if len(shared) == 1 else "are"
    return (
        f"No. {count(len(shared), 'speaker')} {are} in more than one split, so that a score tells "
        "how well known speakers are understood."
    )


def _about_sentences(found: Overlap) -> str:
    if not found.prompts + found.near_prompts:
        return "No test utterance says a sentence that is in train, or nearly one."
    same, near = (_part(n, found.utterances) for n in (found.prompts, found.near_prompts))
    if not found.prompts:
        told = f"No test utterance says a sentence that is in train; {near} say nearly one."
    elif not found.near_prompts:
        told = f"{same} of the test utterances say a sentence that is in train."
    else:
        told = f"{same} of the test utterances say a sentence that is in train, {near} nearly one."
    is_much = (found.prompts + found.near_prompts) / found.utterances > MUCH_SHARED
    flatters = " That flatters the score: read that of unseen sentences, too."
    return told + flatters * is_much


def _part(number: int, of: int) -> str:
    return f"{percent(number / of)} ({count(number)} of {count(of)})"


def _size_rows(card: DataCard) -> list[tuple[str, ...]]:
    """Return the table of the splits, without sexes where none is known."""
    rows = list(card.leakage.size_rows())
    if any(name for each in card.leakage.splits for name, _ in each.sexes):
        return rows
    at = rows[0].index("sexes")
    return [row[:at] + row[at + 1 :] for row in rows]


# --- the facts of each section, for both pages ----------------------------------------------------

Facts = list[tuple[str, str]]

_QUANTILES = ("least", f"5{SPACE}%", "median", f"95{SPACE}%", "most")


def _length_facts(card: DataCard) -> Facts:
    if card.lengths is None:
        return []
    found, over = card.lengths.quantiles_s, card.lengths.over_30_s
    return [
        ("Shortest", _seconds(found.least)),
        (f"5{SPACE}% are shorter than", _seconds(found.low)),
        ("Median", _seconds(found.median)),
        ("Mean", _seconds(card.lengths.mean_s)),
        (f"5{SPACE}% are longer than", _seconds(found.high)),
        ("Longest", _seconds(found.most)),
        (
            f"Longer than 30{SPACE}s",
            f"{_of(over, card.utterances)}: more than Whisper hears at once" if over else "none",
        ),
    ]


def _text_facts(card: DataCard) -> Facts:
    text = card.text
    if text is None:
        return []
    cases = (("lower case", text.lower), ("upper case", text.upper), ("both cases", text.mixed))
    written = ", ".join(f"{name} {_of(n, card.utterances)}" for name, n in cases if n)
    often = ", ".join(f"{_name(word)} {count(times)}" for word, times in text.frequent_words)
    return [
        ("Words", f"{count(text.words)}, {text.words_per_minute:.1f} per minute"),
        ("Different words", count(text.different_words)),
        (
            "Said once",
            f"{count(text.single_words)} words "
            f"({percent(text.single_words / (text.different_words or 1))} of the different ones)",
        ),
        ("Most frequent", often or NONE),
        ("Different sentences", count(text.sentences)),
        ("Said by several speakers", _about_shared(card)),
        ("Written in", written or "no letters that have a case"),
        (
            "Longest transcript",
            f"{count(text.longest.characters, 'character')}, "
            f"{count(text.longest.words, 'word')} ({_name(text.longest.utterance)}): "
            f"{_shown(text.longest.text)}",
        ),
    ]


def _about_shared(card: DataCard) -> str:
    text = card.text
    if text is None or not text.shared_sentences:
        return "no sentence"
    return (
        f"{count(text.shared_sentences, 'sentence')}, in "
        f"{_of(text.shared_utterances, card.utterances)} of the utterances"
    )


def _recording_facts(card: DataCard) -> Facts:
    found = card.recordings
    if not found.heard:
        return []

    def listed(pairs: Sequence[tuple[Any, int]], name: Callable[[Any], str]) -> str:
        if len(pairs) == 1:
            return f"all {name(pairs[0][0])}"
        return ", ".join(f"{name(value)}: {_of(n, found.heard)}" for value, n in pairs)

    def some(number: int, what: str) -> str:
        return f"{_of(number, found.heard)} {what}" if number else "none"

    unknown = count(found.snr_unknown)
    return [
        ("Sample rate", listed(found.sample_rates_hz, lambda rate: f"{count(rate)}{SPACE}Hz")),
        ("Format", listed(found.containers, str)),
        ("Channels", listed(found.channels, lambda n: {1: "mono", 2: "stereo"}.get(n, str(n)))),
        ("Clipped", some(found.clipped, "have more than 0.01 % of the samples cut off at the top")),
        ("Very quiet", some(found.quiet, f"have speech below {_decibels(-50)}{SPACE}dBFS")),
        ("Noisy", some(found.noisy, f"have a signal-to-noise ratio below 5{SPACE}dB")),
        *(
            [("Noise not known", f"in {unknown}: too short or too even")]
            if found.snr_unknown
            else []
        ),
        ("Narrow band", some(found.narrow, f"have nothing above 4.3{SPACE}kHz, as of a telephone")),
        ("Long pauses", some(found.long_pauses, f"have more than 2{SPACE}s of silence at an end")),
        *(
            [("Cut off after that", f"silence at the ends of {count(found.cut)}")]
            if found.cut
            else []
        ),
    ]


def _quantile_rows(card: DataCard) -> list[tuple[str, ...]]:
    found = card.recordings
    rows: list[tuple[str, Quantiles | None, Callable[[float], str]]] = [
        ("Level of the speech (dBFS)", found.level_dbfs, _decibels),
        ("Signal-to-noise ratio (dB, estimated)", found.snr_db, _decibels),
        ("Silence before the speech (s)", found.pause_before_s, "{:.2f}".format),
        ("Silence behind it (s)", found.pause_behind_s, "{:.2f}".format),
    ]
    return [
        (name, *map(write, (each.least, each.low, each.median, each.high, each.most)))
        for name, each, write in rows
        if each is not None
    ]


SPEAKER_HEADER = (
    "speaker", "accent", "sex", "split", "utterances", "minutes", "SNR, dB", "level, dBFS",
)  # fmt: skip
"""Of `_speaker_rows`."""


def _speaker_rows(speakers: Sequence[SpeakerFacts]) -> list[tuple[str, ...]]:
    return [
        (
            _name(each.speaker),
            ", ".join(map(_name, each.accents)),
            ", ".join(map(_name, each.sexes)) or NONE,
            ", ".join(each.splits) or NONE,
            count(each.utterances),
            _minutes(each.minutes),
            _decibels(each.snr_db),
            _decibels(each.level_dbfs),
        )
        for each in speakers
    ]


ACCENT_HEADER = ("accent", "utterances", "minutes", "speakers", "minutes by split")
"""Of `_accent_rows`."""


def _accent_rows(accents: Sequence[AccentFacts]) -> list[tuple[str, ...]]:
    return [
        (
            _name(each.accent),
            count(each.utterances),
            _minutes(each.minutes),
            count(each.speakers),
            ", ".join(f"{name} {_minutes(minutes)}" for name, minutes in each.minutes_by_split)
            or NONE,
        )
        for each in accents
    ]


def _repeated_rows(card: DataCard) -> list[tuple[str, ...]]:
    return [
        (_shown(each.sentence), count(each.utterances), count(each.speakers))
        for each in (card.text.most_repeated if card.text else ())
    ]


UNUSUAL_HEADER = ("character", "code point", "name", "count", "utterances", "first in")
"""Of `_unusual`."""


def _unusual_count(card: DataCard) -> int:
    return sum(not each.usual for each in (card.text.characters if card.text else ()))


def _unusual(card: DataCard) -> list[tuple[str, ...]]:
    """Return a row for each unusual character: itself, code, name, count, utterances, the first."""
    found = [each for each in (card.text.characters if card.text else ()) if not each.usual]
    return [
        (
            each.character if each.character.isprintable() else "",
            each.code,
            each.name.lower(),
            count(each.count),
            count(each.utterances or 0),
            _name(each.example or ""),
        )
        for each in found[:UNUSUAL_LISTED]
    ]


def _usual(card: DataCard) -> list[tuple[str, str]]:
    found = [each for each in (card.text.characters if card.text else ()) if each.usual]
    return [
        ("space" if each.character == " " else each.character, count(each.count)) for each in found
    ]


def _whole_list(card: DataCard, name: str, *, what: str = "All") -> str:
    """Return where all of a list is."""
    verb = "are" if what == "All" else "is"
    if card.named:
        return f"{what} {verb} in {name}."
    return f"{what} {verb} in private/{name}, which is not passed on."


def _all_found(card: DataCard) -> str:
    return _whole_list(card, "faults.jsonl", what="All that was found in the source")


def _command(card: DataCard) -> str:
    accent = card.accents[0].accent if card.accents else "ACCENT"
    named = accent if len(accent) <= NAME_LETTERS and accent.isprintable() else "ACCENT"
    return f"python scripts/adapt.py --corpus manifest.jsonl --accent {shlex.quote(named)}"


# --- charts ---------------------------------------------------------------------------------------


def _chart(found: Histogram | None, quantiles: Quantiles | None, unit: str) -> Chart | None:
    if found is None or quantiles is None:
        return None
    low, high, size = found.edges[0], found.edges[-1], len(found.counts)
    top, whole = axis_top(found.counts), sum(found.counts)
    bars = tuple(
        Bar(
            x=round(100 * place / size, 3),
            width=round(100 / size, 3),
            height=round(100 * number / top, 2),
            place=_between(found, place, unit),
            utterances=number,
            share=number / whole,
        )
        for place, number in enumerate(found.counts)
    )
    ticks = tuple(
        Tick(
            x=round(100 * place / size, 2),
            anchor="start" if place == 0 else "end" if place == size else "middle",
            text=_number(found.edges[place]),
        )
        for place in _ticks(found)
    )
    median = 100 * (quantiles.median - low) / (high - low)
    return Chart(
        bars=bars,
        ticks=ticks,
        top=f"{top:,g}",
        median=round(median, 2),
        median_text=f"median {quantiles.median:g}{SPACE}{unit}",
        anchor="start" if median < 15 else "end" if median > 85 else "middle",
    )


def _ticks(found: Histogram) -> list[int]:
    """Return the places of up to six edges, which are multiples of one round number."""
    width = found.edges[1] - found.edges[0]
    numbers = [round(edge / width) for edge in found.edges]
    step = next(each for each in (1, 2, 5, 10, 20) if len(numbers) <= 5 * each + 1)
    return [place for place, number in enumerate(numbers) if number % step == 0]


def _number(value: float) -> str:
    return f"{value:g}".replace("-", MINUS)


def _between(found: Histogram, place: int, unit: str) -> str:
    low, high = (
        f"{each:g}".replace("-", "\N{MINUS SIGN}") for each in found.edges[place : place + 2]
    )
    if place == 0 and found.open_low:
        return f"below {high}{SPACE}{unit}"
    if place == len(found.counts) - 1 and found.open_high:
        return f"{low}{SPACE}{unit} and more"
    return f"{low} to {high}{SPACE}{unit}"


# --- Markdown -------------------------------------------------------------------------------------


def markdown(card: DataCard) -> str:
    """Return `data-card.md`: the same facts without the recordings."""
    parts = [
        f"# Data card: {md.escape(_title(card))}",
        md.escape(_verdict(card)),
        md.escape(f"Made of {_made_of(card)}.{'' if card.named else f' {PSEUDONYMS}'}"),
        _listed(
            [(each.name, ". ".join(filter(None, (each.value, each.more)))) for each in _tiles(card)]
        ),
        *_licences_part(card),
        *_splits_part(card),
        *_people_part(card),
        "## Lengths",
        _listed(_length_facts(card)),
        _lengths_table(card),
        *_text_part(card),
        "## Recordings",
        _listed(_recording_facts(card)),
        md.table(("", *_QUANTILES), _quantile_rows(card)) if card.recordings.heard else "",
        *_done_part(card),
        *_faults_part(card),
        *(["## Notes", _bullets(card.notes)] if card.notes else []),
        *_examples_part(card),
        "## Use",
        f"```sh\n{_command(card)}\n```",
        f"Made by speechtl {card.version}. All numbers are in data-card.json.",
    ]
    return _safe("\n\n".join(filter(None, parts)) + "\n")


def _listed(facts: Facts) -> str:
    return "\n".join(f"- {md.escape(name)}: {md.escape(text)}" for name, text in facts)


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {md.escape(_shown(line, 2 * LETTERS))}" for line in lines)


def _licences_part(card: DataCard) -> list[str]:
    rows = [
        (_licence_text(each), count(each.utterances), _minutes(each.minutes))
        for each in card.licences
    ]
    return ["## Licence", md.table(("licence", "utterances", "minutes"), rows)]


def _splits_part(card: DataCard) -> list[str]:
    sizes, shared = _size_rows(card), card.leakage.shared_rows()
    return [
        "## Splits",
        _listed(_split_lines(card)),
        md.table(sizes[0], [[*map(_shown, row)] for row in sizes[1:]]) if sizes[1:] else "",
        md.table(shared[0], shared[1:]) if shared[1:] else "",
    ]


def _people_part(card: DataCard) -> list[str]:
    accents, speakers = _folded(card.accents), _folded(card.speakers)
    return [
        "## Accents",
        md.table(ACCENT_HEADER, _accent_rows([*accents.first, *accents.last])),
        _more("accent", accents),
        "## Speakers",
        md.table(SPEAKER_HEADER, _speaker_rows([*speakers.first, *speakers.last])),
        _more("speaker", speakers),
    ]


def _more(noun: str, folded: Folded[Any]) -> str:
    between = len(folded.between) + folded.omitted
    return (
        f"These are the {AT_ENDS} largest and the {AT_ENDS} smallest; "
        f"{count(between, noun)} between them are in data-card.json."
        if between
        else ""
    )


def _lengths_table(card: DataCard) -> str:
    if card.lengths is None:
        return ""
    chart = _chart(card.lengths.histogram, card.lengths.quantiles_s, "s")
    bars = chart.bars if chart else ()
    rows = [(bar.place, count(bar.utterances), percent(bar.share)) for bar in bars]
    return md.table(("length", "utterances", "share"), rows)


def _text_part(card: DataCard) -> list[str]:
    if card.text is None:
        return []
    repeated = _repeated_rows(card)
    unusual = _unusual(card)
    return [
        "## Text",
        _listed(_text_facts(card)),
        md.table(("said most often", "utterances", "speakers"), repeated) if repeated else "",
        "Characters: " + ", ".join(f"{md.escape(name)} {n}" for name, n in _usual(card)) + ".",
        md.table(UNUSUAL_HEADER, unusual) if unusual else "",
    ]


def _done_part(card: DataCard) -> list[str]:
    changes = [
        f"- {md.escape(each.meaning)}: {count(each.count)}"
        + "".join(map(_change_line, each.examples))
        for each in card.changes
    ]
    dropped = f"{count(card.left_out)} left out. {_whole_list(card, 'dropped.jsonl')}"
    changed = f"{count(card.changed, 'utterance')} changed. {_whole_list(card, 'changes.jsonl')}"
    return [
        "## Left out, and why",
        dropped if card.left_out else "Nothing was left out.",
        "\n".join(map(_group_lines, card.dropped)),
        "## Changed",
        changed if card.changed else "Nothing was changed.",
        "\n".join(changes),
    ]


def _faults_part(card: DataCard) -> list[str]:
    if not card.faults:
        return ["## Doubtful", "Nothing that stays was found to be doubtful."]
    told = f"{count(card.errors, 'error')}, {count(card.warnings, 'warning')}."
    return [
        "## Doubtful",
        f"{told} {_all_found(card)}",
        "\n".join(map(_group_lines, card.faults)),
    ]


def _examples_part(card: DataCard) -> list[str]:
    rows = [
        (
            _name(each.utterance),
            _name(each.speaker),
            _name(each.accent),
            each.split or NONE,
            f"{each.duration_s:.1f}",
            _shown(each.text),
        )
        for each in card.examples
    ]
    header = ("utterance", "speaker", "accent", "split", "seconds", "text")
    return ["## Examples", md.table(header, rows)] if rows else []


def _group_lines(group: FaultGroup) -> str:
    remedy = f"; {group.remedy}" if group.remedy else ""
    lines = [f"- **{group.kind}** ({count(group.count)}): {md.escape(group.meaning + remedy)}"]
    for each in group.examples:
        named = "" if each.utterance is None else f"{_name(each.utterance)}, "
        told = f"{named}{_shown(each.place)}: {_shown(each.message)}"
        lines.append(f"  - {md.escape(told)}")
    return "\n".join(lines)


def _change_line(each: Change) -> str:
    told = f"{_name(each.utterance)}: {_shown(each.before)} → {_shown(each.after)}"
    return f"\n  - {md.escape(told)}"
