"""Searches with shared weights on one supernet: DARTS, SNAS, ProxylessNAS and ENAS. The backend is TensorFlow.

[1] DARTS, Liu 2018, arXiv:1806.09055      [2] SNAS, Xie 2018, arXiv:1812.09926
[3] ProxylessNAS, Cai 2018, arXiv:1812.00332
[4] ENAS, Pham 2018, arXiv:1802.03268; its first form: "faster discovery of neural architectures by searching for paths
in a large model", openreview ByQZjx-0-
"""

import functools
import json
from collections.abc import Mapping

import keras
import numpy as np

from kapps._checked import checked
from kapps._names import nearest
from kapps.search import gates as _gates
from kapps.search.bilevel import second_order_gradient
from kapps.search.methods import Reinforce
from kapps.search.spaces import NASBench201
from kapps.search.supernet import SHAPE, batch_loss, cell_of, one_hot, skip_count

METHODS = ("darts", "darts_second", "snas", "proxylessnas", "enas", "paths")
ALPHA_RATES = {"darts": 3e-4, "darts_second": 3e-4, "snas": 3e-4, "proxylessnas": 6e-3}
"""Learning rates of Adam for the architecture parameters in the papers, for 50 epochs or more."""
BETAS = {"beta_1": 0.5, "beta_2": 0.999}
ALPHA_DECAY = 1e-3
"""Weight decay of the architecture parameters of DARTS and SNAS."""
TEMPERATURES = (1.0, 0.03)
"""First and last temperature of SNAS."""
CLIPNORM = 5.0
IDENTITY = np.eye(SHAPE[1], dtype="float32")
SAMPLED = 20
"""Cells that ENAS compares by the shared weights at the end."""


def take(arrays, numbers):
    """Returns the rows of several arrays with these numbers."""
    return tuple(np.asarray(array)[numbers] for array in arrays)


class WeightSharing:
    """A search with shared weights: `train_epoch` of training and validation images, then `cell()`.

    - "darts": the gates are the softmax of the architecture parameters; each step changes these on a validation batch,
      then the weights on a training batch [1]. "darts_second" differentiates through one step of the weights.
    - "snas": the gates are a sample of the concrete distribution, whose temperature falls; weights and parameters
      change at once on all images [2].
    - "proxylessnas": the gates are one-hot samples; parameters change by the gradient of the gates of two operations,
      on validation batches [3]. `costs` adds the expected cost to its loss, and to that of SNAS.
    - "enas": a REINFORCE controller, here `kapps.search.methods.Reinforce` and not the paper's LSTM, samples a cell for
      each training step, and learns after each epoch from accuracies on validation batches [4]. With "paths", the
      first form of ENAS, it learns after each training step.

    The papers search for 50 to 300 epochs on 50,000 images; learning rates of the architecture parameters are theirs,
    and a short search needs larger ones.

    Args:
        network: of `kapps.search.supernet`.
        method: one of `METHODS`.
        epochs: number of epochs of the whole search, for the schedules.
        batch_size: images of a step.
        seed: of the order of the images and of all samples.
        learning_rate: first rate of the weights' SGD with Nesterov momentum; it falls to a fiftieth along a cosine.
        alpha_rate: of Adam for the architecture parameters; None for the paper's. For ENAS that of the controller.
        costs: (6, 5) costs of the operations of the edges, such as multiply-accumulates; None for none.
        cost_weight: factor of the expected cost, divided by the largest cost of a cell.
    """

    @checked
    def __init__(
        self, network: keras.Model, method: str = "darts", *, epochs: int, batch_size: int = 64, seed: int = 0,
        learning_rate: float = 0.05, alpha_rate: float | None = None, costs: np.ndarray | None = None,
        cost_weight: float = 0.0,
    ):  # fmt: skip
        import tensorflow as tf

        if method not in METHODS:
            raise ValueError(
                f"method={method!r} is not one of {', '.join(METHODS)}.{nearest(method, METHODS)}"
            )
        self.network, self.method, self.epochs = network, method, epochs
        self.batch_size, self.seed, self.learning_rate = batch_size, seed, learning_rate
        self.controller = None
        if method in ("enas", "paths"):
            rate = 0.01 if alpha_rate is None else alpha_rate
            self.controller = Reinforce(NASBench201(), seed=seed, learning_rate=rate)
        self.alphas = tf.Variable(
            1e-3 * np.random.default_rng([seed, 1]).normal(size=SHAPE), dtype=tf.float32
        )
        self.optimizer = keras.optimizers.SGD(
            learning_rate, momentum=0.9, nesterov=True, weight_decay=5e-4, global_clipnorm=CLIPNORM
        )
        self.optimizer.build(network.trainable_variables)
        rate = ALPHA_RATES.get(method, 1e-3) if alpha_rate is None else alpha_rate
        self.alpha_optimizer = keras.optimizers.Adam(rate, **BETAS)
        self._alpha_variable = keras.Variable(self.alphas.numpy(), name="alphas")
        self.alpha_optimizer.build([self._alpha_variable])
        costs = np.zeros(SHAPE) if costs is None else np.asarray(costs, "float64").reshape(SHAPE)
        largest = costs.max(axis=-1).sum() or 1.0
        self.costs = (cost_weight * costs / largest).astype("float32")
        self.history: list[dict] = []
        steps = self._weight_step, self._alpha_gradient, self._count_right
        self._step, self._alpha_step, self._accuracy = map(tf.function, steps)

    def _logits(self, images, gates):
        inputs = [keras.ops.convert_to_tensor(x) for x in (images, gates)]
        return self.network(inputs, training=True)

    def _weight_step(self, images, labels, noise, chosen, temperature):
        """Changes the weights once, for SNAS returning the gradient of the alphas too. Returns loss and gradient."""
        import tensorflow as tf

        variables = self.network.trainable_variables
        with tf.GradientTape() as tape:
            loss = batch_loss(labels, self._logits(images, self._gates(noise, chosen, temperature)))
            if self.method == "snas":
                loss = loss + _gates.expected_cost(self.alphas, self.costs)
        watched = [variable.value for variable in variables]
        *gradients, of_alphas = tape.gradient(loss, [*watched, self.alphas])
        self.optimizer.apply(gradients, variables)
        return loss, of_alphas if of_alphas is not None else tf.zeros(SHAPE)

    def _mixed_loss(self, images, labels):
        return batch_loss(labels, self._logits(images, _gates.softmax_gates(self.alphas)))

    def _gates(self, noise, chosen, temperature):
        if self.method in ("darts", "darts_second"):
            return _gates.softmax_gates(self.alphas)
        if self.method == "snas":
            return _gates.concrete_gates(self.alphas, noise, temperature)
        return chosen

    def _alpha_gradient(self, images, labels, train_images, train_labels, chosen, among, rate):
        """Returns the gradient of the alphas on a validation batch."""
        import tensorflow as tf

        if self.method == "darts_second":
            batches = (train_images, train_labels), (images, labels)
            losses = [functools.partial(self._mixed_loss, *batch) for batch in batches]
            variables = [variable.value for variable in self.network.trainable_variables]
            return second_order_gradient(*losses, variables, self.alphas, rate)
        with tf.GradientTape() as tape:
            if self.method == "darts":
                loss = self._mixed_loss(images, labels)
            else:
                gates = _gates.binary_gates(self.alphas, chosen, among)
                loss = batch_loss(labels, self._logits(images, gates))
                loss = loss + _gates.expected_cost(self.alphas, self.costs)
        return tape.gradient(loss, self.alphas)

    def _count_right(self, images, labels, gates):
        predicted = keras.ops.argmax(self._logits(images, gates), axis=-1)
        return keras.ops.sum(keras.ops.equal(predicted, keras.ops.cast(labels, predicted.dtype)))

    def _update_alphas(self, gradient, among=None):
        """Takes a step of Adam; of ProxylessNAS the probabilities of the other operations stay."""
        before = self.alphas.numpy()
        gradient = np.array(gradient)
        if self.method != "proxylessnas":
            gradient = gradient + ALPHA_DECAY * before
        self._alpha_variable.assign(before)
        self.alpha_optimizer.apply([keras.ops.convert_to_tensor(gradient)], [self._alpha_variable])
        after = keras.ops.convert_to_numpy(self._alpha_variable)
        if among is not None:
            after = _gates.keep_other_probabilities(before, after, among)
        self.alphas.assign(after)

    def accuracy(self, cell: str, images: np.ndarray, labels: np.ndarray) -> float:
        """Returns the accuracy in percent of a cell with the shared weights, with statistics of each batch."""
        right, size = 0, self.batch_size
        count = max(len(labels) // size, 1) * size  # a smaller last batch has other statistics
        for start in range(0, count, size):
            batch = slice(start, start + size)
            right += int(self._accuracy(images[batch], labels[batch], one_hot(cell)))
        return 100 * right / min(count, len(labels))

    def probabilities(self) -> np.ndarray:
        """Returns the probability of each operation of each edge, (6, 5)."""
        if self.controller:
            return np.array(self.controller.probabilities())
        return np.asarray(keras.ops.softmax(self.alphas, axis=-1))

    def train_epoch(self, train: tuple, valid: tuple) -> dict:
        """Trains for one epoch, and returns its line of the history.

        Args:
            train: images float32 (number, height, width, channels) and int labels (number,).
            valid: other images and labels; DARTS and ProxylessNAS learn the architecture on them, SNAS trains on them.
        """
        epoch = len(self.history)
        random = np.random.default_rng([self.seed, 2, epoch])
        if self.method == "snas":
            train = tuple(np.concatenate(pair) for pair in zip(train, valid, strict=True))
        steps = len(train[1]) // self.batch_size
        if not steps or len(valid[1]) < self.batch_size:
            count = min(len(train[1]), len(valid[1]))
            raise ValueError(
                f"batch_size={self.batch_size} is more than the {count} images; lower it"
            )
        order, losses = random.permutation(len(train[1])), []
        first, last = TEMPERATURES
        for step in range(steps):
            part = (epoch + step / steps) / self.epochs
            rate = self.learning_rate * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * min(part, 1))))
            self.optimizer.learning_rate.assign(rate)
            temperature = np.float32(first * (last / first) ** part)
            batch = take(train, order[step * self.batch_size :][: self.batch_size])
            other = take(valid, random.integers(len(valid[1]), size=self.batch_size))
            if self.method in ("darts", "darts_second", "proxylessnas"):
                self._learn_alphas(batch, other, random, np.float32(rate))
            noise = _gates.gumbel_noise(random, SHAPE)
            loss, gradient = self._step(*batch, noise, self._chosen(random), temperature)
            losses.append(float(loss))
            if self.method == "snas":
                self._update_alphas(gradient)
            if self.method == "paths":
                self._learn_controller(other)
        if self.method == "enas":
            for _ in range(steps):
                numbers = random.integers(len(valid[1]), size=self.batch_size)
                self._learn_controller(take(valid, numbers))
        cell = cell_of(self.probabilities())
        row = {
            "epoch": epoch + 1, "loss": float(np.mean(losses)), "cell": cell, "skips": skip_count(cell),
            "accuracy": self.accuracy(cell, *valid), "probabilities": np.round(self.probabilities(), 4).tolist(),
        }  # fmt: skip
        self.history.append(row)
        return row

    def _chosen(self, random):
        """Returns the one-hot gates of a training step."""
        if self.controller:
            return one_hot(self.controller.propose())
        return IDENTITY[_gates.choose(self.probabilities(), random.random(SHAPE[0]))]

    def _learn_alphas(self, batch, other, random, rate):
        """Changes the architecture parameters once."""
        among = chosen = np.zeros(SHAPE, "float32")
        if self.method == "proxylessnas":
            probabilities = self.probabilities()
            pairs = _gates.choose_pairs(probabilities, random)
            among = IDENTITY[pairs].sum(axis=1)
            numbers = _gates.choose(probabilities * among, random.random(SHAPE[0]))
            chosen = IDENTITY[numbers]
        gradient = self._alpha_step(*other, *batch, chosen, among, rate)
        self._update_alphas(gradient, among if self.method == "proxylessnas" else None)

    def _learn_controller(self, batch):
        """Tells the controller the accuracy of a cell that it samples, on a validation batch."""
        cell = self.controller.ask()
        right = int(self._accuracy(*batch, one_hot(cell)))
        self.controller.tell(cell, 100 * right / self.batch_size)

    def cell(self, valid: tuple | None = None) -> str:
        """Returns the cell that the search ends with: the most likely operations.

        Args:
            valid: images and labels. ENAS then samples 20 cells, and returns the one with the best accuracy.
        """
        if self.controller is None or valid is None:
            return cell_of(self.probabilities())
        random = np.random.default_rng([self.seed, 3]).random((SAMPLED, SHAPE[0]))
        sampled = [IDENTITY[_gates.choose(self.probabilities(), numbers)] for numbers in random]
        cells = map(cell_of, [self.probabilities(), *sampled])
        return max(dict.fromkeys(cells), key=lambda cell: self.accuracy(cell, *valid))

    def _variables(self):
        """Returns the variables of the state, but for the architecture parameters."""
        optimizers = self.optimizer, self.alpha_optimizer
        return [*self.network.variables, *(x for y in optimizers for x in y.variables)]

    def state(self) -> dict[str, np.ndarray]:
        """Returns the state as arrays, for `numpy.savez`; `set_state` resumes the search with the same results."""
        arrays = {f"v{i}": keras.ops.convert_to_numpy(x) for i, x in enumerate(self._variables())}
        controller = self.controller.state() if self.controller else None
        text = json.dumps({"history": self.history, "controller": controller})
        return {**arrays, "alphas": self.alphas.numpy(), "text": np.array(text)}

    def set_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Sets the state that `state` of an equal search returned.

        Raises:
            ValueError: for an incomplete state, and one of another search.
        """
        variables = self._variables()
        try:
            values = [arrays[f"v{i}"] for i in range(len(variables))]
            text = json.loads(str(arrays["text"]))
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            self.alphas.assign(arrays["alphas"])
            if self.controller:
                self.controller.set_state(text["controller"])
            self.history = text["history"]
        except (KeyError, TypeError) as error:
            raise ValueError(f"the state of the search is incomplete: {error}") from None
