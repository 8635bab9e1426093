"""The names of TFRecord shards, as kapps, TFDS and other programs write them.

train-00000-of-00002.tfrecord               kapps
train-00000-of-01024                        Google's ImageNet script, also in a directory train/
mnist-train.tfrecord-00000-of-00001         TFDS
flowers_train_00000-of-00005.tfrecord       TF-Slim
train.tfrecords, train.tfrec, train.tfrecord.gz     one file
"""

import os
import re

from kapps.data.errors import DataError

SPLITS = ("train", "training", "validation", "valid", "val", "dev", "eval", "test", "testing")
"""Names of splits that are recognised at the end of a longer name: "mnist-train"."""
_SUFFIX = r"\.(?:tfrecords?|tfrec)(?:\.(?:gz|gzip|zlib|z))?"
_NUMBERED = re.compile(
    rf"(?P<name>.+?)(?:{_SUFFIX})?[-_.](?P<shard>\d{{1,6}})-of-(?P<shards>\d{{1,6}})(?:{_SUFFIX})?",
    re.IGNORECASE,
)
_SINGLE = re.compile(rf"(?P<name>.+?){_SUFFIX}", re.IGNORECASE)


def find_shards(directory: str) -> dict[str, list[str]]:
    """Returns {split: paths of its shards in order}; {} if the directory has none.

    Shards are in the directory, or in one directory for each split.

    Raises:
        DataError: a shard of a split is missing, or there are two sets of shards of a split.
    """
    shards = _find(directory)
    if shards:
        return shards
    with os.scandir(directory) as entries:
        folders = sorted(entry.name for entry in entries if entry.is_dir() and entry.name in SPLITS)
    for folder in folders:
        for split, paths in _find(os.path.join(directory, folder)).items():
            shards.setdefault(folder if split not in SPLITS else split, []).extend(paths)
    return shards


def split_of(name: str) -> str | None:
    """Returns the split of a file by its name, or `None` if the file is not a shard."""
    return match[0] if (match := _parse(name)) else None


def _parse(name: str) -> tuple[str, str, int, int] | None:
    """Returns (split, name of the set of shards, number of the shard, number of shards) of a file's name."""
    match = _NUMBERED.fullmatch(name) or _SINGLE.fullmatch(name)
    # A dot is part of other names: model.data-00000-of-00001 is a checkpoint.
    if match is None or "." in match["name"] or name.startswith("."):
        return None
    words = re.split("[-_]", match["name"].lower())
    split = words[-1] if words[-1] in SPLITS else match["name"]
    numbers = match.groupdict()
    return split, match["name"], int(numbers.get("shard", 0)), int(numbers.get("shards", 1))


def _find(directory: str) -> dict[str, list[str]]:
    by_split: dict[str, list[tuple[str, int, int, str]]] = {}
    for name in sorted(os.listdir(directory)):
        parsed = _parse(name)
        if parsed and os.path.isfile(os.path.join(directory, name)):
            by_split.setdefault(parsed[0], []).append((*parsed[1:], name))
    shards = {}
    for split, files in by_split.items():
        _check_complete(directory, split, files)
        names = [name for *_, name in sorted(files, key=lambda file: file[1])]
        shards[split] = [os.path.join(directory, name) for name in names]
    return shards


def _check_complete(directory: str, split: str, files: list[tuple[str, int, int, str]]) -> None:
    sets = sorted({(name, count) for name, _, count, _ in files})
    if len(sets) > 1:
        described = ", ".join(f"{name} in {count}" for name, count in sets)
        raise DataError(
            f"{directory} holds two sets of {split!r} shards, {described}: delete one of them"
        )
    numbers = [shard for _, shard, _, _ in files]
    count = sets[0][1]
    for shard, name in zip(numbers, (name for *_, name in files), strict=True):
        if numbers.count(shard) > 1 or shard >= count:
            reason = (
                "is there twice" if shard < count else f"has a number that is not below {count}"
            )
            raise DataError(f"{directory}: shard {shard} of {split!r} {reason} ({name}): delete it")
    missing = sorted(set(range(min(count, 10**6))) - set(numbers))
    if missing:
        listed = ", ".join(_renumber(files[0][-1], shard) for shard in missing[:3])
        more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
        raise DataError(
            f"{directory} lacks {listed}{more} ({len(missing):,} of {count:,} shards missing):"
            " write or download it again"
        )


def _renumber(name: str, shard: int) -> str:
    """Returns the name of another shard of the same set."""
    return re.sub(r"\d+(?=-of-\d)", lambda match: f"{shard:0{len(match[0])}d}", name)
