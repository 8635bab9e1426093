"""The parser of the console script: every mistake is one line and exit status 2, with the nearest match."""

import pytest

from kapps._arguments import Parser, integer, number, output_path, path, plot_path


@pytest.fixture
def parser():
    parser = Parser(prog="program")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    command = commands.add_parser("convert")
    command.add_argument("file", type=path)
    command.add_argument("--size", type=integer(1, 100), default=3)
    command.add_argument("--rate", type=number(0, 1))
    command.add_argument("--kind", choices=("image", "tokens"))
    command.add_argument("--csv", type=output_path, nargs="?", const="-")
    command.add_argument("--plot", type=plot_path)
    return parser


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["convrt", "a"], ["convrt", "Did you mean convert?"]),
        (["convert", "a", "b"], ["unknown argument 'b'"]),
        (["convert", "a", "--sise=3"], ["--sise=3", "Did you mean --size?"]),
        (["convert", "a", "--si=3"], ["--si=3"]),
        (["convert", "a", "size=3"], ["size=3", "did you mean --size=3?"]),
        (["convert", "a", "--size=3", "--size=4"], ["--size", "twice"]),
        (["convert", "a", "--size"], ["--size", "expected one argument"]),
        *((["convert", "a", f"--size={text}"], ["--size", text, "from 1 to 100"])
          for text in ("0", "-1", "101", "abc", "1.5", "nan", "1e400", "9" * 40)),
        *((["convert", "a", f"--rate={text}"], ["--rate", text, "from 0 to 1"])
          for text in ("nan", "inf", "-inf", "1e400", "-0.1", "x")),
        (["convert", "a", "--kind=imgae"], ["'imgae'", "Did you mean image?", "image, tokens"]),
        (["convert", ""], ["empty"]),
        (["convert", "gs://bucket/x"], ["gs://bucket/x", "not a local path"]),
        (["convert", "~no-such-user/x"], ["~no-such-user/x", "home directory"]),
        (["convert", "a", "--csv=/"], ["cannot write /", "folder"]),
        (["convert", "a", "--csv=/dev/null/x.csv"], ["cannot write", "/dev/null"]),
        (["convert", "a", "--plot=a.xyz"], ["a.xyz", ".png, .svg, .pdf"]),
        (["convert", "a\nb", "c"], ["'c'"]),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(parser, capsys, arguments, words):
    with pytest.raises(SystemExit) as exit_:
        parser.parse_args(arguments)
    out, err = capsys.readouterr()
    assert (exit_.value.code, out) == (2, "") and err.count("\n") == 1
    assert err.startswith("program") and all(word in err for word in words), err


def test_right_arguments(parser, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    options = parser.parse_args(
        ["convert", "~/a", "--size=4", "--rate=0.5", "--csv", "--plot=b.PNG"]
    )
    assert options.file == str(tmp_path / "a") and (options.size, options.rate) == (4, 0.5)
    assert (options.csv, options.plot, options.kind) == ("-", "b.PNG", None)
    assert "_stored" not in vars(options)
