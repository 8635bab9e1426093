"""A killed training resumes to the same bits as an uninterrupted one, and no checkpoint is lost."""

import errno
import os
import random
import signal

import keras
import numpy as np
import pytest

from kapps import training


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
    """The state and the history of an uninterrupted training."""
    model = small()
    history, _ = fit(model, tmp_path_factory.mktemp("whole"))
    return state(model), history


@pytest.mark.parametrize(
    "interrupt",
    [1, 10, 11, *(pytest.param(step, marks=pytest.mark.long) for step in (5, 13, 19, 20))],
)
def test_a_killed_training_resumes_to_the_same_bits(tmp_path, whole, interrupt):
    with pytest.raises(KeyboardInterrupt):
        fit(small(), tmp_path, interrupt=interrupt)
    model = small()
    history, checkpoints = fit(model, tmp_path)
    assert same(state(model), whole[0]) and checkpoints.step == 20
    for key, values in whole[1].items():
        assert history[key][-1] == pytest.approx(values[-1], rel=1e-5), key


def test_the_logs_of_an_interrupted_epoch_include_all_steps(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt):
        fit(small(), tmp_path, interrupt=17)
    history, _ = fit(small(), tmp_path)
    assert len(history["loss"]) == 1  # the second epoch; 5 of its steps are new
    assert history["loss"][0] == pytest.approx(whole[1]["loss"][1], rel=1e-5)
    assert history["mae"][0] == pytest.approx(whole[1]["mae"][1], rel=1e-5)


def test_an_interrupted_epochs_perplexity_is_a_geometric_mean(tmp_path):
    checkpoints = training.Checkpoints(tmp_path, steps_per_epoch=4)
    checkpoints.interrupted, checkpoints.step = (1, {"perplexity": 16.0, "loss": 16.0}), 4
    means = checkpoints.epoch_logs({"perplexity": 2.0, "loss": 2.0, "new": 3.0})
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


@pytest.mark.parametrize("defect", ["truncated", "empty", "flipped"])
def test_an_incomplete_checkpoint_is_skipped(tmp_path, whole, defect):
    fit(small(), tmp_path, epochs=1)
    newest = tmp_path / "step-0000000010.npz"
    content = bytearray(newest.read_bytes())
    if defect == "flipped":
        content[len(content) // 2] ^= 255
    newest.write_bytes({"truncated": content[:-100], "empty": b"", "flipped": content}[defect])
    model = small()
    checkpoints = training.Checkpoints(tmp_path, steps_per_epoch=10)
    with pytest.warns(UserWarning, match="step-0000000010.npz is incomplete"):
        assert checkpoints.restore(model) == 9
    with pytest.warns(UserWarning, match="incomplete"):
        fit(model, tmp_path)
    assert same(state(model), whole[0])


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


def test_a_process_that_does_not_write_restores_too(tmp_path, whole):
    fit(small(), tmp_path, epochs=1)
    before = sorted(path.name for path in tmp_path.iterdir())
    model = small()
    _, checkpoints = fit(model, tmp_path, write=False)
    checkpoints.delete()
    assert same(state(model), whole[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_sigterm_saves_the_current_step(tmp_path, whole):
    class Terminate(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 4:
                os.kill(os.getpid(), signal.SIGTERM)

    model, before = small(), signal.getsignal(signal.SIGTERM)
    checkpoints = training.Checkpoints(tmp_path, steps_per_epoch=10)
    with pytest.raises(training.TrainingStopped) as stopped:
        model.fit(
            batches(0),
            epochs=2,
            steps_per_epoch=10,
            verbose=0,
            shuffle=False,
            callbacks=checkpoints.surround([Terminate()]),
        )
    assert "step 5: SIGTERM; saved" in str(stopped.value) and stopped.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before
    again = small()
    fit(again, tmp_path)
    assert same(state(again), whole[0])


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
