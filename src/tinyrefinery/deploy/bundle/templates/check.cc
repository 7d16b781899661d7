// {{ title }}
// Replays the test vectors. Prints the largest difference and the arena, and returns 0 if all pass.
#include <stdio.h>

#include "classifier.h"
#include "tensorflow/lite/micro/system_setup.h"
#include "test_vectors.h"

// A start file may count instructions, as that of an emulator does.
#ifdef CLASSIFIER_COUNTS_INSTRUCTIONS
extern "C" unsigned long long classifier_instructions(void);
#else
static unsigned long long classifier_instructions(void) { return 0; }
#endif

int main() {
  tflite::InitializeTarget();
  const int opened = classifier_open();
  if (opened != CLASSIFIER_OK) {
    printf("FAIL: classifier_open returned %d, see classifier.h\n", opened);
    return 1;
  }
  int passed = 0;
  float largest = 0;
  unsigned long long instructions = 0;
  for (int vector = 0; vector < CLASSIFIER_TEST_VECTORS; ++vector) {
    float outputs[CLASSIFIER_CLASSES];
    const unsigned long long start = classifier_instructions();
    const int ran = classifier_run(classifier_test_images[vector], outputs);
    instructions += classifier_instructions() - start;
    if (ran != CLASSIFIER_OK) {
      printf("FAIL: classifier_run returned %d, see classifier.h\n", ran);
      return 1;
    }
    float most = 0;
    for (int i = 0; i < CLASSIFIER_CLASSES; ++i) {
      const float difference = outputs[i] - classifier_test_outputs[vector][i];
      const float size = difference < 0 ? -difference : difference;
      // Written so that a NaN counts as different.
      if (!(size <= most)) most = size;
    }
    if (most <= CLASSIFIER_TEST_TOLERANCE) ++passed;
    if (!(most <= largest)) largest = most;
  }
  const bool all = passed == CLASSIFIER_TEST_VECTORS;
  printf("%s: %d of %d test vectors, outputs differ by at most %g (tolerance %g)\n",
         all ? "PASS" : "FAIL", passed, CLASSIFIER_TEST_VECTORS, static_cast<double>(largest),
         static_cast<double>(CLASSIFIER_TEST_TOLERANCE));
  printf("arena: %lu of %lu bytes are used\n", classifier_arena_used(),
         static_cast<unsigned long>(CLASSIFIER_ARENA_BYTES));
  if (instructions > 0) {
    printf("instructions: %lu per image\n",
           static_cast<unsigned long>(instructions / CLASSIFIER_TEST_VECTORS));
  }
  return all ? 0 : 1;
}
