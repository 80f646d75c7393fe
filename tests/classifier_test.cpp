#include <limits>
#include <thread>

#include <gtest/gtest.h>

#include "plainnet/classifier.hpp"
#include "support/compare.hpp"
#include "support/random.hpp"

namespace plainnet {
namespace {

std::vector<double> reference_softmax(const std::vector<float>& logits) {
  std::vector<long double> powers;
  long double sum = 0;
  for (float logit : logits) sum += powers.emplace_back(std::exp(static_cast<long double>(logit)));
  std::vector<double> probabilities;
  for (long double power : powers) probabilities.push_back(static_cast<double>(power / sum));
  return probabilities;
}

TEST(Softmax, IsTheShareOfEachPower) {
  const std::vector<float> logits = {-3.0f, 0.5f, 0.0f, 2.25f, 2.25f, -100.0f};
  const std::vector<float> found = softmax(logits);
  const std::vector<double> expected = reference_softmax(logits);
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_FLOAT_EQ(found[i], static_cast<float>(expected[i])) << i;
}

TEST(Softmax, TakesLogitsWhosePowersOverflow) {
  const float most = std::numeric_limits<float>::max();
  EXPECT_EQ(softmax(std::vector<float>{1e30f, 1e30f}), (std::vector<float>{0.5f, 0.5f}));
  EXPECT_EQ(softmax(std::vector<float>{most, -most, 0.0f}), (std::vector<float>{1.0f, 0.0f, 0.0f}));
  EXPECT_EQ(softmax(std::vector<float>{-most, -most}), (std::vector<float>{0.5f, 0.5f}));
  EXPECT_EQ(softmax(std::vector<float>{1000.0f, 0.0f}), (std::vector<float>{1.0f, 0.0f}));
}

TEST(Softmax, OfOneClassIsCertainAndOfNoneIsNothing) {
  EXPECT_EQ(softmax(std::vector<float>{-7.0f}), std::vector<float>{1.0f});
  EXPECT_TRUE(softmax(std::vector<float>{}).empty());
}

std::vector<Index> indices(const std::vector<Prediction>& predictions) {
  std::vector<Index> all;
  for (const Prediction& prediction : predictions) all.push_back(prediction.index);
  return all;
}

TEST(TopPredictions, AreTheLargestFirst) {
  const std::vector<float> probabilities = {0.1f, 0.4f, 0.05f, 0.3f, 0.15f};
  const std::vector<std::string> labels = {"a", "b", "c", "d", "e"};
  const std::vector<Prediction> top = top_predictions(probabilities, labels, 3);
  ASSERT_EQ(indices(top), (std::vector<Index>{1, 3, 4}));
  EXPECT_EQ(top[0].label, "b");
  EXPECT_EQ(top[2].label, "e");
  EXPECT_EQ(top[0].probability, 0.4f);
  EXPECT_EQ(top[2].probability, 0.15f);
}

TEST(TopPredictions, KeepEqualOnesInTheOrderOfTheirClasses) {
  EXPECT_EQ(indices(top_predictions(std::vector<float>(7, 0.1f), {}, 5)), (std::vector<Index>{0, 1, 2, 3, 4}));
  EXPECT_EQ(indices(top_predictions(std::vector<float>{0.2f, 0.3f, 0.2f, 0.3f}, {}, 4)),
            (std::vector<Index>{1, 3, 0, 2}));
}

TEST(TopPredictions, AreNoMoreThanThereAreClasses) {
  const std::vector<float> probabilities = {0.25f, 0.75f};
  EXPECT_EQ(indices(top_predictions(probabilities, {}, 5)), (std::vector<Index>{1, 0}));
  EXPECT_EQ(indices(top_predictions(probabilities, {}, std::numeric_limits<Index>::max())), (std::vector<Index>{1, 0}));
  EXPECT_TRUE(top_predictions(probabilities, {}, 0).empty());
  EXPECT_TRUE(top_predictions(probabilities, {}, -1).empty());
  EXPECT_TRUE(top_predictions({}, {}, 5).empty());
}

TEST(TopPredictions, ShowNaNFirst) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(indices(top_predictions(std::vector<float>{0.2f, nan, 1.0f, 0.0f, -nan}, {}, 5)),
            (std::vector<Index>{1, 4, 2, 0, 3}));
}

TEST(TopPredictions, WithoutLabelsHaveNone) {
  EXPECT_EQ(top_predictions(std::vector<float>{1.0f}, {}, 1)[0].label, "");
}

/// The narrow network of the tests with random weights, as a checkpoint in memory.
class RandomModel {
 public:
  RandomModel() : network_(std::get<VanillaNetConfig>(variant_named("vanillanet_test").config)) {
    test::Random(1).fill_network(network_);
  }

  Model open() const { return open_model(to_state_dict(network_)); }

  std::vector<float> logits(const Image& image) const {
    const Tensor<float> logits = network_.forward(preprocess(image, variant_named("vanillanet_test").preprocessing));
    return {logits.data(), logits.data() + logits.shape().elements()};
  }

 private:
  VanillaNet<float> network_;
};

Image random_image(Index width, Index height, std::uint64_t seed) {
  Image image(width, height);
  test::Random random(seed);
  for (std::uint8_t& value : image.pixels) value = static_cast<std::uint8_t>(random.integer(0, 255));
  return image;
}

const std::vector<std::string>& digits() {
  static const std::vector<std::string> labels = {"zero", "one", "two",   "three", "four",
                                                  "five", "six", "seven", "eight", "nine"};
  return labels;
}

TEST(Classifier, NamesTheLikeliestClassesOfAPicture) {
  const RandomModel model;
  const Classifier classifier(model.open(), {.labels = digits(), .threads = 2});
  EXPECT_EQ(classifier.labels(), digits());
  EXPECT_EQ(classifier.preprocessing(), variant_named("vanillanet_test").preprocessing);
  EXPECT_EQ(classifier.engine().input_shape(), variant_named("vanillanet_test").input_shape());
  EXPECT_GT(classifier.load_report().parameters, 0);
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const Image image = random_image(50 + static_cast<Index>(seed), 91, seed);
    const std::vector<float> logits = model.logits(image);
    const std::vector<double> expected = reference_softmax(logits);
    double largest = 0;
    for (float logit : logits) largest = std::max(largest, std::abs(static_cast<double>(logit)));
    const std::vector<Prediction> top = classifier.classify(image, 10);
    ASSERT_EQ(top.size(), 10u);
    for (std::size_t i = 0; i < top.size(); ++i) {
      const std::size_t index = static_cast<std::size_t>(top[i].index);
      EXPECT_EQ(top[i].label, digits()[index]);
      // An error e of a logit is a factor of exp(e).
      EXPECT_NEAR(top[i].probability, expected[index], 2 * test::rounding_error<float>(1000, largest)) << index;
      if (i > 0) {
        EXPECT_LE(top[i].probability, top[i - 1].probability);
      }
    }
    EXPECT_EQ(indices(classifier.classify(image)),
              (std::vector<Index>{top[0].index, top[1].index, top[2].index, top[3].index, top[4].index}));
  }
}

TEST(Classifier, MayBeSharedByThreads) {
  const RandomModel model;
  const Classifier classifier(model.open());
  std::vector<Image> images;
  std::vector<std::vector<Index>> expected;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    images.push_back(random_image(64, 64, seed));
    expected.push_back(indices(classifier.classify(images.back())));
  }
  std::vector<int> wrong(3);
  {
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        Workspace<float> workspace = classifier.workspace();
        for (std::size_t i = 0; i < 9; ++i) {
          wrong[t] += indices(classifier.classify(images[(t + i) % 3], workspace)) == expected[(t + i) % 3] ? 0 : 1;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(wrong, std::vector<int>(3));
}

TEST(Classifier, RefusesAnotherNumberOfLabels) {
  const RandomModel model;
  const std::string message = test::error_of([&] { Classifier(model.open(), {.labels = {"one", "two"}}); });
  EXPECT_EQ(message, "2 labels for 10 classes: are they of another model?");
}

TEST(Classifier, RefusesAnImageWithoutPixels) {
  const RandomModel model;
  const Classifier classifier(model.open());
  EXPECT_THROW(classifier.classify(Image()), Error);
}

}  // namespace
}  // namespace plainnet
