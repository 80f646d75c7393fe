#pragma once
// What a file may be that turned out not to be a checkpoint, for messages.

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "plainnet/io/byte_cursor.hpp"
#include "plainnet/io/json_cursor.hpp"

namespace plainnet::detail {

struct FileKind {
  std::size_t offset;  // in the file, of the bytes that tell it
  std::string_view magic;
  std::string_view name;  // with the likely cause
};

/// What people have who have no checkpoint; the first row that fits counts.
inline constexpr std::array file_kinds{
    FileKind{0, "PK\x03\x04", "a zip archive; a PyTorch checkpoint?"},
    FileKind{0, "PK\x05\x06", "an empty zip archive"},
    FileKind{0, "\x80", "a Python pickle; a PyTorch checkpoint in the old form?"},
    FileKind{0, "version https://git-lfs", "a Git LFS pointer; fetch the file itself with git lfs pull"},
    FileKind{0, "<", "a web page; a failed download?"},
    FileKind{0, "\x1F\x8B", "a gzip archive; unpack it first"},
    FileKind{0, "BZh", "a bzip2 archive; unpack it first"},
    FileKind{0, {"\xFD\x37zXZ\0", 6}, "an xz archive; unpack it first"},
    FileKind{0, "\x28\xB5\x2F\xFD", "a Zstandard archive; unpack it first"},
    FileKind{0, "7z\xBC\xAF", "a 7z archive; unpack it first"},
    FileKind{257, "ustar",
             "a tar archive; if it is a checkpoint of an early PyTorch, load and save it with a later one"},
    FileKind{0, "\x93NUMPY", "a NumPy array; save named tensors as safetensors"},
    FileKind{0, "\x89HDF\r\n", "an HDF5 file, of Keras?; save the tensors as safetensors"},
    FileKind{0, "GGUF", "a GGUF file; plainnet reads none"},
    FileKind{4, "TFL3", "a TensorFlow Lite model; plainnet reads none"},
    FileKind{0, "\x89PNG", "a picture"},
    FileKind{0, "\xFF\xD8\xFF", "a picture"},
    FileKind{0, {"\177ELF", 4}, "a program"},
    FileKind{0, "#!", "a script"},
    FileKind{0, "{", "JSON text; the index of a model in several files, or its configuration?"},
    FileKind{0, std::string_view("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16), "zeros; a download that was not finished?"},
};

/// An ONNX model begins with its version, a small number, in field 1 of a protocol buffer; field 2 or 3 come next, the
/// program that wrote it and that program's version, or fields 7 and 8.
inline bool looks_like_onnx(std::string_view start) {
  constexpr std::string_view next_fields = "\x12\x1A\x22\x3A\x42";
  return start.size() > 2 && start[0] == 8 && start[1] > 0 && start[1] < 32 && next_fields.find(start[2]) != start.npos;
}

/// What the bytes begin like; empty if that cannot be told.
inline std::string_view guess_kind(std::span<const std::byte> file) {
  const std::string_view text = as_text(file);
  for (const FileKind& kind : file_kinds) {
    if (text.size() >= kind.offset && text.substr(kind.offset).starts_with(kind.magic)) return kind.name;
  }
  if (looks_like_onnx(text)) return "an ONNX model; plainnet reads the checkpoint that it was made from";
  return {};
}

/// A kind, or else the first bytes: what follows "but" in a message.
inline std::string describe_start(std::span<const std::byte> file) {
  if (file.empty()) return "an empty one; a failed download?";
  if (const std::string_view kind = guess_kind(file); !kind.empty()) return std::string(kind);
  const std::string_view start = as_text(file.first(std::min<std::size_t>(file.size(), 32)));
  const auto is_text = [](char c) { return (c >= ' ' && c <= '~') || (c >= '\t' && c <= '\r'); };
  if (std::all_of(start.begin(), start.end(), is_text)) return "text that begins \"" + printable(start) + "\"";
  constexpr std::string_view digits = "0123456789abcdef";
  std::string result = "one that begins with the bytes";
  for (const char c : start.substr(0, 8)) {
    const auto byte = static_cast<unsigned char>(c);
    result += {' ', digits[byte / 16], digits[byte % 16]};
  }
  return result;
}

}  // namespace plainnet::detail
