"""The two base models of the starter, trained on synthetic general English.

Both are small so that a laptop trains them. The wav2vec2 starts from random weights; it reads the
waveform with one wide strided convolution whose filters are a mel-spaced Gabor bank (Zeghidour et
al. 2018, "Learning filterbanks from raw speech"). The Whisper's encoder starts from the wav2vec2's
lower layers, which know the sounds by then, and learns its alignment beside an auxiliary CTC loss
(Watanabe et al. 2017, "Hybrid CTC/attention architecture"), whose head is thrown away afterwards.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    GenerationConfig,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Processor,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

from .tokenizer import new_tokenizer

__all__ = ["Recordings", "new_wav2vec2", "new_whisper", "train_ctc", "train_whisper"]

SAMPLE_RATE = 16_000
CHARACTERS = "|abcdefghijklmnopqrstuvwxyz'"
log = logging.getLogger(__name__)


_LENGTH_STEP = 3840


class Batch(NamedTuple):
    """Rows of a `Recordings`, how much each is stretched, and the samples they are padded to."""

    rows: npt.NDArray[np.int64]
    stretch: npt.NDArray[np.float64]
    samples: int


class Recordings:
    """Transcribed waveforms in one flat 16-bit file, read by memory map."""

    def __init__(self, stem: Path) -> None:
        rows = [json.loads(line) for line in stem.with_suffix(".jsonl").read_text().splitlines()]
        self.rows = rows
        self.pcm = np.memmap(stem.with_suffix(".pcm"), dtype="<i2", mode="r")
        self.lengths = np.array([row["n"] for row in rows])

    def waveform(self, index: int) -> npt.NDArray[np.float32]:
        """Return one row's samples, `(samples,)`, 16 kHz."""
        row = self.rows[index]
        return self.pcm[row["start"] : row["start"] + row["n"]].astype(np.float32) / np.float32(
            32768
        )

    def batches(self, seconds: float, rng: np.random.Generator) -> list[Batch]:
        """Return one epoch's batches, shuffled: few shapes, `seconds` of padded audio each.

        Every utterance is to be played at 0.87 to 1.15 times its length. A CPU prepares its kernels
        once per shape, so lengths are rounded up to 0.24 s and a length's last, incomplete batch is
        left to the next epoch.
        """
        stretch = rng.uniform(0.87, 1.15, len(self.lengths))
        sizes = np.ceil(self.lengths * stretch / _LENGTH_STEP).astype(int) * _LENGTH_STEP
        batches = []
        for size in np.unique(sizes):
            rows = rng.permutation(np.flatnonzero(sizes == size))
            count = max(1, int(seconds * SAMPLE_RATE / size))
            batches += [
                Batch(rows[i : i + count], stretch[rows[i : i + count]], int(size))
                for i in range(0, len(rows) - count + 1, count)
            ]
        return [batches[i] for i in rng.permutation(len(batches))]


def _stretched(data: Recordings, row: int, factor: float) -> Tensor:
    """Return a row's samples played at `factor` times their length; the pitch moves along."""
    waveform = torch.from_numpy(data.waveform(row))[None, None]
    return functional.interpolate(waveform, scale_factor=factor, mode="linear")[0, 0]


def _inputs(data: Recordings, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return stretched, padded waveforms of zero mean and unit variance, and their mask."""
    padded = torch.zeros(len(batch.rows), batch.samples)
    mask = torch.zeros(padded.shape, dtype=torch.long)
    for i, (row, factor) in enumerate(zip(batch.rows, batch.stretch, strict=True)):
        waveform = _stretched(data, row, factor)
        padded[i, : len(waveform)] = (waveform - waveform.mean()) / (waveform.std() + 1e-5)
        mask[i, : len(waveform)] = 1
    return padded, mask


def _gabor_bank(filters: int, width: int) -> Tensor:
    """Return cosines and sines of both signs, mel-spaced, shape `(4 * filters, 1, width)`."""
    mel = np.linspace(2595 * math.log10(1 + 60 / 700), 2595 * math.log10(1 + 7600 / 700), filters)
    centre_hz = 700 * (10 ** (mel / 2595) - 1)
    time_s = (np.arange(width) - width / 2) / SAMPLE_RATE
    phase = 2 * np.pi * centre_hz[:, None] * time_s
    # The gain rises with frequency, against the fall of speech's own spectrum.
    gain = (centre_hz[:, None] / 1000 + 0.3) * np.hanning(width) / math.sqrt(width)
    bank = np.concatenate([np.cos(phase), np.sin(phase), -np.cos(phase), -np.sin(phase)]) * np.tile(
        gain, (4, 1)
    )
    return torch.tensor(bank[:, None], dtype=torch.float32)


def new_wav2vec2(directory: Path) -> tuple[Wav2Vec2ForCTC, Wav2Vec2Processor]:
    """Return a small untrained `Wav2Vec2ForCTC` (a frame every 30 ms) and its processor."""
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: i for i, token in enumerate(["<pad>", "<unk>", *CHARACTERS])}
    (directory / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = Wav2Vec2CTCTokenizer(
        str(directory / "vocab.json"),
        pad_token="<pad>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        bos_token=None,
        eos_token=None,
        word_delimiter_token="|",  # noqa: S106
    )
    extractor = Wav2Vec2FeatureExtractor(
        feature_size=1,
        sampling_rate=SAMPLE_RATE,
        padding_value=0.0,
        do_normalize=True,
        return_attention_mask=True,
    )
    filters, width = 80, 400
    config = Wav2Vec2Config(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
        hidden_size=256,
        num_hidden_layers=6,
        num_attention_heads=4,
        intermediate_size=1024,
        conv_dim=(4 * filters, 256),
        conv_kernel=(width, 3),
        conv_stride=(160, 3),
        conv_bias=True,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=31,
        num_conv_pos_embedding_groups=16,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        feat_proj_dropout=0.0,
        final_dropout=0.0,
        layerdrop=0.0,
        mask_time_prob=0.06,
        mask_time_length=6,
        mask_time_min_masks=1,
        mask_feature_prob=0.04,
        mask_feature_length=16,
        mask_feature_min_masks=1,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
    )
    model = Wav2Vec2ForCTC._from_config(config, attn_implementation="eager")
    first, second = model.wav2vec2.feature_extractor.conv_layers
    with torch.no_grad():
        first.conv.weight.copy_(_gabor_bank(filters, width))
        first.conv.bias.zero_()
        first.conv.requires_grad_(False)
        # Else transformers has the wide convolution's gradient for the waveform computed, for
        # nobody: a sixth of a step's time.
        model.wav2vec2.feature_extractor._requires_grad = False
        first.layer_norm.weight.fill_(2.0)
        # Every second filter sums the four phases of one band: the band's magnitude, whatever its
        # phase.
        weight = torch.randn_like(second.conv.weight) * 0.02
        for band in range(filters):
            weight[3 * band, band::filters, 1] += 0.5
        second.conv.weight.copy_(weight)
    return model, Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer)


def _learning_rate(step: int, steps: int, peak: float) -> float:
    warmup = min(500, steps // 10)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (
        0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
    )


def _epochs(data: Recordings, seconds: float, steps: int, seed: int) -> Iterator[Batch]:
    step, epoch = 0, 0
    while step < steps:
        for batch in data.batches(seconds, np.random.default_rng([seed, 2, epoch])):
            if step == steps:
                return
            yield batch
            step += 1
        epoch += 1


def _optimiser(*modules: nn.Module) -> torch.optim.AdamW:
    training = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in training if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in training if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), fused=True)


class PhonemeLoss(nn.Module):
    """CTC over phonemes on a lower layer's output: it teaches sounds before spelling.

    Lower layers with the finer-grained unit: Sanabria & Metze 2018, "Hierarchical multitask
    learning with CTC".
    """

    def __init__(self, transcripts: Sequence[Sequence[str]], channels: int) -> None:
        super().__init__()
        symbols = sorted({symbol for transcript in transcripts for symbol in transcript})
        index = {symbol: i + 1 for i, symbol in enumerate(symbols)}
        self.targets = [torch.tensor([index[symbol] for symbol in line]) for line in transcripts]
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, len(symbols) + 1)

    def forward(self, hidden: Tensor, lengths: Tensor, rows: npt.NDArray[np.int64]) -> Tensor:
        """Return the mean loss per phoneme of `hidden` `(batch, frames, channels)`."""
        targets = [self.targets[row] for row in rows]
        return _ctc(self.head(self.norm(hidden)), lengths, targets)


def _ctc(logits: Tensor, lengths: Tensor, targets: Sequence[Tensor]) -> Tensor:
    scores = logits.float().log_softmax(-1).transpose(0, 1)
    sizes = torch.tensor([len(target) for target in targets])
    return functional.ctc_loss(scores, torch.cat(list(targets)), lengths, sizes, zero_infinity=True)


def train_ctc(
    model: Wav2Vec2ForCTC,
    processor: Wav2Vec2Processor,
    data: Recordings,
    phonemes: Sequence[Sequence[str]],
    *,
    steps: int,
    batch_s: float = 32.0,
    peak: float = 1.2e-3,
    phoneme_layer: int = 3,
    checkpoint: Path,
    seed: int = 0,
) -> None:
    """Train for `steps` optimiser steps of at most `batch_s` seconds of audio, bf16 autocast."""
    torch.manual_seed(seed)
    encode = processor.tokenizer.get_vocab()
    labels = [torch.tensor([encode[c] for c in row["text"].replace(" ", "|")]) for row in data.rows]
    auxiliary = PhonemeLoss(phonemes, model.config.hidden_size)
    optimiser, progress = _optimiser(model, auxiliary), _Progress(steps)
    saved = _Checkpoint(checkpoint, model=model, auxiliary=auxiliary, optimiser=optimiser)
    begin = saved.resume()
    model.train()
    for step, batch in enumerate(_epochs(data, batch_s, steps, seed)):
        if step < begin:
            continue
        # transformers draws its SpecAugment from numpy's global generator.
        np.random.seed([seed, step])  # noqa: NPY002
        padded, mask = _inputs(data, batch)
        _set_rate(optimiser, _learning_rate(step, steps, peak))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = model.wav2vec2(padded, attention_mask=mask, output_hidden_states=True)
            logits = model.lm_head(found.last_hidden_state)
            lengths = _frames(model, mask)
            characters = _ctc(logits, lengths, [labels[row] for row in batch.rows])
            sounds = auxiliary(found.hidden_states[phoneme_layer], lengths, batch.rows)
        _update(optimiser, characters + 0.5 * sounds)
        progress(step, characters=characters.item(), phonemes=sounds.item())
        if step % 500 == 499:
            saved.save(step + 1)
    model.eval()


def _frames(model: Any, mask: Tensor) -> Tensor:
    lengths: Tensor = model._get_feat_extract_output_lengths(mask.sum(-1))
    return lengths


class _Checkpoint:
    """All that a training needs to go on where it was killed, and end as if it had not been."""

    def __init__(self, path: Path, **holders: Any) -> None:
        self.path, self.holders = path, holders

    def resume(self) -> int:
        """Restore what was saved and return the next step; 0 if nothing was."""
        if not self.path.exists():
            return 0
        state = torch.load(self.path, weights_only=True)
        for name, holder in self.holders.items():
            holder.load_state_dict(state[name])
        log.info("going on at step %d", state["step"])
        return int(state["step"])

    def save(self, step: int) -> None:
        """Remember that `step` steps are done."""
        state = {name: holder.state_dict() for name, holder in self.holders.items()}
        unfinished = self.path.with_suffix(".part")
        torch.save(state | {"step": step}, unfinished)
        unfinished.replace(self.path)


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _update(optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step()


class _Progress:
    """Logs running means of the losses."""

    def __init__(self, steps: int) -> None:
        self.steps, self.started = steps, time.monotonic()
        self.means: dict[str, float] = {}

    def __call__(self, step: int, **losses: float) -> None:
        for name, value in losses.items():
            self.means[name] = self.means.get(name, value) * 0.98 + value * 0.02
        if step % 100 == 0:
            shown = ", ".join(f"{name} {value:.3f}" for name, value in self.means.items())
            seconds = time.monotonic() - self.started
            log.info("step %d/%d: %s; %.0f s", step, self.steps, shown, seconds)


def new_whisper(
    sentences: Sequence[str], directory: Path, *, encoder: Wav2Vec2ForCTC, window_s: int = 6
) -> tuple[WhisperForConditionalGeneration, WhisperProcessor]:
    """Return a small `WhisperForConditionalGeneration` and its processor.

    Its window is `window_s` seconds, a spectral frame every 15 ms and an encoder frame every 30 ms.
    The encoder's layers are the first four of `encoder`: both kinds normalise before attention, and
    a bias on the keys, which Whisper lacks, changes no attention weight.
    """
    tokenizer = new_tokenizer(sentences, directory, window_s=window_s)
    # The tokenizer in memory knows fewer of its special tokens than the saved one.
    tokenizer = WhisperTokenizer.from_pretrained(directory)
    extractor = WhisperFeatureExtractor(
        feature_size=80, hop_length=240, chunk_length=window_s, n_fft=400
    )
    start, end = tokenizer.convert_tokens_to_ids(["<|startoftranscript|>", "<|endoftext|>"])
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=80,
        d_model=256,
        encoder_layers=4,
        encoder_attention_heads=4,
        encoder_ffn_dim=1024,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=1024,
        max_source_positions=extractor.nb_max_frames // 2,
        max_target_positions=96,
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        use_cache=True,
    )
    model = WhisperForConditionalGeneration._from_config(config, attn_implementation="eager")
    model.generation_config = _generation(tokenizer, config)
    for theirs, ours in zip(
        encoder.wav2vec2.encoder.layers, model.model.encoder.layers, strict=False
    ):
        _copy_layer(theirs, ours)
    return model, WhisperProcessor(feature_extractor=extractor, tokenizer=tokenizer)


def _generation(tokenizer: WhisperTokenizer, config: WhisperConfig) -> GenerationConfig:
    ids = {
        token: tokenizer.convert_tokens_to_ids(token)
        for token in (
            "<|en|>",
            "<|transcribe|>",
            "<|translate|>",
            "<|notimestamps|>",
            "<|startofprev|>",
        )
    }
    return GenerationConfig(
        is_multilingual=True,
        language="en",
        task="transcribe",
        return_timestamps=False,
        lang_to_id={"<|en|>": ids["<|en|>"]},
        task_to_id={"transcribe": ids["<|transcribe|>"], "translate": ids["<|translate|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        decoder_start_token_id=config.decoder_start_token_id,
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        num_beams=1,
        max_length=config.max_target_positions,
        max_initial_timestamp_index=50,
    )


def _copy_layer(theirs: Any, ours: Any) -> None:
    pairs = [
        (theirs.attention.q_proj, ours.self_attn.q_proj),
        (theirs.attention.v_proj, ours.self_attn.v_proj),
        (theirs.attention.out_proj, ours.self_attn.out_proj),
        (theirs.layer_norm, ours.self_attn_layer_norm),
        (theirs.feed_forward.intermediate_dense, ours.fc1),
        (theirs.feed_forward.output_dense, ours.fc2),
        (theirs.final_layer_norm, ours.final_layer_norm),
    ]
    for source, target in pairs:
        target.load_state_dict(source.state_dict())
    ours.self_attn.k_proj.load_state_dict({"weight": theirs.attention.k_proj.weight})


def train_whisper(
    model: WhisperForConditionalGeneration,
    processor: WhisperProcessor,
    data: Recordings,
    phonemes: Sequence[Sequence[str]],
    *,
    steps: int,
    batch_s: float = 36.0,
    peak: float = 8e-4,
    frozen_steps: int = 800,
    checkpoint: Path,
    seed: int = 0,
) -> None:
    """Train for `steps` optimiser steps of at most `batch_s` seconds of audio, bf16 autocast.

    The layers that came from the wav2vec2 rest for `frozen_steps`, until the new convolutions below
    them speak their language. To save time, batches are padded to the whole window only now and
    then, and always in the last fifth of the steps.
    """
    torch.manual_seed(seed)
    network = model.model
    prefix = processor.tokenizer.convert_tokens_to_ids(
        ["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]
    )
    end = int(processor.tokenizer.eos_token_id)
    targets = [
        torch.tensor(
            [
                *prefix,
                *processor.tokenizer(" " + row["text"], add_special_tokens=False).input_ids,
                end,
            ]
        )
        for row in data.rows
    ]
    auxiliary = PhonemeLoss(phonemes, model.config.d_model)
    optimiser, progress = _optimiser(model, auxiliary), _Progress(steps)
    saved = _Checkpoint(checkpoint, model=model, auxiliary=auxiliary, optimiser=optimiser)
    begin = saved.resume()
    model.train()
    for step, batch in enumerate(_epochs(data, batch_s, steps, seed)):
        if step < begin:
            continue
        rng = np.random.default_rng([seed, 4, step])
        for layer in network.encoder.layers:
            layer.requires_grad_(step >= frozen_steps)
        whole = step > 0.8 * steps or rng.random() < 0.1
        mel, lengths = _spectra(processor.feature_extractor, data, batch, rng, whole=whole)
        tokens = nn.utils.rnn.pad_sequence(
            [targets[row] for row in batch.rows], batch_first=True, padding_value=end
        )
        sizes = torch.tensor([len(targets[row]) for row in batch.rows])
        counted = torch.arange(tokens.shape[1] - 1) < (sizes - 1)[:, None]
        _set_rate(optimiser, _learning_rate(step, steps, peak))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = _encoded(network.encoder, mel)
            spoken = network.decoder(
                input_ids=tokens[:, :-1], encoder_hidden_states=hidden
            ).last_hidden_state
            logits = model.proj_out(spoken[counted])
            sounds = auxiliary(hidden, lengths, batch.rows)
        words = functional.cross_entropy(logits.float(), tokens[:, 1:][counted])
        _update(optimiser, words + 0.3 * sounds)
        progress(step, tokens=words.item(), phonemes=sounds.item())
        if step % 500 == 499:
            saved.save(step + 1)
    model.eval()


def _spectra(
    extractor: WhisperFeatureExtractor,
    data: Recordings,
    batch: Batch,
    rng: np.random.Generator,
    *,
    whole: bool,
) -> tuple[Tensor, Tensor]:
    """Return masked log-mel spectra `(batch, bins, frames)` and their encoder frames of speech."""
    waveforms, lengths = [], []
    for row, factor in zip(batch.rows, batch.stretch, strict=True):
        waveforms.append(_stretched(data, row, factor).numpy())
        lengths.append(-(-len(waveforms[-1]) // (2 * extractor.hop_length)))
    mel = extractor(waveforms, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
    if not whole:
        room = min(mel.shape[-1], 2 * max(lengths) + 2 * int(rng.integers(1, 20)))
        mel = mel[:, :, :room]
    mel = mel.clone()
    for spectrum, length in zip(mel, lengths, strict=True):
        for _ in range(2):
            start, width = int(rng.integers(80)), int(rng.integers(1, 10))
            spectrum[start : start + width] = spectrum.mean()
            start, width = int(rng.integers(2 * length)), int(rng.integers(1, 14))
            spectrum[:, start : start + width] = spectrum.mean()
    return mel, torch.tensor(lengths).clamp(max=mel.shape[-1] // 2)


def _encoded(encoder: Any, mel: Tensor) -> Tensor:
    """Run the encoder on spectra shorter than its window, which its own `forward` refuses."""
    hidden = functional.gelu(encoder.conv1(mel))
    hidden = functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
    hidden = hidden + encoder.embed_positions.weight[: hidden.shape[1]]
    for layer in encoder.layers:
        hidden = layer(hidden, None)
    normalised: Tensor = encoder.layer_norm(hidden)
    return normalised
