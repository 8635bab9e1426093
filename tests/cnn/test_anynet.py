"""AnyNet: the design spaces, widths that groups and bottlenecks divide, and the X block."""

import pytest

import kapps
from kapps.cnn.anynet import Stage, check_space, compatible_stage
from kapps.cnn.regnet import quantised_stages

E = {"depths": (1, 2), "widths": (16, 32), "bottlenecks": (2, 2), "group_widths": (4, 4)}
"""Parameters of a network of space E, and so of every space."""
SMALL = {"input_shape": (32, 32, 3), "classes": 10}


@pytest.mark.parametrize(
    "changes, first, last",
    [
        ({}, "A", "E"),
        ({"depths": (2, 1)}, "A", "D"),
        ({"widths": (32, 16)}, "A", "C"),
        ({"group_widths": (4, 8)}, "A", "B"),
        ({"bottlenecks": (2, 1)}, "A", "A"),
        ({"depths": (1, 17)}, "any", "any"),
        ({"widths": (12, 32)}, "any", "any"),
        ({"widths": (16, 1032)}, "any", "any"),
        ({"bottlenecks": (3, 3)}, "any", "any"),
        ({"group_widths": (64, 64)}, "any", "any"),
    ],
)
def test_restrictions_of_the_spaces(changes, first, last):
    """The spaces from the first to the last allow the parameters, the later ones do not, and "any" always does."""
    spaces = ["any", "A", "B", "C", "D", "E"]
    allowed = {"any", *spaces[spaces.index(first) : spaces.index(last) + 1]}
    for space in spaces:
        if space in allowed:
            check_space(space, **{**E, **changes})
            continue
        with pytest.raises(ValueError) as raised:
            check_space(space, **{**E, **changes})
        message = str(raised.value)
        assert next(iter(changes)) in message and space in message and "\n" not in message


@pytest.mark.parametrize(
    "changes, words",
    [({"space": "F"}, "'F'"), ({"depths": (1, 2, 3)}, "one value"), ({"space": None}, "None")],
)
def test_arguments_that_do_not_fit_are_one_line(changes, words):
    with pytest.raises(ValueError) as raised:
        kapps.families.anynet(**{**E, **SMALL, **changes})
    assert words in str(raised.value) and "\n" not in str(raised.value)


def test_widths_are_compatible_as_in_pycls():
    """Rows of pycls's adjust_block_compatibility: width, bottleneck, group width; then width, group width."""
    rows = [
        ((16, 1, 8), (16, 8)), ((24, 1, 16), (32, 16)), ((40, 1, 16), (32, 16)), ((8, 1, 16), (8, 8)),
        ((48, 4, 16), (48, 12)), ((8, 4, 8), (8, 2)), ((24, 2, 8), (32, 8)), ((1000, 2, 32), (1024, 32)),
    ]  # fmt: skip
    for (width, bottleneck, group_width), expected in rows:
        stage = compatible_stage(width, 3, group_width, bottleneck)
        assert stage == Stage(expected[0], 3, expected[1], bottleneck)
        assert stage.width % bottleneck == 0
        assert stage.width // bottleneck % stage.group_width == 0


def test_x_block_has_a_bottleneck_and_groups():
    model = kapps.families.anynet(**E, **SMALL, space="E", stem=24)
    kernels = [model.get_layer(f"level3_block1_conv{i}").kernel.shape for i in (1, 2, 3)]
    assert kernels == [(1, 1, 16, 16), (3, 3, 4, 16), (1, 1, 16, 32)]
    assert model.get_layer("stem_conv").filters == 24
    assert [
        model.get_layer(f"{name}_out").output.shape[1:]
        for name in ("level2_block1", "level3_block2")
    ] == [(8, 8, 16), (4, 4, 32)]


def test_regnet_is_an_anynet():
    """The stages of RegNetX-200MF in the parameters of AnyNet are the same network."""
    row = kapps.regnetx_002.builder.row
    widths, depths, group_widths, bottlenecks = zip(*quantised_stages(**row), strict=True)
    model = kapps.families.anynet(
        depths=depths, widths=widths, group_widths=group_widths, bottlenecks=bottlenecks, space="E"
    )
    other = kapps.regnetx_002()
    shapes = [[(w.path.partition("/")[2], w.shape) for w in x.weights] for x in (model, other)]
    assert shapes[0] == shapes[1] and model.count_params() == other.count_params()


def test_maps_of_the_lectures():
    """RegNetX-32 reads 96x96 pixels; its stem and stages have 48, 24 and 12."""
    levels = kapps.pyramid_outputs(kapps.d2l_regnetx32())
    assert [levels[i].shape[1:] for i in levels] == [(48, 48, 32), (24, 24, 32), (12, 12, 80)]
