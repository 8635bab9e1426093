"""Throughput of the image pipeline (images/s), compared with JPEG decoding and with torchvision.

    python benchmarks/image_pipeline.py [--data_dir FOLDER] [--peer_python PYTHON]

The images are random textures in JPEG files of quality 90 and 500x375 pixels by default, or those of a directory of
class folders. The pipelines are measured in turns over several rounds, so that other load on the machine affects all of
them. A row is the median of the rounds. torchvision is measured if PYTHON (by default this interpreter) has torch and
torchvision.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

SIZE, BATCH, WORKERS = 224, 32, os.cpu_count() or 1
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


DECODING = "JPEG decoding only (the limit)"


def write_images(directory: pathlib.Path, count: int, height: int, width: int) -> None:
    """Writes `count` JPEG files with detail at every scale to two class folders of `directory`/train."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(0)
    for folder in ("a", "b"):
        (directory / "train" / folder).mkdir(parents=True)
    for index in range(count):
        image = np.full((height, width, 3), 128, np.float32)
        for side, strength in ((3, 50), (12, 30), (48, 18), (150, 8)):
            coarse = random.normal(0, strength, (side, side * 4 // 3, 3))
            image += tf.image.resize(coarse, (height, width), "bicubic").numpy()
        image += random.normal(0, 4, (height, width, 1))
        encoded = tf.io.encode_jpeg(np.clip(image, 0, 255).astype(np.uint8), quality=90)
        (directory / "train" / "ab"[index % 2] / f"{index:05d}.jpg").write_bytes(encoded.numpy())


def consume(dataset, batches: int) -> float:
    """Returns the seconds that `batches` batches take, after four batches of warm-up."""
    iterator = iter(dataset)
    for _ in range(4):
        next(iterator)
    start = time.perf_counter()
    for _ in range(batches):
        next(iterator)
    return time.perf_counter() - start


def make_datasets(directory: pathlib.Path) -> dict:
    """Returns the endless datasets to compare, by name."""
    import tensorflow as tf

    import kapps.data
    from kapps.cards import Preprocessing

    files = sorted(map(str, directory.glob("train/*/*")))
    encoded = tf.data.Dataset.from_tensor_slices(files).map(tf.io.read_file).cache().repeat()

    def decode(encoded):
        return tf.io.decode_jpeg(encoded, 3)

    def plain_tensorflow(encoded):
        image = tf.image.resize(tf.cast(decode(encoded), tf.float32) / 255, (256, 256))
        image = tf.image.random_flip_left_right(tf.image.random_crop(image, (SIZE, SIZE, 3)))
        return (image - MEAN) / STD

    def make_dataset(function):
        return encoded.map(function, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)

    source = kapps.data.open_source(None, directory, "train")
    preprocessing = Preprocessing(size=(SIZE, SIZE), mean=MEAN, std=STD)
    arguments = {"batch_size": BATCH, "classes": len(source.class_names)}
    datasets = {
        # Only one pixel of each image is copied, so that only decoding is measured.
        DECODING: make_dataset(lambda encoded: decode(encoded)[:1, :1]),
        "TensorFlow: decode, resize, crop, flip": make_dataset(plain_tensorflow),
        "kapps, training": kapps.data.train_dataset(source, preprocessing, **arguments),
        "kapps, training with MixUp, CutMix": kapps.data.train_dataset(
            source, preprocessing, **arguments, mixup=0.2, cutmix=1.0
        ),
        "kapps, evaluation": kapps.data.eval_dataset(source, preprocessing, **arguments).repeat(),
    }
    try:
        datasets["kapps, training with RandAugment"] = kapps.data.train_dataset(
            source, preprocessing, **arguments, randaugment=True
        )
    except ImportError:
        print("RandAugment is left out: keras_cv is not installed")
    return datasets


def make_stages(directory: pathlib.Path) -> dict:
    """Returns the stages of the pipelines by name: (function of the inputs of one image, list of inputs)."""
    import tensorflow as tf

    from kapps.cards import Preprocessing
    from kapps.data.image import augment, decode_image
    from kapps.data.image.random_crop import random_crop

    files = sorted(directory.glob("train/*/*"))[:64]
    encoded = [(tf.constant(file.read_bytes()),) for file in files]
    preprocessing = Preprocessing(size=(SIZE, SIZE), mean=MEAN, std=STD)
    decoded = [(decode_image.decode(*content),) for content in encoded]
    upright, seed = tf.constant(1, tf.int64), tf.constant([0, 1], tf.int64)
    crops = [
        (tf.cast(tf.image.resize(image, (SIZE, SIZE)) + 0.5, tf.uint8), seed + number)
        for number, (image,) in enumerate(decoded)
    ]
    seeds = [(*content, seed + number) for number, content in enumerate(encoded)]

    def decode_crop(content, seed):
        return random_crop(
            "JPEG", content, upright, seed, preprocessing, 3, (0.08, 1.0), (3 / 4, 4 / 3)
        )

    stages = {
        "read_file": (tf.io.read_file, [(tf.constant(str(file)),) for file in files]),
        "format and EXIF": (lambda content: decode_image.prepare_images(content[None], 3), encoded),
        "decode the whole image": (
            lambda content: decode_image.decode_format("JPEG", content, upright, 3), encoded,
        ),
        "training: decode and resize a random crop": (decode_crop, seeds),
        "training: mirror": (augment.random_flip, crops),
        "evaluation: resize and crop a decoded image": (
            lambda image: decode_image.resize_and_crop(image, preprocessing), decoded,
        ),
        "evaluation: decode the whole image, resize, crop": (
            lambda content: decode_image.resize_and_crop(
                decode_image.decode_format("JPEG", content, upright, 3), preprocessing
            ),
            encoded,
        ),
        "evaluation: decode the centre, resize, crop": (
            lambda content: decode_image.decode_centre("JPEG", content, upright, preprocessing, 3),
            encoded,
        ),
        "normalise": (lambda image, _: pipeline_normalise(image, preprocessing), crops),
    }  # fmt: skip
    try:
        rand_augment = augment.make_rand_augment()
    except ImportError:
        return stages
    floats = [(tf.cast(image, tf.float32), seed) for image, seed in crops]
    return stages | {"RandAugment": (rand_augment, floats)}


def pipeline_normalise(image, preprocessing):
    from kapps.data.image.pipeline import normalise

    return normalise(image, preprocessing, 3)


def print_stages(directory: pathlib.Path, rounds: int) -> None:
    """Prints the processor time of each stage for one image: the stages alternate in rounds."""
    import tensorflow as tf

    stages = {
        name: (tf.function(call), inputs) for name, (call, inputs) in make_stages(directory).items()
    }
    times: dict[str, list[float]] = {}
    for call, inputs in stages.values():
        for arguments in inputs[:8]:
            call(*arguments)
    for _ in range(rounds):
        for name, (call, inputs) in stages.items():
            start = time.process_time()
            for arguments in inputs:
                call(*arguments)
            times.setdefault(name, []).append((time.process_time() - start) / len(inputs))
    print(f"{'processor time of one image, one core':52}{'ms':>7}{'min..max':>16}")
    for name, values in times.items():
        low, median, high = (
            f"{1000 * x:.2f}" for x in (min(values), statistics.median(values), max(values))
        )
        print(f"{name:52}{median:>7}{f'{low}..{high}':>16}")


def print_torchvision_throughput(directory: str, batches: int) -> None:
    """Prints the throughput of torchvision's transforms with PyTorch's DataLoader, in images/s."""
    import torch

    try:
        # torchvision's import needs operations that a CPU build of torch may lack. Their declarations suffice.
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    except RuntimeError:
        pass
    from torchvision import datasets, transforms

    steps = [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip()]
    steps += [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    folder = datasets.ImageFolder(os.path.join(directory, "train"), transforms.Compose(steps))
    sampler = torch.utils.data.RandomSampler(
        folder, replacement=True, num_samples=(batches + 4) * BATCH
    )
    loader = torch.utils.data.DataLoader(folder, BATCH, sampler=sampler, num_workers=WORKERS)
    print(batches * BATCH / consume(loader, batches))


def measure_torchvision(python: str, directory: pathlib.Path, batches: int) -> float | None:
    """Returns torchvision's throughput in another interpreter, or `None` if it lacks torchvision."""
    command = [
        python,
        __file__,
        "--measure_torchvision",
        str(directory),
        "--images",
        str(batches * BATCH),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def main() -> None:
    """Measures all pipelines and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data_dir", help="directory with train/<class>/*.jpg, instead of textures"
    )
    parser.add_argument(
        "--peer_python", default=sys.executable, help="interpreter with torch and torchvision"
    )
    parser.add_argument("--images", type=int, default=768, help="images per measurement")
    parser.add_argument("--height", type=int, default=375, help="height of the textures, in pixels")
    parser.add_argument("--width", type=int, default=500, help="width of the textures, in pixels")
    parser.add_argument("--rounds", type=int, default=5, help="number of measurements")
    parser.add_argument(
        "--stages", action="store_true", help="print the cost of each stage instead"
    )
    parser.add_argument("--measure_torchvision", help=argparse.SUPPRESS)
    options = parser.parse_args()
    batches = max(1, options.images // BATCH)
    if options.measure_torchvision:
        print_torchvision_throughput(options.measure_torchvision, batches)
        return
    torchvision = f"torchvision, DataLoader of {WORKERS} workers"
    throughput: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(options.data_dir or temporary)
        if not options.data_dir:
            write_images(directory, 128, options.height, options.width)
        if options.stages:
            print_stages(directory, options.rounds)
            return
        datasets = make_datasets(directory)
        for number in range(options.rounds):
            for name, dataset in datasets.items():
                seconds = consume(dataset, batches)
                throughput.setdefault(name, []).append(batches * BATCH / seconds)
            if number == 0 or torchvision in throughput:
                value = measure_torchvision(options.peer_python, directory, batches)
                if value is not None:
                    throughput.setdefault(torchvision, []).append(value)
    limit = statistics.median(throughput[DECODING])
    print(
        f"{os.cpu_count()} cores, {SIZE}x{SIZE}, "
        f"median of {options.rounds} rounds of {batches * BATCH} images"
    )
    print(f"{'':40}{'images/s':>12}{'of the limit':>14}{'min..max':>18}")
    for name, values in throughput.items():
        median = statistics.median(values)
        print(
            f"{name:40}{median:12.0f}{median / limit:14.2f}{min(values):10.0f}..{max(values):.0f}"
        )
    if torchvision not in throughput:
        print(f"torchvision is left out: {options.peer_python} has no torch or torchvision")


if __name__ == "__main__":
    main()
