"""Plans a training on many GPUs: cores that decode, traffic of data and of gradients, time of an epoch, on paper.

    python tools/planning.py                                  # ResNet-50 on 8 to 1,000 A100s
    python tools/planning.py --model=mobilenet_v2 --gpu_rate=4000 --network=400 --batch_size=16384

The formulas and the sources of the defaults are in docs/guides/planning.md.
"""

import argparse
import dataclasses
import sys

from kapps import cards, tables
from kapps._arguments import Parser, integer, number

IMAGENET, IMAGENET_BYTES = 1_281_167, 147_897_477_120
"""Training images of ILSVRC 2012, and the size of ILSVRC2012_img_train.tar."""
A100_RATE = 2375.0
"""ResNet-50 images/s of an A100 (TensorFlow, mixed precision): NVIDIA/DeepLearningExamples, resnet50v1.5."""
CORE_RATE = 672.0
"""Training crops/s of a core: 1,344 on two cores, docs/performance.md, `python benchmarks/image_pipeline.py`."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """A training on GPUs of several machines.

    Args:
        gpus: number of GPUs.
        gpus_per_node: GPUs of a machine.
        params: parameters of the network; their gradients are float32.
        size: height and width of the images.
        batch_size: images in a step of all GPUs.
        gpu_rate: images/s of a GPU that waits for nothing.
        core_rate: images/s that a core decodes.
        network: Gbit/s of a machine's network, in each direction.
    """

    gpus: int
    gpus_per_node: int
    params: int
    size: int
    batch_size: int
    gpu_rate: float
    core_rate: float
    network: float

    @property
    def nodes(self) -> int:
        return -(-self.gpus // self.gpus_per_node)

    @property
    def rate(self) -> float:
        """Images/s of all GPUs, while no gradients are exchanged."""
        return self.gpus * self.gpu_rate

    @property
    def cores(self) -> float:
        """Cores that decode as many images."""
        return self.rate / self.core_rate

    @property
    def storage(self) -> float:
        """GB/s of encoded images that the data service reads."""
        return self.rate * IMAGENET_BYTES / IMAGENET / 1e9

    @property
    def images(self) -> float:
        """Gbit/s of decoded images, uint8, that each machine of GPUs receives."""
        return self.rate * 3 * self.size**2 * 8 / 1e9 / self.nodes

    @property
    def gradients(self) -> float:
        """Gbit that each machine sends, and receives, in a step: a ring of the machines."""
        return 2 * (self.nodes - 1) / self.nodes * 32 * self.params / 1e9

    @property
    def step(self) -> float:
        """Seconds of a step without the exchange of gradients."""
        return self.batch_size / self.rate

    @property
    def exchange(self) -> float:
        """Seconds of the exchange of gradients, with the network that the images leave."""
        return self.gradients / max(self.network - self.images, 1e-9)

    @property
    def epoch(self) -> float:
        """Seconds of an epoch of ImageNet if the exchange and the computation overlap, and the longer one counts."""
        return IMAGENET / self.batch_size * max(self.step, self.exchange)


COLUMNS = (
    tables.Column("gpus", "GPUs", ",d"),
    tables.Column("rate", "images/s", ",.0f"),
    tables.Column("cores", "cores that decode", ",.0f"),
    tables.Column("storage", "read, GB/s", ",.1f"),
    tables.Column("images", "images to a machine, Gbit/s", ".1f"),
    tables.Column("gradients", "gradients of a step, Gbit", ".2f"),
    tables.Column("step", "step, ms", ",.0f", 1e-3),
    tables.Column("exchange", "exchange, ms", ",.0f", 1e-3),
    tables.Column("epoch", "epoch, s", ",.1f"),
)


def main() -> None:
    """Prints a plan."""
    parser = Parser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument(
        "--model", default="resnet50", help="a builder, for its parameters and its size"
    )
    parser.add_argument("--gpus", default="8,64,256,1000", help="numbers of GPUs")
    parser.add_argument(
        "--gpus_per_node", type=integer(1, 1000), default=8, help="GPUs of a machine"
    )
    parser.add_argument(
        "--batch_size", type=integer(1, 2**20), default=8192, help="images in a step of all GPUs"
    )
    parser.add_argument(
        "--gpu_rate", type=number(1, 1e7), default=A100_RATE, help="images/s of a GPU"
    )
    parser.add_argument(
        "--core_rate",
        type=number(1, 1e6),
        default=CORE_RATE,
        help="images/s of a core that decodes",
    )
    parser.add_argument(
        "--network",
        type=number(0.1, 1e5),
        default=200.0,
        help="Gbit/s of a machine, each direction",
    )
    options = vars(parser.parse_args())
    card = cards.image_card(options.pop("model"))
    options |= {"params": card.params, "size": card.input_shape[0]}
    counts = [int(count) for count in options.pop("gpus").split(",")]
    plans = [Plan(gpus=count, **options) for count in counts]
    rows = [{column.key: getattr(plan, column.key) for column in COLUMNS} for plan in plans]
    title = f"{options['params']:,} parameters, {options['batch_size']:,} images in a step"
    print(tables.Table(title, COLUMNS, tuple(rows)).markdown())


if __name__ == "__main__":
    sys.exit(main())
