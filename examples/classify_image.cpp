// Classifies a picture: opens a checkpoint, folds and prepares the network, and prints the likeliest classes.
//
//   classify_image WEIGHTS PICTURE [LABELS]
//
// for instance: classify_image models/digits/digits.safetensors picture.png models/digits/labels.txt

#include <cstdio>
#include <exception>

#include "plainnet/io/image.hpp"
#include "plainnet/io/labels.hpp"
#include "plainnet/plainnet.hpp"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: classify_image WEIGHTS PICTURE [LABELS]\n");
    return 2;
  }
  try {
    plainnet::ClassifierOptions options;
    options.threads = 2;
    if (argc > 3) options.labels = plainnet::load_labels(argv[3]);

    // Once: reads the weights, trained or folded already, of any variant that plainnet knows.
    const plainnet::Classifier classifier(argv[1], options);

    // For each picture: decodes, resizes and crops as the variant was trained, runs.
    const plainnet::Image picture = plainnet::load_image(argv[2]);
    for (const plainnet::Prediction& prediction : classifier.classify(picture, 3)) {
      std::printf("%6.2f %%  class %td  %s\n", 100.0 * static_cast<double>(prediction.probability), prediction.index,
                  prediction.label.c_str());
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
