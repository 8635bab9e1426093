"""Trains networks by name on the 32x32 images of CIFAR-10, and tabulates the accuracy of each within one budget.

    python recipes/cifar10.py --dataset=cifar10                          # resnet20_cifar; TFDS downloads the images
    python recipes/cifar10.py --data=cifar10.zip --model=resnet20_cifar --epochs=30
    python recipes/cifar10.py --data=cifar10.zip --model=all --seconds=45  # the smallest network of each family

The recipe writes table.txt, table.csv, table.md, curves.png and results.json to --model_dir, and a model.keras for each
network to a subdirectory. The same command resumes an interrupted run: finished networks are not trained again, and a
training by epochs resumes from its last checkpoint.

Run log: docs/cifar10.md.
"""

import common.environment  # noqa: F401  # before TensorFlow

from common import small_images

from kapps import training

small_images.define_flags(
    "cifar10", model="resnet20_cifar", channels=3, size=32, augmentation="cifar"
)

if __name__ == "__main__":
    training.run_main(small_images.main)
