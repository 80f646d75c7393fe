#pragma once
// A whole file as read-only bytes, mapped into memory where the system can.

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#if __has_include(<sys/mman.h>)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "plainnet/core/error.hpp"

namespace plainnet {

/// The bytes of a file, page-aligned if mapped. Pages are read when they are first touched. Cheap to copy; copies
/// share the mapping, which goes with the last of them.
///
/// A mapped file must not be shortened while it is in use: the system then ends the program. Replacing it by a rename
/// (see AtomicFile) is fine, the old contents stay mapped.
class MappedFile {
 public:
  /// No file, no bytes.
  MappedFile() = default;

  /// Error if there is no such file, or if it is a folder, a device or a pipe. An empty file is fine.
  explicit MappedFile(const std::filesystem::path& path);

  std::span<const std::byte> bytes() const {
    return data_ ? std::span(data_.get(), size_) : std::span<const std::byte>();
  }

  /// Shared by whoever refers to the bytes.
  std::shared_ptr<const void> owner() const { return data_; }

 private:
  friend MappedFile read_whole_file(const std::filesystem::path& path);

  MappedFile(std::shared_ptr<const std::byte[]> data, std::size_t size) : data_(std::move(data)), size_(size) {}

  std::shared_ptr<const std::byte[]> data_;
  std::size_t size_ = 0;
};

/// The same without a mapping: the file is read into memory at once. For systems and file systems that cannot map.
inline MappedFile read_whole_file(const std::filesystem::path& path) {
  const std::string name = path.string();
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  require(std::filesystem::exists(status), name, ": cannot open: no such file");
  require(!std::filesystem::is_directory(status), name, ": is a folder; expected a file");
  require(std::filesystem::is_regular_file(status), name, ": is not a regular file");

  const std::uintmax_t size = std::filesystem::file_size(path, error);
  require(!error, name, ": cannot tell its size: ", error.message());
  require(size <= static_cast<std::uintmax_t>(std::numeric_limits<std::ptrdiff_t>::max()), name, ": ", size,
          " bytes are more than this machine can address");
  std::ifstream file(path, std::ios::binary);
  require(file.is_open(), name, ": cannot open; permission missing?");
  std::shared_ptr<std::byte[]> data(new std::byte[static_cast<std::size_t>(size)]);
  file.read(reinterpret_cast<char*>(data.get()), static_cast<std::streamsize>(size));
  require(static_cast<std::uintmax_t>(file.gcount()) == size, name, ": read ", file.gcount(), " of ", size, " bytes");
  return {std::move(data), static_cast<std::size_t>(size)};
}

#if __has_include(<sys/mman.h>)

namespace detail {

struct Unmap {
  std::size_t size;
  void operator()(const std::byte* begin) const { ::munmap(const_cast<std::byte*>(begin), size); }
};

/// Gives back the memory of `bytes`, if `owner` is that of a mapped file: who reads them again reads the file again.
/// Without it, a program that copies its weights out of a file has them in memory twice.
inline void forget_pages(std::span<const std::byte> bytes, const std::shared_ptr<const void>& owner) {
  if (bytes.empty() || !std::get_deleter<Unmap>(owner)) return;
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto* const file = static_cast<const std::byte*>(owner.get());  // begins with a page
  const auto first = static_cast<std::size_t>(bytes.data() - file);
  const std::size_t begin = (first + page - 1) / page * page;
  const std::size_t end = (first + bytes.size()) / page * page;  // pages that others share stay
  if (begin < end) ::madvise(const_cast<std::byte*>(file) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace detail

inline MappedFile::MappedFile(const std::filesystem::path& path) {
  struct File {
    int descriptor;
    ~File() {
      if (descriptor >= 0) ::close(descriptor);
    }
  };
  const std::string name = path.string();
  // Non-blocking, or opening a pipe that nobody writes to would wait for ever; regular files do not care.
  const File file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  const int open_error = errno;
  if (file.descriptor < 0) fail(name, ": cannot open: ", std::generic_category().message(open_error));

  struct stat status {};
  const int failed = ::fstat(file.descriptor, &status);
  require(failed == 0, name, ": cannot tell its size");
  require(!S_ISDIR(status.st_mode), name, ": is a folder; expected a file");
  require(S_ISREG(status.st_mode), name, ": is not a regular file");
  if (status.st_size == 0) return;

  require(static_cast<std::uintmax_t>(status.st_size) <=
              static_cast<std::uintmax_t>(std::numeric_limits<std::ptrdiff_t>::max()),
          name, ": ", status.st_size, " bytes are more than this machine can address");
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const mapping = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor, 0);
  if (mapping == MAP_FAILED) {
    *this = read_whole_file(path);
    return;
  }
  data_ = std::shared_ptr<const std::byte[]>(static_cast<const std::byte*>(mapping), detail::Unmap{size});
  size_ = size;
}

#else

inline MappedFile::MappedFile(const std::filesystem::path& path) : MappedFile(read_whole_file(path)) {}

namespace detail {

inline void forget_pages(std::span<const std::byte>, const std::shared_ptr<const void>&) {}

}  // namespace detail

#endif

}  // namespace plainnet
