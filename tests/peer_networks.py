"""Networks of torchvision, timm and pytorchcv with random weights. PyTorch is imported where it is needed."""

PLAIN = {
    name: {"aux_logits": False, "init_weights": False} for name in ("googlenet", "inception_v3")
}
"""Arguments of torchvision's networks without auxiliary classifiers, which run only in training."""


def create(library, name):
    """Returns a network of another library; those of pytorchcv take images of any size."""
    if library == "timm":
        import timm

        return timm.create_model(name)
    if library == "pytorchcv":
        from pytorchcv.model_provider import get_model

        return with_global_pooling(get_model(name))
    import torchvision.models

    return torchvision.models.get_model(name, **PLAIN.get(name, {}))


def with_global_pooling(network):
    """Returns a network of pytorchcv whose last pooling reads maps of any size, and not only of 7x7."""
    import torch

    if isinstance(getattr(network.features, "final_pool", None), torch.nn.AvgPool2d):
        network.features.final_pool = torch.nn.AdaptiveAvgPool2d(1)
    return network
