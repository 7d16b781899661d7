typedef struct {
  const int32_t *places; /* bytes from the start of a row */
  int32_t count, step;   /* rows of the input */
  int32_t parts, length;
} choice_layer;

static void choice(const choice_layer *layer, const int8_t *input, int8_t *result) {
  for (int32_t row = 0; row < layer->count; ++row) {
    for (int32_t part = 0; part < layer->parts; ++part) {
      memcpy(result, input + row * layer->step + layer->places[part], (size_t)layer->length);
      result += layer->length;
    }
  }
}
