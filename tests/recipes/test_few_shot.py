"""few_shot.py with small settings, and its episodes."""

import csv
import zipfile

import module_files
import numpy as np
import pytest
import recipe_process

SMALL = "--steps=2 --batch_size=2 --test=4 --embedding_filters=2 --filters=2 --ways=2 --model_dir"


@pytest.fixture(scope="module")
def module():
    return module_files.load("recipes/common/few_shot_episodes.py")


def write_characters(path):
    """A .zip file of two alphabets with three characters of four images: dark squares of a size on white."""
    import keras

    random = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for alphabet in ("Greek", "Latin"):
            for character in range(3):
                for i in range(4):
                    image = np.full((32, 32, 1), 255, "uint8")
                    image[: 4 + 4 * character, : 4 + random.integers(4)] = 0
                    file = path.parent / "image.png"
                    keras.utils.save_img(file, image, scale=False)
                    archive.write(file, f"images/{alphabet}/character{character}/{i}.png")


@pytest.mark.tensorflow
def test_episodes_have_examples_of_each_class_and_a_query_of_another_image(module):
    """Each pixel of a class is its number, and the first one the image's."""
    classes = [np.full((5, 4, 4), number, "float32") for number in range(7)]
    for images in classes:
        images[:, 0, 0] = range(5)
    episodes, queries = module.make_episodes(classes, 3, 2, np.random.default_rng(0), 40)
    assert episodes.shape == (40, 7, 16 + 3) and set(queries) == {0, 1, 2}
    for episode, query in zip(episodes, queries, strict=True):
        labels, numbers, images = episode[:, 16:], episode[:, 1], episode[:, 0]
        assert not labels[-1].any() and labels[:-1].sum(axis=0).tolist() == [2, 2, 2]
        of_label = [set(numbers[:-1][labels[:-1, way] == 1]) for way in range(3)]
        assert all(len(members) == 1 for members in of_label) and len(set.union(*of_label)) == 3
        assert numbers[-1] in of_label[query]
        same = (numbers[:-1] == numbers[-1]).nonzero()[0]
        assert images[-1] not in images[same]
    assert (module.nearest_neighbour(episodes, 3)[:40] == queries).mean() > 0.5


@pytest.mark.long
@pytest.mark.tensorflow
def test_digit_pairs_have_no_common_class(module):
    characters = module.digit_pairs(images_of_class=2)
    assert (len(characters.train), len(characters.test)) == (4 * 80, 4 * 20)
    images = np.array(characters.train)
    assert images.shape == (320, 2, 16, 16) and images.min() >= 0 and images.max() <= 1
    np.testing.assert_array_equal(np.rot90(images[0], 1, axes=(1, 2)), images[1])


@pytest.mark.long
@pytest.mark.tensorflow
def test_small_run_on_digits_and_on_folders_of_a_zip_file(tmp_path):
    write_characters(tmp_path / "images.zip")
    (tmp_path / "text.zip").write_text("text", encoding="utf-8")
    arguments = [
        f"{SMALL}=digits --shots=1",
        f"{SMALL}=run --data=images.zip --size=16 --shots=1,2",
        f"{SMALL}=run --data=images.zip --size=16 --shots=1,2",
        f"{SMALL}=no --data=text.zip",
        f"{SMALL}=no --data=images.zip --shots=4",
        f"{SMALL}=no --shots=0",
        f"{SMALL}=no --size=20",
    ]
    output, errors = recipe_process.run_small("few_shot", tmp_path, arguments)
    with open(tmp_path / "run" / "table.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["task"] for row in rows] == ["2-way 1-shot", "2-way 2-shot"]
    assert all(row["chance"] == "50.0" for row in rows)
    assert output.count("2way_2shot: step 1,") == 1  # the second run resumes
    for name in ("2way_1shot", "2way_2shot", "curves"):
        assert (tmp_path / "run" / f"{name}.png").stat().st_size > 5000
    assert "12 classes to train on, 12 others" in output
    for words, error in zip(
        ("text.zip", "fewer --shots", "--shots=0", "--size=20 has no effect"), errors, strict=True
    ):
        assert words in error
    assert not (tmp_path / "no").exists()
