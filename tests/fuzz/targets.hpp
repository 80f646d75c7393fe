#pragma once
// What the fuzzers run, and what replay_test.cpp runs on the files that they started from and found.

#include <array>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string_view>

namespace plainnet::test {

/// What a fuzzer looks for: the library did something else than it promises. Not an Error, so that nobody catches it
/// with those.
class BrokenPromise : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// A reader of untrusted bytes, and the promises that it makes for any of them.
struct FuzzTarget {
  std::string_view name;
  /// Whether the reader accepts the bytes. BrokenPromise, or whatever the reader throws except an Error, if it does not
  /// do what it promises. The bytes are copied to memory of exactly their size, where a sanitizer sees every read
  /// outside.
  bool (*accepts)(std::span<const std::byte>);
};

bool accepts_safetensors(std::span<const std::byte> file);
bool accepts_torch_archive(std::span<const std::byte> file);
bool accepts_torch_stream(std::span<const std::byte> file);
/// The bytes are the pickle of an archive in which all else is right, so that no checksum keeps a fuzzer out. Its
/// storages are called 0 to 7 and have 64 bytes each.
bool accepts_pickle(std::span<const std::byte> pickle);
bool accepts_labels(std::span<const std::byte> file);
#if __has_include(<stb/stb_image.h>)
bool accepts_image(std::span<const std::byte> file);
#endif

inline constexpr std::array fuzz_targets {
  FuzzTarget{"safetensors", accepts_safetensors}, FuzzTarget{"torch_archive", accepts_torch_archive},
      FuzzTarget{"torch_stream", accepts_torch_stream}, FuzzTarget{"pickle", accepts_pickle},
      FuzzTarget{"labels", accepts_labels},
#if __has_include(<stb/stb_image.h>)
      FuzzTarget{"image", accepts_image},
#endif
};

}  // namespace plainnet::test
