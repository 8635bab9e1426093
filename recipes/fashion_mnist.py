"""Trains networks by name on Fashion-MNIST's grey images of 28x28, or on MNIST's digits.

    python recipes/fashion_mnist.py --dataset=fashion_mnist              # lenet5, TFDS fetches the images
    python recipes/fashion_mnist.py --data=fashion_mnist.npz --model=lenet5,resnet20_cifar --minutes=5
    python recipes/fashion_mnist.py --data=mnist.npz --model=lenet5 --epochs=20 --augmentation=none --batch_size=32

What it leaves, and how it goes on, is as in cifar10.py.
"""

from common import small_images as small

from kapps import training

small.define_flags("fashion_mnist", model="lenet5", channels=1, side=28, augmentation="shift")

if __name__ == "__main__":
    training.run_main(small.main)
