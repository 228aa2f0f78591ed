"""The tokenizer of the starter Whisper: a small byte-level BPE and Whisper's own special tokens."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, ByteLevelBPETokenizer
from transformers import WhisperTokenizer

__all__ = ["new_tokenizer"]

END_OF_TEXT = "<|endoftext|>"
# In Whisper's order. `<|notimestamps|>` is the last: transformers takes the id after it for
# `<|0.00|>`.
SPECIAL_TOKENS = (
    "<|startoftranscript|>",
    "<|en|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)


def new_tokenizer(
    sentences: Iterable[str], directory: Path, *, tokens: int = 600, window_s: float = 6.0
) -> WhisperTokenizer:
    """Return a Whisper tokenizer (language tokens: English only) and save it in `directory`.

    Args:
        sentences: The text to train on; words after the first carry their space, as Whisper's do,
            and so does the first: Whisper's transcripts begin with a space.
        directory: Where `tokenizer.json` and `tokenizer_config.json` are written.
        tokens: The size of the vocabulary before special tokens, at least the 256 bytes.
        window_s: The last timestamp in seconds; timestamps are 0.02 s apart, from 0.
    """
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        (f" {line}" for line in sentences), vocab_size=tokens, min_frequency=2, show_progress=False
    )
    trained = json.loads(bpe.to_str())["model"]
    vocabulary = {**trained["vocab"], END_OF_TEXT: len(trained["vocab"])}
    tokenizer = WhisperTokenizer(
        vocab=vocabulary,
        merges=[tuple(pair) for pair in trained["merges"]],
        pad_token=END_OF_TEXT,
        extra_special_tokens=list(SPECIAL_TOKENS),
    )
    # Timestamps are not special: decoding keeps or drops them by their own option.
    steps = round(window_s / 0.02)
    tokenizer.add_tokens(
        [
            AddedToken(f"<|{i * 0.02:.2f}|>", special=False, normalized=False)
            for i in range(steps + 1)
        ]
    )
    tokenizer.save_pretrained(directory)
    return tokenizer
