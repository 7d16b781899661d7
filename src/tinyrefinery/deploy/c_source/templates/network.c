/* {{ title }}
   An int8 network with its runtime, in C99. No heap, no recursion, no other library. */
#include "{{ name }}.h"

#include <stddef.h>
#include <string.h>

{{ kernels }}
{{ constants }}
{% if classes %}
const char *const {{ name }}_classes[{{ macro }}_OUTPUTS] = {
{% for class in classes %}
    {{ string(class) }},
{% endfor %}
};

{% endif %}
{% if arena %}
/* 32-bit words, so that it is aligned. */
static int32_t arena[{{ arena // 4 }}];

{% endif %}
void {{ name }}_run(const {{ input_type }} image[{{ macro }}_IMAGE_VALUES],
    {{ output_type }} outputs[{{ macro }}_OUTPUTS]) {
{% if arena %}
  int8_t *memory = (int8_t *)arena;
{% endif %}
{% for call in calls %}
  {{ call }}
{% endfor %}
}
