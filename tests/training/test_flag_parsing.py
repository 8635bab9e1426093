"""Mistakes in flags are one line with the nearest match; paths are resolved; numbers are finite and in range."""

import os

import pytest
from absl import flags
from absl.testing import flagsaver

from kapps import training
from kapps.training import flag_parsing, flag_types

DEFINED = (
    lambda: flags.DEFINE_integer("trial_size", 3, "", 1, 100),
    lambda: flags.DEFINE_integer("trial_seed", 0, "", 0),
    lambda: flags.DEFINE_float(
        "trial_rate", None, "", 0, 1.25
    ),  # absl shares the parsers of equal ranges
    lambda: flags.DEFINE_float("trial_free", 1.0, ""),
    lambda: flags.DEFINE_bool("trial_cut", False, ""),
    lambda: flags.DEFINE_enum("trial_cell", "lstm", ["rnn", "gru", "lstm"], ""),
    lambda: flags.DEFINE_multi_integer("trial_units", [1], ""),
    lambda: flags.DEFINE_list("trial_networks", ["a", "b"], ""),
    lambda: training.define_positive("trial_positive", 1.0, "", 10),
    lambda: training.define_path("trial_output", "runs", "", "output"),
    lambda: training.define_path("trial_file", None, "", "file", ("imagenet",)),
    lambda: training.define_path("trial_folder", None, "", "folder"),
    lambda: training.define_path("trial_data", None, ""),
)


@pytest.fixture(scope="module", autouse=True)
def defined():
    """Defines flags of each type, and removes them afterwards."""
    before = set(flags.FLAGS)
    for define in DEFINED:
        define()
    yield
    for name in set(flags.FLAGS) - before:
        delattr(flags.FLAGS, name)


@pytest.fixture
def parse(tmp_path, monkeypatch):
    """`parse(*arguments)` parses flags in a folder with `file.txt` and `folder`; their values are restored."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.txt").write_text("x", encoding="utf-8")
    (tmp_path / "stray.flags").write_text("stray\n", encoding="utf-8")
    (tmp_path / "size.flags").write_text("--trial_size=7\n", encoding="utf-8")
    with flagsaver.flagsaver():
        flags.FLAGS.unparse_flags()
        yield lambda *arguments, **options: flag_parsing.parse_flags(
            ["recipe.py", *arguments], **options
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trial_size=1"], ["'trial_size=1'", "did you mean --trial_size=1?"]),
        (["trial_sise=1"], ["'trial_sise=1'", "Did you mean --trial_size"]),
        (["stray"], ["'stray'", "is not a flag"]),
        (["--", "--trial_size=1"], ["after --", "remove the --"]),
        (["--trial_sise=1"], ["no flag --trial_sise", "Did you mean --trial_size"]),
        (["--trial_size=1", "--trial_size=2"], ["--trial_size=1 and --trial_size=2 contradict"]),
        (["--trial_size", "1", "-trial_size=2"], ["--trial_size 1 and -trial_size=2 contradict"]),
        (["--trial_cut", "--notrial_cut"], ["--trial_cut and --notrial_cut contradict"]),
        (["--trial_cut", "false"], ["'false'", "--notrial_cut"]),
        (["--trial_cut=maybe"], ["--trial_cut=maybe", "not true or false", "--notrial_cut"]),
        (["--notrial_cut=1"], ["--notrial_cut=1"]),
        (["--trial_size"], ["--trial_size has no value"]),
        *(([f"--trial_size={text}"], [f"--trial_size={text}", "[1, 100]"])
          for text in ("", "abc", "0", "-1", "101", "1.5", "nan", "1e400", "9" * 50)),
        (["--trial_size=" + "9" * 5000], ["999...", "[1, 100]"]),
        (["--trial_seed=9999999999"], ["--trial_seed=9999999999 is too large"]),
        (["--trial_units=99999999999999999999999999999999"], ["--trial_units=", "too large"]),
        *(([f"--trial_free={text}"], ["--trial_free=", "not a finite number"])
          for text in ("nan", "inf", "-inf", "1e400")),
        *(([f"--trial_positive={text}"], [f"--trial_positive={text}", "above 0"])
          for text in ("0", "-1", "nan", "inf", "11", "x", "")),
        (["--trial_rate=2"], ["--trial_rate=2", "[0, 1.25]"]),
        (["--trial_cell=lstn"], ["--trial_cell=lstn", "Did you mean lstm?", "rnn, gru, lstm"]),
        (["--trial_output="], ["--trial_output=", "empty"]),
        (["--trial_output=s3://bucket/a"], ["s3://bucket/a", "not a local path"]),
        (["--trial_output=file.txt"], ["file.txt is a file, not a folder"]),
        (["--trial_output=file.txt/a/b"], ["file.txt is a file, not a folder"]),
        (["--trial_file=missing"], ["missing does not exist"]),
        (["--trial_file=folder"], ["folder is a folder: pass a file"]),
        (["--trial_folder=missing"], ["missing does not exist"]),
        (["--trial_folder=file.txt"], ["file.txt is a file: pass a folder"]),
        (["--trial_data=gs://bucket/a"], ["gs://bucket/a", "not a local path"]),
        (["--trial_data=~no-such-user/a"], ["no home directory"]),
        (["--flagfile=missing"], ["--flagfile cannot be read", "missing"]),
        (["--flagfile=folder"], ["--flagfile cannot be read", "folder"]),
        (["--flagfile=stray.flags"], ["'stray'", "is not a flag"]),
        (["--undefok=other", "--other=1", "--another=2"], ["no flag --another"]),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(parse, arguments, words):
    with pytest.raises(ValueError) as error:
        parse(*arguments)
    message = str(error.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_right_flags(parse, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    parse(
        "--flagfile=size.flags", "--undefok=other", "--other=1", "-trial_rate=0.5", "--trial_cut",
        "--trial_units=3", "--trial_units=4", "--trial_output=~/run", "--trial_data=set", "--trial_file=imagenet",
    )  # fmt: skip
    values = flags.FLAGS
    assert (values.trial_size, values.trial_rate, values.trial_cut) == (7, 0.5, True)
    assert values.trial_units == [3, 4] and values.trial_file == "imagenet"
    assert values.trial_output == str(tmp_path / "home" / "run")
    assert values.trial_data == str(tmp_path / "set") and values.trial_folder is None
    assert parse("--trial_size=2", "a", "b", arguments="images")[1:] == ["a", "b"]


def test_help_succeeds(parse, capsys):
    from absl import app

    app.define_help_flags()
    with pytest.raises(SystemExit) as exit_:
        parse("--help")
    assert exit_.value.code == 0 and "--help" in capsys.readouterr().out


def test_flags_that_contradict_or_have_no_effect(parse):
    parse("--trial_size=3", "--trial_cut", "--trial_networks=a,c,c")
    training.forbid_both("trial_size", "trial_rate", "give one")
    training.forbid_without("trial_rate", "--trial_cut", is_given=False)
    training.forbid_without("trial_size", "--trial_cut", is_given=True)
    with pytest.raises(
        ValueError, match=r"--trial_size=3 and --trial_cut=True contradict .*: give one"
    ):
        training.forbid_both("trial_size", "trial_cut", "give one")
    with pytest.raises(ValueError, match="--trial_size=3 has no effect without --x"):
        training.forbid_without("trial_size", "--x", is_given=False)
    with pytest.raises(ValueError, match="has c twice"):
        training.names_of_list("trial_networks", "abc")
    with pytest.raises(ValueError, match=r"--trial_networks=c does not exist.* a, b"):
        training.names_of_list("trial_networks", "ab")
    flags.FLAGS.trial_networks = []
    with pytest.raises(ValueError, match="is empty"):
        training.names_of_list("trial_networks", "ab")


def test_output_folders_are_tried(parse, tmp_path, monkeypatch):
    parse("--trial_output=a/b")
    flag_types.try_output_folders(flags.FLAGS)
    assert not (tmp_path / "a").exists()

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(ValueError, match=r"--trial_output=.*a/b cannot be written: No space left"):
        flag_types.try_output_folders(flags.FLAGS)
    assert not (tmp_path / "a").exists()
