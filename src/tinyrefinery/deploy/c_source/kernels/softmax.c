/* The upper 32 bits of twice a product, rounded half up. */
static int32_t high_product(int32_t one, int32_t other) {
  return (int32_t)(((int64_t)one * other + 0x40000000) >> 31);
}

/* 1 / (1 + x) of x from 0 to 1, both with 31 fractional bits, by Newton's method. */
static int32_t inverse_of_one_plus(int32_t x) {
  const int32_t half = (int32_t)(((int64_t)x + 0x80000000) / 2);
  int32_t inverse = 1515870810 + high_product(half, -1010580540); /* 48/17 - 32/17 half */
  for (int32_t step = 0; step < 3; ++step) {
    inverse += high_product(inverse, 0x20000000 - high_product(half, inverse)) * 4;
  }
  return inverse > 0x3fffffff ? INT32_MAX : inverse * 2;
}

/* int8 probabilities in steps of 1/256. The table has the exponential of each distance to the
   largest logit, with 31 fractional bits. */
static void softmax(const int32_t table[256], int32_t size, const int8_t *logits, int8_t *result) {
  int32_t most = -128, total = 0, bits = 0;
  for (int32_t i = 0; i < size; ++i) most = logits[i] > most ? logits[i] : most;
  for (int32_t i = 0; i < size; ++i) {
    total += (int32_t)(((uint32_t)table[most - logits[i]] + 0x800U) >> 12);
  }
  while (((uint32_t)total << bits & 0x80000000U) == 0) ++bits;
  const int32_t scale = inverse_of_one_plus((int32_t)(((uint32_t)total << bits) - 0x80000000U));
  const int32_t shift = 12 - bits + 23;
  for (int32_t i = 0; i < size; ++i) {
    const uint32_t share = (uint32_t)high_product(table[most - logits[i]], scale);
    const int32_t value = (int32_t)((share + (1U << (shift - 1))) >> shift);
    result[i] = (int8_t)(value > 255 ? 127 : value - 128);
  }
}
