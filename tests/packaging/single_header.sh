#!/usr/bin/env bash
# The generated header and the folder give a program the same logits, bit for bit.
#
#   single_header.sh SOURCE_FOLDER BUILD_FOLDER COMPILER EIGEN_FOLDER
set -euo pipefail
source=$1 build=$2 compiler=$3 eigen=$4
here=$source/tests/packaging/single_header
rm -rf "$build"
mkdir -p "$build/generated" "$build/with_image"
"$source/tools/amalgamate" "$build/generated/single.hpp"
"$source/tools/amalgamate" --image "$build/with_image/single.hpp"

for header in "$build"/*/single.hpp; do
  if grep -n '^ *# *include *"' "$header"; then
    echo "error: $header includes files of its own folder"
    exit 1
  fi
  # The standard headers of C++ have no dot and no slash in their names.
  if ! diff <(grep -o '^#include <[a-z_]*>' "$header") <(grep -o '^#include <[a-z_]*>' "$header" | sort -u); then
    echo "error: $header includes a standard header twice"
    exit 1
  fi
done

# Not optimised, which would take three times as long and compare the same text. The folder is not on the include path
# of the generated header, so it can take nothing from there.
build_program() {
  local name=$1
  shift
  for file in logits other; do
    "$compiler" -std=c++20 -O0 -Wall -Wextra -Werror -isystem "$eigen" "$@" -c "$here/$file.cpp" -o "$build/$name.$file.o"
  done
  "$compiler" "$build/$name".*.o -pthread -o "$build/$name"
}
build_program of_folder -I "$source/include" '-DPLAINNET_HEADER="plainnet/plainnet.hpp"'
build_program of_single -I "$build/generated" '-DPLAINNET_HEADER="single.hpp"'
# With images, decoding compiles; that it works is tested elsewhere, and its code is the same.
echo '#include "single.hpp"
plainnet::Image load(const char* path) { return plainnet::load_image(path); }' > "$build/image.cpp"
"$compiler" -std=c++20 -O0 -Wall -Wextra -Werror -isystem "$eigen" -I "$build/with_image" -c "$build/image.cpp" -o "$build/image.o"

weights=$source/models/digits/digits.safetensors
"$build/of_folder" "$weights" > "$build/of_folder.txt"
"$build/of_single" "$weights" > "$build/of_single.txt"
cat "$build/of_single.txt"
[[ $(wc -l < "$build/of_single.txt") == 10 ]]
diff "$build/of_folder.txt" "$build/of_single.txt"
