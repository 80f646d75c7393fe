#pragma once
// fold(): a trained network in, a new, folded network out, with a receipt. A family adds one function here.

#include <vector>

#include "plainnet/fold/rules.hpp"

namespace plainnet {

struct FoldOptions {
  Index threads = 1;
};

/// A folded network and what was merged to make it. `auto [network, merges] = fold(trained);`
template <class Network>
struct Folding {
  Network network;
  std::vector<Merge> merges;
};

/// Exact algebra in double precision; `trained` stays as it is. Where the slope is not 1 the annealed activations and
/// the convolutions on both sides of them are kept.
template <class T>
Folding<FoldedVanillaNet<T>> fold(const VanillaNet<T>& trained, const FoldOptions& options = {}) {
  ThreadPool pool(options.threads);
  FoldContext context{pool};
  FoldedVanillaNet<T> folded(trained.config(), trained.slope());
  folded.stem =
      Sequential(FoldedConv<T>(fold(trained.stem1.template get<0>(), trained.stem1.template get<1>(), trained.act_learn,
                                    trained.stem2.template get<0>(), trained.stem2.template get<1>(), context)),
                 fold(trained.stem2.template get<2>(), context));
  for (std::size_t i = 0; i < trained.stages.size(); ++i) {
    const VanillaBlock<T>& block = trained.stages[i];
    folded.stages[i].conv = fold(block.conv1.template get<0>(), block.conv1.template get<1>(), block.act_learn,
                                 block.conv2.template get<0>(), block.conv2.template get<1>(), context);
    folded.stages[i].act = fold(block.act, context);
  }
  folded.cls.template get<2>() = fold(trained.cls1.template get<2>(), trained.cls1.template get<3>(), trained.act_learn,
                                      trained.cls2.template get<0>(), context);
  return {std::move(folded), std::move(context.merges)};
}

}  // namespace plainnet
