// {{ title }}
#include "test_vectors.h"

const classifier_value classifier_test_images[CLASSIFIER_TEST_VECTORS][CLASSIFIER_IMAGE_VALUES] = {
{% for image in inputs %}
  {
{{ numbers(image) }}
  },
{% endfor %}
};

const float classifier_test_outputs[CLASSIFIER_TEST_VECTORS][CLASSIFIER_CLASSES] = {
{% for row in outputs %}
  {
{{ numbers(row) }}
  },
{% endfor %}
};
