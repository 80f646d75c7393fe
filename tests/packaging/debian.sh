#!/usr/bin/env bash
# The Debian packages hold what they should, and the program runs from where they are unpacked.
#
#   debian.sh SOURCE_FOLDER BUILD_FOLDER RESULT_FOLDER CPACK VERSION
#
# cpack packs what was built; it builds nothing.
set -euo pipefail
source=$1 build=$2 result=$3 cpack=$4 version=$5
for needed in dpkg-deb dpkg-shlibdeps file gzip; do
  command -v $needed > /dev/null || { echo "$needed is not installed"; exit 77; }
done
fail() { echo "error: $*"; exit 1; }

rm -rf "$result"
mkdir -p "$result"
"$cpack" -G DEB --config "$build/CPackConfig.cmake" -B "$result" > "$result/cpack.log" 2>&1 || { cat "$result/cpack.log"; exit 1; }
cd "$result"
architecture=$(dpkg --print-architecture)
program=plainnet_${version}_$architecture.deb
development=libplainnet-dev_${version}_all.deb
for package in "$program" "$development"; do [[ -e $package ]] || fail "no $package among: $(echo *.deb)"; done

expect_field() { # PACKAGE FIELD REGULAR_EXPRESSION
  local found
  found=$(dpkg-deb --field "$1" "$2")
  [[ $found =~ $3 ]] || fail "$1: $2 is '$found', which does not match $3"
}
expect_field "$program" Version "^$version$"
expect_field "$program" Architecture "^$architecture$"
expect_field "$program" Depends 'libc6 \(>= .*libstdc\+\+6 \(>= '
expect_field "$development" Architecture '^all$'
expect_field "$development" Depends '^libeigen3-dev \(>= 3\.4\)$'
expect_field "$development" Recommends '^libstb-dev$'
if dpkg-deb --field "$program" Depends | grep -q -e -dev; then fail "$program needs a package of headers"; fi

# Every file and no other, but that the headers are those of the source.
files_of() { dpkg-deb --contents "$1" | awk '$1 !~ /^d/ { sub(/^\.\//, "", $6); print $6 }' | sort; }
compare() { # PACKAGE, the expected list on standard input
  diff <(sort) <(files_of "$1") || fail "$1: the files (>) are not the expected ones (<)"
}
compare "$program" << 'END'
usr/bin/plainnet
usr/share/bash-completion/completions/plainnet
usr/share/doc/plainnet/changelog.gz
usr/share/doc/plainnet/copyright
usr/share/fish/vendor_completions.d/plainnet.fish
usr/share/man/man1/plainnet.1.gz
usr/share/zsh/vendor-completions/_plainnet
END
{
  (cd "$source/include" && find plainnet -type f -printf 'usr/include/%p\n')
  cat << 'END'
usr/share/cmake/plainnet/plainnet-config-version.cmake
usr/share/cmake/plainnet/plainnet-config.cmake
usr/share/cmake/plainnet/plainnet-targets.cmake
usr/share/doc/libplainnet-dev/changelog.gz
usr/share/doc/libplainnet-dev/copyright
usr/share/pkgconfig/plainnet-image.pc
usr/share/pkgconfig/plainnet.pc
END
} | compare "$development"

dpkg-deb --extract "$program" unpacked
answer=$(unpacked/usr/bin/plainnet classify --json --top 1 "$source/models/digits/pictures/7/1442.png")
echo "$answer"
[[ $answer == *'"label":"7"'* ]] || fail "the program does not recognise a 7"

if command -v lintian > /dev/null; then
  lintian --allow-root --fail-on error,warning "$program" "$development"
else
  echo "lintian is not installed: not checked by it"
fi
