#pragma once
// The digits model that the program carries, so that a first run needs no file.

#include <cstddef>
#include <span>
#include <string_view>

// Laid into the program by digits_model.S.
extern "C" {
extern const std::byte plainnet_digits_weights[];
extern const std::byte plainnet_digits_weights_end[];
extern const char plainnet_digits_labels[];
extern const char plainnet_digits_labels_end[];
}

/// models/digits/digits.safetensors, byte for byte; begins at a multiple of 64 bytes.
inline std::span<const std::byte> digits_weights() { return {plainnet_digits_weights, plainnet_digits_weights_end}; }

/// models/digits/labels.txt, byte for byte.
inline std::string_view digits_labels() { return {plainnet_digits_labels, plainnet_digits_labels_end}; }
