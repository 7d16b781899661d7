/* Runtime of packed networks: binary layers on bits, lookup layers by their entries, the rest in
   32-bit floats.

   No heap, no recursion, no variables of its own: everything is in the file, in the caller's arena
   or on the stack. So any number of threads may run one opened network, each in its own arena.

   Floats are summed in a fixed order and are never fused into one rounding. Compile with
   -ffp-contract=off: then all variants, and the NumPy fallback, give the same bits. */

#ifndef PACKED_H
#define PACKED_H

#include <stddef.h>
#include <stdint.h>

#define PACKED_ALIGNMENT 64 /* of arenas and of the file in memory, in bytes */

enum packed_op {
    PACKED_SIGN = 1, /* floats to bits, by a bound per channel */
    PACKED_BINARY,   /* convolution of bits with bits */
    PACKED_CONV,     /* convolution of floats */
    PACKED_AVERAGE,  /* average pool, without padding */
    PACKED_MAX,      /* max pool; padding never wins */
    PACKED_FINISH,   /* what may follow a convolution, by itself */
    PACKED_LOOKUP    /* convolution of floats whose filters have few weights */
};

/* One step with all pointers resolved. Images are (height, width, channels), channels last.

   The result v of a convolution is finished in this order; what is not needed is NULL:
       v = v * scale + shift;  v = v < 0 ? v * slope : v;  v = v * gain + offset;
       v = v + residual;  v = relu && v < 0 ? 0 : v
   or, where the output is bits, bit = v * flips >= bounds, for the sum v. */
typedef struct {
    uint32_t op, relu;
    uint32_t height, width, channels, border;             /* of the input */
    uint32_t out_height, out_width, out_channels, out_border;
    uint32_t kernel_height, kernel_width, stride, padding;
    uint32_t to_bits;
    const void *input;
    void *output;
    const float *residual;
    const void *weights;
    const float *scale, *shift, *slope, *gain, *offset, *bounds, *flips;
    /* Of a lookup: entries starts[o] to starts[o + 1] of filter o, each with a weight, a channel of
       the input, and a place of the window. */
    const uint32_t *starts;
    const void *words; /* one byte each for at most 256 channels, else two */
    const uint8_t *places;
    void *scratch;
} packed_job;

typedef struct {
    const char *name;
    int (*is_supported)(void);
    void (*run)(const packed_job *job);
} packed_kernels;

/* A network in the caller's memory. The content must stay where it is. */
typedef struct {
    const uint8_t *content;
    uint32_t values, steps, arena, input, output;
    size_t inputs, outputs; /* floats per image */
} packed_model;

/* Check a file and open it. Returns NULL, or what is wrong with it, for people. */
const char *packed_open(packed_model *model, const void *content, size_t size);

/* Where the steps read the image, in an arena of model->arena bytes. An image that is written there
   needs no memory of its own. The steps overwrite it. */
float *packed_input(const packed_model *model, void *arena);

/* Run one image, which may be at packed_input. Arena: aligned to PACKED_ALIGNMENT. */
void packed_run(const packed_model *model, const packed_kernels *kernels, const float *input,
                float *output, void *arena);

/* Variants for this processor, fastest first; the last one runs anywhere. NULL after the last. */
const packed_kernels *packed_variant(unsigned number);

#endif
