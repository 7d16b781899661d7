typedef struct {
  const int8_t *weights; /* by row and column of the window, then by channel */
  const int32_t *bias;
  const int32_t *multiplier;
  const int8_t *shift;
  int32_t height, width, channels;
  int32_t result_height, result_width;
  int32_t window_height, window_width;
  int32_t stride_down, stride_right;
  int32_t above, left;
  int32_t dilation_down, dilation_right;
  int32_t input_zero;
  int32_t zero, low, high;
} depthwise_layer;

/* Four channels of one pixel: the part of the window from a first row and column to an end lies on
   the image. */
static void depthwise_sums(const depthwise_layer *layer, const int8_t *image, int32_t corner,
                           int32_t channel, const int32_t part[4], int32_t sums[4]) {
  const int32_t right = layer->dilation_right * layer->channels;
  const int32_t down = layer->dilation_down * layer->width * layer->channels;
  const int32_t offset = layer->input_zero;
  int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
  for (int32_t row = part[0]; row < part[1]; ++row) {
    const int8_t *x = image + (corner + row * down + part[2] * right + channel);
    const int8_t *w =
        layer->weights + (row * layer->window_width + part[2]) * layer->channels + channel;
    for (int32_t column = part[2]; column < part[3]; ++column) {
      a += (x[0] - offset) * w[0];
      b += (x[1] - offset) * w[1];
      c += (x[2] - offset) * w[2];
      d += (x[3] - offset) * w[3];
      x += right;
      w += layer->channels;
    }
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
}

/* Where a window starts and ends on an image of some length. */
static void window_part(int32_t start, int32_t length, int32_t window, int32_t dilation,
                        int32_t part[2]) {
  part[0] = start < 0 ? (dilation - 1 - start) / dilation : 0;
  part[1] = start + (window - 1) * dilation < length ? window : (length - start + dilation - 1) / dilation;
}

/* Needs four channels at least. */
static void depthwise(const depthwise_layer *layer, const int8_t *image, int8_t *result) {
  for (int32_t down = 0; down < layer->result_height; ++down) {
    for (int32_t right = 0; right < layer->result_width; ++right) {
      const int32_t top = down * layer->stride_down - layer->above;
      const int32_t left = right * layer->stride_right - layer->left;
      const int32_t corner = (top * layer->width + left) * layer->channels;
      int32_t part[4];
      window_part(top, layer->height, layer->window_height, layer->dilation_down, part);
      window_part(left, layer->width, layer->window_width, layer->dilation_right, part + 2);
      for (int32_t block = 0; block < layer->channels; block += 4) {
        const int32_t channel = block + 4 <= layer->channels ? block : layer->channels - 4;
        int32_t sums[4];
        memcpy(sums, layer->bias + channel, sizeof sums);
        depthwise_sums(layer, image, corner, channel, part, sums);
        for (int32_t k = 0; k < 4; ++k) {
          const int32_t c = channel + k;
          const int32_t value = rescale(sums[k], layer->multiplier[c], layer->shift[c]) + layer->zero;
          result[c] = limited(value, layer->low, layer->high);
        }
      }
      result += layer->channels;
    }
  }
}
