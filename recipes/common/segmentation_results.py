"""What segmentation.py writes about a trained network: the IoU of each class, and a grid of images."""

import csv

import numpy as np

from kapps import training, visualize
from kapps._files import write_atomically
from kapps.data.segmentation import VOID
from kapps.export.export_and_verify import to_pixels


def count_confusion(model, dataset, classes, mirrored=False):
    """Returns the confusion matrix of a network on all batches of a dataset, int64 [classes, classes].

    Args:
        model: the network.
        dataset: batches of (images, labels).
        classes: number of classes.
        mirrored: whether the scores are the sums of those of an image and of its mirror image.
    """
    confusion = np.zeros((classes, classes), np.int64)
    for images, labels in dataset.as_numpy_iterator():
        scores = np.asarray(model.predict_on_batch(images))
        if mirrored:
            scores = scores + np.asarray(model.predict_on_batch(images[:, :, ::-1]))[:, :, ::-1]
        class_maps = scores.argmax(-1)
        confusion += training.confusion_matrix(labels, class_maps, classes)
    return confusion


def write_classes(confusion, names, path):
    """Writes a CSV file with the IoU and the pixels of each class, and prints it as a table.

    Args:
        confusion: of `count_confusion`.
        names: of the classes.
        path: of the file.
    """
    ious, pixels = training.class_ious(confusion), confusion.sum(1)
    with (
        write_atomically(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("class", "iou", "pixels"))
        writer.writerows(zip(names, ious.tolist(), pixels.tolist(), strict=True))
    rows = [
        (name, "-" if np.isnan(iou) else f"{100 * iou:.1f}", f"{count:,}")
        for name, iou, count in zip(names, ious, pixels, strict=True)
    ]
    scores = training.segmentation_scores(confusion)
    mean = ("mean", f"{100 * scores['mean_iou']:.1f}", f"{pixels.sum():,}")
    training.print_table(("class", "IoU (%)", "pixels"), *rows, mean)


def plot_grid(model, batch, preprocessing, colours, path, rows=4):
    """Plots images, their masks and the predictions, one row for each image. Void is white.

    Args:
        model: the network.
        batch: (images, labels), as the evaluation pipeline returns them.
        preprocessing: that the pipeline applied.
        colours: (red, green, blue) of each class, in [0, 255].
        path: of the plot.
        rows: number of images.
    """
    images, labels = (array[:rows] for array in batch)
    class_maps = np.asarray(model.predict_on_batch(images)).argmax(-1)
    palette = np.full((256, 3), 255, np.uint8)
    palette[: len(colours)] = colours
    pixels = np.clip(to_pixels(images, preprocessing), 0, 255).astype(np.uint8)
    if pixels.shape[-1] == 1:
        pixels = pixels.repeat(3, -1)
    columns = {
        "image": pixels,
        "mask": palette[np.minimum(labels, VOID)],
        "prediction": palette[class_maps],
    }
    height, width = images.shape[1:3]
    figure = visualize.new_figure(figsize=(7.5, 2.5 * len(images) * height / width))
    panels = figure.subplots(len(images), len(columns), squeeze=False)
    for column, (title, arrays) in enumerate(columns.items()):
        panels[0][column].set_title(title, fontsize=visualize.FONT_SIZE + 1)
        for panel, array in zip(panels[:, column], arrays, strict=True):
            panel.imshow(array, interpolation="nearest")
            panel.set_axis_off()
    visualize.save_figure(figure, path)
