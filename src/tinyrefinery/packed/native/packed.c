/* Reads, checks and runs packed network files. The layout is described in `packed_format.py`. */

#include "packed.h"
#include <string.h>

enum { HEADER = 64, VALUE = 32, STEP = 96, CHECKED_FROM = 20, MOST_BORDER = 64 };
enum { MOST_SIDE = 1 << 14, MOST_CHANNELS = 1 << 20, MOST_SUM = 1 << 24, MOST_STEPS = 1 << 16 };
static const uint32_t NONE = 0xFFFFFFFFU;

typedef struct {
    uint32_t is_bits, height, width, channels, border, start;
} value;

typedef struct {
    uint32_t op, relu, input, output, residual, kernel_height, kernel_width, stride, padding;
    uint32_t scratch, weights, scale, shift, slope, gain, offset, bounds, flips, starts, words;
    uint32_t places;
} step;

static uint32_t word_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static uint32_t checksum(const uint8_t *bytes, size_t size)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C};
    uint32_t sum = 0xFFFFFFFFU;
    for (size_t i = 0; i < size; i++) {
        sum ^= bytes[i];
        sum = sum >> 4 ^ table[sum & 15];
        sum = sum >> 4 ^ table[sum & 15];
    }
    return ~sum;
}

static value value_at(const uint8_t *content, uint32_t number)
{
    const uint8_t *at = content + HEADER + (size_t)VALUE * number;
    value found = {word_at(at),      word_at(at + 4),  word_at(at + 8),
                   word_at(at + 12), word_at(at + 16), word_at(at + 20)};
    return found;
}

static step step_at(const uint8_t *content, uint32_t values, uint32_t number)
{
    const uint8_t *at = content + HEADER + (size_t)VALUE * values + (size_t)STEP * number;
    step found = {word_at(at),      word_at(at + 4),  word_at(at + 8),  word_at(at + 12),
                  word_at(at + 16), word_at(at + 20), word_at(at + 24), word_at(at + 28),
                  word_at(at + 32), word_at(at + 36), word_at(at + 40), word_at(at + 44),
                  word_at(at + 48), word_at(at + 52), word_at(at + 56), word_at(at + 60),
                  word_at(at + 64), word_at(at + 68), word_at(at + 72), word_at(at + 76),
                  word_at(at + 80)};
    return found;
}

static uint64_t value_bytes(const value *v)
{
    if (!v->is_bits)
        return (uint64_t)v->height * v->width * v->channels * 4;
    return ((uint64_t)v->height + 2 * v->border) * ((uint64_t)v->width + 2 * v->border) *
           (((uint64_t)v->channels + 63) / 64) * 8;
}

static int is_value(const value *v, uint32_t arena)
{
    return v->is_bits <= 1 && v->height && v->width && v->channels && v->height <= MOST_SIDE &&
           v->width <= MOST_SIDE && v->channels <= MOST_CHANNELS && v->border <= MOST_BORDER &&
           (v->is_bits || !v->border) && v->start % PACKED_ALIGNMENT == 0 &&
           v->start + value_bytes(v) <= arena;
}

/* Whether an array of the file is inside it and aligned. Absent ones (0) are for the caller. */
static int holds(const uint8_t *content, size_t size, uint32_t start, uint64_t bytes)
{
    uint64_t tables = HEADER + (uint64_t)VALUE * word_at(content + 20) +
                      (uint64_t)STEP * word_at(content + 24);
    return start % PACKED_ALIGNMENT == 0 && start >= tables && start + bytes <= size;
}

static int holds_or_none(const uint8_t *content, size_t size, uint32_t start, uint64_t bytes)
{
    return start == 0 || holds(content, size, start, bytes);
}

static int is_finish(const packed_model *m, size_t size, const step *s, const value *out)
{
    uint64_t bytes = 4 * (uint64_t)out->channels;
    if (out->is_bits)
        return holds(m->content, size, s->bounds, bytes) &&
               holds(m->content, size, s->flips, bytes);
    if (s->residual != NONE) {
        if (s->residual >= m->values)
            return 0;
        value other = value_at(m->content, s->residual);
        if (other.is_bits || other.height != out->height || other.width != out->width ||
            other.channels != out->channels)
            return 0;
    }
    return holds_or_none(m->content, size, s->scale, bytes) &&
           holds_or_none(m->content, size, s->shift, bytes) &&
           holds_or_none(m->content, size, s->slope, bytes) &&
           holds_or_none(m->content, size, s->gain, bytes) &&
           holds_or_none(m->content, size, s->offset, bytes);
}

static int is_window(const step *s, const value *in, const value *out)
{
    uint64_t tall = (uint64_t)in->height + 2 * (uint64_t)s->padding;
    uint64_t wide = (uint64_t)in->width + 2 * (uint64_t)s->padding;
    return s->kernel_height && s->kernel_width && s->stride && s->stride <= MOST_SIDE &&
           s->padding <= MOST_BORDER && s->kernel_height <= tall && s->kernel_width <= wide &&
           out->height == (tall - s->kernel_height) / s->stride + 1 &&
           out->width == (wide - s->kernel_width) / s->stride + 1;
}

/* Bytes that a lookup needs beside its values; see `run_lookup`. */
static uint64_t lookup_scratch(const step *s, const value *in)
{
    uint64_t stride = s->stride, channels = in->channels;
    uint64_t down = s->kernel_height < stride ? s->kernel_height : stride;
    uint64_t across = s->kernel_width < stride ? s->kernel_width : stride;
    uint64_t rows = (in->height + 2 * (uint64_t)s->padding + stride - 1) / stride;
    uint64_t columns = (in->width + 2 * (uint64_t)s->padding + stride - 1) / stride;
    return 4 * (channels * down * across * rows * columns + 16);
}

/* Whether the entries are in the file and in order, and name words and places that exist. */
static int is_lookup(const packed_model *m, size_t size, const step *s, const value *in,
                     const value *out)
{
    const uint8_t *content = m->content;
    uint32_t places = s->kernel_height * s->kernel_width, before = 0;
    size_t width = in->channels <= 256 ? 1 : 2;
    if (s->kernel_height > 256 || s->kernel_width > 256 || places > 256 || in->channels > 65536 ||
        !holds(content, size, s->starts, 4 * ((uint64_t)out->channels + 1)))
        return 0;
    const uint8_t *starts = content + s->starts;
    uint32_t count = word_at(starts + 4 * (size_t)out->channels);
    if (word_at(starts) != 0 || !holds(content, size, s->weights, 4 * (uint64_t)count) ||
        !holds(content, size, s->words, width * (uint64_t)count) ||
        !holds(content, size, s->places, count))
        return 0;
    for (size_t i = 1; i <= out->channels; i++) {
        uint32_t start = word_at(starts + 4 * i);
        if (start < before)
            return 0;
        before = start;
    }
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = content + s->words + width * i;
        uint32_t word = width == 1 ? at[0] : (uint32_t)at[0] | (uint32_t)at[1] << 8;
        if (word >= in->channels || content[s->places + i] >= places)
            return 0;
    }
    return s->scratch % PACKED_ALIGNMENT == 0 && s->scratch + lookup_scratch(s, in) <= m->arena;
}

static int is_convolution(const packed_model *m, size_t size, const step *s, const value *in,
                          const value *out)
{
    uint64_t places = (uint64_t)s->kernel_height * s->kernel_width, filters = out->channels;
    uint64_t bytes = places * in->channels * ((filters + 15) & ~UINT64_C(15)) * 4;
    if (!is_window(s, in, out) || places * in->channels > MOST_SUM)
        return 0;
    if (s->op == PACKED_BINARY) {
        if (!in->is_bits || in->border < s->padding)
            return 0;
        bytes = places * (((uint64_t)in->channels + 63) / 64) * ((filters + 7) & ~UINT64_C(7)) * 8;
        if (s->padding && (s->scratch % PACKED_ALIGNMENT ||
                           s->scratch + places * filters * sizeof(int32_t) > m->arena))
            return 0;
    } else if (in->is_bits || out->is_bits)
        return 0;
    if (s->op == PACKED_LOOKUP)
        return is_lookup(m, size, s, in, out) && is_finish(m, size, s, out);
    return holds(m->content, size, s->weights, bytes) && is_finish(m, size, s, out);
}

/* Whether a step has nothing that it would not use. */
static int is_lean(const step *s, int to_bits)
{
    int convolves = s->op == PACKED_BINARY || s->op == PACKED_CONV || s->op == PACKED_LOOKUP;
    int finishes = convolves || s->op == PACKED_FINISH;
    int compares = s->op == PACKED_SIGN || (s->op == PACKED_BINARY && to_bits);
    return (convolves || s->weights == 0) &&
           (s->op == PACKED_LOOKUP || (s->starts | s->words | s->places) == 0) && (compares || (s->bounds | s->flips) == 0) &&
           ((finishes && !to_bits) ||
            ((s->scale | s->shift | s->slope | s->gain | s->offset | s->relu) == 0 &&
             s->residual == NONE));
}

static int is_step(const packed_model *m, size_t size, const step *s)
{
    if (s->input >= m->values || s->output >= m->values || s->relu > 1)
        return 0;
    value in = value_at(m->content, s->input), out = value_at(m->content, s->output);
    int is_same = in.height == out.height && in.width == out.width && in.channels == out.channels;
    uint64_t bytes = 4 * (uint64_t)in.channels;
    if (!is_lean(s, (int)out.is_bits))
        return 0;
    switch (s->op) {
    case PACKED_SIGN:
        return !in.is_bits && out.is_bits && is_same &&
               holds_or_none(m->content, size, s->bounds, bytes) &&
               holds_or_none(m->content, size, s->flips, bytes);
    case PACKED_BINARY:
    case PACKED_CONV:
    case PACKED_LOOKUP:
        return is_convolution(m, size, s, &in, &out);
    case PACKED_AVERAGE:
    case PACKED_MAX:
        return !in.is_bits && !out.is_bits && in.channels == out.channels &&
               is_window(s, &in, &out) && s->padding < s->kernel_height &&
               s->padding < s->kernel_width && (s->op == PACKED_MAX || s->padding == 0);
    case PACKED_FINISH:
        return !in.is_bits && !out.is_bits && is_same && is_finish(m, size, s, &out);
    default:
        return 0;
    }
}

static const char *check_tables(packed_model *m, size_t size)
{
    for (uint32_t i = 0; i < m->values; i++) {
        value v = value_at(m->content, i);
        if (!is_value(&v, m->arena))
            return "a value has an impossible shape or place";
    }
    value in = value_at(m->content, m->input), out = value_at(m->content, m->output);
    if (in.is_bits || out.is_bits)
        return "its input or output is not a float image";
    m->inputs = (size_t)in.height * in.width * in.channels;
    m->outputs = (size_t)out.height * out.width * out.channels;
    for (uint32_t i = 0; i < m->steps; i++) {
        step s = step_at(m->content, m->values, i);
        if (!is_step(m, size, &s))
            return "a step does not fit its values or its weights";
    }
    return NULL;
}

const char *packed_open(packed_model *m, const void *content, size_t size)
{
    const uint8_t *bytes = content;
    const uint16_t one = 1;
    memset(m, 0, sizeof *m);
    if (*(const uint8_t *)&one != 1)
        return "this processor is big-endian, and packed files are not";
    if (size < HEADER || memcmp(bytes, "TRPACKED", 8) != 0)
        return "is not a packed network";
    if ((uintptr_t)content % PACKED_ALIGNMENT)
        return "the file is not aligned in memory";
    if (word_at(bytes + 8) != 1)
        return "was written by another version";
    if (word_at(bytes + 12) != size)
        return "has another length than its header states";
    if (word_at(bytes + 16) != checksum(bytes + CHECKED_FROM, size - CHECKED_FROM))
        return "is damaged (its checksum differs)";
    m->content = bytes;
    m->values = word_at(bytes + 20);
    m->steps = word_at(bytes + 24);
    m->arena = word_at(bytes + 28);
    m->input = word_at(bytes + 32);
    m->output = word_at(bytes + 36);
    if (m->values > MOST_STEPS || m->steps > MOST_STEPS || m->input >= m->values ||
        m->output >= m->values ||
        HEADER + (uint64_t)VALUE * m->values + (uint64_t)STEP * m->steps > size)
        return "its tables do not fit";
    if ((uint64_t)word_at(bytes + 40) + word_at(bytes + 44) > size)
        return "its metadata does not fit";
    return check_tables(m, size);
}

static const void *array_at(const packed_model *m, uint32_t start)
{
    return start == 0 ? NULL : m->content + start;
}

static packed_job job_of(const packed_model *m, uint32_t number, uint8_t *arena)
{
    step s = step_at(m->content, m->values, number);
    value in = value_at(m->content, s.input), out = value_at(m->content, s.output);
    packed_job job = {
        .op = s.op,
        .relu = s.relu,
        .height = in.height,
        .width = in.width,
        .channels = in.channels,
        .border = in.border,
        .out_height = out.height,
        .out_width = out.width,
        .out_channels = out.channels,
        .out_border = out.border,
        .kernel_height = s.kernel_height,
        .kernel_width = s.kernel_width,
        .stride = s.stride,
        .padding = s.padding,
        .to_bits = out.is_bits,
        .input = arena + in.start,
        .output = arena + out.start,
        .weights = array_at(m, s.weights),
        .scale = array_at(m, s.scale),
        .shift = array_at(m, s.shift),
        .slope = array_at(m, s.slope),
        .gain = array_at(m, s.gain),
        .offset = array_at(m, s.offset),
        .bounds = array_at(m, s.bounds),
        .flips = array_at(m, s.flips),
        .starts = array_at(m, s.starts),
        .words = array_at(m, s.words),
        .places = array_at(m, s.places),
        .scratch = arena + s.scratch,
    };
    if (s.residual != NONE)
        job.residual = (const float *)(void *)(arena + value_at(m->content, s.residual).start);
    return job;
}

float *packed_input(const packed_model *m, void *arena)
{
    return (float *)(void *)((uint8_t *)arena + value_at(m->content, m->input).start);
}

void packed_run(const packed_model *m, const packed_kernels *kernels, const float *input,
                float *output, void *arena)
{
    value out = value_at(m->content, m->output);
    uint8_t *memory = arena;
    float *place = packed_input(m, arena);
    if (input != place)
        memcpy(place, input, m->inputs * sizeof(float));
    for (uint32_t i = 0; i < m->steps; i++) {
        packed_job job = job_of(m, i, memory);
        kernels->run(&job);
    }
    memcpy(output, memory + out.start, m->outputs * sizeof(float));
}

extern const packed_kernels packed_plain, packed_avx2, packed_avx512, packed_neon;

const packed_kernels *packed_variant(unsigned number)
{
    static const packed_kernels *const all[] = {
#if defined(__x86_64__)
        &packed_avx512, &packed_avx2,
#elif defined(__aarch64__) && defined(__ARM_NEON)
        &packed_neon,
#endif
        &packed_plain};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]->is_supported() && number-- == 0)
            return all[i];
    return NULL;
}
