"""The files of a directory or of an archive, by their names, and those that are left out."""

import collections
import dataclasses
import os

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
_HIDDEN = (".", "__MACOSX")


@dataclasses.dataclass
class Listing:
    """The files of a dataset.

    Args:
        images: names of the images, such as "train/daisy/1.jpg", sorted.
        folders: names of the folders, such as "train/daisy".
        left_out: {name: reason} of the files that are not read.
    """

    images: list[str]
    folders: set[str]
    left_out: dict[str, str]

    def children(self, folder: str) -> list[str]:
        """Returns the names of the folders in a folder ("" for the first), sorted."""
        start = f"{folder}/" if folder else ""
        inside = (name[len(start) :] for name in self.folders if name.startswith(start))
        return sorted(name for name in inside if name and "/" not in name)

    def with_folders(self) -> set[str]:
        """Returns the names of the folders that hold folders."""
        return {name.rpartition("/")[0] for name in self.folders}

    def loose_images(self, folder: str) -> list[str]:
        """Returns the names of the images directly in a folder."""
        return [name for name in self.images if name.rpartition("/")[0] == folder]


def list_names(names: list[str], folders: set[str] = frozenset(), left_out=()) -> Listing:
    """Returns the listing of files by their names; images are those with `IMAGE_SUFFIXES`."""
    folders, left_out, images = set(folders), dict(left_out), []
    for name in names:
        parts = name.split("/")
        if any(part.startswith(_HIDDEN) for part in parts):
            left_out[name] = "hidden"
            continue
        folders.update("/".join(parts[:count]) for count in range(1, len(parts)))
        if name.lower().endswith(IMAGE_SUFFIXES):
            images.append(name)
        else:
            left_out[name] = os.path.splitext(name)[1].lower() or "without a suffix"
    return Listing(sorted(images), folders, left_out)


def list_directory(directory: str) -> Listing:
    """Returns the listing of a directory and its subfolders. Links are followed, except into their own folder."""
    names, folders, left_out = [], set(), {}
    pending = [("", os.path.realpath(directory))]
    while pending:
        folder, real = pending.pop()
        try:
            with os.scandir(os.path.join(directory, folder)) as entries:
                entries = list(entries)
        except OSError:
            left_out[f"{folder}/"] = "unreadable folder"
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith(_HIDDEN):
                left_out[name] = "hidden"
            elif entry.is_dir():
                target = (
                    os.path.realpath(entry.path) if entry.is_symlink() else f"{real}/{entry.name}"
                )
                if f"{real}/".startswith(f"{target}/"):
                    left_out[name] = "link to its own folder"
                    continue
                folders.add(name)
                pending.append((name, target))
            elif entry.is_file():
                names.append(name)
            else:
                left_out[name] = "unreadable"
    return list_names(names, folders, left_out)


def count_reasons(left_out) -> dict[str, int]:
    """Returns the number of files for each reason, the most frequent first."""
    return dict(collections.Counter(dict(left_out).values()).most_common())
