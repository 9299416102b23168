"""Label sets: order, spellings, custom labels, projection."""

from __future__ import annotations

import pytest

from emotion_hub.errors import InputError, LabelError
from emotion_hub.labels import ALIASES, FER2013, LABEL_SETS, SIX_CLASS, LabelSet, canonical, label_set


def test_fer2013_has_the_order_of_its_csv_file():
    assert FER2013.labels == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert FER2013.id2label[6] == "neutral"
    assert FER2013.label2id["neutral"] == 6


def test_six_class_is_in_alphabetical_order():
    assert (
        SIX_CLASS.labels
        == ("angry", "fearful", "happy", "neutral", "sad", "surprised")
        == tuple(sorted(SIX_CLASS.labels))
    )
    assert {canonical(label) for label in SIX_CLASS.labels} == set(FER2013.labels) - {"disgust"}


def test_index_and_has_accept_other_spellings():
    assert SIX_CLASS.index("fear") == SIX_CLASS.index("fearful") == SIX_CLASS.index("scared") == 1
    assert SIX_CLASS.index("surprise") == 5
    assert all(map(SIX_CLASS.has, ("fear", "fearful", "Scared", "happy")))
    assert not any(map(SIX_CLASS.has, ("disgust", "bored")))
    assert LabelSet.of(["happy", "bored"]).has("bored")


def test_left_out_gives_the_probabilities_that_project_drops():
    seven = {"angry": 0.1, "disgust": 0.2, "fear": 0.05, "happy": 0.25, "sad": 0.1, "surprise": 0.1, "neutral": 0.2}
    assert SIX_CLASS.left_out(seven) == {"disgust": 0.2}
    assert FER2013.left_out(seven) == {}


@pytest.mark.parametrize(
    "labels", ["six_class", SIX_CLASS, "angry, fearful,happy,neutral,sad,surprised", list(SIX_CLASS.labels)]
)
def test_label_set_accepts_a_preset_labels_with_commas_or_a_list(labels):
    assert label_set(labels) is SIX_CLASS


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("", "give fer2013 or six_class"),
        ("fear,scared", "twice"),
        (["bored", "bored"], "twice"),
        ("happy,,sad", "give fer2013 or six_class"),
        (["happy", "  "], "give fer2013 or six_class"),
        (["happy", 3], "give fer2013 or six_class"),
        ([], "give"),
    ],
)
def test_blank_and_repeated_labels_are_refused(labels, message):
    with pytest.raises(LabelError, match=message):
        label_set(labels)


def test_label_set_accepts_labels_of_no_preset():
    bored = label_set(["bored", "Happy"])
    assert (bored.name, bored.labels) == ("custom", ("bored", "Happy"))
    assert label_set(" bored , Happy ") == bored
    assert label_set(bored) is bored
    assert (bored.index("bored"), bored.index("happiness")) == (0, 1)
    with pytest.raises(LabelError, match="label 'sad' is not in custom; it has bored, Happy"):
        bored.index("sad")


@pytest.mark.parametrize("labels", [FER2013, SIX_CLASS], ids=lambda s: s.name)
def test_id2label_and_label2id_are_inverse(labels):
    assert len(labels) == len(labels.labels) == len(labels.id2label)
    for i, label in labels.id2label.items():
        assert labels.label2id[label] == i == labels.index(label)


@pytest.mark.parametrize(("alias", "label"), sorted(ALIASES.items()))
def test_aliases_are_resolved_in_any_case(alias, label):
    assert canonical(alias) == label
    assert canonical(f"  {alias.upper()} ") == label
    assert FER2013.index(alias.title()) == FER2013.labels.index(label)


@pytest.mark.parametrize("label", FER2013.labels)
def test_the_canonical_spelling_of_a_label_is_the_label(label):
    assert canonical(label) == canonical(label.capitalize()) == label


@pytest.mark.parametrize("name", ["contempt", "", "happy!", "Ärger"])
def test_the_error_of_an_unknown_label_lists_the_known_ones(name):
    with pytest.raises(LabelError) as caught:
        canonical(name)
    for part in (repr(name), *FER2013.labels, "fearful"):
        assert part in str(caught.value)
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", ["x" * 1_000_000, b"x" * 1_000_000])
def test_messages_show_the_beginning_of_a_long_value_only(name):
    for function in (canonical, FER2013.index):
        with pytest.raises(LabelError, match=r"xxx\.\.\.") as caught:
            function(name)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", [None, 3, b"happy", ["happy"]])
def test_a_label_that_is_not_a_string_is_refused(name):
    with pytest.raises(LabelError, match="string"):
        canonical(name)


def test_the_error_of_a_label_outside_the_set_lists_the_set():
    with pytest.raises(LabelError) as caught:
        SIX_CLASS.index("disgusted")
    for part in ("'disgusted'", "six_class", *SIX_CLASS.labels):
        assert part in str(caught.value)


def test_project_renormalises_in_the_order_of_the_new_set():
    seven = {"angry": 0.1, "disgust": 0.2, "fear": 0.05, "happy": 0.25, "sad": 0.1, "surprise": 0.1, "neutral": 0.2}
    six = SIX_CLASS.project(seven)
    assert tuple(six) == SIX_CLASS.labels
    assert sum(six.values()) == pytest.approx(1)
    assert six["happy"] == pytest.approx(0.25 / 0.8)
    assert six["neutral"] / six["angry"] == pytest.approx(2)


def test_project_resolves_aliases_and_does_not_change_its_source():
    source = {"Anger": 0.5, "fearful": 0.1, "happiness": 0.1, "neutral": 0.1, "sadness": 0.1, "surprised": 0.1}
    before = dict(source)
    assert SIX_CLASS.project(source)["angry"] == pytest.approx(0.5)
    assert source == before


def test_project_to_the_same_set_changes_nothing():
    probs = dict(zip(FER2013.labels, (0.5, 0.0, 0.125, 0.125, 0.125, 0.0, 0.125), strict=True))
    assert FER2013.project(probs) == probs


def test_a_label_that_the_source_lacks_is_refused_unless_missing_is_given():
    six = dict.fromkeys(SIX_CLASS.labels, 1 / 6)
    with pytest.raises(LabelError, match=r"'disgust'.*missing=0\.0"):
        FER2013.project(six)
    assert FER2013.project(six, missing=0.0)["disgust"] == 0
    assert FER2013.project(six, missing=1 / 6)["disgust"] == pytest.approx(1 / 7)


def test_project_refuses_a_source_without_probability_on_the_set():
    with pytest.raises(LabelError, match=r"no probability is left.*disgust"):
        SIX_CLASS.project({**dict.fromkeys(SIX_CLASS.labels, 0.0), "disgust": 1.0})


def test_project_refuses_two_spellings_of_one_label():
    with pytest.raises(LabelError, match="fear"):
        SIX_CLASS.project({**dict.fromkeys(SIX_CLASS.labels, 0.1), "fear": 0.4})


def test_of_returns_presets_and_creates_custom_sets():
    assert LabelSet.of(list(FER2013.labels)) is FER2013
    assert LabelSet.of(SIX_CLASS.labels) is SIX_CLASS
    assert LABEL_SETS == {"fer2013": FER2013, "six_class": SIX_CLASS}
    other = LabelSet.of(["happy", "sad"])
    assert (other.name, other.labels) == ("custom", ("happy", "sad"))
    assert LabelSet.of(FER2013.labels[::-1]).name == "custom"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ((), "empty"),
        (("happy", "sad", "happy"), "twice"),
        (("happy", ""), "blank"),
        (("happy", "  "), "blank"),
        (("happy", 3), "string"),
    ],
)
def test_empty_sets_duplicates_and_blank_labels_are_refused(labels, words):
    with pytest.raises(LabelError, match=words):
        LabelSet("mine", labels)


def test_upper_and_lower_case_are_the_same_label() -> None:
    calm = label_set("Calm,contempt")
    assert (calm.index("calm"), calm.index("CONTEMPT"), calm.has("Contempt"), calm.has("Fear")) == (0, 1, True, False)
    assert calm.project({"CALM": 1.0, "Contempt": 3.0, "fear": 4.0}) == {"Calm": 0.25, "contempt": 0.75}
    with pytest.raises(LabelError, match="twice"):
        label_set("Calm,calm")
