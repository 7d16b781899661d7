typedef struct {
  int32_t height, width, channels;
  int32_t result_height, result_width;
  int32_t window_height, window_width;
  int32_t stride_down, stride_right;
  int32_t above, left;
  int32_t is_average;
  int32_t low, high;
} pool_layer;

static int32_t smaller(int32_t one, int32_t other) { return one < other ? one : other; }

/* The average, rounded half away from zero, or the maximum of what lies on the image. */
static void pool(const pool_layer *layer, const int8_t *image, int8_t *result) {
  for (int32_t down = 0; down < layer->result_height; ++down) {
    const int32_t top = down * layer->stride_down - layer->above;
    const int32_t first = top < 0 ? 0 : top;
    const int32_t bottom = smaller(top + layer->window_height, layer->height);
    for (int32_t right = 0; right < layer->result_width; ++right) {
      const int32_t left = right * layer->stride_right - layer->left;
      const int32_t start = left < 0 ? 0 : left;
      const int32_t end = smaller(left + layer->window_width, layer->width);
      const int32_t count = (bottom - first) * (end - start);
      for (int32_t channel = 0; channel < layer->channels; ++channel) {
        int32_t sum = 0, most = -128;
        for (int32_t y = first; y < bottom; ++y) {
          const int8_t *x = image + (y * layer->width + start) * layer->channels + channel;
          for (int32_t column = start; column < end; ++column) {
            sum += *x;
            if (*x > most) most = *x;
            x += layer->channels;
          }
        }
        if (layer->is_average) most = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
        *result++ = limited(most, layer->low, layer->high);
      }
    }
  }
}
