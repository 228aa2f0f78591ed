"""Whisper: convolutions over the log-mel spectrogram, a transformer encoder and a text decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    WhisperFeatureExtractor,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import shift_tokens_right
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from speechtl.audio import SAMPLE_RATE, Waveform
from speechtl.errors import DataError, ModelError, OutputError
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

__all__ = ["WhisperModel"]

_IGNORED = -100


class WhisperModel:
    """A Whisper recogniser; see `speechtl.models.base.SpeechModel`.

    Every utterance is padded to the model's window (30 s for OpenAI's), as in pre-training: shorter
    input costs accuracy (transformers #26242). The encoder's parts are run one by one, so neither
    layerdrop nor transformers' SpecAugment applies in the encoder.

    The generation configuration is completed here and saved so: language and task of a multilingual
    model (English, transcribe, unless it names others), no forced ids, one beam. With
    `pipeline()`'s own five beams the saved checkpoint would not give the text that was scored.

    Args:
        network: A `WhisperForConditionalGeneration`.
        feature_extractor: Makes the log-mel spectrogram; its `chunk_length` is the window in
            seconds.
        tokenizer: With Whisper's special tokens.
        name: What the user called the checkpoint.
        revision: The hub commit or a digest of the weights.
    """

    family: Family = "whisper"

    def __init__(
        self,
        network: PreTrainedModel,
        *,
        feature_extractor: WhisperFeatureExtractor,
        tokenizer: WhisperTokenizer,
        name: str,
        revision: str,
    ) -> None:
        self.network = network
        self.feature_extractor = feature_extractor
        self.tokenizer = tokenizer
        self.name = name
        self.revision = revision
        self.longest_s = feature_extractor.n_samples / SAMPLE_RATE
        self._config: Any = network.config
        body: Any = network.base_model
        self._encoder, self._decoder = body.encoder, body.decoder
        self._decoder.layerdrop = 0.0
        self._config.forced_decoder_ids = None
        network.generation_config = _generation_config(network, tokenizer, name)
        self._generation: Any = network.generation_config

    def parts(self) -> tuple[Part, ...]:
        """Return `frontend`, `encoder.0` …, `decoder.0` …, and `head` with the token embedding."""
        encoder, decoder = self._encoder, self._decoder
        positions = encoder.embed_positions
        encoder_layers = [[layer] for layer in encoder.layers]
        encoder_layers[-1].append(encoder.layer_norm)
        decoder_layers = [[layer] for layer in decoder.layers]
        decoder_layers[0].append(decoder.embed_positions)
        head = [decoder.layer_norm, decoder.embed_tokens]
        output: Any = self._output()
        if output.weight is not decoder.embed_tokens.weight:
            head.append(output)
        return (
            # The positions are fixed sines (Radford et al. 2022, section 2.2).
            Part("frontend", (encoder.conv1, encoder.conv2, positions), (positions.weight,)),
            *(Part(f"encoder.{k}", tuple(owned)) for k, owned in enumerate(encoder_layers)),
            *(Part(f"decoder.{k}", tuple(owned)) for k, owned in enumerate(decoder_layers)),
            Part("head", tuple(head)),
        )

    def encode(self, waveforms: Sequence[Waveform], cut: str) -> Features:
        """Return the output of all parts below `cut`, at most `decoder.0`.

        Raises:
            DataError: A waveform is longer than the model's window, or empty.
            ModelError: No part is called `cut`.
        """
        until = min(depth(self, cut), depth(self, "decoder.0"))
        for index, waveform in enumerate(waveforms):
            self._check_window(len(waveform), what=f"waveform {index} of the batch")
        # The extractor leaves torch through numpy, which knows no bfloat16.
        with torch.autocast("cpu", enabled=False):
            mel = self.feature_extractor(
                list(waveforms), sampling_rate=SAMPLE_RATE, return_tensors="pt"
            ).input_features
        hop = self.feature_extractor.hop_length
        lengths = torch.tensor([math.ceil(len(waveform) / hop) for waveform in waveforms])
        features = Features("frontend", mel.transpose(1, 2), lengths).to(self.network.device)
        with evaluating(self.network):
            return self._encode(features, until=until)

    def loss(
        self,
        features: Features,
        labels: Sequence[Sequence[int]],
        objective: Objective = PLAIN,
    ) -> Tensor:
        """Return the mean cross-entropy per token.

        The prefix (language, task, no timestamps) counts, as in transformers'
        `run_speech_recognition_seq2seq`: it keeps the language detectable. Padding is told by
        length, as its id is also the end of text.
        """
        logits, targets = self._logits(features, labels)
        loss = functional.cross_entropy(logits, targets, label_smoothing=objective.label_smoothing)
        if objective.reference is None:
            return loss
        by_row = logits.split([len(row) for row in labels])
        spoken = torch.cat([by_row[row] for row in objective.rows])
        return loss + objective.divergence(spoken, objective.reference)

    def log_probabilities(self, features: Features, labels: Sequence[Sequence[int]]) -> Tensor:
        """Return the log-probabilities of each token; see `SpeechModel.log_probabilities`."""
        return functional.log_softmax(self._logits(features, labels)[0], dim=-1)

    def _logits(self, features: Features, labels: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return logits, float32 `(tokens, vocabulary)`, and the tokens that they should be."""
        states = self._encode(features)
        targets = pad_sequence(
            [torch.tensor(row) for row in labels], batch_first=True, padding_value=_IGNORED
        ).to(states.hidden.device)
        longest = self._config.max_target_positions
        targets = rounded_up(targets, axis=1, value=_IGNORED, most=longest)
        # Padding to the right never reaches a token before it: the decoder looks only back.
        inputs = shift_tokens_right(
            targets, self._config.pad_token_id, self._config.decoder_start_token_id
        )
        spoken = targets != _IGNORED
        # The vocabulary is far wider than a state: no logits where there is no label.
        said = self._run_decoder(inputs, states)[spoken]
        logits = self._output()(rounded_up(said, axis=0))[: len(said)]
        return logits.float(), targets[spoken]

    def decode(self, features: Features) -> list[str]:
        """Return each utterance's greedy text, without the space that Whisper begins with."""
        with evaluating(self.network), quiet():
            states = self._encode(features).hidden
            ids = self.network.generate(  # type: ignore[operator]
                encoder_outputs=BaseModelOutput(last_hidden_state=states)
            )
        return [str(self.tokenizer.decode(row, skip_special_tokens=True)).strip() for row in ids]

    def labels(self, text: str, *, samples: int) -> list[int]:
        """Return the ids of prefix, text and end of text; `loss` puts the start token in front.

        The text begins with a space, as Whisper's own transcripts do.

        Raises:
            DataError: The text is empty or spells a special token, there are more tokens than the
                decoder has positions, or the audio is longer than the window.
        """
        spelled = " ".join(text.split())
        if not spelled:
            raise DataError("the transcript is empty; an utterance that trains needs text")
        self._check_window(samples, what="the audio")
        ids = self.tokenizer(f" {spelled}", add_special_tokens=False).input_ids
        special = set(ids) & set(self.tokenizer.all_special_ids)
        if special:
            named = ", ".join(self.tokenizer.convert_ids_to_tokens(sorted(special)))
            finding = f"the transcript must hold no special tokens, got {named} in {text!r}"
            raise DataError(finding, kind="text-vocabulary", finding=finding)
        labels = [*self._prefix(), *ids, self.tokenizer.eos_token_id]
        if len(labels) > self._config.max_target_positions:
            finding = (
                f"the transcript has {len(labels)} tokens, {self.name} takes at most "
                f"{self._config.max_target_positions}"
            )
            raise DataError(
                f"{finding}: split the utterance, audio and text together",
                kind="fit-tokens",
                finding=finding,
            )
        return labels

    def save(self, directory: Path) -> None:
        """Write weights (safetensors), both configurations, tokenizer and feature extractor.

        Raises:
            OutputError: The folder cannot be written.
        """
        processor = WhisperProcessor(
            feature_extractor=self.feature_extractor, tokenizer=self.tokenizer
        )
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with quiet():
                self.network.save_pretrained(directory)
                processor.save_pretrained(directory)
                # faster-whisper and whisper.cpp's converters read this file.
                self.feature_extractor.save_pretrained(directory)
        except OSError as error:
            raise OutputError(f"{directory}: the checkpoint cannot be written: {error}") from error

    def _output(self) -> Any:
        """Return the output projection, which shares the token embedding unless it is untied."""
        network: Any = self.network
        return network.get_output_embeddings()

    def _prefix(self) -> list[int]:
        generation = self._generation
        if not generation.is_multilingual:
            return [generation.no_timestamps_token_id]
        return [
            generation.lang_to_id[_language_token(generation.language)],
            generation.task_to_id[generation.task],
            generation.no_timestamps_token_id,
        ]

    def _check_window(self, samples: int, *, what: str) -> None:
        window = self.feature_extractor.n_samples
        if not 0 < samples <= window:
            finding = (
                f"{what} has {samples} samples ({samples / SAMPLE_RATE:.1f} s); {self.name} reads "
                f"1 to {window} ({window / SAMPLE_RATE:g} s) at a time"
            )
            raise DataError(
                f"{finding}: split the utterance",
                kind="audio-long" if samples else "audio-short",
                finding=finding,
            )

    def _encode(self, features: Features, *, until: int | None = None) -> Features:
        """Return the features at part number `until` (without it: the top of the encoder)."""
        encoder = self._encoder
        first, top = depth(self, features.cut), len(encoder.layers) + 1
        until = top if until is None else until
        hidden, lengths = features.hidden, features.lengths
        if first == 0 < until:
            hidden = self._front(hidden)
            lengths = torch.div(lengths + 1, 2, rounding_mode="floor")
        for k in range(max(first, 1) - 1, until - 1):
            hidden = encoder.layers[k](hidden, None)
        if first < top <= until:
            hidden = encoder.layer_norm(hidden)
        # The silence behind the speech is read too, unless the features came without it.
        readable = torch.full_like(lengths, hidden.shape[1]) if first == 0 else features.readable
        return Features(self.parts()[until].name, hidden, lengths, readable)

    def _run_decoder(self, tokens: Tensor, states: Features) -> Tensor:
        """Return the decoder's states `(batch, tokens, channels)`, reading what is readable.

        The layers run one by one: transformers' own decoder hands no mask to the cross-attention.
        """
        decoder = self._decoder
        places = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)
        # Once for all utterances: gradients that are added up at the same place come in any order
        # when there are several threads, and no two runs would be alike.
        positions = decoder.embed_positions(tokens, position_ids=places[:1])
        hidden = decoder.embed_tokens(tokens) + positions
        training = decoder.embed_positions.training
        hidden = functional.dropout(hidden, decoder.dropout, training=training)
        causal = create_causal_mask(
            config=self._config,
            inputs_embeds=hidden,
            attention_mask=None,
            past_key_values=None,
            position_ids=places,
        )
        across = None
        frames = states.hidden.shape[1]
        if states.readable is not None and int(states.readable.min()) < frames:
            readable = torch.arange(frames, device=tokens.device) < states.readable[:, None]
            across = create_bidirectional_mask(
                config=self._config,
                inputs_embeds=hidden,
                attention_mask=readable,
                encoder_hidden_states=states.hidden,
            )
        for layer in decoder.layers:
            hidden = layer(
                hidden, causal, states.hidden, encoder_attention_mask=across, use_cache=False
            )
        return decoder.layer_norm(hidden)  # type: ignore[no-any-return]

    def _front(self, mel: Tensor) -> Tensor:
        """Return `(batch, frames, channels)` from the log-mel `(batch, 2 * frames, bins)`."""
        encoder = self._encoder
        hidden = functional.gelu(encoder.conv1(mel.transpose(1, 2)))
        hidden = functional.gelu(encoder.conv2(hidden)).transpose(1, 2)
        positioned = hidden + encoder.embed_positions.weight
        return functional.dropout(positioned, encoder.dropout, training=encoder.conv1.training)


def _language_token(language: str) -> str:
    """Return `<|en|>` for `en`, `english` or `<|en|>`."""
    names = {name: code for code, name in LANGUAGES.items()}
    code = language.lower().removeprefix("<|").removesuffix("|>")
    return f"<|{names.get(code, code)}|>"


def _generation_config(
    network: PreTrainedModel, tokenizer: WhisperTokenizer, name: str
) -> GenerationConfig:
    """Return the checkpoint's generation configuration with what an old or converted one lacks.

    Raises:
        ModelError: The tokenizer or the configuration lacks the tokens of the prompt.
    """
    # Made anew: one that transformers derived from the model's configuration drops Whisper's
    # entries on loading.
    held: dict[str, Any] = network.generation_config.to_dict()
    held.pop("_from_model_config", None)
    vocabulary, config = tokenizer.get_vocab(), network.config
    # OpenAI's rule (whisper/model.py, is_multilingual): the English-only vocabulary is one token
    # shorter.
    multilingual = held.setdefault("is_multilingual", config.vocab_size >= 51865)
    if "<|notimestamps|>" not in vocabulary:
        raise ModelError(f"{name}: the tokenizer lacks <|notimestamps|>, so it is no Whisper's")
    held.setdefault("no_timestamps_token_id", vocabulary["<|notimestamps|>"])
    if multilingual:
        tokens = {f"<|{code}|>" for code in LANGUAGES} & vocabulary.keys()
        held.setdefault("lang_to_id", {token: vocabulary[token] for token in sorted(tokens)})
        tasks = ("transcribe", "translate")
        known = {task: vocabulary[f"<|{task}|>"] for task in tasks if f"<|{task}|>" in vocabulary}
        held.setdefault("task_to_id", known)
        held["language"] = held.get("language") or "en"
        held["task"] = held.get("task") or "transcribe"
        language = _language_token(held["language"])
        if language not in held["lang_to_id"] or held["task"] not in held["task_to_id"]:
            raise ModelError(
                f"{name}: generation_config.json asks for the language '{held['language']}' and "
                f"the task '{held['task']}', and lacks their tokens; correct it"
            )
    held |= {"forced_decoder_ids": None, "return_timestamps": False, "num_beams": 1}
    held["do_sample"] = False
    for key in ("decoder_start_token_id", "bos_token_id", "eos_token_id", "pad_token_id"):
        held[key] = getattr(config, key) if held.get(key) is None else held[key]
    if held.get("max_length") is None and held.get("max_new_tokens") is None:
        held["max_length"] = config.max_target_positions
    return GenerationConfig.from_dict(held)
