"""Conan 2 recipe of the checkout that it lies in."""

import os
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rmdir


class PlainnetConan(ConanFile):
    name = "plainnet"
    description = "CPU inference of plain image classifiers, headers only, C++20"
    license = "MIT"
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"with_stb": [True, False]}
    default_options = {"with_stb": True}  # plainnet::image, the decoding of pictures

    def _checkout(self):
        return os.path.join(self.recipe_folder, "..", "..")

    def set_version(self):
        header = load(self, os.path.join(self._checkout(), "include", "plainnet", "core", "version.hpp"))
        self.version = ".".join(re.search(rf"#define PLAINNET_VERSION_{part} (\d+)", header).group(1)
                                for part in ("MAJOR", "MINOR", "PATCH"))

    def export_sources(self):
        for pattern in ("CMakeLists.txt", "LICENSE", "include/*", "packaging/*", "docs/CMakeLists.txt"):
            copy(self, pattern, src=self._checkout(), dst=self.export_sources_folder)

    def requirements(self):
        self.requires("eigen/3.4.0", transitive_headers=True)
        if self.options.with_stb:
            self.requires("stb/cci.20240531", transitive_headers=True)

    def validate(self):
        check_min_cppstd(self, 20)

    def layout(self):
        cmake_layout(self)

    def package_id(self):
        self.info.settings.clear()  # headers only

    def generate(self):
        toolchain = CMakeToolchain(self)
        for part in ("TOOLS", "EXAMPLES", "TESTS", "BENCH", "FETCH"):
            toolchain.cache_variables[f"PLAINNET_{part}"] = False
        if self.options.with_stb:
            stb = self.dependencies["stb"].cpp_info.includedirs[0]
            toolchain.cache_variables["PLAINNET_STB_INCLUDE_DIR"] = stb.replace("\\", "/")
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        # Conan generates the files of CMake and pkg-config for its users.
        rmdir(self, os.path.join(self.package_folder, "share"))
        copy(self, "LICENSE", src=self.source_folder, dst=os.path.join(self.package_folder, "licenses"))

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.set_property("cmake_file_name", "plainnet")
        library = self.cpp_info.components["plainnet"]
        library.set_property("cmake_target_name", "plainnet::plainnet")
        library.requires = ["eigen::eigen"]
        if self.settings.os in ("Linux", "FreeBSD"):
            library.system_libs = ["pthread"]
        if self.options.with_stb:
            image = self.cpp_info.components["image"]
            image.set_property("cmake_target_name", "plainnet::image")
            image.requires = ["plainnet", "stb::stb"]
