"""ZFNet: the maps of its paper's Figure 3, and contrast normalised after pooling."""

import keras

import kapps


def test_maps_are_those_of_figure_3():
    model = kapps.zfnet(include_top=False, input_shape=(224, 224, 3))
    kinds = (keras.layers.Conv2D, keras.layers.MaxPooling2D)
    found = [layer.output.shape[1:] for layer in model.layers if isinstance(layer, kinds)]
    sides, widths = [110, 55, 26, 13, 13, 13, 13, 6], [96, 96, 256, 256, 384, 384, 256, 256]
    assert [shape[0] for shape in found] == sides and [shape[2] for shape in found] == widths


def test_contrast_is_normalised_after_the_first_two_poolings():
    model = kapps.zfnet(include_top=False, input_shape=(64, 64, 3))
    names = " ".join(layer.name for layer in model.layers if "pad" not in layer.name)
    assert "stem_conv level2_pool level2_norm level3_conv1 level4_pool level4_norm" in names


def test_the_wide_one_has_table_2s_maps():
    model = kapps.zfnet_wide(include_top=False, input_shape=(64, 64, 3))
    found = [layer.filters for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert found == [96, 256, 512, 1024, 512]
