"""The commands about corpora: `data prepare`, `data check`, `data align`, and `corpora`."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, overload

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from speechtl import progress
from speechtl.console import EXIT_CODES, HELP, RUNNING, Debug, Quiet, err, out
from speechtl.errors import ConfigError, OutputError
from speechtl.files import read_text, require_writable, write_text

if TYPE_CHECKING:
    from speechtl.alignment import Alignment
    from speechtl.models import SpeechModel
    from speechtl.preparation import Preparation, Prepared
    from speechtl.sources import Options, Reading
    from speechtl.splits import SplitPlan

__all__ = ["app", "corpora"]

WARNINGS_ALONE = 6
"""The exit code of a check that found warnings and no error."""

app = typer.Typer(
    help="Bring recordings in: check them, split them, and see what they hold.",
    no_args_is_help=True,
    context_settings=HELP,
)

_LEFT_OUT = 10  # sentences that are told; all are in a file
_WIDE = 1000  # columns of what is no terminal: a table is as wide as it needs

SOURCE = "What the source does not say itself"
TEXT = "How transcripts are written"
SPLITS = "How it is split"

_Source = Annotated[
    str,
    typer.Argument(
        help="A table (.jsonl, .csv, .tsv, .parquet), a TextGrid, .eaf, .srt or .vtt file, a "
        "folder of these, of Kaldi, Common Voice or LJSpeech, or of recordings with a .txt beside "
        "each; KIND:PATH; a corpus' name (see `speechtl corpora`); or hf:ID_OR_FOLDER.",
        metavar="SOURCE",
        show_default=False,
    ),
]
_Kind = Annotated[
    str | None,
    typer.Option(
        help="The kind of source, where its names do not tell: table, nemo, ljspeech, "
        "common-voice, kaldi, textgrid, elan, subtitles or folder.",
        rich_help_panel=SOURCE,
    ),
]
_Accent = Annotated[
    str | None,
    typer.Option(help="The accent of rows that name none.", rich_help_panel=SOURCE),
]
_Speaker = Annotated[
    str | None,
    typer.Option(help="The speaker of rows that name none.", rich_help_panel=SOURCE),
]
_Licence = Annotated[
    str | None,
    typer.Option(
        help="The licence of rows that name none, such as CC-BY-4.0.", rich_help_panel=SOURCE
    ),
]
_Column = Annotated[
    list[str] | None,
    typer.Option(
        help="FIELD=NAME: the column that holds id, audio, text, speaker, accent, start, end, "
        "split, licence or sex, where its name is unusual; may be given several times.",
        rich_help_panel=SOURCE,
    ),
]
_Tier = Annotated[
    list[str] | None,
    typer.Option(
        help="A tier of a TextGrid or ELAN file to take; may be given several times.",
        rich_help_panel=SOURCE,
    ),
]
_FromPath = Annotated[
    list[str] | None,
    typer.Option(
        help="FIELD=REGEX: finds the speaker, accent or sex in a recording's path by the first "
        "group, such as speaker='^([^/]+)/'; may be given several times.",
        rich_help_panel=SOURCE,
    ),
]
_Audio = Annotated[
    Path | None,
    typer.Option(
        help="The folder of the recordings, where they lie elsewhere.", rich_help_panel=SOURCE
    ),
]
_Limit = Annotated[
    int | None,
    typer.Option(
        help="Take this many utterances at most; of a data set on the hub no more is fetched.",
        rich_help_panel=SOURCE,
        min=1,
    ),
]
_Model = Annotated[
    str | None,
    typer.Option(
        help="The model that shall be trained: transcripts are checked against its vocabulary and "
        "limits, and against what it hears.",
        rich_help_panel=RUNNING,
    ),
]
_Workers = Annotated[
    int | None,
    typer.Option(
        help="Threads that decode; one for each processor by default.",
        rich_help_panel=RUNNING,
        min=1,
    ),
]


@app.command(epilog=EXIT_CODES, context_settings=HELP)
def check(
    source: _Source,
    kind: _Kind = None,
    accent: _Accent = None,
    speaker: _Speaker = None,
    licence: _Licence = None,
    column: _Column = None,
    tier: _Tier = None,
    from_path: _FromPath = None,
    audio: _Audio = None,
    limit: _Limit = None,
    model: _Model = None,
    listen: Annotated[
        bool,
        typer.Option(
            "--audio-checks/--no-audio-checks",
            help="Decode the recordings; else they are only known to be there.",
            rich_help_panel=RUNNING,
        ),
    ] = True,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help="List every fault; else the first three of a kind.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="File that gets every fault as JSON; - is standard output.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    workers: _Workers = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Tell all that is wrong with a corpus, at once, and what to do about it.

    Ends with 3 if there is an error, with 6 if there are warnings alone.
    What recordings tell is kept in the user's cache: a check that was
    stopped goes on.
    """
    with err.status("starting", spinner="dots"):
        from speechtl import checks  # noqa: PLC0415
        from speechtl.report import findings as told  # noqa: PLC0415
    options = _options(accent, speaker, licence, column, tier, from_path, audio)
    _require_place(json_file)
    reading = _read(source, kind, options, limit)
    found = checks.check(
        reading,
        recordings=listen,
        model=_loaded(model),
        store=_store(source) if listen else None,
        workers=workers,
        track=progress.silent if quiet else progress.bars(err),
    )
    if not _wrote_json(json_file, lambda: told.as_json(found)):
        _say(told.render(found, shown=None if every else 3))
    grades = {fault.grade for fault in found.faults}
    if grades:
        raise typer.Exit(3 if "error" in grades else WARNINGS_ALONE)


@app.command(epilog=EXIT_CODES, context_settings=HELP)
def prepare(
    source: _Source,
    output: Annotated[
        Path,
        typer.Option(
            help="The folder that gets manifest.jsonl, the data card and the lists of what was "
            "found, left out and changed.",
            rich_help_panel=RUNNING,
            show_default=False,
        ),
    ],
    kind: _Kind = None,
    accent: _Accent = None,
    speaker: _Speaker = None,
    licence: _Licence = None,
    column: _Column = None,
    tier: _Tier = None,
    from_path: _FromPath = None,
    audio: _Audio = None,
    limit: _Limit = None,
    accents: Annotated[
        str | None,
        typer.Option(help="Keep these accents alone, separated by commas.", rich_help_panel=SOURCE),
    ] = None,
    relabel: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="FIELD=VALUE for all rows, or FIELD:OLD=VALUE for those that have OLD, such as "
            "'accent:Scottish English=scottish'; fields are accent, speaker, sex, licence and "
            "split; may be given several times.",
            rich_help_panel=SOURCE,
        ),
    ] = None,
    numbers: Annotated[
        str,
        typer.Option(
            help="What becomes of numbers: keep, or words (1984 becomes nineteen eighty-four).",
            rich_help_panel=TEXT,
        ),
    ] = "keep",
    punctuation: Annotated[
        str,
        typer.Option(
            help="What becomes of punctuation: keep or drop; apostrophes stay.",
            rich_help_panel=TEXT,
        ),
    ] = "keep",
    case: Annotated[
        str,
        typer.Option(
            help="The case of transcripts: keep, lower or upper.",
            rich_help_panel=TEXT,
        ),
    ] = "keep",
    shares: Annotated[
        str,
        typer.Option(help="Shares of the speech for train, dev and test.", rich_help_panel=SPLITS),
    ] = "0.7,0.1,0.2",
    minutes: Annotated[
        str | None,
        typer.Option(
            help="Minutes for train, dev and test in place of shares, such as 60,5,15; - in a "
            "place takes what is left.",
            rich_help_panel=SPLITS,
        ),
    ] = None,
    disjoint: Annotated[
        str,
        typer.Option(
            help="What no two splits share: speaker, speaker+prompt (the sentence), prompt or "
            "none.",
            rich_help_panel=SPLITS,
        ),
    ] = "speaker",
    stratify: Annotated[
        str,
        typer.Option(
            help="What is dealt evenly: accent+sex, accent, sex or none. accent deals the speakers "
            "of each accent for themselves, sex balances the sexes.",
            rich_help_panel=SPLITS,
        ),
    ] = "accent+sex",
    train_speakers: Annotated[
        str | None,
        typer.Option(
            help="Speakers to train on, separated by commas; others go to splits for which none "
            "are named.",
            rich_help_panel=SPLITS,
        ),
    ] = None,
    dev_speakers: Annotated[
        str | None, typer.Option(help="The same, to choose by.", rich_help_panel=SPLITS)
    ] = None,
    test_speakers: Annotated[
        str | None, typer.Option(help="The same, to test.", rich_help_panel=SPLITS)
    ] = None,
    resplit: Annotated[
        bool,
        typer.Option(
            "--resplit", help="Split anew what the source has split.", rich_help_panel=SPLITS
        ),
    ] = False,
    folds: Annotated[
        int | None,
        typer.Option(
            help="Also write this many folds, a manifest each; each speaker is tested in one.",
            rich_help_panel=SPLITS,
            min=2,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws the splits.", rich_help_panel=SPLITS, min=0)] = 0,
    trim: Annotated[
        bool,
        typer.Option(
            "--trim",
            help="Cut off silence of more than 0.5 s at the ends of utterances, by their times.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    copy_audio: Annotated[
        bool,
        typer.Option(
            "--copy-audio",
            help="Copy each utterance beside the manifest, as 16 kHz FLAC; else the manifest "
            "points to the recordings where they are.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    pseudonymise: Annotated[
        bool,
        typer.Option(
            "--pseudonymise",
            help="Give speakers and utterances numbers for names; copies the audio. The key is "
            "kept in the folder private.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    model: _Model = None,
    workers: _Workers = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace what was prepared in that folder before.",
            rich_help_panel=RUNNING,
        ),
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Make a corpus to train on: read, check, spell and split a source.

    Writes manifest.jsonl, data-card.html, .md and .json, and what was
    found, left out and changed (faults, dropped, changes .jsonl).
    Nothing is sent anywhere. Ends with 3 if what was made has an error
    that must be mended by hand, such as a speaker in two splits.

    What recordings tell is kept in the user's cache: a prepare that was
    stopped, or that follows a check, does not listen again.
    """
    with err.status("starting", spinner="dots"):
        from speechtl import preparation  # noqa: PLC0415
        from speechtl.report import findings as told  # noqa: PLC0415
        from speechtl.text.spelling import Spelling  # noqa: PLC0415
    options = _options(accent, speaker, licence, column, tier, from_path, audio)
    named = {"train": train_speakers, "dev": dev_speakers, "test": test_speakers}
    settings = preparation.Preparation(
        relabelled=_relabelled(relabel),
        accents=_listed(accents),
        spelling=Spelling(
            numbers=_one_of("--numbers", numbers, ("keep", "words")),
            punctuation=_one_of("--punctuation", punctuation, ("keep", "drop")),
            case=_one_of("--case", case, ("keep", "lower", "upper")),
        ),
        trim=trim,
        copy_audio=copy_audio,
        pseudonymise=pseudonymise,
        split=_plan(shares, minutes, disjoint, stratify, named, seed=seed, resplit=resplit),
        folds=folds,
    )
    made = preparation.prepare(
        _read(source, kind, options, limit),
        output,
        settings,
        model=_loaded(model),
        store=_store(source),
        workers=workers,
        overwrite=overwrite,
        track=progress.silent if quiet else progress.bars(err),
    )
    _say(told.render_prepared(made.findings, made.card, made.leakage, made.notes))
    _say(_wrote(made.files))
    _say([Text(f"Data card: {output / 'data-card.html'}", no_wrap=True)])
    if _stays_wrong(made, settings):
        _say([Text("It cannot be trained on before the errors that stay are mended.")])
        raise typer.Exit(3)
    _say(told.next_steps(made.corpus, output / preparation.MANIFEST, folds=folds))


@app.command(epilog=EXIT_CODES, context_settings=HELP)
def align(
    recording: Annotated[
        Path,
        typer.Argument(help="A recording of any length.", metavar="RECORDING", show_default=False),
    ],
    transcript: Annotated[
        Path,
        typer.Argument(
            help="Its text (UTF-8): a line or a sentence becomes an utterance.",
            metavar="TRANSCRIPT",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            help="The folder that gets manifest.jsonl, with scores beside.",
            rich_help_panel=RUNNING,
            show_default=False,
        ),
    ],
    accent: Annotated[
        str, typer.Option(help="The accent.", rich_help_panel=SOURCE, show_default=False)
    ],
    speaker: Annotated[
        str | None,
        typer.Option(help="Who speaks, where the transcript does not say.", rich_help_panel=SOURCE),
    ] = None,
    speakers: Annotated[
        bool,
        typer.Option(
            "--speakers",
            help="Lines such as 'ANNA: hello' name who speaks; the name is not looked for in the "
            "speech.",
            rich_help_panel=SOURCE,
        ),
    ] = False,
    licence: _Licence = None,
    model: Annotated[
        str,
        typer.Option(
            help="A CTC model, the better it knows the accent the better.", rich_help_panel=RUNNING
        ),
    ] = "starter-wav2vec2",
    longest: Annotated[
        float, typer.Option(help="Seconds that an utterance has at most.", rich_help_panel=RUNNING)
    ] = 15.0,
    lowest_score: Annotated[
        float | None,
        typer.Option(
            help="Sentences that score less are left out and listed (0 to 1); 0.45 by default.",
            rich_help_panel=RUNNING,
        ),
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Cut a long recording into utterances by its transcript, which has no times.

    What fits nowhere is listed in left-out.jsonl, and speech without text
    in unwritten.jsonl. The audio is not copied.
    """
    with err.status("starting", spinner="dots"):
        from speechtl import alignment, preparation  # noqa: PLC0415
    preparation.require_no_manifest(output)
    if speaker is None and not speakers:
        raise ConfigError(
            "nothing says who speaks: name the speaker with --speaker, or give --speakers where "
            "lines of the transcript do (ANNA: hello)"
        )
    text = read_text(transcript)
    if not speakers and alignment.names_speakers(text):
        _say([Text("Most lines begin with a name and a colon: --speakers takes it for a speaker.")])
    found = alignment.align(
        _loaded(model),
        recording,
        text,
        speakers=speakers,
        longest_s=longest,
        lowest_score=alignment.LOWEST_SCORE if lowest_score is None else lowest_score,
        track=progress.silent if quiet else progress.bars(err),
    )
    corpus = alignment.utterances(recording, found, accent=accent, speaker=speaker, licence=licence)
    files = preparation.write_alignment(corpus, found, output)
    _say(_aligned(found))
    _say(_wrote(files))
    if not corpus:
        raise typer.Exit(3)
    manifest = shlex.quote(str(files[0]))
    _say([Text(f"Next: python scripts/prepare.py {manifest} --output FOLDER", no_wrap=True)])


def _aligned(found: Alignment) -> Iterator[Text]:
    """Yield what is to be told of an alignment."""
    scores = sorted(each.score for each in found.utterances)
    minutes = sum(each.end - each.start for each in found.utterances) / 60
    yield Text(
        f"{len(scores)} utterances of {minutes:.1f} minutes; scores {scores[0]:.2f} to "
        f"{scores[-1]:.2f}, median {scores[len(scores) // 2]:.2f}"
        if scores
        else "no utterance"
    )
    for left in found.left_out[:_LEFT_OUT]:
        yield Text(f"  left out ({left.score:.2f}): {left.text}")
    if len(found.left_out) > _LEFT_OUT:
        yield Text(f"  and {len(found.left_out) - _LEFT_OUT} more sentences left out")
    if found.unwritten:
        unwritten = sum(each.end - each.start for each in found.unwritten)
        yield Text(f"  {unwritten:.1f} s of speech are not in the text")
    if found.wildcards:
        some = ", ".join(found.wildcards[:_LEFT_OUT])
        yield Text(
            f"  the model cannot spell {len(found.wildcards)} words, so that anything passes for "
            f"them: {some}{', …' if len(found.wildcards) > _LEFT_OUT else ''}"
        )


def _stays_wrong(made: Prepared, settings: Preparation) -> bool:
    """Return whether what was made has an error that was not asked for."""
    asked = set() if "speaker" in settings.split.disjoint else {"split-speaker"}
    return any(fault.grade == "error" and fault.kind not in asked for fault in made.card.faults)


def corpora(
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="File that gets the list as JSON; - is standard output."),
    ] = None,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """List the corpora that are known by name, and whether they are here.

    They are looked for in the folder that SPEECHTL_CORPORA names, by default
    ~/speechtl-corpora, and in the cache of the Hugging Face hub.
    """
    from speechtl import corpora as known  # noqa: PLC0415

    _require_place(json_file)
    rows = [
        {
            "name": name,
            "title": corpus.title,
            "hours": corpus.hours,
            "speakers": corpus.speakers,
            "licence": corpus.licence,
            "url": corpus.url,
            "accents": list(corpus.accents),
            "how_to_get": corpus.how_to_get,
            "note": corpus.note,
            "here": None if (place := known.whereabouts(name)) is None else str(place),
        }
        for name, corpus in known.KNOWN.items()
    ]
    if _wrote_json(json_file, lambda: rows):
        return
    table = Table("name", "hours", "speakers", "licence", "here", box=None, pad_edge=False)
    for row in rows:
        cells = [str(row[name]) for name in ("name", "hours", "speakers", "licence")]
        table.add_row(*map(Text, cells), "yes" if row["here"] else "no")
    _say([table, Text("")])
    _say(line for row in rows for line in _about(row))
    _say([Text(f"Looked for in {known.root()}")])


def _about(row: dict[str, Any]) -> Iterator[Text]:
    """Yield what more is to be told of a known corpus."""
    yield Text.assemble((row["name"], "bold"), f": {row['title']}")
    if row["here"]:
        yield Text(f"  here: {row['here']}")
    else:
        yield Text(f"  to have it: {row['how_to_get']}")
    if row["accents"]:
        yield Text(f"  accents: {', '.join(row['accents'])}")
    if row["note"]:
        yield Text(f"  {row['note']}")
    yield Text(f"  {row['url']}")
    yield Text("")


# --- what is printed ------------------------------------------------------------------------------


def _say(parts: Iterable[Text | Table]) -> None:
    """Print lines and tables: on a terminal wrapped between words, elsewhere each line whole.

    A place that is broken in two cannot be searched for, nor a command pasted.
    """
    for part in parts:
        if isinstance(part, Table):
            (out if out.is_terminal else Console(width=_WIDE)).print(part)
            continue
        for line in _wrapped(part, out.width) if out.is_terminal and not part.no_wrap else (part,):
            out.print(line, highlight=False, soft_wrap=True)


def _wrapped(line: Text, width: int) -> Iterator[Text]:
    """Yield a line in pieces of a width, as far as its words allow; all but the first indented."""
    indent = 2 + len(line.plain) - len(line.plain.lstrip())
    ends, start, room = [], 0, width
    for word in re.finditer(r"\S+", line.plain):
        if start < word.start() and cell_len(line.plain[start : word.end()]) > room:
            ends.append(word.start())
            start, room = word.start(), width - indent
    first, *others = line.divide(ends)
    yield first
    yield from (Text(" " * indent) + other for other in others)


def _wrote(files: Iterable[Path]) -> Iterator[Text]:
    return (Text(f"Wrote {path}", no_wrap=True) for path in files)


def _require_place(json_file: Path | None) -> None:
    """Refuse a file of JSON that cannot be written, before anything is looked at."""
    if json_file is not None and str(json_file) != "-":
        require_writable(json_file.parent)


def _wrote_json(json_file: Path | None, content: Callable[[], object]) -> bool:
    """Write JSON where it is asked for; return whether standard output has it, and nothing else."""
    if json_file is None:
        return False
    text = json.dumps(content(), ensure_ascii=False, indent=2) + "\n"
    if str(json_file) != "-":
        write_text(json_file, text)
        return False
    typer.echo(text, nl=False)
    return True


# --- what options mean ----------------------------------------------------------------------------


def _options(
    accent: str | None,
    speaker: str | None,
    licence: str | None,
    column: Sequence[str] | None,
    tier: Sequence[str] | None,
    from_path: Sequence[str] | None,
    audio: Path | None,
) -> Options:
    from speechtl.sources import Options  # noqa: PLC0415

    patterns = {}
    for field, text in _pairs("--from-path", from_path).items():
        if field not in {"speaker", "accent", "sex", "split"}:
            raise ConfigError(f"--from-path finds speaker, accent, sex or split, not '{field}'")
        try:
            patterns[field] = re.compile(text)
        except re.error as error:
            raise ConfigError(
                f"--from-path {field}={text}: is no regular expression ({error})"
            ) from None
        if not patterns[field].groups:
            raise ConfigError(f"--from-path {field}={text}: needs a group, such as '^([^/]+)/'")
    return Options(
        columns=_pairs("--column", column),
        tiers=tuple(tier or ()),
        audio=audio,
        accent=accent,
        speaker=speaker,
        licence=licence,
        patterns=patterns,
    )


def _pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    found = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise ConfigError(f"{option} takes FIELD=VALUE, such as text=sentence; got '{text}'")
        if name.strip() in found:
            raise ConfigError(f"{option} names '{name.strip()}' twice; give it once")
        found[name.strip()] = value.strip()
    return found


def _relabelled(given: Sequence[str] | None) -> dict[tuple[str, str | None], str]:
    found = {}
    for name, value in _pairs("--set", given).items():
        field, colon, old = name.partition(":")
        if field not in {"accent", "speaker", "sex", "licence", "split"}:
            raise ConfigError(f"--set takes accent, speaker, sex, licence or split, not '{field}'")
        if field == "split":
            _one_of("--set split", value, ("train", "dev", "test"))
        found[field, old if colon else None] = value
    return found


def _plan(
    shares: str,
    minutes: str | None,
    disjoint: str,
    stratify: str,
    named: dict[str, str | None],
    *,
    seed: int,
    resplit: bool,
) -> SplitPlan:
    from speechtl.splits import SplitPlan  # noqa: PLC0415

    apart = _one_of("--disjoint", disjoint, ("speaker", "speaker+prompt", "prompt", "none"))
    evenly = _one_of("--stratify", stratify, ("accent+sex", "accent", "sex", "none"))
    values: dict[str, Any] = {
        "disjoint": () if apart == "none" else tuple(apart.split("+")),
        "stratify": () if evenly == "none" else tuple(evenly.split("+")),
        "shares": _numbers("--shares", shares, "0.7,0.1,0.2"),
        "minutes": None
        if minutes is None
        else _numbers("--minutes", minutes, "60,5,15", is_open=True),
        "speakers": {name: _listed(text) for name, text in named.items() if text is not None},
        "seed": seed,
        "resplit": resplit,
    }
    return SplitPlan(**values)


def _numbers(
    option: str, text: str, example: str, *, is_open: bool = False
) -> tuple[float | None, ...]:
    parts = [part.strip() for part in text.split(",")]
    try:
        found = tuple(None if is_open and part == "-" else float(part) for part in parts)
    except ValueError:
        found = ()
    if len(found) != 3:
        raise ConfigError(f"{option} takes three numbers, such as {example}; got '{text}'")
    return found


def _one_of(option: str, value: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise ConfigError(f"{option} is one of {', '.join(choices)}; got '{value}'")
    return value


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in (text or "").split(",") if entry.strip())


def _read(source: str, kind: str | None, options: Options, limit: int | None) -> Reading:
    from speechtl import corpora as known  # noqa: PLC0415
    from speechtl import sources  # noqa: PLC0415

    named = source if kind is None else f"{sources.known_kind(kind)}:{source}"
    with err.status(f"reading {escape(source)}", spinner="dots"):
        return known.read(named, options, limit=limit)


@overload
def _loaded(model: None) -> None: ...
@overload
def _loaded(model: str) -> SpeechModel: ...
@overload
def _loaded(model: str | None) -> SpeechModel | None: ...
def _loaded(model: str | None) -> SpeechModel | None:
    if model is None:
        return None
    from speechtl import models  # noqa: PLC0415

    with err.status(f"loading {escape(model)}", spinner="dots"):
        return models.load(model, device=models.pick_device("auto"))


def _store(source: str) -> Path | None:
    """Return the file in the user's cache that keeps what a source's recordings tell.

    It is None where none can be written: then nothing is kept.
    """
    from speechtl.features.cache import default_folder  # noqa: PLC0415

    path = Path(source).expanduser()
    name = str(path.resolve()) if path.exists() else source
    folder = default_folder() / "recordings"
    try:
        require_writable(folder)
    except OutputError as error:
        err.print(f"what recordings tell is not kept: {escape(str(error))}", soft_wrap=True)
        return None
    return (
        folder / f"{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:16]}.jsonl"
    )
