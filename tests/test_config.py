"""The run's configuration: read strictly, all faults at once; every shipped file loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from speechtl import config as configuration
from speechtl.augment import (
    LIGHT,
    NAMED,
    AdditiveNoise,
    Chain,
    Sometimes,
    SpecAugment,
    SpeedPerturbation,
    TelephoneBand,
)
from speechtl.config import (
    RunConfig,
    accent_file,
    accent_names,
    augmentation,
    merged,
    preset,
    preset_names,
    read_yaml,
    run_config,
    suggestion,
)
from speechtl.corpora import starter
from speechtl.errors import ConfigError
from speechtl.models import STARTERS, Family
from speechtl.strategy import STRATEGIES

CONFIGS = Path(configuration.__file__).parents[1] / "configs"


def told(layers: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        run_config(layers, where="run.yaml")
    return str(caught.value)


# --- the shipped files ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_file_begins_with_its_purpose_its_command_and_what_to_expect(
    path: Path,
) -> None:
    comment = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] == "#"]
    assert any("python scripts/adapt.py --accent" in line for line in comment[1:])
    assert any("Expected" in line for line in comment)
    assert path.parent.name in {"accents", "presets"}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_run_whose_strategy_its_family_has(name: str) -> None:
    config = run_config({**preset(name), "accent": "scottish"}, where=name)
    family: Family = "whisper" if "whisper" in config.model else "ctc"
    assert config.strategy in {"auto", *STRATEGIES[family]}
    assert config.model in STARTERS or "/" in config.model


@pytest.mark.parametrize("name", accent_names())
def test_every_accent_names_its_sources_with_licence_and_address(name: str) -> None:
    found = accent_file(name)
    assert found is not None
    assert found.accent == name
    assert found.sources
    for source in found.sources:
        assert source.name
        assert source.licence
        assert source.url.startswith(("https://", "http://"))


def test_the_starter_speaks_the_accents_that_say_so() -> None:
    files = {name: accent_file(name) for name in accent_names()}
    spoken = {name for name, found in files.items() if found and found.starter}
    assert spoken == set(starter.load().accents) - {"general"}


def test_an_accent_without_a_file_is_not_known() -> None:
    assert accent_file("martian") is None


def test_the_installed_package_reads_its_own_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs" / "presets").mkdir(parents=True)
    (tmp_path / "configs" / "presets" / "mine.yaml").write_text("model: starter-whisper\n")
    monkeypatch.setattr(configuration, "__file__", str(tmp_path / "config.py"))
    configuration._configs.cache_clear()
    try:
        assert preset_names() == ("mine",)
    finally:
        configuration._configs.cache_clear()


# --- YAML -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-2.5e+3", -2500.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("12", 12),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("e5", "e5"),
        ("1e", "1e"),
    ],
)
def test_scalars_are_read_as_people_mean_them(written: str, read: object, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(f"key: {written}\n")
    found = read_yaml(path)["key"]
    assert found == read
    assert type(found) is type(read)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("# nothing yet\n")
    assert read_yaml(path) == {}


def test_the_settings_of_a_runs_own_config_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"run": {"accent": "scottish"}, "facts": {"versions": {}}}))
    assert read_yaml(path) == {"accent": "scottish"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "is not YAML"),
        (b"- a\n- b\n", "must hold 'key: value' lines, got list"),
        (b"a: \xff\n", "cannot read"),
        (b"a: !!python/object:os.system {}\n", "is not YAML"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        read_yaml(path)
    assert "run.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no configuration file .*gone\.yaml"):
        read_yaml(tmp_path / "gone.yaml")


# --- layers ---------------------------------------------------------------------------------------


def test_later_layers_win_and_sections_are_merged_key_by_key() -> None:
    found = merged(
        {"model": "a", "training": {"epochs": 1, "batch_size": 2}},
        {"training": {"epochs": 3}},
        {"model": "b", "general": None},
    )
    assert found == {
        "model": "b",
        "training": {"epochs": 3, "batch_size": 2},
        "general": None,
    }


def test_what_no_layer_sets_keeps_its_default() -> None:
    assert run_config({"accent": "welsh"}, where="x") == RunConfig(accent="welsh")


def test_speech_without_text_and_its_limits_are_read() -> None:
    layers = {"accent": "welsh", "untranscribed": "talks", "rounds": 2, "label_wer": 0.2}
    found = run_config({**layers, "minutes": 2.5, "training": {"epochs": None}}, where="x")
    assert (found.untranscribed, found.rounds, found.label_wer) == (Path("talks"), 2, 0.2)
    assert (found.minutes, found.training.epochs) == (2.5, None)
    plain = RunConfig(accent="welsh")
    assert (plain.untranscribed, plain.rounds, plain.minutes) == (None, 1, None)


def test_a_control_corpus_and_folds_are_read() -> None:
    layers = {"accent": "welsh", "control": "starter", "control_accent": "general", "folds": 5}
    found = run_config(layers, where="x")
    assert (found.control, found.control_accent) == ("starter", "general")
    assert (found.folds, found.fold) == (5, None)
    assert run_config({**layers, "fold": 5}, where="x").fold == 5
    plain = RunConfig(accent="welsh")
    assert (plain.control, plain.control_accent, plain.folds) == (None, None, None)


# --- faults ---------------------------------------------------------------------------------------


def test_an_unknown_key_is_refused_with_the_one_that_was_meant() -> None:
    assert "unknown key 'sead'; did you mean 'seed'?" in told({"accent": "welsh", "sead": 1})


def test_an_unknown_key_of_a_section_is_named_with_its_path() -> None:
    message = told({"accent": "welsh", "training": {"epoch": 1}})
    assert "unknown key 'training.epoch'; did you mean 'training.epochs'?" in message


def test_a_key_of_a_section_that_stands_outside_is_told_where_it_belongs() -> None:
    message = told({"accent": "welsh", "weight_decay": 0.1})
    assert "unknown key 'weight_decay'; write it under 'training:', as training.weight_decay" in (
        message
    )


def test_an_unknown_key_like_no_other_lists_the_known_ones() -> None:
    message = told({"accent": "welsh", "xyzzy": 1, "training": {"xyzzy": 1}})
    assert "known keys: accent, augment," in message
    assert "known keys: accumulation, average, batch_size," in message


def test_a_choice_that_is_none_lists_the_choices_and_the_one_that_was_meant() -> None:
    message = told({"accent": "welsh", "strategy": "toplayers", "device": "tpu"})
    assert "there is no 'toplayers'; did you mean 'top-layers'? give 'auto'" in message
    assert "device: there is no 'tpu'" in message
    assert "'auto', 'cpu', 'cuda' or 'mps'" in message


def test_all_faults_are_told_at_once_even_those_that_hide_behind_others() -> None:
    message = told(
        {
            "epoch": 3,
            "precision": "fp8",
            "augment": "perhaps",
            "training": {"epochs": 0, "warmup": 2, "rate": 1, "batch_size": "many"},
        }
    )
    wanted = (
        "'accent' is missing",
        "unknown key 'epoch'",
        "precision: there is no 'fp8'",
        "augment: give true, false, or a list of steps such as '- gain: {minimum_db: -3}'",
        "unknown key 'training.rate'",
        "training.batch_size: input should be a valid integer",
        "epochs must be above 0, got 0; warmup is a share from 0 to 1, got 2",
    )
    for fault in wanted:
        assert message.count(fault) == 1, fault
    assert message.startswith("run.yaml cannot be used:\n  - ")


def test_ranges_are_told_together_with_other_faults() -> None:
    message = told({"accent": "welsh", "seed": -1, "replay": 1.5, "top_layers": 0, "sead": 1})
    assert "unknown key 'sead'" in message
    assert (
        "top_layers must be at least 1, got 0; replay is a share from 0 to below 1, got 1.5; "
        "seed must not be negative, got -1"
    ) in message


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"accent": " "}, "accent must be named"),
        ({"replay": 1.0}, "replay is a share"),
        ({"replay": float("nan")}, "replay is a share"),
        ({"seed": -1}, "seed must not be negative"),
        ({"top_layers": 0}, "top_layers must be at least 1"),
        ({"rounds": 0}, "rounds must be at least 1, got 0"),
        ({"label_wer": -0.1}, r"label_wer is a fraction from 0 to 1, got -0\.1"),
        ({"label_wer": 30.0}, r"label_wer is a fraction from 0 to 1, got 30\.0"),
        ({"label_wer": float("nan")}, "label_wer is a fraction"),
        ({"rounds": 2, "label_wer": 0.2}, "rounds and label_wer only goes with --untranscribed"),
        ({"minutes": 0.0}, r"minutes must be above 0, got 0\.0"),
        ({"minutes": float("nan")}, "minutes must be above 0"),
        ({"cache_gb": 0.0}, r"cache_gb must be above 0, got 0\.0"),
        ({"control_accent": "general"}, "control_accent only goes with --control"),
        ({"folds": 1}, "folds must be at least 2, got 1"),
        ({"fold": 1}, "fold only goes with --folds"),
        ({"folds": 3, "fold": 4}, "fold must be from 1 to 3, the number of folds, got 4"),
        ({"folds": 3, "fold": 0}, "fold must be from 1 to 3"),
        ({"folds": 3, "untranscribed": Path("x")}, "folds cannot go with --untranscribed: who"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused_in_code_too(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig(**{"accent": "welsh", **wrong})


def test_an_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'whisper-smal'; did you mean 'whisper-small'\?.*tiny"):
        preset("whisper-smal")


def test_a_name_like_no_other_has_no_suggestion() -> None:
    assert suggestion("xyzzy", ["scottish"]) == ""


# --- augmentation ---------------------------------------------------------------------------------


def configured(text: str, *, speech: Sequence[Path] = ()) -> Any:
    """Return the augmentation and the mask of a configuration written in YAML."""
    settings = {"accent": "scottish", **yaml.safe_load(text)}
    return augmentation(run_config(settings, where="the file"), speech=speech)


def test_augmentation_is_light_unless_it_is_switched_off() -> None:
    assert configured("{}") == (LIGHT, SpecAugment())
    assert configured("augment: true") == (LIGHT, SpecAugment())
    assert configured("augment: false") == (None, None)


def test_a_file_lists_the_steps_of_an_augmentation(tmp_path: Path) -> None:
    speech = [tmp_path / f"{number}.wav" for number in range(4)]
    for path in speech:
        path.touch()
    chain, mask = configured(
        """
        augment:
          - speed: {factors: [0.95, 1.05]}
          - noise: {kind: babble, minimum_snr_db: 10, probability: 0.3}
          - spec_augment: {time_masks: 1}
          - telephone:
        """,
        speech=speech,
    )
    assert mask == SpecAugment(time_masks=1)
    assert chain == Chain(
        steps=(
            Sometimes(augmentation=SpeedPerturbation(factors=(0.95, 1.05))),
            Sometimes(
                augmentation=AdditiveNoise(kind="babble", minimum_snr_db=10, sources=tuple(speech)),
                probability=0.3,
            ),
            Sometimes(augmentation=TelephoneBand()),
        )
    )
    assert configured("augment: [spec_augment: ]")[0] is None


@pytest.mark.parametrize("name", [name for name in NAMED if name != "spec_augment"])
def test_every_augmentation_can_be_named_with_its_own_settings_alone(name: str) -> None:
    chain, mask = configured(f"augment: [{name}: {{probability: 0.5}}]")
    assert mask is None
    assert chain.steps == (Sometimes(augmentation=NAMED[name](), probability=0.5),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("augment: [gain]", "augment: give true, false, or a list of steps"),
        ("augment: [echo: ]", r"augment, step 1: name one of speed, .*; got echo"),
        ("augment: [{}]", "got nothing"),
        ("augment: [{gain: , speed: }]", "got gain, speed"),
        (
            "augment: [gain: , speed: {factor: [1]}]",
            r"step 2 \(speed\): unknown key 'factor'; did you mean 'factors'",
        ),
        ("augment: [gain: {probability: 2}]", r"step 1 \(gain\) .*probability: .*less than"),
        ("augment: [gain: {minimum_db: loud}]", r"minimum_db: .*number.*got 'loud'"),
        ("augment: [gain: {minimum_db: 9}]", "db must go from a lower to a higher"),
        ("augment: [noise: {kind: babble}]", "needs at least 4 audio files"),
        ("augment: [noise: {kind: files, sources: [gone.wav]}]", "there is no file gone.wav"),
    ],
)
def test_an_augmentation_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        configured(text)
