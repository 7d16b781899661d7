/* {{ title }}
   Network: {{ comment(network) }}. Made from {{ comment(file) }}, SHA-256 {{ sha256 }}. */
#ifndef {{ guard }}
#define {{ guard }}

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An image: {{ comment(input) }}; row by row, channels last. */
#define {{ macro }}_HEIGHT {{ height }}
#define {{ macro }}_WIDTH {{ width }}
#define {{ macro }}_CHANNELS {{ channels }}
#define {{ macro }}_IMAGE_VALUES ({{ height }} * {{ width }} * {{ channels }})
#define {{ macro }}_OUTPUTS {{ outputs }}
{% if input_type != "uint8_t" %}
/* A number of the image stands for (number - zero) * scale. */
#define {{ macro }}_INPUT_SCALE {{ "%.9g" | format(input_scale) }}
#define {{ macro }}_INPUT_ZERO {{ input_zero }}
{% endif %}
{% if output_type != "float" %}
/* An output stands for (output - zero) * scale. */
#define {{ macro }}_OUTPUT_SCALE {{ "%.9g" | format(output_scale) }}
#define {{ macro }}_OUTPUT_ZERO {{ output_zero }}
{% endif %}
/* Static memory that the network computes in. */
#define {{ macro }}_ARENA_BYTES {{ arena }}

{% if classes %}
/* Names of the classes, in the order of the outputs, UTF-8. */
extern const char *const {{ name }}_classes[{{ macro }}_OUTPUTS];

{% endif %}
/* Compute the outputs of an image. Uses static memory only, and is not thread-safe. The image may
   not overlap the outputs. */
void {{ name }}_run(const {{ input_type }} image[{{ macro }}_IMAGE_VALUES],
    {{ output_type }} outputs[{{ macro }}_OUTPUTS]);

#ifdef __cplusplus
}
#endif

#endif
