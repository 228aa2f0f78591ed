"""A checkpoint by name: a starter, a local folder or a hub id."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForCTC,
    AutoModelForSpeechSeq2Seq,
    AutoTokenizer,
    PreTrainedConfig,
)

from speechtl import hub
from speechtl.audio import SAMPLE_RATE
from speechtl.errors import ConfigError, ModelError
from speechtl.models.base import SpeechModel, quiet
from speechtl.models.ctc import CtcModel
from speechtl.models.vocabulary import NewHead, check_new_head, renew_head
from speechtl.models.whisper import WhisperModel

__all__ = ["CTC_TYPES", "STARTERS", "load", "local_revision", "pick_device"]

STARTERS = {
    name: Path(__file__).parent.parent / "starter" / name.removeprefix("starter-")
    for name in ("starter-wav2vec2", "starter-whisper")
}
"""The checkpoints that come with the package, by name."""

CTC_TYPES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat")
"""The model types that share wav2vec2's layout."""

_HUB_FILES = (
    "config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "normalizer.json",
)  # fmt: skip
_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json", "model-*.safetensors")
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*.bin")
_OTHER_WAYS = (
    "Give a local checkpoint folder, or a model that comes with the package: " + ", ".join(STARTERS)
)
_NEW_HEAD = "--strategy new-head adapts it with a head of its own"
_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}

_log = logging.getLogger(__name__)


def load(
    name: str,
    *,
    device: str = "cpu",
    head: NewHead | None = None,
    random_seed: int | None = None,
) -> SpeechModel:
    """Return the recogniser called `name`, in evaluation mode, with float32 weights.

    No code of a checkpoint is ever run: no `trust_remote_code`, and pickled weights are read by
    torch's weights-only unpickler.

    A hub that fails is asked again, a few times, and none is waited for without end. Where it does
    not answer at all, what was fetched before is taken, with a warning.

    Args:
        name: A starter (`starter-wav2vec2`, `starter-whisper`), a local folder, or a hub id with an
            optional revision (`facebook/wav2vec2-base-960h@main`).
        device: Where the weights go, as torch names it.
        head: A new head for a CTC checkpoint, with or without one of its own, also for a
            self-supervised one. Without it the checkpoint must be trained to recognise speech.
        random_seed: Draws random weights in place of the checkpoint's, of which the architecture
            and the tokenizer are kept; None loads the weights.

    Raises:
        ConfigError: The checkpoint cannot have this head.
        ModelError: There is no such checkpoint, it cannot be fetched or read, it is of no known
            family, or it has no trained head or no tokenizer and is given no head.
    """
    folder, revision = _locate(name)
    config = _config(folder, name)
    if head is None:
        _check_tokenizer(folder, config, name)
    else:
        check_new_head(head, config, name=name)
    revision = revision or _digest(folder, name)
    with quiet(), _readable(name):
        network, is_trained = _network(folder, config, name)
        if random_seed is not None:
            revision = f"{revision}-random-{random_seed}"
            network = _random(network, random_seed)
        if not is_trained and head is None:
            raise ModelError(
                f"{name} has no CTC head: it is a self-supervised checkpoint, and must be already "
                f"trained to recognise speech; {_NEW_HEAD}. {_OTHER_WAYS}"
            )
        extractor = _feature_extractor(folder, name)
        tokenizer: Any = None
        # A vocabulary beside weights without a head (facebook/wav2vec2-base) says nothing of them.
        if is_trained and _has_tokenizer(folder, config):
            tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
        if head is not None:
            tokenizer = renew_head(network, head, tokenizer=tokenizer)
        network = network.to(device).eval()
        shared: dict[str, Any] = {
            "feature_extractor": extractor, "tokenizer": tokenizer, "name": name,
            "revision": revision,
        }  # fmt: skip
        if config.model_type == "whisper":
            return WhisperModel(network, **shared)
        return CtcModel(network, **shared, bottleneck=head is not None and head.bottleneck > 0)


def _locate(name: str) -> tuple[Path, str | None]:
    """Return the folder that holds the checkpoint, and the commit if it is from the hub."""
    if name in STARTERS:
        if not (STARTERS[name] / "config.json").is_file():
            raise ModelError(
                f"{name} is missing from this installation ({STARTERS[name]}); reinstall speechtl"
            )
        return STARTERS[name], None
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ModelError(f"{name} has no config.json, so it is no checkpoint. {_OTHER_WAYS}")
        return folder, None
    repository = hub.parse("model", name)
    if folder.exists() or repository is None or name.startswith((".", "/", "~")):
        raise ModelError(
            f"{name} is not a checkpoint folder, nor a hub id (owner/name or "
            f"owner/name@revision). {_OTHER_WAYS}"
        )
    folder = _fetch(repository, name)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{name} has no config.json, so it is no transformers checkpoint. {_OTHER_WAYS}"
        )
    return folder, folder.name


def _fetch(repository: hub.Repository, name: str) -> Path:
    """Return the hub's snapshot of the files that are needed, from the cache where it is there."""
    silence: Exception | None = None
    with hub.session() as met:
        try:
            if not repository.is_pinned:  # the cache may hold all of one that is
                _, silence = hub.commit(repository)
            folder = hub.patiently(
                name, lambda: _snapshot(repository, local=bool(silence)), library_tries=True
            )
        except Exception as error:
            # The hub's client and its transport each raise kinds of their own.
            why = hub.failure(repository, silence or error, met=met)
            raise ModelError(f"{name} {why}. {_OTHER_WAYS}") from error
    if silence is not None:
        _log.warning(
            "%s: the hub cannot be reached, so the copy that was fetched before is used (commit"
            " %s)",
            name,
            folder.name,
        )
    return folder


def _snapshot(repository: hub.Repository, *, local: bool) -> Path:
    """Return the folder of one commit's files, pickled weights only where there are no others."""

    def fetched(*patterns: str) -> Path:
        # By branch or tag, of which the client keeps the commit for when the hub is silent.
        return Path(
            snapshot_download(
                repository.id,
                revision=repository.revision,
                allow_patterns=list(patterns),
                local_files_only=local,
            )
        )

    folder = fetched(*_HUB_FILES, *_SAFETENSORS)
    return folder if _weights(folder, _SAFETENSORS) else fetched(*_HUB_FILES, *_PICKLED)


def _config(folder: Path, name: str) -> PreTrainedConfig:
    """Return the configuration; refuse what is of neither family."""
    supported = ", ".join(("whisper", *CTC_TYPES))
    try:
        model_type = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ModelError(
            f"{name}: config.json is broken or names no model_type. {_OTHER_WAYS}"
        ) from error
    if model_type != "whisper" and model_type not in CTC_TYPES:
        raise ModelError(f"{name} is of type '{model_type}'; supported are: {supported}")
    with quiet(), _readable(name):
        found: PreTrainedConfig = AutoConfig.from_pretrained(folder, **_LOCAL)
    return found


def _tokenizer_files(config: PreTrainedConfig) -> tuple[str, ...]:
    """Return the names of which a tokenizer needs one."""
    return ("tokenizer.json", "vocab.json") if config.model_type == "whisper" else ("vocab.json",)


def _has_tokenizer(folder: Path, config: PreTrainedConfig) -> bool:
    return any((folder / file).is_file() for file in _tokenizer_files(config))


def _check_tokenizer(folder: Path, config: PreTrainedConfig, name: str) -> None:
    if not _has_tokenizer(folder, config):
        hint = "" if config.model_type == "whisper" else f"; {_NEW_HEAD}"
        raise ModelError(
            f"{name} has no tokenizer ({' or '.join(_tokenizer_files(config))}), as a "
            "self-supervised checkpoint: it must be already trained to recognise speech"
            f"{hint}. {_OTHER_WAYS}"
        )


def _feature_extractor(folder: Path, name: str) -> Any:
    """Return the `FeatureExtractionMixin`, which must read 16 kHz."""
    automatic: Any = AutoFeatureExtractor
    extractor = automatic.from_pretrained(folder, **_LOCAL)
    if extractor.sampling_rate != SAMPLE_RATE:
        raise ModelError(f"{name} reads {extractor.sampling_rate} Hz; it must be {SAMPLE_RATE} Hz")
    return extractor


def _network(folder: Path, config: PreTrainedConfig, name: str) -> tuple[Any, bool]:
    """Return the `PreTrainedModel` from the checkpoint, and whether its head is from there too."""
    auto = AutoModelForSpeechSeq2Seq if config.model_type == "whisper" else AutoModelForCTC
    network, report = auto.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        weights_only=True,
        output_loading_info=True,
        **_LOCAL,
    )
    missing = {key for key in report["missing_keys"] if not key.endswith("masked_spec_embed")}
    if missing != set(report["missing_keys"]):
        # Absent from facebook/wav2vec2-base-960h and others, used by no part: zero rather than
        # random.
        network.base_model.masked_spec_embed.data.zero_()
    head = {key for key in missing if key.startswith("lm_head.")}
    if missing - head:
        some = ", ".join(sorted(missing - head)[:3])
        raise ModelError(
            f"{name} lacks {len(missing - head)} weights of its own network: {some} … {_OTHER_WAYS}"
        )
    return network, not head


def _random(network: Any, seed: int) -> Any:
    """Return a network of the same architecture with weights as they are before pre-training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(network)(network.config)
    if network.can_generate():
        fresh.generation_config = network.generation_config
    return fresh


def _weights(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern))


def local_revision(name: str) -> str | None:
    """Return the digest that `load` would give a starter or a local folder as its revision.

    None for a hub id, whose commit is known only once it is fetched.

    Raises:
        ModelError: The folder holds no checkpoint.
    """
    if name not in STARTERS and not Path(name).expanduser().is_dir():
        return None
    return _digest(_locate(name)[0], name)


def _digest(folder: Path, name: str) -> str:
    """Return the SHA-256 of the weights and of how they and the audio are read, in hexadecimal."""
    files = _weights(folder, _SAFETENSORS) or _weights(folder, _PICKLED)
    if not files:
        raise ModelError(
            f"{name} has no weights (model.safetensors or pytorch_model.bin). {_OTHER_WAYS}"
        )
    digest = hashlib.sha256()
    settings = ("config.json", "preprocessor_config.json", "processor_config.json")
    for path in [*files, *(folder / name for name in settings if (folder / name).is_file())]:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn what the libraries raise over a broken checkpoint into one `ModelError`."""
    kinds: tuple[type[Exception], ...] = (
        OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError,
        EOFError, pickle.UnpicklingError, SafetensorError, StrictDataclassError,
    )  # fmt: skip
    try:
        yield
    except kinds as error:
        reason = shorten(str(error), width=300) or type(error).__name__
        raise ModelError(f"{name} cannot be loaded: {reason}. {_OTHER_WAYS}") from error


def pick_device(name: str) -> str:
    """Return `cpu`, `cuda` or `mps`; `auto` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        ConfigError: There is no such device on this machine.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    here = [device for device, is_here in present.items() if is_here]
    if name == "auto":
        return here[0]
    if name not in here:
        raise ConfigError(
            f"there is no device '{name}' here; choose one of: auto, {', '.join(here)}"
        )
    return name
