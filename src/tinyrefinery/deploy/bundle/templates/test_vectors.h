/* {{ title }}
   Images, and what the model predicted for them when it was exported. */
#ifndef CLASSIFIER_TEST_VECTORS_H_
#define CLASSIFIER_TEST_VECTORS_H_

#include "classifier.h"

#define CLASSIFIER_TEST_VECTORS {{ inputs | length }}
/* Largest difference of an output that counts as equal. */
#define CLASSIFIER_TEST_TOLERANCE {{ tolerance }}f

#ifdef __cplusplus
extern "C" {
#endif

extern const classifier_value classifier_test_images[CLASSIFIER_TEST_VECTORS]
                                                    [CLASSIFIER_IMAGE_VALUES];
extern const float classifier_test_outputs[CLASSIFIER_TEST_VECTORS][CLASSIFIER_CLASSES];

#ifdef __cplusplus
}
#endif

#endif /* CLASSIFIER_TEST_VECTORS_H_ */
