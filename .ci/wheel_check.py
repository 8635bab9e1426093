"""Uses the installed kapps as a user does, from a directory without a checkout.

python .ci/wheel_check.py CHECKOUT
"""

import pathlib
import sys
from importlib import metadata

import keras

import kapps
from kapps import Preprocessing, data, list_models, resnet20_cifar

checkout, package = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(kapps.__file__).resolve()
assert checkout not in package.parents, f"kapps comes from the checkout: {package}"
assert metadata.version("kapps") == kapps.__version__
assert metadata.metadata("kapps")["Requires-Python"]
description = metadata.metadata("kapps").json["description"]
assert "## Quick start" in description and "](docs/" not in description, (
    "links to files of the checkout"
)

shipped = {str(path) for path in metadata.files("kapps")}
assert any(path.endswith("LICENSE") for path in shipped)
for path in (checkout / "kapps").rglob("[!.]*"):
    name = path.relative_to(checkout).as_posix()
    if path.is_file() and not {"__pycache__", ".ruff_cache"} & set(path.parts):
        assert name in shipped, f"the wheel lacks {name}"
assert not [path for path in shipped if path.startswith(("tests", "recipes", "tools"))]

assert "resnet50" in list_models()
missing = [name for name in kapps.__all__ if not hasattr(kapps, name)]
assert not missing, f"kapps lacks {missing}"

digits = data.open_source("digits", split="validation")
pipeline = data.eval_dataset(digits, Preprocessing(size=(32, 32), crop=1.0), 8, classes=10)
images, labels = next(iter(pipeline))
model = resnet20_cifar(input_shape=(32, 32, 3), classes=10)
outputs = keras.ops.convert_to_numpy(model(images))
assert outputs.shape == labels.shape == (8, 10), (outputs.shape, labels.shape)
assert abs(outputs.sum(-1) - 1).max() < 1e-5
print(f"kapps {kapps.__version__} from {package.parent}: {len(shipped)} files, none missing")
