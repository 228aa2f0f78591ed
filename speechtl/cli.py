"""The command line: parsing and printing only."""

from __future__ import annotations

import errno
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from speechtl import __version__
from speechtl.errors import ConfigError, OutputError, SpeechtlError

if TYPE_CHECKING:
    from speechtl.config import RunConfig
    from speechtl.pipeline import Listener
    from speechtl.transcription import Transcript

__all__ = ["app", "main"]

# Results go to standard output, all that is said on the way to standard error.
out = Console()
err = Console(stderr=True)

app = typer.Typer(
    name="speechtl",
    help="Adapt pretrained speech recognisers to an accent, and prove that it helped.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result alone.")]


def _version(asked: bool) -> None:
    if asked:
        out.print(__version__)
        raise typer.Exit


@app.callback()
def _speechtl(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def adapt(  # noqa: D417
    accent: Annotated[
        str | None, typer.Option(help="Accent to adapt to, one that the corpus holds.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="starter-wav2vec2, starter-whisper, a checkpoint folder, or a hub id[@revision]."
        ),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(help="starter, a JSONL/CSV/TSV manifest, or hf:<id or folder>[:configs]."),
    ] = None,
    general: Annotated[
        str | None,
        typer.Option(
            help="Corpus of the accent that the model already knows, scored and replayed; 'none' leaves it out."
        ),
    ] = None,
    general_accent: Annotated[str | None, typer.Option(help="The accent to take from it.")] = None,
    strategy: Annotated[
        str | None,
        typer.Option(help="What trains: head, top-layers, encoder; for Whisper also decoder."),
    ] = None,
    top_layers: Annotated[
        int | None, typer.Option(help="Encoder layers that top-layers trains.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Most passes over the training utterances.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate of AdamW.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Utterances per optimiser step.")] = None,
    augment: Annotated[
        bool | None, typer.Option("--augment/--no-augment", help="Augment training utterances.")
    ] = None,
    replay: Annotated[
        float | None,
        typer.Option(help="Share of general utterances among those trained on, 0 to below 1."),
    ] = None,
    normaliser: Annotated[
        str | None, typer.Option(help="Transcript normaliser of the scores: plain or none.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Draws splits, order, augmentation and dropout.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    precision: Annotated[
        str | None, typer.Option(help="Training precision: auto, float32 or bf16.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Run folder; default runs/<accent>.")] = None,
    overwrite: Annotated[
        bool | None, typer.Option("--overwrite", help="Replace an earlier run in that folder.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="A model with its settings, from configs/presets.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings; flags override it.")
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Adapt a model to an accent, and score it before and after.

    Writes the run folder: model/ (a transformers checkpoint), hypotheses/, report.html, report.md and
    report.json, README.md (the model card), config.yaml (everything resolved).
    """
    from speechtl import config as configuration  # noqa: PLC0415

    flags: dict[str, Any] = {
        "accent": accent,
        "model": model,
        "corpus": corpus,
        "general": general,
        "general_accent": general_accent,
        "strategy": strategy,
        "top_layers": top_layers,
        "replay": replay,
        "augment": augment,
        "normaliser": normaliser,
        "seed": seed,
        "device": device,
        "precision": precision,
        "output": output,
        "overwrite": overwrite,
        "training": _given(epochs=epochs, learning_rate=learning_rate, batch_size=batch_size),
    }
    layers = configuration.merged(
        configuration.preset(preset) if preset else {},
        configuration.read_yaml(config) if config else {},
        _given(**flags),
    )
    if layers.get("general") == "none":
        layers["general"] = None
    if not layers.get("accent"):
        known = ", ".join(configuration.accent_names())
        raise ConfigError(f"name the accent to adapt to with --accent, for instance: {known}")
    _adapt(
        configuration.run_config(layers, where=str(config) if config else "the run's settings"),
        quiet=quiet,
    )


def _adapt(config: RunConfig, *, quiet: bool) -> None:
    _calm()
    with err.status("loading", spinner="dots"):
        from speechtl import pipeline  # noqa: PLC0415
        from speechtl.report import terminal  # noqa: PLC0415
    report = pipeline.adapt(config, pipeline.Listener() if quiet else _terminal())
    out.print(terminal.render(report))
    directory = pipeline.run_folder(config)
    out.print(
        f"Report: {directory / 'report.html'}\nModel:  {directory / 'model'}",
        highlight=False,
        soft_wrap=True,
    )


def _terminal() -> Listener:
    from speechtl import pipeline, progress  # noqa: PLC0415
    from speechtl.training import EpochRecord  # noqa: PLC0415

    class Terminal(pipeline.Listener):
        track = staticmethod(progress.bars(err))

        def note(self, message: str) -> None:
            err.print(escape(message), highlight=False)

        def parts(self, rows: Sequence[pipeline.PartRow], cut: str) -> None:
            err.print(_part_table(rows, cut))

        def epoch(self, record: EpochRecord, best: bool) -> None:
            loss = "" if record.loss is None else f"loss {record.loss:.3f}, "
            name = "base model" if record.epoch == 0 else f"epoch {record.epoch}"
            err.print(
                f"{name}: {loss}dev WER {record.dev_wer:.1%}{' (best)' if best else ''}",
                highlight=False,
            )

    return Terminal()


def _part_table(rows: Sequence[Any], cut: str) -> Table:
    table = Table(title="What trains", title_justify="left", title_style="bold")
    table.add_column("part")
    table.add_column("parameters", justify="right")
    table.add_column("")
    for row in rows:
        state = "[green]trains[/]" if row.trains else "[dim]frozen[/]"
        marker = "  ← the cut" if row.part == cut else ""
        table.add_row(row.part, f"{row.parameters:,}", state + marker)
    trains = sum(row.parameters for row in rows if row.trains)
    total = sum(row.parameters for row in rows)
    table.add_section()
    table.add_row("all", f"{total:,}", f"{trains:,} train ({trains / total:.1%})")
    return table


@app.command()
def transcribe(  # noqa: D417
    audio: Annotated[
        list[Path], typer.Argument(help="Audio files, or folders of them.", show_default=False)
    ],
    model: Annotated[
        str, typer.Option(help="A run's model folder, a starter name, or a hub id[@revision].")
    ] = "starter-wav2vec2",
    format: Annotated[str, typer.Option("--format", help="txt, json or tsv.")] = "txt",  # noqa: A002
    output: Annotated[
        Path | None, typer.Option(help="Folder for one text file per recording; default: print.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Segments decoded together.", min=1)] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Transcribe recordings of any length, sample rate and channel count.

    A file that fails is reported and does not stop the rest; the exit code then is 3.
    """
    _calm()
    with err.status("loading", spinner="dots"):
        from speechtl import models, progress, transcription  # noqa: PLC0415
    files = transcription.audio_files(audio)
    writer = transcription.writer(format, named=output is None and len(files) > 1)
    if output is not None:
        transcription.check_distinct(files, suffix=format)
    loaded = models.load(model, device=models.pick_device(device))
    failures = 0
    for result in transcription.transcribe_files(
        loaded, files, batch_size=batch_size, track=progress.bars(err)
    ):
        if isinstance(result, transcription.Failure):
            failures += 1
            err.print(f"[red]error:[/] {escape(result.reason)}", highlight=False, soft_wrap=True)
        else:
            _emit(result, writer, output, format)
    if failures:
        err.print(f"{failures} of {len(files)} files could not be transcribed", highlight=False)
        raise typer.Exit(3)


def _emit(
    result: Transcript, writer: Callable[[Transcript], str], output: Path | None, suffix: str
) -> None:
    if output is None:
        sys.stdout.write(writer(result))
        sys.stdout.flush()
        return
    from speechtl.corpus import write_text  # noqa: PLC0415

    write_text(output / f"{result.audio.stem}.{suffix}", writer(result))


@app.command()
def benchmark(  # noqa: D417
    accents: Annotated[
        str, typer.Option(help="Accents, separated by commas.")
    ] = "scottish,lancashire,west_midlands,caribbean",
    models: Annotated[str, typer.Option(help="Models, separated by commas.")] = "starter-wav2vec2",
    strategies: Annotated[
        str, typer.Option(help="Strategies, separated by commas; 'default' is the family's own.")
    ] = "default",
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0",
    epochs: Annotated[int | None, typer.Option(help="Most epochs of each run.")] = None,
    output: Annotated[
        Path,
        typer.Option(help="Folder of the table and of each run; an unfinished one is resumed."),
    ] = Path("benchmarks"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Adapt each combination of accents, models, strategies and seeds, and print one table.

    Finished combinations are kept and not run again: the same command resumes where it stopped.
    """
    _calm()
    with err.status("loading", spinner="dots"):
        from speechtl import benchmark as bench  # noqa: PLC0415
    grid = bench.Grid(
        accents=_listed(accents),
        models=_listed(models),
        strategies=_listed(strategies),
        seeds=_listed(seeds),
        epochs=epochs,
        device=device,
    )
    rows = bench.run(grid, output, say=lambda line: err.print(escape(line), highlight=False))
    out.print(bench.table(rows))
    out.print(
        f"Table: {output / 'benchmark.md'}, {output / 'benchmark.csv'}, {output / 'benchmark.png'}",
        highlight=False,
        soft_wrap=True,
    )
    if any(row.error for row in rows):
        raise typer.Exit(1)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(entry.strip() for entry in text.split(",") if entry.strip())


def _given(**values: Any) -> dict[str, Any]:
    """Return what was set: an option left out says nothing, so that it overrides nothing."""
    return {key: value for key, value in values.items() if value is not None and value != {}}


def _calm() -> None:
    """Keep libraries' own bars and advice from the terminal; errors still come through."""
    import os  # noqa: PLC0415

    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.filterwarnings("ignore")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; print an input's error as one message.

    `--debug` anywhere among the arguments shows the traceback too.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0
    except SpeechtlError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        _complain(str(error))
        return error.exit_code
    except OSError as error:
        if error.errno != errno.ENOSPC or "--debug" in arguments:
            raise
        _complain("the disk is full: free some space or name another folder with --output")
        return OutputError.exit_code
    return 0


def _complain(message: str) -> None:
    err.print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
