#!/usr/bin/env bash
# An app compiled with what pkg-config says of an installed plainnet, after its folder was moved.
#
#   pkg_config.sh PREFIX BUILD_FOLDER COMPILER VERSION
set -euo pipefail
prefix=$1 build=$2 compiler=$3 version=$4
consumer=$(realpath "$(dirname "${BASH_SOURCE[0]}")/consumer")
command -v pkg-config > /dev/null || exit 77

rm -rf "$build"
mkdir -p "$build"
cp -r "$prefix" "$build/moved"
export PKG_CONFIG_PATH=$build/moved/share/pkgconfig
cd "$build"

check() { [[ $1 == "$2" ]] || { echo "error: expected $2, found $1"; exit 1; }; }
check "$(pkg-config --modversion plainnet)" "$version"
check "$(realpath "$(pkg-config --variable=includedir plainnet)")" "$(realpath moved/include)"

compile() {
  local package=$1 flags libraries
  shift
  # Words on purpose: one option each.
  read -ra flags <<< "$(pkg-config --cflags "$package")"
  read -ra libraries <<< "$(pkg-config --libs "$package")"
  echo "$package: ${flags[*]} ${libraries[*]}"
  "$compiler" -std=c++20 -O0 "${flags[@]}" "$@" -o "$package.app" "${libraries[@]}"
}
compile plainnet "$consumer/main.cpp" "$consumer/other.cpp"
check "$(./plainnet.app)" "plainnet $version, 12 elements"

if [[ -e moved/share/pkgconfig/plainnet-image.pc ]]; then
  compile plainnet-image "$consumer/image.cpp" "$consumer/other.cpp"
  ./plainnet-image.app
fi
