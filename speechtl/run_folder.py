"""The folder of a run: what may be written there, and what an unfinished run left."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import yaml

from speechtl import models
from speechtl.config import RunConfig, run_config
from speechtl.errors import ConfigError, DataError, OutputError, SpeechtlError
from speechtl.files import require_writable, write_text
from speechtl.run_data import corpus_name, general_name
from speechtl.scoring import Report

__all__ = [
    "UNFINISHED_MODEL",
    "OtherRunError",
    "claim",
    "config_text",
    "finished_report",
    "from_anywhere",
    "goes_on",
    "kept_settings",
    "require_free",
    "run_folder",
    "saved_revision",
    "settings",
]

UNFINISHED_MODEL = ".model.part"
"""What `model/` is called until it is complete."""

# All that a run ever writes beside config.yaml: what --overwrite removes.
_WRITTEN = (
    "model",
    "adapter",
    "hypotheses",
    "report.json",
    "report.md",
    "report.html",
    "README.md",
    "log",
    "checkpoints",
    "pseudo-labels",
    "folds",
    UNFINISHED_MODEL,
)


class OtherRunError(ConfigError):
    """An unfinished run lies where another one is to be gone on with."""


def run_folder(config: RunConfig) -> Path:
    """Return the absolute path of the run's folder."""
    return (config.output or Path("runs") / config.accent).expanduser().absolute()


def require_free(directory: Path, config: RunConfig) -> None:
    """Refuse a place that cannot be the run folder, before anything is loaded or written.

    Raises:
        OutputError: It is a file, lies below one, may not be written, or holds something.
    """
    require_writable(directory)
    if not directory.exists() or all(path.name[0] == "." for path in directory.iterdir()):
        return
    if _earlier_run(directory) is None:
        raise OutputError(
            f"the folder {directory} holds files that are not a run's, and they are not "
            "overwritten; name another with --output"
        )
    if not config.overwrite and (directory / "report.json").exists():
        raise OutputError(
            f"the run folder {directory} holds a finished run; name another with --output, or "
            "replace it with --overwrite"
        )


def claim(directory: Path, config: RunConfig, text: str) -> bool:
    """Make the run folder with config.yaml, and nothing else unless a run is gone on with.

    Args:
        directory: The run folder.
        config: The configuration of the run that is to be there.
        text: What its config.yaml is to hold.

    Returns:
        Whether a run is gone on with that was not finished.

    Raises:
        OutputError: It cannot be written, or holds something that is not to be lost.
        OtherRunError: The run that is to be gone on with had other settings.
    """
    require_free(directory, config)
    if goes_on(directory, config, text):
        return True
    try:
        for name in _WRITTEN:
            path = directory / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write the run folder {directory}: {error.strerror or error}; name another "
            "with --output"
        ) from error
    write_text(directory / "config.yaml", text)
    return False


def goes_on(directory: Path, config: RunConfig, text: str) -> bool:
    """Return whether an unfinished run lies in a folder that is to be gone on with.

    Raises:
        OtherRunError: It had other settings.
    """
    earlier = _earlier_run(directory)
    if earlier is None or config.overwrite:
        return False
    _require_same(directory, earlier, text)
    return True


def _earlier_run(directory: Path) -> dict[str, dict[str, Any]] | None:
    """Return what a run's config.yaml holds; None where there is none, or one of something else."""
    try:
        tree = yaml.safe_load((directory / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return None
    sections = isinstance(tree, dict) and all(
        isinstance(tree.get(name), dict) for name in ("run", "facts")
    )
    return tree if sections else None


def _require_same(directory: Path, earlier: dict[str, dict[str, Any]], text: str) -> None:
    """Refuse to go on with a run of other settings, another model or other speech.

    Raises:
        OtherRunError: config.yaml differs but for the versions; what differs is named.
    """
    asked = yaml.safe_load(text)
    different = [
        key
        for section in asked
        for key, value in asked[section].items()
        if key != "versions" and earlier[section].get(key) != value
    ]
    if different:
        raise OtherRunError(
            f"the unfinished run in {directory} had another {', '.join(different)}; give the same "
            "options to go on with it, name another folder with --output, or replace it with "
            "--overwrite"
        )


def settings(config: RunConfig) -> RunConfig:
    """Return a configuration as `config.yaml` keeps it, but for what depends on the model.

    Corpora are named, paths can be opened from any folder, and where to write is left out.
    """
    general = general_name(config)
    return replace(
        config,
        model=from_anywhere(config.model),
        corpus=from_anywhere(corpus_name(config)),
        general=None if general is None else from_anywhere(general),
        control=None if config.control is None else from_anywhere(config.control),
        untranscribed=config.untranscribed and config.untranscribed.expanduser().absolute(),
        output=None,
        overwrite=False,
        feature_cache=True,
        cache_gb=RunConfig(accent=config.accent).cache_gb,
    )


def kept_settings(config: RunConfig) -> dict[str, Any]:
    """Return `settings` as they stand in config.yaml, which leaves out where to write and how."""
    kept: dict[str, Any] = asdict(settings(config))
    for name in ("output", "overwrite", "feature_cache", "cache_gb"):  # no part of the result
        del kept[name]
    if config.untranscribed is not None:
        kept["untranscribed"] = str(kept["untranscribed"])
    return kept


def config_text(kept: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Return what config.yaml holds: every setting, and what with; `--config` reads it again."""
    tree = {"run": dict(kept), "facts": dict(facts)}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


def from_anywhere(name: str) -> str:
    """Return the name of a corpus or a model; of one that is a path, the absolute path."""
    if name == "starter" or name in models.STARTERS:
        return name
    path = Path(name).expanduser()
    return str(path.absolute()) if path.exists() else name


def finished_report(config: RunConfig) -> Report | None:
    """Return the report of a run that is complete, None where it has to be run."""
    try:
        report = Report.from_json((run_folder(config) / "report.json").read_text(encoding="utf-8"))
    except (DataError, OSError, UnicodeDecodeError):
        return None
    # Ctrl-C in a run ends its training early: what it then scored is not the run's result.
    ended = report.facts.stopped != "interrupted"
    return report if ended and saved_revision(config) == report.facts.revision else None


def saved_revision(config: RunConfig) -> str | None:
    """Return the revision of the model that the run in a configuration's folder began with.

    None where there is none, or where it had other settings or another base model.
    """
    path = run_folder(config) / "config.yaml"
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        saved = run_config(tree["run"], where=str(path))
        revision = str(tree["facts"]["model_revision"])
        here = models.local_revision(config.model)
    except (OSError, ValueError, yaml.YAMLError, SpeechtlError, LookupError, TypeError):
        return None
    asked = settings(config)
    # What was left open a run found out for itself.
    found = {
        field.name: getattr(saved.training, field.name)
        for field in fields(asked.training)
        if getattr(asked.training, field.name) in {None, "auto"}
    }
    asked = replace(asked, training=replace(asked.training, **found))
    if asked.strategy == "auto":
        asked = replace(asked, strategy=saved.strategy)
    same_base = here is None or revision.partition("-random-")[0] == here
    return revision if saved == asked and same_base else None
