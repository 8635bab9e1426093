"""The training and the evaluation images of a recipe, and the line that says what is read of them."""

from absl import flags

from kapps import data, training

flags.disclaim_key_flags()  # the flag below is a flag of the recipe: in its --help and its run.json


def define_data_service() -> None:
    """Defines --data_service, for recipes that train on `kapps.data.train_dataset`."""
    training.define_address(
        "data_service",
        None,
        "HOST:PORT of `python -m kapps.data.service`, whose workers decode the training images",
    )


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
