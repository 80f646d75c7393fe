#include <gtest/gtest.h>

#include "plainnet/core/aligned.hpp"
#include "plainnet/kernels/transpose.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

template <class T>
class TransposeOf : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(TransposeOf, Scalars);

// In buffers of exactly the size that is needed, so that a sanitizer sees a step too far.
TYPED_TEST(TransposeOf, SwapsRowsAndColumnsAndTouchesNothingElse) {
  using T = TypeParam;
  test::Random random(1);
  for (Index rows : {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33}) {
    for (Index columns : {0, 1, 2, 3, 4, 5, 8, 13, 16, 35}) {
      for (Index gap : {0, 3}) {
        const Index stride = columns + gap, out_stride = rows + gap;
        const auto size = [](Index count, Index width, Index step) {
          return static_cast<std::size_t>(count == 0 || width == 0 ? 0 : (count - 1) * step + width);
        };
        std::vector<T> in(size(rows, columns, stride));
        random.fill(in.data(), in.data() + in.size(), -1, 1);
        for (Isa isa : test::supported_isas()) {
          std::vector<T> out(size(columns, rows, out_stride), T{77});
          transpose<T>(isa, in.data(), stride, rows, columns, out.data(), out_stride);
          for (Index i = 0; i < static_cast<Index>(out.size()); ++i) {
            const Index c = i / out_stride, r = i % out_stride;
            ASSERT_EQ(out[static_cast<std::size_t>(i)], r < rows ? in[static_cast<std::size_t>(r * stride + c)] : T{77})
                << to_string(isa) << ": " << rows << " rows, " << columns << " columns, (" << r << ", " << c << ")";
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace plainnet::kernels
