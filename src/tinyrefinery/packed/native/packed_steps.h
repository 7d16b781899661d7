/* The steps of a network, compiled once for each instruction set: a variant defines the macros and
   the functions on words below, then includes this file.

   TARGET             attribute of functions that may use the instruction set
   LANES              floats that are computed at once, see packed_vector.h
   FLOAT_PIXELS       pixels whose float sums are kept in registers at once
   count_differences  differing bits of up to PIXELS windows and up to 32 filters
   sign_bits          bits of up to 64 floats: x * flips >= bounds
   turn               rows of 8 x 8 floats as columns */

#include <string.h>

#include "packed_vector.h"

#define PIXELS 6   /* windows at once */
#define GROUP 8    /* filters whose words lie side by side */
#define FILTERS 32 /* filters at once */
#define SLICE 16   /* filters of a float convolution at once; their number is padded to it */

typedef struct {
    const uint64_t *pixels[PIXELS];
    size_t line;  /* words from one row of the image to the next */
    size_t rows;  /* of the window */
    size_t words; /* of one row of the window */
    const uint64_t *weights;
    size_t group; /* words from one group of filters to the next */
} windows;

static TARGET void count_differences(const windows *at, unsigned pixels, unsigned groups,
                                     int32_t counts[PIXELS][FILTERS]);
static TARGET uint64_t sign_bits(const float *x, const float *flips, const float *bounds,
                                 size_t n);

static TARGET void turn(const float *from, size_t from_line, float *to, size_t to_line);

static TARGET uint64_t plain_bits(const float *x, const float *flips, const float *bounds,
                                  size_t first, size_t n)
{
    uint64_t bits = 0;
    for (size_t i = first; i < n; i++)
        bits |= (uint64_t)(x[i] * flips[i] >= bounds[i]) << i;
    return bits;
}

static const float ones[64] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const float zeros[64];

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static size_t words_of(uint32_t channels) { return ((size_t)channels + 63) / 64; }

static const float *part(const float *array, size_t first, const float *otherwise)
{
    return array == NULL ? otherwise : array + first;
}

/* Finish n <= 32 channels, from `first`, of the output pixel of this number. */
static TARGET void finish(const packed_job *job, float *values, size_t pixel, size_t first,
                          size_t n)
{
    if (job->to_bits) {
        size_t words = words_of(job->out_channels);
        size_t row = pixel / job->out_width + job->out_border;
        size_t column = pixel % job->out_width + job->out_border;
        size_t whole = job->out_width + 2 * (size_t)job->out_border;
        uint8_t *target = (uint8_t *)job->output + 8 * words * (row * whole + column) + first / 8;
        const float *flips = job->flips + first, *bounds = job->bounds + first;
        uint64_t bits = sign_bits(values, flips, bounds, n);
        for (size_t i = 0; 8 * i < n; i++)
            target[i] = (uint8_t)(bits >> (8 * i));
        return;
    }
    size_t place = pixel * job->out_channels + first;
    if (job->scale != NULL)
        for (size_t i = 0; i < n; i++)
            values[i] = values[i] * job->scale[first + i];
    if (job->shift != NULL)
        for (size_t i = 0; i < n; i++)
            values[i] = values[i] + job->shift[first + i];
    if (job->slope != NULL)
        for (size_t i = 0; i < n; i++) {
            /* A choice of factors and not of products: so it has no branch, for signs are hard to
               predict. */
            float v = values[i], slope = job->slope[first + i], one = ones[i];
            values[i] = v * (v < 0 ? slope : one);
        }
    if (job->gain != NULL)
        for (size_t i = 0; i < n; i++)
            values[i] = values[i] * job->gain[first + i];
    if (job->offset != NULL)
        for (size_t i = 0; i < n; i++)
            values[i] = values[i] + job->offset[first + i];
    if (job->residual != NULL)
        for (size_t i = 0; i < n; i++)
            values[i] = values[i] + job->residual[place + i];
    if (job->relu)
        for (size_t i = 0; i < n; i++)
            values[i] = values[i] > 0 ? values[i] : 0;
    float *target = (float *)job->output + place;
    size_t done = 0;
    for (; done + SLICE <= n; done += SLICE) /* copies of a size that the compiler knows are fast */
        memcpy(target + done, values + done, SLICE * sizeof(float));
    for (; done < n; done++)
        target[done] = values[done];
}

/* Bytes of a packed image with its border. */
static size_t packed_bytes(uint32_t height, uint32_t width, uint32_t channels, uint32_t border)
{
    return 8 * words_of(channels) * ((size_t)height + 2 * (size_t)border) *
           ((size_t)width + 2 * (size_t)border);
}

static void clear_bits(const packed_job *job)
{
    memset(job->output, 0,
           packed_bytes(job->out_height, job->out_width, job->out_channels, job->out_border));
}

static TARGET void run_sign(const packed_job *job)
{
    const float *x = job->input;
    size_t channels = job->channels, words = words_of(job->channels);
    size_t line = words * ((size_t)job->width + 2 * (size_t)job->out_border);
    clear_bits(job);
    for (size_t row = 0; row < job->height; row++) {
        uint64_t *target = (uint64_t *)job->output + (row + job->out_border) * line;
        target += job->out_border * words;
        for (size_t column = 0; column < job->width; column++, x += channels)
            for (size_t first = 0; first < channels; first += 64)
                *target++ = sign_bits(x + first, part(job->flips, first, ones),
                                      part(job->bounds, first, zeros),
                                      least(64, channels - first));
    }
}

/* Sums of the signs of each filter at each place of its window, (places, filters): what a padded
   pixel, whose bits are all 0 as if it were -1, is corrected by. */
static TARGET void sum_places(const packed_job *job, windows *at, size_t first, size_t n)
{
    static const uint64_t nothing[1];
    size_t words = words_of(job->channels), width = job->out_channels;
    size_t places = (size_t)job->kernel_height * job->kernel_width;
    windows one = *at;
    int32_t counts[PIXELS][FILTERS];
    one.pixels[0] = nothing;
    one.line = 0;
    one.words = 1;
    for (size_t place = 0; place < places; place++) {
        int32_t *sums = (int32_t *)job->scratch + place * width + first;
        one.rows = words;
        /* One word per row, so that each of them is compared with the same zero. */
        one.weights = at->weights + place * words * GROUP;
        count_differences(&one, 1, (unsigned)((n + GROUP - 1) / GROUP), counts);
        for (size_t i = 0; i < n; i++)
            sums[i] = 2 * counts[0][i] - (int32_t)job->channels;
    }
}

static TARGET void add_border(const packed_job *job, size_t pixel, size_t first, size_t n,
                              int32_t *sums)
{
    size_t padding = job->padding;
    size_t top = pixel / job->out_width * job->stride, left = pixel % job->out_width * job->stride;
    int is_inside = top >= padding && left >= padding &&
                    top + job->kernel_height <= padding + job->height &&
                    left + job->kernel_width <= padding + job->width;
    if (is_inside)
        return;
    for (size_t r = 0; r < job->kernel_height; r++)
        for (size_t c = 0; c < job->kernel_width; c++) {
            int is_padded = top + r < padding || top + r >= padding + job->height ||
                            left + c < padding || left + c >= padding + job->width;
            const int32_t *place = (const int32_t *)job->scratch +
                                   (r * job->kernel_width + c) * job->out_channels + first;
            /* Unsigned: in a malformed file, other values may lie over the sums of places. */
            if (is_padded)
                for (size_t i = 0; i < n; i++)
                    sums[i] = (int32_t)((uint32_t)sums[i] + (uint32_t)place[i]);
        }
}

static TARGET void run_binary(const packed_job *job)
{
    size_t words = words_of(job->channels), places = (size_t)job->out_height * job->out_width;
    size_t kernel = (size_t)job->kernel_height * job->kernel_width;
    size_t whole = (size_t)job->width + 2 * (size_t)job->border;
    size_t skip = job->border - job->padding;
    int32_t all = (int32_t)(kernel * job->channels), counts[PIXELS][FILTERS];
    windows at = {{NULL}, whole * words, job->kernel_height, job->kernel_width * words, NULL,
                  kernel * words * GROUP};
    float values[FILTERS];
    if (job->to_bits)
        clear_bits(job);
    for (size_t first = 0; first < job->out_channels; first += FILTERS) {
        size_t n = least(FILTERS, job->out_channels - first);
        unsigned groups = (unsigned)((n + GROUP - 1) / GROUP);
        at.weights = (const uint64_t *)job->weights + first / GROUP * at.group;
        if (job->padding)
            sum_places(job, &at, first, n);
        for (size_t pixel = 0; pixel < places; pixel += PIXELS) {
            unsigned count = (unsigned)least(PIXELS, places - pixel);
            for (unsigned p = 0; p < count; p++) {
                size_t row = (pixel + p) / job->out_width * job->stride + skip;
                size_t column = (pixel + p) % job->out_width * job->stride + skip;
                at.pixels[p] = (const uint64_t *)job->input + (row * whole + column) * words;
            }
            count_differences(&at, count, groups, counts);
            for (unsigned p = 0; p < count; p++) {
                for (size_t i = 0; i < n; i++)
                    counts[p][i] = all - 2 * counts[p][i];
                if (job->padding)
                    add_border(job, pixel + p, first, n, counts[p]);
                for (size_t i = 0; i < n; i++)
                    values[i] = (float)counts[p][i];
                finish(job, values, pixel + p, first, n);
            }
        }
    }
}

#define VECTORS (SLICE / LANES)
#define HALF (FLOAT_PIXELS / 2)

/* Sums of `count` windows that lie side by side in a row, for 16 filters from `first`. */
static ALWAYS_INLINE TARGET void
sum_windows(const packed_job *job, size_t row, size_t column,
                                      const unsigned count, size_t first, float *sums)
{
    size_t channels = job->channels, filters = ((size_t)job->out_channels + SLICE - 1) & ~15U;
    size_t top = row * job->stride, left = column * job->stride, padding = job->padding;
    size_t step = job->stride * channels;
    vector total[FLOAT_PIXELS][VECTORS];
    UNROLL for (unsigned p = 0; p < count; p++)
        UNROLL for (unsigned v = 0; v < VECTORS; v++)
            total[p][v] = (vector){0};
    for (size_t r = 0; r < job->kernel_height; r++) {
        if (top + r < padding || top + r >= padding + job->height)
            continue;
        for (size_t c = 0; c < job->kernel_width; c++) {
            if (left + c < padding || left + c >= padding + job->width)
                continue; /* in a group, either all windows are inside or there is one */
            const float *x = (const float *)job->input +
                             ((top + r - padding) * job->width + left + c - padding) * channels;
            const float *w = (const float *)job->weights +
                             (r * job->kernel_width + c) * channels * filters + first;
            for (size_t i = 0; i < channels; i++, w += filters) {
                UNROLL for (unsigned p = 0; p < count; p++)
                    UNROLL for (unsigned v = 0; v < VECTORS; v++)
                        total[p][v] += *(const loose *)(w + v * LANES) * x[p * step + i];
            }
        }
    }
    UNROLL for (unsigned p = 0; p < count; p++)
        UNROLL for (unsigned v = 0; v < VECTORS; v++)
            *(loose *)(sums + p * SLICE + v * LANES) = total[p][v];
}

/* How many windows from a column on are inside the image, by the sizes of groups. */
static unsigned group_of(const packed_job *job, size_t column)
{
    size_t left = column * job->stride, right = (size_t)job->padding + job->width;
    for (unsigned count = FLOAT_PIXELS; count >= HALF && count > 1; count /= 2)
        if (left >= job->padding && column + count <= job->out_width &&
            left + (count - 1) * job->stride + job->kernel_width <= right)
            return count;
    return 1;
}

static TARGET void conv_rows(const packed_job *job)
{
    float sums[FLOAT_PIXELS * SLICE];
    for (size_t first = 0; first < job->out_channels; first += SLICE)
        for (size_t row = 0; row < job->out_height; row++)
            for (size_t column = 0; column < job->out_width;) {
                size_t n = least(SLICE, job->out_channels - first);
                unsigned count = group_of(job, column);
                if (count == FLOAT_PIXELS)
                    sum_windows(job, row, column, FLOAT_PIXELS, first, sums);
                else if (count == HALF)
                    sum_windows(job, row, column, HALF, first, sums);
                else
                    sum_windows(job, row, column, 1, first, sums);
                for (unsigned p = 0; p < count; p++)
                    finish(job, sums + p * SLICE, row * job->out_width + column + p, first, n);
                column += count;
            }
}

static TARGET void run_conv(const packed_job *job)
{
    packed_job flat = *job;
    if (job->kernel_height == 1 && job->kernel_width == 1 && job->stride == 1 && !job->padding) {
        /* One long row, so that fewer windows are left over at its end. */
        flat.width = flat.out_width = job->width * job->height;
        flat.height = flat.out_height = 1;
    }
    conv_rows(&flat);
}

static TARGET void pool_pixel(const packed_job *job, size_t row, size_t column, float *target)
{
    size_t channels = job->channels, top = row * job->stride, left = column * job->stride;
    int is_first = 1, is_max = job->op == PACKED_MAX;
    for (size_t r = top; r < top + job->kernel_height; r++)
        for (size_t c = left; c < left + job->kernel_width; c++) {
            if (r < job->padding || r >= (size_t)job->padding + job->height ||
                c < job->padding || c >= (size_t)job->padding + job->width)
                continue;
            const float *x = (const float *)job->input +
                             ((r - job->padding) * job->width + c - job->padding) * channels;
            if (is_first)
                memcpy(target, x, channels * sizeof(float));
            else if (is_max)
                for (size_t i = 0; i < channels; i++)
                    target[i] = x[i] > target[i] ? x[i] : target[i];
            else
                for (size_t i = 0; i < channels; i++)
                    target[i] = target[i] + x[i];
            is_first = 0;
        }
    float count = (float)(job->kernel_height * job->kernel_width);
    if (!is_max)
        for (size_t i = 0; i < channels; i++)
            target[i] = target[i] / count;
}

static TARGET void run_pool(const packed_job *job)
{
    float *target = job->output;
    for (size_t row = 0; row < job->out_height; row++)
        for (size_t column = 0; column < job->out_width; column++, target += job->channels)
            pool_pixel(job, row, column, target);
}

static TARGET void run_finish(const packed_job *job)
{
    float values[FILTERS];
    const float *x = job->input;
    size_t pixels = (size_t)job->height * job->width;
    for (size_t pixel = 0; pixel < pixels; pixel++, x += job->channels)
        for (size_t first = 0; first < job->channels; first += FILTERS) {
            size_t n = least(FILTERS, job->channels - first);
            memcpy(values, x + first, n * sizeof(float));
            finish(job, values, pixel, first, n);
        }
}

#include "packed_lookup.h"

static void run(const packed_job *job)
{
    switch (job->op) {
    case PACKED_SIGN: run_sign(job); break;
    case PACKED_BINARY: run_binary(job); break;
    case PACKED_CONV: run_conv(job); break;
    case PACKED_FINISH: run_finish(job); break;
    case PACKED_LOOKUP: run_lookup(job); break;
    default: run_pool(job);
    }
}
