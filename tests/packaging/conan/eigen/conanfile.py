"""A stand-in for ConanCenter's recipe of Eigen: the headers in the folder EIGEN_FOLDER, under the same names."""

import os

from conan import ConanFile
from conan.tools.files import copy


class EigenConan(ConanFile):
    name = "eigen"
    version = "3.4.0"
    package_type = "header-library"

    def package(self):
        copy(self, "*", src=os.environ["EIGEN_FOLDER"], dst=os.path.join(self.package_folder, "include", "eigen3"))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "Eigen3")
        self.cpp_info.components["eigen3"].set_property("cmake_target_name", "Eigen3::Eigen")
        self.cpp_info.components["eigen3"].includedirs = [os.path.join("include", "eigen3")]
        self.cpp_info.components["eigen3"].bindirs = []
        self.cpp_info.components["eigen3"].libdirs = []
