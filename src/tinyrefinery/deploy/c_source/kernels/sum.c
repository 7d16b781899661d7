typedef struct {
  int32_t size, size_one, size_other; /* an input that is smaller repeats */
  int32_t zero_one, zero_other;
  int32_t multipliers[3], shifts[3]; /* of both inputs, shifted by 20 bits, and of their sum */
  int32_t zero, low, high;
} sum_layer;

static void sum(const sum_layer *layer, const int8_t *one, const int8_t *other, int8_t *result) {
  int32_t a = 0, b = 0;
  for (int32_t i = 0; i < layer->size; ++i) {
    const int32_t x = (one[a] - layer->zero_one) * (1 << 20);
    const int32_t y = (other[b] - layer->zero_other) * (1 << 20);
    const int32_t total = rescale(x, layer->multipliers[0], layer->shifts[0]) +
                          rescale(y, layer->multipliers[1], layer->shifts[1]);
    const int32_t value = rescale(total, layer->multipliers[2], layer->shifts[2]) + layer->zero;
    result[i] = limited(value, layer->low, layer->high);
    if (++a == layer->size_one) a = 0;
    if (++b == layer->size_other) b = 0;
  }
}
