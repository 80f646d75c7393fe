// plainnet for a web page: one model and one picture at a time, as functions that JavaScript can call.
//
// Compiled to WebAssembly by the preset wasm; plainnet.js is the other side. Functions that can fail return JSON: the
// answer, or {"error": …} with what the library says. The text is valid until the next call.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "plainnet/io/image.hpp"
#include "plainnet/io/labels.hpp"
#include "plainnet/plainnet.hpp"

#define PLAINNET_EXPORT(name) extern "C" __attribute__((export_name(#name)))

namespace {

using plainnet::Index;

struct Loaded {
  explicit Loaded(const plainnet::Model& model) : classifier(model), workspace(classifier.workspace()) {}

  plainnet::Classifier classifier;
  plainnet::Workspace<float> workspace;
};

std::unique_ptr<Loaded> loaded;
std::vector<std::string> labels;
plainnet::Image picture;
plainnet::Image seen;  // the picture as the network sees it
std::string answer;

/// A file whose bytes JavaScript has written into memory of plainnet_allocate(), which this frees.
class File {
 public:
  File(std::byte* data, std::size_t size, const char* name) : data_(data, std::free), size_(size), name_(name) {}

  std::span<const std::byte> bytes() const { return {data_.get(), size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_.get()), size_}; }
  const std::string& name() const { return name_; }

 private:
  std::unique_ptr<std::byte, void (*)(void*)> data_;
  std::size_t size_;
  std::string name_;
};

std::string json_text(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    if (static_cast<unsigned char>(c) >= ' ') {
      json += c;
    } else {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
      json += code;
    }
  }
  return json + '"';
}

/// Nine digits tell a float from all others.
std::string number(float value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", static_cast<double>(value));
  return text;
}

template <class Element, class Write>
std::string list(const std::vector<Element>& elements, Write write) {
  std::string json;
  for (const Element& element : elements) json += (json.empty() ? "" : ",") + write(element);
  return '[' + json + ']';
}

/// What `work` returns, or why it could not.
template <class Work>
const char* attempt(Work work) {
  try {
    answer = work();
  } catch (const std::bad_alloc&) {
    answer = R"({"error":"not enough memory"})";
  } catch (const std::exception& error) {
    answer = R"({"error":)" + json_text(error.what()) + '}';
  }
  return answer.c_str();
}

Index classes() { return loaded->classifier.engine().output_shape().channels; }

void require_as_many_labels(std::size_t count, const std::string& source) {
  plainnet::require(static_cast<Index>(count) == classes(), source, ": has ", count, " labels for ", classes(),
                    " classes: are they of another model?");
}

void require_model() { plainnet::require(loaded != nullptr, "no model is loaded yet"); }

}  // namespace

/// Null if there is not so much memory.
PLAINNET_EXPORT(plainnet_allocate) std::byte* allocate(std::size_t bytes) {
  return static_cast<std::byte*>(std::malloc(bytes == 0 ? 1 : bytes));
}

PLAINNET_EXPORT(plainnet_free) void free_memory(std::byte* memory) { std::free(memory); }

/// The names of all variants.
PLAINNET_EXPORT(plainnet_variants) const char* list_variants() {
  return attempt([] {
    return list(plainnet::variants(), [](const plainnet::Variant& variant) { return json_text(variant.name); });
  });
}

/// A checkpoint of any kind, trained or folded. `variant` is empty: told from the tensors. Where it cannot be used, the
/// model before it stays. Labels go with the old model.
PLAINNET_EXPORT(plainnet_open_model)
const char* open_model(std::byte* data, std::size_t size, const char* name, const char* variant) {
  const File file(data, size, name);
  return attempt([&] {
    const plainnet::Model model =
        plainnet::open_model(plainnet::parse_checkpoint(file.bytes(), file.name()), {.variant = variant});
    loaded = std::make_unique<Loaded>(model);
    labels.clear();
    const auto& engine = loaded->classifier.engine();
    return R"({"variant":)" + json_text(model.variant().name) + R"(,"folded":)" +
           (model.is_folded() ? "true" : "false") + R"(,"classes":)" + std::to_string(classes()) + R"(,"size":)" +
           std::to_string(loaded->classifier.preprocessing().size) + R"(,"macs":)" + std::to_string(engine.macs()) +
           R"(,"nonFinite":)" + list(loaded->classifier.load_report().non_finite, json_text) + '}';
  });
}

/// Names of the classes, a text file with one a line.
PLAINNET_EXPORT(plainnet_set_labels) const char* set_labels(std::byte* data, std::size_t size, const char* name) {
  const File file(data, size, name);
  return attempt([&] {
    require_model();
    std::vector<std::string> names = plainnet::parse_labels(file.text(), file.name());
    require_as_many_labels(names.size(), file.name());
    labels = std::move(names);
    return R"({"labels":)" + std::to_string(labels.size()) + '}';
  });
}

/// A picture file. Its pixels are the same as in the program plainnet, since its decoder is.
PLAINNET_EXPORT(plainnet_decode) const char* decode(std::byte* data, std::size_t size, const char* name) {
  const File file(data, size, name);
  return attempt([&] {
    picture = plainnet::decode_image(file.bytes(), {}, file.name());
    return R"({"width":)" + std::to_string(picture.width) + R"(,"height":)" + std::to_string(picture.height) + '}';
  });
}

/// A black picture, whose pixels plainnet_pixels() lets JavaScript write.
PLAINNET_EXPORT(plainnet_new_picture) const char* new_picture(Index width, Index height) {
  return attempt([&] {
    picture = plainnet::Image(width, height);
    return "{}";
  });
}

/// (height, width, 3) of the picture.
PLAINNET_EXPORT(plainnet_pixels) std::uint8_t* pixels() { return picture.pixels.data(); }

/// (size, size, 3) of the picture, resized and cropped, after plainnet_classify().
PLAINNET_EXPORT(plainnet_seen_pixels) const std::uint8_t* seen_pixels() { return seen.pixels.data(); }

/// The likeliest classes of the picture.
PLAINNET_EXPORT(plainnet_classify) const char* classify(Index top) {
  return attempt([&] {
    require_model();
    seen = plainnet::resize_and_crop(picture, loaded->classifier.preprocessing());
    const std::vector<plainnet::Prediction> best = loaded->classifier.classify(picture, loaded->workspace, top);
    return R"({"top":)" +
           list(best,
                [](const plainnet::Prediction& prediction) {
                  const auto index = static_cast<std::size_t>(prediction.index);
                  return R"({"index":)" + std::to_string(index) + R"(,"label":)" +
                         json_text(labels.empty() ? std::string() : labels[index]) + R"(,"probability":)" +
                         number(prediction.probability) + '}';
                }) +
           '}';
  });
}
