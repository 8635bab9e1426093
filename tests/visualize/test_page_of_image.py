"""The page of an image classifier: its arrays are those of the functions, and its behaviour in a browser."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kapps import visualize
from kapps.visualize import attributions
from kapps.visualize._page_parts import packed, png_url, reduced, to_pixels

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.normal(size=(1, 16, 16, 3)).astype("float32")
NAMES = ["<b>cat", "dog", "fish", "bird"]


@pytest.fixture(scope="module")
def model():
    """A body in a model of its own."""
    keras.utils.set_random_seed(0)
    body = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(6, 3, padding="same", activation="relu", name="conv1"),
            layers.MaxPooling2D(name="pool1"),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="conv2"),
        ],
        name="body",
    )
    inputs = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(body(inputs))
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="top")(x), name="net")


@pytest.fixture(scope="module")
def html(model):
    return visualize.image_page(
        model, IMAGE, class_names=NAMES, explained=1, methods=("gradient", "guided", "Grad-CAM"), check=2, units=4,
        value_range=(-2, 2), others=RANDOM.normal(size=(6, 16, 16, 3)), notes=["a note"],
    )  # fmt: skip


def test_the_page_has_the_arrays_of_the_functions(model, html, page_data, unpack):
    data = page_data(html)
    assert "<b>cat" not in html
    gradient, guided, cam = (method["map"] for method in data["methods"])
    expected = attributions.saliency(model, IMAGE, 1)[0].sum(axis=-1)
    np.testing.assert_allclose(unpack(gradient), expected, atol=np.abs(expected).max() / 200)
    assert guided["shape"] == cam["shape"] == [16, 16]
    zeros = [method["zeros"] for method in data["methods"]]
    assert zeros[0] == pytest.approx((expected == 0).mean())
    probabilities = ops.convert_to_numpy(model(IMAGE))[0]
    shares = [row["share"] for row in data["classes"]]
    np.testing.assert_allclose(shares, np.sort(probabilities)[::-1], rtol=1e-5)
    assert data["explained"] == {"index": 1, "name": "dog"}
    assert data["check"] == ["body/conv2", "body/conv1"]
    maps = {"body/conv1": (16, 16, 6), "body/conv2": (8, 8, 8)}
    assert [level["layer"] for level in data["levels"]] == list(maps)
    for level in data["levels"]:
        assert tuple(level["shape"]) == maps[level["layer"]]
        ((_, values),) = visualize.feature_maps(model, IMAGE, level["layer"]).items()
        most = values[0].max(axis=(0, 1))
        units = [unit["unit"] for unit in level["units"]]
        assert units == np.argsort(-most, kind="stable")[:4].tolist()
        for unit in level["units"]:
            channel = values[0, ..., unit["unit"]]
            assert channel[tuple(unit["place"])] == pytest.approx(unit["most"])
            np.testing.assert_allclose(unpack(unit["map"]), channel, atol=most.max() / 200)
            assert len(unit["images"]) == 4


def test_the_check_is_that_of_randomised(model, html, page_data):
    def gradient(model, images):
        return attributions.saliency(model, images, 1).sum(axis=-1)

    expected = visualize.randomised(gradient, model, IMAGE, layers=2)
    result = page_data(html)["methods"][0]["kept"]
    np.testing.assert_allclose(result, [x[0] for x in expected.values()], atol=1e-5)


def test_the_region_is_the_receptive_field(model, page_data):
    """The value of a unit depends on the pixels of its region, and on no others."""
    data = page_data(visualize.image_page(model, IMAGE, methods=(), units=2))
    level = data["levels"][1]
    assert level["receptive_field"] == [8, 8]
    for unit in level["units"]:
        top, left, height, width = unit["region"]
        changed = RANDOM.normal(size=IMAGE.shape).astype("float32")
        same = changed.copy()
        same[:, top : top + height, left : left + width] = IMAGE[
            :, top : top + height, left : left + width
        ]
        values = [
            visualize.feature_maps(model, x, "conv2")["body/conv2"][0][
                (*unit["place"], unit["unit"])
            ]
            for x in (same, changed)
        ]
        assert values[0] == pytest.approx(unit["most"], rel=1e-4) and values[1] != pytest.approx(
            unit["most"]
        )


def test_paddings_and_operations_inside_layers_are_no_levels(page_data):
    import kapps

    model = kapps.resnet18(input_shape=(32, 32, 3), classes=3)
    image = RANDOM.normal(size=(1, 32, 32, 3))
    data = page_data(visualize.image_page(model, image, methods=(), units=1))
    sizes = [level["shape"][0] for level in data["levels"]]
    assert sizes == [16, 8, 4, 2] and not any("pad" in level["layer"] for level in data["levels"])


def test_a_method_that_is_not_defined_is_left_out(page_data):
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(3, 3, activation="gelu"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    data = page_data(
        visualize.image_page(model, IMAGE, methods=("guided", "gradient"), check=1, units=1)
    )
    assert [row["name"] for row in data["methods"]] == ["gradient"] and "gelu" in data["left_out"][
        "guided"
    ]
    assert data["classes"][0]["name"].startswith("class ")


def test_bad_arguments_are_errors(model):
    for options, words in (
        (dict(methods=("gradiant",)), "gradient"), (dict(check=-1), "check=-1"), (dict(explained=4), "0 to 3"),
        (dict(others=np.zeros((2, 3, 3, 3))), "takes"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            visualize.image_page(model, IMAGE, **{"check": 0, "units": 1, "methods": (), **options})
    with pytest.raises(ValueError, match="one image"):
        visualize.image_page(model, np.concatenate([IMAGE, IMAGE]))


def test_a_png_has_the_pixels(tmp_path):
    import base64

    from PIL import Image

    for channels in (1, 3):
        pixels = RANDOM.integers(0, 256, (5, 7, channels), "uint8")
        content = base64.b64decode(png_url(pixels).partition(",")[2])
        (tmp_path / "a.png").write_bytes(content)
        result = np.asarray(Image.open(tmp_path / "a.png"))
        np.testing.assert_array_equal(result.reshape(pixels.shape), pixels)


def test_packed_reduced_and_pixels(unpack):
    array = RANDOM.normal(size=(3, 4, 5))
    np.testing.assert_allclose(unpack(packed(array)), array, atol=np.abs(array).max() / 250)
    assert packed([np.nan, np.inf, 0.0])["scale"] == 0
    expected = [[array[0, i : i + 2, j : j + 2].max() for j in (0, 2, 4)] for i in (0, 2)]
    np.testing.assert_array_equal(reduced(array[0], 3), expected)
    np.testing.assert_array_equal(to_pixels([[[0.0], [0.5], [2.0]]], (0, 1)).ravel(), [0, 128, 255])


@pytest.mark.browser
def test_the_page_in_a_browser(model, html, visit, page_data):
    content, data = visit("image", html), page_data(html)
    # With images of each unit by activation maximisation.
    options = dict(methods=(), units=2, steps=2)
    maximised = visit("image", visualize.image_page(model, IMAGE, **options))
    assert [alt[:10] for alt, width in maximised["images"] if width == 16] == ["Activation"]
    assert content["name"] == "net" and content["notes"] == ["a note"]
    assert (
        content["classes"][[row["index"] for row in data["classes"]].index(1)] == "dog (explained)"
    )
    assert content["methods"] == ["gradient", "guided", "Grad-CAM"] and content["left"] == []
    assert all("down to body/conv1" in text for text in content["checks"])
    assert (
        content["kept"][0].split(";")[0]
        == f"keeps {data['methods'][0]['kept'][-1]:.2f} with random weights"
    )
    assert (
        content["over"]["size"] == [16, 16] and content["over"]["mean"] != content["plain"]["mean"]
    )
    assert "gradient at row 0, column 0" in content["value"]
    for shown, level in zip(content["units"], data["levels"], strict=True):
        assert shown == [str(unit["unit"]) for unit in level["units"]]
    first, second = (level["units"] for level in data["levels"])
    assert content["hovered"] == content["unpinned"] == ["body/conv1", str(first[1]["unit"])]
    assert content["region"]["size"] == first[1]["region"][:1:-1]
    assert len(content["images"]) == 4 and all(width > 0 for _, width in content["images"])
    assert content["focused"] == content["stays"] == ["body/conv2", str(second[0]["unit"])]
    assert content["pinned"] == "true" and content["without"] == 0
