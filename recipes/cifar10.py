"""Trains networks by name on CIFAR-10's images of 32x32, and tables what each reaches in one budget.

    python recipes/cifar10.py --dataset=cifar10                          # resnet20_cifar, TFDS fetches the images
    python recipes/cifar10.py --data=cifar10.zip --model=resnet20_cifar --epochs=30
    python recipes/cifar10.py --data=cifar10.zip --model=all --seconds=45  # the smallest network of each family

It leaves table.txt, table.csv, table.md, curves.png and results.json in --model_dir, and below it each network's
model.keras. A command that was stopped takes up the rest: networks that are finished are not trained anew, and one
that trains by epochs goes on from its last checkpoint.
"""

from common import small_images as small

from kapps import training

small.define_flags("cifar10", model="resnet20_cifar", channels=3, side=32, augmentation="cifar")

if __name__ == "__main__":
    training.run_main(small.main)
