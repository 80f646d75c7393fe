#pragma once
// A network as a list of operations, made from its folded layers.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plainnet/engine/operations.hpp"
#include "plainnet/kernels/convolution_method.hpp"
#include "plainnet/layers/activation.hpp"
#include "plainnet/layers/convolution.hpp"
#include "plainnet/layers/linear.hpp"
#include "plainnet/layers/sequential.hpp"
#include "plainnet/layers/series_activation.hpp"

namespace plainnet {

/// Step i reads an earlier value, mostly value i, and for some operations another one that it adds, and writes value
/// i + 1; value 0 is the input, the last value the logits.
template <class T>
class Program {
 public:
  /// An operation and the values that it reads.
  struct Step {
    std::unique_ptr<const Operation<T>> operation;
    Index input;                    // the value that it reads
    std::optional<Index> residual;  // the value that it adds
  };
  /// A value that is the output of a stage.
  struct Feature {
    std::string name;  // of the published module
    Index value;
  };

  /// `input` is the shape that it will be run on for the most part: what is fastest there is chosen. Any other that the
  /// network takes is right too. `pool` packs the weights, and must be there until the last of them are appended.
  explicit Program(Isa isa, const std::optional<Shape>& input = {}, Executor& pool = callers_thread())
      : isa_(isa), pool_(&pool) {
    if (input) shapes_.push_back(*input);
    require(is_supported(isa), "this machine has no ", to_string(isa), "; its best is ", to_string(best_isa()));
  }

  Isa isa() const { return isa_; }
  Executor& pool() const { return *pool_; }
  const std::vector<Step>& steps() const { return steps_; }
  const std::vector<Feature>& features() const { return features_; }

  /// The value written last; 0, the input, before any step.
  Index last_value() const { return static_cast<Index>(steps_.size()); }

  /// Names the value written last.
  void name_feature(std::string name) {
    require(!steps_.empty(), "feature ", name, " names the output of a step, but the program has none yet");
    features_.push_back({std::move(name), last_value()});
  }

  /// The next step reads this value and not the last one.
  void read(Index value) { input_ = value; }

  /// The next step: an operation on the last value, or on the one named by read().
  template <class Op, class... Arguments>
  void add(Arguments&&... arguments) {
    const Index input = std::exchange(input_, std::nullopt).value_or(last_value());
    auto operation = std::make_unique<const Op>(std::forward<Arguments>(arguments)...);
    if (!shapes_.empty()) shapes_.push_back(operation->output_shape(shapes_[static_cast<std::size_t>(input)]));
    steps_.push_back({std::move(operation), input, std::nullopt});
  }

  /// The same, for an operation that adds an earlier value to its result.
  template <class Op, class... Arguments>
  void add_to(Index residual, Arguments&&... arguments) {
    add<Op>(std::forward<Arguments>(arguments)...);
    steps_.back().residual = residual;
  }

  /// Any layer that has no overload below: one of training, or one that an engine does not know yet.
  template <class L>
  void append(const L&) {
    static_assert(never<L>,
                  "An engine runs folded networks only: fold this layer first (plainnet/fold/fold.hpp), or give "
                  "Program an append() for it.");
  }

  void append(const Conv2d<T>& conv) { append(conv, kernels::Epilogue<T>{}); }
  void append(const Conv2d<T>& conv, kernels::Activation activation) {
    append(conv, kernels::Epilogue<T>{.activation = activation});
  }
  /// conv(x) + an earlier value.
  void append_onto(Index residual, const Conv2d<T>& conv) {
    append(conv);
    steps_.back().residual = residual;
  }

  void append(const FoldedSeriesActivation<T>& act) {
    add<DepthwiseOperation<T>>(kernels::pack_depthwise(act.weight.data(), act.bias.data(), act.channels(), act.reach(),
                                                       kernels::DepthwiseInput::relu, isa_));
  }
  void append(const Linear<T>& linear) {
    add<ConvolutionOperation<T>>(
        kernels::pack_convolution(linear.weight.data(), linear.bias ? linear.bias->data() : nullptr,
                                  linear.in_channels(), linear.out_channels(), Window{}, 1, isa_, *pool_));
  }
  void append(const Identity<T>&) {}
  void append(const MaxPool2d<T>& pool) { add<MaxPoolOperation<T>>(pool.window, isa_); }
  void append(const AdaptiveMaxPool2d<T>& pool) { add<AdaptiveMaxPoolOperation<T>>(pool.size, isa_); }
  void append(const AvgPool2d<T>& pool) {
    require(!pool.count_include_pad, "the engine has no mean pooling that counts padding");
    add<MeanPoolOperation<T>>(pool.window, isa_);
  }
  void append(const GlobalAvgPool2d<T>&) { add<GlobalMeanOperation<T>>(isa_); }

  /// The activation is computed where the first convolution writes.
  void append(const Sequential<Conv2d<T>, LeakyRelu<T>, Conv2d<T>>& pair) {
    append_first(pair);
    append(pair.template get<2>());
  }

  /// A convolution and a maximum of its result, in one step where that can be: the larger map is then never written.
  void append_pooled(const Conv2d<T>& conv, const MaxPool2d<T>& pool) {
    if (!kernels::PackedConvolution<T>::can_pool(conv.window(), pool.window)) {
      append(conv);
      return append(pool);
    }
    auto packed = pack(conv);
    packed.pool = pool.window.kernel;
    add<ConvolutionOperation<T>>(std::move(packed));
  }
  template <class Layer, class Pool>
  void append_pooled(const Layer& layer, const Pool& pool) {
    append(layer);
    append(pool);
  }
  template <class Pool>
  void append_pooled(const Sequential<Conv2d<T>, LeakyRelu<T>, Conv2d<T>>& pair, const Pool& pool) {
    append_first(pair);
    append_pooled(pair.template get<2>(), pool);
  }
  template <class... Layers, class... Pools>
  void append_pooled(const OneOf<Layers...>& layer, const OneOf<Pools...>& pool) {
    std::visit([this](const auto& choice, const auto& its_pool) { this->append_pooled(choice, its_pool); },
               layer.choice(), pool.choice());
  }

  template <class... Layers>
  void append(const Sequential<Layers...>& layers) {
    append_each(layers, std::index_sequence_for<Layers...>{});
  }
  template <class... Layers>
  void append(const OneOf<Layers...>& layer) {
    std::visit([this](const auto& choice) { this->append(choice); }, layer.choice());
  }

 private:
  template <class>
  static constexpr bool never = false;

  void append_first(const Sequential<Conv2d<T>, LeakyRelu<T>, Conv2d<T>>& pair) {
    append(pair.template get<0>(), kernels::Epilogue<T>{.activation = kernels::Activation::leaky_relu,
                                                        .slope = static_cast<T>(pair.template get<1>().slope)});
  }

  kernels::PackedConvolution<T> pack(const Conv2d<T>& conv) const {
    return kernels::pack_convolution(conv.weight.data(), conv.bias ? conv.bias->data() : nullptr, conv.in_channels(),
                                     conv.out_channels(), conv.window(), conv.groups(), isa_, *pool_);
  }

  void append(const Conv2d<T>& conv, const kernels::Epilogue<T>& epilogue) {
    using enum kernels::ConvolutionMethod;
    const kernels::ConvolutionMethod method = method_for(conv);
    if (method == direct) {
      add<ConvolutionOperation<T>>(pack(conv), epilogue);
    } else {
      add<WinogradOperation<T>>(
          kernels::pack_winograd(conv.weight.data(), conv.bias ? conv.bias->data() : nullptr, conv.in_channels(),
                                 conv.out_channels(), conv.window(), conv.groups(), method, isa_, *pool_),
          epilogue);
    }
  }

  /// The expected shape of what the next step reads.
  Shape next_input() const { return shapes_[static_cast<std::size_t>(input_.value_or(last_value()))]; }

  kernels::ConvolutionMethod method_for(const Conv2d<T>& conv) const {
    if (shapes_.empty()) return kernels::ConvolutionMethod::direct;
    const Shape out = conv.output_shape(next_input());
    const Window window = conv.window();
    const Index group_in = conv.in_channels() / conv.groups(), group_out = conv.out_channels() / conv.groups();
    const Index depth = window.kernel.height * window.kernel.width * group_in;
    return kernels::convolution_method(window, out.height, out.width, group_in, group_out,
                                       kernels::matmul_method<T>(isa_, depth, group_out));
  }

  template <class... Layers, std::size_t... i>
  void append_each(const Sequential<Layers...>& layers, std::index_sequence<i...>) {
    (append(layers.template get<i>()), ...);
  }

  Isa isa_;
  Executor* pool_;
  std::optional<Index> input_;  // of the next step, where it is not the last value
  std::vector<Shape> shapes_;   // expected, of value i; empty: not known
  std::vector<Step> steps_;
  std::vector<Feature> features_;
};

}  // namespace plainnet
