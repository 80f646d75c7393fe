// Prints the logits of a checkpoint on an input that a formula gives, every bit of them. PLAINNET_HEADER is the header
// to include: that of the folder or the generated one.

#include PLAINNET_HEADER

#include <cinttypes>
#include <cstdio>

plainnet::Index other_elements(const plainnet::Shape& shape);  // other.cpp

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    const plainnet::Classifier classifier(argv[1]);
    plainnet::Tensor<float> input(classifier.engine().input_shape());
    for (plainnet::Index i = 0; i < input.shape().elements(); ++i) {
      input.data()[i] = static_cast<float>(i * 7919 % 2003 - 1001) / 512.0f;
    }
    if (other_elements(input.shape()) != input.shape().elements()) return 1;
    plainnet::Workspace<float> workspace = classifier.workspace();
    const plainnet::TensorView<const float> logits = classifier.engine().run(input, workspace);
    for (plainnet::Index i = 0; i < logits.shape().channels; ++i) {
      std::printf("%08" PRIx32 "  %g\n", std::bit_cast<std::uint32_t>(logits.data()[i]),
                  static_cast<double>(logits.data()[i]));
    }
  } catch (const plainnet::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
