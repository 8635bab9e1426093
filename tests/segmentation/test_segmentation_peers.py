"""torchvision's segmentation networks: the same outputs with the same weights, and files that load by name."""

import keras
import numpy as np
import pytest

import kapps
from kapps.segmentation import deeplab_v3, fcn
from kapps.weights import loading

NETWORKS = {"fcn": fcn, "deeplab_v3": deeplab_v3}


def peer(name):
    """Returns torchvision's network over a ResNet of one bottleneck a stage, with random weights and statistics."""
    import torch
    from torchvision.models import resnet, segmentation
    from torchvision.models._utils import IntermediateLayerGetter

    torch.manual_seed(0)
    body = resnet.ResNet(
        resnet.Bottleneck, [1, 1, 1, 1], replace_stride_with_dilation=[False, True, True]
    )
    body = IntermediateLayerGetter(body, {"layer4": "out", "layer3": "aux"})
    auxiliary = segmentation.fcn.FCNHead(1024, 21)
    if name == "fcn":
        model = segmentation.FCN(body, segmentation.fcn.FCNHead(2048, 21), auxiliary)
    else:
        head = segmentation.deeplabv3.DeepLabHead(2048, 21)
        model = segmentation.DeepLabV3(body, head, auxiliary)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.5, 1.5)
            norm.bias.normal_(0, 0.2)
            norm.momentum = 1.0
        model.train()(torch.randn(2, 3, 48, 48))
        for norm in norms:
            norm.running_mean.add_(0.1 * torch.randn_like(norm.running_mean))
            norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.7, 1.4))
    return model.eval()


@pytest.mark.peers
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_equal_torchvisions(name, operations, tmp_path):
    import torch

    other = peer(name)
    path = tmp_path / f"{name}.pth"
    torch.save(other.state_dict(), path)
    body = kapps.families.resnet(
        depths=(1, 1, 1, 1), include_top=False, input_shape=(None, None, 3)
    )  # fmt: skip
    options = {"output_stride": 8, "auxiliary": "level4_block1_out", "classifier_activation": None}
    ours = NETWORKS[name](body, 21, **options)
    loading.load(ours, path, name, "segmentation", 21, options={})
    for size in ((48, 48), (49, 66)):
        images = np.random.default_rng(0).normal(size=(1, *size, 3)).astype("float32")
        with torch.no_grad():
            expected = other(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
        for y, key in zip(ours(images, training=False), ("out", "aux"), strict=True):
            values = expected[key].numpy().transpose(0, 2, 3, 1)
            y = keras.ops.convert_to_numpy(y)
            assert np.abs(y - values).max() < 1e-4 * np.abs(values).max()
