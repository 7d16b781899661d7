typedef struct {
  int32_t count, length;
  int32_t first, step;  /* of the input: bytes to the first row, and from row to row */
  int32_t place, whole; /* of the result */
} rows_layer;

static void rows(const rows_layer *layer, const int8_t *input, int8_t *result) {
  for (int32_t row = 0; row < layer->count; ++row) {
    memcpy(result + layer->place + row * layer->whole, input + layer->first + row * layer->step,
           (size_t)layer->length);
  }
}
