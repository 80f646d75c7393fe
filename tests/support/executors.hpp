#pragma once
// Executors that no thread pool is.

#include <vector>

#include "plainnet/core/executor.hpp"

namespace plainnet::test {

/// Runs the parts of a task one after the other, in this order; parts that are not in it, never.
class InOrder final : public Executor {
 public:
  InOrder(Index size, std::vector<Index> order) : size_(size), order_(std::move(order)) {}

  Index size() const noexcept override { return size_; }

 private:
  void call_all(void (*call)(void*, Index), void* context) noexcept override {
    for (const Index i : order_) call(context, i);
  }

  Index size_;
  std::vector<Index> order_;
};

}  // namespace plainnet::test
