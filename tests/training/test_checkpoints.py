"""A killed training resumes to the same bits as an uninterrupted one, and no checkpoint is lost."""

import errno
import os
import random
import shutil
import signal

import keras
import numpy as np
import pytest

from kapps import data, training
from kapps.training import checkpoint_state


def small():
    keras.utils.set_random_seed(3)
    image = keras.Input((4,))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(5)(image))
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Dropout(0.5)(x)), name="small")
    optimizer = keras.optimizers.Adam(0.01, use_ema=True)
    model.compile(optimizer, "mean_squared_error", metrics=["mae"], jit_compile=False)
    return model


X, Y = (
    np.random.default_rng(i).normal(size=(40, n)).astype("float32") for i, n in ((0, 4), (1, 2))
)


def batches(first):
    """Four rows per step, ten steps per epoch, from a step on."""
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).repeat().skip(first)


def state(model):
    values = [*model.variables, *model.optimizer.variables]
    return [keras.ops.convert_to_numpy(value) for value in values]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


class Interrupt(keras.callbacks.Callback):
    """Raises an exception in a step: no signal handler runs."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == self.step:
            raise KeyboardInterrupt


def fit(model, directory, *, epochs=2, interrupt=None, every=3, **options):
    checkpoints = training.Checkpoints(directory, steps_per_epoch=10, interval=every, **options)
    step = checkpoints.restore(model)
    history = model.fit(
        batches(step), epochs=epochs, initial_epoch=step // 10, steps_per_epoch=10, verbose=0, shuffle=False,
        callbacks=checkpoints.surround([Interrupt(interrupt)] if interrupt else []),
    )  # fmt: skip
    return history.history, checkpoints


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The state and the history of an uninterrupted training, and the folder of its checkpoints."""
    model = small()
    folder = tmp_path_factory.mktemp("whole")
    history, _ = fit(model, folder)
    return state(model), history, folder


@pytest.mark.parametrize(
    "interrupt",
    [1, *(pytest.param(step, marks=pytest.mark.long) for step in (5, 10, 11, 19, 20))],
)
def test_a_killed_training_resumes_to_the_same_bits(tmp_path, whole, interrupt):
    with pytest.raises(KeyboardInterrupt):
        fit(small(), tmp_path, interrupt=interrupt)
    model = small()
    history, checkpoints = fit(model, tmp_path)
    assert same(state(model), whole[0]) and checkpoints.step == 20
    assert {key: values[-1] for key, values in history.items()} == {
        key: values[-1] for key, values in whole[1].items()
    }


@pytest.mark.long
def test_the_logs_of_an_interrupted_epoch_include_all_steps(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt):
        fit(small(), tmp_path, interrupt=17)
    history, _ = fit(small(), tmp_path)
    assert len(history["loss"]) == 1  # the second epoch; 5 of its steps are new
    assert history["loss"] == whole[1]["loss"][1:] and history["mae"] == whole[1]["mae"][1:]


@pytest.mark.long
def test_without_metrics_the_logs_of_an_interrupted_epoch_are_means(tmp_path, whole, monkeypatch):
    """As with several workers, which cannot read the metrics of all."""
    monkeypatch.setattr(checkpoint_state, "_has_workers", lambda _: True)
    with pytest.raises(KeyboardInterrupt):
        fit(small(), tmp_path, interrupt=17)
    model = small()
    history, _ = fit(model, tmp_path)
    assert history["loss"] == pytest.approx(whole[1]["loss"][1:], rel=1e-5)
    assert same(state(model), whole[0])


def test_the_mean_of_a_perplexity_is_geometric():
    logs = {"perplexity": 2.0, "loss": 2.0, "new": 3.0}
    means = checkpoint_state.mean_logs({"perplexity": 16.0, "loss": 16.0}, logs, (1, 3))
    # One step of 16 and three of 2: 2 to the power of (4 + 3) / 4, and (16 + 3 * 2) / 4.
    assert means == pytest.approx({"perplexity": 2**1.75, "loss": 5.5, "new": 3.0})


def test_a_complete_training_is_restored_and_not_trained(tmp_path, whole):
    fit(small(), tmp_path)
    model = small()
    fit(model, tmp_path)
    assert same(state(model), whole[0])


def test_the_last_two_are_kept_and_delete_removes_all(tmp_path):
    _, checkpoints = fit(small(), tmp_path)
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert names == ["step-0000000018.npz", "step-0000000020.npz"]
    checkpoints.delete()
    assert not tmp_path.exists()


def flip(position):
    """Returns a function that inverts the bits of the byte at a fraction of a file, or at an index."""

    def change(path):
        content = bytearray(path.read_bytes())
        content[int(position * len(content)) if isinstance(position, float) else position] ^= 255
        path.write_bytes(content)

    return change


def make_folder(path):
    path.unlink()
    path.mkdir()


def write_other_json(path):
    np.savez(path, about=np.frombuffer(b"{]", np.uint8))


DEFECTS = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"0"),
    "another file": lambda path: path.write_text("no archive" * 50, encoding="utf-8"),
    "wrong JSON": write_other_json,
    "a folder": make_folder,
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    **{
        f"byte {position} flipped": flip(position)
        for position in (0, 8, 27, 0.3, 0.5, 0.9, -100, -1)
    },
}


@pytest.fixture(scope="module")
def restored():
    """A model into which checkpoints are restored."""
    return small()


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_corrupt_checkpoint_is_skipped(tmp_path, whole, restored, defect, capsys):
    shutil.copytree(whole[2], tmp_path / "a")
    DEFECTS[defect](tmp_path / "a" / "step-0000000020.npz")
    checkpoints = training.Checkpoints(tmp_path / "a", steps_per_epoch=10)
    assert checkpoints.restore(restored) == 18
    (line,) = capsys.readouterr().err.splitlines()
    assert "step-0000000020.npz" in line and "corrupt" in line and "skipped" in line
    assert "step-0000000018.npz is the last good" in checkpoints.describe_last()


@pytest.mark.long
def test_a_training_that_skipped_a_corrupt_checkpoint_ends_with_the_same_bits(tmp_path, whole):
    fit(small(), tmp_path, epochs=1)
    DEFECTS["truncated"](tmp_path / "step-0000000010.npz")
    model = small()
    fit(model, tmp_path)
    assert same(state(model), whole[0])


def test_if_every_checkpoint_is_corrupt_the_run_does_not_start_from_scratch(tmp_path, whole):
    shutil.copytree(whole[2], tmp_path / "a")
    for path in training.list_checkpoints(tmp_path / "a"):
        path.write_bytes(b"0")
    with pytest.raises(ValueError, match="every checkpoint") as error:
        training.Checkpoints(tmp_path / "a", steps_per_epoch=10).restore(small())
    text = str(error.value)
    assert "\n" not in text and str(tmp_path / "a") in text and "from scratch" in text


@pytest.mark.long
def test_corrupt_checkpoints_do_not_count_as_kept_ones(tmp_path, capsys):
    """Two good checkpoints are kept, and a corrupt one of a later step is deleted; other files stay."""
    fit(small(), tmp_path, epochs=1)
    shutil.copy(tmp_path / "step-0000000010.npz", tmp_path / "step-0000000099.npz")
    DEFECTS["truncated"](tmp_path / "step-0000000099.npz")
    (tmp_path / "step-abc.npz").write_text("mine", encoding="utf-8")
    (tmp_path / "step-0000000098.npz").mkdir()
    fit(small(), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "step-0000000018.npz", "step-0000000020.npz", "step-0000000098.npz", "step-abc.npz",
    ]  # fmt: skip
    assert "cannot" not in capsys.readouterr().err


def test_a_full_disk_is_an_error_of_one_line_and_older_checkpoints_remain(tmp_path, monkeypatch):
    fit(small(), tmp_path, epochs=1)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def raise_no_space(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", raise_no_space)
    with pytest.raises(training.TrainingStopped) as stopped:
        fit(small(), tmp_path)
    text = str(stopped.value)
    assert "No space left on device" in text and "step-0000000010.npz" in text
    assert "\n" not in text and stopped.value.code == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_loss_that_is_not_finite_stops_and_the_last_checkpoint_remains(tmp_path):
    model = small()
    checkpoints = training.Checkpoints(tmp_path, steps_per_epoch=10, interval=3)
    bad = Y.copy()
    bad[20:24] = np.nan  # of the sixth step
    with pytest.raises(training.TrainingStopped) as stopped:
        model.fit(X, bad, batch_size=4, shuffle=False, verbose=0, callbacks=[checkpoints])
    assert str(stopped.value).startswith("step 6: the loss is nan; ")
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000003.npz"]
    with np.load(tmp_path / "step-0000000003.npz") as file:
        assert all(np.isfinite(file[key]).all() for key in file if key != "about")


def test_a_weight_that_is_not_finite_is_not_saved(tmp_path):
    model = small()
    checkpoints = training.Checkpoints(tmp_path, steps_per_epoch=10)
    checkpoints.restore(model)
    checkpoints.set_model(model)
    checkpoints.step = 7
    model.layers[1].bias.assign(np.full(5, np.inf, "float32"))
    with pytest.raises(training.TrainingStopped, match="step 7: a weight is not finite"):
        checkpoints.save()
    assert not tmp_path.exists() or not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("identity", "message"),
    [({"seed": 2}, "seed=1, not seed=2"), ({"seed": 1, "epochs": 3}, "epochs=")],
)
def test_a_checkpoint_of_another_training_is_an_error(tmp_path, identity, message):
    fit(small(), tmp_path, epochs=1, identity={"seed": 1})
    with pytest.raises(ValueError, match=message) as error:
        fit(small(), tmp_path, identity=identity)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_a_checkpoint_of_another_model_is_an_error(tmp_path):
    fit(small(), tmp_path, epochs=1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("sgd", "mean_squared_error")
    with pytest.raises(ValueError, match="does not fit"):
        fit(model, tmp_path)


def test_notes_are_restored(tmp_path):
    fit(small(), tmp_path, epochs=1, notes={"before": {"loss": 2.0}})
    checkpoints = training.Checkpoints(tmp_path, steps_per_epoch=10)
    assert checkpoints.restore(small()) == 10 and checkpoints.notes == {"before": {"loss": 2.0}}


@pytest.mark.long
def test_a_process_that_does_not_write_restores_too(tmp_path, whole):
    fit(small(), tmp_path, epochs=1)
    before = sorted(path.name for path in tmp_path.iterdir())
    model = small()
    _, checkpoints = fit(model, tmp_path, write=False)
    checkpoints.delete()
    assert same(state(model), whole[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == before


class Kill(keras.callbacks.Callback):
    """Sends signals to this process before step 5."""

    def __init__(self, *signals):
        super().__init__()
        self.signals = signals

    def on_train_batch_begin(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 4:
            for number in self.signals:
                signal.raise_signal(number)


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")]
)
def test_a_signal_saves_the_current_step(tmp_path, whole, number, name):
    model, before = small(), signal.getsignal(number)
    checkpoints = training.Checkpoints(tmp_path, steps_per_epoch=10)
    with pytest.raises(training.TrainingStopped) as stopped:
        model.fit(
            batches(0), epochs=2, steps_per_epoch=10, verbose=0, shuffle=False,
            callbacks=checkpoints.surround([Kill(number)]),
        )  # fmt: skip
    assert f"step 5: {name}; saved" in str(stopped.value) and stopped.value.code == 128 + number
    assert signal.getsignal(number) == before
    again = small()
    fit(again, tmp_path)
    assert same(state(again), whole[0])


def test_a_second_ctrl_c_ends_at_once_and_saves_nothing(tmp_path):
    checkpoints = training.Checkpoints(tmp_path, steps_per_epoch=10)
    with pytest.raises(KeyboardInterrupt):
        small().fit(
            batches(0), steps_per_epoch=10, verbose=0,
            callbacks=checkpoints.surround([Kill(signal.SIGINT, signal.SIGINT)]),
        )  # fmt: skip
    checkpoints.on_train_end()
    assert not list(tmp_path.iterdir())


def carrying(nested):
    """A network with a carried state, and with states of layers and cells inside a layer."""
    keras.utils.set_random_seed(3)
    tokens = keras.Input(batch_shape=(4, 5), dtype="int32")
    x = keras.layers.Dropout(0.2)(keras.layers.Embedding(7, 3)(tokens))
    x = keras.layers.LSTM(4, stateful=True, return_sequences=True)(x)
    if nested:
        cells = [keras.layers.GRUCell(3), keras.layers.LSTMCell(3)]
        simple = keras.layers.SimpleRNN(2, stateful=True, return_sequences=True)
        x = keras.layers.Bidirectional(simple)(x)
        x = keras.layers.RNN(cells, stateful=True, return_sequences=True)(x)
    model = keras.Model(tokens, keras.layers.Dense(7)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("rmsprop", loss, weighted_metrics=[training.Perplexity()], jit_compile=False)
    return model


def fit_text(directory, interrupt=None, nested=False):
    text = np.random.default_rng(0).integers(0, 7, 300)
    steps = data.text.stream_steps_per_epoch(text, 5, 4)
    model = carrying(nested)
    checkpoints = training.Checkpoints(directory, steps_per_epoch=2 * steps, interval=3)
    step = checkpoints.restore(model)
    callbacks = [training.ResetStates(steps), *([Interrupt(interrupt)] if interrupt else [])]
    history = model.fit(
        data.text.stream_dataset(text, 5, 4, first_step=step), epochs=2, initial_epoch=step // (2 * steps),
        steps_per_epoch=2 * steps, verbose=0, shuffle=False, callbacks=checkpoints.surround(callbacks),
        validation_data=data.text.eval_stream_dataset(text, 5, 4),
    )  # fmt: skip
    return state(model), {key: values[-1] for key, values in history.history.items()}


@pytest.mark.parametrize(
    ("nested", "steps"),
    [(False, (19,)), pytest.param(True, (5, 19, 30, 43), marks=pytest.mark.long)],
)
def test_states_that_are_carried_between_batches_are_restored(tmp_path, nested, steps):
    """13 steps are the text, and 26 an epoch: no state is zero at a checkpoint."""
    expected, history = fit_text(tmp_path / "whole", nested=nested)
    for step in steps:
        with pytest.raises(KeyboardInterrupt):
            fit_text(tmp_path / "parts", step, nested)
    values, resumed = fit_text(tmp_path / "parts", nested=nested)
    assert same(values, expected) and resumed == history


@pytest.mark.long
def test_the_state_of_callbacks_is_restored(tmp_path):
    """Early stopping and the reduction of the learning rate count the epochs of both parts."""

    def train(directory, interrupt=None):
        callbacks = [
            keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=2, min_delta=10.0),
            keras.callbacks.EarlyStopping("mae", patience=3, min_delta=10.0, restore_best_weights=True),
            *([Interrupt(interrupt)] if interrupt else []),
        ]  # fmt: skip
        model = small()
        checkpoints = training.Checkpoints(directory, steps_per_epoch=10, interval=50)
        step = checkpoints.restore(model)
        first = step // 10
        model.fit(
            batches(step), epochs=first if checkpoints.finished else 9, initial_epoch=first, steps_per_epoch=10,
            verbose=0, shuffle=False, callbacks=checkpoints.surround(callbacks),
        )  # fmt: skip
        return state(model), checkpoints.step

    expected, steps = train(tmp_path / "whole")
    assert steps == 40
    for step in (25, 38):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "parts", step)
    values, steps = train(tmp_path / "parts")
    assert steps == 40 and same(values, expected)
    values, steps = train(tmp_path / "parts")  # it has ended, and does not continue
    assert steps == 40 and same(values, expected)


# In separate processes: data, dropout, MixUp, loss scaling and the average of the weights are restored.


def load_arrays(process):
    with np.load(process.folder / f"{process.name}_0.npz") as file:
        return {key: file[key] for key in file}


@pytest.mark.long
def test_killed_at_random_steps_a_training_ends_with_the_same_bits(trainings):
    (uninterrupted,) = trainings("uninterrupted", "default", "--rich", "--steps=30")
    uninterrupted.wait()
    draw = random.Random(os.environ.get("KAPPS_TEST_SEED", "7"))
    steps = sorted(draw.sample(range(2, 30), 2))
    for step in steps:
        (process,) = trainings(
            "often", "default", "--rich", "--steps=30", "--every=4", "--pace=0.05"
        )
        process.wait_for(f"step {step}\n")
        process.process.kill()
        process.process.wait()
    (process,) = trainings("often", "default", "--rich", "--steps=30", "--every=4")
    process.wait()
    assert "resumes at step" in process.output()
    expected, arrays = load_arrays(uninterrupted), load_arrays(process)
    assert expected.keys() == arrays.keys() and len(arrays) > 20
    for key, value in expected.items():
        np.testing.assert_array_equal(arrays[key], value, err_msg=f"{key}, killed at steps {steps}")


@pytest.mark.long
def test_a_process_exits_with_143_after_sigterm_without_a_traceback(trainings):
    (process,) = trainings("told", "default", "--steps=30", "--pace=0.1")
    process.wait_for("step 3\n")
    process.process.terminate()
    last = process.wait(code=143, seconds=60)
    assert last.startswith("worker.py: step ") and "SIGTERM; saved" in last
    assert "Traceback" not in process.output()
    assert training.list_checkpoints(process.folder / "told" / "checkpoints")
