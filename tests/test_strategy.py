"""Strategies: pure rules over part names, the cut that follows, and what is frozen below it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from models.conftest import write_ctc_checkpoint, write_whisper_checkpoint

from speechtl.errors import ConfigError
from speechtl.lora import LoraSettings, matrices
from speechtl.models import STARTERS, SpeechModel, load
from speechtl.models.base import Family
from speechtl.strategy import (
    STRATEGIES,
    Gradual,
    Lora,
    Strategy,
    StrategyName,
    TopLayers,
    cut,
    ever,
    freeze_all_but,
    strategy,
    trainable_parameters,
)

CTC = ("feature_encoder", "feature_projection", "encoder.0", "encoder.1", "encoder.2", "head")
WHISPER = ("frontend", "encoder.0", "encoder.1", "decoder.0", "decoder.1", "head")
PARTS: dict[Family, Sequence[str]] = {"ctc": CTC, "whisper": WHISPER}

CASES = [(family, name) for family, names in STRATEGIES.items() for name in names]
every_strategy = pytest.mark.parametrize(("family", "name"), CASES)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[Family, SpeechModel]:
    root = tmp_path_factory.mktemp("checkpoints")
    return {
        "ctc": load(str(write_ctc_checkpoint(root / "ctc", "wav2vec2-group"))),
        "whisper": load(str(write_whisper_checkpoint(root / "whisper", "english"))),
    }


@pytest.mark.parametrize(
    ("family", "name", "trains", "lowest"),
    [
        ("ctc", "head", {"head"}, "head"),
        ("ctc", "new-head", {"head"}, "head"),
        ("ctc", "lora", {"encoder.0", "encoder.1", "encoder.2"}, "encoder.0"),
        ("ctc", "top-layers", {"encoder.1", "encoder.2", "head"}, "encoder.1"),
        ("ctc", "gradual", {"head"}, "head"),
        ("ctc", "encoder", set(CTC) - {"feature_encoder"}, "feature_projection"),
        ("ctc", "from-scratch", set(CTC), "feature_encoder"),
        ("whisper", "lora", set(WHISPER) - {"frontend", "head"}, "encoder.0"),
        ("whisper", "head", {"head"}, "decoder.0"),
        ("whisper", "decoder", {"decoder.0", "decoder.1", "head"}, "decoder.0"),
        ("whisper", "top-layers", set(WHISPER) - {"frontend"}, "encoder.0"),
        ("whisper", "gradual", {"head"}, "decoder.0"),
        ("whisper", "encoder", set(WHISPER) - {"frontend"}, "encoder.0"),
        ("whisper", "from-scratch", set(WHISPER), "frontend"),
    ],
)
def test_a_strategy_trains_what_it_is_named_after_and_is_cut_below_that(
    family: Family,
    name: StrategyName,
    trains: set[str],
    lowest: str,
    models: dict[Family, SpeechModel],
) -> None:
    chosen = strategy(name, family=family, top_layers=2)
    model = models[family]
    assert [part.name for part in model.parts()] == list(PARTS[family])
    assert chosen.trainable(PARTS[family], 0) == trains
    assert cut(chosen, model) == lowest


def test_top_layers_trains_as_many_encoder_layers_as_it_is_told() -> None:
    assert TopLayers(1).trainable(CTC, 0) == {"encoder.2", "head"}
    assert TopLayers(3).trainable(CTC, 0) == {"encoder.0", "encoder.1", "encoder.2", "head"}
    assert TopLayers(1).trainable(WHISPER, 0) == {"encoder.1", "decoder.0", "decoder.1", "head"}


@pytest.mark.parametrize("parts", [CTC, WHISPER])
def test_gradual_goes_one_part_down_after_every_so_many_steps_and_stops_above_the_first(
    parts: Sequence[str],
) -> None:
    chosen = Gradual(10)
    trained = [chosen.trainable(parts, step) for step in (0, 9, 10, 19, 20, 30, 39, 40, 50, 1000)]
    heights = [1, 1, 2, 2, 3, 4, 4, 5, 5, 5]
    assert trained == [set(parts[-height:]) for height in heights]


def test_gradual_unfreezes_a_whispers_decoder_before_its_encoder() -> None:
    chosen = Gradual(1)
    steps = [chosen.trainable(WHISPER, step) for step in range(6)]
    added = [sorted(now - before) for before, now in pairwise(steps)]
    assert added == [["decoder.1"], ["decoder.0"], ["encoder.1"], ["encoder.0"], []]


def test_gradual_unfreezes_no_more_parts_than_it_is_told() -> None:
    chosen = Gradual(1, layers=2)
    assert chosen.trainable(CTC, 1) == {"encoder.2", "head"}
    assert chosen.trainable(CTC, 2) == {"encoder.1", "encoder.2", "head"}
    assert chosen.trainable(CTC, 10**6) == {"encoder.1", "encoder.2", "head"}


@pytest.mark.parametrize(
    ("every", "layers", "message"),
    [
        (0, None, "unfreeze_every must be at least 1 step, got 0"),
        (5, 0, "unfreeze_layers must be at least 1, got 0.*--strategy head"),
        (-1, -1, "unfreeze_every.*got -1; unfreeze_layers.*got -1"),
    ],
)
def test_gradual_of_no_steps_or_no_parts_is_refused(
    every: int, layers: int | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        strategy("gradual", family="ctc", unfreeze_every=every, unfreeze_layers=layers)


def test_gradual_over_more_parts_than_there_are_is_refused_with_their_number() -> None:
    assert Gradual(1, layers=4).trainable(CTC, 4) == set(CTC[1:])
    with pytest.raises(ConfigError, match=r"unfreeze_layers must be at most 4.*got 5"):
        Gradual(1, layers=5).trainable(CTC, 0)


def test_the_cut_of_gradual_lies_below_what_the_last_step_trains(
    models: dict[Family, SpeechModel],
) -> None:
    chosen = Gradual(10)
    for steps, lowest in ((1, "head"), (10, "head"), (11, "encoder.2"), (21, "encoder.1")):
        assert cut(chosen, models["ctc"], steps=steps) == lowest
    assert cut(chosen, models["ctc"], steps=10_000) == "feature_projection"
    for steps, lowest in ((30, "decoder.0"), (31, "encoder.1"), (10_000, "encoder.0")):
        assert cut(chosen, models["whisper"], steps=steps) == lowest


def test_lora_takes_the_top_encoder_layers_and_all_of_a_whispers_decoder() -> None:
    assert Lora(layers=1).trainable(CTC, 0) == {"encoder.2"}
    assert Lora(layers=3).trainable(CTC, 0) == {"encoder.0", "encoder.1", "encoder.2"}
    assert Lora(layers=1).trainable(WHISPER, 0) == {"encoder.1", "decoder.0", "decoder.1"}
    assert Lora(layers=0).trainable(WHISPER, 0) == {"decoder.0", "decoder.1"}


def test_lora_is_cut_below_its_lowest_layer(models: dict[Family, SpeechModel]) -> None:
    assert cut(Lora(layers=1), models["ctc"]) == "encoder.2"
    assert cut(Lora(layers=1), models["whisper"]) == "encoder.1"
    assert cut(Lora(layers=0), models["whisper"]) == "decoder.0"


@pytest.mark.parametrize(
    ("parts", "layers", "least", "most"), [(CTC, 4, 1, 3), (CTC, 0, 1, 3), (WHISPER, 3, 0, 2)]
)
def test_lora_in_layers_that_the_model_lacks_is_refused_with_their_number(
    parts: Sequence[str], layers: int, least: int, most: int
) -> None:
    with pytest.raises(ConfigError, match=f"from {least} to {most}, .*got {layers}"):
        Lora(layers=layers).trainable(parts, 0)


def test_all_faults_of_loras_settings_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        LoraSettings(rank=0, alpha=-1, dropout=1.0, targets=(), layers=-2)
    for fault in (
        "rank of LoRA must be at least 1, got 0",
        "alpha of LoRA must be at least 1, got -1",
        "dropout of LoRA is a share from 0 to below 1, got 1.0",
        "targets of LoRA must name linear layers",
        "layers of LoRA must not be negative, got -2",
    ):
        assert fault in str(caught.value)


def test_lora_is_made_from_its_settings_and_the_seed() -> None:
    settings = LoraSettings(rank=4, alpha=4, dropout=0.1, targets=("fc1",), layers=1)
    assert strategy("lora", family="whisper", lora=settings, seed=7) == Lora(
        rank=4, alpha=4, dropout=0.1, targets=("fc1",), layers=1, seed=7
    )
    assert strategy("lora", family="ctc") == Lora(rank=8, alpha=16, targets=("q_proj", "v_proj"))


@every_strategy
@given(step=st.integers(min_value=0, max_value=10**6))
def test_the_feature_encoder_trains_from_scratch_alone_and_the_head_always_but_for_lora(
    family: Family, name: StrategyName, step: int
) -> None:
    parts = PARTS[family]
    trained = strategy(name, family=family).trainable(parts, step)
    assert (parts[0] in trained) == (name == "from-scratch")
    assert (parts[-1] in trained) == (name != "lora")
    assert trained <= set(parts)


@every_strategy
@given(step=st.integers(min_value=0, max_value=10**3), later=st.integers(0, 10**3))
def test_what_trains_once_goes_on_training(
    family: Family, name: StrategyName, step: int, later: int
) -> None:
    chosen = strategy(name, family=family)
    assert chosen.trainable(PARTS[family], step) <= chosen.trainable(PARTS[family], step + later)


@every_strategy
@given(step=st.integers(min_value=0, max_value=10**3))
def test_every_part_from_the_lowest_that_trains_upwards_trains_too(
    family: Family, name: StrategyName, step: int
) -> None:
    parts = PARTS[family]
    trained = strategy(name, family=family).trainable(parts, step)
    lowest = min(parts.index(part) for part in trained)
    # LoRA leaves the head as it is.
    assert trained | {"head"} == set(parts[lowest:])


@pytest.mark.parametrize("family", STRATEGIES)
def test_the_strategies_stand_in_the_order_of_their_parameters(family: Family) -> None:
    starter = next(name for name in STARTERS if ("whisper" in name) == (family == "whisper"))
    sizes = []
    for name in STRATEGIES[family]:
        model = load(starter)
        chosen = strategy(name, family=family)
        chosen.prepare(model)
        names = ever(chosen, [part.name for part in model.parts()], steps=1000)
        parts = [part for part in model.parts() if part.name in names]
        sizes.append(sum(p.numel() for part in parts for p in trainable_parameters(part)))
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


@pytest.mark.parametrize("layers", [0, -1])
def test_top_layers_of_no_layer_are_refused(layers: int) -> None:
    with pytest.raises(ConfigError, match=f"top_layers must be at least 1, got {layers}"):
        strategy("top-layers", family="ctc", top_layers=layers)


def test_more_top_layers_than_the_encoder_has_are_refused_with_their_number() -> None:
    with pytest.raises(ConfigError, match=r"at most 3.*got 4.*--strategy encoder"):
        TopLayers(4).trainable(CTC, 0)


@pytest.mark.parametrize(
    ("family", "name"), [("ctc", "decoder"), ("whisper", "new-head"), ("whisper", "heads")]
)
def test_a_strategy_that_a_family_lacks_is_refused_with_those_it_has(
    family: Family, name: str
) -> None:
    with pytest.raises(ConfigError, match=f"no strategy '{name}'.*{', '.join(STRATEGIES[family])}"):
        strategy(cast("Any", name), family=family)


class There(Strategy):
    """Trains a part alone, another at each step, from the head downwards and up again."""

    def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:
        return frozenset({parts[-1 - min(step, 4 - step)]})


def test_the_cut_lies_below_all_that_trains_in_any_step(models: dict[Family, SpeechModel]) -> None:
    assert cut(There(), models["ctc"], steps=1) == "head"
    assert cut(There(), models["ctc"], steps=3) == "encoder.1"
    assert cut(There(), models["ctc"], steps=5) == "encoder.1"
    assert cut(There(), models["whisper"], steps=5) == "decoder.0"


def test_what_ever_trains_is_all_that_trains_in_any_step() -> None:
    assert ever(There(), CTC, steps=5) == {"head", "encoder.2", "encoder.1"}
    assert ever(Gradual(2), CTC, steps=2) == {"head"}
    assert ever(Gradual(2), CTC, steps=3) == {"head", "encoder.2"}


@pytest.mark.parametrize(("family", "name"), [case for case in CASES if case[1] != "lora"])
def test_only_lora_changes_the_network(
    family: Family, name: StrategyName, models: dict[Family, SpeechModel]
) -> None:
    network = models[family].network
    before = {key: value.clone() for key, value in network.state_dict().items()}
    strategy(name, family=family).prepare(models[family])
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(after[key].equal(value) for key, value in before.items())


def sines(model: SpeechModel) -> list[torch.nn.Parameter]:
    """Return a Whisper's table of its encoder's positions, which transformers freezes."""
    body: Any = model.network.base_model
    return [body.encoder.embed_positions.weight] if model.family == "whisper" else []


@every_strategy
def test_only_what_trains_has_gradients_and_dropout(
    family: Family, name: StrategyName, models: dict[Family, SpeechModel]
) -> None:
    model = models[family]
    trained = strategy(name, family=family).trainable(PARTS[family], 0)
    training = freeze_all_but(model, trained)
    assert {part.name for part in training} == trained
    fixed = {id(weight) for weight in sines(model)}
    for part in model.parts():
        wanted = part.name in trained
        all_but = [each for each in part.parameters() if id(each) not in fixed]
        assert list(map(id, trainable_parameters(part))) == list(map(id, all_but))
        assert {p.requires_grad for p in all_but} == {wanted}
        modules = [owned for owned in part.owns if hasattr(owned, "training")]
        assert {module.training for module in modules} == {wanted}


def test_a_whispers_encoder_positions_never_train(models: dict[Family, SpeechModel]) -> None:
    model = models["whisper"]
    freeze_all_but(model, strategy("from-scratch", family="whisper").trainable(WHISPER, 0))
    frozen = [name for name, p in model.network.named_parameters() if not p.requires_grad]
    assert frozen == ["model.encoder.embed_positions.weight"]


@pytest.mark.parametrize("family", STRATEGIES)
def test_of_a_part_that_carries_lora_the_matrices_alone_train(
    family: Family, tiny_models: dict[str, Any]
) -> None:
    model = load(str(tiny_models[family]))
    chosen = strategy("lora", family=family, lora=LoraSettings(layers=1))
    chosen.prepare(model)
    trained = chosen.trainable(PARTS[family], 0)
    assert {part.name for part in freeze_all_but(model, trained)} == trained
    for part in model.parts():
        training = [id(p) for p in part.parameters() if p.requires_grad]
        assert training == [id(p) for p in matrices(part)]
        assert bool(training) == (part.name in trained)
        assert len(training) < len(part.parameters())


def test_freezing_a_second_time_replaces_the_first(models: dict[Family, SpeechModel]) -> None:
    model = models["ctc"]
    freeze_all_but(model, frozenset(CTC[1:]))
    freeze_all_but(model, frozenset({"head"}))
    trains = [part.name for part in model.parts() if part.parameters()[0].requires_grad]
    assert trains == ["head"]
