"""Builds and installs kapps; everything else about the project's tools stands in pyproject.toml."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(
    r'^__version__ = "(.+)"$', (HERE / "kapps/__init__.py").read_text(), re.MULTILINE
)[1]

setup(
    name="kapps",
    version=VERSION,
    description="Keras applications that match their papers, with their pipelines, recipes and exports",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["kapps", "kapps.*"]),
    # The stub is read at run time: it names what `from kapps import ...` can load.
    package_data={
        "kapps": ["index.json", "imagenet_classes.txt", "*.pyi", "py.typed"],
        "kapps.training": ["*.pyi"],
        "kapps.analysis": ["published/*", "web/*"],
        "kapps.data": ["*.pyi"],
        "kapps.data.image": ["digits/*"],
        "kapps.export.demo": ["*.html", "litertjs/*"],
        "kapps.weights": ["manifest.csv"],
    },
    entry_points={"console_scripts": ["kapps=kapps.cli:main"]},
    install_requires=[
        "absl-py",
        "ai-edge-litert>=2.0",
        "h5py",
        "keras>=3.15",
        "keras-cv>=0.9",
        "lazy_loader>=0.4",
        "matplotlib",
        "numpy",
        "safetensors>=0.5",
        "tabulate>=0.9",
        "tensorflow>=2.20",
        "tensorflow-datasets>=4.9.9",
        "wrapt>=1.14",
    ],
    extras_require={
        # music in MATLAB's files, BLEU, subwords
        "sequences": ["sacrebleu>=2.4", "scipy", "tokenizers>=0.20"],
        "serving": ["tensorflow-serving-api>=2.19"],  # its messages: warm-up requests, clients
        "tests": [
            "import-linter>=2.1",
            "openvino>=2025",  # reads SavedModels too
            "pillow",
            "pytest>=8.3,<9.2",  # of 9.2 pytest-xdist 3.8 groups nothing, and every shared model is made twice
            "pytest-xdist>=3.6",
            "ruff>=0.13",
            "sacrebleu>=2.4",
            "scikit-learn",
            "scipy",
            "tensorflow-serving-api>=2.19",
            "tokenizers>=0.20",
        ],
        "benchmarks": ["onnx", "onnxruntime", "openvino>=2025", "pillow", "tf2onnx"],
        # second implementations, to compare outputs, figures and speed with
        "peers": ["timm>=1.0.20", "torch>=2.9", "torchvision>=0.24"],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
