"""wav2vec2 and its kin: convolutions over the waveform, a transformer encoder, and a CTC head."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    PreTrainedModel,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Processor,
)
from transformers.masking_utils import create_bidirectional_mask

from speechtl.audio import SAMPLE_RATE, Waveform
from speechtl.errors import DataError, OutputError
from speechtl.models.base import (
    PLAIN,
    Family,
    Features,
    Objective,
    Part,
    depth,
    evaluating,
    quiet,
    rounded_up,
)
from speechtl.models.vocabulary import in_case_of, spelling
from speechtl.text import normaliser

__all__ = ["CtcModel"]


LONGEST_S = 30.0
"""Longer recordings are cut (s): attention's memory grows with the square of the length."""


class CtcModel:
    """A CTC recogniser; see `speechtl.models.base.SpeechModel`.

    The parts are run one by one, not through the network's own `forward`, so neither layerdrop nor
    transformers' SpecAugment ever applies: masking is done after the cut, by the caller. The
    configuration keeps both settings as the checkpoint has them.

    Padding never changes a result. What would leak it (group norm over time, stacked or
    batch-normalised positional convolutions) runs one utterance at a time, and attention is masked
    above. A batch thus gives what `transformers` gives for each utterance alone, also for the
    group-norm models that must not see a mask there (transformers #18501).

    Args:
        network: A `…ForCTC` of the wav2vec2 kind, with a trained head.
        feature_extractor: Normalises the waveform.
        tokenizer: Its pad token is the CTC blank.
        name: What the user called the checkpoint.
        revision: The hub commit or a digest of the weights.
        bottleneck: The adapter between encoder and head is as new as the head, and part of it. The
            adapter of a pretrained model belongs to the last encoder layer.
    """

    family: Family = "ctc"

    def __init__(
        self,
        network: PreTrainedModel,
        *,
        feature_extractor: Wav2Vec2FeatureExtractor,
        tokenizer: Wav2Vec2CTCTokenizer,
        name: str,
        revision: str,
        bottleneck: bool = False,
    ) -> None:
        self.network = network
        self.feature_extractor = feature_extractor
        self.tokenizer = tokenizer
        self.name = name
        self.revision = revision
        self.longest_s = LONGEST_S
        self._backbone: Any = network.base_model
        self._config: Any = network.config
        self._stable = bool(getattr(self._config, "do_stable_layer_norm", False))
        self._adapter: Any = getattr(self._backbone, "adapter", None)
        self._bottleneck = bottleneck

    def parts(self) -> tuple[Part, ...]:
        """Return `feature_encoder`, `feature_projection`, `encoder.0` … `encoder.N-1` and `head`.

        WavLM computes its position bias in layer 0 for all layers: `encoder.0` owns its table.
        """
        backbone, encoder = self._backbone, self._backbone.encoder
        network: Any = self.network
        projection: list[Any] = [backbone.feature_projection, encoder.pos_conv_embed]
        projection.append(encoder.dropout)
        if hasattr(backbone, "masked_spec_embed"):
            projection.append(backbone.masked_spec_embed)
        top = [encoder.layer_norm] if self._stable else []
        projection += [] if self._stable else [encoder.layer_norm]
        head: list[Any] = [network.dropout, network.lm_head]
        if self._adapter is not None:
            (head if self._bottleneck else top).append(self._adapter)
        layers: list[list[Any]] = [[layer] for layer in encoder.layers]
        layers[-1] += top
        return (
            Part("feature_encoder", (backbone.feature_extractor,)),
            Part("feature_projection", tuple(projection)),
            *(Part(f"encoder.{k}", tuple(owned)) for k, owned in enumerate(layers)),
            Part("head", tuple(head)),
        )

    def encode(self, waveforms: Sequence[Waveform], cut: str) -> Features:
        """Return the output of all parts below `cut`; see `SpeechModel.encode`.

        Raises:
            DataError: A waveform is too short for one frame.
            ModelError: No part is called `cut`.
        """
        until = depth(self, cut)
        for index, waveform in enumerate(waveforms):
            if len(waveform) < self._shortest():
                raise DataError(
                    f"waveform {index} of the batch has {len(waveform)} samples; {self.name} "
                    f"needs at least {self._shortest()} "
                    f"({1000 * self._shortest() / SAMPLE_RATE:.0f} ms)"
                )
        # One at a time: each is normalised over its own samples, as `pipeline()` does.
        inputs = [
            self.feature_extractor(
                waveform, sampling_rate=SAMPLE_RATE, return_tensors="pt"
            ).input_values[0]
            for waveform in waveforms
        ]
        lengths = torch.tensor([len(waveform) for waveform in inputs])
        hidden = pad_sequence(inputs, batch_first=True).unsqueeze(-1)
        features = Features("feature_encoder", hidden, lengths).to(self.network.device)
        with evaluating(self.network):
            hidden, lengths = self._run(features, until=until)
        hidden = hidden[:, : int(lengths.max())]
        return Features(cut, _zero_padding(hidden, lengths), lengths)

    def loss(
        self,
        features: Features,
        labels: Sequence[Sequence[int]],
        objective: Objective = PLAIN,
    ) -> Tensor:
        """Return the CTC loss, divided by an utterance's labels, then the mean over utterances.

        This is transformers' `mean`. An utterance with more labels than frames counts as zero:
        `labels` refuses those beforehand.
        """
        logits, lengths = self._run(features)
        loss = self._ctc_loss(logits, lengths, labels)
        if objective.reference is None:
            return loss
        rows = list(objective.rows)
        spoken = logits[rows][_speech(logits, lengths[rows])]
        return loss + objective.divergence(spoken, objective.reference)

    def log_probabilities(
        self,
        features: Features,
        labels: Sequence[Sequence[int]],  # noqa: ARG002
    ) -> Tensor:
        """Return the log-probabilities of each frame; see `SpeechModel.log_probabilities`."""
        logits, lengths = self._run(features)
        spoken = logits[_speech(logits, lengths)]
        return functional.log_softmax(spoken, dim=-1, dtype=torch.float32)

    def _ctc_loss(self, logits: Tensor, lengths: Tensor, labels: Sequence[Sequence[int]]) -> Tensor:
        blank = int(self.tokenizer.pad_token_id)
        if logits.device.type != "cuda":  # MPS has no CTC loss of its own
            # Here, for Numba takes a second to import, and who transcribes has no use for it.
            from speechtl.models.ctc_loss import ctc_loss  # noqa: PLC0415

            return ctc_loss(logits.cpu(), lengths.cpu(), labels, blank=blank)
        log_probabilities = functional.log_softmax(logits, dim=-1, dtype=torch.float32)
        targets = torch.tensor([i for row in labels for i in row], device=lengths.device)
        target_lengths = torch.tensor([len(row) for row in labels], device=lengths.device)
        # cuDNN's CTC wants the blank at 0 and 32-bit targets on the CPU.
        with torch.backends.cudnn.flags(enabled=False):
            return functional.ctc_loss(
                log_probabilities.transpose(0, 1),
                targets,
                lengths,
                target_lengths,
                blank=blank,
                reduction="mean",
                zero_infinity=True,
            )

    def decode(self, features: Features) -> list[str]:
        """Return the best path's text of each utterance."""
        with evaluating(self.network):
            logits, lengths = self._run(features)
        paths = logits.argmax(dim=-1).cpu()
        ids = [path[:length] for path, length in zip(paths, lengths.tolist(), strict=True)]
        return [str(self.tokenizer.decode(path)) for path in ids]

    def labels(self, text: str, *, samples: int) -> list[int]:
        """Return the ids of the characters of `text`, in the vocabulary's case if it has but one.

        A text with characters outside the vocabulary is spelled in its `plain` form: without its
        punctuation, with straight apostrophes.

        Raises:
            DataError: The text is empty or its `plain` form has characters outside the vocabulary,
                or `samples` of audio give fewer frames than labels and the blanks between equal
                neighbours.
        """
        vocabulary = spelling(self.tokenizer, size=self._config.vocab_size)
        spelled = in_case_of(vocabulary, " ".join(text.split()))
        if set(spelled) - vocabulary.keys():
            spelled = in_case_of(vocabulary, normaliser("plain")(text))
        if not spelled:
            raise DataError("the transcript is empty; an utterance that trains needs text")
        unknown = sorted(set(spelled) - vocabulary.keys())
        if unknown:
            named = ", ".join(f"{character!r} (U+{ord(character):04X})" for character in unknown)
            raise DataError(
                f"characters outside the vocabulary of {self.name}: {named}, in {text!r}; "
                "spell them out (numbers as words) or leave the utterance out",
                kind="text-vocabulary",
                finding=f"characters outside the vocabulary of {self.name}: {named}, in {text!r}",
            )
        ids = [vocabulary[character] for character in spelled]
        self._check_feasible(ids, samples=samples)
        return ids

    def save(self, directory: Path) -> None:
        """Write weights (safetensors), configuration, tokenizer and feature extractor.

        Raises:
            OutputError: The folder cannot be written.
        """
        processor = Wav2Vec2Processor(
            feature_extractor=self.feature_extractor, tokenizer=self.tokenizer
        )
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with quiet():
                self.network.save_pretrained(directory)
                processor.save_pretrained(directory)
                # Tools that know no processor_config.json read this file.
                self.feature_extractor.save_pretrained(directory)
        except OSError as error:
            raise OutputError(f"{directory}: the checkpoint cannot be written: {error}") from error

    def _check_feasible(self, ids: list[int], *, samples: int) -> None:
        if samples < self._shortest():
            raise DataError(
                f"{samples} samples of audio are too short; {self.name} needs at least "
                f"{self._shortest()}",
                kind="audio-short",
                finding=f"{samples} samples of audio; {self.name} needs {self._shortest()}",
            )
        frames = int(self._after_adapter(self._frames(torch.tensor([samples]))))
        repeats = sum(left == right for left, right in pairwise(ids))
        if frames < len(ids) + repeats:
            finding = (
                f"{samples} samples of audio give {frames} frames, but {len(ids)} labels with "
                f"{repeats} adjacent repeats need at least {len(ids) + repeats}"
            )
            raise DataError(
                f"{finding}; check that the transcript belongs to the audio",
                kind="fit-frames",
                finding=finding,
            )

    def _shortest(self) -> int:
        """Return the samples that the convolutions need for one frame (400 for wav2vec2)."""
        samples = 1
        for kernel, stride in zip(
            reversed(self._config.conv_kernel), reversed(self._config.conv_stride), strict=True
        ):
            samples = (samples - 1) * stride + kernel
        return int(samples)

    def _frames(self, samples: Tensor) -> Tensor:
        """Return the frames that the feature encoder gives for each number of samples."""
        for kernel, stride in zip(self._config.conv_kernel, self._config.conv_stride, strict=True):
            samples = torch.div(samples - kernel, stride, rounding_mode="floor") + 1
        return samples

    def _after_adapter(self, frames: Tensor) -> Tensor:
        if self._adapter is not None:
            for _ in self._adapter.layers:
                frames = self._after_layer(frames)
        return frames

    def _after_layer(self, frames: Tensor) -> Tensor:
        """Return the frames that one layer of the adapter leaves."""
        return torch.div(frames - 1, self._config.adapter_stride, rounding_mode="floor") + 1

    def _run(self, features: Features, *, until: int | None = None) -> tuple[Tensor, Tensor]:
        """Run the parts from `features.cut` up to, not with, `until`: hidden states and lengths.

        Without `until` the head runs too: logits `(batch, frames, vocabulary)`. There may be more
        frames than the longest utterance has.
        """
        head = len(self._backbone.encoder.layers) + 2
        first, until = depth(self, features.cut), head + 1 if until is None else until
        hidden, lengths = features.hidden, features.lengths
        if first == 0 < until:
            hidden, lengths = self._convolve(hidden, lengths)
        if until > 1:
            hidden = rounded_up(hidden, axis=1)
        if first <= 1 < until:
            hidden = self._project(hidden, lengths)
        layers = range(max(first - 2, 0), min(until, head) - 2)
        if layers:
            hidden, lengths = self._attend(hidden, lengths, layers)
        if until > head:
            network: Any = self.network
            if self._bottleneck:
                hidden, lengths = self._adapt(hidden, lengths)
            hidden = network.lm_head(network.dropout(hidden))
        return hidden, lengths

    def _convolve(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        extractor = self._backbone.feature_extractor
        frames = self._frames(lengths)
        grouped = any(isinstance(module, nn.GroupNorm) for module in extractor.modules())
        if grouped:
            rows = [
                _convolve_alone(extractor, samples[:length])
                for samples, length in zip(hidden[..., 0], lengths.tolist(), strict=True)
            ]
            return pad_sequence(rows, batch_first=True), frames
        found = extractor(rounded_up(hidden[..., 0], axis=1)).transpose(1, 2)
        return found[:, : int(frames.max())], frames

    def _project(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        encoder = self._backbone.encoder
        projected = self._backbone.feature_projection(hidden)
        hidden = projected[0] if isinstance(projected, tuple) else projected
        # Zero frames are to the positional convolution what its own padding is.
        hidden = _zero_padding(hidden, lengths)
        positional = encoder.pos_conv_embed
        leaks = hasattr(positional, "layers") or getattr(positional, "batch_norm", None) is not None
        hidden = hidden + (_unpadded(positional, hidden, lengths) if leaks else positional(hidden))
        if not self._stable:
            hidden = encoder.layer_norm(hidden)
        return encoder.dropout(hidden)  # type: ignore[no-any-return]

    def _attend(self, hidden: Tensor, lengths: Tensor, layers: range) -> tuple[Tensor, Tensor]:
        encoder = self._backbone.encoder
        speech = _speech(hidden, lengths)
        if self._config.model_type == "wavlm":
            hidden = _attend_wavlm(encoder.layers, hidden, None if speech.all() else speech, layers)
        else:
            mask = create_bidirectional_mask(
                config=self._config, inputs_embeds=hidden, attention_mask=speech
            )
            for k in layers:
                hidden = encoder.layers[k](hidden, attention_mask=mask)
        if layers.stop < len(encoder.layers):
            return hidden, lengths
        if self._stable:
            hidden = encoder.layer_norm(hidden)
        if self._adapter is None or self._bottleneck:
            return hidden, lengths
        return self._adapt(hidden, lengths)

    def _adapt(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Run the adapter's modules, not the adapter: that would drop layers in training."""
        if self._adapter.proj is not None:
            hidden = self._adapter.proj_layer_norm(self._adapter.proj(hidden))
        for layer in self._adapter.layers:
            # Zero frames are to the convolution what its own padding is.
            hidden = layer(_zero_padding(hidden, lengths).transpose(1, 2)).transpose(1, 2)
            lengths = self._after_layer(lengths)
        return hidden, lengths


def _attend_wavlm(
    stack: nn.ModuleList, hidden: Tensor, speech: Tensor | None, layers: range
) -> Tensor:
    """Run WavLM's layers, which share the position bias that layer 0 computes from the length."""
    batch, frames, _ = hidden.shape
    first: Any = stack[0].attention
    # Above the cut the bias is an input like the features: no gradient flows below it.
    with torch.set_grad_enabled(torch.is_grad_enabled() and layers.start == 0):
        bias = first.compute_bias(frames, frames).repeat(batch, 1, 1)
    for k in layers:
        with warnings.catch_warnings():
            # transformers hands torch a bool padding mask and a float bias; torch still takes both.
            warnings.filterwarnings(
                "ignore", "Support for mismatched key_padding_mask", UserWarning
            )
            hidden, _ = stack[k](hidden, attention_mask=speech, position_bias=bias)
    return hidden


def _speech(hidden: Tensor, lengths: Tensor) -> Tensor:
    """Return a bool mask `(batch, frames)`, true where there is speech."""
    return torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]


def _zero_padding(hidden: Tensor, lengths: Tensor) -> Tensor:
    return hidden.masked_fill(~_speech(hidden, lengths)[..., None], 0.0)


def _convolve_alone(extractor: Any, samples: Tensor) -> Tensor:
    """Return `(frames, channels)` of one utterance, as if it had not been padded on the way."""
    frames = len(samples)
    hidden = rounded_up(samples, axis=0)[None, None]
    for layer in extractor.conv_layers:
        [kernel], [stride] = layer.conv.kernel_size, layer.conv.stride
        frames = (frames - kernel) // stride + 1
        if isinstance(getattr(layer, "layer_norm", None), nn.GroupNorm):
            hidden = layer.conv(hidden)
            # Its mean and variance are over time: without the padding.
            normal = layer.layer_norm(hidden[..., :frames])
            padding = hidden.shape[-1] - frames
            hidden = layer.activation(functional.pad(normal, (0, padding)))
        else:
            hidden = layer(hidden)
    return hidden[0, :, :frames].transpose(0, 1)


def _unpadded(run: Callable[[Tensor], Tensor], hidden: Tensor, lengths: Tensor) -> Tensor:
    """Return `run` of each utterance without its padding, padded with zeros again."""
    rows = [run(hidden[i : i + 1, :size])[0] for i, size in enumerate(lengths.tolist())]
    found = pad_sequence(rows, batch_first=True)
    return functional.pad(found, (0, 0, 0, hidden.shape[1] - found.shape[1]))
