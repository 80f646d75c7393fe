#pragma once
// Opening a checkpoint of any kind that plainnet reads.

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "plainnet/core/error.hpp"
#include "plainnet/io/file_kind.hpp"
#include "plainnet/io/mapped_file.hpp"
#include "plainnet/io/safetensors.hpp"
#include "plainnet/io/state_dict.hpp"
#include "plainnet/io/torch_checkpoint.hpp"

namespace plainnet {

/// How a checkpoint of any kind is read.
struct CheckpointOptions {
  std::string key = {};  // of a PyTorch checkpoint, see TorchOptions; empty: the usual ones
  SafetensorsLimits safetensors = {};
  TorchLimits torch = {};
};

/// Reads a checkpoint that lies in memory: a safetensors file or a PyTorch checkpoint, told by its content. As
/// parse_safetensors() and parse_torch_checkpoint(). Error also if a key is given for a file that has no entries.
inline StateDict parse_checkpoint(std::span<const std::byte> bytes, const std::string& source = "memory",
                                  const CheckpointOptions& options = {},
                                  const std::shared_ptr<const void>& owner = nullptr) {
  if (looks_like_torch(bytes)) return parse_torch_checkpoint(bytes, source, {options.key, options.torch}, owner);
  if (bytes.size() < 9 || bytes[8] != std::byte{'{'}) {  // where the header of a safetensors file begins
    fail(source, ": neither a safetensors file nor a PyTorch checkpoint but ", detail::describe_start(bytes));
  }
  StateDict result = parse_safetensors(bytes, source, options.safetensors, owner);
  if (!options.key.empty()) {
    fail(source, ": a safetensors file has no entries, so not \"", detail::printable(options.key), "\" either");
  }
  return result;
}

/// Opens a checkpoint of any kind. The file is mapped for as long as one of the tensors lives.
inline StateDict open_checkpoint(const std::filesystem::path& path, const CheckpointOptions& options = {}) {
  const MappedFile file(path);
  return parse_checkpoint(file.bytes(), path.string(), options, file.owner());
}

}  // namespace plainnet
