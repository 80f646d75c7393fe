#!/usr/bin/env python3
"""What can be checked of the recipes of vcpkg and Conan without these programs: that they can be read, have the version
of core/version.hpp, and name files and options of CMake that exist; and that CMake installs the headers from nothing but
the files that Conan's recipe exports, with its options.

    recipes.py SOURCE_FOLDER VERSION CMAKE COMPILER BUILD_FOLDER
"""

import ast
import json
import pathlib
import re
import shutil
import subprocess
import sys

source, version, cmake_program, compiler, build = pathlib.Path(sys.argv[1]), *sys.argv[2:5], pathlib.Path(sys.argv[5])
port, conan = source / "packaging/vcpkg/plainnet", source / "packaging/conan"
problems = []


def require(condition, message):
    if not condition:
        problems.append(message)


cmake = (source / "CMakeLists.txt").read_text(encoding="utf-8")
known_options = set(re.findall(r"(?:option|find_path)\((PLAINNET_\w+)", cmake))
require(len(known_options) > 5, f"found only {known_options} in CMakeLists.txt")

# ---- vcpkg
manifest = json.loads((port / "vcpkg.json").read_text(encoding="utf-8"))
require(manifest["name"] == "plainnet", "vcpkg.json: name")
require(manifest["version"] == version, f"vcpkg.json: version {manifest['version']}, not {version}")
require(manifest["license"] == "MIT", "vcpkg.json: license")
names = [entry if isinstance(entry, str) else entry["name"] for entry in manifest["dependencies"]]
require({"eigen3", "stb", "vcpkg-cmake", "vcpkg-cmake-config"} == set(names), f"vcpkg.json: dependencies {names}")
portfile = (port / "portfile.cmake").read_text(encoding="utf-8")
for option in re.findall(r"-D(PLAINNET_\w+)", portfile):
    require(option in known_options, f"portfile.cmake: {option} is no option of CMakeLists.txt")
require("share/cmake/plainnet)" in portfile and "${CMAKE_INSTALL_DATADIR}/cmake/plainnet" in cmake,
        "portfile.cmake: CONFIG_PATH is not where CMakeLists.txt installs")
require((port / "../../..").resolve() == source.resolve() and '"${CURRENT_PORT_DIR}/../../.."' in portfile,
        "portfile.cmake: SOURCE_PATH is not the checkout")
usage = (port / "usage").read_text(encoding="utf-8")
for target in set(re.findall(r"plainnet::\w+", usage)):
    require("ALIAS" in cmake and target in cmake, f"usage: {target} is no target of CMakeLists.txt")

# ---- Conan
for name in ("conanfile.py", "test_package/conanfile.py"):
    ast.parse((conan / name).read_text(encoding="utf-8"), name)
recipe = (conan / "conanfile.py").read_text(encoding="utf-8")
header = (source / "include/plainnet/core/version.hpp").read_text(encoding="utf-8")
pattern = re.search(r'rf"(#define PLAINNET_VERSION_)\{part\} \(\\d\+\)"', recipe)
require(pattern, "conanfile.py: does not read the version from version.hpp")
found = ".".join(re.search(rf"#define PLAINNET_VERSION_{part} (\d+)", header).group(1)
                 for part in ("MAJOR", "MINOR", "PATCH"))
require(found == version, f"version.hpp says {found}, CMake {version}")
parts = re.search(r"for part in \((.*)\):\n\s+toolchain", recipe).group(1)
for part in re.findall(r'"(\w+)"', parts):
    require(f"PLAINNET_{part}" in known_options, f"conanfile.py: PLAINNET_{part} is no option of CMakeLists.txt")
exported = re.search(r"for pattern in \((.*)\):\n\s+copy", recipe).group(1)
for pattern in re.findall(r'"([^"]+)"', exported):
    require(list(source.glob(pattern)), f"conanfile.py: exports {pattern}, which does not exist")
for name in ("CMakeLists.txt", "test_package.cpp"):
    require((conan / "test_package" / name).exists(), f"test_package/{name} is missing")

# ---- The build of both, from the files that Conan's recipe exports
shutil.rmtree(build, ignore_errors=True)
for pattern in re.findall(r'"([^"]+)"', exported):
    for path in source.glob(pattern.replace("/*", "/**/*")):
        if path.is_file():
            copy = build / "exported" / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
options = [f"-DPLAINNET_{part}=OFF" for part in re.findall(r'"(\w+)"', parts)]
for step in (["-S", build / "exported", "-B", build / "build", f"-DCMAKE_CXX_COMPILER={compiler}", *options],
             ["--build", build / "build"], ["--install", build / "build", "--prefix", build / "installed"]):
    done = subprocess.run([cmake_program, *step], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    require(done.returncode == 0, f"cmake {step[0]}: {done.stdout}")
installed = {path.relative_to(build / "installed/include") for path in (build / "installed/include").rglob("*.*")}
headers = {path.relative_to(source / "include") for path in (source / "include").rglob("*.*")}
require(installed == headers, f"not or not only the headers are installed: {sorted(map(str, installed ^ headers))}")

for problem in problems:
    print(f"error: {problem}")
sys.exit(1 if problems else 0)
