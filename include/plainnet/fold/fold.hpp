#pragma once
// fold(): a trained network in, a new, folded network out, with a receipt. `auto [network, merges] = fold(trained);`

#include "plainnet/fold/fold_metaformer.hpp"
#include "plainnet/fold/fold_nfnet.hpp"
#include "plainnet/fold/fold_vanillanet.hpp"
