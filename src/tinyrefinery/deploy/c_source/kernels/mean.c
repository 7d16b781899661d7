typedef struct {
  int32_t pixels, channels;
  int32_t input_zero;
  int32_t multiplier, shift; /* divided by the number of pixels */
  int32_t zero, low, high;
} mean_layer;

static void mean(const mean_layer *layer, const int8_t *image, int8_t *result) {
  for (int32_t channel = 0; channel < layer->channels; ++channel) {
    int32_t sum = -layer->input_zero * layer->pixels;
    for (int32_t pixel = 0; pixel < layer->pixels; ++pixel) {
      sum += image[pixel * layer->channels + channel];
    }
    sum = rescale(sum, layer->multiplier, layer->shift) + layer->zero;
    result[channel] = limited(sum, layer->low, layer->high);
  }
}
