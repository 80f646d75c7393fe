"""A stand-in for ConanCenter's recipe of stb: the headers in the folder STB_FOLDER, under the same names."""

import os

from conan import ConanFile
from conan.tools.files import copy


class StbConan(ConanFile):
    name = "stb"
    version = "cci.20240531"
    package_type = "header-library"

    def package(self):
        copy(self, "*.h", src=os.environ["STB_FOLDER"], dst=os.path.join(self.package_folder, "include"))

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
