"""The run's configuration: composed from the sections that live beside their code, read strictly.

Later sources win: defaults (here and in the sections), `configs/presets/<preset>.yaml`, the file
given with `--config`, flags. What an accent's own corpora are stands in
`configs/accents/<accent>.yaml`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from speechtl.augment import (
    LIGHT,
    NAMED,
    Augmentation,
    Chain,
    Sometimes,
    SpecAugment,
    files_of,
)
from speechtl.errors import ConfigError
from speechtl.lora import LoraSettings
from speechtl.strategy import StrategyName
from speechtl.training import Precision, TrainingConfig

__all__ = [
    "AccentFile",
    "AugmentStep",
    "RunConfig",
    "Source",
    "accent_file",
    "accent_names",
    "augmentation",
    "merged",
    "preset",
    "preset_names",
    "read_yaml",
    "run_config",
    "suggestion",
]

Device = Literal["auto", "cpu", "cuda", "mps"]
AugmentStep = dict[str, dict[str, Any] | None]
_strict = with_config(ConfigDict(extra="forbid"))
T = TypeVar("T")


@_strict
@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """One adapt-then-score run.

    Attributes:
        accent: The accent to adapt to, one that the corpus holds.
        model: A starter name, a checkpoint folder, or a hub id with an optional `@revision`.
        corpus: `starter`, a manifest (JSONL, CSV, TSV), or `hf:<id or folder>[:config+config]`;
            None takes the starter where it speaks the accent, else the accent's own corpus from
            `configs/accents`.
        general: A corpus of the accent that the model already knows, scored before and after and
            replayed in training; `auto` is the starter where the model or the corpus is the
            starter's, else none; None leaves it out.
        general_accent: The accent to take from `general`.
        control: A corpus that was recorded as the accent's was, in an accent that the model knows:
            it is scored before and after, so that what was learnt of the accent can be told from
            what was learnt of the recording; None: none.
        control_accent: The accent to take from `control`; None takes the general accent where the
            corpus has it, else the only one that it has.
        folds: Over how many folds the speakers are dealt, each of which is tested once by a
            training on the others; None splits them once.
        fold: The one fold that is run, from 1; None: all of them.
        untranscribed: A folder of recordings of the accent that nobody transcribed, to train on
            with labels of the model's own; None: none.
        rounds: How often the model labels them and trains again.
        label_wer: The most that its labels may be wrong together, as far as dev tells (WER, a
            fraction); what it is less sure of is left out.
        minutes: The most minutes of the accent's training speech that are used, drawn by the seed;
            of one seed, less is always a part of more. None uses all.
        strategy: What trains; `auto` chooses by speech, base and device, see `speechtl.choice`.
        top_layers: How many encoder layers `top-layers` trains.
        unfreeze_every: Steps after which `gradual` lets the next part below train.
        unfreeze_layers: How many parts below the head `gradual` lets train at last; None: all but
            the feature encoder.
        lora: The matrices of `lora`.
        vocabulary: The characters of a `new-head`; None takes those of the transcripts.
        bottleneck: Channels of a layer that `new-head` puts under the head; 0 puts none.
        bottleneck_layers: Convolutions with gates on top of it, which make it a perceptron of
            several layers.
        replay: The share of general utterances among those trained on, 0 to below 1.
        augment: Whether training utterances are augmented, lightly; or the steps, in their order,
            each a name of `speechtl.augment.NAMED` with its settings and its `probability`.
        copies: How many augmented copies of each utterance there are; the epochs take turns.
        encoder_frames: What a Whisper's decoder reads in training: `all` frames of the window, or
            those under `speech`.
        feature_cache: Whether features of the frozen part are kept on disk and read from there;
            without it they are computed in each epoch anew.
        cache_gb: What the cache of all runs may hold (10^9 bytes).
        training: Epochs, rates and limits.
        normaliser: The transcript normaliser that both systems are scored with.
        seed: Draws splits, order, augmentation, masks and dropout.
        device: Where to train; `auto` takes CUDA, then Apple's MPS, then the CPU.
        precision: float32, bf16 autocast, or what suits the device.
        output: The run folder; None is `runs/<accent>`.
        overwrite: Replace a run folder that is there already; without it an unfinished run of the
            same settings is gone on with.
    """

    accent: str
    model: str = "starter-whisper"
    corpus: str | None = None
    general: str | None = "auto"
    general_accent: str = "general"
    control: str | None = None
    control_accent: str | None = None
    folds: int | None = None
    fold: int | None = None
    untranscribed: Path | None = None
    rounds: int = 1
    label_wer: float = 0.3
    minutes: float | None = None
    strategy: StrategyName = "auto"
    top_layers: int = 2
    unfreeze_every: int = 20
    unfreeze_layers: int | None = None
    lora: LoraSettings = field(default_factory=LoraSettings)
    vocabulary: str | None = None
    bottleneck: int = 0
    bottleneck_layers: int = 0
    replay: float = 0.35
    augment: bool | tuple[AugmentStep, ...] = True
    copies: int = 3
    encoder_frames: Literal["all", "speech"] = "all"
    feature_cache: bool = True
    cache_gb: float = 20.0
    training: TrainingConfig = field(default_factory=TrainingConfig)
    normaliser: str = "plain"
    seed: int = 0
    device: Device = "auto"
    precision: Precision = "auto"
    output: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        wrong = []
        if not self.accent.strip():
            wrong.append("accent must be named, for instance: --accent scottish")
        if self.top_layers < 1:
            wrong.append(f"top_layers must be at least 1, got {self.top_layers}")
        if not 0 <= self.replay < 1:
            wrong.append(f"replay is a share from 0 to below 1, got {self.replay}")
        if self.seed < 0:
            wrong.append(f"seed must not be negative, got {self.seed}")
        wrong += [
            f"{name} must be at least 1, got {getattr(self, name)}"
            for name in ("copies", "rounds")
            if getattr(self, name) < 1
        ]
        if not 0 <= self.label_wer <= 1:
            wrong.append(f"label_wer is a fraction from 0 to 1, got {self.label_wer}")
        wrong += [
            f"{name} must be above 0, got {value}"
            for name in ("cache_gb", "minutes")
            if (value := getattr(self, name)) is not None and not value > 0
        ]
        wrong += [
            f"{name} must not be negative, got {getattr(self, name)}"
            for name in ("bottleneck", "bottleneck_layers")
            if getattr(self, name) < 0
        ]
        wrong += _wrong_folds(self)
        if self.control is None and self.control_accent is not None:
            wrong.append("control_accent only goes with --control")
        known = self.__dataclass_fields__
        unused = [n for n in ("rounds", "label_wer") if getattr(self, n) != known[n].default]
        if self.untranscribed is None and unused:
            wrong.append(f"{' and '.join(unused)} only goes with --untranscribed")
        news = ("vocabulary", "bottleneck", "bottleneck_layers")
        if self.strategy != "new-head" and (given := [n for n in news if getattr(self, n)]):
            wrong.append(f"{' and '.join(given)} only goes with --strategy new-head")
        if wrong:
            raise ConfigError("; ".join(wrong))


def _wrong_folds(config: RunConfig) -> Iterator[str]:
    if config.folds is None:
        if config.fold is not None:
            yield "fold only goes with --folds"
        return
    if config.folds < 2:
        yield f"folds must be at least 2, got {config.folds}"
    elif config.fold is not None and not 1 <= config.fold <= config.folds:
        yield f"fold must be from 1 to {config.folds}, the number of folds, got {config.fold}"
    if config.untranscribed is not None:
        yield (
            "folds cannot go with --untranscribed: who speaks there is not known, and may be "
            "tested; leave one of them out"
        )


@_strict
@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A real corpus of an accent.

    Attributes:
        name: What people call it.
        corpus: What `--corpus` takes to load it; None where a run cannot take it as it is.
        known: Its name among the known corpora, where `corpus` does not say it; a copy of it on
            this machine is to be taken before `corpus`.
        licence: Its SPDX identifier, or its own words.
        url: Where it is described.
        note: Size, speakers, and what to know before relying on it.
    """

    name: str
    licence: str
    url: str
    corpus: str | None = None
    known: str | None = None
    note: str = ""


@_strict
@dataclass(frozen=True, slots=True, kw_only=True)
class AccentFile:
    """`configs/accents/<accent>.yaml`: whether the starter speaks it, and its real corpora."""

    accent: str
    starter: bool = False
    sources: tuple[Source, ...] = ()


class _Loader(yaml.SafeLoader):
    """YAML 1.2's reading of scalars: `1e-4` is a number, `no`, `on` and `yes` are text."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$", re.IGNORECASE), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d+\.\d*|\.\d+|\d+(?=[eE]))(?:[eE][-+]?\d+)?$|^[-+]?\.inf$|^\.nan$"),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; of a run's own `config.yaml`, its settings.

    Raises:
        ConfigError: There is no such file, it is not YAML, or not a mapping; the message says
            where.
    """
    try:
        # PyYAML's safe loader with fewer implicit types: no object is ever constructed from a tag.
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration file {path}: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path} must hold 'key: value' lines, got {type(loaded).__name__}")
    if loaded.keys() == {"run", "facts"} and isinstance(loaded["run"], dict):
        return loaded["run"]
    return loaded


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the layers as one mapping: later ones win, sections are merged key by key."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = result.get(key)
            both = isinstance(old, Mapping) and isinstance(value, Mapping)
            result[key] = merged(old, value) if both and old is not None else value
    return result


def run_config(layers: Mapping[str, Any], *, where: str) -> RunConfig:
    """Return the configuration that merged layers describe.

    Raises:
        ConfigError: Unknown keys or impossible values: all of them, each with its path and what
            would do.
    """
    return _validated(RunConfig, layers, where=where)


def augmentation(
    config: RunConfig, *, speech: Sequence[Path]
) -> tuple[Augmentation | None, SpecAugment | None]:
    """Return what changes the waveforms of a run and what masks its features.

    Args:
        config: The run's configuration.
        speech: Recordings that babble is mixed from where its step names no `sources`.

    Raises:
        ConfigError: A step has no known name, an impossible setting, or names a missing file.
    """
    if isinstance(config.augment, bool):
        return (LIGHT, SpecAugment()) if config.augment else (None, None)
    steps, mask = [], None
    for number, step in enumerate(config.augment, start=1):
        if len(step) != 1 or not step.keys() <= NAMED.keys():
            raise ConfigError(
                f"augment, step {number}: name one of {', '.join(NAMED)}, with its settings; got "
                f"{', '.join(step) or 'nothing'}"
            )
        [(name, given)] = step.items()
        where = f"augment, step {number} ({name})"
        settings = dict(given or {})
        chance = _validated(_Chance, {"probability": settings.pop("probability", 1.0)}, where=where)
        if settings.get("kind") == "babble":
            settings.setdefault("sources", tuple(speech))
        known = sorted(NAMED[name].__dataclass_fields__)
        if unknown := sorted(settings.keys() - set(known)):
            raise ConfigError(
                f"{where}: unknown key '{unknown[0]}'; {suggestion(unknown[0], known)}"
                f"known keys: {', '.join(known)}"
            )
        made = _validated(NAMED[name], settings, where=where)
        if missing := [str(path) for path in files_of(made) if not path.is_file()]:
            raise ConfigError(f"{where}: there is no file {', '.join(missing)}")
        if isinstance(made, SpecAugment):
            mask = made
        else:
            steps.append(Sometimes(augmentation=made, probability=chance.probability))
    return (Chain(steps=tuple(steps)) if steps else None), mask


_SECTIONS: dict[str, type[Any]] = {"training": TrainingConfig, "lora": LoraSettings}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chance:
    probability: Annotated[float, Field(ge=0, le=1)]


def _validated(kind: type[T], values: Mapping[str, Any], *, where: str) -> T:
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError:
        lines = dict.fromkeys(_faults(kind, values))
        raise ConfigError(f"{where} cannot be used:\n  - " + "\n  - ".join(lines)) from None


def _faults(kind: type[Any], values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong, key by key, then what is wrong with the keys that are left together."""
    try:
        TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        left: Any = values
        for fault in error.errors():
            yield _fault(fault, kind)
            left = _without(left, fault["loc"])
        if left != values:
            yield from _faults(kind, left)


def _without(values: Any, path: Sequence[int | str]) -> Any:
    if not (path and isinstance(values, Mapping) and path[0] in values):
        return values
    kept = {key: value for key, value in values.items() if key != path[0]}
    return kept | {path[0]: _without(values[path[0]], path[1:])} if path[1:] else kept


def _fault(fault: Any, kind: type[Any]) -> str:
    path = tuple(str(step) for step in fault["loc"])
    key = ".".join(path)
    if path[:1] == ("augment",):  # else a fault for each of the two kinds that it may be
        return "augment: give true, false, or a list of steps such as '- gain: {minimum_db: -3}'"
    match fault["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return f"unknown key '{key}'{_meant(path, kind)}"
        case "missing" | "missing_argument" | "missing_keyword_only_argument":
            return f"'{key}' is missing"
        case "value_error":  # a section's own ConfigError, which names what it found
            return str(fault["ctx"]["error"])
        case "literal_error":
            meant = suggestion(str(fault["input"]), re.findall("'(.+?)'", fault["ctx"]["expected"]))
            return f"{key}: there is no '{fault['input']}'; {meant}give {fault['ctx']['expected']}"
        case _:
            return f"{key}: {fault['msg'][0].lower()}{fault['msg'][1:]}, got {fault['input']!r}"


def _meant(path: Sequence[str], kind: type[Any]) -> str:
    """Return the key that was probably meant, with its section, or those that the section has."""
    owner = _SECTIONS.get(path[0], kind) if len(path) > 1 else kind
    known = sorted(owner.__dataclass_fields__)
    close = difflib.get_close_matches(path[-1], known, n=1)
    if close:
        return f"; did you mean '{'.'.join((*path[:-1], close[0]))}'?"
    for name, section in _SECTIONS.items():
        if owner is RunConfig and path[-1] in section.__dataclass_fields__:
            return f"; write it under '{name}:', as {name}.{path[-1]}"
    return f"; known keys: {', '.join(known)}"


@cache
def _configs() -> Path:
    here = Path(__file__).resolve().parent
    packaged = here / "configs"
    return packaged if packaged.is_dir() else here.parent / "configs"


def _names(folder: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (_configs() / folder).glob("*.yaml")))


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return "did you mean '…'? " where a known name is close to `name`, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean '{close[0]}'? " if close else ""


def accent_names() -> tuple[str, ...]:
    """Return the accents that have a file of their own."""
    return _names("accents")


def preset_names() -> tuple[str, ...]:
    """Return the presets."""
    return _names("presets")


def accent_file(accent: str) -> AccentFile | None:
    """Return what is known of an accent, None where it has no file."""
    if accent not in accent_names():
        return None
    path = _configs() / "accents" / f"{accent}.yaml"
    return _validated(AccentFile, read_yaml(path), where=str(path))


def preset(name: str) -> dict[str, Any]:
    """Return a preset's mapping.

    Raises:
        ConfigError: There is no such preset; the message lists those there are.
    """
    if name not in preset_names():
        raise ConfigError(
            f"there is no preset '{name}'; {suggestion(name, preset_names())}"
            f"choose one of: {', '.join(preset_names())}"
        )
    return read_yaml(_configs() / "presets" / f"{name}.yaml")
