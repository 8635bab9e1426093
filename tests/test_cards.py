"""Cards: the facts of a model without Keras."""

import dataclasses
import importlib

import pytest

from kapps import cards


def test_every_model_has_a_reference_and_the_same_parameters(reference):
    assert set(reference) == set(cards.list_models())
    for name, expected in reference.items():
        assert cards.card(name).params == expected["trainable"], name
        assert expected["total"] >= expected["trainable"], name  # moving averages of batch norms


def test_every_model_has_one_kind():
    names = [name for kind in cards.KINDS for name in cards.list_models(kind=kind)]
    assert sorted(names) == sorted(cards.list_models())
    assert "resnet50" in cards.list_models(kind="image")
    assert {cards.card(name).kind for name in names} <= set(cards.KINDS)


def test_builders_and_cards_belong_together():
    for name in cards.list_models():
        card = cards.card(name)
        builder = getattr(importlib.import_module(card.module), name)
        assert builder.card == card and cards.card(builder) == card
        assert builder.__name__ == name and builder.__module__ == card.module


def test_list_models():
    names = cards.list_models()
    assert len(names) == len(set(names)) > 30
    assert cards.list_models("resnet*_v1") == ["resnet50_v1", "resnet101_v1", "resnet152_v1"]
    assert cards.list_models("nothing*") == []
    names.clear()
    assert cards.list_models()


def test_an_unknown_name_raises_with_the_nearest():
    with pytest.raises(ValueError) as caught:
        cards.card("resnet5O")
    message = str(caught.value)
    assert "resnet5O" in message and "Did you mean resnet50" in message and "\n" not in message


def test_a_card_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        cards.card("resnet18").params = 1
    hash(cards.card("resnet18"))  # all its fields are hashable


def test_preprocessing_for_other_channels():
    assert cards.IMAGENET.channels(3) == (cards.IMAGENET.mean, cards.IMAGENET.std)
    mean, std = cards.IMAGENET.channels(1)
    assert mean == pytest.approx((0.449,)) and std == pytest.approx((0.226,))
    mean, std = cards.IMAGENET.channels(4)
    assert mean == pytest.approx((0.449,) * 4) and std == pytest.approx((0.226,) * 4)


def test_preprocessing_at_a_small_size_does_not_crop():
    assert cards.IMAGENET.at((65, 80)) == dataclasses.replace(cards.IMAGENET, size=(65, 80))
    small = cards.IMAGENET.at((48, 64))
    assert small == dataclasses.replace(cards.IMAGENET, size=(48, 64), crop=1.0)
