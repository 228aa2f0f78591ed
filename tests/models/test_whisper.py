"""Whisper: parts, features from every cut, tokens, loss, greedy text and the saved checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, GenerationConfig, pipeline

from speechtl.errors import DataError, ModelError, OutputError
from speechtl.models import Features, SpeechModel, load
from speechtl.models.base import quiet

from .conftest import WHISPER_KINDS, noise, write_whisper_checkpoint

Checkpoint = Callable[[str], Path]
every_kind = pytest.mark.parametrize("kind", WHISPER_KINDS)
CUTS = ["frontend", "encoder.0", "encoder.1", "decoder.0"]
NAMES = [*CUTS, "decoder.1", "head"]


def mel(model: Any, waveforms: list[Any]) -> torch.Tensor:
    inputs = model.feature_extractor(waveforms, sampling_rate=16_000, return_tensors="pt")
    return torch.as_tensor(inputs.input_features)


@every_kind
def test_every_parameter_belongs_to_exactly_one_part(kind: str, checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint(kind)))
    owned = [id(p) for part in model.parts() for p in part.parameters()]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(p) for p in model.network.parameters()}
    assert [part.name for part in model.parts()] == NAMES


def test_an_untied_output_layer_belongs_to_the_head(own_checkpoint: Checkpoint) -> None:
    model: Any = load(str(own_checkpoint("english")))
    output = torch.nn.Linear(16, model.network.config.vocab_size, bias=False)
    model.network.set_output_embeddings(output)
    assert output in model.parts()[-1].owns


@pytest.mark.parametrize("cut", NAMES)
def test_the_suffix_from_every_cut_gives_the_encoder_of_transformers(
    cut: str, checkpoint: Checkpoint
) -> None:
    model: Any = load(str(checkpoint("multilingual")))
    waveforms = [noise(1.0, seed=1), noise(0.5, seed=2)]
    with torch.no_grad():
        expected = model.network.base_model.encoder(mel(model, waveforms)).last_hidden_state
    features = model.encode(waveforms, cut)
    assert features.cut == (cut if cut in CUTS else "decoder.0")
    with torch.no_grad():
        states = model._encode(features).hidden
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-5)


def test_features_cover_the_whole_window_and_know_the_length_of_the_speech(
    checkpoint: Checkpoint,
) -> None:
    model = load(str(checkpoint("multilingual")))
    lowest = model.encode([noise(1.0, seed=1), noise(0.995, seed=2)], "frontend")
    assert lowest.hidden.shape == (2, 200, 16)
    assert lowest.lengths.tolist() == [100, 100]
    top = model.encode([noise(1.0, seed=1), noise(0.49, seed=2)], "decoder.0")
    assert top.hidden.shape == (2, 100, 16)
    assert top.lengths.tolist() == [50, 25]


@every_kind
@pytest.mark.parametrize("cut", CUTS)
def test_the_loss_is_that_of_transformers(kind: str, cut: str, checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint(kind)))
    waveform = noise(1.0, seed=1)
    labels = model.labels("the cat", samples=len(waveform))
    loss = model.loss(model.encode([waveform], cut), [labels])
    expected = model.network(mel(model, [waveform]), labels=torch.tensor([labels])).loss
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_end_of_text_counts_in_the_loss_although_padding_has_its_id(
    checkpoint: Checkpoint,
) -> None:
    model = load(str(checkpoint("multilingual")))
    waveforms = [noise(1.0, seed=1), noise(0.5, seed=2)]
    labels = [model.labels(text, samples=8000) for text in ("the cat sat on the mat", "a")]
    alone = [
        model.loss(model.encode([waveform], "decoder.0"), [row]).item() * len(row)
        for waveform, row in zip(waveforms, labels, strict=True)
    ]
    together = model.loss(model.encode(waveforms, "decoder.0"), labels).item()
    assert together == pytest.approx(sum(alone) / sum(map(len, labels)), rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.loss(model.encode(waveforms, "decoder.0"), labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(together, rel=0.05)


def test_gradients_reach_the_suffix_and_nothing_below_it(checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint("multilingual")))
    for cut in CUTS:
        model.network.zero_grad(set_to_none=True)
        labels = [model.labels("the cat", samples=8000)]
        model.loss(model.encode([noise(0.5, seed=1)], cut), labels).backward()
        for part in model.parts():
            reached = any(p.grad is not None and p.grad.any() for p in part.parameters())
            assert reached == (NAMES.index(part.name) >= NAMES.index(cut))


def test_neither_layerdrop_nor_the_internal_specaugment_applies_in_training(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    model = load(str(checkpoint("multilingual")))
    features = model.encode([noise(1.0, seed=1)], "frontend")
    labels = [model.labels("the cat", samples=16_000)]
    model.network.train()
    assert len({model.loss(features, labels).item() for _ in range(12)}) == 1
    model.save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["apply_spec_augment"] is True
    assert config["decoder_layerdrop"] == 0.5


def test_labels_carry_the_prefix_of_their_kind_and_no_start_token(checkpoint: Checkpoint) -> None:
    texts = {}
    for kind in WHISPER_KINDS:
        model: Any = load(str(checkpoint(kind)))
        labels = model.labels(" the  cat ", samples=8000)
        texts[kind] = model.tokenizer.decode(labels)
    assert texts["multilingual"] == "<|en|><|transcribe|><|notimestamps|> the cat<|endoftext|>"
    assert texts["english"] == "<|notimestamps|> the cat<|endoftext|>"


@pytest.mark.parametrize(("language", "token"), [("french", "<|fr|>"), ("<|en|>", "<|en|>")])
def test_the_language_of_the_checkpoint_is_kept(
    language: str, token: str, own_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = own_checkpoint("multilingual")
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"language": language}))
    model: Any = load(str(folder))
    [first, *_] = model.labels("a", samples=8000)
    assert model.tokenizer.convert_ids_to_tokens(first) == token


@pytest.mark.parametrize(
    ("text", "samples", "message"),
    [
        (" ", 8000, "empty"),
        ("a <|endoftext|>", 8000, r"no special tokens, got <\|endoftext\|>"),
        ("x" * 28, 8000, "33 tokens.*at most 32"),
        ("a", 32_001, r"32001 samples \(2.0 s\).*1 to 32000 \(2 s\)"),
        ("a", 0, "has 0 samples"),
    ],
)
def test_labels_that_cannot_train_are_refused_with_numbers(
    text: str, samples: int, message: str, checkpoint: Checkpoint
) -> None:
    model = load(str(checkpoint("multilingual")))
    with pytest.raises(DataError, match=message):
        model.labels(text, samples=samples)


@pytest.mark.parametrize("positions", [31, 32])  # the one is padded to the other where it fits
def test_a_transcript_may_fill_all_positions_of_the_decoder(positions: int, tmp_path: Path) -> None:
    folder = write_whisper_checkpoint(tmp_path / "model", "multilingual", positions=positions)
    model = load(str(folder))
    labels = model.labels("x" * (positions - 5), samples=8000)
    assert len(labels) == positions
    assert model.loss(model.encode([noise(0.5, seed=1)], "decoder.0"), [labels]).item() > 0


def test_the_gradient_is_the_same_each_time_with_several_threads(checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint("multilingual")))
    features = model.encode([noise(0.5, seed=1)], "decoder.0")
    # Unlike one another, for the order in which equal numbers are added up does not matter.
    hidden = features.hidden * torch.rand(128, 1, 1)
    many = Features("decoder.0", hidden, features.lengths.expand(128))
    labels = [model.labels("x" * 27, samples=8000)] * 128
    threads = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        found = []
        for _ in range(4):
            model.network.zero_grad(set_to_none=True)
            model.loss(many, labels).backward()
            named = model.network.named_parameters()
            found.append({name: p.grad for name, p in named if p.grad is not None})
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(found[0][name], gradient) for name, gradient in other.items())


def test_audio_longer_than_the_window_is_refused_not_cut(checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint("english")))
    with pytest.raises(DataError, match="waveform 1 of the batch has 33600 samples"):
        model.encode([noise(1.0, seed=1), noise(2.1, seed=1)], "decoder.0")


@every_kind
@pytest.mark.parametrize("cut", CUTS)
def test_the_text_is_that_of_generate_from_every_cut(
    kind: str, cut: str, checkpoint: Checkpoint
) -> None:
    model: Any = load(str(checkpoint(kind)))
    waveforms = [noise(0.4, seed=1), noise(1.9, seed=6)]
    with quiet():
        ids = model.network.generate(mel(model, waveforms))
    expected = [model.tokenizer.decode(row, skip_special_tokens=True).strip() for row in ids]
    model.network.train()
    assert model.decode(model.encode(waveforms, cut)) == expected
    assert model.network.training
    alone = [model.decode(model.encode([waveform], cut))[0] for waveform in waveforms]
    assert alone == expected
    assert all(len(text) > 3 for text in expected)


def as_converted_without_the_prompt_s_tokens(folder: Path) -> None:
    path = folder / "generation_config.json"
    is_multilingual = json.loads(path.read_text())["is_multilingual"]
    path.write_text(json.dumps({"is_multilingual": is_multilingual}))


def without_generation_config(folder: Path) -> None:
    (folder / "generation_config.json").unlink()


def as_fine_tuned_with_forced_ids(folder: Path) -> None:
    path = folder / "generation_config.json"
    forced = {"forced_decoder_ids": [[1, 5], [2, 7]], "return_timestamps": True, "num_beams": 3}
    path.write_text(json.dumps(json.loads(path.read_text()) | forced))


def test_what_else_the_generation_config_holds_is_kept(
    own_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    path = own_checkpoint("multilingual") / "generation_config.json"
    held = json.loads(path.read_text())
    path.write_text(json.dumps(held | {"alignment_heads": [[0, 1], [1, 0]]}))
    load(str(path.parent)).save(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert saved["alignment_heads"] == [[0, 1], [1, 0]]
    assert saved["suppress_tokens"] == held["suppress_tokens"]
    assert (saved["language"], saved["task"], saved["num_beams"]) == ("en", "transcribe", 1)


@every_kind
@pytest.mark.parametrize(
    "change",
    [
        None,
        as_converted_without_the_prompt_s_tokens,
        without_generation_config,
        as_fine_tuned_with_forced_ids,
    ],
)
def test_a_saved_model_gives_the_same_text_everywhere(
    kind: str, change: Callable[[Path], None] | None, own_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = own_checkpoint(kind)
    if change is not None:
        change(folder)
    model: Any = load(str(folder))
    saved = tmp_path / "saved"
    model.save(saved)
    waveform = noise(1.0, seed=1)
    [text] = model.decode(model.encode([waveform], "decoder.0"))
    assert text
    again: SpeechModel = load(str(saved))
    assert again.decode(again.encode([waveform], "encoder.1")) == [text]
    kept: Any = GenerationConfig.from_pretrained(saved)
    assert kept.to_dict() == model.network.generation_config.to_dict()
    assert kept.forced_decoder_ids is None
    assert (saved / "preprocessor_config.json").is_file()
    assert (saved / "tokenizer.json").is_file()
    with quiet():
        processor = AutoProcessor.from_pretrained(saved)
        network = AutoModelForSpeechSeq2Seq.from_pretrained(saved)
        inputs = processor(waveform, sampling_rate=16_000, return_tensors="pt")
        ids = network.generate(inputs.input_features)
        assert processor.batch_decode(ids, skip_special_tokens=True)[0].strip() == text
        recognise: Any = pipeline("automatic-speech-recognition", model=str(saved))
        assert recognise(waveform)["text"].strip() == text


def test_a_converted_multilingual_model_has_its_prompt_again(own_checkpoint: Checkpoint) -> None:
    folder = own_checkpoint("multilingual")
    expected = load(str(folder)).labels("the cat", samples=8000)
    as_converted_without_the_prompt_s_tokens(folder)
    model: Any = load(str(folder))
    assert model.labels("the cat", samples=8000) == expected
    assert model.tokenizer.convert_ids_to_tokens(expected[:3]) == [
        "<|en|>", "<|transcribe|>", "<|notimestamps|>"
    ]  # fmt: skip


def test_a_language_without_a_token_is_refused(own_checkpoint: Checkpoint) -> None:
    folder = own_checkpoint("multilingual")
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"language": "xx"}))
    with pytest.raises(ModelError, match=r"language 'xx' and the task 'transcribe'"):
        load(str(folder))


def test_a_folder_that_cannot_be_written_is_reported(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        load(str(checkpoint("english"))).save(tmp_path / "file" / "model")
