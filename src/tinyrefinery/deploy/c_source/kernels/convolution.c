#if defined(__GNUC__) && defined(__ARM_FEATURE_DSP) && defined(__ARM_FEATURE_UNALIGNED)
#define HAS_PAIRS
/* Instructions that compilers do not find by themselves: of four bytes the first and third, or the
   second and fourth, as pairs of 16 bits; a sum plus the products of two pairs. */
static inline uint32_t four_bytes(const int8_t **bytes) {
  uint32_t word;
  __asm__("ldr %0, [%1], #4" : "=r"(word), "+r"(*bytes) : : "memory");
  return word;
}

static inline uint32_t even_bytes(uint32_t word) {
  uint32_t pair;
  __asm__("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
  return pair;
}

static inline uint32_t odd_bytes(uint32_t word) {
  uint32_t pair;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
  return pair;
}

static inline int32_t plus_products(int32_t sum, uint32_t one, uint32_t other) {
  __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(one), "r"(other));
  return sum;
}
#endif

typedef struct {
  const int8_t *weights;     /* filter by filter, each as a window of the image */
  const int32_t *bias;       /* less the input's zero point times the weights */
  const int32_t *multiplier; /* of each filter, with its shift */
  const int8_t *shift;
  int32_t height, width, channels;             /* of the image */
  int32_t result_height, result_width;         /* of the result */
  int32_t filters;                             /* of each group */
  int32_t groups;                              /* of channels, each with its own filters */
  int32_t window_height, window_width;
  int32_t stride_down, stride_right;
  int32_t above, left;                         /* padding */
  int32_t dilation_down, dilation_right;
  int32_t input_zero;                          /* what stands for 0 in the image */
  int32_t zero, low, high;                     /* of the result */
} convolution_layer;

/* One row of a window, side by side in memory. Outside of the image it is the zero point. */
static void window_row(const convolution_layer *layer, const int8_t *row, int32_t left, int32_t depth,
                       int8_t *place) {
  const int32_t is_whole = layer->dilation_right == 1 && layer->groups == 1;
  int32_t column = 0;
  while (column < layer->window_width) {
    const int32_t x = left + column * layer->dilation_right;
    const int32_t is_inside = row != NULL && x >= 0 && x < layer->width;
    int32_t count = 1;
    if (is_whole) {
      const int32_t end = is_inside ? layer->width : x < 0 && row != NULL ? 0 : x + layer->window_width;
      count = layer->window_width - column;
      if (end - x < count) count = end - x;
    }
    if (is_inside) {
      memcpy(place, row + x * layer->channels, (size_t)(count * depth));
    } else {
      memset(place, layer->input_zero, (size_t)(count * depth));
    }
    place += count * depth;
    column += count;
  }
}

/* The window of a pixel, side by side: in the image itself where it lies like that. */
static const int8_t *window_of(const convolution_layer *layer, const int8_t *image, int32_t pixel,
                               int32_t group, int8_t *place) {
  const int32_t depth = layer->channels / layer->groups;
  const int32_t down = pixel / layer->result_width, right = pixel % layer->result_width;
  const int32_t top = down * layer->stride_down - layer->above;
  const int32_t left = right * layer->stride_right - layer->left;
  if (place == NULL) return image + (top * layer->width + left) * depth;
  for (int32_t row = 0; row < layer->window_height; ++row) {
    const int32_t y = top + row * layer->dilation_down;
    const int32_t is_inside = y >= 0 && y < layer->height;
    const int8_t *start = NULL;
    if (is_inside) start = image + y * layer->width * layer->channels + group * depth;
    window_row(layer, start, left, depth, place + row * layer->window_width * depth);
  }
  return place;
}

/* Adds the four sums of products of two windows and two filters. A function of its own, so that its
   sums stay in registers. */
NOT_INLINED static void add_products(const int8_t *window, const int8_t *next, const int8_t *filter,
                                     const int8_t *second, int32_t length, int32_t sums[4]) {
  const int8_t *end = filter + length;
  int32_t a = sums[0], b = sums[1], c = sums[2], d = sums[3];
#ifdef HAS_PAIRS
  for (const int8_t *fours = filter + (length & ~3); filter != fours;) {
    const uint32_t x = four_bytes(&window), x0 = even_bytes(x), x1 = odd_bytes(x);
    const uint32_t u = four_bytes(&filter), u0 = even_bytes(u), u1 = odd_bytes(u);
    a = plus_products(plus_products(a, x0, u0), x1, u1);
    const uint32_t y = four_bytes(&next), y0 = even_bytes(y), y1 = odd_bytes(y);
    c = plus_products(plus_products(c, y0, u0), y1, u1);
    const uint32_t v = four_bytes(&second), v0 = even_bytes(v), v1 = odd_bytes(v);
    b = plus_products(plus_products(b, x0, v0), x1, v1);
    d = plus_products(plus_products(d, y0, v0), y1, v1);
  }
#endif
  while (filter < end) {
    const int32_t x = *window++, y = *next++, u = *filter++, v = *second++;
    a += x * u;
    b += x * v;
    c += y * u;
    d += y * v;
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
}

/* Two pixels and two filters at a time. `place` holds two windows, or is NULL if the layer needs
   none. */
static void convolution(const convolution_layer *layer, const int8_t *image, int8_t *result,
                        int8_t *place) {
  const int32_t length =
      layer->window_height * layer->window_width * (layer->channels / layer->groups);
  const int32_t pixels = layer->result_height * layer->result_width;
  const int32_t filters = layer->filters * layer->groups;
  for (int32_t pixel = 0; pixel < pixels; pixel += 2) {
    const int32_t next = pixel + 1 < pixels ? pixel + 1 : pixel;
    for (int32_t group = 0; group < layer->groups; ++group) {
      const int8_t *one = window_of(layer, image, pixel, group, place);
      const int8_t *other = window_of(layer, image, next, group, place == NULL ? NULL : place + length);
      const int32_t end = (group + 1) * layer->filters;
      for (int32_t filter = end - layer->filters; filter < end; filter += 2) {
        const int32_t second = filter + 1 < end ? filter + 1 : filter;
        int32_t sums[4] = {layer->bias[filter], layer->bias[second], layer->bias[filter],
                           layer->bias[second]};
        add_products(one, other, layer->weights + filter * length, layer->weights + second * length,
                     length, sums);
        for (int32_t k = 0; k < 4; ++k) {
          const int32_t f = k & 1 ? second : filter;
          const int32_t value = rescale(sums[k], layer->multiplier[f], layer->shift[f]) + layer->zero;
          result[(k & 2 ? next : pixel) * filters + f] = limited(value, layer->low, layer->high);
        }
      }
    }
  }
}
