"""Series in text files: delimiters, decimal signs, headers, and errors with the row."""

import numpy as np
import pytest

from kapps.data import DataError, sequence

VALUES = [0.5646, -1.25, 1234.5, 7.0, 12.0625]


def write(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "series.csv"
    path.write_bytes(text.encode(encoding))
    return path


DELIMITERS = {";": "';'", "\t": "tab", "|": "'|'", ",": "','", " ": "spaces", "": "none"}
FIRSTS = {
    "numbers": str,
    "dates": lambda i: f"2024-01-{i + 1:02d}",
    "days": lambda i: f"{i + 1:02d}.01.2024",
}


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("decimal", [".", ","])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("first", FIRSTS)
@pytest.mark.parametrize("encoding, line_end", [("utf-8-sig", "\r\n"), ("utf-16", "\n")])
def test_delimiter_decimal_sign_and_header_are_recognised(
    tmp_path, delimiter, decimal, header, first, encoding, line_end
):
    numbers = [str(value).replace(".", decimal) for value in VALUES]
    if delimiter == ",":
        numbers = [f'"{number}"' for number in numbers]
    rows = [
        delimiter.join([FIRSTS[first](i), number] if delimiter else [number])
        for i, number in enumerate(numbers)
    ]
    if header:
        rows.insert(0, delimiter.join(["t", "Größe"] if delimiter else ["Größe"]))
    path = write(tmp_path, line_end.join(rows) + line_end, encoding)
    series = sequence.read_value_series(path)
    np.testing.assert_array_equal(series.values, VALUES)
    column = "'Größe'" if header else "2" if delimiter else "1"
    sign = "decimal comma" if decimal == "," else "decimal point"
    expected = [f"5 values of column {column} in", DELIMITERS[delimiter], sign]
    expected += ["1 header row" if header else "no header row"]
    assert all(word in series.description for word in expected), series.description


@pytest.mark.parametrize(
    "text, values",
    [
        ("x\n1,234.5\n12.25\n", [1234.5, 12.25]),
        ("x\n1.234,5\n12,25\n", [1234.5, 12.25]),
        ("x\n1.234.567\n12\n", [1234567, 12]),
        ('t,x\n1,"1,234,567"\n2,12\n', [1234567, 12]),
        ('t,x\n1,"1,234"\n2,"2,345"\n', [1234, 2345]),
        ("t;x\n1;1 234,5\n2;12,25\n", [1234.5, 12.25]),
        ("t;x\n1;1\u00a0234,5\n2;12,25\n", [1234.5, 12.25]),
        ("t;x\n1;1'234.5\n2;12.25\n", [1234.5, 12.25]),
        ("t;x\n1;0,123\n2;0,456\n", [0.123, 0.456]),
        ("t;x\n1;1,234\n2;1234,500\n", [1.234, 1234.5]),
        ("t;x\n1;1.234\n2;2.345\n", [1.234, 2.345]),
        ("x\n\u22121.5\n+2e3\n.5\n5.\n", [-1.5, 2000, 0.5, 5]),
        ("sep=;\nt;x\n1;2,5\n2;3,5\n", [2.5, 3.5]),
        ("# made by a logger\n\nt,x\n1,2.5\n\n2,3.5\n\n", [2.5, 3.5]),
        ("t,x,\n1,2.5,\n2,3.5,\n", [2.5, 3.5]),
        ('"t" , "x"\n"1" , "2.5"\n"2" , "3.5"\n', [2.5, 3.5]),
        ("Month,x\n1949-01,112\n1949-02,118\n", [112, 118]),
        ("2024-01-01 0,5\n2024-01-02 0,25\n", [0.5, 0.25]),
        ("2024-01-01 00:00:00,5.5\n2024-01-02 00:00:00,6.5\n", [5.5, 6.5]),
        ("  1   2.5\n  2   3.5\n", [2.5, 3.5]),
        ("place,x\nRoute 66,5\nNew York,7\n", [5, 7]),
        ("1\n2\n3", [1, 2, 3]),
        ("5", [5]),
    ],
)
def test_numbers_are_read_as_people_write_them(tmp_path, text, values):
    series = sequence.read_value_series(write(tmp_path, text))
    assert series.values.tolist() == values, series.description


@pytest.mark.parametrize(
    "text, words",
    [
        ("t,x\n1,2.5\n2,\n3,4\n", ["row 3", "missing"]),
        ("t,x\n1,2.5\n2,NA\n", ["row 3", "missing", "NA"]),
        ("t,x\n1,NaN\n2,1.5\n", ["row 2", "missing", "NaN"]),
        ("nan\n1.5\n", ["row 1", "missing"]),
        ("t;x\n1;2,5\n2;?\n", ["row 3", "missing"]),
        ("t,x\n1,2.5\n2,inf\n", ["row 3", "finite"]),
        ("t,x\n1,2.5\n2,-Infinity\n", ["row 3", "finite"]),
        ("x\n1.5\n1e999\n", ["row 3", "finite"]),
        ("t,x\n1,2.5\n2\n3,4.5\n", ["row 3", "1 fields", "2"]),
        ("t,x\n1,2.5\n2,3.5,4\n3,4.5\n", ["row 3", "3 fields", "2"]),
        ("t;x\n1;2,5\n2;3,5;4\n3;4,5\n", ["row 3", "';'"]),
        ("t,x\n1,2.5\n2,high\n", ["row 3", "'high'", "not a number"]),
        ("t,x\n1,2.5\n2,1_000\n", ["row 3", "'1_000'"]),
        ("t,x\n1,2.5\n2,0x10\n", ["row 3", "'0x10'"]),
        ("x,t\n2.5,2024-01-01\n3.5,2024-01-02\n", ["row 2", "'2024-01-01'"]),
        ("t,x\n[s],[m]\n1,2.5\n", ["row 2", "'[m]'"]),
        ('t,x\n1,"2.5\n2,3.5\n', ["row", "quote"]),
        ("1,5\n3,7\n4,9\n", ["delimiter", "header", "decimal points"]),
        ("x\n1,234\n5,678\n", ["'1,234'", "thousands"]),
        ("t,x\n", ["no values"]),
        ("", ["empty"]),
        ("\n \n", ["empty"]),
        ("t,x\n1,2\0\n", ["line 2", "NUL"]),
    ],
)
def test_an_error_names_the_row_and_the_reason(tmp_path, text, words):
    with pytest.raises(DataError) as error:
        sequence.read_value_series(write(tmp_path, text))
    message = str(error.value)
    assert all(word in message for word in ["series.csv", *words]), message
    assert "\n" not in message


def test_a_column_is_selected_by_name_or_number(tmp_path):
    path = write(tmp_path, "date;wind;rain\n1.1.;1,5;7\n2.1.;2,5;8\n")
    for column, values in (
        ("wind", [1.5, 2.5]),
        ("2", [1.5, 2.5]),
        ("rain", [7, 8]),
        (None, [7, 8]),
    ):
        assert sequence.read_value_series(path, column).values.tolist() == values
    for column in ("wnd", "0", "4"):
        with pytest.raises(DataError, match="column") as error:
            sequence.read_value_series(path, column)
        assert "wind" in str(error.value) and "1..3" in str(error.value)


@pytest.mark.long
def test_numbers_and_delimiters_of_long_files_are_read_fast(tmp_path):
    path = write(tmp_path, "".join(f"{i},{i / 7:.4f}\n" for i in range(20_000)))
    assert len(sequence.read_value_series(path).values) == 20_000
