#include <atomic>
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "plainnet/core/thread_pool.hpp"
#include "plainnet/kernels/shared_matmul.hpp"
#include "support/executors.hpp"
#include "support/isas.hpp"
#include "support/random.hpp"

namespace plainnet::kernels {
namespace {

/// Rows that do as they are told before they are located.
template <class Before>
struct Watched final : RowSource<float> {
  MatrixRows<float> rows;
  Before before;

  Watched(MatrixRows<float> rows_, Before before_) : rows(rows_), before(before_) {}
  void locate(Isa isa, Index first, Index count, float* copies, const float** list) const override {
    before(first);
    rows.locate(isa, first, count, copies, list);
  }
};

struct Product {
  Index rows, depth, columns;
  AlignedVector<float> left, right, bias;
  PackedMatrix<float> packed;

  Product(Index rows_, Index depth_, Index columns_, Isa isa, MatmulMethod method = MatmulMethod::definition)
      : rows(rows_),
        depth(depth_),
        columns(columns_),
        left(static_cast<std::size_t>(rows * depth)),
        right(static_cast<std::size_t>(depth * columns)),
        bias(static_cast<std::size_t>(columns)) {
    test::Random random(1);
    for (auto* values : {&left, &right, &bias}) random.fill(values->data(), values->data() + values->size(), -1, 1);
    packed = pack_matrix<float, float>({right.data(), depth, columns, columns, 1}, bias.data(), isa, callers_thread(),
                                       method);
  }

  MatrixRows<float> source() const { return {left.data(), depth}; }

  AlignedVector<float> by_one_thread(const Epilogue<float>& epilogue) const {
    AlignedVector<float> out(static_cast<std::size_t>(rows / epilogue.pool * columns), 77.0f);
    AlignedVector<float> scratch(static_cast<std::size_t>(matmul_scratch<float>(depth)));
    multiply_part<float>(source(), {0, rows}, packed, {0, packed.view().panel_count()}, epilogue, out.data(), columns,
                         scratch.data());
    return out;
  }

  template <class Before>
  AlignedVector<float> run(const Epilogue<float>& epilogue, Executor& pool, Before before) const {
    AlignedVector<float> out(static_cast<std::size_t>(rows / epilogue.pool * columns), 78.0f);
    AlignedVector<float> scratch(static_cast<std::size_t>(matmul_scratch<float>(depth) * pool.size()));
    multiply<float>(Watched<Before>(source(), before), rows, packed, epilogue, out.data(), columns, scratch.data(),
                    pool);
    return out;
  }
  AlignedVector<float> run(const Epilogue<float>& epilogue, Executor& pool) const {
    return run(epilogue, pool, [](Index) {});
  }
};

// By rows in several portions, by rows in one, by columns; pooled or not. Threads come in any order, or not at all, and
// some have no share where there are few rows or panels, or more threads than shares.
TEST(SharedMatmul, GivesTheBitsOfOneThreadInWhateverOrderThreadsCome) {
  for (Isa isa : test::supported_isas()) {
    for (const Product& product : {Product(784, 2100, 65, isa), Product(196, 40, 130, isa), Product(52, 65, 700, isa),
                                   Product(4, 33, 20, isa)}) {
      for (const Epilogue<float>& epilogue : {Epilogue<float>{.activation = Activation::relu}, {.pool = 4}}) {
        const AlignedVector<float> expected = product.by_one_thread(epilogue);
        for (Index size : {1, 2, 3, 70}) {
          std::vector<Index> forward, backward;
          for (Index i = 0; i < size; ++i) forward.push_back(i), backward.insert(backward.begin(), i);
          for (const auto& order : {forward, backward, {0}, {size - 1}}) {
            test::InOrder executor(size, order);
            EXPECT_TRUE(product.run(epilogue, executor) == expected)
                << to_string(isa) << ", " << product.rows << " rows, pool " << epilogue.pool << ", " << size
                << " threads, first " << order.front();
          }
        }
        for (Index size : {2, 3, 5}) {
          ThreadPool pool(size);
          for (int again = 0; again < 3; ++again) EXPECT_TRUE(product.run(epilogue, pool) == expected);
        }
      }
    }
  }
}

// tests/kernels/inner_product_test.cpp has more; this one runs under the thread sanitizer too.
TEST(SharedMatmul, GivesTheBitsOfOneThreadByInnerProducts) {
  const Product product(672, 512, 256, best_isa(), MatmulMethod::inner_products);
  for (const Epilogue<float>& epilogue : {Epilogue<float>{.activation = Activation::relu}, {.pool = 4}}) {
    const AlignedVector<float> expected = product.by_one_thread(epilogue);
    for (Index size : {1, 2, 3, 5}) {
      ThreadPool pool(size);
      EXPECT_TRUE(product.run(epilogue, pool) == expected) << "pool " << epilogue.pool << ", " << size << " threads";
    }
  }
}

// Whoever comes to the rows of a share a second time has taken panels while others located theirs; the bits are the
// same.
TEST(SharedMatmul, GivesTheSameBitsHoweverLongThreadsAreKept) {
  const Product product(784, 2100, 130, best_isa());
  ASSERT_TRUE(multiplies_by_rows(product.rows, 1, product.packed.view(), 3));
  const AlignedVector<float> expected = product.by_one_thread({});
  ThreadPool pool(3);
  for (Index slow : {0, 112, 300, 600}) {
    const auto wait = [&](Index first) {
      if (first >= slow && first < slow + 40) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    };
    for (int again = 0; again < 3; ++again) ASSERT_TRUE(product.run({}, pool, wait) == expected) << slow;
  }
}

// A thread has located its rows and is kept from going on: another one multiplies them by all panels.
TEST(SharedMatmul, PanelsOfAThreadThatIsKeptAreDoneByAnother) {
  const Product product(56, 65, 130, Isa::baseline);
  const MatrixRows<float> rows = product.source();
  const PackedView<float> b = product.packed.view();
  for (const Epilogue<float>& epilogue : {Epilogue<float>{.activation = Activation::relu}, {.pool = 4}}) {
    const AlignedVector<float> expected = product.by_one_thread(epilogue);
    AlignedVector<float> out(expected.size(), 78.0f);
    AlignedVector<float> scratch(static_cast<std::size_t>(2 * matmul_scratch<float>(product.depth)));
    SharedProduct<float> shared{
        .rows = rows, .b = b, .epilogue = epilogue, .out = out.data(), .out_stride = product.columns, .share_count = 2};
    shared.share(0).assign({0, product.rows}, {0, b.panel_count()});
    shared.share(1).assign({}, {});
    ASSERT_TRUE(shared.share(0).begin());
    const float* list[most_located_rows];
    baseline::DirectMethod<float>::locate(rows, b.isa, {0, product.rows}, product.depth, scratch.data(), nullptr, list);
    shared.share(0).offer({0, product.rows}, list);
    multiply_shares<float>(shared, 1, scratch.data() + matmul_scratch<float>(product.depth));
    EXPECT_TRUE(out == expected) << epilogue.pool;
    EXPECT_TRUE(shared.share(0).is_idle());
  }
}

// What it reads are copies of rows and their list, over which the next ones are written. The owner may be through
// before this thread is given a core: then once more.
TEST(SharedMatmul, WaitsForWhoIsBusyWithAPortionBeforeItLocatesTheNext) {
  const Product product(600, 2100, 1000, best_isa());
  std::atomic<Index> located_rows = 0;
  const auto note = [&](Index first) { located_rows = first; };
  const Watched rows(product.source(), note);
  const PackedView<float> b = product.packed.view();
  const Epilogue<float> epilogue;
  AlignedVector<float> out(static_cast<std::size_t>(product.rows * product.columns), 78.0f);
  AlignedVector<float> scratch(static_cast<std::size_t>(matmul_scratch<float>(product.depth)));
  for (bool was_busy = false; !was_busy;) {
    SharedProduct<float> shared{
        .rows = rows, .b = b, .epilogue = epilogue, .out = out.data(), .out_stride = product.columns, .share_count = 1};
    ProductShare<float>& share = shared.share(0);
    share.assign({0, product.rows}, {0, b.panel_count()});
    std::thread owner([&] { multiply_shares<float>(shared, 0, scratch.data()); });
    Range panel{0, 0};
    while (panel.size() == 0 && !share.is_last()) panel = share.take_last();
    const Range portion = panel.size() > 0 ? share.portion() : share.rows();
    was_busy = portion.end < product.rows;
    if (was_busy) {
      EXPECT_EQ(panel.size(), 1);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      EXPECT_LT(located_rows, portion.end);
      EXPECT_EQ(share.portion().begin, portion.begin);
    }
    share.finish(panel);
    owner.join();
    if (was_busy) EXPECT_GE(located_rows, portion.end);
    EXPECT_TRUE(share.is_last() && share.is_idle());
  }
}

TEST(ProductShare, OffersEveryPanelOfEveryPortionOnce) {
  ProductShare<float> share;
  share.assign({0, 20}, {3, 8});
  EXPECT_TRUE(share.begin());
  EXPECT_FALSE(share.begin());
  EXPECT_FALSE(share.is_last());
  EXPECT_EQ(share.take_first(1, true).size(), 0);
  const float* const lists[2] = {};
  for (Index portion : {0, 1}) {
    EXPECT_TRUE(share.is_idle());
    share.offer({portion * 10, portion * 10 + 10}, lists + portion);
    EXPECT_EQ(share.is_last(), portion == 1);
    const Range last = share.take_last(), first = share.take_first(3, true), then = share.take_last();
    EXPECT_TRUE(last.begin == 7 && last.end == 8);
    EXPECT_TRUE(first.begin == 3 && first.end == 5);
    EXPECT_TRUE(then.begin == 6 && then.end == 7);
    const Range rest = share.take_first(3, true);
    EXPECT_TRUE(rest.begin == 5 && rest.end == 6);
    EXPECT_EQ(share.take_last().size(), 0);
    EXPECT_EQ(share.portion().begin, portion * 10);
    EXPECT_EQ(share.located(), lists + portion);
    for (const Range panels : {last, first, then, rest}) {
      EXPECT_FALSE(share.is_idle());
      share.finish(panels);
    }
  }
  EXPECT_TRUE(share.is_idle());
}

TEST(ProductShare, OfNothingIsOver) {
  ProductShare<float> share;
  share.assign({4, 4}, {0, 3});
  EXPECT_TRUE(share.is_last());
  share.assign({4, 5}, {3, 3});
  EXPECT_TRUE(share.is_last());
  share.assign({4, 5}, {2, 3});
  EXPECT_FALSE(share.is_last());
}

}  // namespace
}  // namespace plainnet::kernels
