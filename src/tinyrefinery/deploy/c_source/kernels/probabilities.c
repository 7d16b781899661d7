/* float probabilities. The table has the exponential of each distance to the largest logit. */
static void probabilities(const float table[256], int32_t size, const int8_t *logits,
                          float *result) {
  int32_t most = -128;
  float total = 0.0F;
  for (int32_t i = 0; i < size; ++i) most = logits[i] > most ? logits[i] : most;
  for (int32_t i = 0; i < size; ++i) {
    result[i] = table[most - logits[i]];
    total += result[i];
  }
  for (int32_t i = 0; i < size; ++i) result[i] /= total;
}
