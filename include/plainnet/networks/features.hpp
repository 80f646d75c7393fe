#pragma once
// What a network's forward() shows on the way.

namespace plainnet::detail {

struct IgnoreFeatures {
  void operator()(auto&&...) const {}
};

}  // namespace plainnet::detail
