"""The characters that a CTC model spells with, and a new head for others than its own."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, Wav2Vec2CTCTokenizer

from speechtl.errors import ConfigError
from speechtl.text import normaliser

__all__ = [
    "NewHead",
    "characters_of",
    "check_new_head",
    "in_case_of",
    "renew_head",
    "spelling",
]

BLANK, UNKNOWN, DELIMITER = "<pad>", "<unk>", "|"

ADAPTER_TYPES = ("wav2vec2", "wavlm", "data2vec-audio")
"""The model types in which transformers has an adapter between the encoder and the head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewHead:
    """A new output layer for a CTC model, and what may lie under it.

    Attributes:
        characters: What the transcripts hold, in any case; the space is implied.
        bottleneck: Channels of a bottleneck under the output layer, fewer than the encoder's; 0 is
            none.
        bottleneck_layers: 0: the bottleneck is a projection with layer norm alone; 1 or more: that
            many convolutions over three frames with gated linear units on top of it.
        seed: Draws the fresh weights.

    Raises:
        ConfigError: There are no characters, or something else among them; a number is negative; or
            there are layers without a bottleneck.
    """

    characters: tuple[str, ...]
    bottleneck: int = 0
    bottleneck_layers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = [c for c in self.characters if len(c) != 1 or c.isspace() or c == DELIMITER]
        if wrong or not self.characters:
            got = ", ".join(map(repr, wrong)) or "none"
            raise ConfigError(
                f"a new head needs single characters, without the space and '{DELIMITER}' that "
                f"stands for it; got {got}"
            )
        if self.bottleneck < 0 or self.bottleneck_layers < 0 or self.seed < 0:
            raise ConfigError(
                f"bottleneck ({self.bottleneck}), bottleneck_layers ({self.bottleneck_layers}) and "
                f"seed ({self.seed}) must not be negative"
            )
        if self.bottleneck_layers and not self.bottleneck:
            raise ConfigError(
                f"{self.bottleneck_layers} bottleneck layers need a bottleneck; say how many "
                "channels it has"
            )


def characters_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the characters of transcripts in their `plain` form, sorted, without the space.

    Letters are lower case; digits and apostrophes are kept as `plain` has them.

    Raises:
        ConfigError: The transcripts hold none.
    """
    plain = normaliser("plain")
    found = {character for text in texts for character in plain(text).lower()} - {" "}
    if not found:
        raise ConfigError(
            "the transcripts hold no letters or digits, so a new head has nothing to spell; "
            "give it transcribed utterances"
        )
    return tuple(sorted(found))


def spelling(tokenizer: Wav2Vec2CTCTokenizer, *, size: int) -> dict[str, int]:
    """Return the characters that a transcript may hold, the space included, and their ids.

    Args:
        tokenizer: Its vocabulary may hold more than the head answers with.
        size: The rows of the head.
    """
    known: dict[str, int] = tokenizer.get_vocab()
    special = set(tokenizer.all_special_tokens)
    delimiter = tokenizer.word_delimiter_token
    characters = {
        token: i
        for token, i in known.items()
        if len(token) == 1 and token not in special | {delimiter} and i < size
    }
    return characters | ({" ": known[delimiter]} if delimiter in known else {})


def in_case_of(vocabulary: Iterable[str], text: str) -> str:
    """Return `text` in the vocabulary's case, as it is if that has both cases or none."""
    characters = list(vocabulary)
    # Not `islower`: ĸ and ʰ are lower case and have no upper case.
    lower = any(character != character.upper() for character in characters)
    upper = any(character != character.lower() for character in characters)
    if lower == upper:
        return text
    return text.lower() if lower else text.upper()


def check_new_head(head: NewHead, config: PreTrainedConfig, *, name: str) -> None:
    """Refuse a new head that the checkpoint called `name` cannot have.

    Raises:
        ConfigError: It is a Whisper, or there is no place for a bottleneck of this width.
    """
    if config.model_type == "whisper":
        raise ConfigError(
            f"{name} is a Whisper, whose tokenizer spells any text: it needs no new vocabulary; "
            "use --strategy head"
        )
    if not head.bottleneck:
        return
    if config.model_type not in ADAPTER_TYPES:
        raise ConfigError(
            f"{name} is of type '{config.model_type}', in which transformers has no adapter to be "
            f"the bottleneck; leave the bottleneck out, or take a {', '.join(ADAPTER_TYPES)}"
        )
    settings: Any = config
    if settings.add_adapter:
        raise ConfigError(
            f"{name} has an adapter under its head already, which it keeps; leave the bottleneck "
            "out"
        )
    if head.bottleneck >= settings.hidden_size:
        raise ConfigError(
            f"the bottleneck must have fewer channels than the encoder of {name}, "
            f"{settings.hidden_size}; got {head.bottleneck}"
        )


def renew_head(
    network: PreTrainedModel, head: NewHead, *, tokenizer: Wav2Vec2CTCTokenizer | None
) -> Wav2Vec2CTCTokenizer:
    """Give `network` the new head, and return the tokenizer that spells with it.

    Letters take the case of the base's vocabulary if it has but one, else they are lower case. The
    rows of what the base knows (the blank, the delimiter, characters in either case) are the
    base's own; under a bottleneck, which gives other channels, all rows are fresh.

    Args:
        network: On the CPU; `check_new_head` has passed its configuration.
        head: What it shall spell.
        tokenizer: The base's, None if its head is not trained or there is none.
    """
    config: Any = network.config
    base = {} if tokenizer is None else spelling(tokenizer, size=config.vocab_size)
    spelled = in_case_of(base, "".join(head.characters).lower())
    tokens = [BLANK, UNKNOWN, DELIMITER, *sorted(set(spelled))]
    rows = {}
    if head.bottleneck:
        _add_bottleneck(network, head)
    elif tokenizer is not None:
        rows = _known_rows(tokens, base, tokenizer, size=config.vocab_size)
    output: Any = network.lm_head
    _replace_output(
        network, len(tokens), rows, channels=head.bottleneck or output.in_features, seed=head.seed
    )
    config.vocab_size = len(tokens)
    config.pad_token_id = tokens.index(BLANK)
    if config.model_type != "unispeech-sat":  # whose configuration takes numbers alone
        config.bos_token_id = config.eos_token_id = None
    return _tokenizer(tokens)


def _known_rows(
    tokens: list[str], base: dict[str, int], tokenizer: Wav2Vec2CTCTokenizer, *, size: int
) -> dict[int, int]:
    """Return, for the place of each token that the base knows, its row in the base's head."""
    special = {
        BLANK: tokenizer.pad_token_id,
        UNKNOWN: tokenizer.unk_token_id,
        DELIMITER: base.get(" "),
    }
    either_case = {character.casefold(): row for character, row in base.items()}
    found = {
        place: special.get(token, base.get(token, either_case.get(token.casefold())))
        for place, token in enumerate(tokens)
    }
    return {place: row for place, row in found.items() if row is not None and row < size}


def _replace_output(
    network: Any, size: int, rows: dict[int, int], *, channels: int, seed: int
) -> None:
    """Put an output layer of `size` rows in place: the known rows are copied, the others drawn."""
    old = network.lm_head
    new = nn.Linear(channels, size)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        # All rows are drawn, so that a fresh one does not depend on which others are known.
        new.weight.normal_(0.0, network.config.initializer_range, generator=generator)
        # The mean of the known ones does no better: the starter's texts stay as they are with both.
        new.bias.zero_()
        for place, row in rows.items():
            new.weight[place] = old.weight[row]
            new.bias[place] = old.bias[row]
    network.lm_head = new


def _add_bottleneck(network: PreTrainedModel, head: NewHead) -> None:
    """Put transformers' own adapter between the encoder and the head, with fresh weights."""
    config: Any = network.config
    backbone: Any = network.base_model
    config.add_adapter = True
    config.output_hidden_size = head.bottleneck
    config.num_adapter_layers = head.bottleneck_layers
    # As many frames above it as below: with its default stride of 2 each layer halves them.
    config.adapter_stride, config.adapter_kernel_size = 1, 3
    # Only a whole model makes and initialises its adapter; one encoder layer is enough of it.
    shallow = copy.deepcopy(config)
    shallow.num_hidden_layers = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(head.seed)
        backbone.adapter = type(backbone)(shallow).adapter.float()


def _tokenizer(tokens: list[str]) -> Wav2Vec2CTCTokenizer:
    with TemporaryDirectory() as directory:
        # The tokenizer reads its vocabulary from a file alone.
        path = Path(directory) / "vocab.json"
        path.write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
        untyped: Any = Wav2Vec2CTCTokenizer
        made: Wav2Vec2CTCTokenizer = untyped(
            str(path),
            pad_token=BLANK,
            unk_token=UNKNOWN,
            bos_token=None,
            eos_token=None,
            word_delimiter_token=DELIMITER,
        )
    return made
