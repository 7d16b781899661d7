// {{ title }}
#include "model_data.h"

alignas(16) const unsigned char classifier_model[CLASSIFIER_MODEL_BYTES] = {
{{ numbers(model) }}
};
