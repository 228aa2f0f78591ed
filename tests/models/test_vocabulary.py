"""A new head: its characters, what it takes from the base's, its bottleneck, what is refused."""

from __future__ import annotations

import shutil
import string
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCTC, AutoProcessor, pipeline

from speechtl.errors import ConfigError, DataError, ModelError
from speechtl.models import Features, NewHead, characters_of, load, parameter_counts
from speechtl.models.base import quiet
from speechtl.models.loading import CTC_TYPES
from speechtl.models.vocabulary import ADAPTER_TYPES, in_case_of
from speechtl.text import normaliser

from .conftest import CTC_KINDS, HEADLESS_KINDS, noise, write_ctc_checkpoint

Checkpoint = Callable[[str], Path]
FRENCH = tuple("abcdefghijklmnopqrstuvwxyz'éè2")
BOTTLENECK_KINDS = ("wav2vec2-group", "wav2vec2-stable", "wavlm", "data2vec-audio")
every_kind = pytest.mark.parametrize("kind", CTC_KINDS)
every_headless = pytest.mark.parametrize("kind", HEADLESS_KINDS)
every_bottleneck = pytest.mark.parametrize("kind", BOTTLENECK_KINDS)
every_depth = pytest.mark.parametrize("layers", [0, 2])


def renewed(folder: Path, **settings: Any) -> Any:
    return load(str(folder), head=NewHead(**{"characters": FRENCH, **settings}))


def output(model: Any) -> dict[str, torch.Tensor]:
    """Return weight and bias of the head's row of each token."""
    head, vocabulary = model.network.lm_head, model.tokenizer.get_vocab()
    assert head.out_features == len(vocabulary) == model.network.config.vocab_size
    rows = torch.cat([head.weight.detach(), head.bias.detach()[:, None]], dim=1)
    return {token: rows[i] for token, i in vocabulary.items()}


def forward(network: Any, inputs: Any) -> torch.Tensor:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
        return torch.as_tensor(network(**inputs).logits)


def logits_from(model: Any, features: Features) -> torch.Tensor:
    with torch.no_grad():
        logits, lengths = model._run(features)
        return torch.as_tensor(logits[:, : int(lengths.max())])


def plain_logits(model: Any, waveform: Any) -> torch.Tensor:
    inputs = model.feature_extractor(waveform, sampling_rate=16_000, return_tensors="pt")
    return forward(model.network, inputs)


# What the transcripts hold


def test_the_characters_are_those_of_the_plain_form_sorted_and_without_the_space() -> None:
    texts = ["Été, 2 CATS!", "it\u2019s\tE\u0301"]
    assert characters_of(texts) == ("'", "2", "a", "c", "i", "s", "t", "é")


@pytest.mark.parametrize("texts", [[], ["", " … !"]])
def test_transcripts_without_characters_are_refused(texts: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"no letters or digits.*transcribed utterances"):
        characters_of(texts)


@given(text=st.text(min_size=1), base=st.sampled_from(["", "abc", "ABC", "abC"]))
def test_what_characters_of_finds_spells_the_plain_text_in_any_case(text: str, base: str) -> None:
    spoken = normaliser("plain")(text)
    if not spoken:
        return
    tokens = set(in_case_of(base, "".join(characters_of([text]))))
    assert set(in_case_of(tokens, spoken)) - {" "} <= tokens


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"characters": ()}, "needs single characters.*got none"),
        ({"characters": ("a", " ", "|", "bc", "")}, r"without the space.*got ' ', '\|', 'bc', ''"),
        ({"bottleneck": -1}, r"bottleneck \(-1\).*must not be negative"),
        ({"seed": -1}, r"seed \(-1\) must not be negative"),
        ({"bottleneck_layers": 2}, "2 bottleneck layers need a bottleneck"),
    ],
)
def test_a_head_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        NewHead(**{"characters": ("a",), **settings})


# What the new head takes from the base's


@every_kind
def test_rows_that_the_base_knows_are_copied_bit_by_bit(kind: str, checkpoint: Checkpoint) -> None:
    base = output(load(str(checkpoint(kind))))
    new = output(renewed(checkpoint(kind)))
    known = {"<pad>", "<unk>", "|", "'", *string.ascii_uppercase}
    assert set(new) == known | {"É", "È", "2"}
    for token in known:
        assert torch.equal(new[token], base[token])
    assert not any(torch.equal(new[token], row) for token in "ÉÈ2" for row in base.values())


def test_characters_that_the_transcripts_lack_are_dropped_and_case_plays_no_part(
    checkpoint: Checkpoint,
) -> None:
    folder = checkpoint("wav2vec2-group")
    model = renewed(folder, characters=("b", "A", "a", "é"))
    assert list(output(model)) == ["<pad>", "<unk>", "|", "A", "B", "É"]
    assert model.labels("a Bé", samples=8000) == [3, 2, 4, 5]


def test_a_base_with_both_cases_gets_lower_case_and_a_lone_capital_gives_its_row(
    tmp_path: Path,
) -> None:
    vocabulary = {"a": 0, "A": 1, "<pad>": 2, "B": 3, "<unk>": 4, "|": 5}
    folder = write_ctc_checkpoint(tmp_path, "wav2vec2-group", vocabulary=vocabulary, pad_token_id=2)
    base, new = load(str(folder)), output(renewed(folder, characters=("a", "b")))
    assert list(new) == ["<pad>", "<unk>", "|", "a", "b"]
    for token, row in {"<pad>": "<pad>", "|": "|", "a": "a", "b": "B"}.items():
        head: Any = base.network.lm_head
        assert torch.equal(new[token][:-1], head.weight[vocabulary[row]])


def test_fresh_rows_are_drawn_from_the_seed(checkpoint: Checkpoint) -> None:
    folder = checkpoint("wav2vec2-group")
    one, same, other = (renewed(folder, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(row, output(same)[token]) for token, row in output(one).items())
    assert not torch.equal(output(one)["É"], output(other)["É"])
    assert not torch.equal(output(one)["É"], output(one)["È"])


def test_fresh_rows_are_normal_with_the_width_of_the_configuration(tmp_path: Path) -> None:
    folder = write_ctc_checkpoint(tmp_path, "wav2vec2-group", initializer_range=0.1)
    model = renewed(folder, characters=tuple(chr(0x4E00 + i) for i in range(400)))
    weight, bias = model.network.lm_head.weight[3:], model.network.lm_head.bias[3:]
    assert weight.numel() == 400 * 16
    assert abs(weight.mean().item()) < 0.005
    assert weight.std().item() == pytest.approx(0.1, rel=0.05)
    assert not bias.any()


def test_a_character_that_the_base_lacks_is_labelled_trained_and_decoded(
    checkpoint: Checkpoint,
) -> None:
    folder, waveform = checkpoint("wav2vec2-stable"), noise(0.5, seed=1)
    with pytest.raises(DataError, match="outside the vocabulary"):
        load(str(folder)).labels("été 2", samples=len(waveform))
    model = renewed(folder)
    labels = [model.labels("été 2", samples=len(waveform))]
    features = model.encode([waveform], "head")
    head = list(model.network.lm_head.parameters())
    optimiser = torch.optim.Adam(head, lr=0.1)
    for _ in range(60):
        optimiser.zero_grad()
        loss = model.loss(features, labels)
        assert loss.isfinite()
        loss.backward()
        assert all(p.grad is not None and p.grad.any() for p in head)
        optimiser.step()
    assert model.decode(features) == ["ÉTÉ 2"]


# Bases without a head


@every_headless
def test_a_self_supervised_base_loads_with_a_head_and_not_without(
    kind: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = checkpoint(kind)
    with pytest.raises(ModelError, match=r"no tokenizer.*--strategy new-head adapts it") as raised:
        load(str(folder))
    assert len(str(raised.value).splitlines()) == 1
    model = renewed(folder)
    assert list(output(model)) == ["<pad>", "<unk>", "|", *sorted(FRENCH)]
    waveform = noise(0.4, seed=1)
    labels = [model.labels("été 2", samples=len(waveform))]
    assert model.loss(model.encode([waveform], "encoder.0"), labels).isfinite()
    theirs = HEADLESS_KINDS[kind][0].from_pretrained(folder).eval()
    inputs = model.feature_extractor(waveform, sampling_rate=16_000, return_tensors="pt")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
        states = getattr(theirs, theirs.base_model_prefix, theirs)(**inputs).last_hidden_state
    ours = model.encode([waveform], "head").hidden
    torch.testing.assert_close(ours, states, atol=1e-5, rtol=1e-5)


def test_a_vocabulary_beside_weights_without_a_head_has_no_say(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(checkpoint("wav2vec2-headless"), folder)
    for name in ("vocab.json", "tokenizer_config.json"):
        shutil.copy(checkpoint("wav2vec2-group") / name, folder)
    with pytest.raises(ModelError, match=r"no CTC head.*--strategy new-head adapts it"):
        load(str(folder))
    bare, beside = (output(renewed(path)) for path in (checkpoint("wav2vec2-headless"), folder))
    assert bare.keys() == beside.keys()
    assert all(torch.equal(bare[token], beside[token]) for token in bare)


def test_a_head_without_its_vocabulary_is_replaced_altogether(own_checkpoint: Checkpoint) -> None:
    folder = own_checkpoint("hubert")
    base: Any = load(str(folder)).network.lm_head
    (folder / "vocab.json").unlink()
    new = output(renewed(folder))
    assert list(new)[3:] == sorted(FRENCH)
    assert not any(torch.equal(row[:-1], old) for row in new.values() for old in base.weight)


def test_other_weights_that_are_missing_are_an_error_with_a_head_too(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(checkpoint("wavlm-headless"), tmp_path / "model"))
    weights = torch.load(folder / "pytorch_model.bin")
    del weights["encoder.layers.1.layer_norm.weight"]
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"lacks 1 weights.*layers\.1\.layer_norm\.weight"):
        renewed(folder)
    with pytest.raises(ModelError, match="lacks 1 weights"):
        renewed(folder, bottleneck=8)


# What is saved


def spread(model: Any) -> None:
    """Scale the fresh rows up to those of the base, so that they are heard."""
    with torch.no_grad():
        for row in model.network.lm_head.weight:
            row.div_(row.norm())


def check_the_same_everywhere(model: Any, saved: Path) -> None:
    """Save the model, and compare logits and text with those of the library and of `load`."""
    waveform = noise(0.5, seed=1)
    features = model.encode([waveform], "head")
    [text] = model.decode(features)
    assert len(text) > 3
    model.save(saved)
    again: Any = load(str(saved))
    assert again.tokenizer.get_vocab() == model.tokenizer.get_vocab()
    assert again.decode(again.encode([waveform], "encoder.1")) == [text]
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
        processor = AutoProcessor.from_pretrained(saved)
        network, report = AutoModelForCTC.from_pretrained(saved, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        assert network.config.vocab_size == len(processor.tokenizer)
        assert network.config.architectures == [type(model.network).__name__]
        assert network.config.pad_token_id == processor.tokenizer.pad_token_id
        inputs = processor(waveform, sampling_rate=16_000, return_tensors="pt")
        logits = forward(network.eval(), inputs)
        torch.testing.assert_close(logits_from(model, features), logits, atol=1e-5, rtol=1e-5)
        assert processor.batch_decode(logits.argmax(-1)) == [text]
        recognise: Any = pipeline("automatic-speech-recognition", model=str(saved))
        assert recognise(waveform)["text"] == text


@pytest.mark.parametrize("kind", [*CTC_KINDS, *HEADLESS_KINDS])
def test_a_saved_model_with_a_new_head_gives_the_same_text_everywhere(
    kind: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    model = renewed(checkpoint(kind))
    spread(model)
    check_the_same_everywhere(model, tmp_path)


# The bottleneck


@every_bottleneck
@every_depth
def test_a_bottleneck_belongs_to_the_head_and_features_are_cut_below_it(
    kind: str, layers: int, checkpoint: Checkpoint
) -> None:
    base = load(str(checkpoint(kind)))
    model = renewed(checkpoint(kind), bottleneck=8, bottleneck_layers=layers)
    owned = [id(p) for part in model.parts() for p in part.parameters()]
    assert len(owned) == len(set(owned)) == len(list(model.network.parameters()))
    counts = parameter_counts(base)
    # Projection and norm, convolutions over three frames to twice the channels, and 33 rows.
    sizes = (16 * 8 + 8) + 2 * 8 + layers * (3 * 8 * 16 + 16) + 33 * (8 + 1)
    assert parameter_counts(model) == {**counts, "head": sizes}
    waveforms = [noise(0.5, seed=1), noise(0.23, seed=2)]
    features = model.encode(waveforms, "head")
    assert features.hidden.shape[-1] == 16
    assert torch.equal(features.hidden, base.encode(waveforms, "head").hidden)
    assert logits_from(model, features).shape[:2] == features.hidden.shape[:2]


@every_bottleneck
@every_depth
def test_a_bottleneck_from_every_cut_and_in_a_batch_gives_what_transformers_gives(
    kind: str, layers: int, checkpoint: Checkpoint
) -> None:
    model = renewed(checkpoint(kind), bottleneck=8, bottleneck_layers=layers)
    waveforms = [noise(0.5, seed=1), noise(0.23, seed=2), noise(0.3, seed=3)]
    alone = [plain_logits(model, waveform)[0] for waveform in waveforms]
    for part in model.parts():
        logits = logits_from(model, model.encode(waveforms, part.name))
        for row, expected in enumerate(alone):
            got = logits[row, : len(expected)]
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_with_the_cut_at_the_head_the_bottleneck_and_the_output_layer_train(
    checkpoint: Checkpoint,
) -> None:
    model = renewed(checkpoint("wavlm"), bottleneck=8, bottleneck_layers=2)
    waveforms = [noise(0.5, seed=1), noise(0.3, seed=2)]
    labels = [model.labels(text, samples=4800) for text in ("été", "a 2")]
    features = model.encode(waveforms, "head")
    model.network.train()
    losses = {model.loss(features, labels).item() for _ in range(6)}
    model.parts()[-1].train(False)
    assert len(losses | {model.loss(features, labels).item()}) > 1  # the dropout of the head
    model.loss(features, labels).backward()
    reached = {name for name, p in model.network.named_parameters() if p.grad is not None}
    assert {name.split(".")[1] for name in reached} == {"adapter", "weight", "bias"}
    assert len(reached) == 2 + 2 + 2 * 2 + 2
    assert all(p.grad.any() for p in model.network.parameters() if p.grad is not None)


@pytest.mark.parametrize("bottleneck", [0, 8])
def test_layers_of_an_adapter_are_never_dropped_in_training(
    bottleneck: int, tmp_path: Path
) -> None:
    still: dict[str, Any] = dict.fromkeys(
        ("hidden_dropout", "attention_dropout", "activation_dropout", "feat_proj_dropout"), 0.0
    )
    own: dict[str, Any] = {} if bottleneck else {"add_adapter": True, "num_adapter_layers": 2}
    folder = write_ctc_checkpoint(
        tmp_path, "wav2vec2-stable", layerdrop=0.9, final_dropout=0.0, **still, **own
    )
    model = renewed(folder, bottleneck=bottleneck, bottleneck_layers=2 if bottleneck else 0)
    features = model.encode([noise(1.0, seed=1)], "encoder.2")
    labels = [model.labels("cat", samples=16_000)]
    model.network.train()
    assert len({model.loss(features, labels).item() for _ in range(12)}) == 1


@every_bottleneck
@every_depth
def test_a_saved_bottleneck_opens_as_an_ordinary_checkpoint_with_an_adapter(
    kind: str, layers: int, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    model = renewed(checkpoint(kind), bottleneck=8, bottleneck_layers=layers)
    spread(model)
    check_the_same_everywhere(model, tmp_path)
    again: Any = load(str(tmp_path))
    adapter = again.network.base_model.adapter
    assert [adapter in part.owns for part in again.parts()[-2:]] == [True, False]


def test_the_weights_of_a_bottleneck_are_drawn_from_the_seed_and_all_rows_are_fresh(
    checkpoint: Checkpoint,
) -> None:
    folder = checkpoint("wav2vec2-group")
    one, same, other = (
        renewed(folder, bottleneck=8, bottleneck_layers=1, seed=seed).network.state_dict()
        for seed in (1, 1, 2)
    )
    base = load(str(folder)).network.state_dict()
    fresh = {key for key in one if "adapter." in key or key.startswith("lm_head.")}
    for key, weight in one.items():
        assert torch.equal(weight, same[key])
        if key not in fresh:
            assert torch.equal(weight, base[key])
    drawn = [key for key in fresh if key.endswith((".proj.weight", "conv.weight", "head.weight"))]
    assert len(drawn) == 3
    assert not any(torch.equal(one[key], other[key]) for key in drawn)
    assert one["lm_head.weight"].std().item() == pytest.approx(0.02, rel=0.2)


def test_a_headless_base_takes_a_bottleneck_too(checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = renewed(checkpoint("wav2vec2-pretraining"), bottleneck=4, bottleneck_layers=1)
    spread(model)
    check_the_same_everywhere(model, tmp_path)


def test_the_adapter_that_a_base_brought_stays_below_the_new_head(checkpoint: Checkpoint) -> None:
    folder = checkpoint("wav2vec2-adapter")
    base, model = load(str(folder)), renewed(folder)
    counts = parameter_counts(base)
    assert parameter_counts(model) == {**counts, "head": 33 * 17}
    waveform = noise(0.5, seed=1)
    ours = model.encode([waveform], "head").hidden
    assert torch.equal(ours, base.encode([waveform], "head").hidden)


# What is refused


def test_the_types_that_may_have_a_bottleneck_are_those_with_an_adapter() -> None:
    from transformers import AutoConfig

    made = {kind: AutoConfig.for_model(kind) for kind in CTC_TYPES}
    assert tuple(k for k, config in made.items() if hasattr(config, "add_adapter")) == ADAPTER_TYPES


@pytest.mark.parametrize(
    ("kind", "bottleneck", "message"),
    [
        ("english", 0, "is a Whisper.*no new vocabulary; use --strategy head"),
        ("hubert", 8, "of type 'hubert'.*no adapter.*leave the bottleneck out"),
        ("unispeech-sat", 8, "of type 'unispeech-sat'.*take a wav2vec2, wavlm, data2vec-audio"),
        ("wav2vec2-adapter", 8, "has an adapter under its head already"),
        ("wavlm", 16, "fewer channels than the encoder of .*, 16; got 16"),
    ],
)
def test_a_checkpoint_that_cannot_have_the_head_is_refused(
    kind: str, bottleneck: int, message: str, checkpoint: Checkpoint
) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        renewed(checkpoint(kind), bottleneck=bottleneck)
    assert str(checkpoint(kind)) in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
