typedef struct {
  int32_t size, size_one, size_other; /* an input that is smaller repeats */
  int32_t zero_one, zero_other;
  int32_t multiplier, shift;
  int32_t zero, low, high;
} product_layer;

static void product(const product_layer *layer, const int8_t *one, const int8_t *other,
                    int8_t *result) {
  int32_t a = 0, b = 0;
  for (int32_t i = 0; i < layer->size; ++i) {
    const int32_t x = (one[a] - layer->zero_one) * (other[b] - layer->zero_other);
    const int32_t value = rescale(x, layer->multiplier, layer->shift) + layer->zero;
    result[i] = limited(value, layer->low, layer->high);
    if (++a == layer->size_one) a = 0;
    if (++b == layer->size_other) b = 0;
  }
}
