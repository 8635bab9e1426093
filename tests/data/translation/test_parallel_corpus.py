"""Sentences from parallel files and from TFDS."""

import gzip

import pytest

from kapps.data import DataError, translation


def test_text_and_compressed_files_are_read_line_by_line(tmp_path):
    # str.splitlines would split at U+2028 and U+0085.
    content = "\ufeffone two \r\n\nthree\u2028four\u0085\n"
    (tmp_path / "a.en").write_bytes(content.encode())
    (tmp_path / "a.de.gz").write_bytes(gzip.compress(b"eins zwei\nleer\ndrei", mtime=0))
    sources, targets = translation.read_sentences(tmp_path / "a.en", tmp_path / "a.de.gz")
    assert sources == ["one two", "", "three\u2028four"]
    assert targets == ["eins zwei", "leer", "drei"]


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("three", b"a\nb\nc\n", ["2 lines", "3"]),
        ("latin", b"\xc4pfel\n", ["UTF-8"]),
        ("no.gz", b"plain", []),
        ("cut.gz", gzip.compress(b"a line\n" * 99, mtime=0)[:-12], []),
        ("missing", None, []),
    ],
)
def test_an_error_names_the_file_and_the_reason(tmp_path, name, content, words):
    (tmp_path / "two").write_bytes(b"a\nb\n")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        translation.read_sentences(tmp_path / "two", tmp_path / name)
    assert all(word in str(error.value) for word in [name, *words])
    assert "\n" not in str(error.value)


def test_files_without_a_line_raise_an_error(tmp_path):
    (tmp_path / "none").write_bytes(b"")
    with pytest.raises(DataError, match="none"):
        translation.read_sentences(tmp_path / "none", tmp_path / "none")


def test_a_translation_dataset_of_tfds(tmp_path, sentences):
    import tensorflow_datasets as tfds

    class KappsPairs(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = tfds.features.Translation(languages=("de", "en"))
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for number, (en, de) in enumerate(zip(*sentences, strict=True)):
                yield number, {"en": en, "de": de}

    KappsPairs(data_dir=tmp_path, file_format="tfrecord").download_and_prepare()
    loaded = translation.load_tfds_sentences("kapps_pairs", ("en", "de"), data_dir=tmp_path)
    assert sorted(zip(*loaded, strict=True)) == sorted(zip(*sentences, strict=True))
    part = translation.load_tfds_sentences("kapps_pairs", ("de", "en"), "train[:10]", tmp_path)
    assert len(part[0]) == 10
    with pytest.raises(DataError, match=r"'fr'.* de, en"):
        translation.load_tfds_sentences("kapps_pairs", ("en", "fr"), data_dir=tmp_path)
    with pytest.raises(DataError, match="'test'"):
        translation.load_tfds_sentences("kapps_pairs", ("en", "de"), "test", data_dir=tmp_path)
