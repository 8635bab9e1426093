"""SKNet: its two paths compared with the paper's formulas."""

import keras
import numpy as np
import pytest

import kapps
from kapps.cnn.sknet import sk_fuse_and_select, sk_split

# The table that arXiv:1903.06586 prints: millions of parameters, billions of FLOPs.
PRINTED = {"sknet50": (27.5, 4.47), "sknet101": (48.9, 8.46)}
DRAW = np.random.default_rng(0)


def test_costs_of_the_paper(reference):
    for name, (params, macs) in PRINTED.items():
        assert reference[name]["trainable"] / 1e6 == pytest.approx(params, rel=0.005)
        assert reference[name]["macs"] / 1e9 == pytest.approx(macs, rel=0.005)


def test_fuse_and_select_formula():
    shape = (3, 5, 64)
    images = [keras.Input(shape), keras.Input(shape)]
    model = keras.Model(images, sk_fuse_and_select(*images, reduction=16, name="sk"))
    reduce, select_both = (model.get_layer(f"sk_{name}") for name in ("reduce", "select"))
    assert reduce.kernel.shape == (1, 1, 64, 32)  # 64 / 16, but at least 32
    near, far = (DRAW.normal(size=(2, *shape)).astype("float32") for _ in images)
    s = (near + far).mean(axis=(1, 2))
    norm = model.get_layer("sk_reduce_bn")  # mean 0, variance 1
    z = np.maximum(
        s @ keras.ops.convert_to_numpy(reduce.kernel)[0, 0] / np.sqrt(1 + norm.epsilon), 0
    )
    logits = np.exp((z @ keras.ops.convert_to_numpy(select_both.kernel)[0, 0]).reshape(2, 2, 64))
    a, b = np.moveaxis(logits / logits.sum(axis=1, keepdims=True), 1, 0)[:, :, None, None]
    output = keras.ops.convert_to_numpy(model([near, far], training=False))
    np.testing.assert_allclose(output, a * near + b * far, atol=1e-4)


@pytest.mark.parametrize("strides, size", [(1, 8), (2, 8), (2, 9)])
def test_second_path_is_dilated(strides, size):
    """Compared with the definition: output (i, j) reads (s i + 2 u, s j + 2 v) for u and v of -1, 0 and 1."""
    image = keras.Input((size, size, 4))
    _, far = sk_split(image, strides=strides, groups=2, name="sk")
    model = keras.Model(image, far)
    x = DRAW.normal(size=(1, size, size, 4)).astype("float32")
    kernel = keras.ops.convert_to_numpy(model.get_layer("sk_path2").kernel)
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    out = -(-size // strides)
    expected = np.zeros((1, out, out, 4))
    for u in range(3):
        for v in range(3):
            rows = padded[:, 2 * u :: strides, 2 * v :: strides][:, :out, :out]
            for group in (0, 1):
                at = slice(2 * group, 2 * group + 2)
                expected[..., at] += rows[..., at] @ kernel[u, v, :, at]
    expected = np.maximum(expected / np.sqrt(1 + 1e-5), 0)
    output = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(output, expected, atol=1e-4)


def test_groups_and_widths_of_units():
    model = kapps.families.sknet(depths=(1, 1), include_top=False, input_shape=(32, 32, 3))
    assert model.get_layer("level3_block1_path1").kernel.shape == (3, 3, 256 // 32, 256)
    assert model.get_layer("level3_block1_path2").groups == 32
    assert model.get_layer("level2_block1_path2").dilation_rate == (2, 2)
    assert model.output.shape[-1] == 512
