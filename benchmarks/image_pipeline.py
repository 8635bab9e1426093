"""Images a second of the input pipeline, beside decoding alone and beside its peers.

    python benchmarks/image_pipeline.py [--data_dir FOLDER] [--peer_python PYTHON]

The images are made here, JPEGs of quality 90, 500x375 by default, with detail at every scale, or
are those of a folder of class folders. What is compared takes turns, round after round, and a row
is the median, so that whatever else the machine does falls on all alike. torchvision is measured where
PYTHON, this interpreter by default, has torch and torchvision.
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


def make_images(directory: pathlib.Path, count: int, height: int, width: int) -> None:
    """Writes `count` textured JPEGs to two class folders of `directory`/train."""
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
    """Returns the seconds that `batches` batches take, once the threads run."""
    batch = iter(dataset)
    for _ in range(4):
        next(batch)
    start = time.perf_counter()
    for _ in range(batches):
        next(batch)
    return time.perf_counter() - start


def pipelines(directory: pathlib.Path) -> dict:
    """Returns the data sets that are compared, by name: endless batches."""
    import tensorflow as tf

    import kapps.data
    from kapps.cards import Preprocessing

    files = sorted(map(str, directory.glob("train/*/*")))
    encoded = tf.data.Dataset.from_tensor_slices(files).map(tf.io.read_file).cache().repeat()

    def decode(encoded):
        return tf.io.decode_jpeg(encoded, 3)

    def plain(encoded):
        image = tf.image.resize(tf.cast(decode(encoded), tf.float32) / 255, (256, 256))
        image = tf.image.random_flip_left_right(tf.image.random_crop(image, (SIZE, SIZE, 3)))
        return (image - MEAN) / STD

    def mapped(function):
        return encoded.map(function, tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)

    source = kapps.data.open_source(None, directory, "train")
    preprocessing = Preprocessing(size=(SIZE, SIZE), mean=MEAN, std=STD)
    rest = {"batch_size": BATCH, "classes": len(source.class_names)}
    sets = {
        # One pixel of each leaves the decoder, so that nothing but decoding is measured.
        "decoding alone (the limit)": mapped(lambda encoded: decode(encoded)[:1, :1]),
        "plain: decode, resize, crop, flip": mapped(plain),
        "kapps, training": kapps.data.train_dataset(source, preprocessing, **rest),
        "kapps, training with MixUp, CutMix": kapps.data.train_dataset(
            source, preprocessing, **rest, mixup=0.2, cutmix=1.0
        ),
        "kapps, evaluation": kapps.data.eval_dataset(source, preprocessing, **rest).repeat(),
    }
    try:
        sets["kapps, training with RandAugment"] = kapps.data.train_dataset(
            source, preprocessing, **rest, randaugment=True
        )
    except ImportError:
        print("RandAugment is left out: keras_cv is not installed")
    return sets


def peer(directory: str, batches: int) -> None:
    """Prints the images a second of torchvision's transforms under PyTorch's DataLoader."""
    import torch

    try:
        # torchvision asks at import for kernels that a CPU build of torch may lack; names will do.
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


def ask_peer(python: str, directory: pathlib.Path, batches: int) -> float | None:
    """Returns the images a second that another interpreter prints, or None where it cannot."""
    command = [python, __file__, "--as_peer", str(directory), "--images", str(batches * BATCH)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout.split()[-1]) if done.returncode == 0 else None


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data_dir", help="folder with train/<class>/*.jpg, instead of images made here"
    )
    parser.add_argument(
        "--peer_python", default=sys.executable, help="interpreter with torch, torchvision"
    )
    parser.add_argument("--images", type=int, default=768, help="images a measurement")
    parser.add_argument("--height", type=int, default=375, help="of the images made here")
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--as_peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    batches = max(1, options.images // BATCH)
    if options.as_peer:
        peer(options.as_peer, batches)
        return
    with tempfile.TemporaryDirectory() as made:
        directory = pathlib.Path(options.data_dir or made)
        if not options.data_dir:
            make_images(directory, 128, options.height, options.width)
        sets = pipelines(directory)
        speeds: dict[str, list[float]] = {name: [] for name in sets}
        torch_name = f"torchvision, DataLoader of {WORKERS} workers"
        for _ in range(options.rounds):
            for name, dataset in sets.items():
                speeds[name].append(batches * BATCH / consume(dataset, batches))
            if torch_name in speeds or not any(speeds.get(torch_name, [])):
                speed = ask_peer(options.peer_python, directory, batches)
                if speed:
                    speeds.setdefault(torch_name, []).append(speed)
    limit = statistics.median(speeds["decoding alone (the limit)"])
    print(
        f"{os.cpu_count()} cores, {SIZE}x{SIZE}, "
        f"median of {options.rounds} rounds of {batches * BATCH} images"
    )
    print(f"{'':40}{'images/s':>12}{'of the limit':>14}{'least..greatest':>18}")
    for name, values in speeds.items():
        middle = statistics.median(values)
        print(
            f"{name:40}{middle:12.0f}{middle / limit:14.2f}{min(values):10.0f}..{max(values):.0f}"
        )
    if torch_name not in speeds:
        print(f"torchvision is left out: {options.peer_python} lacks torch or torchvision")


if __name__ == "__main__":
    main()
