#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/targets.hpp"
#include "io/torch_bytes.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/io/checkpoint.hpp"
#include "plainnet/io/labels.hpp"
#include "plainnet/io/safetensors.hpp"
#include "plainnet/io/torch_checkpoint.hpp"
#include "plainnet/io/zip_archive.hpp"
#if __has_include(<stb/stb_image.h>)
#include "plainnet/io/image.hpp"
#endif

namespace plainnet::test {
namespace {

constexpr const char* source = "fuzzed";

template <class... Parts>
void promise(bool is_kept, const Parts&... parts) {
  if (!is_kept) throw BrokenPromise(concatenate(parts...));
}

/// One file in eight, by its size, is read with the larger limits, which take longer.
bool has_large_limits(std::span<const std::byte> file) { return file.size() % 8 == 0; }

/// Whether `read` returns; it may throw an Error, which must name the source and be fit for a terminal.
template <class Read>
bool returns(Read&& read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    const std::string_view message = error.what();
    const bool is_printable = std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; });
    promise(message.starts_with(source), "a message that does not name the file: ", message);
    promise(is_printable, "a message that cannot be printed: ", detail::printable(message));
    promise(message.size() < 2000, "a message of ", message.size(), " bytes: ", message);
    return false;
  }
}

/// What write_safetensors() puts into a file.
std::string written(const StateDict& tensors) {
  const detail::SafetensorsLayout layout = detail::lay_out(tensors, source);
  std::string file = u64(layout.header.size()) + layout.header;
  for (const StoredTensor* tensor : layout.order) file += detail::as_text(tensor->bytes);
  return file;
}

void check_same(const StateDict& found, const StateDict& expected) {
  promise(found.size() == expected.size(), found.size(), " of ", expected.size(), " tensors");
  promise(found.metadata == expected.metadata, "other metadata");
  for (std::size_t i = 0; i < static_cast<std::size_t>(found.size()); ++i) {
    const auto& [name, tensor] = expected[i];
    const StoredTensor& twin = found[i].tensor;
    promise(found[i].name == name, found[i].name, " in place of ", name);
    promise(twin.format == tensor.format && twin.extents == tensor.extents, name, ": another format or shape");
    promise(std::equal(twin.bytes.begin(), twin.bytes.end(), tensor.bytes.begin(), tensor.bytes.end()), name,
            ": other bytes");
  }
}

/// Every byte is there, as many as the shape says, and under one name.
void check_tensors(const StateDict& tensors) {
  std::set<std::string_view> names;
  unsigned sum = 0;
  for (const auto& [name, tensor] : tensors) {
    promise(names.insert(name).second, "two tensors called ", name);
    promise(tensors.find(name) == &tensor, name, " cannot be found");
    promise(name.size() <= 512 && detail::is_utf8(name), "a name that nobody can print");
    promise(stored_bytes(tensor.format, tensor.extents) == tensor.bytes.size(), name, ": ", tensor.bytes.size(),
            " bytes for ", tensor.extents);
    for (const std::byte byte : tensor.bytes) sum += std::to_integer<unsigned>(byte);
    if (tensor.bytes.size() > 1 << 16) continue;
    try {
      promise(static_cast<Index>(tensor.values<float>().size()) == tensor.extents.elements(), name, ": values");
    } catch (const Error&) {  // not a floating format
    }
  }
  [[maybe_unused]] static volatile unsigned sink;
  sink = sum;
}

/// A reader that is checked with little memory first: what it accepts, parse_checkpoint() accepts too.
template <class Read>
bool accepts_tensors(std::span<const std::byte> file, Read&& read) {
  StateDict tensors;
  const bool is_accepted = returns([&] { tensors = read(false); });
  if (is_accepted) {
    check_tensors(tensors);
    // The one name that the format has no place for.
    if (!tensors.find(detail::metadata_key)) {
      const std::string copy = written(tensors);
      check_same(parse_safetensors(std::as_bytes(std::span(copy)), source), tensors);
    }
  }
  if (is_accepted || has_large_limits(file)) {
    StateDict again;
    const bool is_accepted_again = returns([&] { again = read(true); });
    promise(is_accepted_again || !is_accepted, "refused by the default limits alone");
    if (is_accepted) {
      check_same(again, tensors);
    } else {
      check_tensors(again);
    }
  }
  return is_accepted;
}

bool accepts_torch(std::span<const std::byte> file, const std::string& key = {}) {
  return accepts_tensors(file, [&](bool by_default) {
    const auto [bytes, owner] = exact_copy(detail::as_text(file));
    TorchOptions options;
    options.key = key;
    options.limits.expansion_bytes = 1 << 16;
    options.limits.pickle.values = 20'000;
    options.limits.pickle.items = 50'000;
    options.limits.pickle.nesting = 16;
    // The tensors keep the bytes alive, nobody else does.
    if (by_default) return parse_checkpoint(bytes, source, {.key = key}, owner);
    return parse_torch_checkpoint(bytes, source, options, owner);
  });
}

}  // namespace

bool accepts_safetensors(std::span<const std::byte> file) {
  return accepts_tensors(file, [&](bool by_default) {
    const auto [bytes, owner] = exact_copy(detail::as_text(file));
    if (by_default) return parse_checkpoint(bytes, source, {}, owner);
    SafetensorsLimits limits;
    limits.tensors = limits.metadata_entries = 100;
    return parse_safetensors(bytes, source, limits, owner);
  });
}

bool accepts_torch_archive(std::span<const std::byte> file) {
  const auto [bytes, owner] = exact_copy(detail::as_text(file));
  returns([&, whole = bytes] {
    const ZipArchive archive(whole, source);
    std::vector<std::pair<const std::byte*, const std::byte*>> places;
    for (const ZipArchive::Entry& entry : archive.entries()) {
      promise(archive.find(entry.name) == &entry, "an entry that cannot be found");
      std::span<const std::byte> data;
      if (!returns([&] { data = archive.open(entry); })) continue;
      promise(data.size() == entry.size, data.size(), " bytes of ", entry.size);
      promise(data.data() >= whole.data() && data.data() + data.size() <= whole.data() + whole.size(),
              "an entry outside the file");
      places.emplace_back(data.data(), data.data() + data.size());
    }
    std::sort(places.begin(), places.end());
    for (std::size_t i = 1; i < places.size(); ++i) {
      promise(places[i - 1].second <= places[i].first, "entries that overlap");
    }
  });
  return accepts_torch(file);
}

bool accepts_torch_stream(std::span<const std::byte> file) { return accepts_torch(file); }

bool accepts_pickle(std::span<const std::byte> pickle) {
  std::vector<ZipEntry> entries = {{"test/data.pkl", std::string(detail::as_text(pickle))}};
  for (char key = '0'; key < '8'; ++key) {
    entries.push_back({std::string("test/data/") + key, std::string(64, static_cast<char>(key + 16))});
  }
  const std::string archive = zip_of(entries);
  const std::span<const std::byte> file = std::as_bytes(std::span(archive));
  const bool is_accepted = accepts_torch(file);
  accepts_torch(file, "model");
  return is_accepted;
}

bool accepts_labels(std::span<const std::byte> file) {
  LabelLimits limits;
  if (!has_large_limits(file)) limits = {1000, 20, 50};
  std::vector<std::string> labels;
  const auto [bytes, owner] = exact_copy(detail::as_text(file));
  const std::string_view text = detail::as_text(bytes);
  if (!returns([&] { labels = parse_labels(text, source, limits); })) return false;
  promise(!labels.empty() && labels.size() <= limits.max_labels, labels.size(), " labels");
  std::string copy = "\xEF\xBB\xBF";
  for (const std::string& label : labels) {
    promise(!label.empty() && label.size() <= limits.max_label_bytes, "a label of ", label.size(), " bytes");
    promise(label.find('\n') == label.npos && label.find('\0') == label.npos, "a label that is no line");
    promise(detail::is_utf8(label), "a label that is not UTF-8");
    copy += label + "\r\n";
  }
  promise(parse_labels(copy, source) == labels, "other labels when written and read again");
  return true;
}

#if __has_include(<stb/stb_image.h>)

bool accepts_image(std::span<const std::byte> file) {
  ImageLimits limits;
  limits.max_pixels = has_large_limits(file) ? 1 << 18 : 1 << 12;
  const auto decode = [&] {
    const auto [bytes, owner] = exact_copy(detail::as_text(file));
    return decode_image(bytes, limits, source);
  };
  Image image;
  if (!returns([&] { image = decode(); })) return false;
  promise(image.width > 0 && image.height > 0 && image.width <= limits.max_pixels / image.height, image.width, " x ",
          image.height, " pixels");
  promise(image.pixels.size() == static_cast<std::size_t>(image.width * image.height * 3), image.pixels.size(),
          " bytes of pixels");
  promise(decode().pixels == image.pixels, "other pixels when decoded again");
  return true;
}

#endif

}  // namespace plainnet::test
