"""The CTC family: parts, features from every cut, padding, loss, labels, saved checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForCTC, AutoProcessor, pipeline

from speechtl.errors import DataError, ModelError, OutputError
from speechtl.models import Features, SpeechModel, load, parameter_counts
from speechtl.models.base import quiet

from .conftest import CTC_KINDS, noise, write_ctc_checkpoint

Checkpoint = Callable[[str], Path]
every_kind = pytest.mark.parametrize("kind", CTC_KINDS)


def names(model: SpeechModel) -> list[str]:
    return [part.name for part in model.parts()]


def plain_logits(model: Any, waveform: np.ndarray[Any, Any]) -> torch.Tensor:
    """Return what transformers' own forward gives for one utterance."""
    inputs = model.feature_extractor(waveform, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
        return torch.as_tensor(model.network(**inputs).logits)


def logits_from(model: Any, features: Features) -> torch.Tensor:
    with torch.no_grad():
        logits, lengths = model._run(features)
        return torch.as_tensor(logits[:, : int(lengths.max())])


@every_kind
def test_every_parameter_belongs_to_exactly_one_part(kind: str, checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint(kind)))
    owned = [id(p) for part in model.parts() for p in part.parameters()]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(p) for p in model.network.parameters()}
    assert sum(parameter_counts(model).values()) == model.network.num_parameters()
    layers = [f"encoder.{k}" for k in range(3)]
    assert names(model) == ["feature_encoder", "feature_projection", *layers, "head"]


@every_kind
def test_the_suffix_from_every_cut_gives_what_transformers_gives(
    kind: str, checkpoint: Checkpoint
) -> None:
    model = load(str(checkpoint(kind)))
    waveform = noise(0.4, seed=1)
    expected = plain_logits(model, waveform)
    for cut in names(model):
        features = model.encode([waveform], cut)
        assert features.cut == cut
        assert features.hidden.dtype == torch.float32
        torch.testing.assert_close(logits_from(model, features), expected, atol=1e-5, rtol=1e-5)


@every_kind
def test_padding_in_a_batch_changes_nothing_at_any_cut(kind: str, checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint(kind)))
    waveforms = [noise(0.5, seed=1), noise(0.23, seed=2), noise(0.3, seed=3)]
    for cut in names(model):
        together = model.encode(waveforms, cut)
        logits = logits_from(model, together)
        for row, waveform in enumerate(waveforms):
            alone = plain_logits(model, waveform)[0]
            torch.testing.assert_close(logits[row, : len(alone)], alone, atol=1e-5, rtol=1e-5)
            assert not together.hidden[row, together.lengths[row] :].any()
        alone_texts = [model.decode(model.encode([waveform], cut))[0] for waveform in waveforms]
        assert model.decode(together) == alone_texts


@every_kind
def test_lengths_that_are_near_share_the_shapes_of_the_convolutions(
    kind: str, checkpoint: Checkpoint
) -> None:
    model: Any = load(str(checkpoint(kind)))
    shapes = set()
    for module in model.network.base_model.feature_extractor.modules():
        if isinstance(module, torch.nn.Conv1d):
            module.register_forward_pre_hook(lambda _, inputs: shapes.add(inputs[0].shape))
    for samples in (3850, 3900, 3999):
        model.encode([noise(0.25, seed=1)[:samples]], "head")
    assert len(shapes) == 2  # one for each convolution


def test_a_padded_batch_equals_the_masked_forward_of_transformers(checkpoint: Checkpoint) -> None:
    model: Any = load(str(checkpoint("wav2vec2-stable")))
    waveforms = [noise(0.5, seed=1), noise(0.3, seed=2)]
    inputs = model.feature_extractor(
        waveforms, sampling_rate=16_000, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        expected = model.network(**inputs).logits
    features = model.encode(waveforms, "encoder.1")
    for row, length in enumerate(features.lengths.tolist()):
        got = logits_from(model, features)[row, :length]
        torch.testing.assert_close(got, expected[row, :length], atol=1e-5, rtol=1e-5)


def test_the_lowest_cut_keeps_the_normalised_samples(checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint("wav2vec2-stable")))
    features = model.encode([noise(0.2, seed=1), noise(0.1, seed=2)], "feature_encoder")
    assert features.hidden.shape == (2, 3200, 1)
    assert features.lengths.tolist() == [3200, 1600]
    assert abs(float(features.hidden[1, :1600].mean())) < 1e-5
    assert float(features.hidden[1, :1600].std()) == pytest.approx(1, abs=1e-2)


def test_encoding_runs_in_evaluation_mode_and_gives_the_mode_back(checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint("wav2vec2-group")))
    evaluated = model.encode([noise(0.3, seed=1)], "head")
    model.network.train()
    model.parts()[2].train(False)
    modes = [module.training for module in model.network.modules()]
    trained = model.encode([noise(0.3, seed=1)], "head")
    assert torch.equal(evaluated.hidden, trained.hidden)
    assert not trained.hidden.requires_grad
    assert modes == [module.training for module in model.network.modules()]


def test_neither_layerdrop_nor_the_internal_specaugment_applies_in_training(
    tmp_path: Path,
) -> None:
    still: dict[str, Any] = dict.fromkeys(
        ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"), 0.0
    )
    folder = write_ctc_checkpoint(
        tmp_path / "model", "wav2vec2-stable", mask_time_prob=0.9, final_dropout=0.0, **still
    )
    model = load(str(folder))
    features = model.encode([noise(1.0, seed=1)], "feature_projection")
    labels = [model.labels("cat", samples=16_000)]
    model.network.train()
    losses = {model.loss(features, labels).item() for _ in range(12)}
    assert len(losses) == 1
    model.save(tmp_path / "saved")
    config = AutoModelForCTC.from_pretrained(tmp_path / "saved").config
    assert config.apply_spec_augment is True
    assert config.layerdrop == 0.5


@every_kind
def test_the_loss_is_that_of_transformers(kind: str, checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint(kind)))
    waveform = noise(0.5, seed=1)
    labels = model.labels("cab", samples=len(waveform))
    loss = model.loss(model.encode([waveform], "encoder.1"), [labels])
    inputs: Any = model.feature_extractor(  # type: ignore[attr-defined]
        waveform, sampling_rate=16_000, return_tensors="pt"
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
        expected = model.network(**inputs, labels=torch.tensor([labels])).loss
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


@every_kind
def test_the_loss_is_the_mean_over_utterances_in_float32_under_autocast(
    kind: str, checkpoint: Checkpoint
) -> None:
    model = load(str(checkpoint(kind)))
    waveforms = [noise(0.5, seed=1), noise(0.3, seed=2)]
    labels = [model.labels(text, samples=4000) for text in ("a cat", "i")]
    alone = [
        model.loss(model.encode([waveform], "encoder.1"), [row]).item()
        for waveform, row in zip(waveforms, labels, strict=True)
    ]
    together = model.encode(waveforms, "encoder.1")
    assert model.loss(together, labels).item() == pytest.approx(np.mean(alone), rel=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model.loss(model.encode(waveforms, "feature_encoder"), labels)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(np.mean(alone), rel=0.05)


@every_kind
def test_gradients_reach_the_suffix_and_nothing_below_it(kind: str, checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint(kind)))
    waveforms = [noise(0.5, seed=1), noise(0.3, seed=2)]
    for cut in ("feature_encoder", "encoder.1"):
        model.network.zero_grad(set_to_none=True)
        model.loss(model.encode(waveforms, cut), [[7, 8], [9]]).backward()
        for part in model.parts():
            reached = any(p.grad is not None and p.grad.any() for p in part.parameters())
            assert reached == (names(model).index(part.name) >= names(model).index(cut))


def test_a_step_on_the_suffix_lowers_the_loss(checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint("wavlm")))
    features = model.encode([noise(0.5, seed=1)], "encoder.0")
    labels = [model.labels("cat", samples=8000)]
    optimiser = torch.optim.SGD(model.network.parameters(), lr=1e-3)
    before = model.loss(features, labels)
    before.backward()
    optimiser.step()
    assert model.loss(features, labels).item() < before.item()


def test_labels_take_the_case_of_the_vocabulary(tmp_path: Path) -> None:
    lower = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "a": 5, "b": 6}
    both = lower | {"A": 7}
    for vocabulary, expected in ((lower, [5, 4, 6]), (both, [7, 4, 6])):
        folder = tmp_path / str(len(vocabulary))
        write_ctc_checkpoint(folder, "wav2vec2-group", vocabulary=vocabulary)
        assert load(str(folder)).labels(" A  b ", samples=8000) == expected


def test_punctuation_outside_of_the_vocabulary_is_left_out_of_the_labels(
    checkpoint: Checkpoint,
) -> None:
    model = load(str(checkpoint("wav2vec2-group")))
    plain = model.labels("THE CAT'S MAT", samples=16_000)
    assert model.labels("The \u201ccat\u2019s\u201d mat.", samples=16_000) == plain
    with pytest.raises(DataError, match="the transcript is empty"):
        model.labels("\u2026!", samples=16_000)


def test_an_upper_case_vocabulary_spells_words_with_its_delimiter(checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint("hubert")))
    ids = model.labels("it's a", samples=8000)
    assert ids == [14, 25, 5, 24, 4, 6]


@pytest.mark.parametrize(
    ("text", "samples", "message"),
    [
        ("  ", 8000, "empty"),
        ("déjà 2", 8000, r"'2' \(U\+0032\), 'À' \(U\+00C0\), 'É' \(U\+00C9\)"),
        ("a", 179, "179 samples of audio are too short.*at least 180"),
        ("aab", 500, "3 frames.*3 labels with 1 adjacent repeats need at least 4"),
    ],
)
def test_labels_that_cannot_train_are_refused_with_numbers(
    text: str, samples: int, message: str, checkpoint: Checkpoint
) -> None:
    model = load(str(checkpoint("wav2vec2-group")))
    with pytest.raises(DataError, match=message):
        model.labels(text, samples=samples)


def test_labels_that_just_fit_have_a_finite_loss(checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint("wav2vec2-stable")))
    waveform = noise(0.2, seed=1)[: 180 + 3 * 160]
    labels = model.labels("aab", samples=len(waveform))
    assert sum(left == right for left, right in pairwise(labels)) == 1
    assert model.loss(model.encode([waveform], "head"), [labels]).item() > 0


def test_the_blank_of_the_loss_is_the_pad_token(checkpoint: Checkpoint) -> None:
    model: Any = load(str(checkpoint("wav2vec2-group")))
    features = model.encode([noise(0.2, seed=1)], "head")
    logits = logits_from(model, features)
    expected = functional.ctc_loss(
        logits.log_softmax(-1).transpose(0, 1),
        torch.tensor([[7]]),
        torch.tensor([logits.shape[1]]),
        torch.tensor([1]),
        blank=0,
    )
    assert model.loss(features, [[7]]).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_waveform_too_short_for_a_frame_is_refused(checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint("wav2vec2-group")))
    with pytest.raises(DataError, match=r"waveform 1 of the batch has 100 samples.*at least 180"):
        model.encode([noise(0.2, seed=1), noise(0.2, seed=1)[:100]], "head")


def test_an_unknown_cut_is_refused_with_the_known_ones(checkpoint: Checkpoint) -> None:
    model = load(str(checkpoint("wav2vec2-group")))
    with pytest.raises(ModelError, match=r"no part 'decoder\.0'.*feature_encoder, .*head"):
        model.encode([noise(0.2, seed=1)], "decoder.0")


@every_kind
def test_a_saved_model_gives_the_same_text_everywhere(
    kind: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    model: Any = load(str(checkpoint(kind)))
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    model.save(tmp_path)
    waveform = noise(0.5, seed=1)
    [text] = model.decode(model.encode([waveform], "head"))
    assert len(text) > 3
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {"model.safetensors"}
    assert load(str(tmp_path)).decode(model.encode([waveform], "head")) == [text]
    processor = AutoProcessor.from_pretrained(tmp_path)
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
        network = AutoModelForCTC.from_pretrained(tmp_path).eval()
        inputs = processor(waveform, sampling_rate=16_000, return_tensors="pt")
        with torch.no_grad():
            assert processor.batch_decode(network(**inputs).logits.argmax(-1)) == [text]
        recognise: Any = pipeline("automatic-speech-recognition", model=str(tmp_path))
        assert recognise(waveform)["text"] == text


def test_a_folder_that_cannot_be_written_is_reported(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        load(str(checkpoint("wav2vec2-group"))).save(tmp_path / "file" / "model")
