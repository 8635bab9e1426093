"""Trains networks by name on the grey 28x28 images of Fashion-MNIST, or on the digits of MNIST.

    python recipes/fashion_mnist.py --dataset=fashion_mnist              # lenet5; TFDS downloads the images
    python recipes/fashion_mnist.py --data=fashion_mnist.npz --model=lenet5,resnet20_cifar --minutes=5
    python recipes/fashion_mnist.py --data=mnist.npz --model=lenet5 --epochs=20 --augmentation=none --batch_size=32

The files that it writes, and how a run resumes, are as in cifar10.py.
"""

import common.environment  # noqa: F401  # before TensorFlow

from common import small_images

from kapps import training

small_images.define_flags(
    "fashion_mnist", model="lenet5", channels=1, size=28, augmentation="shift"
)

if __name__ == "__main__":
    training.run_main(small_images.main)
