"""What counts as changed: families, recipes and packages, for the tests marked `changed` and `unchanged`."""

import pathlib

import changes
import pytest

ROOT = changes.ROOT


CACHED = (
    changes.changed_families, changes.changed_recipes, changes.is_unchanged, changes.is_unchanged_builder,
)  # fmt: skip


@pytest.fixture
def change(monkeypatch):
    """Returns a function that states which files changed: None where git cannot tell."""

    def state(*paths):
        for function in CACHED:
            function.cache_clear()
        files = None if paths == (None,) else [pathlib.PurePosixPath(path) for path in paths]
        monkeypatch.setattr(changes, "changed_files", lambda: files)

    yield state
    for function in CACHED:
        function.cache_clear()


def test_a_family_changes_with_its_file_and_those_of_families_that_it_imports(change):
    change("kapps/cnn/resnet.py")
    assert "resnet" in changes.changed_families()
    assert "vgg" not in changes.changed_families()
    change("kapps/weights/names/vgg.py")
    assert changes.changed_families() == ["vgg"]


def test_a_builder_changes_with_the_layers_that_its_family_imports(change):
    change("kapps/layers/shift.py")
    assert changes.changed_families() == []
    assert not changes.is_unchanged_builder("shift_resnet20_e1")
    assert changes.is_unchanged_builder("vgg16")
    change("kapps/layers/convolution.py")
    assert not changes.is_unchanged_builder("resnet50")
    change("kapps/heads.py")  # the default tests run the covering set
    assert changes.is_unchanged_builder("vgg16")


def test_tests_of_a_package_change_with_the_modules_that_they_use(change):
    path = ROOT / "tests" / "data" / "image" / "test_shards.py"
    for changed in ("kapps/data/image/tfrecord.py", path.relative_to(ROOT)):
        change(changed)
        assert not changes.is_unchanged(path)
    change("kapps/data/text/vocabulary.py", "kapps/export/verify.py", "tests/data/test_errors.py")
    assert changes.is_unchanged(path)
    change("kapps/data/image/augment.py")  # of the same package
    assert changes.is_unchanged(path)


def test_a_module_with_an_underscore_has_the_names_of_the_modules_that_import_it():
    assert {"tfrecord", "write_tfrecords"} <= changes.public_names(
        pathlib.Path("kapps/data/image/tfrecord.py")
    )
    names = changes.public_names(pathlib.Path("kapps/weights/_assign.py"))
    assert {"loading", "load"} <= names and not any(name.startswith("_") for name in names)
    assert changes.public_names(pathlib.Path("kapps/weights/gone.py")) == {"gone"}
    assert changes.public_names(pathlib.Path("kapps/weights/manifest.csv")) == {"manifest"}


def test_tests_of_recipes_change_with_the_recipes_that_they_name(change):
    path = ROOT / "tests" / "recipes" / "test_small_images.py"
    change("recipes/cifar10.py")
    assert not changes.is_unchanged(path)
    assert changes.is_unchanged(ROOT / "tests" / "recipes" / "test_gan.py")
    assert not changes.is_unchanged(ROOT / "tests" / "recipes" / "test_finetune_recipe.py")
    imagenet = ROOT / "tests" / "recipes" / "test_imagenet.py"
    assert changes.is_unchanged(imagenet)
    change("kapps/data/image/pipeline.py")
    assert not changes.is_unchanged(imagenet)
    change("recipes/gan.py")
    assert changes.is_unchanged(path)


def test_nothing_is_unchanged_where_git_cannot_tell(change):
    change(None)
    assert not changes.is_unchanged(ROOT / "tests" / "data" / "image" / "test_shards.py")
    assert not changes.is_unchanged_builder("vgg16")
