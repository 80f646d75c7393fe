# Toolchain of the preset wasm: that of the emscripten whose em++ is on the path.

find_program(PLAINNET_EMXX em++)
if(NOT PLAINNET_EMXX)
  message(FATAL_ERROR "The preset wasm needs emscripten: no em++ is on the path. On Debian: apt-get install "
                      "--no-install-recommends emscripten")
endif()
file(REAL_PATH ${PLAINNET_EMXX} plainnet_emxx)
cmake_path(GET plainnet_emxx PARENT_PATH EMSCRIPTEN_ROOT_PATH)
include(${EMSCRIPTEN_ROOT_PATH}/cmake/Modules/Platform/Emscripten.cmake)

# Eigen and stb are headers for any machine: those that are installed here will do.
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
list(APPEND CMAKE_SYSTEM_PREFIX_PATH /usr/local /usr)
