"""Ensembles: mean probabilities, configuration, checkpoints."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from emotion_hub.checkpoints import CONFIG_FILE
from emotion_hub.errors import CheckpointError, ConfigError, UnknownModelError
from emotion_hub.labels import FER2013, SIX_CLASS
from emotion_hub.models import create_model, list_models
from emotion_hub.models.classifier import ClassifierConfig, EmotionClassifier
from emotion_hub.models.ensemble import Ensemble
from emotion_hub.preprocess import NATIVE48, PREPROCESSING
from tests.tolerances import assert_same_logits, assert_same_probs, assert_same_weights

MEMBERS = {
    "ensemble_native48": [
        {"model": "emotion_cnn"},
        {"model": "enhanced_cnn48", "options": {"dropout": 0.25}},
        {"model": "emotion_cnn"},
    ],
    "ensemble_rgb48": [{"model": "vgg16_48"}, {"model": "vgg16_48", "options": {"dropout": 0.0}}],
    "ensemble_upscale224": [
        {"model": "squeezenet1_1_224"},
        {"model": "timm_224", "options": {"backbone": "test_resnet", "hidden": 32}},
    ],
}
TWO = [{"model": "emotion_cnn"}, {"model": "emotion_cnn"}]


class _Says(nn.Module):
    """A network with the same logits for every image."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(pixel_values), -1)


def _build(name: str, num_classes: int = 7) -> nn.Module:
    torch.manual_seed(0)
    model = create_model(name, num_classes, members=MEMBERS[name])
    for key, buffer in model.named_buffers():  # statistics other than the initial ones
        if key.endswith("running_mean"):
            buffer.normal_(0, 0.2)
        elif key.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    return model.eval()


def _pixels(name: str) -> torch.Tensor:
    config = PREPROCESSING[name.removeprefix("ensemble_")]
    side = min(config.size, 64)
    return torch.randn(3, config.channels, side, side, generator=torch.Generator().manual_seed(1))


# outputs


@pytest.mark.parametrize("num_classes", [7, 6])
@pytest.mark.parametrize("name", MEMBERS)
def test_the_softmax_of_the_output_is_the_mean_of_the_members_probabilities(name, num_classes):
    model, pixels = _build(name, num_classes), _pixels(name)
    with torch.inference_mode():
        logits = model(pixels)
        probs = [member(pixels).softmax(dim=1) for member in model.members]
    assert logits.shape == (3, num_classes)
    assert logits.dtype == torch.float32
    assert len(probs) == len(MEMBERS[name])
    torch.testing.assert_close(logits.softmax(dim=1), sum(probs) / len(probs), atol=1e-6, rtol=1e-5)
    assert all((p - probs[0]).abs().max() > 1e-4 for p in probs[1:]), (
        "the members agree: any of them would pass for the mean"
    )


def test_probabilities_are_averaged_and_not_logits():
    """Class 0 has a mean probability of .507; the softmax of the mean logits would be .661.

    One member predicts class 0 with high confidence, two predict class 1 with low confidence.
    """
    members = [_Says(4.0, 0.0), _Says(0.0, 1.0), _Says(0.0, 1.0)]
    probs = Ensemble(members)(torch.zeros(1, 1)).softmax(dim=1)[0]
    sure, lean = torch.tensor(4.0).sigmoid(), torch.tensor(-1.0).sigmoid()
    assert probs[0].item() == pytest.approx(((sure + 2 * lean) / 3).item(), rel=1e-6)
    assert probs[0].item() != pytest.approx(torch.tensor(2 / 3).sigmoid().item(), rel=1e-2)


def test_members_with_a_probability_of_zero_give_finite_logits():
    logits = Ensemble([_Says(1000.0, 0.0), _Says(1000.0, -1000.0)])(torch.zeros(2, 1))
    assert torch.isfinite(logits).all()
    torch.testing.assert_close(logits.softmax(dim=1), torch.tensor([[1.0, 0.0]] * 2))
    logits.sum().backward()


def test_members_in_half_precision_give_float32_logits():
    model = Ensemble([_Says(1.0, 2.0), _Says(2.0, 1.0)]).half()
    assert model(torch.zeros(1, 1)).dtype == torch.float32


def test_every_member_gets_gradients():
    model = create_model("ensemble_native48", members=TWO)
    nn.functional.cross_entropy(model(_pixels("ensemble_native48")), torch.tensor([0, 1, 2])).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters() if p.ndim > 1)


def test_members_do_not_share_weights():
    model = create_model("ensemble_native48", members=TWO)
    first, second = (list(member.parameters()) for member in model.members)
    assert not {id(p) for p in first} & {id(p) for p in second}
    assert not torch.equal(first[0], second[0])


def test_members_get_their_options_and_the_number_of_classes():
    model = create_model("ensemble_native48", 6, members=MEMBERS["ensemble_native48"])
    assert [type(member).__name__ for member in model.members] == ["EmotionCNN", "EnhancedCNN48", "EmotionCNN"]
    assert [next(m.p for m in member.modules() if type(m) is nn.Dropout) for member in model.members] == [
        0.5,
        0.25,
        0.5,
    ]


def test_an_ensemble_can_be_a_member():
    inner = {"model": "ensemble_native48", "options": {"members": TWO}}
    model = create_model("ensemble_native48", members=[inner, {"model": "emotion_cnn"}]).eval()
    pixels = _pixels("ensemble_native48")
    with torch.inference_mode():
        pair, single = (member(pixels).softmax(dim=1) for member in model.members)
        torch.testing.assert_close(model(pixels).softmax(dim=1), (pair + single) / 2, atol=1e-6, rtol=1e-5)


# checkpoints


@pytest.mark.parametrize("name", MEMBERS)
def test_an_ensemble_is_saved_and_loaded_as_one_classifier(name, tmp_path):
    torch.manual_seed(0)
    model = EmotionClassifier(ClassifierConfig(name, SIX_CLASS.labels, options={"members": MEMBERS[name]})).eval()
    model.save_pretrained(tmp_path)
    loaded = EmotionClassifier.from_pretrained(tmp_path)
    assert loaded.config == model.config
    assert loaded.preprocessor.config == PREPROCESSING[name.removeprefix("ensemble_")]
    assert_same_weights(loaded, model)
    with torch.inference_mode():
        pixels = _pixels(name)
        assert_same_logits(loaded(pixels), model(pixels))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_the_weights_of_other_members_are_refused(tmp_path):
    EmotionClassifier(ClassifierConfig("ensemble_native48", options={"members": TWO})).save_pretrained(tmp_path)
    values = json.loads((tmp_path / CONFIG_FILE).read_text())
    for members, pattern in (
        (TWO * 2, "lacks 'members.2"),
        ([*TWO[:1], {"model": "enhanced_cnn48"}], "another network"),
    ):
        (tmp_path / CONFIG_FILE).write_text(json.dumps(values | {"options": {"members": members}}))
        with pytest.raises(CheckpointError, match=pattern):
            EmotionClassifier.from_pretrained(tmp_path)


# invalid ensembles


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_of_another_preprocessing_is_named(name):
    own = name.removeprefix("ensemble_")
    for other in sorted(set(list_models()) - set(list_models(own))):
        with pytest.raises(ConfigError, match=rf"^{other} works on .*members of {name} all work on {own}$"):
            create_model(name, members=[{"model": other}, {"model": other}])


@pytest.mark.parametrize("members", [(), [], TWO[:1], None, "emotion_cnn", {"model": "emotion_cnn"}, 2], ids=repr)
def test_fewer_than_two_members_are_refused(members):
    with pytest.raises(ConfigError, match=r"members=.*at least two") as caught:
        create_model("ensemble_native48", members=members)
    assert repr(members) in str(caught.value)


def test_an_ensemble_without_members_is_refused():
    with pytest.raises(ConfigError, match="at least two"):
        EmotionClassifier("ensemble_native48")


@pytest.mark.parametrize(
    "member",
    [
        "emotion_cnn",
        None,
        {},
        {"name": "emotion_cnn"},
        {"model": "emotion_cnn", "dropout": 0.1},
        {"options": {"dropout": 0.1}},
        {"model": "emotion_cnn", "options": [0.1]},
        {"model": "emotion_cnn", "options": None},
        {"model": "emotion_cnn", "options": "dropout"},
    ],
    ids=repr,
)
def test_an_invalid_member_is_named_with_the_expected_form(member):
    with pytest.raises(ConfigError, match=r"give {'model': name, 'options': {\.\.\.}}") as caught:
        create_model("ensemble_native48", members=[{"model": "emotion_cnn"}, member])
    assert repr(member) in str(caught.value)


@pytest.mark.parametrize("key", ["name", "num_classes", "pretrained"])
def test_reserved_options_of_a_member_are_refused(key):
    """A configuration from the Hub must not make the reader download or read another file."""
    member = {"model": "emotion_cnn", "options": {key: "/some/file.pt"}}
    with pytest.raises(ConfigError, match=f"'{key}' is not an option"):
        create_model("ensemble_native48", members=[{"model": "emotion_cnn"}, member])
    with pytest.raises(ConfigError, match=f"'{key}' is not an option"):
        EmotionClassifier(ClassifierConfig("ensemble_native48", options={"members": [member, member]}))


def test_an_option_a_member_does_not_have_is_named():
    with pytest.raises(ConfigError, match="emotion_cnn has no option 'drop_out'"):
        create_model(
            "ensemble_native48",
            members=[{"model": "emotion_cnn"}, {"model": "emotion_cnn", "options": {"drop_out": 0.1}}],
        )


@pytest.mark.parametrize("name", ["resnet50", None, ["emotion_cnn"]])
def test_a_member_that_is_not_registered_is_named(name):
    with pytest.raises(UnknownModelError, match="no network"):
        create_model("ensemble_native48", members=[{"model": "emotion_cnn"}, {"model": name}])


# ensembles of trained classifiers


def _classifier(config: ClassifierConfig | str, seed: int) -> EmotionClassifier:
    torch.manual_seed(seed)
    return EmotionClassifier(config).eval()


def test_an_ensemble_of_classifiers_is_saved_with_their_weights(tmp_path):
    small = ClassifierConfig("enhanced_cnn48", SIX_CLASS.labels, options={"dropout": 0.25})
    members = [
        _classifier(ClassifierConfig("emotion_cnn", SIX_CLASS.labels), 0),
        _classifier(small, 1),
        _classifier(ClassifierConfig("emotion_cnn", SIX_CLASS.labels), 2),
    ]
    EmotionClassifier.ensemble(members).save_pretrained(tmp_path)
    loaded = EmotionClassifier.from_pretrained(tmp_path)
    assert loaded.config.model == "ensemble_native48"
    assert loaded.labels.labels == SIX_CLASS.labels
    assert loaded.config.options["members"][1] == {"model": "enhanced_cnn48", "options": {"dropout": 0.25}}
    pixels = _pixels("ensemble_native48")
    with torch.inference_mode():
        probs = [member(pixels).softmax(dim=1) for member in members]
        assert_same_probs(loaded(pixels).softmax(dim=1), sum(probs) / 3)
    assert (probs[0] - probs[2]).abs().max() > 1e-4


def test_an_ensemble_of_classifiers_copies_weights_and_is_in_evaluation_mode():
    members = [_classifier("emotion_cnn", seed) for seed in (0, 1)]
    joined = EmotionClassifier.ensemble(members)
    before = next(joined.parameters()).clone()
    with torch.no_grad():
        next(members[0].parameters()).zero_()
    assert torch.equal(next(joined.parameters()), before)
    assert before.any()
    assert not any(module.training for module in joined.modules())


def test_an_ensemble_of_one_classifier_is_refused():
    with pytest.raises(ConfigError, match=r"^1 member\(s\) given.*at least two"):
        EmotionClassifier.ensemble([_classifier("emotion_cnn", 0)])


@pytest.mark.parametrize(
    "other",
    [
        ClassifierConfig("emotion_cnn", FER2013.labels[::-1]),
        ClassifierConfig("emotion_cnn", preprocess=replace(NATIVE48, size=64)),
        ClassifierConfig("squeezenet1_1_224"),
    ],
    ids=["labels in another order", "another size", "another preprocessing"],
)
def test_classifiers_with_other_labels_or_preprocessing_are_refused(other):
    with torch.device("meta"):
        members = [EmotionClassifier("emotion_cnn"), EmotionClassifier(other)]
    with pytest.raises(ConfigError, match=rf"{other.model} has labels and preprocessing .*members must have the same"):
        EmotionClassifier.ensemble(members)
