#pragma once
// Reads a Python pickle as inert data: what it would call, create or change is noted down, and nothing of it is done.
//
// A pickle is a program for a machine with a stack and a memo. This machine knows the operations that torch.save
// writes, a subset of protocol 2, and refuses all others.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "plainnet/core/bit_cast.hpp"
#include "plainnet/core/error.hpp"
#include "plainnet/io/byte_cursor.hpp"
#include "plainnet/io/json_cursor.hpp"
#include "plainnet/io/pickle_tree.hpp"

namespace plainnet {

/// What a pickle may ask for. A value takes about 24 bytes of memory, a place in a container 8.
struct PickleLimits {
  std::size_t bytes = std::size_t{10} << 20;  ///< never above 4 GiB
  std::size_t operations = 4'000'000;
  std::size_t values = 500'000;   ///< a tensor takes about 15
  std::size_t items = 1'000'000;  ///< places in all containers together; a tensor takes about 25
  std::size_t stack = 500'000;
  std::size_t memo = 100'000;  ///< one more than the largest number
  std::size_t nesting = 64;    ///< of containers and calls; never above 255
};

namespace detail {

struct PickleOperation {
  std::uint8_t code;
  std::string_view name;
};

// The list that torch's own weights_only reader accepts.
// clang-format off
inline constexpr std::array pickle_operations{
    PickleOperation{0x80, "PROTO"}, PickleOperation{'(', "MARK"}, PickleOperation{'.', "STOP"},
    PickleOperation{'N', "NONE"}, PickleOperation{0x88, "NEWTRUE"}, PickleOperation{0x89, "NEWFALSE"},
    PickleOperation{'J', "BININT"}, PickleOperation{'K', "BININT1"}, PickleOperation{'M', "BININT2"},
    PickleOperation{0x8A, "LONG1"}, PickleOperation{'G', "BINFLOAT"}, PickleOperation{'X', "BINUNICODE"},
    PickleOperation{'U', "SHORT_BINSTRING"}, PickleOperation{')', "EMPTY_TUPLE"}, PickleOperation{'t', "TUPLE"},
    PickleOperation{0x85, "TUPLE1"}, PickleOperation{0x86, "TUPLE2"}, PickleOperation{0x87, "TUPLE3"},
    PickleOperation{']', "EMPTY_LIST"}, PickleOperation{'a', "APPEND"}, PickleOperation{'e', "APPENDS"},
    PickleOperation{'}', "EMPTY_DICT"}, PickleOperation{'s', "SETITEM"}, PickleOperation{'u', "SETITEMS"},
    PickleOperation{0x8F, "EMPTY_SET"}, PickleOperation{'q', "BINPUT"}, PickleOperation{'r', "LONG_BINPUT"},
    PickleOperation{'h', "BINGET"}, PickleOperation{'j', "LONG_BINGET"}, PickleOperation{'c', "GLOBAL"},
    PickleOperation{0x81, "NEWOBJ"}, PickleOperation{'R', "REDUCE"}, PickleOperation{'b', "BUILD"},
    PickleOperation{'Q', "BINPERSID"},
};
// clang-format on

/// Runs one pickle; see parse_pickle().
class PickleMachine {
 public:
  PickleMachine(ByteCursor& bytes, std::span<const std::string_view> known, const PickleLimits& limits)
      : bytes_(bytes), known_(known), limits_(limits), begin_(bytes.position()) {
    tree_.first_offset_ = bytes.offset();
  }

  PickleTree run() {
    take_protocol();
    for (std::size_t operations = 1; code_ != '.'; ++operations) {
      at_ = bytes_.offset();
      code_ = bytes_.number<std::uint8_t>("a pickle's next operation");
      if (operations == limits_.operations) refuse("more than ", limits_.operations, " operations");
      const std::size_t most = std::min<std::size_t>(limits_.bytes, std::numeric_limits<std::uint32_t>::max());
      if (bytes_.position() - begin_ > most) refuse("a pickle of more than ", most, " bytes");
      step();
    }
    return std::move(tree_);
  }

 private:
  using Kind = PickleKind;

  void take_protocol() {
    at_ = bytes_.offset();
    code_ = bytes_.number<std::uint8_t>("a pickle");
    if (code_ != 0x80) refuse("a pickle begins with PROTO");
    const auto protocol = number<std::uint8_t>();
    if (protocol != 2) refuse("protocol ", protocol, "; torch.save writes protocol 2 unless told otherwise");
  }

  void step() {
    switch (code_) {
      case '(': return mark();
      case '.': return stop();
      case 'N': return push(make(Kind::none));
      case 0x88: return push_integer(Kind::boolean, 1);
      case 0x89: return push_integer(Kind::boolean, 0);
      case 'J': return push_integer(Kind::integer, number<std::int32_t>());
      case 'K': return push_integer(Kind::integer, number<std::uint8_t>());
      case 'M': return push_integer(Kind::integer, number<std::uint16_t>());
      case 0x8A: return push_long();
      case 'G': return push_real();
      case 'X': return push_text(Kind::text, take(number<std::uint32_t>()));
      case 'U': return push_text(Kind::text, take(number<std::uint8_t>()));
      case ')': return push(make(Kind::tuple));
      case 't': return push_tuple(pop_mark());
      case 0x85: return push_tuple(1);
      case 0x86: return push_tuple(2);
      case 0x87: return push_tuple(3);
      case ']': return push(make(Kind::list));
      case 'a': return append(1);
      case 'e': return append(pop_mark());
      case '}': return push(make(Kind::dictionary));
      case 's': return set_items(2);
      case 'u': return set_items(pop_mark());
      case 0x8F: return push(make(Kind::set));
      case 'q': return put(number<std::uint8_t>());
      case 'r': return put(number<std::uint32_t>());
      case 'h': return get(number<std::uint8_t>());
      case 'j': return get(number<std::uint32_t>());
      case 'c': return push_global();
      case 0x81: return call();
      case 'R': return call();
      case 'b': return build();
      case 'Q': return push_persistent();
      default:
        refuse("not an operation that torch.save writes",
               code_ >= 0x8C && code_ <= 0x95 ? "; was it told to use pickle_protocol=4?" : "");
    }
  }

  /// An Error about the operation at hand.
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    const auto row = std::find_if(pickle_operations.begin(), pickle_operations.end(),
                                  [&](const PickleOperation& operation) { return operation.code == code_; });
    const std::string_view digits = "0123456789abcdef";
    const std::string unknown{'0', 'x', digits[code_ / 16], digits[code_ % 16]};
    fail(bytes_.source(), ": byte ", at_, ": ", row == pickle_operations.end() ? std::string_view(unknown) : row->name,
         ": ", parts...);
  }

  std::span<const std::byte> take(std::uint64_t count) {
    if (count > bytes_.left()) {
      refuse("needs ", count, " bytes, ", bytes_.left(), " are left; truncated download, or damaged file?");
    }
    return bytes_.take(count, {});
  }
  template <class Number>
  Number number() {
    return read_unaligned<Number>(take(sizeof(Number)).data());
  }

  PickleTree::Node& node(PickleId id) { return tree_.nodes_[id]; }

  PickleId make(Kind kind) {
    if (tree_.nodes_.size() >= limits_.values) refuse("more than ", limits_.values, " values");
    tree_.nodes_.emplace_back();
    PickleTree::Node& made = tree_.nodes_.back();
    made.kind = kind;
    made.position = static_cast<std::uint32_t>(at_ - tree_.first_offset_);
    if (PickleTree::has_items(kind)) made.items = {};
    return static_cast<PickleId>(tree_.nodes_.size() - 1);
  }

  void push(PickleId id) {
    if (stack_.size() >= limits_.stack) refuse("more than ", limits_.stack, " values on the stack");
    stack_.push_back(id);
  }

  void push_integer(Kind kind, std::int64_t value) {
    const PickleId id = make(kind);
    node(id).integer = value;
    push(id);
  }

  void push_text(Kind kind, std::span<const std::byte> bytes) {
    const PickleId id = make(kind);
    node(id).text = {as_text(bytes).data(), static_cast<std::uint32_t>(bytes.size())};
    push(id);
  }

  /// Little-endian two's complement of up to 255 bytes.
  void push_long() {
    const std::span<const std::byte> bytes = take(number<std::uint8_t>());
    if (bytes.size() > 8) return push_text(Kind::long_integer, bytes);
    const bool is_negative = !bytes.empty() && (bytes.back() & std::byte{0x80}) != std::byte{0};
    std::uint64_t value = is_negative ? ~std::uint64_t{0} : 0;
    for (std::size_t i = bytes.size(); i > 0; --i) value = value << 8 | std::to_integer<std::uint64_t>(bytes[i - 1]);
    push_integer(Kind::integer, static_cast<std::int64_t>(value));
  }

  /// Big-endian, unlike all else.
  void push_real() {
    std::uint64_t bits = 0;
    for (const std::byte byte : take(8)) bits = bits << 8 | std::to_integer<std::uint64_t>(byte);
    const PickleId id = make(Kind::real);
    node(id).real = bit_cast<double>(bits);
    push(id);
  }

  /// Two lines: the module and the name.
  void push_global() {
    const std::string_view module = bytes_.line("the module of a GLOBAL");
    const std::string_view name = bytes_.line("the name of a GLOBAL");
    push_text(Kind::global, std::as_bytes(std::span(module.data(), module.size() + 1 + name.size())));
  }

  void mark() {
    if (marks_.size() >= std::min<std::size_t>(limits_.nesting, 255)) {
      refuse("nested deeper than ", limits_.nesting, " levels");
    }
    marks_.push_back(stack_.size());
  }

  /// How many values lie above the last mark, which is taken away.
  std::size_t pop_mark() {
    if (marks_.empty()) refuse("there is no MARK");
    const std::size_t count = stack_.size() - marks_.back();
    marks_.pop_back();
    return count;
  }

  /// The last `count` values; Error unless they lie above the last mark.
  std::span<const PickleId> top(std::size_t count) const {
    const std::size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() - floor < count) {
      refuse("needs ", count, " values, the stack has ", stack_.size() - floor);
    }
    return std::span(stack_).last(count);
  }

  void pop(std::size_t count) { stack_.resize(stack_.size() - count); }

  void add_items(PickleId container, std::span<const PickleId> items) {
    if (items.size() > limits_.items - std::min(limits_.items, tree_.cells_.size())) {
      refuse("more than ", limits_.items, " items in containers");
    }
    PickleTree::Node& target = node(container);
    for (const PickleId item : items) {
      const std::size_t height = std::size_t{node(item).height} + 1;
      if (height > std::min<std::size_t>(limits_.nesting, 255)) {
        refuse("nested deeper than ", limits_.nesting, " levels");
      }
      target.height = std::max(target.height, static_cast<std::uint8_t>(height));
      const auto cell = static_cast<std::uint32_t>(tree_.cells_.size());
      if (target.items.count > 0) {
        tree_.cells_[target.items.last].next = cell;
      } else {
        target.items.first = cell;
      }
      tree_.cells_.push_back({item, 0});
      target.items.last = cell;
      ++target.items.count;
    }
  }

  /// Replaces the last `count` values by one that holds them.
  void push_container(Kind kind, std::size_t count) {
    const std::span<const PickleId> items = top(count);
    const PickleId id = make(kind);
    add_items(id, items);
    pop(count);
    push(id);
  }

  void push_tuple(std::size_t count) { push_container(Kind::tuple, count); }

  /// What an unknown global makes may be a list or a dictionary of some kind: it takes items, and they are dropped.
  void append(std::size_t count) {
    const PickleId target = top(count + 1).front();
    if (node(target).kind == Kind::list) {
      add_items(target, top(count));
    } else if (node(target).kind != Kind::opaque) {
      refuse("the target is ", kind_of(target), ", not a list");
    }
    pop(count);
  }

  void set_items(std::size_t count) {
    const PickleId target = top(count + 1).front();
    if (count % 2 != 0) refuse("a key without a value");
    if (node(target).kind == Kind::dictionary) {
      add_items(target, top(count));
    } else if (node(target).kind != Kind::opaque) {
      refuse("the target is ", kind_of(target), ", not a dictionary");
    }
    pop(count);
  }

  void put(std::uint32_t index) {
    if (index >= limits_.memo) refuse("memo entry ", index, "; at most ", limits_.memo, " are accepted");
    if (index >= memo_.size()) memo_.resize(std::size_t{index} + 1, absent);
    memo_[index] = top(1).front();
  }

  void get(std::uint32_t index) {
    if (index >= memo_.size() || memo_[index] == absent) refuse("there is no memo entry ", index);
    push(memo_[index]);
  }

  bool is_global(PickleId id, std::string_view name) const {
    const std::string_view text = tree_.text(id);
    return tree_.kind(id) == Kind::global &&
           std::equal(text.begin(), text.end(), name.begin(), name.end(),
                      [](char found, char wanted) { return found == wanted || (found == '\n' && wanted == '.'); });
  }

  /// Notes a call down. Only an OrderedDict is made, as the dictionary that it is.
  void call() {
    const PickleId callee = top(2).front();
    const PickleId arguments = top(2).back();
    const Kind kind = node(callee).kind;
    // The old form refers to the class of a module like to a storage.
    if (kind != Kind::global && kind != Kind::opaque && kind != Kind::persistent) {
      refuse(kind_of(callee), " cannot be called");
    }
    if (node(arguments).kind != Kind::tuple) refuse("the arguments are ", kind_of(arguments), ", not a tuple");
    if (is_global(callee, "collections.OrderedDict")) return push_ordered_dictionary(arguments);
    const bool is_known =
        std::any_of(known_.begin(), known_.end(), [&](std::string_view name) { return is_global(callee, name); });
    push_container(is_known ? Kind::call : Kind::opaque, 2);
  }

  /// OrderedDict(), or, from Python 2, OrderedDict([[key, value], …]).
  void push_ordered_dictionary(PickleId arguments) {
    const PickleId id = make(Kind::dictionary);
    const std::vector<PickleId> all = tree_.items(arguments);
    if (all.size() > 1) refuse("an OrderedDict of ", all.size(), " arguments");
    for (const PickleId pair : all.empty() ? std::vector<PickleId>() : tree_.items(all.front())) {
      const Kind kind = node(pair).kind;
      const std::vector<PickleId> key_and_value = tree_.items(pair);
      if ((kind != Kind::list && kind != Kind::tuple) || key_and_value.size() != 2) {
        refuse("an OrderedDict of something else than pairs");
      }
      add_items(id, key_and_value);
    }
    pop(2);
    push(id);
  }

  /// The state of an object: nothing that plainnet reads has one that matters.
  void build() {
    const PickleId target = top(2).front();
    const Kind kind = node(target).kind;
    if (kind != Kind::dictionary && kind != Kind::call && kind != Kind::opaque) {
      refuse("the target is ", kind_of(target), ", which has no state");
    }
    pop(1);
  }

  void push_persistent() {
    if (node(top(1).front()).kind != Kind::tuple) refuse("a reference is a tuple, not ", kind_of(top(1).front()));
    push_container(Kind::persistent, 1);
  }

  void stop() {
    if (stack_.size() != 1 || !marks_.empty()) {
      refuse("the stack has ", stack_.size(), " values and ", marks_.size(), " marks; expected one value");
    }
    tree_.root_ = stack_.front();
  }

  std::string_view kind_of(PickleId id) const { return describe(tree_.kind(id)); }

  static constexpr PickleId absent = ~PickleId{0};

  ByteCursor& bytes_;
  std::span<const std::string_view> known_;
  const PickleLimits& limits_;
  std::size_t begin_;
  PickleTree tree_;
  std::vector<PickleId> stack_;
  std::vector<std::size_t> marks_;  // sizes that the stack had
  std::vector<PickleId> memo_;
  std::uint64_t at_ = 0;  // of the operation at hand
  std::uint8_t code_ = 0;
};

}  // namespace detail

/// Reads the pickle that comes next and leaves the cursor behind it. Calls of the globals `known`, each "MODULE.NAME",
/// become calls in the tree, an OrderedDict a dictionary; what any other global makes is opaque. The tree refers to the
/// bytes. Error, with the byte offset and the operation, for what is no pickle of torch.save, and beyond a limit.
inline PickleTree parse_pickle(detail::ByteCursor& bytes, std::span<const std::string_view> known = {},
                               const PickleLimits& limits = {}) {
  return detail::PickleMachine(bytes, known, limits).run();
}

}  // namespace plainnet
