/* {{ title }}
   Replays the test vectors. Returns 0 if all outputs are as expected. */
#include <stdio.h>

#include "{{ name }}.h"

#define VECTORS {{ inputs | length }}
/* {% if output_type == "float" %}What processors may differ by in floating point.{% else %}Whole numbers are equal on every processor.{% endif %} */
#define TOLERANCE {{ tolerance }}

static const {{ input_type }} images[VECTORS][{{ macro }}_IMAGE_VALUES] = {
{% for image in inputs %}
  {
{{ numbers(image) }}
  },
{% endfor %}
};

static const {{ output_type }} expected[VECTORS][{{ macro }}_OUTPUTS] = {
{% for row in expected %}
  {
{{ numbers(row) }}
  },
{% endfor %}
};

/* A start file may count instructions, as that of an emulator does. */
#ifdef COUNTS_INSTRUCTIONS
extern unsigned long long classifier_instructions(void);
#else
static unsigned long long classifier_instructions(void) { return 0; }
#endif

int main(void) {
  int different = 0;
  unsigned long long instructions = 0;
  for (int vector = 0; vector < VECTORS; ++vector) {
    {{ output_type }} outputs[{{ macro }}_OUTPUTS];
    const unsigned long long start = classifier_instructions();
    {{ name }}_run(images[vector], outputs);
    instructions += classifier_instructions() - start;
    for (int i = 0; i < {{ macro }}_OUTPUTS; ++i) {
      const double difference = (double)outputs[i] - (double)expected[vector][i];
      /* Written so that a NaN counts as different. */
      if (!(difference <= TOLERANCE && difference >= -TOLERANCE)) ++different;
    }
  }
  printf("%s: %d of %d outputs of %d test vectors differ\n", different ? "FAIL" : "PASS", different,
         VECTORS * {{ macro }}_OUTPUTS, VECTORS);
  printf("arena: %lu bytes\n", (unsigned long){{ macro }}_ARENA_BYTES);
  if (instructions > 0) {
    printf("instructions: %lu per image\n", (unsigned long)(instructions / VECTORS));
  }
  return different ? 1 : 0;
}
