typedef struct {
  int32_t sides[4];   /* of the result */
  int32_t strides[4]; /* bytes in the input for a step along each of them */
} transpose_layer;

static void transpose(const transpose_layer *layer, const int8_t *input, int8_t *result) {
  const int32_t *sides = layer->sides, *strides = layer->strides;
  for (int32_t a = 0; a < sides[0]; ++a) {
    for (int32_t b = 0; b < sides[1]; ++b) {
      for (int32_t c = 0; c < sides[2]; ++c) {
        const int8_t *x = input + a * strides[0] + b * strides[1] + c * strides[2];
        for (int32_t d = 0; d < sides[3]; ++d) *result++ = x[d * strides[3]];
      }
    }
  }
}
