"""Which images of a directory or a .zip file are read, and which masks belong to them, by the names of folders."""

import dataclasses
import re
from collections.abc import Callable

from kapps.data.errors import DataError
from kapps.data.image.layout import HASHED, hashed_split, is_held_out
from kapps.data.image.listing import Listing
from kapps.data.image.splits import is_split, select_split

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "leftimg8bit")
MASK_FOLDERS = (
    "masks", "mask", "labels", "label", "annotations", "annotation", "annot", "segmentationclass", "gtfine",
)  # fmt: skip
OTHER_FOLDERS = ("segmentationobject", "instances", "depth")
"""Folders next to those of images and masks, of neither."""
MASK_ENDINGS = ("_mask", "_masks", "_label", "_labels", "_L", "_gt")
"""What the name of a mask may end with, in addition to the name of its image."""
_LIST = re.compile(r"(?:.*/)?ImageSets/Segmentation/(\w+)\.txt")
"""The lists of PASCAL VOC: one name of an image per line, without its suffix."""
_LAYOUT = (
    "the names are train/images/1.jpg and train/masks/1.png, images/train/1.jpg and masks/train/1.png, or without"
    " splits images/1.jpg and masks/1.png"
)


@dataclasses.dataclass
class PairLayout:
    """The images of a split, and their masks.

    Args:
        split: name of the split.
        splits: names of all splits.
        held_out: whether the dataset has no splits, and a fifth was held out for validation.
        images, masks: names of the images, and of the mask of each.
        left_out: {name: reason} of the files that are not read. Files of other splits are not among them.
    """

    split: str
    splits: tuple[str, ...]
    held_out: bool
    images: list[str]
    masks: list[str]
    left_out: dict[str, str]


def arrange_pairs(
    listing: Listing, split: str, path: str, read_names: Callable[[str], list[str]]
) -> PairLayout:
    """Returns the images of a split and their masks.

    An image and its mask have the same name without suffix, in the same folders, except for one folder of images
    (`IMAGE_FOLDERS`) and one of masks (`MASK_FOLDERS`, or the name of the split with "annot": trainannot). A mask may
    also have one of `MASK_ENDINGS`. A folder with the name of a split is the split; PASCAL VOC has lists instead.

    Args:
        listing: the files.
        split: the requested split.
        path: of the directory or archive, for errors.
        read_names: function of the name of a text file that returns its lines.

    Raises:
        DataError: no image has a mask, there is no such split, or two images or masks have the same name.
    """
    images, masks, left_out = _sort(listing, path)
    pairs = _match(images, masks)
    matched = {name for pair in pairs.values() for name in pair}
    left_out |= {name: "no mask" for name in images.values() if name not in matched}
    left_out |= {name: "no image" for name in masks.values() if name not in matched}
    if not pairs:
        raise DataError(
            f"{path} holds {len(images):,} images and {len(masks):,} masks, and no image has a mask: {_LAYOUT}"
        )
    lists = {match[1]: name for name in listing.left_out if (match := _LIST.fullmatch(name))}
    by_split: dict[str, list] = {}
    if lists:
        split = select_split(split, lists, path)
        names = set(read_names(lists[split]))
        by_split[split] = [key for key in pairs if key[1].rpartition("/")[2] in names]
        splits, held_out = tuple(lists), False
    elif any(key[0] for key in pairs):
        for key in pairs:
            by_split.setdefault(key[0], []).append(key)
        left_out |= {name: "not in a split" for key in by_split.pop("", []) for name in pairs[key]}
        split = select_split(split, by_split, path)
        splits, held_out = tuple(by_split), False
    else:
        split, splits, held_out = hashed_split(split, path), HASHED, True
        evaluation = split == "validation"
        by_split[split] = [key for key in pairs if _is_held_out(key) == evaluation]
    selected = by_split[split]
    if not selected:
        raise DataError(f"{path} holds no image with a mask for {split}: add some to the split")
    return PairLayout(
        split, splits, held_out, [pairs[key][0] for key in selected], [pairs[key][1] for key in selected],
        left_out | {name: reason for name, reason in listing.left_out.items() if name not in lists.values()},
    )  # fmt: skip


def _is_held_out(key):
    return is_held_out(key[1].rpartition("/")[2])


def _sort(listing, path):
    """Returns {key: name} of the images and of the masks, and {name: reason} of the others.

    A key is (split, the name without its suffix and without the folders of the split, of images and of masks).
    """
    images, masks, left_out = {}, {}, {}
    for name in listing.images:
        *folders, file = name.split("/")
        files, split, rest = images, "", []
        for folder in folders:
            lower = folder.lower()
            if lower in OTHER_FOLDERS:
                left_out[name] = "not an image or a mask"
            if lower in MASK_FOLDERS:
                files = masks
            elif lower in IMAGE_FOLDERS:
                files = images
            elif lower.endswith("annot") and is_split(folder[:-5]):
                files, split = masks, folder[:-5]
            elif is_split(folder) and not split:
                split = folder
            else:
                rest.append(folder)
        if name in left_out:
            continue
        key = (split, "/".join([*rest, file.rpartition(".")[0]]))
        if key in files:
            kind = "masks" if files is masks else "images"
            raise DataError(
                f"{path} has two {kind} of the same name, {files[key]} and {name}: delete or rename one"
            )
        files[key] = name
    return images, masks, left_out


def _match(images, masks):
    """Returns {key: (image, mask)}, in the order of the images."""
    by_key = dict(masks)
    for (split, name), mask in masks.items():
        for ending in MASK_ENDINGS:
            if name.endswith(ending):
                by_key.setdefault((split, name.removesuffix(ending)), mask)
    return {key: (name, by_key[key]) for key, name in images.items() if key in by_key}
