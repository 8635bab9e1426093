"""Fine-tuning: frozen values do not change by a bit, in a loaded model too; the others train."""

import inspect
import json

import keras
import numpy as np
import pytest

import kapps
from kapps.cnn import resnet
from kapps.cnn.resnet import basic_block
from kapps.training import finetune, load_model, set_trainable

# Fits a loaded model in a separate process, and prints which batch norms changed.
FIT = """
import json, sys
import keras
import numpy as np
import kapps

path, data = sys.argv[1:]
model = keras.models.load_model(path)
norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
before = model.get_layer("head_logits").get_weights()
was = [x.get_weights() for x in norms]
with np.load(data) as file:
    model.fit(file["x"], file["y"], batch_size=32, epochs=1, verbose=0)
changed = [
    norm.name
    for norm, old in zip(norms, was, strict=True)
    if any(a.tobytes() != b.tobytes() for a, b in zip(old, norm.get_weights(), strict=True))
]
head = model.get_layer("head_logits").get_weights()
moved = [not np.array_equal(a, b) for a, b in zip(before, head, strict=True)]
print(json.dumps({"norms": len(norms), "changed": changed, "head": moved}))
"""


@pytest.fixture(scope="module")
def pretrained(randomise):
    """Levels 2 and 3 of a ResNet, with values that differ from the initial values of every layer."""
    return randomise(
        resnet.body(depths=(1, 1), block=basic_block, input_shape=(32, 32, 3), classes=7)
    )


def fit(model, x, y, epochs=1):
    # Weight decay and the moving average apply to all variables of an optimizer.
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, weight_decay=1e-3, use_ema=True)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    return model


def values(model):
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def same(one, other):
    """Returns, for two lists of arrays, whether their bits are equal."""
    return [a.tobytes() for a in one] == [b.tobytes() for b in other]


def norms(model):
    return [x.name for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]


@pytest.mark.parametrize(
    "unfreeze",
    [
        "level3",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("head", "level2_block1_conv2", "all")
        ),
    ],
)
def test_frozen_batch_norms_do_not_change_by_a_bit(pretrained, digits, forked, tmp_path, unfreeze):
    x, y = digits(32)
    original = values(pretrained)
    model = fit(finetune(pretrained, classes=10, unfreeze=unfreeze), x, y)
    after = values(model)
    assert len(norms(model)) == 6
    for name in norms(model):
        assert same(after[name], original[name]), name

    order = [layer.name for layer in model.layers]
    start = {
        "head": order.index("head_logits"),
        "level3": order.index("level3_block1_conv1"),
        "level2_block1_conv2": order.index("level2_block1_conv2"),
        "all": 0,
    }[unfreeze]
    kernels = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    for name in kernels:
        assert same(after[name], original[name]) == (order.index(name) < start), name
    for name, arrays in values(pretrained).items():
        assert same(arrays, original[name]), f"{name} of the original model changed"

    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=x, y=y)
    result = json.loads(
        forked(FIT, tmp_path / "model.keras", tmp_path / "data.npz").strip().splitlines()[-1]
    )
    assert result == {"norms": 6, "changed": [], "head": [True, True]}


@pytest.mark.long
def test_batch_norms_train_with_their_layers(pretrained, digits):
    original = values(pretrained)
    model = finetune(pretrained, classes=10, unfreeze="level3", batch_norm="train")
    after = values(fit(model, *digits(32)))
    for name in norms(model):
        unchanged = [np.array_equal(a, b) for a, b in zip(after[name], original[name], strict=True)]
        assert unchanged == [not name.startswith("level3")] * 4, name


def test_the_body_computes_the_same_features(pretrained, digits):
    x, _ = digits(32)
    model = finetune(pretrained, classes=10)
    bodies = [keras.Model(m.input, m.get_layer("head_pool").output) for m in (pretrained, model)]
    expected, result = (body.predict(x, verbose=0) for body in bodies)
    np.testing.assert_array_equal(result, expected)
    assert expected.std() > 0.01


def test_the_result_has_the_layers_of_a_builders_model(pretrained):
    built = resnet.body(depths=(1, 1), block=basic_block, input_shape=(32, 32, 3), classes=10)
    model = finetune(pretrained, classes=10)
    assert type(model) is type(built)
    assert [layer.name for layer in model.layers] == [layer.name for layer in built.layers]
    assert [w.path for w in model.weights] == [w.path for w in built.weights]
    assert model.name == "resnet" and finetune(pretrained, classes=10, name="mine").name == "mine"
    logits = finetune(pretrained, classes=3, classifier_activation=None)
    assert logits.layers[-1].activation is keras.activations.linear


@pytest.mark.long
def test_another_resolution(pretrained, digits):
    x, y = digits(48)
    model = finetune(pretrained, classes=10, unfreeze="level3", input_shape=(48, 40, 3))
    assert model.input_shape == (None, 48, 40, 3)
    fit(model, x[:, :, :40], y)
    original = values(pretrained)
    after = values(model)
    assert all(same(after[name], original[name]) for name in norms(model))

    # One image at any size: the body is the same function there.
    free = finetune(pretrained, classes=10, input_shape=(None, None, 3))
    small = keras.Model(pretrained.input, pretrained.get_layer("head_pool").output)
    large = keras.Model(free.input, free.get_layer("head_pool").output)
    x, _ = digits(32)
    np.testing.assert_allclose(
        large.predict(x, verbose=0), small.predict(x, verbose=0), rtol=1e-4, atol=1e-5
    )
    assert large(digits(64)[0]).shape == (64, 128)


@pytest.mark.long
def test_a_second_stage_keeps_the_trained_head(pretrained, digits):
    x, y = digits(32)
    model = fit(finetune(pretrained, classes=10, unfreeze="head"), x, y)
    head, original = model.get_layer("head_logits").get_weights(), values(pretrained)
    set_trainable(model, unfreeze="level3")
    assert same(model.get_layer("head_logits").get_weights(), head)
    after = values(fit(model, x, y))
    assert all(same(after[name], original[name]) for name in norms(model))
    assert not same(after["level3_block1_conv1"], original["level3_block1_conv1"])
    assert same(after["level2_block1_conv1"], original["level2_block1_conv1"])


@pytest.mark.long
def test_set_trainable_freezes_again_after_model_trainable(pretrained, digits):
    x, y = digits(32)
    model = finetune(pretrained, classes=10)
    model.trainable = False
    model.trainable = True
    assert all(model.get_layer(name).trainable for name in norms(model))  # the behaviour of Keras
    set_trainable(model, unfreeze="all")
    original, after = values(pretrained), values(fit(model, x, y))
    assert all(same(after[name], original[name]) for name in norms(model))


def test_set_trainable_freezes_nested_layers_of_a_loaded_model(tmp_path):
    rows = keras.Input((8, 4))
    x = keras.layers.MultiHeadAttention(2, 2, name="attention")(rows, rows)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(rows, keras.layers.Dense(2, name="out")(x))
    set_trainable(model, unfreeze="head")
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    set_trainable(model, unfreeze="head")
    assert [v.path for v in model.trainable_variables] == ["out/kernel", "out/bias"]


def test_a_model_that_was_frozen_trains_again(pretrained):
    frozen = keras.models.clone_model(pretrained)
    frozen.trainable = False
    model = finetune(frozen, classes=10, batch_norm="train")
    assert len(model.trainable_variables) == len(pretrained.trainable_variables)
    assert not frozen.trainable_variables


@pytest.mark.long
@pytest.mark.parametrize(
    "options",
    [{"groups": 32, "group_width": 4}, {"groups": 32, "group_width": 4, "se": 16}],
    ids=["resnext", "se"],
)
def test_grouped_and_squeezed_members(randomise, digits, options):
    original = randomise(resnet.body(depths=(1, 1), input_shape=(32, 32, 3), classes=7, **options))
    model = fit(finetune(original, classes=10, unfreeze="level3"), *digits(32))
    before, after = values(original), values(model)
    assert all(same(after[name], before[name]) for name in norms(model))
    assert type(model.get_layer("level3_block1_conv2")) is kapps.layers.GroupedConv2D
    assert same(after["level2_block1_conv2"], before["level2_block1_conv2"])
    assert not same(after["level3_block1_conv2"], before["level3_block1_conv2"])


@pytest.mark.long
def test_a_model_of_keras_applications(randomise, digits):
    original = randomise(
        keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None, classes=7)
    )
    model = fit(finetune(original, classes=10, unfreeze="block_13"), *digits(32))
    before, after = values(original), values(model)
    assert all(same(after[name], before[name]) for name in norms(model))
    assert same(after["block_12_project"], before["block_12_project"])
    assert not same(after["block_13_expand"], before["block_13_expand"])
    assert [layer.name for layer in model.layers[-2:]] == ["head_logits", "predictions"]


def features(model):
    return keras.Model(model.input, model.get_layer("head_logits").input)


@pytest.mark.long
def test_a_convolution_as_head_is_removed(digits):
    """The head of MobileNet V1 is a 1x1 convolution of one pooled pixel, that of SqueezeNet of a feature map."""
    x, _ = digits(32)
    original = keras.applications.MobileNet((32, 32, 3), alpha=0.25, weights=None, classes=7)
    model = finetune(original, classes=10)
    assert isinstance(original.layers[-5], keras.layers.GlobalAveragePooling2D)
    pooled = keras.Model(original.input, original.layers[-5].output)
    np.testing.assert_array_equal(
        features(model).predict(x, verbose=0), pooled.predict(x, verbose=0)[:, 0, 0]
    )
    image = keras.Input((32, 32, 3))
    body = keras.layers.Conv2D(8, 3, activation="relu", name="conv")(image)
    y = keras.layers.Conv2D(7, 1, activation="relu", name="head_conv")(body)
    y = keras.layers.Softmax()(keras.layers.GlobalAveragePooling2D(name="head_pool")(y))
    model = finetune(keras.Model(image, y), classes=10)
    names = [layer.name for layer in model.layers][1:]
    assert names == ["conv", "head_pool", "head_logits", "predictions"]
    np.testing.assert_allclose(
        features(model).predict(x, verbose=0),
        keras.Model(image, body).predict(x, verbose=0).mean((1, 2)),
        rtol=1e-5,
    )


def test_a_layer_named_head_pool_is_kept(digits):
    x, _ = digits(32)
    image = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, name="head_pool")(image)
    y = keras.layers.Flatten()(keras.layers.Conv2D(7, 1)(pooled))
    model = finetune(keras.Model(image, y), classes=10)
    expected = keras.Model(image, pooled).predict(x, verbose=0)[:, 0, 0]
    np.testing.assert_array_equal(features(model).predict(x, verbose=0), expected)


@pytest.mark.parametrize("pooling", [None, "avg"])
def test_a_model_without_a_head_gets_one(pooling):
    original = kapps.resnet20_cifar(include_top=False, pooling=pooling)
    model = finetune(original, classes=10, unfreeze="head")
    assert model.output_shape == (None, 10)
    assert [v.path for v in model.trainable_variables] == [
        "head_logits/kernel",
        "head_logits/bias",
    ]


def stacked(pretrained):
    """The body as one layer of a sequential model, after a sequential stem, as in the ConvNeXt of Keras."""
    body = keras.Model(pretrained.input, pretrained.get_layer("head_pool").output, name="body")
    body = keras.models.clone_model(body)
    body.set_weights(pretrained.get_weights()[:-2])
    scale = keras.layers.Rescaling(1.0)
    stem = keras.Sequential([keras.Input((32, 32, 3)), scale, keras.layers.Dropout(0.1)])
    return body, keras.Sequential([keras.Input((32, 32, 3)), stem, body, keras.layers.Dense(7)])


@pytest.mark.parametrize("size", [32, 40])
@pytest.mark.long
def test_a_body_that_is_a_nested_model(pretrained, digits, size):
    body, whole = stacked(pretrained)
    x, y = digits(size)
    model = finetune(whole, classes=10, unfreeze="level3", input_shape=(size, size, 3))
    plain = finetune(pretrained, classes=10, input_shape=(size, size, 3))
    np.testing.assert_allclose(
        features(model).predict(x, verbose=0), features(plain).predict(x, verbose=0), rtol=1e-6
    )
    inner = fit(model, x, y).get_layer("body")
    assert inner.input_shape[1:] == ((32, 32, 3) if size == 32 else (None, None, 3))
    before, after = values(body), values(inner)
    assert len(norms(inner)) == 6
    assert all(same(after[name], before[name]) for name in norms(inner))
    assert same(after["level2_block1_conv2"], before["level2_block1_conv2"])
    assert not same(after["level3_block1_conv2"], before["level3_block1_conv2"])


def test_statistics_of_a_normalization_are_copied(digits):
    """Keras's layer computes with values that it derived from its weights when it was built."""
    x, _ = digits(32)
    normalization = keras.layers.Normalization(name="normalization")
    normalization.adapt(7 * x + 3)
    image = keras.Input((32, 32, 3))
    y = keras.layers.GlobalAveragePooling2D()(normalization(image))
    original = keras.Model(image, keras.layers.Dense(7)(y))
    model = finetune(original, classes=10)
    expected = normalization(x)
    np.testing.assert_array_equal(model.get_layer("normalization")(x), expected)


@pytest.mark.long
@pytest.mark.parametrize(
    "policy", [pytest.param("mixed_bfloat16", marks=pytest.mark.long), "mixed_float16"]
)
def test_mixed_precision(digits, policy):
    x, y = digits(32)
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy)
        original = kapps.resnet20_cifar(classes=7)
        model = finetune(original, classes=10, unfreeze="level2")
    finally:
        keras.config.set_dtype_policy(before)
    assert model.get_layer("level2_block1_conv1").dtype_policy.name == policy
    assert {model.get_layer(name).compute_dtype for name in ("head_logits", "predictions")} == {
        "float32"
    }
    was = values(original)
    after = values(fit(model, x, y))
    assert all(same(after[name], was[name]) for name in norms(model))
    assert not same(after["level2_block1_conv1"], was["level2_block1_conv1"])


def tied():
    layers = [keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(8, name="fc")]
    return keras.Sequential([keras.Input((32, 32, 3)), *layers, keras.layers.Dense(7)], name="tied")


def test_a_body_of_fixed_size_keeps_its_size(digits):
    x, _ = digits(32)
    original = tied()
    model = finetune(original, classes=10)
    expected = keras.Model(original.inputs, original.get_layer("fc").output)
    np.testing.assert_array_equal(
        features(model).predict(x, verbose=0), expected.predict(x, verbose=0)
    )


def two_outputs():
    image = keras.Input((32, 32, 3))
    y = keras.layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, [keras.layers.Dense(2)(y), keras.layers.Dense(2)(y)])


def wrapped():
    inner = tied()
    image = keras.Input((32, 32, 3))
    return keras.Model(image, inner(image), name="wrapped")


@keras.saving.register_keras_serializable("tests")
class Hiding(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = keras.layers.BatchNormalization()

    def build(self, shape):
        self.norm.build(shape)

    def call(self, x, training=None):
        return self.norm(x, training=training)


def hiding():
    return keras.Sequential([keras.Input((3,)), Hiding(), keras.layers.Dense(2)])


@pytest.mark.parametrize(
    ("make_model", "options", "message"),
    [
        (None, {"unfreeze": "levl3"}, "Did you mean level3"),
        (None, {"unfreeze": "level1"}, "Layers begin with: stem, level2, level3"),
        (None, {"unfreeze": 2}, "unfreeze=2"),
        (None, {"batch_norm": "freeze"}, "frozen, train"),
        (None, {"classes": 0}, "integer from 2"),
        (None, {"classes": True}, "integer from 2"),
        (None, {"input_shape": (48, 48, 1)}, "3 channels"),
        (None, {"input_shape": (48, 3)}, r"input_shape=\(48, 3\)"),
        (None, {"input_shape": (0, 48, 3)}, r"input_shape=\(0, 48, 3\)"),
        (tied, {"input_shape": (48, 48, 3)}, r"'fc'.*only \(32, 32, 3\)"),
        (tied, {"input_shape": (2, 2, 3)}, r"cannot be rebuilt for images \(2, 2, 3\)"),
        (tied, {"input_shape": (None, None, 3)}, "tied"),
        (two_outputs, {}, "1 inputs and 2 outputs"),
        (wrapped, {}, "inside a nested model"),
        (hiding, {}, "batch norm inside another layer"),
        (lambda: keras.Sequential([keras.layers.Dense(2)]), {}, "has no graph"),
        (lambda: "resnet50", {}, "not str"),
    ],
)  # fmt: skip
def test_errors_are_one_line(pretrained, make_model, options, message):
    with pytest.raises(ValueError, match=message) as error:
        finetune(make_model() if make_model else pretrained, **{"classes": 10, **options})
    assert "\n" not in str(error.value)


def test_precision_applies_to_the_body_and_not_to_the_head(pretrained):
    mixed = finetune(pretrained, classes=3, precision="mixed_bfloat16")
    assert mixed.get_layer("level3_block1_conv1").compute_dtype == "bfloat16"
    assert mixed.get_layer("level3_block1_conv1").output.dtype == "bfloat16"
    assert mixed.get_layer("head_logits").compute_dtype == mixed.output.dtype == "float32"
    back = finetune(mixed, classes=3, precision="float32")
    assert {layer.compute_dtype for layer in back.layers} == {"float32"}
    original, new = values(pretrained), values(back)
    assert all(same(original[name], new[name]) for name in norms(back))
    as_saved = finetune(mixed, classes=3)
    assert as_saved.get_layer("level3_block1_conv1").compute_dtype == "bfloat16"


class Unknown(keras.layers.Layer):
    """A layer that is not registered."""

    def call(self, x):
        return x


def test_a_file_that_cannot_be_loaded_is_an_error_of_one_line(tmp_path):
    image = keras.Input((8, 8, 3))
    keras.Model(image, Unknown()(image)).save(tmp_path / "unknown.keras")
    keras.Model(image, keras.layers.Lambda(lambda x: x + 1)(image)).save(tmp_path / "code.keras")
    (tmp_path / "cut.keras").write_bytes((tmp_path / "code.keras").read_bytes()[:500])
    (tmp_path / "model.h5").write_bytes((tmp_path / "code.keras").read_bytes())
    messages = {
        "unknown.keras": "cannot be loaded: Could not locate class 'Unknown'",
        "code.keras": "cannot be loaded: Requested the deserialization of a `Lambda` layer",
        "cut.keras": "is not a complete .keras file",
        "model.h5": "is not a complete .keras file",
        "nothing.keras": "does not exist",
    }
    for name, message in messages.items():
        with pytest.raises(ValueError) as error:
            load_model(tmp_path / name)
        assert message in str(error.value) and name in str(error.value)
        assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_a_model_without_trainable_layers_is_an_error():
    model = kapps.resnet20_cifar(include_top=False)
    with pytest.raises(ValueError, match="nothing trains at 'head'"):
        set_trainable(model, unfreeze="head")


def test_numbers_in_names_match_completely():
    layers = [keras.layers.Dense(2, name=f"level{level}_dense") for level in (10, 1)]
    model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(2, name="out")])
    set_trainable(model, unfreeze="level1")
    assert [layer.name for layer in model.layers if layer.trainable] == ["level1_dense", "out"]


def test_every_argument_is_described():
    for function in (finetune, set_trainable):
        for parameter in inspect.signature(function).parameters:
            assert f"        {parameter}: " in function.__doc__, parameter
