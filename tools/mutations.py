"""Applies faults to a copy of the project, one at a time, and shows which test detects each.

    python tools/mutations.py                # all faults
    python tools/mutations.py --only lstm    # those whose description contains a text
    python tools/mutations.py --check        # only tests that each text to replace occurs once

For each fault the tests of its selection run until the first failure, in the default tier, or in the tier `changed`
where the entry says so. A fault counts as detected only if the test that failed passes without the fault. The exit
status is 1 if a fault is not detected, or if a text to replace does not occur exactly once.
"""

import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from kapps import _errors
from kapps._arguments import Parser

ROOT = pathlib.Path(__file__).parents[1]
GRAPH, IMAGES, SEQUENCES = (
    "tests/test_graph.py",
    "tests/test_conformance.py",
    "tests/test_sequence_conformance.py",
)
LOGITS = "tests/cnn/test_peer_logits.py"


@dataclasses.dataclass(frozen=True)
class Mutation:
    """A fault.

    Args:
        fault: what is wrong, in a few words.
        file: path in the project.
        old: text to replace; it occurs once.
        new: replacement.
        tests: arguments of pytest: files, then -k or --deselect.
        tier: "default" or "changed".
    """

    fault: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    tier: str = "default"


def _mutation(fault, file, old, new, *tests, tier="default"):
    return Mutation(fault, file, old, new, tests, tier)


MUTATIONS = [
    # Builders and heads.
    _mutation("level off by one", "kapps/builders/pyramid.py", "math.frexp(stride)[1] - 1", "math.frexp(stride)[1]", GRAPH, "-k", "levels and (resnet or vgg)"),
    _mutation("blocks numbered from 0", "kapps/builders/levels.py", "            block += 1\n", "            block += 1 if i else 0\n", GRAPH, "-k", "resnet18", "tests/builders"),
    _mutation("a later stage keeps its resolution", "kapps/builders/levels.py", "strides = [1, *[2] * (len(depths) - 1)]", "strides = [1] * len(depths)", GRAPH, "-k", "resnet18"),
    _mutation("logits in half precision", "kapps/heads.py", 'x = layers.Dense(classes, activation="relu", dtype="float32", name="head_logits")(x)', 'x = layers.Dense(classes, activation="relu", name="head_logits")(x)', IMAGES, "tests/test_heads.py", "-k", "nin_cifar and policy or test_heads"),
    _mutation("predictions without the activation", "kapps/heads.py", 'x = layers.Activation(activation or "linear", dtype="float32", name="head_pixel_predictions")(x)', 'x = layers.Activation("linear", dtype="float32", name="head_pixel_predictions")(x)', "tests/test_heads.py"),
    _mutation("hidden dense layers without activation", "kapps/heads.py", "activation=hidden_activation, name=", "name=", LOGITS, "-k", "alexnet or vgg"),
    # Families.
    _mutation("ResNet: shortcut not added", "kapps/cnn/resnet.py", 'x = layers.Add(name=f"{name}_add")([x, y])', 'x = layers.Add(name=f"{name}_add")([y, y])', GRAPH, LOGITS, "-k", "resnet18"),
    _mutation("ResNet: missing activation", "kapps/cnn/resnet.py", 'x, filters, 3, strides=strides, dilation=first_dilation or dilation, activation="relu",', 'x, filters, 3, strides=strides, dilation=first_dilation or dilation,', LOGITS, "-k", "resnet18"),
    _mutation("ResNet: stride in the other convolution", "kapps/cnn/resnet.py", '{"3x3": (1, strides), "1x1": (strides, 1)}', '{"3x3": (strides, 1), "1x1": (1, strides)}', GRAPH, "-k", "resnet50"),
    _mutation("ResNet: wrong group width", "kapps/cnn/resnet.py", "inner = filters * groups * group_width // 64", "inner = filters * groups * group_width // 32", GRAPH, "-k", "resnext50"),
    _mutation("SqueezeNet: swapped branches", "kapps/cnn/squeezenet.py", "([expand1x1, expand3x3])", "([expand3x3, expand1x1])", LOGITS, "-k", "squeezenet"),
    _mutation("SqueezeNet: padded on the other side", "kapps/cnn/squeezenet.py", "padding=(0, 1)", "padding=(1, 0)", LOGITS, "-k", "squeezenet"),
    _mutation("GoogLeNet: swapped branches", "kapps/cnn/googlenet.py", "([a, b, c, d])", "([a, c, b, d])", LOGITS, "-k", "googlenet"),
    _mutation("GoogLeNet: another beta of normalisation", "kapps/cnn/googlenet.py", "beta=0.75, name=name", "beta=0.5, name=name", "tests/cnn/test_googlenet.py"),
    _mutation("Xception: another epsilon", "kapps/cnn/xception.py", "EPSILON = 1e-3", "EPSILON = 1e-5", "tests/cnn/test_xception.py"),
    _mutation("Xception: a block without its first activation", "kapps/cnn/xception.py", '(x, (256, 256), name="level3_block1")', '(x, (256, 256), activate=False, name="level3_block1")', "tests/cnn/test_xception.py"),
    _mutation("SKNet: another dilation", "kapps/cnn/sknet.py", "    dilation = 2\n", "    dilation = 3\n", "tests/cnn/test_sknet.py"),
    _mutation("SKNet: weights of the paths swapped", "kapps/cnn/sknet.py", 'name=f"{name}_selected")([b, difference])', 'name=f"{name}_selected")([a, difference])', "tests/cnn/test_sknet.py"),
    _mutation("ShuffleNet V2: channels not shuffled", "kapps/cnn/shufflenet_v2.py", '    x = layers.Concatenate(name=f"{name}_concat")([shortcut, y])\n    return channel_shuffle(x, 2, name=f"{name}_shuffle")\n\n\ndef downsampling', '    x = layers.Concatenate(name=f"{name}_concat")([shortcut, y])\n    return x\n\n\ndef downsampling', LOGITS, "-k", "shufflenet_v2"),
    _mutation("DenseNet: features in another order", "kapps/cnn/densenet.py", 'name=f"{name}_concat")([x, y])', 'name=f"{name}_concat")([y, x])', LOGITS, "-k", "densenet"),
    _mutation("VGG: biases before batch norm left out", "kapps/cnn/vgg.py", "partial(conv_bn, use_bias=True,", "partial(conv_bn, use_bias=False,", GRAPH, "-k", "vgg11_bn"),
    _mutation("DenseNet: a pooling in half precision", "kapps/cnn/densenet.py", 'return layers.AveragePooling2D(2, name=', 'return layers.AveragePooling2D(2, dtype="float16", name=', LOGITS, "-k", "densenet"),
    _mutation("DenseNet: other layers if the size is not known", "kapps/cnn/densenet.py", 'return layers.AveragePooling2D(2, name=', 'return layers.AveragePooling2D(2 if x.shape[1] else 3, name=', IMAGES, "-k", "densenet and any_size", tier="changed"),
    _mutation("ResNet: an activation that cannot be loaded", "kapps/cnn/resnet.py", 'return layers.Activation("relu", name=f"{name}_out")(x)', 'return layers.Activation(lambda y: y * (y > 0).astype(y.dtype) if False else abs(y), name=f"{name}_out")(x)', IMAGES, "-k", "resnet and new_process", tier="changed"),
    _mutation("TCN: a dilation of 2^(n+1)", "kapps/recurrent/tcn.py", "kernel_size, 2**i, dropout", "kernel_size, 2 ** (i + 1), dropout", "tests/recurrent/test_tcn.py"),
    _mutation("TCN: not causal", "kapps/recurrent/tcn.py", 'padding="causal"', 'padding="same"', SEQUENCES, "-k", "tcn and later"),
    _mutation("encoder-decoder: source not reversed", "kapps/recurrent/encoder_decoder.py", "    if reverse:\n", "    if not reverse:\n", "tests/recurrent/test_encoder_decoder.py"),
    _mutation("Transformer: decoder without the causal mask", "kapps/attention/transformer.py", "partial(attention, causal=True)", "attention", SEQUENCES, "-k", "transformer and later"),
    # Layers.
    _mutation("batch norm: another momentum", "kapps/layers/convolution.py", "epsilon=1e-5, momentum=0.9", "epsilon=1e-5, momentum=0.99", "tests/layers/test_convolution.py"),
    _mutation("batch norm: another epsilon", "kapps/layers/convolution.py", "epsilon=1e-5, momentum=0.9", "epsilon=1e-4, momentum=0.9", LOGITS, "-k", "resnet18"),
    _mutation("convolution: padded on the right and bottom only", "kapps/layers/padding.py", "layers.ZeroPadding2D((height // 2, width // 2)", "layers.ZeroPadding2D(((0, height - 1), (0, width - 1))", LOGITS, "-k", "resnet18"),
    _mutation("convolution with ReLU: dropped bias", "kapps/layers/convolution.py", "padding=padding, use_bias=True,", "padding=padding, use_bias=False,", GRAPH, "-k", "squeezenet"),
    _mutation("convolution: wrong groups", "kapps/layers/convolution.py", "        groups=groups,\n        use_bias=use_bias,\n        activation=activation,", "        groups=1,\n        use_bias=use_bias,\n        activation=activation,", GRAPH, "-k", "resnext50"),
    _mutation("squeeze and excitation: ReLU instead of sigmoid", "kapps/layers/squeeze_excite.py", 'activation=gate', 'activation="relu"', LOGITS, "-k", "efficientnet"),
    _mutation("grouped convolution: output without bias", "kapps/layers/grouped_convolution.py", "        if self.use_bias:\n", "        if False:\n", "tests/layers/test_grouped_convolution.py"),
    _mutation("faster forms of layers: wrong registered name", "kapps/layers/_faster_form.py", 'register_keras_serializable("kapps")(layer_class)', 'register_keras_serializable("kapps", name="Grouped")(layer_class)', GRAPH, "-k", "resnext50"),
    _mutation("channel shuffle: groups and channels swapped", "kapps/layers/channels.py", "(-1, self.groups, channels // self.groups))\n        x = keras", "(-1, channels // self.groups, self.groups))\n        x = keras", "tests/layers/test_channels.py"),
    _mutation("local response normalisation: window one channel off", "kapps/layers/lrn.py", "(self.size // 2, self.size // 2)", "(self.size // 2 + 1, self.size // 2)", "tests/layers/test_lrn.py"),
    _mutation("peephole LSTM: gates in another order", "kapps/layers/recurrent_cells.py", "i, f = ops.unstack(self.recurrent_activation(z_if), axis=1)", "f, i = ops.unstack(self.recurrent_activation(z_if), axis=1)", "tests/layers/test_recurrent_cells.py"),
    _mutation("fast LSTM: wrong gradient of the output gate", "kapps/layers/_recurrence.py", "dh * tanh_c * o * (1 - o)", "dh * tanh_c * o", "tests/layers/test_fast_recurrent.py"),
    _mutation("fast recurrent layers: masked steps pass no gradient", "kapps/layers/_recurrence.py", "[(1 - here) * d for d in dy]", "[0 * d for d in dy]", "tests/layers/test_fast_recurrent.py"),
    _mutation("coupled LSTM: forget and input swapped", "kapps/layers/recurrent_cells.py", "c = f * c + (1 - f) * self.activation(z_c)", "c = (1 - f) * c + f * self.activation(z_c)", "tests/layers/test_recurrent_cells.py"),
    _mutation("weight norm: over one axis less", "kapps/layers/weight_norm.py", "axis=(0, 1)", "axis=0", "tests/layers/test_weight_norm.py"),
    _mutation("binary convolution: alpha over all filters", "kapps/layers/binary_convolution.py", "alpha = ops.mean(magnitudes, axis=(0, 1, 2))", "alpha = ops.mean(magnitudes) + 0 * w[0, 0, 0]", "tests/layers/test_binary_convolution.py"),
    _mutation("binary convolution: gradient without 1/n", "kapps/layers/binary_convolution.py", "path + 1 / (n * ops.maximum(alpha, 1e-12))", "path + 0 * alpha", "tests/layers/test_binary_convolution.py"),
    _mutation("packed kernels: bits in the other order", "kapps/layers/binary_convolution.py", "np.arange(7, -1, -1", "np.arange(0, 8, 1", "tests/layers/test_binary_convolution.py"),
    _mutation("cross-layer convolution: first weights of 1", "kapps/layers/cross_layer_depthwise.py", '"gamma": 1 / len(shapes)', '"gamma": 1', "tests/layers/test_cross_layer_depthwise.py"),
    _mutation("cross-layer convolution: frozen layers update their averages", "kapps/layers/cross_layer_depthwise.py", "if training and self.trainable:", "if training:", "tests/layers/test_cross_layer_depthwise.py"),
    _mutation("aligned corners: edges are aligned", "kapps/layers/align_corners_resize.py", "ops.cast(length - 1, dtype)", "ops.cast(length, dtype)", "tests/layers/test_align_corners_resize.py"),
    _mutation("PolyNet: each order reads the first", "kapps/cnn/polynet.py", "_relu\")(paths[-1])", "_relu\")(paths[0])", "tests/cnn/test_polynet.py"),
    _mutation("residual attention: M T without T", "kapps/cnn/residual_attention.py", "([trunk, x])\n    return", "([x, x])\n    return", "tests/cnn/test_residual_attention.py"),
    _mutation("positional encoding: another wavelength", "kapps/layers/positional_encoding.py", "10000.0 **", "1000.0 **", "tests/layers/test_positional_encoding.py"),
    _mutation("attention: scores not scaled", "kapps/layers/self_attention.py", " * self.key_dim**-0.5", "", "tests/layers/test_self_attention.py"),
    _mutation("local attention: half the window", "kapps/layers/encoder_decoder_attention.py", "ops.exp(-2 * ops.square(distance / self.width))", "ops.exp(-1 * ops.square(distance / self.width))", "tests/layers/test_encoder_decoder_attention.py"),
    _mutation("mixture of experts: one expert less", "kapps/layers/sparse_mixture_of_experts.py", "chosen = ops.top_k(h, self.k)[1]", "chosen = ops.top_k(h, self.k - 1)[1]", "tests/recurrent/test_mixture_of_experts.py"),
    # Generation.
    _mutation("decoding: the causal mask is one step off", "kapps/generation/_keras_adapters.py", "mask = steps <= position", "mask = steps < position", SEQUENCES, "-k", "transformer and single"),
    _mutation("decoding: keys written to the next position", "kapps/generation/_keras_adapters.py", "is_this_step = (steps == position)", "is_this_step = (steps == position + 1)", SEQUENCES, "-k", "transformer and single"),
    _mutation("sampling: temperature multiplied", "kapps/generation/samplers.py", "ops.softmax(logits / temperature", "ops.softmax(logits * temperature", "tests/generation/test_decoding_loop.py"),
    _mutation("beam search: another length penalty", "kapps/generation/samplers.py", "((5.0 + length) / 6.0) ** alpha", "((5.0 + 2.0 * length) / 6.0) ** alpha", "tests/generation/test_text_generation.py"),
    # Training.
    _mutation("label smoothing: wrong sign", "kapps/training/losses.py", "losses + self.label_smoothing *", "losses - self.label_smoothing *", "tests/training/test_losses.py"),
    _mutation("warmup: one step late", "kapps/training/schedules.py", '+ 1  # Keras counts from 0', '+ 0  # Keras counts from 0', "tests/training/test_schedules.py"),
    _mutation("segmentation: labels and predictions exchanged", "kapps/training/segmentation_metrics.py", "labels * classes + predictions, 0)", "predictions * classes + labels, 0)", "tests/training/test_segmentation_metrics.py"),
    _mutation("segmentation: void pixels in the divisor of the loss", "kapps/training/losses.py", "keras.ops.mean(weights), 1e-7)", "keras.ops.mean(weights) * 0 + 1, 1e-7)", "tests/training/test_segmentation_metrics.py"),
    _mutation("segmentation: the image is mirrored without its mask", "kapps/data/segmentation/mask_pipeline.py", "return augment.random_flip(pair, augment.fold_in(seed, 1)) if flip else pair", "return tf.concat([augment.random_flip(image, augment.fold_in(seed, 1)), mask], -1) if flip else pair", "tests/data/segmentation"),
    _mutation("learning rate not scaled by the batch size", "kapps/training/image_schedules.py", "(batch_size * accumulation / 256) ** self.scaling", "1.0", "tests/training/test_image_schedules.py"),
    _mutation("LAMB: momentum of the wrong beta", "kapps/training/optimizers.py", "(gradient - mean) * (1 - self.beta_1)", "(gradient - mean) * (1 - self.beta_2)", "tests/training/test_optimizers.py"),
    _mutation("checkpoint without the carried states", "kapps/training/checkpoint_state.py", "*model.optimizer.variables, *list_carried_states(model)]", "*model.optimizer.variables]", "tests/training/test_checkpoints.py"),
    _mutation("images: the EXIF orientation is ignored", "kapps/data/image/decode_image.py", "        image = _orientation.turn(image, orientation)\n", "        pass\n", "tests/data/image/test_image_variants.py"),
    _mutation("data: a changed file of a class is not noticed", "kapps/training/run_identity.py", "        if saved_data != data:\n", "        if saved_data.keys() != data.keys():\n", "tests/data/test_identity.py"),
    _mutation("checkpoint without the optimizer's state", "kapps/training/checkpoint_state.py", "[*model.variables, *model.optimizer.variables, *list", "[*model.variables, *list", "tests/training/test_checkpoints.py"),
    _mutation("metrics of an interrupted epoch are lost", "kapps/training/checkpoints.py", "sums = [a + b for a, b in zip(self._metrics, sums, strict=True)]", "pass", "tests/training/test_checkpoints.py"),
    # Data.
    _mutation("preprocessing: standard deviation multiplied", "kapps/data/image/pipeline.py", "preprocessing.scale / std, width", "preprocessing.scale * std, width", "tests/data/image"),
    _mutation("evaluation crop one pixel off", "kapps/data/image/decode_image.py", "(resized - [height, width]) / 2)", "(resized - [height, width]) / 2 + 1)", "tests/data/image"),
    _mutation("training and validation overlap", "kapps/data/image/layout.py", "is_held_out(relative(name)) == evaluation", "not is_held_out(relative(name))", "tests/data/image"),
    _mutation("CIFAR-10: another mean", "kapps/preprocessing.py", "mean=(0.4914, 0.4822, 0.4465)", "mean=(0.4914, 0.4822, 0.4065)", "tests/test_cards.py", "tests/data/image", "tests/cnn/test_resnet_cifar.py"),
    _mutation("translation: padding has weight", "kapps/data/translation/token_batches.py", "weights *= tf.cast(positions < members, tf.float32)[:, None]", "weights *= 1.0", "tests/data/translation"),
    _mutation("captions: padding is part of the doubly stochastic penalty", "kapps/layers/caption_decoder.py", "totals = ops.sum(alpha * is_word, axis=1)", "totals = ops.sum(alpha, axis=1)", "tests/attention/test_show_attend_tell.py"),
    _mutation("captions: the first word reads the start token", "kapps/layers/time_steps.py", "return ops.pad(inputs[:, 1:], ((0, 0), (1, 0), (0, 0)))", "return inputs", "tests/attention/test_show_attend_tell.py"),
    _mutation("pointer network: padding can be pointed at", "kapps/layers/pointers.py", "return ops.where(mask, scores, ops.cast(HIDDEN_SCORE, scores.dtype))", "return scores", "tests/attention/test_pointer_network.py"),
    _mutation("tours: a city twice", "kapps/generation/_decoding_loop.py", "return ops.where(is_chosen, HIDDEN_SCORE, logits)", "return logits", "tests/attention/test_pointer_network.py"),
    _mutation("shortest tours: not closed", "kapps/data/sequence/planar_tasks.py", "(length[:, -1] + distance[:, 1:, 0]).argmin(axis=1)", "length[:, -1].argmin(axis=1)", "tests/data/sequence/test_planar_tasks.py"),
    _mutation("SNAIL: dilations do not grow", "kapps/attention/snail.py", "first_dilation * 2**i", "first_dilation * 2", "tests/attention/test_snail.py"),
    _mutation("SNAIL: one dense block less", "kapps/attention/snail.py", "math.ceil(math.log2(steps))", "math.floor(math.log2(steps))", GRAPH, "-k", "snail"),
    _mutation("copying task: one blank less", "kapps/data/sequence/synthetic_tasks.py", "tf.zeros(blanks - 1, tf.int32), tf.fill([11], 9)", "tf.zeros(blanks, tf.int32), tf.fill([10], 9)", "tests/data/sequence"),
    # Export.
    _mutation("folding: epsilon left out", "kapps/export/fold.py", 'np.sqrt(values["moving_variance"] + norm.epsilon)', 'np.sqrt(values["moving_variance"])', "tests/export/test_fold.py"),
    _mutation("folding: shift without the bias", "kapps/export/fold.py", "kernel, shift + scale * bias]", "kernel, shift + 0 * bias]", "tests/export/test_fold.py"),
    _mutation("export: preprocessing without the mean", "kapps/export/inference_model.py", "offset = [-m / s for", "offset = [0 * m / s for", "tests/export/test_inference_model.py", "tests/export/saved_model"),
    _mutation("export: weights not copied", "kapps/export/_float32.py", "        _copy_weights(layer, copy)", "        pass", "tests/export/test_inference_model.py", "tests/export/tflite"),
    _mutation("TFLite metadata: wrong range of pixels", "kapps/export/tflite/_metadata.py", "[255.0] * channels", "[1.0] * channels", "tests/export/tflite"),
    _mutation("verification accepts any difference", "kapps/export/verify.py", "not self.largest_difference <= allowed", "self.largest_difference != self.largest_difference", "tests/export/test_verify.py"),
    # Analysis and weights.
    _mutation("profile: depthwise counted as a full convolution", "kapps/analysis/cost_rules/convolution_costs.py", "macs = size(outputs[0]) * math.prod(layer.kernel_size)\n", "macs = size(outputs[0]) * math.prod(layer.kernel_size) * 2\n", GRAPH, "-k", "mobilenet_v1"),
    _mutation("profile: groups ignored", "kapps/analysis/cost_rules/convolution_costs.py", "channels(inputs[0], layer.data_format) // layer.groups", "channels(inputs[0], layer.data_format)", GRAPH, "-k", "resnext50"),
    _mutation("receptive field one pixel smaller", "kapps/analysis/receptive_field.py", "return ReceptiveField(math.floor(self.high - self.low) + 1,", "return ReceptiveField(math.floor(self.high - self.low),", "tests/analysis/test_receptive_field.py"),
    _mutation("weights: a grey image's kernel is the mean", "kapps/weights/_assign.py", "kernel.sum(axis=2, keepdims=True)", "kernel.mean(axis=2, keepdims=True)", "tests/weights/test_loading.py"),
    _mutation("weights: a flattened map in another order", "kapps/weights/torch_state_dict.py", "array.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)", "array.reshape(-1, height, width, channels)", LOGITS, "-k", "alexnet"),
    _mutation("weights: Keras's biases before norms lost", "kapps/weights/keras_applications.py", 'mean = mean - biases.pop(layer.name.removesuffix("_bn"), 0)', 'biases.pop(layer.name.removesuffix("_bn"), 0)', "tests/weights/test_keras_applications.py"),
    _mutation("weights: name map of a layer", "kapps/weights/names/resnet.py", '"shortcut_bn": "downsample.1"', '"shortcut_bn": "downsample.0"', LOGITS, "tests/weights", "-k", "resnet18 or loading"),
    _mutation("spectral norm: the vector is not stored", "kapps/layers/spectral_norm.py", "if training:\n            self.u.assign(u)", "if not training:\n            self.u.assign(u)", "tests/layers/test_spectral_norm.py"),
    _mutation("spectral norm: no gradient of the singular value", "kapps/layers/spectral_norm.py", "sigma = ops.sum(v * ops.matmul(matrix, u))", "sigma = ops.sum(v * ops.matmul(fixed, u))", "tests/layers/test_spectral_norm.py"),
    _mutation("class affine: the scale of the first class for all", "kapps/layers/conditional_batch_norm.py", "ops.take(table, label, axis=0)", "ops.take(table, 0 * label, axis=0)", "tests/layers/test_conditional_batch_norm.py"),
    _mutation("pixel attention: softmax over the queries", "kapps/layers/pixel_attention.py", "ops.softmax(scores, axis=-1)", "ops.softmax(scores, axis=-2)", "tests/layers/test_pixel_attention.py"),
    _mutation("adversarial training: the optimizers exchanged", "kapps/training/adversarial.py", "generator_optimizer if id(x) in of_generator else discriminator_optimizer", "discriminator_optimizer if id(x) in of_generator else generator_optimizer", "tests/training/test_adversarial.py"),
    _mutation("adversarial training: evaluations repeat the noise of a batch", "kapps/training/adversarial.py", "first = tf.cast(self.means[0].count, tf.int32)", "first = tf.cast(0 * self.means[0].count, tf.int32)", "tests/training/test_adversarial.py"),
    _mutation("Frechet distance: without the shared covariance", "kapps/training/metrics.py", "- 2 * shared", "- 0 * shared", "tests/training/test_frechet_distance.py"),
]  # fmt: skip


def copy_project(folder):
    """Copies the project's tracked and new files into a folder."""
    command = ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git = ["git", "-C", folder, "-c", "user.name=kapps", "-c", "user.email=kapps"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "copy"]):
        subprocess.run([*git, *command], check=True)


def run_tests(folder, tests, tier):
    """Returns the first failed test, None if all pass, or "error: ..." where no test could run."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--tb=no",
        *tests,
    ]
    # The fault is the only change since the copy's commit: long tests of its package run too.
    markers = "not peers and not browser and not changed and not unchanged"
    command += ["-m", "changed" if tier == "changed" else markers]
    environment = {
        **os.environ,
        "PYTHONPATH": str(folder),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KAPPS_SINCE": "HEAD",
    }
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    if result.returncode == 0:
        return None
    match = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", result.stdout, re.MULTILINE)
    if match is None:
        return f"error: pytest exits with {result.returncode}"
    return match[1]


def check(mutations):
    """Prints the mutations whose text does not occur exactly once, and returns whether there are none."""
    unusable = [
        m for m in mutations if (ROOT / m.file).read_text(encoding="utf-8").count(m.old) != 1
    ]
    for m in unusable:
        print(
            f"{m.fault}: the text occurs {(ROOT / m.file).read_text(encoding='utf-8').count(m.old)} times in {m.file}"
        )
    return not unusable


def examine(folder, mutation):
    """Returns the first test that fails with a fault and passes without it, or a reason why there is none."""
    path = folder / mutation.file
    original = path.read_text(encoding="utf-8")
    path.write_text(original.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        failed = run_tests(folder, mutation.tests, mutation.tier)
    finally:
        path.write_text(original, encoding="utf-8")
    if failed is None:
        return False, "NOT DETECTED"
    if failed.startswith("error"):
        return False, failed
    if mutation.tier == "changed":  # without a change its tests do not run
        return True, failed
    # An error at collection names a file: then the whole selection must pass without the fault.
    again = run_tests(folder, [failed] if "::" in failed else mutation.tests, mutation.tier)
    return (True, failed) if again is None else (False, f"{failed} fails without the fault too")


def main():
    """Runs the mutations and prints the table."""
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default="", help="run the faults whose description contains this text"
    )
    parser.add_argument(
        "--numbers", default="1-999", help="run the faults of these numbers, such as 1-20"
    )
    parser.add_argument("--check", action="store_true", help="run no tests")
    arguments = parser.parse_args()
    numbers = re.fullmatch(r"(\d+)-(\d+)", arguments.numbers)
    if not numbers:
        parser.error(f"--numbers={arguments.numbers}: pass a range of numbers, such as 1-20")
    first, last = map(int, numbers.groups())
    mutations = [
        m for m in MUTATIONS[first - 1 : last] if arguments.only.lower() in m.fault.lower()
    ]
    usable = check(mutations)
    if arguments.check or not usable:
        return 0 if usable else 1
    detected = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        copy_project(folder)
        for number, mutation in enumerate(mutations, start=first):
            began = time.monotonic()
            is_detected, text = examine(folder, mutation)
            detected += is_detected
            seconds = time.monotonic() - began
            print(
                f"{number:3} {mutation.fault:52} {mutation.tier:8} {seconds:5.0f} s  {text}",
                flush=True,
            )
    print(f"{detected} of {len(mutations)} faults are detected")
    return 0 if detected == len(mutations) else 1


if __name__ == "__main__":
    sys.exit(_errors.run(main, "mutations.py"))
