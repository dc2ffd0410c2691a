// Runs a fuzzer over its corpus without libFuzzer, in every build.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "kube/kubeconfig.h"
#include "tests/fuzz/property.h"

namespace spillway::fuzz {
namespace {

std::vector<std::filesystem::path> Inputs() {
  std::vector<std::filesystem::path> inputs;
  for (const auto& entry : std::filesystem::directory_iterator(SPILLWAY_CORPUS)) {
    inputs.push_back(entry.path());
  }
  std::sort(inputs.begin(), inputs.end());
  return inputs;
}

TEST(Corpus, HoldsEveryProperty) {
  const auto inputs = Inputs();
  ASSERT_FALSE(inputs.empty());
  for (const auto& input : inputs) {
    std::cout << input.filename().string() << std::endl;  // the last one, should it end the process
    const auto bytes = kube::ReadFile(input.string());
    ASSERT_TRUE(bytes);
    EXPECT_EQ(
        LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size()), 0);
  }
}

}  // namespace
}  // namespace spillway::fuzz
