typedef struct {
  int32_t outer, count, inner; /* sides of the input; the mean is over the second */
  int32_t input_zero;
  int32_t multiplier, shift; /* divided by the count */
  int32_t zero, low, high;
} mean_layer;

static void mean(const mean_layer *layer, const int8_t *image, int8_t *result) {
  for (int32_t outer = 0; outer < layer->outer; ++outer) {
    for (int32_t inner = 0; inner < layer->inner; ++inner) {
      int32_t sum = -layer->input_zero * layer->count;
      for (int32_t i = 0; i < layer->count; ++i) sum += image[i * layer->inner + inner];
      sum = rescale(sum, layer->multiplier, layer->shift) + layer->zero;
      *result++ = limited(sum, layer->low, layer->high);
    }
    image += layer->count * layer->inner;
  }
}
