"""Why an image cannot be decoded: in a few words, from its bytes."""

import re

from kapps.data.image._size_limit import MAX_PIXELS

_FORMATS = {
    rb"II\*\0|MM\0\*|II\+\0|MM\0\+": "TIFF",
    rb".{4}ftyp(heic|heix|hevc|heim|heis|mif1|msf1)": "HEIC",
    rb".{4}ftypavi[fs]": "AVIF",
    rb".{4}ftyp": "a video or another file of the MP4 format",
    rb"\xff\x0a|\0\0\0\x0cJXL ": "JPEG XL",
    rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51": "JPEG 2000",
    rb"8BPS": "Photoshop",
    rb"\0\0[\x01\x02]\0[^\0]": "an icon (.ico)",
    rb"DDS ": "DDS",
    rb"P[1-7]\s": "Netpbm",
    rb"\x76\x2f\x31\x01": "OpenEXR",
    rb"%PDF": "PDF",
    rb"PK\x03\x04": "a .zip file",
    rb"\x1f\x8b": "gzip",
    rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg[^>]*>\s*)?<svg": "SVG",
    rb"\s*<(!doctype html|html)": "HTML",
    rb"version https://git-lfs": "a pointer of Git LFS: fetch the files",
}
"""What a file is, by a pattern of its first bytes."""
_JPEG_KINDS = {
    0xC3: "lossless JPEG", 0xC5: "hierarchical JPEG", 0xC6: "hierarchical JPEG", 0xC7: "lossless JPEG",
    0xC9: "JPEG with arithmetic coding", 0xCA: "JPEG with arithmetic coding", 0xCB: "lossless JPEG",
}  # fmt: skip
_BMP_COMPRESSIONS = {1: "run lengths", 2: "run lengths", 4: "JPEG", 5: "PNG"}


def why_undecodable(encoded: bytes) -> str:
    """Returns the reason why an image cannot be decoded, in a few words, such as "TIFF" or "corrupt or truncated PNG".

    Args:
        encoded: the content of the file.
    """
    if not encoded:
        return "empty file"
    if not any(encoded[:512]):
        return "only zeros"
    for pattern, name in _FORMATS.items():
        if re.match(pattern, encoded[:512], re.DOTALL | re.IGNORECASE):
            return name
    if encoded.startswith(b"\xff\xd8\xff"):
        return _why_jpeg(encoded)
    if encoded.startswith(b"BM"):
        return _why_bmp(encoded)
    starts = {b"\x89PNG": "PNG", b"GIF8": "GIF", b"RIFF": "WebP"}
    for start, name in starts.items():
        if encoded.startswith(start) and (name != "WebP" or encoded[8:12] == b"WEBP"):
            return _corrupt(name, _pixels(name, encoded))
    return "not an image of a known format"


def _why_jpeg(encoded):
    position = 2
    while position + 9 < len(encoded) and encoded[position] == 0xFF:
        marker = encoded[position + 1]
        if marker in _JPEG_KINDS:
            return f"{_JPEG_KINDS[marker]} is not supported"
        if marker in (0xC0, 0xC1, 0xC2):
            bits = encoded[position + 4]
            if bits != 8:
                return f"JPEG of {bits} bits is not supported"
            height = int.from_bytes(encoded[position + 5 : position + 7], "big")
            width = int.from_bytes(encoded[position + 7 : position + 9], "big")
            return _corrupt("JPEG", (height, width))
        if marker == 0xFF:
            position += 1
        else:
            position += 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
    return _corrupt("JPEG", None)


def _why_bmp(encoded):
    compression = int.from_bytes(encoded[30:34], "little")
    bits = int.from_bytes(encoded[28:30], "little")
    if encoded[14:18] == b"\x0c\0\0\0":
        return _corrupt("BMP", _pixels("BMP", encoded))
    if compression in _BMP_COMPRESSIONS:
        return f"BMP compressed by {_BMP_COMPRESSIONS[compression]} is not supported"
    if bits not in (1, 2, 4, 8, 16, 24, 32):
        return f"BMP of {bits} bits per pixel is not supported"
    return _corrupt("BMP", _pixels("BMP", encoded))


def _pixels(name, encoded):
    """Returns the (height, width) that a header declares, or `None`."""

    def numbers(*positions, size, order="little"):
        return tuple(int.from_bytes(encoded[p : p + size], order) for p in positions)

    if name == "PNG":
        return numbers(20, 16, size=4, order="big")
    if name == "GIF":
        return numbers(8, 6, size=2)
    if name == "BMP" and encoded[14:18] != b"\x0c\0\0\0":
        height, width = numbers(22, 18, size=4)
        return min(height, 2**32 - height), width
    if name == "WebP" and encoded[12:16] == b"VP8X":
        height, width = numbers(27, 24, size=3)
        return height + 1, width + 1
    return None


def _corrupt(name, pixels):
    if pixels and pixels[0] * pixels[1] > MAX_PIXELS:
        height, width = pixels
        return f"{name} of {height:,} x {width:,} pixels; the most is {MAX_PIXELS:,}"
    return f"corrupt or truncated {name}"
