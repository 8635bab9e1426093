"""Fixtures of the tests of plots and pages."""

import base64
import json
import pathlib
import re
import subprocess

import numpy as np
import pytest

import kapps

DRIVER = pathlib.Path(__file__).with_name("pages.mjs")


@pytest.fixture(scope="session")
def profile():
    return kapps.profile(kapps.resnet20_cifar())


@pytest.fixture(scope="session")
def page_data():
    """`page_data(html)` returns the data in a page, after a check that the page loads no other file."""

    def read(html):
        assert "default-src 'none'" in html and not re.search("@(title|style|data|script)@", html)
        urls = re.findall(r"""(?:src|href)\s*=\s*["'][^"'>]*|url\([^)]*\)|@import.*""", html)
        assert [url for url in urls if "data:" not in url] == []
        return json.loads(re.search(r'id="data">(.*?)</script>', html, re.DOTALL)[1])

    return read


@pytest.fixture(scope="session")
def unpack():
    """`unpack(array)` returns an array of a page's data."""

    def read(array):
        values = np.frombuffer(base64.b64decode(array["data"]), "int8")
        return values.reshape(array["shape"]) / 127 * array["scale"]

    return read


@pytest.fixture
def visit(modules, tmp_path):
    """`visit(kind, html)` returns what a page shows in Chromium while pages.mjs clicks in it."""

    def run(kind, html):
        (tmp_path / "page.html").write_text(html, encoding="utf-8")
        arguments = ["node", DRIVER, modules, kind, tmp_path / "page.html", tmp_path]
        process = subprocess.run(
            list(map(str, arguments)), capture_output=True, text=True, timeout=300, encoding="utf-8"
        )
        assert process.returncode == 0, process.stderr
        content = json.loads(process.stdout)
        assert (content["requests"], content["messages"], content["sideways"]) == ([], [], 0)
        for (ground, text), is_dark in ((content["light"], False), (content["dark"], True)):
            lightness = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (ground, text)]
            assert abs(lightness[0] - lightness[1]) > 450 and (lightness[0] < 200) == is_dark
        return content

    return run
