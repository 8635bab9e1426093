"""Training on several replicas results in the same weights as on one device, under every strategy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kapps import training

SEVERAL = {"mirrored": 0, "two": 2}


@pytest.fixture(scope="module")
def ended(trainings):
    """`ended(name)` returns the files of each process of a training of 20 steps, which runs at most once."""
    done = {}

    def ended(name):
        if name not in done:
            of = SEVERAL.get(name, 0)
            strategy = "multi_worker" if of else name
            processes = trainings(name, strategy, of=of)
            for process in processes:
                process.wait()
            folder = processes[0].folder
            done[name] = (
                [np.load(folder / f"{name}_{i}.npz") for i in range(len(processes))],
                folder,
            )
        return done[name]

    return ended


@pytest.mark.long
@pytest.mark.parametrize("name", SEVERAL)
def test_several_replicas_train_as_one(ended, name):
    ((one,), _), (several, _) = ended("default"), ended(name)
    names = [key for key in one if key.startswith("weight")]
    assert len(names) == 8
    for left in several:
        for key in names:
            np.testing.assert_allclose(left[key], one[key], rtol=0, atol=1e-5, err_msg=key)
        # 17 images in batches of 16: the last batch has fewer images than there are replicas.
        assert left["predicted"].shape == (17, 10)
        np.testing.assert_allclose(left["predicted"], one["predicted"], rtol=0, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("name", SEVERAL)
def test_predictions_in_scope_are_those_of_the_reloaded_model(ended, name):
    several, folder = ended(name)
    model = keras.saving.load_model(folder / name / "model.keras", safe_mode=True)
    assert not any(getattr(layer, "synchronized", False) for layer in model.layers)
    from kapps import data
    from kapps.cards import Preprocessing

    source = data.open_source("digits", split="validation")
    plain = Preprocessing(size=(8, 8), crop=1.0)
    images, _ = next(iter(data.eval_dataset(source, plain, 17, classes=10)))
    predictions = model(images, training=False).numpy()
    np.testing.assert_allclose(predictions, several[0]["predicted"], rtol=0, atol=1e-5)


@pytest.mark.long
def test_only_the_first_worker_writes(ended):
    name = "two"
    several, folder = ended(name)
    assert len(several) == SEVERAL[name]
    written = {path.relative_to(folder / name).as_posix() for path in (folder / name).rglob("*.*")}
    assert {"model.keras", "history.csv", "curves.png"} < written
    logs = sorted(folder.glob(f"{name}_*.log"))
    assert ["epoch 2/2" in log.read_text(encoding="utf-8") for log in logs] == [True] + [False] * (
        len(logs) - 1
    )


MASKS = """
import keras, numpy as np, tensorflow as tf
from kapps import training
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = training.make_strategy("mirrored")
with strategy.scope():
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dropout(0.5)])
    model.compile("sgd")

@tf.function
def masks():
    return strategy.run(lambda: model(tf.ones((1, 64)), training=True))

with training.replica_workarounds(model, strategy):
    first, second = (np.concatenate(strategy.experimental_local_results(masks())) for _ in range(2))
assert set(np.unique(first)) == {0.0, 2.0}
print([bool((a == b).all()) for a, b in ((first[0], first[1]), (first[0], second[0]), (first[0], second[1]))])
assert "next" not in vars(model.layers[0].seed_generator)
"""


@pytest.mark.long
def test_dropout_masks_differ_between_replicas_and_steps(forked):
    assert forked(MASKS).splitlines()[-1] == "[False, False, False]"


def test_one_replica_is_not_changed():
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    before = dict(vars(model))
    with training.replica_workarounds(model, tf.distribute.get_strategy()) as result:
        assert result is model and not model.layers[0].synchronized
    assert vars(model).keys() == before.keys()


@pytest.mark.long
def test_a_killed_worker_stops_the_others_and_all_resume_exactly(trainings, ended):
    def weights(process):
        left = np.load(process.folder / f"killed_{process.number}.npz")
        return [left[f"weight{i}"] for i in range(8)]

    first, second = trainings("killed", "multi_worker", "--every=4", "--pace=0.1", of=2)
    first.wait_for("step 14")
    second.process.kill()
    last = first.wait(code=1, seconds=60)
    assert last.startswith("worker.py: worker 1 does not respond") and "same command" in last
    assert "Traceback" not in first.output()
    again = trainings("killed", "multi_worker", "--every=4", of=2)
    for process in again:
        process.wait()
    assert "resumes at step 12 of 20" in again[0].output()
    whole, _ = ended("two")
    for process in again:
        for i, weight in enumerate(weights(process)):
            np.testing.assert_array_equal(weight, whole[0][f"weight{i}"])
