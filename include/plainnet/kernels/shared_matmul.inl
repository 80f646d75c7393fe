// Body of shared_matmul.hpp, compiled once for every instruction set (for_each_isa.hpp).

/// What can be had of the portion that a share offers.
template <class Method, class T>
inline void multiply_panels(const SharedProduct<T>& product, ProductShare<T>& share, bool is_own, T* beside) {
  const Range all = share.panels();
  const Index most = panels_at_once(product.b);
  for (;;) {
    const Range now = is_own ? share.take_first(most, product.share_count > 1) : share.take_last();
    if (now.size() == 0) return;
    // After the last panels come the first again, for the next rows.
    const Index after = is_own ? now.end : now.begin - 1;
    const Index next = after >= all.begin && after < all.end ? after : all.begin;
    const Range later{next, next + now.size() < all.end ? next + now.size() : all.end};
    Method::multiply(share.located(), share.portion(), product.b, now, later, product.epilogue, product.out,
                     product.out_stride, beside);
    share.finish(now);
  }
}

/// A share that the caller has begun.
template <class Method, class T>
inline void multiply_share(const SharedProduct<T>& product, ProductShare<T>& share, T* copies, T* beside) {
  if (share.is_last()) return;  // it is empty
  const T* located[most_located_rows];
  const Range rows = share.rows();
  const Index depth = product.b.depth;
  const Index at_once = Method::rows_in_portion(rows.size(), depth, product.epilogue.pool);
  for (Index first = rows.begin; first < rows.end; first += at_once) {
    const Range portion{first, first + at_once < rows.end ? first + at_once : rows.end};
    Method::locate(product.rows, product.b.isa, portion, depth, copies, beside, located);
    share.offer(portion, located);
    multiply_panels<Method>(product, share, true, beside);
    while (!share.is_idle()) pause();  // others read the rows and their list
  }
}

template <class Method, class T>
inline void multiply_shares_by(SharedProduct<T>& product, Index thread, T* scratch) {
  T* const beside = scratch + Method::copies_size(product.b.depth);
  for (Index i = 0; i < product.share_count; ++i) {
    ProductShare<T>& share = product.share(thread + i);
    if (share.begin()) multiply_share<Method>(product, share, scratch, beside);
  }
  for (bool is_over = false; !is_over;) {
    is_over = true;
    for (Index i = 0; i < product.share_count; ++i) {
      ProductShare<T>& share = product.share(thread + i);
      const bool is_last = share.is_last();  // before the look at its panels
      multiply_panels<Method>(product, share, false, beside);
      is_over = is_over && is_last;
    }
    if (!is_over) pause();
  }
}

template <class T>
inline void multiply_shares(SharedProduct<T>& product, Index thread, T* scratch) {
  if (product.b.method() == MatmulMethod::inner_products) {
    multiply_shares_by<InnerProductMethod<T>>(product, thread, scratch);
  } else {
    multiply_shares_by<DirectMethod<T>>(product, thread, scratch);
  }
}
