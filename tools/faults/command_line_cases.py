"""Command lines that mean nothing: each kind of mistake, for each flag of each program by its type."""

import dataclasses
import pathlib
import random
from collections.abc import Iterator

REMOTE = ("gs://bucket/x", "s3://bucket/x", "hdfs://host/x", "http://host/x", "file:///tmp/x")
WRONG_VALUES = {
    "integer": ("abc", "", "-1", "1.5", "nan", "1e400", "9" * 30, "2" * 5000, "0x", "1 2"),
    "float": ("abc", "", "nan", "inf", "-inf", "1e400", "-1e400", "-0.5", "1,5"),
    "boolean": ("maybe", "2", "", "Yes please"),
    "enum": ("", "nothing", "dfault", "None"),
    "path": ("", " ", *REMOTE, "~no-such-user/x"),
    "output": ("/proc/nope/x", "text.txt", "text.txt/x", "/dev/null/x", "x" * 300),
    "file": ("missing/file.txt", "folder", "text.txt/x"),
    "folder": ("missing", "text.txt"),
    "data": ("missing", "garbage.bin", "empty.bin", "text.txt", "folder"),
}
"""Values that no flag of a type accepts."""
HUGE = ("1000000000", "2000000000", "99999999")
SIZES = ("batch_size", "image_size", "units", "embedding", "length", "longest", "limit", "side", "tau", "kernel_size",
         "beam", "new", "vocabulary", "rows", "images", "batch", "port", "top", "tokens")  # fmt: skip
"""Flags whose huge values would need gigabytes."""
BASE = {
    "imagenet.py": ["--model=lenet5", "--dataset=digits", "--epochs=1"],
    "finetune.py": ["--model_file=net.keras", "--dataset=digits", "--epochs=1"],
    "cifar10.py": ["--model=lenet5", "--dataset=digits", "--seconds=1"],
    "fashion_mnist.py": ["--model=lenet5", "--dataset=digits", "--seconds=1"],
    "language_model.py": ["--text=text.txt"],
    "mappings.py": ["--mapping=aligned"],
    "serving_client.py": ["--model=net", "--server=localhost:1", "image.png"],
}
"""Arguments that mean something, so that a case has one mistake."""
MISTAKES = {
    "imagenet.py": [
        ["--model=resnt50"], ["--model="], ["--model=lenet5,resnet18"], ["--dataset=digts"], ["--dataset="],
        ["--model=rnn_lm"], ["--dataset=digits", "--data_dir=folder"], ["--weights=imagenet"],
        ["--weights=garbage.bin"], ["--weights=empty.bin"], ["--weights=text.txt"], ["--batch_size=100000"],
        ["--image_size=8000"], ["--image_size=2"], ["--image_size=5000", "--batch_size=1000"], ["--strategy=tpu"],
        ["--accumulation=1000", "--schedule=lamb", "--model="],
    ],
    "finetune.py": [
        ["--model=resnet18"], ["--model_file=garbage.bin"], ["--model_file=text.txt"], ["--model_file=bad.keras"],
        ["--unfreeze=level99"], ["--unfreeze="], ["--weights=imagenet"], ["--dataset=digits", "--data_dir=folder"],
        ["--dataset="], ["--image_size=8000"], ["--batch_size=100000"], ["--model_file=empty.bin"],
    ],
    "cifar10.py": [
        ["--model=resnt50"], ["--model=lenet5,resnt50"], ["--model="], ["--seconds=1", "--epochs=2"],
        ["--minutes=1", "--seconds=5"], ["--minutes=1", "--epochs=1"], ["--data=folder", "--dataset=digits"],
        ["--channels=2"], ["--channels=0"], ["--batch_size=100000"], ["--model=lenet5,lenet5"],
        ["--checkpoint_every=5"],
    ],
    "language_model.py": [
        ["--text=empty.bin"], ["--text=garbage.bin"],
        ["--every=7", "--epochs=50"], ["--carry", "--strategy=mirrored"],
        ["--units=0"], ["--tokens=characters", "--vocabulary=100"], ["--tokens=subwords", "--only_letters"],
        ["--batch_size=100000"], ["--length=900000"], ["--first=100000000", "--batch_size=900"],
        ["--units=8192", "--units=8192", "--units=8192", "--batch_size=900000"],
        ["--model=reformr"], ["--model=transformer_base"], ["--model=reformer", "--units=4"],
        ["--model=reformer", "--carry"], ["--model=reformer", "--option=widht=4"], ["--option=units=0"],
        ["--model=reformer", "--option=layers=two"], ["--model=reformer", "--option=stateful=True"],
        ["--cutoffs=20", "--tokens=characters"], ["--cutoffs=20,10", "--tokens=words"],
    ],
    "translation.py": [
        ["--pair=de"], ["--pair=de-en-fr"], ["--pair="], ["--pair=xx-yy"], ["--pair=de-de"], ["--data=folder"],
        ["--tfds=wmt99_translate"], ["--translate=Hallo"], ["--interactive"], ["--longest=1"], ["--tokens=2"],
        ["--train=nothing", "--data=folder"],
    ],
    "autoregression.py": [
        ["--series=garbage.bin"], ["--series=empty.bin"], ["--series=text.txt"], ["--tau=5000"], ["--steps=0"],
        ["--steps=99999"], ["--train_fraction=2"], ["--train_fraction=0.999"],
    ],
    "counting.py": [
        ["--languages=abcd"], ["--languages="], ["--networks=lstn"], ["--networks="], ["--limit=5", "--longest=100"],
        ["--units=8192", "--limit=100000"],
    ],
    "gradients.py": [
        ["--networks=lstn"], ["--networks="], ["--units=8192", "--batch_size=1000000"], ["--gain=0"], ["--clip=0"],
        ["--length=100000", "--batch_size=100000"],
    ],
    "mappings.py": [
        ["--mapping=many_to_one"], ["--mapping=embeddings"], ["--mapping=aligned", "--data=text.txt"],
        ["--mapping=many_to_one", "--data=text.txt"], ["--mapping=embeddings", "--data=garbage.bin"],
        ["--cell=lstn"], ["--mapping=embeddings", "--data=empty.bin"],
    ],
    "nowcasting.py": [
        ["--filters="], ["--filters=a,b"], ["--filters=0"], ["--filters=24,-1"], ["--filters=99999999"],
        ["--kernel_size=4"], ["--data=folder", "--dataset=digits"], ["--dataset=digts"], ["--batch_size=1000000"],
    ],
    "sequence_tasks.py": [
        ["--tasks=addin"], ["--tasks="], ["--networks=tcm"], ["--networks="], ["--tasks=music"],
        ["--tasks=music", "--music=garbage.bin"], ["--tasks=pixels", "--data=folder", "--dataset=digits"],
        ["--tasks=pixels", "--length=50"], ["--tasks=adding", "--music=text.txt"], ["--tasks=adding,adding"],
        ["--tasks=adding", "--batch_size=1000000", "--length=100000"],
    ],
    "serving_client.py": [["missing.png"], ["folder"], ["--server="], ["--server=localhost:99999"], ["--version=0"]],
    "kapps": [
        ["shwo", "resnet18"], ["lst"], ["list", "resnt18"], ["list", "--kind=imgae"], ["show"], ["show", "resnt18"],
        ["show", "resnet18", "resnet18"], ["predict"], ["predict", "resnet18"], ["predict", "resnet18", "image.png"],
        ["predict", "net.keras", "missing.png", "--labels=text.txt"], ["predict", "net.keras", "image.png"],
        ["predict", "net.keras", "image.png", "--labels=empty.bin"],
        ["predict", "net.keras", "--weights=imagenet", "image.png"],
        ["predict", "bad.keras", "image.png"], ["predict", "net.keras", "garbage.bin", "--labels=labels.txt"],
        ["predict", "net.keras", "folder", "--labels=labels.txt"],
        ["predict", "net.keras", "image.png", "--labels=garbage.bin"],
        ["predict", "net.keras", "image.png", "--labels=labels.txt", "--card=resnt18"],
        ["predict", "resnet18", "image.png", "--weights=garbage.bin"], ["predict", "garbage.bin", "image.png"],
        ["profile"], ["profile", "resnt18"],
        ["profile", "garbage.bin"], ["profile", "bad.keras"], ["profile", "folder"],
        ["profile", "resnet20_cifar", "--input=3x"], ["profile", "resnet20_cifar", "--input=0x0x3"],
        ["profile", "resnet20_cifar", "--input=99999x99999x3"], ["profile", "lenet5", "--input=9000x9000x3"],
        ["profile", "resnet20_cifar", "--input=1x1x3"], ["profile", "resnet20_cifar", "--input=32x32"],
        ["profile", "resnet20_cifar", "--dtype=float31"], ["profile", "resnet20_cifar", "--level", "--block"],
        ["profile", "resnet20_cifar", "--csv", "--json"], ["profile", "resnet20_cifar", "--plot=folder"],
        ["profile", "resnet20_cifar", "--plot=plot.xyz"], ["profile", "resnet20_cifar", "--csv=folder"],
        ["profile", "resnet20_cifar", "--csv=text.txt/x.csv"],
        ["profile", "resnet20_cifar", "--batch=1", "--batch=2"],
        ["table", "acuracy"], ["table", "accuracy", "regnet", "--csv"], ["table", "--csv", "--html"],
        ["table", "--measure=0"], ["table", "--plot=plot.xyz", "accuracy"], ["verify", "text.txt"],
        ["verify", "text.txt", "--model=net.keras", "--dataset=digits"],
        ["verify", "missing", "--model=net.keras", "--dataset=digits"],
        ["verify", "folder", "--model=net.keras", "--dataset=digits"],
        ["verify", "folder", "--model=text.txt", "--dataset=digits"],
        ["verify", "folder", "--model=net.keras"], ["verify", "folder", "--model=net.keras", "--inputs=text.txt"],
        ["verify", "folder", "--model=net.keras", "--dataset=digits", "--inputs=text.txt"],
        ["verify", "folder", "--model=net.keras", "--agreement=2", "--dataset=digits"],
        ["verify", "folder", "--model=bad.keras", "--dataset=digits"], ["demo"], ["demo", "missing.tflite"],
        ["demo", "text.txt"], ["demo", "folder"], ["demo", "text.txt", "--port=99999"],
    ],
    "kapps.new_family": [[], ["a b"], ["class"], ["resnet"], ["../x"], ["x", "y"], ["--nam=x"], [""], ["1x"]],
    "kapps.data.image.npz_to_tfrecord": [
        [], ["missing.npz", "out"], ["text.txt", "out"],
        ["garbage.bin", "out"], ["folder", "out"], ["empty.bin", "out"],
        ["set.npz", "text.txt"], ["set.npz", "/proc/nope"], ["set.npz", "out", "--shards=0"], ["gs://b/x.npz", "out"],
        ["set.npz", "out", "--shards=99999999"], ["set.npz", "gs://b/out"], ["set.npz", "out", "--shard=2"],
    ],
    "kapps._index": [["stray"], ["--unknown"]],
}  # fmt: skip
"""Mistakes in the meaning of arguments, after `BASE`."""
MISTAKES["fashion_mnist.py"] = MISTAKES["cifar10.py"]


@dataclasses.dataclass(frozen=True)
class Case:
    """One command line.

    Args:
        program: file name of a recipe, "kapps" for the console script, or the name of a module.
        arguments: its arguments.
        words: the error must contain one of these words; empty if it may be about anything.
        environment: variables of the environment; such a case needs a process of its own.
    """

    program: str
    arguments: tuple[str, ...]
    words: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The command line, shortened."""
        shown = [text if len(text) < 60 else f"{text[:57]}..." for text in self.arguments]
        return " ".join(
            [*(f"{key}={value}" for key, value in self.environment), self.program, *shown]
        )


def base_arguments(program: str, *arguments: str) -> list[str]:
    """Returns the arguments of `BASE` without flags that are among `arguments`."""
    names = {argument.partition("=")[0] for argument in arguments}
    return [text for text in BASE.get(program, ()) if text.partition("=")[0] not in names]


def flag_cases(program: str, flags: dict[str, str]) -> Iterator[Case]:
    """Yields cases of one flag: wrong values by type, and mistakes in the form.

    Args:
        program: the program.
        flags: type of each flag, a key of `WRONG_VALUES`, or "string".
    """
    for name, kind in flags.items():
        values = list(WRONG_VALUES.get(kind, ()))
        if kind in ("output", "file", "folder", "data"):
            values += WRONG_VALUES["path"]
        if kind == "integer" and name in SIZES:
            values += HUGE
        if kind == "data" and program in ("imagenet.py", "finetune.py"):
            values = [
                value for value in values if value not in WRONG_VALUES["data"]
            ]  # they need --dataset=
        for value in values:
            arguments = [f"--{name}={value}"]
            yield Case(
                program, (*base_arguments(program, *arguments), *arguments), (name, value or name)
            )
        typo = name[:-1] if len(name) > 4 else name + "x"
        forms = [[f"{name}=1"], [f"--{typo}=1"], [f"--{name}x"]]
        if kind != "boolean":
            forms.append([f"--{name}"])
        else:
            forms += [[f"--{name}", "false"], [f"--no{name}=1"], [f"--{name}", f"--no{name}"]]
        if program != "serving_client.py":
            forms += [["stray"], ["--", "stray"], ["--", f"--{name}=1"]]
        for form in forms:
            if form[0].lstrip("-").partition("=")[0] in flags and form == [f"--{typo}=1"]:
                continue
            yield Case(program, (*base_arguments(program, *form), *form))


def mistake_cases() -> Iterator[Case]:
    """Yields the cases of `MISTAKES` and those of --flagfile."""
    for program, mistakes in MISTAKES.items():
        for arguments in mistakes:
            yield Case(program, (*base_arguments(program, *arguments), *arguments))
        if program.endswith(".py"):
            for file in ("missing", "folder", "garbage.bin", "stray.flags", "wrong.flags"):
                yield Case(program, (*base_arguments(program), f"--flagfile={file}"))
            yield Case(
                program,
                (*base_arguments(program), "--undefok=other", "--other=1", "--another=2"),
                ("another",),
            )


def environment_cases(programs: list[str]) -> Iterator[Case]:
    """Yields cases of the settings of Keras, and of a TensorFlow that cannot be imported."""
    settings = [("KERAS_BACKEND", name) for name in ("torch", "jax", "numpy", "tensorflw")]
    settings += [("KERAS_HOME", name) for name in ("backend", "floatx", "format")]
    settings += [("PYTHONPATH", "incomplete")]
    for program in programs:
        for key, value in settings:
            yield Case(program, tuple(base_arguments(program)), environment=((key, value),))


def choose(cases: list[Case], count: int, seed: int) -> list[Case]:
    """Returns `count` cases, the same number of each program as far as possible, in a random order."""
    random_order = random.Random(seed)
    by_program: dict[str, list[Case]] = {}
    for case in dict.fromkeys(cases):
        by_program.setdefault(case.program, []).append(case)
    for group in by_program.values():
        random_order.shuffle(group)
    chosen = []
    while len(chosen) < count and any(by_program.values()):
        for group in by_program.values():
            if group and len(chosen) < count:
                chosen.append(group.pop())
    return chosen


def write_files(folder: pathlib.Path) -> None:
    """Writes the files that the cases name, except for models and images."""
    (folder / "folder").mkdir()
    for name, text in {
        "text.txt": "the time traveller for so it will be convenient to speak of him\n" * 40,
        "labels.txt": "".join(f"class {i}\n" for i in range(10)),
        "stray.flags": "stray\n",
        "wrong.flags": "--seed=abc\n",
        "incomplete/tensorflow/__init__.py": "raise ImportError('libcuda is missing')\n",
        "backend/keras.json": '{"backend": "torch"}',
        "floatx/keras.json": '{"floatx": "float16"}',
        "format/keras.json": '{"image_data_format": "channels_first"}',
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "empty.bin").write_bytes(b"")
    (folder / "garbage.bin").write_bytes(random.Random(0).randbytes(3000))
    (folder / "bad.keras").write_bytes(b"PK\x03\x04" + random.Random(1).randbytes(3000))
