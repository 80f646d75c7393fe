#pragma once
// Which network a checkpoint holds, told from the names and shapes of its tensors. A family adds a line here.

#include <optional>

#include "plainnet/networks/recognize_metaformer.hpp"
#include "plainnet/networks/recognize_nfnet.hpp"
#include "plainnet/networks/recognize_vanillanet.hpp"

namespace plainnet {

/// The network that a checkpoint holds: the variant called `name`, or, where that is empty, the one that its tensors
/// fit. Error if they fit none or several, with the nearest and what differs. Other numbers of classes, other act_num
/// and other input channels than a row's are the file's right.
inline Recognized recognize(const StateDict& tensors, std::string_view name = "") {
  const Variant* const wanted = name.empty() ? nullptr : &variant_named(name);
  if (const auto found = detail::recognize_vanillanet(tensors, wanted)) return *found;
  if (const auto found = detail::recognize_metaformer(tensors, wanted)) return *found;
  if (const auto found = detail::recognize_nfnet(tensors, wanted)) return *found;
  fail(tensors.source, ": no known network", wanted ? concatenate(", so not ", name) : std::string(),
       tensors.size() == 0
           ? concatenate("; it holds no tensors")
           : concatenate("; its first tensor is '", detail::printable(tensors.begin()->name),
                         "', a VanillaNet has stem1.0.weight (as trained) or stem.0.weight (folded), a MetaFormer has "
                         "patch_embed.proj.weight, downsample_layers.0.conv.weight or stem.conv.weight, an NFNet has "
                         "stem.conv1.weight"));
}

}  // namespace plainnet
