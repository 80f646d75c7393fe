#pragma once
// All of plainnet but image decoding, which lies in plainnet/io/image.hpp because it brings stb_image along.

#include "plainnet/classifier.hpp"
#include "plainnet/core/layout.hpp"
#include "plainnet/core/version.hpp"
#include "plainnet/fold/receipt.hpp"
#include "plainnet/layers/linear.hpp"
