"""Cells: the shapes of all operations, and the sums and concatenations of a genotype."""

import keras
import numpy as np
import pytest

from kapps.layers import cells, strided_padding

KERNELS = {
    "sep3": [(3, 3, 4, 1), (1, 1, 4, 6), (3, 3, 6, 1), (1, 1, 6, 6)],
    "sep7": [(7, 7, 4, 1), (1, 1, 4, 6), (7, 7, 6, 1), (1, 1, 6, 6)],
    "dil5": [(5, 5, 4, 1), (1, 1, 4, 6)],
    "1x7_7x1": [(1, 1, 4, 1), (1, 7, 1, 1), (7, 1, 1, 1), (1, 1, 1, 6)],
    "avg": [(1, 1, 4, 6)],
    "max": [(1, 1, 4, 6)],
    "id": [(1, 1, 4, 6)],
}
"""By operation: the kernels that make 6 channels of 4."""


def build(inputs, outputs):
    return keras.Model(inputs, outputs)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_shapes_of_operations(padding):
    """Strides of 2 halve a map, rounded up, with either padding."""
    for operation, kernels in KERNELS.items():
        for sides, strides, expected in [
            ((8, 5), 1, (8, 5)),
            ((8, 5), 2, (4, 3)),
            ((7, 6), 2, (4, 3)),
            ((None, None), 2, (None, None)),
        ]:
            image = keras.Input((*sides, 4))
            with strided_padding(padding):
                y = cells.OPERATIONS[operation](image, 6, strides=strides, name="x")
            assert y.shape == (None, *expected, 6), (operation, sides, strides)
            variables = build(image, y).trainable_variables
            shapes = [tuple(v.shape) for v in variables if "kernel" in v.name]
            assert shapes == kernels, operation


def test_identity_is_the_map_where_the_shape_does_not_change():
    image = keras.Input((8, 8, 4))
    for operation in ("id", "skip"):
        assert cells.OPERATIONS[operation](image, 4, strides=1, name="x") is image


def pooled(x, kind, padding, zeros):
    """3x3 pooling with strides of 2 in NumPy."""
    height, width = x.shape
    before = [side % 2 if padding == "same" else 1 for side in x.shape]
    padded = np.full((height + 4, width + 4), 0.0 if zeros else np.nan)
    top, left = 2, 2
    padded[top : top + height, left : left + width] = x
    result = np.zeros((-(-height // 2), -(-width // 2)))
    function = np.nanmean if kind == "avg" else np.nanmax
    for i in range(result.shape[0]):
        for j in range(result.shape[1]):
            row, column = top + 2 * i - before[0], left + 2 * j - before[1]
            result[i, j] = function(padded[row : row + 3, column : column + 3])
    return result


@pytest.mark.tensorflow  # Keras's SAME averages differ on PyTorch
@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_padding_of_strided_pooling(padding):
    """By default it is in no window; as zeros it changes averages and the maxima of negative values."""
    for sides in [(6, 7), (5, 8)]:
        x = -1 - np.random.default_rng(0).random(sides)
        for kind in ("avg", "max"):
            for zeros in (False, True):
                image = keras.Input((*sides, 1))
                with strided_padding(padding):
                    y = cells.pooling(image, 1, kind=kind, zeros=zeros, strides=2, name="x")
                output = build(image, y).predict(x[None, :, :, None], verbose=0)[0, :, :, 0]
                np.testing.assert_allclose(output, pooled(x, kind, padding, zeros), rtol=1e-5)


def test_padding_with_zeros_needs_a_size():
    with strided_padding("same"), pytest.raises(ValueError, match="size"):
        cells.pooling(keras.Input((None, 8, 4)), 4, kind="avg", zeros=True, strides=2, name="x")


def test_strided_dilation_is_that_of_every_second_pixel():
    image = keras.Input((8, 6, 4))
    strided = build(image, cells.dilated(image, 4, kernel_size=3, strides=2, name="x"))
    plain = build(image, cells.dilated(image, 4, kernel_size=3, name="x"))
    plain.set_weights(strided.get_weights())
    x = np.random.default_rng(0).normal(size=(2, 8, 6, 4)).astype("float32")
    expected = plain.predict(x, verbose=0)[:, ::2, ::2]
    np.testing.assert_allclose(strided.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_factorised_reduction_reads_even_and_odd_pixels():
    for side in (6, 7):
        image = keras.Input((side, side, 2))
        model = build(image, cells.factorised_reduction(image, 5, name="x"))
        even, odd, *_ = model.get_weights()
        assert even.shape[-1] == 2 and odd.shape[-1] == 3  # an odd width: the second has one more
        x = np.random.default_rng(0).random((1, side, side, 2)).astype("float32")
        shifted = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))[:, 1:, 1:]
        expected = np.concatenate(
            [x[:, ::2, ::2] @ even[0, 0], shifted[:, ::2, ::2] @ odd[0, 0]], -1
        )
        output = model.predict(x, verbose=0) * np.sqrt(1 + 1e-5)
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-6)


WIRING = (
    (
        ("c2", "avg", "h0", "id", "h1"),
        ("c3", "max", "c2", "avg", "h1"),
        ("c4", "none", "h0", "id", "c2"),
        ("c5", "none", "h0", "none", "c3"),
    ),
    ("h1", "c3", "c4", "c5"),
)


def test_wiring_of_a_cell():
    """Each node is the sum of two operations; the output is the concatenation of the genotype's nodes."""
    h0, h1 = keras.Input((5, 5, 3)), keras.Input((5, 5, 3))
    output = cells.cell({"h0": h0, "h1": h1}, WIRING, 3, name="cell")
    average = keras.layers.AveragePooling2D(3, strides=1, padding="same")
    maximum = keras.layers.MaxPooling2D(3, strides=1, padding="same")
    c2 = average(h0) + h1
    c3 = maximum(c2) + average(h1)
    expected = keras.layers.Concatenate()([h1, c3, c2, 0 * c2])
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(2, 5, 5, 3)).astype("float32") for _ in range(2)]
    outputs = build([h0, h1], [output, expected]).predict(x, verbose=0)
    np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-6)


def test_only_operations_on_inputs_have_strides():
    inputs = {name: keras.Input((6, 6, 4)) for name in ("h0", "h1")}
    genotype = (("c2", "sep3", "h0", "max", "h1"), ("c3", "sep3", "c2", "id", "h1")), ("c3", "h0")
    output = cells.cell(inputs, genotype, 4, strides=2, name="cell")
    assert output.shape == (None, 3, 3, 8)
    model = build(list(inputs.values()), output)
    for name, strides in [
        ("c2_left_depthwise1", 2),
        ("c2_left_depthwise2", 1),
        ("c3_left_depthwise1", 1),
    ]:
        assert model.get_layer(f"cell_{name}").strides == (strides, strides)
    nothing = (("c2", "none", "h0", "none", "h1"),), ("c2",)
    output = cells.cell(inputs, nothing, 4, strides=2, name="cell")
    x = [np.full((1, 6, 6, 4), 2.0, "float32")] * 2
    assert not build(list(inputs.values()), output).predict(x, verbose=0).any()


def test_concatenated_inputs_get_the_channels_of_the_nodes():
    """As the first cell of a network for CIFAR, whose h1 is the stem's map."""
    inputs = {"h0": keras.Input((6, 6, 4)), "h1": keras.Input((6, 6, 12))}
    genotype = (("c2", "id", "h0", "avg", "h0"),), ("h1", "c2")
    output = cells.cell(inputs, genotype, 4, name="cell")
    model = build(list(inputs.values()), output)
    assert output.shape[-1] == 8
    assert model.get_layer("cell_h1_out").kernel.shape == (1, 1, 12, 4)


def test_identities_are_not_dropped():
    inputs = {"h0": keras.Input((6, 6, 4)), "h1": keras.Input((6, 6, 8))}
    genotype = (("c2", "sep3", "h0", "id", "h1"), ("c3", "skip", "c2", "avg", "h1")), ("c3",)
    for strides in (1, 2):
        output = cells.cell(
            inputs, genotype, 4, strides=strides, drop_rate=0.4, drop_steps=10, name="cell"
        )
        model = build(list(inputs.values()), output)
        dropped = [layer for layer in model.layers if layer.name.endswith("_drop")]
        assert {layer.name for layer in dropped} == {"cell_c2_left_drop", "cell_c3_right_drop"}
        assert {(layer.rate, layer.steps) for layer in dropped} == {(0.4, 10)}


def test_genotypes_that_cannot_be_built_raise():
    image = keras.Input((8, 8, 4))
    row = ("c2", "sep3", "h0", "sep3", "h0")
    wrong = {
        ((row,),): "1 parts",
        ((row, ("c3", "sep3", "h0")), ("c2",)): "is not (node, operation, input, operation, input)",
        ((("c2", "sep4", "h0", "sep3", "h0"),), ("c2",)): "Did you mean sep",
        (
            (("c2", "sep3", "c3", "sep3", "h0"), ("c3", "id", "h0", "id", "h0")),
            ("c3",),
        ): "reads 'c3'",
        ((row,), ("c2", "c4")): "it has the maps h0, c2",
        ((row,), ()): "concatenates ()",
    }
    for genotype, words in wrong.items():
        with pytest.raises(ValueError) as caught:
            cells.cell({"h0": image}, genotype, 4, name="cell")
        assert words in str(caught.value) and "\n" not in str(caught.value), genotype
    with pytest.raises(ValueError, match="1 cells"):
        cells.check_pair((((row,), ("c2",)),))
