"""LoRA in a network: put in, trained, lent between base and adapted, merged, and read by PEFT."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from models.conftest import (
    CTC_KINDS,
    noise,
    with_adapter,
    write_ctc_checkpoint,
    write_whisper_checkpoint,
)
from safetensors.torch import load_file
from torch import Tensor

from speechtl.errors import ConfigError, ModelError, OutputError
from speechtl.lora import LoraSettings, carries, inject, matrices, merge, save_adapter
from speechtl.models import SpeechModel, load
from speechtl.models.base import Family, evaluating
from speechtl.strategy import Lora, cut, freeze_all_but, strategy, trainable_parameters

FAMILIES: tuple[Family, ...] = ("ctc", "whisper")
every_family = pytest.mark.parametrize("family", FAMILIES)
WAVEFORMS = [noise(0.5, seed=1), noise(0.8, seed=2)]
TEXTS = ("THE CAT", "A MAT")

Adapted = Callable[..., SpeechModel]


@pytest.fixture
def fresh(tiny_models: dict[str, Path]) -> Callable[[Family], SpeechModel]:
    return lambda family: load(str(tiny_models[family]))


@pytest.fixture
def adapted(fresh: Callable[[Family], SpeechModel]) -> Adapted:
    """Return a function that gives a model with matrices that were trained for a few steps."""

    def made(family: Family, **settings: Any) -> SpeechModel:
        model = fresh(family)
        train(model, lora(family, **settings))
        return model

    return made


def lora(family: Family, *, seed: int = 0, **settings: Any) -> Lora:
    chosen = strategy("lora", family=family, lora=LoraSettings(**settings), seed=seed)
    assert isinstance(chosen, Lora)
    return chosen


def names(model: SpeechModel) -> list[str]:
    return [part.name for part in model.parts()]


def train(model: SpeechModel, chosen: Lora, *, steps: int = 3) -> None:
    chosen.prepare(model)
    training = freeze_all_but(model, chosen.trainable(names(model), 0))
    parameters = [p for part in training for p in trainable_parameters(part)]
    optimiser = torch.optim.AdamW(parameters, lr=0.05)
    torch.manual_seed(0)  # draws the dropout
    for _ in range(steps):
        loss(model, cut(chosen, model)).backward()
        optimiser.step()
        optimiser.zero_grad()
    model.network.eval()


def loss(model: SpeechModel, lowest: str) -> Tensor:
    features = model.encode(WAVEFORMS, lowest)
    spoken = zip(TEXTS, WAVEFORMS, strict=True)
    labels = [model.labels(text, samples=len(waveform)) for text, waveform in spoken]
    return model.loss(features, labels)


def inputs(model: SpeechModel) -> dict[str, Tensor]:
    """Return what transformers' own forward of the network takes, for the first waveform."""
    untyped: Any = model
    made = untyped.feature_extractor(WAVEFORMS[0], sampling_rate=16_000, return_tensors="pt")
    if model.family == "ctc":
        return {"input_values": made.input_values}
    labels = model.labels(TEXTS[0], samples=len(WAVEFORMS[0]))
    return {
        "input_features": made.input_features,
        "decoder_input_ids": torch.tensor([[model.network.config.decoder_start_token_id, *labels]]),
    }


def logits(model: SpeechModel) -> Tensor:
    with evaluating(model.network):
        return model.network(**inputs(model)).logits  # type: ignore[no-any-return]


def state(model: SpeechModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.network.state_dict().items()}


def carriers(model: SpeechModel) -> list[str]:
    """Return the names of the modules that hold an A."""
    found = [name for name, _ in model.network.named_modules() if name.endswith(".lora_A.default")]
    return [name.removesuffix(".lora_A.default") for name in found]


# --- put in ---------------------------------------------------------------------------------------


@every_family
def test_before_training_the_model_gives_what_its_base_gives(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    model = fresh(family)
    lowest = names(model)[0]
    before, before_loss = logits(model), loss(model, lowest)
    lora(family, dropout=0.5).prepare(model)
    # New modules are in training mode; their dropout would show as soon as B is no longer zero.
    assert not [name for name, module in model.network.named_modules() if module.training]
    assert logits(model).equal(before)
    assert loss(model, lowest).equal(before_loss)


@every_family
def test_the_parts_and_every_cut_are_there_as_before(family: Family, adapted: Adapted) -> None:
    model = adapted(family)
    assert names(model) == names(load(model.name))
    whole = loss(model, names(model)[0])
    for name in names(model):
        torch.testing.assert_close(loss(model, name), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "layers", "expected"),
    [
        ("ctc", None, [f"{k}.attention.{p}_proj" for k in (0, 1, 2) for p in "vq"]),
        ("ctc", 1, ["2.attention.v_proj", "2.attention.q_proj"]),
    ],
)
def test_the_targets_inside_the_named_parts_carry_matrices(
    family: Family,
    layers: int | None,
    expected: list[str],
    fresh: Callable[[Family], SpeechModel],
) -> None:
    model = fresh(family)
    lora(family, layers=layers).prepare(model)
    assert carriers(model) == [f"wav2vec2.encoder.layers.{name}" for name in expected]


# An encoder layer of Whisper has one attention, a decoder layer two; each has a query and a value.
@pytest.mark.parametrize(("layers", "encoder"), [(None, 2 * 2), (1, 1 * 2), (0, 0)])
def test_a_whispers_decoder_layers_carry_them_in_both_attentions(
    layers: int | None, encoder: int, fresh: Callable[[Family], SpeechModel]
) -> None:
    model = fresh("whisper")
    lora("whisper", layers=layers).prepare(model)
    found = carriers(model)
    assert len([name for name in found if name.startswith("model.encoder.")]) == encoder
    assert len([name for name in found if name.startswith("model.decoder.")]) == 2 * 2 * 2
    assert {part.name for part in model.parts() if carries(part)} == {
        *(["encoder.1"] if encoder else []), *(["encoder.0"] if encoder == 4 else []),
        "decoder.0", "decoder.1",
    }  # fmt: skip


def test_of_many_layers_none_but_the_named_ones_carry_matrices(tmp_path: Path) -> None:
    # From 20 modules on PEFT shortens the names that it is given.
    model = load(str(write_ctc_checkpoint(tmp_path, "wav2vec2-group", num_hidden_layers=12)))
    lora("ctc", layers=11).prepare(model)
    assert [part.name for part in model.parts() if carries(part)] == [
        f"encoder.{k}" for k in range(1, 12)
    ]
    assert len(carriers(model)) == 11 * 2


@every_family
def test_matrices_are_as_large_as_the_rank_says(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    model = fresh(family)
    lora(family, rank=3, layers=1).prepare(model)
    part = model.parts()[names(model).index("encoder.2" if family == "ctc" else "encoder.1")]
    # Width 16; A and B of a query and of a value.
    assert [tuple(p.shape) for p in matrices(part)] == [(3, 16), (16, 3)] * 2
    assert list(map(id, trainable_parameters(part))) == list(map(id, matrices(part)))
    assert not carries(model.parts()[-1])


def test_a_target_may_be_the_end_of_a_dotted_name(fresh: Callable[[Family], SpeechModel]) -> None:
    model = fresh("whisper")
    lora("whisper", targets=("encoder_attn.q_proj", "fc1"), layers=0).prepare(model)
    assert [name.removeprefix("model.decoder.layers.") for name in carriers(model)] == [
        "0.encoder_attn.q_proj", "0.fc1", "1.encoder_attn.q_proj", "1.fc1",
    ]  # fmt: skip


def test_a_second_preparation_does_nothing(adapted: Adapted) -> None:
    model = adapted("ctc")
    before = state(model)
    lora("ctc", rank=2, layers=1, seed=5).prepare(model)
    after = state(model)
    assert list(after) == list(before)
    assert all(after[name].equal(value) for name, value in before.items())
    with pytest.raises(ModelError, match="carries LoRA already"):
        inject(model, ["encoder.0"], rank=1, alpha=1, dropout=0.0, targets=["q_proj"])


def test_a_seed_gives_the_same_matrices_and_leaves_torchs_generator_alone(
    fresh: Callable[[Family], SpeechModel],
) -> None:
    drawn = []
    for seed in (3, 3, 4):
        model = fresh("ctc")
        generator = torch.get_rng_state()
        lora("ctc", seed=seed).prepare(model)
        assert torch.get_rng_state().equal(generator)
        drawn.append(torch.cat([p.flatten() for part in model.parts() for p in matrices(part)]))
        torch.rand(1)
    assert drawn[0].equal(drawn[1])
    assert not drawn[0].equal(drawn[2])
    # Each layer has an A of its own.
    first, second = (p for p in matrices(model.parts()[2]) if p.shape[0] == 8)
    assert not first.equal(second)


@pytest.mark.parametrize(
    ("targets", "named"), [(("q_proj", "queries"), "queries"), (("a", "layer_norm"), "a, layer_n")]
)
def test_a_target_that_names_no_linear_layer_is_refused_with_those_there_are(
    targets: tuple[str, ...], named: str, fresh: Callable[[Family], SpeechModel]
) -> None:
    model = fresh("ctc")
    there = "intermediate_dense, k_proj, out_proj, output_dense, q_proj, v_proj$"
    with pytest.raises(ConfigError, match=rf"linear layers of .*, got {named}.*{there}"):
        lora("ctc", targets=targets).prepare(model)
    assert not any(carries(part) for part in model.parts())


def test_a_target_outside_the_named_parts_is_refused(
    fresh: Callable[[Family], SpeechModel],
) -> None:
    with pytest.raises(ConfigError, match="got lm_head"):
        lora("ctc", targets=("lm_head",)).prepare(fresh("ctc"))


def test_a_part_that_the_model_lacks_is_refused(fresh: Callable[[Family], SpeechModel]) -> None:
    with pytest.raises(ModelError, match="no part 'decoder'"):
        inject(fresh("ctc"), ["decoder"], rank=1, alpha=1, dropout=0.0, targets=["q_proj"])


# --- every architecture ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*CTC_KINDS, "whisper"])
def test_all_matrices_of_every_architecture_have_a_gradient(kind: str, tmp_path: Path) -> None:
    path = (
        write_whisper_checkpoint(tmp_path, "english")
        if kind == "whisper"
        else write_ctc_checkpoint(tmp_path, kind)
    )
    model = load(str(path))
    # WavLM's attention never calls its layers: see the next test.
    targets = ("intermediate_dense", "output_dense") if "wavlm" in kind else ("q_proj", "v_proj")
    chosen = lora(model.family, targets=targets)
    chosen.prepare(model)
    freeze_all_but(model, chosen.trainable(names(model), 0))
    model.network.eval()
    loss(model, cut(chosen, model)).backward()
    outer = {
        name: parameter.grad
        for name, parameter in model.network.named_parameters()
        if "lora_B" in name
    }
    assert len(outer) == len(carriers(model)) > 0
    # As B is zero, A has none at the first step.
    still = [name for name, grad in outer.items() if grad is None or not grad.abs().max() > 0]
    assert still == []


@pytest.mark.parametrize("kind", ["wavlm", "wavlm-stable"])
@pytest.mark.parametrize("target", ["q_proj", "k_proj", "v_proj", "attention.out_proj"])
def test_the_layers_that_wavlms_attention_never_calls_are_refused(
    kind: str, target: str, tmp_path: Path
) -> None:
    model = load(str(write_ctc_checkpoint(tmp_path, kind)))
    with pytest.raises(ConfigError, match=rf"takes the weights of {target} past .*Choose among: "):
        lora("ctc", targets=("intermediate_dense", target)).prepare(model)
    with pytest.raises(ConfigError, match=r"among: gru_rel_pos_linear, intermed\w+, output_dense$"):
        lora("ctc").prepare(model)


def test_wavlms_weights_are_indeed_read_past_its_layers(tmp_path: Path) -> None:
    """When this fails transformers calls the layers, and LoRA can be put there."""
    model = load(str(write_ctc_checkpoint(tmp_path, "wavlm")))
    called: list[str] = []
    for name, module in model.network.named_modules():
        if name.endswith(("q_proj", "k_proj", "v_proj", "out_proj")):
            module.register_forward_hook(lambda *_, name=name: called.append(name))
    logits(model)
    assert called == []


# --- trained --------------------------------------------------------------------------------------


@every_family
def test_training_leaves_the_base_weights_bit_identical_and_changes_the_logits(
    family: Family, fresh: Callable[[Family], SpeechModel]
) -> None:
    model = fresh(family)
    chosen = lora(family)
    chosen.prepare(model)
    before, before_logits = state(model), logits(model)
    train(model, chosen)
    after = state(model)
    changed = {name for name, value in after.items() if not value.equal(before[name])}
    assert changed == {name for name in after if "lora_" in name}
    assert (logits(model) - before_logits).abs().max() > 1e-3


# --- merged ---------------------------------------------------------------------------------------


@every_family
def test_merging_changes_the_targets_of_the_named_parts_alone_and_no_logit(
    family: Family, fresh: Callable[[Family], SpeechModel], adapted: Adapted
) -> None:
    before = state(fresh(family))
    model = adapted(family, layers=1)
    changing = {f"{name}.weight" for name in carriers(model)}
    wanted = logits(model)
    merge(model)
    after = state(model)
    assert list(after) == list(before)
    assert {name for name in after if not after[name].equal(before[name])} == changing
    assert all(name.endswith(("q_proj.weight", "v_proj.weight")) for name in changing)
    torch.testing.assert_close(logits(model), wanted, rtol=0, atol=1e-5)
    assert not any(carries(part) for part in model.parts())


@every_family
def test_a_merged_model_is_saved_as_a_plain_checkpoint(
    family: Family, adapted: Adapted, tmp_path: Path
) -> None:
    model = adapted(family)
    merge(model)
    model.save(tmp_path)
    assert "lora" not in str(sorted(load_file(tmp_path / "model.safetensors")))
    again = load(str(tmp_path))
    assert logits(again).equal(logits(model))
    everything = again.encode(WAVEFORMS[:1], names(again)[0])
    assert again.decode(everything) == model.decode(everything)


def test_after_merging_the_model_can_be_prepared_again(adapted: Adapted) -> None:
    model = adapted("ctc")
    merge(model)
    wanted = logits(model)
    lora("ctc", targets=("output_dense",)).prepare(model)
    assert logits(model).equal(wanted)
    assert len(carriers(model)) == 3


def test_merging_a_model_without_lora_does_nothing(
    fresh: Callable[[Family], SpeechModel],
) -> None:
    model = fresh("ctc")
    before = state(model)
    merge(model)
    assert all(value.equal(before[name]) for name, value in state(model).items())


# --- between base and adapted ---------------------------------------------------------------------


# --- saved for PEFT -------------------------------------------------------------------------------


def opened(model: SpeechModel, adapter: Path) -> Tensor:
    """Return the logits of the adapter as PEFT opens it beside the untouched base."""
    from transformers import AutoModelForCTC, AutoModelForSpeechSeq2Seq

    auto: Any = AutoModelForCTC if model.family == "ctc" else AutoModelForSpeechSeq2Seq
    network = with_adapter(auto.from_pretrained(model.name), adapter)
    with torch.no_grad():
        return network.eval()(**inputs(model)).logits  # type: ignore[no-any-return]


@every_family
@pytest.mark.parametrize("layers", [None, 1])
def test_peft_opens_the_adapter_and_gives_the_models_logits(
    family: Family, layers: int | None, adapted: Adapted, tmp_path: Path
) -> None:
    model = adapted(family, rank=4, alpha=6, dropout=0.1, layers=layers)
    save_adapter(model, tmp_path, base=model.name)
    assert {path.name for path in tmp_path.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    torch.testing.assert_close(opened(model, tmp_path), logits(model), rtol=0, atol=1e-5)


def test_peft_opens_an_adapter_of_many_layers(tmp_path: Path) -> None:
    path = write_ctc_checkpoint(tmp_path / "base", "wav2vec2-group", num_hidden_layers=12)
    model = load(str(path))
    train(model, lora("ctc", layers=11))
    save_adapter(model, tmp_path / "adapter", base=model.name)
    wanted = logits(model)
    torch.testing.assert_close(opened(model, tmp_path / "adapter"), wanted, rtol=0, atol=1e-5)


def test_an_adapter_says_what_it_belongs_to_and_is_the_same_each_time(
    adapted: Adapted, tmp_path: Path
) -> None:
    model = adapted("ctc", layers=1)
    save_adapter(model, tmp_path, base="facebook/wav2vec2-base-960h", revision="22aad52")
    text = (tmp_path / "adapter_config.json").read_text()
    held = json.loads(text)
    assert held["base_model_name_or_path"] == "facebook/wav2vec2-base-960h"
    assert held["revision"] == "22aad52"
    assert (held["peft_type"], held["r"], held["lora_alpha"]) == ("LORA", 8, 16)
    assert held["inference_mode"] is True
    assert held["auto_mapping"]["base_model_class"] == "Wav2Vec2ForCTC"
    layer = "wav2vec2.encoder.layers.2.attention"
    assert held["target_modules"] == [f"{layer}.q_proj", f"{layer}.v_proj"]
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        f"base_model.model.{layer}.{projection}.{matrix}.weight": shape
        for projection in ("q_proj", "v_proj")
        for matrix, shape in (("lora_A", (8, 16)), ("lora_B", (16, 8)))
    }
    files = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    save_adapter(model, tmp_path, base="facebook/wav2vec2-base-960h", revision="22aad52")
    assert [path.read_bytes() for path in sorted(tmp_path.iterdir())] == files


def test_a_model_without_lora_has_no_adapter_to_save(adapted: Adapted, tmp_path: Path) -> None:
    model = adapted("ctc")
    merge(model)
    with pytest.raises(ModelError, match="carries no LoRA to save"):
        save_adapter(model, tmp_path, base=model.name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused(adapted: Adapted, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        save_adapter(adapted("ctc"), tmp_path / "file" / "adapter", base="base")
