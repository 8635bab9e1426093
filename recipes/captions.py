r"""Trains a network that writes a caption of an image, computes BLEU, and plots the attention of each word.

    python recipes/captions.py                                      # scenes of digits, which are part of kapps
    python recipes/captions.py --attention=hard --model_dir=runs/hard
    python recipes/captions.py --data_dir=flickr8k --body=vgg16 --weights=imagenet --level=4 --image_size=224 \
        --embedding=512 --units=1800 --dropout=0.5 --min_count=5 --learning_rate=0.0004 --epochs=20
    python recipes/captions.py --dataset=coco_captions --train_split=train[:5%] --body=resnet50 --level=5

The network is that of "Show, attend and tell" (Xu 2015, arXiv:1502.03044) over a feature map of any body. Without
--data_dir and --dataset the images are digit boards: scenes with captions that name the digits, their number, sizes and
places, such as "a large three above a small seven". A folder has captions.csv, with lines of image,caption, and the
images; --dataset is a dataset of TFDS with images and captions. The body is trained too. --penalty is the weight of the
doubly stochastic penalty, which draws the attention of all words together to every place.

The recipe writes `model.keras`, `words.json`, `history.csv`, `curves.png`, `captions.tsv`, `attention.png` and
`run.json` to --model_dir. To --export_dir it writes a SavedModel with the signature `caption`, from image files to
text, and for each precision a folder with `encoder.tflite`, `step.tflite` and `words.json`, for
`kapps.export.load_tflite_encoder_and_step`; the encoder's file reads pixels in [0, 255]. Results: docs/captions.md.
"""

import functools
import importlib.util
import pathlib
import time

import common.environment  # noqa: F401  # before TensorFlow

import keras
from absl import flags
from common import caption_models, caption_results

from kapps import data, training
from kapps.data import captions
from kapps.generation import text_generation

FLAGS = flags.FLAGS
# fmt: off
training.define_path("data_dir", None, "folder of images with a file of captions, or TFDS's directory")
flags.DEFINE_string("dataset", None, "name of a TFDS dataset of images with captions")
flags.DEFINE_string("train_split", "train", "split of the training images")
flags.DEFINE_string("test_split", "validation", "split that the network is evaluated on")
flags.DEFINE_integer("scenes", 8000, "training scenes of the digit boards", 1, 10**7)
flags.DEFINE_integer("test_images", 500, "images whose captions are written after the training", 1, 10**6)
flags.DEFINE_string("body", caption_models.SMALL, "a builder, one of `kapps.list_models()`, or small")
training.define_path("weights", None, '"imagenet", or a weights file, of the body', "file", ("imagenet",))
flags.DEFINE_integer("width", None, "channels of --body=small at the resolution of the image [8]", 4, 1024)
flags.DEFINE_integer("level", 3, "level of the feature map: it has 1/2^level of the image's resolution", 1, 5)
flags.DEFINE_integer("image_size", 48, "height and width of the images in pixels", 32, 8192)
flags.DEFINE_integer("channels", None, "3, or 1 for grey [1 for digit boards]", 1, 3)
flags.DEFINE_enum("attention", "soft", ["soft", "hard"], "soft or hard attention")
flags.DEFINE_integer("embedding", 64, "width of the word vectors", 1, 8192)
flags.DEFINE_integer("units", 96, "width of the LSTM", 1, 8192)
flags.DEFINE_float("penalty", 0.0, "weight of the doubly stochastic penalty; 1 in the paper", 0.0)
flags.DEFINE_float("dropout", 0.1, "dropout rate", 0, 0.9)
flags.DEFINE_integer("words", 10_000, "largest number of tokens", 5, 10**6)
flags.DEFINE_integer("min_count", 1, "how often a word must occur", 1, 10**6)
flags.DEFINE_integer("longest", 30, "maximum words of a caption; the rest is cut", 1, 1000)
flags.DEFINE_integer("batch_size", 64, "captions per step, over all devices", 1, 2**20)
flags.DEFINE_integer("epochs", 9, "epochs of the training", 1, 10**6)
training.define_positive("learning_rate", 3e-3, "peak learning rate of Adam")
flags.DEFINE_integer("beam", 3, "beam width; 1 is greedy decoding", 1, 1024)
training.define_flags(model_dir="runs/captions")
# fmt: on

RUN_FLAGS = (
    "data_dir", "dataset", "train_split", "test_split", "scenes", "body", "weights", "width", "level", "image_size",
    "channels", "attention", "embedding", "units", "penalty", "dropout", "words", "min_count", "longest",
    "batch_size", "epochs", "learning_rate", "precision", "seed", "deterministic",
)  # fmt: skip
"""Flags that determine the training: a run resumes only with the same values."""
WARM_UP = 0.05
"""Fraction of the steps in which the learning rate rises."""


def check_flags():
    """Raises ValueError for what would fail after the training, and for sizes that need more memory than there is."""
    if importlib.util.find_spec("sacrebleu") is None:
        raise ValueError("BLEU needs the package sacrebleu: pip install sacrebleu")
    wrong = [precision for precision in FLAGS.tflite if precision in ("int8", "int16")]
    if wrong:
        raise ValueError(
            f"--tflite={wrong[0]}: the files of captions are written in float32, float16 or dynamic"
        )
    if FLAGS.weights and FLAGS.body == caption_models.SMALL:
        raise ValueError(f"--weights={FLAGS.weights} are of a builder: pass its name as --body")
    if FLAGS.width and FLAGS.body != caption_models.SMALL:
        raise ValueError(f"--width={FLAGS.width} is that of --body=small: leave it out")
    if FLAGS.channels is None:
        FLAGS.channels = 3 if FLAGS.data_dir or FLAGS.dataset else 1
    if FLAGS.channels == 2:
        raise ValueError("--channels=2: images have 3 channels, or 1 for grey")
    size = training.image_memory(FLAGS.batch_size, FLAGS.image_size, FLAGS.image_size)
    size += training.recurrent_memory(FLAGS.batch_size, FLAGS.longest, (FLAGS.units,), FLAGS.words)
    training.require_memory(size, "lower --batch_size, --image_size, --units or --words")


def make_optimizer(steps):
    """Returns Adam; the learning rate rises along a line and falls to 0 along a cosine."""
    warmup = max(1, round(WARM_UP * steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - warmup), warmup_target=FLAGS.learning_rate, warmup_steps=warmup
    )
    return keras.optimizers.Adam(schedule, global_clipnorm=1.0)


def main(_):
    # The strategy is first: TensorFlow cannot connect workers after its first operation.
    strategy = training.make_strategy(FLAGS.strategy, worker_timeout=FLAGS.worker_timeout)
    training.set_seed(FLAGS.seed, FLAGS.deterministic)
    check_flags()

    # Data
    train_source = caption_results.open_split(FLAGS, FLAGS.train_split, FLAGS.scenes)
    test_source = caption_results.open_split(FLAGS, FLAGS.test_split, FLAGS.test_images)
    if train_source.split == test_source.split:
        raise ValueError(
            f"--test_split={FLAGS.test_split} has the images of --train_split={FLAGS.train_split}: evaluate the network"
            " on images that it is not trained on"
        )
    identity = {
        "training images": train_source.identity(), "evaluation images": test_source.identity()
    }  # fmt: skip
    training.compare_workers(strategy, identity)
    words = captions.learn_words(
        [text for _, text in train_source.pairs], size=FLAGS.words, min_count=FLAGS.min_count
    )
    size = (FLAGS.image_size, FLAGS.image_size)
    preprocessing = caption_models.body_preprocessing(FLAGS.body, FLAGS.weights, size)
    make_batches = functools.partial(
        captions.CaptionBatches, words=words, preprocessing=preprocessing, channels=FLAGS.channels,
        longest=FLAGS.longest,
    )  # fmt: skip
    plan = make_batches(train_source, batch_size=FLAGS.batch_size)
    test = make_batches(test_source, batch_size=min(FLAGS.batch_size, len(test_source.pairs)))

    # Precision, model, optimizer
    FLAGS.precision = training.set_precision(FLAGS.precision)
    with strategy.scope():
        body = caption_models.build_body(
            FLAGS.body, FLAGS.weights, (*size, FLAGS.channels), preprocessing, FLAGS.width
        )
        model, grid = caption_models.build_model(
            body, FLAGS.level, words, attention=FLAGS.attention, embedding=FLAGS.embedding, units=FLAGS.units,
            penalty=FLAGS.penalty, dropout=FLAGS.dropout,
        )  # fmt: skip
        steps = FLAGS.epochs * plan.steps_per_epoch
        trained = caption_models.compile_model(model, make_optimizer(steps))

    # Fit
    run = training.Run(
        FLAGS.model_dir, strategy, epochs=FLAGS.epochs, steps_per_epoch=plan.steps_per_epoch,
        batch_size=FLAGS.batch_size, identity={name: FLAGS[name].value for name in RUN_FLAGS},
        checkpoint_interval=FLAGS.checkpoint_every, data=identity,
    )  # fmt: skip
    if run.is_chief:
        print(
            f"{model.name} with {FLAGS.attention} attention to {grid[0]} x {grid[1]} places of {body.name}: "
            f"{sum(weight.shape.num_elements() for weight in model.trainable_weights):,} trainable parameters, "
            f"{words.size:,} tokens; {train_source.name}: {len(train_source.images):,} images, "
            f"{len(train_source.pairs):,} captions; {FLAGS.epochs} epochs of {plan.steps_per_epoch} steps",
            flush=True,
        )
    with data.explain_errors(train_source, test_source):
        before, after = run.fit(
            trained, functools.partial(plan.train_dataset, seed=FLAGS.seed), test.eval_dataset()
        )
        if not run.is_chief:
            return
        model = run.save(model)

        # Captions, scores, plot, export
        folder, start = pathlib.Path(FLAGS.model_dir), time.monotonic()
        words.save(folder / "words.json")
        translator = text_generation.translator(
            model, end=words.end, beam=FLAGS.beam, never=(1, words.start)
        )
        texts, images = caption_results.write_captions(
            translator, test, words, FLAGS.test_images, FLAGS.longest + 1
        )
    seconds = time.monotonic() - start
    scores = caption_results.compute_scores(texts, test_source)
    maps = caption_results.attention_maps(model, words, images, texts, grid)
    scores.append(
        ("mean (1 - sum of the weights)^2 of a place", caption_results.unevenness(maps), "")
    )
    if isinstance(test_source, captions.DigitBoards):
        value = caption_results.pointing(maps, texts, test_source)
        scores.append(("digits whose place has the largest weight (%)", value, ""))
    caption_results.write_table(folder / "captions.tsv", test_source, texts)
    caption_results.plot(folder / "attention.png", preprocessing, images, texts, maps)
    served = caption_results.export_saved_model(
        model, words, images, preprocessing, FLAGS.export_dir, texts, steps=FLAGS.longest + 1, beam=FLAGS.beam
    )  # fmt: skip
    files = caption_results.export_files(
        model, words, images, preprocessing, FLAGS.export_dir, FLAGS.tflite
    )
    run.finish(before, after, [], flags=training.get_flag_values())  # deletes the checkpoints
    print()
    training.print_table(("exported", "precision", "size", "equal captions"), served, *files)
    print()
    training.print_table(
        (f"captions of {len(texts):,} images", ""),
        *((name, f"{score:.2f}") for name, score, _ in scores),
    )
    print(f"BLEU: {scores[0][2]}")
    print(f"written in {seconds:.0f} seconds; {time.process_time():.0f} seconds of processor time")
    for name, text, references in list(
        zip(test_source.names, texts, test_source.captions, strict=False)
    )[:3]:
        print(f"\n{name}\n  {text}\n  {references[0]} (reference)")


if __name__ == "__main__":
    training.run_main(main)
