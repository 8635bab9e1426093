"""The training and the evaluation images of a recipe, and the line that says what is read of them."""

from kapps import data


def open_sources(dataset, data_dir, labels=None, *, classify=True, verbose=True):
    """Returns the sources of the training and the evaluation images, and prints one line about them.

    Args:
        dataset: name of a dataset, as for `kapps.data.open_source`.
        data_dir: directory or file of the images.
        labels: a CSV file of the labels.
        classify: whether the classes are learnt; at least two are needed then.
        verbose: whether the line is printed.

    Raises:
        DataError: the images cannot be opened, or have one class.
    """
    train, test = (
        data.open_source(dataset, data_dir, split, labels) for split in ("train", "validation")
    )
    if classify:
        data.check_classes(train)
    if verbose:
        print(data.describe_sources(train, test), flush=True)
    return train, test
