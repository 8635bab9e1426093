"""One HTML page of what is inside an image classifier for one image: heat maps with their check, and feature maps.

The page loads no other file. Heat maps and feature maps are in it as one byte for each number.
"""

import contextlib
import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from kapps._names import nearest
from kapps.analysis import profile
from kapps.visualize import _layer_calls
from kapps.visualize._batches import check_images, in_batches
from kapps.visualize._page_parts import packed, page, png_url, reduced, to_pixels
from kapps.visualize._scores import Scores
from kapps.visualize.heat_maps import BATCH, METHODS, heat_maps
from kapps.visualize.maximisation import maximise
from kapps.visualize.randomisation import cascade, rank_correlations

NO_FEATURES = (
    keras.Model, keras.layers.ZeroPadding2D, keras.layers.Cropping2D, keras.layers.Identity, keras.layers.InputLayer,
)  # fmt: skip
"""Layers whose outputs are those of other layers."""
MOST_PIXELS = 56
"""Largest side of a feature map on the page."""
ICON = 64
"""Largest side of an image of a unit."""
TOP_IMAGES = 4
"""Number of images of a unit."""


def image_page(
    model: keras.Model, image, *, draw: Callable | None = None, class_names: Sequence[str] | None = None,
    explained: int | None = None, methods: Sequence[str] = METHODS, check: int = 4, units: int = 16, steps: int = 0,
    value_range=(0.0, 1.0), others=None, notes: Sequence[str] = (), report: Callable[[str], object] = str,
    seed: int = 0,
) -> str:  # fmt: skip
    """Returns an interactive HTML page of a network and an image. It works offline.

    It shows the image, the most likely classes, the heat maps of each method with the rank correlations of
    `randomised`, and for each size of the feature maps the units with the largest values. A unit under the pointer, or
    one with the focus, shows where in the image it has its largest value.

    Args:
        model: a `keras.Model` from images to classes, also a nested one.
        image: what the model takes, (1, height, width, channels).
        draw: returns images of the model's numbers, (..., height, width, channels), as a person sees them, uint8
            (..., height, width, 1 or 3); None for a grey scale or colours over `value_range`.
        class_names: name of each class; None for their numbers.
        explained: class of the heat maps; None for the one with the largest logit.
        methods: of `METHODS`. One that is not defined for the network is left out; the page has the reason.
        check: steps of the check by random weights; 0 for none.
        units: number of units of each size of the feature maps.
        steps: steps of activation maximisation for each unit; 0 for none.
        value_range: smallest and largest number of an image.
        others: images (count, height, width, channels); the page shows the top ones of each unit. None for none.
        notes: lines under the name of the model.
        report: called with the description of each part before it is computed.
        seed: of the random weights, noise and first images.

    Raises:
        ValueError: for an image, a class, a method or a model that does not fit.
    """
    image = check_images(model, image)
    if len(image) != 1:
        raise ValueError(
            f"image of shape {image.shape}: pass one image, (1, height, width, channels)"
        )
    unknown = next((name for name in methods if name not in METHODS), None)
    if unknown is not None:
        raise ValueError(
            f"there is no method {unknown!r}.{nearest(unknown, METHODS)} Allowed: {', '.join(METHODS)}"
        )
    for option, value, least in (("check", check, 0), ("units", units, 0), ("steps", steps, 0)):
        if value < least:
            raise ValueError(f"{option}={value}: pass a number of {least} or more")
    draw = draw or functools.partial(to_pixels, value_range=value_range)
    report("the most likely classes")
    scores = Scores(model, image)
    logits = ops.convert_to_numpy(scores.run(image))[0].astype("float64")
    explained = int(scores.classes(image, None if explained is None else [explained])[0])
    data = {
        "name": model.name,
        "notes": list(notes),
        "image": {"url": png_url(draw(image[0])), "shape": list(image.shape[1:])},
        "explained": {"index": explained, "name": _name(explained, class_names)},
        "classes": _classes(logits, class_names),
        **_heat_map_data(model, image, explained, methods, check, seed, report),
        "levels": _levels(model, image, units, steps, value_range, others, draw, seed, report),
    }
    return page("image", f"{model.name}: inside", data)


def _name(index, class_names):
    return f"class {index}" if class_names is None else str(class_names[index])


def _classes(logits, class_names):
    """Returns the classes with the largest logits, with their shares in the softmax."""
    exponential = np.exp(logits - logits.max())
    shares = exponential / exponential.sum()
    return [
        {"index": int(i), "name": _name(i, class_names), "logit": float(logits[i]), "share": float(shares[i])}
        for i in np.argsort(-logits, kind="stable")[:5]
    ]  # fmt: skip


def _heat_map_data(model, image, label, methods, check, seed, report):
    """Returns the data of the heat maps and of their check."""
    maps, reasons = heat_maps(
        model, image, methods, label, seed, lambda name: report(f"heat maps: {name}")
    )
    paths, correlations = [], {name: [] for name in maps}
    if check and maps:
        with contextlib.closing(cascade(model, image, check, seed)) as steps:
            for path in steps:
                text = f"check, random weights down to {path}"
                after, _ = heat_maps(
                    model,
                    image,
                    list(maps),
                    label,
                    seed,
                    lambda name, text=text: report(f"{text}: {name}"),
                )
                for name, heat in after.items():
                    correlations[name].append(
                        float(rank_correlations(maps[name][None], heat[None])[0])
                    )
                paths.append(path)
    return {
        "check": paths,
        "methods": [
            {
                "name": name,
                "map": packed(heat),
                "zeros": float((heat == 0).mean()),
                "kept": correlations[name],
            }
            for name, heat in maps.items()
        ],
        "left_out": reasons,
    }


def _levels(model, image, units, steps, value_range, others, draw, seed, report):
    """Returns the data of the feature maps: for each size the units of its last layer with the largest values."""
    if not units:
        return []
    report("feature maps")
    paths = _last_of_each_size(model, image)
    values = _layer_calls.with_outputs(model, image, paths)[1]
    fields, levels = _receptive_fields(model, image.shape[1:]), []
    for path in paths:
        maps = np.moveaxis(ops.convert_to_numpy(values[path])[0].astype("float32"), -1, 0)
        order = np.argsort(-maps.max(axis=(1, 2)), kind="stable")[:units]
        level = {"layer": path, "shape": [*maps.shape[1:], len(maps)], "units": []}
        field = fields.get(path)
        level["receptive_field"] = None if field is None else [axis.size for axis in field]
        for unit in order.tolist():
            place = np.unravel_index(maps[unit].argmax(), maps.shape[1:])
            level["units"].append(
                {
                    "unit": unit,
                    "most": float(maps[unit].max()),
                    "place": [int(i) for i in place],
                    "region": _region(place, maps.shape[1:], image.shape[1:3], field),
                    "map": packed(reduced(maps[unit], MOST_PIXELS)),
                }
            )
        if others is not None:
            report(f"top images of {path}")
            _add_top_images(model, others, path, level, image.shape[1:3], field, draw)
        if steps:
            report(f"activation maximisation of {path}")
            _add_maximised(model, path, level, image, steps, value_range, draw, seed)
        levels.append(level)
    return levels


def _last_of_each_size(model, image):
    """Returns the paths of the last layers of each size of the feature maps, without paddings and nested models."""
    calls = []

    def visit(call):
        outputs = call.proceed()
        # An operation inside a layer has another name in each call.
        is_layer = isinstance(call.operation, keras.layers.Layer)
        if (
            is_layer
            and not isinstance(call.operation, NO_FEATURES)
            and len(getattr(outputs, "shape", ())) == 4
        ):
            calls.append((call.path, tuple(outputs.shape[1:3])))
        return outputs

    _layer_calls.run(model, image, visit)
    last = {size: path for path, size in calls if max(size) > 1}
    return [path for path, _ in calls if path in last.values()]


def _receptive_fields(model, shape):
    """Returns {path: receptive field along each axis}; none for a model that cannot be profiled."""
    try:
        rows = profile(model, tuple(shape)).rows
    except (
        ValueError,
        TypeError,
        NotImplementedError,
    ):  # the region is then that of the unit's cell
        return {}
    return {row.name: row.receptive_field for row in rows if row.receptive_field}


def _region(place, size, image_size, field):
    """Returns [top, left, height, width] of what a unit depends on, within the image."""
    starts, ends = [], []
    for axis, (i, cells, pixels) in enumerate(zip(place, size, image_size, strict=True)):
        if field is None:
            first, end = i * pixels / cells, (i + 1) * pixels / cells
        else:
            first = field[axis].offset + i * field[axis].stride
            end = first + field[axis].size
        starts.append(int(max(0, np.floor(first))))
        ends.append(int(min(pixels, np.ceil(end))))
    return [*starts, *(end - start for start, end in zip(starts, ends, strict=True))]


def _add_top_images(model, others, path, level, size, field, draw):
    """Adds, for each unit, the parts of the other images in which it has its largest values."""
    others = check_images(model, others)
    chosen = [unit["unit"] for unit in level["units"]]

    def batch(images):
        maps = _layer_calls.with_outputs(model, images, [path])[1][path]
        return ops.take(maps, chosen, axis=-1)

    maps = in_batches(batch, BATCH, others)
    flat = maps.reshape(len(maps), -1, len(chosen))
    for k, unit in enumerate(level["units"]):
        order = np.argsort(-flat[..., k].max(axis=1), kind="stable")[:TOP_IMAGES]
        unit["images"] = []
        for i in order:
            place = np.unravel_index(flat[i, :, k].argmax(), maps.shape[1:3])
            top, left, height, width = _region(place, maps.shape[1:3], size, field)
            crop = draw(others[i, top : top + height, left : left + width])
            step = -(-max(crop.shape[:2]) // ICON)
            unit["images"].append(png_url(crop[::step, ::step]))


def _add_maximised(model, path, level, image, steps, value_range, draw, seed):
    """Adds, for each unit, the image that it reacts to most; it is grey if the page's image is."""
    chosen = np.array([unit["unit"] for unit in level["units"]])
    size, is_grey = image.shape[1:3], bool((image == image[..., :1]).all())
    for start in range(0, len(chosen), BATCH):
        images, _ = maximise(
            model, chosen[start : start + BATCH], path, steps=steps, size=size, value_range=value_range,
            jitter=min(size) / 16, grey=is_grey, seed=seed,
        )  # fmt: skip
        step = -(-max(size) // ICON)
        for unit, result in zip(level["units"][start : start + BATCH], images, strict=True):
            unit["maximised"] = png_url(draw(result[::step, ::step]))
