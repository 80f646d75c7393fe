// A MetaFormer with a token mixer of one's own: the Fourier transform of FNet (arXiv 2105.03824) in the first three
// stages and attention in the last. Its weights are written, loaded, folded and run.
//
//   custom_token_mixer WEIGHTS.safetensors
//
// writes random weights to that file if it does not exist.

#include <cmath>
#include <complex>
#include <cstdio>
#include <exception>
#include <filesystem>

#include <unsupported/Eigen/FFT>

#include "plainnet/engine/engine.hpp"
#include "plainnet/fold/receipt.hpp"
#include "plainnet/io/load.hpp"
#include "plainnet/io/safetensors.hpp"

/// y = Re(F_tokens(F_channels(x))), both scaled to keep the size of what passes. A mixer is a layer that keeps the
/// shape.
struct FourierMixer {
  using Scalar = float;

  plainnet::Shape output_shape(const plainnet::Shape& in) const { return in; }
  plainnet::Count macs(const plainnet::Shape&) const { return 0; }

  plainnet::Tensor<float> forward(plainnet::TensorView<const float> in) const {
    plainnet::Tensor<float> out(in.shape());
    Eigen::FFT<float> fft;
    Eigen::VectorXcf before, after;
    for (plainnet::Index n = 0; n < in.shape().batch; ++n) {
      Eigen::MatrixXcf x = in.image(n).cast<std::complex<float>>();  // (tokens, channels)
      const float scale = 1.0f / std::sqrt(static_cast<float>(x.size()));
      for (Eigen::Index token = 0; token < x.rows(); ++token) {
        fft.fwd(after, before = x.row(token).transpose());
        x.row(token) = after.transpose();
      }
      for (Eigen::Index channel = 0; channel < x.cols(); ++channel) {
        fft.fwd(after, before = x.col(channel));
        out.view().image(n).col(channel) = scale * after.real();
      }
    }
    return out;
  }

  template <class Self, class Visitor>
  static void visit(Self&, Visitor&&) {}  // no parameters
};

int main(int argc, char** argv) try {
  using Network = plainnet::MetaFormer<FourierMixer, plainnet::Attention<float>>;
  const std::filesystem::path file = argc > 1 ? argv[1] : "fourier.safetensors";

  const plainnet::MetaFormerConfig config{.depths = {1, 1, 2, 1},
                                          .widths = {32, 64, 96, 128},
                                          .mixers = "FFFa",  // what the letters mean is told below
                                          .generation = plainnet::MetaFormerGeneration::baselines,
                                          .norm_over = plainnet::NormOver::channels,
                                          .classes = 10};
  const auto make_mixer = [](const plainnet::MetaFormerConfig& c, std::size_t stage) -> Network::Mixer {
    if (c.mixers[stage] == 'F') return FourierMixer{};
    return plainnet::Attention<float>(c.widths[stage], /*proj_bias=*/false);
  };
  Network network(config, make_mixer);

  if (!std::filesystem::exists(file)) {
    plainnet::fill_randomly(network);
    plainnet::write_safetensors(file, plainnet::view_state_dict(network));
  }
  plainnet::load(network, plainnet::open_safetensors(file));

  const plainnet::Tensor<float> picture = plainnet::probe_input<float>({1, 160, 224, 3});
  const auto folding = plainnet::fold(network);
  for (const plainnet::Merge& merge : folding.merges) std::printf("%3td x %s\n", merge.count, merge.rule.c_str());

  const plainnet::Engine engine = plainnet::prepare(folding.network, picture.shape());
  plainnet::Workspace<float> workspace = engine.workspace();
  const plainnet::TensorView<const float> logits = engine.run(picture, workspace);
  const float difference = (logits.matrix() - network.forward(picture).matrix()).cwiseAbs().maxCoeff();
  std::printf("largest difference between the engine and the network as trained: %.1e of logits up to %.1e\n",
              static_cast<double>(difference), static_cast<double>(logits.matrix().cwiseAbs().maxCoeff()));
  return difference < 1e-4f * logits.matrix().cwiseAbs().maxCoeff() ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
