#!/usr/bin/env bash
# Conan makes the package of its recipe, with and without images, and builds and runs the recipe's test package. Without a
# network: stand-ins take the place of ConanCenter's recipes of Eigen and stb.
#
#   conan.sh SOURCE_FOLDER BUILD_FOLDER VERSION EIGEN_FOLDER STB_FOLDER
#
# Exits with 77, which CTest counts as skipped, if Conan 2 is not installed.
set -euo pipefail
source=$1 build=$2 version=$3
export EIGEN_FOLDER=$4 STB_FOLDER=$5
if [[ $(conan --version 2> /dev/null) != 'Conan version 2.'* ]]; then
  echo "Conan 2 is not installed"
  exit 77
fi
if [[ -e $STB_FOLDER/stb ]]; then STB_FOLDER=$STB_FOLDER/stb; fi

# From a copy, since Conan builds the test package where it lies.
rm -rf "$build"
mkdir -p "$build/checkout/docs"
cp -R "$source"/{CMakeLists.txt,LICENSE,include,packaging} "$build/checkout"
cp "$source/docs/CMakeLists.txt" "$build/checkout/docs"

export CONAN_HOME=$build/home
conan profile detect
for package in eigen stb; do conan create "$source/tests/packaging/conan/$package"; done
for with_stb in True False; do
  conan create "$build/checkout/packaging/conan" --settings compiler.cppstd=20 --options "plainnet/*:with_stb=$with_stb" \
    2>&1 | tee "$build/with_stb_$with_stb.log"
  expected="plainnet $version, 12 elements"
  if [[ $with_stb == True ]]; then expected+=", and images"; fi
  grep -qx "$expected" "$build/with_stb_$with_stb.log" || { echo "error: expected '$expected'"; exit 1; }
done
