"""Files of classes: names, values, colours and void, and the errors of wrong ones."""

import numpy as np
import pytest

from kapps.data import DataError
from kapps.data.segmentation import VOID, read_mask_classes, voc_colours

CSV = """name,value,r,g,b
sky,1,128,128,128
road,4,128,64,128

unlabelled,11,0,0,0
"""


def write(folder, text, name="classes.csv"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_file_has_names_values_and_colours(tmp_path):
    classes = read_mask_classes(write(tmp_path, CSV), void=11)
    assert classes.names == ("sky", "road") and classes.values == (1, 4)
    assert classes.colours == ((128, 128, 128), (128, 64, 128)) and classes.has_palette
    table = classes.table()
    assert table[[1, 4, 11]].tolist() == [0, 1, VOID] and (table[[0, 2, 255]] == 254).all()
    codes, numbers = classes.palette()
    assert codes.tolist() == [0, 0x804080, 0x808080] and numbers.tolist() == [VOID, 1, 0]


def test_a_text_file_and_a_number_have_the_colours_of_pascal_voc(tmp_path):
    classes = read_mask_classes(write(tmp_path, "sky\nroad\nvoid\ncar\n", "classes.txt"), void=2)
    assert classes.names == ("sky", "road", "car") and classes.values == (0, 1, 3)
    assert not classes.has_palette and not len(classes.palette()[0])
    # aeroplane, bicycle and the last class of PASCAL VOC's colour map
    assert np.array(voc_colours(21))[[0, 1, 2, 20]].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [0, 64, 128],
    ]  # fmt: skip
    classes = read_mask_classes(11, void=11)
    assert classes.values == tuple(range(11)) and classes.colours == voc_colours(11)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("number,r\n1,2\n", "has the columns number, r"),
        ("name,r,g\nsky,1,2\nroad,3,4\n", "has the columns name, r, g"),
        ("name,value\nsky,1,2\nroad,2\n", "line 2"),
        ("name,value\nsky,300\nroad,2\n", "'300'"),
        ("name,value\nsky,2\nroad,2\n", "the value 2 twice"),
        ("name\nsky\nsky\n", "the name sky twice"),
        ("name,r,g,b\nsky,1,2,3\nroad,1,2,3\n", "the colour (1, 2, 3) twice"),
        ("name\nsky\n", "has 1 classes"),
        ("", "none"),
    ],
)
def test_errors_name_the_file_and_the_line(tmp_path, text, words):
    with pytest.raises(DataError) as error:
        read_mask_classes(write(tmp_path, text))
    assert "classes.csv" in str(error.value) and words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("classes", "void"), [(1, 255), (255, 255), (True, 255), (3, 256)])
def test_numbers_outside_the_range_raise(classes, void):
    with pytest.raises(DataError):
        read_mask_classes(classes, void)
