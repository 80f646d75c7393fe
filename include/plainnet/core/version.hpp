#pragma once
// The version of plainnet; CMake reads it from here.

#include <string>

#define PLAINNET_VERSION_MAJOR 0
#define PLAINNET_VERSION_MINOR 1
#define PLAINNET_VERSION_PATCH 0

namespace plainnet {

/// For instance "0.1.0".
inline std::string version() {
  return std::to_string(PLAINNET_VERSION_MAJOR) + "." + std::to_string(PLAINNET_VERSION_MINOR) + "." +
         std::to_string(PLAINNET_VERSION_PATCH);
}

}  // namespace plainnet
