typedef struct {
  int32_t height, width, channels;
  int32_t result_width, result_channels;
  int32_t size; /* bytes of the result */
  int32_t above, left, before;
  int32_t value;
} frame_layer;

static void frame(const frame_layer *layer, const int8_t *image, int8_t *result) {
  memset(result, layer->value, (size_t)layer->size);
  for (int32_t y = 0; y < layer->height; ++y) {
    for (int32_t x = 0; x < layer->width; ++x) {
      const int32_t pixel = (layer->above + y) * layer->result_width + layer->left + x;
      memcpy(result + pixel * layer->result_channels + layer->before, image, (size_t)layer->channels);
      image += layer->channels;
    }
  }
}
