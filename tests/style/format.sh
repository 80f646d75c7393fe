#!/usr/bin/env bash
# Every file of C++ is as clang-format 14 writes it; other versions write some lines differently.
#
#   format.sh SOURCE_FOLDER
#
# Exits with 77, which CTest counts as skipped, if clang-format 14 is not installed.
set -euo pipefail
cd "$1"
for program in clang-format-14 clang-format ""; do
  if [[ $program && $("$program" --version 2> /dev/null) == *' version 14.'* ]]; then break; fi
done
if [[ ! $program ]]; then
  echo "clang-format 14 is not installed"
  exit 77
fi
mapfile -d '' -t files < <(find bench examples include packaging tests tools \
  \( -name '*.hpp' -o -name '*.inl' -o -name '*.cpp' \) -print0)
echo "${#files[@]} files"
((${#files[@]} > 200)) || { echo "error: there are more files than these"; exit 1; }
"$program" --dry-run -Werror "${files[@]}"
