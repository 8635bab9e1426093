"""torchvision's segmentation networks: the same outputs with the same weights, through files too."""

import keras
import numpy as np
import pytest

import kapps
from kapps.weights import from_torch
from kapps.weights.names.segmentation import torchvision

PEERS = {"fcn_resnet50": "fcn_resnet50", "deeplab_v3_resnet50": "deeplabv3_resnet50"}


def peer(name):
    """Returns torchvision's network with random weights and statistics."""
    import torch
    import torchvision.models.segmentation as segmentation

    torch.manual_seed(0)
    model = getattr(segmentation, name)(
        weights=None, weights_backbone=None, num_classes=21, aux_loss=True
    )
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.2)
            norm.momentum = 1.0
        model.train()(torch.randn(4, 3, 64, 64))
        for norm in norms:
            norm.running_mean.add_(0.1 * torch.randn_like(norm.running_mean))
            norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.7, 1.4))
    return model.eval()


@pytest.mark.peers
@pytest.mark.parametrize("name", PEERS)
def test_outputs_equal_torchvisions(name, operations, tmp_path):
    import torch

    other = peer(PEERS[name])
    path = tmp_path / f"{name}.pth"
    torch.save(other.state_dict(), path)
    build = getattr(kapps.segmentation, name)
    for size in ((64, 64), (65, 90)):
        ours = build(path, (*size, 3), auxiliary=True, classifier_activation=None)
        images = np.random.default_rng(0).normal(size=(1, *size, 3)).astype("float32")
        with torch.no_grad():
            expected = other(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
        for y, key in zip(ours(images, training=False), ("out", "aux"), strict=True):
            values = expected[key].numpy().transpose(0, 2, 3, 1)
            y = keras.ops.convert_to_numpy(y)
            assert np.abs(y - values).max() < 1e-4 * np.abs(values).max()
    # A model without the auxiliary classifier, and one of other classes, which keeps a random classifier.
    state = {key: tensor.numpy() for key, tensor in other.state_dict().items()}
    fewer = build(None, (64, 64, 3), classes=5)
    classifier = fewer.get_layer("head_logits").get_weights()[0]
    from_torch(fewer, state, torchvision, 21)
    np.testing.assert_array_equal(fewer.get_layer("head_logits").get_weights()[0], classifier)
    np.testing.assert_array_equal(
        fewer.get_layer("head_conv_bn").get_weights()[0],
        state[f"classifier.{1 + name.startswith('deeplab')}.weight"],
    )
