"""What a run is: its options and its data. A run resumes only with the same, and the error names what changed.

The data is described by `kapps.data.source_identity` and the functions next to it: for each dataset its classes, and
for each part (a class, a shard, a file) the number of examples or bytes and a digest.
"""

import json

_LISTED = 4
"""Number of names in a list of an error."""


def describe_difference(saved: dict, current: dict) -> str | None:
    """Returns what differs between two identities, as "key=1, not key=2" or in words for data; `None` if nothing does.

    Args:
        saved: identity of the run that was started.
        current: identity of the run that resumes it. Other keys of `saved` are ignored.
    """
    current = json.loads(json.dumps(current))
    for key, value in current.items():
        if key != "datasets" and saved.get(key) != value:
            return f"{key}={saved.get(key)}, not {key}={value}"
    for name, data in current.get("datasets", {}).items():
        saved_data = saved.get("datasets", {}).get(name)
        if saved_data is None:
            return f"no {name}"
        if saved_data != data:
            return f"other {name}: {_describe_data(saved_data, data)}"
    return None


def _describe_data(saved, data):
    unit, changes = data["unit"], []
    before, after = saved.get("classes", []), data.get("classes", [])
    changes += _names("class", set(before) - set(after), "missing")
    changes += _names("class", set(after) - set(before), "new")
    if before != after and not changes:
        changes.append(f"the order of the classes is {_list(after)}, and it was {_list(before)}")
    changes += _changed_parts(saved["parts"], data["parts"], {*before, *after}, unit)
    if set(before) == set(after):
        changes += _changed_files(saved.get("files"), data.get("files"))
    return ", ".join(changes[:_LISTED]) or "its content changed"


def _changed_parts(saved, parts, classes, unit):
    missing = [name for name in saved if name not in parts and name not in classes]
    changes = [f"{name} is missing" for name in missing]
    for name, (count, digest) in parts.items():
        if name not in saved:
            if name not in classes:
                changes.append(f"{name} is new")
            continue
        saved_count, saved_digest = saved[name]
        if count != saved_count:
            changes.append(f"{name} has {count:,} {unit}, and it had {saved_count:,}")
        elif digest != saved_digest:
            changes.append(f"{name} has other {'content' if unit == 'bytes' else unit}")
    return changes


def _changed_files(saved, files):
    if saved is None or files is None:
        return []
    changes = _names("file", saved.keys() - files.keys(), "missing")
    changes += _names("file", files.keys() - saved.keys(), "new")
    resized = [name for name in files if saved.get(name, files[name]) != files[name]]
    return changes + _names("file", resized, "changed")


def _names(noun, names, adjective):
    """Returns ["file a.jpg is new"], or an empty list without names."""
    names = sorted(names)
    if not names:
        return []
    if len(names) == 1:
        return [f"{noun} {names[0]} is {adjective}"]
    plural = {"class": "classes", "file": "files"}[noun]
    return [f"{plural} {_list(names)} are {adjective}"]


def _list(names):
    text = ", ".join(names[:_LISTED])
    return text if len(names) <= _LISTED else f"{text} and {len(names) - _LISTED:,} more"
