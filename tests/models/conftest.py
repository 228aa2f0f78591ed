"""Tiny random checkpoints of every architecture, written once for all tests."""

from __future__ import annotations

import json
import shutil
import string
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import AddedToken, ByteLevelBPETokenizer
from transformers import (
    Data2VecAudioConfig,
    Data2VecAudioForCTC,
    Data2VecAudioModel,
    GenerationConfig,
    HubertConfig,
    HubertForCTC,
    HubertModel,
    UniSpeechConfig,
    UniSpeechForCTC,
    UniSpeechForPreTraining,
    UniSpeechSatConfig,
    UniSpeechSatForCTC,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2ForPreTraining,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMForCTC,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from speechtl.audio import Waveform
from speechtl.models.base import quiet

CTC_KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "wav2vec2-group": (Wav2Vec2Config, Wav2Vec2ForCTC, {"feat_extract_norm": "group"}),
    "wav2vec2-stable": (
        Wav2Vec2Config,
        Wav2Vec2ForCTC,
        {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
    ),
    "wav2vec2-adapter": (
        Wav2Vec2Config,
        Wav2Vec2ForCTC,
        {"feat_extract_norm": "layer", "add_adapter": True, "num_adapter_layers": 2},
    ),
    "hubert": (HubertConfig, HubertForCTC, {"feat_extract_norm": "group"}),
    "hubert-batch-norm": (HubertConfig, HubertForCTC, {"conv_pos_batch_norm": True}),
    "wavlm": (WavLMConfig, WavLMForCTC, {"feat_extract_norm": "group"}),
    "wavlm-stable": (
        WavLMConfig,
        WavLMForCTC,
        {"feat_extract_norm": "layer", "do_stable_layer_norm": True},
    ),
    "data2vec-audio": (
        Data2VecAudioConfig,
        Data2VecAudioForCTC,
        {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5},
    ),
    "unispeech": (UniSpeechConfig, UniSpeechForCTC, {"feat_extract_norm": "layer"}),
    "unispeech-sat": (UniSpeechSatConfig, UniSpeechSatForCTC, {"feat_extract_norm": "group"}),
}
"""Every architecture of the CTC family, with each way to normalise and to place frames."""

HEADLESS_KINDS: dict[str, tuple[Any, str]] = {
    "wav2vec2-headless": (Wav2Vec2Model, "wav2vec2-group"),
    "wav2vec2-pretraining": (Wav2Vec2ForPreTraining, "wav2vec2-stable"),
    "hubert-headless": (HubertModel, "hubert"),
    "wavlm-headless": (WavLMModel, "wavlm"),
    "data2vec-audio-headless": (Data2VecAudioModel, "data2vec-audio"),
    "unispeech-pretraining": (UniSpeechForPreTraining, "unispeech"),
}
"""Self-supervised checkpoints: the library's class, and the kind whose layout it has."""

WHISPER_KINDS = ("multilingual", "english")

UPPER_CASE = {t: i for i, t in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", "'"])} | {
    letter: 6 + i for i, letter in enumerate(string.ascii_uppercase)
}


def noise(seconds: float, *, seed: int) -> Waveform:
    """Return a tone in noise, so that two seeds give two texts."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * 16_000)) / 16_000
    tone = np.sin(2 * np.pi * (200 + 300 * seed) * time_s)
    return (0.1 * rng.standard_normal(len(time_s)) + 0.2 * tone).astype(np.float32)


def ctc_config(kind: str, **changes: Any) -> Any:
    configuration, _, options = CTC_KINDS[kind]
    return configuration(
        **{
            "hidden_size": 16, "num_hidden_layers": 3,
            "num_attention_heads": 2, "intermediate_size": 32, "conv_dim": (16, 16),
            "conv_kernel": (40, 8), "conv_stride": (20, 8), "num_feat_extract_layers": 2,
            "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "pad_token_id": 0,
            "layerdrop": 0.5, "output_hidden_size": 16,
            "ctc_loss_reduction": "mean", **options, **changes,
        }
    )  # fmt: skip


def write_feature_extractor(directory: Path, config: Any) -> None:
    masked = getattr(config, "feat_extract_norm", "layer") == "layer"
    untyped: Any = Wav2Vec2FeatureExtractor
    untyped(return_attention_mask=masked).save_pretrained(directory)


def write_ctc_checkpoint(
    directory: Path, kind: str, *, vocabulary: dict[str, int] = UPPER_CASE, **changes: Any
) -> Path:
    network = CTC_KINDS[kind][1]
    config = ctc_config(kind, **{"vocab_size": len(vocabulary), **changes})
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "vocab.json").write_text(json.dumps(vocabulary))
    torch.manual_seed(0)
    with quiet():
        model = network(config)
        with torch.no_grad():
            # Random heads answer with one character only: spread them.
            model.lm_head.weight.mul_(20)
        model.save_pretrained(directory)
        untyped: Any = Wav2Vec2CTCTokenizer
        untyped(str(directory / "vocab.json")).save_pretrained(directory)
        write_feature_extractor(directory, config)
    return directory


def write_headless_checkpoint(directory: Path, kind: str) -> Path:
    """Write a self-supervised checkpoint as the hub has them: no tokenizer, pickled weights."""
    network, like = HEADLESS_KINDS[kind]
    config = ctc_config(like, codevector_dim=16, proj_codevector_dim=16)
    directory.mkdir(parents=True)
    torch.manual_seed(2)
    with quiet():
        model = network(config)
        model.config.architectures = [network.__name__]
        model.config.save_pretrained(directory)
        write_feature_extractor(directory, config)
    # The hub's weights are older than torch's parametrised weight norm.
    weight = "parametrizations.weight."
    weights = {
        key.replace(f"{weight}original0", "weight_g").replace(f"{weight}original1", "weight_v"): v
        for key, v in model.state_dict().items()
    }
    torch.save(weights, directory / "pytorch_model.bin")
    return directory


def whisper_tokenizer(*, window_s: float) -> WhisperTokenizer:
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator([" the cat sat on the mat"] * 4, vocab_size=270, show_progress=False)
    trained = json.loads(bpe.to_str())["model"]
    end = "<|endoftext|>"
    names = (
        "startoftranscript", "en", "fr", "translate", "transcribe", "startoflm", "startofprev",
        "nospeech", "notimestamps",
    )  # fmt: skip
    tokenizer = WhisperTokenizer(
        vocab={**trained["vocab"], end: len(trained["vocab"])},
        merges=[tuple(pair) for pair in trained["merges"]],
        pad_token=end,
        extra_special_tokens=[f"<|{name}|>" for name in names],
    )
    times = [f"<|{i * 0.02:.2f}|>" for i in range(round(window_s / 0.02) + 1)]
    tokenizer.add_tokens([AddedToken(time, special=False, normalized=False) for time in times])
    return tokenizer


def write_whisper_checkpoint(
    directory: Path, kind: str, *, window_s: int = 2, positions: int = 32
) -> Path:
    tokenizer = whisper_tokenizer(window_s=window_s)
    ids = tokenizer.get_vocab()
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    shared: dict[str, Any] = {
        "bos_token_id": end, "eos_token_id": end, "pad_token_id": end,
        "decoder_start_token_id": start,
    }  # fmt: skip
    config = WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=16, d_model=16, encoder_layers=2, decoder_layers=2,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, max_source_positions=50 * window_s, max_target_positions=positions,
        apply_spec_augment=True, encoder_layerdrop=0.5, decoder_layerdrop=0.5, init_std=0.3,
        suppress_tokens=None, begin_suppress_tokens=None, **shared,
    )  # fmt: skip
    generation: dict[str, Any] = {
        **shared, "is_multilingual": kind == "multilingual", "max_length": 32,
        "no_timestamps_token_id": ids["<|notimestamps|>"], "begin_suppress_tokens": [end],
        "suppress_tokens": [i for token, i in ids.items() if token.startswith("<|") and i != end],
    }  # fmt: skip
    if kind == "multilingual":
        generation["lang_to_id"] = {token: ids[token] for token in ("<|en|>", "<|fr|>")}
        generation["task_to_id"] = {t: ids[f"<|{t}|>"] for t in ("translate", "transcribe")}
    torch.manual_seed(1)
    with quiet():
        network = WhisperForConditionalGeneration(config)
        network.generation_config = GenerationConfig(**generation)
        network.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=window_s)
        extractor.save_pretrained(directory)
    return directory


def with_adapter(base: Any, folder: Path) -> Any:
    """Return the base network as PEFT makes it of an adapter's folder."""
    from peft import PeftModel  # which takes seconds

    with warnings.catch_warnings():
        # PEFT 0.21's wrapper asks transformers 5.23 by a name that is to go in transformers 6.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is dep", FutureWarning)
        return PeftModel.from_pretrained(base, str(folder))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function from a kind to its checkpoint folder, to be read only."""
    root = tmp_path_factory.mktemp("checkpoints")

    def folder(kind: str) -> Path:
        path = root / kind
        if not path.exists():
            if kind in WHISPER_KINDS:
                return write_whisper_checkpoint(path, kind)
            write = write_headless_checkpoint if kind in HEADLESS_KINDS else write_ctc_checkpoint
            write(path, kind)
        return path

    return folder


@pytest.fixture
def own_checkpoint(checkpoint: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a function from a kind to a copy of its checkpoint that a test may break."""

    def folder(kind: str) -> Path:
        return Path(shutil.copytree(checkpoint(kind), tmp_path / kind))

    return folder
