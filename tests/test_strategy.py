"""Strategies: pure rules over part names, the cut that follows, and what is frozen below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models.conftest import write_ctc_checkpoint, write_whisper_checkpoint

from speechtl.errors import ConfigError
from speechtl.models import SpeechModel, load
from speechtl.models.base import Family
from speechtl.strategy import STRATEGIES, StrategyName, TopLayers, cut, freeze_all_but, strategy

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
        ("ctc", "top-layers", {"encoder.1", "encoder.2", "head"}, "encoder.1"),
        ("ctc", "encoder", set(CTC) - {"feature_encoder"}, "feature_projection"),
        ("whisper", "head", {"head"}, "decoder.0"),
        ("whisper", "decoder", {"decoder.0", "decoder.1", "head"}, "decoder.0"),
        ("whisper", "top-layers", set(WHISPER) - {"frontend"}, "encoder.0"),
        ("whisper", "encoder", set(WHISPER) - {"frontend"}, "encoder.0"),
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


@every_strategy
@given(step=st.integers(min_value=0, max_value=10**6))
def test_the_feature_encoder_never_trains_and_the_head_always_does(
    family: Family, name: StrategyName, step: int
) -> None:
    parts = PARTS[family]
    trained = strategy(name, family=family).trainable(parts, step)
    assert parts[0] not in trained
    assert parts[-1] in trained
    assert trained <= set(parts)


@every_strategy
def test_every_part_from_the_lowest_that_trains_upwards_trains_too(
    family: Family, name: StrategyName
) -> None:
    parts = PARTS[family]
    trained = strategy(name, family=family).trainable(parts, 0)
    lowest = min(parts.index(part) for part in trained)
    assert trained == set(parts[lowest:])


@pytest.mark.parametrize("layers", [0, -1])
def test_top_layers_of_no_layer_are_refused(layers: int) -> None:
    with pytest.raises(ConfigError, match=f"top_layers must be at least 1, got {layers}"):
        strategy("top-layers", family="ctc", top_layers=layers)


def test_more_top_layers_than_the_encoder_has_are_refused_with_their_number() -> None:
    with pytest.raises(ConfigError, match=r"at most 3.*got 4.*--strategy encoder"):
        TopLayers(4).trainable(CTC, 0)


@pytest.mark.parametrize(
    ("family", "name"), [("ctc", "decoder"), ("ctc", "lora"), ("whisper", "heads")]
)
def test_a_strategy_that_a_family_lacks_is_refused_with_those_it_has(
    family: Family, name: str
) -> None:
    with pytest.raises(ConfigError, match=f"no strategy '{name}'.*{', '.join(STRATEGIES[family])}"):
        strategy(cast("Any", name), family=family)


def test_the_cut_lies_below_all_that_trains_in_any_step(models: dict[Family, SpeechModel]) -> None:
    class Downwards:
        """Unfreezes a part more with each step."""

        def trainable(self, parts: Sequence[str], step: int) -> frozenset[str]:
            return frozenset(parts[-1 - step :])

    assert cut(Downwards(), models["ctc"], steps=1) == "head"
    assert cut(Downwards(), models["ctc"], steps=3) == "encoder.1"
    assert cut(Downwards(), models["whisper"], steps=5) == "encoder.0"


@every_strategy
def test_only_what_trains_has_gradients_and_dropout(
    family: Family, name: StrategyName, models: dict[Family, SpeechModel]
) -> None:
    model = models[family]
    trained = strategy(name, family=family).trainable(PARTS[family], 0)
    training = freeze_all_but(model, trained)
    assert {part.name for part in training} == trained
    for part in model.parts():
        wanted = part.name in trained
        assert {p.requires_grad for p in part.parameters()} == {wanted}
        modules = [owned for owned in part.owns if hasattr(owned, "training")]
        assert {module.training for module in modules} == {wanted}


def test_freezing_a_second_time_replaces_the_first(models: dict[Family, SpeechModel]) -> None:
    model = models["ctc"]
    freeze_all_but(model, frozenset(CTC[1:]))
    freeze_all_but(model, frozenset({"head"}))
    trains = [part.name for part in model.parts() if part.parameters()[0].requires_grad]
    assert trains == ["head"]
