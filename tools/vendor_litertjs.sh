#!/bin/sh
# Writes kapps/export/demo/litertjs: the files of LiteRT.js that the demo page loads, each compressed with gzip.
#
#     tools/vendor_litertjs.sh 2.5.3
#
# Needs npm. After an update, change VERSION in kapps/export/demo/__init__.py and run pytest -m browser tests/export/demo.
set -eu
version=$1
target=$(cd "$(dirname "$0")/.." && pwd)/kapps/export/demo/litertjs
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$target"
cd "$scratch"
npm pack --silent "@litertjs/core@$version" "@litertjs/wasm-utils@$version" >/dev/null
# The loader chooses the variant with relaxed SIMD, or the compatible one in browsers without it.
for variant in litert_wasm_internal litert_wasm_compat_internal; do
    for suffix in js wasm; do
        tar -xOzf "litertjs-core-$version.tgz" "package/wasm/$variant.$suffix" | gzip -9 -n >"$target/$variant.$suffix.gz"
    done
done
for package in core wasm-utils; do
    tar -xOzf "litertjs-$package-$version.tgz" package/dist/index.js | gzip -9 -n >"$target/$package.js.gz"
done
