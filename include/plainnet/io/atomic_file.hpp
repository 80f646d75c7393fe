#pragma once
// Output that appears whole or not at all.

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "plainnet/core/error.hpp"

namespace plainnet {

/// Writes to a temporary name in the folder of `path`; commit() renames it to `path`. Without a commit, or if
/// anything fails, the temporary file is removed and whatever was at `path` stays as it was. What a kill signal
/// interrupts leaves a file ".plainnet-….tmp".
///
/// A symbolic link is followed, an existing file keeps its permissions. A device or a pipe, which cannot be renamed
/// over, is written directly.
class AtomicFile {
 public:
  /// Error if the folder is missing or may not be written, or if `path` is a folder.
  explicit AtomicFile(const std::filesystem::path& path) : path_(path) {
    namespace fs = std::filesystem;
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    require(!fs::is_directory(status), path.string(), ": is a folder; expected the name of a file to write");
    if (fs::is_symlink(fs::symlink_status(path, error))) {
      const fs::path target = fs::weakly_canonical(path, error);
      if (!error) path_ = target;
    }
    in_place_ = fs::exists(status) && !fs::is_regular_file(status);
    written_ = in_place_ ? path : path_.parent_path() / temporary_name();
    errno = 0;
    file_.reset(std::fopen(written_.string().c_str(), in_place_ ? "wb" : "wbx"));
    if (!file_) fail(path.string(), ": cannot write there: ", reason());
    if (fs::is_regular_file(status)) fs::permissions(written_, status.permissions(), error);
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile() { discard(); }

  /// Appends. Error if not everything could be written (disk full).
  void write(std::span<const std::byte> bytes) {
    if (!file_) fail(path_.string(), ": written after its end");
    if (bytes.empty()) return;
    errno = 0;
    if (std::fwrite(bytes.data(), 1, bytes.size(), file_.get()) != bytes.size()) give_up();
  }
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

  /// The last step: closes, then puts the file in place.
  void commit() {
    if (!file_) fail(path_.string(), ": committed twice");
    errno = 0;
    if (std::fclose(file_.release()) != 0) give_up();
    if (in_place_) return;
    std::error_code error;
    std::filesystem::rename(written_, path_, error);
    if (error) {
      discard();
      fail(path_.string(), ": cannot be replaced: ", error.message());
    }
    written_.clear();
  }

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };

  /// Short, so that a long file name does not become too long.
  static std::string temporary_name() {
    constexpr std::string_view digits = "0123456789abcdef";
    std::random_device random;
    std::string name = ".plainnet-";
    for (int i = 0; i < 16; ++i) name += digits[random() % digits.size()];
    return name + ".tmp";
  }

  static std::string reason() { return errno == 0 ? "reason unknown" : std::generic_category().message(errno); }

  [[noreturn]] void give_up() {
    const std::string why = reason();
    discard();
    fail(path_.string(), ": cannot be written: ", why);
  }

  void discard() {
    file_.reset();
    std::error_code ignored;
    if (!in_place_ && !written_.empty()) std::filesystem::remove(written_, ignored);
    written_.clear();
  }

  std::filesystem::path path_;     // where the result shall be
  std::filesystem::path written_;  // where it is being written
  bool in_place_ = false;
  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace plainnet
