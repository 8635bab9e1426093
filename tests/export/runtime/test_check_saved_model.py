"""SavedModels of other people: only computations run, and a corrupt file is an error of one line."""

import os
import random
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import kapps
from kapps.export import runtime
from kapps.preprocessing import Preprocessing

PIXELS = Preprocessing(size=(8, 8), crop=1.0, mean=(0.5,) * 3, std=(0.1,) * 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("float32")


@pytest.fixture(scope="module")
def model():
    image = keras.Input((8, 8, 3))
    x = keras.layers.Dense(3, "softmax")(keras.layers.GlobalAveragePooling2D()(image))
    return keras.Model(image, x, name="net")


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """A SavedModel with a lookup table of labels."""
    return kapps.export.saved_model(
        model, tmp_path_factory.mktemp("exported"), preprocessing=PIXELS, class_names=list("abc")
    )


@pytest.fixture
def changed(exported, tmp_path):
    """`changed(change)` returns a copy of `exported` whose message `change` has modified."""

    def changed(change):
        path = tmp_path / "changed"
        shutil.copytree(exported, path)
        message = read(path)
        change(message)
        (path / "saved_model.pb").write_bytes(message.SerializeToString())
        return path

    return changed


def read(path):
    return saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())


def library(message):
    return message.meta_graphs[0].graph_def.library.function


def function_with(message, operation):
    return next(f for f in library(message) if operation in {node.op for node in f.node_def})


def error_of(path):
    """Returns the message of the error of `load_saved_model`."""
    with pytest.raises(ValueError) as error:
        runtime.load_saved_model(path)
    assert "\n" not in str(error.value)
    return str(error.value)


OPERATIONS = [
    "WriteFile", "ReadFile", "MatchingFiles", "SaveV2", "RestoreV2", "Save", "MergeV2Checkpoints", "PyFunc",
    "EagerPyFunc", "PyFuncStateless", "PrintV2", "Print", "DebugIdentity", "DebugIdentityV2", "ImmutableConst", "Copy",
    "SqlDataset", "TextLineDataset", "TFRecordDataset", "TextLineReaderV2", "WholeFileReaderV2", "MatchingFilesDataset",
    "FixedUnigramCandidateSampler", "LoadAndRemapMatrix", "GenerateVocabRemapping", "RemoteCall", "RpcCall", "Send",
    "CollectiveReduceV2", "DecodeProtoV2", "CreateSummaryFileWriter", "DumpTensor", "XlaCustomCall", "XlaCallModule",
    "Abort", "GeneratorDataset", "SnapshotDatasetV2", "DatasetToTFRecord", "TPUCompile", "MyCustomOperation", "",
]  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_that_is_no_computation_raises(operation, changed):
    def change(message):
        function_with(message, "DecodeImage").node_def.add(name="x", op=operation)

    message = error_of(changed(change))
    assert repr(operation) in message and "trust=True" in message


@pytest.mark.parametrize("place", ["main graph", "uncalled function", "initializer", "attribute"])
def test_an_operation_is_seen_in_every_place(place, changed):
    def change(message):
        graph = message.meta_graphs[0].graph_def
        if place == "main graph":
            graph.node.add(name="x", op="WriteFile")
        elif place == "initializer":
            function_with(message, "InitializeTableFromTextFileV2").node_def.add(op="WriteFile")
        else:
            function = graph.library.function.add()
            function.signature.name = "hidden"
            function.node_def.add(name="x", op="RestoreV2" if place == "attribute" else "WriteFile")
        if place == "attribute":  # the name of a function in a list of a nested attribute
            node = function_with(message, "DecodeImage").node_def.add(name="y", op="NoOp")
            node.attr["a"].func.attr["b"].list.func.add(name="hidden")

    assert "'WriteFile'" in (text := error_of(changed(change))) or "'RestoreV2'" in text


def test_nested_functions_do_not_run(model, tmp_path):
    written = tmp_path / "written"

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 3])])
    def serve(image):
        def body(x):
            def write():
                tf.io.write_file(str(written), "text")
                return x

            return tf.cond(tf.reduce_sum(x) > -1, write, lambda: x)

        return {"probabilities": tf.map_fn(body, tf.reduce_mean(image, [1, 2]))}

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(tmp_path / "nested"), signatures=serve)
    assert "'WriteFile'" in error_of(tmp_path / "nested")
    with pytest.raises(ValueError, match=r"WriteFile.*--trust"):
        kapps.export.verify(model, tmp_path / "nested", IMAGES, preprocessing=PIXELS, verbose=0)
    assert not written.exists()
    kapps.export.verify(
        model, tmp_path / "nested", IMAGES, preprocessing=PIXELS, trust=True, verbose=0
    )
    assert written.read_text(encoding="utf-8") == "text"


def test_a_text_file_must_be_an_asset(changed, exported, tmp_path):
    def constant(message):
        function = function_with(message, "InitializeTableFromTextFileV2")
        node = next(n for n in function.node_def if n.op.startswith("InitializeTable"))
        file = function.node_def.add(name="file", op="Const")
        file.attr["dtype"].type = tf.string.as_datatype_enum
        file.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(b"/etc/passwd"))
        node.input[1] = "file:output:0"

    assert "reads a text file" in error_of(changed(constant))

    def argument(message):
        function = function_with(message, "InitializeTableFromTextFileV2")
        objects = message.meta_graphs[0].object_graph_def
        objects.concrete_functions[function.signature.name].bound_inputs[0] = 0

    shutil.rmtree(tmp_path / "changed")
    assert "reads a text file" in error_of(changed(argument))
    for name in ("../../../etc/passwd", "/etc/passwd", "a/../../x", "\0"):
        shutil.rmtree(tmp_path / "changed")

        def outside(message, name=name):
            message.meta_graphs[0].asset_file_def[0].filename = name

        assert "is outside the directory" in error_of(changed(outside))
    shutil.rmtree(tmp_path / "changed")
    path = changed(lambda message: None)
    (path / "assets" / "labels.txt").unlink()
    (path / "assets" / "labels.txt").symlink_to("/etc/passwd")
    assert "outside the directory" in error_of(path)
    assert len(runtime.load_saved_model(exported).signatures) == 2


def test_other_forms_of_a_saved_model_raise(changed, tmp_path):
    def two_graphs(message):
        message.meta_graphs.add()

    def first_version(message):
        message.meta_graphs[0].ClearField("object_graph_def")

    for change in (two_graphs, first_version):
        assert "TensorFlow 1" in error_of(changed(change))
        shutil.rmtree(tmp_path / "changed")
    path = changed(lambda message: None)
    (path / "saved_model.cpb").write_bytes(b"x")
    assert "saved_model.cpb" in error_of(path)


def test_a_corrupt_saved_model_is_an_error_of_one_line(exported, tmp_path):
    path = tmp_path / "corrupt"
    path.mkdir()
    file = path / "saved_model.pb"
    content = (exported / "saved_model.pb").read_bytes()
    generator = random.Random(0)
    deep = b""
    for _ in range(2000):  # a value in a value
        deep = (
            b"\x0a"
            + bytes([len(deep) & 127 | 128, len(deep) >> 7 & 127 | 128, len(deep) >> 14])
            + deep
        )
    contents = [
        b"", b"\0", b"garbage", generator.randbytes(1000), b"\x12\xff\xff\xff\xff\x0f", b"\x12\x05abc", deep,
        *(content[: generator.randrange(1, len(content))] for _ in range(20)),
    ]  # fmt: skip
    for corrupt in contents:
        file.write_bytes(corrupt)
        message = error_of(path)
        assert "corrupt" in message or "TensorFlow 1" in message
    with file.open("wb") as sparse:
        os.truncate(sparse.fileno(), 2**31)
    assert "are checked" in error_of(path)
    file.unlink()
    file.mkdir()
    assert "is not a file" in error_of(path)
    assert "is not a file" in error_of(tmp_path / "none")


def test_keras_exports_are_allowed(model, tmp_path):
    model.export(tmp_path / "keras", verbose=False)
    assert runtime.load_saved_model(tmp_path / "keras").signatures
    layers = [
        keras.Input((), dtype="string"),
        keras.layers.TextVectorization(vocabulary=["a", "b"]),
    ]
    layers += [keras.layers.Embedding(4, 3), keras.layers.LSTM(3)]
    keras.Sequential(layers).export(tmp_path / "text", verbose=False)
    assert runtime.load_saved_model(tmp_path / "text").signatures
