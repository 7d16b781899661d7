/* {{ title }}
   Network: {{ comment(network) }}. Model: {{ file }}, SHA-256 {{ sha256 }}. */
#ifndef CLASSIFIER_H_
#define CLASSIFIER_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An image: {{ input }}; row by row, channels last. */
#define CLASSIFIER_HEIGHT {{ height }}
#define CLASSIFIER_WIDTH {{ width }}
#define CLASSIFIER_CHANNELS {{ channels }}
#define CLASSIFIER_IMAGE_VALUES ({{ height }} * {{ width }} * {{ channels }})
#define CLASSIFIER_CLASSES {{ classes | length }}
/* Bytes of the arena: at least what LiteRT for Microcontrollers needs with its reference kernels.
   Optimized kernels, e.g. CMSIS-NN, may need more. classifier_arena_used() tells. */
#ifndef CLASSIFIER_ARENA_BYTES
#define CLASSIFIER_ARENA_BYTES {{ arena }}
#endif

typedef {{ input_type }} classifier_value;

/* Names of the classes, in the order of the probabilities, UTF-8. */
extern const char* const classifier_names[CLASSIFIER_CLASSES];

enum {
  CLASSIFIER_OK = 0,
  CLASSIFIER_WRONG_SCHEMA = 1,    /* the library reads another version of the model format */
  CLASSIFIER_NO_OPERATOR = 2,     /* an operator could not be registered */
  CLASSIFIER_ARENA_TOO_SMALL = 3, /* raise CLASSIFIER_ARENA_BYTES */
  CLASSIFIER_WRONG_MODEL = 4,     /* input or output are not what this header states */
  CLASSIFIER_NOT_OPEN = 5,
  CLASSIFIER_RUN_FAILED = 6
};

/* Prepare the network, once. Returns CLASSIFIER_OK or what is wrong. */
int classifier_open(void);

/* Predict the {{ output }} of CLASSIFIER_CLASSES classes from CLASSIFIER_IMAGE_VALUES values.
   Returns CLASSIFIER_OK or what is wrong. Not thread-safe. */
int classifier_run(const classifier_value* image, float* outputs);

/* Bytes of the arena that are in use; 0 before classifier_open. */
unsigned long classifier_arena_used(void);

#ifdef __cplusplus
}
#endif

#endif /* CLASSIFIER_H_ */
