/* Lookup convolutions: each filter is a sum of few products of a weight and an input channel at one
   place of its window. `packed_steps.h` includes this file for each instruction set.

   The input is copied to planes first, one per channel, with zeros around it. So the pixels that an
   entry reads lie side by side, also for a stride: then a plane has one part for every remainder of
   row and column, which holds the pixels that are read together. A filter's result is computed for
   `STRIP` places at once, entry by entry. The places are those of all columns of a part, also of the
   last ones, which lie outside the result. They are left out when the strip is finished. */

#define STRIP_BLOCKS 4
#define STRIP (STRIP_BLOCKS * SLICE) /* places of one filter at once */
#define MOST_PLACES 256

typedef struct {
    size_t columns;             /* of a part */
    size_t part;                /* floats of a part */
    size_t plane;               /* floats of all parts of a channel */
    size_t across;              /* parts from left to right */
    size_t places[MOST_PLACES]; /* where each place of the window starts in a plane */
} parts;

static TARGET void set_parts(const packed_job *job, parts *at)
{
    size_t stride = job->stride, rows = (job->height + 2 * (size_t)job->padding + stride - 1) / stride;
    at->columns = (job->width + 2 * (size_t)job->padding + stride - 1) / stride;
    at->part = rows * at->columns;
    at->across = least(stride, job->kernel_width);
    at->plane = at->part * at->across * least(stride, job->kernel_height);
    for (size_t r = 0, place = 0; r < job->kernel_height; r++)
        for (size_t c = 0; c < job->kernel_width; c++, place++)
            at->places[place] = (r % stride * at->across + c % stride) * at->part +
                                r / stride * at->columns + c / stride;
}

/* Pixels of a row, from `first`, to the parts of their remainders; `line` is the row in a plane. */
static TARGET void spread_row(const packed_job *job, const parts *at, const float *row,
                              size_t first, size_t channel, float *line)
{
    size_t remainder = (job->padding + first) % job->stride;
    size_t column = (job->padding + first) / job->stride;
    for (size_t i = first; i < job->width; i++) {
        if (remainder < at->across)
            line[remainder * at->part + column] = row[i * job->channels + channel];
        if (++remainder == job->stride) {
            remainder = 0;
            column++;
        }
    }
}

static TARGET void fill_planes(const packed_job *job, const parts *at)
{
    size_t stride = job->stride, channels = job->channels;
    float *planes = job->scratch;
    memset(planes, 0, (channels * at->plane + SLICE) * sizeof(float));
    for (size_t y = 0; y < job->height; y++) {
        size_t top = y + job->padding, whole = stride == 1 ? job->width & ~(size_t)7 : 0;
        if (top % stride >= job->kernel_height)
            continue; /* no window reads it */
        const float *row = (const float *)job->input + y * job->width * channels;
        float *line = planes + top % stride * at->across * at->part + top / stride * at->columns;
        for (size_t channel = 0; channel < channels;) {
            size_t many = channel + 8 <= channels ? 8 : 1, done = many == 8 ? whole : 0;
            for (size_t x = 0; x < done; x += 8)
                turn(row + x * channels + channel, channels, line + job->padding + x, at->plane);
            for (size_t end = channel + many; channel < end; channel++, line += at->plane)
                spread_row(job, at, row, done, channel, line);
        }
    }
}

/* Sums of a filter at places from `first`: `blocks` is a constant where it is called, so that all
   sums stay in registers. */
static ALWAYS_INLINE TARGET void
sum_block(const packed_job *job, const parts *at, size_t filter, size_t first,
          const unsigned blocks, float *sums)
{
    const unsigned vectors = blocks * (SLICE / LANES);
    const float *planes = (const float *)job->scratch + first, *weights = job->weights;
    const uint8_t *bytes = job->words;
    const uint16_t *pairs = job->words;
    int is_byte = job->channels <= 256;
    vector total[STRIP / LANES];
    UNROLL for (unsigned v = 0; v < vectors; v++)
        total[v] = (vector){0};
    for (size_t i = job->starts[filter]; i < job->starts[filter + 1]; i++) {
        size_t word = is_byte ? bytes[i] : pairs[i];
        const float *x = planes + word * at->plane + at->places[job->places[i]];
        UNROLL for (unsigned v = 0; v < vectors; v++)
            total[v] += *(const loose *)(x + v * LANES) * weights[i];
    }
    UNROLL for (unsigned v = 0; v < vectors; v++)
        *(loose *)(sums + v * LANES) = total[v];
}

static TARGET void sum_entries(const packed_job *job, const parts *at, size_t filter, size_t first,
                               size_t blocks, float *sums)
{
    switch (blocks) {
    case 4: sum_block(job, at, filter, first, 4, sums); break;
    case 3: sum_block(job, at, filter, first, 3, sums); break;
    case 2: sum_block(job, at, filter, first, 2, sums); break;
    default: sum_block(job, at, filter, first, 1, sums);
    }
}

/* Finish `count` places from `first` of n filters. */
static TARGET void finish_strip(const packed_job *job, const parts *at, size_t first, size_t count,
                                size_t filter, size_t n, float sums[FILTERS][STRIP])
{
    float values[STRIP][FILTERS];
    size_t row = first / at->columns, column = first % at->columns;
    for (size_t p = 0; p < count; p += 8)
        for (size_t i = 0; i < n; i += 8)
            turn(sums[i] + p, STRIP, values[p] + i, FILTERS);
    for (size_t p = 0; p < count; p++) {
        if (column < job->out_width)
            finish(job, values[p], row * job->out_width + column, filter, n);
        if (++column == at->columns) {
            column = 0;
            row++;
        }
    }
}

static TARGET void run_lookup(const packed_job *job)
{
    parts at;
    float sums[FILTERS][STRIP];
    set_parts(job, &at);
    fill_planes(job, &at);
    memset(sums, 0, sizeof sums); /* rows of absent filters are turned too */
    size_t end = (job->out_height - 1) * at.columns + job->out_width;
    for (size_t first = 0, count; first < end; first += count) {
        /* Strips of about equal length: short ones wait for their sums. */
        size_t left = (end - first + SLICE - 1) / SLICE;
        size_t strips = (left + STRIP_BLOCKS - 1) / STRIP_BLOCKS;
        size_t blocks = (left + strips - 1) / strips;
        count = least(blocks * SLICE, end - first);
        for (size_t filter = 0; filter < job->out_channels; filter += FILTERS) {
            size_t n = least(FILTERS, job->out_channels - filter);
            for (size_t i = 0; i < n; i++)
                sum_entries(job, &at, filter + i, first, blocks, sums[i]);
            finish_strip(job, &at, first, count, filter, n, sums);
        }
    }
}
