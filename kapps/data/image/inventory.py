"""What is read of the images of a run, and what is left out."""

from kapps.data.image.listing import count_reasons
from kapps.data.image.source import Source


def describe_sources(train_source: Source, test_source: Source) -> str:
    """Returns one line: the images and splits for training and evaluation, and the files and splits that are left out.

    Args:
        train_source: the training images.
        test_source: the evaluation images.
    """
    train, test = train_source, test_source
    if train.held_out:
        counts = f"{train.examples:,} training and {test.examples:,} evaluation images, held out of the same folders"
    else:
        counts = (
            f"{train.examples:,} training images of split {train.split!r},"
            f" {test.examples:,} evaluation images of split {test.split!r}"
        )
    left_out = dict(train.left_out) | dict(test.left_out)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in count_reasons(left_out).items())
    files = "file" if len(left_out) == 1 else "files"
    parts = [
        f"{len(train.class_names):,} classes, {counts}",
        f"{len(left_out):,} {files} left out ({reasons})" if left_out else "no file left out",
    ]
    unused = unused_splits(train, test)
    if unused:
        parts.append(f"not used: {', '.join(unused)}")
    parts += dict.fromkeys((*train.notes, *test.notes))
    return f"{train.name}: {'; '.join(parts)}"


def unused_splits(*sources: Source) -> list[str]:
    """Returns the names of the splits that no source reads."""
    used = {part.partition("[")[0] for source in sources for part in source.split.split("+")}
    return [
        name for name in dict.fromkeys(n for s in sources for n in s.splits) if name not in used
    ]
