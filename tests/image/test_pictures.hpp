#pragma once
// Pictures for the tests of image/ and io/image.hpp.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "plainnet/image/image.hpp"

namespace plainnet::test {

/// Random pixels; with `extreme` only 0 and 255, which overshoot most.
inline Image random_image(Index width, Index height, std::uint32_t seed, bool extreme = false) {
  std::mt19937 generator(seed);
  Image image(width, height);
  for (std::uint8_t& value : image.pixels) {
    const auto bits = static_cast<std::uint32_t>(generator());
    value = static_cast<std::uint8_t>(extreme ? (bits & 1) * 255 : bits & 255);
  }
  return image;
}

/// A file put together by hand.
class Bytes {
 public:
  Bytes() = default;
  explicit Bytes(std::string_view text) { add(text); }

  Bytes& add(std::string_view text) {
    for (char c : text) bytes_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  Bytes& add(const Bytes& other) {
    bytes_.insert(bytes_.end(), other.bytes_.begin(), other.bytes_.end());
    return *this;
  }
  Bytes& little_endian(std::uint32_t number, int count) {
    for (int i = 0; i < count; ++i) bytes_.push_back(static_cast<std::byte>(number >> (8 * i)));
    return *this;
  }
  Bytes& big_endian(std::uint32_t number, int count) {
    for (int i = count - 1; i >= 0; --i) bytes_.push_back(static_cast<std::byte>(number >> (8 * i)));
    return *this;
  }
  Bytes& zeros(std::size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }

  std::vector<std::byte>& get() { return bytes_; }
  const std::vector<std::byte>& get() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace plainnet::test
