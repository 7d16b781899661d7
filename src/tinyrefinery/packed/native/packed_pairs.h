/* `count_differences` of variants whose registers hold the sums of two windows and one group of
   filters. They define count_block first, then include this file. */

static TARGET void count_differences(const windows *at, unsigned pixels, unsigned groups,
                                     int32_t counts[PIXELS][FILTERS])
{
    for (unsigned g = 0; g < groups; g++) {
        unsigned p = 0;
        for (; p + 2 <= pixels; p += 2)
            count_block(at, p, 2, g, counts);
        if (p < pixels)
            count_block(at, p, 1, g, counts);
    }
}
