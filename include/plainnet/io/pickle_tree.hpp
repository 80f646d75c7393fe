#pragma once
// The values that a Python pickle describes, as inert data.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace plainnet {

namespace detail {
class PickleMachine;
}

/// Names a value of a tree.
using PickleId = std::uint32_t;

/// What a value of a tree is.
enum class PickleKind : std::uint8_t {
  none,
  boolean,
  integer,
  long_integer,  // beyond 64 bits: text has its bytes, little-endian two's complement
  real,
  text,  // not necessarily UTF-8
  tuple,
  list,
  dictionary,  // items: key, value, key, value, …; keys may repeat
  set,
  global,      // text is "MODULE\nNAME"
  call,        // of a global that the reader knows; items: the global, the arguments (a tuple)
  opaque,      // what another global would have made; items as for a call
  persistent,  // a reference to something outside the pickle; item: the tuple that describes it
};

/// A kind for a message.
constexpr std::string_view describe(PickleKind kind) {
  switch (kind) {
    case PickleKind::none: return "None";
    case PickleKind::boolean: return "a boolean";
    case PickleKind::integer: return "an integer";
    case PickleKind::long_integer: return "an integer";
    case PickleKind::real: return "a number";
    case PickleKind::text: return "a text";
    case PickleKind::tuple: return "a tuple";
    case PickleKind::list: return "a list";
    case PickleKind::dictionary: return "a dictionary";
    case PickleKind::set: return "a set";
    case PickleKind::global: return "a global";
    case PickleKind::call: return "a call";
    case PickleKind::opaque: return "an object";
    case PickleKind::persistent: return "a reference";
  }
  return "nothing";
}

/// The values of one pickle. They name each other by number, so however deep or tangled a pickle makes them, they are
/// made and destroyed without recursion. Texts point into the pickle's bytes.
class PickleTree {
 public:
  PickleKind kind(PickleId id) const { return nodes_[id].kind; }
  /// Where in the file the operation stands that made it.
  std::uint64_t offset(PickleId id) const { return first_offset_ + nodes_[id].position; }
  std::int64_t integer(PickleId id) const { return nodes_[id].integer; }  // or a boolean
  double real(PickleId id) const { return nodes_[id].real; }
  std::string_view text(PickleId id) const {
    const Node& node = nodes_[id];
    return has_text(node.kind) ? std::string_view(node.text.begin, node.text.size) : std::string_view();
  }
  bool is_text(PickleId id, std::string_view wanted) const {
    return kind(id) == PickleKind::text && text(id) == wanted;
  }

  /// What a container holds; nothing for the other kinds.
  std::vector<PickleId> items(PickleId id) const {
    std::vector<PickleId> result;
    if (!has_items(kind(id))) return result;
    const Items& items = nodes_[id].items;
    result.reserve(items.count);
    for (std::uint32_t cell = items.first; result.size() < items.count; cell = cells_[cell].next) {
      result.push_back(cells_[cell].value);
    }
    return result;
  }
  std::size_t item_count(PickleId id) const { return has_items(kind(id)) ? nodes_[id].items.count : 0; }
  /// One of them, without a copy of all; for the first few, since those before it are passed over one by one.
  PickleId item(PickleId id, std::size_t place) const {
    std::uint32_t cell = nodes_[id].items.first;
    while (place-- > 0) cell = cells_[cell].next;
    return cells_[cell].value;
  }

  /// "MODULE.NAME" of a global, of the global behind a call or an opaque value, and of the class that a reference names
  /// second; empty for all else.
  std::string global_name(PickleId id) const {
    for (;;) {  // each turn leads to a value made earlier
      if (kind(id) == PickleKind::call || kind(id) == PickleKind::opaque) {
        id = item(id, 0);
      } else if (kind(id) == PickleKind::persistent && item_count(item(id, 0)) > 1) {
        id = item(item(id, 0), 1);
      } else {
        break;
      }
    }
    if (kind(id) != PickleKind::global) return {};
    std::string name(text(id));
    std::replace(name.begin(), name.end(), '\n', '.');
    return name;
  }

  PickleId root() const { return root_; }
  /// Values are numbered from 0.
  PickleId size() const { return static_cast<PickleId>(nodes_.size()); }

 private:
  friend class detail::PickleMachine;

  struct Text {
    const char* begin;
    std::uint32_t size;
  };
  struct Items {
    std::uint32_t first, last, count;  // cells
  };
  struct Node {
    PickleKind kind = PickleKind::none;
    std::uint8_t height = 0;  // of the tallest of its items, plus one
    std::uint32_t position = 0;
    union {
      std::int64_t integer = 0;
      double real;
      Text text;
      Items items;
    };
  };
  struct Cell {
    PickleId value;
    std::uint32_t next;
  };

  static bool has_text(PickleKind kind) {
    return kind == PickleKind::text || kind == PickleKind::global || kind == PickleKind::long_integer;
  }
  static bool has_items(PickleKind kind) {
    return (kind >= PickleKind::tuple && kind <= PickleKind::set) || kind >= PickleKind::call;
  }

  std::deque<Node> nodes_;  // both grow without copies
  std::deque<Cell> cells_;
  PickleId root_ = 0;
  std::uint64_t first_offset_ = 0;
};

}  // namespace plainnet
