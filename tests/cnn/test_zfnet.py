"""ZFNet: map sizes of Figure 3, and normalisation after pooling."""

import keras

import kapps


def test_map_sizes_of_figure_3():
    model = kapps.zfnet(include_top=False, input_shape=(224, 224, 3))
    kinds = (keras.layers.Conv2D, keras.layers.MaxPooling2D)
    shapes = [layer.output.shape[1:] for layer in model.layers if isinstance(layer, kinds)]
    sides, widths = [110, 55, 26, 13, 13, 13, 13, 6], [96, 96, 256, 256, 384, 384, 256, 256]
    assert [shape[0] for shape in shapes] == sides and [shape[2] for shape in shapes] == widths


def test_normalisation_follows_the_first_two_poolings():
    model = kapps.zfnet(include_top=False, input_shape=(64, 64, 3))
    names = " ".join(layer.name for layer in model.layers if "pad" not in layer.name)
    assert "stem_conv level2_pool level2_norm level3_conv1 level4_pool level4_norm" in names


def test_filters_of_zfnet_wide():
    model = kapps.zfnet_wide(include_top=False, input_shape=(64, 64, 3))
    filters = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [96, 256, 512, 1024, 512]
